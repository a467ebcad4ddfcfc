"""Work that is killed at its first step, then, begun anew, at its second and so on, until it is done.

    python -m tests.storage.kills restore PATH COPY     # a step: anything done to a file's name
    python -m tests.storage.kills migrate PATH OLDER    # a step: a statement; each on a new copy of OLDER, or
                                                        # on an empty file where OLDER does not exist
    python -m tests.storage.kills glance PATH OLDER     # the same at some steps, the first and last of all

A process of its own, because it forks: a line for each kill and one for the end, what is then to be read.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import sqlite_utils
from sqlite_utils.migrations import Migrations

from storage import database as database_module
from storage.backup import remove, restore
from storage.database import connect, create_file, integrity_check
from storage.migrations import m001_schema
from storage.records import get_meta

_EVENTS = {"os.link", "os.remove", "os.rename", "shutil.copyfile"}

# The migrations of an imaginary later release, beside which every database of today is an older one.
LATER = Migrations("storage")
LATER_NAMES = frozenset({"m001_schema", "m002_notes"})
LATER()(m001_schema)


@LATER()
def m002_notes(db: sqlite_utils.Database) -> None:
    """A new table, a column added to a table with rows, and a table made anew."""
    db.executescript(
        """
        CREATE TABLE notes (chat_id INTEGER NOT NULL REFERENCES chats, note TEXT NOT NULL) STRICT;
        ALTER TABLE sources ADD COLUMN note TEXT NOT NULL DEFAULT '';
        CREATE TABLE meta_anew (key TEXT PRIMARY KEY, value TEXT) STRICT, WITHOUT ROWID;
        INSERT INTO meta_anew SELECT key, value FROM meta;
        DROP TABLE meta;
        ALTER TABLE meta_anew RENAME TO meta;
        """
    )


class Countdown:
    """Kills this process at the given step."""

    def __init__(self, count: int) -> None:
        self.left = count

    def step(self, *_: object) -> None:
        """One step more."""
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def killed(work: Callable[[Countdown], None], count: int) -> bool:
    """Run the work in a child that is killed at a step; whether it came so far."""
    child = os.fork()
    if child == 0:
        try:
            work(Countdown(count))
        except BaseException:  # noqa: BLE001 - a child must not go on as a second parent
            traceback.print_exc()
            os._exit(2)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise RuntimeError("the work failed")
    return os.WIFSIGNALED(status)


def restoring(path: Path, copy: Path) -> Iterator[str | None]:
    """The word in the database after each kill, and at last after none."""

    def work(countdown: Countdown) -> None:
        sys.addaudithook(lambda event, _: countdown.step() if event in _EVENTS else None)
        restore(copy, path, path.with_name(f"aside-{countdown.left}.db"), lambda _: None)

    going = True
    for count in itertools.count(1):
        if not going:
            return
        going = killed(work, count)
        with closing(connect(path, read_only=False)) as db:
            yield get_meta(db, "word") if not integrity_check(db) else "damaged"


def migrating(path: Path, older: Path, *, all_of_them: bool = True) -> Iterator[list[int]]:
    """Migrations found applied after each kill and after the next opening, and whether the file was sound."""
    steps = Countdown(0)
    begin(path, older)
    migrate(path, steps)
    last = -steps.left
    chosen = range(1, last + 1) if all_of_them else sorted({1, 2, *range(1, last, last // 3), last - 1, last})
    for count in chosen:
        begin(path, older)
        if not killed(partial(migrate, path), count):
            raise RuntimeError(f"there was no statement {count}")
        with closing(sqlite_utils.Database(path)) as db:
            table = db.table("_sqlite_migrations")
            applied = table.count if table.exists() else 0
            sound = not integrity_check(db)
        with closing(connect(path, read_only=False)) as db:
            yield [applied, db.table("_sqlite_migrations").count, int(sound and not integrity_check(db))]


def begin(path: Path, older: Path) -> None:
    """The older database in its place, or an empty file."""
    remove(path)
    create_file(path)
    if older.exists():
        shutil.copyfile(older, path)


def use_later_migrations() -> None:
    """Let this process be the later release."""
    setattr(database_module, "MIGRATIONS", LATER)  # noqa: B010 - a patch, which types would forbid
    setattr(database_module, "NAMES", LATER_NAMES)  # noqa: B010 - as above


def migrate(path: Path, countdown: Countdown) -> None:
    """Open the database, and count down at each statement once it is known to be older."""
    real = database_module.is_current
    use_later_migrations()

    def watched(db: sqlite_utils.Database, file: Path) -> bool:
        current = real(db, file)
        db.conn.set_trace_callback(countdown.step)
        return current

    setattr(database_module, "is_current", watched)  # noqa: B010 - as above
    try:
        connect(path, read_only=False).close()
    finally:
        setattr(database_module, "is_current", real)  # noqa: B010 - as above


KINDS: dict[str, Callable[[Path, Path], Iterator[object]]] = {
    "restore": restoring,
    "migrate": migrating,
    "glance": partial(migrating, all_of_them=False),
}

if __name__ == "__main__":
    kind, first, second = sys.argv[1:]
    for line in KINDS[kind](Path(first), Path(second)):
        print(json.dumps(line), flush=True)  # noqa: T201 - its answer
