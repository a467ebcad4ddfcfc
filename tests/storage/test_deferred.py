from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from storage.alert_store import (
    EventDetail,
    add_alert,
    add_event,
    assign_message,
    deferral_and_message,
    deferred_events,
    set_deferral,
)
from storage.chat_store import deactivate, ensure_chat

if TYPE_CHECKING:
    import sqlite_utils


NOON = "2020-12-11T12:00:00Z"


@pytest.fixture(autouse=True)
def _alerts(db: sqlite_utils.Database) -> None:
    """Alert 1 in chat 1 and alert 2 in chat 2."""
    for chat_id in (1, 2):
        ensure_chat(db, chat_id, "private", "", NOON)
        add_alert(db, chat_id=chat_id, owner_id=5, rule="r", rule_json="{}", now=NOON, thread_id=7)


def event(db: sqlite_utils.Database, session: str, deferred: str | None, alert_id: int = 1) -> None:
    add_event(db, alert_id=alert_id, session=session, transition="fired", now=NOON, deferred=deferred)


def test_deferred_events_wait_oldest_first(db: sqlite_utils.Database) -> None:
    event(db, "2020-12-11", "snooze")
    event(db, "2020-12-10", "quiet")
    event(db, "2020-12-09", None)
    event(db, "2020-12-09", "quiet", alert_id=2)
    deactivate(db, 2, "blocked")
    assert [(str(row.session), row.deferred) for row in deferred_events(db)] == [
        ("2020-12-10", "quiet"),
        ("2020-12-11", "snooze"),
    ]


def test_a_deferred_event_comes_with_its_alert(db: sqlite_utils.Database) -> None:
    event(db, "2020-12-11", "quiet")
    (row,) = deferred_events(db)
    assert (row.chat_id, row.number, row.rule, row.thread_id) == (1, 1, "r", 7)
    assert (row.detail, row.snoozed_until) == (EventDetail(), None)


def test_an_event_is_reported_by_a_message(db: sqlite_utils.Database) -> None:
    event(db, "2020-12-11", "snooze")
    event(db, "2020-12-10", "quiet")
    assert assign_message(db, [1, 2], 40) == 2
    assert deferred_events(db) == []
    assert deferral_and_message(db, 2) == (None, 40)


def test_an_event_can_be_deferred_later(db: sqlite_utils.Database) -> None:
    event(db, "2020-12-11", None)
    set_deferral(db, 1, "quiet")
    assert deferral_and_message(db, 1) == ("quiet", None)
    set_deferral(db, 1, None)
    assert deferred_events(db) == []
