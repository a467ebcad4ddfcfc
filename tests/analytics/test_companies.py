"""Sums over a fund's companies: the golden table, the guards, and what must not change them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.analytics.companies import HOLDING_COLUMNS, QUOTE_COLUMNS, FundSums, candidate_symbols, fund_sums, share_a_word
from tests.shared_data import FOLDER, shared

FOLDER = FOLDER / "bottom_up"
ANY_SHARE = (0.0, math.inf)


def holding(ticker: str = "AAA", **changed: object) -> dict[str, object]:
    """100 shares at $10, one percent of the company."""
    row = dict.fromkeys(HOLDING_COLUMNS) | {"ticker": ticker, "name": f"{ticker} INC", "asset_class": "Equity"}
    return row | {"quantity": 100.0, "price": 10.0, "value": 1_000.0, "weight": 1.0} | changed


def quote(ticker: object = "AAA", **changed: object) -> dict[str, object]:
    row = dict.fromkeys(QUOTE_COLUMNS) | {"eps": 1.0, "forward_eps": 2.0, "book": 5.0, "shares": 10_000.0}
    row |= {"price": 10.0, "currency": "USD", "financial_currency": "USD", "kind": "EQUITY"}
    return row | {"symbol": ticker, "name": f"{ticker}, Inc."} | changed


def sums(holdings: list[dict[str, object]], quotes: list[dict[str, object]]) -> FundSums:
    return fund_sums(pd.DataFrame(holdings), quote_frame(quotes))


def quote_frame(quotes: list[dict[str, object]]) -> pd.DataFrame:
    frame = pd.DataFrame(quotes, columns=["symbol", *QUOTE_COLUMNS]).set_index("symbol")
    numbers = ["eps", "forward_eps", "book", "shares", "market_cap", "price", "trailing_pe"]
    return frame.astype(dict.fromkeys(numbers, "float64"))


FIVE = [holding(name) for name in ("AAA", "BBB", "CCC", "DDD", "EEE")]
LEFT_OUT = {
    "no quote": [],
    "no stock": [quote("EEE", kind="ETF")],
    "another company's ticker": [quote("EEE", name="Zed Incorporated")],
    "another company's ticker, unnamed": [quote("EEE", name=None)],
    "not in dollars": [quote("EEE", financial_currency="BRL", trailing_pe=50.0)],
    "not in dollars, a loss": [quote("EEE", financial_currency="BRL", eps=-1.0)],
    "not in dollars, quoted": [quote("EEE", currency="CAD")],
    "not in dollars, unknown": [quote("EEE", financial_currency=None)],
    "wrong share count": [quote("EEE", shares=1_000.0)],
    "wrong price, in cents": [quote("EEE", price=1_000.0)],
    "wrong price, after a split": [quote("EEE", price=1.0)],
    "wrong share count, high": [quote("EEE", shares=200_000.0)],
    "wrong share count, by market value": [quote("EEE", shares=None, market_cap=10_000.0)],
}


@pytest.mark.parametrize("name", LEFT_OUT)
def test_a_company_that_is_left_out_is_counted(name: str) -> None:
    total = sums(FIVE, [quote(row["ticker"]) for row in FIVE[:4]] + LEFT_OUT[name])
    assert total.left_out == {name.partition(", ")[0]: 1}
    assert total.equities == 5
    for part in (total.trailing, total.forward):
        assert (part.companies, part.value, part.coverage) == (4, 4_000.0, 0.8)
    assert (total.book.multiples["losses_in"], total.book.companies) == (2.0, 4)


@pytest.mark.parametrize(
    "changed",
    [
        {"eps": -400.0},  # a loss may exceed the market value
        {"shares": None},  # an unknown share is kept
        {"price": 2.5},  # lost three quarters since the list
        {"shares": 100_000.0},  # a tenth of the others' share
        {"financial_currency": "EUR", "trailing_pe": 10.2},  # converted
    ],
)
def test_a_company_that_is_kept(changed: dict[str, object]) -> None:
    total = sums(FIVE, [quote(row["ticker"]) for row in FIVE[:4]] + [quote("EEE", **changed)])
    assert total.trailing.companies == 5
    assert total.trailing.amount == pytest.approx(400 + 100 * float(str(changed.get("eps", 1.0))))


def test_a_book_value_of_no_use_leaves_the_earnings() -> None:
    books = [quote("DDD", book=-10_000.0), quote("EEE", financial_currency="EUR", trailing_pe=10.0)]
    total = sums(FIVE, [quote(row["ticker"]) for row in FIVE[:3]] + books)
    assert (total.left_out, total.trailing.companies, total.book.companies) == ({"book value": 2}, 5, 3)
    assert total.book.multiples["losses_in"] == 2.0


def test_what_is_no_company_counts_for_the_coverage_or_not_at_all() -> None:
    rows = [
        holding(),
        holding("-", name="ARCELLX INC CVR"),
        holding("AKE", name="AKERO THERAPEUTICS CVR"),
        holding("CVI", name="CVR ENERGY INC"),
    ]
    total = sums(rows, [quote(), quote("CVI", name="CVR Energy"), quote("AKE", name="Akero")])
    assert (total.equities, total.trailing.companies, total.trailing.coverage) == (2, 2, 0.5)


def test_a_fund_of_which_only_weights_are_known() -> None:
    """The State Street file has neither prices nor values."""
    bare = {"price": None, "value": None}
    rows = [holding("AAA", weight=60.0, **bare), holding("BBB", weight=40.0, **bare)]
    total = sums(rows, [quote("AAA")])
    assert total.trailing.value == 1_000.0
    assert total.trailing.coverage == pytest.approx(0.6)


def test_too_little_coverage_gives_no_figure_and_no_earnings_no_multiple() -> None:
    assert not list(sums(FIVE[:2], [quote("AAA")]).figures())
    losing = [quote(row["ticker"], eps=-1.0) for row in FIVE]
    figures = {row[:3]: row[3] for row in sums(FIVE, losing).figures()}
    assert figures["pe", "losses_in", "trailing"] is None
    assert figures["earnings_yield", "losses_in", "trailing"] == pytest.approx(-10.0)
    assert figures["loss_share", "losses_in", "trailing"] == 100.0
    assert figures["pe", "losses_in", "forward"] == 5.0


def test_the_toy_fund_of_the_definitions() -> None:
    """Four equal companies of 100 that earn 10, 5, 1 and -8."""
    rows = [holding(name, quantity=10.0) for name in ("AAA", "BBB", "CCC", "DDD")]
    earned = zip(rows, (1.0, 0.5, 0.1, -0.8), strict=True)
    part = sums(rows, [quote(str(row["ticker"]), eps=eps) for row, eps in earned]).trailing
    assert part.multiples == pytest.approx({"losses_in": 50.0, "positive": 18.75, "capped": 18.0})
    assert [gain.ticker for gain in part.gains] == ["AAA", "BBB", "CCC"]
    assert [loss.ticker for loss in part.losses] == ["DDD"]
    assert part.without_largest is None  # -2 is left
    assert part.loss_share == 25.0


@pytest.mark.parametrize(
    ("ticker", "symbols"),
    [
        ("BRKB", ["BRKB", "BRK-B"]),
        ("BFB", ["BFB", "BF-B"]),
        ("MOGA", ["MOGA", "MOG-A"]),
        ("BRK.B", ["BRK-B"]),
        ("F", ["F"]),
        ("GE", ["GE"]),
    ],
)
def test_symbols_of_share_classes(ticker: str, symbols: list[str]) -> None:
    assert candidate_symbols(ticker) == symbols
    rows = [holding(ticker, name="MADE UP INC CLASS B")]
    assert sums(rows, [quote(symbols[-1], name="Made Up")]).trailing.companies == 1


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("MOOG INC CLASS A", "Moog Inc.", True),
        ("O REILLY AUTOMOTIVE INC", "O'Reilly Automotive, Inc.", True),
        ("AT+T INC", "AT&T Inc.", True),
        ("F5 INC", "F5, Inc.", True),
        (None, "None such", False),
        ("MASTEC INC", "Vanguard Group Inc", False),
        ("VISTANCE NETWORKS INC CLASS A", "Agilent, Inc. Class A", False),
    ],
)
def test_names_that_share_a_word(first: str | None, second: str, same: bool) -> None:
    assert share_a_word([first], [second]) == [same]


_COMPANIES = st.lists(
    st.tuples(st.floats(0.5, 2), st.floats(-3, 3), st.floats(1, 9)).map(lambda row: tuple(round(x, 4) for x in row)),
    min_size=1,
    max_size=8,
)


def _fund(companies: list[tuple[float, float, float]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    names = [f"C{number}X" for number in range(len(companies))]
    rows = [holding(name, quantity=100 * q) for name, (q, _, _) in zip(names, companies, strict=True)]
    quotes = [quote(name, eps=eps, book=book) for name, (_, eps, book) in zip(names, companies, strict=True)]
    return pd.DataFrame(rows), quote_frame(quotes)


def _outcome(total: FundSums) -> dict[tuple[str, ...], float]:
    return {row[:3]: row[3] if row[3] is not None else math.inf for row in total.figures()}


@settings(max_examples=5)
@given(_COMPANIES, st.integers(2, 1_000))
def test_order_splitting_and_size_change_nothing(companies: list[tuple[float, float, float]], times: int) -> None:
    holdings, quotes = _fund(companies)
    total = fund_sums(holdings, quotes, ownership=ANY_SHARE)
    shuffled = holdings.sample(frac=1, random_state=times)
    halves = pd.concat([holdings.assign(quantity=holdings["quantity"] / 2, value=holdings["value"] / 2)] * 2)
    larger = holdings.assign(quantity=holdings["quantity"] * times, value=holdings["value"] * times)
    for changed in (shuffled, halves, larger):
        other = fund_sums(changed.reset_index(drop=True), quotes, ownership=ANY_SHARE)
        assert _outcome(other) == pytest.approx(_outcome(total), rel=1e-6)


@settings(max_examples=8)
@given(_COMPANIES)
def test_the_sign_of_all_earnings_turns_the_yield(companies: list[tuple[float, float, float]]) -> None:
    holdings, quotes = _fund(companies)
    part = fund_sums(holdings, quotes, ownership=ANY_SHARE).trailing
    turned = fund_sums(holdings, quotes.assign(eps=-quotes["eps"]), ownership=ANY_SHARE).trailing
    assert turned.amount == pytest.approx(-part.amount)
    assert turned.losing + part.losing + (quotes["eps"] == 0).sum() == len(companies)
    assert part.multiples["losses_in"] is None or turned.multiples["losses_in"] is None


def iwm() -> pd.DataFrame:
    rows = pd.read_csv(FOLDER / "IWM_holdings_2026-07-17.csv", skiprows=9, encoding="utf-8-sig", dtype=str)
    numbers = ["Quantity", "Price", "Market Value", "Weight (%)"]
    for name in numbers:
        rows[name] = pd.to_numeric(rows[name].str.replace(",", ""), errors="coerce")
    return rows[rows["Asset Class"] == "Equity"][["Ticker", "Name", *numbers]].set_axis(
        list(HOLDING_COLUMNS), axis="columns"
    )


def iwm_quotes(holdings: pd.DataFrame, real: tuple[str, ...] = ()) -> pd.DataFrame:
    """Yahoo's ratios as figures a share at the holdings' prices; `real` are tickers that report in reals."""
    file = pd.read_csv(FOLDER / "yahoo_info_3736_us_stocks_2026-08-08.csv").set_index("symbol")
    own = holdings[holdings["price"] > 0].drop_duplicates("ticker").set_index("ticker")[["name", "price"]]
    file = file.join(own, how="inner")
    ps = file["priceToSalesTrailing12Months"]
    return pd.DataFrame(
        {
            "eps": file["price"] * file["profitMargins"] / ps.where(ps > 0),
            "forward_eps": file["price"] / file["forwardPE"],
            "book": file["price"] / file["priceToBook"],
            "shares": file["marketCap"] / file["price"],
            "market_cap": file["marketCap"],
            "price": file["price"],
            "trailing_pe": file["trailingPE"],
            "currency": "USD",
            "financial_currency": np.where(file.index.isin(real), "BRL", "USD"),
            "kind": "EQUITY",
            "name": file["name"],
            "sales": file["price"] / ps.where((ps > 0) & file["profitMargins"].notna()),
        }
    )


GOLDEN = {
    "companies": (1_530, 1_527, 1_525),
    "pe": (53.19, 52.65, 58.05),
    "positive": (15.98, 15.98, 16.61),
    "capped": (15.71, 15.71, 16.32),
    "loss share": (22.89, 22.83, 22.86),
    "losing": (29.93, 29.80, 29.84),
    "pb": (4.816, 2.346, 2.350),
    "forward": (21.16, 21.15, 21.26),
    "forward positive": (14.26, 14.26, 14.32),
    "forward coverage": (93.5, 93.4, 93.3),
    "VISN": (15.40, 15.26, 16.85),
    "without VISN": (62.80, 62.07, 69.74),
    "coverage": (86.2, 86.2, 86.0),
    "ps": (1.340, 1.340, 1.355),
    "net margin": (2.52, 2.55, 2.34),
}


@shared
@pytest.mark.parametrize("column", [0, 1, 2], ids=["no guard", "guarded", "without STNE and PAGS"])
def test_the_golden_table(column: int) -> None:
    holdings = iwm()
    quotes = iwm_quotes(holdings, ("STNE", "PAGS") if column == 2 else ())
    guards: dict[str, Any] = {} if column else {"ownership": ANY_SHARE, "least_pb": 0.0}
    total = fund_sums(holdings, quotes, **guards)
    sales = fund_sums(holdings, quotes.assign(eps=quotes["sales"]), **guards).trailing
    trailing, forward = total.trailing, total.forward
    assert sales.companies == trailing.companies
    assert trailing.gains[0].ticker == "VISN"
    assert total.equities == 1_960
    figures = {
        "companies": trailing.companies,
        "pe": trailing.multiples["losses_in"],
        "positive": trailing.multiples["positive"],
        "capped": trailing.multiples["capped"],
        "loss share": trailing.loss_share,
        "losing": 100 * trailing.losing / trailing.companies,
        "pb": total.book.multiples["losses_in"],
        "forward": forward.multiples["losses_in"],
        "forward positive": forward.multiples["positive"],
        "forward coverage": 100 * forward.coverage,
        "VISN": 100 * trailing.gains[0].amount / trailing.amount,
        "without VISN": trailing.without_largest,
        "coverage": 100 * trailing.coverage,
        "ps": sales.multiples["losses_in"],
        "net margin": 100 * trailing.amount / sales.amount,
    }
    assert figures == pytest.approx({name: row[column] for name, row in GOLDEN.items()}, rel=0.005)
    assert figures["companies"] == GOLDEN["companies"][column]
