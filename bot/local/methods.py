"""The methods of the Bot API that a chat in the terminal needs: calls are checked, then done on a `BotApi`.

Refusals are worded as the real server's. Some are stricter, because what they refuse is a mistake of the
bot: HTML with an unescaped "&" or a tag inside <pre> or <code>; a text or caption that only its trailing
space makes too long. The Bot API of the tests refuses more.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, TypeVar

import msgspec

from bot.local import botapi

T = TypeVar("T")
# By the parameter: the limit in UTF-16 units after entity parsing, and how refusals call the text.
TEXTS = {"text": (4096, "message"), "caption": (1024, "message caption")}
_NOT_MODIFIED = (
    "message is not modified: specified new message content and reply markup"
    " are exactly the same as a current content and reply markup of the message"
)
_INTEGER = re.compile(r"-?[0-9]{1,18}")
QUERY_TOO_OLD = "query is too old and response timeout expired or query ID is invalid"
_WRONG_FILE = "wrong file identifier/HTTP URL specified"


@dataclass(frozen=True)
class Call:
    """One call of a method: its parameters as form fields, its uploads by part name."""

    method: str
    fields: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, botapi.Upload] = field(default_factory=dict)

    @property
    def chat_id(self) -> int | None:
        """The id of the chat, or None if it is not given as a number."""
        text = self.fields.get("chat_id", "")
        return int(text) if _INTEGER.fullmatch(text) else None

    def integer(self, name: str, default: int | None = None) -> int:
        """Return a whole number. Raises BotApiError if it is neither given nor has a default."""
        text = self.fields.get(name)
        if text is None and default is not None:
            return default
        if not text or not _INTEGER.fullmatch(text):
            raise botapi.bad_request(f"{name} is {'invalid' if text else 'empty'}")
        return int(text)

    def mapping(self, name: str) -> botapi.Json:
        """Return a JSON object, empty if it is absent."""
        return self.json_value(name, botapi.Json, f"object expected as {name.replace('_', ' ')}")

    def json_value(self, name: str, kind: type[T], problem: str) -> T:
        """Return a JSON value of a kind, empty if it is absent. Raises BotApiError with the problem."""
        try:
            value = json.loads(self.fields.get(name) or "null")
        except ValueError:
            raise botapi.bad_request(f"can't parse {name} JSON object") from None
        return expect(kind, value or kind(), problem)

    def inline_keyboard(self) -> botapi.Json | None:
        """Return the inline keyboard, or None. Other keyboards are not stored with a message."""
        markup = self.mapping("reply_markup")
        return markup if any(markup.get("inline_keyboard", ())) else None


def expect(kind: type[T], value: object, problem: str) -> T:
    """Return a value of a kind. Raises BotApiError with the problem."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        raise botapi.bad_request(problem) from None


class FormattedText(NamedTuple):
    """A text or caption: as people see it, as the bot sent it, and its entities."""

    plain: str
    html: str
    entities: list[botapi.Json]


def formatted(fields: Mapping[str, str], parameter: str) -> FormattedText:
    """Parse and measure a text, which must not be empty, or a caption. Raises BotApiError."""
    source, parse_mode = fields.get(parameter, ""), fields.get("parse_mode")
    limit, name = TEXTS[parameter]
    if parse_mode not in (None, "", "HTML"):
        raise botapi.bad_request(f'only parse_mode HTML is understood here, not "{parse_mode}"')
    try:
        plain, entities = botapi.parse_html(source) if parse_mode else (source, [])
    except botapi.EntityError as error:
        raise botapi.bad_request(f"can't parse entities: {error}") from None
    if botapi.utf16_length(plain) > limit:
        raise botapi.bad_request(f"{name} is too long")
    plain = plain.rstrip()
    if not plain and parameter != "caption":
        raise botapi.bad_request("message text is empty")
    length = botapi.utf16_length(plain)
    return FormattedText(plain, source, [entity for entity in entities if entity["offset"] < length])


def answer(api: botapi.BotApi, call: Call) -> tuple[int, bytes]:
    """Perform a call. Returns the HTTP status and the JSON body."""
    try:
        return 200, json.dumps({"ok": True, "result": perform(api, call)}).encode()
    except botapi.BotApiError as error:
        return error.status, error.body()


def perform(api: botapi.BotApi, call: Call) -> object:
    """Perform a call and return its result. Raises BotApiError."""
    method = METHODS.get(call.method)
    if method is None:
        raise botapi.BotApiError(404, "Not Found")
    api.check(call.method, call.fields, call.files)
    return method(api, call)


def open_chat(api: botapi.BotApi, call: Call) -> botapi.ApiChat:
    """Return the chat of a call. Raises BotApiError if there is none, or if it refuses the bot."""
    if not call.fields.get("chat_id"):
        raise botapi.bad_request("chat_id is empty")
    chat = api.chats.get(call.chat_id) if call.chat_id is not None else None
    if chat is None:
        raise botapi.bad_request("chat not found")
    if chat.refusal:
        raise chat.refusal
    return chat


def _file(api: botapi.BotApi, call: Call, kind: str) -> botapi.StoredFile:
    """Return the file of a call: an upload, attached or in the part `kind`, or a file sent before."""
    value = call.fields.get(kind, "")
    upload = call.files.get(value.removeprefix("attach://") or kind, call.files.get(kind))
    if upload is not None:
        return api.store_file(kind, upload)
    if not value:
        raise botapi.bad_request(f"there is no {kind} in the request")
    file = api.files.get(value)
    if file is None:
        raise botapi.bad_request(_WRONG_FILE)
    if file.kind != kind:
        raise botapi.bad_request(f"can't use file of type {file.kind.title()} as {kind.title()}")
    return file


def _send(api: botapi.BotApi, call: Call, kind: str = "") -> botapi.Json:
    text = formatted(call.fields, "caption" if kind else "text")
    chat = open_chat(api, call)
    message = api.add_message(
        chat,
        text=text.plain,
        html=text.html,
        entities=text.entities,
        file=_file(api, call, kind) if kind else None,
        markup=call.inline_keyboard(),
        thread_id=call.integer("message_thread_id", 0) or None,
        silent=call.fields.get("disable_notification") == "true",
        caption_above=call.fields.get("show_caption_above_media") == "true",
    )
    api.publish(botapi.ApiEvent(call.method, chat.chat_id, message))
    return message.json()


def _edited_message(api: botapi.BotApi, call: Call) -> botapi.ApiMessage:
    """Return the bot's message that a call edits. Raises BotApiError if it may not."""
    chat = open_chat(api, call)
    message = api.history.get(call.integer("message_id"))
    if message is None or message.chat is not chat:
        raise botapi.bad_request("message to edit not found")
    if message.sender["id"] != botapi.BOT_ID:
        raise botapi.bad_request("message can't be edited")
    return message


def _edit(
    api: botapi.BotApi, call: Call, message: botapi.ApiMessage, text: FormattedText, file: botapi.StoredFile | None
) -> botapi.Json:
    """Replace text, file and keyboard of a message. Raises BotApiError if that changes nothing.

    An upload is always a change: Telegram does not compare files.
    """
    markup = call.inline_keyboard()
    new = (text.plain, text.entities, markup, file)
    if (message.text, message.entities, message.markup, message.file) == new and not call.files:
        raise botapi.bad_request(_NOT_MODIFIED)
    message.text, message.entities, message.markup, message.file = new
    message.html, message.edits, message.edited_at = text.html, message.edits + 1, api.clock()
    api.publish(botapi.ApiEvent(call.method, message.chat_id, message))
    return message.json()


def _edit_message_text(api: botapi.BotApi, call: Call) -> botapi.Json:
    message = _edited_message(api, call)
    if message.file:
        raise botapi.bad_request("there is no text in the message to edit")
    return _edit(api, call, message, formatted(call.fields, "text"), None)


def _edit_message_caption(api: botapi.BotApi, call: Call) -> botapi.Json:
    message = _edited_message(api, call)
    if message.file is None:
        raise botapi.bad_request("there is no caption in the message to edit")
    _check_place(message, call.fields.get("show_caption_above_media") == "true")
    return _edit(api, call, message, formatted(call.fields, "caption"), message.file)


def _edit_message_media(api: botapi.BotApi, call: Call) -> botapi.Json:
    """Replace what a message shows by a photo with a caption; a text becomes a photo."""
    message, media = _edited_message(api, call), call.mapping("media")
    if media.get("type") != "photo":
        raise botapi.bad_request("wrong type of the media: only photos are understood here")
    _check_place(message, bool(media.get("show_caption_above_media")))
    fields = {**media, "photo": media.get("media", "")}
    file = _file(api, Call(call.method, fields, call.files), "photo")
    message.caption_above = bool(media.get("show_caption_above_media"))
    return _edit(api, call, message, formatted(fields, "caption"), file)


def _check_place(message: botapi.ApiMessage, above: bool) -> None:
    """Refuse an edit that would move a caption below its picture, which Telegram does without a word."""
    if message.caption_above and not above:
        raise botapi.bad_request("show_caption_above_media is left out: the caption would drop below the picture")


def _answer_callback_query(api: botapi.BotApi, call: Call) -> bool:
    query = api.callback_queries.get(call.fields.get("callback_query_id", ""))
    if query is None or query.answer is not None:
        raise botapi.bad_request(QUERY_TOO_OLD)
    text = call.fields.get("text", "")
    query.answer = call.fields
    api.publish(botapi.ApiEvent(call.method, query.message.chat_id, query.message, text))
    return True


def _send_chat_action(api: botapi.BotApi, call: Call) -> bool:
    chat = open_chat(api, call)
    api.publish(botapi.ApiEvent(call.method, chat.chat_id))
    return True


def _pin(api: botapi.BotApi, call: Call) -> bool:
    chat, message_id = _pinning_chat(api, call), call.integer("message_id")
    message = api.history.get(message_id)
    if message is None or message.chat is not chat:
        raise botapi.bad_request("message to pin not found")
    if message_id not in chat.pinned:
        chat.pinned.append(message_id)
    return True


def _unpin(api: botapi.BotApi, call: Call) -> bool:
    chat = _pinning_chat(api, call)
    message_id = call.integer("message_id", chat.pinned[-1] if chat.pinned else 0)
    if message_id not in chat.pinned:
        raise botapi.bad_request("message to unpin not found")
    chat.pinned.remove(message_id)
    return True


def _pinning_chat(api: botapi.BotApi, call: Call) -> botapi.ApiChat:
    chat = open_chat(api, call)
    if not chat.may_pin:
        raise botapi.bad_request("not enough rights to manage pinned messages in the chat")
    return chat


METHODS: dict[str, Callable[[botapi.BotApi, Call], object]] = {
    "getMe": lambda _api, _call: botapi.BOT,
    "sendMessage": _send,
    "sendPhoto": partial(_send, kind="photo"),
    "sendDocument": partial(_send, kind="document"),
    "editMessageText": _edit_message_text,
    "editMessageCaption": _edit_message_caption,
    "editMessageMedia": _edit_message_media,
    "pinChatMessage": _pin,
    "unpinChatMessage": _unpin,
    "answerCallbackQuery": _answer_callback_query,
    "sendChatAction": _send_chat_action,
}
