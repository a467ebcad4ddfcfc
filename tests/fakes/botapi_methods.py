"""What a chat in the terminal needs not: methods added to METHODS, and what Telegram refuses of any call.

Stricter than Telegram is the refusal of parameters that the method does not have, and of photos but PNGs.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from telegram.constants import ChatID

from bot.local.botapi import (
    BOT_ID,
    ApiChat,
    ApiMessage,
    BotApi,
    BotApiError,
    Json,
    StoredFile,
    Upload,
    bad_request,
    command_entities,
    png_size,
    utf16_length,
)
from bot.local.methods import METHODS, QUERY_TOO_OLD, Call, expect, formatted, open_chat

_GROUP_ADMIN: Json = {"id": int(ChatID.ANONYMOUS_ADMIN), "is_bot": True, "first_name": "Group"}
_ADMIN_RIGHTS = (
    "can_be_edited", "is_anonymous", "can_manage_chat", "can_delete_messages", "can_manage_video_chats",
    "can_restrict_members", "can_promote_members", "can_change_info", "can_invite_users",
    "can_post_stories", "can_edit_stories", "can_delete_stories",
)  # fmt: skip
PHOTO_LIMIT = 10 * 1024 * 1024  # bytes
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
TOAST_LIMIT = 200
CALLBACK_DATA_LIMIT = 64  # bytes of UTF-8
COPY_LIMIT = 256
TEXTS_OF_THE_BOT = {"name": 64, "description": 512, "short_description": 120}  # characters
# Fields that a scope of commands needs beside its type.
SCOPES: dict[object, tuple[str, ...]] = {
    **dict.fromkeys(("default", "all_private_chats", "all_group_chats", "all_chat_administrators"), ()),
    **dict.fromkeys(("chat", "chat_administrators"), ("chat_id",)),
    "chat_member": ("chat_id", "user_id"),
}
UPLOAD_LIMIT = 50 * 1024 * 1024  # bytes of all files of one call
CHAT_ACTIONS = frozenset({
    "typing", "upload_photo", "record_video", "upload_video", "record_voice", "upload_voice",
    "upload_document", "choose_sticker", "find_location", "record_video_note", "upload_video_note",
})  # fmt: skip
_SENDING = (
    "business_connection_id chat_id message_thread_id direct_messages_topic_id disable_notification"
    " protect_content allow_paid_broadcast message_effect_id suggested_post_parameters reply_parameters"
    " reply_markup parse_mode"
)
PARAMETERS = {
    "getMe": "",
    "deleteWebhook": "drop_pending_updates",
    "getUpdates": "offset limit timeout allowed_updates",
    "sendMessage": f"{_SENDING} text entities link_preview_options",
    "sendPhoto": f"{_SENDING} photo caption caption_entities show_caption_above_media has_spoiler",
    "sendDocument": f"{_SENDING} document thumbnail caption caption_entities disable_content_type_detection",
    "editMessageText": (
        "business_connection_id chat_id message_id inline_message_id reply_markup text parse_mode entities"
        " link_preview_options"
    ),
    "editMessageCaption": (
        "business_connection_id chat_id message_id inline_message_id reply_markup caption parse_mode"
        " caption_entities show_caption_above_media"
    ),
    "pinChatMessage": "business_connection_id chat_id message_id disable_notification",
    "unpinChatMessage": "business_connection_id chat_id message_id",
    "editMessageMedia": "business_connection_id chat_id message_id inline_message_id reply_markup media",
    "answerCallbackQuery": "callback_query_id text show_alert url cache_time",
    "answerInlineQuery": "inline_query_id results cache_time is_personal next_offset button",
    "sendChatAction": "business_connection_id chat_id message_thread_id action",
    "setMyCommands": "scope language_code commands",
    "getMyName": "language_code",
    "setMyName": "name language_code",
    "setMyDescription": "description language_code",
    "setMyShortDescription": "short_description language_code",
    "getChatMember": "chat_id user_id",
}


@dataclass
class InlineQuery:
    """What a person typed after the bot's name. `results` is None until the bot answers."""

    text: str
    results: list[Json] | None = None


class WholeBotApi(BotApi):
    """A BotApi with groups, inline queries and menus of commands."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self.inline_queries: dict[str, InlineQuery] = {}
        self.commands: dict[str, list[Json]] = {}
        self.descriptions: dict[str, str] = {}

    def say(
        self,
        chat_id: int,
        text: str,
        *,
        user_id: int | None = None,
        thread_id: int | None = None,
        anonymous: bool = False,
    ) -> ApiMessage:
        """Send a message as a person, or as an anonymous administrator of the group."""
        chat = self.chat(chat_id)
        author = user_id or (chat_id if chat.kind == "private" else 1001)
        chat.members.setdefault(author, "member")
        if thread_id:
            chat.threads.add(thread_id)
        sender = _GROUP_ADMIN if anonymous else self.user(author)
        entities = command_entities(text)
        message = self.add_message(chat, sender=sender, text=text, entities=entities, thread_id=thread_id)
        self.queue_update("message", message.json() | ({"sender_chat": chat.json()} if anonymous else {}))
        return message

    def edit(self, message: ApiMessage, text: str) -> None:
        """Change what a person wrote."""
        message.text, message.entities, message.edited_at = text, command_entities(text), message.at + 1
        self.queue_update("edited_message", message.json())

    def member(self, user_id: int, status: str) -> Json:
        """Return the ChatMember object of a user with a status."""
        extra: dict[str, Json] = {
            "creator": {"is_anonymous": False},
            "administrator": dict.fromkeys(_ADMIN_RIGHTS, False),
            "kicked": {"until_date": 0},
        }
        return {"status": status, "user": self.user(user_id), **extra.get(status, {})}

    def check(self, method: str, fields: Mapping[str, str], files: Mapping[str, Upload]) -> None:
        """Raise BotApiError for what Telegram refuses whatever the call's effect would be."""
        call = Call(method, fields, files)
        if sum(len(upload.content) for upload in files.values()) > UPLOAD_LIMIT:
            raise BotApiError(413, "Request Entity Too Large")
        names = {name for name in files if not name.startswith("attached")} | set(fields)
        if unknown := sorted(names - set(PARAMETERS[method].split())):
            raise bad_request(f'method {method} has no argument "{unknown[0]}"')
        chat = self.chats.get(call.chat_id) if call.chat_id is not None else None
        if chat is not None and chat.refusal is None:
            _check_topic(chat, call)
            self._check_reply(chat, call.mapping("reply_parameters"))
        _check_buttons(call.mapping("reply_markup"))
        if method == "sendChatAction" and fields.get("action") not in CHAT_ACTIONS:
            raise bad_request("wrong parameter action in request")
        if method == "answerCallbackQuery" and utf16_length(fields.get("text", "")) > TOAST_LIMIT:
            raise bad_request("MESSAGE_TOO_LONG")

    def store_file(self, kind: str, upload: Upload) -> StoredFile:
        """Store an uploaded photo or document. Raises BotApiError if it cannot be used as such."""
        if not upload.content:
            raise bad_request("file must be non-empty")
        if kind == "photo":
            _check_photo(upload.content)
        return super().store_file(kind, upload)

    def _check_reply(self, chat: ApiChat, reply: Json) -> None:
        problem = "can't parse reply parameters: Field must be a Number"
        target = self.history.get(expect(int, reply.get("message_id", 0), problem))
        missing = target is None or target.chat is not chat
        if reply and missing and not reply.get("allow_sending_without_reply"):
            raise bad_request("message to be replied not found")

    def pending_updates(self, call: Call) -> list[Json]:
        """Return the updates that answer a getUpdates call."""
        kinds = set(call.json_value("allowed_updates", list[str], "array of strings expected as allowed_updates"))
        limit = min(max(call.integer("limit", 100), 1), 100)
        return [update for update in self.updates if not kinds or kinds & set(update)][:limit]

    def get_updates(self, call: Call) -> list[Json]:
        """Forget updates before the offset, counted from the end if it is negative. Returns the others."""
        offset = call.integer("offset", 0)
        if offset > 0:
            self.updates = [update for update in self.updates if update["update_id"] >= offset]
        elif offset < 0:
            self.updates = self.updates[offset:]
        return self.pending_updates(call)

    def get_chat_member(self, call: Call) -> Json:
        """Return the ChatMember object of a user in the chat."""
        chat, user_id = open_chat(self, call), call.integer("user_id")
        if user_id != BOT_ID and user_id not in chat.members:
            raise bad_request("member not found")
        return self.member(user_id, "member" if user_id == BOT_ID else chat.members[user_id])

    def answer_inline_query(self, call: Call) -> bool:
        """Store the results."""
        query = self.inline_queries.get(call.fields.get("inline_query_id", ""))
        if query is None or query.results is not None:
            raise bad_request(QUERY_TOO_OLD)
        results = _objects(call, "results")
        if len(results) > 50 or len({str(result.get("id")) for result in results}) < len(results):
            raise bad_request("RESULT_ID_DUPLICATE")
        for result in results:
            content = result.get("input_message_content")
            if not isinstance(content, dict) or not isinstance(content.get("message_text"), str):
                raise bad_request("can't parse inline query result: input message content is not specified")
            result["plain"] = formatted(content | {"text": content["message_text"]}, "text").plain
        query.results = results
        return True

    def set_my_commands(self, call: Call) -> bool:
        """Store a menu by its scope and language."""
        commands = _objects(call, "commands")
        if len(commands) > 100:
            raise bad_request("BOT_COMMANDS_TOO_MUCH")
        for command in commands:
            if not re.fullmatch(r"[a-z0-9_]{1,32}", str(command.get("command", ""))):
                raise bad_request("BOT_COMMAND_INVALID")
            if not 1 <= len(str(command.get("description", ""))) <= 256:
                raise bad_request("BOT_COMMAND_DESCRIPTION_INVALID")
        scope = call.mapping("scope") or {"type": "default"}
        if scope.get("type") not in SCOPES:
            raise bad_request("can't parse BotCommandScope: unsupported type specified")
        if set(scope) != {"type", *SCOPES[scope["type"]]}:
            raise bad_request("can't parse BotCommandScope: wrong fields")
        if "chat_id" in scope and int(scope["chat_id"]) not in self.chats:
            raise bad_request("chat not found")
        language = call.fields.get("language_code", "")
        self.commands[f"{scope.get('type')}/{scope.get('chat_id', '')}/{language}"] = commands
        return True


def _describe(api: WholeBotApi, call: Call) -> bool:
    """Store a text about the bot."""
    ((name, text),) = call.fields.items()
    if len(text) > TEXTS_OF_THE_BOT[name]:
        raise bad_request(f"{name.replace('_', ' ')} is too long")
    api.descriptions[name] = text
    return True


def _check_photo(content: bytes) -> None:
    if len(content) > PHOTO_LIMIT:
        raise BotApiError(413, "Request Entity Too Large")
    if not content.startswith(_PNG_SIGNATURE) or len(content) < 24:
        raise bad_request("IMAGE_PROCESS_FAILED")
    shorter, longer = sorted(png_size(content))
    if shorter == 0 or shorter + longer > 10_000 or longer > 20 * shorter:
        raise bad_request("PHOTO_INVALID_DIMENSIONS")


def _check_topic(chat: ApiChat, call: Call) -> None:
    if "message_thread_id" not in PARAMETERS[call.method]:
        return
    thread_id = call.integer("message_thread_id", 0) or None
    if thread_id and thread_id not in chat.threads:
        raise bad_request("message thread not found")
    if thread_id in chat.closed:
        raise bad_request("TOPIC_CLOSED")


def _check_buttons(markup: Json) -> None:
    rows = expect(list, markup.get("inline_keyboard", []), "inline keyboard must be an array of arrays")
    row_problem = "inline keyboard row must be an array of objects"
    buttons = [button for row in rows for button in expect(list[Json], row, row_problem)]
    if len(buttons) > 100:
        raise bad_request("reply markup is too long")
    problem = "can't parse inline keyboard button"
    for button in buttons:
        texts = [value for key, value in button.items() if key in ("text", "callback_data", "url")]
        if not all(isinstance(text, str) for text in texts):
            raise bad_request(f"{problem}: Field must be of type String")
        if not button.get("text"):
            raise bad_request(f'{problem}: Field "text" must be non-empty')
        if len(button) < 2:
            raise bad_request(f"{problem}: Text buttons are unallowed in the inline keyboard")
        data = button.get("callback_data")
        if data is not None and not 1 <= len(data.encode()) <= CALLBACK_DATA_LIMIT:
            raise bad_request("BUTTON_DATA_INVALID")
        copied = expect(Json, button.get("copy_text", {}), f"{problem}: Field must be of type Object")
        if "copy_text" in button and not 1 <= len(str(copied.get("text", ""))) <= COPY_LIMIT:
            raise bad_request("BUTTON_COPY_TEXT_INVALID")
        if button.get("style") not in (None, "danger", "success", "primary"):
            raise bad_request("BUTTON_STYLE_INVALID")


def _objects(call: Call, name: str) -> list[Json]:
    return call.json_value(name, list[Json], f"array of objects expected as {name}")


def _method(handle: Callable[[WholeBotApi, Call], object]) -> Callable[[BotApi, Call], object]:
    def on_whole(api: BotApi, call: Call) -> object:
        if not isinstance(api, WholeBotApi):
            raise TypeError(f"{api} has no {call.method}")
        return handle(api, call)

    return on_whole


METHODS.update(
    {
        "deleteWebhook": lambda _api, _call: True,
        "getUpdates": _method(WholeBotApi.get_updates),
        "setMyCommands": _method(WholeBotApi.set_my_commands),
        "getMyName": _method(lambda api, _: {"name": api.descriptions.get("name", "Small vs large")}),
        "setMyName": _method(_describe),
        "setMyDescription": _method(_describe),
        "setMyShortDescription": _method(_describe),
        "getChatMember": _method(WholeBotApi.get_chat_member),
        "answerInlineQuery": _method(WholeBotApi.answer_inline_query),
    }
)
