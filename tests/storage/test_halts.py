from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from storage.halts import EVERY_CHAT, Halt, begin, current
from storage.rows import moment
from tests.storage.messages import NOON, ONE, TWO

if TYPE_CHECKING:
    import sqlite_utils


def test_the_later_of_two_halts_counts(db: sqlite_utils.Database) -> None:
    begin(db, 1, TWO)
    begin(db, 1, ONE)
    begin(db, EVERY_CHAT, ONE)
    assert current(db, NOON) == [Halt(0, moment(ONE)), Halt(1, moment(TWO))]
    assert current(db, ONE) == [Halt(1, moment(TWO))]


def test_a_halt_never_ends_early(db: sqlite_utils.Database) -> None:
    begin(db, 9, datetime(2020, 12, 11, 13, 0, 0, 1, tzinfo=UTC))
    assert current(db, NOON) == [Halt(9, moment("2020-12-11T13:00:01Z"))]
