"""The bot for 30 days with 10,000 alerts, then 24 hours of requests: python -m tests.soak.

Time is simulated: a tick each two minutes (--every), the sessions of October 2020; then two requests a minute
(--pause) at the fake Bot API, by the real python-telegram-bot. After each day, then after each hour, what
the process holds is counted. Exit code 1 unless it is flat after the first: at most 2% more memory at the
end, no handle, task or picture more, and no more connections and threads than their pools allow.
"""

import argparse
import asyncio
import ctypes
import datetime as dt
import gc
import logging
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import astuple, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from benchmarks import judging
from bot import app, serving
from bot.analytics.sources import SAMPLE
from bot.chat.updates import Poller
from bot.cli import share_heap
from bot.config import Config
from bot.data.provider import Empty, FetchOutcome, Provider, sample_observations
from bot.data.store import store
from bot.delivery.rate_limiter import SendBudget
from bot.services import context_of
from storage.database import open_database
from tests.fakes.botapi import FakeBotApi

MOST_GROWTH, MOST_CONNECTIONS, MOST_THREADS = 0.02, 40, 16
PERSON = 2  # has two of the alerts
LINES = ("/compare", "/chart ratio 1y", "/flows", "/alerts", "/why 1", "/trend", "/help", "/status", "/alert")


@dataclass(frozen=True)
class Held:
    """What the process holds; of tasks and connections, the fake's own are not counted."""

    memory: int  # kB, resident
    blocks: int  # of Python's memory
    files: int
    tasks: int
    pictures: int
    connections: int
    threads: int

    def __str__(self) -> str:
        return (
            f"{self.memory / 1024:.1f} MB in {self.blocks:,} blocks, {self.files} files, {self.tasks} tasks, "
            f"{self.pictures} pictures, {self.connections} connections, {self.threads} threads"
        )

    def is_flat(self, first: "Held") -> bool:
        """Whether it is no more than at first."""
        return (
            self.growth(first) <= MOST_GROWTH
            and all(now <= before for now, before in zip(astuple(self)[2:5], astuple(first)[2:5], strict=True))
            and self.connections <= MOST_CONNECTIONS
            and self.threads <= MOST_THREADS
        )

    def growth(self, first: "Held") -> float:
        """By which share the memory has grown."""
        return max(self.memory / first.memory, self.blocks / first.blocks) - 1


def held(api: FakeBotApi) -> Held:
    """Count, after the garbage was given back."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    handles = [_target(file) for file in Path("/proc/self/fd").iterdir()]
    sockets, served = sum(target.startswith("socket:") for target in handles), len(api._connections)
    return Held(
        pages * os.sysconf("SC_PAGE_SIZE") // 1024,
        sys.getallocatedblocks(),
        len(handles) - sockets,
        len(asyncio.all_tasks()) - served,
        sum(isinstance(thing, Figure) for thing in gc.get_objects()),
        sockets - served,
        threading.active_count(),
    )


def _target(handle: Path) -> str:
    try:
        return str(handle.readlink())
    except OSError:  # that of the folder itself
        return ""


class Quiet(Provider):
    """A source that is asked as any other, and has nothing new."""

    name, label, serves, tickers = "quiet", "Quiet", ("prices",), ("IWM", "SPY")

    def prices(self, ticker: str, start: dt.date | None, completed: pd.DatetimeIndex) -> FetchOutcome:
        """Nothing."""
        del ticker, start, completed
        return Empty()


class Soak:
    """A bot on simulated time."""

    def __init__(self, bot: serving.Bot, api: FakeBotApi, now: list[dt.datetime]) -> None:
        self.bot, self.api, self.now = bot, api, now
        self._last = 0

    async def day(self, every: int) -> None:
        """Ticks, each so many seconds."""
        for _ in range(86_400 // every):
            await self.bot.scheduler.tick()
            self.now[0] += dt.timedelta(seconds=every)
        self._forget()

    async def hour(self, pause: int) -> None:
        """Requests, each answered, so many seconds apart, with a tick after every second one."""
        for number in range(3_600 // pause):
            text = LINES[number % len(LINES)]
            self._last = self.api.last_message_id + 1  # the person's own
            self.api.say(PERSON, text)
            await self.api.wait_for_message(lambda message: message.message_id > self._last, 60.0)
            self.now[0] += dt.timedelta(seconds=pause)
            if number % 2:
                await self.bot.scheduler.tick()
        self._forget()

    def _forget(self) -> None:
        """Let the fake forget what it would keep for tests."""
        for kept in (self.api.requests, self.api.history, self.api.files):
            kept.clear()


async def soak(folder: Path, options: argparse.Namespace) -> bool:
    """Run the bot and print what it holds; whether that is flat."""
    now, passed = [judging.MADE], [0.0]
    vars(app)["build_providers"] = lambda _: [Quiet()]

    async def leap(seconds: float) -> None:
        passed[0] += seconds

    limiter = SendBudget(monotonic=lambda: passed[0] + now[0].timestamp(), sleep=leap)
    with open_database(folder / "bot.db") as database:
        async with FakeBotApi() as api:
            api.message_limit = api.file_limit = 500
            config = Config().with_keys(
                telegram={"token": api.token, "base_url": api.root},
                storage={"database": folder / "bot.db"},
                access={"mode": "open"},
            )
            bot = app.telegram_bot(serving.link_to_telegram(config, database, lambda: now[0], limiter))
            await _fill(bot, options.alerts)
            for chat_id in range(1, options.alerts // 2 + 2):
                api.chat(chat_id)
            async with bot.application:
                await bot.application.start()
                polling = asyncio.create_task(Poller(bot.application.bot, bot.application.update_queue).run())
                run = Soak(bot, api, now)
                flat = await _measured(bot, api, "day", options.days, lambda: run.day(options.every))
                flat &= await _measured(bot, api, "hour", options.hours, lambda: run.hour(options.pause))
                polling.cancel()
                await asyncio.gather(polling, return_exceptions=True)
                await bot.application.stop()
    return flat


async def _fill(bot: serving.Bot, alerts: int) -> None:
    services, sample = bot.services, partial(store, rows=sample_observations(), source=SAMPLE)
    await services.database.run(partial(sample, observed_at="2020-01-01T00:00:00Z"))
    context = context_of(await services.markets.current(), services.markets)
    made = await asyncio.to_thread(lambda: list(judging.alerts(alerts, None, context)))
    await services.database.run(partial(judging.insert, made=made))


async def _rest(bot: serving.Bot) -> None:
    """Wait until every answer is given."""
    while bot.application.update_processor.current_concurrent_updates:  # noqa: ASYNC110 - the library's count
        await asyncio.sleep(0.1)
    await asyncio.sleep(0.5)


async def _measured(
    bot: serving.Bot, api: FakeBotApi, word: str, count: int, work: Callable[[], Coroutine[Any, Any, None]]
) -> bool:
    """Do the work so many times, counting and printing after each; whether nothing grew after the first."""
    counts = list[Held]()
    for number in range(1, count + 1):
        began = time.process_time()
        await work()
        await _rest(bot)
        counts.append(held(api))
        print(f"{word} {number}: {counts[-1]} ({time.process_time() - began:.0f} s)", flush=True)  # noqa: T201 - the command's voice
    growth = counts[-1].growth(counts[0])
    print(f"growth after the first {word}: {growth:.1%} (at most {MOST_GROWTH:.0%})", flush=True)  # noqa: T201 - as above
    return counts[-1].is_flat(counts[0])


def main() -> int:
    """Run and report."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--alerts", type=int, default=10_000)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--hours", type=int, default=24)
    parser.add_argument("--every", type=int, default=120, help="seconds from tick to tick")
    parser.add_argument("--pause", type=int, default=30, help="seconds from request to request")
    options = parser.parse_args()
    share_heap()
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        return int(not asyncio.run(soak(Path(folder), options)))


if __name__ == "__main__":
    sys.exit(main())
