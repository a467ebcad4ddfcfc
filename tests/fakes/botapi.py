"""A strict, stateful Bot API on loopback, for tests and for trying the bot by hand.

    async with FakeBotApi() as api:
        bot = ExtBot(api.token, base_url=api.base_url)
        api.say(42, "/compare")
        message = await api.wait_for_message(lambda m: "IWM" in m.text)
        api.press(message.message_id, message.buttons[0][0][1], user_id=42)
        api.fail("sendMessage", flood(30), chat_id=42)

By hand, `python -m tests.fakes.botapi --port 8081` prints the URL and the token to configure; each line typed
is then sent to the bot as user 42, and what the bot sends is printed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import re
import sys

from tests.fakes.botapi_html import Refused, utf16_length
from tests.fakes.botapi_methods import member, person
from tests.fakes.botapi_server import FOREVER, Server
from tests.fakes.botapi_world import BOT, BOT_ID, Chat, Json, Message

ANONYMOUS_ADMIN = 1087968824


class FakeBotApi(Server):
    """The server, and the people who write to the bot."""

    def chat(self, chat_id: int, kind: str = "private") -> Chat:
        """The chat of this id, made when it is new; ids below zero are groups."""
        if chat_id not in self.world.chats:
            kind = "supergroup" if kind == "private" and chat_id < 0 else kind
            self.world.chats[chat_id] = Chat(chat_id, kind)
        return self.world.chats[chat_id]

    def say(
        self,
        chat_id: int,
        text: str,
        *,
        user_id: int | None = None,
        chat_type: str = "private",
        thread_id: int | None = None,
        anonymous: bool = False,
    ) -> Message:
        """A person (or an anonymous administrator) writes; queued as an update."""
        chat = self.chat(chat_id, chat_type)
        user = user_id or (chat_id if chat.kind == "private" else 1001)
        chat.members.setdefault(user, "member")
        if thread_id:
            chat.threads.add(thread_id)
        sender = {"id": ANONYMOUS_ADMIN, "is_bot": True, "first_name": "Group"} if anonymous else person(user)
        message = self.world.message(
            chat,
            sender=sender,
            text=text,
            entities=_command(text),
            thread_id=thread_id,
        )
        content = {**message.json(), **({"sender_chat": chat.json()} if anonymous else {})}
        self.world.update("message", content)
        self.notify()
        return message

    def press(self, message_id: int, data: str, user_id: int | None = None) -> str:
        """A person presses a button that the message really has; the query id."""
        message = self.world.messages[message_id]
        if data not in [sent for row in message.buttons for _, sent in row]:
            raise AssertionError(f"message {message_id} has no button {data!r}, only {message.buttons}")
        self.world.last_query += 1
        query = str(4_000_000_000 + self.world.last_query)
        self.world.queries[query] = None
        user = person(user_id or message.chat_id)
        content = {"id": query, "from": user, "message": message.json(), "chat_instance": "7", "data": data}
        self.world.update("callback_query", content)
        self.notify()
        return query

    def type_inline(self, user_id: int, text: str) -> str:
        """A person types behind the bot's name in some chat; the query id."""
        self.world.last_query += 1
        query = str(5_000_000_000 + self.world.last_query)
        self.world.inline[query] = None
        content = {"id": query, "from": person(user_id), "query": text, "offset": ""}
        self.world.update("inline_query", content)
        self.notify()
        return query

    def block(self, chat_id: int, reason: str = "bot was blocked by the user", *, tell: bool = True) -> None:
        """The bot may no longer write, for a reason such as "bot was kicked from the supergroup chat"."""
        self.chat(chat_id).refusal = Refused(403, f"Forbidden: {reason}")
        self._membership(chat_id, "member", "kicked", tell=tell)

    def unblock(self, chat_id: int, *, tell: bool = True) -> None:
        """The bot may write again."""
        self.chat(chat_id).refusal = None
        self._membership(chat_id, "kicked", "member", tell=tell)

    def _membership(self, chat_id: int, old: str, new: str, *, tell: bool) -> None:
        if tell:
            content = {
                "chat": self.chat(chat_id).json(),
                "from": person(abs(chat_id)),
                "date": int(self.world.clock()),
                "old_chat_member": member(BOT_ID, old),
                "new_chat_member": member(BOT_ID, new),
            }
            self.world.update("my_chat_member", content)
            self.notify()

    def migrate(self, old: int, new: int) -> None:
        """The group `old` becomes the supergroup `new`, which refusals and two service messages tell."""
        reason = "Bad Request: group chat was upgraded to a supergroup chat"
        self.chat(old, "group").refusal = Refused(400, reason, {"migrate_to_chat_id": new})
        self.chat(new, "supergroup").members = dict(self.chat(old).members)
        for chat_id, note in ((old, {"migrate_to_chat_id": new}), (new, {"migrate_from_chat_id": old})):
            message = self.world.message(self.chat(chat_id), sender=person(1001))
            self.world.update("message", {**message.json(), **note})
        self.notify()


def _command(text: str) -> list[Json]:
    found = re.match(r"/\w+(@\w+)?", text)
    return [{"type": "bot_command", "offset": 0, "length": utf16_length(found[0])}] if found else []


async def _by_hand(port: int) -> None:
    async with FakeBotApi(port=port, poll_limit=30) as api:
        _show(f"base_url = {api.root!r}\ntoken    = {api.token!r}\nbot      = @{BOT['username']}")
        api.chat(42)
        printer = asyncio.create_task(_print_messages(api))
        while line := await asyncio.to_thread(sys.stdin.readline):
            if line.strip():
                api.say(42, line.rstrip("\n"))
        printer.cancel()


async def _print_messages(api: FakeBotApi) -> None:
    shown: dict[int, int] = {}
    while True:
        message = await api.wait_for_message(lambda m: shown.get(m.message_id) != m.edits, FOREVER)
        shown[message.message_id] = message.edits
        picture = "[photo] " if message.photo else ""
        _show(f"--- {message.chat_id} #{message.message_id}\n{picture}{message.text}")
        for row in message.buttons:
            _show("   ".join(f"[{label} = {data}]" for label, data in row))


def _show(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(description="A fake Telegram Bot API on loopback.")
    parser.add_argument("--port", type=int, default=8081)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_by_hand(parser.parse_args().port))


if __name__ == "__main__":
    main()
