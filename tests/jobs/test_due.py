"""Local times to instants: one for every local date that exists, wherever the clocks are changed."""

from __future__ import annotations

import datetime as dt
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.jobs.summaries import due_instant

QUARTERS = [f"{hour:02d}:{minute:02d}" for hour in range(24) for minute in (0, 15, 30, 45)]
FIRST, DAYS = dt.date(2025, 1, 1), 730
DAY, SECOND = dt.timedelta(days=1), dt.timedelta(seconds=1)


@lru_cache(maxsize=1)
def changing() -> dict[str, list[dt.date]]:
    """UTC dates on which a zone's offset changes; of zones that change alike, one."""
    found: dict[tuple[object, ...], tuple[str, list[dt.date]]] = {}
    days = [FIRST + DAY * number for number in range(DAYS)]
    for name in sorted(available_timezones()):
        zone = ZoneInfo(name)
        offsets = [dt.datetime.combine(day, dt.time(12), dt.UTC).astimezone(zone).utcoffset() for day in days]
        changes = [day for day, old, new in zip(days[1:], offsets, offsets[1:], strict=False) if old != new]
        found.setdefault(tuple(offsets), (name, changes))
    return dict(found.values())


def check(day: dt.date, at: str, zone: ZoneInfo) -> dt.datetime:
    """The due instant, held against its definition."""
    found = due_instant(day, at, zone)
    assert found is not None, f"no instant for {day} {at} in {zone}"
    wanted = dt.datetime.combine(day, dt.time.fromisoformat(at))
    local = found.astimezone(zone)
    if local.replace(tzinfo=None) == wanted:
        assert local.fold == 0
    else:  # a gap: the first instant after it
        before = (found - SECOND).astimezone(zone)
        assert before.replace(tzinfo=None) < wanted < local.replace(tzinfo=None)
    return found


def test_every_zone_has_one_due_instant_a_day_around_its_changes() -> None:
    zones = changing()
    assert len(zones) > 50
    assert {"Africa/Casablanca", "Antarctica/Troll", "Australia/LHI", "America/Nuuk"} & set(zones)
    for name, changes in zones.items():
        zone = ZoneInfo(name)
        for change in changes:
            for at in QUARTERS:
                instants = [check(change + DAY * offset, at, zone) for offset in (-2, -1, 0, 1)]
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
    found = due_instant(dt.date.fromisoformat(day), at, ZoneInfo(zone))
    assert found == dt.datetime.fromisoformat(f"{instant}+00:00")


@pytest.mark.parametrize(
    ("day", "zone"), [("2011-12-30", "Pacific/Apia"), ("1993-08-21", "Pacific/Kwajalein")]
)
def test_a_date_that_a_country_left_out_has_none(day: str, zone: str) -> None:
    missing = dt.date.fromisoformat(day)
    for at in QUARTERS:
        assert due_instant(missing, at, ZoneInfo(zone)) is None
        for beside in (missing - DAY, missing + DAY):
            check(beside, at, ZoneInfo(zone))
