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


class OutageNotifier:
    """Tells the owner about faults of the storage, once an outage."""

    def __init__(self, bot: ExtBot[Any], owner: int | None, now: Callable[[], datetime]) -> None:
        self._bot, self._owner, self._now = bot, owner, now
        self._last: datetime | None = None
        self._notified = False

    async def failed(self, error: Exception) -> None:
        """Notify the owner of a fault of disk or file. Other faults are only logged."""
        if self._owner is None or not isinstance(error, (*_PASSING, *_LASTING)):
            return
        now = self._now()
        if self._last is None or not self._last <= now < self._last + OVER_AFTER:
            self._notified = False
        self._last = now
        if not self._notified:
            self._notified = True
            await self._tell(self._owner, f"{error} {_STAYS if isinstance(error, _LASTING) else _WAITS}")

    async def _tell(self, owner: int, text: str) -> None:
        try:
            await self._bot.send_message(owner, text, rate_limit_args=NOTICE)
        except TelegramError as refusal:
            self._notified = False  # the next fault tries again
            logger.warning(
                "the owner was not told that the database cannot be used: %s", type(refusal).__name__
            )
