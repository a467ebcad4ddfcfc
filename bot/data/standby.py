"""When a source that stands by is asked: for sessions that the first one lacks, and weekly to compare them.

A second source of prices is somebody's site, asked no more than is needed: once the first one is late
beyond the time from which a close is called stale, or drops a session, and once a week, so that there
are sessions of both on which their agreement can be judged (bot/data/crosscheck.py) before it is needed.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pandas as pd

from bot.analytics.sessions import STALE_AFTER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bot.analytics.sessions import Sessions

    Row = Mapping[str, Any]

# Source that stands by -> the one whose sessions it fills, by their names in storage.
STANDS_FOR = {"daily-csv": "yahoo"}
WEEK = dt.timedelta(days=7)
_TRIED_AGAIN = dt.timedelta(days=1)  # a comparison that failed is in no hurry


def wanted(
    row: Row, lead: Row, sessions: Sessions, now: dt.datetime
) -> tuple[pd.Timestamp | None, dt.datetime]:
    """The newest session wanted of a source that stands by, and when it is asked where none is.

    `row` and `lead` are the rows of storage.sources of this source and the one it stands by for.
    """
    had, dropped = row["last_session"] or "", row["missing"].split()
    lacked = [day for day in _lacked(lead, sessions, now) if day > had or day in dropped]
    return (pd.Timestamp(max(lacked)) if lacked else None), _next_comparison(row, now)


def _lacked(lead: Row, sessions: Sessions, now: dt.datetime) -> list[str]:
    """Sessions that the first source lacks: those it dropped, and the last one once it is stale."""
    stale = f"{sessions.last_completed(now, STALE_AFTER):%Y-%m-%d}"
    dropped = lead["missing"].split()
    return dropped if (lead["last_session"] or "") >= stale else [*dropped, stale]


def _next_comparison(row: Row, now: dt.datetime) -> dt.datetime:
    """A week after the last answer; a day after a try that failed, at once after one in the future."""
    tried = dt.datetime.fromisoformat(row["last_attempt"])
    if tried > now:
        return now
    return tried + (_TRIED_AGAIN if row["failures"] else WEEK)
