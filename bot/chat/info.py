"""/start, /about, /status, /summary and /pin."""

from __future__ import annotations

import asyncio
import datetime as dt
from functools import partial
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from bot import __version__
from bot.analytics.sessions import SETTLE
from bot.data.refresh import switched_on
from bot.errors import BadInput
from bot.messages.common import Answer
from bot.messages.html import bold, lines, zone_label
from bot.messages.pages.help import start_answer
from bot.messages.pages.status import RESTATED_DAYS, StatusReport, about_answer, source_healths, status_answer
from bot.messages.pages.summary import summary_answer
from bot.services import alert_views, chats, context_of, questions
from bot.text import clock_time

if TYPE_CHECKING:
    from bot.chat.access import Ask
    from storage.chat_store import StoredChat


_TIMES = ("08:00", "16:30", chats.SUMMARY_TIME)
_ON = f"/summary on {chats.SUMMARY_TIME}"


async def on_start(ask: Ask) -> Answer:
    """/start: what the bot does. A chat that had blocked the bot is reactivated unless it was rejected."""
    await chats.start(ask.caller)
    return start_answer(ask.services.pair)


async def on_about(ask: Ask) -> Answer:
    """/about: sources and definitions."""
    return about_answer(ask.services.pair)


async def on_status(ask: Ask) -> Answer:
    """/status: age of the data, state of the sources, restatements and queue."""
    market, now = await ask.services.markets.current(), ask.now
    sessions = await asyncio.to_thread(ask.services.markets.sessions)
    stored = await questions.read_status(ask.services, now - dt.timedelta(days=RESTATED_DAYS))
    names = switched_on(ask.services.config) if ask.services.live else ()
    report = StatusReport(
        now=now,
        zone=ZoneInfo(ask.settings.zone),
        sources=source_healths(stored.statuses, sessions, now, names),
        stored=stored,
        next_check=sessions.close(sessions.next_after(market.last_completed)) + SETTLE,
        version=__version__,
    )
    return await asyncio.to_thread(status_answer, market, report)


def changes_summary(text: str) -> bool:
    """Return whether the words after /summary change anything."""
    return text.strip().lower() not in {"", "now"}


async def on_summary(ask: Ask) -> Answer:
    """/summary: now, on HH:MM, off, on weekdays or daily; without words, the choices as buttons."""
    words = ask.text.lower().split()
    days = [word for word in words if word in {"weekdays", "daily"}]
    weekdays = days == ["weekdays"] if len(days) == 1 else None
    if weekdays is not None:
        words.remove(days[0])
    match words:
        case [] if weekdays is None:
            return await _summary_page(ask)
        case ["now"] if weekdays is None:
            return await _current_summary(ask)
        case ["off"] if weekdays is None:
            await chats.unsubscribe(ask.caller)
            return Answer(lines(bold("Daily summary off."), f"On again: {_ON}"))
        case [] | ["on"]:
            return await _subscribe(ask, None if weekdays is not None else chats.SUMMARY_TIME, weekdays)
        case ["on", *time] | ["at", *time] | time if words[0] in {"on", "at"} or time[0][0].isdigit():
            typed = " ".join(time).removeprefix("at ")
            if (clock := clock_time(typed)) is None:
                raise BadInput(f"“{typed}” is not a time of day such as 18:30 or 6:30pm.", _ON)
            return await _subscribe(ask, clock, weekdays)
    raise BadInput(f"“{ask.text.strip()}” is not understood; use now, on HH:MM, weekdays, daily or off.", _ON)


async def _summary_page(ask: Ask) -> Answer:
    chat = await chats.stored_chat(ask.services, ask.chat_id)
    sentence = "The daily summary is off."
    if chat is not None and chat.summary_at:
        sentence = (
            f"The daily summary comes at {chat.summary_at} ({zone_label(ask.settings.zone)}), {_days(chat)}."
        )
    times = tuple((f"On {time}", f"/summary on {time}") for time in _TIMES)
    other = ("Every day", "/summary daily") if chat and chat.weekdays else ("Weekdays", "/summary weekdays")
    return Answer(
        lines(bold("Daily summary"), sentence, "Any other time: /summary on 07:45"),
        buttons=(times, (("Now", "/summary now"), other, ("Off", "/summary off"))),
    )


def _days(chat: StoredChat) -> str:
    return f"on {'weekdays' if chat.weekdays else 'every day'} with a new close"


async def _subscribe(ask: Ask, at: str | None, weekdays: bool | None) -> Answer:
    chat = await chats.subscribe(ask.caller, at, weekdays=weekdays)
    html = lines(
        bold(f"Daily summary at {chat.summary_at}") + f" ({zone_label(ask.settings.zone)}), {_days(chat)}.",
        "See it now: /summary now",
    )
    return Answer(html, buttons=((("Now", "/summary now"), ("Off", "/summary off")),))


async def _current_summary(ask: Ask) -> Answer:
    services, read = ask.services, alert_views.view_active_alerts
    alerts = await services.database.read(lambda db: read(db, ask.chat_id, ask.caller.now))
    context = await asyncio.to_thread(context_of, await services.markets.current(), services.markets)
    render = partial(summary_answer, context, alerts, services.markets.sessions())
    return await asyncio.to_thread(render, total=bool(ask.settings.total))


async def on_pin(ask: Ask) -> Answer:
    """/pin: post a live board and pin it; /pin off removes it."""
    words, boards = ask.text.strip().lower(), ask.services.boards
    if words == "off":
        removed = await boards.remove(ask.chat_id)
        title = "The live board is off." if removed else "There is no live board here."
        return Answer(lines(bold(title), "A new one: /pin"))
    if words not in {"", "on"}:
        raise BadInput(
            f"“{words[:40]}” is not understood; /pin posts a live board, /pin off ends it.", "/pin"
        )
    remarks = await boards.post(ask.caller)
    note = "It is edited after each close and when an alert changes, without a sound."
    return Answer(lines(bold("The live board is above."), *remarks, note), buttons=((("Off", "/pin off"),),))
