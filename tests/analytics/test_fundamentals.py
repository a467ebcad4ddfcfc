from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.analytics.market import MULTIPLE_COLUMNS, Market
from bot.analytics.valuation import (
    ReturnSplit,
    convention_for,
    implied_index,
    implied_per_share,
    margins,
    nearest_figure,
    return_split,
)
from bot.analytics.windows import YTD, Window, parse_window
from tests.analytics.facts import facts_at
from tests.funds import LARGE, SMALL

DAYS = pd.DatetimeIndex(["2019-12-31", "2020-03-31", "2020-06-30", "2020-09-30", "2020-12-11"])
POSITIVE = st.floats(0.1, 1_000)


def row(
    day: str, value: float, metric: str = "pe", ticker: str = SMALL, convention: str = "losses_in"
) -> tuple[object, ...]:
    return (pd.Timestamp(day), ticker, metric, convention, "forward", value, "csv")


def market(*rows: tuple[object, ...], small: tuple[float, ...] = (100.0, 60.0, 80.0, 90.0, 120.0)) -> Market:
    frame = pd.DataFrame(list(rows), columns=list(MULTIPLE_COLUMNS))
    return Market(
        prices=pd.DataFrame({SMALL: small, LARGE: 300.0}, index=DAYS),
        last_completed=DAYS[-1],
        multiples=frame.astype({"session": "datetime64[ns]", "value": "float64"}),
    )


def dated(*rows: tuple[object, ...], prices_of: tuple[str | None, ...]) -> Market:
    """A Market whose multiples state the dates of the prices they were computed from."""
    stored = market(*rows)
    return replace(stored, multiples=stored.multiples.assign(price_date=prices_of))


def test_a_figure_is_implied_by_the_price_that_its_multiple_was_computed_from() -> None:
    stored = dated(
        row("2020-06-30", 20.0),
        row("2020-09-30", 20.0),
        row("2020-12-11", 20.0),
        prices_of=("2020-03-31", None, "2020-10-04"),  # a Sunday: the close before
    )
    assert implied_per_share(stored, SMALL, "pe", "losses_in").to_dict() == {
        DAYS[2]: 3.0,
        DAYS[3]: 4.5,
        DAYS[4]: 4.5,
    }


def test_a_price_date_before_all_sessions_implies_nothing() -> None:
    assert implied_per_share(
        dated(row("2020-06-30", 20.0), prices_of=("1999-03-31",)), SMALL, "pe", "losses_in"
    ).empty


def test_the_split_runs_between_the_prices_behind_the_multiples() -> None:
    stored = dated(row("2019-12-31", 25.0), row("2020-12-11", 30.0), prices_of=(None, "2020-09-30"))
    split = return_split(stored, SMALL, YTD, "losses_in")
    assert isinstance(split, ReturnSplit)
    assert (split.first, split.last) == (DAYS[0], DAYS[3])
    assert split.price == pytest.approx(-10.0)  # 100 to 90, not to the 120 of the end
    assert (1 + split.earnings / 100) * (1 + split.multiple / 100) == pytest.approx(0.9)


@pytest.mark.parametrize("metric", ["pe", "pcf", "pb", "ps"])
def test_an_index_is_100_at_the_base_and_moves_with_price_over_multiple(metric: str) -> None:
    stored = market(
        row("2019-12-31", 25.0, metric), row("2020-06-30", 16.0, metric), row("2020-12-11", 60.0, metric)
    )
    index = implied_index(stored, SMALL, metric, "losses_in", YTD)
    assert index.to_dict() == {DAYS[0]: 100.0, DAYS[2]: 125.0, DAYS[4]: 50.0}
    assert implied_index(stored, SMALL, metric, "losses_in", parse_window("10y")).empty
    assert implied_index(stored, LARGE, metric, "losses_in", YTD).empty


def test_the_articles_rise_with_half_the_earnings_is_a_multiple_that_more_than_doubled() -> None:
    facts = facts_at("2020-12-11")
    earned = 165.67 / 33.3
    multiples = pd.DataFrame(
        [row("2019-12-31", 33.3), row("2020-12-11", 190.30 / (earned * 0.51))], columns=list(MULTIPLE_COLUMNS)
    ).astype({"session": "datetime64[ns]"})
    split = return_split(
        Market(facts.prices, facts.last_completed, multiples=multiples), SMALL, YTD, "losses_in"
    )
    assert isinstance(split, ReturnSplit)
    assert f"{split.price:+.1f} {split.earnings:+.0f} {split.multiple:+.0f}" == "+14.9 -49 +125"
    assert split.convention == "losses_in"
    assert (split.first, split.last) == (DAYS[0], DAYS[-1])
    assert (split.pe_first, round(split.pe_last, 1)) == (33.3, 75.0)


@given(POSITIVE, POSITIVE, POSITIVE, POSITIVE)
def test_the_split_is_exact(before: float, now: float, pe_before: float, pe_now: float) -> None:
    stored = market(
        row("2019-12-31", pe_before), row("2020-12-11", pe_now), small=(before, 1.0, 1.0, 1.0, now)
    )
    split = return_split(stored, SMALL, YTD, "losses_in")
    assert isinstance(split, ReturnSplit)
    logs = [math.log1p(percent / 100) for percent in (split.earnings, split.multiple, split.price)]
    assert logs[0] + logs[1] == pytest.approx(logs[2], abs=1e-6)
    assert split.price == pytest.approx(100 * (now / before - 1), rel=1e-9, abs=1e-9)
    assert split.multiple == pytest.approx(100 * (pe_now / pe_before - 1), rel=1e-9, abs=1e-9)


def test_a_multiple_up_to_a_month_old_stands_for_its_session_and_the_split_runs_between_their_dates() -> None:
    stored = market(row("2020-03-31", 20.0), row("2020-06-30", 30.0))
    split = return_split(
        stored.at(pd.Timestamp("2020-07-31")), SMALL, parse_window("since 2020-05-01"), "losses_in"
    )
    assert isinstance(split, ReturnSplit)
    assert (split.first, split.last) == (DAYS[1], DAYS[2])
    assert split.price == pytest.approx(100 * (80 / 60 - 1))


@pytest.mark.parametrize(
    ("target", "found"),
    [
        ("2020-06-30", "2020-06-30"),
        ("2020-07-31", "2020-06-30"),  # 31 days
        ("2020-08-01", None),
        ("2020-06-29", None),  # 90 days after the one before
        ("2020-01-15", "2019-12-31"),
        ("2019-12-30", None),
    ],
)
def test_the_nearest_figure_is_none_to_come_and_at_most_31_days_old(target: str, found: str | None) -> None:
    expected = None if found is None else pd.Timestamp(found)
    assert nearest_figure(DAYS, pd.Timestamp(target)) == expected


def test_a_split_that_cannot_be_given_says_why() -> None:
    base, end = row("2019-12-31", 33.3), row("2020-12-11", 75.0)
    assert return_split(market(), SMALL, YTD, "losses_in") == "no P/E stored"
    assert return_split(market(base, end), LARGE, YTD, "losses_in") == "no P/E stored"
    assert return_split(market(base, end), SMALL, YTD, "positive") == "no P/E stored"
    later = return_split(market(row("2020-09-30", 61.1), end), SMALL, YTD, "losses_in")
    assert later == "P/E is recorded from 30 Sep 2020"
    old = return_split(market(base, end), SMALL, parse_window("since 2020-09-30"), "losses_in")
    assert old == "no P/E is stored for the 31 days up to 30 Sep 2020"
    ended = return_split(market(base, row("2020-06-30", 52.1)), SMALL, YTD, "losses_in")
    assert ended == "no P/E is stored for the 31 days up to 11 Dec 2020"
    one = return_split(
        market(row("2020-09-30", 61.1)).at(DAYS[3]), SMALL, parse_window("since 2020-09-30"), "losses_in"
    )
    assert one == "no P/E is stored after 30 Sep 2020"


def test_without_prices_for_the_window_there_is_no_split() -> None:
    stored = market(row("2019-12-31", 33.3), row("2020-12-11", 75.0))
    too_long = return_split(stored, SMALL, Window("y", 5), "losses_in")
    assert too_long == "too little price history"
    empty = Market(stored.prices.iloc[:0], DAYS[-1], multiples=stored.multiples)
    assert return_split(empty, SMALL, YTD, "losses_in") == "too little price history"


def test_implied_figures_are_price_over_multiple_where_both_are_stored() -> None:
    stored = market(
        row("2019-12-31", 25.0),
        row("2020-01-02", 26.0),  # no price
        row("2020-06-30", -4.0),  # losses: nothing is implied
        row("2020-09-30", 0.0),
        row("2020-12-11", 60.0),
        row("2020-12-11", 2.0, metric="pb"),
    )
    assert implied_per_share(stored, SMALL, "pe", "losses_in").to_dict() == {DAYS[0]: 4.0, DAYS[4]: 2.0}
    assert implied_per_share(stored, SMALL, "pb", "losses_in").to_dict() == {DAYS[4]: 60.0}
    assert implied_per_share(stored, LARGE, "pe", "losses_in").empty
    alone = Market(stored.prices[[LARGE]], DAYS[-1], multiples=stored.multiples)
    assert implied_per_share(alone, SMALL, "pe", "losses_in").empty


def test_margin_and_return_on_equity_are_of_the_last_session_with_both_multiples() -> None:
    stored = market(
        row("2020-09-30", 50.0),
        row("2020-12-11", 75.0),
        row("2020-12-11", 1.5, metric="ps"),
        row("2020-09-30", 2.0, metric="pb"),
    )
    assert margins(stored, SMALL, "losses_in") == (2.0, 4.0)
    assert margins(stored, LARGE, "losses_in") == (None, None)
    losing = market(row("2020-12-11", -5.0), row("2020-12-11", 1.5, metric="ps"))
    assert margins(losing, SMALL, "losses_in") == (None, None)
    nothing = market(row("2020-12-11", 0.0), row("2020-12-11", 1.5, metric="ps"))
    assert margins(nothing, SMALL, "losses_in") == (None, None)


def test_the_convention_is_that_of_the_newest_figure_then_of_the_longest_history() -> None:
    assert convention_for(market()) is None
    assert convention_for(market(row("2020-12-11", 27.0, ticker=LARGE))) is None
    newest = [row("2020-09-30", 60.0), row("2020-12-11", 25.0, convention="positive")]
    assert convention_for(market(row("2020-06-30", 60.0), *newest)) == "positive"
    longest = [row("2020-12-11", 60.0), row("2020-09-30", 61.0), *newest[1:]]
    assert convention_for(market(*longest)) == "losses_in"
    third = [row("2020-12-11", 18.0, convention="capped") for _ in range(3)]
    assert convention_for(market(*third, *longest)) == "capped"
