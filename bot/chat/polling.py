"""Updates: fetched one long poll after another, run in order within a chat and at once across chats."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakValueDictionary

from telegram import Update
from telegram.error import Conflict, InvalidToken, NetworkError, RetryAfter, TelegramError, TimedOut
from telegram.ext import BaseUpdateProcessor
from telegram.request import HTTPXRequest

from bot.chat.question import asker_of
from bot.ratelimit import seconds_of
from bot.secrets import hide

if TYPE_CHECKING:
    from telegram.ext import ExtBot

    from bot.quota import Quota

_log = logging.getLogger(__name__)
UPDATES = [Update.MESSAGE, Update.CALLBACK_QUERY, Update.INLINE_QUERY, Update.MY_CHAT_MEMBER]
MOST_AT_ONCE = 4096  # updates under way, those that wait for their chat included
POLL_SECONDS = 10  # how long Telegram holds a poll open while nothing happens
CONFIRM_SECONDS = 2  # at the end: worth a short wait, a redelivered update changes nothing
FIRST_REST, LONGEST_REST = 1.0, 30.0  # seconds between tries while Telegram does not answer
CONFLICT = "Another process polls Telegram with this token. One bot, one process: stop the other first."


class PerChat(BaseUpdateProcessor):
    """Updates of one chat in order, those of different chats at once; what is over a quota is let drop.

    It is dropped before it waits for its chat, so that nobody's flood takes the others' places.
    """

    def __init__(self, quota: Quota | None = None, most: int = MOST_AT_ONCE) -> None:
        super().__init__(most)
        self._quota = quota
        self._locks: WeakValueDictionary[object, asyncio.Lock] = WeakValueDictionary()

    async def do_process_update(self, update: object, coroutine: Awaitable[Any]) -> None:
        """Run the update's handlers once those before it in its chat are done."""
        if not self._is_heard(update):
            cast("Coroutine[Any, Any, Any]", coroutine).close()
            return
        lock = self._locks.setdefault(_queue_of(update), asyncio.Lock())
        async with lock:
            await coroutine

    def _is_heard(self, update: object) -> bool:
        """Whether the update is within its sender's quota; what asks nothing is on nobody's."""
        if self._quota is None or not isinstance(update, Update):
            return True
        asker = asker_of(update)
        return asker is None or self._quota.admits(asker, update.update_id)

    async def initialize(self) -> None:
        """Nothing to prepare."""

    async def shutdown(self) -> None:
        """Nothing to put away."""


def _queue_of(update: object) -> object:
    """Updates of the same one run in order: a chat's, or, where no chat is told (inline), a person's."""
    if not isinstance(update, Update):
        return None
    chat, user = update.effective_chat, update.effective_user
    return chat.id if chat else ("inline", user.id if user else 0)


class UpdatesRequest(HTTPXRequest):
    """The request of getUpdates. An update that the library cannot read is left empty, and costs only itself.

    The library raises for the whole poll, which then comes again for ever: an object without a field that it
    demands is enough, as a Bot API server of another version sends it.
    """

    def __init__(self) -> None:
        super().__init__(connection_pool_size=1)

    @staticmethod
    def parse_json_payload(payload: bytes) -> dict[str, Any]:
        """The answer, with nothing in it that would raise."""
        answer: dict[str, Any] = HTTPXRequest.parse_json_payload(payload)
        if isinstance(answer.get("result"), list):
            answer["result"] = [_readable(update) for update in answer["result"]]
        return answer


def _readable(update: dict[str, Any]) -> dict[str, Any]:
    """The update, or its number alone."""
    try:
        Update.de_json(update, None)
    except Exception as error:  # noqa: BLE001 - whatever it raises, the other updates are to be answered
        number = update["update_id"]
        _log.warning("update %s cannot be read and is left out (%s)", number, type(error).__name__)
        return {"update_id": number}
    return update


class Poller:
    """Fetches updates into a queue. Every fault of the way there is logged in one line and outlived.

    python-telegram-bot's own loop ends silently at the first 401, writes the token into the log with
    it, and keeps 409 from its caller.
    """

    def __init__(
        self,
        bot: ExtBot[Any],
        queue: asyncio.Queue[object],
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._bot, self._queue, self._sleep = bot, queue, sleep
        self._offset = 0

    async def run(self) -> str:
        """Poll for ever; returns why polling must not go on, when another process holds the token."""
        rest = FIRST_REST
        while True:
            try:
                await self._poll(POLL_SECONDS)
                rest = FIRST_REST
            except Conflict as error:
                if "webhook" not in str(error):
                    return CONFLICT
                await self._unhook()
            except TimedOut:
                _log.warning("Telegram does not answer; polling goes on")
            except RetryAfter as error:
                await self._sleep(seconds_of(error))
            except TelegramError as error:
                _log.warning("updates cannot be fetched (%s); next try in %.0f s", reason(error), rest)
                await self._sleep(rest)
                rest = min(2 * rest, LONGEST_REST)

    async def confirm(self) -> None:
        """Tell Telegram what was fetched, so that the next start does not get it again."""
        if not self._offset:
            return
        with suppress(TelegramError, TimeoutError):
            async with asyncio.timeout(CONFIRM_SECONDS):
                await self._bot.get_updates(offset=self._offset, timeout=0, limit=1, allowed_updates=UPDATES)

    async def _poll(self, seconds: int) -> None:
        updates = await self._bot.get_updates(offset=self._offset, timeout=seconds, allowed_updates=UPDATES)
        for update in updates:
            await self._queue.put(update)
            self._offset = update.update_id + 1

    async def _unhook(self) -> None:
        """A webhook of an earlier program would swallow the updates."""
        _log.warning("a webhook was set for this bot; it is removed, because this bot polls")
        with suppress(TelegramError):
            await self._bot.delete_webhook()


def reason(error: TelegramError) -> str:
    """What went wrong in words, without the token that some of Telegram's errors hold."""
    if isinstance(error, InvalidToken):
        return "the token is refused"
    # What stands in Telegram's place may repeat the address, and some reasons are stored.
    said = hide(str(error))
    if isinstance(error, NetworkError):
        return said.removeprefix("httpx.") or type(error).__name__
    return said
