"""Sending one message of the outbox: its parts, their requests, and the status change that follows."""

import asyncio
import logging
import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, cast

import sqlite_utils
from telegram import CopyTextButton, InlineKeyboardButton, InlineKeyboardMarkup, LinkPreviewOptions, ReplyParameters
from telegram.constants import InlineKeyboardMarkupLimit, KeyboardButtonStyle, ParseMode
from telegram.error import InvalidToken, TelegramError
from telegram.ext import ExtBot

from bot.delivery import outcome
from bot.delivery.rate_limiter import ALERT, NOTICE, REPLY, SUMMARY, SendBudget, Slot
from bot.errors import is_out_of_memory
from bot.messages.common import COPY, INSERT
from bot.messages.html import MESSAGE_LIMIT, split_html, strip_html
from bot.secrets import redact, token_secret
from storage import outbox
from storage.database import Database, StorageError
from storage.outbox import OutboxMessage, ReadyMessage
from storage.records import not_earlier

logger = logging.getLogger(__name__)

PRIORITIES = {"reply": REPLY, "alert": ALERT, "notice": NOTICE, "summary": SUMMARY}
REPEAT_MARK = "possible repeat"
MARK_LENGTH = len(REPEAT_MARK) + 1  # kept free in every part, so that a repeat is cut at the same places
_DELETES = re.compile(r"/(?:alert \d+ off|forgetme yes)\b")
_NO_PREVIEW = LinkPreviewOptions(is_disabled=True)


def can_concede(error_class: outcome.ErrorClass, conceded: set[outcome.ErrorClass], message: OutboxMessage) -> bool:
    """Whether a part can be sent as plain text or without topic, and was not yet."""
    possible = {outcome.ErrorClass.PLAIN: True, outcome.ErrorClass.NO_TOPIC: bool(message.thread_id)}
    return error_class not in conceded and possible.get(error_class, False)


def compose(message: OutboxMessage) -> list[str]:
    """Returns the parts of a message in order, each with a mark if it may have been sent before.

    An empty list means that there is nothing to send.
    """
    mark = f"<i>{REPEAT_MARK}</i>\n" if message.unknown else ""
    return [mark + part for part in split_html(message.body.html, MESSAGE_LIMIT - MARK_LENGTH)]


def keyboard(rows: Sequence[Sequence[tuple[str, str]]]) -> InlineKeyboardMarkup | None:
    """Returns buttons of labels and data, as many rows as Telegram accepts, None for none.

    Data that begins with COPY is copied by a tap, with INSERT it is put into the input field; what deletes
    is red where the app shows colours.
    """
    shown: list[list[InlineKeyboardButton]] = []
    for row in rows:
        if sum(map(len, shown)) + len(row) > InlineKeyboardMarkupLimit.TOTAL_BUTTON_NUMBER:
            break
        shown.append([_button(label, data) for label, data in row])
    return InlineKeyboardMarkup(shown) if shown else None


def _button(label: str, data: str) -> InlineKeyboardButton:
    if data.startswith(COPY):
        return InlineKeyboardButton(label, copy_text=CopyTextButton(data.removeprefix(COPY)))
    if data.startswith(INSERT):
        return InlineKeyboardButton(label, switch_inline_query_current_chat=data.removeprefix(INSERT))
    style = KeyboardButtonStyle.DANGER if _DELETES.search(data) else None
    return InlineKeyboardButton(label, callback_data=data, style=style)


async def post(
    bot: ExtBot[Any], message: OutboxMessage, parts: Sequence[str], conceded: set[outcome.ErrorClass], slot: Slot
) -> int:
    """Send the first of the parts, the last one with the buttons, and return Telegram's id of it.

    `conceded` are the errors after which it is sent in another form. Raises TelegramError.
    """
    body, plain = message.body, outcome.ErrorClass.PLAIN in conceded
    reply = ReplyParameters(body.reply_to, allow_sending_without_reply=True) if body.reply_to else None
    sent = await bot.send_message(
        message.chat_id,
        strip_html(parts[0]) if plain else parts[0],
        None if plain else ParseMode.HTML,
        message_thread_id=None if outcome.ErrorClass.NO_TOPIC in conceded else message.thread_id,
        disable_notification=body.silent,
        reply_markup=keyboard(body.buttons) if len(parts) == 1 else None,
        rate_limit_args=slot,
        reply_parameters=reply,
        link_preview_options=_NO_PREVIEW,
    )
    return sent.message_id


class RateLimits:
    """The send budget of `bot`, whose halts are stored so that the next process keeps to them too."""

    def __init__(self, bot: ExtBot[Any], database: Database, now: Callable[[], datetime]) -> None:
        self._database, self._now = database, now
        self.budget = cast("SendBudget", bot.rate_limiter)
        self.budget.on_halt, self._restored = self._store, False

    async def restore(self) -> None:
        """Load the stored halts of earlier processes into the budget, once."""
        if not self._restored:
            now = self._now()
            for halt in await self._database.run(partial(outbox.current_halts, now=now)):
                self.budget.restore(halt.chat_id or None, (halt.until - now).total_seconds())
            self._restored = True

    async def _store(self, chat: int | str, seconds: float) -> None:
        now, ends = self._now(), {chat: seconds}
        if everyone := self.budget.halted():
            ends[outbox.EVERY_CHAT] = everyone

        def write(db: sqlite_utils.Database) -> None:
            for chat_id, wait in ends.items():
                if isinstance(chat_id, int):
                    outbox.begin_halt(db, chat_id, now + timedelta(seconds=wait))

        try:
            await self._database.run(write)
        except StorageError as error:
            logger.warning("the halt of chat %s is kept in memory only: %s", chat, error)


class SendingMarks:
    """Marks messages as `sending` once their slots are granted; those granted together share a commit."""

    def __init__(
        self, database: Database, now: Callable[[], datetime], on_unused: Callable[[OutboxMessage], None]
    ) -> None:
        self._database, self._now, self._on_unused = database, now, on_unused
        self._granted: list[ReadyMessage] = []
        self._next: asyncio.Task[dict[int, OutboxMessage]] | None = None
        self._writing = asyncio.Lock()

    async def mark(self, message: ReadyMessage) -> OutboxMessage | None:
        """Returns the message as it is sent now, or None if it may not be sent any more.

        If the task is cancelled meanwhile, `on_unused` is called with a message that was marked in vain.
        """
        self._granted.append(message)
        self._next = self._next or asyncio.create_task(self._write())
        write = self._next
        try:
            return (await asyncio.shield(write)).get(message.id)
        except asyncio.CancelledError:
            if marked := (await write).get(message.id):
                self._on_unused(marked)
            raise

    async def _write(self) -> dict[int, OutboxMessage]:
        async with self._writing:
            await asyncio.sleep(0)  # for others that were granted in this moment
            granted, self._granted, self._next = self._granted, [], None
            write = partial(outbox.mark_sending, messages=granted, now=not_earlier(self._now()))
            return {message.id: message for message in await self._database.run(write)}


LONGEST_REASON = 200  # characters, because some errors contain the page of a proxy
PAUSE_REASONS = {
    outcome.ErrorClass.LATER: "Telegram cannot be reached; sending goes on when it answers.",
    outcome.ErrorClass.UNKNOWN: "Telegram does not answer as it should; sending goes on when it does.",
    outcome.ErrorClass.PAUSED: "Telegram refuses this token; sending is paused until it is accepted.",
}


class Sender:
    """Sends messages through `bot`.

    paused_by     why nothing is sent until getMe has answered
    repeat_after  the instants before which messages of unknown outcome are not sent again
    """

    def __init__(
        self,
        bot: ExtBot[Any],
        status_writes: outcome.StatusWrites,
        budget: SendBudget,
        *,
        now: Callable[[], datetime],
        owner: int | None,
        jitter: Callable[[], float],
    ) -> None:
        self._bot, self._status_writes, self._budget, self._now = bot, status_writes, budget, now
        self._owner, self._jitter = owner, jitter
        self.repeat_after: dict[int, datetime] = {}
        self.paused_by: outcome.ErrorClass | None = None

    async def check_connection(self) -> bool:
        """Whether getMe answers, which ends the pause."""
        try:
            await self._bot.get_me()
        except TelegramError as error:
            self.paused_by = outcome.ErrorClass.PAUSED if isinstance(error, InvalidToken) else outcome.ErrorClass.LATER
            return False
        self.paused_by = None
        return True

    async def send_part(
        self, message: OutboxMessage, slot: Slot, conceded: set[outcome.ErrorClass]
    ) -> tuple[outcome.StatusWrite, bool]:
        """Send the first part that was not delivered yet.

        Returns the status change to write, and whether a request follows at once: with the next part, or with
        this one in another form, without what it has `conceded`.
        """
        done, message_id = outcome.delivered_parts(message), None
        try:
            parts = compose(message)
            if not parts:
                raise ValueError("the message is empty")
            if done < len(parts):
                message_id = await post(self._bot, message, parts[done:], conceded, slot)
                done += 1
        except asyncio.CancelledError as error:
            self._status_writes.keep(self._failure(message, error, done, outcome.ErrorClass.UNKNOWN))
            raise
        except TelegramError as error:
            error_class = outcome.classify(error)
            if not can_concede(error_class, conceded, message):
                return self._failure(message, error, done, error_class), False
            logger.warning("Message %s is sent in another form: %s", message.id, self._reason(error))
            conceded.add(error_class)
            return self.give_back(message), True
        except Exception as error:
            logger.exception("Message %s cannot be sent", message.id)
            # Memory may have run out after the request was made.
            error_class = outcome.ErrorClass.UNKNOWN if is_out_of_memory(error) else outcome.ErrorClass.DEAD
            return self._failure(message, error, done, error_class), False
        if done < len(parts):
            conceded.clear()
            reason = outcome.reason_after(done, "the rest is on its way")
            return (lambda db: outbox.note_progress(db, message.id, reason)), True
        now = self._now()
        return (lambda db: outbox.mark_sent(db, message.id, message_id, now)), False

    def give_back(self, message: OutboxMessage) -> outcome.StatusWrite:
        """Returns the status change for a message of which surely nothing was delivered by this request."""
        now = self._now()
        return lambda db: outbox.retry_at(db, message.id, now, message.reason, count_attempt=False)

    def _failure(
        self, message: OutboxMessage, error: BaseException, done: int, error_class: outcome.ErrorClass
    ) -> outcome.StatusWrite:
        """Returns the status change of a failed send. Pauses and waits before a repeat are kept in memory."""
        reason, now = self._reason(error), self._now()
        logger.warning("Message %s to chat %s: %s (%s)", message.id, message.chat_id, error_class.value, reason)
        if error_class in PAUSE_REASONS:
            self.paused_by = error_class
        if error_class is outcome.ErrorClass.UNKNOWN and message.unknown:
            self.repeat_after[message.id] = now + outcome.REPEATS.wait(message.unknown - 1, self._jitter())
        failure = outcome.FailedSend(
            message, error, reason, now, done, self._jitter(), self._owner, self._budget.halted()
        )
        return partial(outcome.settle_failure, failure=failure, error_class=error_class)

    def _reason(self, error: BaseException) -> str:
        text = " ".join(str(error).split()) or type(error).__name__
        return redact(text, [token_secret(self._bot.token)])[:LONGEST_REASON]
