from __future__ import annotations

import datetime as dt

import msgspec
import pytest

from bot.alerts.engine import ConditionValue, Event
from bot.alerts.grammar import parse_rule
from bot.analytics.metrics import METRICS
from bot.messages.alerts.history import history_answer
from storage.alert_store import ChatEvent, EventDetail
from tests.messages.pages import said


def detail_of(rule: str, *, muted: bool = False) -> EventDetail:
    day, figures = dt.date(2020, 10, 6), (ConditionValue(5.5, 5.0),)
    event = Event("fired", day, (">",), figures, (None,), (None,), day, muted=muted)
    return EventDetail(source="CSV import", event=event.to_json(), rule=parse_rule(rule, METRICS).to_json())


def event(
    transition: str = "fired",
    rule: str = "excess 3m > 5pp",
    detail: EventDetail | None = None,
    value: float | None = 5.5,
    deferred: str | None = None,
) -> ChatEvent:
    return ChatEvent(
        event_id=1,
        alert_id=1,
        session=dt.date(2020, 10, 6),
        transition=transition,
        revision=0,
        value=value,
        threshold=5.0,
        detail=detail or detail_of(rule),
        created_at=dt.datetime(2020, 10, 6, 22, tzinfo=dt.UTC),
        deferred=deferred,
        message=None,
        number=3,
        rule=rule,
        chat_id=1,
    )


def test_nothing_has_fired() -> None:
    assert said(history_answer([])) == ["Nothing has fired yet.", "Your alerts: /alerts"]
    one = history_answer([], 3)
    assert said(one) == ["Alert #3 has not fired yet."]
    assert one.buttons == ((("#3", "/alert 3"), ("All alerts", "/alerts")),)


def test_an_event_is_told_with_the_rule_of_its_time() -> None:
    rule = parse_rule("ratio > 0.5", METRICS)
    detail = EventDetail(source="Yahoo", rule=rule.to_json())
    assert said(history_answer([event(), event(value=0.52, detail=detail)], 3)) == [
        "Alert #3: last 2 events, newest first",
        "6 Oct 2020 · #3 excess 3m > 5pp · fired at +5.50pp",
        "6 Oct 2020 · #3 ratio > 0.5 · fired at 0.5200",
        "",
        "Source: CSV import, Yahoo.",
    ]


def test_a_rule_that_cannot_be_read_any_more_is_told_as_it_was_stored() -> None:
    known = parse_rule("ratio > 0.5", METRICS).to_json()
    gone = [known.replace("ratio", "moon"), "{", "5", ""]
    events = [event(rule="moon > 0.5", detail=EventDetail(rule=rule)) for rule in gone]
    assert said(history_answer(events))[1:5] == ["6 Oct 2020 · #3 moon > 0.5 · fired"] * 4


def test_older_events_are_on_further_pages() -> None:
    first, second = history_answer([event()] * 21), history_answer([event()] * 3, 3, page=2)
    assert (said(first)[0], len(said(first))) == ("Page 1 of events, newest first", 23)
    assert first.buttons == ((("Older ›", "/history page 2"),),)
    assert said(second)[0] == "Alert #3: page 2 of events, newest first"
    assert second.buttons[0] == (("‹ Newer", "/history 3 page 1"),)
    assert history_answer([event()] * 20).buttons == ()
    beyond = history_answer([], page=3)
    assert said(beyond) == ["There is no page 3.", "Your alerts: /alerts"]
    assert beyond.buttons == ((("‹ Newer", "/history page 1"),),)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (event("still"), "still true at +5.50pp"),
        (event("withdrawn"), "withdrawn because the data was revised"),
        (event("restated"), "fired on revised figures at +5.50pp"),
        (event(deferred="snooze"), "fired at +5.50pp, sent when the snooze ends"),
        (event(deferred="quiet"), "fired at +5.50pp, sent after the quiet hours"),
        (
            event(detail=detail_of("excess 3m > 5pp", muted=True)),
            "fired at +5.50pp, held back by its cooldown",
        ),
        (event(value=None), "fired"),
    ],
)
def test_what_became_of_it(row: ChatEvent, told: str) -> None:
    assert said(history_answer([row]))[1] == f"6 Oct 2020 · #3 excess 3m > 5pp · {told}"


def test_a_muted_event_is_recognised_however_its_json_is_spaced() -> None:
    detail = detail_of("excess 3m > 5pp", muted=True)
    spaced = msgspec.structs.replace(detail, event=msgspec.json.format(detail.event, indent=2))
    assert said(history_answer([event(detail=spaced)]))[1].endswith("held back by its cooldown")
