from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest

from storage.rows import moment
from storage.sources import (
    StoredOutage,
    add_outage_chats,
    begin_outage,
    current_outages,
    end_outage,
    outage_chats,
)

if TYPE_CHECKING:
    import sqlite_utils


NOON, ONE = "2020-12-11T12:00:00Z", "2020-12-11T13:00:00Z"
DAY, NEXT = "2020-12-10", "2020-12-11"


pytestmark = pytest.mark.usefixtures("chats")


def test_an_outage_begins_and_ends_once(db: sqlite_utils.Database) -> None:
    assert [begin_outage(db, "prices", DAY, NOON), begin_outage(db, "prices", DAY, ONE)] == [True, False]
    assert current_outages(db) == [StoredOutage("prices", dt.date.fromisoformat(DAY), moment(NOON))]
    assert [end_outage(db, "prices", DAY, ONE), end_outage(db, "prices", DAY, ONE)] == [True, False]
    assert current_outages(db) == []
    assert not begin_outage(db, "prices", DAY, ONE)
    assert begin_outage(db, "prices", NEXT, ONE)


def test_a_chat_is_told_of_an_outage_once(db: sqlite_utils.Database) -> None:
    begin_outage(db, "prices", DAY, NOON)
    begin_outage(db, "multiples", DAY, NOON)
    assert add_outage_chats(db, "prices", DAY, [2]) == [2]
    assert add_outage_chats(db, "prices", DAY, [1, 2]) == [1]
    assert add_outage_chats(db, "multiples", DAY, [2]) == [2]
    assert (outage_chats(db, "prices", DAY), outage_chats(db, "multiples", DAY)) == ([1, 2], [2])


def test_a_chat_that_was_deleted_meanwhile_is_not_told(db: sqlite_utils.Database) -> None:
    begin_outage(db, "prices", DAY, NOON)
    assert add_outage_chats(db, "prices", DAY, [1, 9]) == [1]
