"""Draining the outbox: claim a message, send it, write its new status; several chats at a time.

A message is committed as `sending` before its request. Its new status is kept in memory until it is written.
A process that dies first leaves the message `sending`, which `recover` treats as an unknown outcome at the
next start. One message may have several parts: each that arrived is noted before the next is sent, so that
neither a failure nor a crash sends it again.

Telling the owner that the database cannot be used: sent at once, because the outbox is in it.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from telegram.error import TelegramError

from bot.delivery.outcome import DrainReport, StatusWrites
from bot.delivery.rate_limiter import NOTICE, PUSH_PATIENCE
from bot.delivery.send import PAUSE_REASONS, RateLimitState, Sender
from storage import outbox
from storage.connection import DatabaseBroken, DatabaseMissing, DiskFault, DiskFull, StorageError
from storage.rows import moment

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from telegram.ext import ExtBot

    from storage.db import Database
    from storage.outbox import OutboxMessage


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


SLOTS = 16  # requests at a time: enough for 29 messages a second at half a second each
GLANCE = 2.0  # seconds after which a slot that is free looks for work again while others are busy
SHORTEST_PAUSE, LONGEST_PAUSE = 0.02, 30.0  # seconds between two looks for work
REPEAT_REST = timedelta(seconds=30)


class Delivery:
    """Sends what the outbox holds through `bot`, whose rate limiter is a SendBudget.

    now: the clock, aware UTC. owner: the chat told of messages given up. only: serve
    this chat and leave the others' messages waiting (the terminal); besides: leave this
    one's. jitter: numbers in [0, 1).
    """

    def __init__(
        self,
        bot: ExtBot[Any],
        database: Database,
        *,
        now: Callable[[], datetime],
        owner: int | None = None,
        only: int | None = None,
        besides: int | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._database, self._now = database, now
        self._whose: dict[str, Any] = {"only": only, "besides": besides}
        self._status_writes = StatusWrites(database)
        self._rate_limits = RateLimitState(bot, database, now)
        self._sender = Sender(
            bot, self._status_writes, self._rate_limits, now=now, owner=owner, jitter=jitter
        )
        self.outage = OutageNotifier(bot, owner, now)
        self._draining = asyncio.Lock()
        self._wake_up = asyncio.Event()
        self._statuses: dict[int, str] = {}
        self._closing = False

    @property
    def stopped(self) -> str:
        """Why nothing can be sent now, "" while all is well."""
        paused_by = self._sender.paused_by
        return PAUSE_REASONS[paused_by] if paused_by else ""

    async def recover(self) -> int:
        """At start, treat what a crash left `sending` as an unknown outcome. Returns how many messages."""
        await self._database.run(partial(outbox.release_delayed, now=self._now()))
        await self._rate_limits.restore()
        return await self._database.run(partial(outbox.mark_interrupted, now=self._now()))

    async def drain(self) -> DrainReport:
        """Send all that is due. Raises StorageError when the database cannot be written; nothing is lost."""
        async with self._draining:
            self._statuses = {}
            await self._status_writes.flush()
            await self._rate_limits.restore()
            if await self._is_sure():
                await self._empty()
            return DrainReport(**Counter(self._statuses.values()), stopped=self.stopped)

    async def keep_sending(self, failed: Callable[[Exception], Awaitable[object]]) -> None:
        """Drain again and again until stop(): when woken, when something falls due, twice a minute.

        `failed` is told of what a drain raises.
        """
        while not self._closing:
            pause = LONGEST_PAUSE
            self._wake_up.clear()
            try:
                stopped = (await self.drain()).stopped
                if not stopped:
                    pause = await self._until_due()
            except Exception as error:  # noqa: BLE001 - whatever it was, the next drain must come
                await failed(error)
            with suppress(TimeoutError):
                # The drain clears the signal that stop() may have set meanwhile.
                async with asyncio.timeout(0 if self._closing else pause):
                    await self._wake_up.wait()

    def wake(self) -> None:
        """Something was queued: what waits in drain or keep_sending looks at once."""
        self._wake_up.set()

    async def stop(self) -> None:
        """Claim nothing more; return when the requests under way are settled."""
        self._closing = True
        self.wake()
        async with self._draining:
            await self._status_writes.flush()

    async def _is_sure(self, rest: timedelta = timedelta(0)) -> bool:
        """Whether to send: after a pause, and before a repeat, getMe must have answered.

        Repeats then wait for `rest`: what has just failed is not tried again in the same breath.
        """
        counts = await self._database.run(outbox.count_by_status)
        if not self._sender.paused_by and not counts.get("ambiguous"):
            return True
        if await self._sender.answers():
            await self._database.run(partial(outbox.requeue_ambiguous, not_before=self._now() + rest))
        return self._sender.paused_by is None

    async def _empty(self) -> None:
        """Claim and send until nothing is due. While sending is paused, finish, and ask getMe."""
        running: set[asyncio.Task[None]] = set()
        faults: list[BaseException] = []
        try:
            while True:
                self._wake_up.clear()
                if not (self._sender.paused_by or self._closing or faults):
                    try:
                        self._start(await self._claim(SLOTS - len(running)), running)
                    except StorageError as error:
                        faults.append(error)
                if running:
                    faults += await self._one_done(running)
                elif faults:
                    raise faults[0]
                elif not await self._goes_on():
                    return
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _one_done(self, running: set[asyncio.Task[None]]) -> list[BaseException]:
        """Wait until a request is settled, or a free slot may find work; faults of what was settled."""
        full = len(running) >= SLOTS or self._sender.paused_by
        soonest = None if full else min([GLANCE, *self._rate_limits.resting().values()])
        waking = asyncio.ensure_future(self._wake_up.wait())
        try:
            await asyncio.wait({*running, waking}, timeout=soonest, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waking.cancel()
        done = {task for task in running if task.done()}
        running -= done
        return [fault for task in done if (fault := task.exception())]

    async def _rest(self, seconds: float) -> None:
        """Sleep by the budget's clock, or until something is queued."""
        waits = [
            asyncio.ensure_future(wait) for wait in (self._wake_up.wait(), self._rate_limits.sleep(seconds))
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _goes_on(self) -> bool:
        """Wait shortly for the rate limit, with nothing under way, and return whether there is more to do."""
        if self._closing:
            return False
        if self._sender.paused_by:
            return await self._is_sure(REPEAT_REST)
        wait = await self._until_allowed()
        if wait is None or wait > PUSH_PATIENCE:
            return False
        await self._rest(max(wait, SHORTEST_PAUSE))
        return True

    async def _until_allowed(self) -> float | None:
        """Seconds until a message that is due may be sent; None when none is due."""
        if halted := self._rate_limits.halted():
            return halted
        ready = await self._database.run(partial(outbox.ready_chats, now=self._latest(), **self._whose))
        resting = self._rate_limits.resting()
        return min(resting.get(chat, 0.0) for chat in ready) if ready else None

    async def _until_due(self) -> float:
        """Seconds until a drain will find something to send, LONGEST_PAUSE at most."""
        allowed = await self._until_allowed()
        if allowed is not None:
            return min(max(allowed, SHORTEST_PAUSE), LONGEST_PAUSE)
        due = await self._database.run(partial(outbox.next_due, **self._whose))
        waits = [
            LONGEST_PAUSE,
            *self._rate_limits.resting().values(),
        ]  # a halt's end, to the fraction of a second
        if due:
            waits.append((moment(due) - self._now()).total_seconds())
        return max(min(waits), SHORTEST_PAUSE)

    async def _claim(self, limit: int) -> list[OutboxMessage]:
        """Rows now `sending`; a cancelled drain gives them back. None while everybody is halted."""
        if self._rate_limits.halted() or limit <= 0:
            return []
        claim = partial(
            outbox.claim,
            now=self._latest(),
            limit=limit,
            resting=[*self._rate_limits.resting()],
            **self._whose,
        )
        claiming = asyncio.ensure_future(self._database.run(claim))
        try:
            return await asyncio.shield(claiming)
        except asyncio.CancelledError:
            for message in await claiming:
                self._status_writes.keep(self._sender.untouched(message))
            raise

    def _latest(self) -> datetime:
        """The end of this second: rows hold whole ones, and the budget knows a halt's end to the fraction."""
        now = self._now()
        return now.replace(microsecond=0) + timedelta(seconds=1) if now.microsecond else now

    def _start(self, messages: list[OutboxMessage], running: set[asyncio.Task[None]]) -> None:
        """Start a task for each message; a chat has one message under way, so its order is kept."""
        for message in messages:
            running.add(asyncio.create_task(self._deliver(message)))

    async def _deliver(self, message: OutboxMessage) -> None:
        held_back = self._sender.paused_by or self._closing
        step = self._sender.untouched(message) if held_back else await self._sender.attempt(message)
        self._statuses[message.id] = await self._status_writes.write(step)
