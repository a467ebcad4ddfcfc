"""The outbox: messages to be sent, committed together with what caused them.

    queued ──claim──> sending ──> sent
                         ├──────> waiting    not before an instant, then claimed again
                         ├──────> ambiguous  outcome unknown; goes on only by doubts.requeue_ambiguous
                         └──────> dead       with the reason

A row is committed as `sending` before its request, so one still `sending` at start-up was cut
off by a crash and its outcome is unknown. Each step is a compare-and-set on the status.

Halts: chats, or all of them, to which nothing may be sent before an instant, because Telegram said so.

Messages of which nobody knows whether they arrived: after a lost answer, a crash, a restore.

Messages of which surely nothing was sent: what they say can still be changed, or taken back.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from storage import sources
from storage.rows import change, instant, not_earlier, select, select_as, select_one
from storage.sources import RESTORED_AT

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    import sqlite_utils

    from storage.rows import Moment


EVERY_CHAT = 0  # the chat_id of a halt of all sending


class Halt(msgspec.Struct, frozen=True):
    """Nothing may be sent to a chat (EVERY_CHAT: to nobody) before `until`."""

    chat_id: int
    until: dt.datetime


def begin_halt(db: sqlite_utils.Database, chat_id: int, until: Moment) -> None:
    """Send nothing to a chat (EVERY_CHAT: to nobody) before an instant; the later of two counts."""
    db.execute(
        """
        INSERT INTO halts (chat_id, until) VALUES (?, ?)
        ON CONFLICT (chat_id) DO UPDATE SET until = max(until, excluded.until)
        """,
        (chat_id, not_earlier(until)),
    )


def current_halts(db: sqlite_utils.Database, now: Moment) -> list[Halt]:
    """The halts in force."""
    return select_as(
        db, Halt, "SELECT chat_id, until FROM halts WHERE until > ? ORDER BY chat_id", (instant(now),)
    )


def lift_halts(db: sqlite_utils.Database, after: Moment) -> int:
    """Forget the halts that would last beyond an instant; how many."""
    return change(db, "DELETE FROM halts WHERE until > ?", (instant(after),))


# No session closes earlier in UTC: 13:00 in New York, in summer.
EARLIEST_CLOSE = "T17:00:00Z"
# Quiet hours, back-off and the halts that Telegram names are all shorter.
FARTHEST = dt.timedelta(days=2)

# What may go now; a chat that is not in the table is a stranger, who may get an answer.
_READY = """
    status IN ('queued', 'waiting') AND not_before <= :now
    AND NOT EXISTS (SELECT 1 FROM halts
                    WHERE halts.chat_id IN (outbox.chat_id, 0) AND halts.until > :now)
    AND NOT EXISTS (SELECT 1 FROM chats
                    WHERE chats.chat_id = outbox.chat_id AND chats.status = 'inactive')
"""
_MINE = """
    AND (:only IS NULL OR chat_id = :only)
    AND (:besides IS NULL OR chat_id <> :besides)
"""
_FREE = "AND chat_id NOT IN (SELECT chat_id FROM outbox WHERE status = 'sending')"
_ROOM = "AND chat_id NOT IN (SELECT value FROM json_each(:resting))"
# Word for word the expression of the index outbox_ready, which spares sorting a long queue.
_FIRST_TO_LAST = "CASE kind WHEN 'reply' THEN 0 WHEN 'alert' THEN 1 WHEN 'notice' THEN 2 ELSE 3 END, id"


# event_id, session and html of an event that a message lists.
ListedEvent: TypeAlias = tuple[int, str, str]


class EventList(msgspec.Struct, frozen=True):
    """The events that one message lists, and why they come as a list."""

    lines: list[ListedEvent]
    reason: str
    sample: bool


class MessageBody(msgspec.Struct, frozen=True):
    """What a message says; `reply_to` is the message_id it answers."""

    html: str = ""
    plain: str = ""
    buttons: list[list[tuple[str, str]]] = msgspec.field(default_factory=list)
    silent: bool = False
    reply_to: int | None = None
    events: EventList | None = None


class OutboxMessage(msgspec.Struct, frozen=True):
    """A row of the outbox.

    payload    JSON of a MessageBody
    attempts   failed sends
    unknown    sends of unknown outcome; above zero the message is marked as a possible repeat
    reason     why it was not sent yet, with the number of parts that have arrived at its head
    """

    id: int
    chat_id: int
    thread_id: int | None
    kind: str
    dedup: str
    payload: str
    photo: bytes | None
    attempts: int
    unknown: int
    reason: str
    created_at: dt.datetime

    @property
    def body(self) -> MessageBody:
        """What it says; raises msgspec.ValidationError where what is stored is damaged."""
        return msgspec.json.decode(self.payload, type=MessageBody)


def enqueue(  # noqa: PLR0913 - a message's columns, by name
    db: sqlite_utils.Database,
    *,
    chat_id: int,
    kind: str,
    dedup: str,
    payload: Mapping[str, object],
    now: Moment,
    photo: bytes | None = None,
    thread_id: int | None = None,
    not_before: Moment | None = None,
    about: str | None = None,
) -> int | None:
    """Queue a message; its id, None when one with this `dedup` was queued before.

    kind: 'reply', 'alert', 'notice' or 'summary'; payload: the fields of a MessageBody; more is ignored.
    about: the session it tells of; one that began to close before a restore is marked as a possible repeat.
    """
    at = instant(now)
    cursor = db.execute(
        """
        INSERT INTO outbox
            (chat_id, thread_id, kind, dedup, payload, photo, not_before, created_at, updated_at, unknown)
        VALUES (:chat_id, :thread_id, :kind, :dedup, :payload, :photo, :not_before, :at, :at,
            coalesce((SELECT :about || :earliest_close <= value FROM meta WHERE key = :restored), 0))
        ON CONFLICT (dedup) DO NOTHING
        """,
        {
            "chat_id": chat_id,
            "thread_id": thread_id,
            "kind": kind,
            "dedup": dedup,
            "payload": _text(payload),
            "photo": photo,
            "not_before": at if not_before is None else not_earlier(not_before),
            "at": at,
            "about": about,
            "earliest_close": EARLIEST_CLOSE,
            "restored": RESTORED_AT,
        },
    )
    return cursor.lastrowid if cursor.rowcount == 1 else None


def claim(
    db: sqlite_utils.Database,
    now: Moment,
    limit: int = 1,
    *,
    only: int | None = None,
    besides: int | None = None,
    resting: Collection[int | str] = (),
) -> list[OutboxMessage]:
    """Take up to `limit` messages to send now, each set to `sending`.

    Replies, then alerts, notices and summaries, oldest first. None of a halted or inactive chat, and
    one a chat at a time: a chat with a long queue leaves room for the others, and after a crash
    at most one of its messages is in doubt. `only` takes no other chat's, `besides` leaves one out,
    `resting` those for which the sender has no room yet.
    """
    at = instant(now)
    chosen: dict[int, tuple[int, str]] = {}
    walk = db.execute(
        "SELECT id, chat_id, status FROM outbox INDEXED BY outbox_ready "  # noqa: S608 - fixed text
        f"WHERE {_READY} {_MINE} {_FREE} {_ROOM} ORDER BY {_FIRST_TO_LAST}",
        {"now": at, "only": only, "besides": besides, "resting": json.dumps(list(resting))},
    )
    for message, chat_id, status in walk:
        chosen.setdefault(chat_id, (message, status))
        if len(chosen) == limit:
            break
    walk.close()
    taken = [
        message for message, status in chosen.values() if _step(db, message, status, "sending", updated_at=at)
    ]
    sql = "SELECT * FROM outbox WHERE id = ?"
    return [row for message in taken for row in select_as(db, OutboxMessage, sql, (message,))]


def ready_chats(
    db: sqlite_utils.Database, now: Moment, *, only: int | None = None, besides: int | None = None
) -> set[int]:
    """Chats with a message that could go now, were there room."""
    sql = f"SELECT DISTINCT chat_id FROM outbox WHERE {_READY} {_MINE} {_FREE}"  # noqa: S608 - fixed text
    rows = select(db, sql, {"now": instant(now), "only": only, "besides": besides})
    return {row["chat_id"] for row in rows}


def mark_sent(db: sqlite_utils.Database, message: int, message_id: int | None, now: Moment) -> bool:
    """A message was delivered; False when the row is not being sent any more (its chat is gone)."""
    return _step(
        db, message, "sending", "sent", message_id=message_id, reason="", photo=None, updated_at=instant(now)
    )


def retry_at(
    db: sqlite_utils.Database,
    message: int,
    not_before: Moment,
    reason: str,
    count_attempt: bool = True,
) -> bool:
    """A message was not delivered: try again, not before an instant. A halt uses up no attempt."""
    sql = """
        UPDATE outbox SET status = 'waiting', not_before = ?, reason = ?, attempts = attempts + ?
        WHERE id = ? AND status = 'sending'
    """
    return change(db, sql, (not_earlier(not_before), reason, int(count_attempt), message)) == 1


def note_progress(db: sqlite_utils.Database, message: int, reason: str) -> bool:
    """Note how far the sending of a message has come; False when it is not being sent any more."""
    sql = "UPDATE outbox SET reason = ? WHERE id = ? AND status = 'sending'"
    return change(db, sql, (reason, message)) == 1


def mark_ambiguous(db: sqlite_utils.Database, message: int, reason: str, now: Moment) -> bool:
    """Nobody knows whether a message arrived; counted in `unknown`, it waits for doubts.requeue_ambiguous."""
    sql = """
        UPDATE outbox SET status = 'ambiguous', unknown = unknown + 1, attempts = attempts + 1,
            reason = ?, updated_at = ?
        WHERE id = ? AND status = 'sending'
    """
    return change(db, sql, (reason, instant(now), message)) == 1


def mark_dead(db: sqlite_utils.Database, message: int, reason: str, now: Moment) -> bool:
    """Give a message up; False when it was sent or given up before."""
    sql = """
        UPDATE outbox SET status = 'dead', reason = ?, photo = NULL, updated_at = ?
        WHERE id = ? AND status NOT IN ('sent', 'dead')
    """
    return change(db, sql, (reason, instant(now), message)) == 1


def is_dead(db: sqlite_utils.Database, message: int) -> bool:
    """Whether a message was given up, so that nobody has read it."""
    return select_one(db, "SELECT 1 FROM outbox WHERE id = ? AND status = 'dead'", (message,)) is not None


def chat_of_message(db: sqlite_utils.Database, message: int) -> int | None:
    """The chat that a message is for now, None when it is there no more."""
    row = select_one(db, "SELECT chat_id FROM outbox WHERE id = ?", (message,))
    return row["chat_id"] if row else None


def sent_message_id(db: sqlite_utils.Database, message: int) -> int | None:
    """Telegram's id of a message that was sent, None of any other."""
    row = select_one(db, "SELECT message_id FROM outbox WHERE id = ? AND status = 'sent'", (message,))
    return row["message_id"] if row else None


def count_by_status(db: sqlite_utils.Database) -> dict[str, int]:
    """Number of messages by status; a status without any is absent."""
    counted = select(db, "SELECT status, count(*) AS n FROM outbox GROUP BY status ORDER BY status")
    return {row["status"]: row["n"] for row in counted}


def next_due(db: sqlite_utils.Database, *, only: int | None = None, besides: int | None = None) -> str | None:
    """Instant from which the next message may be sent, halts counted; None when none waits."""
    row = select_one(
        db,
        f"""
        SELECT min(max(not_before,
            coalesce((SELECT until FROM halts WHERE halts.chat_id = outbox.chat_id), ''),
            coalesce((SELECT until FROM halts WHERE halts.chat_id = 0), ''))) AS due
        FROM outbox WHERE status IN ('queued', 'waiting') AND NOT EXISTS (
            SELECT 1 FROM chats WHERE chats.chat_id = outbox.chat_id AND chats.status = 'inactive')
        {_MINE}
        """,  # noqa: S608 - fixed text
        {"only": only, "besides": besides},
    )
    return row["due"] if row else None


def prune(db: sqlite_utils.Database, before: Moment) -> int:
    """Forget what was sent or given up before an instant; how many rows."""
    sql = "DELETE FROM outbox WHERE status IN ('sent', 'dead') AND updated_at < ?"
    return change(db, sql, (instant(before),))


def release_delayed(db: sqlite_utils.Database, now: dt.datetime) -> int:
    """Let go now what a clock that was ahead put off, beyond FARTHEST; how many messages."""
    farthest = now + FARTHEST
    lift_halts(db, farthest)
    sql = "UPDATE outbox SET not_before = ? WHERE status IN ('queued', 'waiting') AND not_before > ?"
    return change(db, sql, (instant(now), instant(farthest)))


def _text(payload: Mapping[str, object]) -> str:
    return json.dumps(dict(payload), ensure_ascii=False, allow_nan=False)


def _step(db: sqlite_utils.Database, message: int, was: str, becomes: str, **columns: object) -> bool:
    """Compare-and-set of the status, with other columns; whether this caller did it."""
    assigned = ", ".join(f"{column} = :{column}" for column in columns)
    sql = f"UPDATE outbox SET status = :becomes, {assigned} WHERE id = :id AND status = :was"  # noqa: S608 - names from this module
    return change(db, sql, {**columns, "id": message, "was": was, "becomes": becomes}) == 1


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
    return RestoreReport(sources.last_heartbeat(db), repeats, len(statuses) - repeats)


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
