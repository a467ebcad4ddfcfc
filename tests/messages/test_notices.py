from dataclasses import replace

import msgspec
import pytest

from bot.alerts.engine import ConditionValue, Event
from bot.alerts.view import AlertView, EvaluationContext
from bot.messages.alerts.notices import (
    DataGap,
    event_list,
    fire_line,
    fired_message,
    outage_notice,
    paused_message,
)
from bot.messages.common import Answer
from bot.messages.html import Html
from tests.messages.pages import (
    FLAT,
    LONG,
    RISEN,
    SAMPLE,
    alert_view,
    alert_with_events,
    button_labels,
    context,
    day,
    market,
    page,
    shown,
    stored,
)
from tests.sample_market import sample_market


def happened(rule: str, of: EvaluationContext = RISEN, until: int = 1) -> tuple[AlertView, Event]:
    """An alert and the last that has happened to it."""
    alert, events = alert_with_events(rule, of, until=until)
    return alert, events[-1]


def push(rule: str, of: EvaluationContext = RISEN, *, until: int = 1, fires: int = 1, late: int = 0) -> Answer:
    """The message about the last that has happened to an alert."""
    return fired_message(*happened(rule, of, until), of, fires, late)


def test_the_whole_message() -> None:
    of = context(sample_market(2020, 10, 7))
    answer = push("ratio > sma 200", of, fires=2)
    assert page(answer) == (
        "IWM/SPY crossed above its 200-day average\n"
        "0.4676 against 0.4642 (+0.73%), close of Tue 6 Oct 2020. Before: 0.4623. Sample data, not the market.\n"
        "“Trend breaks” #3: ratio > sma 200\n"
        "Percentile 5 (n = 2,710 since 31 Dec 2009).\n"
        "Re-arms at 0.4597 (moves with sma 200).\n"
        "Fired twice in 90 days.\n"
        "Next check: Wed 7 Oct 2020, 16:15 (New York)."
    )
    assert button_labels(answer) == [["Snooze ▸", "Why", "More ▸"]]


def test_each_condition_tells_what_moved() -> None:
    assert shown(push("ratio > 0.6 and excess 3m > 5pp")) == [
        "IWM/SPY is above 0.6 and IWM's lead in total return over 3m is above 5pp",
        (
            "0.7000 against 0.6 (+16.67%); +39.72pp against 5pp (+34.72pp), close of Fri 12 Mar 2021. "
            "Before: 0.5050; +0.80pp."
        ),
        "#3: ratio > 0.6 and excess 3m > 5pp",
        "ratio: percentile 100 (n = 301 since 2 Jan 2020).",
        "excess 3m: percentile 100 (n = 238 since 2 Apr 2020).",
        "Re-arms at 0.5995 or +4.88pp.",
        "Fired once in 90 days.",
        "Next check: Mon 15 Mar 2021, 16:15 (New York).",
        "Source: CSV import, current.",
    ]


@pytest.mark.parametrize(("fires", "hint"), [(5, False), (6, True)])
def test_a_rule_that_fires_often_is_offered_to_be_widened(fires: int, hint: bool) -> None:
    answer = push("ratio > 0.6", fires=fires)
    assert ("Fired 6 times in 90 days: widen it?" in shown(answer)) is hint
    assert (("Widen ▸", "/alert 3 edit") in answer.buttons[0]) is hint


def test_the_percentile_is_that_of_the_events_own_session() -> None:
    of = context(market([*LONG, 60.0, 50.0, 70.0]))
    alert, events = alert_with_events("ratio > 0.55", of, until=3)
    assert "Percentile 100 (n = 301 since 2 Jan 2020)." in shown(fired_message(alert, events[0], of, 1, 2))


def test_a_first_value_has_nothing_before_it_and_a_missing_one_is_named() -> None:
    alert, event = happened("ratio > 0.6")
    first = msgspec.structs.replace(event, previous=(None,))
    assert shown(fired_message(alert, first, RISEN, 1, 0))[1].endswith("(+16.67%), close of Fri 12 Mar 2021.")
    gone = msgspec.structs.replace(event, figures=(ConditionValue(None, 0.6),), levels=(None,))
    lines = shown(fired_message(alert, gone, RISEN, 1, 0))
    assert lines[1].startswith("n/a, close of Fri 12 Mar 2021.")
    assert "Re-arms once the value has gone back." in lines


def test_an_alert_that_fires_once_ends_with_it() -> None:
    answer = push("ratio > 0.6 once")
    lines = shown(answer)
    assert "It was set to fire once and is now done." in lines
    assert not any(line.startswith(("Re-arms", "Next check")) for line in lines)
    assert button_labels(answer) == [["Why", "Renew", "More ▸"]]


def test_what_is_still_true_after_a_cooldown_says_since_when() -> None:
    of = context(market([*LONG, 70.0, 50.0, 70.0, 70.0]))
    lines = shown(push("ratio > 0.6 cooldown 2", of, until=4, fires=2))
    assert lines[0] == "IWM/SPY is still above 0.6"
    assert lines[2] == "It has been true since 16 Mar 2021."
    assert not any(line.startswith(("For ", "Fire")) for line in lines)


@pytest.mark.parametrize(
    ("count", "listed"), [(5, ["#4 ratio > 0.6", "#5 ratio > 0.6"]), (6, ["#5 ratio > 0.6", "... and 1 more: /alerts"])]
)
def test_an_outage_names_five_alerts_at_most(count: int, listed: list[str]) -> None:
    alert = alert_view("ratio > 0.6", FLAT)
    waiting = [stored(replace(alert, number=number)) for number in range(1, count + 1)]
    gap = DataGap("prices", day("2021-03-12"), day("2021-03-12"))
    text = shown(outage_notice([gap], waiting, FLAT.market))
    assert text[-3:] == [*listed, "You get one message when it is back."]


def test_a_line_of_a_list_tells_what_became_of_it() -> None:
    alert, event = happened("ratio > 0.6 and excess 3m > 5pp")
    line = fire_line(12, alert.rule, event, "no longer true since 15 Mar 2021", "Yahoo")
    head = "12 Mar 2021 · #12 ratio > 0.6 and excess 3m > 5pp · 0.7000"
    assert page(line) == f"{head}, no longer true since 15 Mar 2021 (Yahoo)"
    still = msgspec.structs.replace(event, kind="still")
    line = fire_line(12, alert.rule, still, "still true", "Yahoo")
    assert page(line) == f"{head}, true since 12 Mar 2021, still true (Yahoo)"


@pytest.mark.parametrize(
    ("count", "title", "last"),
    [
        (1, "1 event, evaluated only now", "line 0"),
        (20, "20 events, evaluated only now, newest first", "line 19"),
        (21, "21 events, evaluated only now, newest first", "... and 1 more: /history"),
    ],
)
def test_a_list_has_twenty_lines_at_most(count: int, title: str, last: str) -> None:
    lines = shown(event_list([Html(f"line {number}") for number in range(count)], sample=True))
    assert [lines[0], lines[1], lines[-1]] == [f"Late: {title}", SAMPLE, last]
    assert len(lines) == 2 + min(count, 21)


def test_a_paused_alert_says_why_and_what_can_be_done() -> None:
    answer = paused_message(3, "ratio > 0.6", "“ratios” is not a metric any more.")
    assert shown(answer)[:2] == ["Alert #3 is paused: “ratios” is not a metric any more.", "ratio > 0.6"]
    assert button_labels(answer) == [["Resume", "Off"]]
