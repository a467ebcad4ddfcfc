"""Subcommands in the terminal: chat with the real database, demo with sample data."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import datetime as dt
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bot import app
from bot.cli.hold import alone
from bot.cli.story import (
    DEMO_NOW,
    QUESTIONS_NOW,
    catch_up,
    play,
    refuse_other_years,
    refuse_real_data,
)
from bot.cli.voice import aside, busy, log_briefly, say
from bot.jobs.tick import TICK_SECONDS
from bot.local import Terminal, converse, printer, typed_lines

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from bot.config import Config
    from bot.serving import Bot
    from storage.db import Database


class Clock:
    """The terminal's clock: from `start` (else now) it runs on, or stands still where it was set."""

    def __init__(self, start: dt.datetime | None, *, running: bool) -> None:
        self.start = start
        self.running = running
        self._since = time.monotonic()

    def __call__(self) -> dt.datetime:
        """The instant, aware UTC."""
        if self.start is None:
            return dt.datetime.now(dt.UTC)
        passed = time.monotonic() - self._since if self.running else 0.0
        return self.start + dt.timedelta(seconds=passed)

    def set(self, moment: dt.datetime) -> None:
        """Put the clock to a moment."""
        self.start, self._since = moment, time.monotonic()

    def go(self) -> None:
        """Let it run on from where it stands."""
        self._since, self.running = time.monotonic(), True


class Screen:
    """Prints blocks of text on standard output; `gone` once nobody reads there any more."""

    def __init__(self) -> None:
        self.gone = False
        self._print = printer(sys.stdout)

    def show(self, block: str) -> None:
        """Print a block and an empty line."""
        try:
            self._print(block)
        except BrokenPipeError:  # raised here it would pass for a fault of Telegram's
            self.gone = True

    async def listen(self, *, prompt: bool) -> AsyncIterator[str]:
        """Lines of standard input while somebody reads the answers; BrokenPipeError after that."""
        async for line in typed_lines(sys.stdin, prompt=prompt):
            if self.gone:
                break
            yield line
        if self.gone:
            raise BrokenPipeError


def chat(given: argparse.Namespace, config: Config) -> int:
    """`chat`: the bot in the terminal; piped lines are answered one after the other."""
    log_briefly()
    interactive = sys.stdin.isatty()
    clock = Clock(given.now, running=interactive)
    with alone(config.storage.database) as database:
        screen = Screen()
        bot, terminal = _local(config, database, clock, given.out, screen, live=not given.offline)
        asyncio.run(_chat(bot, terminal, screen, interactive=interactive))
    return 0


def _local(
    config: Config,
    database: Database,
    clock: Callable[[], dt.datetime],
    pictures: Path,
    screen: Screen,
    *,
    live: bool,
) -> tuple[Bot, Terminal]:
    """The bot with a terminal for Telegram; who sits at it may use it."""
    services = app.services_of(config.with_keys(access={"mode": "open"}), database, clock, live=live)
    terminal = Terminal(screen.show, pictures, clock)
    return app.local_bot(services, terminal.api), terminal


async def _chat(bot: Bot, terminal: Terminal, screen: Screen, *, interactive: bool) -> None:
    async with bot.application:
        if interactive:
            say("Small caps against large caps. Type /help; a number presses a button; /quit ends.")
        with busy("Asking the sources"):
            reports = await bot.scheduler.refresh()
        for report in reports:
            aside(report)
        ticking = asyncio.create_task(_tick(bot)) if interactive else None
        await converse(bot.application, terminal, screen.listen(prompt=interactive))
        if ticking is not None:
            ticking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await ticking


async def _tick(bot: Bot) -> None:
    """At a terminal the scheduler runs beside the talk."""
    while True:
        await asyncio.sleep(TICK_SECONDS)
        await bot.scheduler.tick()


def demo(given: argparse.Namespace, config: Config) -> int:
    """`demo`: the story on a throwaway database, then, at a terminal, room for typing."""
    log_briefly()
    start = given.now or DEMO_NOW
    refuse_other_years(start)
    with contextlib.ExitStack() as stack:
        path = given.db
        if path is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bot-demo-"))
            path = Path(folder) / "demo.db"
        refuse_real_data(path)
        database = stack.enter_context(alone(path))
        clock = Clock(QUESTIONS_NOW, running=False)
        screen, config = Screen(), config.with_keys(storage={"database": path})
        bot, terminal = _local(config, database, clock, given.out, screen, live=False)
        asyncio.run(_demo(bot, terminal, screen, clock, start))
    return 0


async def _demo(bot: Bot, terminal: Terminal, screen: Screen, clock: Clock, start: dt.datetime) -> None:
    async with bot.application:
        await play(bot, terminal, screen.show, clock.set, start)
        if sys.stdin.isatty():
            await catch_up(bot, clock.set)
            clock.go()
            say("Your turn: type commands, e.g. /compare 3y or /help; a number presses a button; /quit ends.")
            await converse(bot.application, terminal, screen.listen(prompt=True))
