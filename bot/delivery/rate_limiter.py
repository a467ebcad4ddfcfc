"""The send budget: the rate limits for everything the bot sends, replies first, then alerts, then summaries.

Limits: https://core.telegram.org/bots/faq. python-telegram-bot's own AIORateLimiter sends during a halt and
has no limit per private chat. All times are seconds of a monotonic clock.
"""

import asyncio
import itertools
import math
import os
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeAlias

from telegram.error import RetryAfter
from telegram.ext import BaseRateLimiter

ChatId: TypeAlias = int | str
REPLY, ALERT, NOTICE, SUMMARY, PICTURE = 0, 1, 2, 3, 4  # `rate_limit_args`; none given is REPLY
CHAT_RATE, CHAT_BURST = 1.0, 3  # messages a second to one chat, and how many may go at once
GROUP_LIMIT = (20, 60.0)  # messages to one group in any so many seconds
OVERALL_LIMIT = (29, 1.0)  # the server allows 30, and counts them as they arrive
MAX_CHATS = 128


class LeakyBucket:
    """A steady rate with bursts: at most `burst + rate * t` messages in any t seconds."""

    def __init__(self, rate: float, burst: int) -> None:
        self._interval, self._slack = 1 / rate, (burst - 1) / rate
        self._empty_at = -math.inf  # when the bucket will be empty

    def ready_at(self, now: float) -> float:
        """Returns when the next message may be sent, `now` or later."""
        return max(now, self._empty_at - self._slack)

    def record(self, now: float) -> None:
        """Count one message sent now."""
        self._empty_at = max(self._empty_at, now) + self._interval

    def move(self, granted_at: float, now: float) -> None:
        """Count the message that was recorded at `granted_at` as sent now."""
        self._empty_at += now - granted_at

    def is_idle(self, now: float) -> bool:
        """Whether past messages no longer limit new ones."""
        return self._empty_at <= now


class SlidingWindow:
    """At most `count` messages in any `seconds`."""

    def __init__(self, count: int, seconds: float) -> None:
        self._seconds = seconds
        self._taken: deque[float] = deque(maxlen=count)

    def ready_at(self, now: float) -> float:
        """Returns when the next message may be sent, `now` or later."""
        full = len(self._taken) == self._taken.maxlen
        return max(now, self._taken[0] + self._seconds) if full else now

    def record(self, now: float) -> None:
        """Count one message sent now."""
        self._taken.append(now)

    def move(self, granted_at: float, now: float) -> None:
        """Count the message that was recorded at `granted_at` as sent now."""
        if granted_at in self._taken:
            self._taken.remove(granted_at)
            self._taken.append(now)

    def is_idle(self, now: float) -> bool:
        """Whether past messages no longer limit new ones."""
        return not self._taken or self._taken[-1] + self._seconds <= now


@dataclass(frozen=True)
class Slot:
    """One request that the budget has granted. As `rate_limit_args` it is made without waiting again."""

    chat: ChatId
    granted_at: float


@dataclass
class Budget:
    """The limits of all chats, with the time as an argument. The id of a group is negative or a @name."""

    overall: SlidingWindow = field(default_factory=lambda: SlidingWindow(*OVERALL_LIMIT))
    _chats: dict[ChatId, LeakyBucket] = field(default_factory=dict)
    _groups: dict[ChatId, SlidingWindow] = field(default_factory=dict)
    _halts: dict[ChatId | None, float] = field(default_factory=dict)  # None: of all chats

    def ready_at(self, chat: ChatId, now: float) -> float:
        """Returns when a message to the chat may be sent by the chat's own limits and halt."""
        return max([now, self.halted_until(chat), *(limit.ready_at(now) for limit in self._limits(chat))])

    def _limits(self, chat: ChatId) -> list[LeakyBucket | SlidingWindow]:
        return [limit for limit in (self._chats.get(chat), self._groups.get(chat)) if limit]

    def record(self, chat: ChatId, now: float) -> None:
        """Count a message sent to the chat now."""
        if len(self._chats) > MAX_CHATS:
            self._chats = {chat: rate for chat, rate in self._chats.items() if not rate.is_idle(now)}
            self._groups = {chat: window for chat, window in self._groups.items() if not window.is_idle(now)}
            self._halts = {chat: until for chat, until in self._halts.items() if until > now}
        self.overall.record(now)
        self._chats.setdefault(chat, LeakyBucket(CHAT_RATE, CHAT_BURST)).record(now)
        if isinstance(chat, str) or chat < 0:
            self._groups.setdefault(chat, SlidingWindow(*GROUP_LIMIT)).record(now)

    def move(self, slot: Slot, now: float) -> None:
        """Count a message as sent now, when its request is made, in place of when its slot was granted."""
        for limit in (self.overall, *self._limits(slot.chat)):
            limit.move(slot.granted_at, now)

    def chat_waits(self, now: float) -> dict[ChatId, float]:
        """Returns the chats that must wait by their own limits or halt, with the seconds."""
        chats = {chat for chat, limit in self._chats.items() if limit.ready_at(now) > now}
        chats |= {chat for chat, limit in self._groups.items() if limit.ready_at(now) > now}
        chats |= {chat for chat, end in self._halts.items() if chat is not None and end > now}
        return {chat: self.ready_at(chat, now) - now for chat in chats}

    def halt_after_429(self, chat: ChatId, seconds: float, now: float) -> None:
        """Halt a chat. A second chat's 429 during a halt halts all chats."""
        if any(other not in (chat, None) and end > now for other, end in self._halts.items()):
            self.halt(None, now + seconds)
        self.halt(chat, now + seconds)

    def halt(self, chat: ChatId | None, until: float) -> None:
        """Send nothing to the chat (None: to any) before `until`."""
        self._halts[chat] = max(until, self._halts.get(chat, until))

    def halted_until(self, chat: ChatId | None = None) -> float:
        """Returns the end of the halt of a chat (None: of all chats), or minus infinity if there was none."""
        return max(self._halts.get(key, -math.inf) for key in (chat, None))


# Without it, python-telegram-bot warns of each RetryAfter that is created or read.
os.environ.setdefault("PTB_TIMEDELTA", "true")

COUNTED = ("send", "edit", "copy", "forward")  # prefixes of the methods that count; a chat action does not
VISIBLE = (*COUNTED, "answer")  # prefixes of the methods whose effect people see: none during a halt
REPLY_PATIENCE = 60.0  # seconds; a later answer is of no use
PUSH_PATIENCE = 3.0  # seconds; a push that must wait longer goes back to the outbox
REPLY_TRIES = 3

OnHalt: TypeAlias = "Callable[[ChatId, float], Awaitable[None]]"


class SendPostponed(RetryAfter):
    """The request was not made, because it would have had to wait too long."""


@dataclass(eq=False)
class _Waiter:
    priority: int
    serial: int
    chat: ChatId
    latest: float
    turn: asyncio.Future[float]


class SendBudget(BaseRateLimiter["int | Slot"]):
    """The rate limiter that python-telegram-bot calls for each request.

    It delays a request until the limits allow it, by priority and then in order of arrival. A 429 halts its
    chat, whatever the method. Replies wait for the end of a halt if it is near, and are sent again. Pushes
    (all others) raise RetryAfter. A request that would have to wait longer than its patience
    raises SendPostponed. `on_halt` is called for each 429 except those of pushes, which the outbox handles.
    Messages of the outbox acquire a Slot before they are marked as being sent.
    """

    def __init__(
        self,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self.budget = Budget()
        self.on_halt: OnHalt | None = None
        self._monotonic, self.sleep = monotonic, sleep
        self._serial = itertools.count()
        self._waiters: list[_Waiter] = []
        self._timer: asyncio.Task[None] | None = None

    async def initialize(self) -> None:
        """Do nothing: there is nothing to prepare."""

    async def shutdown(self) -> None:
        """Cancel all waiting messages."""
        for waiter in self._waiters:
            waiter.turn.cancel()
        self._waiters.clear()
        if self._timer:
            self._timer.cancel()
            with suppress(asyncio.CancelledError):
                await self._timer

    def restore(self, chat: ChatId | None, seconds: float) -> None:
        """Continue a halt of an earlier process, of a chat or (None) of all, for its remaining seconds."""
        self.budget.halt(chat, self._monotonic() + seconds)

    def chat_waits(self) -> dict[ChatId, float]:
        """Returns the chats that must wait by their own limits or halt, with the seconds."""
        return self.budget.chat_waits(self._monotonic())

    def halted(self) -> float:
        """Returns the remaining seconds of a halt of all chats, 0 if there is none."""
        return max(self.budget.halted_until() - self._monotonic(), 0.0)

    async def process_request(
        self,
        callback: Callable[..., Coroutine[Any, Any, Any]],
        args: Any,  # noqa: ANN401 - the signature of BaseRateLimiter
        kwargs: dict[str, Any],
        endpoint: str,
        data: dict[str, Any],
        rate_limit_args: int | Slot | None,
    ) -> Any:  # noqa: ANN401 - as above
        """Make the request when the budget allows it."""
        slot = rate_limit_args if isinstance(rate_limit_args, Slot) else None
        chat: ChatId | None = data.get("chat_id")
        if isinstance(chat, str) and chat.lstrip("-").isdigit():
            chat = int(chat)
        counts = chat is not None and endpoint.startswith(COUNTED) and endpoint != "sendChatAction"
        priority = rate_limit_args if isinstance(rate_limit_args, int) and counts else REPLY
        is_reply = priority == REPLY and slot is None
        for last in (*[False] * (REPLY_TRIES - 1), True):
            wait = self.budget.halted_until(chat) - self._monotonic()
            if chat is not None and counts and slot is None:
                await self.acquire(chat, priority)
            elif wait > 0 and endpoint.startswith(VISIBLE):
                raise SendPostponed(timedelta(seconds=math.ceil(wait)))
            if slot is not None:
                self.budget.move(slot, self._monotonic())
            try:
                return await callback(*args, **kwargs)
            except RetryAfter as error:
                if chat is not None:
                    self.budget.halt_after_429(chat, seconds_of(error), self._monotonic())
                    if is_reply and self.on_halt is not None:
                        await self.on_halt(chat, seconds_of(error))
                if last or not is_reply or not counts:
                    raise
        raise AssertionError("the last try returns or raises")

    async def acquire(self, chat: ChatId, priority: int) -> Slot:
        """Wait until a message may be sent to the chat. Raises SendPostponed if that takes too long."""
        patience = REPLY_PATIENCE if priority == REPLY else PUSH_PATIENCE
        turn = asyncio.get_running_loop().create_future()
        latest = self._monotonic() + patience
        waiter = _Waiter(priority, next(self._serial), chat, latest, turn)
        self._waiters.append(waiter)
        self._waiters.sort(key=lambda w: (w.priority, w.serial))
        wait = self._release()
        if wait is not None:  # sleep again, because this message may be due before those that wait already
            if self._timer:
                self._timer.cancel()
            self._timer = asyncio.create_task(self._release_after(wait))
        try:
            slot = Slot(chat, await turn)
        finally:
            with suppress(ValueError):
                self._waiters.remove(waiter)
        if self.budget.halted_until(chat) > self._monotonic():  # a 429 came after the turn was given
            return await self.acquire(chat, priority)
        return slot

    def _release(self) -> float | None:
        """Give the turn to what may be sent now. Returns the seconds until the next turn, if any waits."""
        now = self._monotonic()
        soonest = math.inf
        for waiter in tuple(self._waiters):
            chat_ready = self.budget.ready_at(waiter.chat, now)
            ready = max(chat_ready, self.budget.overall.ready_at(now))
            if waiter.turn.done():
                self._waiters.remove(waiter)
            elif chat_ready > max(now, waiter.latest):
                self._waiters.remove(waiter)
                waiter.turn.set_exception(SendPostponed(timedelta(seconds=math.ceil(chat_ready - now))))
            elif ready <= now:
                self._waiters.remove(waiter)
                self.budget.record(waiter.chat, now)
                waiter.turn.set_result(now)
            else:
                soonest = min(soonest, ready)
        return soonest - now if self._waiters else None

    async def _release_after(self, wait: float | None) -> None:
        while wait is not None:
            await self.sleep(wait)
            wait = self._release()


def seconds_of(error: RetryAfter) -> float:
    """Returns the seconds that Telegram asks to wait."""
    wait = error.retry_after
    return wait.total_seconds() if isinstance(wait, timedelta) else float(wait)
