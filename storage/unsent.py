"""Messages of which surely nothing was sent: what they say can still be changed, or taken back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from storage.outbox import OutboxMessage
from storage.rows import change, instant, select_as

if TYPE_CHECKING:
    from collections.abc import Mapping

    import sqlite_utils

    from storage.rows import Moment

# No part was sent, and no send ended in doubt.
_UNSENT = "status IN ('queued', 'waiting') AND unknown = 0 AND reason NOT LIKE 'after part %'"


def find_amendable(db: sqlite_utils.Database, message: int) -> OutboxMessage | None:
    """The message, None when something of it may have been sent."""
    sql = f"SELECT * FROM outbox WHERE id = ? AND {_UNSENT}"  # noqa: S608 - fixed text
    return next(iter(select_as(db, OutboxMessage, sql, (message,))), None)


def amend(db: sqlite_utils.Database, message: int, payload: Mapping[str, object]) -> bool:
    """Say something else with it; False when something of it may have been sent."""
    text = json.dumps(dict(payload), ensure_ascii=False, allow_nan=False)
    return change(db, f"UPDATE outbox SET payload = ? WHERE id = ? AND {_UNSENT}", (text, message)) == 1  # noqa: S608 - fixed text


def withdraw(db: sqlite_utils.Database, message: int) -> bool:
    """Take it back; False when something of it may have been sent."""
    return change(db, f"DELETE FROM outbox WHERE id = ? AND {_UNSENT}", (message,)) == 1  # noqa: S608 - fixed text


def replace_summaries(db: sqlite_utils.Database, chat_id: int, by: int, now: Moment) -> int:
    """Give up the chat's earlier summaries, now that a newer one is queued; how many."""
    sql = f"""
        UPDATE outbox SET status = 'dead', reason = 'a newer one took its place', photo = NULL, updated_at = ?
        WHERE chat_id = ? AND kind = 'summary' AND id < ? AND {_UNSENT}
    """  # noqa: S608 - fixed text
    return change(db, sql, (instant(now), chat_id, by))
