"""When a source is asked: until it gave the last session, with pauses, and not while it must rest.

Rows are those of storage.sources, so all of this outlives a restart.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from bot.analytics.sessions import SETTLE
from bot.data.provider import Outcome, RateLimited

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bot.analytics.sessions import Sessions

# A source that asked to slow down is probed no sooner than this.
BREAKER = dt.timedelta(minutes=15)
# Pause after an attempt that did not bring the last session; doubled per failure, up to the second.
PAUSE, LONGEST_PAUSE = dt.timedelta(minutes=5), dt.timedelta(minutes=30)
# Outcome of a row that a file brought and nobody asks for.
IMPORTED = "Imported"
# A source's own request to wait is believed up to a day.
_LONGEST_WAIT = 86_400.0


def is_due(row: Mapping[str, Any] | None, last: str, now: dt.datetime) -> bool:
    """Whether the session `last` is still to be had and the pause since the last attempt is over."""
    if row is None:
        return True
    return (row["last_session"] or "") < last and not _paused_until(row, now) > now


def next_try(
    row: Mapping[str, Any], rows: Iterable[Mapping[str, Any]], sessions: Sessions, now: dt.datetime
) -> dt.datetime | None:
    """Instant from which the subject of `row` is asked for again; `now` where that has come.

    `rows` are all rows of storage.sources: one that asked to slow down holds up its whole source.
    None where nobody asks, because a file brought it.
    """
    if row["outcome"] == IMPORTED:
        return None
    last = sessions.last_completed(now)
    had = (row["last_session"] or "") >= f"{last:%Y-%m-%d}"
    due = sessions.close(sessions.next_after(last)) + SETTLE if had else _paused_until(row, now)
    closed = closed_until((each for each in rows if each["source"] == row["source"]), now)
    return max(due, now, dt.datetime.fromisoformat(closed) if closed else now)


def _paused_until(row: Mapping[str, Any], now: dt.datetime) -> dt.datetime:
    """When the pause since the last attempt is over."""
    tried = dt.datetime.fromisoformat(row["last_attempt"])
    if tried > now:  # under a clock set by hand; it holds nothing up
        return now
    doublings = min(max(row["failures"] - 1, 0), 10)
    return tried + min(PAUSE * 2**doublings, LONGEST_PAUSE)


def breaker(outcome: Outcome, now: dt.datetime) -> dt.datetime | None:
    """Until when a source is left alone after `outcome`: only one that asked to slow down is."""
    if not isinstance(outcome, RateLimited):
        return None
    return now + max(BREAKER, dt.timedelta(seconds=min(outcome.retry_after or 0.0, _LONGEST_WAIT)))


def closed_until(rows: Iterable[Mapping[str, Any]], now: dt.datetime) -> str | None:
    """Until when a source (all its rows) is left alone, None when it may be asked."""
    until = max((row["breaker_until"] or "" for row in rows), default="")
    return until if until and now < dt.datetime.fromisoformat(until) else None
