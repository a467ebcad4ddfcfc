import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pandas as pd
import pytest
from hypothesis import given

from bot.alerts.backtest import Frequency, frequency
from bot.alerts.view import EvaluationContext, Life, RecordedFire
from bot.errors import NoData
from bot.local.botapi import parse_html
from bot.messages.alerts.card import alert_page, card_buttons, more_buttons, new_alert_page, rule_chart_answer
from bot.messages.alerts.history import alert_list, explanation
from bot.messages.alerts.notices import ends_notice, event_list, fire_line, fired_message, paused_message
from bot.messages.canvas import LIGHT
from bot.messages.common import COPY, Answer
from bot.messages.html import visible_length
from bot.messages.pages.summary import summary_answer
from tests.messages.pages import (
    FLAT,
    LONG,
    NOTES,
    RISEN,
    XNYS,
    alert_view,
    alert_with_events,
    context,
    day,
    drawing,
    empty,
    market,
    shown,
    stored,
)
from tests.sample_market import sample_market

LATER = dt.datetime(2021, 3, 14, 12, 30, tzinfo=dt.UTC)
UNKNOWN = Frequency((), None, None)


def reply(text: str, of: EvaluationContext) -> Answer:
    """The reply to a new rule."""
    alert = alert_view(text, of)
    return new_alert_page(alert, of, frequency(alert.rule, of.histories.samples(alert.rule)))


def test_a_new_rule_that_is_true_already() -> None:
    assert shown(reply("ratio > sma 200", context(sample_market()))) == [
        "“Trend breaks” (#3) is set: IWM/SPY above its 200-day average.",
        "Now 0.5195 against 0.4593 (+13.10%), close of Fri 11 Dec 2020. Sample data, not the market.",
        "It is true already, so nothing is sent now.",
        "In the last 5 years it would have fired 18 times, last on 6 Oct 2020.",
        "“Trend breaks” #3: ratio > sma 200",
        "Percentile 12 (n = 2,757 since 31 Dec 2009).",
        "Re-arms 0.0070 below sma 200 (now 0.4523).",
        "Next check: Mon 14 Dec 2020, 16:15 (New York).",
    ]


def test_a_new_rule_that_is_armed_and_one_of_several_conditions() -> None:
    of = context(sample_market())
    assert shown(reply("flow iwm 5d > $1bn", of))[2] == "Armed: you get a message when it becomes true."
    assert shown(reply("flow iwm 5d crosses $1bn", of))[2].startswith("Armed upwards: ")
    assert shown(reply("ratio_vs_sma 200 > 5% and flow_gap 20d > 2pp", of))[4:8] == [
        "#3: ratio_vs_sma 200 > 5% and flow_gap 20d > 2pp",
        "ratio_vs_sma 200: percentile 100 (n = 2,558 since 15 Oct 2010).",
        "flow_gap 20d: percentile 90 (n = 2,737 since 1 Feb 2010).",
        "Re-arms at +3.56% or at +0.98pp.",
    ]


def test_a_rule_on_nothing_stored_says_so_and_is_kept() -> None:
    lines = shown(reply("pe iwm > 25x", FLAT))
    assert lines[2] == "Waiting for its first figures: you are told if it is true by then."
    assert lines[-1] == "Yahoo gives it once a day: python -m bot refresh"


def test_one_alert_in_full() -> None:
    assert shown(alert_page(alert_view("ratio > 0.6", RISEN, number=7, until=1), RISEN)) == [
        "Alert #7: IWM/SPY above 0.6.",
        "Fired 12 Mar 2021, waiting to re-arm.",
        "Now 0.7000 against 0.6 (+16.67%), close of Fri 12 Mar 2021.",
        "#7: ratio > 0.6",
        "Percentile 100 (n = 301 since 2 Jan 2020).",
        "Re-arms at 0.5995.",
        "Next check: Mon 15 Mar 2021, 16:15 (New York).",
        "Source: CSV import, current.",
    ]


def test_what_was_done_stands_first_is_a_toast_and_stands_below_a_push() -> None:
    of = replace(FLAT, zone=ZoneInfo("Asia/Ho_Chi_Minh"))
    answer = alert_page(alert_view("ratio > 0.6", of), of, remark="Renewed until <1 Jan>.")
    assert shown(answer)[1:3] == ["Renewed until <1 Jan>.", "Armed."]
    assert "Next check: Sat 13 Mar 2021, 04:15 (Ho Chi Minh)." in shown(answer)
    assert (answer.toast, answer.below) == ("Renewed until <1 Jan>.", "#3: Renewed until &lt;1 Jan&gt;.")
    alert = replace(alert_view("ratio > 0.6", FLAT), life=Life.PAUSED)
    edited = new_alert_page(alert, FLAT, UNKNOWN, "Was: ratio > 0.5", done="Changed")
    assert shown(edited)[0] == "Alert #3 is changed: IWM/SPY above 0.6."
    assert shown(edited)[2] == "Paused: resume it to get messages."
    assert "Was: ratio > 0.5" in shown(edited)
    resumed = new_alert_page(alert, FLAT, UNKNOWN, done="Resumed")
    assert (resumed.toast, resumed.below) == ("Resumed.", "#3: Resumed; it starts afresh.")
    assert (reply("ratio > 0.6", FLAT).below, alert_page(alert, FLAT).below) == (None, None)


def labels(rows: tuple[tuple[tuple[str, str], ...], ...]) -> list[str]:
    return [" ".join(label for label, _ in row) for row in rows]


SPLIT = "split of IWM 2 for 1 on Thu 16 Jan 2020"
LOOKS, COPIES = "Chart Why History", "Copy the rule All alerts ‹ Back"


@pytest.mark.parametrize(
    ("rule", "changed", "card", "pushed", "more"),
    [
        (
            "ratio > 0.6",
            {},
            "Chart Edit ▸ Snooze ▸ More ▸",
            "Snooze ▸ Why More ▸",
            ["Edit ▸ Pause Off", "Also tell me when it goes back"],
        ),
        (
            "ratio crosses 0.6",
            {"snoozed_until": LATER},
            "Chart Edit ▸ End snooze More ▸",
            "End snooze Why More ▸",
            ["Edit ▸ Pause Off"],
        ),
        (
            "ratio crosses 0.6",
            {"life": Life.PAUSED},
            "Chart Resume More ▸",
            "Why Resume More ▸",
            ["Edit ▸ Resume Off"],
        ),
        (
            "ratio > 0.6 and back",
            {"life": Life.PAUSED, "reason": SPLIT},
            "Chart Rescale Resume More ▸",
            "Why Rescale Resume More ▸",
            ["Edit ▸ Resume Off"],
        ),
        ("ratio > 0.6", {"life": Life.EXPIRED}, "Chart Renew More ▸", "Why Renew More ▸", ["Renew for a year"]),
        ("ratio > 0.6", {"life": Life.DONE}, "Chart Renew More ▸", "Why Renew More ▸", ["Renew for a year"]),
    ],
)
def test_four_buttons_at_most_and_the_rest_behind_the_last(
    rule: str, changed: dict[str, Any], card: str, pushed: str, more: list[str]
) -> None:
    alert = replace(alert_view(rule, FLAT), **changed)
    assert labels(card_buttons(alert)) == [card]
    assert labels(card_buttons(alert, pushed=True)) == [pushed]
    assert labels(card_buttons(alert, pushed=True, reminds=True)) == [f"Got it {pushed}"]
    assert labels(more_buttons(alert, FLAT)) == [LOOKS, *more, COPIES]
    assert more_buttons(alert, FLAT)[-1][0][1] == COPY + str(alert.rule)


def test_its_last_day_is_told_and_near_it_one_tap_renews() -> None:
    alert, last = alert_view("ratio > 0.6", FLAT), FLAT.market.last_completed.date()
    renew = (("Renew for a year", "/alert 3 renew"),)
    for left, ends, is_near in ((31, "11 Apr", False), (30, "10 Apr", True), (0, "11 Mar", True)):
        ending = replace(alert, expires_on=last + dt.timedelta(days=left))
        assert f"Ends {ends} 2021 unless renewed." in shown(alert_page(ending, FLAT))
        assert (renew in more_buttons(ending, FLAT)) is is_near
    assert not any(line.startswith("Ends") for line in shown(alert_page(alert, FLAT)))


@pytest.mark.parametrize(("life", "rearms"), [("done", False), ("paused", True)])
def test_the_paused_have_no_next_check_and_the_ended_no_level_to_rearm_at(life: str, rearms: bool) -> None:
    lines = shown(alert_page(alert_view("ratio > 0.6", FLAT, life=life), FLAT))
    assert not any(line.startswith(("Next", "Ends")) for line in lines)
    assert any(line.startswith("After a fire it re-arms") for line in lines) is rearms


@given(NOTES)
def test_a_note_is_shown_as_it_was_typed(note: str) -> None:
    alert, (event,) = alert_with_events("ratio > 0.6", RISEN, until=1)
    rule = msgspec.structs.replace(alert.rule, note=note)
    noted = replace(alert, rule=rule)
    fire = RecordedFire(3, rule, event, None, "CSV <import>", "2021-03-12T21:15:30Z")
    line = fire_line(3, rule, event, "still true", "<Yahoo>")
    for answer in (
        new_alert_page(noted, RISEN, UNKNOWN).text,
        alert_page(noted, RISEN).text,
        fired_message(noted, event, RISEN, 1, 0).text,
        explanation(noted, fire, RISEN).text,
        event_list([line], sample=False).html,
        ends_notice([stored(noted)], has_ended=True).html,
        paused_message(3, str(rule), "why <b>&amp;").html,
    ):
        assert str(rule) in parse_html(answer)[0]
    for html in (summary_answer(RISEN, [noted], XNYS).html, alert_list([noted], RISEN).html):
        assert (" ".join(note.split()) or "#3 IWM/SPY above 0.6") in parse_html(html)[0]
    push = fired_message(noted, event, RISEN, 1, 0)
    assert push.quote is not None
    assert parse_html(push.quote)[0].startswith(f"“{note}” #3: " if note else "#3: ")


PAGES: dict[str, Callable[[EvaluationContext, str], Answer]] = {
    "new": lambda of, rule: reply(rule, of),
    "page": lambda of, rule: alert_page(alert_view(rule, of), of, remark="It sends nothing until you resume it."),
    "push": lambda of, rule: last_push(rule, of),
    "chart": lambda of, rule: rule_chart_answer(alert_view(rule, of), of, LIGHT, []),
}


def last_push(rule: str, of: EvaluationContext) -> Answer:
    """The message about the last fire of a rule."""
    alert, events = alert_with_events(rule, of, until=300)
    return fired_message(alert, events[-1], of, 2, 0)


@pytest.mark.parametrize("make", PAGES.values(), ids=PAGES)
@pytest.mark.parametrize(
    "rule", ["ratio > sma 200", "ratio_vs_sma 200 > 5% and flow_gap 20d > 2pp", "flow iwm 5d > $1bn remind 5"]
)
def test_every_page_is_four_lines_before_its_quote_and_four_buttons(
    rule: str, make: Callable[[EvaluationContext, str], Answer]
) -> None:
    answer = make(context(sample_market()), rule)
    assert answer.html.count("\n") <= 3
    assert answer.text.lower().count("sample data") == 1
    assert visible_length(answer.text) <= 1024
    assert answer.html.startswith("<b>")
    assert [len(row) <= 4 for row in answer.buttons] == [True]


def test_every_condition_is_drawn_with_its_threshold_over_a_year_and_where_it_rearms() -> None:
    of = context(market(LONG, units={"IWM": [250.0 + number % 8 for number in range(299)]}))
    rule = "ratio > sma 20 and flow iwm 5d < $1bn"
    answer = rule_chart_answer(alert_view(rule, of), of, LIGHT, [day("2020-12-01")])
    assert shown(answer)[0] == "Alert #3: IWM/SPY above its 20-day average and IWM's flow over 5d below $1bn."
    panels, style, fires = drawing(answer).args
    assert [(panel.name, panel.level_name) for panel in panels] == [
        ("IWM/SPY", "sma 20"), ("IWM's flow over 5d", "threshold"),
    ]  # fmt: skip
    assert [str(panel.series.index[0].date()) for panel in panels] == ["2020-03-11", "2020-03-11"]
    assert [(panel.rearm - panel.level).iloc[-1] < 0 for panel in panels] == [True, False]
    assert style.footer == "Source: CSV import · close of Thu 11 Mar 2021"
    assert fires == [pd.Timestamp("2020-12-01")]


@pytest.mark.parametrize(
    ("rule", "rearms"),
    [("ratio > 0.6 rearm 0.55", 0.55), ("ratio > 0.6 once", None), ("ratio crosses 0.6", None)],
)
def test_a_level_to_rearm_at_is_drawn_where_there_is_one(rule: str, rearms: float | None) -> None:
    (panel,), *_ = drawing(rule_chart_answer(alert_view(rule, FLAT), FLAT, LIGHT, [])).args
    assert (None if panel.rearm is None else panel.rearm.iloc[-1]) == rearms


def test_a_threshold_is_drawn_even_before_it_is_defined() -> None:
    of = context(market([50.0 + number for number in range(10)]))
    (panel,), _, fires = drawing(rule_chart_answer(alert_view("ratio > sma 8", of), of, LIGHT, [])).args
    assert panel.level.isna().tolist() == [True] * 7 + [False] * 3
    assert fires == []


def test_a_condition_without_figures_is_named_and_the_others_are_drawn() -> None:
    answer = rule_chart_answer(alert_view("ratio > 0.6 and pe iwm > 25x", FLAT), FLAT, LIGHT, [])
    assert shown(answer)[2] == "Not drawn, because there are no figures for the last year: pe iwm morningstar > 25x."
    assert len(drawing(answer).args[0]) == 1


def test_without_any_figure_there_is_nothing_to_draw() -> None:
    with pytest.raises(NoData, match=r"^There is nothing to draw for pe iwm morningstar > 25x: no figure"):
        rule_chart_answer(alert_view("pe iwm > 25x", FLAT), FLAT, LIGHT, [])
    nothing = context(empty())
    with pytest.raises(NoData, match=r"^No prices are stored yet\."):
        rule_chart_answer(alert_view("ratio > 1", nothing), nothing, LIGHT, [])
