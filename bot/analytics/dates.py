"""Dates in words for people, whatever the machine's locale."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import datetime as dt

# Named here because strftime's names follow the machine's locale.
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def short_date(day: dt.date) -> str:
    """A date without its weekday: "11 Dec 2020"."""
    return f"{day.day} {MONTHS[day.month - 1]} {day.year}"


def date_phrase(day: dt.date) -> str:
    """A date in words: "Fri 11 Dec 2020"."""
    return f"{DAYS[day.weekday()]} {short_date(day)}"
