"""Updates on their way to the dispatcher: polling, quotas, their order, and parsing them into requests."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import math
import re
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakValueDictionary

from telegram import Update
from telegram.error import Conflict, InvalidToken, NetworkError, RetryAfter, TelegramError, TimedOut
from telegram.ext import BaseUpdateProcessor
from telegram.request import HTTPXRequest

from bot.chat.access import person_of
from bot.chat.commands import BY_NAME
from bot.chat.reply import COMMANDS_PER_MINUTE
from bot.concurrency import Backoff
from bot.delivery.rate_limiter import seconds_of
from bot.messages.common import EDIT, REPLY
from bot.secrets import hide

if TYPE_CHECKING:
    from telegram import CallbackQuery, Message
    from telegram.ext import ExtBot


_log = logging.getLogger(__name__)
ALLOWED_UPDATES = [Update.MESSAGE, Update.CALLBACK_QUERY, Update.INLINE_QUERY, Update.MY_CHAT_MEMBER]
MAX_CONCURRENT_UPDATES = 4096  # including those that wait for their chat
POLL_SECONDS = 10  # how long Telegram keeps a poll open while there are no updates
CONFIRM_SECONDS = 2  # short, because an update that is delivered again changes nothing
RETRIES = Backoff(dt.timedelta(seconds=1), dt.timedelta(seconds=30))  # while Telegram does not answer
CONFLICT = "Another process polls Telegram with this token. One bot, one process: stop the other first."
_MINUTE = dt.timedelta(minutes=1)
_MAX_KEYS = 10_000  # when more are remembered, those without a recent command are removed
_LINE = re.compile(r"/(?P<name>\w+)(?:@(?P<bot>\w+))?(?P<words>.*)", re.DOTALL)


@dataclass(frozen=True)
class CommandRequest:
    """A command's name and words; with `edit`, the answer replaces the message with the button."""

    name: str
    words: str
    edit: bool = False


def parse_update(update: Update) -> CommandRequest | None:
    """Return the request of an update, or None if it does not address this bot.

    In groups only this bot's commands are requests, and unknown commands if they name the bot. Forwarded
    messages are not, whether forwarded by hand or from a linked channel: somebody else wrote them.
    """
    if update.callback_query is not None:
        return _parse_button(update.callback_query)
    if update.message is None or not update.message.text:
        return None
    return _parse_message(update.message, update.message.text)


def _parse_button(query: CallbackQuery) -> CommandRequest | None:
    """Return the command line that a button carries, or None if the button is not this bot's."""
    data = query.data or ""
    match = _LINE.fullmatch(data[1:])
    if match is None or data[0] not in (EDIT, REPLY) or match["name"] not in BY_NAME or match["bot"]:
        return None
    return CommandRequest(match["name"], match["words"].strip(), edit=data[0] == EDIT)


def _parse_message(message: Message, text: str) -> CommandRequest | None:
    private = message.chat.type == "private"
    if message.via_bot is not None or (message.forward_origin is not None and not private):
        return None  # an inline result, or somebody else's words
    match = _LINE.fullmatch(text)
    if match is None:
        name, *words = text.split(maxsplit=1) or [""]
        return CommandRequest(name, "".join(words).strip()) if private and name else None
    addressed = match["bot"]
    if addressed and addressed.lower() != message.get_bot().username.lower():
        return None
    if match["name"].lower() not in BY_NAME and not private and not addressed:
        return None
    return CommandRequest(match["name"], match["words"].strip())


def quota_key(update: Update) -> int | None:
    """Return the key of the quota that an update counts against, or None if it asks nothing.

    People who write in the name of a chat share its quota. Inline queries have a separate quota per person,
    because every few typed letters are a query.
    """
    user, chat = update.effective_user, update.effective_chat
    if update.inline_query is not None:
        return -update.inline_query.from_user.id
    asks = update.callback_query is not None or parse_update(update) is not None
    if user is None or not asks:
        return None
    return person_of(user.id, chat.id if chat else user.id)


class Quota:
    """Allows `count` commands of one person in any minute. The first one over it is answered with a notice.

    Time is the bot's clock. Commands over the limit are not counted, so answers resume as the counted ones
    become a minute old. The notice is sent at most once a minute.
    """

    def __init__(self, clock: Callable[[], dt.datetime], count: int = COMMANDS_PER_MINUTE) -> None:
        self._clock, self._count = clock, count
        self._commands: dict[int, deque[dt.datetime]] = {}
        self._notified_at: dict[int, dt.datetime] = {}
        self._notices: dict[int, int] = {}  # seconds to wait, by the update to answer with the notice

    def admits(self, key: int, update_id: int) -> bool:
        """Return whether to answer a command, be it with the notice."""
        now = self._clock()
        commands = self._recent(key, now)
        if len(commands) < self._count:
            commands.append(now)
            return True
        if _is_recent(self._notified_at.get(key), now):
            return False
        self._notified_at[key] = now
        self._notices[update_id] = max(math.ceil((commands[0] + _MINUTE - now).total_seconds()), 1)
        return True

    def take_notice(self, update_id: int) -> int | None:
        """Return the seconds to wait, once, if the update is to be answered with the notice."""
        return self._notices.pop(update_id, None)

    def _recent(self, key: int, now: dt.datetime) -> deque[dt.datetime]:
        """Return the times of the person's commands within the last minute."""
        if len(self._commands) > _MAX_KEYS:
            self._commands = {
                key: times for key, times in self._commands.items() if times and now < times[-1] + _MINUTE
            }
            self._notified_at = {key: at for key, at in self._notified_at.items() if _is_recent(at, now)}
        commands = self._commands.setdefault(key, deque())
        while commands and not _is_recent(commands[0], now):
            commands.popleft()
        return commands


def _is_recent(moment: dt.datetime | None, now: dt.datetime) -> bool:
    """Return whether a moment is in the last minute. One in the future, after a clock set back, is not."""
    return moment is not None and moment <= now < moment + _MINUTE


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


def error_text(error: TelegramError) -> str:
    """Return the error in words, without the token that some of Telegram's errors contain."""
    if isinstance(error, InvalidToken):
        return "the token is refused"
    # A proxy's answer may repeat the address with the token, and some of these texts are stored.
    text = hide(str(error))
    if isinstance(error, NetworkError):
        return text.removeprefix("httpx.") or type(error).__name__
    return text
