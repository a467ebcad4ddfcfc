from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest

from storage.records import get_meta, parse_instant, set_meta
from storage.sources import (
    StoredOutage,
    add_outage_chats,
    begin_outage,
    current_outages,
    end_outage,
    outage_chats,
    record_failure,
    record_success,
    source_status,
    source_statuses,
)

if TYPE_CHECKING:
    import sqlite_utils


NOON, ONE, TWO = (f"2020-12-11T{hour}:00:00Z" for hour in (12, 13, 14))


def test_failures_are_counted_and_keep_the_last_success(db: sqlite_utils.Database) -> None:
    record_success(db, "yahoo", "prices IWM", now=NOON, session="2020-12-11")
    assert record_failure(db, "yahoo", "prices IWM", now=ONE, outcome="limited", breaker_until=TWO) == 1
    assert record_failure(db, "yahoo", "prices IWM", now=TWO, outcome="down", detail="no route") == 2
    (row,) = source_statuses(db)
    assert (row.last_success, row.last_attempt) == (parse_instant(NOON), parse_instant(TWO))
    assert row.last_session == dt.date(2020, 12, 11)
    assert (row.outcome, row.detail, row.breaker_until) == ("down", "no route", None)


def test_a_success_closes_the_breaker_and_never_moves_the_session_back(db: sqlite_utils.Database) -> None:
    record_success(db, "yahoo", "prices IWM", now=NOON, session="2020-12-11")
    record_failure(db, "yahoo", "prices IWM", now=ONE, outcome="limited", breaker_until=TWO)
    record_success(db, "yahoo", "prices IWM", now=TWO, session="2020-12-10")
    (row,) = source_statuses(db)
    assert (row.failures, row.breaker_until, row.last_session) == (0, None, dt.date(2020, 12, 11))
    record_success(db, "yahoo", "prices IWM", now=TWO, outcome="empty")
    (row,) = source_statuses(db)
    assert (row.outcome, row.last_session) == ("empty", dt.date(2020, 12, 11))


def test_subjects_are_apart_and_listed_in_order(db: sqlite_utils.Database) -> None:
    assert record_failure(db, "yahoo", "b", now=NOON, outcome="down", breaker_until=ONE) == 1
    record_success(db, "yahoo", "a", now=NOON)
    record_success(db, "csv", "z", now=NOON)
    listed = [(row.source, row.subject, row.failures) for row in source_statuses(db)]
    assert listed == [("csv", "z", 0), ("yahoo", "a", 0), ("yahoo", "b", 1)]
    failed = source_statuses(db)[-1]
    assert (failed.last_success, failed.last_session, failed.breaker_until) == (None, None, parse_instant(ONE))
    assert source_status(db, "issuer", "a") is None


def test_a_note_is_kept_and_replaced(db: sqlite_utils.Database) -> None:
    assert get_meta(db, "last evaluated") is None
    set_meta(db, "last evaluated", "2020-12-10")
    set_meta(db, "last evaluated", "2020-12-11")
    assert get_meta(db, "last evaluated") == "2020-12-11"


@pytest.mark.usefixtures("chats")
def test_an_outage_begins_ends_and_is_told_to_a_chat_once(db: sqlite_utils.Database) -> None:
    day, later = "2020-12-10", "2020-12-11"
    assert [begin_outage(db, "prices", day, NOON), begin_outage(db, "prices", day, ONE)] == [True, False]
    assert current_outages(db) == [StoredOutage("prices", dt.date(2020, 12, 10), parse_instant(NOON))]
    begin_outage(db, "multiples", day, NOON)
    assert add_outage_chats(db, "prices", day, [2]) == [2]
    assert add_outage_chats(db, "prices", day, [1, 2, 9]) == [1]  # 9 was deleted meanwhile
    assert add_outage_chats(db, "multiples", day, [2]) == [2]
    assert (outage_chats(db, "prices", day), outage_chats(db, "multiples", day)) == ([1, 2], [2])
    assert [end_outage(db, "prices", day, ONE), end_outage(db, "prices", day, ONE)] == [True, False]
    assert [outage.part for outage in current_outages(db)] == ["multiples"]
    assert not begin_outage(db, "prices", day, ONE)
    assert begin_outage(db, "prices", later, ONE)
