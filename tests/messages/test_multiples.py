from dataclasses import replace

import msgspec
import pandas as pd
import pytest

from bot.analytics import valuation
from bot.analytics.companies import HOLDING_COLUMNS, QUOTE_COLUMNS, fund_sums
from bot.analytics.market import SUM_COLUMNS, Market
from bot.analytics.windows import AsOf
from bot.messages.canvas import LIGHT
from bot.messages.common import multiple_line, percentile_text
from bot.messages.pages.multiples import kinds, multiples_answer
from tests.messages.pages import days, drawing, market, shown
from tests.sample_market import sample_market

ADVICE = (
    "A P/E with losses included (IWM in December 2020: about 75x) is added up from the companies or "
    "imported: python -m bot import multiples FILE --ticker IWM"
)
PE = [("2020-01-03", "IWM", "pe", 25.0), ("2020-01-03", "SPY", "pe", 20.0)]


def multiples(of: Market, kind: str = "") -> list[str]:
    return shown(multiples_answer(of, AsOf(), LIGHT, kind))


def test_a_convention_with_its_age_and_advice_how_to_get_the_losses_in() -> None:
    assert multiples(market([50.0] * 5, multiples=PE)) == [
        "IWM costs 25% more than SPY by P/E · Wed 8 Jan 2020",
        "Profitable companies only, trailing; of 3 Jan 2020 (3 sessions old).",
        "       IWM    SPY  premium",
        "P/E  25.0x  20.0x   +25.0%",
        "P/E premium: no history of both funds to rank it in yet.",
        "Source: CSV import; price date not stated.",
    ]


@pytest.mark.parametrize(
    ("large", "costs"), [(25.0, "about as much as"), (25.1, "about as much as"), (25.3, "1% less than")]
)
def test_a_premium_of_no_percent_is_neither_more_nor_less(large: float, costs: str) -> None:
    figures = [("2020-01-08", "IWM", "pe", 25.0), ("2020-01-08", "SPY", "pe", large)]
    assert multiples(market([50.0] * 5, multiples=figures))[0].startswith(f"IWM costs {costs} SPY by P/E · ")


def test_no_premium_is_formed_across_dates() -> None:
    figures = [PE[0], ("2020-01-08", "SPY", "pe", 20.0), ("2020-01-08", "IWM", "yield", 1.2)]
    lines = multiples(market([50.0] * 5, multiples=figures))
    assert lines[1:5] == [
        (
            "Profitable companies only, trailing; P/E: IWM of 3 Jan 2020 (3 sessions old); SPY of 8 Jan 2020 "
            "(no premium across dates). Yield: IWM of 8 Jan 2020; SPY n/a (no premium across dates)."
        ),
        "         IWM    SPY  premium",
        "P/E    25.0x  20.0x      n/a",
        "Yield  1.20%    n/a      n/a",
    ]


def test_every_premium_is_that_of_the_analytics() -> None:
    of = sample_market(2019, 6, 30)
    lines = multiples(of)
    for figure in valuation.multiple_figures(of):
        name = valuation.MULTIPLES[figure.metric]
        cells = next(line for line in lines if line.startswith(f"{name} ") and "premium:" not in line).split()
        assert figure.premium is not None
        if figure.metric in {"earnings_yield", "loss_share"}:  # shares differ by points
            points = (figure.small.value or 0) - (figure.large.value or 0)
            assert cells[-1] == f"{points:+.1f}pp".replace("-", "−")
            continue
        assert cells[3] == f"{figure.premium:+.1f}%".replace("-", "−")
        assert f"{name} {percentile_text(figure.percentile or 0)}" in next(
            line for line in lines if line.startswith("Premium percentiles: ")
        )


def with_companies(eps: float, unknown: int = 1) -> Market:
    """IWM with one company that earns $4 a share of $20 beside nine that earn `eps`, and some unknown."""
    held = pd.DataFrame(
        [(f"C{n}", f"C{n} Inc", 10.0, 20.0, None, 1.0) for n in range(10 + unknown)], columns=list(HOLDING_COLUMNS)
    )
    quotes = [
        (4.0 if n == 0 else eps, 1.0, 10.0, 1e6, 2e7, 20.0, 5.0, "USD", "USD", "EQUITY", f"C{n}") for n in range(10)
    ]
    sums = fund_sums(held, pd.DataFrame(quotes, [f"C{n}" for n in range(10)], columns=list(QUOTE_COLUMNS)))
    rows = [
        {"session": pd.Timestamp("2020-01-08"), "ticker": "IWM", "metric": metric, "convention": convention}
        | {"basis": basis, "value": value, "source": "companies", "coverage": coverage}
        | {"holdings_date": "2020-01-07", "price_date": "2020-01-08"}
        for metric, convention, basis, value, coverage in sums.figures()
    ]
    stored = [("IWM", pd.Timestamp("2020-01-08"), msgspec.json.encode(sums).decode())]
    return replace(
        market([50.0] * 5),
        multiples=pd.DataFrame(rows).astype({"value": "float64"} if rows else {}),
        company_sums=pd.DataFrame(stored, columns=list(SUM_COLUMNS)),
    )


def test_what_the_companies_add_up_to_leads_and_names_who_earns_most() -> None:
    lines = multiples(with_companies(0.2))
    assert lines[1:11] == [
        "Losses included, trailing; IWM prices of 8 Jan 2020; SPY n/a (no premium across dates).",
        "                 IWM SPY premium",
        "P/E            34.5x n/a     n/a",
        "P/B            2.00x n/a     n/a",
        "Earnings yield 2.90% n/a     n/a",
        "Loss-makers     0.0% n/a     n/a",
        "P/E, each P/E capped at 60: IWM 28.6x, SPY n/a.",
        "P/E, profitable companies only: IWM 34.5x, SPY n/a.",
        "P/E, P/B premium: no history of both funds to rank it in yet.",
        "IWM, 8 Jan 2020: 10 of 11 companies, 91% of weight; without C0 100.0x.",
    ]
    assert lines[11:14] == [
        "Left out: 1 no quote.",
        "Earn most, of all profits: C0 69%, C1 3%, C2 3%, C3 3%, C4 3%.",
        "Most websites leave losses out, so their P/E is lower.",
    ]
    assert lines[-1] == "Source: companies (Yahoo); holdings of 7 Jan 2020; coverage 91%."


def test_shares_are_of_all_profits_and_of_all_losses_whatever_is_left_of_them() -> None:
    for eps in (-0.4, -1.0):  # together they earn $4 a share, less 9 x 0.4 or 9 x 1
        lines = multiples(with_companies(eps))
        assert "Earn most, of all profits: C0 100%." in lines
        assert "Lose most, of all losses: C1 11%, C2 11%, C3 11%, C4 11%, C5 11%." in lines


@pytest.mark.parametrize(
    ("count", "line"),
    [
        (19, "Premium percentiles: P/E (n = 19 since 2 Jan 2020; shown from 20)."),
        (20, "Premium percentiles: P/E 100 (n = 20 since 2 Jan 2020)."),
    ],
)
def test_a_percentile_is_shown_among_20_values(count: int, line: str) -> None:
    figures = [
        (f"{day:%Y-%m-%d}", ticker, "pe", 20.0 + (number if ticker == "IWM" else 0))
        for number, day in enumerate(days(count))
        for ticker in ("IWM", "SPY")
    ]
    assert line in multiples(market([50.0] * count, multiples=figures))


def test_the_line_of_other_pages_leads_with_it_too() -> None:
    assert multiple_line(with_companies(0.2)).startswith("P/E (losses included, trailing): IWM 34.5x (8 Jan), SPY n/a")
    assert multiple_line(with_companies(-1.0)).startswith("P/E (losses included, trailing): IWM n/m (8 Jan)")


def test_too_few_companies_have_no_figure_and_it_is_said() -> None:
    of = with_companies(0.2, unknown=10)
    assert not len(of.multiples)
    rows = market([50.0] * 5, multiples=PE).multiples
    lines = multiples(replace(of, multiples=rows))
    assert "IWM: no figure, its companies with earnings are 50% of weight (needed: 60%)." in lines


def test_together_no_earnings_are_not_meaningful() -> None:
    lines = multiples(with_companies(-1.0))
    assert "P/E               n/m n/a     n/a" in lines
    assert "Earnings yield −2.50% n/a     n/a" in lines
    assert "n/m: not meaningful, all companies together earn nothing; see Earnings yield." in lines


def test_conventions_are_kept_apart() -> None:
    of = sample_market()
    rows = of.multiples.tail(2)
    capped = rows.assign(metric="pe", convention="capped", basis="unstated", value=[30.0, 20.0])
    both = replace(of, multiples=pd.concat([of.multiples, capped]))
    assert kinds(both) == ["losses in forward", "capped"]
    assert multiples(both)[2].startswith("Losses included, forward; ")
    assert multiples(both, "capped")[2].startswith("Each P/E capped at 60, basis unstated; ")
    assert ADVICE not in multiples(both, "capped")


def test_what_a_figure_was_computed_from_is_told() -> None:
    of = market([50.0] * 5, multiples=PE)
    columns = {"holdings_date": ["2019-12-31", None], "price_date": [None, None], "coverage": [0.97, 0.985]}
    assert "Source: CSV import; holdings of 31 Dec 2019; coverage 97%; price date not stated." in multiples(
        replace(of, multiples=of.multiples.assign(**columns))
    )


@pytest.mark.parametrize(
    ("small", "large", "dated", "source"),
    [
        ("2020-01-06", "2020-01-06", "of 7 Jan 2020, prices of 6 Jan 2020 (2 sessions old).", "CSV import."),
        (
            "2020-01-07",
            "2020-01-06",
            ("IWM prices of 7 Jan 2020 (1 session old); SPY of 7 Jan 2020, prices of 6 Jan 2020 (2 sessions old)."),
            "CSV import.",
        ),
        (None, None, "of 7 Jan 2020 (1 session old).", "CSV import; price date not stated."),
        (
            "2020-01-07",
            None,
            "IWM prices of 7 Jan 2020 (1 session old); SPY of 7 Jan 2020 (1 session old).",
            "CSV import; some price dates not stated.",
        ),
    ],
)
def test_the_date_of_the_prices_stands_beside_that_of_the_figure_where_they_differ(
    small: str | None, large: str | None, dated: str, source: str
) -> None:
    of = market([50.0] * 5, multiples=[("2020-01-07", *figure[1:]) for figure in PE])
    lines = multiples(replace(of, multiples=of.multiples.assign(price_date=[small, large])))
    assert lines[1] == f"Profitable companies only, trailing; {dated}"
    assert "+25.0%" in lines[3]
    assert f"Source: {source}" in lines


def test_histories_of_different_lengths_are_told_apart() -> None:
    more = [("2020-01-06", ticker, metric, 20.0) for ticker in ("IWM", "SPY") for metric in ("pe", "pb")]
    lines = multiples(market([50.0] * 5, multiples=[*PE, *more]))
    assert "Premium percentiles: P/E (n = 2 since 3 Jan 2020; shown from 20)." in lines
    assert "P/B premium: no history of both funds to rank it in yet." in lines


def test_undated_figures_that_repeat_are_told_as_of_their_last_change() -> None:
    figures = [(f"{day:%Y-%m-%d}", t, "pe", 20.0 + (n > 1)) for n, day in enumerate(days(5)) for t in ("IWM", "SPY")]
    of = market([50.0, 51.0, 52.0, 53.0, 54.0], multiples=figures)
    of = replace(of, multiples=of.multiples.assign(convention="morningstar", source="yahoo", basis="unstated"))
    of = replace(of, prices=of.prices.assign(SPY=of.prices["IWM"] * 2))
    lines = multiples(of)
    assert lines[1].endswith("; of 6 Jan 2020 (2 sessions old).")
    assert "the same figures until 8 Jan 2020, so they are as of their last change." in lines[-1]
    line = multiple_line(of)
    assert line.endswith("IWM 21.0x, SPY 21.0x; premium 0%, close of Mon 6 Jan 2020, 2 sessions old.")


def test_there_is_a_chart_once_there_is_a_line() -> None:
    figures = [(f"{day:%Y-%m-%d}", ticker, "pe", 20.0) for day in days(2) for ticker in ("IWM", "SPY")]
    single, several = (
        multiples_answer(market([50.0] * 5, multiples=rows), AsOf(), LIGHT) for rows in (figures[:2], figures)
    )
    assert single.draw is None
    assert drawing(several).args[1].title == "P/E premium of IWM over SPY, profitable companies only"
