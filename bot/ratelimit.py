"""One send budget for everything the bot sends: replies first, alerts next, summaries last.

`Budget` is the arithmetic (time is an argument, in seconds of any monotonic clock), `SendBudget` the
limiter that python-telegram-bot asks before each request. Limits: https://core.telegram.org/bots/faq.

python-telegram-bot's own AIORateLimiter still sends during a halt and knows no limit per private chat.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import os
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

from telegram.error import RetryAfter
from telegram.ext import BaseRateLimiter

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

# Read whenever a RetryAfter is made or asked for its time; without it each of these warns.
os.environ.setdefault("PTB_TIMEDELTA", "true")

ChatId: TypeAlias = int | str
REPLY, ALERT, NOTICE, SUMMARY = 0, 1, 2, 3  # `rate_limit_args`; none given is REPLY
CHAT_RATE, CHAT_BURST = 1.0, 3  # messages a second to one chat, and how many may go at once
GROUP_LIMIT = (20, 60.0)  # messages to one group in any so many seconds
OVERALL_LIMIT = (28, 1.0)  # the server allows about 30
SPENDING = ("send", "edit", "copy", "forward")  # methods that count; a chat action does not
REPLY_PATIENCE = 60.0  # seconds: an answer that comes later answers nobody
PUSH_PATIENCE = 3.0  # seconds: a push that must wait longer goes back to the outbox
REPLY_TRIES = 3
KEPT_CHATS = 1024


class Held(RetryAfter):
    """Not sent: the budget has no room within the sender's patience. Nobody was asked."""


class Rate:
    """A steady rate with bursts: at most `burst + rate * t` in any t seconds."""

    def __init__(self, rate: float, burst: int) -> None:
        self._interval, self._slack = 1 / rate, (burst - 1) / rate
        self._full = -math.inf  # when all that was taken will be worked off

    def ready(self, now: float) -> float:
        """When the next one may go, never before `now`."""
        return max(now, self._full - self._slack)

    def take(self, now: float) -> None:
        """One goes."""
        self._full = max(self._full, now) + self._interval

    def idle(self, now: float) -> bool:
        """Whether nothing of the past limits it any more."""
        return self._full <= now


class Window:
    """At most `count` in any `seconds`."""

    def __init__(self, count: int, seconds: float) -> None:
        self._seconds = seconds
        self._taken: deque[float] = deque(maxlen=count)

    def ready(self, now: float) -> float:
        """When the next one may go, never before `now`."""
        full = len(self._taken) == self._taken.maxlen
        return max(now, self._taken[0] + self._seconds) if full else now

    def take(self, now: float) -> None:
        """One goes."""
        self._taken.append(now)

    def idle(self, now: float) -> bool:
        """Whether nothing of the past limits it any more."""
        return not self._taken or self._taken[-1] + self._seconds <= now


@dataclass
class Budget:
    """What may be sent when. A group's id is negative or a @name; all times are seconds."""

    overall: Window = field(default_factory=lambda: Window(*OVERALL_LIMIT))
    _chats: dict[ChatId, Rate] = field(default_factory=dict)
    _groups: dict[ChatId, Window] = field(default_factory=dict)
    _halts: dict[ChatId, float] = field(default_factory=dict)
    _halt: float = -math.inf

    def ready(self, chat: ChatId, now: float) -> float:
        """When a message to the chat may go as far as this chat's own limits say."""
        limits = [limit for limit in (self._chats.get(chat), self._groups.get(chat)) if limit]
        return max([now, self.halted_until(chat), *(limit.ready(now) for limit in limits)])

    def take(self, chat: ChatId, now: float) -> None:
        """A message to the chat goes now."""
        self._tidy(now)
        self.overall.take(now)
        self._chats.setdefault(chat, Rate(CHAT_RATE, CHAT_BURST)).take(now)
        if _is_group(chat):
            self._groups.setdefault(chat, Window(*GROUP_LIMIT)).take(now)

    def halt(self, chat: ChatId, seconds: float, now: float) -> None:
        """The server said 429 for this chat; a second chat's 429 during a halt halts all."""
        until = now + seconds
        if any(other != chat and end > now for other, end in self._halts.items()):
            self._halt = max(self._halt, until)
        self._halts[chat] = max(until, self._halts.get(chat, until))

    def halted_until(self, chat: ChatId) -> float:
        """End of the halt that concerns the chat; long past when there is none."""
        return max(self._halt, self._halts.get(chat, -math.inf))

    def _tidy(self, now: float) -> None:
        """Forget chats that nothing limits any more, once there are many."""
        if len(self._chats) > KEPT_CHATS:
            self._chats = {chat: rate for chat, rate in self._chats.items() if not rate.idle(now)}
            self._groups = {chat: window for chat, window in self._groups.items() if not window.idle(now)}
            self._halts = {chat: until for chat, until in self._halts.items() if until > now}


@dataclass(eq=False)
class _Waiter:
    """One message that waits for its turn."""

    priority: int
    serial: int
    chat: ChatId
    latest: float
    turn: asyncio.Future[None]


class SendBudget(BaseRateLimiter[int]):
    """The limiter of every request: waits for room, best priority first, in order within a priority.

    A 429 halts its chat. Replies wait for the end of a halt if that is near and are sent again; pushes
    (ALERT, NOTICE, SUMMARY) raise RetryAfter, as does whatever would have to wait beyond its patience.
    """

    def __init__(
        self,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self.budget = Budget()
        self._monotonic, self._sleep = monotonic, sleep
        self._serial = itertools.count()
        self._waiters: list[_Waiter] = []
        self._pump: asyncio.Task[None] | None = None

    async def initialize(self) -> None:
        """Nothing to prepare."""

    async def shutdown(self) -> None:
        """Stop handing out turns; what still waits is cancelled."""
        for waiter in self._waiters:
            waiter.turn.cancel()
        self._waiters.clear()
        if self._pump:
            self._pump.cancel()
            with suppress(asyncio.CancelledError):
                await self._pump

    async def process_request(
        self,
        callback: Callable[..., Coroutine[Any, Any, Any]],
        args: Any,  # noqa: ANN401 - the signature of BaseRateLimiter
        kwargs: dict[str, Any],
        endpoint: str,
        data: dict[str, Any],
        rate_limit_args: int | None,
    ) -> Any:  # noqa: ANN401 - as above
        """Result of the request; RetryAfter (Held, when it was not even made) as the class describes."""
        chat = _chat_of(data)
        if chat is None or not endpoint.startswith(SPENDING) or endpoint == "sendChatAction":
            return await callback(*args, **kwargs)
        priority = rate_limit_args or REPLY
        for last in (*[False] * (REPLY_TRIES - 1), True):
            await self._turn(chat, priority)
            try:
                return await callback(*args, **kwargs)
            except RetryAfter as error:
                self.budget.halt(chat, seconds_of(error), self._monotonic())
                if last or priority != REPLY:
                    raise
        raise AssertionError("the last try returns or raises")

    async def _turn(self, chat: ChatId, priority: int) -> None:
        """Return when the message may go; Held when that is too far off."""
        patience = REPLY_PATIENCE if priority == REPLY else PUSH_PATIENCE
        turn = asyncio.get_running_loop().create_future()
        latest = self._monotonic() + patience
        waiter = _Waiter(priority, next(self._serial), chat, latest, turn)
        self._waiters.append(waiter)
        self._waiters.sort(key=lambda w: (w.priority, w.serial))
        wait = self._hand_out()
        if wait is not None:
            self._restart(wait)
        try:
            await turn
        finally:
            with suppress(ValueError):
                self._waiters.remove(waiter)

    def _hand_out(self) -> float | None:
        """Give a turn to all that may go now; seconds until the next can, None when nobody waits."""
        now = self._monotonic()
        soonest = math.inf
        for waiter in tuple(self._waiters):
            own, room = self.budget.ready(waiter.chat, now), self.budget.overall.ready(now)
            if waiter.turn.done():
                self._waiters.remove(waiter)
            elif own > max(now, waiter.latest):
                self._waiters.remove(waiter)
                waiter.turn.set_exception(Held(timedelta(seconds=math.ceil(own - now))))
            elif max(own, room) <= now:
                self._waiters.remove(waiter)
                self.budget.take(waiter.chat, now)
                waiter.turn.set_result(None)
            else:
                soonest = min(soonest, max(own, room))
        return soonest - now if self._waiters else None

    def _restart(self, wait: float) -> None:
        """Sleep anew: a newcomer may be due before those that waited already."""
        if self._pump:
            self._pump.cancel()
        self._pump = asyncio.create_task(self._run(wait))

    async def _run(self, wait: float | None) -> None:
        while wait is not None:
            await self._sleep(wait)
            wait = self._hand_out()


def seconds_of(error: RetryAfter) -> float:
    """How long the server asks to wait."""
    wait = error.retry_after
    return wait.total_seconds() if isinstance(wait, timedelta) else float(wait)


def _chat_of(data: dict[str, Any]) -> ChatId | None:
    """The chat that a request spends on; a number given as text is that number."""
    chat: ChatId | None = data.get("chat_id")
    if isinstance(chat, str) and chat.lstrip("-").isdigit():
        return int(chat)
    return chat


def _is_group(chat: ChatId) -> bool:
    return isinstance(chat, str) or chat < 0
