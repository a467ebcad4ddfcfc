"""From an outbox row to requests: the messages it is cut into, and how each is sent."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from telegram import (
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InputFile,
    LinkPreviewOptions,
    ReplyParameters,
)
from telegram.constants import ParseMode

from bot.delivery.verdicts import ErrorClass
from bot.ratelimit import ALERT, NOTICE, REPLY, SUMMARY
from bot.rendering.text import CAPTION_LIMIT, MESSAGE_LIMIT, split_html, strip_html, visible_length

if TYPE_CHECKING:
    from telegram.ext import ExtBot

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
