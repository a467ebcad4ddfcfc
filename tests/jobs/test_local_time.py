from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.jobs.summaries import quiet_until

BERLIN, NEW_YORK, APIA = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York"), ZoneInfo("Pacific/Apia")


def local(text: str, zone: ZoneInfo = BERLIN, fold: int = 0) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).astimezone(dt.UTC)


@pytest.mark.parametrize(
    ("at", "until"),
    [
        ("2020-12-11 21:59:59", None),
        ("2020-12-11 22:00", "2020-12-12 07:00"),
        ("2020-12-12 00:00", "2020-12-12 07:00"),
        ("2020-12-12 06:59:59", "2020-12-12 07:00"),
        ("2020-12-12 07:00", None),
    ],
)
def test_quiet_hours_may_run_past_midnight(at: str, until: str | None) -> None:
    found = quiet_until(local(at), "22:00", "07:00", BERLIN)
    assert found == (None if until is None else local(until))


@pytest.mark.parametrize(
    ("at", "until"), [("12:59", None), ("13:00", "14:30"), ("14:29", "14:30"), ("14:30", None)]
)
def test_quiet_hours_may_lie_within_a_day(at: str, until: str | None) -> None:
    found = quiet_until(local(f"2020-12-11 {at}"), "13:00", "14:30", BERLIN)
    assert found == (None if until is None else local(f"2020-12-11 {until}"))


@pytest.mark.parametrize(("start", "end"), [(None, None), ("22:00", None), ("22:00", "22:00")])
def test_without_two_different_times_no_hour_is_quiet(start: str | None, end: str | None) -> None:
    assert quiet_until(local("2020-12-11 22:00"), start, end, BERLIN) is None


def test_an_end_that_the_clocks_skip_is_the_first_instant_after_the_gap() -> None:
    # 28 March 2021: 02:00 becomes 03:00
    assert quiet_until(local("2021-03-28 01:59"), "22:00", "02:30", BERLIN) == local("2021-03-28 03:00")
    assert quiet_until(local("2021-03-28 03:00"), "22:00", "02:30", BERLIN) is None


def test_a_start_that_the_clocks_skip_is_the_first_instant_after_the_gap() -> None:
    assert quiet_until(local("2021-03-28 03:00"), "02:30", "07:00", BERLIN) == local("2021-03-28 07:00")
    assert quiet_until(local("2021-03-28 01:59"), "02:30", "07:00", BERLIN) is None


def test_an_end_that_comes_twice_is_the_first_of_both() -> None:
    # 1 November 2020: 02:00 becomes 01:00
    first = local("2020-11-01 01:30", NEW_YORK)
    assert quiet_until(local("2020-11-01 01:10", NEW_YORK), "22:00", "01:30", NEW_YORK) == first
    assert quiet_until(local("2020-11-01 01:10", NEW_YORK, fold=1), "22:00", "01:30", NEW_YORK) is None


def test_a_date_that_never_was_ends_nobodys_quiet_hours() -> None:
    # Samoa went from 29 to 31 December 2011
    found = quiet_until(local("2011-12-29 23:00", APIA), "22:00", "07:00", APIA)
    assert found == local("2011-12-31 07:00", APIA)


TIMES = st.builds(lambda minutes: f"{minutes // 60:02}:{minutes % 60:02}", st.integers(0, 24 * 60 - 1))


@settings(max_examples=200)
@given(
    st.integers(0, 3 * 365 * 24 * 60),
    TIMES,
    TIMES,
    st.sampled_from([BERLIN, NEW_YORK, ZoneInfo("Asia/Kathmandu"), ZoneInfo("Australia/Lord_Howe")]),
)
def test_quiet_hours_always_end_within_a_day_and_are_over_then(
    minute: int, start: str, end: str, zone: ZoneInfo
) -> None:
    instant = dt.datetime(2019, 1, 1, tzinfo=dt.UTC) + dt.timedelta(minutes=minute)
    until = quiet_until(instant, start, end, zone)
    if until is not None:
        assert instant < until <= instant + dt.timedelta(hours=25)
        assert quiet_until(until, start, end, zone) is None
