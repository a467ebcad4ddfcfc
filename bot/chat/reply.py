"""Sending answers, or editing the message with the pressed button; the answers to errors and mistakes."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from telegram import Bot, InlineKeyboardButton, InlineKeyboardMarkup, InputFile, Message, Update
from telegram.constants import ChatAction, InlineKeyboardMarkupLimit, ParseMode
from telegram.error import BadRequest, NetworkError, TelegramError

from bot.alerts.grammar import parse_rule
from bot.analytics.metrics import metrics_of
from bot.delivery.outcome import ErrorClass, classify
from bot.errors import BadInput, BotError
from bot.messages.common import AS_EDIT, Answer, Button, button_rows
from bot.messages.html import (
    CAPTION_LIMIT,
    Html,
    bold,
    code,
    escape,
    lines,
    localized,
    split_html,
    strip_html,
)
from bot.text import nearest

if TYPE_CHECKING:
    from bot.messages.charts import ChartSpec
    from bot.pair import Pair
    from bot.services import Services


_log = logging.getLogger(__name__)
MAX_BUTTONS = int(InlineKeyboardMarkupLimit.TOTAL_BUTTON_NUMBER)
TYPING_AFTER, TYPING_AGAIN = 0.3, 4.5  # seconds
MAX_REMEMBERED_PICTURES = 2000  # file ids; pictures of an earlier close are rarely asked for again
FAILED = "Something failed here; it has been logged. Please try again."
UNUSABLE = "The bot's database cannot be used at the moment; please try again later."
ADMINISTRATORS_ONLY = "In a group only its administrators may do that."
FORWARDED = "A forwarded message is not a command; to send its words as your own, copy them."
OWNER_ONLY = "Only this bot's owner may use /admin, in their private chat with it."
MAX_TOAST_LENGTH = 200  # characters of the text of answerCallbackQuery
_MAX_QUOTE_LENGTH = 40
_LONG_QUOTE = re.compile("“([^“”]{80})[^“”]{20,}”")


def _keyboard(answer: Answer) -> InlineKeyboardMarkup | None:
    """Return the rows of buttons, up to the number that Telegram accepts."""
    rows: list[list[InlineKeyboardButton]] = []
    for row in button_rows(answer.buttons, AS_EDIT):
        if sum(map(len, rows)) + len(row) > MAX_BUTTONS:
            break
        rows.append([InlineKeyboardButton(label, callback_data=data) for label, data in row])
    return InlineKeyboardMarkup(rows) if rows else None


def thread_of(message: Message | None) -> int | None:
    """Return the id of the forum topic that a message is in, if any."""
    return message.message_thread_id if message is not None and message.is_topic_message else None


@asynccontextmanager
async def typing_indicator(bot: Bot, update: Update) -> AsyncIterator[None]:
    """Show “typing” while the block runs longer than TYPING_AFTER. Telegram shows it for 5 s."""

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
        await asyncio.gather(showing, return_exceptions=True)  # an error of the indicator is not reported


class ReplyTarget:
    """A chat and a topic in it. If Telegram says that the topic is gone or closed, the chat alone."""

    def __init__(self, bot: Bot, chat_id: int, thread: int | None) -> None:
        self.bot, self.chat_id, self.thread = bot, chat_id, thread

    async def send(self, method: Callable[..., Awaitable[Message]], **arguments: Any) -> Message:  # noqa: ANN401 - the method's own
        """Call a sending method of the Bot for this chat. Markup that is refused is sent as plain text."""
        while True:
            try:
                return await method(chat_id=self.chat_id, message_thread_id=self.thread, **arguments)
            except BadRequest as error:
                error_class = classify(error)
                if error_class is ErrorClass.NO_TOPIC and self.thread is not None:
                    self.thread = None
                elif error_class is ErrorClass.PLAIN and arguments.get("parse_mode"):
                    _log.exception("an answer to chat %s is sent as plain text", self.chat_id)
                    arguments["parse_mode"] = None
                    for key in arguments.keys() & {"text", "caption"}:
                        arguments[key] = strip_html(arguments[key])
                else:
                    raise


async def send(
    bot: Bot, services: Services, update: Update, answer: Answer, *, numbers: str | None, edit: bool
) -> bool:
    """Send the answer to the chat and topic of the update; with `edit`, replace the update's message.

    `numbers` is the chat's way of writing them. If the message shows the answer already, because a button was
    pressed twice, nothing is sent. Returns whether there is a new message, which a chat may refuse.
    """
    message, chat = update.effective_message, update.effective_chat
    if chat is None:
        return False
    parts = split_html(localized(answer.html, numbers))
    if edit and isinstance(message, Message) and message.text is not None:
        error_class = await _edit_message(message, answer, parts)
        if error_class is ErrorClass.NOTHING:
            return False
        parts = parts[1:] if error_class is None else parts
    target = ReplyTarget(bot, chat.id, thread_of(message))
    for number, part in enumerate(parts, start=1):
        keyboard = _keyboard(answer) if number == len(parts) else None
        await target.send(bot.send_message, text=part, parse_mode=ParseMode.HTML, reply_markup=keyboard)
    if answer.draw is not None:
        await _send_picture(target, services, answer, answer.draw, numbers)
    if answer.attachment is not None:
        upload = InputFile(answer.attachment.content, filename=answer.attachment.name)
        try:
            await target.send(bot.send_document, document=upload)
        except NetworkError as error:
            if classify(error) is not ErrorClass.NO_FILE:
                raise
            text = escape(f"Telegram did not accept the file: {error}.")
            await target.send(bot.send_message, text=text, parse_mode=ParseMode.HTML)
    return bool(parts or answer.draw or answer.attachment)


async def _edit_message(message: Message, answer: Answer, parts: list[str]) -> ErrorClass | None:
    """Edit the message to show the first part. Return the class of the error, or None if it was edited."""
    keyboard = _keyboard(answer) if len(parts) == 1 else None
    try:
        await message.edit_text(parts[0], parse_mode=ParseMode.HTML, reply_markup=keyboard)
    except BadRequest as error:
        return classify(error)
    return None


async def _send_picture(
    target: ReplyTarget, services: Services, answer: Answer, spec: ChartSpec, numbers: str | None
) -> None:
    """Send the picture: by its file id if it was sent before, else drawn.

    If Telegram does not accept the picture, the caption is sent as a text that says so.
    """
    pictures, png, error_text = services.pictures, b"", ""
    if spec not in services.drawn or services.drawn[spec][0] not in pictures:
        png = await _draw(target, services, spec)
    digest, words = services.drawn[spec]
    caption = split_html(localized(escape(words), numbers), CAPTION_LIMIT)[0]
    post = partial(target.send, target.bot.send_photo, caption=caption, parse_mode=ParseMode.HTML)
    for photo in dict.fromkeys((pictures.get(digest), None)):  # the file id, if known; the file
        if photo is None:
            png = png or await _draw(target, services, spec)
        try:
            sent = await post(photo=photo or InputFile(png, filename=f"{answer.name}.png"))
        except NetworkError as error:
            if classify(error) is not ErrorClass.NO_FILE:
                raise
            error_text = str(error)
            pictures.pop(digest, None)
            continue
        if sent.photo:
            pictures.pop(digest, None)  # the one sent last is forgotten last
            pictures[digest] = sent.photo[-1].file_id
            while len(pictures) > MAX_REMEMBERED_PICTURES:
                pictures.pop(next(iter(pictures)))
        return
    text = lines(Html(caption), f"Telegram did not accept the picture: {error_text}.")
    await target.send(target.bot.send_message, text=text, parse_mode=ParseMode.HTML)


async def _draw(target: ReplyTarget, services: Services, spec: ChartSpec) -> bytes:
    """Draw a picture and remember its digest and caption, while the chat shows that one is coming."""
    with suppress(TelegramError):  # an error of the indicator is not reported
        await target.bot.send_chat_action(
            target.chat_id, ChatAction.UPLOAD_PHOTO, message_thread_id=target.thread
        )
    chart = await services.charts.draw(spec)
    services.drawn[spec] = hashlib.sha256(chart.png).hexdigest(), chart.caption
    return chart.png


def error_answer(error: BotError, first_step: Callable[[str], str], typed: str = "") -> Answer:
    """Return an error as an answer: its sentence, its example as text, and a button to it.

    The button changes nothing: it leads to the page `first_step(example)`, if that is not what was `typed`.
    """
    sentence, example = error.sentence, error.example
    if not isinstance(sentence, Html):
        sentence = _LONG_QUOTE.sub(r"“\1…”", sentence)
    lead = "Example: " if " " in example or not example.startswith("/") else "See: "
    step = first_step(example) if example.startswith("/") else ""
    label = "Try the example" if step == example else "Set it up"
    button = ((label, step),) if step and step != typed else ()
    return Answer(lines(sentence, lead + code(example) if example else None), buttons=(button,))


def unknown_command(name: str, words: str, known: Iterable[str], pair: Pair) -> Answer:
    """Answer an unknown command: suggest the nearest one, or what can be done with a metric or a rule."""
    typed = f"{name} {words}"
    with suppress(BadInput):
        parse_rule(typed, metrics_of(pair))
        alert = f"/alert {typed}"
        html = lines(bold("That reads as a rule."), "To be told when it turns true: " + code(alert))
        buttons = (("Make it an alert", f"/alert new {typed}"), ("Backtest", f"/backtest {typed}"))
        return Answer(html, buttons=(buttons,))
    word = name if len(name) <= _MAX_QUOTE_LENGTH else name[:_MAX_QUOTE_LENGTH] + "…"
    near = nearest(name.lstrip("/"), known)
    sentence = bold(f"“{word}” is not a command.") + (f" Did you mean /{near}?" if near else "")
    near_button: tuple[Button, ...] = ((f"/{near}", f"/{near}"),) if near else ()
    metric = metrics_of(pair).get(name.lower())
    if metric is None:
        return Answer(lines(sentence, "All commands: /help"), buttons=(near_button or (("Help", "/help"),),))
    alert = f"/alert {metric.example}"
    html = lines(sentence, f"{metric.name} is a metric ({metric.title}). Alert: " + code(alert))
    row = (
        ("Alert", f"/alert new {metric.name}"),
        ("Chart", f"/chart {metric.name}"),
        ("Help", f"/help {metric.name}"),
    )
    return Answer(html, buttons=(near_button, row))
