"""What a handler is given: the question, who asked, and the services that answer it."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from bot.analytics.market import Market
    from bot.rendering.answer import Asked
    from bot.services import Services


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
