"""Messages of the outbox with as little as they need, for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from storage.outbox import claim, enqueue

if TYPE_CHECKING:
    import sqlite_utils

    from storage.rows import Row

NOON, ONE, TWO = (f"2020-12-11T{hour}:00:00Z" for hour in (12, 13, 14))
PAYLOAD: Row = {
    "html": "<b>\u2212 1 %</b>",
    "plain": "\u2212 1 %",
    "buttons": [[["Chart", "c:1"]]],
    "silent": False,
}


def put(
    db: sqlite_utils.Database,
    dedup: str,
    kind: str = "alert",
    chat_id: int = 1,
    not_before: str | None = None,
) -> int:
    """Queue a message that was not queued before."""
    message = enqueue(
        db, chat_id=chat_id, kind=kind, dedup=dedup, payload=PAYLOAD, now=NOON, not_before=not_before
    )
    assert message is not None
    return message


def row_of(db: sqlite_utils.Database, message: int) -> Row:
    return dict(db.table("outbox").get(message))


def claimed(db: sqlite_utils.Database, now: str = NOON, limit: int = 10) -> list[str]:
    return [row["dedup"] for row in claim(db, now, limit)]
