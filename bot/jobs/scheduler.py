"""One tick of the scheduler, the jobs that repeat it, and the heartbeat.

The heartbeat calls an address while the bot is well, so that another machine, e.g. a dead man's switch,
notices when it stops. It is called after a good tick, every few minutes, beside all other work. The address
holds the secret of the check, so logs name its host only.
"""

import asyncio
import datetime as dt
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from operator import methodcaller
from typing import Any
from urllib.parse import urlsplit

import httpx
import sqlite_utils
from telegram.ext import Application

from bot.analytics.windows import AsOf
from bot.concurrency import RunningWork, trim_heap
from bot.data.provider import Provider
from bot.data.refresh import FetchReport, refresh
from bot.delivery.drain import Delivery
from bot.delivery.outcome import DrainReport
from bot.errors import OUT_OF_MEMORY, NoData, is_out_of_memory
from bot.jobs.backups import Backups
from bot.jobs.boards import Boards
from bot.jobs.commit import Evaluation, Fire
from bot.jobs.deferred import send_deferred
from bot.jobs.notices import announce_ends, report_outages, report_refusals
from bot.jobs.pictures import Pictures
from bot.jobs.summaries import Summaries
from bot.messages.canvas import THEMES
from bot.messages.pages.compare import compare_answer
from bot.messages.pages.flows import flows_answer
from bot.messages.pages.multiples import multiples_answer
from bot.messages.pages.trend import trend_answer
from bot.services import EVENTS_KEPT, OUTBOX_KEPT, Services, wall_clock
from bot.services.questions import answer_once
from storage import alert_store, chat_store, outbox, sources
from storage.database import StorageError, analyses

_log = logging.getLogger(__name__)
HEARTBEAT_TIMEOUT = 10.0  # seconds
_FRESH = dt.timedelta(minutes=3)  # a good tick longer ago says nothing of now
TICK_SECONDS, FIRST_SECONDS = 30, 1
_FIRST_BACKUP_SECONDS = 60  # a start has enough to do
_GRACE_SECONDS = TICK_SECONDS  # a tick this late is still run
_PRUNE_EVERY = dt.timedelta(days=1)
_PIECE = 200  # rows that are deleted at once


@dataclass(frozen=True)
class TickResult:
    """The new fires, and the number of summaries queued."""

    fires: Sequence[Fire] = ()
    summaries: int = 0


class Scheduler:
    """Runs the jobs: refresh, evaluate, summarise, send. An error in one does not stop the others.

    work, sending  what is cut off at a shutdown: all jobs but the one that sends, and that one
    """

    def __init__(self, services: Services, providers: Sequence[Provider], delivery: Delivery) -> None:
        self._services, self._providers, self._delivery = services, providers, delivery
        self._evaluation, self._summaries = Evaluation(services), Summaries(services)
        self._backups, self._heartbeat = Backups(services), Heartbeat(services)
        self._pictures, services.boards = Pictures(services, delivery), Boards(services, delivery)
        self._pruned_at: dt.datetime | None = None
        self.work, self.sending = RunningWork(), RunningWork()

    async def refresh(
        self, *, calls: int | None = None, force: bool = False, progress: Callable[[str], object] = str
    ) -> list[FetchReport]:
        """Fetch what is due from the sources, or everything with `force`. Does nothing when offline."""
        services = self._services
        if not services.live:
            return []
        sessions, now = services.markets.sessions(), services.clock()
        asked = partial(refresh, services.database, self._providers, sessions, now, progress=progress)
        return await asked(calls=calls, force=force)

    async def evaluate(self) -> TickResult:
        """Queue deferred notifications, evaluate alerts and queue the summaries that are due."""
        await send_deferred(self._services)
        fires = await self._evaluation.run()
        await report_outages(self._services)
        await announce_ends(self._services)
        return TickResult(fires=fires, summaries=await self._summaries.run())

    async def drain(self) -> DrainReport:
        """Send what is due."""
        return await self._delivery.drain()

    async def tick(self) -> None:
        """Refresh, evaluate and send once."""
        await self.ask_sources()
        await self.run_jobs()
        await self._run_safely(self.drain)
        await self.edit_messages()

    async def ask_sources(self) -> None:
        """Make at most one request per fund to each source. Errors are logged."""

        async def ask() -> None:
            await report_refusals(self._services, await self.refresh(calls=1))

        await self._run_safely(ask)

    async def run_jobs(self) -> None:
        """Record the heartbeat and run all jobs, then wake the delivery. Errors of a step are logged."""
        steps = (
            self._record_heartbeat,
            partial(send_deferred, self._services),
            self._evaluation.run,
            partial(report_outages, self._services),
            partial(announce_ends, self._services),
            self._summaries.run,
            self._prepare_answers,
            self._prune,
            partial(asyncio.to_thread, trim_heap),
        )
        succeeded = [await self._run_safely(step) for step in steps]
        self._delivery.wake()
        self._heartbeat.record_tick(well=all(succeeded) and not self._delivery.stopped)

    async def send(self) -> None:
        """Send queued messages until the delivery is stopped."""
        await self._delivery.keep_sending(self._failed)

    async def edit_messages(self) -> None:
        """Edit live boards, and add pictures to what was pushed. Errors are logged."""
        await self._run_safely(self._services.boards.run)
        await self._run_safely(self._pictures.run)

    async def call_heartbeat(self) -> None:
        """Call the address of [heartbeat] when it is due. Errors are logged."""
        await self._run_safely(self._heartbeat.run)

    async def _run_safely(self, step: Callable[[], Awaitable[object]]) -> bool:
        try:
            await step()
        except Exception as error:  # noqa: BLE001 - the next step must run whatever this one did
            await self._failed(error)
            return False
        return True

    async def _failed(self, error: Exception) -> None:
        """Log the error of a step; the owner is told when the database cannot be used."""
        if is_out_of_memory(error):
            _log.error("%s; the next tick tries again", OUT_OF_MEMORY.rstrip("."))
        else:
            problem = "the database could not be used" if isinstance(error, StorageError) else "a step failed"
            _log.error("%s; the next tick tries again", problem, exc_info=error)
        await self._delivery.outage_notifier.notify(error)

    async def _record_heartbeat(self) -> None:
        await self._services.database.check_path()
        await self._services.database.run(partial(sources.record_heartbeat, now=wall_clock()))

    async def _prepare_answers(self) -> None:
        """Compute what is asked most of a Market before anybody asks."""
        market, theme = await self._services.markets.current(), THEMES[self._services.config.charts.theme]
        with suppress(NoData):
            await answer_once(compare_answer, market, AsOf(), theme, (), None)
            await answer_once(trend_answer, market, AsOf(), theme, None)
            await answer_once(flows_answer, market, AsOf(), theme, ())
            await answer_once(multiples_answer, market, AsOf(), theme, "")

    async def _prune(self) -> None:
        """Delete what is old, once a day and whenever the clock was set back; in pieces, as commands wait."""
        now, run = self._services.clock(), self._services.database.run
        if self._pruned_at is not None and self._pruned_at <= now < self._pruned_at + _PRUNE_EVERY:
            return
        session = f"{now - EVENTS_KEPT:%Y-%m-%d}"
        pieces: tuple[Callable[[sqlite_utils.Database], int], ...] = (
            lambda db: outbox.prune(db, now - OUTBOX_KEPT, _PIECE),
            lambda db: alert_store.prune_events(db, session, _PIECE),
            lambda db: chat_store.prune_summaries(db, now - OUTBOX_KEPT, _PIECE),
        )
        for prune in pieces:
            deleted = _PIECE
            while deleted == _PIECE:
                deleted = await run(prune)
        await run(lambda db: outbox.release_delayed(db, now))
        for statement in await run(analyses):
            await run(methodcaller("execute", statement))
        self._pruned_at = now

    def schedule(self, application: Application[Any, Any, Any, Any, Any, Any]) -> None:
        """Schedule each job on its own, so that a slow source, backup or queue delays no other.

        What is due is a query, so a skipped or merged tick loses nothing.
        """
        queue = application.job_queue
        if queue is None:
            raise RuntimeError("python-telegram-bot was installed without its job-queue extra")
        jobs: dict[str, Callable[[], Coroutine[Any, Any, object]]] = {
            "sources": self.ask_sources,
            "jobs": self.run_jobs,
            "heartbeat": self.call_heartbeat,
            "edits": self.edit_messages,
            "backup": partial(self._run_safely, self._backups.run),
        }
        for name, job in jobs.items():
            queue.run_repeating(
                partial(_as_callback, self.work, job),
                TICK_SECONDS,
                first=_FIRST_BACKUP_SECONDS if name == "backup" else FIRST_SECONDS,
                name=name,
                job_kwargs={"misfire_grace_time": _GRACE_SECONDS, "coalesce": True, "max_instances": 1},
            )
        late: dict[str, Any] = {"misfire_grace_time": None}
        queue.run_once(partial(_as_callback, self.sending, self.send), 0, name="send", job_kwargs=late)


async def _as_callback(work: RunningWork, job: Callable[[], Coroutine[Any, Any, object]], context: object) -> None:
    """Run a job as a callback of the job queue, which logs a traceback for one that is cancelled."""
    del context
    await work.run(job())


class Heartbeat:
    """Calls the address of [heartbeat] when it is due and the last tick succeeded."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._well_at: dt.datetime | None = None  # when the last tick ended, if it succeeded
        self._called_at: dt.datetime | None = None

    def record_tick(self, *, well: bool) -> None:
        """Record whether the tick that has just ended succeeded."""
        self._well_at = self._services.clock() if well else None

    async def run(self) -> bool:
        """Call the address if it is due. Returns whether the call succeeded; a failure is logged."""
        config, now = self._services.config, self._services.clock()
        is_well = self._well_at is not None and abs(now - self._well_at) <= _FRESH
        pause = dt.timedelta(minutes=config.heartbeat.minutes)
        # A clock that was put back makes it due.
        is_due = self._called_at is None or not self._called_at <= now < self._called_at + pause
        if not (config.heartbeat.url and is_well and is_due):
            return False
        self._called_at = now
        url = config.heartbeat.url.get_secret_value()
        if error := await _call(url):
            _log.warning("the heartbeat was not accepted by %s (%s)", urlsplit(url).hostname, error)
        return not error


async def _call(url: str) -> str:
    """Call the address. Returns an empty string, or the error without the address in it.

    Only the head of the response is read.
    """
    client = httpx.AsyncClient(timeout=HEARTBEAT_TIMEOUT, follow_redirects=True)
    try:
        async with client, client.stream("GET", url) as response:
            return "" if response.is_success else f"HTTP {response.status_code}"
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return type(error).__name__
