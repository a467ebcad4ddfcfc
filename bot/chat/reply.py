"""Sending answers, or editing the message with the pressed button; the answers to errors and mistakes."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from telegram import Bot, InlineKeyboardMarkup, InputFile, InputMediaPhoto, Message, ReplyParameters, Update
from telegram.constants import ChatAction, ChatType, ParseMode
from telegram.error import BadRequest, NetworkError, TelegramError

from bot.analytics.metrics import metrics_of
from bot.delivery.outcome import ErrorClass, classify
from bot.delivery.send import keyboard
from bot.errors import Ambiguous, BotError
from bot.messages import html
from bot.messages.charts import ChartSpec
from bot.messages.common import AS_EDIT, AS_NEW, Answer, Attachment, Button
from bot.pair import Pair
from bot.services import Services
from bot.text import nearest

_log = logging.getLogger(__name__)
TYPING_AFTER, TYPING_AGAIN = 0.3, 4.5  # seconds
FAILED = "Something failed here; it has been logged. Please try again."
UNUSABLE = "The bot's database cannot be used at the moment; please try again later."
ADMINISTRATORS_ONLY = "In a group only its administrators may do that."
FORWARDED = "A forwarded message is not a command; to send its words as your own, copy them."
OWNER_ONLY = "Only this bot's owner may use /admin, in their private chat with it."
MAX_TOAST_LENGTH = 200  # characters of the text of answerCallbackQuery
_MAX_QUOTE_LENGTH = 40
_QUOTE_END = html.Html("</blockquote>")
_PAGES = {"/alert": "Choose step by step", "/help": "Help"}
_PAGE = re.compile(r"/[a-z]+|/alert [0-9]+")  # a command alone, or an alert
_LONG_QUOTE = re.compile("“([^“”]{80})[^“”]{20,}”")


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
    """A chat and a topic in it. If Telegram says that the topic is gone or closed, the chat alone.

    The first message that is sent is a reply to `question`, in a group the message of who asked.
    """

    def __init__(self, bot: Bot, chat_id: int, thread: int | None, question: int | None = None) -> None:
        self.bot, self.chat_id, self.thread, self._question = bot, chat_id, thread, question

    async def send(self, method: Callable[..., Awaitable[Message]], **arguments: Any) -> Message:  # noqa: ANN401 - the method's own
        """Call a sending method of the Bot for this chat. Markup that is refused is sent as plain text."""
        question, self._question = self._question, None
        if question is not None:
            arguments["reply_parameters"] = ReplyParameters(question, allow_sending_without_reply=True)
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
                        arguments[key] = html.strip_html(arguments[key])
                else:
                    raise


@dataclass(frozen=True)
class _Photo:
    """An answer with a picture, as one message: the text is its caption."""

    answer: Answer
    spec: ChartSpec
    text: html.Html

    def media(self, file: str | InputFile) -> InputMediaPhoto:
        """Return what editMessageMedia shows. Without `show_caption_above_media` the caption would drop."""
        return InputMediaPhoto(file, self.text, ParseMode.HTML, show_caption_above_media=True)


async def send(
    bot: Bot, services: Services, update: Update, answer: Answer, *, numbers: str | None, edit: bool
) -> bool:
    """Send the answer to the chat and topic of the update; with `edit`, change the update's message into it.

    `numbers` is the chat's way of writing them. The text of a message that was pushed, or that has a picture,
    stays if the answer to its button has something to show `below` it. An answer with a picture is one photo
    whose caption is the text; a picture that was not sent before is drawn while the text is shown already. A
    photo never becomes a text: any other answer to its buttons is a new message. If the message shows the
    answer already, because a button was pressed twice, nothing is sent. Returns whether there is a new message,
    which a chat may refuse.
    """
    message, chat = update.effective_message, update.effective_chat
    if chat is None:
        return False
    asked = update.edited_message or (update.message if chat.type != ChatType.PRIVATE else None)
    target = ReplyTarget(bot, chat.id, thread_of(message), asked.message_id if asked else None)
    text = html.localized(answer.text, numbers)
    pressed = message if update.callback_query is not None and isinstance(message, Message) else None
    if pressed is not None and answer.below is not None and (pressed.photo or not edit):
        buttons = keyboard(answer.rows(AS_EDIT if edit else AS_NEW))
        if await _add_below(pressed, html.localized(answer.below, numbers), buttons):
            return False
    current = pressed if edit else None
    if answer.draw is not None and html.visible_length(text) <= html.CAPTION_LIMIT:
        return await _send_photo(target, services, _Photo(answer, answer.draw, text), current)
    parts = html.split_html(text)
    if current is not None and parts and not current.photo:
        error_class = await _edit_text(current, answer, parts)
        if error_class is ErrorClass.NOTHING:
            return False
        parts = parts[1:] if error_class is None else parts
    for number, part in enumerate(parts, start=1):
        buttons = keyboard(answer.rows(AS_EDIT)) if number == len(parts) else None
        await target.send(bot.send_message, text=part, parse_mode=ParseMode.HTML, reply_markup=buttons)
    if answer.draw is not None:  # too much text for a caption: the picture is a message of its own
        title = html.Html(text.split("\n", 1)[0])
        await _send_photo(target, services, _Photo(Answer(title), answer.draw, title), None)
    if answer.attachment is not None:
        await _send_file(target, answer.attachment)
    return bool(parts or answer.draw or answer.attachment)


async def _send_file(target: ReplyTarget, attachment: Attachment) -> None:
    try:
        await target.send(target.bot.send_document, document=InputFile(attachment.content, filename=attachment.name))
    except NetworkError as error:
        if classify(error) is not ErrorClass.NO_FILE:
            raise
        refusal = html.escape(f"Telegram did not accept the file: {error}.")
        await target.send(target.bot.send_message, text=refusal, parse_mode=ParseMode.HTML)


async def _add_below(message: Message, line: html.Html, buttons: InlineKeyboardMarkup | None) -> bool:
    """Keep a message with other buttons, and a line below its quote if that is not empty.

    Return whether the message shows them.
    """
    shown = html.Html(message.caption_html if message.photo else message.text_html)
    head, end, _ = shown.rpartition(_QUOTE_END)
    text = html.lines(head + end if end else shown, line) if line else shown
    if html.visible_length(text) > (html.CAPTION_LIMIT if message.photo else html.MESSAGE_LIMIT):
        return False
    try:
        await _write(message, text, buttons)
    except BadRequest as error:
        return classify(error) is ErrorClass.NOTHING
    return True


async def _edit_text(message: Message, answer: Answer, parts: list[str]) -> ErrorClass | None:
    """Edit the message to show the first part. Return the class of the error, or None if it was edited."""
    buttons = keyboard(answer.rows(AS_EDIT)) if len(parts) == 1 else None
    try:
        await message.edit_text(parts[0], parse_mode=ParseMode.HTML, reply_markup=buttons)
    except BadRequest as error:
        return classify(error)
    return None


async def _send_photo(target: ReplyTarget, services: Services, photo: _Photo, current: Message | None) -> bool:
    """Send an answer with its picture, or change the message `current` into it.

    A picture that Telegram has goes out at once. Otherwise the text is shown first, and the picture is added
    to it when it is drawn. Returns whether there is a new message.
    """
    buttons, spec = keyboard(photo.answer.rows(AS_EDIT)), photo.spec
    options = {"parse_mode": ParseMode.HTML, "reply_markup": buttons}
    if (file_id := services.pictures.get(spec)) is not None:
        media, above = photo.media(file_id), {"caption": photo.text, "show_caption_above_media": True}
        send = partial(target.send, target.bot.send_photo, photo=file_id, **above, **options)
        try:
            shown = await _edit_or_send(current, lambda message: message.edit_media(media, reply_markup=buttons), send)
        except NetworkError as error:
            if classify(error) is not ErrorClass.NO_FILE:
                raise
            del services.pictures[spec]  # Telegram has forgotten it: it is drawn again
        else:
            return shown is not None
    send = partial(target.send, target.bot.send_message, text=photo.text, **options)
    shown = await _edit_or_send(current, lambda message: _write(message, photo.text, buttons), send)
    is_new = shown is not None
    if shown is None:  # the text is there already, and the picture too unless it is a text alone
        if current is None or current.photo:
            return False
        shown = current
    try:
        png = await _draw(target, services, spec)
        upload = photo.media(InputFile(png, f"{photo.answer.name}.png", attach=True))
        edited = await shown.edit_media(upload, reply_markup=buttons)
    except (BotError, NetworkError) as error:
        await _leave_text(shown, photo, error, buttons)
    else:
        if isinstance(edited, Message) and edited.photo:
            services.pictures[spec] = edited.photo[-1].file_id
    return is_new


async def _edit_or_send(
    current: Message | None, edit: Callable[[Message], Awaitable[object]], send: Callable[[], Awaitable[Message]]
) -> Message | None:
    """Edit a message, or send one if there is none to edit. Return it, None if it shows the answer already."""
    if current is not None:
        try:
            await edit(current)
        except BadRequest as error:
            if (error_class := classify(error)) is ErrorClass.NOTHING:
                return None
            if error_class is ErrorClass.NO_FILE:
                raise
        else:
            return current
    return await send()


async def _write(message: Message, text: html.Html, buttons: InlineKeyboardMarkup | None) -> None:
    """Replace the text of a message, or the caption of its picture. Raises BadRequest."""
    if message.photo:
        await message.edit_caption(text, buttons, parse_mode=ParseMode.HTML, show_caption_above_media=True)
    else:
        await message.edit_text(text, ParseMode.HTML, reply_markup=buttons)


async def _leave_text(message: Message, photo: _Photo, error: Exception, buttons: InlineKeyboardMarkup | None) -> None:
    """Say below a text why it has no picture, or that the one below it is an earlier one."""
    if isinstance(error, NetworkError) and (error_class := classify(error)) is not ErrorClass.NO_FILE:
        if error_class is not ErrorClass.NOTHING:
            _log.warning("a picture was not added to a message: %s", error)
        return
    reason = error.sentence if isinstance(error, BotError) else f"Telegram did not accept it: {error}."
    with suppress(TelegramError):
        await _write(message, html.lines(photo.text, html.escape("No current picture: ") + reason), buttons)


async def _draw(target: ReplyTarget, services: Services, spec: ChartSpec) -> bytes:
    """Draw a picture, while the chat shows that one is coming."""
    with suppress(TelegramError):  # an error of the indicator is not reported
        await target.bot.send_chat_action(target.chat_id, ChatAction.UPLOAD_PHOTO, message_thread_id=target.thread)
    return await services.charts.draw(spec)


def error_answer(error: BotError, first_step: Callable[[str], str], typed: str = "") -> Answer:
    """Return an error as an answer: its sentence, its example as text, and a button to it.

    The button changes nothing: it leads to the page `first_step(example)`, if that is not what was `typed`.
    What can be read in two ways has a button for each.
    """
    sentence, example = error.sentence, error.example
    for reason in (error, error.__cause__):
        if isinstance(reason, Ambiguous):
            typed_lines = ((label, typed.replace(reason.typed, reading)) for label, reading in reason.readings)
            row = tuple((label, first_step(line)) for label, line in typed_lines)
            return Answer(html.lines(sentence), buttons=(row,))
    if not isinstance(sentence, html.Html):
        sentence = _LONG_QUOTE.sub(r"“\1…”", sentence)
    step = first_step(example) if example.startswith("/") else ""
    is_page = _PAGE.fullmatch(example) is not None
    lead = "See: " if is_page else "Example: "
    label = (
        "Choose step by step"
        if step == "/alert"
        else "Open it"
        if is_page
        else "Try the example"
        if step == example
        else "Set it up"
    )
    button = ((label, step),) if step and step != typed else ()
    return Answer(html.lines(sentence, lead + html.code(example) if example else None), buttons=(button,))


def unknown_command(name: str, known: Iterable[str], pair: Pair) -> Answer:
    """Answer an unknown command: suggest the nearest one, or what can be done with a metric."""
    word = name if len(name) <= _MAX_QUOTE_LENGTH else name[:_MAX_QUOTE_LENGTH] + "…"
    near = nearest(name.lstrip("/"), known)
    sentence = html.bold(f"“{word}” is not a command.") + (f" Did you mean /{near}?" if near else "")
    near_button: tuple[Button, ...] = ((f"/{near}", f"/{near}"),) if near else ()
    metric = metrics_of(pair).get(name.lower())
    if metric is None:
        return Answer(html.lines(sentence, "All commands: /help"), buttons=(near_button or (("Help", "/help"),),))
    alert = f"/alert {metric.example}"
    text = html.lines(sentence, f"{metric.name} is a metric ({metric.title}). Alert: " + html.code(alert))
    row = (
        ("Alert", f"/alert new {metric.name}"),
        ("Chart", f"/chart {metric.subject}"),
        ("Help", f"/help {metric.name}"),
    )
    return Answer(text, buttons=(near_button, row))
