"""Sending an answer: its text in parts, its buttons, its picture; or editing the message of a button."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import suppress
from typing import TYPE_CHECKING

from telegram import InlineKeyboardButton, InlineKeyboardMarkup, InputFile, Message
from telegram.constants import ChatAction, ParseMode
from telegram.error import BadRequest, TelegramError

from bot.rendering.answer import EDIT, button_rows
from bot.rendering.text import CAPTION_LIMIT, escape, split_html

if TYPE_CHECKING:
    from telegram import Bot, Update

    from bot.rendering.answer import Answer
    from bot.services import Services


def _keyboard(answer: Answer) -> InlineKeyboardMarkup | None:
    rows = button_rows(answer.buttons, EDIT)
    if not rows:
        return None
    return InlineKeyboardMarkup(
        [[InlineKeyboardButton(label, callback_data=data) for label, data in row] for row in rows]
    )


async def send(bot: Bot, services: Services, update: Update, answer: Answer, *, edit: bool) -> None:
    """Send the answer to where the update came from, in its topic; `edit` replaces its message."""
    message = update.effective_message
    chat = update.effective_chat
    if chat is None:
        return
    thread = message.message_thread_id if isinstance(message, Message) and message.is_topic_message else None
    parts = split_html(answer.html)
    if (
        edit
        and isinstance(message, Message)
        and message.text is not None
        and await _edited(message, answer, parts)
    ):
        parts = parts[1:]
    for number, part in enumerate(parts, start=1):
        await bot.send_message(
            chat.id,
            part,
            parse_mode=ParseMode.HTML,
            message_thread_id=thread,
            reply_markup=_keyboard(answer) if number == len(parts) else None,
        )
    if answer.draw is not None:
        await _send_picture(bot, services, chat.id, thread, answer)


async def _edited(message: Message, answer: Answer, parts: list[str]) -> bool:
    """Put the first part in the message's place; False when it cannot be edited any more."""
    try:
        await message.edit_text(
            parts[0],
            parse_mode=ParseMode.HTML,
            reply_markup=_keyboard(answer) if len(parts) == 1 else None,
        )
    except BadRequest as error:
        return "not modified" in str(error).lower()
    return True


async def _send_picture(
    bot: Bot, services: Services, chat_id: int, thread: int | None, answer: Answer
) -> None:
    """Draw off the event loop; a picture already sent is sent again by its file id."""
    if answer.draw is None:
        return
    with suppress(TelegramError):  # the hint that work is going on is not worth an error
        await bot.send_chat_action(chat_id, ChatAction.UPLOAD_PHOTO, message_thread_id=thread)
    chart = await asyncio.to_thread(answer.draw)
    digest = hashlib.sha256(chart.png).hexdigest()
    known = services.pictures.get(digest)
    caption = split_html(escape(chart.caption), CAPTION_LIMIT)[0]
    sent = await bot.send_photo(
        chat_id,
        known or InputFile(chart.png, filename=f"{answer.name}.png"),
        caption=caption,
        parse_mode=ParseMode.HTML,
        message_thread_id=thread,
    )
    if sent.photo:
        services.pictures[digest] = sent.photo[-1].file_id
