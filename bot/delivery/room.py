"""Rate limits as the outbox sees them: which chats to leave alone for now, and halts that are stored."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from bot.ratelimit import SendBudget
from storage import halts
from storage.db import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable

    import sqlite_utils
    from telegram.ext import ExtBot

    from storage.db import Database

logger = logging.getLogger(__name__)


class RateLimitState:
    """What the send budget of `bot` allows. A bot without a budget (the terminal) may always send."""

    def __init__(self, bot: ExtBot[Any], database: Database, now: Callable[[], datetime]) -> None:
        limiter = bot.rate_limiter
        self._budget = limiter if isinstance(limiter, SendBudget) else None
        self._database, self._now = database, now
        self._restored = False
        if self._budget:
            self._budget.on_halt = self._keep

    async def restore(self) -> None:
        """Load the stored halts of earlier processes into the budget, once."""
        if self._budget is None or self._restored:
            return
        now = self._now()
        for halt in await self._database.run(partial(halts.current_halts, now=now)):
            self._budget.restore(halt.chat_id or None, (halt.until - now).total_seconds())
        self._restored = True

    def resting(self) -> dict[int | str, float]:
        """Chats to which nothing may be sent now, with the seconds until it may."""
        return self._budget.chat_waits() if self._budget else {}

    def halted(self) -> float:
        """Seconds for which nothing may be sent to anybody."""
        return self._budget.halted() if self._budget else 0.0

    async def sleep(self, seconds: float) -> None:
        """Sleep by the budget's clock."""
        await (self._budget.sleep(seconds) if self._budget else asyncio.sleep(seconds))

    async def _keep(self, chat: int | str, seconds: float) -> None:
        """Store the halt after a 429 to a reply, so that the next process keeps to it too."""
        now, everyone = self._now(), self.halted()
        ends: dict[int | str, float] = {chat: seconds}
        if everyone:
            ends[halts.EVERY_CHAT] = everyone
        try:
            await self._database.run(partial(_write, ends=ends, now=now))
        except StorageError as error:
            logger.warning("the halt of chat %s is kept in memory only: %s", chat, error)


def _write(db: sqlite_utils.Database, ends: dict[int | str, float], now: datetime) -> None:
    for chat, seconds in ends.items():
        if isinstance(chat, int):
            halts.begin_halt(db, chat, now + timedelta(seconds=seconds))
