from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from storage.alert_store import EventDetail, add_alert, add_event, fate, hold, tell, waiting
from storage.chat_store import deactivate, ensure_chat, set_quiet

if TYPE_CHECKING:
    import sqlite_utils


NOON = "2020-12-11T12:00:00Z"


@pytest.fixture(autouse=True)
def _alerts(db: sqlite_utils.Database) -> None:
    """Alert 1 in chat 1 and alert 2 in chat 2."""
    for chat_id in (1, 2):
        ensure_chat(db, chat_id, "private", "", NOON)
        add_alert(db, chat_id=chat_id, owner_id=5, rule="r", rule_json="{}", now=NOON, thread_id=7)


def event(db: sqlite_utils.Database, session: str, held: str | None, alert_id: int = 1) -> None:
    add_event(db, alert_id=alert_id, session=session, transition="fired", now=NOON, held=held)


def test_held_events_wait_oldest_first(db: sqlite_utils.Database) -> None:
    event(db, "2020-12-11", "snooze")
    event(db, "2020-12-10", "quiet")
    event(db, "2020-12-09", None)
    event(db, "2020-12-09", "quiet", alert_id=2)
    deactivate(db, 2, "blocked")
    assert [(str(row.session), row.held) for row in waiting(db)] == [
        ("2020-12-10", "quiet"),
        ("2020-12-11", "snooze"),
    ]


def test_a_held_event_comes_with_its_alert_and_what_its_chat_wishes(db: sqlite_utils.Database) -> None:
    set_quiet(db, 1, "22:00", "07:00")
    event(db, "2020-12-11", "quiet")
    (row,) = waiting(db)
    assert (row.chat_id, row.number, row.rule, row.thread_id) == (1, 1, "r", 7)
    assert (row.detail, row.quiet_from, row.quiet_to) == (EventDetail(), "22:00", "07:00")


def test_an_event_is_told_by_a_message(db: sqlite_utils.Database) -> None:
    event(db, "2020-12-11", "snooze")
    event(db, "2020-12-10", "quiet")
    assert tell(db, [1, 2], 40) == 2
    assert waiting(db) == []
    assert fate(db, 2) == (None, 40)


def test_an_event_can_be_held_later(db: sqlite_utils.Database) -> None:
    event(db, "2020-12-11", None)
    hold(db, 1, "quiet")
    assert fate(db, 1) == ("quiet", None)
    hold(db, 1, None)
    assert waiting(db) == []
