"""The outcome of sending: a table from errors to their classes, and one from classes to status changes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

import httpx
from telegram.error import (
    BadRequest,
    ChatMigrated,
    Conflict,
    Forbidden,
    InvalidToken,
    NetworkError,
    RetryAfter,
    TelegramError,
)

from bot.concurrency import Backoff
from bot.delivery.rate_limiter import SendPostponed, seconds_of
from bot.messages.html import escape
from bot.secrets import redact
from storage import alert_store, chat_store, outbox
from storage.database import Refused, StorageError

if TYPE_CHECKING:
    import sqlite_utils

    from storage.database import Database
    from storage.outbox import OutboxMessage


# Writes a message's new status and returns it.
StatusWrite: TypeAlias = "Callable[[sqlite_utils.Database], str]"


@dataclass(frozen=True)
class DrainReport:
    """Counts of messages by their new status after a drain; `stopped` is why due ones were not tried."""

    sent: int = 0
    waiting: int = 0
    ambiguous: int = 0
    dead: int = 0
    stopped: str = ""


class StatusWrites:
    """Status changes that are not written yet, after a full disk or a cancelled task.

    They are written before anything more is sent. A change may run twice (its task was cancelled, its transaction was
    not), so a second run has no effect. One that fails by a fault of its own is dropped, because it would fail again
    and block all others; its message stays `sending`, an unknown outcome at the next start.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._unwritten: list[StatusWrite] = []

    def keep(self, change: StatusWrite) -> None:
        """Keep a change for the next flush."""
        self._unwritten.append(change)

    async def write(self, change: StatusWrite) -> str:
        """Run a change in its own transaction and return the status. It is kept until that has worked."""
        self.keep(change)
        return await self._run(change)

    async def flush(self) -> None:
        """Write the kept changes. Raises StorageError while that is impossible."""
        for change in tuple(self._unwritten):
            await self._run(change)

    async def _run(self, change: StatusWrite) -> str:
        try:
            status = await self._database.run(change)
        except Exception as error:
            if isinstance(error, Refused) or not isinstance(error, StorageError):
                self._unwritten.remove(change)
            raise
        self._unwritten.remove(change)
        return status


class ErrorClass(Enum):
    """What an error means for the message: whether it was delivered, and what is done."""

    LATER = "not delivered: sent again later"
    UNKNOWN = "perhaps delivered"
    HALTED = "not delivered: sent again after the time that Telegram names"
    LEFT = "not delivered: the bot may not write to this chat"
    ASLEEP = "not delivered: the chat refuses messages, which may pass"
    MIGRATED = "not delivered: the chat has another id"
    PLAIN = "not delivered: sent again as plain text"
    NO_TOPIC = "not delivered: sent again without the topic"
    NO_FILE = "not delivered: sent again without the picture or file"
    NOTHING = "nothing to do"
    DEAD = "not delivered: given up"
    PAUSED = "not delivered: nothing can be sent with this token now"


# Telegram does not answer, so that further requests are of no use now.
NO_ANSWER = (ErrorClass.LATER, ErrorClass.UNKNOWN, ErrorClass.PAUSED)


@dataclass(frozen=True)
class ErrorRule:
    """The class of errors of a type whose text matches a pattern and whose cause is one of `causes`."""

    error_type: type[TelegramError]
    error_class: ErrorClass
    pattern: str = ""
    causes: tuple[type[Exception], ...] = ()  # empty: any

    def matches(self, error: BaseException) -> bool:
        """Whether the rule is about this error."""
        return (
            isinstance(error, self.error_type)
            and (not self.causes or isinstance(error.__cause__, self.causes))
            and bool(re.search(self.pattern, str(error), re.IGNORECASE))
        )


# Causes, errors of httpx, after which no byte was sent: no connection was made, or none was free.
UNCONNECTED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError, httpx.UnsupportedProtocol)
GONE = "group chat was (deactivated|deleted)|user is deactivated|USER_DEACTIVATED"
# Refusals that an administrator, or the person, may end at any time.
ASLEEP = (
    "chat not found|not enough rights|(have|has) no (rights|(write )?access)|can't access the chat"
    "|need administrator rights|CHAT_(WRITE|SEND_[A-Z]{1,20}|GUEST_SEND)_FORBIDDEN|CHAT_RESTRICTED"
    "|CHAT_ADMIN_REQUIRED|CHAT_FORBIDDEN"
    "|(USER|BOT)_(BANNED|RESTRICTED)|CHANNEL_(PRIVATE|INVALID)|(PEER|CHAT)_ID_INVALID|PREMIUM_REQUIRED"
    "|PAYMENT_REQUIRED|closed forum topic"
)
BAD_FILE = (
    "rights to send (photos|documents)|CHAT_SEND_(PHOTOS|DOCS|MEDIA)_FORBIDDEN|IMAGE_PROCESS_FAILED"
    "|PHOTO_INVALID|PHOTO_SAVE|wrong file identifier|file must be non-empty|caption is too long"
)
# The first rule that matches counts. BadRequest and TimedOut are subclasses of NetworkError.
RULES = (
    ErrorRule(RetryAfter, ErrorClass.HALTED),
    ErrorRule(ChatMigrated, ErrorClass.MIGRATED),
    ErrorRule(Forbidden, ErrorClass.ASLEEP, "not enough rights|CHAT_WRITE_FORBIDDEN"),
    ErrorRule(Forbidden, ErrorClass.LEFT),
    ErrorRule(InvalidToken, ErrorClass.PAUSED),
    ErrorRule(Conflict, ErrorClass.PAUSED),
    ErrorRule(BadRequest, ErrorClass.NO_FILE, BAD_FILE),
    ErrorRule(BadRequest, ErrorClass.LEFT, GONE),
    ErrorRule(BadRequest, ErrorClass.ASLEEP, ASLEEP),
    ErrorRule(BadRequest, ErrorClass.PLAIN, "can't parse entities"),
    ErrorRule(BadRequest, ErrorClass.NO_TOPIC, "message thread not found|TOPIC_CLOSED|TOPIC_DELETED"),
    ErrorRule(BadRequest, ErrorClass.NOTHING, "not modified|query is too old"),
    ErrorRule(BadRequest, ErrorClass.DEAD),
    ErrorRule(NetworkError, ErrorClass.LATER, causes=UNCONNECTED),
    ErrorRule(NetworkError, ErrorClass.LATER, "Too Many Requests|HTTPXRequest is not initialized"),
    ErrorRule(NetworkError, ErrorClass.NO_FILE, "Request Entity Too Large"),
    ErrorRule(TelegramError, ErrorClass.UNKNOWN),
)


def classify(error: BaseException) -> ErrorClass:
    """Returns the class of an error. One that is not Telegram's is the program's own fault: DEAD."""
    return next((rule.error_class for rule in RULES if rule.matches(error)), ErrorClass.DEAD)


RETRIES = Backoff(timedelta(seconds=5), timedelta(minutes=15))
REPEATS = Backoff(timedelta(minutes=1), timedelta(hours=6))  # between sends of unknown outcome
GIVE_UP_AGE = timedelta(hours=24)
# The waits from the second send to the 14th are 26 h together: 1, 2, 4 ... 256 min, then three times 6 h.
GIVE_UP_SENDS = 14
PAUSE = timedelta(minutes=1)
GAVE_UP = "gave-up:"  # head of the deduplication key of notices to the owner


def error_text(error: TelegramError) -> str:
    """Return the error in words, without the token that some of Telegram's errors contain."""
    if isinstance(error, InvalidToken):
        return "the token is refused"
    # A proxy's answer may repeat the address with the token, and some of these texts are stored.
    text = redact(str(error))
    if isinstance(error, NetworkError):
        return text.removeprefix("httpx.") or type(error).__name__
    return text


def reason_after(done: int, reason: str) -> str:
    """Returns a reason that begins with the number of delivered parts, after which a later try goes on."""
    return f"after part {done}: {reason}" if done else reason


def delivered_parts(message: OutboxMessage) -> int:
    """Returns how many parts of a message were delivered, which is kept at the head of its reason."""
    match = re.match(r"after part (\d+): ", message.reason)
    return int(match[1]) if match else 0


@dataclass(frozen=True)
class FailedSend:
    """A message that could not be sent, and why.

    done      number of its parts that were delivered
    jitter    a number in [0, 1) that spreads retries
    owner     the chat that is told of messages given up
    halted    remaining seconds of a halt of all chats
    """

    message: OutboxMessage
    error: BaseException
    reason: str
    now: datetime
    done: int = 0
    jitter: float = 0.0
    owner: int | None = None
    halted: float = 0.0

    @property
    def stored_reason(self) -> str:
        """Returns the reason with the number of delivered parts."""
        return reason_after(self.done, self.reason)


def settle_failure(db: sqlite_utils.Database, failure: FailedSend, error_class: ErrorClass) -> str:
    """Change a message as its error class requires, and return its new status. A second run has no effect.

    Meanwhile the chat may have been deleted; then nothing is stored about it. Or its id may have changed;
    then what Telegram answered about the old id does not apply to the new one.
    """
    chat_id = outbox.chat_of_message(db, failure.message.id)
    if chat_id is None:
        return "dead"
    of_the_chat = (ErrorClass.HALTED, ErrorClass.LEFT, ErrorClass.MIGRATED, *REFUSED_BY_CHAT)
    if chat_id != failure.message.chat_id and error_class in of_the_chat:
        return _requeue(db, failure, failure.now)
    return _ACTIONS.get(error_class, _give_up)(db, failure)


def _requeue(db: sqlite_utils.Database, failure: FailedSend, until: datetime, *, counts: bool = False) -> str:
    return outbox.retry_at(db, failure.message.id, until, failure.stored_reason, count_attempt=counts)


def _retry_later(db: sqlite_utils.Database, failure: FailedSend) -> str:
    wait = RETRIES.wait(failure.message.attempts, failure.jitter)
    return _requeue(db, failure, failure.now + wait, counts=True)


def _repeat_or_give_up(db: sqlite_utils.Database, failure: FailedSend) -> str:
    """Give up a summary, which is never repeated, and other messages after both all sends and a day."""
    message = failure.message
    age = abs(failure.now - message.created_at)  # absolute, because the clock may have been ahead
    exhausted = message.unknown + 1 >= GIVE_UP_SENDS and age >= GIVE_UP_AGE
    if message.kind == "summary" or exhausted:
        return _give_up(db, failure)
    return outbox.mark_ambiguous(db, message.id, failure.stored_reason, failure.now)


def _wait_for_halt(db: sqlite_utils.Database, failure: FailedSend) -> str:
    """Wait as long as Telegram asks. After SendPostponed the budget knows when sending is possible."""
    if not isinstance(failure.error, RetryAfter):
        raise TypeError(f"{failure.error!r} names no time to wait")
    if isinstance(failure.error, SendPostponed):
        return _requeue(db, failure, failure.now)
    until = failure.now + timedelta(seconds=seconds_of(failure.error))
    outbox.begin_halt(db, failure.message.chat_id, until)
    if failure.halted > 0:
        outbox.begin_halt(db, outbox.EVERY_CHAT, failure.now + timedelta(seconds=failure.halted))
    return _requeue(db, failure, until)


def _deactivate_chat(db: sqlite_utils.Database, failure: FailedSend) -> str:
    """Deactivate the chat. Alerts and notices wait for its return; anything else is given up."""
    message = failure.message
    known = chat_store.deactivate(db, message.chat_id, failure.reason)
    if known and message.kind in ("alert", "notice"):
        return _requeue(db, failure, failure.now)
    outbox.mark_dead(db, message.id, failure.stored_reason, failure.now)
    return "dead"


# Without a topic to leave, a closed one is the chat's own.
REFUSED_BY_CHAT = (ErrorClass.ASLEEP, ErrorClass.NO_TOPIC)


def put_to_sleep(
    db: sqlite_utils.Database,
    chat_id: int,
    reason: str,
    now: datetime,
    owner: int | None,
    pause: timedelta = chat_store.PROBE_AFTER,
) -> bool:
    """Let a chat that refuses messages sleep, and tell the owner once a sleep. Returns whether it is known.

    What is queued about its alerts is deferred. After `pause` the chat is tried again.
    """
    before = chat_store.put_to_sleep(db, chat_id, reason, now, now + pause)
    if before is None or before.status == "inactive":
        return before is not None
    alert_store.defer_queued(db, chat_id)
    if before.refused_at is None and owner not in (None, chat_id):
        name = f"“{before.title}” ({chat_id})" if before.title else f"{chat_id}"
        text = (
            f"Chat {name} refuses messages: {reason.rstrip('.')}. What its alerts report waits; it is tried "
            "once a day, and when somebody writes there."
        )
        body = outbox.MessageBody(escape(text), names=[chat_id])
        dedup = f"asleep:{chat_id}:{now:%Y-%m-%dT%H:%M:%S}"
        outbox.enqueue(db, outbox.NewMessage(owner, None, "notice", dedup, body), now)
    return True


def _let_sleep(db: sqlite_utils.Database, failure: FailedSend) -> str:
    """Let the chat sleep. Alerts and notices wait until it takes messages; anything else is given up."""
    message = failure.message
    status = _requeue(db, failure, failure.now)
    known = put_to_sleep(db, message.chat_id, failure.reason, failure.now, failure.owner)
    if known and message.kind in ("alert", "notice"):
        return status
    outbox.mark_dead(db, message.id, failure.stored_reason, failure.now)
    return "dead"


def _change_chat_id(db: sqlite_utils.Database, failure: FailedSend) -> str:
    """Change the chat id everywhere and send again at once, a few times at most."""
    if not isinstance(failure.error, ChatMigrated):
        raise TypeError(f"{failure.error!r} names no new chat id")
    new = failure.error.new_chat_id
    moved = chat_store.migrate_chat(db, failure.message.chat_id, new)
    if not moved and chat_store.get_chat(db, new) is None:
        return _give_up(db, failure)
    if failure.message.attempts >= 3:
        return _retry_later(db, failure)
    return _requeue(db, failure, failure.now, counts=True)


def _give_up(db: sqlite_utils.Database, failure: FailedSend) -> str:
    """Give the message up and tell the owner, once a day for each reason."""
    message, reason = failure.message, failure.reason
    outbox.mark_dead(db, message.id, failure.stored_reason, failure.now)
    is_reported = message.kind in ("alert", "notice") and not message.dedup.startswith(GAVE_UP)
    if failure.owner is not None and is_reported:
        text = f"A message to chat {message.chat_id} was given up: {reason}"
        body = outbox.MessageBody(escape(text), names=[message.chat_id])
        dedup = f"{GAVE_UP}{failure.now:%Y-%m-%d}:{reason}"
        outbox.enqueue(db, outbox.NewMessage(failure.owner, None, "notice", dedup, body), failure.now)
    return "dead"


# Any other class gives the message up; a concession was made before or is not possible.
_ACTIONS: dict[ErrorClass, Callable[[sqlite_utils.Database, FailedSend], str]] = {
    ErrorClass.LATER: _retry_later,
    ErrorClass.UNKNOWN: _repeat_or_give_up,
    ErrorClass.HALTED: _wait_for_halt,
    ErrorClass.LEFT: _deactivate_chat,
    ErrorClass.ASLEEP: _let_sleep,
    ErrorClass.NO_TOPIC: _let_sleep,
    ErrorClass.MIGRATED: _change_chat_id,
    ErrorClass.NOTHING: lambda db, failure: outbox.mark_sent(db, failure.message.id, None, failure.now),
    ErrorClass.PAUSED: lambda db, failure: _requeue(db, failure, failure.now + PAUSE),
}
