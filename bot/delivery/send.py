"""From an outbox row to requests: the messages it is cut into, and how each is sent.

Rate limits as the outbox sees them: which chats to leave alone for now, and halts that are stored.

Sending one message: the requests of its parts, and the status change that follows from their outcome.
"""

from __future__ import annotations

import asyncio
import logging
import re
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
    give_back,
    mark_sent,
    note_progress,
    reason_after,
    settle_failure,
)
from bot.delivery.rate_limiter import ALERT, NOTICE, REPLY, SUMMARY, SendBudget
from bot.messages.html import CAPTION_LIMIT, MESSAGE_LIMIT, split_html, strip_html, visible_length
from bot.secrets import hide, of_token
from storage import outbox
from storage.connection import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable

    import sqlite_utils
    from telegram.ext import ExtBot

    from bot.delivery.outcome import StatusWrite, StatusWrites
    from storage.db import Database
    from storage.outbox import OutboxMessage


PRIORITIES = {"reply": REPLY, "alert": ALERT, "notice": NOTICE, "summary": SUMMARY}
REPEAT = "possible repeat"
ROOM = len(REPEAT) + 1  # kept free in every part, so that a repeat is cut at the same places
_NO_PREVIEW = LinkPreviewOptions(is_disabled=True)


@dataclass(frozen=True)
class MessagePart:
    """One message; `plain` is sent in place of `html` when Telegram cannot read that."""

    html: str
    plain: str
    photo: bytes | None = None
    buttons: InlineKeyboardMarkup | None = None

    def marked(self) -> MessagePart:
        """The part saying that it may have been there before."""
        return replace(self, html=f"<i>{REPEAT}</i>\n{self.html}", plain=f"{REPEAT}\n{self.plain}")


@dataclass(frozen=True)
class SendOptions:
    """How a part is sent; each concession is made once."""

    plain: bool = False
    topic: bool = True
    photo: bool = True

    def after(self, error_class: ErrorClass, message: OutboxMessage, part: MessagePart) -> SendOptions | None:
        """The options to try next, None when there is nothing left to concede."""
        if error_class is ErrorClass.PLAIN and not self.plain:
            return replace(self, plain=True)
        if error_class is ErrorClass.NO_TOPIC and self.topic and message.thread_id:
            return replace(self, topic=False)
        if error_class is ErrorClass.NO_PHOTO and self.photo and part.photo:
            return replace(self, photo=False)
        return None


def compose(message: OutboxMessage) -> list[MessagePart]:
    """The messages of a row in order: the picture captioned if the text fits, else the text after it.

    The buttons stand under the last. An empty list means that there is nothing to send.
    """
    body, photo = message.body, message.photo
    html = body.html
    if photo and visible_length(html) <= CAPTION_LIMIT - ROOM:
        parts = [MessagePart(html, body.plain or strip_html(html), photo)]
    else:
        texts = split_html(html, MESSAGE_LIMIT - ROOM)
        parts = [MessagePart(text, strip_html(text)) for text in texts]
        if len(parts) == 1:
            parts = [replace(parts[0], plain=_fitting(body.plain or parts[0].plain))]
        if photo:
            parts.insert(0, MessagePart("", "", photo))
    return [*parts[:-1], replace(parts[-1], buttons=_keyboard(body.buttons))] if parts else []


def _fitting(plain: str) -> str:
    """Plain text is a last resort: what exceeds one message of UTF-16 units is cut off."""
    units = plain.encode("utf-16-le")[: 2 * (MESSAGE_LIMIT - ROOM)]
    return units.decode("utf-16-le", "ignore")


def _keyboard(rows: list[list[tuple[str, str]]]) -> InlineKeyboardMarkup | None:
    if not rows:
        return None
    return InlineKeyboardMarkup(
        [[InlineKeyboardButton(label, callback_data=data) for label, data in row] for row in rows]
    )


def _replying(message_id: int | None) -> ReplyParameters | None:
    """To the message it corrects, if that is still there."""
    return ReplyParameters(message_id, allow_sending_without_reply=True) if message_id else None


async def post(
    bot: ExtBot[Any], message: OutboxMessage, part: MessagePart, options: SendOptions
) -> int | None:
    """Send a part; its message id, None when without its picture nothing is left. Raises TelegramError."""
    body = message.body
    text = part.plain if options.plain else part.html
    how: dict[str, Any] = {
        "chat_id": message.chat_id,
        "message_thread_id": message.thread_id if options.topic else None,
        "disable_notification": body.silent,
        "parse_mode": None if options.plain else ParseMode.HTML,
        "reply_markup": part.buttons,
        "rate_limit_args": PRIORITIES[message.kind],
        "reply_parameters": _replying(body.reply_to),
    }
    if part.photo and options.photo:
        picture = InputFile(part.photo, filename="chart.png")
        return (await bot.send_photo(photo=picture, caption=text or None, **how)).message_id
    if not text:
        return None
    return (await bot.send_message(text=text, link_preview_options=_NO_PREVIEW, **how)).message_id


def arrived(message: OutboxMessage) -> int:
    """How many parts of a row are known to have arrived; kept at the head of its reason."""
    match = re.match(r"after part (\d+): ", message.reason)
    return int(match[1]) if match else 0


logger = logging.getLogger(__name__)


class RateLimitState:
    """What the send budget of `bot` allows. A bot without a budget (the terminal) may always send."""

    def __init__(self, bot: ExtBot[Any], database: Database, now: Callable[[], datetime]) -> None:
        limiter = bot.rate_limiter
        self._budget = limiter if isinstance(limiter, SendBudget) else None
        self._database, self._now = database, now
        self._restored = False
        if self._budget:
            self._budget.on_halt = self._keep

    async def restore(self) -> None:
        """Load the stored halts of earlier processes into the budget, once."""
        if self._budget is None or self._restored:
            return
        now = self._now()
        for halt in await self._database.run(partial(outbox.current_halts, now=now)):
            self._budget.restore(halt.chat_id or None, (halt.until - now).total_seconds())
        self._restored = True

    def resting(self) -> dict[int | str, float]:
        """Chats to which nothing may be sent now, with the seconds until it may."""
        return self._budget.chat_waits() if self._budget else {}

    def halted(self) -> float:
        """Seconds for which nothing may be sent to anybody."""
        return self._budget.halted() if self._budget else 0.0

    async def sleep(self, seconds: float) -> None:
        """Sleep by the budget's clock."""
        await (self._budget.sleep(seconds) if self._budget else asyncio.sleep(seconds))

    async def _keep(self, chat: int | str, seconds: float) -> None:
        """Store the halt after a 429 to a reply, so that the next process keeps to it too."""
        now, everyone = self._now(), self.halted()
        ends: dict[int | str, float] = {chat: seconds}
        if everyone:
            ends[outbox.EVERY_CHAT] = everyone
        try:
            await self._database.run(partial(_write, ends=ends, now=now))
        except StorageError as error:
            logger.warning("the halt of chat %s is kept in memory only: %s", chat, error)


def _write(db: sqlite_utils.Database, ends: dict[int | str, float], now: datetime) -> None:
    for chat, seconds in ends.items():
        if isinstance(chat, int):
            outbox.begin_halt(db, chat, now + timedelta(seconds=seconds))


LONGEST_REASON = 200  # characters; a proxy's error page stands in some
PAUSE_REASONS = {
    ErrorClass.LATER: "Telegram cannot be reached; sending goes on when it answers.",
    ErrorClass.UNKNOWN: "Telegram does not answer as it should; sending goes on when it does.",
    ErrorClass.PAUSED: "Telegram refuses this token; sending is paused until it is accepted.",
}


class Sender:
    """Sends messages through `bot`; `paused_by` says why nothing is sent before getMe has answered."""

    def __init__(
        self,
        bot: ExtBot[Any],
        status_writes: StatusWrites,
        rate_limits: RateLimitState,
        *,
        now: Callable[[], datetime],
        owner: int | None,
        jitter: Callable[[], float],
    ) -> None:
        self._bot, self._status_writes, self._rate_limits, self._now = bot, status_writes, rate_limits, now
        self._owner, self._jitter = owner, jitter
        self._rests: dict[int, datetime] = {}
        self.paused_by: ErrorClass | None = None

    async def answers(self) -> bool:
        """Whether getMe answers, which ends the pause."""
        try:
            await self._bot.get_me()
        except TelegramError as error:
            self.paused_by = ErrorClass.PAUSED if isinstance(error, InvalidToken) else ErrorClass.LATER
            return False
        self.paused_by = None
        return True

    async def attempt(self, message: OutboxMessage) -> StatusWrite:
        """Send the parts that have not arrived. Returns the status change to write."""
        rest = self._rests.pop(message.id, None)
        if rest and rest > self._now():
            return partial(give_back, message=message, until=rest)
        done, message_id = arrived(message), None
        try:
            for part, following in _remaining(message, done):
                message_id = await self._post(message, part) or message_id
                done += 1
                if following:
                    await self._status_writes.write(partial(note_progress, message=message, done=done))
        except StorageError as error:
            reason = reason_after(done, str(error))
            return partial(
                give_back, message=msgspec.structs.replace(message, reason=reason), until=self._now()
            )
        except asyncio.CancelledError as error:
            self._status_writes.keep(self._failure(message, error, done, ErrorClass.UNKNOWN))
            raise
        except TelegramError as error:
            return self._failure(message, error, done, classify(error))
        except Exception as error:
            logger.exception("Message %s cannot be sent", message.id)
            return self._failure(message, error, done, ErrorClass.DEAD)
        return partial(mark_sent, message=message, message_id=message_id, now=self._now())

    def untouched(self, message: OutboxMessage) -> StatusWrite:
        """Return the status change for a message for which no request was made."""
        return partial(give_back, message=message, until=self._now())

    async def _post(self, message: OutboxMessage, part: MessagePart) -> int | None:
        """Send one part, in another form where Telegram refuses this one."""
        options = SendOptions()
        while True:
            try:
                return await post(self._bot, message, part, options)
            except TelegramError as error:
                following = options.after(classify(error), message, part)
                if following is None:
                    raise
                logger.warning("Message %s is sent in another form: %s", message.id, self._reason(error))
                options = following

    def _failure(
        self, message: OutboxMessage, error: BaseException, done: int, error_class: ErrorClass
    ) -> StatusWrite:
        """Return the status change of a failed send. Pauses and waits before a repeat are kept in memory."""
        reason, now = self._reason(error), self._now()
        logger.warning(
            "Message %s to chat %s: %s (%s)", message.id, message.chat_id, error_class.value, reason
        )
        if error_class in PAUSE_REASONS:
            self.paused_by = error_class
        if error_class is ErrorClass.UNKNOWN and message.unknown:
            rest = REPEATS.wait(message.unknown - 1, self._jitter())
            self._rests[message.id] = now + rest
        failure = FailedSend(
            message, error, reason, now, done, self._jitter(), self._owner, self._rate_limits.halted()
        )
        return partial(settle_failure, failure=failure, error_class=error_class)

    def _reason(self, error: BaseException) -> str:
        """What went wrong in one line, never with the token."""
        text = " ".join(str(error).split()) or type(error).__name__
        return hide(text, [of_token(self._bot.token)])[:LONGEST_REASON]


def _remaining(message: OutboxMessage, done: int) -> list[tuple[MessagePart, int]]:
    """The parts to send, the first marked when it may be there already, each with how many follow it."""
    parts = compose(message)
    if not parts:
        raise ValueError("the message is empty")
    rest = parts[done:]
    if rest and message.unknown:
        rest[0] = rest[0].marked()
    return [(part, len(rest) - number) for number, part in enumerate(rest, start=1)]
