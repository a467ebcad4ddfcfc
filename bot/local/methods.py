"""The methods of the Bot API that a chat in the terminal needs: calls are checked, then done on a `BotApi`.

Refusals are worded as the real server's. Some are stricter, because what they refuse is a mistake of the bot
or something that it does not need: a parameter that the method does not have; HTML with an unescaped "&" or
a tag inside <pre> or <code>; a photo that is no PNG; a text or caption that only its trailing space makes too
long.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import msgspec

from bot.local.botapi import (
    BOT,
    BOT_ID,
    ApiEvent,
    BotApi,
    BotApiError,
    EntityError,
    Json,
    Upload,
    bad_request,
    parse_html,
    utf16_length,
)

if TYPE_CHECKING:
    from bot.local.botapi import ApiChat, StoredFile


T = TypeVar("T")
# By the parameter: the limit in UTF-16 units after entity parsing, and how refusals call the text.
TEXTS = {"text": (4096, "message"), "caption": (1024, "message caption")}
TOAST_LIMIT = 200
CALLBACK_DATA_LIMIT = 64  # bytes of UTF-8
UPLOAD_LIMIT = 50 * 1024 * 1024  # bytes of all files of one call
CHAT_ACTIONS = frozenset({
    "typing", "upload_photo", "record_video", "upload_video", "record_voice", "upload_voice",
    "upload_document", "choose_sticker", "find_location", "record_video_note", "upload_video_note",
})  # fmt: skip
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
    files: Mapping[str, Upload] = field(default_factory=dict)

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
            raise bad_request(f"{name} is {'invalid' if text else 'empty'}")
        return int(text)

    def flag(self, name: str) -> bool:
        """Return a boolean, false if it is absent."""
        return self.fields.get(name, "").lower() in ("true", "1")

    def mapping(self, name: str) -> Json:
        """Return a JSON object, empty if it is absent."""
        return self.json_value(name, Json, f"object expected as {name.replace('_', ' ')}")

    def json_value(self, name: str, kind: type[T], problem: str) -> T:
        """Return a JSON value of a kind, empty if it is absent. Raises BotApiError with the problem."""
        try:
            value = json.loads(self.fields.get(name) or "null")
        except ValueError:
            raise bad_request(f"can't parse {name} JSON object") from None
        return _expect(kind, value or kind(), problem)

    def inline_keyboard(self) -> Json | None:
        """Return the checked inline keyboard, or None. Other keyboards are not stored with a message."""
        markup = self.mapping("reply_markup")
        rows = _expect(list, markup.get("inline_keyboard", []), "inline keyboard must be an array of arrays")
        problem = "inline keyboard row must be an array of objects"
        buttons = [button for row in rows for button in _expect(list[Json], row, problem)]
        if len(buttons) > 100:
            raise bad_request("reply markup is too long")
        for button in buttons:
            _check_button(button)
        return markup if buttons else None


def _expect(kind: type[T], value: object, problem: str) -> T:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        raise bad_request(problem) from None


def _check_button(button: Json) -> None:
    problem = "can't parse inline keyboard button"
    if not all(
        isinstance(value, str) for key, value in button.items() if key in ("text", "callback_data", "url")
    ):
        raise bad_request(f"{problem}: Field must be of type String")
    if not button.get("text"):
        raise bad_request(f'{problem}: Field "text" must be non-empty')
    if len(button) < 2:
        raise bad_request(f"{problem}: Text buttons are unallowed in the inline keyboard")
    if "callback_data" in button and not 1 <= len(button["callback_data"].encode()) <= CALLBACK_DATA_LIMIT:
        raise bad_request("BUTTON_DATA_INVALID")


class FormattedText(NamedTuple):
    """A text or caption: as people see it, as the bot sent it, and its entities."""

    plain: str
    html: str
    entities: list[Json]


def formatted(fields: Mapping[str, str], parameter: str) -> FormattedText:
    """Parse and measure a text, which must not be empty, or a caption. Raises BotApiError."""
    source, parse_mode = fields.get(parameter, ""), fields.get("parse_mode")
    limit, name = TEXTS[parameter]
    if parse_mode not in (None, "", "HTML"):
        raise bad_request(f'only parse_mode HTML is understood here, not "{parse_mode}"')
    try:
        plain, entities = parse_html(source) if parse_mode else (source, [])
    except EntityError as error:
        raise bad_request(f"can't parse entities: {error}") from None
    if utf16_length(plain) > limit:
        raise bad_request(f"{name} is too long")
    plain = plain.rstrip()
    if not plain and parameter != "caption":
        raise bad_request("message text is empty")
    length = utf16_length(plain)
    return FormattedText(plain, source, [entity for entity in entities if entity["offset"] < length])


def answer(api: BotApi, call: Call) -> tuple[int, bytes]:
    """Perform a call. Returns the HTTP status and the JSON body."""
    try:
        return 200, json.dumps({"ok": True, "result": perform(api, call)}).encode()
    except BotApiError as error:
        return error.status, error.body()


def perform(api: BotApi, call: Call) -> object:
    """Perform a call and return its result. Raises BotApiError."""
    method = METHODS.get(call.method)
    if method is None:
        raise BotApiError(404, "Not Found")
    if sum(len(upload.content) for upload in call.files.values()) > UPLOAD_LIMIT:
        raise BotApiError(413, "Request Entity Too Large")
    names = {name for name in call.files if not name.startswith("attached")} | set(call.fields)
    if unknown := sorted(names - set(method.parameters.split())):
        raise bad_request(f'method {call.method} has no argument "{unknown[0]}"')
    return method.handle(api, call)


def open_chat(api: BotApi, call: Call) -> ApiChat:
    """Return the chat of a call. Raises BotApiError if there is none, or if it refuses the bot."""
    if not call.fields.get("chat_id"):
        raise bad_request("chat_id is empty")
    chat = api.chats.get(call.chat_id) if call.chat_id is not None else None
    if chat is None:
        raise bad_request("chat not found")
    if chat.refusal:
        raise chat.refusal
    return chat


def _thread(chat: ApiChat, call: Call) -> int | None:
    thread_id = call.integer("message_thread_id", 0) or None
    if thread_id and thread_id not in chat.threads:
        raise bad_request("message thread not found")
    if thread_id in chat.closed:
        raise bad_request("TOPIC_CLOSED")
    return thread_id


def _check_reply(api: BotApi, chat: ApiChat, reply: Json) -> None:
    message_id = _expect(
        int, reply.get("message_id", 0), "can't parse reply parameters: Field must be a Number"
    )
    target = api.history.get(message_id)
    missing = target is None or target.chat is not chat
    if reply and missing and not reply.get("allow_sending_without_reply"):
        raise bad_request("message to be replied not found")


def _file(api: BotApi, call: Call, kind: str) -> StoredFile:
    """Return the file of a call: an upload, attached or in the part `kind`, or a file sent before."""
    value = call.fields.get(kind, "")
    upload = call.files.get(value.removeprefix("attach://") or kind, call.files.get(kind))
    if upload is not None:
        return api.store_file(kind, upload)
    if not value:
        raise bad_request(f"there is no {kind} in the request")
    file = api.files.get(value)
    if file is None:
        raise bad_request(_WRONG_FILE)
    if file.kind != kind:
        raise bad_request(f"can't use file of type {file.kind.title()} as {kind.title()}")
    return file


def _send(api: BotApi, call: Call, kind: str = "") -> Json:
    """Send a text, or a file of a kind with a caption."""
    text = formatted(call.fields, "caption" if kind else "text")
    chat = open_chat(api, call)
    thread_id = _thread(chat, call)
    _check_reply(api, chat, call.mapping("reply_parameters"))
    markup = call.inline_keyboard()
    message = api.add_message(
        chat,
        text=text.plain,
        html=text.html,
        entities=text.entities,
        file=_file(api, call, kind) if kind else None,
        markup=markup,
        thread_id=thread_id,
        silent=call.flag("disable_notification"),
    )
    api.publish(ApiEvent(call.method, chat.chat_id, message))
    return message.json()


def _edit_message_text(api: BotApi, call: Call) -> Json:
    """Replace text and keyboard of a message. Raises BotApiError if that changes nothing."""
    chat = open_chat(api, call)
    message = api.history.get(call.integer("message_id"))
    if message is None or message.chat is not chat:
        raise bad_request("message to edit not found")
    if message.sender["id"] != BOT_ID:
        raise bad_request("message can't be edited")
    if message.file:
        raise bad_request("there is no text in the message to edit")
    text, markup = formatted(call.fields, "text"), call.inline_keyboard()
    if (message.text, message.entities, message.markup) == (text.plain, text.entities, markup):
        raise bad_request(_NOT_MODIFIED)
    message.text, message.html, message.entities = text.plain, text.html, text.entities
    message.markup, message.edits, message.edited_at = markup, message.edits + 1, api.clock()
    api.publish(ApiEvent(call.method, message.chat_id, message))
    return message.json()


def _answer_callback_query(api: BotApi, call: Call) -> bool:
    query = api.callback_queries.get(call.fields.get("callback_query_id", ""))
    if query is None or query.answer is not None:
        raise bad_request(QUERY_TOO_OLD)
    text = call.fields.get("text", "")
    if utf16_length(text) > TOAST_LIMIT:
        raise bad_request("MESSAGE_TOO_LONG")
    query.answer = call.fields
    api.publish(ApiEvent(call.method, query.message.chat_id, query.message, text))
    return True


def _send_chat_action(api: BotApi, call: Call) -> bool:
    chat = open_chat(api, call)
    _thread(chat, call)
    action = call.fields.get("action", "")
    if action not in CHAT_ACTIONS:
        raise bad_request("wrong parameter action in request")
    api.publish(ApiEvent(call.method, chat.chat_id))
    return True


@dataclass(frozen=True)
class Method:
    """One method of the Bot API: what performs it, and the names of its parameters."""

    handle: Callable[[BotApi, Call], object]
    parameters: str = ""


_SENDING = (
    "business_connection_id chat_id message_thread_id direct_messages_topic_id disable_notification"
    " protect_content allow_paid_broadcast message_effect_id suggested_post_parameters reply_parameters"
    " reply_markup parse_mode"
)
METHODS: dict[str, Method] = {
    "getMe": Method(lambda _api, _call: BOT),
    "sendMessage": Method(_send, f"{_SENDING} text entities link_preview_options"),
    "sendPhoto": Method(
        partial(_send, kind="photo"),
        f"{_SENDING} photo caption caption_entities show_caption_above_media has_spoiler",
    ),
    "sendDocument": Method(
        partial(_send, kind="document"),
        f"{_SENDING} document thumbnail caption caption_entities disable_content_type_detection",
    ),
    "editMessageText": Method(
        _edit_message_text,
        "business_connection_id chat_id message_id inline_message_id reply_markup text parse_mode entities"
        " link_preview_options",
    ),
    "answerCallbackQuery": Method(_answer_callback_query, "callback_query_id text show_alert url cache_time"),
    "sendChatAction": Method(_send_chat_action, "business_connection_id chat_id message_thread_id action"),
}
