"""When a fallback source is asked: only for sessions that the first source lacks.

A second source of prices is somebody's site, asked no more than is needed: once the first one is late beyond
the time from which a close is called stale, or has dropped a session.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pandas as pd

from bot.analytics.sessions import STALE_AFTER

if TYPE_CHECKING:
    from bot.analytics.sessions import Sessions
    from storage.sources import SourceStatus

# Fallback source -> the one whose sessions it fills, by their names in storage.
STANDS_FOR = {"daily-csv": "yahoo"}


def fallback_session(
    status: SourceStatus | None, lead: SourceStatus, sessions: Sessions, now: dt.datetime
) -> pd.Timestamp | None:
    """Return the newest session that the fallback is asked for, None where it is not needed.

    `status` is that of the fallback, None before it was first asked; `lead` that of the source it stands
    by for.
    """
    last, dropped = (status.last_session or dt.date.min, status.dropped) if status else (dt.date.min, [])
    lacked = [day for day in _missing_sessions(lead, sessions, now) if day > last or day in dropped]
    return pd.Timestamp(max(lacked)) if lacked else None


def fallback_due(lead: SourceStatus, sessions: Sessions, now: dt.datetime) -> dt.datetime:
    """Return when the next session that the first source does not have yet would be stale."""
    stale = sessions.last_completed(now, STALE_AFTER)
    last = pd.Timestamp(lead.last_session) if lead.last_session else stale
    return sessions.close(sessions.next_after(max(last, stale))) + STALE_AFTER


def _missing_sessions(lead: SourceStatus, sessions: Sessions, now: dt.datetime) -> list[dt.date]:
    """Return the sessions the first source lacks: those it dropped, and the last one once it is stale."""
    stale = sessions.last_completed(now, STALE_AFTER).date()
    if lead.last_session is not None and lead.last_session >= stale:
        return lead.dropped
    return [*lead.dropped, stale]
