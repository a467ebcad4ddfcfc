from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest

from storage import observations
from storage.alert_store import (
    SplitChange,
    add_alert,
    mark_all_splits_seen,
    mark_splits_seen,
    new_split_changes,
    replace_rule,
)
from storage.chat_store import ensure_chat
from storage.rows import Split

if TYPE_CHECKING:
    import sqlite_utils


NOON = "2020-12-11T12:00:00Z"


@pytest.fixture(autouse=True)
def _chat(db: sqlite_utils.Database) -> None:
    ensure_chat(db, 1, "private", "", NOON)


def alert(db: sqlite_utils.Database, session: str | None = "2020-12-10") -> int:
    row = add_alert(db, chat_id=1, owner_id=5, rule="r", rule_json="{}", now=NOON, session=session)
    return int(row.alert_id)


def split(
    db: sqlite_utils.Database, session: str, ratio: float = 2.0, source: str = "yahoo", ticker: str = "IWM"
) -> None:
    row = Split(ticker, session, ratio)
    observations.add(db, Split, [row], source=source, observed_at=f"{session}T22:00:00Z")


def changes_by_alert(db: sqlite_utils.Database) -> dict[int, list[tuple[str, str, float]]]:
    return {
        alert_id: [(change.ticker, str(change.session), change.ratio) for change in changes]
        for alert_id, changes in new_split_changes(db).items()
    }


def test_a_split_after_an_alert_was_made_is_unseen_until_it_is_marked(db: sqlite_utils.Database) -> None:
    one = alert(db)
    assert changes_by_alert(db) == {}
    split(db, "2020-12-14")
    assert changes_by_alert(db) == {one: [("IWM", "2020-12-14", 2.0)]}
    mark_all_splits_seen(db)
    assert changes_by_alert(db) == {}


def test_alerts_are_marked_one_by_one_or_all_but_some(db: sqlite_utils.Database) -> None:
    first, second, third = alert(db), alert(db), alert(db)
    split(db, "2020-12-14")
    mark_splits_seen(db, first)
    assert set(changes_by_alert(db)) == {second, third}
    mark_all_splits_seen(db, except_for=[third])
    assert set(changes_by_alert(db)) == {third}


def test_a_split_that_two_sources_tell_of_is_one(db: sqlite_utils.Database) -> None:
    one = alert(db)
    split(db, "2020-12-14")
    split(db, "2020-12-14", source="csv")
    split(db, "2020-12-14", 4.0, ticker="SPY")
    assert changes_by_alert(db) == {one: [("IWM", "2020-12-14", 2.0), ("SPY", "2020-12-14", 4.0)]}
    mark_all_splits_seen(db)
    split(db, "2020-12-14", source="daily-csv")
    assert changes_by_alert(db) == {}


def test_a_split_of_old_that_is_imported_later_changes_no_level(db: sqlite_utils.Database) -> None:
    alert(db)
    alert(db, session=None)
    split(db, "2005-06-09")
    split(db, "2020-12-10")
    assert changes_by_alert(db) == {}


def test_a_split_known_when_the_level_was_typed_is_allowed_for(db: sqlite_utils.Database) -> None:
    early = alert(db)
    split(db, "2020-12-14")
    alert(db)  # its Market was in the new shares already
    assert set(changes_by_alert(db)) == {early}
    replace_rule(db, early, rule="s", rule_json="{}")
    assert set(changes_by_alert(db)) == {early}  # without a session its level is the one it had
    replace_rule(db, early, rule="s", rule_json="{}", session="2020-12-14")
    assert changes_by_alert(db) == {}


def test_the_sample_is_left_out(db: sqlite_utils.Database) -> None:
    alert(db)
    split(db, "2020-12-14", source="sample")
    assert changes_by_alert(db) == {}


def take_back(db: sqlite_utils.Database, session: str, source: str = "yahoo") -> None:
    row = Split("IWM", session, None)
    observations.add(db, Split, [row], source=source, observed_at=f"{session}T23:00:00Z")


def test_a_split_that_was_allowed_for_and_taken_back_is_undone(db: sqlite_utils.Database) -> None:
    one = alert(db)
    split(db, "2020-12-14")
    mark_all_splits_seen(db)
    take_back(db, "2020-12-14")
    withdrawn = SplitChange("IWM", dt.date(2020, 12, 14), 2.0, withdrawn=True)
    assert new_split_changes(db) == {one: [withdrawn]}
    assert withdrawn.factor == 0.5
    mark_all_splits_seen(db)
    assert new_split_changes(db) == {}


def test_a_split_taken_back_before_any_alert_allowed_for_it_changes_nothing(
    db: sqlite_utils.Database,
) -> None:
    alert(db)
    split(db, "2020-12-14")
    take_back(db, "2020-12-14")
    assert new_split_changes(db) == {}


def test_a_split_that_another_source_still_tells_of_stays(db: sqlite_utils.Database) -> None:
    alert(db)
    split(db, "2020-12-14")
    split(db, "2020-12-14", source="csv")
    mark_all_splits_seen(db)
    take_back(db, "2020-12-14")
    assert new_split_changes(db) == {}


def test_a_ratio_that_is_corrected_changes_the_levels_by_the_difference(db: sqlite_utils.Database) -> None:
    one = alert(db)
    split(db, "2020-12-14", 2.0)
    mark_all_splits_seen(db)
    row = Split("IWM", "2020-12-14", 3.0)
    observations.add(db, Split, [row], source="yahoo", observed_at="2020-12-15T22:00:00Z")
    assert changes_by_alert(db) == {one: [("IWM", "2020-12-14", 1.5)]}
