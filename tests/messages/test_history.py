import datetime as dt
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from bot.alerts.engine import ConditionValue, Event, Status, evaluate, first_state
from bot.alerts.grammar import parse_rule
from bot.alerts.presets import preset_of
from bot.alerts.view import EvaluationContext, Life, RecordedFire
from bot.analytics.metrics import METRICS
from bot.messages.alerts.history import alert_list, explanation, history_answer
from bot.messages.common import Answer
from storage.alert_store import ChatEvent, EventDetail
from tests.messages.pages import FLAT, LONG, RISEN, alert_view, button_labels, context, market, page, shown


def detail_of(rule: str, *, muted: bool = False) -> EventDetail:
    day, figures = dt.date(2020, 10, 6), (ConditionValue(5.5, 5.0),)
    fired = Event("fired", day, (">",), figures, (None,), (None,), day, muted=muted)
    return EventDetail(source="CSV import", event=fired.to_json(), rule=parse_rule(rule, METRICS).to_json())


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
    assert shown(history_answer([])) == ["Nothing has fired yet.", "Your alerts: /alerts"]
    answer = history_answer([], 3)
    assert shown(answer) == ["Alert #3 has not fired yet."]
    assert answer.buttons == ((("#3", "/alert 3"), ("All alerts", "/alerts")),)


def test_an_event_is_told_with_the_rule_of_its_time() -> None:
    rule = parse_rule("ratio > 0.5", METRICS)
    detail = EventDetail(source="Yahoo", rule=rule.to_json())
    assert shown(history_answer([event(), event(value=0.52, detail=detail)], 3)) == [
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
    assert shown(history_answer(events))[1:5] == ["6 Oct 2020 · #3 moon > 0.5 · fired"] * 4


def test_older_events_are_on_further_pages() -> None:
    first, second = history_answer([event()] * 21), history_answer([event()] * 3, 3, page=2)
    assert (shown(first)[0], len(shown(first))) == ("Page 1 of events, newest first", 23)
    assert first.buttons == ((("Older ›", "/history page 2"),),)
    assert shown(second)[0] == "Alert #3: page 2 of events, newest first"
    assert second.buttons[0] == (("‹ Newer", "/history 3 page 1"),)
    assert history_answer([event()] * 20).buttons == ()
    beyond = history_answer([], page=3)
    assert shown(beyond) == ["There is no page 3.", "Your alerts: /alerts"]
    assert beyond.buttons == ((("‹ Newer", "/history page 1"),),)


@pytest.mark.parametrize(
    ("row", "outcome"),
    [
        (event("still"), "still true at +5.50pp"),
        (event("withdrawn"), "withdrawn because the data was revised"),
        (event("restated"), "fired on revised figures at +5.50pp"),
        (event(deferred="snooze"), "fired at +5.50pp, sent when the snooze ends"),
        (event(deferred="quiet"), "fired at +5.50pp, sent after the quiet hours"),
        (event(detail=detail_of("excess 3m > 5pp", muted=True)), "fired at +5.50pp, held back by its cooldown"),
        (event(value=None), "fired"),
    ],
)
def test_what_became_of_it(row: ChatEvent, outcome: str) -> None:
    assert shown(history_answer([row]))[1] == f"6 Oct 2020 · #3 excess 3m > 5pp · {outcome}"


def test_the_list_has_a_line_for_each_and_rule_and_figures_in_its_quote() -> None:
    of = context(market([*LONG, 70.0], units={"IWM": [250.0 + number for number in range(299)]}))
    rules = ("ratio > 0.6", "ratio < 0.4 and excess 3m > 5pp", "flow iwm 5d > $1bn", "pe iwm > 25x")
    answer = alert_list([alert_view(rule, of, number=at) for at, rule in enumerate(rules, start=1)], of)
    assert shown(answer) == [
        "4 alerts, none fired lately · Fri 12 Mar 2021",
        "#2 IWM/SPY below 0.4 and IWM's lead in total return over 3m above 5pp ░░░░░░░░ 42.86% to go",
        "#3 IWM's flow over 5d above $1bn ░░░░░░░░ $0.50bn to go, waiting for data",
        "#1 IWM/SPY above 0.6 true from the start, re-arms 14.73% lower",
        "#4 IWM's P/E (Morningstar via Yahoo) above 25x waiting for its first figures",
        (
            "#2 ratio < 0.4 and excess 3m > 5pp: Armed. Now 0.7000 against 0.4 (+75.00%); +39.72pp against 5pp "
            "(+34.72pp), close of Fri 12 Mar 2021."
        ),
        (
            "#3 flow iwm 5d > $1bn: Armed. Now +$0.50bn against $1bn (−$0.50bn), close of Wed 10 Mar 2021, "
            "2 sessions old. Evaluated up to 10 Mar 2021; waiting for 11 Mar 2021, 5 sessions at most. "
            "Stale: 2 sessions old."
        ),
        (
            "#1 ratio > 0.6: True from the start, waiting to re-arm. Now 0.7000 against 0.6 (+16.67%), "
            "close of Fri 12 Mar 2021."
        ),
        (
            "#4 pe iwm morningstar > 25x: Waiting for its first figures. Now n/a, no such multiple stored. "
            "It is evaluated once there is a value."
        ),
        "Source: CSV import.",
    ]
    assert button_labels(answer) == [["#2", "#3", "#1", "#4"], ["New alert"]]


def test_snoozed_paused_and_ending_alerts_say_so() -> None:
    last, until = FLAT.market.last_completed.date(), dt.datetime(2021, 3, 14, 12, 30, tzinfo=dt.UTC)
    changes: list[dict[str, Any]] = [
        {"snoozed_until": until},
        {"expires_on": last + dt.timedelta(days=7)},
        {"expires_on": last + dt.timedelta(days=300)},
        {"life": Life.PAUSED},
    ]
    lines = shown(alert_list([replace(alert_view("ratio > 0.6", FLAT), **change) for change in changes], FLAT))
    ends = [" to go, snoozed", " to go, ends 18 Mar 2021", " to go", " paused"]
    assert [line.endswith(end) for line, end in zip(lines[1:5], ends, strict=True)] == [True] * 4
    assert "Armed; snoozed until Sun 14 Mar 2021, 08:30." in lines[5]


def many(count: int, number: int = 1, note: str = "") -> Answer:
    """A page of the list of `count` alerts."""
    of = context(market([50.0] * 5))
    alert = alert_view('ratio > 0.6 note "' + note + '"' if note else "ratio > 0.6", of)
    return alert_list([replace(alert, number=at) for at in range(1, count + 1)], of, number)


@pytest.mark.parametrize(
    ("count", "number", "title", "shows", "turns"),
    [
        (8, 1, "8 alerts, none fired lately · ", range(1, 9), []),
        (50, 1, "50 alerts, none fired lately, page 1 of 7 · ", range(1, 9), ["/alerts page 2"]),
        (50, 7, "50 alerts, none fired lately, page 7 of 7 · ", range(49, 51), ["/alerts page 6"]),
        (50, 99, "50 alerts, none fired lately, page 7 of 7 · ", range(49, 51), ["/alerts page 6"]),
        (17, 2, "17 alerts, none fired lately, page 2 of 3 · ", range(9, 17), ["/alerts page 1", "/alerts page 3"]),
    ],
)
def test_eight_alerts_are_a_page(count: int, number: int, title: str, shows: range, turns: list[str]) -> None:
    answer = many(count, number)
    *rows, last = answer.buttons
    assert shown(answer)[0] == f"{title}Wed 8 Jan 2020"
    assert [label for row in rows for label, _ in row] == [f"#{at}" for at in shows]
    assert [line for _, line in last] == [*turns, "/alert"]


def test_long_rules_fit_one_message() -> None:
    answer = many(30, 1, "n" * 470)
    assert len(page(answer)) < 4096
    assert answer.html.count("\n") <= 9


def test_no_alerts_offer_presets_to_begin_with_and_the_way_to_ones_own() -> None:
    answer = alert_list([], context(market([50.0])))
    assert shown(answer) == ["No alerts yet.", "Try /alert ratio > sma 200, or choose:"]
    *presets, ((_, own),) = answer.buttons
    assert own == "/alert new"
    for ((label, line),) in presets:
        preset = preset_of(line.removeprefix("/alert new "), market([50.0]))
        assert preset is not None
        assert preset.name == label


def explained(fire: RecordedFire, of: EvaluationContext) -> list[str]:
    """The lines of an explanation."""
    return shown(explanation(alert_view("ratio > 0.6", of), fire, of))


def stored(text: str, of: EvaluationContext = RISEN, until: int = 1) -> RecordedFire:
    """The last fire of a rule created `until` sessions ago, with the state before it."""
    rule = parse_rule(text, METRICS)
    history, cut = of.histories.samples(rule, sessions=of.market.sessions), -until
    before = first_state(rule, history[:cut], of.market.last_completed.date())
    run = evaluate(rule, before, history[cut:])
    before = run.states[-2] if until > 1 else before
    return RecordedFire(3, rule, run.events[-1], before, "CSV import", "2021-03-12T21:15:30Z")


def test_why_evaluates_the_stored_figures_again() -> None:
    assert explained(stored("ratio > sma 20 and excess 3m > 5pp"), RISEN) == [
        (
            "Why #3 fired: IWM/SPY is above its 20-day average and IWM's lead in total return over 3m is above 5pp · "
            "close of Fri 12 Mar 2021"
        ),
        "ratio: 0.7000 > 0.5129 (sma 20), previously 0.5050.",
        "excess 3m: +39.72pp > +5.00pp, previously +0.80pp.",
        "Evaluated again from the state after 11 Mar 2021 (armed): it fires.",
        "#3: ratio > sma 20 and excess 3m > 5pp",
        "Re-arms at 0.5123 (moves with sma 20) or +4.88pp.",
        "Inputs as stored: CSV import, observed 12 Mar 2021, 21:15 UTC.",
    ]


def test_a_first_evaluation_has_nothing_before_and_a_state_that_is_not_kept_is_not_made_up() -> None:
    fire = stored("ratio > 0.6")
    first = replace(fire, event=msgspec.structs.replace(fire.event, previous=(None,)), before=None)
    lines = explained(first, RISEN)
    assert lines[1] == "ratio: 0.7000 > 0.6000."
    assert lines[2] == "Not evaluated again: the state before it is no longer stored."


def test_a_step_that_gives_something_else_is_said() -> None:
    fire = stored("ratio > 0.6")
    assert fire.before is not None
    side = msgspec.structs.replace(fire.before.sides[0], status=Status.FIRED)
    fired_before = replace(fire, before=msgspec.structs.replace(fire.before, sides=(side,)))
    other = replace(fire, event=msgspec.structs.replace(fire.event, levels=(0.1,)))
    for changed, outcome in (
        (fired_before, "(fired): it does not fire."),
        (other, "(armed): the result differs from what was reported."),
    ):
        line = f"Evaluated again from the state after 11 Mar 2021 {outcome}"
        assert explained(changed, RISEN)[2] == line


def test_what_was_still_true_after_its_cooldown_is_replayed_too() -> None:
    of = context(market([*LONG, 70.0, 50.0, 70.0, 70.0]))
    lines = explained(stored("ratio > 0.6 cooldown 2", of, until=4), of)
    assert lines[0] == "Why #3 was still true: IWM/SPY is still above 0.6 · close of Wed 17 Mar 2021"
    assert lines[2] == "Evaluated again from the state after 16 Mar 2021 (fired): still true."


def test_data_that_was_revised_since_is_shown_beside_what_was_evaluated() -> None:
    fire = stored("ratio > sma 20 and excess 3m > 5pp")
    for close, verdict in ((69.0, "the rule is still true"), (40.0, "the rule is not true")):
        last = explained(fire, context(market([*LONG, close])))[4]
        assert last.startswith(f"Data revised since: ratio is {close / 100:.4f} (sma 20 0.")
        assert last.endswith(f" now; {verdict} on these figures.")
    gone = context(market([*LONG[:-1], 50.0, None, 50.0]))
    assert explained(stored("ratio > 0.6"), gone)[3] == (
        "Data revised since: ratio is n/a now; the rule cannot be evaluated on these figures."
    )
