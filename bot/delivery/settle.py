"""What a verdict does to a row: one table from verdicts to steps, each a transaction of the database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from telegram.error import ChatMigrated, RetryAfter

from bot.concurrency import Backoff
from bot.delivery.parts import reason_after
from bot.delivery.verdicts import Verdict
from bot.ratelimit import SendPostponed, seconds_of
from bot.rendering.text import escape
from storage import chats, halts, outbox

if TYPE_CHECKING:
    from collections.abc import Callable

    import sqlite_utils

    from storage.outbox import OutboxMessage

RETRIES = Backoff(timedelta(seconds=5), timedelta(minutes=15))
REPEATS = Backoff(timedelta(minutes=1), timedelta(hours=6))  # between sends of unknown outcome
GIVE_UP_AGE = timedelta(hours=24)
# From the second send to the 14th the rests make 26 h: 1, 2, 4 ... 256 min, then three times 6 h.
GIVE_UP_SENDS = 14
PAUSE = timedelta(minutes=1)
GAVE_UP = "gave-up:"  # head of the key under which the owner is told


@dataclass(frozen=True)
class Case:
    """A row being sent and what went wrong; `done` parts arrived, `jitter` lies in [0, 1).

    `everyone` is for how many seconds nothing may be sent to anybody.
    """

    message: OutboxMessage
    error: BaseException
    reason: str
    now: datetime
    done: int = 0
    jitter: float = 0.0
    owner: int | None = None
    everyone: float = 0.0

    @property
    def note(self) -> str:
        """The reason to store."""
        return reason_after(self.done, self.reason)


def settle(db: sqlite_utils.Database, case: Case, verdict: Verdict) -> str:
    """Apply a verdict to the case's row; the row's new status. A second time it changes nothing.

    Meanwhile the chat may have been forgotten: then there is nothing left to settle, and nothing is noted
    of it. It may have moved: what Telegram says of its old id says nothing of the new one.
    """
    chat_id = outbox.chat_of(db, case.message.id)
    if chat_id is None:
        return "dead"
    if chat_id != case.message.chat_id and verdict in _OF_THE_CHAT:
        return _wait(db, case, case.now)
    return _STEPS[verdict](db, case)


def sent(db: sqlite_utils.Database, message: OutboxMessage, message_id: int | None, now: datetime) -> str:
    """All parts have arrived."""
    outbox.mark_sent(db, message.id, message_id, now)
    return "sent"


def begun(db: sqlite_utils.Database, message: OutboxMessage, done: int) -> str:
    """So many parts have arrived and others follow: not even a crash must send those again."""
    outbox.note(db, message.id, reason_after(done, "the rest is on its way"))
    return "sending"


def put_back(db: sqlite_utils.Database, message: OutboxMessage, until: datetime) -> str:
    """No request was made: the row is as it was, not before `until`."""
    outbox.retry_at(db, message.id, until, message.reason, count_attempt=False)
    return "waiting"


def _wait(db: sqlite_utils.Database, case: Case, until: datetime, *, counts: bool = False) -> str:
    outbox.retry_at(db, case.message.id, until, case.note, count_attempt=counts)
    return "waiting"


def _later(db: sqlite_utils.Database, case: Case) -> str:
    wait = RETRIES.wait(case.message.attempts, case.jitter)
    return _wait(db, case, case.now + wait, counts=True)


def _unknown(db: sqlite_utils.Database, case: Case) -> str:
    """A summary is never repeated; anything else is, until both the sends and the day are used up."""
    message = case.message
    if message.kind == "summary":
        return _dead(db, case)
    age = abs(case.now - message.created_at)  # a clock that was ahead when it was queued is no excuse
    if message.unknown + 1 >= GIVE_UP_SENDS and age >= GIVE_UP_AGE:
        return _dead(db, case)
    outbox.mark_ambiguous(db, message.id, case.note, case.now)
    return "ambiguous"


def _halted(db: sqlite_utils.Database, case: Case) -> str:
    """Wait as long as Telegram asks. After SendPostponed the budget itself knows when sending is possible."""
    if not isinstance(case.error, RetryAfter):
        raise TypeError(f"{case.error!r} names no time to wait")
    if isinstance(case.error, SendPostponed):
        return _wait(db, case, case.now)
    until = case.now + timedelta(seconds=seconds_of(case.error))
    halts.begin(db, case.message.chat_id, until)
    if case.everyone > 0:
        halts.begin(db, halts.EVERY_CHAT, case.now + timedelta(seconds=case.everyone))
    return _wait(db, case, until)


def _left(db: sqlite_utils.Database, case: Case) -> str:
    """The chat goes to sleep; what is still worth reading then waits for its return."""
    message = case.message
    known = chats.deactivate(db, message.chat_id, case.reason)
    if known and message.kind in ("alert", "notice"):
        return _wait(db, case, case.now)
    outbox.mark_dead(db, message.id, case.note, case.now)
    return "dead"


def _migrated(db: sqlite_utils.Database, case: Case) -> str:
    """The chat id changes everywhere; the row goes again at once, but not round in circles."""
    if not isinstance(case.error, ChatMigrated):
        raise TypeError(f"{case.error!r} names no new chat id")
    new = case.error.new_chat_id
    moved = chats.migrate_chat(db, case.message.chat_id, new)
    if not moved and chats.get_chat(db, new) is None:
        return _dead(db, case)
    return _wait(db, case, case.now, counts=True) if case.message.attempts < 3 else _later(db, case)


def _nothing(db: sqlite_utils.Database, case: Case) -> str:
    outbox.mark_sent(db, case.message.id, None, case.now)
    return "sent"


def _paused(db: sqlite_utils.Database, case: Case) -> str:
    return _wait(db, case, case.now + PAUSE)


def _dead(db: sqlite_utils.Database, case: Case) -> str:
    """Give the row up and tell the owner, once a day for each reason."""
    message = case.message
    outbox.mark_dead(db, message.id, case.note, case.now)
    if (
        case.owner is not None
        and message.kind in ("alert", "notice")
        and not message.dedup.startswith(GAVE_UP)
    ):
        text = f"A message to chat {message.chat_id} was given up: {case.reason}"
        outbox.enqueue(
            db,
            chat_id=case.owner,
            kind="notice",
            dedup=f"{GAVE_UP}{case.now:%Y-%m-%d}:{case.reason}",
            payload={
                "html": escape(text),
                "plain": text,
                "buttons": [],
                "silent": False,
                "names": [message.chat_id],
            },
            now=case.now,
        )
    return "dead"


_OF_THE_CHAT = (Verdict.HALTED, Verdict.LEFT, Verdict.MIGRATED)
_STEPS: dict[Verdict, Callable[[sqlite_utils.Database, Case], str]] = {
    Verdict.LATER: _later,
    Verdict.UNKNOWN: _unknown,
    Verdict.HALTED: _halted,
    Verdict.LEFT: _left,
    Verdict.MIGRATED: _migrated,
    Verdict.PLAIN: _dead,  # and the next two: the concession was made, or could not be
    Verdict.NO_TOPIC: _dead,
    Verdict.NO_PHOTO: _dead,
    Verdict.NOTHING: _nothing,
    Verdict.DEAD: _dead,
    Verdict.PAUSED: _paused,
}
