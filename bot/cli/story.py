"""The demo's story: questions of December 2020, then the clock runs through the autumn before."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from bot.analytics.dates import date_phrase, short_date
from bot.cli.voice import say
from bot.data.sample import SOURCE, sample_observations
from bot.data.store import store
from bot.errors import BotError
from bot.local import converse
from storage import observations
from storage.db import open_database, row_counts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import sqlite_utils

    from bot.local import Terminal
    from bot.serving import Bot

QUESTIONS_NOW = dt.datetime(2020, 12, 13, 18, tzinfo=dt.UTC)
DEMO_NOW = dt.datetime(2020, 9, 30, 22, tzinfo=dt.UTC)
_FIRST, _LAST = dt.datetime(2020, 1, 2, tzinfo=dt.UTC), dt.datetime(2020, 12, 30, 23, tzinfo=dt.UTC)
_QUESTIONS = ("/compare asof 2020-12-13", "/flows", "/multiples", "/why ytd")
_ORDERS = ("/alert ratio > sma200", "/summary on 17:30")
_SUMMARY = dt.timedelta(hours=2)  # after the close: past 17:30 New York
_MOST_SESSIONS = 60


def refuse_real_data(path: Path) -> None:
    """The demo writes sample data: never into a database that holds anything else."""
    if not path.exists():
        return
    with open_database(path, read_only=True) as database:
        if database.run_sync(_is_in_use):
            raise BotError(f"{path} holds data or chats; the demo takes a new file, or none at all.")


def _is_in_use(db: sqlite_utils.Database) -> bool:
    return not observations.is_empty(db) or row_counts(db)["chats"] > 0


def refuse_other_years(start: dt.datetime) -> None:
    """The sample market's figures are those of 2020: the story cannot begin elsewhere."""
    if not _FIRST <= start <= _LAST:
        raise BotError(
            f"The story runs in 2020; --now {start:%Y-%m-%d} is outside. Try --now 2020-09-30T22:00Z"
        )


async def play(
    bot: Bot,
    terminal: Terminal,
    echo: Callable[[str], None],
    set_clock: Callable[[dt.datetime], None],
    start: dt.datetime,
) -> None:
    """Play the story, its autumn from `start` on; `echo` shows questions, `set_clock` moves the clock."""
    database = bot.services.database
    now = f"{QUESTIONS_NOW:%Y-%m-%dT%H:%M:%SZ}"
    await database.run(lambda db: store(db, sample_observations(), source=SOURCE, observed_at=now))
    say("A sample market: published month-ends, simulated days between. Today is Sun 13 Dec 2020.\n")
    await converse(bot.application, terminal, _QUESTIONS, echo=echo)
    set_clock(start)
    say(f"The clock goes back to {short_date(start)} and runs session by session.\n")
    await converse(bot.application, terminal, _ORDERS[:1], echo=echo)
    fired = await _run_on(bot, set_clock, start)
    if fired:
        await converse(bot.application, terminal, _ORDERS[1:], echo=echo)
        await _summary_day(bot, set_clock)
        await converse(bot.application, terminal, ("/alerts",), echo=echo)


async def _run_on(bot: Bot, set_clock: Callable[[dt.datetime], None], start: dt.datetime) -> bool:
    """Close after close until an alert has fired; whether one did."""
    sessions = bot.services.markets.sessions()
    session = sessions.last_completed(start)
    for _ in range(_MOST_SESSIONS):
        session = sessions.next_after(session)
        moment = sessions.close(session) + dt.timedelta(minutes=20)
        if moment > _LAST:
            break
        set_clock(moment)
        done = await bot.scheduler.judge()
        fires = len(done.fires)
        found = "an alert" if fires == 1 else f"{fires or 'no'} alerts"
        say(f"  {date_phrase(session)}: close judged, {found}")
        await bot.scheduler.drain()
        if done.fires:
            return True
    say("No alert fired in this span.")
    return False


async def _summary_day(bot: Bot, set_clock: Callable[[dt.datetime], None]) -> None:
    """The next session's close and, at 17:30, the daily summary."""
    sessions = bot.services.markets.sessions()
    session = sessions.next_after(sessions.last_completed(bot.services.clock()))
    set_clock(sessions.close(session) + _SUMMARY)
    say(f"  {date_phrase(session)}, 18:00 New York")
    await bot.scheduler.judge()
    await bot.scheduler.drain()


async def catch_up(bot: Bot, set_clock: Callable[[dt.datetime], None]) -> None:
    """Back to the day of the first questions, so that a person who goes on has the whole market."""
    set_clock(QUESTIONS_NOW)
    say(f"The clock goes on to {short_date(QUESTIONS_NOW)}.\n")
    await bot.scheduler.judge()
    await bot.scheduler.drain()
