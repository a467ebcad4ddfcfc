"""The methods of the fake Bot API: one table, each entry a function of world and call, and its arguments.

Refusals carry the words of the real server. Two rules are harder than the server's: an argument that the
method does not have is refused, and so is HTML that leaves an "&" unescaped.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.fakes.botapi_html import Refused
from tests.fakes.botapi_world import BOT, BOT_ID, Call, Chat, Json, Message, World, photo_size, read_text

TEXT_LIMIT, CAPTION_LIMIT = 4096, 1024
ACTIONS = {
    "typing", "upload_photo", "record_video", "upload_video", "record_voice", "upload_voice",
    "upload_document", "choose_sticker", "find_location", "record_video_note", "upload_video_note",
}  # fmt: skip
SAME = (
    "Bad Request: message is not modified: specified new message content and reply markup"
    " are exactly the same as a current content and reply markup of the message"
)


def open_chat(world: World, call: Call) -> Chat:
    """The chat of a call, if the bot may act in it."""
    if not call.fields.get("chat_id"):
        raise Refused(400, "Bad Request: chat_id is empty")
    given = call.fields["chat_id"]
    chat = world.chats.get(int(given)) if re.fullmatch(r"-?\d+", given) else None
    if chat is None:
        raise Refused(400, "Bad Request: chat not found")
    if chat.refusal:
        raise chat.refusal
    return chat


def place(world: World, call: Call) -> Json:
    """What sending methods share: topic, reply, silence, keyboard."""
    chat = open_chat(world, call)
    thread = call.integer("message_thread_id", 0)
    if thread and thread not in chat.threads:
        raise Refused(400, "Bad Request: message thread not found")
    reply = call.json("reply_parameters") or {}
    target = world.messages.get(reply.get("message_id", 0))
    missing = reply and (target is None or target.chat is not chat)
    if missing and not reply.get("allow_sending_without_reply"):
        raise Refused(400, "Bad Request: message to be replied not found")
    silent = call.flag("disable_notification")
    return {"chat": chat, "thread_id": thread or None, "silent": silent, "markup": call.markup()}


def send_message(world: World, call: Call) -> Json:
    """sendMessage."""
    where = place(world, call)
    text, source, entities = call.said("text", TEXT_LIMIT)
    return world.message(text=text, html=source, entities=entities, **where).json()


def send_photo(world: World, call: Call) -> Json:
    """sendPhoto, of an upload or a known file id."""
    where = place(world, call)
    text, source, entities = call.said("caption", CAPTION_LIMIT)
    photo = find_photo(world, call, call.fields.get("photo", ""), "photo")
    return world.message(text=text, html=source, entities=entities, photo=photo, **where).json()


def send_document(world: World, call: Call) -> Json:
    """sendDocument, of an upload."""
    where = place(world, call)
    text, source, entities = call.said("caption", CAPTION_LIMIT)
    given = call.fields.get("document", "")
    content = call.files.get(given.removeprefix("attach://") or "document", call.files.get("document"))
    if not content:
        raise Refused(400, "Bad Request: there is no document in the request")
    document = world.store_document(content)
    return world.message(text=text, html=source, entities=entities, document=document, **where).json()


def find_photo(world: World, call: Call, given: str, name: str) -> str:
    """File id of an upload (plain or attach://) or of a photo already sent."""
    upload = call.files.get(given.removeprefix("attach://") or name, call.files.get(name))
    if upload is not None:
        return world.store_file(upload)
    if not given:
        raise Refused(400, "Bad Request: there is no photo in the request")
    if given not in world.files:
        raise Refused(400, "Bad Request: wrong file identifier/HTTP URL specified")
    return given


def editable(world: World, call: Call) -> Message:
    """The bot's own message that an edit names."""
    chat = open_chat(world, call)
    message = world.messages.get(call.integer("message_id"))
    if message is None or message.chat is not chat:
        raise Refused(400, "Bad Request: message to edit not found")
    if message.sender["id"] != BOT_ID:
        raise Refused(400, "Bad Request: message can't be edited")
    return message


def change(message: Message, **values: Any) -> Json:  # noqa: ANN401 - fields of Message
    """Write an edit, refused when it changes nothing; a photo uploaded anew counts as a change."""
    if all(getattr(message, name) == value for name, value in values.items() if name != "html"):
        raise Refused(400, SAME)
    for name, value in values.items():
        setattr(message, name, value)
    message.edits += 1
    return message.json()


def edit_text(world: World, call: Call) -> Json:
    """editMessageText."""
    message = editable(world, call)
    text, source, entities = call.said("text", TEXT_LIMIT)
    if message.photo:
        raise Refused(400, "Bad Request: there is no text in the message to edit")
    return change(message, text=text, html=source, entities=entities, markup=call.markup())


def edit_caption(world: World, call: Call) -> Json:
    """editMessageCaption."""
    message = editable(world, call)
    text, source, entities = call.said("caption", CAPTION_LIMIT)
    if not message.photo:
        raise Refused(400, "Bad Request: there is no caption in the message to edit")
    return change(message, text=text, html=source, entities=entities, markup=call.markup())


def edit_media(world: World, call: Call) -> Json:
    """editMessageMedia, photos only."""
    message = editable(world, call)
    media = call.json("media") or {}
    if media.get("type") != "photo":
        raise Refused(400, "Bad Request: the fake Bot API takes only photos as media")
    caption = media.get("caption", "")
    text, source, entities = read_text(caption, media.get("parse_mode"), CAPTION_LIMIT, "caption")
    photo = find_photo(world, call, media.get("media", ""), "media")
    return change(message, text=text, html=source, entities=entities, photo=photo, markup=call.markup())


def edit_markup(world: World, call: Call) -> Json:
    """editMessageReplyMarkup."""
    return change(editable(world, call), markup=call.markup())


def delete_message(world: World, call: Call) -> bool:
    """deleteMessage."""
    chat = open_chat(world, call)
    message = world.messages.get(call.integer("message_id"))
    if message is None or message.chat is not chat:
        raise Refused(400, "Bad Request: message to delete not found")
    if world.clock() - message.at > 48 * 3600:
        raise Refused(400, "Bad Request: message can't be deleted for everyone")
    del world.messages[message.message_id]
    return True


def answer_query(world: World, call: Call) -> bool:
    """answerCallbackQuery; an id answers once."""
    query = call.fields.get("callback_query_id", "")
    if world.queries.get(query, {}) is not None:
        raise Refused(
            400,
            "Bad Request: query is too old and response timeout expired or query ID is invalid",
        )
    if len(call.fields.get("text", "")) > 200:
        raise Refused(400, "Bad Request: MESSAGE_TOO_LONG")
    world.queries[query] = dict(call.fields)
    return True


def answer_inline(world: World, call: Call) -> bool:
    """answerInlineQuery; the texts are parsed as those of messages are."""
    query = call.fields.get("inline_query_id", "")
    if world.inline.get(query, {}) is not None:
        raise Refused(
            400,
            "Bad Request: query is too old and response timeout expired or query ID is invalid",
        )
    results = call.json("results") or []
    if len(results) > 50 or len({result.get("id") for result in results}) < len(results):
        raise Refused(400, "Bad Request: RESULT_ID_DUPLICATE")
    for result in results:
        content = result["input_message_content"]
        plain, _, _ = read_text(content["message_text"], content.get("parse_mode"), TEXT_LIMIT, "text")
        result["plain"] = plain
    world.inline[query] = {**call.fields, "results": results}
    return True


def chat_action(world: World, call: Call) -> bool:
    """sendChatAction."""
    chat = open_chat(world, call)
    if call.fields.get("action") not in ACTIONS:
        raise Refused(400, "Bad Request: wrong parameter action in request")
    world.actions.append((chat.chat_id, call.fields["action"]))
    return True


def set_commands(world: World, call: Call) -> bool:
    """setMyCommands, per scope and language."""
    commands = call.json("commands") or []
    if len(commands) > 100:
        raise Refused(400, "Bad Request: BOT_COMMANDS_TOO_MUCH")
    for command in commands:
        if not re.fullmatch(r"[a-z0-9_]{1,32}", command.get("command", "")):
            raise Refused(400, "Bad Request: BOT_COMMAND_INVALID")
        if not 1 <= len(command.get("description", "")) <= 256:
            raise Refused(400, "Bad Request: BOT_COMMAND_DESCRIPTION_INVALID")
    world.commands[_scope(call)] = commands
    return True


def get_commands(world: World, call: Call) -> list[Json]:
    """getMyCommands."""
    return world.commands.get(_scope(call), [])


def _scope(call: Call) -> str:
    scope = call.json("scope") or {"type": "default"}
    return f"{scope['type']}/{scope.get('chat_id', '')}/{call.fields.get('language_code', '')}"


def get_member(world: World, call: Call) -> Json:
    """getChatMember."""
    chat = open_chat(world, call)
    user = call.integer("user_id")
    if user == BOT_ID:
        return member(user, "member")
    if user not in chat.members:
        raise Refused(400, "Bad Request: member not found")
    return member(user, chat.members[user])


def get_administrators(world: World, call: Call) -> list[Json]:
    """getChatAdministrators."""
    chat = open_chat(world, call)
    if chat.kind == "private":
        raise Refused(400, "Bad Request: there are no administrators in the private chat")
    chiefs = ("creator", "administrator")
    return [member(user, status) for user, status in chat.members.items() if status in chiefs]


RIGHTS = [
    "can_be_edited", "is_anonymous", "can_manage_chat", "can_delete_messages", "can_manage_video_chats",
    "can_restrict_members", "can_promote_members", "can_change_info", "can_invite_users",
    "can_post_stories", "can_edit_stories", "can_delete_stories",
]  # fmt: skip


def member(user: int, status: str) -> Json:
    """The ChatMember object of a user in a status."""
    about: Json = {"status": status, "user": person(user)}
    if status == "creator":
        about["is_anonymous"] = False
    if status == "administrator":
        about.update(dict.fromkeys(RIGHTS, False))
    if status == "kicked":
        about["until_date"] = 0
    return about


def person(user: int) -> Json:
    """The User object of a user id."""
    return BOT if user == BOT_ID else {"id": user, "is_bot": False, "first_name": f"User {user}"}


def get_file(world: World, call: Call) -> Json:
    """getFile; the path is served under /file/bot<token>/."""
    file_id = call.fields.get("file_id", "")
    if file_id not in world.files:
        raise Refused(400, "Bad Request: invalid file_id")
    about = photo_size(file_id)
    size = len(world.files[file_id])
    return {
        "file_id": file_id,
        "file_unique_id": about["file_unique_id"],
        "file_size": size,
        "file_path": f"photos/{file_id}",
    }


@dataclass(frozen=True)
class Method:
    """One Bot API method; `arguments` are the names it takes."""

    act: Callable[[World, Call], Any]
    arguments: frozenset[str]


def _method(act: Callable[[World, Call], Any], arguments: str = "") -> Method:
    return Method(act, frozenset(arguments.split()))


SENDING = (
    "business_connection_id chat_id message_thread_id direct_messages_topic_id disable_notification"
    " protect_content allow_paid_broadcast message_effect_id suggested_post_parameters reply_parameters"
    " reply_markup parse_mode"
)
EDITING = "business_connection_id chat_id message_id inline_message_id reply_markup"
SCOPED = "scope language_code"
METHODS: dict[str, Method] = {
    "getMe": _method(lambda _world, _call: BOT),
    "deleteWebhook": _method(lambda _world, _call: True, "drop_pending_updates"),
    "getUpdates": _method(lambda _world, _call: [], "offset limit timeout allowed_updates"),
    "sendMessage": _method(send_message, f"{SENDING} text entities link_preview_options"),
    "sendPhoto": _method(
        send_photo,
        f"{SENDING} photo caption caption_entities show_caption_above_media has_spoiler",
    ),
    "sendDocument": _method(
        send_document,
        f"{SENDING} document thumbnail caption caption_entities disable_content_type_detection",
    ),
    "editMessageText": _method(edit_text, f"{EDITING} text parse_mode entities link_preview_options"),
    "editMessageCaption": _method(
        edit_caption,
        f"{EDITING} caption parse_mode caption_entities show_caption_above_media",
    ),
    "editMessageMedia": _method(edit_media, f"{EDITING} media"),
    "editMessageReplyMarkup": _method(edit_markup, EDITING),
    "deleteMessage": _method(delete_message, "chat_id message_id"),
    "answerCallbackQuery": _method(answer_query, "callback_query_id text show_alert url cache_time"),
    "answerInlineQuery": _method(
        answer_inline, "inline_query_id results cache_time is_personal next_offset button"
    ),
    "sendChatAction": _method(chat_action, "business_connection_id chat_id message_thread_id action"),
    "setMyCommands": _method(set_commands, f"{SCOPED} commands"),
    "getMyCommands": _method(get_commands, SCOPED),
    "getChatMember": _method(get_member, "chat_id user_id"),
    "getChatAdministrators": _method(get_administrators, "chat_id return_bots"),
    "getFile": _method(get_file, "file_id"),
}


def perform(world: World, call: Call) -> Any:  # noqa: ANN401 - each method has its own result
    """Result of one call, or Refused."""
    method = METHODS.get(call.method)
    if method is None:
        raise Refused(404, "Not Found")
    named = {name for name in call.files if not name.startswith("attached")} | set(call.fields)
    if unknown := sorted(named - method.arguments):
        raise Refused(400, f'Bad Request: method {call.method} has no argument "{unknown[0]}"')
    return method.act(world, call)
