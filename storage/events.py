"""Events of alerts: fires, withdrawals and restatements, each stored once per session and revision."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, TypeVar

import msgspec

from storage.rows import instant, select, select_one

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import sqlite_utils

    from storage.rows import Moment


class EventDetail(msgspec.Struct, frozen=True, omit_defaults=True):
    """What explains an event: JSON of the alert engine, and where its figures are from.

    rule      the rule as it was; empty: that of the alert
    before    the state before the event, where it is kept
    revision  why a stored event is withdrawn
    """

    event: str = ""
    rule: str = ""
    source: str = ""
    observed_at: str = ""
    before: str | None = None
    revision: str | None = None


class StoredEvent(msgspec.Struct, frozen=True):
    """A row of the alert_events table.

    held     why it is not sent yet: "snooze" or "quiet"
    message  the outbox message that reports it
    """

    event_id: int
    alert_id: int
    session: dt.date
    transition: str
    revision: int
    value: float | None
    threshold: float | None
    detail: EventDetail
    created_at: dt.datetime
    held: str | None
    message: int | None


class ChatEvent(StoredEvent, frozen=True):
    """An event with its alert's number, rule and chat."""

    number: int
    rule: str
    chat_id: int


E = TypeVar("E", bound=StoredEvent)


def add_event(  # noqa: PLR0913 - an event's columns, by name
    db: sqlite_utils.Database,
    *,
    alert_id: int,
    session: str,
    transition: str,
    now: Moment,
    value: float | None = None,
    threshold: float | None = None,
    detail: EventDetail | None = None,
    revision: int = 0,
    held: str | None = None,
) -> int | None:
    """Store an event of a session and return its event_id, or None when it is stored already.

    `held` is why it is not sent yet: 'snooze' or 'quiet'.
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
            msgspec.json.encode(detail or EventDetail()).decode(),
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
) -> list[ChatEvent]:
    """Events of an alert or a chat, newest first; the newest `skip` are left out."""
    return select_events(
        db,
        ChatEvent,
        """
        SELECT alert_events.*, number, rule, chat_id FROM alert_events JOIN alerts USING (alert_id)
        WHERE (:alert IS NULL OR alert_id = :alert) AND (:chat IS NULL OR chat_id = :chat)
        ORDER BY session DESC, event_id DESC LIMIT :limit OFFSET :skip
        """,
        {"alert": alert_id, "chat": chat_id, "limit": limit, "skip": skip},
    )


def events_from(db: sqlite_utils.Database, alert_id: int, session: str) -> list[StoredEvent]:
    """An alert's events of `session` and later in the order in which they were stored."""
    sql = "SELECT * FROM alert_events WHERE alert_id = ? AND session >= ? ORDER BY event_id"
    return select_events(db, StoredEvent, sql, (alert_id, session))


def select_events(
    db: sqlite_utils.Database,
    row_type: type[E],
    sql: str,
    parameters: Sequence[object] | Mapping[str, object] = (),
) -> list[E]:
    """The events that a query selects."""
    rows = [{**row, "detail": msgspec.json.decode(row["detail"])} for row in select(db, sql, parameters)]
    return msgspec.convert(rows, list[row_type])  # type: ignore[valid-type]


def next_revision(db: sqlite_utils.Database, alert_id: int) -> int:
    """The number of the alert's next revision: one above that of all its events."""
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
    """On how many sessions from `session` to `until` the alert fired; withdrawn fires do not count."""
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
