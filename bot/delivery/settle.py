"""What a failed send does to its message: a table from error classes to status changes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from telegram.error import ChatMigrated, RetryAfter

from bot.concurrency import Backoff
from bot.delivery.verdicts import ErrorClass
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


def reason_after(done: int, reason: str) -> str:
    """A reason that remembers how many parts have arrived, so that a later try begins after them."""
    return f"after part {done}: {reason}" if done else reason


@dataclass(frozen=True)
class FailedSend:
    """A message that is being sent, and what went wrong.

    done      how many of its parts have arrived
    jitter    a number in [0, 1) that spreads retries out
    owner     the chat told of messages given up
    everyone  seconds for which nothing may be sent to anybody
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


def settle_failure(db: sqlite_utils.Database, failure: FailedSend, error_class: ErrorClass) -> str:
    """Change a message as its error class demands, and return its new status. Runs twice without harm.

    Meanwhile the chat may have been forgotten: then nothing is left to change, and nothing is stored about
    it. Or it may have moved: what Telegram says of its old id does not hold for the new one.
    """
    chat_id = outbox.chat_of(db, failure.message.id)
    if chat_id is None:
        return "dead"
    if chat_id != failure.message.chat_id and error_class in _OF_THE_CHAT:
        return _wait(db, failure, failure.now)
    return _OUTCOMES[error_class](db, failure)


def mark_sent(
    db: sqlite_utils.Database, message: OutboxMessage, message_id: int | None, now: datetime
) -> str:
    """Mark a message sent, all parts of which have arrived."""
    outbox.mark_sent(db, message.id, message_id, now)
    return "sent"


def note_progress(db: sqlite_utils.Database, message: OutboxMessage, done: int) -> str:
    """Note how many parts have arrived while others follow, so that not even a crash sends those again."""
    outbox.note(db, message.id, reason_after(done, "the rest is on its way"))
    return "sending"


def give_back(db: sqlite_utils.Database, message: OutboxMessage, until: datetime) -> str:
    """Give back a message for which no request was made. It waits until `until`, otherwise unchanged."""
    outbox.retry_at(db, message.id, until, message.reason, count_attempt=False)
    return "waiting"


def _wait(db: sqlite_utils.Database, failure: FailedSend, until: datetime, *, counts: bool = False) -> str:
    outbox.retry_at(db, failure.message.id, until, failure.note, count_attempt=counts)
    return "waiting"


def _later(db: sqlite_utils.Database, failure: FailedSend) -> str:
    wait = RETRIES.wait(failure.message.attempts, failure.jitter)
    return _wait(db, failure, failure.now + wait, counts=True)


def _unknown(db: sqlite_utils.Database, failure: FailedSend) -> str:
    """A summary is never repeated; anything else is, until both the sends and the day are used up."""
    message = failure.message
    if message.kind == "summary":
        return _dead(db, failure)
    age = abs(failure.now - message.created_at)  # a clock that was ahead when it was queued is no excuse
    if message.unknown + 1 >= GIVE_UP_SENDS and age >= GIVE_UP_AGE:
        return _dead(db, failure)
    outbox.mark_ambiguous(db, message.id, failure.note, failure.now)
    return "ambiguous"


def _halted(db: sqlite_utils.Database, failure: FailedSend) -> str:
    """Wait as long as Telegram asks. After SendPostponed the budget itself knows when sending is possible."""
    if not isinstance(failure.error, RetryAfter):
        raise TypeError(f"{failure.error!r} names no time to wait")
    if isinstance(failure.error, SendPostponed):
        return _wait(db, failure, failure.now)
    until = failure.now + timedelta(seconds=seconds_of(failure.error))
    halts.begin_halt(db, failure.message.chat_id, until)
    if failure.everyone > 0:
        halts.begin_halt(db, halts.EVERY_CHAT, failure.now + timedelta(seconds=failure.everyone))
    return _wait(db, failure, until)


def _left(db: sqlite_utils.Database, failure: FailedSend) -> str:
    """Deactivate the chat. Alerts and notices wait for its return, anything else is given up."""
    message = failure.message
    known = chats.deactivate(db, message.chat_id, failure.reason)
    if known and message.kind in ("alert", "notice"):
        return _wait(db, failure, failure.now)
    outbox.mark_dead(db, message.id, failure.note, failure.now)
    return "dead"


def _migrated(db: sqlite_utils.Database, failure: FailedSend) -> str:
    """Change the chat id everywhere and send again at once, a few times at most."""
    if not isinstance(failure.error, ChatMigrated):
        raise TypeError(f"{failure.error!r} names no new chat id")
    new = failure.error.new_chat_id
    moved = chats.migrate_chat(db, failure.message.chat_id, new)
    if not moved and chats.get_chat(db, new) is None:
        return _dead(db, failure)
    return (
        _wait(db, failure, failure.now, counts=True) if failure.message.attempts < 3 else _later(db, failure)
    )


def _nothing(db: sqlite_utils.Database, failure: FailedSend) -> str:
    outbox.mark_sent(db, failure.message.id, None, failure.now)
    return "sent"


def _paused(db: sqlite_utils.Database, failure: FailedSend) -> str:
    return _wait(db, failure, failure.now + PAUSE)


def _dead(db: sqlite_utils.Database, failure: FailedSend) -> str:
    """Give the message up and tell the owner, once a day for each reason."""
    message = failure.message
    outbox.mark_dead(db, message.id, failure.note, failure.now)
    if (
        failure.owner is not None
        and message.kind in ("alert", "notice")
        and not message.dedup.startswith(GAVE_UP)
    ):
        text = f"A message to chat {message.chat_id} was given up: {failure.reason}"
        outbox.enqueue(
            db,
            chat_id=failure.owner,
            kind="notice",
            dedup=f"{GAVE_UP}{failure.now:%Y-%m-%d}:{failure.reason}",
            payload={
                "html": escape(text),
                "plain": text,
                "buttons": [],
                "silent": False,
                "names": [message.chat_id],
            },
            now=failure.now,
        )
    return "dead"


_OF_THE_CHAT = (ErrorClass.HALTED, ErrorClass.LEFT, ErrorClass.MIGRATED)
_OUTCOMES: dict[ErrorClass, Callable[[sqlite_utils.Database, FailedSend], str]] = {
    ErrorClass.LATER: _later,
    ErrorClass.UNKNOWN: _unknown,
    ErrorClass.HALTED: _halted,
    ErrorClass.LEFT: _left,
    ErrorClass.MIGRATED: _migrated,
    ErrorClass.PLAIN: _dead,  # and the next two: the concession was made, or could not be
    ErrorClass.NO_TOPIC: _dead,
    ErrorClass.NO_PHOTO: _dead,
    ErrorClass.NOTHING: _nothing,
    ErrorClass.DEAD: _dead,
    ErrorClass.PAUSED: _paused,
}
