from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from storage.outbox import EVERY_CHAT, Halt, begin_halt, current_halts
from storage.rows import moment
from tests.storage.messages import NOON, ONE, TWO

if TYPE_CHECKING:
    import sqlite_utils


def test_the_later_of_two_halts_counts(db: sqlite_utils.Database) -> None:
    begin_halt(db, 1, TWO)
    begin_halt(db, 1, ONE)
    begin_halt(db, EVERY_CHAT, ONE)
    assert current_halts(db, NOON) == [Halt(0, moment(ONE)), Halt(1, moment(TWO))]
    assert current_halts(db, ONE) == [Halt(1, moment(TWO))]


def test_a_halt_never_ends_early(db: sqlite_utils.Database) -> None:
    begin_halt(db, 9, datetime(2020, 12, 11, 13, 0, 0, 1, tzinfo=UTC))
    assert current_halts(db, NOON) == [Halt(9, moment("2020-12-11T13:00:01Z"))]
