from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from bot.analytics.market import MULTIPLE_COLUMNS, Market, Source
from tests.funds import LARGE, SMALL

DAYS = pd.DatetimeIndex(["2020-12-07", "2020-12-08", "2020-12-09", "2020-12-10", "2020-12-11"])
CALENDAR = pd.bdate_range("2020-12-01", "2020-12-31")
NAN = float("nan")


def day(number: int) -> pd.Timestamp:
    return pd.Timestamp(2020, 12, number)


def market() -> Market:
    """A week in which each leg lacks one close, IWM's in the middle and SPY's at the end."""
    rows = [
        (day(8), SMALL, "pe", "losses_in", "trailing", 70.0, "csv"),
        (day(11), SMALL, "pe", "losses_in", "trailing", 75.0, "csv"),
    ]
    return Market(
        prices=pd.DataFrame({LARGE: [1.0, 2.0, 3.0, 4.0, NAN], SMALL: [5.0, NAN, 7.0, 8.0, 9.0]}, index=DAYS),
        last_completed=day(11),
        distributions={SMALL: pd.Series([0.5, 0.25], index=[day(8), day(10)])},
        facts={
            SMALL: pd.DataFrame({"nav": [5.0, 9.0], "shares": [10.0, 11.0], "assets": NAN}, index=[day(7), day(11)])
        },
        multiples=pd.DataFrame(rows, columns=list(MULTIPLE_COLUMNS)),
        weights=pd.DataFrame(
            [(day(10), SMALL, "sector", "Banks", 9.0, "csv")],
            columns=["session", "ticker", "level", "sector", "weight", "source"],
        ),
        sources={"prices": Source("csv", "CSV import"), "facts:IWM": Source("issuer", "issuer file")},
        calendar=CALENDAR,
    )


EMPTY = Market(prices=pd.DataFrame({SMALL: [], LARGE: []}, index=pd.DatetimeIndex([])), last_completed=day(11))


def test_the_pair_is_what_both_legs_have_and_nothing_filled() -> None:
    assert market().closes.to_dict("list") == {SMALL: [5.0, 7.0, 8.0], LARGE: [1.0, 3.0, 4.0]}
    assert list(market().closes.index) == [day(7), day(9), day(10)]
    assert list(market().closes.columns) == [SMALL, LARGE]


def test_the_end_is_the_last_session_of_both_funds() -> None:
    assert market().end == day(10)
    assert EMPTY.end is None
    alone = replace(market(), prices=market().prices[[SMALL]])
    assert alone.end is None
    assert alone.closes.empty
    assert list(alone.closes.columns) == [SMALL, LARGE]


def test_missing_are_the_completed_sessions_since_the_first_common_one_without_both_closes() -> None:
    assert list(market().missing) == [day(8), day(11)]
    later = replace(market(), last_completed=day(15))
    assert list(later.missing) == [day(8), day(11), day(14), day(15)]
    assert list(replace(market(), last_completed=day(9)).missing) == [day(8)]


def test_nothing_is_missing_before_there_are_prices() -> None:
    assert list(EMPTY.missing) == []
    assert list(replace(EMPTY, calendar=CALENDAR).missing) == []


@pytest.mark.parametrize(
    ("session", "last", "behind"),
    [
        (11, 11, 0),
        (10, 11, 1),
        (7, 11, 4),
        (11, 14, 1),  # over a weekend
        (11, 13, 0),  # as of a Sunday
        (14, 11, 0),  # never less than none
        (5, 7, 1),  # a date between sessions
    ],
)
def test_age_is_counted_in_sessions(session: int, last: int, behind: int) -> None:
    assert replace(market(), last_completed=day(last)).sessions_behind(day(session)) == behind


def test_without_a_calendar_sessions_are_those_with_a_price() -> None:
    bare = replace(market(), calendar=None)
    assert list(bare.sessions) == list(DAYS)
    assert list(bare.missing) == [day(8), day(11)]
    assert bare.sessions_behind(day(8)) == 3


def test_as_of_a_session_nothing_later_is_left() -> None:
    cut = market().at(day(9))
    assert cut.prices.index[-1] == day(9)
    assert cut.end == day(9)
    assert cut.last_completed == day(9)
    assert cut.anchor == day(9)
    assert cut.distributions_of(SMALL).to_dict() == {day(8): 0.5}
    assert list(cut.fund(SMALL).index) == [day(7)]
    assert list(cut.multiples["value"]) == [70.0]
    assert cut.weights.empty
    assert cut.sessions.equals(CALENDAR)
    assert cut.sources == market().sources


def test_as_of_a_session_its_own_figures_are_in() -> None:
    assert list(market().at(day(8)).multiples["value"]) == [70.0]
    assert len(market().at(day(10)).weights) == 1
    assert market().at(day(8)).distributions_of(SMALL).to_dict() == {day(8): 0.5}
    assert list(market().at(day(7)).fund(SMALL).index) == [day(7)]


@pytest.mark.parametrize(
    ("last", "asof", "calendar", "completed"),
    [
        (11, 13, CALENDAR, 11),  # a Sunday: the last session before it
        (18, 13, CALENDAR, 11),
        (18, 14, CALENDAR, 14),
        (18, 13, None, 11),
        (11, 31, CALENDAR, 11),  # a date to come
    ],
)
def test_as_of_a_day_the_last_completed_session_is_not_after_it(
    last: int, asof: int, calendar: pd.DatetimeIndex | None, completed: int
) -> None:
    cut = replace(market(), last_completed=day(last), calendar=calendar).at(day(asof))
    assert (cut.anchor, cut.last_completed, cut.end) == (day(asof), day(completed), day(10))
    assert cut.sessions_behind(day(10)) == (1 if completed == 11 else 2)


def test_as_of_a_date_before_history_nothing_is_left() -> None:
    for cut in (market().at(pd.Timestamp("2019-01-01")), EMPTY.at(day(9))):
        assert cut.end is None
        assert cut.fund(SMALL).empty
        assert cut.distributions_of(SMALL).empty
        assert cut.multiples.empty
        assert cut.weights.empty


def test_what_is_not_stored_is_empty_and_has_no_source() -> None:
    assert list(market().fund(LARGE).columns) == ["nav", "shares", "assets"]
    assert market().fund(LARGE).empty
    assert market().distributions_of(LARGE).empty
    assert market().source("facts:SPY") == Source("none", "no data")
    assert market().source("prices").label == "CSV import"


def test_one_part_of_sample_data_makes_a_sample() -> None:
    assert not market().is_sample
    mixed = {**market().sources, "multiples": Source("sample", "sample data")}
    assert replace(market(), sources=mixed).is_sample


def test_markets_are_told_apart_by_identity() -> None:
    one = market()
    assert one != market()
    assert len({one, one, market()}) == 2
