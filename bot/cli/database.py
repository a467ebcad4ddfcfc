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
from storage import sources
from storage.db import TWO_WRITERS_SAFE, DiskFault, DiskFull, hold_lock, open_database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from storage.db import Database

_log = logging.getLogger(__name__)
_sleep = time.sleep
RETRIES = Backoff(
    dt.timedelta(seconds=1), dt.timedelta(seconds=30)
)  # between two looks whether there is room


@contextlib.contextmanager
def open_exclusively(path: Path) -> Iterator[Database]:
    """Open and lock the database; raises DatabaseBusy while another process has it."""
    with hold_lock(path), open_locked(path) as database:
        yield database


@contextlib.contextmanager
def open_locked(path: Path) -> Iterator[Database]:
    """Open the database for a process that holds the lock.

    Its heartbeat begins here: an old one would make `doctor` take this process for a stuck one. A full
    disk does not end the process here, before anybody was told: the bot waits for room.
    """
    with open_database(path) as database:
        with contextlib.suppress(DiskFault, DiskFull):
            database.run_sync(partial(sources.beat, now=dt.datetime.now(dt.UTC)))
        yield database


@contextlib.contextmanager
def open_when_there_is_room(path: Path) -> Iterator[Database]:
    """Open the database for `run`; on a full disk wait for room: to end would mean to be restarted."""
    with contextlib.ExitStack() as stack:
        for failures in itertools.count():
            try:
                database = stack.enter_context(open_locked(path))
            except DiskFull as error:
                wait = RETRIES.seconds(failures)
                _log.error("%s Next look in %.0f s", error, wait)
                _sleep(wait)
            else:
                break
        yield database


def beside_the_bot(path: Path) -> AbstractContextManager[object]:
    """Return what import, refresh and backup run under: the lock only where SQLite has the WAL-reset bug.

    With that bug no second process may use the file, so that the bot has to be stopped first.
    """
    return contextlib.nullcontext() if TWO_WRITERS_SAFE or not path.exists() else hold_lock(path)
