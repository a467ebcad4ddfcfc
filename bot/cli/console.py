"""The console: answers on standard output, progress and logs on standard error, and the clock.

How a command opens the database: exclusively, or beside a running bot.
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

from rich.console import Console

from bot.concurrency import Backoff
from bot.errors import BotError
from bot.pair import DEFAULT_PAIR
from storage import sources
from storage.connection import TWO_WRITERS_SAFE, DiskFault, DiskFull, hold_lock
from storage.db import open_database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    import sqlite_utils

    from bot.pair import Pair
    from storage.db import Database


def say(text: str) -> None:
    """Write a line to standard output."""
    print(text, flush=True)  # noqa: T201 - the command line's voice


def say_aside(text: object) -> None:
    """Write a line to standard error, beside answers that may be piped on."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - the command line's voice


def busy(words: str) -> AbstractContextManager[object]:
    """Show a spinner and a few words while the block runs; nothing without a terminal."""
    return Console(stderr=True).status(words)


def log_briefly() -> None:
    """Log warnings to standard error, one line each, without tracebacks."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Brief())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    # Our own report says in one line a source what yfinance warns about.
    logging.getLogger("yfinance").setLevel(logging.CRITICAL)


def log_fully(level: str) -> None:
    """Log everything from `level` on to standard error, with tracebacks and warnings."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler])
    logging.captureWarnings(True)
    if level != "debug":  # at INFO these log every request and every tick
        for noisy in ("httpx", "httpcore", "apscheduler"):
            logging.getLogger(noisy).setLevel(logging.WARNING)


class _Brief(logging.Formatter):
    """Formats a record as one line that ends with the text of its error."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, e.g. "error: an update failed (StorageError: The disk is full)"."""
        error = record.exc_info[1] if record.exc_info else None
        why = f" ({type(error).__name__}: {error})" if error else ""
        return " ".join(f"{record.levelname.lower()}: {record.getMessage()}{why}".split())


class Clock:
    """The terminal's clock: it starts at `start` (else now) and runs, or stands still where it was set."""

    def __init__(self, start: dt.datetime | None, *, running: bool) -> None:
        self.start = start
        self.running = running
        self._since = time.monotonic()

    def __call__(self) -> dt.datetime:
        """Return the instant in UTC."""
        if self.start is None:
            return dt.datetime.now(dt.UTC)
        passed = time.monotonic() - self._since if self.running else 0.0
        return self.start + dt.timedelta(seconds=passed)

    def set(self, moment: dt.datetime) -> None:
        """Set the clock."""
        self.start, self._since = moment, time.monotonic()

    def go(self) -> None:
        """Let the clock run from where it stands."""
        self._since, self.running = time.monotonic(), True


_log = logging.getLogger(__name__)
_sleep = time.sleep
_PAIR = "pair"  # what the note of the pair is called in storage
RETRIES = Backoff(
    dt.timedelta(seconds=1), dt.timedelta(seconds=30)
)  # between two looks whether there is room


@contextlib.contextmanager
def open_exclusively(path: Path, pair: Pair) -> Iterator[Database]:
    """Open and lock the pair's database; raises DatabaseBusy while another process has it."""
    with hold_lock(path), open_locked(path, pair) as database:
        yield database


@contextlib.contextmanager
def open_locked(path: Path, pair: Pair) -> Iterator[Database]:
    """Open the pair's database for a process that holds the lock; BotError for another pair's.

    Its heartbeat begins here: an old one would make `doctor` take this process for a stuck one. A full
    disk does not end the process here, before anybody was told: the bot waits for room.
    """
    with open_database(path) as database:
        database.run_sync(partial(claim, pair=pair))
        with contextlib.suppress(DiskFault, DiskFull):
            database.run_sync(partial(sources.record_heartbeat, now=dt.datetime.now(dt.UTC)))
        yield database


@contextlib.contextmanager
def open_when_there_is_room(path: Path, pair: Pair) -> Iterator[Database]:
    """Open the pair's database for `run`; on a full disk wait for room: to end would mean to be restarted."""
    with contextlib.ExitStack() as stack:
        for failures in itertools.count():
            try:
                database = stack.enter_context(open_locked(path, pair))
            except DiskFull as error:
                wait = RETRIES.seconds(failures)
                _log.error("%s Next look in %.0f s", error, wait)
                _sleep(wait)
            else:
                break
        yield database


@contextlib.contextmanager
def open_beside_the_bot(path: Path, pair: Pair) -> Iterator[Database]:
    """Open the pair's database for import and refresh; BotError for another pair's."""
    with beside_the_bot(path), open_database(path) as database:
        database.run_sync(partial(claim, pair=pair))
        yield database


def beside_the_bot(path: Path) -> AbstractContextManager[object]:
    """Return what import, refresh and backup run under: the lock only where SQLite has the WAL-reset bug.

    With that bug no second process may use the file, so that the bot has to be stopped first.
    """
    return contextlib.nullcontext() if TWO_WRITERS_SAFE or not path.exists() else hold_lock(path)


def claim(db: sqlite_utils.Database, pair: Pair) -> None:
    """Note in a new database which pair it is for.

    Raises ConfigError for a pair that cannot be, BotError where the database is for another one.
    """
    refuse_other_pair(db, pair)
    if sources.get_meta(db, _PAIR) is None:
        refuse_reserved(pair)
        sources.set_meta(db, _PAIR, _note_of(pair))


def refuse_reserved(pair: Pair) -> None:
    """Raise ConfigError for tickers that are words of the grammar."""
    if pair != DEFAULT_PAIR:
        from bot.services.questions import refuse_reserved_tickers  # noqa: PLC0415 - late: it takes a second

        refuse_reserved_tickers(pair)


def refuse_other_pair(db: sqlite_utils.Database, pair: Pair) -> None:
    """Raise BotError where the database was made for another pair."""
    noted = sources.get_meta(db, _PAIR)
    if noted is None or noted == _note_of(pair):
        return
    small, large = noted.split()
    raise BotError(
        pair.fill("The config compares {small} and {large}, ")
        + f"but this database was made for {small} and {large}, so nothing was done. Name another file, "
        f'e.g. --db new.db, or write small = "{small}" and large = "{large}" below [pair].'
    )


def _note_of(pair: Pair) -> str:
    return " ".join(pair.tickers)
