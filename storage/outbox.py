"""The outbox: messages to be sent, committed together with what caused them.

    queued ──mark_sending──> sending ──> sent
                                ├──────> waiting    for its next part, or not before an instant
                                ├──────> ambiguous  outcome unknown; sent again only after requeue_ambiguous
                                └──────> dead       with the reason

A row is committed as `sending` right before a request. One that is still `sending` at the next start was cut off by a
crash, so its outcome is unknown. Each step is a compare-and-set on the status: a function that changes a message
returns the new status, or an empty text or False if the message has another status than the step requires.

A notice to a chat that refuses messages is `held` until the chat is tried again; then it is joined to what else waits
there.

A halt is a chat, or all of them, to which nothing may be sent before an instant that Telegram named.
"""

import datetime as dt
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import msgspec
import sqlite_utils

from storage import chat_store, records, sources

ListedEvent: TypeAlias = tuple[int, str, str]  # event_id, session and html


class EventList(msgspec.Struct, frozen=True):
    """The events that one message lists, and why they are sent as a list."""

    lines: list[ListedEvent]
    reason: str
    sample: bool


class MessageBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """The content of a message.

    reply_to  Telegram's id of the message that it answers
    names     the chat and the person that a notice to the owner names, with whom it is deleted
    joined    the notices that were joined to it: deduplication key, topic and payload
    """

    html: str = ""
    buttons: list[list[tuple[str, str]]] = msgspec.field(default_factory=list)
    silent: bool = False
    reply_to: int | None = None
    events: EventList | None = None
    names: list[int] = msgspec.field(default_factory=list)
    joined: list[tuple[str, int | None, str]] = msgspec.field(default_factory=list)


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
    attempts: int
    unknown: int
    reason: str
    created_at: dt.datetime

    @property
    def body(self) -> MessageBody:
        """Returns the decoded payload; raises msgspec.ValidationError if it is damaged."""
        return msgspec.json.decode(self.payload, type=MessageBody)


class ReadyMessage(msgspec.Struct, frozen=True):
    """A message that may be sent now."""

    id: int
    chat_id: int
    kind: str


class NewMessage(msgspec.Struct, frozen=True):
    """A message to be queued.

    kind   "reply", "alert", "notice" or "summary"
    dedup  keeps it from being queued twice
    about  the session that it reports; if that may have closed before a restore, the message may have been
           sent before and is marked as a possible repeat
    """

    chat_id: int
    thread_id: int | None
    kind: str
    dedup: str
    body: MessageBody
    about: str | None = None
    not_before: dt.datetime | str | None = None


# No session closes earlier in UTC: 13:00 in New York, in summer.
EARLIEST_CLOSE = "T17:00:00Z"


def enqueue(db: sqlite_utils.Database, message: NewMessage, now: records.Moment) -> int | None:
    """Queue a message and return its id, or None when one with this `dedup` was queued before."""
    return records.insert(
        db, "outbox", _row(message, now, records.get_meta(db, sources.RESTORED_AT)), unique=("dedup",)
    )


def next_id(db: sqlite_utils.Database) -> int:
    """Returns an id above those of all messages that ever were."""
    return (records.select_value(db, int, "SELECT seq FROM sqlite_sequence WHERE name = 'outbox'") or 0) + 1


def enqueue_all(db: sqlite_utils.Database, messages: Mapping[int, NewMessage], now: records.Moment) -> None:
    """Queue messages by their ids, from `next_id` on, except those with a `dedup` that was queued before."""
    restored = records.get_meta(db, sources.RESTORED_AT)
    rows = [{"id": key, **_row(message, now, restored)} for key, message in messages.items()]
    records.insert_all(db, "outbox", rows, unique=("dedup",))


def _row(message: NewMessage, now: records.Moment, restored: str | None) -> dict[str, object]:
    at, about = records.instant(now), message.about
    return {
        "chat_id": message.chat_id,
        "thread_id": message.thread_id,
        "kind": message.kind,
        "dedup": message.dedup,
        "payload": _encode(message.body),
        "not_before": at if message.not_before is None else records.not_earlier(message.not_before),
        "created_at": at,
        "updated_at": at,
        "unknown": int(about is not None and restored is not None and about + EARLIEST_CLOSE <= restored),
    }


def _encode(body: MessageBody) -> str:
    return msgspec.json.encode(body, enc_hook=str).decode()  # the hook takes subclasses of str, as markup is


# Messages that may be sent now. A chat that is not stored is a stranger's, who may get an answer.
_READY = """
    status IN ('queued', 'waiting') AND not_before <= :now
    AND NOT EXISTS (SELECT 1 FROM halts
                    WHERE halts.chat_id IN (outbox.chat_id, 0) AND halts.until > :now)
    AND NOT EXISTS (SELECT 1 FROM chats WHERE chats.chat_id = outbox.chat_id
                    AND (chats.status = 'inactive' OR chats.next_try > :now))
    AND chat_id NOT IN (SELECT chat_id FROM outbox WHERE status = 'sending')
"""
_SERVED_CHATS = "AND (:only IS NULL OR chat_id = :only) AND (:except IS NULL OR chat_id <> :except)"
# The expression of the index outbox_ready, word for word, so that a long queue is not sorted.
_SENDING_ORDER = "CASE kind WHEN 'reply' THEN 0 WHEN 'alert' THEN 1 WHEN 'notice' THEN 2 ELSE 3 END, id"


def find_ready(
    db: sqlite_utils.Database,
    now: records.Moment,
    limit: int,
    *,
    only_chat: int | None = None,
    except_chat: int | None = None,
    resting: Collection[int | str] = (),
) -> list[ReadyMessage]:
    """Returns up to `limit` messages that may be sent now.

    Replies come first, then alerts, notices and summaries, the oldest first. Each chat gets one message at a
    time, so that a long queue leaves room for other chats and a crash makes at most one of its messages
    ambiguous. Messages of halted, sleeping and inactive chats are left out.

    only_chat    messages of this chat only
    except_chat  no messages of this chat
    resting      chats whose rate limit is used up, or with a message under way
    """
    messages: dict[int, ReadyMessage] = {}
    sql = f"""
        SELECT id, chat_id, kind FROM outbox INDEXED BY outbox_ready
        WHERE {_READY} {_SERVED_CHATS} AND chat_id NOT IN (SELECT value FROM json_each(:resting))
        ORDER BY {_SENDING_ORDER}
    """  # noqa: S608 - fixed text
    chats = {"only": only_chat, "except": except_chat, "resting": json.dumps(list(resting))}
    cursor = db.execute(sql, {"now": records.instant(now), **chats})
    for message_id, chat_id, kind in cursor:
        messages.setdefault(chat_id, ReadyMessage(message_id, chat_id, kind))
        if len(messages) == limit:
            break
    cursor.close()
    return list(messages.values())


def mark_sending(
    db: sqlite_utils.Database, messages: Iterable[ReadyMessage], now: records.Moment
) -> list[OutboxMessage]:
    """Set messages to `sending` and return them. Left out are those that may not be sent any more."""
    sql = f"""
        UPDATE outbox SET status = 'sending', updated_at = :now
        WHERE id = :id AND chat_id = :chat AND {_READY} RETURNING *
    """  # noqa: S608 - fixed text
    at = records.instant(now)
    rows = [{"now": at, "id": message.id, "chat": message.chat_id} for message in messages]
    return [message for row in rows for message in records.select_as(db, OutboxMessage, sql, row)]


def _settle(db: sqlite_utils.Database, message: int, status: str, columns: str, *values: object) -> str:
    sql = f"UPDATE outbox SET status = ?, {columns} WHERE id = ? AND status = 'sending'"  # noqa: S608 - fixed text
    return status if records.change(db, sql, (status, *values, message)) else ""


def mark_sent(db: sqlite_utils.Database, message: int, message_id: int | None, now: records.Moment) -> str:
    """Record that a message was delivered, under Telegram's `message_id`. A sleeping chat wakes up."""
    columns = "message_id = ?, reason = '', updated_at = ?"
    status = _settle(db, message, "sent", columns, message_id, records.instant(now))
    chat_id = chat_of_message(db, message) if status and message_id is not None else None
    if chat_id is not None:
        chat_store.note_delivery(db, chat_id)
    return status


def retry_at(
    db: sqlite_utils.Database, message: int, not_before: records.Moment, reason: str, count_attempt: bool = True
) -> str:
    """Send a message that was not delivered again, but not before an instant."""
    columns = "not_before = ?, reason = ?, attempts = attempts + ?"
    return _settle(db, message, "waiting", columns, records.not_earlier(not_before), reason, int(count_attempt))


def note_progress(db: sqlite_utils.Database, message: int, reason: str) -> str:
    """Record in the reason how many parts of a message have been delivered. The next may be sent at once."""
    return _settle(db, message, "waiting", "reason = ?, unknown = 0", reason)


def mark_ambiguous(db: sqlite_utils.Database, message: int, reason: str, now: records.Moment) -> str:
    """Record that it is unknown whether a message was delivered; it waits for requeue_ambiguous."""
    columns = "unknown = unknown + 1, attempts = attempts + 1, reason = ?, updated_at = ?"
    return _settle(db, message, "ambiguous", columns, reason, records.instant(now))


def mark_dead(db: sqlite_utils.Database, message: int, reason: str, now: records.Moment) -> bool:
    """Give a message up."""
    sql = """
        UPDATE outbox SET status = 'dead', reason = ?, updated_at = ?
        WHERE id = ? AND status NOT IN ('sent', 'dead')
    """
    return records.change(db, sql, (reason, records.instant(now), message)) == 1


def is_dead(db: sqlite_utils.Database, message: int) -> bool:
    """Whether a message was given up, so that nobody has read it."""
    return bool(records.select_value(db, int, "SELECT 1 FROM outbox WHERE id = ? AND status = 'dead'", (message,)))


def chat_of_message(db: sqlite_utils.Database, message: int) -> int | None:
    """Returns the chat of a message, whose id may have changed, or None when the message was deleted."""
    return records.select_value(db, int, "SELECT chat_id FROM outbox WHERE id = ?", (message,))


def sent_message_id(db: sqlite_utils.Database, message: int) -> int | None:
    """Returns Telegram's id of a message that was sent, None for any other."""
    sql = "SELECT message_id FROM outbox WHERE id = ? AND status = 'sent'"
    return records.select_value(db, int, sql, (message,))


class SentPush(msgspec.Struct, frozen=True):
    """A message that was sent, once and in one part; `theme` is what its chat has set."""

    dedup: str
    chat_id: int
    message_id: int
    payload: str
    theme: str | None

    @property
    def body(self) -> MessageBody:
        """Returns the decoded payload."""
        return msgspec.json.decode(self.payload, type=MessageBody)


def sent_pushes(db: sqlite_utils.Database, dedups: Collection[str]) -> list[SentPush]:
    """Returns those of some messages that were sent, but for possible repeats, which say so."""
    sql = """
        SELECT dedup, chat_id, message_id, payload, theme FROM outbox LEFT JOIN chats USING (chat_id)
        WHERE dedup IN (SELECT value FROM json_each(?)) AND outbox.status = 'sent' AND unknown = 0
        ORDER BY id
    """
    return records.select_as(db, SentPush, sql, (json.dumps(list(dedups)),))


def count_by_status(db: sqlite_utils.Database, *, sent: bool = False) -> dict[str, int]:
    """Returns the number of messages by status; a status without any is absent.

    Those that were sent, which are by far the most, are counted only with `sent`.
    """
    among = "" if sent else "WHERE status IN ('queued', 'held', 'sending', 'waiting', 'ambiguous', 'dead')"
    sql = f"SELECT status, count(*) FROM outbox {among} GROUP BY status ORDER BY status"  # noqa: S608 - fixed text
    return dict(db.execute(sql).fetchall())


def has_ambiguous(db: sqlite_utils.Database) -> bool:
    """Whether the outcome of a message is unknown."""
    return bool(records.select_value(db, int, "SELECT 1 FROM outbox WHERE status = 'ambiguous' LIMIT 1"))


def next_due(db: sqlite_utils.Database, *, only_chat: int | None = None, except_chat: int | None = None) -> str | None:
    """Returns the instant from which the next message may be sent, or None when none waits.

    Halts and chats that are asleep put it off.
    """
    sql = f"""
        SELECT min(max(not_before,
            coalesce((SELECT next_try FROM chats WHERE chats.chat_id = outbox.chat_id), ''),
            coalesce((SELECT until FROM halts WHERE halts.chat_id = outbox.chat_id), ''),
            coalesce((SELECT until FROM halts WHERE halts.chat_id = 0), '')))
        FROM outbox WHERE status IN ('queued', 'waiting') AND NOT EXISTS (
            SELECT 1 FROM chats WHERE chats.chat_id = outbox.chat_id AND chats.status = 'inactive')
        {_SERVED_CHATS}
    """  # noqa: S608 - fixed text
    return records.select_value(db, str, sql, {"only": only_chat, "except": except_chat})


def prune(db: sqlite_utils.Database, before: records.Moment, limit: int) -> int:
    """Delete up to `limit` messages that were sent or given up before an instant. Returns how many."""
    sql = """
        DELETE FROM outbox WHERE id IN (
            SELECT id FROM outbox INDEXED BY outbox_finished
            WHERE status IN ('sent', 'dead') AND updated_at < ? LIMIT ?)
    """
    return records.change(db, sql, (records.instant(before), limit))


# Messages whose outcome is unknown: after a lost answer, a crash or a restore.


def mark_interrupted(db: sqlite_utils.Database, now: records.Moment) -> int:
    """Treat what a crash left `sending` as an unknown outcome. Returns how many messages.

    A summary is given up, because it is never repeated; anything else must not be lost. The number of parts
    that were delivered stays at the head of the reason.
    """
    sql = """
        UPDATE outbox SET
            status = CASE kind WHEN 'summary' THEN 'dead' ELSE 'ambiguous' END,
            unknown = unknown + 1,
            reason = CASE WHEN reason LIKE 'after part %' THEN substr(reason, 1, instr(reason, ': ') + 1)
                ELSE '' END || 'cut off while sending',
            updated_at = ?
        WHERE status = 'sending'
    """
    return records.change(db, sql, (records.instant(now),))


def requeue_ambiguous(db: sqlite_utils.Database, not_before: records.Moment) -> int:
    """Let ambiguous messages be sent once more, marked as possible repeats, but not before an instant.

    Returns how many.
    """
    sql = "UPDATE outbox SET status = 'waiting', not_before = ? WHERE status = 'ambiguous'"
    return records.change(db, sql, (records.not_earlier(not_before),))


def postpone(db: sqlite_utils.Database, message: int, not_before: records.Moment) -> str:
    """Let a waiting message wait until an instant."""
    sql = "UPDATE outbox SET not_before = ? WHERE id = ? AND status = 'waiting'"
    return "waiting" if records.change(db, sql, (records.not_earlier(not_before), message)) else ""


@dataclass(frozen=True)
class RestoreReport:
    """What a backup contained, and what was done about it.

    last_tick  of the bot before the backup was made, None before the first
    repeats    number of waiting messages, which are sent once more with a mark
    summaries  number of waiting summaries, which are given up
    """

    last_tick: dt.datetime | None
    repeats: int
    summaries: int


def settle_restore(db: sqlite_utils.Database, now: records.Moment) -> RestoreReport:
    """Prepare a backup that takes the database's place at `now`, so that nothing is repeated without a mark.

    What the replaced database sent until now is not known. So messages that wait in the backup are treated
    as after a crash, and the instant is stored, by which `enqueue` and `chat_store.skip_before_restore` know
    what may have been sent before.
    """
    sql = """
        UPDATE outbox SET
            status = CASE kind WHEN 'summary' THEN 'dead' ELSE 'ambiguous' END,
            unknown = unknown + 1, reason = 'waited when the backup was made', updated_at = ?
        WHERE status NOT IN ('sent', 'dead') RETURNING status
    """
    statuses = [row["status"] for row in records.select(db, sql, (records.instant(now),))]
    records.set_meta(db, sources.RESTORED_AT, records.instant(now))
    return RestoreReport(sources.last_heartbeat(db), statuses.count("ambiguous"), statuses.count("dead"))


# Changes of messages of which surely nothing was sent; of any other they return None or False.
_UNSENT = "status IN ('queued', 'waiting') AND unknown = 0 AND reason NOT LIKE 'after part %'"


def find_amendable(db: sqlite_utils.Database, message: int) -> OutboxMessage | None:
    """Returns a message that can still be changed."""
    return records.select_first(db, OutboxMessage, f"SELECT * FROM outbox WHERE id = ? AND {_UNSENT}", (message,))  # noqa: S608 - fixed text


def unsent_alerts(db: sqlite_utils.Database, chat_id: int) -> list[int]:
    """Returns the ids of a chat's messages about alerts that can still be changed."""
    sql = f"SELECT id FROM outbox WHERE chat_id = ? AND kind = 'alert' AND {_UNSENT}"  # noqa: S608 - fixed text
    return [row["id"] for row in records.select(db, sql, (chat_id,))]


def amend(db: sqlite_utils.Database, message: int, body: MessageBody) -> bool:
    """Replace a message's content."""
    sql = f"UPDATE outbox SET payload = ? WHERE id = ? AND {_UNSENT}"  # noqa: S608 - fixed text
    return records.change(db, sql, (_encode(body), message)) == 1


def withdraw(db: sqlite_utils.Database, message: int) -> bool:
    """Delete a message."""
    return records.change(db, f"DELETE FROM outbox WHERE id = ? AND {_UNSENT}", (message,)) == 1  # noqa: S608 - fixed text


def replace_summaries(db: sqlite_utils.Database, chat_id: int, by: int, now: records.Moment) -> int:
    """Give up the chat's summaries from before the message `by`, a newer one. Returns how many."""
    sql = f"""
        UPDATE outbox SET status = 'dead', reason = 'a newer one took its place', updated_at = ?
        WHERE chat_id = ? AND kind = 'summary' AND id < ? AND {_UNSENT}
    """  # noqa: S608 - fixed text
    return records.change(db, sql, (records.instant(now), chat_id, by))


# Notices to chats that refuse messages. One that names somebody is the owner's, and is not held.

_MOST_BUTTONS = 100  # Telegram accepts no more


def hold_notices(db: sqlite_utils.Database, chat_id: int) -> None:
    """Hold a chat's notices, also those that were joined to a message that can still be changed."""
    sql = f"""SELECT * FROM outbox WHERE chat_id = ? AND payload LIKE '%"joined":[%' AND {_UNSENT}"""  # noqa: S608 - fixed text
    for message in records.select_as(db, OutboxMessage, sql, (chat_id,)):
        for dedup, thread_id, payload in message.body.joined:
            row = {"chat_id": chat_id, "thread_id": thread_id, "kind": "notice", "dedup": dedup}
            at = dict.fromkeys(("not_before", "created_at", "updated_at"), records.instant(message.created_at))
            records.insert(db, "outbox", {**row, **at, "payload": payload, "status": "held"}, unique=("dedup",))
        if message.kind == "notice":
            withdraw(db, message.id)
    sql = f"""
        UPDATE outbox SET status = 'held'
        WHERE chat_id = ? AND kind = 'notice' AND payload NOT LIKE '%"names":[%' AND {_UNSENT}
    """  # noqa: S608 - fixed text
    db.execute(sql, (chat_id,))


def held_notices(db: sqlite_utils.Database, chat_id: int | None = None) -> list[OutboxMessage]:
    """Returns the held notices of a chat, or of all that are not inactive, oldest first."""
    sql = """
        SELECT outbox.* FROM outbox JOIN chats USING (chat_id)
        WHERE outbox.status = 'held' AND chats.status <> 'inactive' AND (:chat IS NULL OR chat_id = :chat)
        ORDER BY id
    """
    return records.select_as(db, OutboxMessage, sql, {"chat": chat_id})


def join_held(db: sqlite_utils.Database, place: tuple[int, int | None], to: int | None, now: records.Moment) -> None:
    """Join a chat's held notices to the message `to`, or queue them as one message in a topic."""
    chat_id, thread_id = place
    held = held_notices(db, chat_id)
    if not held:
        return
    if to is None and len(held) == 1:
        records.change(db, "UPDATE outbox SET status = 'queued' WHERE status = 'held' AND chat_id = ?", (chat_id,))
        return
    target = find_amendable(db, to) if to is not None else None
    bodies = [message.body for message in (*([target] if target else []), *held)]
    rows, shown = list[list[tuple[str, str]]](), set[tuple[str, str]]()
    for row in (row for body in bodies for row in body.buttons):
        new = [button for button in row if button not in shown]
        if new and len(shown) + len(new) <= _MOST_BUTTONS:
            rows.append(new)
            shown.update(new)
    body = msgspec.structs.replace(
        bodies[0],
        html="\n\n".join(body.html for body in bodies),
        buttons=rows,
        silent=all(body.silent for body in bodies),
        joined=[(message.dedup, message.thread_id, message.payload) for message in held],
    )
    db.execute("DELETE FROM outbox WHERE status = 'held' AND chat_id = ?", (chat_id,))
    if target is not None:
        amend(db, target.id, body)
    else:
        enqueue(db, NewMessage(chat_id, thread_id, "notice", f"joined:{held[0].id}", body), now)


# Halts, and clocks that were ahead.

EVERY_CHAT = 0  # the chat_id of a halt of all sending


class Halt(msgspec.Struct, frozen=True):
    """Nothing may be sent to a chat (EVERY_CHAT: to nobody) before `until`."""

    chat_id: int
    until: dt.datetime


def begin_halt(db: sqlite_utils.Database, chat_id: int, until: records.Moment) -> None:
    """Send nothing to a chat (EVERY_CHAT: to nobody) before an instant; the later of two counts."""
    sql = """
        INSERT INTO halts (chat_id, until) VALUES (?, ?)
        ON CONFLICT (chat_id) DO UPDATE SET until = max(until, excluded.until)
    """
    db.execute(sql, (chat_id, records.not_earlier(until)))


def current_halts(db: sqlite_utils.Database, now: records.Moment) -> list[Halt]:
    """Returns the halts in force."""
    return records.select_as(db, Halt, "SELECT * FROM halts WHERE until > ? ORDER BY chat_id", (records.instant(now),))


# Quiet hours, back-off, sleep and the halts that Telegram names are all shorter.
LONGEST_WAIT = dt.timedelta(days=2)


def release_delayed(db: sqlite_utils.Database, now: dt.datetime) -> int:
    """Release what waits beyond LONGEST_WAIT, after a clock that was ahead. Returns how many messages."""
    farthest = records.instant(now + LONGEST_WAIT)
    db.execute("DELETE FROM halts WHERE until > ?", (farthest,))
    db.execute("UPDATE chats SET next_try = ? WHERE next_try > ?", (records.instant(now), farthest))
    sql = "UPDATE outbox SET not_before = ? WHERE status IN ('queued', 'waiting') AND not_before > ?"
    return records.change(db, sql, (records.instant(now), farthest))
