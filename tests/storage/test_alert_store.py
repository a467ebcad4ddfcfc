from __future__ import annotations

import datetime as dt
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import asdict, replace

from storage import alert_store, observations
from storage.chat_store import deactivate, forget_chat, migrate_chat, reactivate
from storage.database import Refused
from storage.records import Split
from tests.storage.events import add_event

if TYPE_CHECKING:
    from collections.abc import Callable

    import sqlite_utils


pytestmark = pytest.mark.usefixtures("chats")

NOON, ONE = "2020-12-11T12:00:00Z", "2020-12-11T13:00:00Z"
AT_NOON, AT_ONE = dt.datetime(2020, 12, 11, 12, tzinfo=dt.UTC), dt.datetime(2020, 12, 11, 13, tzinfo=dt.UTC)


def new(db: sqlite_utils.Database, chat_id: int = 1, session: str | None = None) -> alert_store.StoredAlert:
    rule = "ratio > sma 200"
    return alert_store.add_alert(db, chat_id=chat_id, owner_id=5, rule=rule, rule_json="{}", now=NOON, session=session)


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
        detail=alert_store.EventDetail(source="CSV import"),
        revision=revision,
        deferred=deferred,
    )


def state(session: str, text: str) -> alert_store.StoredState:
    return alert_store.StoredState(dt.date.fromisoformat(session), text)


# Alerts


def test_an_alert_comes_back_as_stored(db: sqlite_utils.Database) -> None:
    usual: dict[str, Any] = {"chat_id": 1, "owner_id": 5, "rule": "ratio > sma 200", "rule_json": "{}", "thread_id": 7}
    row = alert_store.add_alert(db, **usual, now=NOON, session="2020-12-10", expires_on="2021-12-11")
    made, end = dt.date(2020, 12, 10), dt.date(2021, 12, 11)
    first = {"alert_id": 1, "number": 1, "life": "active", "reason": "", "last_split_id": 0}
    dates = {"created_at": AT_NOON, "created_session": made, "level_session": made, "expires_on": end}
    assert asdict(row) == usual | first | dates | dict.fromkeys(
        ("announced_expiry", "snoozed_until", "evaluated", "acknowledged")
    )
    assert alert_store.get_alert(db, 1, 1) == row
    assert alert_store.get_alert(db, 2, 1) is None


def test_numbers_count_in_each_chat_and_are_never_used_again(db: sqlite_utils.Database) -> None:
    assert [new(db).number, new(db).number, new(db, 2).number] == [1, 2, 1]
    db.execute("DELETE FROM alerts WHERE number = 2")
    assert new(db).number == 3


def test_an_alert_of_an_unknown_chat_is_refused(db: sqlite_utils.Database) -> None:
    with pytest.raises(Refused, match=r"^Chat 9 is not known; an alert needs one\.$"):
        new(db, 9)


def test_a_change_of_an_alert_that_does_not_exist_changes_nothing(db: sqlite_utils.Database) -> None:
    assert not alert_store.update_alert(db, 99, life="done")
    assert not alert_store.update_alert(db, 99, expires_on=None)
    assert not alert_store.update_alert(db, 99, snoozed_until=ONE)
    assert not alert_store.update_alert(db, 99, rule="s", rule_json="{}")
    assert not alert_store.switch_off(db, 99)


def test_ended_alerts_are_kept_and_not_listed(db: sqlite_utils.Database) -> None:
    for life in ("active", "paused", "expired", "done"):
        assert alert_store.update_alert(db, new(db).alert_id, life=life, reason=f"is {life}")
    assert [row.number for row in alert_store.alerts_of(db, 1)] == [1, 2]
    ended = [alert_store.get_alert(db, 1, number) for number in (3, 4)]
    assert [alert.reason for alert in ended if alert] == ["is expired", "is done"]
    assert alert_store.alerts_of(db, 2) == []


def test_the_active_alerts_of_active_chats_are_evaluated(db: sqlite_utils.Database) -> None:
    first, second, third = new(db), new(db, 2), new(db)
    alert_store.update_alert(db, third.alert_id, life="paused")
    assert alert_store.active_alerts(db) == [first, second]
    deactivate(db, 2, "blocked")
    assert alert_store.active_alerts(db) == [first]
    assert [(row.alert_id, row.active) for row in alert_store.all_evaluated(db, 0, 9)] == [(1, 1), (2, 0)]
    assert [row.alert_id for row in alert_store.all_evaluated(db, 1, 9)] == [2]
    reactivate(db, 2)
    assert alert_store.active_alerts(db) == [first, second]


def test_alerts_that_end_by_a_date_come_soonest_first(db: sqlite_utils.Database) -> None:
    for day in ("2021-12-11", "2021-12-10", "2021-12-12", None, "2021-12-01"):
        alert_store.update_alert(db, new(db).alert_id, expires_on=day)
    alert_store.update_alert(db, 1, life="paused")
    alert_store.update_alert(db, 5, life="done")
    alert_store.update_alert(db, new(db, 2).alert_id, expires_on="2021-12-01")
    deactivate(db, 2, "blocked")
    assert [(row.number, row.timezone) for row in alert_store.expiring_alerts(db, "2021-12-11")] == [
        (2, None),
        (1, None),
    ]


def test_an_expiry_is_announced_once_until_it_is_moved(db: sqlite_utils.Database) -> None:
    new(db)
    alert_store.update_alert(db, 1, expires_on="2021-12-11")
    assert [alert_store.mark_expiry_announced(db, 1), alert_store.mark_expiry_announced(db, 1)] == [True, False]
    alert_store.update_alert(db, 1, expires_on="2022-12-11")
    assert alert_store.mark_expiry_announced(db, 1)


def test_a_snooze_ends_at_an_instant_or_at_once(db: sqlite_utils.Database) -> None:
    new(db)
    assert alert_store.update_alert(db, 1, snoozed_until=ONE)
    assert alert_store.alerts_of(db, 1)[0].snoozed_until == AT_ONE
    alert_store.update_alert(db, 1, snoozed_until=None)
    assert alert_store.alerts_of(db, 1)[0].snoozed_until is None


def test_another_rule_keeps_number_history_and_expiry(db: sqlite_utils.Database) -> None:
    new(db, session="2020-12-10")
    alert_store.update_alert(db, 1, expires_on="2021-12-11")
    (before,) = alert_store.alerts_of(db, 1)
    event(db, "2020-12-11")
    assert alert_store.update_alert(db, 1, rule="s", rule_json='{"s": 1}')
    assert alert_store.get_alert(db, 1, 1) == replace(before, rule="s", rule_json='{"s": 1}')
    assert len(alert_store.list_events(db, alert_id=1)) == 1
    alert_store.update_alert(db, 1, rule="t", rule_json="{}", level_session=dt.date(2020, 12, 11))
    after = alert_store.alerts_of(db, 1)[0]
    assert (str(after.level_session), str(after.created_session)) == ("2020-12-11", "2020-12-10")


def test_deferred_events_of_an_alert_are_dropped_once_it_is_switched_off(db: sqlite_utils.Database) -> None:
    for alert_id in (1, 2):
        new(db)
        event(db, "2020-12-11", alert_id=alert_id, deferred="snooze")
    assert alert_store.switch_off(db, 1)
    assert [row.alert_id for row in alert_store.deferred_events(db)] == [2]
    alerts = [alert_store.get_alert(db, 1, number) for number in (1, 2)]
    assert [(row.life, row.reason) for row in alerts if row] == [("done", "switched off"), ("active", "")]


def test_alerts_that_ended_lately_are_those_with_an_event(db: sqlite_utils.Database) -> None:
    for number, life in enumerate(("active", "done", "done", "expired", "paused"), start=1):
        new(db)
        event(db, "2020-12-01" if number == 3 else "2020-12-11", alert_id=number)
        alert_store.update_alert(db, number, life=life)
    assert [row.alert_id for row in alert_store.recently_ended(db, "2020-12-10")] == [2, 4, 5]
    alert_store.switch_off(db, 2)
    assert [row.alert_id for row in alert_store.recently_ended(db, "2020-12-10")] == [4, 5]
    deactivate(db, 1, "blocked")
    assert alert_store.recently_ended(db, "2020-12-10") == []


# States


def test_the_state_of_the_newest_session_is_the_current_one(db: sqlite_utils.Database) -> None:
    new(db)
    assert alert_store.current_state(db, 1) is None
    alert_store.save_states(db, [(1, "2020-12-10", "armed")])
    alert_store.save_states(db, [(1, "2020-12-11", "confirming")])
    alert_store.save_states(db, [(1, "2020-12-09", "earlier")])
    alert_store.save_states(db, [(1, "2020-12-11", "fired")])  # evaluated again
    assert alert_store.current_state(db, 1) == state("2020-12-11", "fired")
    assert alert_store.stored_states(db, [1]) == {1: ["earlier", "armed", "fired"]}
    assert [row.state for row in alert_store.all_evaluated(db, 0, 9)] == ["fired"]


def test_states_are_kept_from_the_one_that_holds_on_a_session(db: sqlite_utils.Database) -> None:
    for _ in range(2):
        new(db)
    rows = [(1, day, day) for day in ("2020-12-01", "2020-12-04", "2020-12-09")]
    alert_store.save_states(db, [*rows, (2, "2020-12-01", "another's")])
    alert_store.prune_states(db, [(1, "2020-11-30")])
    assert len(alert_store.stored_states(db, [1])[1]) == 3
    alert_store.prune_states(db, [(1, "2020-12-04"), (2, "2020-12-01")])
    assert alert_store.stored_states(db, [1, 2]) == {1: ["2020-12-04", "2020-12-09"], 2: ["another's"]}
    alert_store.drop_states(db, 1, "2020-12-09")
    assert alert_store.current_state(db, 1) == state("2020-12-04", "2020-12-04")
    alert_store.start_state(db, 1, "2020-12-10", "fresh")
    assert alert_store.stored_states(db, [1]) == {1: ["fresh"]}
    assert [alert.evaluated for alert in alert_store.alerts_by_id(db, [1, 2])] == [dt.date(2020, 12, 10), None]


@pytest.mark.parametrize(
    ("change", "changed"),
    [
        (new, {4}),
        (lambda db: alert_store.update_alert(db, 1, life="paused"), {1}),
        (lambda db: alert_store.update_alert(db, 1, snoozed_until=ONE), {1}),
        (lambda db: alert_store.update_alert(db, 1, reason="none", last_split_id=7), set()),
        (lambda db: alert_store.save_states(db, [(2, "2020-12-11", "{}")]), {2}),
        (lambda db: alert_store.start_state(db, 3, "2020-12-11", "{}"), {3}),
        (lambda db: alert_store.set_evaluated(db, [("2020-12-11", 1)]), set()),
        (partial(event, session="2020-12-11"), set()),
        (lambda db: deactivate(db, 2, "blocked"), {2}),
        (lambda db: migrate_chat(db, 1, -7), {1, 3}),
        (lambda db: forget_chat(db, 1), {1, 3}),
    ],
)
def test_what_changes_an_alert_is_noted_until_it_is_read(
    db: sqlite_utils.Database, change: Callable[[sqlite_utils.Database], object], changed: set[int]
) -> None:
    for chat_id in (1, 2, 1):
        new(db, chat_id)
    alert_store.take_changed(db, 9)
    change(db)
    assert alert_store.changed_ids(db) == changed
    present = {alert.alert_id for alert in alert_store.alerts_by_id(db, changed)}
    alert_ids, rows = alert_store.take_changed(db, 9)
    assert (set(alert_ids), {row.alert_id for row in rows}) == (changed, present)
    assert alert_store.changed_ids(db) == set()
    change(db)
    alert_store.forget_changes(db, alert_store.changed_ids(db))
    assert alert_store.changed_ids(db) == set()


def test_the_last_evaluated_session_of_an_alert_is_kept(db: sqlite_utils.Database) -> None:
    for _ in range(2):
        new(db)
    alert_store.set_evaluated(db, [("2020-12-10", 1), ("2020-12-10", 2)])
    alert_store.set_evaluated(db, [(None, 1)])
    assert [row.evaluated for row in alert_store.all_evaluated(db, 0, 9)] == [None, "2020-12-10"]


def test_a_subject_is_replaced_and_dropped(db: sqlite_utils.Database) -> None:
    alert_store.save_subjects(db, [("ratio", "2020-12-10", "[]"), ("flow", "2020-12-10", "[]")])
    alert_store.save_subjects(db, [("ratio", "2020-12-11", "[1]")])
    alert_store.drop_subjects(db, ["flow"])
    assert alert_store.subjects(db) == [alert_store.StoredSubject("ratio", dt.date(2020, 12, 11), "[1]")]
    assert alert_store.get_subject(db, "ratio") == alert_store.subjects(db)[0]
    assert alert_store.get_subject(db, "flow") is None


# Events


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
    (row,) = alert_store.list_events(db, alert_id=1)
    alert = {"event_id": 1, "alert_id": 1, "number": 1, "rule": "ratio > sma 200", "chat_id": 1}
    fire = {"session": dt.date(2020, 12, 11), "transition": "fired", "revision": 0, "created_at": AT_ONE}
    figures = {"value": 0.52, "threshold": 0.51, "detail": alert_store.EventDetail(source="CSV import")}
    assert asdict(row) == alert | fire | figures | {"deferred": None, "message": None}


def test_events_of_an_alert_or_a_chat_come_newest_first(db: sqlite_utils.Database) -> None:
    for chat_id in (1, 1, 2):
        new(db, chat_id)
    for alert_id, session in ((1, "2020-12-10"), (2, "2020-12-11"), (3, "2020-12-11"), (1, "2020-12-09")):
        event(db, session, alert_id=alert_id)
    assert [row.event_id for row in alert_store.list_events(db, alert_id=1)] == [1, 4]
    assert [row.event_id for row in alert_store.list_events(db, chat_id=1)] == [2, 1, 4]
    assert [row.event_id for row in alert_store.list_events(db, chat_id=1, limit=1)] == [2]


def test_fires_are_counted_by_session(db: sqlite_utils.Database) -> None:
    new(db)
    for session in ("2020-12-09", "2020-12-10", "2020-12-11"):
        event(db, session)
    event(db, "2020-12-11", revision=1)
    event(db, "2020-12-12", "re-armed")
    assert alert_store.fires_since(db, 1, "2020-12-10") == 2
    assert alert_store.fires_since(db, 2, "2020-12-10") == 0
    assert alert_store.fires_since(db, 1, "2020-12-09", until="2020-12-10") == 2


def test_a_fire_that_was_withdrawn_does_not_count_unless_it_came_back(db: sqlite_utils.Database) -> None:
    new(db)
    event(db, "2020-12-11")
    event(db, "2020-12-11", "withdrawn", revision=1)
    assert alert_store.fires_since(db, 1, "2020-12-10") == 0
    event(db, "2020-12-11", revision=2)
    assert alert_store.fires_since(db, 1, "2020-12-10") == 1


def test_events_since_a_session_come_as_they_were_stored(db: sqlite_utils.Database) -> None:
    for _ in range(2):
        new(db)
    for session, alert_id in (("2020-12-11", 1), ("2020-12-09", 1), ("2020-12-10", 2)):
        event(db, session, alert_id=alert_id)
    rows = alert_store.events_since(db, [1, 2], "2020-12-10")
    assert [(row.session.day, row.alert_id) for row in rows] == [(11, 1), (10, 2)]
    assert rows[0].detail == alert_store.EventDetail(source="CSV import")


def test_a_revision_is_numbered_above_all_that_is_stored(db: sqlite_utils.Database) -> None:
    new(db)
    assert alert_store.next_revision(db, 1) == 1
    event(db, "2020-12-11", revision=3)
    assert alert_store.next_revision(db, 1) == 4


def test_deferred_events_of_active_chats_wait_oldest_first(db: sqlite_utils.Database) -> None:
    alert_store.add_alert(db, chat_id=1, owner_id=5, rule="r", rule_json="{}", now=NOON, thread_id=7)
    new(db, 2)
    for session, deferred in (("2020-12-11", "snooze"), ("2020-12-10", "quiet"), ("2020-12-09", None)):
        event(db, session, deferred=deferred)
    event(db, "2020-12-09", alert_id=2, deferred="quiet")
    deactivate(db, 2, "blocked")
    first, second = alert_store.deferred_events(db)
    assert (str(first.session), first.deferred) == ("2020-12-10", "quiet")
    assert (first.chat_id, first.number, first.rule, first.thread_id) == (1, 1, "r", 7)
    assert (first.detail, first.snoozed_until) == (alert_store.EventDetail(source="CSV import"), None)
    assert (str(second.session), second.deferred) == ("2020-12-11", "snooze")
    assert alert_store.assign_message(db, [1, 2], 40) == 2
    assert alert_store.deferred_events(db) == []
    assert alert_store.deferral_and_message(db, 2) == (None, 40)


def test_old_events_are_forgotten_but_deferred_ones(db: sqlite_utils.Database) -> None:
    new(db)
    for session, deferred in (("2017-12-11", None), ("2017-12-12", "snooze"), ("2020-12-11", None)):
        event(db, session, deferred=deferred)
    assert alert_store.prune_events(db, "2020-12-11", limit=10) == 1
    assert [row["session"] for row in db.table("alert_events").rows] == ["2017-12-12", "2020-12-11"]


def test_an_event_can_be_deferred_later(db: sqlite_utils.Database) -> None:
    new(db)
    event(db, "2020-12-11")
    alert_store.set_deferral(db, 1, "quiet")
    assert alert_store.deferral_and_message(db, 1) == ("quiet", None)
    alert_store.set_deferral(db, 1, None)
    assert alert_store.deferred_events(db) == []


# Splits


def alert(db: sqlite_utils.Database) -> int:
    return new(db, session="2020-12-10").alert_id


def split(
    db: sqlite_utils.Database,
    session: str = "2020-12-14",
    ratio: float | None = 2.0,
    *,
    source: str = "yahoo",
    ticker: str = "IWM",
    at: str = "22:00:00",
) -> None:
    observed_at = f"{session}T{at}Z"
    observations.add(db, Split, [Split(ticker, session, ratio)], source=source, observed_at=observed_at)


def changes_by_alert(db: sqlite_utils.Database) -> dict[int, list[tuple[str, str, float]]]:
    return {
        alert_id: [(change.ticker, str(change.session), change.ratio) for change in changes]
        for alert_id, changes in alert_store.new_split_changes(db).items()
    }


def test_splits_after_an_alert_was_made_are_unseen_until_it_is_marked(db: sqlite_utils.Database) -> None:
    first, second, third = alert(db), alert(db), alert(db)
    assert changes_by_alert(db) == {}
    split(db)
    change = ("IWM", "2020-12-14", 2.0)
    assert changes_by_alert(db) == {alert_id: [change] for alert_id in (first, second, third)}
    alert_store.update_alert(db, first, last_split_id=alert_store.newest_split_id(db))
    assert set(changes_by_alert(db)) == {second, third}
    alert_store.mark_all_splits_seen(db, except_for=[third])
    assert set(changes_by_alert(db)) == {third}
    alert_store.mark_all_splits_seen(db)
    assert changes_by_alert(db) == {}


SEEN = None  # a step: the levels of all alerts allow for all splits
WITHDRAWN: dict[str, Any] = {"ratio": None, "at": "23:00:00"}


def change(ratio: float, ticker: str = "IWM", *, withdrawn: bool = False) -> alert_store.SplitChange:
    return alert_store.SplitChange(ticker, dt.date(2020, 12, 14), ratio, withdrawn)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([{}, {"source": "csv"}, {"ratio": 4.0, "ticker": "SPY"}], [change(2.0), change(4.0, "SPY")]),
        ([{}, SEEN, {"source": "daily-csv"}], []),  # two sources report one split
        ([{"session": "2005-06-09"}, {"session": "2020-12-10"}, {"source": "sample"}], []),  # of old, of the sample
        ([{}, SEEN, WITHDRAWN], [change(2.0, withdrawn=True)]),
        ([{}, SEEN, WITHDRAWN, SEEN], []),
        ([{}, WITHDRAWN], []),  # before any alert allowed for it
        ([{}, {"source": "csv"}, SEEN, WITHDRAWN], []),  # the other source still reports it
        ([{}, SEEN, {"ratio": 3.0, "at": "23:00:00"}], [change(1.5)]),  # by how much it is corrected
    ],
)
def test_what_the_levels_of_alerts_do_not_allow_for(
    db: sqlite_utils.Database, steps: list[dict[str, Any] | None], expected: list[alert_store.SplitChange]
) -> None:
    alert_ids = (alert(db), new(db).alert_id)
    for step in steps:
        if step is SEEN:
            alert_store.mark_all_splits_seen(db)
        else:
            split(db, **step)
    assert alert_store.new_split_changes(db) == (dict.fromkeys(alert_ids, expected) if expected else {})
    assert [change.factor for change in expected if change.withdrawn] in ([], [0.5])


def test_a_split_known_when_the_level_was_typed_is_allowed_for(db: sqlite_utils.Database) -> None:
    early = alert(db)
    split(db)
    alert(db)  # its Market was in the new shares already
    assert set(changes_by_alert(db)) == {early}
    alert_store.update_alert(db, early, rule="s", rule_json="{}")
    assert set(changes_by_alert(db)) == {early}  # without a session its level is the one it had
    alert_store.update_alert(db, early, level_session="2020-12-14", last_split_id=alert_store.newest_split_id(db))
    assert changes_by_alert(db) == {}
