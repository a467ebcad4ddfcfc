"""After a restore: what may have been told between the backup and the loss is marked, or left out.

The backup's outbox and its alerts stand where they stood when it was made. From there the bot goes on as
after a downtime: it fetches what is missing and judges the sessions since, in order. What it then tells
of a session that the lost database may have told of too is marked "possible repeat"; a summary, which is
never repeated, is left out.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bot.analytics.sessions import STALE_AFTER
from bot.jobs.local_time import due_instant
from bot.preferences import zone_of
from bot.services.base import DAILY
from storage import chats, doubts, outbox, sources

if TYPE_CHECKING:
    import sqlite_utils

    from bot.analytics.sessions import Sessions

# The lost database's last tick went on after it was noted: what it queued was still sent.
_LAST_TICK = dt.timedelta(minutes=10)


@dataclass(frozen=True)
class RestoreReport:
    """What was found in a backup, and what was done about it."""

    made: dt.datetime | None  # its last tick, None before the first
    until: dt.datetime  # when the lost database may have told something last
    repeats: int  # messages that waited, sent once more and marked
    summaries: int  # that may have been sent, left out


def last_possible_send(beat: dt.datetime | None, now: dt.datetime) -> dt.datetime:
    """When the replaced database may have sent its last message, by its last tick; now, where unknown."""
    return now if beat is None else min(beat + _LAST_TICK, now)


def settle_restore(
    db: sqlite_utils.Database, *, sessions: Sessions, zone: str, until: dt.datetime, now: dt.datetime
) -> RestoreReport:
    """Bring a backup, in a transaction of it, to a state from which nothing is told twice unmarked."""
    made = sources.heartbeat(db)
    doubted = doubts.doubt_all(db, now)
    told = f"{sessions.last_completed(until):%Y-%m-%d}"
    sources.set_meta(db, outbox.TOLD_UNTIL, max(told, sources.meta(db, outbox.TOLD_UNTIL) or ""))
    left_out = sum(_leave_out(db, chat, sessions, zone, made, until) for chat in chats.subscribers(db))
    return RestoreReport(made, until, doubted["ambiguous"], doubted["dead"] + left_out)


def _leave_out(
    db: sqlite_utils.Database,
    chat: dict[str, Any],
    sessions: Sessions,
    zone: str,
    made: dt.datetime | None,
    until: dt.datetime,
) -> int:
    """Note a chat's summaries that fell due since the backup as sent, and those of their sessions; how many.

    Older ones than yesterday's are not planned any more, so two local dates are enough.
    """
    chat_id, at = chat["chat_id"], chat["summary_at"]
    local = zone_of(chat["timezone"], zone)
    today = until.astimezone(local).date()
    for day in (today - dt.timedelta(days=1), today):
        due = due_instant(day, at, local)
        if due is None or due > until or (made is not None and due <= made):
            continue
        chats.add_due(db, chat_id, DAILY, day.isoformat(), due)
        # A summary waits for closes that are late, and is then about the session that they end.
        for moment in {due, min(due + STALE_AFTER, until)}:
            session = f"{sessions.last_completed(moment):%Y-%m-%d}"
            doubts.note_sent(db, chat_id, "summary", f"summary:{chat_id}:{session}", until)
    return chats.skip_due(db, chat_id, until)
