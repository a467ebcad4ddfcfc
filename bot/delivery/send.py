"""Sending one message of the outbox: its parts, their requests, and the status change that follows."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
from telegram import (
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InputFile,
    LinkPreviewOptions,
    ReplyParameters,
)
from telegram.constants import ParseMode
from telegram.error import InvalidToken, TelegramError

from bot.delivery.outcome import (
    REPEATS,
    ErrorClass,
    FailedSend,
    classify,
    delivered_parts,
    reason_after,
    settle_failure,
)
from bot.delivery.rate_limiter import ALERT, NOTICE, REPLY, SUMMARY, SendBudget
from bot.messages.html import CAPTION_LIMIT, MESSAGE_LIMIT, split_html, strip_html, visible_length
from bot.secrets import redact, token_secret
from storage import outbox
from storage.db import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable

    import sqlite_utils
    from telegram.ext import ExtBot

    from bot.delivery.outcome import StatusWrite, StatusWrites
    from storage.db import Database
    from storage.outbox import OutboxMessage


logger = logging.getLogger(__name__)

PRIORITIES = {"reply": REPLY, "alert": ALERT, "notice": NOTICE, "summary": SUMMARY}
REPEAT_MARK = "possible repeat"
MARK_LENGTH = len(REPEAT_MARK) + 1  # kept free in every part, so that a repeat is cut at the same places
_NO_PREVIEW = LinkPreviewOptions(is_disabled=True)


@dataclass(frozen=True)
class MessagePart:
    """One message to Telegram; `plain` is sent in place of `html` if Telegram cannot parse that."""

    html: str
    plain: str
    photo: bytes | None = None
    buttons: InlineKeyboardMarkup | None = None

    def marked(self) -> MessagePart:
        """Returns the part with a mark that it may have been sent before."""
        return replace(self, html=f"<i>{REPEAT_MARK}</i>\n{self.html}", plain=f"{REPEAT_MARK}\n{self.plain}")


def can_concede(
    error_class: ErrorClass, conceded: set[ErrorClass], message: OutboxMessage, part: MessagePart
) -> bool:
    """Whether a part can be sent as plain text, without topic or without picture, and was not yet."""
    possible = {
        ErrorClass.PLAIN: True,
        ErrorClass.NO_TOPIC: bool(message.thread_id),
        ErrorClass.NO_PHOTO: bool(part.photo),
    }
    return error_class not in conceded and possible.get(error_class, False)


def compose(message: OutboxMessage) -> list[MessagePart]:
    """Returns the parts of a message in order: the picture with a caption, or before a text that is too long.

    The last part has the buttons. An empty list means that there is nothing to send.
    """
    body, photo = message.body, message.photo
    html = body.html
    if photo and visible_length(html) <= CAPTION_LIMIT - MARK_LENGTH:
        parts = [MessagePart(html, body.plain or strip_html(html), photo)]
    else:
        texts = split_html(html, MESSAGE_LIMIT - MARK_LENGTH)
        parts = [MessagePart(text, strip_html(text)) for text in texts]
        if len(parts) == 1:
            # Plain text is a last resort: what exceeds one message of UTF-16 units is cut off.
            units = (body.plain or parts[0].plain).encode("utf-16-le")[: 2 * (MESSAGE_LIMIT - MARK_LENGTH)]
            parts = [replace(parts[0], plain=units.decode("utf-16-le", "ignore"))]
        if photo:
            parts.insert(0, MessagePart("", "", photo))
    if parts and body.buttons:
        keyboard = [
            [InlineKeyboardButton(label, callback_data=data) for label, data in row] for row in body.buttons
        ]
        parts[-1] = replace(parts[-1], buttons=InlineKeyboardMarkup(keyboard))
    return parts


async def post(
    bot: ExtBot[Any], message: OutboxMessage, part: MessagePart, conceded: set[ErrorClass]
) -> int | None:
    """Send a part and return Telegram's id of it, or None when without its picture nothing is left.

    `conceded` are the errors after which it is sent in another form. Raises TelegramError.
    """
    body = message.body
    plain = ErrorClass.PLAIN in conceded
    text = part.plain if plain else part.html
    reply = ReplyParameters(body.reply_to, allow_sending_without_reply=True) if body.reply_to else None
    arguments: dict[str, Any] = {
        "chat_id": message.chat_id,
        "message_thread_id": None if ErrorClass.NO_TOPIC in conceded else message.thread_id,
        "disable_notification": body.silent,
        "parse_mode": None if plain else ParseMode.HTML,
        "reply_markup": part.buttons,
        "rate_limit_args": PRIORITIES[message.kind],
        "reply_parameters": reply,
    }
    if part.photo and ErrorClass.NO_PHOTO not in conceded:
        picture = InputFile(part.photo, filename="chart.png")
        return (await bot.send_photo(photo=picture, caption=text or None, **arguments)).message_id
    if not text:
        return None
    return (await bot.send_message(text=text, link_preview_options=_NO_PREVIEW, **arguments)).message_id


class RateLimits:
    """The send budget of `bot`, whose halts are stored so that the next process keeps to them too.

    A bot without a budget, such as the terminal's, gets one that never limits it.
    """

    def __init__(self, bot: ExtBot[Any], database: Database, now: Callable[[], datetime]) -> None:
        self._database, self._now = database, now
        if isinstance(bot.rate_limiter, SendBudget):
            self.budget, self._restored = bot.rate_limiter, False
        else:
            self.budget, self._restored = SendBudget(), True
        self.budget.on_halt = self._store

    async def restore(self) -> None:
        """Load the stored halts of earlier processes into the budget, once."""
        if not self._restored:
            now = self._now()
            for halt in await self._database.run(partial(outbox.current_halts, now=now)):
                self.budget.restore(halt.chat_id or None, (halt.until - now).total_seconds())
            self._restored = True

    async def _store(self, chat: int | str, seconds: float) -> None:
        """Store the halt after a 429 to a reply."""
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


LONGEST_REASON = 200  # characters, because some errors contain the page of a proxy
PAUSE_REASONS = {
    ErrorClass.LATER: "Telegram cannot be reached; sending goes on when it answers.",
    ErrorClass.UNKNOWN: "Telegram does not answer as it should; sending goes on when it does.",
    ErrorClass.PAUSED: "Telegram refuses this token; sending is paused until it is accepted.",
}


def _note_progress(message: OutboxMessage, done: int) -> StatusWrite:
    """Returns the change that records how many parts were delivered, so that no crash sends them again."""
    reason = reason_after(done, "the rest is on its way")
    return lambda db: outbox.note_progress(db, message.id, reason)


class Sender:
    """Sends messages through `bot`. `paused_by` is why nothing is sent until getMe has answered."""

    def __init__(
        self,
        bot: ExtBot[Any],
        status_writes: StatusWrites,
        budget: SendBudget,
        *,
        now: Callable[[], datetime],
        owner: int | None,
        jitter: Callable[[], float],
    ) -> None:
        self._bot, self._status_writes, self._budget, self._now = bot, status_writes, budget, now
        self._owner, self._jitter = owner, jitter
        self._repeat_after: dict[int, datetime] = {}
        self.paused_by: ErrorClass | None = None

    async def check_connection(self) -> bool:
        """Whether getMe answers, which ends the pause."""
        try:
            await self._bot.get_me()
        except TelegramError as error:
            self.paused_by = ErrorClass.PAUSED if isinstance(error, InvalidToken) else ErrorClass.LATER
            return False
        self.paused_by = None
        return True

    async def attempt(self, message: OutboxMessage) -> StatusWrite:
        """Send the parts that were not delivered yet. Returns the status change to write."""
        repeat_after = self._repeat_after.pop(message.id, None)
        if repeat_after and repeat_after > self._now():
            return self.give_back(message, repeat_after)
        done, message_id = delivered_parts(message), None
        try:
            parts = compose(message)
            if not parts:
                raise ValueError("the message is empty")
            remaining = parts[done:]
            if remaining and message.unknown:
                remaining[0] = remaining[0].marked()
            for part in remaining:
                message_id = await self._post(message, part) or message_id
                done += 1
                if done < len(parts):
                    await self._status_writes.write(_note_progress(message, done))
        except StorageError as error:
            return self.give_back(msgspec.structs.replace(message, reason=reason_after(done, str(error))))
        except asyncio.CancelledError as error:
            self._status_writes.keep(self._failure(message, error, done, ErrorClass.UNKNOWN))
            raise
        except TelegramError as error:
            return self._failure(message, error, done, classify(error))
        except Exception as error:
            logger.exception("Message %s cannot be sent", message.id)
            return self._failure(message, error, done, ErrorClass.DEAD)
        now = self._now()
        return lambda db: outbox.mark_sent(db, message.id, message_id, now)

    def give_back(self, message: OutboxMessage, until: datetime | None = None) -> StatusWrite:
        """Returns the status change for a message for which no request was made, and which waits."""
        until = until or self._now()
        return lambda db: outbox.retry_at(db, message.id, until, message.reason, count_attempt=False)

    async def _post(self, message: OutboxMessage, part: MessagePart) -> int | None:
        """Send one part, and in another form if Telegram refuses this one."""
        conceded: set[ErrorClass] = set()
        while True:
            try:
                return await post(self._bot, message, part, conceded)
            except TelegramError as error:
                error_class = classify(error)
                if not can_concede(error_class, conceded, message, part):
                    raise
                logger.warning("Message %s is sent in another form: %s", message.id, self._reason(error))
                conceded.add(error_class)

    def _failure(
        self, message: OutboxMessage, error: BaseException, done: int, error_class: ErrorClass
    ) -> StatusWrite:
        """Returns the status change of a failed send. Pauses and waits before a repeat are kept in memory."""
        reason, now = self._reason(error), self._now()
        logger.warning(
            "Message %s to chat %s: %s (%s)", message.id, message.chat_id, error_class.value, reason
        )
        if error_class in PAUSE_REASONS:
            self.paused_by = error_class
        if error_class is ErrorClass.UNKNOWN and message.unknown:
            self._repeat_after[message.id] = now + REPEATS.wait(message.unknown - 1, self._jitter())
        failure = FailedSend(
            message, error, reason, now, done, self._jitter(), self._owner, self._budget.halted()
        )
        return partial(settle_failure, failure=failure, error_class=error_class)

    def _reason(self, error: BaseException) -> str:
        """Returns the error in one line, never with the token."""
        text = " ".join(str(error).split()) or type(error).__name__
        return redact(text, [token_secret(self._bot.token)])[:LONGEST_REASON]
