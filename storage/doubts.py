"""Messages of which nobody knows whether they arrived: after a lost answer, a crash, a restore."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from storage import sources
from storage.rows import change, instant, not_earlier, select

if TYPE_CHECKING:
    from datetime import datetime

    import sqlite_utils

    from storage.rows import Moment


@dataclass(frozen=True)
class RestoreReport:
    """What a backup held, and what was done about it."""

    made: datetime | None  # its last tick, None before the first
    repeats: int  # messages that waited, sent once more and marked
    summaries: int  # that waited, given up


def mark_interrupted(db: sqlite_utils.Database, now: Moment) -> int:
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


def requeue_ambiguous(db: sqlite_utils.Database, not_before: Moment) -> int:
    """Telegram answers again: let the ambiguous messages be sent once more, not before an instant; how many.

    Their `unknown` is above zero, by which the sender marks them as possible repeats.
    """
    sql = "UPDATE outbox SET status = 'waiting', not_before = ? WHERE status = 'ambiguous'"
    return change(db, sql, (not_earlier(not_before),))


def settle_restore(db: sqlite_utils.Database, now: Moment) -> RestoreReport:
    """Prepare a backup that takes the database's place at `now`: nothing is sent twice without a mark.

    Whatever the replaced database did until now is not known here. So what waits in the backup goes on as
    after a crash (a summary is given up, anything else is sent once more, marked), and the instant is
    stored, from which `outbox.enqueue` and
    `chats.skip_before_restore` know what may have been sent before.
    """
    statuses = select(
        db,
        """
        UPDATE outbox SET
            status = CASE kind WHEN 'summary' THEN 'dead' ELSE 'ambiguous' END,
            unknown = unknown + 1, reason = 'waited when the backup was made', updated_at = ?
        WHERE status NOT IN ('sent', 'dead') RETURNING status
        """,
        (instant(now),),
    )
    sources.set_meta(db, sources.RESTORED_AT, instant(now))
    repeats = sum(row["status"] == "ambiguous" for row in statuses)
    return RestoreReport(sources.heartbeat(db), repeats, len(statuses) - repeats)
