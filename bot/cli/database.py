"""How a command opens the database: exclusively, or beside a running bot."""

from __future__ import annotations

import contextlib
import datetime as dt
import itertools
import logging
import time
from functools import partial
from typing import TYPE_CHECKING

from bot.concurrency import Backoff
from bot.errors import BotError
from bot.pair import DEFAULT_PAIR
from storage import sources
from storage.db import TWO_WRITERS_SAFE, DiskFault, DiskFull, hold_lock, open_database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    import sqlite_utils

    from bot.pair import Pair
    from storage.db import Database

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
            database.run_sync(partial(sources.beat, now=dt.datetime.now(dt.UTC)))
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
    if sources.meta(db, _PAIR) is None:
        refuse_reserved(pair)
        sources.set_meta(db, _PAIR, _note_of(pair))


def refuse_reserved(pair: Pair) -> None:
    """Raise ConfigError for tickers that are words of the grammar."""
    if pair != DEFAULT_PAIR:
        from bot.services.questions import refuse_reserved_tickers  # noqa: PLC0415 - late: it takes a second

        refuse_reserved_tickers(pair)


def refuse_other_pair(db: sqlite_utils.Database, pair: Pair) -> None:
    """Raise BotError where the database was made for another pair."""
    noted = sources.meta(db, _PAIR)
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
