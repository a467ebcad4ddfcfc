"""Events of alerts with as little as they need, for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from storage import alert_store

if TYPE_CHECKING:
    import sqlite_utils

    from storage.records import Moment


def add_event(db: sqlite_utils.Database, *, now: Moment, **columns: Any) -> int | None:  # noqa: ANN401 - the fields of a NewEvent
    """Store an event with these columns; its id, or None where it is stored already."""
    event = alert_store.NewEvent(alert_store.next_event_id(db), **columns)
    return None if alert_store.add_events(db, [event], now) else event.event_id
