"""The quota of one person: a number of commands per minute, then one notice, then no answer.

Time is the bot's clock. Commands over the limit are not counted, so answers resume as the counted ones become
a minute old. The notice is sent at most once a minute.
"""

from __future__ import annotations

import datetime as dt
import math
from collections import deque
from collections.abc import Callable

from bot.chat.refusals import COMMANDS_PER_MINUTE

_MINUTE = dt.timedelta(minutes=1)
_MAX_KEYS = 10_000  # when more are remembered, those without a recent command are removed


class Quota:
    """Allows `count` commands of one person in any minute."""

    def __init__(self, clock: Callable[[], dt.datetime], count: int = COMMANDS_PER_MINUTE) -> None:
        self._clock, self._count = clock, count
        self._commands: dict[int, deque[dt.datetime]] = {}
        self._notified_at: dict[int, dt.datetime] = {}
        self._notices: dict[
            int, int
        ] = {}  # seconds to wait, by the id of the update to answer with the notice

    def admits(self, key: int, update_id: int) -> bool:
        """Whether to answer a command. The first one over the limit is answered with the notice."""
        now = self._clock()
        commands = self._recent(key, now)
        if len(commands) < self._count:
            commands.append(now)
            return True
        if _is_recent(self._notified_at.get(key), now):
            return False
        self._notified_at[key] = now
        self._notices[update_id] = max(math.ceil((commands[0] + _MINUTE - now).total_seconds()), 1)
        return True

    def take_notice(self, update_id: int) -> int | None:
        """Seconds to wait, if the update is to be answered with the notice. Each notice is returned once."""
        return self._notices.pop(update_id, None)

    def _recent(self, key: int, now: dt.datetime) -> deque[dt.datetime]:
        """Times of the person's commands within the last minute."""
        if len(self._commands) > _MAX_KEYS:
            self._forget(now)
        commands = self._commands.setdefault(key, deque())
        while commands and not _is_recent(commands[0], now):
            commands.popleft()
        return commands

    def _forget(self, now: dt.datetime) -> None:
        self._commands = {
            key: times for key, times in self._commands.items() if times and now < times[-1] + _MINUTE
        }
        self._notified_at = {key: time for key, time in self._notified_at.items() if _is_recent(time, now)}


def _is_recent(moment: dt.datetime | None, now: dt.datetime) -> bool:
    """Whether a moment is within the last minute. One in the future, after a clock set back, is not."""
    return moment is not None and moment <= now < moment + _MINUTE
