from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest

from storage.alert_store import (
    ChatEvent,
    EventDetail,
    fires_since,
    list_events,
    next_revision,
    revisable_events,
    save_state,
)
from tests.storage.alert_rows import AT_ONE, event, new

if TYPE_CHECKING:
    import sqlite_utils


pytestmark = pytest.mark.usefixtures("chats")


def test_an_event_is_stored_once_per_revision(db: sqlite_utils.Database) -> None:
    new(db)
    assert event(db, "2020-12-11") == 1
    assert event(db, "2020-12-11") is None
    assert event(db, "2020-12-11", revision=1) == 2
    assert event(db, "2020-12-11", "re-armed") == 3
    assert event(db, "2020-12-12") == 4


def test_an_event_comes_back_with_its_alert(db: sqlite_utils.Database) -> None:
    new(db)
    event(db, "2020-12-11")
    assert list_events(db, alert_id=1) == [
        ChatEvent(
            event_id=1,
            alert_id=1,
            session=dt.date(2020, 12, 11),
            transition="fired",
            revision=0,
            value=0.52,
            threshold=0.51,
            detail=EventDetail(source="CSV import"),
            created_at=AT_ONE,
            deferred=None,
            message=None,
            number=1,
            rule="ratio > sma 200",
            chat_id=1,
        )
    ]


def test_events_of_an_alert_or_a_chat_come_newest_first(db: sqlite_utils.Database) -> None:
    for chat_id in (1, 1, 2):
        new(db, chat_id)
    for alert_id, session in ((1, "2020-12-10"), (2, "2020-12-11"), (3, "2020-12-11"), (1, "2020-12-09")):
        event(db, session, alert_id=alert_id)
    assert [row.event_id for row in list_events(db, alert_id=1)] == [1, 4]
    assert [row.event_id for row in list_events(db, chat_id=1)] == [2, 1, 4]
    assert [row.event_id for row in list_events(db, chat_id=1, limit=1)] == [2]


def test_fires_are_counted_by_session(db: sqlite_utils.Database) -> None:
    new(db)
    for session in ("2020-12-09", "2020-12-10", "2020-12-11"):
        event(db, session)
    event(db, "2020-12-11", revision=1)
    event(db, "2020-12-12", "re-armed")
    assert fires_since(db, 1, "2020-12-10") == 2
    assert fires_since(db, 2, "2020-12-10") == 0
    assert fires_since(db, 1, "2020-12-09", until="2020-12-10") == 2


def test_a_fire_that_was_withdrawn_does_not_count_unless_it_came_back(db: sqlite_utils.Database) -> None:
    new(db)
    event(db, "2020-12-11")
    event(db, "2020-12-11", "withdrawn", revision=1)
    assert fires_since(db, 1, "2020-12-10") == 0
    event(db, "2020-12-11", revision=2)
    assert fires_since(db, 1, "2020-12-10") == 1


def test_events_since_the_oldest_state_come_as_they_were_stored(db: sqlite_utils.Database) -> None:
    new(db)
    for session in ("2020-12-11", "2020-12-09", "2020-12-10"):
        event(db, session)
    assert revisable_events(db, 1) == []
    save_state(db, 1, "2020-12-10", "{}")
    assert [row.session.day for row in revisable_events(db, 1)] == [11, 10]
    assert revisable_events(db, 1)[0].detail == EventDetail(source="CSV import")


def test_a_revision_is_numbered_above_all_that_is_stored(db: sqlite_utils.Database) -> None:
    new(db)
    assert next_revision(db, 1) == 1
    event(db, "2020-12-11", revision=3)
    assert next_revision(db, 1) == 4
