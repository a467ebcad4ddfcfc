"""Fetching updates from Telegram, and the order in which they are processed."""

import asyncio
import datetime as dt
import logging
import math
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Annotated, Any, cast
from weakref import WeakValueDictionary

import msgspec
from telegram import Update
from telegram.error import Conflict, RetryAfter, TelegramError, TimedOut
from telegram.ext import BaseUpdateProcessor, ExtBot

from bot.concurrency import Backoff, RunningWork
from bot.delivery.outcome import error_text
from bot.delivery.rate_limiter import seconds_of
from bot.delivery.request import Chat, Member, Message, TelegramRequest, User
from bot.secrets import redact
from bot.text import counted

_log = logging.getLogger(__name__)
ALLOWED_UPDATES = [
    Update.MESSAGE,
    Update.EDITED_MESSAGE,
    Update.CALLBACK_QUERY,
    Update.INLINE_QUERY,
    Update.MY_CHAT_MEMBER,
]
MAX_CONCURRENT_UPDATES = 4096  # including those that wait for their chat
POLL_SECONDS = 10  # how long Telegram keeps a poll open while there are no updates
CONFIRM_SECONDS = 2  # short, because an update that is delivered again changes nothing
POLL_RETRIES = Backoff(dt.timedelta(seconds=1), dt.timedelta(seconds=30))  # while Telegram does not answer
MAX_FAULT = 80  # characters of why an update cannot be read
MAX_WAIT = 900.0  # seconds, whatever Telegram names
ANSWERS_FIRST = 0.002  # seconds before the next poll, in which the answers to this one are on their way
SHORTEST_POLL = 0.5  # seconds; a poll without updates that is shorter is no long poll
# Of two processes with one token the newcomer gives way at once. The other one does if conflicts go on.
NEWCOMER_SECONDS = CONFLICT_SECONDS = 60.0
CONFLICT = "Another process polls Telegram with this token. One bot, one process: stop the other first."


class PerChatProcessor(BaseUpdateProcessor):
    """Processes the updates of one chat in order and those of different chats concurrently.

    Updates that `admits` refuses, those over the quota, are dropped before they wait for their chat, so that
    a flood does not take the place of other people's updates.
    """

    def __init__(self, max_concurrent: int = MAX_CONCURRENT_UPDATES) -> None:
        super().__init__(max_concurrent)
        self.admits: Callable[[Update], bool] = lambda _: True
        self._work = RunningWork()
        self._locks: WeakValueDictionary[object, asyncio.Lock] = WeakValueDictionary()

    async def do_process_update(self, update: object, coroutine: Awaitable[Any]) -> None:
        """Run the update's handlers after those of earlier updates in its chat."""
        handling = cast("Coroutine[Any, Any, Any]", coroutine)
        if isinstance(update, Update) and not self.admits(update):
            handling.close()
            return
        async with self._locks.setdefault(_ordering_key(update), asyncio.Lock()):
            await self._work.run(handling)

    def cut(self) -> None:
        """Cut off what is processed, and drop what waits or comes."""
        self._work.cut()

    async def initialize(self) -> None:
        """Do nothing; the base class requires it."""

    async def shutdown(self) -> None:
        """Do nothing; the base class requires it."""


def _ordering_key(update: object) -> object:
    """Return what an update belongs to: its chat, or its person if there is no chat (inline queries)."""
    if not isinstance(update, Update):
        return None
    chat, user = update.effective_chat, update.effective_user
    return chat.id if chat else ("inline", user.id if user else 0)


class _Button(msgspec.Struct):
    sender: User = msgspec.field(name="from")
    data: str | None = None
    message: Message | None = None


class _InlineQuery(msgspec.Struct):
    sender: User = msgspec.field(name="from")
    query: str


class _Membership(msgspec.Struct):
    chat: Chat
    new_chat_member: Member


class _Identified(msgspec.Struct):
    update_id: Annotated[int, msgspec.Meta(gt=0, lt=2**63 - 1)]


class _ReadableUpdate(_Identified):
    """The fields of an update with the types that the bot relies on."""

    message: Message | None = None
    callback_query: _Button | None = None
    inline_query: _InlineQuery | None = None
    my_chat_member: _Membership | None = None


class UpdatesRequest(TelegramRequest):
    """The request of getUpdates, which empties updates that cannot be read, and counts them.

    The library would raise for the whole poll, again at every poll. A Bot API server of another version that
    leaves out a required field is enough.
    """

    def __init__(self) -> None:
        super().__init__(connection_pool_size=1)
        self.unreadable = 0

    def parse_json_payload(self, payload: bytes) -> dict[str, Any]:  # type: ignore[override]
        """Parse the answer. An unreadable update becomes its id alone; one without an id is left out."""
        answer = TelegramRequest.parse_json_payload(payload)
        updates = answer.get("result")
        if isinstance(updates, list):
            faults = [_fault(update) for update in updates]
            if first := next(filter(None, faults), ""):
                count = len(faults) - faults.count("")
                self.unreadable += count
                words = "%s cannot be read, left out (the first: %s); %d since the start"
                _log.warning(words, counted(count, "update"), first, self.unreadable)
            pairs = zip(updates, faults, strict=True)
            answer["result"] = [_identity(update) if fault else update for update, fault in pairs]
            answer["result"] = list(filter(None, answer["result"]))
        return answer


def _fault(update: object) -> str:
    """Return why an update cannot be read, or ""."""
    try:
        msgspec.convert(update, _ReadableUpdate)
        msgspec.json.encode(update)  # raises for halves of characters, which cannot be stored
        Update.de_json(cast("dict[str, Any]", update), None)
    except Exception as error:  # noqa: BLE001 - the other updates must be answered
        return f"{type(error).__name__}: {error}"[:MAX_FAULT]
    return ""


def _identity(update: object) -> dict[str, Any]:
    """Return the update with nothing but its id, or nothing if it has none."""
    try:
        return msgspec.structs.asdict(msgspec.convert(update, _Identified))
    except msgspec.ValidationError:
        return {}


class Poller:
    """Fetches updates into a queue. Errors are logged in one line, and polling goes on.

    Until `ready` is set, if it is given, nothing takes from the queue, and what was fetched is not confirmed.
    python-telegram-bot's own loop ends silently at the first 401, logs the token with it, and does not pass
    409 on to its caller.
    """

    def __init__(
        self,
        bot: ExtBot[Any],
        queue: asyncio.Queue[object],
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        monotonic: Callable[[], float] = time.monotonic,
        ready: asyncio.Event | None = None,
    ) -> None:
        self._bot, self._queue, self._sleep, self._monotonic = bot, queue, sleep, monotonic
        self._ready = ready
        self._offset = 0
        self._started_at = math.nan
        self._conflicts_since = self._conflict_at = -math.inf

    async def run(self) -> str:
        """Poll until another process uses the token. Returns the message for the operator."""
        failures, self._started_at = 0, self._monotonic()
        while True:
            wait = POLL_RETRIES.wait(failures).total_seconds()
            try:
                problem = await self._poll(POLL_SECONDS)
            except Conflict as error:
                if "webhook" in str(error):
                    problem = "a webhook is set; it is removed, because this bot polls"
                    with suppress(TelegramError):  # an earlier program's, which would receive the updates
                        await self._bot.delete_webhook()
                elif self._gives_way():
                    return CONFLICT
                else:
                    problem = "another process polls with this token"
            except TimedOut:
                _log.warning("Telegram does not answer; polling goes on")
                continue
            except RetryAfter as error:
                problem, wait = "too many requests", min(seconds_of(error), MAX_WAIT)
            except TelegramError as error:
                problem = error_text(error)
            except Exception as error:  # noqa: BLE001 - polling outlives what nobody thought of
                problem = redact(repr(error))
            if not problem:
                failures = 0
                continue
            _log.warning("updates cannot be fetched (%s); next try in %.0f s", problem, wait)
            await self._sleep(wait)
            failures += 1

    def _gives_way(self) -> bool:
        """Return whether this process leaves the token to the other one: at once if it is the newcomer."""
        now = self._monotonic()
        if now - self._conflict_at > CONFLICT_SECONDS:
            self._conflicts_since = now
        self._conflict_at = now
        return now - self._started_at < NEWCOMER_SECONDS or now - self._conflicts_since >= CONFLICT_SECONDS

    async def confirm_updates(self) -> None:
        """Tell Telegram which updates were fetched, so that the next start does not get them again."""
        if not self._offset:
            return
        with suppress(TelegramError, TimeoutError):
            async with asyncio.timeout(CONFIRM_SECONDS):
                await self._bot.get_updates(offset=self._offset, timeout=0, limit=1, allowed_updates=ALLOWED_UPDATES)

    async def _poll(self, seconds: int) -> str:
        """Fetch updates. Returns what is wrong with an answer that would be followed by the next at once."""
        if self._offset and self._ready is not None:
            await self._ready.wait()
        asked_at, offset = self._monotonic(), self._offset
        updates = await self._bot.get_updates(offset=offset, timeout=seconds, allowed_updates=ALLOWED_UPDATES)
        for update in updates:
            await self._queue.put(update)
            self._offset = update.update_id + 1
        if updates:
            await asyncio.sleep(ANSWERS_FIRST)
        if self._offset != offset or self._monotonic() - asked_at >= SHORTEST_POLL:
            return ""
        return "an answer at once without a new update"
