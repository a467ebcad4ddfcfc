"""The arithmetic of the send budget: when a message may be sent. Time is an argument.

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
MAX_CHATS = 1024


class LeakyBucket:
    """A steady rate with bursts: at most `burst + rate * t` messages in any t seconds."""

    def __init__(self, rate: float, burst: int) -> None:
        self._interval, self._slack = 1 / rate, (burst - 1) / rate
        self._full = -math.inf  # when the bucket will be empty

    def ready_at(self, now: float) -> float:
        """When the next message may be sent, at the earliest `now`."""
        return max(now, self._full - self._slack)

    def record(self, now: float) -> None:
        """Count one message sent now."""
        self._full = max(self._full, now) + self._interval

    def is_idle(self, now: float) -> bool:
        """Whether past messages no longer limit new ones."""
        return self._full <= now


class SlidingWindow:
    """At most `count` messages in any `seconds`."""

    def __init__(self, count: int, seconds: float) -> None:
        self._seconds = seconds
        self._taken: deque[float] = deque(maxlen=count)

    def ready_at(self, now: float) -> float:
        """When the next message may be sent, at the earliest `now`."""
        full = len(self._taken) == self._taken.maxlen
        return max(now, self._taken[0] + self._seconds) if full else now

    def record(self, now: float) -> None:
        """Count one message sent now."""
        self._taken.append(now)

    def is_idle(self, now: float) -> bool:
        """Whether past messages no longer limit new ones."""
        return not self._taken or self._taken[-1] + self._seconds <= now


@dataclass
class Budget:
    """The limits of all chats. The id of a group is negative or a @name."""

    overall: SlidingWindow = field(default_factory=lambda: SlidingWindow(*OVERALL_LIMIT))
    _chats: dict[ChatId, LeakyBucket] = field(default_factory=dict)
    _groups: dict[ChatId, SlidingWindow] = field(default_factory=dict)
    _halts: dict[ChatId, float] = field(default_factory=dict)
    _halt: float = -math.inf

    def ready_at(self, chat: ChatId, now: float) -> float:
        """When a message to the chat may be sent by the chat's own limits and halt."""
        limits = [limit for limit in (self._chats.get(chat), self._groups.get(chat)) if limit]
        return max([now, self.halted_until(chat), *(limit.ready_at(now) for limit in limits)])

    def record(self, chat: ChatId, now: float) -> None:
        """Count a message sent to the chat now."""
        self._remove_idle(now)
        self.overall.record(now)
        self._chats.setdefault(chat, LeakyBucket(CHAT_RATE, CHAT_BURST)).record(now)
        if _is_group(chat):
            self._groups.setdefault(chat, SlidingWindow(*GROUP_LIMIT)).record(now)

    def chat_waits(self, now: float) -> dict[ChatId, float]:
        """Seconds until each chat may be sent to, for the chats that must wait."""
        waits = {chat: self.ready_at(chat, now) - now for chat in {*self._chats, *self._halts}}
        return {chat: wait for chat, wait in waits.items() if wait > 0}

    def halt(self, chat: ChatId, seconds: float, now: float) -> None:
        """Note a 429 for a chat. A second chat's 429 during a halt halts all chats."""
        until = now + seconds
        if any(other != chat and end > now for other, end in self._halts.items()):
            self.halt_all(until)
        self.halt_alone(chat, until)

    def halt_alone(self, chat: ChatId, until: float) -> None:
        """Send nothing to the chat before `until`."""
        self._halts[chat] = max(until, self._halts.get(chat, until))

    def halt_all(self, until: float) -> None:
        """Send nothing to any chat before `until`."""
        self._halt = max(self._halt, until)

    def halted_until(self, chat: ChatId | None = None) -> float:
        """End of the halt of a chat, or of all chats for None. Minus infinity if there was none."""
        return self._halt if chat is None else max(self._halt, self._halts.get(chat, -math.inf))

    def _remove_idle(self, now: float) -> None:
        """Remove chats without limits in effect, once there are many."""
        if len(self._chats) > MAX_CHATS:
            self._chats = {chat: rate for chat, rate in self._chats.items() if not rate.is_idle(now)}
            self._groups = {chat: window for chat, window in self._groups.items() if not window.is_idle(now)}
            self._halts = {chat: until for chat, until in self._halts.items() if until > now}


def _is_group(chat: ChatId) -> bool:
    return isinstance(chat, str) or chat < 0
