"""What only a Telegram with groups, polls and inline queries needs: members, and methods added to METHODS."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from telegram.constants import ChatID

from bot.local.botapi import BOT_ID, ApiMessage, BotApi, Json, bad_request, command_entities
from bot.local.methods import METHODS, QUERY_TOO_OLD, Call, Method, formatted, open_chat

_GROUP_ADMIN: Json = {"id": int(ChatID.ANONYMOUS_ADMIN), "is_bot": True, "first_name": "Group"}
_ADMIN_RIGHTS = (
    "can_be_edited", "is_anonymous", "can_manage_chat", "can_delete_messages", "can_manage_video_chats",
    "can_restrict_members", "can_promote_members", "can_change_info", "can_invite_users",
    "can_post_stories", "can_edit_stories", "can_delete_stories",
)  # fmt: skip


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

    def member(self, user_id: int, status: str) -> Json:
        """Return the ChatMember object of a user with a status."""
        extra: dict[str, Json] = {
            "creator": {"is_anonymous": False},
            "administrator": dict.fromkeys(_ADMIN_RIGHTS, False),
            "kicked": {"until_date": 0},
        }
        return {"status": status, "user": self.user(user_id), **extra.get(status, {})}

    def pending_updates(self, call: Call) -> list[Json]:
        """Return the updates that answer a getUpdates call."""
        kinds = set(
            call.json_value("allowed_updates", list[str], "array of strings expected as allowed_updates")
        )
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
        language = call.fields.get("language_code", "")
        self.commands[f"{scope.get('type')}/{scope.get('chat_id', '')}/{language}"] = commands
        return True


def _objects(call: Call, name: str) -> list[Json]:
    return call.json_value(name, list[Json], f"array of objects expected as {name}")


def _method(handle: Callable[[WholeBotApi, Call], object], parameters: str) -> Method:
    def on_whole(api: BotApi, call: Call) -> object:
        if not isinstance(api, WholeBotApi):
            raise TypeError(f"{api} has no {call.method}")
        return handle(api, call)

    return Method(on_whole, parameters)


METHODS.update(
    {
        "deleteWebhook": Method(lambda _api, _call: True, "drop_pending_updates"),
        "getUpdates": _method(WholeBotApi.get_updates, "offset limit timeout allowed_updates"),
        "setMyCommands": _method(WholeBotApi.set_my_commands, "scope language_code commands"),
        "getChatMember": _method(WholeBotApi.get_chat_member, "chat_id user_id"),
        "answerInlineQuery": _method(
            WholeBotApi.answer_inline_query,
            "inline_query_id results cache_time is_personal next_offset button",
        ),
    }
)
