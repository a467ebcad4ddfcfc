"""The commands chat and demo: the bot in the terminal, on the real database or on sample data.

The demo plays a story: questions in December 2020, then the clock goes back and runs through the autumn.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import os
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from prompt_toolkit import PromptSession
from prompt_toolkit.application import run_in_terminal
from prompt_toolkit.completion import WordCompleter
from prompt_toolkit.history import FileHistory
from prompt_toolkit.shortcuts import CompleteStyle

from bot import app
from bot.analytics.sources import SAMPLE
from bot.chat.commands import COMMANDS
from bot.cli import print_error
from bot.cli.console import log_briefly, open_exclusively, say, spinner
from bot.data.provider import sample_observations
from bot.data.store import store
from bot.errors import BotError
from bot.jobs.backup_files import refuse_lost_database
from bot.jobs.scheduler import TICK_SECONDS
from bot.local.terminal import PROMPT, LocalClock, Terminal, converse, printer, typed_lines
from bot.pair import DEFAULT_PAIR
from bot.text import date_phrase, short_date
from storage import observations
from storage.backup import row_counts
from storage.database import Database, DiskFault, open_database, refuse_link

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from bot.analytics.market import Market
    from bot.config import Config
    from bot.serving import Bot

    SetClock = Callable[[dt.datetime], None]


QUESTIONS_NOW = dt.datetime(2020, 12, 13, 18, tzinfo=dt.UTC)
DEMO_NOW = dt.datetime(2020, 9, 30, 22, tzinfo=dt.UTC)
_FIRST, _LAST = dt.datetime(2020, 1, 2, tzinfo=dt.UTC), dt.datetime(2020, 12, 30, 23, tzinfo=dt.UTC)
_QUESTIONS = ("/compare asof 2020-12-13", "/flows", "/multiples", "/why ytd")
_ORDERS = ("/alert ratio > sma200", "/summary on 17:30")
_SUMMARY = dt.timedelta(hours=2)  # after the close: past 17:30 New York
_MOST_SESSIONS = 60


class Screen:
    """Standard input and output: prints blocks of text and reads typed lines.

    At a terminal there is a prompt that completes commands and keeps a history in a file beside the database.
    """

    def __init__(self, database: Path) -> None:
        self._fault: OSError | None = None  # why standard output cannot be written, e.g. its reader has gone
        self._print = printer(sys.stdout)
        self._prompt: PromptSession[str] | None = None
        if sys.stdin.isatty() and sys.stdout.isatty():
            history = PrivateHistory(str(database.with_name(f"{database.name}.history")))
            names = WordCompleter([f"/{command.name}" for command in COMMANDS] + ["/quit"], sentence=True)
            style = CompleteStyle.READLINE_LIKE  # without a menu, which would scroll the answers away
            self._prompt = PromptSession(PROMPT, history=history, completer=names, complete_style=style)

    def show(self, block: str) -> None:
        """Print a block and an empty line, above the prompt if a line is being typed."""
        if self._prompt is not None and self._prompt.app.is_running:
            run_in_terminal(partial(self._write, block))
        else:
            self._write(block)

    def _write(self, block: str) -> None:
        try:
            self._print(block)
        except OSError as error:  # raised here, it would be handled as an error of Telegram
            self._fault = error

    async def listen(self, *, interactive: bool) -> AsyncIterator[str]:
        """Yield the lines of standard input. Raises OSError when the answers cannot be written."""
        lines = typed_lines(sys.stdin, prompt=interactive) if self._prompt is None else self._prompted_lines()
        async for line in lines:
            if self._fault:
                break
            yield line
        if self._fault:
            raise self._fault

    async def _prompted_lines(self) -> AsyncIterator[str]:
        with contextlib.suppress(EOFError):
            while self._prompt is not None:
                yield await self._prompt.prompt_async()


class PrivateHistory(FileHistory):
    """Typed lines in a file that only its owner may read. Errors of the file are ignored."""

    def load_history_strings(self) -> Iterable[str]:
        """Return the lines, newest first."""
        with contextlib.suppress(OSError, DiskFault):
            refuse_link(Path(os.fsdecode(self.filename)))
            return list(super().load_history_strings())
        return []

    def store_string(self, string: str) -> None:
        """Append a line."""
        with contextlib.suppress(OSError, DiskFault):
            refuse_link(Path(os.fsdecode(self.filename)))
            os.close(os.open(self.filename, os.O_CREAT | os.O_WRONLY, 0o600))
            super().store_string(string)


def chat(config: Config, *, now: dt.datetime | None, offline: bool, out: Path) -> int:
    """`chat`: talk to the bot in the terminal. Piped lines are answered one after the other."""
    log_briefly()
    interactive = sys.stdin.isatty()
    clock = LocalClock(now, running=interactive)
    with open_exclusively(config.storage.database, config.pair) as database:
        screen = Screen(config.storage.database)
        terminal = Terminal(screen.show, out, clock)
        bot = _local(config, database, terminal, clock, live=not offline)
        asyncio.run(_chat(bot, terminal, screen, interactive=interactive))
    return 0


def _local(config: Config, database: Database, terminal: Terminal, clock: LocalClock, *, live: bool) -> Bot:
    """Return the bot on a terminal in place of Telegram, where everybody may use it."""
    services = app.build_services(config.with_keys(access={"mode": "open"}), database, clock, live=live)
    return app.local_bot(services, terminal.api)


async def _chat(bot: Bot, terminal: Terminal, screen: Screen, *, interactive: bool) -> None:
    async with bot.application:
        with spinner("Asking the sources"):
            reports = await bot.scheduler.refresh()
        if interactive:
            say(_greeting(await bot.services.markets.current()))
        for report in reports:
            print_error(report)
        ticking = asyncio.create_task(_tick(bot)) if interactive else None
        await converse(bot.application, terminal, screen.listen(interactive=interactive))
        if ticking is not None:
            ticking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await ticking


def _greeting(market: Market) -> str:
    """Return of which market and close the chat is, and how to use it."""
    end = "no prices are stored yet" if market.end is None else f"close of {date_phrase(market.end)}"
    return f"{market.pair}, {end}. Type /help; a number presses a button; /quit ends."


async def _tick(bot: Bot) -> None:
    while True:
        await asyncio.sleep(TICK_SECONDS)
        await bot.scheduler.tick()


def demo(config: Config, *, database: Path | None, now: dt.datetime | None, out: Path) -> int:
    """`demo`: play the story on a throwaway database, then, at a terminal, answer what is typed."""
    log_briefly()
    start = now or DEMO_NOW
    if not _FIRST <= start <= _LAST:
        example = "Try --now 2020-09-30T22:00Z"
        raise BotError(f"The story runs in 2020; --now {start:%Y-%m-%d} is not in it. {example}")
    with contextlib.ExitStack() as stack:
        path = database
        if path is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bot-demo-"))
            path = Path(folder) / "demo.db"
        else:
            refuse_lost_database(config)
        refuse_real_data(path)
        opened = stack.enter_context(open_exclusively(path, DEFAULT_PAIR))
        clock = LocalClock(QUESTIONS_NOW, running=False)
        pair = {"small": DEFAULT_PAIR.small, "large": DEFAULT_PAIR.large}  # the sample market's
        screen, config = Screen(path), config.with_keys(storage={"database": path}, pair=pair)
        terminal = Terminal(screen.show, out, clock)
        bot = _local(config, opened, terminal, clock, live=False)
        asyncio.run(_demo(bot, terminal, screen, clock, start))
    return 0


async def _demo(bot: Bot, terminal: Terminal, screen: Screen, clock: LocalClock, start: dt.datetime) -> None:
    async with bot.application:
        await play(bot, terminal, screen.show, clock.set, start)
        if sys.stdin.isatty():
            words = f"The clock goes on to {short_date(QUESTIONS_NOW)}.\n"
            await _advance(bot, clock.set, QUESTIONS_NOW, words)  # when the whole market is known
            clock.go()
            say("Your turn: type commands, e.g. /compare 3y or /help; a number presses a button; /quit ends.")
            await converse(bot.application, terminal, screen.listen(interactive=True))


def refuse_real_data(path: Path) -> None:
    """Raise BotError if the database holds anything: the demo writes sample data."""
    if not path.exists():
        return
    with open_database(path, read_only=True) as database:
        stored = database.run_sync(lambda db: observations.first_observed(db) or row_counts(db)["chats"])
    if stored:
        raise BotError(f"{path} holds data or chats; the demo needs a new file, or none.")


async def play(
    bot: Bot, terminal: Terminal, echo: Callable[[str], None], set_clock: SetClock, start: dt.datetime
) -> None:
    """Play the story, its autumn from `start` on. `echo` shows the questions, `set_clock` moves the clock."""
    database = bot.services.database
    now = f"{QUESTIONS_NOW:%Y-%m-%dT%H:%M:%SZ}"
    await database.run(lambda db: store(db, sample_observations(), source=SAMPLE, observed_at=now))
    say("A sample market: published month-ends, simulated days between. Today is Sun 13 Dec 2020.\n")
    await converse(bot.application, terminal, _QUESTIONS, echo=echo)
    set_clock(start)
    say(f"The clock goes back to {short_date(start)} and runs session by session.\n")
    await converse(bot.application, terminal, _ORDERS[:1], echo=echo)
    fired = await _run_on(bot, set_clock, start)
    if fired:
        await converse(bot.application, terminal, _ORDERS[1:], echo=echo)
        sessions = bot.services.markets.sessions()
        session = sessions.next_after(sessions.last_completed(bot.services.clock()))
        words = f"  {date_phrase(session)}, 18:00 New York"
        await _advance(bot, set_clock, sessions.close(session) + _SUMMARY, words)
        await converse(bot.application, terminal, ("/alerts",), echo=echo)


async def _run_on(bot: Bot, set_clock: SetClock, start: dt.datetime) -> bool:
    """Advance from close to close until an alert fires. Returns whether one did."""
    sessions = bot.services.markets.sessions()
    session = sessions.last_completed(start)
    for _ in range(_MOST_SESSIONS):
        session = sessions.next_after(session)
        moment = sessions.close(session) + dt.timedelta(minutes=20)
        if moment > _LAST:
            break
        set_clock(moment)
        evaluation = await bot.scheduler.evaluate()
        fires = len(evaluation.fires)
        count = "an alert" if fires == 1 else f"{fires or 'no'} alerts"
        say(f"  {date_phrase(session)}: close evaluated, {count}")
        await bot.scheduler.drain()
        if evaluation.fires:
            return True
    say("No alert fired in this span.")
    return False


async def _advance(bot: Bot, set_clock: SetClock, moment: dt.datetime, words: str) -> None:
    """Move the clock to a moment, say so, and do what is due then."""
    set_clock(moment)
    say(words)
    await bot.scheduler.evaluate()
    await bot.scheduler.drain()
