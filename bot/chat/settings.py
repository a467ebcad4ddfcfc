"""What a chat is told about the bot, and its settings: start, help, summary, status."""

from __future__ import annotations

import asyncio
import datetime as dt
import re
from functools import partial
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from bot import __version__
from bot.analytics.registry import METRICS
from bot.analytics.sessions import SETTLE
from bot.chat.access import REJECTED
from bot.errors import BadInput
from bot.preferences import preferences_of
from bot.rendering import reference
from bot.rendering.answer import Answer
from bot.rendering.health import RESTATED_DAYS, source_healths, switched_on
from bot.rendering.status import StatusReport, about_answer, status_answer
from bot.rendering.summary import summary_answer
from bot.rendering.text import bold, lines
from bot.services.alerts import active_alerts
from bot.services.base import DAILY, context_of
from storage import access, chats, outbox
from storage import sources as source_rows
from storage.restatements import recent

if TYPE_CHECKING:
    import sqlite_utils

    from bot.alerts.view import AlertView
    from bot.chat.ask import Ask
    from storage.chats import Chat

_TIME = re.compile(r"([01]?[0-9]|2[0-3])[:.]([0-5][0-9])")
# 18:30, if nothing is said: in New York two and a half hours after the close, when Yahoo has it.
_USUAL = "18:30"
_TIMES = ("08:00", "16:30", _USUAL)


async def on_start(ask: Ask) -> Answer:
    """/start: what the bot does; a chat that had blocked it is active again, one that was rejected is not."""

    def write(db: sqlite_utils.Database) -> None:
        chats.ensure_chat(db, ask.chat_id, ask.chat_kind, ask.chat_title, ask.now)
        if access.status_of(db, ask.chat_id) != REJECTED:
            chats.reactivate(db, ask.chat_id)

    await ask.change(write)
    return reference.start_answer(ask.services.pair)


async def on_help(ask: Ask) -> Answer:
    """/help: all commands, or one command or metric."""
    from bot.chat.commands import BY_NAME, entries  # noqa: PLC0415 - the table imports this module

    word = ask.text.lower().lstrip("/").partition("@")[0]
    command = None if word in METRICS else BY_NAME.get(word)
    known = entries(owner=ask.is_owner)
    return reference.help_page(command.name if command else ask.text, known, ask.services.pair)


async def on_about(ask: Ask) -> Answer:
    """/about: sources and definitions."""
    return about_answer(ask.services.pair)


async def on_status(ask: Ask) -> Answer:
    """/status: age of the data, how the sources stand, what was restated, queue."""
    market, now = await ask.services.markets.current(), ask.now
    sessions = await asyncio.to_thread(ask.services.markets.sessions)
    since = now - dt.timedelta(days=RESTATED_DAYS)
    asked = switched_on(ask.services.config) if ask.services.live else ()

    def read(db: sqlite_utils.Database) -> StatusReport:
        return StatusReport(
            now=now,
            zone=ZoneInfo(zone_of(ask, chats.get_chat(db, ask.chat_id))),
            sources=source_healths(source_rows.statuses(db), sessions, now, asked),
            restated=recent(db, since=since),
            queue=outbox.pending(db),
            next_check=sessions.close(sessions.next_after(market.last_completed)) + SETTLE,
            version=__version__,
        )

    report = await ask.services.database.run(read)
    return await asyncio.to_thread(status_answer, market, report)


def changes(text: str) -> bool:
    """Whether the words after /summary change anything."""
    return text.strip().lower() not in {"", "now"}


async def on_summary(ask: Ask) -> Answer:
    """/summary: now, on HH:MM, off, on weekdays or daily; without a word, the choice as buttons."""
    words = ask.text.lower().split()
    weekdays = _days(words)
    match words:
        case [] if weekdays is None:
            return await _choice(ask)
        case ["now"] if weekdays is None:
            return await _now(ask)
        case ["off"] if weekdays is None:
            return await _off(ask)
        case [] | ["on"]:
            return await _set(ask, None if weekdays is not None else _USUAL, weekdays)
        case ["on", time] | [time] if (found := _TIME.fullmatch(time)) is not None:
            return await _set(ask, f"{int(found[1]):02d}:{found[2]}", weekdays)
    raise BadInput(
        f"“{ask.text.strip()}” is not understood; use now, on HH:MM, weekdays, daily or off.",
        "/summary on 18:30",
    )


def _days(words: list[str]) -> bool | None:
    """Whether it is to come on weekdays only, taken off the words; None where nothing is said of it."""
    found = [word for word in words if word in {"weekdays", "daily"}]
    if len(found) != 1:
        return None
    words.remove(found[0])
    return found[0] == "weekdays"


async def _choice(ask: Ask) -> Answer:
    row = await ask.services.database.run(lambda db: chats.get_chat(db, ask.chat_id))
    at = row.summary_at if row else None
    said = (
        f"The daily summary comes at {at} ({zone_of(ask, row)}), {_when(row)}."
        if at
        else "The daily summary is off."
    )
    times = tuple((f"On {time}", f"/summary on {time}") for time in _TIMES)
    other = ("Every day", "/summary daily") if row and row.weekdays else ("Weekdays", "/summary weekdays")
    return Answer(
        lines(bold("Daily summary"), said, "Any time: /summary on 07:45"),
        buttons=(times, (("Now", "/summary now"), other, ("Off", "/summary off"))),
    )


def _when(row: Chat | None) -> str:
    days = "weekdays" if row and row.weekdays else "every day"
    return f"on {days} with a new close"


def zone_of(ask: Ask, row: Chat | None) -> str:
    """The chat's time zone, else the config's."""
    return preferences_of(ask.services.config, row).zone


async def _set(ask: Ask, at: str | None, weekdays: bool | None) -> Answer:
    """Store the time (None: as it was, else the usual) and the days (None: as they were)."""

    def write(db: sqlite_utils.Database) -> Chat | None:
        row = chats.ensure_chat(db, ask.chat_id, ask.chat_kind, ask.chat_title, ask.now)
        time = at or row.summary_at or _USUAL
        if weekdays is not None:
            chats.set_preference(db, ask.chat_id, "weekdays", int(weekdays))
        if time != row.summary_at:
            chats.set_summary(db, ask.chat_id, time)
            replan(db, ask, time, zone_of(ask, row))
        return chats.get_chat(db, ask.chat_id)

    row = await ask.change(write)
    html = lines(
        bold(f"Daily summary at {row.summary_at if row else None}")
        + f" ({zone_of(ask, row)}), {_when(row)}.",
        "See it now: /summary now",
    )
    return Answer(html, buttons=((("Now", "/summary now"), ("Off", "/summary off")),))


async def _off(ask: Ask) -> Answer:
    def write(db: sqlite_utils.Database) -> None:
        chats.ensure_chat(db, ask.chat_id, ask.chat_kind, ask.chat_title, ask.now)
        chats.set_summary(db, ask.chat_id, None)

    await ask.change(write)
    return Answer(lines(bold("Daily summary off."), f"On again: /summary on {_USUAL}"))


def replan(db: sqlite_utils.Database, ask: Ask, at: str, zone: str) -> None:
    """What would have been due before now, at a new time or in a new zone, is not sent after the fact."""
    local = ask.now.astimezone(ZoneInfo(zone))
    _skip(db, ask, local.date() - dt.timedelta(days=1))
    if local.time() >= dt.time.fromisoformat(at):
        _skip(db, ask, local.date())


def _skip(db: sqlite_utils.Database, ask: Ask, day: dt.date) -> None:
    """Settle a local date's summary without one, if nothing is known of it yet."""
    planned = chats.add_due(db, ask.chat_id, DAILY, day.isoformat(), ask.now)
    if planned is not None and chats.claim(db, planned):
        chats.finish(db, planned, "skipped")


async def _now(ask: Ask) -> Answer:
    def read(db: sqlite_utils.Database) -> list[AlertView]:
        return active_alerts(db, ask.chat_id, ask.now)

    standings = await ask.services.database.run(read)
    context = await asyncio.to_thread(context_of, await ask.services.markets.current(), ask.services.markets)
    sessions = ask.services.markets.sessions()
    return await asyncio.to_thread(
        partial(summary_answer, context, standings, sessions, total=bool(ask.preferences.total))
    )
