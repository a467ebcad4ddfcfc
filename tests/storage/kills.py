"""Work that is killed at its first step, then, begun anew, at its second and so on, until it is done.

    python -m tests.storage.kills restore PATH COPY     # a step: anything done to a file's name
    python -m tests.storage.kills migrate PATH OLDER    # a step: a statement; each on a new copy of OLDER

A process of its own, because it forks: a line for each kill and one for the end, what is then to be read.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import sqlite_utils

from storage import connection
from storage.backup import integrity_check, remove
from storage.connection import connect, create
from storage.restore import restore
from storage.sources import meta

_NAMES = {"os.link", "os.remove", "os.rename", "shutil.copyfile"}


class Countdown:
    """Kills this process at the given step."""

    def __init__(self, count: int) -> None:
        self.left = count

    def step(self, *_: object) -> None:
        """One step more."""
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def until_done(work: Callable[[Countdown], None]) -> Iterator[int]:
    """Run the work in a child, killed at step 1, 2, 3...; its status each time, 0 at last."""
    count, status = 0, 1
    while status:
        count += 1
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
        yield status


def restoring(path: Path, copy: Path) -> Iterator[str | None]:
    """The word in the database after each kill."""

    def work(countdown: Countdown) -> None:
        sys.addaudithook(lambda event, _: countdown.step() if event in _NAMES else None)
        restore(copy, path, path.with_name(f"aside-{countdown.left}.db"), lambda _: None)

    for _ in until_done(work):
        with closing(connect(path, read_only=False)) as db:
            yield meta(db, "word") if not integrity_check(db) else "damaged"


def migrating(path: Path, older: Path) -> Iterator[list[int]]:
    """Migrations found applied after each kill and after the next opening, and whether the file was sound."""
    real = connection.is_current

    def work(countdown: Countdown) -> None:
        def watched(db: sqlite_utils.Database, file: Path) -> bool:
            current = real(db, file)
            db.conn.set_trace_callback(countdown.step)
            return current

        setattr(connection, "is_current", watched)  # noqa: B010 - a patch, which types would forbid
        create(path)
        connect(path, read_only=False)

    statuses = until_done(work)
    while True:
        remove(path)
        if older.exists():
            shutil.copyfile(older, path)
        if next(statuses, None) is None:
            return
        with closing(sqlite_utils.Database(path)) as db:
            table = db.table("_sqlite_migrations")
            applied = table.count if table.exists() else 0
            sound = not integrity_check(db)
        create(path)
        with closing(connect(path, read_only=False)) as db:
            yield [applied, db.table("_sqlite_migrations").count, int(sound and not integrity_check(db))]


if __name__ == "__main__":
    kind, *files = sys.argv[1:]
    for line in {"restore": restoring, "migrate": migrating}[kind](*map(Path, files)):
        print(json.dumps(line), flush=True)  # noqa: T201 - its answer
