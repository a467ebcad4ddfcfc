"""Sending an answer: its text in parts, its buttons, its picture; or editing the message of a button."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from telegram import InlineKeyboardButton, InlineKeyboardMarkup, InputFile, Message
from telegram.constants import ChatAction, InlineKeyboardMarkupLimit, ParseMode
from telegram.error import BadRequest, NetworkError, TelegramError

from bot.delivery import Verdict, classify
from bot.rendering.answer import EDIT, button_rows
from bot.rendering.numbers import localized
from bot.rendering.text import CAPTION_LIMIT, Html, escape, lines, split_html, strip_html

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from telegram import Bot, Update

    from bot.chat.ask import Ask
    from bot.rendering.answer import Answer

_log = logging.getLogger(__name__)
MOST_BUTTONS = int(InlineKeyboardMarkupLimit.TOTAL_BUTTON_NUMBER)
TYPING_AFTER, TYPING_AGAIN = 1.0, 4.5  # seconds
PICTURES_KEPT = 2000  # file ids remembered; a picture of yesterday's close is rarely asked for again


def _keyboard(answer: Answer) -> InlineKeyboardMarkup | None:
    """The buttons, as many as Telegram takes."""
    kept: list[list[InlineKeyboardButton]] = []
    for row in button_rows(answer.buttons, EDIT):
        if sum(map(len, kept)) + len(row) > MOST_BUTTONS:
            break
        kept.append([InlineKeyboardButton(label, callback_data=data) for label, data in row])
    return InlineKeyboardMarkup(kept) if kept else None


def thread_of(message: Message | None) -> int | None:
    """The forum topic that a message stands in; None outside one."""
    return message.message_thread_id if message is not None and message.is_topic_message else None


@asynccontextmanager
async def typing(bot: Bot, update: Update) -> AsyncIterator[None]:
    """Show that the bot is at work once the block has taken TYPING_AFTER; Telegram shows it for 5 s."""

    async def show() -> None:
        await asyncio.sleep(TYPING_AFTER)
        thread = thread_of(update.effective_message)
        while update.effective_chat is not None:
            await bot.send_chat_action(update.effective_chat.id, ChatAction.TYPING, message_thread_id=thread)
            await asyncio.sleep(TYPING_AGAIN)

    showing = asyncio.create_task(show())
    try:
        yield
    finally:
        showing.cancel()
        await asyncio.gather(showing, return_exceptions=True)  # it is worth no error either


class Place:
    """A chat and the topic in it; once Telegram says that the topic is gone or closed, the chat alone."""

    def __init__(self, bot: Bot, chat_id: int, thread: int | None) -> None:
        self.bot, self.chat_id, self.thread = bot, chat_id, thread

    async def send(self, method: Callable[..., Awaitable[Message]], **how: Any) -> Message:  # noqa: ANN401 - the method's own
        """Call a sending method of the Bot for this place; markup that it refuses comes as plain text."""
        while True:
            try:
                return await method(chat_id=self.chat_id, message_thread_id=self.thread, **how)
            except BadRequest as error:
                verdict = classify(error)
                if verdict is Verdict.NO_TOPIC and self.thread is not None:
                    self.thread = None
                elif verdict is Verdict.PLAIN and how.get("parse_mode"):
                    _log.exception("an answer to chat %s is sent as plain text", self.chat_id)
                    how = _plain(how)
                else:
                    raise


def _plain(how: dict[str, Any]) -> dict[str, Any]:
    """The same message without markup."""
    texts: dict[str, Any] = {key: strip_html(how[key]) for key in ("text", "caption") if key in how}
    return {**how, **texts, "parse_mode": None}


async def send(bot: Bot, ask: Ask, update: Update, answer: Answer, *, edit: bool) -> None:
    """Send the answer to where the update came from, in its topic; `edit` replaces its message.

    A button pressed twice finds its message as it is already: then there is nothing to send.
    """
    message, chat = update.effective_message, update.effective_chat
    if chat is None:
        return
    parts = split_html(localized(answer.html, ask.preferences.numbers))
    if edit and isinstance(message, Message) and message.text is not None:
        verdict = await _edited(message, answer, parts)
        if verdict is Verdict.NOTHING:
            return
        parts = parts[1:] if verdict is None else parts
    place = Place(bot, chat.id, thread_of(message))
    for number, part in enumerate(parts, start=1):
        keyboard = _keyboard(answer) if number == len(parts) else None
        await place.send(bot.send_message, text=part, parse_mode=ParseMode.HTML, reply_markup=keyboard)
    if answer.draw is not None:
        await _send_picture(place, ask, answer)
    if answer.attachment is not None:
        upload = InputFile(answer.attachment.content, filename=answer.attachment.name)
        await place.send(bot.send_document, document=upload)


async def _edited(message: Message, answer: Answer, parts: list[str]) -> Verdict | None:
    """Put the first part in the message's place; why not, if it stayed as it is."""
    keyboard = _keyboard(answer) if len(parts) == 1 else None
    try:
        await message.edit_text(parts[0], parse_mode=ParseMode.HTML, reply_markup=keyboard)
    except BadRequest as error:
        return classify(error)
    return None


async def _send_picture(place: Place, ask: Ask, answer: Answer) -> None:
    """Draw off the event loop; a picture already sent is sent again by its file id.

    Where Telegram takes no picture, its caption comes as a text that says so.
    """
    if answer.draw is None:
        return
    pictures = ask.services.pictures
    with suppress(TelegramError):  # the hint that work is going on is not worth an error
        await place.bot.send_chat_action(
            place.chat_id, ChatAction.UPLOAD_PHOTO, message_thread_id=place.thread
        )
    chart = await ask.services.charts.draw(answer.draw)
    digest = hashlib.sha256(chart.png).hexdigest()
    told = localized(escape(chart.caption), ask.preferences.numbers)
    caption = split_html(told, CAPTION_LIMIT)[0]
    post = partial(place.send, place.bot.send_photo, caption=caption, parse_mode=ParseMode.HTML)
    upload, refused = InputFile(chart.png, filename=f"{answer.name}.png"), ""
    for photo in filter(None, (pictures.pop(digest, None), upload)):
        try:
            sent = await post(photo=photo)
        except NetworkError as error:
            if classify(error) is not Verdict.NO_PHOTO:
                raise
            refused = str(error)
            continue
        if sent.photo:
            pictures[digest] = sent.photo[-1].file_id
            while len(pictures) > PICTURES_KEPT:
                pictures.pop(next(iter(pictures)))
        return
    said = lines(Html(caption), f"The picture was not taken: {refused}.")
    await place.send(place.bot.send_message, text=said, parse_mode=ParseMode.HTML)
