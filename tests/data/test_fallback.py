from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest

from bot.analytics.sessions import Sessions
from bot.data.schedule import fallback_session
from tests.data.statuses import source_status

if TYPE_CHECKING:
    from storage.sources import SourceStatus


SESSIONS = Sessions()
CLOSE = dt.datetime(2020, 12, 11, 21, 0, tzinfo=dt.UTC)  # of a Friday
FRESH = CLOSE + dt.timedelta(hours=3, minutes=14)
STALE = CLOSE + dt.timedelta(hours=3, minutes=15)


def _row(last_session: str | None, missing: str = "") -> SourceStatus:
    return source_status(last_session=last_session, missing=missing)


def _wanted(own: SourceStatus | None, lead: SourceStatus, now: dt.datetime) -> str | None:
    session = fallback_session(own, lead, SESSIONS, now)
    return None if session is None else f"{session:%Y-%m-%d}"


@pytest.mark.parametrize(
    ("lead", "now", "expected"),
    [
        (_row("2020-12-11"), STALE, None),
        (_row("2020-12-10"), FRESH, None),  # it may still come
        (_row("2020-12-10"), STALE, "2020-12-11"),
        (_row("2020-12-09"), FRESH, "2020-12-10"),
        (_row(None), FRESH, "2020-12-10"),
        (_row("2020-12-11", "2020-12-08 2020-12-09"), FRESH, "2020-12-09"),
    ],
)
def test_a_session_is_wanted_once_the_first_source_is_stale(
    lead: SourceStatus, now: dt.datetime, expected: str | None
) -> None:
    assert _wanted(_row("2020-12-04"), lead, now) == expected
    assert _wanted(None, lead, now) == expected  # never asked before


def test_what_it_has_itself_is_not_wanted_again() -> None:
    late, dropped = _row("2020-12-10"), _row("2020-12-11", "2020-12-08")
    assert _wanted(_row("2020-12-11"), late, STALE) is None
    assert _wanted(_row("2020-12-11"), dropped, STALE) is None
    assert _wanted(_row("2020-12-11", "2020-12-08"), dropped, STALE) == "2020-12-08"
