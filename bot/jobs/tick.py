"""One tick of the scheduler, and the jobs that repeat it."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from bot.data.refresh import refresh
from bot.jobs.backups import Backups
from bot.jobs.commit import Evaluation, Fire
from bot.jobs.expiry import Expiry
from bot.jobs.outages import Outages
from bot.jobs.pulse import Heartbeat
from bot.jobs.release import DeferredNotifications
from bot.jobs.summaries import Summaries
from bot.services.base import OUTBOX_KEPT, wall_clock
from storage import outbox, sources
from storage.db import StorageError

if TYPE_CHECKING:
    import sqlite_utils
    from telegram.ext import Application

    from bot.data.provider import Provider
    from bot.data.record import FetchReport
    from bot.delivery import Delivery, DrainReport
    from bot.services.base import Services

_log = logging.getLogger(__name__)
TICK_SECONDS, FIRST_SECONDS = 30, 1
CALM_SECONDS = 60  # until the first backup: a start has enough to do
_GRACE = TICK_SECONDS  # a tick this late is still run
_PRUNE_EVERY = dt.timedelta(days=1)


@dataclass(frozen=True)
class TickResult:
    """The new fires, and the number of summaries queued."""

    fires: Sequence[Fire] = ()
    summaries: int = 0


class Scheduler:
    """Refreshes, judges, summarises and drains; a fault in one leaves the others."""

    def __init__(self, services: Services, providers: Sequence[Provider], delivery: Delivery) -> None:
        self._services, self._providers, self._delivery = services, providers, delivery
        self._release, self._evaluation = DeferredNotifications(services), Evaluation(services)
        self._outages, self._expiry = Outages(services), Expiry(services)
        self._summaries = Summaries(services)
        self._backups, self._pulse = Backups(services), Heartbeat(services)
        self._pruned: dt.datetime | None = None

    async def refresh(self, *, calls: int | None = None, force: bool = False) -> list[FetchReport]:
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

    async def judge(self) -> TickResult:
        """Tell what was held, judge alerts and queue the summaries that are due."""
        await self._release.run()
        fires = await self._evaluation.run()
        await self._outages.run()
        await self._expiry.run()
        return TickResult(fires=fires, summaries=await self._summaries.run())

    async def drain(self) -> DrainReport:
        """Send what is due."""
        return await self._delivery.drain()

    async def tick(self) -> None:
        """One round: refresh, judge, send."""
        await self.ask()
        await self.work()
        await self._guarded(self.drain)

    async def ask(self) -> None:
        """Ask each source at most one question a fund; a fault is logged and left behind."""
        await self._guarded(lambda: self.refresh(calls=1))

    async def work(self) -> None:
        """Beat, judge, summarise; each step's fault is logged and left behind. What was queued may go."""
        jobs = (self._release, self._evaluation, self._outages, self._expiry, self._summaries)
        went = [await self._guarded(step) for step in (self._beat, *(job.run for job in jobs), self._prune)]
        self._delivery.wake()
        self._pulse.record_tick(well=all(went) and not self._delivery.stopped)

    async def send(self) -> None:
        """Send what is queued, until the delivery is stopped."""
        await self._delivery.keep_sending(self._failed)

    async def back_up(self) -> None:
        """Make the nightly backup when it is due; a fault is logged and left behind."""
        await self._guarded(self._backups.run)

    async def pulse(self) -> None:
        """Call the address of [heartbeat] when it is due; a fault is logged and left behind."""
        await self._guarded(self._pulse.run)

    async def _guarded(self, step: Callable[[], Awaitable[object]]) -> bool:
        """Whether a step went well."""
        try:
            await step()
        except Exception as error:  # noqa: BLE001 - the next step must run whatever this one did
            await self._failed(error)
            return False
        return True

    async def _failed(self, error: Exception) -> None:
        """Log a step's fault; of a database that cannot be used the owner is told."""
        what = "the database could not be used" if isinstance(error, StorageError) else "a step failed"
        _log.error("%s; the next tick tries again", what, exc_info=error)
        await self._delivery.outage.failed(error)

    async def _beat(self) -> None:
        """Note that the process is alive: an instant of the real clock, whatever day is played."""
        await self._services.database.confirm()
        await self._services.database.run(partial(sources.beat, now=wall_clock()))

    async def _prune(self) -> None:
        """Once a day, and when the clock was put back, forget what was sent long ago."""
        now = self._services.clock()
        if self._pruned is None or not self._pruned <= now < self._pruned + _PRUNE_EVERY:
            await self._services.database.run(partial(_forget, now=now))
            self._pruned = now

    def schedule(self, application: Application[Any, Any, Any, Any, Any, Any]) -> None:
        """Repeat each job apart, and send meanwhile: no slow source, backup or long queue holds up the rest.

        What is due is a query, so a skipped or merged tick loses nothing.
        """
        queue = application.job_queue
        if queue is None:
            raise RuntimeError("python-telegram-bot was installed without its job-queue extra")
        jobs = {"ask": self.ask, "work": self.work, "pulse": self.pulse, "backup": self.back_up}
        for name, job in jobs.items():
            queue.run_repeating(
                partial(_called, job),
                TICK_SECONDS,
                first=CALM_SECONDS if name == "backup" else FIRST_SECONDS,
                name=name,
                job_kwargs={"misfire_grace_time": _GRACE, "coalesce": True, "max_instances": 1},
            )
        late: dict[str, Any] = {"misfire_grace_time": None}
        queue.run_once(partial(_called, self.send), 0, name="send", job_kwargs=late)


async def _called(job: Callable[[], Awaitable[None]], context: object) -> None:
    """A job as the queue calls it."""
    del context
    await job()


def _forget(db: sqlite_utils.Database, now: dt.datetime) -> None:
    outbox.prune(db, now - OUTBOX_KEPT)
    outbox.hasten(db, now)
