from __future__ import annotations

import datetime as dt

import pytest

from bot.analytics.sessions import Sessions
from bot.data.provider import AccessRefused, Empty, FetchOutcome, NetworkDown, RateLimited, SchemaChanged
from bot.data.schedule import REST, breaker_until, closed_until, next_fetch, next_try, rest_until
from storage.sources import IMPORTED, SourceStatus
from tests.data.statuses import source_status

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
    return next_fetch(row, SESSIONS, now) <= now


def test_what_was_never_asked_is_due() -> None:
    assert _due(None)


def test_what_reached_the_last_session_is_not_due_however_long_ago() -> None:
    assert not _due(_row(600, last_session=LAST))


def test_a_session_is_due_from_a_quarter_of_an_hour_after_its_close() -> None:
    had = _row(0, last_session=LAST)
    assert not _due(had, dt.datetime(2020, 12, 14, 21, 14, 59, tzinfo=dt.UTC))
    assert _due(had, dt.datetime(2020, 12, 14, 21, 15, tzinfo=dt.UTC))


@pytest.mark.parametrize(("failures", "pause"), [(1, 5), (2, 10), (3, 20), (4, 30), (5, 30), (10_000, 30)])
def test_the_pause_doubles_with_each_failure_up_to_half_an_hour(failures: int, pause: int) -> None:
    assert not _due(_row(pause - 1, failures))
    assert _due(_row(pause, failures, last_session=None))


@pytest.mark.parametrize(
    ("after", "pause"), [(0, 5), (20, 5), (60, 15), (240, 60), (24 * 60, 6 * 60), (60 * 60, 6 * 60)]
)
def test_the_pause_after_an_answer_without_the_last_session_grows_with_its_age(
    after: int, pause: int
) -> None:
    counted = dt.datetime(2020, 12, 11, 21, 15, tzinfo=dt.UTC)
    tried = counted + dt.timedelta(minutes=after)
    row = _row(0, last_attempt=f"{tried:%Y-%m-%dT%H:%M:%SZ}")
    for late, due in ((pause - 1, False), (pause, True)):
        assert _due(row, tried + dt.timedelta(minutes=late)) == due


def test_a_session_completed_since_the_last_try_is_due_at_once() -> None:
    assert _due(_row(20))
    assert _due(_row(20, missing="2020-12-04"))


def test_a_dropped_session_stays_due_with_long_pauses() -> None:
    row = _row(0, last_session=LAST, missing="2020-12-03 2020-12-10")
    assert not _due(row, NOW + dt.timedelta(hours=5, minutes=59))
    assert _due(row, NOW + dt.timedelta(hours=6))
    failed = _row(0, 1, last_session=LAST, missing="2020-12-03 2020-12-10")
    assert not _due(failed, NOW + dt.timedelta(hours=5, minutes=59))


@pytest.mark.parametrize(
    ("after", "pause"), [(0, 30), (60, 30), (240, 60), (24 * 60, 6 * 60), (60 * 60, 6 * 60)]
)
def test_a_file_that_is_late_is_asked_for_with_pauses_that_grow_with_its_delay(
    after: int, pause: int
) -> None:
    """Thursday's figures are expected after Friday's close, when the file was asked for last."""
    tried = dt.datetime(2020, 12, 11, 21, 15, tzinfo=dt.UTC) + dt.timedelta(minutes=after)
    row = _row(
        0,
        last_session=LAST,
        subject="IWM fund",
        missing="2020-12-10",
        last_attempt=f"{tried:%Y-%m-%dT%H:%M:%SZ}",
    )
    for late, due in ((pause - 1, False), (pause, True)):
        assert _due(row, tried + dt.timedelta(minutes=late)) == due


def test_a_late_file_of_a_site_that_refuses_programs_rests() -> None:
    row = _row(
        60, 1, last_session=LAST, subject="IWM fund", missing="2020-12-10", rests_until="2020-12-12T02:30:00Z"
    )
    assert not _due(row, dt.datetime(2020, 12, 12, 2, 29, tzinfo=dt.UTC))
    assert _due(row, dt.datetime(2020, 12, 12, 2, 30, tzinfo=dt.UTC))


def test_an_attempt_in_the_future_holds_nothing_up() -> None:
    assert _due(_row(-60))


@pytest.mark.parametrize(
    ("wait", "minutes"), [(None, 15), (0.0, 15), (60.0, 15), (1200.0, 20), (9e9, 24 * 60)]
)
def test_a_request_to_slow_down_is_kept_at_least_a_quarter_of_an_hour(
    wait: float | None, minutes: int
) -> None:
    assert breaker_until(RateLimited(wait), NOW) == NOW + dt.timedelta(minutes=minutes)


@pytest.mark.parametrize("outcome", [Empty(), NetworkDown("x"), SchemaChanged("x"), AccessRefused("x")])
def test_no_other_outcome_closes_the_source(outcome: FetchOutcome) -> None:
    assert breaker_until(outcome, NOW) is None


def test_only_what_is_refused_to_programs_rests() -> None:
    assert rest_until(AccessRefused("HTTP 403"), NOW) == NOW + dt.timedelta(hours=6)
    assert rest_until(NetworkDown("x"), NOW) is None


def test_what_rests_is_not_due_before() -> None:
    row = _row(60, failures=1, rests_until="2020-12-12T02:30:00Z")
    assert not _due(row, dt.datetime(2020, 12, 12, 2, 29, tzinfo=dt.UTC))
    assert _due(row, dt.datetime(2020, 12, 12, 2, 30, tzinfo=dt.UTC))
    assert _due(row, dt.datetime(2020, 12, 11, 20, 29, tzinfo=dt.UTC)) is False
    assert _due(_row(60, failures=1, rests_until="2031-01-01T00:00:00Z"))  # by a clock that was wrong
    assert dt.timedelta(hours=6) == REST


def test_the_latest_breaker_of_a_source_counts_until_it_is_over() -> None:
    ends = (None, "2020-12-11T21:45:00Z", "2020-12-11T21:31:00Z")
    rows = [source_status(breaker_until=until) for until in ends]
    assert closed_until(rows, NOW) == NOW + dt.timedelta(minutes=15)
    assert closed_until(rows, NOW + dt.timedelta(minutes=15)) is None
    assert closed_until([], NOW) is None


# The next try


def _next(row: SourceStatus, *others: SourceStatus, asked: tuple[str, ...] | None = None) -> str:
    found = next_try(row, (row, *others), SESSIONS, NOW, asked)
    return f"{found:%Y-%m-%d %H:%M}" if found else "never"


def test_what_is_had_is_asked_again_after_the_next_close() -> None:
    assert _next(_row(60, last_session=LAST)) == "2020-12-14 21:15"


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (_row(2), "2020-12-11 21:33"),
        (_row(2, failures=3), "2020-12-11 21:48"),
        (_row(60), "2020-12-11 21:30"),
        (_row(-60), "2020-12-11 21:30"),
        (_row(2, failures=1, rests_until="2020-12-12T03:28:00Z"), "2020-12-12 03:28"),
        (_row(2, last_session=LAST, missing="2020-12-10"), "2020-12-12 03:28"),
    ],
)
def test_what_is_not_had_is_asked_again_after_the_pause(row: SourceStatus, expected: str) -> None:
    assert _next(row) == expected


def test_a_source_that_rests_is_asked_for_nothing_until_then() -> None:
    for source, due in (("yahoo", "21:45"), ("issuer", "21:30")):
        resting = _row(1, breaker_until="2020-12-11T21:45:00Z", source=source)
        assert _next(_row(60), resting) == f"2020-12-11 {due}"


def test_a_breaker_that_is_over_by_the_next_close_changes_nothing() -> None:
    had = _row(1, last_session=LAST)
    assert _next(had, _row(1, breaker_until="2020-12-11T21:45:00Z")) == "2020-12-14 21:15"


def test_nobody_asks_for_what_a_file_brought_or_of_a_source_that_is_switched_off() -> None:
    assert _next(_row(9999, outcome=IMPORTED)) == "never"
    assert _next(_row(60), asked=("issuer",)) == "never"
    assert _next(_row(60), asked=("yahoo",)) == "2020-12-11 21:30"


def test_a_source_that_stands_by_follows_the_first_one() -> None:
    csv = _row(6 * 24 * 60, source="daily-csv", last_session="2020-12-04")
    sound = _row(1, last_session=LAST)
    assert _next(csv, sound) == "2020-12-15 00:15"  # once Monday's close would be stale
    assert _next(csv, sound, asked=("daily-csv",)) == "2020-12-11 21:30"
    late = _row(1, last_session="2020-12-09", failures=1)
    assert _next(csv, late) == "2020-12-11 21:30"
