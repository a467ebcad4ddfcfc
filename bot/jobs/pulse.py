"""The heartbeat: an address that is called while the bot is well, so that somebody notices when it stops.

What watches is another machine, e.g. a dead man's switch. It is called after a good tick, every few
minutes, beside all other work. The address holds the secret of the check, so logs name its host only.
"""

from __future__ import annotations

import datetime as dt
import logging
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx

if TYPE_CHECKING:
    from bot.services.base import Services

_log = logging.getLogger(__name__)
SECONDS = 10.0  # for the call
FRESH = dt.timedelta(minutes=3)  # a good tick longer ago says nothing of now


class Heartbeat:
    """Calls the address of [heartbeat] when it is due and the last tick succeeded."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._well: dt.datetime | None = None  # the last tick, if it was a good one
        self._called: dt.datetime | None = None

    def record_tick(self, *, well: bool) -> None:
        """Record whether the tick that has just ended succeeded."""
        self._well = self._services.clock() if well else None

    async def run(self) -> bool:
        """Call the address if it is due. Returns whether the call succeeded; a failure is logged."""
        config, now = self._services.config, self._services.clock()
        if not (config.heartbeat.url and self._is_well(now) and self._is_due(now)):
            return False
        self._called = now
        if refused := await _call(config.heartbeat.url.get_secret_value()):
            host = urlsplit(config.heartbeat.url.get_secret_value()).hostname
            _log.warning("the heartbeat was not taken by %s (%s)", host, refused)
        return not refused

    def _is_well(self, now: dt.datetime) -> bool:
        return self._well is not None and abs(now - self._well) <= FRESH

    def _is_due(self, now: dt.datetime) -> bool:
        """Whether enough minutes have passed; a clock that was put back makes it due."""
        pause = dt.timedelta(minutes=self._services.config.heartbeat.minutes)
        return self._called is None or not self._called <= now < self._called + pause


async def _call(url: str) -> str:
    """Call the address. Returns an empty string, or the error without the address in it.

    Only the head of the response is read.
    """
    client = httpx.AsyncClient(timeout=SECONDS, follow_redirects=True)
    try:
        async with client, client.stream("GET", url) as answer:
            return "" if answer.is_success else f"HTTP {answer.status_code}"
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return type(error).__name__
