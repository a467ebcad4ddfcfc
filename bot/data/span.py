"""Which sessions of prices to fetch again, and which ones a source has dropped."""

from __future__ import annotations

import datetime as dt
from functools import partial
from typing import TYPE_CHECKING

import pandas as pd

from storage import observations

if TYPE_CHECKING:
    from collections.abc import Sequence

    import sqlite_utils

    from bot.data.provider import Observations

# Sessions read again before the last stored one: late corrections, and sessions restored later.
OVERLAP = 10
# A dropped session is read again this many sessions long, whenever its source is asked anyway.
_REMEMBERED = 250
# Relative difference of two readings of one close that no correction makes: the units are others.
APART = 0.05


def fetch_start(
    db: sqlite_utils.Database, *, source: str, ticker: str, completed: pd.DatetimeIndex
) -> dt.date | None:
    """The first session to fetch: OVERLAP before the last one stored of this source, None without any.

    A session that was dropped earlier takes it back up to a year, in case it has been restored.
    """
    last = observations.latest_session(db, "bars", ticker, source)
    if last is None:
        return None
    place = min(int(completed.searchsorted(pd.Timestamp(last))), len(completed) - 1)
    overlap = f"{completed[max(place - OVERLAP, 0)]:%Y-%m-%d}"
    _, missing = coverage(db, source=source, ticker=ticker, completed=completed)
    return dt.date.fromisoformat(min(overlap, *missing) if missing else overlap)


def coverage(
    db: sqlite_utils.Database, *, source: str, ticker: str, completed: pd.DatetimeIndex
) -> tuple[str | None, list[str]]:
    """The last session with a final bar of a source, and the sessions of the past year that it lacks."""
    final = observations.final_sessions(db, ticker, source)
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
    own = partial(observations.newest, db, ticker=ticker, source=source)
    splits = {row["session"]: row["ratio"] for row in own("splits")}
    if any(splits.get(split["session"]) != split["ratio"] for split in payload.get("splits", ())):
        return True
    closes = {row["session"]: row["close"] for row in own("bars") if row["close"]}
    return any(
        abs(bar["close"] / closes[bar["session"]] - 1) > APART
        for bar in payload.get("bars", ())
        if bar["session"] in closes and bar["close"]
    )
