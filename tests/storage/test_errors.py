from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from storage.db import DiskFault, DiskFull, StorageError, from_driver


class DriverError(Exception):
    """As the driver raises it."""

    def __init__(self, code: int | None) -> None:
        super().__init__("disk I/O error")
        self.sqlite_errorcode = code


@pytest.mark.parametrize(
    ("free", "kind", "said"),
    [
        (2**16, DiskFault, "The disk failed while reading or writing bot.db (disk I/O error)."),
        (2**16 - 1, DiskFull, "The disk is full: bot.db could not be written; free some room and try again."),
        (0, DiskFull, "The disk is full: bot.db could not be written; free some room and try again."),
    ],
)
@pytest.mark.parametrize("code", [10, 10 | 19 << 8])
def test_an_io_error_without_room_on_the_disk_is_a_full_disk(
    code: int, free: int, kind: type[StorageError], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    error = from_driver(DriverError(code), Path("bot.db"))
    assert (type(error), str(error)) == (kind, said)


def test_a_disk_that_cannot_even_be_asked_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Path) -> None:
        raise OSError

    monkeypatch.setattr(shutil, "disk_usage", fail)
    assert type(from_driver(DriverError(10), Path("bot.db"))) is DiskFault


@pytest.mark.parametrize("code", [None, 99])
def test_an_unknown_code_keeps_the_drivers_words(code: int | None) -> None:
    error = from_driver(DriverError(code), Path("bot.db"))
    assert (type(error), str(error)) == (StorageError, "bot.db could not be used: disk I/O error.")
