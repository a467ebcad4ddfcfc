"""Messages of which nobody knows whether they arrived: after a lost answer, a crash, a restore."""

from __future__ import annotations

from typing import TYPE_CHECKING

from storage.rows import change, instant, not_earlier, select

if TYPE_CHECKING:
    import sqlite_utils

    from storage.rows import Moment


def recover(db: sqlite_utils.Database, now: Moment) -> int:
    """Settle what a crash left `sending`, its outcome unknown; how many rows.

    A summary is never repeated, so it is given up; anything else must not be lost. Parts that are known to
    have arrived stay noted at the head of the reason.
    """
    return change(
        db,
        """
        UPDATE outbox SET
            status = CASE kind WHEN 'summary' THEN 'dead' ELSE 'ambiguous' END,
            unknown = unknown + 1,
            reason = CASE WHEN reason LIKE 'after part %' THEN substr(reason, 1, instr(reason, ': ') + 1)
                ELSE '' END || 'cut off while sending',
            updated_at = ?
        WHERE status = 'sending'
        """,
        (instant(now),),
    )


def requeue(db: sqlite_utils.Database, not_before: Moment) -> int:
    """Telegram answers again: let the ambiguous messages be sent once more, not before an instant; how many.

    Their `unknown` is above zero, by which the sender marks them as possible repeats.
    """
    sql = "UPDATE outbox SET status = 'waiting', not_before = ? WHERE status = 'ambiguous'"
    return change(db, sql, (not_earlier(not_before),))


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
