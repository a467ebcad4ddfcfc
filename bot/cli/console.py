"""What all commands share: output, logs, the clock, and the ways to open the database.

Answers go to standard output, progress and logs to standard error.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import itertools
import logging
import sys
import time
from functools import partial
from typing import TYPE_CHECKING

from bot.concurrency import Backoff
from bot.errors import BotError
from bot.pair import DEFAULT_PAIR, Pair
from storage import sources
from storage.database import TWO_WRITERS_SAFE, Database, DiskFault, DiskFull, hold_lock, open_database
from storage.records import get_meta, set_meta

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    import sqlite_utils


_log = logging.getLogger(__name__)
_sleep = time.sleep


def say(text: str) -> None:
    """Write a line to standard output."""
    print(text, flush=True)  # noqa: T201 - the command's output


def spinner(words: str) -> AbstractContextManager[object]:
    """Show a spinner and a few words while the block runs. Without a terminal nothing is shown."""
    if not sys.stderr.isatty():
        return contextlib.nullcontext()
    from rich.console import Console  # noqa: PLC0415 - only a terminal needs it

    return Console(stderr=True).status(words)


def log_briefly() -> None:
    """Log warnings to standard error, one line each, without tracebacks."""
    handler = logging.StreamHandler()
    handler.setFormatter(_BriefFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    # What yfinance warns about is in the report of each source.
    logging.getLogger("yfinance").setLevel(logging.CRITICAL)


def log_fully(level: str) -> None:
    """Log everything from `level` up to standard error, with tracebacks and warnings."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler])
    logging.captureWarnings(True)
    if level != "debug":  # at INFO these log each request and each tick
        for noisy in ("httpx", "httpcore", "apscheduler"):
            logging.getLogger(noisy).setLevel(logging.WARNING)


class _BriefFormatter(logging.Formatter):
    """Formats a record as one line that ends with the text of its error."""

    def format(self, record: logging.LogRecord) -> str:
        error = record.exc_info[1] if record.exc_info else None
        reason = f" ({type(error).__name__}: {error})" if error else ""
        return " ".join(f"{record.levelname.lower()}: {record.getMessage()}{reason}".split())


_PAIR = "pair"  # the key under which the database stores its pair
DISK_RETRIES = Backoff(dt.timedelta(seconds=1), dt.timedelta(seconds=30))  # between two tries on a full disk


@contextlib.contextmanager
def open_exclusively(path: Path, pair: Pair) -> Iterator[Database]:
    """Lock and open the pair's database. Raises DatabaseBusy while another process has it."""
    with hold_lock(path), open_locked(path, pair) as database:
        yield database


@contextlib.contextmanager
def open_locked(path: Path, pair: Pair) -> Iterator[Database]:
    """Open the pair's database for a process that holds the lock. Raises BotError if it is another pair's.

    The first heartbeat is stored here: with an old one, `doctor` would take this process for a stuck one. A
    full disk is ignored here; the bot reports it and waits for room.
    """
    with open_database(path) as database:
        database.run_sync(partial(assign_pair, pair=pair))
        with contextlib.suppress(DiskFault, DiskFull):
            database.run_sync(partial(sources.record_heartbeat, now=dt.datetime.now(dt.UTC)))
        yield database


@contextlib.contextmanager
def open_when_there_is_room(path: Path, pair: Pair) -> Iterator[Database]:
    """Open the pair's database for `run`. Waits on a full disk: a bot that ended would only be restarted."""
    with contextlib.ExitStack() as stack:
        for failures in itertools.count():
            try:
                database = stack.enter_context(open_locked(path, pair))
            except DiskFull as error:
                wait = DISK_RETRIES.wait(failures).total_seconds()
                _log.error("%s Next try in %.0f s", error, wait)
                _sleep(wait)
            else:
                break
        yield database


@contextlib.contextmanager
def open_beside_the_bot(path: Path, pair: Pair) -> Iterator[Database]:
    """Open the pair's database for import and refresh. Raises BotError if it is another pair's."""
    is_new = not path.exists()
    with beside_the_bot(path), open_database(path) as database:
        if is_new:
            say(f"{path} is a new database.")
        database.run_sync(partial(assign_pair, pair=pair))
        yield database


def beside_the_bot(path: Path) -> AbstractContextManager[object]:
    """Return the lock under which import, refresh and backup run, if they need one.

    Only an SQLite with the WAL-reset bug needs it: then the bot has to be stopped first.
    """
    return contextlib.nullcontext() if TWO_WRITERS_SAFE or not path.exists() else hold_lock(path)


def assign_pair(db: sqlite_utils.Database, pair: Pair) -> None:
    """Store in a new database which pair it is for.

    Raises ConfigError for a pair that cannot be used, and BotError if the database is for another pair.
    """
    refuse_other_pair(db, pair)
    if get_meta(db, _PAIR) is None:
        refuse_reserved(pair)
        set_meta(db, _PAIR, " ".join(pair.tickers))


def refuse_reserved(pair: Pair) -> None:
    """Raise ConfigError for tickers that are words of the rule grammar."""
    if pair != DEFAULT_PAIR:
        from bot.services.questions import refuse_reserved_tickers  # noqa: PLC0415 - late: it takes a second

        refuse_reserved_tickers(pair)


def refuse_other_pair(db: sqlite_utils.Database, pair: Pair) -> None:
    """Raise BotError if the database was made for another pair."""
    stored = get_meta(db, _PAIR)
    if stored is not None and stored != " ".join(pair.tickers):
        small, large = stored.split()
        raise BotError(
            pair.fill("The config compares {small} and {large}, ")
            + f"but this database was made for {small} and {large}, so nothing was done. Name another file, "
            f'e.g. --db new.db, or write small = "{small}" and large = "{large}" below [pair].'
        )
