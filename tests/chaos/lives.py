"""The bot's lives: a warm process that forks one for each order read from standard input.

    {"database": ..., "root": ..., "token": ..., "now": ISO instant, "kill_at": statement or 0}

It answers with two lines a life: its process id, and what waitpid said when it had ended. What a life is
made of is the product's own: the lock, the database, the Application, the poller, the scheduler. Changed are
the clock (SPEED times as fast, from the instant of the order), the ticks (as short) and the source of prices.
All messages share one slot in PACE seconds, so that most of them wait for theirs; a file names the chat of
each slot that was granted.
"""

import asyncio
import datetime as dt
import json
import logging
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any, cast

from bot import app, serving
from bot.analytics.sessions import Sessions
from bot.cli.console import open_locked
from bot.config import Config
from bot.delivery.rate_limiter import Budget, ChatId, SendBudget, SlidingWindow
from bot.jobs import scheduler
from storage import database as db
from storage.database import hold_lock
from tests.chaos import script

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # threads would not survive the fork


SPEED = 60.0
TICK = 0.1
PACE = 2.0
DIED_AT = ".died"  # the suffix of the file that names the statement
SLOTS = ".slots"  # the suffix of the file that names the chats
READING = ("SELECT", "PRAGMA", "--", "EXPLAIN")  # a kill before one is a kill after the write before it


class NotedBudget(Budget):
    """A budget that writes each slot down before anybody knows of it."""

    def __init__(self, note: Path) -> None:
        super().__init__(SlidingWindow(1, PACE))
        self._note = note.open("ab", buffering=0)

    def record(self, chat: ChatId, now: float) -> None:
        """Count a message and write its chat down."""
        super().record(chat, now)
        self._note.write(f"{chat}\n".encode())


def live(order: dict[str, Any]) -> None:
    """One life: `run` on the order's database, until a signal or the statement at which it is to die."""
    began, start = time.monotonic(), dt.datetime.fromisoformat(order["now"])

    def fast() -> float:
        return (time.monotonic() - began) * SPEED

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(seconds / SPEED)

    logging.disable(logging.CRITICAL)  # faults are the point, and skipped ticks no news
    scheduler.TICK_SECONDS, scheduler.FIRST_SECONDS = cast(Any, TICK), cast(Any, 0)
    vars(scheduler)["OUTBOX_KEPT"] = dt.timedelta(days=10_000)  # the verdict wants to see every row
    vars(app)["build_providers"] = lambda config: [script.Script()]  # noqa: ARG005 - the config names none
    if order["kill_at"]:
        _die_at(order["kill_at"], Path(order["database"]).with_suffix(DIED_AT))
    config = Config().with_keys(
        telegram={"token": order["token"], "base_url": order["root"]},
        storage={"database": Path(order["database"])},
        access={"mode": "open", "owner": script.OWNER},
        sources={"yahoo": False},
    )
    with hold_lock(config.storage.database), open_locked(config.storage.database, config.pair) as database:
        limiter = SendBudget(monotonic=fast, sleep=sleep)
        limiter.budget = NotedBudget(config.storage.database.with_suffix(SLOTS))
        clock = lambda: start + dt.timedelta(seconds=fast())  # noqa: E731 - a clock is a function
        link = serving.link_to_telegram(config, database, clock, limiter)
        if fault := serving.run_bot(link, lambda: app.telegram_bot(link)):
            raise RuntimeError(fault)


def _die_at(number: int, note: Path) -> None:
    """Die with the n-th statement that writes, before it is run and once it is noted."""
    seen = 0
    connect = db.connect

    def counting(statement: str) -> None:
        nonlocal seen
        if not statement.lstrip().upper().startswith(READING):
            seen += 1
            if seen == number:
                note.write_text(statement)
                os.kill(os.getpid(), signal.SIGKILL)

    def connected(path: Path, *, read_only: bool) -> Any:  # noqa: ANN401 - sqlite_utils.Database
        opened = connect(path, read_only=read_only)
        opened.conn.set_trace_callback(counting)
        return opened

    vars(db)["connect"] = connected


def main() -> None:
    """Serve orders until standard input ends."""
    Sessions()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                live(json.loads(line))
                os._exit(0)
            except BaseException:  # noqa: BLE001 - told by the exit code
                traceback.print_exc()
                os._exit(1)
        print(child, flush=True)  # noqa: T201 - the answer
        print(os.waitpid(child, 0)[1], flush=True)  # noqa: T201 - the answer


if __name__ == "__main__":
    main()
