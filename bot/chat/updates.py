"""Fetching updates from Telegram, and the order in which they are processed."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakValueDictionary

from telegram import Update
from telegram.error import Conflict, RetryAfter, TelegramError, TimedOut
from telegram.ext import BaseUpdateProcessor
from telegram.request import HTTPXRequest

from bot.chat.dispatch import Quota, quota_key
from bot.concurrency import Backoff
from bot.delivery.outcome import error_text
from bot.delivery.rate_limiter import seconds_of

if TYPE_CHECKING:
    from telegram.ext import ExtBot


_log = logging.getLogger(__name__)
ALLOWED_UPDATES = [Update.MESSAGE, Update.CALLBACK_QUERY, Update.INLINE_QUERY, Update.MY_CHAT_MEMBER]
MAX_CONCURRENT_UPDATES = 4096  # including those that wait for their chat
POLL_SECONDS = 10  # how long Telegram keeps a poll open while there are no updates
CONFIRM_SECONDS = 2  # short, because an update that is delivered again changes nothing
RETRIES = Backoff(dt.timedelta(seconds=1), dt.timedelta(seconds=30))  # while Telegram does not answer
CONFLICT = "Another process polls Telegram with this token. One bot, one process: stop the other first."


class PerChatProcessor(BaseUpdateProcessor):
    """Processes the updates of one chat in order and those of different chats concurrently.

    Updates over the quota are dropped before they wait for their chat, so that a flood does not take the
    place of other people's updates.
    """

    def __init__(self, quota: Quota | None = None, max_concurrent: int = MAX_CONCURRENT_UPDATES) -> None:
        super().__init__(max_concurrent)
        self._quota = quota
        self._locks: WeakValueDictionary[object, asyncio.Lock] = WeakValueDictionary()

    async def do_process_update(self, update: object, coroutine: Awaitable[Any]) -> None:
        """Run the update's handlers after those of earlier updates in its chat."""
        if self._quota is not None and isinstance(update, Update):
            key = quota_key(update)
            if key is not None and not self._quota.admits(key, update.update_id):
                cast("Coroutine[Any, Any, Any]", coroutine).close()
                return
        async with self._locks.setdefault(_ordering_key(update), asyncio.Lock()):
            await coroutine

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


class UpdatesRequest(HTTPXRequest):
    """The request of getUpdates, which empties updates that python-telegram-bot cannot parse.

    The library would raise for the whole poll, again at every poll. A Bot API server of another version that
    leaves out a required field is enough.
    """

    def __init__(self) -> None:
        super().__init__(connection_pool_size=1)

    @staticmethod
    def parse_json_payload(payload: bytes) -> dict[str, Any]:
        """Parse the answer and replace the updates that the library cannot parse."""
        answer: dict[str, Any] = HTTPXRequest.parse_json_payload(payload)
        if isinstance(answer.get("result"), list):
            answer["result"] = [_parseable(update) for update in answer["result"]]
        return answer


def _parseable(update: dict[str, Any]) -> dict[str, Any]:
    """Return the update, or its id alone if it cannot be parsed."""
    try:
        Update.de_json(update, None)
    except Exception as error:  # noqa: BLE001 - the other updates must be answered
        update_id = update["update_id"]
        _log.warning("update %s cannot be read and is left out (%s)", update_id, type(error).__name__)
        return {"update_id": update_id}
    return update


class Poller:
    """Fetches updates into a queue. Errors are logged in one line, and polling goes on.

    python-telegram-bot's own loop ends silently at the first 401, logs the token with it, and does not pass
    409 on to its caller.
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
        """Poll until another process uses the token. Returns the message for the operator."""
        failures = 0
        while True:
            try:
                await self._poll(POLL_SECONDS)
                failures = 0
            except Conflict as error:
                if "webhook" not in str(error):
                    return CONFLICT
                await self._delete_webhook()
            except TimedOut:
                _log.warning("Telegram does not answer; polling goes on")
            except RetryAfter as error:
                await self._sleep(seconds_of(error))
            except TelegramError as error:
                wait = RETRIES.seconds(failures)
                _log.warning("updates cannot be fetched (%s); next try in %.0f s", error_text(error), wait)
                await self._sleep(wait)
                failures += 1

    async def confirm_updates(self) -> None:
        """Tell Telegram which updates were fetched, so that the next start does not get them again."""
        if not self._offset:
            return
        with suppress(TelegramError, TimeoutError):
            async with asyncio.timeout(CONFIRM_SECONDS):
                await self._bot.get_updates(
                    offset=self._offset, timeout=0, limit=1, allowed_updates=ALLOWED_UPDATES
                )

    async def _poll(self, seconds: int) -> None:
        updates = await self._bot.get_updates(
            offset=self._offset, timeout=seconds, allowed_updates=ALLOWED_UPDATES
        )
        for update in updates:
            await self._queue.put(update)
            self._offset = update.update_id + 1

    async def _delete_webhook(self) -> None:
        """Remove the webhook of an earlier program, which would receive the updates instead."""
        _log.warning("a webhook was set for this bot; it is removed, because this bot polls")
        with suppress(TelegramError):
            await self._bot.delete_webhook()
