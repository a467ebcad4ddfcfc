"""Instants in words, by the clock of a place."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

from bot.rendering.text import date_phrase


def moment(instant: dt.datetime, zone: ZoneInfo) -> str:
    """An instant in local time: "Mon 14 Dec 2020, 16:15"."""
    local = instant.astimezone(zone)
    return f"{date_phrase(local.date())}, {local:%H:%M}"


def place_of(zone: ZoneInfo) -> str:
    """A time zone as people call it: "New York" of America/New_York."""
    return zone.key.rpartition("/")[2].replace("_", " ")
