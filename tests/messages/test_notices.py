from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.alerts.engine import ConditionValue
from bot.local.botapi import parse_html
from bot.messages.alerts.notices import ended_notice, event_list, fire_line, fired_message, paused_message
from bot.messages.html import Html
from storage.alert_store import StoredAlert
from tests.messages.pages import context, market, page, said, standing, told
from tests.sample_market import sample_market

if TYPE_CHECKING:
    from bot.alerts.engine import Event
    from bot.alerts.view import AlertView, EvaluationContext


LONG = [50.0 + (number % 7) / 10 for number in range(300)]
RISEN = context(market([*LONG, 70.0]))  # to Fri 12 Mar 2021


def happened(rule: str, of: EvaluationContext = RISEN, until: int = 1) -> tuple[AlertView, Event]:
    """An alert and the last that has happened to it."""
    made, events = told(rule, of, until=until)
    return made, events[-1]


def push(rule: str, of: EvaluationContext = RISEN, *, until: int = 1, fires: int = 1, late: int = 0) -> str:
    made, event = happened(rule, of, until)
    return page(fired_message(made, event, of, fires, late))


def test_the_whole_message() -> None:
    of = context(sample_market(2020, 10, 7))
    assert of.market.last_completed.date().isoformat() == "2020-10-06"
    assert push("ratio > sma 200", of, fires=2) == (
        "Alert #3 fired · close of Tue 6 Oct 2020\n"
        "ratio > sma 200\n"
        "Sample data: simulated between published points, not the market.\n"
        "ratio: 0.4623 → 0.4676, 0.73% above sma 200 (0.4642).\n"
        "Percentile 5 (n = 2,710 since 31 Dec 2009).\n"
        "Re-arms at 0.4597 (moves with sma 200).\n"
        "Fires in the last 90 days: 2, including this one.\n"
        "Next check: Wed 7 Oct 2020, 16:15 (New York).\n"
        "Source: sample data, current."
    )


def test_a_late_message_says_by_how_much_and_how_old_its_figures_are() -> None:
    lines = push("ratio > 0.6", context(market([*LONG, 70.0], behind=3)), late=3).splitlines()
    assert lines[2] == "Late by 3 sessions: the bot was off, or the data came late."
    assert lines[-1] == "Source: CSV import, 3 sessions old."
    assert "Late by 1 session:" in push("ratio > 0.6", late=1)
    assert "Late" not in push("ratio > 0.6")


def test_each_condition_tells_what_moved() -> None:
    lines = push("ratio > 0.6 and excess 3m > 5pp").splitlines()
    assert lines[2:6] == [
        "ratio: 0.5050 → 0.7000, 16.67% above 0.6.",
        "Percentile 100 (n = 301 since 2 Jan 2020).",
        "excess 3m: +0.80pp → +39.72pp, 34.72pp above 5pp.",
        "Percentile 100 (n = 238 since 2 Apr 2020).",
    ]
    assert "Re-arms at 0.5995 or +4.88pp." in lines


def test_the_percentile_is_that_of_the_events_own_session() -> None:
    of = context(market([*LONG, 60.0, 50.0, 70.0]))
    made, events = told("ratio > 0.55", of, until=3)
    first = page(fired_message(made, events[0], of, 1, 2))
    assert "Percentile 100 (n = 301 since 2 Jan 2020)." in first


def test_a_first_value_has_nothing_before_it() -> None:
    made, event = happened("ratio > 0.6")
    lines = said(fired_message(made, msgspec.structs.replace(event, previous=(None,)), RISEN, 1, 0))
    assert "ratio: 0.7000, 16.67% above 0.6." in lines


def test_a_missing_leg_is_named() -> None:
    made, event = happened("ratio > 0.6")
    gone = msgspec.structs.replace(event, figures=(ConditionValue(None, 0.6),), levels=(None,))
    lines = said(fired_message(made, gone, RISEN, 1, 0))
    assert "ratio: n/a." in lines
    assert "Re-arms once the value has gone back." in lines


def test_an_alert_that_fires_once_ends_with_it() -> None:
    made, event = happened("ratio > 0.6 once")
    answer = fired_message(made, event, RISEN, 1, 0)
    lines = said(answer)
    assert "It was set to fire once and is now done." in lines
    assert not any(line.startswith(("Re-arms", "Next check")) for line in lines)
    assert [label for row in answer.buttons for label, _ in row] == ["#3 Chart", "Why", "History", "Renew"]


def test_a_cooldown_is_announced() -> None:
    assert "For 5 sessions further fires are only listed in /history." in push("ratio > 0.6 cooldown 5")
    assert "For 1 session further fires are only listed in /history." in push("ratio > 0.6 cooldown 1")


def test_what_is_still_true_after_a_cooldown_says_since_when() -> None:
    of = context(market([*LONG, 70.0, 50.0, 70.0, 70.0]))
    made, events = told("ratio > 0.6 cooldown 2", of, until=4)
    assert [event.kind for event in events] == ["fired", "fired", "still"]
    lines = said(fired_message(made, events[-1], of, 2, 0))
    assert lines[0] == "Alert #3 is still true, since 16 Mar 2021 · close of Wed 17 Mar 2021"
    assert not any(line.startswith(("For ", "Fires")) for line in lines)


def test_the_buttons_answer_with_messages_of_their_own() -> None:
    made, event = happened("ratio > 0.6")
    row = fired_message(made, event, RISEN, 1, 0).buttons[0]
    assert row == (
        ("#3 Chart", "/alert 3 chart"),
        ("Why", "/alert 3 why"),
        ("History", "/alert 3 history"),
    )


def stored(alert: AlertView) -> StoredAlert:
    """A row of the alerts table with the alert's number, rule and last day."""
    return StoredAlert(
        alert_id=1,
        chat_id=1,
        number=alert.number,
        owner_id=1,
        rule=str(alert.rule),
        rule_json=alert.rule.to_json(),
        life=alert.life,
        reason="",
        created_at=dt.datetime(2021, 3, 1, tzinfo=dt.UTC),
        created_session=None,
        expires_on=alert.rule.until,
        announced_expiry=None,
        snoozed_until=None,
        thread_id=None,
        level_session=None,
        last_split_id=0,
    )


def text_of(html: str) -> str:
    """The text, if Telegram takes the markup; a note may have white space anywhere."""
    return parse_html(html)[0]


NOTES = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters='"“”'), max_size=60)


@given(NOTES)
def test_a_note_is_shown_as_it_was_typed(note: str) -> None:
    made, event = happened("ratio > 0.6")
    noted = replace(made, rule=msgspec.structs.replace(made.rule, note=note))
    text = text_of(fired_message(noted, event, RISEN, 1, 0).html)
    assert (f"\n“{note}”\n" in text) is bool(note)
    line = fire_line(3, noted.rule, event, "still true", "Yahoo")
    assert f"{noted.rule} · 0.7000, still true (Yahoo)" in text_of(event_list([line], sample=False).html)
    assert str(noted.rule) in text_of(ended_notice([stored(noted)]).html)
    assert str(noted.rule) in text_of(paused_message(3, str(noted.rule), "why <b>&amp;").html)


def test_a_line_of_a_list_tells_what_became_of_it() -> None:
    made, event = happened("ratio > 0.6 and excess 3m > 5pp")
    assert page(fire_line(12, made.rule, event, "no longer true since 15 Mar 2021", "Yahoo")) == (
        "12 Mar 2021 · #12 ratio > 0.6 and excess 3m > 5pp · 0.7000, no longer true since 15 Mar 2021 (Yahoo)"
    )


def test_a_line_of_something_still_true_says_since_when() -> None:
    made, event = happened("ratio > 0.6")
    still = msgspec.structs.replace(event, kind="still")
    line = page(fire_line(3, made.rule, still, "still true", "Yahoo"))
    assert line.endswith("true since 12 Mar 2021, still true (Yahoo)")


@pytest.mark.parametrize(
    ("count", "title", "last"),
    [
        (1, "Late: 1 fire, evaluated only now", "line 0"),
        (2, "Late: 2 fires, evaluated only now, newest first", "line 1"),
        (20, "Late: 20 fires, evaluated only now, newest first", "line 19"),
        (21, "Late: 21 fires, evaluated only now, newest first", "... and 1 more: /history"),
    ],
)
def test_a_list_has_twenty_lines_at_most(count: int, title: str, last: str) -> None:
    lines = said(event_list([Html(f"line {number}") for number in range(count)], sample=False))
    assert (lines[0], lines[-1]) == (title, last)
    assert len(lines) == 1 + min(count, 21)


def test_a_list_labels_sample_data() -> None:
    lines = said(event_list([Html("line")], sample=True))
    assert lines[1] == "Sample data: simulated between published points, not the market."


def test_a_paused_alert_says_why_and_what_can_be_done() -> None:
    answer = paused_message(3, "ratio > 0.6", "“ratios” is not a metric any more.")
    assert said(answer) == [
        "Alert #3 is paused: “ratios” is not a metric any more.",
        "ratio > 0.6",
        "All other alerts go on. Resume it once the cause is fixed, or switch it off and create it again.",
    ]
    assert answer.buttons == ((("Resume", "/alert 3 resume"), ("Off", "/alert 3 off")),)


def test_an_ended_alert_can_be_renewed() -> None:
    answer = ended_notice([stored(standing("ratio > 0.6 until 2021-03-11 silent", RISEN))])
    assert said(answer) == [
        "Alert #3 has ended: 11 Mar 2021 was its last day.",
        "ratio > 0.6 until 2021-03-11 silent",
    ]
    again = answer.buttons[0][0]
    assert again == ("Renew for a year", "/alert 3 renew")
