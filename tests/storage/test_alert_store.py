from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from storage.alert_store import (
    StoredAlert,
    StoredState,
    active_alerts,
    add_alert,
    alerts_of,
    clear_states,
    current_state,
    deferred_events,
    expiring_alerts,
    get_alert,
    last_evaluated_sessions,
    list_events,
    mark_expiry_announced,
    recently_ended,
    replace_rule,
    save_state,
    set_expiry,
    set_life,
    set_snooze,
    state_before,
    stored_states,
    switch_off,
)
from storage.chat_store import deactivate, reactivate
from storage.db import Refused
from tests.storage.alert_rows import AT_NOON, AT_ONE, NOON, ONE, event, new

if TYPE_CHECKING:
    import sqlite_utils


pytestmark = pytest.mark.usefixtures("chats")


def state(session: str, text: str) -> StoredState:
    return StoredState(dt.date.fromisoformat(session), text)


# Alerts


def test_an_alert_comes_back_as_stored(db: sqlite_utils.Database) -> None:
    row = add_alert(
        db,
        chat_id=1,
        owner_id=5,
        rule="ratio > sma 200",
        rule_json="{}",
        now=NOON,
        session="2020-12-10",
        expires_on="2021-12-11",
        thread_id=7,
    )
    assert row == StoredAlert(
        alert_id=1,
        chat_id=1,
        number=1,
        owner_id=5,
        rule="ratio > sma 200",
        rule_json="{}",
        life="active",
        reason="",
        created_at=AT_NOON,
        created_session=dt.date(2020, 12, 10),
        expires_on=dt.date(2021, 12, 11),
        announced_expiry=None,
        snoozed_until=None,
        thread_id=7,
        level_session=dt.date(2020, 12, 10),
        last_split_id=0,
    )
    assert get_alert(db, 1, 1) == row
    assert get_alert(db, 2, 1) is None


def test_numbers_count_in_each_chat_and_are_never_used_again(db: sqlite_utils.Database) -> None:
    assert [new(db).number, new(db).number, new(db, 2).number] == [1, 2, 1]
    db.execute("DELETE FROM alerts WHERE number = 2")
    assert new(db).number == 3


def test_an_alert_of_an_unknown_chat_is_refused(db: sqlite_utils.Database) -> None:
    with pytest.raises(Refused, match=r"^Chat 9 is not known; an alert needs one\.$"):
        new(db, 9)


def test_ended_alerts_are_kept_and_not_listed(db: sqlite_utils.Database) -> None:
    for life in ("active", "paused", "expired", "done"):
        assert set_life(db, new(db).alert_id, life, f"is {life}")
    assert [row.number for row in alerts_of(db, 1)] == [1, 2]
    ended = [get_alert(db, 1, number) for number in (3, 4)]
    assert [alert.reason for alert in ended if alert] == ["is expired", "is done"]
    assert [len(alerts_of(db, chat_id)) for chat_id in (1, 2)] == [2, 0]
    assert not set_life(db, 99, "done")


def test_evaluated_are_the_active_alerts_of_active_chats(db: sqlite_utils.Database) -> None:
    one, two, three = new(db), new(db, 2), new(db)
    set_life(db, three.alert_id, "paused")
    assert [row.alert_id for row in active_alerts(db)] == [one.alert_id, two.alert_id]
    deactivate(db, 2, "blocked")
    assert [row.alert_id for row in active_alerts(db)] == [one.alert_id]
    reactivate(db, 2)
    assert active_alerts(db)[1] == two


def test_marks_tell_how_far_each_of_them_was_evaluated(db: sqlite_utils.Database) -> None:
    one, two, three = new(db), new(db, 2), new(db)
    save_state(db, one.alert_id, "2020-12-11", "fired")
    save_state(db, one.alert_id, "2020-12-10", "armed")
    assert last_evaluated_sessions(db) == {
        one.alert_id: "2020-12-11",
        two.alert_id: None,
        three.alert_id: None,
    }
    set_life(db, three.alert_id, "paused")
    deactivate(db, 2, "blocked")
    assert last_evaluated_sessions(db) == {one.alert_id: "2020-12-11"}


# Expiry, snooze and another rule


def test_alerts_that_end_by_a_date_come_soonest_first(db: sqlite_utils.Database) -> None:
    for on in ("2021-12-11", "2021-12-10", "2021-12-12", None, "2021-12-01"):
        set_expiry(db, new(db).alert_id, on)
    set_life(db, 1, "paused")
    set_life(db, 5, "done")
    set_expiry(db, new(db, 2).alert_id, "2021-12-01")
    deactivate(db, 2, "blocked")
    assert [(row.number, row.timezone) for row in expiring_alerts(db, "2021-12-11")] == [(2, None), (1, None)]
    assert not set_expiry(db, 99, None)


def test_an_expiry_is_announced_once_until_it_is_moved(db: sqlite_utils.Database) -> None:
    new(db)
    set_expiry(db, 1, "2021-12-11")
    assert [mark_expiry_announced(db, 1), mark_expiry_announced(db, 1)] == [True, False]
    set_expiry(db, 1, "2022-12-11")
    assert mark_expiry_announced(db, 1)


def test_a_snooze_ends_at_an_instant_or_at_once(db: sqlite_utils.Database) -> None:
    new(db)
    assert set_snooze(db, 1, ONE)
    assert alerts_of(db, 1)[0].snoozed_until == AT_ONE
    set_snooze(db, 1, None)
    assert alerts_of(db, 1)[0].snoozed_until is None
    assert not set_snooze(db, 99, ONE)


def test_another_rule_keeps_number_history_and_expiry(db: sqlite_utils.Database) -> None:
    row = add_alert(
        db,
        chat_id=1,
        owner_id=5,
        rule="r",
        rule_json="{}",
        now=NOON,
        session="2020-12-10",
        expires_on="2021-12-11",
    )
    event(db, "2020-12-11")
    assert replace_rule(db, 1, rule="s", rule_json='{"s": 1}')
    assert get_alert(db, 1, 1) == replace(row, rule="s", rule_json='{"s": 1}')
    assert len(list_events(db, alert_id=1)) == 1
    replace_rule(db, 1, rule="t", rule_json="{}", session="2020-12-11")
    again = alerts_of(db, 1)[0]
    assert (str(again.level_session), str(again.created_session)) == ("2020-12-11", "2020-12-10")
    assert not replace_rule(db, 99, rule="s", rule_json="{}")


def test_what_an_alert_held_is_not_told_once_it_is_switched_off(db: sqlite_utils.Database) -> None:
    new(db)
    new(db)
    for alert_id in (1, 2):
        event(db, "2020-12-11", alert_id=alert_id, deferred="snooze")
    assert switch_off(db, 1)
    assert [row.alert_id for row in deferred_events(db)] == [2]
    alerts = [get_alert(db, 1, number) for number in (1, 2)]
    assert [(row.life, row.reason) for row in alerts if row] == [("done", "switched off"), ("active", "")]
    assert not switch_off(db, 99)


# States


def test_the_state_of_the_newest_session_is_the_current_one(db: sqlite_utils.Database) -> None:
    new(db)
    assert current_state(db, 1) is None
    save_state(db, 1, "2020-12-10", "armed")
    save_state(db, 1, "2020-12-11", "fired")
    save_state(db, 1, "2020-12-09", "earlier")
    assert current_state(db, 1) == state("2020-12-11", "fired")
    assert state_before(db, 1, "2020-12-11") == state("2020-12-10", "armed")
    assert state_before(db, 1, "2020-12-09") is None


def test_a_state_is_replaced_when_its_session_is_evaluated_again(db: sqlite_utils.Database) -> None:
    new(db)
    save_state(db, 1, "2020-12-11", "fired")
    save_state(db, 1, "2020-12-11", "armed")
    assert current_state(db, 1) == state("2020-12-11", "armed")


def test_the_states_before_the_last_ten_sessions_are_kept(db: sqlite_utils.Database) -> None:
    new(db)
    new(db)
    save_state(db, 2, "2020-12-01", "another's")
    days = [f"2020-12-{day:02}" for day in range(1, 15)]
    for day in days:
        save_state(db, 1, day, f"after {day}")
    kept = [row["session"] for row in db.table("alert_states").rows_where("alert_id = 1")]
    assert kept == days[-11:]
    for day, before in zip(days[-10:], days[-11:-1], strict=True):
        assert state_before(db, 1, day) == state(before, f"after {before}")
    assert state_before(db, 1, days[-11]) is None
    assert current_state(db, 2) == state("2020-12-01", "another's")


def test_an_alert_starts_afresh_without_its_states(db: sqlite_utils.Database) -> None:
    new(db)
    new(db)
    save_state(db, 1, "2020-12-11", "fired")
    save_state(db, 2, "2020-12-11", "armed")
    clear_states(db, 1)
    assert current_state(db, 1) is None
    assert current_state(db, 2) is not None


def test_the_kept_states_come_oldest_first(db: sqlite_utils.Database) -> None:
    new(db)
    save_state(db, 1, "2020-12-11", "later")
    save_state(db, 1, "2020-12-10", "before")
    assert stored_states(db, 1) == ["before", "later"]


# Ended


def test_alerts_that_ended_lately_are_those_that_told_something(db: sqlite_utils.Database) -> None:
    for number, life in enumerate(("active", "done", "done", "expired", "paused"), start=1):
        new(db)
        event(db, "2020-12-01" if number == 3 else "2020-12-11", alert_id=number)
        set_life(db, number, life)
    assert [row.alert_id for row in recently_ended(db, "2020-12-10")] == [2, 4, 5]
    switch_off(db, 2)
    assert [row.alert_id for row in recently_ended(db, "2020-12-10")] == [4, 5]
    deactivate(db, 1, "blocked")
    assert recently_ended(db, "2020-12-10") == []
