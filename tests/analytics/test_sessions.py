from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.analytics.sessions import SETTLE, STALE_AFTER, Sessions
from bot.errors import NoData
from tests.shared_data import market, shared

TODAY = dt.date(2025, 6, 2)
SESSIONS = Sessions(today=TODAY)
INSTANTS = st.datetimes(
    dt.datetime(1993, 1, 6),  # noqa: DTZ001 - the zone is given beside it
    dt.datetime(2026, 5, 1),  # noqa: DTZ001 - as above
    timezones=st.just(dt.UTC),
)
MOMENT = dt.timedelta(microseconds=1)


def session(day: str) -> pd.Timestamp:
    return pd.Timestamp(day)


def utc(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


CLOSED = {
    "Christmas": "2020-12-25 2021-12-24",
    "Independence Day, a Saturday that year": "2020-07-03",
    "Good Friday": "2020-04-10",
    "Juneteenth, a Sunday in its first year": "2022-06-20",
    "the attacks of September 2001": "2001-09-11 2001-09-14",
    "mourning for presidents": "2004-06-11 2018-12-05 2025-01-09",
    "Hurricane Sandy": "2012-10-29",
    "a weekend": "2020-12-12 2020-12-13",
}


def test_the_exchange_is_closed_on_these_days_and_open_on_those() -> None:
    for reason, days in CLOSED.items():
        assert not any(session(day) in SESSIONS.index for day in days.split()), reason
    for day in ("2020-12-11", "2021-12-31", "2020-06-19", "2001-09-17", "1993-01-29"):
        assert session(day) in SESSIONS.index


@pytest.mark.parametrize(
    ("day", "close"),
    [
        ("2020-12-11", "2020-12-11T21:00"),
        ("2020-07-06", "2020-07-06T20:00"),
        ("2020-03-06", "2020-03-06T21:00"),  # the last session before summer time
        ("2020-03-09", "2020-03-09T20:00"),
        ("2020-10-30", "2020-10-30T20:00"),  # ... and before winter time
        ("2020-11-02", "2020-11-02T21:00"),
        ("2020-11-27", "2020-11-27T18:00"),  # the day after Thanksgiving ends at 13:00
        ("2020-12-24", "2020-12-24T18:00"),
        ("2019-07-03", "2019-07-03T17:00"),
    ],
)
def test_closes_are_instants(day: str, close: str) -> None:
    assert SESSIONS.close(session(day)) == utc(close)
    assert SESSIONS.close(session(day)).utcoffset() == dt.timedelta(0)


def test_early_closes() -> None:
    days = pd.DatetimeIndex(["2020-11-27", "2020-12-24", "2019-07-03", "2020-12-11", "2020-07-02", "2020-11-28"])
    assert [SESSIONS.is_early_close(day) for day in days] == [True] * 3 + [False] * 3


@pytest.mark.parametrize(
    ("day", "before"),
    [
        ("2020-12-11", "2020-12-10"),
        ("2020-12-14", "2020-12-11"),  # over a weekend
        ("2020-11-27", "2020-11-25"),  # over a holiday, closing early
        ("2020-03-09", "2020-03-06"),  # over the change to summer time
        ("2001-09-17", "2001-09-10"),
    ],
)
def test_a_session_is_completed_a_quarter_of_an_hour_after_its_close(day: str, before: str) -> None:
    settled = SESSIONS.close(session(day)) + dt.timedelta(minutes=15)
    assert SESSIONS.last_completed(settled) == session(day)
    assert SESSIONS.last_completed(settled + MOMENT) == session(day)
    assert SESSIONS.last_completed(settled - MOMENT) == session(before)


@pytest.mark.parametrize(
    ("now", "last"),
    [
        ("2020-12-13T12:00", "2020-12-11"),
        ("2020-12-14T00:00", "2020-12-11"),
        ("2020-12-25T23:59", "2020-12-24"),
        ("2020-12-12T01:30", "2020-12-11"),  # still the evening of the 11th in New York
        ("2001-09-14T22:00", "2001-09-10"),
        ("2020-11-27T18:15", "2020-11-27"),
        ("2020-11-27T18:14", "2020-11-25"),
    ],
)
def test_the_last_completed_session(now: str, last: str) -> None:
    assert SESSIONS.last_completed(utc(now)) == session(last)


def test_the_same_instant_in_another_zone_gives_the_same_session() -> None:
    now = utc("2020-12-11T21:15")
    for zone in ("Pacific/Kiritimati", "America/New_York", "Pacific/Pago_Pago"):
        assert SESSIONS.last_completed(now.astimezone(ZoneInfo(zone))) == session("2020-12-11")


def test_a_session_is_stale_only_three_hours_after_it_settled() -> None:
    close = SESSIONS.close(session("2020-12-11"))
    assert dt.timedelta(hours=3) == STALE_AFTER - SETTLE
    assert SESSIONS.last_completed(close + STALE_AFTER - MOMENT, STALE_AFTER) == session("2020-12-10")
    assert SESSIONS.last_completed(close + STALE_AFTER, STALE_AFTER) == session("2020-12-11")


@given(INSTANTS)
def test_the_last_completed_session_has_settled_and_the_next_one_has_not(now: dt.datetime) -> None:
    last = SESSIONS.last_completed(now)
    assert SESSIONS.close(last) + SETTLE <= now
    assert SESSIONS.close(SESSIONS.next_after(last)) + SETTLE > now


def test_closures_announced_later_are_no_sessions() -> None:
    closed = Sessions([dt.date(2020, 12, 11), dt.date(2020, 12, 13)], today=TODAY)
    assert session("2020-12-11") not in closed.index
    assert session("2020-12-10") in closed.index
    assert len(closed.index) == len(SESSIONS.index) - 1
    assert closed.last_completed(utc("2020-12-11T22:00")) == session("2020-12-10")
    assert closed.next_after(session("2020-12-10")) == session("2020-12-14")


def test_the_next_session() -> None:
    for day, following in (("2020-12-11", "2020-12-14"), ("2020-12-12", "2020-12-14"), ("2020-12-24", "2020-12-28")):
        assert SESSIONS.next_after(session(day)) == session(following)


def test_sessions_between_two_days_include_both() -> None:
    found = SESSIONS.between(session("2020-12-23"), session("2020-12-28"))
    assert [f"{day:%m-%d}" for day in found] == ["12-23", "12-24", "12-28"]
    assert len(SESSIONS.between(session("2020-12-12"), session("2020-12-13"))) == 0


def test_the_calendar_reaches_a_year_ahead() -> None:
    assert SESSIONS.index[0] == session("1993-01-04")
    assert SESSIONS.index[-1] == session("2026-06-02")
    assert Sessions(today=dt.date(1970, 1, 1)).index[-1] == session("1993-12-31")  # a clock far back has one too
    assert SESSIONS.is_early_close(session("2025-11-28"))


def test_sessions_are_naive_midnights_in_order() -> None:
    index = SESSIONS.index
    assert index.tz is None
    assert index.dtype == "datetime64[ns]"
    assert (index == index.normalize()).all()
    assert index.is_monotonic_increasing
    assert index.is_unique


@pytest.mark.parametrize(
    ("now", "named"),
    [
        ("1993-01-04T21:14", "1993-01-04"),
        ("1970-01-01T00:00", "1970-01-01"),
        ("2026-06-13T00:00", "2026-06-13"),
        ("2100-01-01T00:00", "2100-01-01"),
    ],
)
def test_an_instant_outside_the_calendar_is_named(now: str, named: str) -> None:
    with pytest.raises(NoData) as caught:
        SESSIONS.last_completed(utc(now))
    assert str(caught.value) == f"The calendar of sessions runs from 1993-01-04 to 2026-06-02, not to {named}."


def test_the_days_after_the_last_session_belong_to_it() -> None:
    assert SESSIONS.last_completed(utc("2026-06-12T00:00")) == session("2026-06-02")
    with pytest.raises(NoData, match=r"not to 2026-06-02\.$"):
        SESSIONS.next_after(session("2026-06-02"))


@shared
def test_the_sessions_are_the_days_on_which_the_funds_traded() -> None:
    prices = market().prices
    assert SESSIONS.between(prices.index[0], prices.index[-1]).equals(prices.index)
