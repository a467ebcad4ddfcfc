"""What the fake Telegram remembers: chats, messages, files, updates; and how a call's arguments are read."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.botapi_html import Refused, parse_html, utf16_length

Json = dict[str, Any]
BOT_ID = 700_000_001
BOT: Json = {
    "id": BOT_ID, "is_bot": True, "first_name": "Small versus large", "username": "small_large_bot",
    "can_join_groups": True, "can_read_all_group_messages": False, "supports_inline_queries": False,
}  # fmt: skip
BOT_USER: Json = {key: BOT[key] for key in ("id", "is_bot", "first_name", "username")}


@dataclass
class Chat:
    """One chat; `refusal` answers every send (blocked, kicked, migrated), None when the bot may write."""

    chat_id: int
    kind: str = "private"
    refusal: Refused | None = None
    threads: set[int] = field(default_factory=set)
    members: dict[int, str] = field(default_factory=dict)

    def json(self) -> Json:
        """The Chat object."""
        if self.kind == "private":
            return {"id": self.chat_id, "type": self.kind, "first_name": f"User {self.chat_id}"}
        forum = {"is_forum": True} if self.threads else {}
        return {"id": self.chat_id, "type": self.kind, "title": f"Chat {self.chat_id}", **forum}


@dataclass
class Message:
    """A message as a test wants to see it; `text` is plain, `html` what the bot sent, `at` epoch seconds."""

    message_id: int
    chat: Chat
    sender: Json
    at: float
    text: str = ""
    html: str = ""
    entities: list[Json] = field(default_factory=list)
    photo: str | None = None
    document: str | None = None
    markup: Json | None = None
    thread_id: int | None = None
    silent: bool = False
    edits: int = 0

    @property
    def chat_id(self) -> int:
        """Id of the chat it stands in."""
        return self.chat.chat_id

    @property
    def buttons(self) -> list[list[tuple[str, str]]]:
        """Rows of (label, callback data)."""
        rows = (self.markup or {}).get("inline_keyboard", [])
        return [[(button["text"], button.get("callback_data", "")) for button in row] for row in rows]

    def json(self) -> Json:
        """The Message object."""
        filed = self.photo or self.document
        said, marks = ("caption", "caption_entities") if filed else ("text", "entities")
        extra: Json = {
            said: self.text,
            marks: self.entities,
            "reply_markup": self.markup,
            "message_thread_id": self.thread_id,
            "photo": [photo_size(self.photo)] if self.photo else None,
            "document": {"file_id": self.document, "file_unique_id": f"u{self.document}"}
            if self.document
            else None,
        }
        return {
            "message_id": self.message_id,
            "date": int(self.at),
            "chat": self.chat.json(),
            "from": self.sender,
            **({"is_topic_message": True} if self.thread_id else {}),
            **{key: value for key, value in extra.items() if value},
        }


def photo_size(file_id: str) -> Json:
    """The PhotoSize object of a stored file."""
    return {"file_id": file_id, "file_unique_id": f"u{file_id}", "width": 800, "height": 600}


@dataclass
class World:
    """All state; `clock` gives epoch seconds."""

    clock: Callable[[], float]
    chats: dict[int, Chat] = field(default_factory=dict)
    messages: dict[int, Message] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    updates: list[Json] = field(default_factory=list)
    queries: dict[str, Json | None] = field(default_factory=dict)
    inline: dict[str, Json | None] = field(default_factory=dict)
    commands: dict[str, list[Json]] = field(default_factory=dict)
    actions: list[tuple[int, str]] = field(default_factory=list)
    last_message: int = 0
    last_update: int = 500_000
    last_query: int = 0

    def message(self, chat: Chat, **values: Any) -> Message:  # noqa: ANN401 - fields of Message
        """Store a message from the bot, or from `sender`."""
        self.last_message += 1
        values.setdefault("sender", BOT_USER)
        message = Message(self.last_message, chat, at=self.clock(), **values)
        self.messages[message.message_id] = message
        return message

    def update(self, kind: str, content: Json) -> int:
        """Queue an update for getUpdates; its id."""
        self.last_update += 1
        self.updates.append({"update_id": self.last_update, kind: content})
        return self.last_update

    def store_file(self, content: bytes) -> str:
        """Keep an uploaded photo; its file id."""
        check_image(content)
        return self._kept("AgACAgIAAxk", content)

    def store_document(self, content: bytes) -> str:
        """Keep an uploaded document; its file id."""
        return self._kept("BQACAgIAAxk", content)

    def _kept(self, kind: str, content: bytes) -> str:
        file_id = f"{kind}-{len(self.files) + 1:04d}"
        self.files[file_id] = content
        return file_id


def check_image(content: bytes) -> None:
    """Refuse what Telegram does not take as a photo (sizes are read from PNG only)."""
    if not content:
        raise Refused(400, "Bad Request: file must be non-empty")
    if len(content) > 10 * 1024 * 1024:
        raise Refused(413, "Request Entity Too Large")
    if not content.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")):
        raise Refused(400, "Bad Request: IMAGE_PROCESS_FAILED")
    if content[:4] == b"\x89PNG":
        width, height = (int.from_bytes(content[at : at + 4], "big") for at in (16, 20))
        if not (
            min(width, height) > 0
            and width + height <= 10_000
            and max(width, height) <= 20 * min(width, height)
        ):
            raise Refused(400, "Bad Request: PHOTO_INVALID_DIMENSIONS")


@dataclass(frozen=True)
class Call:
    """One method call and readers of its arguments."""

    method: str
    fields: dict[str, str]
    files: dict[str, bytes]

    def integer(self, name: str, default: int | None = None) -> int:
        """A whole number; refused when it is neither given nor defaulted."""
        given = self.fields.get(name)
        if given is None and default is not None:
            return default
        try:
            return int(given or "")
        except ValueError:
            raise Refused(400, f"Bad Request: {name} is {'invalid' if given else 'empty'}") from None

    def flag(self, name: str) -> bool:
        """True or false; absent is false."""
        return self.fields.get(name, "").lower() in ("true", "1")

    def json(self, name: str) -> Any:  # noqa: ANN401 - whatever JSON holds
        """A JSON argument, None when absent."""
        if not self.fields.get(name):
            return None
        try:
            return json.loads(self.fields[name])
        except ValueError:
            raise Refused(400, f"Bad Request: can't parse {name} JSON object") from None

    def said(self, name: str, limit: int) -> tuple[str, str, list[Json]]:
        """A text argument as (plain, as sent, entities), within `limit` UTF-16 units."""
        return read_text(self.fields.get(name, ""), self.fields.get("parse_mode"), limit, name)

    def markup(self) -> Json | None:
        """The checked inline keyboard, None when absent."""
        return check_markup(self.json("reply_markup"))


def read_text(source: str, mode: str | None, limit: int, name: str) -> tuple[str, str, list[Json]]:
    """Parse and measure a text or caption; `limit` counts UTF-16 units after entities parsing."""
    if mode not in (None, "", "HTML"):
        raise Refused(400, f'Bad Request: the fake Bot API understands only parse_mode HTML, not "{mode}"')
    plain, entities = parse_html(source) if mode else (source, [])
    plain = plain.rstrip()
    if not plain.strip() and name == "text":
        raise Refused(400, "Bad Request: message text is empty")
    if utf16_length(plain) > limit:
        what = "message caption" if name == "caption" else "message"
        raise Refused(400, f"Bad Request: {what} is too long")
    return plain, source, [e for e in entities if e["offset"] < utf16_length(plain)]


def check_markup(markup: Any) -> Json | None:  # noqa: ANN401 - whatever was sent
    """Refuse keyboards that Telegram refuses."""
    if markup is None:
        return None
    if not isinstance(markup, dict):
        raise Refused(400, "Bad Request: object expected as reply markup")
    buttons = [button for row in markup.get("inline_keyboard", []) for button in row]
    if len(buttons) > 100:
        raise Refused(400, "Bad Request: reply markup is too long")
    for button in buttons:
        if not button.get("text"):
            raise Refused(
                400, 'Bad Request: can\'t parse inline keyboard button: Field "text" must be non-empty'
            )
        if len(button) < 2:
            raise Refused(
                400,
                "Bad Request: can't parse inline keyboard button:"
                " Text buttons are unallowed in the inline keyboard",
            )
        if "callback_data" in button and not 1 <= len(button["callback_data"].encode()) <= 64:
            raise Refused(400, "Bad Request: BUTTON_DATA_INVALID")
    return markup if buttons else None
