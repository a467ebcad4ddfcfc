"""A disk that fails from the n-th writing statement on, until it is mended.

    io         the file may not grow (RLIMIT_FSIZE): write(2) fails, SQLite reports an I/O error
    full       the same, reported as a full disk (SQLite tells the two apart by errno alone)
    pages      SQLite may add no page to the file (max_page_count): its own "disk is full"
    read-only  SQLite refuses to write (query_only), as on a disk that was mounted read-only

The limit is in force during the statement only, so that nothing else of this process meets it.
"""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlite_utils.utils import sqlite3  # type: ignore[attr-defined]  # the driver that storage uses

driver: Any = sqlite3
KINDS = ("io", "full", "pages", "read-only")
_WRITING = ("INSERT", "UPDATE", "DELETE", "BEGIN", "COMMIT")
_FULL = 13  # SQLITE_FULL
_PAGES = 2**30


class Disk:
    """The fault: `fails_at` counts writing statements from `arm` on; `struck` says whether any failed."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._fails_at = self._seen = 0
        self.struck = 0

    def arm(self, fails_at: int) -> None:
        """Fail from that writing statement on."""
        self._fails_at, self._seen = fails_at, 0

    def mend(self) -> None:
        """Fail no more."""
        self._fails_at = 0

    def execute(self, conn: Any, statement: str, *parameters: Any) -> Any:  # noqa: ANN401 - the driver's
        """The statement, or its failure."""
        run = super(Connection, conn).execute  # type: ignore[misc]  # the connection is one
        if statement.lstrip().upper().startswith(_WRITING):
            self._seen += 1
        failing = bool(self._fails_at) and self._seen >= self._fails_at
        self._limit(run, failing=failing)
        try:
            with _no_growth() if failing and self._kind in ("io", "full") else _nothing():
                return run(statement, *parameters)
        except driver.OperationalError as error:
            self.struck += failing
            if failing and self._kind == "full":
                full = driver.OperationalError("database or disk is full")
                full.sqlite_errorcode = _FULL
                raise full from error
            raise

    def _limit(self, run: Any, *, failing: bool) -> None:  # noqa: ANN401 - Connection.execute
        if self._kind == "read-only":
            run(f"PRAGMA query_only = {int(failing)}")
        elif self._kind == "pages":
            most = run("PRAGMA page_count").fetchone()[0] if failing else _PAGES
            run(f"PRAGMA max_page_count = {most}")


@contextmanager
def _no_growth() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def _nothing() -> Iterator[None]:
    yield


class Connection(driver.Connection):  # type: ignore[misc]  # the driver is chosen at run time
    """A connection whose statements pass by the disk."""

    disk: Disk

    def execute(self, statement: str, *parameters: Any) -> Any:  # noqa: ANN401 - the driver's
        """As the driver's."""
        return self.disk.execute(self, statement, *parameters)


@contextmanager
def failing(kind: str) -> Iterator[Disk]:
    """Connections opened in the block use this disk."""
    disk, real = Disk(kind), driver.connect

    def connect(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - the driver's
        conn = real(*arguments, factory=Connection, **named)
        conn.disk = disk
        return conn

    driver.connect = connect
    try:
        yield disk
    finally:
        driver.connect = real
