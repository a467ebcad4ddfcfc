from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from storage import sources
from storage.outbox import (
    RestoreReport,
    claim,
    mark_ambiguous,
    mark_interrupted,
    next_due,
    note_progress,
    requeue_ambiguous,
    retry_at,
    settle_restore,
)
from storage.rows import get_meta, select
from tests.storage.messages import NOON, ONE, TWO, claimed, put, row_of

if TYPE_CHECKING:
    import sqlite_utils

    from storage.db import Database
    from tests.storage.conftest import Spawn


def test_an_unknown_outcome_waits_until_telegram_answers(db: sqlite_utils.Database) -> None:
    message = put(db, "a")
    claim(db, NOON)
    assert mark_ambiguous(db, message, "read timeout", ONE)
    assert claimed(db, TWO) == []
    assert next_due(db) is None
    assert requeue_ambiguous(db, TWO) == 1
    assert claimed(db, ONE) == []
    (row,) = claim(db, TWO)
    assert (row.unknown, row.attempts, row.reason) == (1, 1, "read timeout")
    mark_ambiguous(db, message, "again", TWO)
    assert row_of(db, message)["unknown"] == 2


def test_what_a_crash_cut_off_is_settled_at_start(db: sqlite_utils.Database) -> None:
    for chat_id, kind in enumerate(("alert", "notice", "reply", "summary"), start=1):
        put(db, kind, kind=kind, chat_id=chat_id)
    put(db, "not begun", not_before=ONE)
    claim(db, NOON, limit=10)
    assert mark_interrupted(db, ONE) == 4
    assert [(row["dedup"], row["status"], row["unknown"]) for row in db.table("outbox").rows] == [
        ("alert", "ambiguous", 1),
        ("notice", "ambiguous", 1),
        ("reply", "ambiguous", 1),
        ("summary", "dead", 1),
        ("not begun", "queued", 0),
    ]
    assert row_of(db, 4)["reason"] == "cut off while sending"
    assert mark_interrupted(db, ONE) == 0


@pytest.mark.parametrize("before", ["after part 2: Timed out: twice", "after part 2: x"])
def test_parts_that_had_arrived_stay_noted_after_a_crash(db: sqlite_utils.Database, before: str) -> None:
    message = put(db, "a")
    claim(db, NOON)
    retry_at(db, message, NOON, before)
    claim(db, NOON)
    mark_interrupted(db, ONE)
    assert row_of(db, message)["reason"] == "after part 2: cut off while sending"


def test_only_of_what_is_being_sent_a_part_is_noted(db: sqlite_utils.Database) -> None:
    message = put(db, "a")
    assert not note_progress(db, message, "after part 1: on its way")
    claim(db, NOON)
    assert note_progress(db, message, "after part 1: on its way")
    assert row_of(db, message)["reason"] == "after part 1: on its way"


CLAIM_AND_HANG = """
import sys
from storage.db import open_database
from storage.outbox import claim
database = open_database(sys.argv[1])
database.run_sync(lambda db: claim(db, "2020-12-11T12:00:00Z"))
print("ready", flush=True)
sys.stdin.read()
"""


def test_killed_while_sending_an_alert_is_not_lost(database: Database, spawn: Spawn) -> None:
    database.run_sync(lambda db: put(db, "a"))
    child = spawn(CLAIM_AND_HANG)
    child.kill()
    child.wait()
    assert database.run_sync(claimed) == []
    assert database.run_sync(lambda db: mark_interrupted(db, ONE)) == 1
    assert database.run_sync(lambda db: requeue_ambiguous(db, ONE)) == 1
    assert database.run_sync(lambda db: claimed(db, ONE)) == ["a"]


# After a restore


@pytest.mark.parametrize("status", ["queued", "sending", "waiting", "ambiguous"])
@pytest.mark.parametrize(
    ("kind", "then"), [("alert", "ambiguous"), ("notice", "ambiguous"), ("summary", "dead")]
)
def test_whatever_was_not_finished_in_the_backup_is_in_doubt(
    db: sqlite_utils.Database, kind: str, status: str, then: str
) -> None:
    message = put(db, kind, kind=kind)
    db.execute("UPDATE outbox SET status = ?, unknown = 1", (status,))
    assert settle_restore(db, ONE) == RestoreReport(None, int(then == "ambiguous"), int(then == "dead"))
    assert get_meta(db, sources.RESTORED_AT) == ONE
    row = row_of(db, message)
    assert (row["status"], row["unknown"], row["updated_at"]) == (then, 2, ONE)
    assert row["reason"] == "waited when the backup was made"


@pytest.mark.parametrize("status", ["sent", "dead"])
def test_what_was_finished_in_the_backup_stays_as_it_is(db: sqlite_utils.Database, status: str) -> None:
    put(db, "a")
    db.execute("UPDATE outbox SET status = ?", (status,))
    before = select(db, "SELECT * FROM outbox")
    assert settle_restore(db, ONE) == RestoreReport(None, 0, 0)
    assert select(db, "SELECT * FROM outbox") == before
