"""The Bot API answered in this process: what the bot sends is printed, what is typed becomes updates."""

from __future__ import annotations

import itertools
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
from telegram import Update
from telegram.error import NetworkError
from telegram.request import BaseRequest

from bot.local import call as read
from bot.local.call import Call
from bot.local.folder import Folder
from bot.local.rules import Refused, check_buttons
from bot.local.screen import block, button_number, commands, presses

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from pathlib import Path

    from telegram import Bot
    from telegram.request import RequestData

Json = dict[str, Any]

LOCAL_CHAT = 1  # the terminal's chat; no account of Telegram has this id

BOT: Json = {"id": 777, "is_bot": True, "first_name": "IWM vs SPY", "username": "local_bot"}
_NO_GIFTS = (
    "unlimited_gifts",
    "limited_gifts",
    "unique_gifts",
    "premium_subscription",
    "gifts_from_channels",
)


@dataclass(frozen=True)
class Sent:
    """A message of the bot: its Bot API form, and its text or caption with the markup it came with."""

    message: Json
    raw: str


class LocalTelegram(BaseRequest):
    """Plays Telegram for one private chat with one person.

    `out` prints one block of plain text; pictures are saved in the folder `pictures` (None: not
    saved); `now` dates the messages. Update ids grow from one run to the next, so that a database
    that remembers updates takes none for an old one. A message to any other chat fails like a
    connection that cannot be made: it is not delivered, and that chat is not to blame.
    """

    def __init__(
        self,
        out: Callable[[str], None],
        pictures: Path | None,
        now: Callable[[], datetime],
        chat_id: int = LOCAL_CHAT,
        user_id: int = 1,
    ) -> None:
        self._out, self._now, self._folder = out, now, Folder(pictures)
        self._user: Json = {"id": user_id, "is_bot": False, "first_name": "You"}
        self.chat_id = chat_id
        self._chat: Json = {"id": chat_id, "type": "private", "first_name": "You"}
        self._messages: dict[int, Sent] = {}
        self._keyboard = 0  # id of the message whose buttons were printed last
        self._message_ids = itertools.count(1)
        self._update_ids = itertools.count(time.time_ns() // 1000)
        self._answers: dict[str, Callable[[Call], Any]] = {
            "getMe": lambda _: {**BOT, "can_join_groups": False, "supports_inline_queries": False},
            "getUpdates": lambda _: [],
            "getMyCommands": lambda _: [],
            "getChat": self._get_chat,
            "getChatMember": self._get_member,
            "getChatAdministrators": lambda call: [self._get_member(call)],
            "sendMessage": self._send_text,
            "sendPhoto": self._send_photo,
            "sendDocument": self._send_document,
            "editMessageText": self._edit_text,
            "editMessageCaption": self._edit_caption,
            "editMessageMedia": self._edit_media,
            "editMessageReplyMarkup": self._edit_buttons,
            "deleteMessage": self._delete,
            "answerCallbackQuery": self._answer_press,
        }

    async def initialize(self) -> None:
        """Nothing to open."""

    async def shutdown(self) -> None:
        """Nothing to close."""

    @property
    def read_timeout(self) -> float | None:
        """No answer is waited for."""
        return None

    async def do_request(
        self,
        url: str,
        method: str,  # noqa: ARG002 - GET or POST; the Bot API's method ends the URL
        request_data: RequestData | None = None,
        *_: object,
        **_timeouts: object,
    ) -> tuple[int, bytes]:
        """HTTP status and JSON of Telegram's answer; methods without an answer of their own succeed."""
        call = Call.read(request_data)
        chat = call.values.get("chat_id", self._chat["id"])
        if str(chat) != str(self._chat["id"]):
            cause = httpx.ConnectError(f"chat {chat} cannot be reached from the terminal")
            raise NetworkError(f"httpx.ConnectError: {cause}") from cause
        answer = self._answers.get(url.rsplit("/", 1)[-1], _agree)
        try:
            return 200, json.dumps({"ok": True, "result": answer(call)}).encode()
        except Refused as refusal:
            error = {"ok": False, "error_code": 400, "description": f"Bad Request: {refusal}"}
            return 400, json.dumps(error).encode()

    def update_for(self, text: str, bot: Bot | None = None) -> Update | None:
        """The update of a typed line; a bare number (`1` or `[1]`) presses a button of the last keyboard.

        None, and a sentence printed, when there is no such button. Handlers reply through `bot`.
        """
        number = button_number(text)
        content = self._typed(text) if number is None else self._pressed(number)
        if content is None:
            return None
        return Update.de_json({"update_id": next(self._update_ids), **content}, bot)

    def _typed(self, text: str) -> Json:
        entities = commands(text)
        extra = {"entities": entities} if entities else {}
        return {"message": {**self._new_message(self._user), "text": text, **extra}}

    def _pressed(self, number: int) -> Json | None:
        sent = self._messages.get(self._keyboard)
        data = presses(sent.message.get("reply_markup")) if sent else []
        if sent is None or not data:
            self._out(f"There is no button {number}: no message with buttons is open.")
        elif not 1 <= number <= len(data):
            choice = f"1 to {len(data)}" if len(data) > 1 else "1"
            self._out(f"There is no button {number}; type {choice}.")
        else:
            query = {"id": str(time.time_ns()), "from": self._user, "chat_instance": "terminal"}
            return {"callback_query": {**query, "message": sent.message, "data": data[number - 1]}}
        return None

    def _new_message(self, sender: Json) -> Json:
        date = int(self._now().timestamp())
        return {"message_id": next(self._message_ids), "date": date, "chat": self._chat, "from": sender}

    def _get_chat(self, _: Call) -> Json:
        gifts = dict.fromkeys(_NO_GIFTS, False)
        return {**self._chat, "accent_color_id": 0, "max_reaction_count": 1, "accepted_gift_types": gifts}

    def _get_member(self, _: Call) -> Json:
        return {"status": "creator", "user": self._user, "is_anonymous": False}

    def _send_text(self, call: Call) -> Json:
        return self._send(call, *read.text(call.values))

    def _send_photo(self, call: Call) -> Json:
        return self._send(call, *self._photo(call, call.values, "photo"))

    def _send_document(self, call: Call) -> Json:
        caption, raw = read.caption(call.values)
        upload = call.uploads.get("document")
        file_id = self._folder.add_document(upload[1], upload[0]) if upload else call.values["document"]
        return self._send(call, {"document": self._folder.get(file_id)[0], **caption}, raw)

    def _photo(self, call: Call, values: Mapping[str, Any], key: str) -> tuple[Json, str]:
        """Content and raw caption of a picture: uploaded as the part `key` or attached, or a file_id."""
        caption, raw = read.caption(values)
        given = str(values.get(key, key)).removeprefix("attach://")
        if given in call.uploads:
            name, data = call.uploads[given]
            given = self._folder.add_picture(data, name, caption.get("caption", ""))
        return {"photo": [self._folder.get(given)[0]], **caption}, raw

    def _edit_text(self, call: Call) -> Json:
        if "text" not in self._find(call, "edit").message:
            raise Refused("there is no text in the message to edit")
        return self._edit(call, *read.text(call.values))

    def _edit_caption(self, call: Call) -> Json:
        if "text" in self._find(call, "edit").message:
            raise Refused("there is no caption in the message to edit")
        content, raw = read.caption(call.values)
        return self._edit(call, content, raw, replaced=("caption",))

    def _edit_media(self, call: Call) -> Json:
        self._find(call, "edit")  # before a picture is saved for nothing
        content, raw = self._photo(call, call.values["media"], "media")
        return self._edit(call, content, raw, replaced=("text", "caption", "document"))

    def _edit_buttons(self, call: Call) -> Json:
        return self._edit(call, {}, self._find(call, "edit").raw)

    def _delete(self, call: Call) -> bool:
        del self._messages[self._find(call, "delete").message["message_id"]]
        return True

    def _answer_press(self, call: Call) -> bool:
        if call.values.get("text"):
            self._out(str(call.values["text"]))
        return True

    def _find(self, call: Call, purpose: str) -> Sent:
        sent = self._messages.get(int(call.values.get("message_id", 0)))
        if sent is None:
            raise Refused(f"message to {purpose} not found")
        return sent

    def _send(self, call: Call, content: Json, raw: str) -> Json:
        check_buttons(call.markup)
        return self._show(self._new_message(BOT) | content, content, call.markup, raw)

    def _edit(self, call: Call, content: Json, raw: str, replaced: tuple[str, ...] = ()) -> Json:
        """Replace content and buttons (no buttons given: none are left); Refused when nothing changes."""
        check_buttons(call.markup)
        before = self._find(call, "edit")
        gone = {*replaced, "reply_markup"}
        after = {key: value for key, value in before.message.items() if key not in gone} | content
        same = before.message.get("reply_markup") == call.markup and before.raw == raw
        if same and after.get("photo") == before.message.get("photo"):
            raise Refused(
                "message is not modified: specified new message content and reply markup are exactly "
                "the same as a current content and reply markup of the message"
            )
        edited = self._show(after, content, call.markup, raw)
        return {**edited, "edit_date": int(self._now().timestamp())}

    def _show(self, message: Json, content: Json, markup: Json | None, raw: str) -> Json:
        """Remember the message and print what is new in it."""
        if markup:
            message["reply_markup"] = markup
            self._keyboard = message["message_id"]
        self._messages[message["message_id"]] = Sent(message, raw)
        shown = block(content, markup, lambda file_id: self._folder.get(file_id)[1])
        if shown:
            self._out(shown)
        return message


def _agree(_: Call) -> bool:
    """Telegram's answer to what needs none of its own: setMyCommands, sendChatAction and the like."""
    return True
