"""The schedule of requests: a source is asked until it has given the last session, with pauses and rests.

The state of each source is stored (storage.sources), so the schedule survives a restart.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pandas as pd

from bot.analytics.sessions import SETTLE
from bot.concurrency import Backoff
from bot.data.provider import AccessRefused, FetchOutcome, RateLimited, Rejected
from bot.data.standby import STANDS_FOR, fallback_due, fallback_session
from storage.sources import IMPORTED

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from bot.analytics.sessions import Sessions
    from storage.sources import SourceStatus

# A source that asked to slow down is probed no sooner than this.
BREAKER = dt.timedelta(minutes=15)
# A site that refuses programs is left alone this long, and so is a file that was rejected: neither will
# have changed sooner.
REST = dt.timedelta(hours=6)
# Pause after a failure; doubled per failure, up to the second.
RETRIES = Backoff(dt.timedelta(minutes=5), dt.timedelta(minutes=30))
# After an answer without a session that is wanted the pause is this share of the session's age, at most
# REST: a close that is late comes within the hour, a session that was dropped within days or never.
_SHARE = 4
# Subjects whose figures of a session are published on the next one, in files of their issuers: one that is
# late is as old as its delay, and such a site is never asked more often than after the longest pause.
_BEHIND = " fund"
# A source's own request to wait is believed up to a day.
_LONGEST_WAIT = 86_400.0
_EPOCH = dt.datetime.min.replace(tzinfo=dt.UTC)


def next_fetch(
    status: SourceStatus | None, sessions: Sessions, now: dt.datetime, *, lead: SourceStatus | None = None
) -> dt.datetime:
    """The instant from which a subject is to be fetched; it is in the past if the subject is due at `now`.

    `lead` is the status of the source that this one is a fallback for: only what that source lacks counts.
    """
    if lead is not None:
        session = fallback_session(status, lead, sessions, now)
        if session is None:
            return fallback_due(lead, sessions, now)
    elif status is not None:
        session = _newest_lacking(status, sessions, now)
        if session is None:
            return _next_close(sessions, now)
    if status is None or session is None:
        return _EPOCH
    return max(_paused_until(status, session, sessions, now), _rests_until(status, now))


def next_try(
    status: SourceStatus,
    statuses: Iterable[SourceStatus],
    sessions: Sessions,
    now: dt.datetime,
    asked: Collection[str] | None = None,
) -> dt.datetime | None:
    """The instant from which the subject of `status` is fetched again, `now` at the earliest.

    statuses: those of all subjects, because a request to slow down holds up the whole source.
    asked: names of the sources that are switched on; None means all that ever were.
    Returns None if nothing fetches it: the source is switched off, or the status is of an imported file.
    """
    if status.outcome == IMPORTED or (asked is not None and status.source not in asked):
        return None
    statuses = list(statuses)
    name = STANDS_FOR.get(status.source, "")
    lead = None
    if asked is None or name in asked:
        lead = next(
            (other for other in statuses if (other.source, other.subject) == (name, status.subject)), None
        )
    closed = closed_until((other for other in statuses if other.source == status.source), now)
    return max(next_fetch(status, sessions, now, lead=lead), now, closed or now)


def _newest_lacking(status: SourceStatus, sessions: Sessions, now: dt.datetime) -> pd.Timestamp | None:
    """The newest completed session that a source is still asked for, None if it has given all."""
    last = sessions.last_completed(now)
    if status.last_session is None or status.last_session < last.date():
        return last
    return pd.Timestamp(max(status.dropped)) if status.dropped else None


def _next_close(sessions: Sessions, now: dt.datetime) -> dt.datetime:
    """When the next session counts as completed."""
    return sessions.close(sessions.next_after(sessions.last_completed(now))) + SETTLE


def _paused_until(
    status: SourceStatus, session: pd.Timestamp, sessions: Sessions, now: dt.datetime
) -> dt.datetime:
    """When the pause after the last attempt ends, if `session` is the newest one still wanted."""
    tried = status.last_attempt
    if tried > now:  # under a clock set by hand; it holds nothing up
        return now
    pause = RETRIES.wait(status.failures - 1)
    dropped = status.last_session is not None and session.date() <= status.last_session
    if dropped or not status.failures:
        late = dropped and status.subject.endswith(_BEHIND)
        expected = sessions.next_after(session) if late else session
        age = tried - sessions.close(expected) - SETTLE
        pause = max(pause, RETRIES.longest) if late else pause
        if age < dt.timedelta(0):  # it was not completed then
            return tried
        pause = max(pause, min(age / _SHARE, REST))
    return tried + pause


def _rests_until(status: SourceStatus, now: dt.datetime) -> dt.datetime:
    """Until when this subject is not requested; never longer than REST, whatever clock set it."""
    until = status.rests_until or _EPOCH
    return until if until <= now + REST else _EPOCH


def breaker_until(outcome: FetchOutcome, now: dt.datetime) -> dt.datetime | None:
    """Until when a source is left alone after `outcome`, None unless it asked to slow down."""
    if not isinstance(outcome, RateLimited):
        return None
    return now + max(BREAKER, dt.timedelta(seconds=min(outcome.retry_after or 0.0, _LONGEST_WAIT)))


def rest_until(outcome: FetchOutcome, now: dt.datetime) -> dt.datetime | None:
    """Until when a subject is left alone after `outcome`, None unless it was refused or rejected."""
    return now + REST if isinstance(outcome, AccessRefused | Rejected) else None


def closed_until(statuses: Iterable[SourceStatus], now: dt.datetime) -> dt.datetime | None:
    """Until when a source (all its subjects) is left alone, None when it may be asked."""
    until = max((status.breaker_until or _EPOCH for status in statuses), default=_EPOCH)
    return until if now < until else None
