"""What a handler is given: the question, who asked, and the services that answer it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar
from zoneinfo import ZoneInfo

from bot.rendering.themes import LIGHT, THEMES
from bot.services.base import Caller, Chat
from bot.services.chats import preferences_of, stored_chat
from storage import chats

if TYPE_CHECKING:
    import sqlite_utils

    from bot.rendering.themes import Theme
    from bot.services.base import Services
    from bot.services.chats import Preferences

T = TypeVar("T")


class Redelivered(Exception):
    """Telegram delivered an update that was answered before; nothing was changed."""


@dataclass
class Ask:
    """One question: the words after the command, the chat and the person."""

    services: Services
    text: str
    chat_id: int
    chat_kind: str
    chat_title: str
    user_id: int
    update_id: int
    user_name: str = ""
    thread_id: int | None = None  # the forum topic it was asked in
    _preferences: Preferences | None = field(default=None, init=False)
    _noted: bool = field(default=False, init=False)

    @property
    def now(self) -> dt.datetime:
        """The clock's instant, aware."""
        return self.services.clock()

    @property
    def preferences(self) -> Preferences:
        """The chat's settings, as read by `prefer`; before it, the configuration's."""
        return self._preferences or preferences_of(self.services.config, None)

    @property
    def caller(self) -> Caller:
        """What the services are told of who asks."""
        zone = ZoneInfo(self.preferences.zone)
        chat = Chat(self.chat_id, self.chat_kind, self.chat_title, zone, self.thread_id)
        return Caller(chat, self.user_id, self.now, self.change)

    @property
    def theme(self) -> Theme:
        """The theme of the chat's charts."""
        return THEMES.get(self.preferences.theme, LIGHT)

    async def prefer(self) -> None:
        """Read the chat's settings."""
        chat = await stored_chat(self.services, self.chat_id)
        self._preferences = preferences_of(self.services.config, chat)

    @property
    def is_owner(self) -> bool:
        """Whether the bot's owner asks, in their private chat."""
        return self.user_id == self.chat_id == self.services.config.access.owner

    async def change(self, write: Callable[[sqlite_utils.Database], T]) -> T:
        """What `write(db)` returns; the update is noted in the same transaction.

        Raises Redelivered, with nothing written, for an update that was noted before.
        """

        def noting(db: sqlite_utils.Database) -> T:
            self._note(db)
            return write(db)

        result = await self.services.database.run(noting)
        self._noted = True
        return result

    async def note(self) -> None:
        """Note the update of a question that changed nothing; raises Redelivered as `change` does."""
        if not self._noted:
            await self.services.database.run(self._note)
            self._noted = True

    def _note(self, db: sqlite_utils.Database) -> None:
        if not self._noted and not chats.seen_update(db, self.update_id, self.now):
            raise Redelivered
