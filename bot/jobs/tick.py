"""One tick of the scheduler, and the job that repeats it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bot.data.refresh import Report, refresh
from bot.jobs.evaluate import Fire, evaluate
from bot.jobs.summaries import summarise
from storage import sources
from storage.db import StorageError

if TYPE_CHECKING:
    from telegram.ext import Application

    from bot.data.provider import Provider
    from bot.delivery import Delivery, DrainReport
    from bot.services import Services

_log = logging.getLogger(__name__)
TICK_SECONDS = 30
HEARTBEAT = "heartbeat"  # meta key: the last tick's instant, read by `doctor`


@dataclass(frozen=True)
class Done:
    """What one tick did."""

    reports: Sequence[Report] = ()
    fires: Sequence[Fire] = ()
    summaries: int = 0


class Scheduler:
    """Refreshes, judges, summarises and drains, in this order; a fault in one leaves the others."""

    def __init__(self, services: Services, providers: Sequence[Provider], delivery: Delivery) -> None:
        self._services, self._providers, self._delivery = services, providers, delivery

    async def refresh(self, *, calls: int | None = None, force: bool = False) -> list[Report]:
        """Ask the sources for what is due (or all, with `force`); nothing when they may not be asked."""
        if not self._services.live:
            return []
        services = self._services
        return await refresh(
            services.database,
            self._providers,
            services.markets.sessions(),
            services.clock(),
            calls=calls,
            force=force,
        )

    async def judge(self) -> Done:
        """Judge alerts and queue the summaries that are due."""
        return Done(fires=await evaluate(self._services), summaries=await summarise(self._services))

    async def drain(self) -> DrainReport:
        """Send what is due."""
        return await self._delivery.drain()

    async def tick(self) -> None:
        """One round; every step's fault is logged and left behind."""
        for step in (self._beat, lambda: self.refresh(calls=1), self.judge, self.drain):
            try:
                await step()
            except StorageError:
                _log.exception("the database could not be used; the next tick tries again")
            except Exception:  # noqa: BLE001 - the next step must run whatever this one did
                _log.exception("a step of the tick failed; the next tick tries again")

    async def _beat(self) -> None:
        now = self._services.clock()
        await self._services.database.run(
            lambda db: sources.set_meta(db, HEARTBEAT, f"{now:%Y-%m-%dT%H:%M:%SZ}")
        )

    def schedule(self, application: Application[Any, Any, Any, Any, Any, Any]) -> None:
        """Repeat the tick. What is due is a query, so a skipped or merged tick loses nothing."""
        queue = application.job_queue
        if queue is None:
            raise RuntimeError("python-telegram-bot was installed without its job-queue extra")
        queue.run_repeating(
            lambda _: self.tick(),
            TICK_SECONDS,
            first=1,
            name="tick",
            job_kwargs={"misfire_grace_time": TICK_SECONDS, "coalesce": True, "max_instances": 1},
        )
