import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.delivery.outcome import ErrorClass, delivered_parts, reason_after
from bot.delivery.send import MessagePart, can_concede, compose
from bot.messages.html import escape, strip_html, visible_length
from storage.outbox import OutboxMessage
from tests.storage.messages import message


def row(html: str, **payload: object) -> OutboxMessage:
    return message(payload=json.dumps({"html": html, **payload}))


def test_a_short_text_is_one_message_with_its_plain_form() -> None:
    assert compose(row("<b>a &lt; b</b>")) == [MessagePart("<b>a &lt; b</b>", "a < b")]


def test_nothing_is_nothing() -> None:
    assert compose(row(" ")) == []


def test_a_repeat_says_so_in_both_forms() -> None:
    marked = MessagePart("<b>a</b>", "a").marked()
    assert (marked.html, marked.plain) == ("<i>possible repeat</i>\n<b>a</b>", "possible repeat\na")


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=9000))
def test_every_message_fits_even_marked_as_a_repeat(text: str) -> None:
    for part in compose(row(escape(text))):
        assert visible_length(part.marked().html) <= 4096
        assert len(part.marked().plain.encode("utf-16-le")) // 2 <= 4096


def test_each_concession_is_made_once_and_only_where_it_can_help() -> None:
    topic = message(thread_id=5)
    assert can_concede(ErrorClass.PLAIN, set(), topic)
    assert not can_concede(ErrorClass.PLAIN, {ErrorClass.PLAIN}, topic)
    assert can_concede(ErrorClass.NO_TOPIC, set(), topic)
    assert not can_concede(ErrorClass.NO_TOPIC, set(), message())
    assert not can_concede(ErrorClass.LEFT, set(), topic)


@pytest.mark.parametrize("done", [0, 1, 12])
def test_a_reason_remembers_the_parts_that_arrived(done: int) -> None:
    assert delivered_parts(message(reason=reason_after(done, "Timed out"))) == done


def test_the_plain_form_of_many_messages_has_all_words() -> None:
    words = " ".join(f"w{n}" for n in range(2000))
    parts = compose(row(f"<b>{words}</b>"))
    assert len(parts) == 3
    assert " ".join(part.plain for part in parts).split() == words.split()
    assert [strip_html(part.html) for part in parts] == [part.plain for part in parts]
