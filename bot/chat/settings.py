"""What a chat is told about the bot, and its settings: start, help, summary, status."""

from __future__ import annotations

import asyncio
import datetime as dt
import re
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from bot import __version__
from bot.analytics.registry import METRICS
from bot.analytics.sessions import SETTLE
from bot.errors import BadInput
from bot.rendering import reference
from bot.rendering.answer import Answer
from bot.rendering.health import RESTATED_DAYS, healths
from bot.rendering.status import Report, about, status
from bot.rendering.summary import summary
from bot.rendering.text import bold, lines
from bot.services import DAILY, context_of, standing_of
from storage import alerts as stored
from storage import chats, outbox
from storage import sources as source_rows
from storage.restatements import recent

if TYPE_CHECKING:
    import sqlite_utils

    from bot.chat.ask import Ask
    from bot.rendering.alerts import Standing

_TIME = re.compile(r"([01]?\d|2[0-3])[:.]([0-5]\d)")
# 18:30, if nothing is said: in New York two and a half hours after the close, when Yahoo has it.
_USUAL = "18:30"
_TIMES = ("08:00", "16:30", _USUAL)


async def on_start(ask: Ask) -> Answer:
    """/start: what the bot does; a chat that had blocked it is active again."""

    def write(db: sqlite_utils.Database) -> None:
        chats.ensure_chat(db, ask.chat_id, ask.chat_kind, ask.chat_title, ask.now)
        chats.reactivate(db, ask.chat_id)

    await ask.change(write)
    return reference.start()


async def on_help(ask: Ask) -> Answer:
    """/help: all commands, or one command or metric."""
    from bot.chat.commands import BY_NAME, entries  # noqa: PLC0415 - the table imports this module

    word = ask.text.lower().lstrip("/").partition("@")[0]
    command = None if word in METRICS else BY_NAME.get(word)
    known = entries(owner=ask.is_owner)
    return reference.help_page(command.name if command else ask.text, known)


async def on_about(ask: Ask) -> Answer:
    """/about: sources and definitions."""
    del ask
    return about()


async def on_status(ask: Ask) -> Answer:
    """/status: age of the data, how the sources stand, what was restated, queue."""
    market, now = await ask.market(), ask.now
    sessions = await asyncio.to_thread(ask.services.markets.sessions)
    since = now - dt.timedelta(days=RESTATED_DAYS)

    def read(db: sqlite_utils.Database) -> Report:
        return Report(
            now=now,
            zone=ZoneInfo(zone_of(ask, chats.get_chat(db, ask.chat_id))),
            sources=healths(source_rows.statuses(db), sessions, now),
            restated=recent(db, since=since),
            queue=outbox.pending(db),
            next_check=sessions.close(sessions.next_after(market.last_completed)) + SETTLE,
            version=__version__,
        )

    report = await ask.services.database.run(read)
    return await asyncio.to_thread(status, market, report)


def changes(text: str) -> bool:
    """Whether the words after /summary change anything."""
    return text.strip().lower() not in {"", "now"}


async def on_summary(ask: Ask) -> Answer:
    """/summary: now, on HH:MM, off; without a word, the choice as buttons."""
    words = ask.text.lower().split()
    match words:
        case []:
            return await _choice(ask)
        case ["now"]:
            return await _now(ask)
        case ["off"]:
            return await _set(ask, None)
        case ["on"]:
            return await _set(ask, _USUAL)
        case ["on", time] | [time] if (found := _TIME.fullmatch(time)) is not None:
            return await _set(ask, f"{int(found[1]):02d}:{found[2]}")
    raise BadInput(f"“{ask.text.strip()}” is not understood; use now, on HH:MM or off.", "/summary on 18:30")


async def _choice(ask: Ask) -> Answer:
    row = await ask.services.database.run(lambda db: chats.get_chat(db, ask.chat_id))
    at = row["summary_at"] if row else None
    said = f"The daily summary comes at {at} ({zone_of(ask, row)})." if at else "The daily summary is off."
    times = tuple((f"On {time}", f"/summary on {time}") for time in _TIMES)
    return Answer(
        lines(bold("Daily summary"), said, "Any time: /summary on 07:45"),
        buttons=(times, (("Now", "/summary now"), ("Off", "/summary off"))),
    )


def zone_of(ask: Ask, row: dict[str, Any] | None) -> str:
    """The chat's time zone, else the config's."""
    return str((row or {}).get("timezone") or ask.services.config.timezone)


async def _set(ask: Ask, at: str | None) -> Answer:
    """Store the time; what would have been due at it before now is not sent after the fact."""

    def write(db: sqlite_utils.Database) -> dict[str, Any]:
        row = chats.ensure_chat(db, ask.chat_id, ask.chat_kind, ask.chat_title, ask.now)
        chats.set_summary(db, ask.chat_id, at)
        local = ask.now.astimezone(ZoneInfo(zone_of(ask, row)))
        if at is not None:
            _skip(db, ask, local.date() - dt.timedelta(days=1))
            if local.time() >= dt.time.fromisoformat(at):
                _skip(db, ask, local.date())
        return row

    row = await ask.change(write)
    if at is None:
        return Answer(lines(bold("Daily summary off."), f"On again: /summary on {_USUAL}"))
    html = lines(
        bold(f"Daily summary at {at}") + f" ({zone_of(ask, row)}), on every day with a new close.",
        "See it now: /summary now",
    )
    return Answer(html, buttons=((("Now", "/summary now"), ("Off", "/summary off")),))


def _skip(db: sqlite_utils.Database, ask: Ask, day: dt.date) -> None:
    """Settle a local date's summary without one, if nothing is known of it yet."""
    planned = chats.add_due(db, ask.chat_id, DAILY, day.isoformat(), ask.now)
    if planned is not None and chats.claim(db, planned):
        chats.finish(db, planned, "skipped")


async def _now(ask: Ask) -> Answer:
    def read(db: sqlite_utils.Database) -> list[Standing]:
        rows = stored.alerts_of(db, ask.chat_id)
        return [standing_of(db, row) for row in rows if row["life"] == "active"]

    standings = await ask.services.database.run(read)
    context = await asyncio.to_thread(context_of, await ask.market(), ask.services.markets)
    return await asyncio.to_thread(summary, context, standings, ask.services.markets.sessions())
