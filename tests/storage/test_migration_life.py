from __future__ import annotations

from typing import TYPE_CHECKING

import sqlite_utils

from storage.alerts import alerts_of
from storage.db import open_database
from storage.migrations import MIGRATIONS

if TYPE_CHECKING:
    from pathlib import Path

MADE = "2020-12-11T12:00:00Z"


def test_alerts_of_before_end_after_a_year_or_on_the_day_their_rule_names(path: Path) -> None:
    with sqlite_utils.Database(path) as older:
        MIGRATIONS.apply(older, stop_before="m004_life")
        older.execute("INSERT INTO chats (chat_id, kind, created_at) VALUES (1, 'private', ?)", (MADE,))
        for number, rule_json in enumerate(("{}", '{"until": "2021-03-31"}', "broken"), start=1):
            older.execute(
                "INSERT INTO alerts (chat_id, number, owner_id, rule, rule_json, created_at, created_session)"
                " VALUES (1, ?, 5, 'r', ?, ?, '2020-12-10')",
                (number, rule_json, MADE),
            )
        older.execute("INSERT INTO alert_states VALUES (1, '2020-12-10', 'armed')")
    with open_database(path) as database:
        rows = database.run_sync(lambda db: alerts_of(db, 1))
        assert [row["expires_on"] for row in rows] == ["2021-12-11", "2021-03-31", "2021-12-11"]
        assert {row["scaled_session"] for row in rows} == {"2020-12-10"}
        states = database.run_sync(lambda db: list(db.table("alert_states").rows))
        assert states == [{"alert_id": 1, "session": "2020-12-10", "state": "armed"}]
