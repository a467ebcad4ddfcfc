import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.delivery.outcome import ErrorClass, delivered_parts, reason_after
from bot.delivery.send import can_concede, compose
from bot.messages.html import escape, strip_html, visible_length
from storage.outbox import OutboxMessage
from tests.storage.messages import message


def row(html: str, **payload: object) -> OutboxMessage:
    return message(payload=json.dumps({"html": html, **payload}))


def test_a_text_is_cut_into_parts_and_a_repeat_says_so_in_each() -> None:
    assert compose(row("<b>a &lt; b</b>")) == ["<b>a &lt; b</b>"]
    assert compose(row(" ")) == []
    again = message(payload=json.dumps({"html": "<b>a</b>"}), unknown=1)
    assert compose(again) == ["<i>possible repeat</i>\n<b>a</b>"]


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=9000), st.integers(0, 1))
def test_every_message_fits_even_marked_as_a_repeat(text: str, unknown: int) -> None:
    parts = compose(message(payload=json.dumps({"html": escape(text)}), unknown=unknown))
    assert all(visible_length(part) <= 4096 for part in parts)
    without = [strip_html(part).removeprefix("possible repeat\n") for part in parts]
    assert "".join("".join(without).split()) == "".join(text.split())


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
