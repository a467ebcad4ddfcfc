"""/about, /status, /summary and /pin."""

import asyncio
import datetime as dt
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from zoneinfo import ZoneInfo

import sqlite_utils

from bot import __version__
from bot.alerts.view import AlertView
from bot.analytics.sessions import SETTLE
from bot.analytics.windows import AsOf
from bot.chat.access import Ask
from bot.data.refresh import switched_on
from bot.errors import BadInput
from bot.messages.common import Answer
from bot.messages.html import CAPTION_LIMIT, Html, bold, lines, visible_length, zone_label
from bot.messages.pages.compare import compare_answer
from bot.messages.pages.status import RESTATED_DAYS, StatusReport, about_answer, source_healths, status_answer
from bot.messages.pages.summary import summary_answer
from bot.messages.pages.weekly import Fires, week_begin, weekly_answer
from bot.services import alert_views, chats, context_of, questions
from bot.text import clock_time
from storage.chat_store import StoredChat

_TIMES = ("08:00", "16:30", chats.SUMMARY_TIME)
_DAYS = {
    "daily": "on every day with a new close",
    "weekdays": "on weekdays with a new close",
    "weekly": "after the last session of each week",
}
_ON = f"/summary on {chats.SUMMARY_TIME}"


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
    return "now" not in text.lower().split() and bool(text.strip())


async def on_summary(ask: Ask) -> Answer:
    """/summary: now, on HH:MM, off, daily, weekdays or weekly; without words, the choices as buttons."""
    words = ask.text.lower().split()
    named = [word for word in words if word in _DAYS]
    days = named[0] if len(named) == 1 else None
    if days is not None:
        words.remove(days)
    match words:
        case [] if days is None:
            return await _summary_page(ask)
        case ["now"] if days in {None, "weekly"}:
            return await _current_summary(ask, weekly=days == "weekly")
        case ["off"] if days is None:
            await chats.unsubscribe(ask.caller)
            return Answer(lines(bold("The summary is off."), f"On again: {_ON}"))
        case [] | ["on"]:
            return await _subscribe(ask, None if days is not None else chats.SUMMARY_TIME, days)
        case ["on", *time] | ["at", *time] | time if words[0] in {"on", "at"} or time[0][0].isdigit():
            typed = " ".join(time).removeprefix("at ")
            if (clock := clock_time(typed)) is None:
                raise BadInput(f"“{typed}” is not a time of day such as 18:30 or 6:30pm.", _ON)
            return await _subscribe(ask, clock, days)
    known = "now, on HH:MM, daily, weekdays, weekly or off"
    raise BadInput(f"“{ask.text.strip()}” is not understood; use {known}.", _ON)


async def _summary_page(ask: Ask) -> Answer:
    chat = await chats.stored_chat(ask.services, ask.chat_id)
    title, set_days = bold("The summary is off."), ""
    if chat is not None and chat.summary_at:
        title, set_days = _when(ask, chat), chat.summary_days
    times = tuple((f"On {time}", f"/summary on {time}") for time in _TIMES)
    others = tuple((days.capitalize(), f"/summary {days}") for days in _DAYS if days != set_days)
    return Answer(
        lines(title, "Any other time: /summary on 07:45"),
        buttons=(times, others, (("Now", "/summary now"), ("Off", "/summary off"))),
    )


def _when(ask: Ask, chat: StoredChat) -> Html:
    days, zone = chat.summary_days, zone_label(ask.settings.zone)
    kind = "Weekly" if days == "weekly" else "Daily"
    return bold(f"{kind} summary at {chat.summary_at}") + f" ({zone}), {_DAYS[days]}."


async def _subscribe(ask: Ask, at: str | None, days: str | None) -> Answer:
    chat = await chats.subscribe(ask.caller, at, days)
    now = "/summary weekly now" if chat.summary_days == "weekly" else "/summary now"
    html = lines(_when(ask, chat), f"See it now: {now}")
    return Answer(html, buttons=((("Now", now), ("Off", "/summary off")),))


async def _current_summary(ask: Ask, *, weekly: bool) -> Answer:
    services, market = ask.services, await ask.services.markets.current()

    def read(db: sqlite_utils.Database) -> tuple[Sequence[AlertView], Fires]:
        alerts = alert_views.view_active_alerts(db, ask.chat_id, ask.caller.now)
        return alerts, alert_views.fires_since(db, ask.chat_id, week_begin(market)) if weekly else ()

    alerts, fires = await services.database.read(read)
    context = await asyncio.to_thread(context_of, market, services.markets)
    page = partial(weekly_answer, fires=fires) if weekly else summary_answer
    render = partial(page, context, alerts, sessions=services.markets.sessions())
    answer = await asyncio.to_thread(render, total=bool(ask.settings.total))
    chart = (await questions.answer_once(compare_answer, market, AsOf(), ask.theme, (), None)).draw
    return replace(answer, draw=chart if visible_length(answer.text) <= CAPTION_LIMIT else None)


async def on_pin(ask: Ask) -> Answer:
    """/pin: post a live board and pin it; /pin off removes it."""
    words, boards = ask.text.strip().lower(), ask.services.boards
    if words == "off":
        removed = await boards.remove(ask.chat_id)
        title = "The live board is off." if removed else "There is no live board here."
        return Answer(lines(bold(title), "A new one: /pin"))
    if words not in {"", "on"}:
        raise BadInput(f"“{words[:40]}” is not understood; /pin posts a live board, /pin off ends it.", "/pin")
    remarks = await boards.post(ask.caller)
    note = "It is edited after each close and when an alert changes, without a sound."
    return Answer(lines(bold("The live board is posted."), *remarks, note), buttons=((("Off", "/pin off"),),))
