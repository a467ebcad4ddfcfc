"""Local times of a chat as instants: when a time of day falls, and when quiet hours end."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

_SECOND, _DAY = dt.timedelta(seconds=1), dt.timedelta(days=1)


def due_instant(day: dt.date, at: str, zone: ZoneInfo) -> dt.datetime | None:
    """UTC instant of a local time on a local date; None where the whole date does not exist there.

    In a gap (clocks put forward) it is the first valid instant, in a fold (put back) the first of both.
    """
    local = dt.datetime.combine(day, dt.time.fromisoformat(at), zone)
    instant = local.astimezone(dt.UTC)
    if instant.astimezone(zone).replace(tzinfo=None) == local.replace(tzinfo=None):
        return instant
    first = _transition(local.replace(fold=1).astimezone(dt.UTC), instant, zone)
    beside = (first.astimezone(zone).date(), (first - _SECOND).astimezone(zone).date())
    return first if day in beside else None


def _transition(before: dt.datetime, after: dt.datetime, zone: ZoneInfo) -> dt.datetime:
    """The second between two instants at which the zone's offset changes."""
    old = before.astimezone(zone).utcoffset()
    low, high = int(before.timestamp()), int(after.timestamp())
    while high - low > 1:
        middle = (low + high) // 2
        same = dt.datetime.fromtimestamp(middle, zone).utcoffset() == old
        low, high = (middle, high) if same else (low, middle)
    return dt.datetime.fromtimestamp(high, dt.UTC)


def quiet_until(now: dt.datetime, start: str | None, end: str | None, zone: ZoneInfo) -> dt.datetime | None:
    """The instant at which the quiet hours end that `now` falls into, None outside them.

    They run from `start` to `end`, 'HH:MM' local, past midnight where `end` is not later; equal times
    are no hours at all.
    """
    if start is None or end is None or start == end:
        return None
    today = now.astimezone(zone).date()
    for began in (today - _DAY, today):
        first = due_instant(began, start, zone)
        last = _next(began if start < end else began + _DAY, end, zone)
        if first is not None and first <= now < last:
            return last
    return None


def _next(day: dt.date, at: str, zone: ZoneInfo) -> dt.datetime:
    """The instant of a local time on a date, or on the day after where that date does not exist."""
    instant = due_instant(day, at, zone) or due_instant(day + _DAY, at, zone)
    if instant is None:
        raise LookupError(f"neither {day} nor the day after exists in {zone.key}")
    return instant
