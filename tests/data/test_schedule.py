from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from msgspec.structs import replace

from bot.analytics.sessions import Sessions
from bot.data import schedule
from bot.data.provider import (
    AccessRefused,
    Empty,
    FetchOutcome,
    NetworkDown,
    RateLimited,
    SchemaChanged,
    observations_of,
)
from storage.observations import add
from storage.records import Bar, Split
from storage.sources import IMPORTED, SourceStatus
from tests.data.statuses import source_status

if TYPE_CHECKING:
    import sqlite_utils

    from storage.sources import SourceStatus


SESSIONS = Sessions()
NOW = dt.datetime(2020, 12, 11, 21, 30, tzinfo=dt.UTC)  # a quarter of an hour after Friday counts
LAST = "2020-12-11"


def _row(
    minutes_ago: float, failures: int = 0, last_session: str | None = "2020-12-10", **values: object
) -> SourceStatus:
    tried = NOW - dt.timedelta(minutes=minutes_ago)
    return source_status(
        **{
            "last_session": last_session,
            "failures": failures,
            "last_attempt": f"{tried:%Y-%m-%dT%H:%M:%SZ}",
            "last_success": None,
            **values,
        }
    )


def _due(row: SourceStatus | None, now: dt.datetime = NOW) -> bool:
    return schedule.next_fetch(row, SESSIONS, now) <= now


@pytest.mark.parametrize(("failures", "pause"), [(1, 5), (2, 10), (3, 20), (4, 30), (5, 30), (10_000, 30)])
def test_the_pause_doubles_with_each_failure_up_to_half_an_hour(failures: int, pause: int) -> None:
    assert not _due(_row(pause - 1, failures))
    assert _due(_row(pause, failures, last_session=None))


# Friday's prices; Thursday's file, which is expected after Friday's close.
PRICES: dict[str, Any] = {}
FILE: dict[str, Any] = {"last_session": LAST, "subject": "IWM fund", "missing": "2020-12-10"}


@pytest.mark.parametrize(
    ("late", "pauses"),
    [
        (PRICES, {0: 5, 20: 5, 60: 15, 240: 60, 1440: 360, 3600: 360}),
        (FILE, {0: 30, 60: 30, 240: 60, 1440: 360, 3600: 360}),
    ],
)
def test_the_pause_grows_with_what_is_late(late: dict[str, Any], pauses: dict[int, int]) -> None:
    for after, pause in pauses.items():
        tried = dt.datetime(2020, 12, 11, 21, 15, tzinfo=dt.UTC) + dt.timedelta(minutes=after)
        row = _row(0, **late, last_attempt=f"{tried:%Y-%m-%dT%H:%M:%SZ}")
        assert not _due(row, tried + dt.timedelta(minutes=pause - 1))
        assert _due(row, tried + dt.timedelta(minutes=pause))


HAD = _row(0, last_session=LAST)
DROPPED: dict[str, Any] = {"last_session": LAST, "missing": "2020-12-03 2020-12-10"}
RESTS = "2020-12-12T02:30:00Z"


@pytest.mark.parametrize(
    ("row", "now", "due"),
    [
        (None, "2020-12-11 21:30", True),  # never asked
        (_row(600, last_session=LAST), "2020-12-11 21:30", False),  # had, however long ago
        (HAD, "2020-12-14 21:14:59", False),  # a session counts a quarter of an hour after its close
        (HAD, "2020-12-14 21:15", True),
        (_row(20), "2020-12-11 21:30", True),  # a session was completed since the last try
        (_row(20, missing="2020-12-04"), "2020-12-11 21:30", True),
        (_row(0, **DROPPED), "2020-12-12 03:29", False),  # a dropped one is asked for with long pauses
        (_row(0, **DROPPED), "2020-12-12 03:30", True),
        (_row(0, 1, **DROPPED), "2020-12-12 03:29", False),
        (_row(-60), "2020-12-11 21:30", True),  # an attempt in the future holds nothing up
        (_row(60, 1, rests_until=RESTS, **FILE), "2020-12-12 02:29", False),
        (_row(60, 1, rests_until=RESTS, **FILE), "2020-12-12 02:30", True),
        (_row(60, 1, rests_until=RESTS), "2020-12-12 02:29", False),
        (_row(60, 1, rests_until=RESTS), "2020-12-12 02:30", True),
        (_row(60, 1, rests_until=RESTS), "2020-12-11 20:29", False),
        (_row(60, 1, rests_until="2031-01-01T00:00:00Z"), "2020-12-11 21:30", True),  # by a wrong clock
    ],
)
def test_what_is_due(row: SourceStatus | None, now: str, *, due: bool) -> None:
    assert _due(row, dt.datetime.fromisoformat(f"{now}+00:00")) == due


@pytest.mark.parametrize(
    ("outcome", "source", "breaker", "rest"),  # minutes
    [
        *((RateLimited(wait), "yahoo", 15, None) for wait in (None, 0.0, 60.0)),
        (RateLimited(1200.0), "yahoo", 20, None),
        (RateLimited(9e9), "yahoo", 24 * 60, None),
        *((outcome, "issuer", None, None) for outcome in (Empty(), NetworkDown("x"), SchemaChanged("x"))),
        (AccessRefused("HTTP 403"), "daily-csv", None, 6 * 60),
        (AccessRefused("HTTP 403"), "issuer", None, 24 * 60),
    ],
)
def test_which_outcomes_close_a_source_or_let_a_subject_rest(
    outcome: FetchOutcome, source: str, breaker: int | None, rest: int | None
) -> None:
    until = [minutes and NOW + dt.timedelta(minutes=minutes) for minutes in (breaker, rest)]
    assert [schedule.breaker_until(outcome, NOW), schedule.rest_until(outcome, source, NOW)] == until


def test_the_latest_breaker_of_a_source_counts_until_it_is_over() -> None:
    ends = (None, "2020-12-11T21:45:00Z", "2020-12-11T21:31:00Z")
    rows = [source_status(breaker_until=until) for until in ends]
    assert schedule.closed_until(rows, NOW) == NOW + dt.timedelta(minutes=15)
    assert schedule.closed_until(rows, NOW + dt.timedelta(minutes=15)) is None
    assert schedule.closed_until([], NOW) is None


# The next try


HELD_UP: dict[str, Any] = {"breaker_until": "2020-12-11T21:45:00Z"}
CSV: dict[str, Any] = {"source": "daily-csv", "last_session": "2020-12-04"}


@pytest.mark.parametrize(
    ("row", "other", "asked", "expected"),
    [
        # what is not had is asked again after the pause
        (_row(60, last_session=LAST), None, None, "2020-12-14 21:15"),  # after the next close
        (_row(2), None, None, "2020-12-11 21:33"),
        (_row(2, failures=3), None, None, "2020-12-11 21:48"),
        (_row(60), None, None, "2020-12-11 21:30"),
        (_row(-60), None, None, "2020-12-11 21:30"),
        (_row(2, failures=1, rests_until="2020-12-12T03:28:00Z"), None, None, "2020-12-12 03:28"),
        (_row(2, last_session=LAST, missing="2020-12-10"), None, None, "2020-12-12 03:28"),
        # a source that rests is asked for nothing until then
        (_row(60), _row(1, **HELD_UP), None, "2020-12-11 21:45"),
        (_row(60), _row(1, source="issuer", **HELD_UP), None, "2020-12-11 21:30"),
        (_row(1, last_session=LAST), _row(1, **HELD_UP), None, "2020-12-14 21:15"),  # it is over by then
        # nobody asks for what a file brought, or of a source that is switched off
        (_row(9999, outcome=IMPORTED), None, None, "never"),
        (_row(60), None, ("issuer",), "never"),
        (_row(60), None, ("yahoo",), "2020-12-11 21:30"),
        # a source that stands by follows the first one
        (_row(8640, **CSV), _row(1, last_session=LAST), None, "2020-12-15 00:15"),  # once Monday's close would be stale
        (_row(8640, **CSV), _row(1, last_session=LAST), ("daily-csv",), "2020-12-11 21:30"),
        (_row(8640, **CSV), _row(1, last_session="2020-12-09", failures=1), None, "2020-12-11 21:30"),
    ],
)
def test_when_a_subject_is_tried_next(
    row: SourceStatus, other: SourceStatus | None, asked: tuple[str, ...] | None, expected: str
) -> None:
    instant = schedule.next_try(row, (row, other) if other else (row,), SESSIONS, NOW, asked)
    assert (f"{instant:%Y-%m-%d %H:%M}" if instant else "never") == expected


# A source that stands by

CLOSE = dt.datetime(2020, 12, 11, 21, 0, tzinfo=dt.UTC)  # of a Friday
FRESH = CLOSE + dt.timedelta(hours=3, minutes=14)
STALE = CLOSE + dt.timedelta(hours=3, minutes=15)


def _lead(last_session: str | None, missing: str = "") -> SourceStatus:
    return source_status(last_session=last_session, missing=missing)


def _wanted(own: SourceStatus | None, lead: SourceStatus, now: dt.datetime) -> str | None:
    session = schedule.fallback_session(own, lead, SESSIONS, now)
    return None if session is None else f"{session:%Y-%m-%d}"


@pytest.mark.parametrize(
    ("lead", "now", "expected"),
    [
        (_lead("2020-12-11"), STALE, None),
        (_lead("2020-12-10"), FRESH, None),  # it may still come
        (_lead("2020-12-10"), STALE, "2020-12-11"),
        (_lead("2020-12-09"), FRESH, "2020-12-10"),
        (_lead(None), FRESH, "2020-12-10"),
        (_lead("2020-12-11", "2020-12-08 2020-12-09"), FRESH, "2020-12-09"),
    ],
)
def test_a_stale_session_is_wanted(lead: SourceStatus, now: dt.datetime, expected: str | None) -> None:
    assert _wanted(_lead("2020-12-04"), lead, now) == expected
    assert _wanted(None, lead, now) == expected  # never asked before


def test_what_it_has_itself_is_not_wanted_again() -> None:
    late, dropped = _lead("2020-12-10"), _lead("2020-12-11", "2020-12-08")
    assert _wanted(_lead("2020-12-11"), late, STALE) is None
    assert _wanted(_lead("2020-12-11"), dropped, STALE) is None
    assert _wanted(_lead("2020-12-11", "2020-12-08"), dropped, STALE) == "2020-12-08"


# What is stored, and read again

INDEX = SESSIONS.index


def completed(last: str) -> pd.DatetimeIndex:
    return INDEX[pd.Timestamp(last) >= INDEX]


def put(
    db: sqlite_utils.Database,
    last: str,
    *,
    count: int = 40,
    without: tuple[str, ...] = (),
    provisional: str = "",
    source: str = "yahoo",
) -> None:
    """The last `count` sessions, observed in the evening of `last`."""
    days = [f"{day:%Y-%m-%d}" for day in completed(last)[-count:]]
    bars = [Bar("IWM", day, 100.0, provisional=int(day == provisional)) for day in days if day not in without]
    add(db, Bar, bars, source=source, observed_at=f"{last}T22:00:00Z")


THIRD = f"{INDEX[2]:%Y-%m-%d}"


@pytest.mark.parametrize(
    ("stored", "today", "first", "last", "lacking"),
    [
        ({"last": "2020-12-04", "source": "csv"}, "2020-12-04", None, None, []),  # all at first
        ({"last": "2020-12-04"}, "2020-12-11", "2020-11-19", "2020-12-04", []),  # Thanksgiving left out
        ({"last": THIRD, "count": 3}, THIRD, f"{INDEX[0]:%Y-%m-%d}", THIRD, []),  # where the calendar begins
        ({"last": "2020-12-11"}, "2020-12-04", "2020-11-19", "2020-12-11", []),  # not completed yet
        (
            {"last": "2020-12-04", "count": 400, "without": ("2020-02-03", "2019-06-03")},
            *("2020-12-11", "2020-02-03", "2020-12-04", ["2020-02-03"]),  # a dropped one, for a year
        ),
        # taken before the bell
        ({"last": "2020-12-11", "provisional": "2020-12-11"}, "2020-12-11", "2020-11-27", "2020-12-10", []),
    ],
)
def test_from_which_session_is_read_and_what_is_lacking(
    db: sqlite_utils.Database,
    stored: dict[str, Any],
    today: str,
    first: str | None,
    last: str | None,
    lacking: list[str],
) -> None:
    put(db, **stored)
    given: dict[str, Any] = {"source": "yahoo", "ticker": "IWM", "completed": completed(today)}
    start = schedule.fetch_start(db, **given)
    assert (start and start.isoformat(), *schedule.coverage(db, **given)) == (first, last, lacking)


def test_a_bar_taken_before_the_bell_counts_once_it_has_come_again(db: sqlite_utils.Database) -> None:
    put(db, "2020-12-11", provisional="2020-12-11")
    put(db, "2020-12-14", count=2)
    given: dict[str, Any] = {"source": "yahoo", "ticker": "IWM", "completed": completed("2020-12-14")}
    assert schedule.coverage(db, **given) == ("2020-12-14", [])


def test_only_what_every_read_covers_is_asked_for_until_it_comes() -> None:
    days = ["2020-11-27", "2020-11-30", "2020-12-10"]
    assert schedule.recent_missing(days, completed("2020-12-11")) == ["2020-11-30", "2020-12-10"]
    assert schedule.recent_missing(days, INDEX[:3]) == days


TOLD = Split("IWM", "2020-12-07", 2.0)


def rebased(db: sqlite_utils.Database, **payload: list[Any]) -> bool:
    return schedule.is_rebased(db, source="yahoo", ticker="IWM", payload=observations_of(payload))


def test_a_split_is_new_until_its_source_has_told_of_it(db: sqlite_utils.Database) -> None:
    add(db, Split, [TOLD], source="csv", observed_at="2020-12-07T22:00:00Z")
    assert rebased(db, splits=[TOLD])
    add(db, Split, [TOLD], source="yahoo", observed_at="2020-12-07T22:00:00Z")
    assert not rebased(db, splits=[TOLD])
    assert rebased(db, splits=[replace(TOLD, ratio=3.0)])
    assert not rebased(db, splits=[])
    add(db, Split, [replace(TOLD, ratio=None)], source="yahoo", observed_at="2020-12-08T22:00:00Z")
    assert rebased(db, splits=[TOLD])


@pytest.mark.parametrize(
    ("close", "expected"), [(100.0, False), (104.9, False), (105.1, True), (50.0, True), (200.0, True)]
)
def test_a_far_close_is_in_other_units(db: sqlite_utils.Database, close: float, *, expected: bool) -> None:
    put(db, "2020-12-04", source="csv")
    bars = [Bar("IWM", day, close) for day in ("2020-12-04", "2020-12-07")]
    assert not rebased(db, bars=bars)  # nothing of this source to compare with
    put(db, "2020-12-04")
    assert rebased(db, bars=bars) == expected
    assert not rebased(db, bars=bars[1:])
