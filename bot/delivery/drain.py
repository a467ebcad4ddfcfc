"""Draining the outbox: send what is due and write the new statuses, for several chats at a time.

A message waits for its slot in the send budget as it was queued, and is committed as `sending` right before
its request. Its new status is kept in memory until it is written. If the process dies first, the message
stays `sending`, which `recover` treats as an unknown outcome at the next start. So a crash costs at most the
requests that were under way. Each part of a long message is a request of its own: what was delivered is
recorded before the next part waits for its slot, so that neither a failure nor a crash sends it again.
"""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from telegram.error import TelegramError
from telegram.ext import ExtBot

from bot.delivery.outcome import DrainReport, ErrorClass, StatusWrites
from bot.delivery.rate_limiter import NOTICE, PUSH_PATIENCE, SendPostponed, Slot
from bot.delivery.send import PAUSE_REASONS, PRIORITIES, RateLimits, Sender, SendingMarks
from storage import outbox
from storage.database import Database, DatabaseBroken, DatabaseMissing, DiskFault, DiskFull, StorageError
from storage.outbox import OutboxMessage, ReadyMessage
from storage.records import not_earlier, parse_instant

logger = logging.getLogger(__name__)

OVER_AFTER = timedelta(minutes=10)  # without a fault, after which the next one is another outage
_LASTING = (DatabaseBroken, DatabaseMissing)
_WAITS = "Nothing is lost: what is due waits, and the bot tries again twice a minute."
_STAYS = "This does not pass by itself: stop the bot, put the newest backup back with “restore”, start it."


class OutageNotifier:
    """Tells the owner once an outage that the database cannot be used.

    The message is sent at once, because the outbox is in the database.
    """

    def __init__(self, bot: ExtBot[Any], owner: int | None, now: Callable[[], datetime]) -> None:
        self._bot, self._owner, self._now = bot, owner, now
        self._last_fault: datetime | None = None
        self._notified = False

    async def notify(self, error: Exception) -> None:
        """Notify the owner of a fault of the disk or the file. Other errors are ignored."""
        if self._owner is None or not isinstance(error, (DiskFull, DiskFault, *_LASTING)):
            return
        now, last = self._now(), self._last_fault
        self._last_fault = now
        if self._notified and last is not None and last <= now < last + OVER_AFTER:
            return
        self._notified = True
        advice = _STAYS if isinstance(error, _LASTING) else _WAITS
        try:
            await self._bot.send_message(self._owner, f"{error} {advice}", rate_limit_args=NOTICE)
        except TelegramError as refusal:
            self._notified = False  # the next fault tries again
            logger.warning("the owner was not told that the database cannot be used: %s", type(refusal).__name__)


MAX_REQUESTS = 16  # at a time: enough for 29 messages a second at half a second each
RECHECK_SECONDS = 2.0  # after which a free slot looks for messages again while other requests run
SHORTEST_PAUSE, LONGEST_PAUSE = 0.02, 30.0  # seconds between two searches for messages
REPEAT_DELAY = timedelta(seconds=30)


class Delivery:
    """Sends the messages of the outbox through `bot`.

    now          the clock, aware UTC
    owner        the chat that is told of messages given up
    only_chat    send messages of this chat only
    except_chat  send no messages of this chat
    jitter       returns numbers in [0, 1)
    """

    def __init__(
        self,
        bot: ExtBot[Any],
        database: Database,
        *,
        now: Callable[[], datetime],
        owner: int | None = None,
        only_chat: int | None = None,
        except_chat: int | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.bot, self._database, self._now = bot, database, now
        self._chats: dict[str, Any] = {"only_chat": only_chat, "except_chat": except_chat}
        self._status_writes = StatusWrites(database)
        self._rate_limits = RateLimits(bot, database, now)
        self._sender = Sender(bot, self._status_writes, self._rate_limits.budget, now=now, owner=owner, jitter=jitter)
        self._marks = SendingMarks(database, now, self._keep_unsent)
        self.outage_notifier = OutageNotifier(bot, owner, now)
        self._draining = asyncio.Lock()
        self._wake_up = asyncio.Event()
        self._statuses: dict[int, str] = {}
        self._waiting: set[asyncio.Task[Any]] = set()  # for a slot
        self._closing = False

    def serves(self, chat_id: int) -> bool:
        """Whether messages of a chat are sent by this delivery."""
        only, others = self._chats["only_chat"], self._chats["except_chat"]
        return chat_id != others and only in (None, chat_id)

    async def is_idle(self) -> bool:
        """Whether nothing that it sends may be sent now."""
        find = partial(outbox.find_ready, now=not_earlier(self._now()), limit=1, **self._chats)
        return not await self._database.run(find)

    @property
    def stopped(self) -> str:
        """Returns why nothing can be sent now, or an empty string."""
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
            if await self._may_send():
                await self._send_due()
            return DrainReport(**Counter(filter(None, self._statuses.values())), stopped=self.stopped)

    async def keep_sending(self, on_error: Callable[[Exception], Awaitable[object]]) -> None:
        """Drain until stop(): when woken, when a message becomes due, and twice a minute.

        `on_error` is called with what a drain raises.
        """
        while not self._closing:
            pause = LONGEST_PAUSE
            self._wake_up.clear()
            try:
                stopped = (await self.drain()).stopped
                if not stopped:
                    pause = await self._seconds_until_due()
            except Exception as error:  # noqa: BLE001 - whatever it was, the next drain must come
                await on_error(error)
            with suppress(TimeoutError):
                # The drain clears the signal that stop() may have set meanwhile.
                async with asyncio.timeout(0 if self._closing else pause):
                    await self._wake_up.wait()

    def wake(self) -> None:
        """Look for messages at once, after something was queued."""
        self._wake_up.set()

    async def stop(self) -> None:
        """Begin no request, and return when those under way are settled. What waits to begin stays queued."""
        self._closing = True
        for task in self._waiting:
            task.cancel()
        self.wake()
        async with self._draining:
            await self._status_writes.flush()

    async def _may_send(self, delay: timedelta = timedelta(0)) -> bool:
        """Whether to send: after a pause, and before a repeat, getMe must have answered.

        Repeats then wait for `delay`, so that what has just failed is not tried again at once.
        """
        if not self._sender.paused_by and not await self._database.run(outbox.has_ambiguous, plain=True):
            return True
        if await self._sender.check_connection():
            await self._database.run(partial(outbox.requeue_ambiguous, not_before=self._now() + delay))
        return self._sender.paused_by is None

    async def _send_due(self) -> None:
        """Send until nothing is due. While sending is paused, finish what runs and ask getMe."""
        running: dict[asyncio.Task[None], int] = {}  # with its chat
        faults: list[BaseException] = []
        try:
            while True:
                self._wake_up.clear()
                if not (self._sender.paused_by or self._closing or faults):
                    try:
                        # A chat has one message under way, so that its order is kept.
                        for message in await self._find_ready(MAX_REQUESTS - len(running), running.values()):
                            running[asyncio.create_task(self._deliver(message))] = message.chat_id
                    except StorageError as error:
                        faults.append(error)
                if running:
                    faults += await self._wait_for_requests(running)
                elif faults:
                    raise faults[0]
                elif not await self._wait_for_more():
                    return
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _wait_for_requests(self, running: dict[asyncio.Task[None], int]) -> list[BaseException]:
        """Wait until a request is settled or a free slot may find a message. Returns errors of requests."""
        full = len(running) >= MAX_REQUESTS or self._sender.paused_by
        waits = self._rate_limits.budget.chat_waits().values()
        await self._wait(running, None if full else min([RECHECK_SECONDS, *waits]))
        done = [task for task in running if task.done()]
        for task in done:
            del running[task]
        return [fault for task in done if not task.cancelled() and (fault := task.exception())]

    async def _wait_for_more(self) -> bool:
        """Wait shortly for the rate limits, and return whether there may be more to send."""
        if self._closing:
            return False
        if self._sender.paused_by:
            return await self._may_send(REPEAT_DELAY)
        seconds = await self._seconds_until_allowed()
        if seconds is None or seconds > PUSH_PATIENCE:
            return False
        pause = asyncio.ensure_future(self._rate_limits.budget.sleep(max(seconds, SHORTEST_PAUSE)))
        try:
            await self._wait({pause})
        finally:
            pause.cancel()
        return True

    async def _wait(self, futures: Iterable[asyncio.Future[Any]], seconds: float | None = None) -> None:
        """Wait until one of the futures is done, the delivery is woken or the time is over."""
        waking = asyncio.ensure_future(self._wake_up.wait())
        try:
            await asyncio.wait({*futures, waking}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waking.cancel()

    async def _seconds_until_allowed(self) -> float | None:
        """Returns the seconds until a message that is due may be sent, or None when none is due."""
        if halted := self._rate_limits.budget.halted():
            return halted
        waits = self._rate_limits.budget.chat_waits()
        # One more than those that wait: if there is another, it is among them.
        find = partial(outbox.find_ready, now=not_earlier(self._now()), limit=len(waits) + 1, **self._chats)
        ready = await self._database.run(find)
        return min((waits.get(message.chat_id, 0.0) for message in ready), default=None)

    async def _seconds_until_due(self) -> float:
        """Returns the seconds until a drain will find something to send, LONGEST_PAUSE at most."""
        allowed = await self._seconds_until_allowed()
        if allowed is not None:
            return min(max(allowed, SHORTEST_PAUSE), LONGEST_PAUSE)
        due = await self._database.run(partial(outbox.next_due, **self._chats))
        # Only the budget knows the end of a halt to the fraction of a second.
        waits = [LONGEST_PAUSE, *self._rate_limits.budget.chat_waits().values()]
        if due:
            waits.append((parse_instant(due) - self._now()).total_seconds())
        return max(min(waits), SHORTEST_PAUSE)

    async def _find_ready(self, limit: int, busy: Collection[int]) -> list[ReadyMessage]:
        """Returns messages to chats that are not `busy`, none during a halt of all chats."""
        if self._rate_limits.budget.halted() or limit <= 0:
            return []
        resting = [*self._rate_limits.budget.chat_waits(), *busy]
        now = not_earlier(self._now())
        find = partial(outbox.find_ready, now=now, limit=limit, resting=resting, **self._chats)
        return await self._database.run(find)

    async def _deliver(self, message: ReadyMessage) -> None:
        """Make a message's requests one after the other, each when it has a slot and the row is marked."""
        until = self._sender.repeat_after.pop(message.id, None)
        if until is not None and until > self._now():
            postpone = partial(outbox.postpone, message=message.id, not_before=until)
            self._statuses[message.id] = await self._status_writes.write(postpone)
            return
        conceded, goes_on = set[ErrorClass](), True
        while goes_on and not self._closing:
            try:
                slot = await self._wait_for_slot(message)
            except SendPostponed:
                return
            if self._sender.paused_by or self._closing:
                return
            row = await self._marks.mark(message)
            if row is None:
                return
            status_write, goes_on = await self._sender.send_part(row, slot, conceded)
            self._statuses[row.id] = await self._status_writes.write(status_write)

    async def _wait_for_slot(self, message: ReadyMessage) -> Slot:
        """Wait until the rate limits allow a request. Raises SendPostponed if that takes too long."""
        acquire = self._rate_limits.budget.acquire(message.chat_id, PRIORITIES[message.kind])
        self._waiting.add(waiting := asyncio.create_task(acquire))
        try:
            return await waiting
        finally:
            self._waiting.discard(waiting)

    def _keep_unsent(self, message: OutboxMessage) -> None:
        self._status_writes.keep(self._sender.give_back(message))
