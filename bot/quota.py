"""How much one person may ask: so many commands a minute, then one polite line, then silence.

Time is the bot's clock. Over the limit nothing is counted any more, so the silence ends by itself; who goes
on flooding is heard again as each of their commands turns a minute old, but told once a minute at most.
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
        self._told: dict[int, dt.datetime] = {}  # when somebody was told last
        self._last_words: dict[int, int] = {}  # the update to be answered with the polite line: seconds left

    def admits(self, who: int, update_id: int) -> bool:
        """Whether to deal with a command; the first one too many is dealt with by saying so."""
        now = self._clock()
        asked = self._recent(who, now)
        if len(asked) < self._count:
            asked.append(now)
            return True
        if _is_recent(self._told.get(who), now):
            return False
        self._told[who] = now
        self._last_words[update_id] = max(math.ceil((asked[0] + _MINUTE - now).total_seconds()), 1)
        return True

    def last_word(self, update_id: int) -> int | None:
        """Seconds of silence to be announced in answer to an update; None where it is within the quota."""
        return self._last_words.pop(update_id, None)

    def _recent(self, who: int, now: dt.datetime) -> deque[dt.datetime]:
        """When this person asked within the last minute."""
        if len(self._asked) > _KEPT:
            self._forget(now)
        asked = self._asked.setdefault(who, deque())
        while asked and not _is_recent(asked[0], now):
            asked.popleft()
        return asked

    def _forget(self, now: dt.datetime) -> None:
        fresh = {who: asked for who, asked in self._asked.items() if asked and now < asked[-1] + _MINUTE}
        self._asked = fresh
        self._told = {who: told for who, told in self._told.items() if _is_recent(told, now)}


def _is_recent(moment: dt.datetime | None, now: dt.datetime) -> bool:
    """Whether a moment lies within the last minute; one ahead of a clock put back does not."""
    return moment is not None and moment <= now < moment + _MINUTE
