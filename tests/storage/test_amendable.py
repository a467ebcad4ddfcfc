from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from storage.outbox import (
    MessageBody,
    amend,
    claim,
    find_amendable,
    is_dead,
    mark_ambiguous,
    mark_dead,
    mark_sent,
    replace_summaries,
    requeue_ambiguous,
    retry_at,
    withdraw,
)
from tests.storage.messages import NOON, ONE, put, row_of

if TYPE_CHECKING:
    import sqlite_utils


def test_what_waits_can_be_taken_back_or_say_something_else(db: sqlite_utils.Database) -> None:
    one, two = put(db, "one"), put(db, "two", chat_id=2)
    assert amend(db, one, {"html": "other"})
    found = find_amendable(db, one)
    assert found is not None
    assert found.body == MessageBody(html="other")
    assert withdraw(db, two)
    assert [message.body.html for message in claim(db, NOON, 5)] == ["other"]


@pytest.mark.parametrize("became", ["sending", "sent", "ambiguous", "repeated", "half", "dead"])
def test_what_may_have_arrived_is_left_as_it_is(db: sqlite_utils.Database, became: str) -> None:
    row = put(db, "one", kind="summary")
    claim(db, NOON)
    match became:
        case "sent":
            mark_sent(db, row, 7, NOON)
        case "ambiguous" | "repeated":
            mark_ambiguous(db, row, "cut off", NOON)
            if became == "repeated":
                requeue_ambiguous(db, NOON)
        case "half":
            retry_at(db, row, NOON, "after part 1: too many requests")
        case "dead":
            mark_dead(db, row, "blocked", NOON)
    assert find_amendable(db, row) is None
    assert not amend(db, row, {"html": "other"})
    assert not withdraw(db, row)
    assert replace_summaries(db, 1, row + 1, ONE) == 0
    assert is_dead(db, row) == (became == "dead")


def test_a_summary_takes_the_place_of_the_chats_earlier_ones_alone(db: sqlite_utils.Database) -> None:
    earlier, alert, others = put(db, "a", "summary"), put(db, "b"), put(db, "c", "summary", chat_id=2)
    newest = put(db, "d", "summary")
    assert replace_summaries(db, 1, newest, ONE) == 1
    given_up = row_of(db, earlier)
    assert (given_up["status"], given_up["reason"]) == ("dead", "a newer one took its place")
    assert [row_of(db, row)["status"] for row in (alert, others, newest)] == ["queued"] * 3
