"""What a handler is given: the question, who asked, and the services that answer it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bot.rendering.themes import THEMES, Theme

if TYPE_CHECKING:
    import pandas as pd

    from bot.analytics.market import Market
    from bot.config import Config
    from bot.data.markets import Markets
    from bot.rendering.answer import Asked
    from storage.db import Database

VERSION = "0.1.0"


@dataclass
class Services:
    """What every handler and job shares; made once by the composition root."""

    config: Config
    database: Database
    markets: Markets
    clock: Callable[[], dt.datetime]
    live: bool = True  # whether sources may be asked; false with --offline and in the demo
    pictures: dict[str, str] = field(default_factory=dict)  # digest of a picture -> Telegram's file_id

    @property
    def theme(self) -> Theme:
        """The theme of charts."""
        return THEMES[self.config.theme]


@dataclass(frozen=True)
class Ask:
    """One question: the words after the command, the chat and the person."""

    services: Services
    text: str
    chat_id: int
    chat_kind: str
    chat_title: str
    user_id: int
    update_id: int

    @property
    def now(self) -> dt.datetime:
        """The clock's instant, aware."""
        return self.services.clock()

    async def market(self, asked: Asked | None = None) -> Market:
        """The Market the question is about."""
        asof: pd.Timestamp | None = asked.asof if asked else None
        known: pd.Timestamp | None = asked.known if asked else None
        return await self.services.markets.asked(asof, known)
