from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from bot.analytics.sessions import Sessions
from bot.data.due import IMPORTED, breaker, closed_until, is_due, next_try
from bot.data.provider import Empty, NetworkDown, Outcome, RateLimited, SchemaChanged

NOW = dt.datetime(2020, 12, 11, 21, 30, tzinfo=dt.UTC)
LAST = "2020-12-11"


def _row(minutes_ago: float, failures: int = 0, last_session: str | None = "2020-12-10") -> dict[str, Any]:
    tried = NOW - dt.timedelta(minutes=minutes_ago)
    return {
        "source": "yahoo",
        "outcome": "Ok",
        "last_session": last_session,
        "failures": failures,
        "last_attempt": f"{tried:%Y-%m-%dT%H:%M:%SZ}",
        "breaker_until": None,
    }


def test_what_was_never_asked_is_due() -> None:
    assert is_due(None, LAST, NOW)


def test_what_reached_the_last_session_is_not_due_however_long_ago() -> None:
    assert not is_due(_row(600, last_session=LAST), LAST, NOW)


@pytest.mark.parametrize(
    ("failures", "pause"), [(0, 5), (1, 5), (2, 10), (3, 20), (4, 30), (5, 30), (10_000, 30)]
)
def test_the_pause_doubles_with_each_failure_up_to_half_an_hour(failures: int, pause: int) -> None:
    assert not is_due(_row(pause - 1, failures), LAST, NOW)
    assert is_due(_row(pause, failures, last_session=None), LAST, NOW)


def test_an_attempt_in_the_future_holds_nothing_up() -> None:
    assert is_due(_row(-60), LAST, NOW)


@pytest.mark.parametrize(
    ("wait", "minutes"), [(None, 15), (0.0, 15), (60.0, 15), (1200.0, 20), (9e9, 24 * 60)]
)
def test_a_request_to_slow_down_is_kept_at_least_a_quarter_of_an_hour(
    wait: float | None, minutes: int
) -> None:
    assert breaker(RateLimited(wait), NOW) == NOW + dt.timedelta(minutes=minutes)


@pytest.mark.parametrize("outcome", [Empty(), NetworkDown("x"), SchemaChanged("x")])
def test_no_other_outcome_closes_the_source(outcome: Outcome) -> None:
    assert breaker(outcome, NOW) is None


def test_the_latest_breaker_of_a_source_counts_until_it_is_over() -> None:
    rows: list[dict[str, Any]] = [
        {"breaker_until": None},
        {"breaker_until": "2020-12-11T21:45:00Z"},
        {"breaker_until": "2020-12-11T21:31:00Z"},
    ]
    assert closed_until(rows, NOW) == "2020-12-11T21:45:00Z"
    assert closed_until(rows, NOW + dt.timedelta(minutes=15)) is None
    assert closed_until([], NOW) is None


# The next try


def _next(row: dict[str, Any], *others: dict[str, Any]) -> str:
    found = next_try(row, (row, *others), Sessions(), NOW)
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
    ],
)
def test_what_is_not_had_is_asked_again_after_the_pause(row: dict[str, Any], expected: str) -> None:
    assert _next(row) == expected


def test_a_source_that_rests_is_asked_for_nothing_until_then() -> None:
    resting = {**_row(1), "breaker_until": "2020-12-11T21:45:00Z"}
    assert _next(_row(60), resting) == "2020-12-11 21:45"
    assert _next(_row(60), {**resting, "source": "daily-csv"}) == "2020-12-11 21:30"


def test_a_breaker_that_is_over_by_the_next_close_changes_nothing() -> None:
    had = _row(1, last_session=LAST)
    assert _next(had, {**_row(1), "breaker_until": "2020-12-11T21:45:00Z"}) == "2020-12-14 21:15"


def test_nobody_asks_for_what_a_file_brought() -> None:
    assert _next({**_row(9999), "outcome": IMPORTED}) == "never"
