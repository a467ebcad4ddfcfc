"""What happened to alerts: fires and what became of them, each stored once a session and revision."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from storage.rows import Row, instant, select, select_one

if TYPE_CHECKING:
    from collections.abc import Mapping

    import sqlite_utils

    from storage.rows import Moment


def add_event(  # noqa: PLR0913 - an event's columns, by name
    db: sqlite_utils.Database,
    *,
    alert_id: int,
    session: str,
    transition: str,
    now: Moment,
    value: float | None = None,
    threshold: float | None = None,
    detail: Mapping[str, object] | None = None,
    revision: int = 0,
    held: str | None = None,
) -> int | None:
    """Store what happened on a session; its event_id, None when it is stored already.

    `held` is why it is not told yet: 'snooze' or 'quiet'.
    """
    cursor = db.execute(
        """
        INSERT INTO alert_events
            (alert_id, session, transition, revision, value, threshold, detail, created_at, held)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (alert_id, session, transition, revision) DO NOTHING
        """,
        (
            alert_id,
            session,
            transition,
            revision,
            value,
            threshold,
            json.dumps(dict(detail or {}), allow_nan=False),
            instant(now),
            held,
        ),
    )
    return cursor.lastrowid if cursor.rowcount == 1 else None


def events(
    db: sqlite_utils.Database,
    *,
    alert_id: int | None = None,
    chat_id: int | None = None,
    limit: int = 20,
    skip: int = 0,
) -> list[Row]:
    """Events of an alert or a chat, newest first, with the alert's number, rule and chat; detail is a dict.

    The newest `skip` are left out.
    """
    found = select(
        db,
        """
        SELECT alert_events.*, number, rule, chat_id FROM alert_events JOIN alerts USING (alert_id)
        WHERE (:alert IS NULL OR alert_id = :alert) AND (:chat IS NULL OR chat_id = :chat)
        ORDER BY session DESC, event_id DESC LIMIT :limit OFFSET :skip
        """,
        {"alert": alert_id, "chat": chat_id, "limit": limit, "skip": skip},
    )
    return [{**row, "detail": json.loads(row["detail"])} for row in found]


def events_from(db: sqlite_utils.Database, alert_id: int, session: str) -> list[Row]:
    """An alert's events of `session` and later in the order in which they were stored; detail is a dict."""
    sql = "SELECT * FROM alert_events WHERE alert_id = ? AND session >= ? ORDER BY event_id"
    return [{**row, "detail": json.loads(row["detail"])} for row in select(db, sql, (alert_id, session))]


def next_revision(db: sqlite_utils.Database, alert_id: int) -> int:
    """The number of the alert's next revision: one above any of its events."""
    sql = "SELECT coalesce(max(revision), 0) + 1 AS next FROM alert_events WHERE alert_id = ?"
    row = select_one(db, sql, (alert_id,))
    return int(row["next"]) if row else 1


def fires_since(
    db: sqlite_utils.Database,
    alert_id: int,
    session: str,
    *,
    until: str | None = None,
    transition: str = "fired",
) -> int:
    """On how many sessions from `session` on (to `until`, included) the alert fired; withdrawn ones not."""
    row = select_one(
        db,
        """
        SELECT count(DISTINCT session) AS fires FROM alert_events
        WHERE alert_id = :alert AND session >= :since AND transition = :transition
        AND (:until IS NULL OR session <= :until)
        AND NOT EXISTS (
            SELECT 1 FROM alert_events AS later
            WHERE later.alert_id = alert_events.alert_id AND later.session = alert_events.session
            AND later.transition = 'withdrawn' AND later.event_id > alert_events.event_id
        )
        """,
        {"alert": alert_id, "since": session, "until": until, "transition": transition},
    )
    return int(row["fires"]) if row else 0
