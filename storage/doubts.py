"""After a restore: what of the outbox may have been sent since the backup was made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from storage.rows import change, instant, select

if TYPE_CHECKING:
    import sqlite_utils

    from storage.rows import Moment


def doubt_all(db: sqlite_utils.Database, now: Moment) -> dict[str, int]:
    """What waited in the backup may have been sent since; rows by their new status.

    It goes on as after a crash: a summary is given up, anything else is sent once more, marked.
    """
    held = select(
        db,
        """
        UPDATE outbox SET
            status = CASE kind WHEN 'summary' THEN 'dead' ELSE 'ambiguous' END,
            unknown = unknown + 1, reason = 'waited when the backup was made', updated_at = ?
        WHERE status NOT IN ('sent', 'dead') RETURNING status
        """,
        (instant(now),),
    )
    return {status: sum(row["status"] == status for row in held) for status in ("ambiguous", "dead")}


def note_sent(db: sqlite_utils.Database, chat_id: int, kind: str, dedup: str, now: Moment) -> bool:
    """Note that a message may have been sent by a database that was lost, so that it is never queued here."""
    sql = """
        INSERT INTO outbox (chat_id, kind, dedup, payload, status, not_before, reason, created_at, updated_at)
        VALUES (:chat_id, :kind, :dedup, '{}', 'sent', :at, 'perhaps, before the restore', :at, :at)
        ON CONFLICT (dedup) DO NOTHING
    """
    return change(db, sql, {"chat_id": chat_id, "kind": kind, "dedup": dedup, "at": instant(now)}) == 1
