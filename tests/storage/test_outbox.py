from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import asdict

from storage import outbox, sources
from storage.chat_store import deactivate, ensure_chat
from storage.database import Refused
from storage.records import get_meta, parse_instant, select
from tests.storage.messages import BODY, NOON, ONE, TWO, claim, claimed, put, queue_message, row_of

if TYPE_CHECKING:
    import sqlite_utils

    from storage.database import Database


ALMOST_TWO = datetime(2020, 12, 11, 13, 59, 59, 1, tzinfo=UTC)

# Queueing


def test_a_message_is_claimed_as_it_was_queued(db: sqlite_utils.Database) -> None:
    dedup = "s:1:2020-12-11"
    usual: dict[str, Any] = {"chat_id": 1, "thread_id": 3, "kind": "summary", "dedup": dedup}
    message = queue_message(db, **usual, body=BODY, now=NOON, not_before=ONE)
    assert message is not None
    (claimed_message,) = claim(db, ONE)
    created = {"id": message, "created_at": parse_instant(NOON), "reason": ""}
    text = '{"html":"<b>\u2212 1 %</b>","buttons":[[["Chart","c:1"]]]}'
    assert asdict(claimed_message) == usual | created | {"payload": text, "attempts": 0, "unknown": 0}
    assert claimed_message.body == BODY
    row = row_of(db, message)
    assert (row["status"], row["not_before"], row["updated_at"]) == ("sending", ONE, ONE)


def test_the_same_message_is_queued_once_even_when_sent(db: sqlite_utils.Database) -> None:
    message = put(db, "a")
    again = partial(queue_message, db, chat_id=1, kind="alert", dedup="a", body=BODY, now=NOON)
    assert again() is None
    claim(db, NOON)
    outbox.mark_sent(db, message, 77, NOON)
    assert again() is None


def test_another_kind_is_refused(database: Database) -> None:
    with pytest.raises(Refused, match="CHECK constraint failed: kind IN"):
        database.run_sync(lambda db: put(db, "a", kind="gossip"))


# Claiming


def test_replies_go_before_alerts_notices_and_summaries(db: sqlite_utils.Database) -> None:
    kinds = ("summary 1", "notice 1", "alert 1", "reply 1", "alert 2", "summary 2", "reply 2")
    for chat_id, dedup in enumerate(kinds, start=1):
        put(db, dedup, kind=dedup.split()[0], chat_id=chat_id)
    assert claimed(db, limit=3) == ["reply 1", "reply 2", "alert 1"]
    assert claimed(db) == ["alert 2", "notice 1", "summary 1", "summary 2"]


def test_a_chat_has_one_message_under_way_and_the_others_their_turn(db: sqlite_utils.Database) -> None:
    first = put(db, "first", chat_id=1)
    put(db, "second", chat_id=1)
    put(db, "other", chat_id=2)
    assert [row.dedup for row in claim(db, NOON)] == ["first"]  # as many as were asked for: one
    assert claimed(db) == ["other"]
    assert claimed(db) == []
    outbox.mark_sent(db, first, 77, NOON)
    assert claimed(db) == ["second"]


def test_one_chat_can_be_served_alone_or_left_out(db: sqlite_utils.Database) -> None:
    for chat_id, dedup in enumerate(("a", "b", "c"), start=1):
        put(db, dedup, chat_id=chat_id)
    assert [row.dedup for row in claim(db, NOON, 9, only_chat=2)] == ["b"]
    assert [row.dedup for row in claim(db, NOON, 9, except_chat=1)] == ["c"]
    assert claimed(db) == ["a"]


def test_nothing_goes_before_its_time(db: sqlite_utils.Database) -> None:
    put(db, "later", chat_id=1, not_before=ONE)
    put(db, "now", chat_id=2)
    assert claimed(db) == ["now"]
    assert claimed(db, "2020-12-11T12:59:59Z") == []
    assert claimed(db, ONE) == ["later"]


def test_nothing_goes_to_a_halted_chat_or_to_any_while_all_are_halted(db: sqlite_utils.Database) -> None:
    for chat_id, dedup in enumerate(("halted", "free", "last"), start=1):
        put(db, dedup, chat_id=chat_id)
    outbox.begin_halt(db, 1, TWO)
    assert [row.dedup for row in claim(db, NOON)] == ["free"]
    outbox.begin_halt(db, outbox.EVERY_CHAT, ONE)
    assert claimed(db) == []
    assert claimed(db, ONE) == ["last"]
    assert claimed(db, TWO) == ["halted"]


def test_nothing_goes_to_an_inactive_chat_but_strangers_get_answers(db: sqlite_utils.Database) -> None:
    ensure_chat(db, 1, "private", "", NOON)
    deactivate(db, 1, "blocked")
    put(db, "blocked", chat_id=1)
    put(db, "stranger", chat_id=2)
    assert claimed(db) == ["stranger"]
    assert outbox.next_due(db) is None


def test_claiming_does_not_sort_a_long_queue(db: sqlite_utils.Database) -> None:
    seen: list[str] = []

    def note(sql: str, _: object) -> None:
        if "FROM outbox" in sql:
            seen.append(sql)

    with db.tracer(note):
        claim(db, NOON)
    plan = db.execute(
        f"EXPLAIN QUERY PLAN {seen[0]}", {"now": NOON, "only": None, "except": None, "resting": "[]"}
    ).fetchall()
    steps = [row[3] for row in plan]
    assert steps[0] == "SCAN outbox USING INDEX outbox_ready"
    assert not any("TEMP B-TREE" in step for step in steps)


# What becomes of a message


@pytest.fixture
def sending(db: sqlite_utils.Database) -> int:
    message = put(db, "a")
    claim(db, NOON)
    return message


def test_sent_keeps_the_message_id(db: sqlite_utils.Database, sending: int) -> None:
    assert outbox.mark_sent(db, sending, 77, ONE)
    row = row_of(db, sending)
    assert (row["status"], row["message_id"], row["updated_at"]) == ("sent", 77, ONE)
    assert not outbox.mark_sent(db, sending, 78, TWO)
    assert not outbox.retry_at(db, sending, TWO, "late")
    assert not outbox.mark_ambiguous(db, sending, "late", TWO)
    assert not outbox.mark_dead(db, sending, "late", TWO)
    assert row_of(db, sending) == row


def test_only_what_is_being_sent_can_be_sent(db: sqlite_utils.Database) -> None:
    message = put(db, "a")
    assert not outbox.mark_sent(db, message, 77, NOON)
    assert not outbox.retry_at(db, message, ONE, "")
    assert not outbox.mark_ambiguous(db, message, "", NOON)
    assert not outbox.note_progress(db, message, "after part 1: on its way")
    assert claimed(db) == ["a"]
    assert outbox.note_progress(db, message, "after part 1: on its way")
    assert row_of(db, message)["reason"] == "after part 1: on its way"


def test_a_retry_waits_and_counts_its_attempts(db: sqlite_utils.Database, sending: int) -> None:
    assert outbox.retry_at(db, sending, ONE, "no connection")
    row = row_of(db, sending)
    assert (row["status"], row["attempts"], row["reason"]) == ("waiting", 1, "no connection")
    assert claimed(db) == []
    assert claimed(db, ONE) == ["a"]
    assert outbox.retry_at(db, sending, ALMOST_TWO, "too many requests", count_attempt=False)
    row = row_of(db, sending)
    assert (row["attempts"], row["not_before"]) == (1, TWO)  # a wait never ends early


def test_dead_keeps_the_reason_(db: sqlite_utils.Database) -> None:
    for n in range(3):
        queue_message(db, chat_id=1, kind="alert", dedup=str(n), body=BODY, now=NOON, not_before=NOON)
    claim(db, NOON, limit=2)
    outbox.mark_ambiguous(db, 2, "timeout", NOON)
    assert [outbox.mark_dead(db, n, "chat not found", ONE) for n in (1, 2, 3)] == [True, True, True]
    assert [(row["status"], row["reason"]) for row in db.table("outbox").rows] == [("dead", "chat not found")] * 3
    assert not outbox.mark_dead(db, 1, "again", TWO)


# Counting and clearing


def test_messages_are_counted_by_status(db: sqlite_utils.Database) -> None:
    assert outbox.count_by_status(db) == {}
    for dedup in ("a", "b", "c"):
        put(db, dedup)
    claim(db, NOON)
    assert outbox.count_by_status(db) == {"queued": 2, "sending": 1}


def test_the_next_message_is_due_when_its_halts_are_over(db: sqlite_utils.Database) -> None:
    assert outbox.next_due(db) is None
    put(db, "a", chat_id=1, not_before=ONE)
    assert outbox.next_due(db) == ONE
    outbox.begin_halt(db, 1, TWO)
    assert outbox.next_due(db) == TWO
    put(db, "b", chat_id=2)
    assert outbox.next_due(db) == NOON
    outbox.begin_halt(db, outbox.EVERY_CHAT, ONE)
    assert outbox.next_due(db) == ONE
    claim(db, TWO, limit=10)
    assert outbox.next_due(db) is None


def test_only_finished_messages_are_forgotten(db: sqlite_utils.Database) -> None:
    for dedup in ("sent", "dead", "sent later", "queued"):
        put(db, dedup)
    claim(db, NOON, limit=3)
    outbox.mark_sent(db, 1, 77, NOON)
    outbox.mark_dead(db, 2, "gone", NOON)
    outbox.mark_sent(db, 3, 78, ONE)
    assert [outbox.prune(db, ONE, limit=1) for _ in range(3)] == [1, 1, 0]
    assert [row["dedup"] for row in db.table("outbox").rows] == ["sent later", "queued"]


# A clock that was wrong


def test_what_a_clock_that_was_ahead_put_off_goes_once_it_is_right(db: sqlite_utils.Database) -> None:
    now = datetime(2020, 12, 11, 12, tzinfo=UTC)
    for chat_id, span in enumerate((timedelta(days=2), timedelta(days=2, seconds=1)), start=1):
        put(db, f"after {span}", chat_id=chat_id, not_before=f"{now + span:%Y-%m-%dT%H:%M:%SZ}")
        outbox.begin_halt(db, 10 + chat_id, now + span)
    assert outbox.release_delayed(db, now) == 1
    assert claimed(db) == ["after 2 days, 0:00:01"]
    assert [halt.chat_id for halt in outbox.current_halts(db, NOON)] == [11]


def test_an_unknown_outcome_waits_until_telegram_answers(db: sqlite_utils.Database) -> None:
    message = put(db, "a")
    claim(db, NOON)
    assert outbox.mark_ambiguous(db, message, "read timeout", ONE)
    assert claimed(db, TWO) == []
    assert outbox.next_due(db) is None
    assert outbox.requeue_ambiguous(db, TWO) == 1
    assert claimed(db, ONE) == []
    (row,) = claim(db, TWO)
    assert (row.unknown, row.attempts, row.reason) == (1, 1, "read timeout")
    outbox.mark_ambiguous(db, message, "again", TWO)
    assert row_of(db, message)["unknown"] == 2


def test_what_a_crash_cut_off_is_settled_at_start(db: sqlite_utils.Database) -> None:
    for chat_id, kind in enumerate(("alert", "notice", "reply", "summary"), start=1):
        put(db, kind, kind=kind, chat_id=chat_id)
    put(db, "not begun", not_before=ONE)
    claim(db, NOON, limit=10)
    assert outbox.mark_interrupted(db, ONE) == 4
    assert [(row["dedup"], row["status"], row["unknown"]) for row in db.table("outbox").rows] == [
        ("alert", "ambiguous", 1),
        ("notice", "ambiguous", 1),
        ("reply", "ambiguous", 1),
        ("summary", "dead", 1),
        ("not begun", "queued", 0),
    ]
    assert row_of(db, 4)["reason"] == "cut off while sending"
    assert outbox.mark_interrupted(db, ONE) == 0


@pytest.mark.parametrize("before", ["after part 2: Timed out: twice", "after part 2: x"])
def test_parts_that_had_arrived_stay_noted_after_a_crash(db: sqlite_utils.Database, before: str) -> None:
    message = put(db, "a")
    claim(db, NOON)
    outbox.retry_at(db, message, NOON, before)
    claim(db, NOON)
    outbox.mark_interrupted(db, ONE)
    assert row_of(db, message)["reason"] == "after part 2: cut off while sending"


# After a restore


@pytest.mark.parametrize("status", ["queued", "sending", "waiting", "ambiguous"])
@pytest.mark.parametrize(("kind", "then"), [("alert", "ambiguous"), ("notice", "ambiguous"), ("summary", "dead")])
def test_what_waited_is_in_doubt(db: sqlite_utils.Database, kind: str, status: str, then: str) -> None:
    message = put(db, kind, kind=kind)
    db.execute("UPDATE outbox SET status = ?, unknown = 1", (status,))
    assert outbox.settle_restore(db, ONE) == outbox.RestoreReport(None, int(then == "ambiguous"), int(then == "dead"))
    assert get_meta(db, sources.RESTORED_AT) == ONE
    row = row_of(db, message)
    assert (row["status"], row["unknown"], row["updated_at"]) == (then, 2, ONE)
    assert row["reason"] == "waited when the backup was made"


@pytest.mark.parametrize("status", ["sent", "dead"])
def test_what_was_finished_in_the_backup_stays_as_it_is(db: sqlite_utils.Database, status: str) -> None:
    put(db, "a")
    db.execute("UPDATE outbox SET status = ?", (status,))
    before = select(db, "SELECT * FROM outbox")
    assert outbox.settle_restore(db, ONE) == outbox.RestoreReport(None, 0, 0)
    assert select(db, "SELECT * FROM outbox") == before


@pytest.mark.parametrize(("restored", "unknown"), [("17:00:00", [1, 1, 0]), ("16:59:59", [1, 0, 0])])
def test_a_session_that_may_have_closed_by_the_restore_is_in_doubt(
    db: sqlite_utils.Database, restored: str, unknown: list[int]
) -> None:
    outbox.settle_restore(db, f"2020-12-11T{restored}Z")
    put_about = partial(queue_message, db, chat_id=1, kind="alert", body=BODY, now=TWO)
    for session in ("2020-12-10", "2020-12-11", "2020-12-12"):
        put_about(dedup=session, about=session)
    assert [row["unknown"] for row in db.table("outbox").rows] == unknown


def test_what_waits_can_be_taken_back_or_say_something_else(db: sqlite_utils.Database) -> None:
    first, second = put(db, "one"), put(db, "two", chat_id=2)
    assert outbox.amend(db, first, outbox.MessageBody("other"))
    message = outbox.find_amendable(db, first)
    assert message is not None
    assert message.body == outbox.MessageBody(html="other")
    assert outbox.withdraw(db, second)
    assert [message.body.html for message in claim(db, NOON, 5)] == ["other"]


@pytest.mark.parametrize("became", ["sending", "sent", "ambiguous", "repeated", "half", "dead"])
def test_what_may_have_arrived_is_left_as_it_is(db: sqlite_utils.Database, became: str) -> None:
    row = put(db, "one", kind="summary")
    claim(db, NOON)
    match became:
        case "sent":
            outbox.mark_sent(db, row, 7, NOON)
        case "ambiguous" | "repeated":
            outbox.mark_ambiguous(db, row, "cut off", NOON)
            if became == "repeated":
                outbox.requeue_ambiguous(db, NOON)
        case "half":
            outbox.retry_at(db, row, NOON, "after part 1: too many requests")
        case "dead":
            outbox.mark_dead(db, row, "blocked", NOON)
    assert outbox.find_amendable(db, row) is None
    assert not outbox.amend(db, row, outbox.MessageBody("other"))
    assert not outbox.withdraw(db, row)
    assert outbox.replace_summaries(db, 1, row + 1, ONE) == 0
    assert outbox.is_dead(db, row) == (became == "dead")


def test_a_summary_takes_the_place_of_the_chats_earlier_ones_alone(db: sqlite_utils.Database) -> None:
    earlier, alert, others = put(db, "a", "summary"), put(db, "b"), put(db, "c", "summary", chat_id=2)
    newest = put(db, "d", "summary")
    assert outbox.replace_summaries(db, 1, newest, ONE) == 1
    given_up = row_of(db, earlier)
    assert (given_up["status"], given_up["reason"]) == ("dead", "a newer one took its place")
    assert [row_of(db, row)["status"] for row in (alert, others, newest)] == ["queued"] * 3


def test_the_later_of_two_halts_counts(db: sqlite_utils.Database) -> None:
    outbox.begin_halt(db, 1, ALMOST_TWO)  # it never ends early
    outbox.begin_halt(db, 1, ONE)
    outbox.begin_halt(db, outbox.EVERY_CHAT, ONE)
    assert outbox.current_halts(db, NOON) == [outbox.Halt(0, parse_instant(ONE)), outbox.Halt(1, parse_instant(TWO))]
    assert outbox.current_halts(db, ONE) == [outbox.Halt(1, parse_instant(TWO))]


# Chats that refuse messages


def test_notices_are_held_and_joined_and_separated_again(db: sqlite_utils.Database) -> None:
    ensure_chat(db, 1, "group", "", NOON)
    alert, *_ = put(db, "a"), put(db, "n1", "notice"), put(db, "n2", "notice")
    body = outbox.MessageBody("Approve?", names=[5])
    queue_message(db, chat_id=1, kind="notice", dedup="names", body=body, now=NOON)
    for _ in range(2):
        outbox.hold_notices(db, 1)
        statuses = {row["dedup"]: row["status"] for row in db["outbox"].rows}
        assert statuses == {"a": "queued", "names": "queued", "n1": "held", "n2": "held"}
        outbox.join_held(db, (1, None), alert, NOON)
        joined = outbox.find_amendable(db, alert)
        assert joined is not None
        assert joined.body.html.split("\n\n") == [BODY.html] * 3
        assert joined.body.buttons == BODY.buttons
        assert not outbox.held_notices(db)
        outbox.hold_notices(db, 1)
        outbox.amend(db, alert, BODY)
    outbox.join_held(db, (1, None), None, NOON)
    outbox.join_held(db, (1, None), None, NOON)
    assert sorted(row["dedup"][:6] for row in db["outbox"].rows) == ["a", "joined", "names"]
