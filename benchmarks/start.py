"""Start, idle memory and import of the bot, beside a bare python-telegram-bot echo bot in the same run.

    python -m benchmarks.start [--rounds 5] [--charts 300]

Both are processes of their own on the fake Bot API; starts alternate. Starting is measured until the first
getUpdates arrives. Memory is the proportional set size of a process and its children: some seconds after an
answer, after so many charts, and after the process that draws them has ended, for which its idle time is
shortened. The database holds made-up prices of both funds since 2000, which are imported by the command line.
CPU is that of the processes, so that other work on the machine counts little.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from benchmarks.results import Result, compared
from bot.analytics.sessions import Sessions
from bot.data.load import build_market, read_frames
from storage.database import open_database
from tests.fakes.botapi import FakeBotApi

FIRST = "2000-05-26"  # when IWM began
PEER = """
import sys
from telegram import Update
from telegram.ext import Application, MessageHandler, filters
async def echo(update, context):
    await update.message.reply_text(update.message.text)
root, token = sys.argv[1:]
application = Application.builder().token(token).base_url(f"{root}/bot").build()
application.add_handler(MessageHandler(filters.TEXT, echo))
application.run_polling()
"""
BOT = """
import dataclasses, sys
from bot import concurrency
from bot.cli import main
limits = dataclasses.replace(concurrency.CHART_LIMITS, idle_seconds=float(sys.argv.pop(1)))
concurrency.ChartRenderer.__init__.__kwdefaults__["limits"] = limits
sys.exit(main())
"""
USUAL_IDLE = 300.0  # of the chart process, in seconds
SHORT_IDLE = 5.0
SETTLING = 5.0  # seconds after an answer, for what follows it
PATIENCE = 60.0
PERSON, CHARTS_EACH = 1_000, 20  # within the quota of commands


class Process(NamedTuple):
    """One bot that polls: its process, and the wall and CPU seconds until its first getUpdates."""

    process: asyncio.subprocess.Process
    wall: float
    cpu: float


def run(quick: bool = False) -> list[Result]:
    """Return all figures."""
    return measure(1, 10) if quick else measure()


def measure(rounds: int = 5, charts: int = 300) -> list[Result]:
    """Return all figures, medians of so many rounds."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        return [*_imports(folder, rounds), *asyncio.run(_bots(folder, rounds, charts))]


def write_prices(file: Path, ticker: str) -> Path:
    """Write made-up daily prices of both funds' years as a CSV file, with quarterly distributions."""
    rng, sessions, price = random.Random(ticker), Sessions(), 100.0
    days = sessions.between(pd.Timestamp(FIRST), sessions.last_completed(dt.datetime.now(dt.UTC)))
    lines = ["Date,Open,High,Low,Close,Volume,Dividends,Stock Splits"]
    for number, day in enumerate(days):
        before, price = price, round(price * (1 + rng.gauss(0.0003, 0.01)), 2)
        high, low = max(before, price) + 0.25, min(before, price) - 0.25
        dividend = 0.3 if number % 63 == 62 else 0.0
        volume = rng.randrange(10**6, 10**8)
        lines.append(f"{day:%Y-%m-%d},{before:.2f},{high:.2f},{low:.2f},{price:.2f},{volume},{dividend},0.0")
    file.write_text("\n".join(lines) + "\n")
    return file


def _cpu_of(*arguments: str) -> float:
    """Return the CPU seconds of a Python process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=_environment())  # noqa: S603 - ours
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _environment() -> dict[str, str]:
    """Return the environment in which compiled code is kept, as where the bot is installed."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def _imports(folder: Path, rounds: int) -> list[Result]:
    files = {ticker: write_prices(folder / f"{ticker}.csv", ticker) for ticker in ("IWM", "SPY")}
    both = []
    for _ in range(rounds + 1):  # the first one compiles
        database = folder / "bot.db"
        database.unlink(missing_ok=True)
        commands = [
            ("-m", "bot", "import", "prices", str(file), "--ticker", ticker, "--db", str(database))
            for ticker, file in files.items()
        ]
        both.append(sum(_cpu_of(*command) for command in commands))
    floor = [2 * _cpu_of("-c", "import pandas") for _ in range(rounds)]
    with open_database(folder / "bot.db", read_only=True) as stored:
        reading = []
        for _ in range(rounds + 1):
            began, sessions = time.process_time(), Sessions()
            build_market(stored.run_sync(read_frames), sessions, dt.datetime.now(dt.UTC))
            reading.append(time.process_time() - began)
    return [
        Result("import of 26 years of both funds", statistics.median(both[1:]), "s CPU", 1.0),
        compared("the same beside two processes that import pandas", "s CPU", both[1:], floor, 1.3),
        Result("reading and building the Market", statistics.median(reading[1:]), "s CPU", 0.06),
    ]


async def _bots(folder: Path, rounds: int, charts: int) -> list[Result]:
    """Return what is measured of running bots."""
    async with FakeBotApi(poll_limit=30) as api:
        peer = ("-c", PEER, api.root, api.token)
        config = folder / "config.toml"
        config.write_text(
            f'[telegram]\ntoken = "{api.token}"\nbase_url = "{api.root}"\n[storage]\ndatabase = "bot.db"\n'
            '[access]\nmode = "open"\n[sources]\nyahoo = false\n[issuer]\nfetch = false\n'
        )
        config.chmod(0o600)
        ours = ("-c", BOT, str(USUAL_IDLE), "run", "--config", str(config))
        starts: dict[bool, list[Process]] = {True: [], False: []}
        memory: dict[bool, list[float]] = {True: [], False: []}
        for number in range(rounds + 1):
            for own, arguments in ((False, peer), (True, ours)):
                async with _running(api, arguments) as bot:
                    await _ask(api, PERSON, "/about")
                    await asyncio.sleep(SETTLING)
                    if number:  # the first one compiles
                        starts[own].append(bot)
                        memory[own].append(_memory(bot.process.pid))
        drawn, idle = await _charts(api, ours, charts)
    bare = memory[False]
    ours_started, peers_started = starts[True], starts[False]
    return [
        compared(
            "start to the first getUpdates",
            "s",
            [bot.wall for bot in ours_started],
            [bot.wall for bot in peers_started],
            1.5,
        ),
        compared(
            "start to the first getUpdates",
            "s CPU",
            [bot.cpu for bot in ours_started],
            [bot.cpu for bot in peers_started],
            1.5,
        ),
        compared("memory when idle", "MB", memory[True], bare, 2.5),
        compared(f"memory after {charts} charts", "MB", [drawn], bare, 4.0),
        compared("memory when idle after charts", "MB", [idle], bare, 2.5),
    ]


@asynccontextmanager
async def _running(api: FakeBotApi, arguments: tuple[str, ...]) -> AsyncIterator[Process]:
    """Start a bot and wait for its first getUpdates. It is ended with the block."""
    api.requests.clear()
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, env=_environment(), stderr=asyncio.subprocess.DEVNULL
    )
    try:
        await api.until(lambda: api.calls("getUpdates"), PATIENCE)
        yield Process(process, time.perf_counter() - began, _cpu_seconds(process.pid))
    finally:
        process.terminate()
        await process.wait()


async def _ask(api: FakeBotApi, person: int, line: str) -> None:
    """Send a line to the bot and wait for the answer."""
    api.chat(person)
    before = len(api.messages(person))
    api.say(person, line)
    await api.until(lambda: len(api.messages(person)) > before, PATIENCE)


def _photos(api: FakeBotApi) -> int:
    return len(api.calls("sendPhoto")) + len(api.calls("editMessageMedia"))


async def _until_photos(api: FakeBotApi, count: int) -> None:
    await api.until(lambda: _photos(api) >= count, PATIENCE)


async def _charts(api: FakeBotApi, ours: tuple[str, ...], count: int) -> tuple[float, float]:
    """Return the memory after so many different charts, and after the process that drew them has ended."""
    arguments = tuple(str(SHORT_IDLE) if part == str(USUAL_IDLE) else part for part in ours)
    async with _running(api, arguments) as bot:
        for number in range(count):
            day = dt.date(2020, 1, 2) - dt.timedelta(days=7 * number)
            person, sent = PERSON + 1 + number // CHARTS_EACH, _photos(api)
            await _ask(api, person, f"/{('trend', 'compare')[number % 2]} asof {day}")
            await _until_photos(api, sent + 1)
        drawn = _memory(bot.process.pid)
        async with asyncio.timeout(PATIENCE):
            while any(map(_is_job_process, _children(bot.process.pid))):  # noqa: ASYNC110 - another process
                await asyncio.sleep(1)
        await asyncio.sleep(SETTLING)
        return drawn, _memory(bot.process.pid)


def _cpu_seconds(pid: int) -> float:
    """Return the CPU seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def _is_job_process(pid: int) -> bool:
    """Return whether a process draws charts."""
    return b"serve_jobs" in Path(f"/proc/{pid}/cmdline").read_bytes()


def _memory(pid: int) -> float:
    """Return the proportional set size of a process and its children, in MB."""
    (line,) = (line for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines() if line.startswith("Pss:"))
    return int(line.split()[1]) / 1024 + sum(map(_memory, _children(pid)))


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="of which medians are taken (5)")
    parser.add_argument("--charts", type=int, default=300, help="that are drawn (300)")
    options = parser.parse_args()
    for result in measure(options.rounds, options.charts):
        print(result)


if __name__ == "__main__":
    main()
