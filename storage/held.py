"""Deferred events: not sent yet, because their alert is snoozed or their chat has quiet hours."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from storage.events import ChatEvent, select_events
from storage.rows import change, select_one

if TYPE_CHECKING:
    from collections.abc import Iterable

    import sqlite_utils


class DeferredEvent(ChatEvent, frozen=True):
    """A deferred event with its alert's topic and snooze, and its chat's time zone and quiet hours."""

    thread_id: int | None
    snoozed_until: dt.datetime | None
    timezone: str | None
    quiet_from: str | None
    quiet_to: str | None


def waiting(db: sqlite_utils.Database) -> list[DeferredEvent]:
    """All deferred events of active chats, oldest first."""
    return select_events(
        db,
        DeferredEvent,
        """
        SELECT alert_events.*, number, rule, chat_id, thread_id, snoozed_until,
            timezone, quiet_from, quiet_to
        FROM alert_events JOIN alerts USING (alert_id) JOIN chats USING (chat_id)
        WHERE alert_events.held IS NOT NULL AND chats.status = 'active'
        ORDER BY alert_events.session, event_id
        """,
    )


def hold(db: sqlite_utils.Database, event_id: int, why: str | None) -> None:
    """Defer an event for 'snooze' or 'quiet'; None ends that."""
    db.execute("UPDATE alert_events SET held = ? WHERE event_id = ?", (why, event_id))


def fate(db: sqlite_utils.Database, event_id: int) -> tuple[str | None, int | None]:
    """Why an event is deferred, and the outbox message that reports it; None and None if it was deleted."""
    row = select_one(db, "SELECT held, message FROM alert_events WHERE event_id = ?", (event_id,))
    return (row["held"], row["message"]) if row else (None, None)


def tell(db: sqlite_utils.Database, event_ids: Iterable[int], message: int | None) -> int:
    """Record the outbox message that reports these events (None: none will). Returns how many there are."""
    sql = "UPDATE alert_events SET held = NULL, message = ? WHERE event_id = ?"
    return sum(change(db, sql, (message, event_id)) for event_id in event_ids)
