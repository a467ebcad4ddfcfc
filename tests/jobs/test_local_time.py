"""Local times as instants, one for every local date that exists, wherever clocks are changed; quiet hours."""

import datetime as dt
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.jobs.summaries import due_instant, quiet_until
from tests.timesweep import DAY, DAYS, FIRST, QUARTERS, shows_due_time

BERLIN, NEW_YORK, APIA = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York"), ZoneInfo("Pacific/Apia")


@lru_cache(maxsize=1)
def changing() -> dict[str, list[dt.date]]:
    """UTC dates on which a zone's offset changes; of zones that change alike, one."""
    zones: dict[tuple[object, ...], tuple[str, list[dt.date]]] = {}
    days = [FIRST + DAY * number for number in range(DAYS)]
    for name in sorted(available_timezones()):
        zone = ZoneInfo(name)
        offsets = [dt.datetime.combine(day, dt.time(12), dt.UTC).astimezone(zone).utcoffset() for day in days]
        changes = [day for day, old, new in zip(days[1:], offsets, offsets[1:], strict=False) if old != new]
        zones.setdefault(tuple(offsets), (name, changes))
    return dict(zones.values())


def check(day: dt.date, at: str, zone: ZoneInfo) -> dt.datetime:
    """The due instant, held against its definition."""
    instant = due_instant(day, at, zone)
    assert instant is not None, f"no instant for {day} {at} in {zone}"
    assert shows_due_time(instant, dt.datetime.combine(day, dt.time.fromisoformat(at)), zone)
    return instant


def test_every_zone_has_one_due_instant_a_day_around_its_changes() -> None:
    zones = changing()
    assert len(zones) > 50
    assert {"Africa/Casablanca", "Antarctica/Troll", "Australia/LHI", "America/Nuuk"} & set(zones)
    for name, changes in zones.items():
        zone = ZoneInfo(name)
        for change in changes:
            for at in QUARTERS[::2]:  # all of them: python -m tests.timesweep
                instants = [check(change + DAY * offset, at, zone) for offset in (-1, 0, 1)]
                assert instants == sorted(set(instants))


@given(
    st.dates(dt.date(1950, 1, 2), dt.date(2037, 12, 30)),
    st.sampled_from(QUARTERS),
    st.sampled_from(sorted(available_timezones())),
)
def test_the_due_instant_of_any_day_is_as_defined(day: dt.date, at: str, name: str) -> None:
    zone = ZoneInfo(name)
    if due_instant(day, at, zone) is None:
        noon = dt.datetime.combine(day, dt.time(12))
        gap = noon.replace(tzinfo=zone).astimezone(dt.UTC).astimezone(zone)
        assert gap.date() != day  # not even noon exists
    else:
        check(day, at, zone)


@pytest.mark.parametrize(
    ("day", "at", "zone", "instant"),
    [
        ("2026-01-15", "18:30", "America/New_York", "2026-01-15T23:30"),
        ("2026-03-08", "02:30", "America/New_York", "2026-03-08T07:00"),  # a gap: 03:00 is the first
        ("2026-11-01", "01:30", "America/New_York", "2026-11-01T05:30"),  # a fold: the first 01:30
        ("2026-10-04", "02:15", "Australia/Lord_Howe", "2026-10-03T15:30"),  # a gap of half an hour
        ("2026-03-29", "00:30", "Asia/Beirut", "2026-03-28T22:00"),  # there is no midnight
        ("1919-03-30", "23:45", "America/Toronto", "1919-03-31T04:30"),  # a gap over midnight
        ("1919-03-31", "00:15", "America/Toronto", "1919-03-31T04:30"),
        ("2026-05-05", "06:00", "Asia/Kathmandu", "2026-05-05T00:15"),
    ],
)
def test_gaps_have_their_end_and_folds_their_first_time(day: str, at: str, zone: str, instant: str) -> None:
    due = dt.datetime.fromisoformat(f"{instant}+00:00")
    assert due_instant(dt.date.fromisoformat(day), at, ZoneInfo(zone)) == due


@pytest.mark.parametrize(("day", "zone"), [("2011-12-30", "Pacific/Apia"), ("1993-08-21", "Pacific/Kwajalein")])
def test_a_date_that_a_country_left_out_has_none(day: str, zone: str) -> None:
    missing = dt.date.fromisoformat(day)
    for at in QUARTERS:
        assert due_instant(missing, at, ZoneInfo(zone)) is None
        for beside in (missing - DAY, missing + DAY):
            check(beside, at, ZoneInfo(zone))


def local(text: str, zone: ZoneInfo = BERLIN, fold: int = 0) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).astimezone(dt.UTC)


@pytest.mark.parametrize(
    ("start", "end", "at", "until"),
    [
        ("22:00", "07:00", "2020-12-11 21:59:59", None),  # past midnight
        ("22:00", "07:00", "2020-12-11 22:00", "2020-12-12 07:00"),
        ("22:00", "07:00", "2020-12-12 00:00", "2020-12-12 07:00"),
        ("22:00", "07:00", "2020-12-12 06:59:59", "2020-12-12 07:00"),
        ("22:00", "07:00", "2020-12-12 07:00", None),
        ("13:00", "14:30", "2020-12-11 12:59", None),  # within a day
        ("13:00", "14:30", "2020-12-11 13:00", "2020-12-11 14:30"),
        ("13:00", "14:30", "2020-12-11 14:29", "2020-12-11 14:30"),
        ("13:00", "14:30", "2020-12-11 14:30", None),
        (None, None, "2020-12-11 22:00", None),  # no two different times
        ("22:00", None, "2020-12-11 22:00", None),
        ("22:00", "22:00", "2020-12-11 22:00", None),
        ("22:00", "02:30", "2021-03-28 01:59", "2021-03-28 03:00"),  # a gap at the end: 02:00 becomes 03:00
        ("22:00", "02:30", "2021-03-28 03:00", None),
        ("02:30", "07:00", "2021-03-28 03:00", "2021-03-28 07:00"),  # a gap at the start
        ("02:30", "07:00", "2021-03-28 01:59", None),
    ],
)
def test_quiet_hours_last_from_their_start_to_their_end(
    start: str | None, end: str | None, at: str, until: str | None
) -> None:
    assert quiet_until(local(at), start, end, BERLIN) == (None if until is None else local(until))


def test_an_end_that_comes_twice_is_the_first_of_both() -> None:
    # 1 November 2020: 02:00 becomes 01:00
    first = local("2020-11-01 01:30", NEW_YORK)
    assert quiet_until(local("2020-11-01 01:10", NEW_YORK), "22:00", "01:30", NEW_YORK) == first
    assert quiet_until(local("2020-11-01 01:10", NEW_YORK, fold=1), "22:00", "01:30", NEW_YORK) is None


def test_a_date_that_never_was_ends_nobodys_quiet_hours() -> None:
    # Samoa went from 29 to 31 December 2011
    until = local("2011-12-31 07:00", APIA)
    assert quiet_until(local("2011-12-29 23:00", APIA), "22:00", "07:00", APIA) == until


TIMES = st.builds(lambda minutes: f"{minutes // 60:02}:{minutes % 60:02}", st.integers(0, 24 * 60 - 1))


@settings(max_examples=100)
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
