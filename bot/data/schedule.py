"""When each subject of each source is fetched, and from which session on.

A source is asked until it has given the last session, with pauses and rests. The status of each subject is stored
(storage.sources), so the schedule survives a restart.

A fallback source of prices is somebody's site, asked no more than is needed: only for sessions that the first source
lacks, once that one is late beyond the time from which a close is called stale, or has dropped a session.
"""

import datetime as dt
from collections.abc import Collection, Iterable, Sequence

import pandas as pd
import sqlite_utils

from bot.analytics.sessions import SETTLE, STALE_AFTER, Sessions
from bot.concurrency import Backoff
from bot.data.provider import FILE_SOURCES, STANDS_FOR, AccessRefused, FetchOutcome, Observations, RateLimited, Rejected
from bot.data.provisional import pending_sessions
from storage import observations
from storage.records import Bar, Split
from storage.sources import IMPORTED, SourceStatus


def fallback_session(
    status: SourceStatus | None, lead: SourceStatus, sessions: Sessions, now: dt.datetime
) -> pd.Timestamp | None:
    """The newest session that the fallback is asked for, None where it is not needed.

    `status` is that of the fallback, None before it was first asked; `lead` is that of the first source.
    """
    stale = sessions.last_completed(now, STALE_AFTER).date()
    missing = lead.dropped
    if lead.last_session is None or lead.last_session < stale:
        missing = [*missing, stale]
    last, dropped = (status.last_session or dt.date.min, status.dropped) if status else (dt.date.min, [])
    lacked = [day for day in missing if day > last or day in dropped]
    return pd.Timestamp(max(lacked)) if lacked else None


# A source that asked to slow down is probed no sooner than this.
BREAKER = dt.timedelta(minutes=15)
# A site that refuses programs is left alone this long, and so is a file that was rejected: neither will
# have changed sooner. The second is for sites that are asked for a file once a day.
REST, FILE_REST = dt.timedelta(hours=6), dt.timedelta(hours=24)
# Pause after a failure; doubled per failure, up to the second.
FETCH_RETRIES = Backoff(dt.timedelta(minutes=5), dt.timedelta(minutes=30))
# After an answer without a session that is wanted the pause is this share of the session's age, at most
# REST: a close that is late comes within the hour, a session that was dropped within days or never.
_SHARE = 4
# Subjects whose figures of a session are published on the next one, in files of their issuers: one that is
# late is as old as its delay, and such a site is never asked more often than after the longest pause.
_BEHIND = " fund"
# Runs over the groups of companies, which change slowly, are made once a week.
_GROUPS, WEEK = " groups", dt.timedelta(days=7)
# A source's own request to wait is believed up to a day.
_LONGEST_WAIT = 86_400.0
_EPOCH = dt.datetime.min.replace(tzinfo=dt.UTC)
_WEEKLY = (" distributions", " official")  # subjects whose files change once in months
_UNREACHED = {"NetworkDown", IMPORTED}  # outcomes for which no site was asked


def next_fetch(
    status: SourceStatus | None, sessions: Sessions, now: dt.datetime, *, lead: SourceStatus | None = None
) -> dt.datetime:
    """The instant from which a subject is to be fetched; it is in the past if the subject is due at `now`.

    `lead` is the status of the source that this one is a fallback for: only what that source lacks counts.
    """
    if lead is not None:
        session, late = fallback_session(status, lead, sessions, now), STALE_AFTER
    else:
        session, late = _newest_lacking(status, sessions, now), SETTLE
    if session is None:
        last = sessions.last_completed(now, late)
        if status is not None and status.last_session is not None and status.subject.endswith(_GROUPS):
            last = max(last, pd.Timestamp(status.last_session + WEEK - dt.timedelta(days=1)))
        if lead is not None and lead.last_session is not None:
            last = max(last, pd.Timestamp(lead.last_session))
        return sessions.close(sessions.next_after(last)) + late
    if status is None:
        return _EPOCH
    return max(_paused_until(status, session, sessions, now), kept_until(status, now))


def kept_until(status: SourceStatus, now: dt.datetime) -> dt.datetime:
    """Until when a subject is not asked for by anybody's wish: its rest, or the days between two requests.

    The days are UTC's. An attempt that did not reach its site does not count, nor does one in the future.
    """
    rest = status.rests_until or _EPOCH
    is_file = status.source in FILE_SOURCES
    rest = rest if rest <= now + (FILE_REST if is_file else REST) else _EPOCH  # whatever clock set it
    if not is_file or status.outcome in _UNREACHED or status.last_attempt > now:
        return rest
    days = 7 if status.subject.endswith(_WEEKLY) and not status.failures else 1
    midnight = status.last_attempt.astimezone(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return max(rest, midnight + dt.timedelta(days=days))


def next_try(
    status: SourceStatus,
    statuses: Iterable[SourceStatus],
    sessions: Sessions,
    now: dt.datetime,
    enabled: Collection[str] | None = None,
) -> dt.datetime | None:
    """The instant from which the subject of `status` is fetched again, `now` at the earliest.

    statuses: those of all subjects, because a request to slow down holds up the whole source.
    enabled: names of the sources that are switched on; None means all that ever were.
    Returns None if nothing fetches it: the source is switched off, or the status is of an imported file.
    """
    if status.outcome == IMPORTED or (enabled is not None and status.source not in enabled):
        return None
    statuses = list(statuses)
    name = STANDS_FOR.get(status.source, "")
    lead = None
    if enabled is None or name in enabled:
        lead = next((other for other in statuses if (other.source, other.subject) == (name, status.subject)), None)
    closed = closed_until((other for other in statuses if other.source == status.source), now)
    return max(next_fetch(status, sessions, now, lead=lead), now, closed or now)


def _newest_lacking(status: SourceStatus | None, sessions: Sessions, now: dt.datetime) -> pd.Timestamp | None:
    """The newest completed session that a source is still asked for, None if it has given all."""
    last = sessions.last_completed(now)
    pause = WEEK if status is not None and status.subject.endswith(_GROUPS) else dt.timedelta(days=1)
    if status is None or status.last_session is None or status.last_session + pause <= last.date():
        return last
    return pd.Timestamp(max(status.dropped)) if status.dropped else None


def _paused_until(status: SourceStatus, session: pd.Timestamp, sessions: Sessions, now: dt.datetime) -> dt.datetime:
    """When the pause after the last attempt ends, if `session` is the newest one still wanted."""
    tried = status.last_attempt
    if tried > now:  # under a clock set by hand; it holds nothing up
        return now
    pause = FETCH_RETRIES.wait(status.failures - 1)
    dropped = status.last_session is not None and session.date() <= status.last_session
    if dropped or not status.failures:
        late = dropped and status.subject.endswith(_BEHIND)
        expected = sessions.next_after(session) if late else session
        age = tried - sessions.close(expected) - SETTLE
        pause = max(pause, FETCH_RETRIES.longest) if late else pause
        if age < dt.timedelta(0):  # it was not completed then
            return tried
        pause = max(pause, min(age / _SHARE, REST))
    return tried + pause


def breaker_until(outcome: FetchOutcome, now: dt.datetime) -> dt.datetime | None:
    """Until when a source is left alone after `outcome`, None unless it asked to slow down."""
    if not isinstance(outcome, RateLimited):
        return None
    return now + max(BREAKER, dt.timedelta(seconds=min(outcome.retry_after or 0.0, _LONGEST_WAIT)))


def rest_until(outcome: FetchOutcome, source: str, now: dt.datetime) -> dt.datetime | None:
    """Until when a subject is left alone after `outcome`, None unless it was refused or rejected."""
    if not isinstance(outcome, AccessRefused | Rejected):
        return None
    return now + (FILE_REST if source in FILE_SOURCES else REST)


def closed_until(statuses: Iterable[SourceStatus], now: dt.datetime) -> dt.datetime | None:
    """Until when a source (all its subjects) is left alone, None when it may be asked."""
    until = max((status.breaker_until or _EPOCH for status in statuses), default=_EPOCH)
    return until if now < until else None


# Sessions read again before the last stored one: late corrections, and sessions restored later.
OVERLAP = 10
# A dropped session is read again this many sessions long, whenever its source is asked anyway.
_REMEMBERED = 250
# Relative difference of two readings of one close that no correction makes: the units are others.
APART = 0.05


def fetch_start(db: sqlite_utils.Database, *, source: str, ticker: str, completed: pd.DatetimeIndex) -> dt.date | None:
    """The first session to fetch: OVERLAP before the last one stored of this source, None without any.

    A session that was dropped earlier takes it back up to a year, in case it has been restored, and one with
    a provisional figure as far as it is.
    """
    last = observations.latest_session(db, ticker, source)
    if last is None:
        return None
    pending = pending_sessions(db, source, ticker)
    place = min(int(completed.searchsorted(pd.Timestamp(last))), len(completed) - 1)
    overlap = f"{completed[max(place - OVERLAP, 0)]:%Y-%m-%d}"
    _, missing = coverage(db, source=source, ticker=ticker, completed=completed)
    return dt.date.fromisoformat(min([overlap, *missing, *pending]))


def coverage(
    db: sqlite_utils.Database, *, source: str, ticker: str, completed: pd.DatetimeIndex
) -> tuple[str | None, list[str]]:
    """The last session with a final bar of a source, and the sessions of the past year that it lacks.

    A session with a provisional close or distribution is lacking. While there is one the last session counts
    as not given, so that the source is asked for both again the same evening.
    """
    bars = observations.newest(db, Bar, ticker=ticker, source=source)
    final = {bar.session for bar in bars if not bar.provisional}
    pending = set(pending_sessions(db, source, ticker))
    final -= pending
    if pending and len(final) > 1:
        final.remove(max(final))
    if not final:
        return None, []
    first, last = min(final), max(final)
    days = [f"{session:%Y-%m-%d}" for session in completed[-_REMEMBERED:]]
    return last, [day for day in days if first < day < last and day not in final]


def recent_missing(missing: Sequence[str], completed: pd.DatetimeIndex) -> list[str]:
    """The missing sessions within the overlap, which are requested until they come."""
    since = f"{completed[-min(OVERLAP, len(completed))]:%Y-%m-%d}"
    return [day for day in missing if day >= since]


def is_rebased(db: sqlite_utils.Database, *, source: str, ticker: str, payload: Observations) -> bool:
    """Whether an answer is in other units than the stored history of its source, which is then fetched again.

    It is if it has a split that is not stored of this source, and if a close is far from the
    stored one: sources rewrite their history at a split, or some days later, or take it back. Unless all
    of it were read again, closes of both kinds would stand side by side.
    """
    splits = {split.session: split.ratio for split in observations.newest(db, Split, ticker=ticker, source=source)}
    if any(splits.get(split.session) != split.ratio for split in payload.get("splits", ())):
        return True
    bars = observations.newest(db, Bar, ticker=ticker, source=source)
    closes = {bar.session: bar.close for bar in bars if not bar.provisional}
    return any(
        abs(bar.close / closes[bar.session] - 1) > APART
        for bar in payload.get("bars", ())
        if closes.get(bar.session) and bar.close
    )
