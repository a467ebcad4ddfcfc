"""Who asks, what they may do, and how strangers ask to be let in."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeVar
from zoneinfo import ZoneInfo

import sqlite_utils
from msgspec import structs
from telegram import Bot, Update
from telegram.error import TelegramError

from bot.errors import BotError
from bot.messages.canvas import LIGHT, THEMES, Theme
from bot.messages.common import AS_EDIT, Answer, payload_of
from bot.messages.html import bold, code, lines
from bot.services import LOCAL_CHAT, Caller, CallerChat, Services, chats
from bot.services.chats import ANONYMOUS_ADMIN, SHARED
from storage import chat_store
from storage.outbox import NewMessage

T = TypeVar("T")
_ADMINISTRATORS = ("creator", "administrator")
_MAX_STRANGERS = 1000


class Redelivered(Exception):
    """Telegram delivered an update that was answered before. Nothing was changed."""


@dataclass
class Ask:
    """One request as handlers receive it: the words after the command, the chat, the person, the services."""

    services: Services
    text: str
    chat_id: int
    chat_kind: str
    chat_title: str
    user_id: int
    update_id: int
    user_name: str = ""
    thread_id: int | None = None  # the forum topic it was asked in
    is_pressed: bool = False  # on a button, not typed
    settings: chats.ChatSettings = field(init=False)  # the configuration's until `load`
    _recorded: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.settings = chats.settings_of(self.services.config, None)

    async def load(self) -> bool:
        """Read the chat's settings. Return whether the person may ask. Raises Redelivered like `change`."""
        person = person_of(self.user_id, self.chat_id)
        stored = chats.standing(self.services, person, self.chat_id, self.update_id)
        if stored.answered:
            raise Redelivered
        self.settings = stored.settings
        return stored.admitted

    @property
    def unrecorded(self) -> int | None:
        """The update, if nothing was changed: it is recorded when it has been answered."""
        return None if self._recorded else self.update_id

    @property
    def now(self) -> dt.datetime:
        """The current time, aware."""
        return self.services.clock()

    @property
    def today(self) -> dt.date:
        """The date in the chat's time zone, which "yesterday" counts from."""
        return self.now.astimezone(ZoneInfo(self.settings.zone)).date()

    @property
    def theme(self) -> Theme:
        """The theme of the chat's charts."""
        return THEMES.get(self.settings.theme, LIGHT)

    @property
    def is_owner(self) -> bool:
        """Whether the bot's owner asks, in their private chat or in the terminal."""
        return self.user_id == self.chat_id and self.user_id in {self.services.config.access.owner, LOCAL_CHAT}

    @property
    def caller(self) -> Caller:
        """The chat and person, as the services take them."""
        zone = ZoneInfo(self.settings.zone)
        chat = CallerChat(self.chat_id, self.chat_kind, self.chat_title, zone, self.thread_id)
        return Caller(self.services, chat, self.user_id, self.now, self.change)

    async def change(self, write: Callable[[sqlite_utils.Database], T]) -> T:
        """Run `write(db)` and record the update, in one transaction. Returns the result of `write`.

        Raises Redelivered, with nothing written, for an update that was recorded before.
        """

        def record_and_write(db: sqlite_utils.Database) -> T:
            if not self._recorded and not chat_store.record_update(db, self.update_id, self.now):
                raise Redelivered
            return write(db)

        result = await self.services.database.run(record_and_write)
        self._recorded = True
        return result


class Role(Enum):
    """Who with access to the bot may use a command, in words."""

    MEMBER = "everybody"
    ADMIN = "everybody; in groups administrators"
    OWNER = "the owner"

    def required(self, *, changes: bool) -> "Role":
        """Return who may send words that change settings, or that only read them."""
        return Role.ADMIN if self is Role.MEMBER and changes else self


async def may_change(bot: Bot, update: Update) -> bool:
    """Return whether the sender may change the chat's settings.

    Anybody may in a private chat, administrators in a group. Telegram is asked each time; if it does not
    answer, the sender may not.
    """
    chat, user, message = update.effective_chat, update.effective_user, update.effective_message
    if chat is None or user is None:
        return False
    if chat.type == "private":
        return True
    if user.id == ANONYMOUS_ADMIN:
        sender = message.sender_chat if message is not None else None
        return update.callback_query is None and sender is not None and sender.id == chat.id
    try:
        member = await bot.get_chat_member(chat.id, user.id)
    except TelegramError:
        return False
    return member.status in _ADMINISTRATORS


def person_of(user_id: int, chat_id: int) -> int:
    """Return the person's id, or the chat's if they write under an id that many share."""
    return chat_id if user_id in SHARED else user_id


class Denied(BotError):
    """The person may not use the bot. The message says how to get access."""

    def __init__(self, user_id: int, chat_id: int, *, owner_asked: bool = False) -> None:
        if owner_asked:
            way = lines("Its owner has been asked; if they agree, a message here will say so.")
        elif user_id == chat_id < 0:
            way = lines("Its owner can let this group in with its id: " + code(chat_id))
        else:
            way = lines(
                "Its owner can let you in with your id: " + code(user_id),
                "or this group with its id: " + code(chat_id) if chat_id != user_id else None,
            )
        super().__init__("This bot is private. " + way)


class AccessGate:
    """Decides who may use the bot, and asks the owner about each stranger once."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._strangers: dict[int, None] = {}

    async def reject(self, caller: Caller, name: str, update_id: int) -> None:
        """Raise Denied for a chat's first question and ask the owner about it. Later questions get no answer.

        The request is stored, so that neither a restart nor a refusal asks the owner again. While nobody can
        be asked (no owner is configured, or too many requests are open), nothing is stored about strangers.
        """
        if await chats.owner_knows(caller):
            return
        owner, chat_id = self._services.config.access.owner, caller.chat.id
        person = person_of(caller.user_id, chat_id)
        if owner is not None and await chats.request_access(caller, *_access_request(caller, owner, name, update_id)):
            raise Denied(person, chat_id, owner_asked=True)
        if chat_id in self._strangers:
            return
        if len(self._strangers) >= _MAX_STRANGERS:
            self._strangers.pop(next(iter(self._strangers)))
        self._strangers[chat_id] = None
        raise Denied(person, chat_id)


def _access_request(caller: Caller, owner: int, name: str, update_id: int) -> tuple[str, NewMessage]:
    """Return the name under which a stranger waits, and the question to the owner."""
    chat, user_id = caller.chat, caller.user_id
    is_group = chat.id != user_id
    html = lines(
        bold("Somebody asks to use this bot"),
        name if user_id in SHARED else f"{name}, " + code(user_id),
        f"in the group “{chat.title}”, " + code(chat.id) if is_group else None,
        "If you approve, everybody in the group may use the bot." if is_group else None,
    )
    choice = (("Approve", f"/admin approve {chat.id}"), ("Reject", f"/admin reject {chat.id}"))
    body = structs.replace(payload_of(Answer(html, buttons=(choice,)), AS_EDIT), names=[chat.id, user_id])
    notice = NewMessage(owner, None, "notice", f"access:{chat.id}:{update_id}", body)
    return chat.title if is_group else name, notice
