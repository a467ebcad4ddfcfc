"""Withdraws distributions and splits that a source no longer lists, or has given another date.

A distribution that stays stored beside its correction is counted twice in every total return, and a
split that never was halves all closes before it. One is withdrawn only where the answer has the session
before, its own session and the session after, so that what is absent there the source does not have.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from bot.data.provider import Partial
from storage import observations
from storage.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Collection

    import pandas as pd
    import sqlite_utils

    from bot.data.provider import Observations, Ok


_EVENTS = {"distributions": "amount", "splits": "ratio"}  # kinds and what they say


def withdrawals(
    db: sqlite_utils.Database, source: str, ticker: str, outcome: Ok | Partial, completed: pd.DatetimeIndex
) -> dict[str, list[dict[str, Any]]]:
    """Rows by kind that withdraw stored events of a source which its answer should list and does not.

    Nothing is withdrawn if the answer has an event that cannot be dated: that may be it. No split is if
    many distributions are absent: then the answer came without its events.
    """
    gone: dict[str, list[dict[str, Any]]] = {}
    if isinstance(outcome, Partial) and not _dates(outcome.missing):
        return gone
    for kind, column in _EVENTS.items():
        if kind not in outcome.payload:
            continue
        day = KINDS[kind].session
        listed = {row[day] for row in outcome.payload[kind]}
        stored = {
            row[day]
            for row in observations.newest(db, kind, ticker=ticker, source=source)
            if row[column] is not None
        }
        absent = sorted(stored & _should_be_listed(outcome.payload, listed, stored, completed))
        if len(absent) > max(len(stored & listed), 1):  # not so many at once: the list itself is not whole
            break
        gone[kind] = [{"ticker": ticker, day: event, column: None} for event in absent]
    return {kind: rows for kind, rows in gone.items() if rows}


def _should_be_listed(
    payload: Observations, listed: Collection[str], stored: Collection[str], completed: pd.DatetimeIndex
) -> set[str]:
    """Sessions on which an answer would list an event if there was one, and lists none."""
    if "bars" in payload:
        return _with_neighbours({row["session"] for row in payload["bars"]}, completed) - set(listed)
    if not listed:
        return set()
    within = {day for day in stored if min(listed) < day < max(listed)}  # a list of its own has all of them
    return within - set(listed)


def _with_neighbours(had: Collection[str], completed: pd.DatetimeIndex) -> set[str]:
    """Sessions of the answer whose neighbours are in it too."""
    days = [f"{session:%Y-%m-%d}" for session in completed]
    around = zip(days, days[1:], days[2:], strict=False)
    return {day for before, day, after in around if before in had and day in had and after in had}


def _dates(missing: tuple[str, ...]) -> bool:
    """Whether all missing items are sessions."""
    try:
        return all(dt.date.fromisoformat(name) for name in missing)
    except ValueError:
        return False
