"""Messages of the outbox with as little as they need, for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from storage.outbox import MessageBody, NewMessage, OutboxMessage, enqueue, find_ready, mark_sending

if TYPE_CHECKING:
    import sqlite_utils

    from storage.records import Moment, Row

NOON, ONE, TWO = (f"2020-12-11T{hour}:00:00Z" for hour in (12, 13, 14))
BODY = MessageBody("<b>\u2212 1 %</b>", [[("Chart", "c:1")]])


def queue_message(db: sqlite_utils.Database, *, now: Moment, **columns: Any) -> int | None:  # noqa: ANN401 - the fields of a NewMessage
    """Queue a message with these columns, in no topic unless one is named."""
    return enqueue(db, NewMessage(**{"thread_id": None, **columns}), now)


def put(
    db: sqlite_utils.Database, dedup: str, kind: str = "alert", chat_id: int = 1, not_before: str | None = None
) -> int:
    """Queue a message that was not queued before."""
    message = queue_message(db, chat_id=chat_id, kind=kind, dedup=dedup, body=BODY, now=NOON, not_before=not_before)
    assert message is not None
    return message


def message(**columns: object) -> OutboxMessage:
    """A message with these columns, as they are stored, that is in no database."""
    usual = {"id": 1, "chat_id": 1, "thread_id": None, "kind": "alert", "dedup": "a", "payload": "{}"}
    usual |= {"attempts": 0, "unknown": 0, "reason": "", "created_at": NOON}
    return msgspec.convert({**usual, **columns}, OutboxMessage)


def row_of(db: sqlite_utils.Database, message: int) -> Row:
    return dict(db.table("outbox").get(message))


def claim(db: sqlite_utils.Database, now: Moment, limit: int = 1, **chats: Any) -> list[OutboxMessage]:  # noqa: ANN401 - as find_ready takes them
    """Mark the messages that may be sent now, as if their slots were granted."""
    return mark_sending(db, find_ready(db, now, limit, **chats), now)


def claimed(db: sqlite_utils.Database, now: str = NOON, limit: int = 10) -> list[str]:
    return [message.dedup for message in claim(db, now, limit)]
