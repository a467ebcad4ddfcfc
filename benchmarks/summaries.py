"""CPU time of 5,000 daily summaries that are due in the same minute, until they are queued to be sent.

    python -m benchmarks.summaries

On the sample market; in chats without alerts, whose texts are equal, and in fewer with 20 alerts each, whose
texts all differ. Also the longest time for which the database was held, in which no command gets an answer.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import judging
from benchmarks.results import Result
from bot.config import Config
from bot.data.load import Markets
from bot.jobs.summaries import Summaries
from bot.services import Services
from storage.database import Database, open_database

if TYPE_CHECKING:
    from collections.abc import Callable

    import sqlite_utils

RUNS, CHATS = 5, 5_000
CHATS_WITH_ALERTS, ALERTS_EACH = 250, 20
LONGEST_HOLD = 20.0  # ms
BEFORE = dt.datetime(2020, 10, 5, 22, 29, tzinfo=dt.UTC)  # 18:29 in New York
DUE = BEFORE + dt.timedelta(minutes=1)


@contextmanager
def holds(into: list[float]) -> Iterator[None]:
    """Collect for how many milliseconds of CPU each use of a database held it."""
    call = Database._call  # noqa: SLF001 - the one place where storage functions are called

    def timed(self: Database, fn: Callable[[sqlite_utils.Database], object], plain: bool) -> object:
        begun = time.thread_time()
        try:
            return call(self, fn, plain)
        finally:
            into.append(1000 * (time.thread_time() - begun))

    Database._call = timed  # type: ignore[method-assign,assignment]  # noqa: SLF001 - as above
    try:
        yield
    finally:
        Database._call = call  # type: ignore[method-assign]  # noqa: SLF001 - as above


def run(quick: bool = False) -> list[Result]:
    """Return all figures."""
    chats, with_alerts, runs = (100, 10, 1) if quick else (CHATS, CHATS_WITH_ALERTS, RUNS)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bot.db"
        asyncio.run(judging.build(path, with_alerts * ALERTS_EACH, 0.01))
        different = asyncio.run(_measured(path, with_alerts, runs))
        with open_database(path) as database:
            database.run_sync(partial(_only_chats, count=chats))
        equal = asyncio.run(_measured(path, chats, runs))
    held, alerts = "longest hold of the database meanwhile", f"with {ALERTS_EACH} alerts in each chat"
    return [
        Result(f"{chats:,} summaries due in one minute", equal[0], "s CPU", 1.0),
        Result(held, equal[1], "ms CPU", LONGEST_HOLD),
        Result(f"a summary {alerts}", 1000 * different[0] / with_alerts, "ms CPU"),
        Result(f"{held}, {alerts}", different[1], "ms CPU", LONGEST_HOLD),
    ]


def _only_chats(db: sqlite_utils.Database, count: int) -> None:
    """Leave so many chats, without alerts."""
    db.execute("DELETE FROM chats")
    rows = ((chat, "private", "2020-10-05T22:29:30Z") for chat in range(1, count + 1))
    db.conn.executemany("INSERT INTO chats (chat_id, kind, created_at) VALUES (?, ?, ?)", rows)


async def _measured(path: Path, chats: int, runs: int) -> tuple[float, float]:
    """Return medians of the seconds of CPU and of the longest hold."""
    seconds, longest = [], []
    for _ in range(runs):
        now = [BEFORE]
        with open_database(path) as database:
            clock = partial(now.__getitem__, 0)
            services = Services(Config(), database, Markets(database, clock), clock, live=False)
            await database.run(_reset)
            summaries = Summaries(services)
            await summaries.run()  # as a tick before
            await services.markets.current()  # reading the Market is measured elsewhere
            now[0], held = DUE, list[float]()
            begun = time.process_time()
            with holds(held):
                count = await summaries.run()
            seconds.append(time.process_time() - begun)
            longest.append(max(held))
        if count != chats:
            raise RuntimeError(f"{count} of {chats} summaries were queued")
    return statistics.median(seconds), statistics.median(longest)


def _reset(db: sqlite_utils.Database) -> None:
    """Let every chat want its summary, and none have it."""
    for table in ("outbox", "summaries"):
        db.execute(f"DELETE FROM {table}")  # noqa: S608 - fixed names
    db.execute("UPDATE chats SET summary_at = '18:30', timezone = NULL, created_at = '2020-10-05T22:29:30Z'")


if __name__ == "__main__":
    for result in run():
        print(result)
