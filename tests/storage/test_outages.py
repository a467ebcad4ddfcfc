from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest

from storage.rows import moment
from storage.sources import StoredOutage, add_chats, begin, chats_of, current, end

if TYPE_CHECKING:
    import sqlite_utils


NOON, ONE = "2020-12-11T12:00:00Z", "2020-12-11T13:00:00Z"
DAY, NEXT = "2020-12-10", "2020-12-11"


pytestmark = pytest.mark.usefixtures("chats")


def test_an_outage_begins_and_ends_once(db: sqlite_utils.Database) -> None:
    assert [begin(db, "prices", DAY, NOON), begin(db, "prices", DAY, ONE)] == [True, False]
    assert current(db) == [StoredOutage("prices", dt.date.fromisoformat(DAY), moment(NOON))]
    assert [end(db, "prices", DAY, ONE), end(db, "prices", DAY, ONE)] == [True, False]
    assert current(db) == []
    assert not begin(db, "prices", DAY, ONE)
    assert begin(db, "prices", NEXT, ONE)


def test_a_chat_is_told_of_an_outage_once(db: sqlite_utils.Database) -> None:
    begin(db, "prices", DAY, NOON)
    begin(db, "multiples", DAY, NOON)
    assert add_chats(db, "prices", DAY, [2]) == [2]
    assert add_chats(db, "prices", DAY, [1, 2]) == [1]
    assert add_chats(db, "multiples", DAY, [2]) == [2]
    assert (chats_of(db, "prices", DAY), chats_of(db, "multiples", DAY)) == ([1, 2], [2])


def test_a_chat_that_was_deleted_meanwhile_is_not_told(db: sqlite_utils.Database) -> None:
    begin(db, "prices", DAY, NOON)
    assert add_chats(db, "prices", DAY, [1, 9]) == [1]
