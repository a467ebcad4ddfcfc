"""Telegram's Bot API in this process, for the terminal; that of the tests is built on it and refuses more.

`BotApi` holds the chats, messages, files and updates of a Telegram that has one bot. People act through its
methods such as `say` and `press`, which queue updates. The bot acts through the calls of `bot.local.methods`,
and listeners are notified of what it did.

Telegram's formatted text: HTML to entities with the real parser's errors, and commands in plain text.

The rules and the wording follow core.telegram.org/bots/api#html-style and TDLib's parser. Three rules are
stricter than Telegram's, because what they refuse is a mistake of the sender: a bare "&" or an unknown named
entity, which Telegram shows as typed; a tag inside <code> or <pre>, which Telegram drops, and a <pre> inside
a quote; and every tag and attribute that the bot's messages do not use.
"""

import hashlib
import html
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

TAGS = {"b": "bold", "i": "italic", "code": "code", "pre": "pre", "blockquote": "expandable_blockquote"}
_FIXED_WIDTH = ("code", "pre")
_ATTRIBUTES = {"blockquote": "expandable"}  # those that the bot's messages use, and must
_TEXT = re.compile(r"[^<&]+|&(?:lt|gt|amp|quot|#[0-9]{1,7}|#x[0-9a-fA-F]{1,6});")
_TAG = re.compile(r"<(?P<slash>/?)(?P<name>[^\s>]*)(?P<attributes>[^>]*)(?P<close>>?)")
_COMMAND = re.compile(r"(?<![\w/])/[A-Za-z0-9_]{1,64}(?:@[A-Za-z0-9_]{3,32})?(?![\w/@])")


class EntityError(ValueError):
    """The HTML cannot be parsed. The message is the reason in Telegram's words."""


def utf16_length(text: str) -> int:
    """Return the number of UTF-16 code units, in which Telegram counts lengths and offsets."""
    return len(text.encode("utf-16-le")) // 2


def command_entities(text: str) -> list[dict[str, Any]]:
    """Return the entities of the commands in a text that a person writes."""
    return [
        {"type": "bot_command", "offset": utf16_length(text[: match.start()]), "length": utf16_length(match[0])}
        for match in _COMMAND.finditer(text)
    ]


def parse_html(source: str) -> tuple[str, list[dict[str, Any]]]:
    """Return the plain text and its entities, ordered by offset. Raises EntityError."""
    parser = _Parser(source)
    parser.run()
    entities = sorted(parser.entities, key=lambda entity: (entity["offset"], -entity["length"]))
    return "".join(parser.text), [entity for entity in entities if entity["length"]]


class _Parser:
    def __init__(self, source: str) -> None:
        self.source = source
        self.text: list[str] = []
        self.length = 0  # UTF-16 units of the text
        self.open_tags: list[tuple[str, int]] = []  # name, offset of the text
        self.entities: list[dict[str, Any]] = []

    def run(self) -> None:
        position = 0
        while position < len(self.source):
            if match := _TAG.match(self.source, position):
                (self._end_tag if match["slash"] else self._start_tag)(match, match["name"].lower())
            elif match := _TEXT.match(self.source, position):
                self.text.append(html.unescape(match[0]))
                self.length += utf16_length(self.text[-1])
            else:
                raise self._error('Unescaped "&"', position)
            position = match.end()
        if self.open_tags:
            raise EntityError(f'Can\'t find end tag corresponding to start tag "{self.open_tags[-1][0]}"')

    def _error(self, reason: str, position: int) -> EntityError:
        return EntityError(f"{reason} at byte offset {len(self.source[:position].encode())}")

    def _start_tag(self, tag: re.Match[str], name: str) -> None:
        if tag.end("name") == len(self.source):
            raise self._error("Unclosed start tag", tag.start())
        if name not in TAGS:
            raise self._error(f'Unsupported start tag "{name}"', tag.start())
        if tag["attributes"].strip() != _ATTRIBUTES.get(name, "") or not tag["close"]:
            raise self._error(f'Unclosed start tag "{name}", or one with attributes,', tag.start())
        outer_names = [outer for outer, _ in self.open_tags]
        in_fixed_width = name != "code" and any(outer in _FIXED_WIDTH for outer in outer_names)
        if in_fixed_width or (name in ("pre", "blockquote") and "blockquote" in outer_names):
            raise self._error(f'Tag "{name}" inside "{outer_names[-1]}"', tag.start())
        self.open_tags.append((name, self.length))

    def _end_tag(self, tag: re.Match[str], name: str) -> None:
        if not self.open_tags:
            raise self._error("Unexpected end tag", tag.start())
        if tag["attributes"].strip() or not tag["close"]:
            raise self._error("Unclosed end tag", tag.start())
        expected, start = self.open_tags.pop()
        if name not in ("", expected):
            error = self._error("Unmatched end tag", tag.start())
            raise EntityError(f'{error}, expected "</{expected}>", found "</{name}>"')
        entity = {"type": TAGS[expected], "offset": start, "length": self.length - start}
        self.entities.insert(0, entity)  # the outer one stands first where both span the same text


Json: TypeAlias = dict[str, Any]
BOT_ID = 700_000_001
BOT_USER: Json = {"id": BOT_ID, "is_bot": True, "first_name": "Small versus large", "username": "small_large_bot"}
BOT: Json = {
    **BOT_USER,
    "can_join_groups": True,
    "can_read_all_group_messages": False,
    "supports_inline_queries": False,
}


class BotApiError(Exception):
    """A refused call: the HTTP status, description and ResponseParameters of the answer."""

    def __init__(self, status: int, description: str, parameters: dict[str, int] | None = None) -> None:
        super().__init__(description)
        self.status, self.description, self.parameters = status, description, parameters

    def body(self) -> bytes:
        """Return the body of the answer."""
        answer: Json = {"ok": False, "error_code": self.status, "description": self.description}
        return json.dumps(answer | ({"parameters": self.parameters} if self.parameters else {})).encode()


def bad_request(reason: str) -> BotApiError:
    """Return the error of most refusals, with status 400."""
    return BotApiError(400, f"Bad Request: {reason}")


@dataclass(frozen=True)
class Upload:
    """A file that is sent with a call."""

    name: str
    content: bytes


@dataclass(frozen=True)
class StoredFile:
    """A file that the bot sent. The same bytes sent as the same kind have the same id."""

    file_id: str
    kind: str  # "photo" or "document"
    name: str
    content: bytes

    def json(self) -> Json:
        """Return the PhotoSize or Document object."""
        unique_id = self.file_id.rpartition("-")[2]
        common = {"file_id": self.file_id, "file_unique_id": unique_id, "file_size": len(self.content)}
        if self.kind == "document":
            return {**common, "file_name": self.name}
        width, height = png_size(self.content)
        return {**common, "width": width, "height": height}


def png_size(content: bytes) -> tuple[int, int]:
    """Return width and height of a picture."""
    return int.from_bytes(content[16:20]), int.from_bytes(content[20:24])


@dataclass
class ApiChat:
    """One chat. `refusal` is raised by every call that acts in it, unless it is None.

    closed  its closed topics; None is the general one
    """

    chat_id: int
    kind: str = "private"
    name: str = ""
    refusal: BotApiError | None = None
    threads: set[int] = field(default_factory=set)
    closed: set[int | None] = field(default_factory=set)
    members: dict[int, str] = field(default_factory=dict)
    pinned: list[int] = field(default_factory=list)
    may_pin: bool = True

    def json(self) -> Json:
        """Return the Chat object."""
        if self.kind == "private":
            return {"id": self.chat_id, "type": self.kind, "first_name": self.name}
        forum = {"is_forum": True} if self.threads else {}
        return {"id": self.chat_id, "type": self.kind, "title": self.name, **forum}


@dataclass
class ApiMessage:
    """A message. `text` is the plain text or caption, `html` what the bot sent, times are epoch seconds."""

    message_id: int
    chat: ApiChat
    sender: Json
    at: float
    text: str = ""
    html: str = ""
    entities: list[Json] = field(default_factory=list)
    file: StoredFile | None = None
    markup: Json | None = None
    thread_id: int | None = None
    silent: bool = False
    caption_above: bool = False
    edits: int = 0
    edited_at: float | None = None

    @property
    def chat_id(self) -> int:
        """The id of its chat."""
        return self.chat.chat_id

    @property
    def photo(self) -> str | None:
        """The file id of its photo, if any."""
        return self.file.file_id if self.file and self.file.kind == "photo" else None

    @property
    def buttons(self) -> list[list[tuple[str, str]]]:
        """Rows of (label, callback data). The data of a link are empty."""
        rows = (self.markup or {}).get("inline_keyboard", [])
        return [[(button["text"], button.get("callback_data", "")) for button in row] for row in rows]

    def json(self) -> Json:
        """Return the Message object."""
        text, entities = ("caption", "caption_entities") if self.file else ("text", "entities")
        optional: Json = {
            text: self.text,
            entities: self.entities,
            "reply_markup": self.markup,
            "message_thread_id": self.thread_id,
            "is_topic_message": self.thread_id is not None,
            "show_caption_above_media": self.caption_above,
            "photo": [self.file.json()] if self.file and self.photo else None,
            "document": self.file.json() if self.file and not self.photo else None,
            "edit_date": int(self.edited_at) if self.edited_at is not None else None,
        }
        return {
            "message_id": self.message_id,
            "date": int(self.at),
            "chat": self.chat.json(),
            "from": self.sender,
            **{key: value for key, value in optional.items() if value},
        }


@dataclass
class CallbackQuery:
    """A pressed button. `answer` holds the fields of the bot's answer and is None until there is one."""

    message: ApiMessage
    answer: Mapping[str, str] | None = None


@dataclass(frozen=True)
class ApiEvent:
    """A successful call of the bot that acted in a chat. `text` is the toast of an answered button."""

    method: str
    chat_id: int
    message: ApiMessage | None = None
    text: str = ""


class BotApi:
    """The state of one Telegram.

    `clock` returns epoch seconds, update ids begin with `first_update_id`. The oldest messages, files and
    callback queries are forgotten when there are more than the limits.
    """

    message_limit, file_limit, query_limit = 500, 100, 100

    def __init__(self, clock: Callable[[], float] = time.time, first_update_id: int = 500_001) -> None:
        self.clock = clock
        self.chats: dict[int, ApiChat] = {}
        self.history: dict[int, ApiMessage] = {}
        self.files: dict[str, StoredFile] = {}
        self.updates: list[Json] = []
        self.callback_queries: dict[str, CallbackQuery] = {}
        self.listeners: list[Callable[[ApiEvent], None]] = []
        self.names: dict[int, str] = {}
        self.last_message_id = 0
        self.last_update_id = first_update_id - 1

    def chat(self, chat_id: int, kind: str = "private") -> ApiChat:
        """Return the chat of this id, created if it is new. Negative ids are groups."""
        if chat_id not in self.chats:
            kind = "supergroup" if kind == "private" and chat_id < 0 else kind
            name = self.user(chat_id)["first_name"] if kind == "private" else f"Chat {chat_id}"
            self.chats[chat_id] = ApiChat(chat_id, kind, name)
        return self.chats[chat_id]

    def user(self, user_id: int) -> Json:
        """Return the User object of a person or the bot."""
        if user_id == BOT_ID:
            return BOT
        return {"id": user_id, "is_bot": False, "first_name": self.names.get(user_id, f"User {user_id}")}

    def say(self, chat_id: int, text: str) -> ApiMessage:
        """Send a message as the person of a private chat."""
        sender, entities = self.user(chat_id), command_entities(text)
        message = self.add_message(self.chat(chat_id), sender=sender, text=text, entities=entities)
        self.queue_update("message", message.json())
        return message

    def press(self, message_id: int, data: str, user_id: int | None = None) -> str:
        """Press a button that the message has. Returns the id of the callback query."""
        message = self.history[message_id]
        if data not in [button for row in message.buttons for _, button in row]:
            raise LookupError(f"message {message_id} has no button {data!r}, only {message.buttons}")
        return self.send_callback_data(message, data, user_id or message.chat_id)

    def send_callback_data(self, message: ApiMessage, data: str, user_id: int) -> str:
        """Send callback data, which need not be that of a button. Returns the id of the callback query."""
        query_id = str(4_000_000_000 + self.last_update_id + 1)
        self.callback_queries[query_id] = CallbackQuery(message)
        _forget_oldest(self.callback_queries, self.query_limit)
        content = {
            "id": query_id,
            "from": self.user(user_id),
            "message": message.json(),
            "chat_instance": "7",
            "data": data,
        }
        self.queue_update("callback_query", content)
        return query_id

    def add_message(self, chat: ApiChat, **values: Any) -> ApiMessage:  # noqa: ANN401 - fields of Message
        """Store a message. It is the bot's unless a `sender` is given."""
        self.last_message_id += 1
        message = ApiMessage(self.last_message_id, chat, at=self.clock(), **{"sender": BOT_USER, **values})
        self.history[message.message_id] = message
        _forget_oldest(self.history, self.message_limit)
        return message

    def queue_update(self, kind: str, content: Json) -> int:
        """Queue an update for getUpdates. Returns its id."""
        self.last_update_id += 1
        self.updates.append({"update_id": self.last_update_id, kind: content})
        return self.last_update_id

    def store_file(self, kind: str, upload: Upload) -> StoredFile:
        """Store an uploaded photo or document."""
        prefix = "AgACAgIAAxk" if kind == "photo" else "BQACAgIAAxk"
        file_id = f"{prefix}-{hashlib.sha256(upload.content).hexdigest()[:24]}"
        file = self.files.setdefault(file_id, StoredFile(file_id, kind, upload.name, upload.content))
        _forget_oldest(self.files, self.file_limit)
        return file

    def check(self, method: str, fields: Mapping[str, str], files: Mapping[str, Upload]) -> None:
        """Raise BotApiError for a call that is refused before it is looked at more closely: none is here."""

    def publish(self, event: ApiEvent) -> None:
        """Notify the listeners of what the bot did."""
        for listener in self.listeners:
            listener(event)


def _forget_oldest(entries: dict[Any, Any], limit: int) -> None:
    while len(entries) > limit:
        del entries[next(iter(entries))]
