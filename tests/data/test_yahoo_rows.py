from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.data.yahoo_rows import bar_rows, fund_rows, multiple_rows, sector_rows
from storage.records import FundFacts

NAMES = ("Price/Earnings", "Price/Book", "Price/Sales", "Price/Cashflow")
COMPLETED = pd.bdate_range("2026-01-26", "2026-02-04")
# `info` of a large fund as served on the evening of 2026-02-04, cut to the keys that matter.
INFO = {
    "previousClose": 689.53,
    "regularMarketPrice": 686.19,
    "regularMarketTime": 1770238800,  # 2026-02-04, 16:00 New York
    "navPrice": 689.56085,
    "totalAssets": 712_072_560_640,
    "trailingPE": 27.781937,
    "yield": 0.0107,
    "dividendYield": 1.07,
    "sharesOutstanding": 917_782_016,
    "marketCap": 629_772_845_056,
    "priceToBook": 1.5986906,
    "ytdReturn": 17.7547,
}


def _values(*served: object) -> tuple[dict[str, float | None], list[str]]:
    """Multiples, and what is missing, where P/E, P/B, P/S and P/CF are served so."""
    holdings = dict(zip(NAMES, served, strict=True))
    rows, missing = multiple_rows("IWM", "2026-02-04", holdings)
    return {row.metric: row.value for row in rows}, missing


def test_served_upright_multiples_stay_even_below_one() -> None:
    values, missing = _values(14.2, 1.6, 0.7, 6.5)
    assert values == {"pe": 14.2, "pb": 1.6, "ps": 0.7, "pcf": 6.5}
    assert missing == []


@pytest.mark.parametrize("pe", [0.0, None, -0.04, float("nan"), "28.4", True])
def test_without_a_price_to_earnings_no_multiple_is_believed(pe: object) -> None:
    assert _values(pe, 0.27, 0.4, 0.1) == ({}, ["multiples (no P/E to tell which way up they are)"])


def test_zero_and_junk_beside_a_good_price_to_earnings_are_missing() -> None:
    values, missing = _values(0.05, 0.0, 1e-9, pd.NA)
    assert values == {"pe": 20.0}
    assert missing == ["Price/Book", "Price/Sales", "Price/Cashflow"]


@given(st.floats(5, 100), st.floats(0.3, 50), st.floats(0.2, 20), st.floats(2, 100))
def test_either_way_up_gives_the_same_multiples(pe: float, pb: float, ps: float, pcf: float) -> None:
    values, _ = _values(pe, pb, ps, pcf)
    turned, _ = _values(1 / pe, 1 / pb, 1 / ps, 1 / pcf)
    assert turned == pytest.approx(values, abs=2e-6)


@pytest.mark.parametrize(
    "weights",
    [
        {},
        {"technology": 0.0, "energy": 0.0},
        {"technology": 43.0, "energy": 57.0},
        {"technology": 0.4},
        {"technology": None, "energy": 0.5},
    ],
)
def test_sector_weights_that_are_no_whole_are_refused(weights: dict[str, Any]) -> None:
    assert sector_rows("IWM", "2026-02-04", weights) == ([], ["sector weights"])


def test_net_asset_value_and_assets_are_of_the_session_before_the_quote() -> None:
    facts, multiples, missing = fund_rows("SPY", INFO, COMPLETED)
    assert facts == [FundFacts("SPY", "2026-02-03", nav=689.56085, shares=None, assets=712072560640.0)]
    assert [(row.session, row.metric, row.convention, row.basis) for row in multiples] == [
        ("2026-02-04", "pe", "yahoo", "trailing"),
        ("2026-02-04", "yield", "yahoo", "trailing"),
    ]
    assert [row.value for row in multiples] == [27.781937, pytest.approx(1.07)]
    assert missing == []


@pytest.mark.parametrize(
    ("key", "value", "missing"),
    [
        ("navPrice", 0.0, "navPrice"),
        ("navPrice", 611.0, "navPrice"),  # 11 % from the close: another day's
        ("navPrice", None, "navPrice"),
        ("navPrice", 6.9e8, "navPrice"),
        ("totalAssets", 71.2, "totalAssets"),
        ("totalAssets", 7.1e13, "totalAssets"),
        ("totalAssets", "712B", "totalAssets"),
        ("trailingPE", -3.0, "trailingPE"),
        ("trailingPE", float("inf"), "trailingPE"),
        ("yield", 1.07, "yield"),  # a percent where a fraction belongs
        ("yield", 0, "yield"),
    ],
)
def test_a_figure_out_of_range_is_missing(key: str, value: object, missing: str) -> None:
    assert fund_rows("SPY", {**INFO, key: value}, COMPLETED)[2] == [missing]


@pytest.mark.parametrize("key", INFO)
def test_every_key_is_optional(key: str) -> None:
    info = {name: value for name, value in INFO.items() if name != key}
    facts, multiples, _ = fund_rows("SPY", info, COMPLETED)
    counts = {"regularMarketTime": (0, 0), "trailingPE": (1, 1), "yield": (1, 1)}
    assert (len(facts), len(multiples)) == counts.get(key, (1, 2))


def test_a_quote_without_a_time_dates_nothing() -> None:
    rows = fund_rows("SPY", {**INFO, "regularMarketTime": None}, COMPLETED)
    assert rows == ([], [], ["fund facts (the quote has no time)"])


def test_a_price_of_an_open_session_makes_no_multiple() -> None:
    facts, multiples, missing = fund_rows("SPY", INFO, COMPLETED[:-1])
    assert [row.session for row in facts] == ["2026-02-03"]
    assert multiples == []
    assert missing == ["trailingPE", "yield"]


def test_a_quote_before_all_history_gives_no_facts() -> None:
    facts, _, missing = fund_rows("SPY", INFO, pd.DatetimeIndex(["2026-02-04"]))
    assert facts == []
    assert missing == []


def test_a_bar_without_a_close_that_can_be_is_left_out() -> None:
    closes = [100.0, float("nan"), float("inf"), 0.0, -1.0, 101.5, 102.25, 103.0]
    frame = pd.DataFrame(dict.fromkeys(("Open", "High", "Low", "Close"), closes), index=COMPLETED)
    rows = bar_rows("IWM", frame.assign(Volume=1), {}, COMPLETED[:-1])
    expected = {"2026-01-26": 100.0, "2026-02-02": 101.5, "2026-02-03": 102.25}
    assert {row.session: row.close for row in rows} == expected


def test_an_open_that_is_missing_leaves_the_close_standing() -> None:
    values = {"Open": [float("nan")], "High": [1.0], "Low": [1.0], "Close": [1.0]}
    [row] = bar_rows("IWM", pd.DataFrame(values, index=COMPLETED[:1]).assign(Volume=0), {}, COMPLETED)
    assert (row.open, row.close) == (None, 1.0)
