"""The limiter that python-telegram-bot asks before each request; it hands out turns by the send budget.

python-telegram-bot's own AIORateLimiter still sends during a halt and knows no limit per private chat.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

from telegram.error import RetryAfter
from telegram.ext import BaseRateLimiter

from bot.ratelimit.limits import REPLY, Budget, ChatId

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

# Read whenever a RetryAfter is made or asked for its time; without it each of these warns.
os.environ.setdefault("PTB_TIMEDELTA", "true")

SPENDING = ("send", "edit", "copy", "forward")  # methods that count; a chat action does not
SHOWN = (*SPENDING, "answer")  # methods that a person sees something of: none during a halt
REPLY_PATIENCE = 60.0  # seconds: an answer that comes later answers nobody
PUSH_PATIENCE = 3.0  # seconds: a push that must wait longer goes back to the outbox
REPLY_TRIES = 3

OnHalt: TypeAlias = "Callable[[ChatId, float], Awaitable[None]]"


class Held(RetryAfter):
    """Not sent: the budget has no room within the sender's patience. Nobody was asked."""


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

    A 429 halts its chat, whatever was asked. Replies wait for the end of a halt if that is near and are
    sent again; pushes (ALERT, NOTICE, SUMMARY) raise RetryAfter, as does whatever would have to wait beyond
    its patience. `on_halt` is told of a 429 to anything but a push; the outbox keeps those of its own
    messages.
    """

    def __init__(
        self,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self.budget = Budget()
        self.on_halt: OnHalt | None = None
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

    def restore(self, chat: ChatId | None, seconds: float) -> None:
        """A halt (None: of all chats) that an earlier process was told of, and how long it still lasts."""
        until = self._monotonic() + seconds
        if chat is None:
            self.budget.halt_all(until)
        else:
            self.budget.halt_alone(chat, until)

    def resting(self) -> dict[ChatId, float]:
        """Chats that have no room now, with the seconds until each has."""
        return self.budget.resting(self._monotonic())

    def halted(self) -> float:
        """Seconds for which nothing may be sent to anybody; 0 when there is no such halt."""
        return max(self.budget.halted_until() - self._monotonic(), 0.0)

    async def sleep(self, seconds: float) -> None:
        """Sleep by the budget's clock."""
        await self._sleep(seconds)

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
            self._refuse_halted(chat, endpoint)
            try:
                return await callback(*args, **kwargs)
            except RetryAfter as error:
                if chat is not None:
                    await self._halt(chat, seconds_of(error), REPLY)
                raise
        priority = rate_limit_args or REPLY
        for last in (*[False] * (REPLY_TRIES - 1), True):
            await self._turn(chat, priority)
            try:
                return await callback(*args, **kwargs)
            except RetryAfter as error:
                await self._halt(chat, seconds_of(error), priority)
                if last or priority != REPLY:
                    raise
        raise AssertionError("the last try returns or raises")

    def _refuse_halted(self, chat: ChatId | None, endpoint: str) -> None:
        """Held for what spends nothing, but would be seen in a halted chat."""
        wait = self.budget.halted_until(chat) - self._monotonic()
        if wait > 0 and endpoint.startswith(SHOWN):
            raise Held(timedelta(seconds=math.ceil(wait)))

    async def _halt(self, chat: ChatId, seconds: float, priority: int) -> None:
        """Note a 429, and let those know who would send in the meantime."""
        self.budget.halt(chat, seconds, self._monotonic())
        if priority == REPLY and self.on_halt is not None:
            await self.on_halt(chat, seconds)

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
        if self.budget.halted_until(chat) > self._monotonic():  # a 429 came between the turn and its use
            await self._turn(chat, priority)

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
