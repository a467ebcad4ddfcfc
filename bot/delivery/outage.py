"""Telling the owner that the database cannot be used: sent at once, because the outbox is in it."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from telegram.error import TelegramError

from bot.ratelimit import NOTICE
from storage.db import DatabaseBroken, DatabaseMissing, DiskFault, DiskFull

if TYPE_CHECKING:
    from collections.abc import Callable

    from telegram.ext import ExtBot

logger = logging.getLogger(__name__)

OVER_AFTER = timedelta(minutes=10)  # without a fault: a later one is another outage
_PASSING = (DiskFull, DiskFault)
_LASTING = (DatabaseBroken, DatabaseMissing)
_WAITS = "Nothing is lost: what is due waits, and the bot tries again twice a minute."
_STAYS = "This does not pass by itself: stop the bot, put the newest backup back with “restore”, start it."


class Outage:
    """Faults of the storage, of which the owner is told once an outage."""

    def __init__(self, bot: ExtBot[Any], owner: int | None, now: Callable[[], datetime]) -> None:
        self._bot, self._owner, self._now = bot, owner, now
        self._last: datetime | None = None
        self._told = False

    async def failed(self, error: Exception) -> None:
        """Note a fault; what is no fault of disk or file (another process writes) is left to the log."""
        if self._owner is None or not isinstance(error, (*_PASSING, *_LASTING)):
            return
        now = self._now()
        if self._last is None or not self._last <= now < self._last + OVER_AFTER:
            self._told = False
        self._last = now
        if not self._told:
            self._told = True
            await self._tell(self._owner, f"{error} {_STAYS if isinstance(error, _LASTING) else _WAITS}")

    async def _tell(self, owner: int, text: str) -> None:
        try:
            await self._bot.send_message(owner, text, rate_limit_args=NOTICE)
        except TelegramError as told:
            self._told = False  # the next fault tries again
            logger.warning("the owner was not told that the database cannot be used: %s", type(told).__name__)
