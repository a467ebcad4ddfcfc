"""Alerts and events with as little as they need, for tests."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from storage.alert_store import EventDetail, StoredAlert, add_alert, add_event

if TYPE_CHECKING:
    import sqlite_utils


NOON, ONE = "2020-12-11T12:00:00Z", "2020-12-11T13:00:00Z"
AT_NOON, AT_ONE = dt.datetime(2020, 12, 11, 12, tzinfo=dt.UTC), dt.datetime(2020, 12, 11, 13, tzinfo=dt.UTC)


def new(db: sqlite_utils.Database, chat_id: int = 1, rule: str = "ratio > sma 200") -> StoredAlert:
    return add_alert(db, chat_id=chat_id, owner_id=5, rule=rule, rule_json='{"r": 1}', now=NOON)


def event(
    db: sqlite_utils.Database,
    session: str,
    transition: str = "fired",
    alert_id: int = 1,
    revision: int = 0,
    deferred: str | None = None,
) -> int | None:
    return add_event(
        db,
        alert_id=alert_id,
        session=session,
        transition=transition,
        now=ONE,
        value=0.52,
        threshold=0.51,
        detail=EventDetail(source="CSV import"),
        revision=revision,
        deferred=deferred,
    )
