"""How a subcommand takes the database: for itself alone, or beside a running bot."""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import time
from functools import partial
from typing import TYPE_CHECKING

from storage import sources
from storage.db import TWO_WRITERS_SAFE, DiskFault, DiskFull, hold_lock, open_database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from storage.db import Database

_log = logging.getLogger(__name__)
_rest = time.sleep
FIRST_REST, LONGEST_REST = 1.0, 30.0  # seconds between two looks whether there is room


@contextlib.contextmanager
def alone(path: Path) -> Iterator[Database]:
    """The database, open and locked for chat, check or demo; DatabaseBusy while another has it."""
    with hold_lock(path), opened(path) as database:
        yield database


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Database]:
    """The database, open, for a process that holds the lock.

    Its heartbeat begins here: an old one would make `doctor` take this process for a stuck one. A full
    disk is no reason to end before anybody was told: the bot waits for room.
    """
    with open_database(path) as database:
        with contextlib.suppress(DiskFault, DiskFull):
            database.run_sync(partial(sources.beat, now=dt.datetime.now(dt.UTC)))
        yield database


@contextlib.contextmanager
def waited_for(path: Path) -> Iterator[Database]:
    """As opened, for `run`: waits for room on a full disk; to end would be to be started again, and again."""
    rest = FIRST_REST
    with contextlib.ExitStack() as stack:
        while True:
            try:
                database = stack.enter_context(opened(path))
            except DiskFull as error:
                _log.error("%s Next look in %.0f s", error, rest)
                _rest(rest)
                rest = min(2 * rest, LONGEST_REST)
            else:
                break
        yield database


def beside_the_bot(path: Path) -> AbstractContextManager[object]:
    """What import, refresh and backup run under: a running bot hinders them only under an old SQLite.

    With the WAL-reset bug there must be no second process on the file: the bot has to be stopped first.
    """
    return contextlib.nullcontext() if TWO_WRITERS_SAFE or not path.exists() else hold_lock(path)
