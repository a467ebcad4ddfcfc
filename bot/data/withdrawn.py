"""Distributions that a source no longer lists: taken back, or given another date.

One that stays stored beside its correction is counted twice in every total return. It is withdrawn
only where the answer has the session before, the ex-date itself and the session after, so that a
distribution that is absent there is one that the source does not have.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from bot.data.provider import Partial
from storage import observations

if TYPE_CHECKING:
    from collections.abc import Collection

    import pandas as pd
    import sqlite_utils

    from bot.data.provider import Ok


def withdrawn(
    db: sqlite_utils.Database, source: str, ticker: str, outcome: Ok | Partial, completed: pd.DatetimeIndex
) -> list[dict[str, Any]]:
    """Rows that withdraw the stored distributions of a source that an answer should list and does not.

    None where the answer says nothing of distributions, or has one that cannot be dated: that may be it.
    """
    payload = outcome.payload
    if "distributions" not in payload or (isinstance(outcome, Partial) and not _dates(outcome.missing)):
        return []
    listed = {row["ex_date"] for row in payload["distributions"]}
    covered = _covered({row["session"] for row in payload.get("bars", ())}, completed) - listed
    if "bars" not in payload and listed:  # a list of its own has all of them from its first to its last
        days = (f"{session:%Y-%m-%d}" for session in completed)
        covered = {day for day in days if min(listed) < day < max(listed)} - listed
    stored = {
        row["ex_date"]
        for row in observations.newest(db, "distributions")
        if (row["source"], row["ticker"]) == (source, ticker) and row["amount"] is not None
    }
    gone = sorted(stored & covered)
    if len(gone) > max(len(stored & listed), 1):  # not so many at once: the list itself is not whole
        return []
    return [{"ticker": ticker, "ex_date": day, "amount": None} for day in gone]


def _covered(had: Collection[str], completed: pd.DatetimeIndex) -> set[str]:
    """Sessions that are there together with both of their neighbours."""
    days = [f"{session:%Y-%m-%d}" for session in completed]
    around = zip(days, days[1:], days[2:], strict=False)
    return {day for before, day, after in around if before in had and day in had and after in had}


def _dates(missing: tuple[str, ...]) -> bool:
    """Whether all that is missing are sessions."""
    try:
        return all(dt.date.fromisoformat(each) for each in missing)
    except ValueError:
        return False
