"""Everybody who may turn up at a bot, every command line and every button, from the command table."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bot.analytics.metrics import METRICS
from bot.chat import reply
from bot.chat.admin import ADMIN_ACTIONS
from bot.chat.alert_commands import CHANGES, LOOKS
from bot.chat.commands import COMMANDS
from bot.chat.reply import FAILED, UNUSABLE
from bot.chat.settings import SETTINGS
from bot.local.botapi import ApiMessage, Json
from storage import chat_store
from storage.records import KINDS
from tests.chat.talk import GROUP, ME, OWNER, STEP, YOU, Talk, talking
from tests.fakes.pictures import png

ADMIN, MEMBER, STRANGER, BLOCKED = 21, 22, 23, 24
# Marks in the rows of a chat, that no other may be shown.
SECRETS = {GROUP: "zq-of-the-group", OWNER: "zq-of-the-owner", YOU: "zq-of-the-other-chat"}
# What commands take besides their examples: every word that their usage names.
WORDS = (
    "alert 1", "alert ratio > 0.7", *(f"alert 1 {deed}" for deed in (*LOOKS, *CHANGES)),
    "alert 1 edit > 0.8", "alert 1 snooze 1d", "alert 1 snooze off", "alert new", "alerts 1",
    "summary now", "summary on 18:30", "summary off", "summary weekdays", "summary daily",
    *(f"settings {name}" for name in SETTINGS),
    *(f"settings {name} {setting.choices[-1]}" for name, setting in SETTINGS.items()),
    "forgetme yes", *(f"admin {act}".strip() for act in ADMIN_ACTIONS), "admin approve 23", "admin reject 22",
    "admin revoke 22", "admin broadcast Hello", "admin send 1", "help alert", "start payload",
)  # fmt: skip

_NUMBER_OR_METRIC = re.compile(rf"\d+([.,]\d+)?|\b({'|'.join(METRICS)})\b( iwm| spy)?( losses_in)?")


@dataclass(frozen=True)
class Person:
    """Somebody, and the chat in which they write; `hidden` behind the group."""

    name: str
    chat_id: int
    user_id: int
    hidden: bool = False


PEOPLE = (
    Person("owner", OWNER, OWNER),
    Person("owner in the group", GROUP, OWNER),
    Person("member", GROUP, MEMBER),
    Person("other chat's member", YOU, YOU),
    Person("group admin", GROUP, ADMIN),
    Person("anonymous admin", GROUP, ADMIN, hidden=True),
    Person("stranger", STRANGER, STRANGER),
    Person("stranger in the group's name", GROUP - 1, STRANGER),
    Person("blocked", BLOCKED, BLOCKED),
    Person("blocked in the group", GROUP, BLOCKED),
)


def command_lines() -> list[str]:
    """Every command bare and by its example, and the words that it takes."""
    bare = [f"/{command.name}" for command in COMMANDS]
    return list(dict.fromkeys([*bare, *(c.example for c in COMMANDS), *(f"/{words}" for words in WORDS)]))


@asynccontextmanager
async def village(sample: Path, folder: Path) -> AsyncIterator[Talk]:
    """A private bot: owner, group and another chat have an alert with a secret each; somebody is blocked."""
    settings: dict[str, Any] = {"users": frozenset({ME, YOU}), "chats": frozenset({GROUP})}
    async with talking(sample, folder, mode="allowlist", **settings) as talk:
        for chat_id in (ME, YOU, OWNER, STRANGER, BLOCKED):
            talk.api.chat(chat_id)
        talk.api.chat(GROUP).members.update({ADMIN: "administrator", MEMBER: "member", OWNER: "member"})
        for chat_id, secret in SECRETS.items():
            by = ADMIN if chat_id == GROUP else chat_id
            await talk.ask(f'/alert ratio > 0.9 note "{secret}"', chat_id, user_id=by)
        for line in ("/summary on 18:30", "/settings theme dark"):
            await talk.ask(line, GROUP, user_id=ADMIN)
        await talk.database.run(lambda db: chat_store.decide_access(db, BLOCKED, "rejected", talk.now, "Blocked"))
        yield talk


def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures take most of the time, and who may see them is decided before."""

    async def draw(*_: object) -> bytes:
        return png()

    monkeypatch.setattr(reply, "_draw", draw)


def typed(talk: Talk, who: Person, text: str) -> Json:
    """The update of a line that somebody types."""
    talk.api.say(who.chat_id, text, user_id=who.user_id, anonymous=who.hidden)
    return talk.api.updates.pop()


def pressed(talk: Talk, who: Person, message: ApiMessage, data: str) -> Json:
    """The update of a button, which need not be on the message; Telegram names who really pressed it."""
    talk.api.send_callback_data(message, data, who.user_id)
    return talk.api.updates.pop()


async def every_button(sample: Path, folder: Path) -> list[str]:
    """Data of the buttons that the owner comes to, one of each shape.

    These are under the answers to every command line, under the question about a stranger, and under what
    comes of pressing those once, which is always answered. Of what differs in numbers or metrics alone the
    first stands for all.
    """
    owner = PEOPLE[0]
    shapes: dict[str, str] = {}

    async def look(talk: Talk, update: Json) -> None:
        talk.now += STEP
        await talk.deliver(update)
        for message in talk.api.history.values():
            for data in (data for row in message.buttons for _, data in row if data):
                shapes.setdefault(_NUMBER_OR_METRIC.sub("#", data), data)

    with pytest.MonkeyPatch.context() as patch:
        no_pictures(patch)
        async with village(sample, folder) as talk:
            await talk.deliver(typed(talk, next(who for who in PEOPLE if who.name == "stranger"), "/about"))
            await talk.bot.scheduler.drain()
            for line in command_lines():
                if not _takes_away(line):
                    await look(talk, typed(talk, owner, line))
            page = talk.api.add_message(talk.api.chat(owner.chat_id), text="a page")
            for data in tuple(shapes.values()):
                if not _takes_away(data):
                    talk.api.requests.clear()
                    await look(talk, pressed(talk, owner, page, data))
                    words = ("text", "caption", "media")
                    texts = [call.fields.get(name, "") for call in talk.api.requests for name in words]
                    assert any(texts), data
                    assert not {FAILED, UNUSABLE} & set(texts), data
    return list(shapes.values())


def _takes_away(line: str) -> bool:
    """Whether a line would take away what others are about."""
    return bool({"off", "/forgetme", "e/forgetme"} & set(line.split()))


def rows(db: Any) -> dict[str, list[dict[str, Any]]]:  # noqa: ANN401 - sqlite_utils.Database
    """Every row of every table but the notes of updates and SQLite's own; how many observations there are."""
    ours = (table for table in db.tables if table.name != "updates" and not table.name.startswith("sqlite_"))
    return {table.name: [{"rows": table.count}] if table.name in KINDS else list(table.rows) for table in ours}
