"""How much one person may ask: so many commands a minute, then one polite line, then silence.

Time is the bot's clock. Over the limit nothing is counted any more, so the silence ends by itself.
"""

from __future__ import annotations

import datetime as dt
import math
from collections import deque
from collections.abc import Callable

COMMANDS_A_MINUTE = 30
_MINUTE = dt.timedelta(minutes=1)
_KEPT = 10_000  # people remembered before those of past minutes are forgotten


class Quota:
    """At most `count` commands of one person in any minute."""

    def __init__(self, clock: Callable[[], dt.datetime], count: int = COMMANDS_A_MINUTE) -> None:
        self._clock, self._count = clock, count
        self._asked: dict[int, deque[dt.datetime]] = {}
        self._told: dict[int, dt.datetime] = {}  # who was told, and until when they stay unheard
        self._last_words: dict[int, int] = {}  # the update to be answered with the polite line: seconds left

    def admits(self, who: int, update_id: int) -> bool:
        """Whether to deal with a command; the first one too many is dealt with by saying so."""
        now = self._clock()
        asked = self._recent(who, now)
        if len(asked) < self._count:
            self._told.pop(who, None)
            asked.append(now)
            return True
        if now < self._told.get(who, now):
            return False
        self._told[who] = asked[0] + _MINUTE
        self._last_words[update_id] = max(math.ceil((asked[0] + _MINUTE - now).total_seconds()), 1)
        return True

    def last_word(self, update_id: int) -> int | None:
        """Seconds of silence to be announced in answer to an update; None where it is within the quota."""
        return self._last_words.pop(update_id, None)

    def _recent(self, who: int, now: dt.datetime) -> deque[dt.datetime]:
        """When this person asked within the last minute; a clock put back forgets what lies ahead of it."""
        if len(self._asked) > _KEPT:
            self._forget(now)
        asked = self._asked.setdefault(who, deque())
        while asked and not asked[0] <= now < asked[0] + _MINUTE:
            asked.popleft()
        return asked

    def _forget(self, now: dt.datetime) -> None:
        fresh = {who: asked for who, asked in self._asked.items() if asked and now < asked[-1] + _MINUTE}
        self._asked = fresh
        self._told = {who: until for who, until in self._told.items() if who in fresh and now < until}
