from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import asdict, replace

from storage import alert_store, chat_store, outbox, sources
from storage.chat_store import (
    StoredChat,
    claim_summary,
    deactivate,
    due_summaries,
    ensure_chat,
    finish_summary,
    get_chat,
    migrate_chat,
    plan_summaries,
    plan_summary,
    prune_summaries,
    reactivate,
    record_update,
    set_preferences,
    set_summary,
    summary_times,
)
from storage.records import parse_instant
from tests.storage.events import add_event

if TYPE_CHECKING:
    import sqlite_utils

    from storage.database import Database


NOON, ONE, TWO = (f"2020-12-11T{hour}:00:00Z" for hour in (12, 13, 14))
OLD, NEW = -41, -1009  # a group and the supergroup it becomes


@pytest.fixture
def chat(db: sqlite_utils.Database) -> StoredChat:
    return ensure_chat(db, 1, "private", "Ada", NOON)


def quiet_hours(db: sqlite_utils.Database, chat_id: int) -> tuple[str | None, str | None]:
    (row,) = db.table("chats").rows_where("chat_id = ?", [chat_id])
    return row["quiet_from"], row["quiet_to"]


# Chats


def test_a_chat_is_made_once_and_follows_its_title(db: sqlite_utils.Database, chat: StoredChat) -> None:
    unset = [
        "refused_at",
        "next_try",
        "summary_at",
        "quiet_from",
        "quiet_to",
        "timezone",
        "returns",
        "theme",
        "numbers",
    ]
    fields = {"chat_id": 1, "kind": "private", "title": "Ada", "status": "active", "reason": ""}
    numbers = {"last_number": 0, "created_at": parse_instant(NOON), "summary_days": "daily"}
    assert asdict(chat) == fields | numbers | dict.fromkeys(unset)
    assert ensure_chat(db, 1, "private", "Ada L.", ONE) == replace(chat, title="Ada L.")
    assert get_chat(db, 2) is None


def test_a_chat_is_deactivated_and_taken_back(db: sqlite_utils.Database, chat: StoredChat) -> None:
    assert not reactivate(db, 1)
    assert deactivate(db, 1, "blocked")
    assert get_chat(db, 1) == replace(chat, status="inactive", reason="blocked")
    assert reactivate(db, 1)
    assert get_chat(db, 1) == chat
    assert not deactivate(db, 2, "unknown")


def test_summaries_and_replies_are_given_up_with_a_chat(db: sqlite_utils.Database, chat: StoredChat) -> None:
    kinds = ("alert", "notice", "summary", "reply")
    for chat_id in (chat.chat_id, 99):
        for kind in kinds:
            enqueue(db, chat_id, f"{kind} {chat_id}", kind)
    deactivate(db, chat.chat_id, "blocked")
    statuses = [(row["status"], row["reason"]) for row in db["outbox"].rows]
    assert statuses == [("queued", "")] * 2 + [("dead", "blocked")] * 2 + [("queued", "")] * 4


# Summaries


@pytest.mark.usefixtures("chat")
def test_summaries_are_planned_for_the_active_chats_that_want_them_then(db: sqlite_utils.Database) -> None:
    for chat_id in (2, 3, 4):
        ensure_chat(db, chat_id, "private", "", TWO if chat_id == 4 else NOON)
    assert [set_summary(db, chat_id, "18:00") for chat_id in (1, 2, 4, 5)] == [True, True, True, False]
    set_preferences(db, 2, timezone="Europe/Paris")
    here, there = sorted(summary_times(db), key=str)[::-1]
    assert (here, there) == (("18:00", None, "daily"), ("18:00", "Europe/Paris", "daily"))
    assert plan_summaries(db, here, "daily", "2020-12-11", ONE) == 1  # chat 4 is newer
    assert plan_summaries(db, here, "daily", "2020-12-11", TWO) == 1
    assert plan_summaries(db, there, "daily", "2020-12-11", ONE) == 1
    assert [row.chat_id for row in due_summaries(db, TWO)] == [1, 2, 4]
    deactivate(db, 2, "blocked")
    set_summary(db, 1, None)
    assert summary_times(db) == [("18:00", None, "daily")]


@pytest.mark.usefixtures("chat")
def test_old_summaries_are_forgotten_but_those_that_wait(db: sqlite_utils.Database) -> None:
    for day in (11, 12, 13):
        plan_summary(db, 1, "daily", f"2020-12-{day}", f"2020-12-{day}T12:00:00Z")
    for summary_id in (1, 3):
        claim_summary(db, summary_id)
        finish_summary(db, summary_id, "sent")
    assert prune_summaries(db, "2020-12-13T00:00:00Z", limit=10) == 1
    assert [row["local_date"] for row in db.table("summaries").rows] == ["2020-12-12", "2020-12-13"]


@pytest.mark.usefixtures("chat")
def test_a_summary_is_planned_once_per_date_and_due_from_its_instant_on(db: sqlite_utils.Database) -> None:
    assert plan_summary(db, 1, "daily", "2020-12-11", ONE) == 1
    assert plan_summary(db, 1, "daily", "2020-12-11", TWO) is None
    assert plan_summary(db, 1, "daily", "2020-12-12", TWO) == 2
    assert due_summaries(db, "2020-12-11T12:59:59Z") == []
    assert [row.id for row in due_summaries(db, ONE)] == [1]
    assert [row.due_at for row in due_summaries(db, TWO)] == [parse_instant(ONE), parse_instant(TWO)]
    deactivate(db, 1, "blocked")
    assert due_summaries(db, TWO) == []


@pytest.mark.usefixtures("chat")
def test_a_summary_is_claimed_by_one_caller_only(db: sqlite_utils.Database) -> None:
    summary = plan_summary(db, 1, "daily", "2020-12-11", ONE)
    assert summary is not None
    assert not finish_summary(db, summary, "sent")  # nobody claimed it
    assert [claim_summary(db, summary), claim_summary(db, summary)] == [True, False]
    assert due_summaries(db, TWO) == []
    assert [finish_summary(db, summary, "sent"), finish_summary(db, summary, "skipped")] == [True, False]
    assert plan_summary(db, 1, "daily", "2020-12-11", TWO) is None


@pytest.mark.usefixtures("chat")
def test_summaries_due_up_to_a_restore_are_skipped(db: sqlite_utils.Database) -> None:
    for day, due_at in enumerate((NOON, ONE, TWO), start=10):
        plan_summary(db, 1, "daily", f"2020-12-{day}", due_at)
    outbox.settle_restore(db, ONE)
    assert chat_store.skip_before_restore(db) == 2
    assert [row.id for row in due_summaries(db, TWO)] == [3]


@pytest.mark.usefixtures("chat")
def test_a_new_time_drops_what_was_due_but_never_repeats(db: sqlite_utils.Database) -> None:
    sent = plan_summary(db, 1, "daily", "2020-12-10", NOON)
    assert sent is not None
    claim_summary(db, sent)
    plan_summary(db, 1, "daily", "2020-12-11", ONE)
    set_summary(db, 1, "20:00")
    assert due_summaries(db, TWO) == []
    assert plan_summary(db, 1, "daily", "2020-12-10", TWO) is None
    assert plan_summary(db, 1, "daily", "2020-12-11", TWO) is not None


# Updates


def test_an_update_is_new_once_within_a_week(db: sqlite_utils.Database) -> None:
    updates = [(7, "2020-12-01T12:00:00Z"), (8, "2020-12-08T12:00:00Z"), (7, "2020-12-08T12:00:00Z")]
    assert [record_update(db, *update) for update in updates] == [True, True, False]
    assert record_update(db, 9, "2020-12-08T12:00:01Z")  # a second more than a week after the first
    assert [row["update_id"] for row in db.table("updates").rows] == [8, 9]


def test_an_update_whose_handling_fails_is_not_seen(database: Database) -> None:
    def handle(db: sqlite_utils.Database) -> bool:
        if record_update(db, 7, NOON):
            raise RuntimeError("the handler")
        return False

    for _ in range(2):
        with pytest.raises(RuntimeError):
            database.run_sync(handle)


@pytest.mark.usefixtures("chat")
def test_quiet_hours_are_set_and_dropped(db: sqlite_utils.Database) -> None:
    assert set_preferences(db, 1, quiet_from="22:00", quiet_to="07:00")
    assert quiet_hours(db, 1) == ("22:00", "07:00")
    set_preferences(db, 1, quiet_from=None, quiet_to=None)
    assert quiet_hours(db, 1) == (None, None)
    assert not set_preferences(db, 9, quiet_from="22:00", quiet_to="07:00")


# A group becomes a supergroup


def add_alert(db: sqlite_utils.Database, chat_id: int, rule: str) -> int:
    row = alert_store.add_alert(db, chat_id=chat_id, owner_id=5, rule=rule, rule_json="{}", now=NOON)
    return int(row.number)


def enqueue(db: sqlite_utils.Database, chat_id: int, dedup: str, kind: str = "alert") -> None:
    message = outbox.NewMessage(chat_id, None, kind, dedup, outbox.MessageBody(dedup))
    outbox.enqueue(db, message, NOON)


def rules(db: sqlite_utils.Database, chat_id: int) -> list[tuple[int, str]]:
    return [(row.number, row.rule) for row in alert_store.alerts_of(db, chat_id)]


@pytest.fixture
def group(db: sqlite_utils.Database) -> StoredChat:
    """A group with an alert and its history, a summary due, a message waiting and a halt."""
    ensure_chat(db, OLD, "group", "Desk", NOON)
    set_summary(db, OLD, "18:00")
    add_alert(db, OLD, "pe iwm > 20x")
    alert_store.save_states(db, [(1, "2020-12-11", "{}")])
    add_event(db, alert_id=1, session="2020-12-11", transition="fired", now=NOON)
    set_preferences(db, OLD, quiet_from="22:00", quiet_to="07:00")
    sources.begin_outage(db, "prices", "2020-12-11", NOON)
    sources.add_outage_chats(db, "prices", "2020-12-11", [OLD])
    plan_summary(db, OLD, "daily", "2020-12-11", ONE)
    enqueue(db, OLD, "one")
    outbox.begin_halt(db, OLD, TWO)
    chat_store.save_pin(db, OLD, 3, "")
    chat_store.decide_access(db, OLD, "approved", NOON, "Desk")
    return ensure_chat(db, OLD, "group", "Desk", NOON)


def rows_of(db: sqlite_utils.Database, chat_id: int) -> dict[str, int]:
    tables = [table.name for table in db.tables if "chat_id" in table.columns_dict]
    return {name: db.table(name).count_where("chat_id = ?", [chat_id]) for name in tables}


def test_a_migrated_chat_keeps_all_under_its_new_id(db: sqlite_utils.Database, group: StoredChat) -> None:
    assert set(rows_of(db, OLD).values()) == {1}
    assert migrate_chat(db, OLD, NEW)
    tables = ("chats", "summaries", "alerts", "outbox", "halts", "outage_chats", "pins", "access")
    assert rows_of(db, OLD) == dict.fromkeys(tables, 0)
    assert set(rows_of(db, NEW).values()) == {1}
    assert get_chat(db, NEW) == replace(group, chat_id=NEW)
    assert alert_store.current_state(db, 1) == alert_store.StoredState(dt.date(2020, 12, 11), "{}")
    assert len(alert_store.list_events(db, chat_id=NEW)) == 1
    assert outbox.current_halts(db, ONE) == [outbox.Halt(NEW, parse_instant(TWO))]
    assert not migrate_chat(db, OLD, NEW)
    assert not migrate_chat(db, NEW, NEW)


def test_a_group_known_to_the_owner_only_migrates_too(db: sqlite_utils.Database) -> None:
    chat_store.decide_access(db, OLD, "rejected", NOON, "Desk")
    assert not migrate_chat(db, OLD, NEW)
    assert (chat_store.access_status(db, OLD), chat_store.access_status(db, NEW)) == (None, "rejected")


@pytest.mark.parametrize(
    ("old", "new", "after"),
    [
        ("approved", "asked", "approved"),
        ("approved", "rejected", "rejected"),
        ("rejected", "approved", "approved"),
        ("asked", None, None),  # the owner's buttons name the old id
        ("asked", "asked", "asked"),
        ("asked", "approved", "approved"),
        (None, "asked", "asked"),
    ],
)
def test_of_two_words_about_a_migrated_group_the_decision_stays(
    db: sqlite_utils.Database, old: str | None, new: str | None, after: str | None
) -> None:
    for chat_id, status in ((OLD, old), (NEW, new)):
        if status == "asked":
            chat_store.request_access(db, chat_id, "Desk", NOON)
        elif status is not None:
            chat_store.decide_access(db, chat_id, status, NOON)
    migrate_chat(db, OLD, NEW)
    assert (chat_store.access_status(db, OLD), chat_store.access_status(db, NEW)) == (None, after)


@pytest.mark.usefixtures("group")
def test_a_new_chat_that_is_known_already_takes_over_what_the_old_had(db: sqlite_utils.Database) -> None:
    ensure_chat(db, NEW, "supergroup", "Desk 2", ONE)
    add_alert(db, NEW, "pe spy > 20x")  # number 1, as in the old chat
    add_alert(db, OLD, "ratio > sma 200")
    enqueue(db, NEW, "two")
    outbox.begin_halt(db, NEW, ONE)
    assert migrate_chat(db, OLD, NEW)
    assert set(rows_of(db, OLD).values()) == {0}
    assert rules(db, NEW) == [(1, "pe spy > 20x"), (2, "ratio > sma 200"), (3, "pe iwm > 20x")]
    assert add_alert(db, NEW, "later") == 4
    row = get_chat(db, NEW)
    assert row is not None
    assert (row.title, row.summary_at, get_chat(db, OLD)) == ("Desk 2", "18:00", None)
    assert quiet_hours(db, NEW) == ("22:00", "07:00")
    assert sources.outage_chats(db, "prices", "2020-12-11") == [NEW]
    assert rows_of(db, NEW)["outbox"] == 2
    assert outbox.current_halts(db, NOON) == [outbox.Halt(NEW, parse_instant(TWO))]


@pytest.mark.usefixtures("group")
def test_a_merge_keeps_the_quiet_hours_that_the_new_chat_has(db: sqlite_utils.Database) -> None:
    ensure_chat(db, NEW, "supergroup", "", ONE)
    set_preferences(db, NEW, quiet_from="23:00", quiet_to="06:00")
    sources.add_outage_chats(db, "prices", "2020-12-11", [NEW])
    assert migrate_chat(db, OLD, NEW)
    assert quiet_hours(db, NEW) == ("23:00", "06:00")
    assert rows_of(db, OLD)["outage_chats"] == 0
    assert sources.outage_chats(db, "prices", "2020-12-11") == [NEW]


@pytest.mark.parametrize("finished", [OLD, NEW])
@pytest.mark.usefixtures("group")
def test_a_merge_never_repeats_a_summary(db: sqlite_utils.Database, finished: int) -> None:
    ensure_chat(db, NEW, "supergroup", "", ONE)
    plan_summary(db, NEW, "daily", "2020-12-11", ONE)
    (row,) = (row for row in due_summaries(db, TWO) if row.chat_id == finished)
    claim_summary(db, row.id)
    finish_summary(db, row.id, "sent")
    migrate_chat(db, OLD, NEW)
    assert [(row["chat_id"], row["status"]) for row in db.table("summaries").rows] == [(NEW, "sent")]
    assert due_summaries(db, TWO) == []
