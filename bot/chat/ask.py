"""What a handler receives: the words, the chat and person, and the services."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar
from zoneinfo import ZoneInfo

from bot.messages.canvas import LIGHT, THEMES
from bot.services import Caller, Chat
from bot.services.chats import settings_of, stored_chat
from storage import chat_store

if TYPE_CHECKING:
    import sqlite_utils

    from bot.messages.canvas import Theme
    from bot.services import Services
    from bot.services.chats import ChatSettings


T = TypeVar("T")


class Redelivered(Exception):
    """Telegram delivered an update that was answered before. Nothing was changed."""


@dataclass
class Ask:
    """One request: the words after the command, the chat and the person."""

    services: Services
    text: str
    chat_id: int
    chat_kind: str
    chat_title: str
    user_id: int
    update_id: int
    user_name: str = ""
    thread_id: int | None = None  # the forum topic it was asked in
    _settings: ChatSettings | None = field(default=None, init=False)
    _recorded: bool = field(default=False, init=False)

    @property
    def now(self) -> dt.datetime:
        """The current time, aware."""
        return self.services.clock()

    @property
    def settings(self) -> ChatSettings:
        """The chat's settings as read by `load_settings`. Before that, the configuration's."""
        return self._settings or settings_of(self.services.config, None)

    @property
    def caller(self) -> Caller:
        """The chat and person, as the services take them."""
        zone = ZoneInfo(self.settings.zone)
        chat = Chat(self.chat_id, self.chat_kind, self.chat_title, zone, self.thread_id)
        return Caller(chat, self.user_id, self.now, self.change)

    @property
    def theme(self) -> Theme:
        """The theme of the chat's charts."""
        return THEMES.get(self.settings.theme, LIGHT)

    async def load_settings(self) -> None:
        """Read the chat's settings."""
        chat = await stored_chat(self.services, self.chat_id)
        self._settings = settings_of(self.services.config, chat)

    @property
    def is_owner(self) -> bool:
        """Whether the bot's owner asks, in their private chat."""
        return self.user_id == self.chat_id == self.services.config.access.owner

    async def change(self, write: Callable[[sqlite_utils.Database], T]) -> T:
        """Run `write(db)` and record the update, in one transaction. Returns the result of `write`.

        Raises Redelivered, with nothing written, for an update that was recorded before.
        """

        def record_and_write(db: sqlite_utils.Database) -> T:
            self._record(db)
            return write(db)

        result = await self.services.database.run(record_and_write)
        self._recorded = True
        return result

    async def record(self) -> None:
        """Record the update of a request that changed nothing. Raises Redelivered as `change` does."""
        if not self._recorded:
            await self.services.database.run(self._record)
            self._recorded = True

    def _record(self, db: sqlite_utils.Database) -> None:
        if not self._recorded and not chat_store.record_update(db, self.update_id, self.now):
            raise Redelivered
