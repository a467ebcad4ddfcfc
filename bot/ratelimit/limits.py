"""The arithmetic of the send budget: what may be sent when, time being an argument.

All times are seconds of any monotonic clock. Limits: https://core.telegram.org/bots/faq.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import TypeAlias

ChatId: TypeAlias = int | str
REPLY, ALERT, NOTICE, SUMMARY = 0, 1, 2, 3  # `rate_limit_args`; none given is REPLY
CHAT_RATE, CHAT_BURST = 1.0, 3  # messages a second to one chat, and how many may go at once
GROUP_LIMIT = (20, 60.0)  # messages to one group in any so many seconds
OVERALL_LIMIT = (29, 1.0)  # the server allows 30, and counts them as they arrive
KEPT_CHATS = 1024


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
    """What may be sent when. A group's id is negative or a @name."""

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

    def resting(self, now: float) -> dict[ChatId, float]:
        """Chats that their own limits keep waiting, with the seconds until each has room."""
        waits = {chat: self.ready(chat, now) - now for chat in {*self._chats, *self._halts}}
        return {chat: wait for chat, wait in waits.items() if wait > 0}

    def halt(self, chat: ChatId, seconds: float, now: float) -> None:
        """The server said 429 for this chat; a second chat's 429 during a halt halts all."""
        until = now + seconds
        if any(other != chat and end > now for other, end in self._halts.items()):
            self.halt_all(until)
        self.halt_alone(chat, until)

    def halt_alone(self, chat: ChatId, until: float) -> None:
        """Nothing to the chat before `until`, whatever else is halted."""
        self._halts[chat] = max(until, self._halts.get(chat, until))

    def halt_all(self, until: float) -> None:
        """Nothing to anybody before `until`."""
        self._halt = max(self._halt, until)

    def halted_until(self, chat: ChatId | None = None) -> float:
        """End of the halt that concerns the chat (None: everybody); long past when there is none."""
        return self._halt if chat is None else max(self._halt, self._halts.get(chat, -math.inf))

    def _tidy(self, now: float) -> None:
        """Forget chats that nothing limits any more, once there are many."""
        if len(self._chats) > KEPT_CHATS:
            self._chats = {chat: rate for chat, rate in self._chats.items() if not rate.idle(now)}
            self._groups = {chat: window for chat, window in self._groups.items() if not window.idle(now)}
            self._halts = {chat: until for chat, until in self._halts.items() if until > now}


def _is_group(chat: ChatId) -> bool:
    return isinstance(chat, str) or chat < 0
