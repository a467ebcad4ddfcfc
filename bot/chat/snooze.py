"""How long an alert is snoozed: "1d", "2h", "until 2020-12-24", "off"."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING

from bot.analytics.windows import parse_date
from bot.errors import BadInput

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

_SPAN = re.compile(r"(?:for\s+)?(\d{1,4})\s*(h|hours?|d|days?|w|weeks?|m|months?)", re.IGNORECASE)
_UNTIL = re.compile(r"until\s+(\S+)", re.IGNORECASE)
_HOURS = {"h": 1, "d": 24, "w": 7 * 24, "m": 30 * 24}
_LONGEST = dt.timedelta(days=366)  # past it the alert itself has ended


def snooze_end(text: str, now: dt.datetime, zone: ZoneInfo, command: str) -> dt.datetime | None:
    """When the snooze ends, None for now; a date is its midnight in `zone`. Raises BadInput."""
    words = text.strip()
    if words.lower() in {"off", "end", "stop", "no"}:
        return None
    if span := _SPAN.fullmatch(words):
        end = now + dt.timedelta(hours=int(span[1]) * _HOURS[span[2][0].lower()])
    elif until := _UNTIL.fullmatch(words):
        end = dt.datetime.combine(parse_date(until[1]), dt.time(), zone)
    else:
        raise BadInput(f"“{words}” is no time to snooze; use 2h, 1d, 1w, until DATE or off.", f"{command} 1d")
    if not now < end:
        raise BadInput(f"“{words}” is over already.", f"{command} 1d")
    if end - now > _LONGEST:
        raise BadInput(f"“{words}” is longer than a year.", f"{command} 1w")
    return end
