import datetime as dt
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
from bot.messages.alerts.card import (
    alert_page,
    card_buttons,
    list_buttons,
    new_alert_page,
    rearm_phrase,
    rule_chart_answer,
    state_sentence,
    summary_distance,
)
from bot.messages.alerts.history import alert_list, explanation
from bot.messages.alerts.notices import ended_notice, event_list, fire_line, fired_message, paused_message
from bot.messages.canvas import LIGHT
from bot.messages.common import Answer
from bot.messages.pages.summary import summary_answer
from tests.messages.pages import (
    FLAT,
    LONG,
    NOTES,
    RISEN,
    SAMPLE,
    XNYS,
    alert_view,
    alert_with_events,
    context,
    day,
    drawing,
    empty,
    market,
    page,
    shown,
    stored,
)
from tests.sample_market import sample_market

LATER = dt.datetime(2021, 3, 14, 12, 30, tzinfo=dt.UTC)


def reply(text: str, of: EvaluationContext) -> Answer:
    """The reply to a new rule."""
    alert = alert_view(text, of)
    return new_alert_page(alert, of, frequency(alert.rule, of.histories.samples(alert.rule)))


def test_a_new_rule_that_is_true_already() -> None:
    assert shown(reply("ratio > sma 200", context(sample_market()))) == [
        "Alert #3 ratio > sma 200",
        SAMPLE,
        "ratio is 0.5195, 13.10% above sma 200 (0.4593).",
        "Percentile 12 (n = 2,757 since 31 Dec 2009).",
        "Close of Fri 11 Dec 2020. Source: sample data, current.",
        "The rule is already true, so nothing is sent now.",
        "Re-arms 0.0070 below sma 200 (now 0.4523).",
        "In the last 5 years it would have fired 18 times, last on 6 Oct 2020.",
        "Next check: Mon 14 Dec 2020, 16:15 (New York).",
    ]


@pytest.mark.parametrize(
    ("rule", "armed"), [("flow iwm 5d > $1bn", "Armed"), ("flow iwm 5d crosses $1bn", "Armed upwards")]
)
def test_a_new_rule_that_is_armed(rule: str, armed: str) -> None:
    lines = shown(reply(rule, context(sample_market())))
    assert lines[2] == "flow iwm 5d is +$0.96bn, $41.6m below $1bn."
    assert lines[5] == f"{armed}: you get a message when the rule becomes true."


def test_each_condition_of_a_joined_rule_has_its_lines() -> None:
    lines = shown(reply("ratio_vs_sma 200 > 5% and flow_gap 20d > 2pp", context(sample_market())))
    assert lines[2:9] == [
        "ratio_vs_sma 200 is +13.10%, 8.10pp above 5%.",
        "Percentile 100 (n = 2,558 since 15 Oct 2010).",
        "flow_gap 20d is +6.91pp, 4.91pp above 2pp.",
        "Percentile 90 (n = 2,737 since 1 Feb 2010).",
        "Close of Fri 11 Dec 2020. Source: sample data, current.",
        "The rule is already true, so nothing is sent now.",
        "Re-arms at +3.56% or at +0.98pp.",
    ]


def test_figures_of_older_closes_are_dated_with_their_age() -> None:
    of = context(market([50.0] * 30, units={"IWM": [250.0 + number for number in range(25)]}))
    lines = shown(reply("flow iwm 5d > $1bn", of))
    assert "Close of Thu 6 Feb 2020. Source: CSV import, 5 sessions old." in lines
    lines = shown(reply("ratio > 0.6 and flow iwm 5d > $1bn", of))
    assert lines[1] == "ratio is 0.5000, 16.67% below 0.6."
    assert lines[3] == "flow iwm 5d is +$0.50bn (6 Feb 2020, 5 sessions old), $0.50bn below $1bn."
    assert "Close of Thu 13 Feb 2020. Source: CSV import, current." in lines


def test_a_rule_on_nothing_stored_says_so_and_is_kept() -> None:
    lines = shown(reply("pe iwm > 25x", FLAT))
    assert lines[1].startswith("pe iwm morningstar: n/a, no ")
    assert lines[1].endswith(". It is evaluated once there is a value.")
    assert lines[2:6] == [
        "Yahoo gives it once a day: python -m bot refresh",
        "Waiting for its first figures: you are told if it is true by then.",
        "After a fire it re-arms below 25x (no band: fewer than 60 values).",
        "How often it would have fired: n/a, no history.",
    ]


def test_a_target_that_needs_more_history_says_so() -> None:
    lines = shown(reply("ratio > pct 90", context(market(LONG[:100]))))
    assert lines[1] == "ratio is 0.5010, pct 90 is n/a: too little history."
    assert "After a fire it re-arms below pct 90 (no band: fewer than 60 values)." in lines


@pytest.mark.parametrize(
    ("fires", "since", "line"),
    [
        ([], None, "How often it would have fired: n/a, no history."),
        ([], "2015-12-14", "In the last 5 years it would not have fired."),
        (["2020-10-06"], "2015-12-14", "In the last 5 years it would have fired once, on 6 Oct 2020."),
        (
            ["2019-10-06", "2020-10-06"],
            "2015-12-14",
            "In the last 5 years it would have fired twice, last on 6 Oct 2020.",
        ),
        (
            ["2020-10-06"] * 3,
            "2018-03-01",
            "Since 1 Mar 2018 (before: too little history) it would have fired 3 times, last on 6 Oct 2020.",
        ),
        ([], "2018-03-01", "Since 1 Mar 2018 (before: too little history) it would not have fired."),
    ],
)
def test_how_often_it_would_have_fired(fires: list[str], since: str | None, line: str) -> None:
    span = (day(since), day("2020-12-11")) if since else (None, None)
    past = Frequency(tuple(map(day, fires)), *span)
    assert line in shown(new_alert_page(alert_view("ratio > 0.6", FLAT), FLAT, past))


@pytest.mark.parametrize(
    ("rule", "line"),
    [
        ("ratio > 0.6 rearm 0.55", "After a fire it re-arms at 0.5500."),
        ("ratio > 0.6 once", "It fires once and is then done."),
        ("ratio > 0.6", "After a fire it re-arms at 0.5995."),
        ("ratio < 0.4", "After a fire it re-arms at 0.4005."),
        ("ratio >= 0.6", "After a fire it re-arms at 0.5995."),
        ("ratio < low 20", "After a fire it re-arms 0.0005 above low 20 (now 0.5005)."),
        ("ratio > sma 20", "Re-arms 0.0005 below sma 20 (now 0.5023)."),
        ("ratio crosses sma 20", "After a fire it re-arms 0.0005 back past sma 20."),
        ("ratio_vs_sma 20 > sma 20", "Re-arms 0.10pp below sma 20 (now −0.13%)."),
        ("beta 252 > 1", "After a fire it re-arms below 1 (no band: fewer than 60 values)."),
        ("beta 252 < 1", "After a fire it re-arms above 1 (no band: fewer than 60 values)."),
        ("ratio > 0.6 and ratio < low 20", "After a fire it re-arms at 0.5995 or 0.0005 above low 20 (now 0.5005)."),
    ],
)
def test_where_it_rearms(rule: str, line: str) -> None:
    assert rearm_phrase(alert_view(rule, FLAT), FLAT) == line


@pytest.mark.parametrize(
    ("rule", "life", "until", "words"),
    [
        ("ratio > 0.8", "active", 0, "Armed."),
        ("ratio > 0.6 confirm 3", "active", 2, "Confirming, 2 of 3."),
        ("ratio > 0.6", "active", 2, "Fired 12 Mar 2021, waiting to re-arm."),
        ("ratio > 0.6", "active", 0, "True from the start, waiting to re-arm."),
        ("ratio > 0.6", "paused", 2, "Paused."),
        ("ratio > 0.6", "expired", 2, "Ended."),
        ("ratio > 0.6", "done", 2, "Ended."),
        ("ratio > 0.6 once", "active", 2, "Ended."),
        ("ratio crosses 0.6", "active", 1, "Armed downwards."),
        ("ratio crosses 0.6", "active", 2, "Fired upwards 12 Mar 2021, armed downwards."),
        ("ratio crosses 0.6 confirm 3", "active", 2, "Confirming upwards, 2 of 3."),
    ],
)
def test_the_state_in_words(rule: str, life: str, until: int, words: str) -> None:
    of = context(market([*LONG, 70.0, 70.0]))  # to Mon 15 Mar 2021
    assert state_sentence(alert_view(rule, of, life=life, until=until)) == words


def test_a_rule_that_has_fired_both_ways_tells_of_the_last_fire() -> None:
    of = context(market([*LONG, 70.0, 59.999]))  # below the threshold, within the band
    alert = alert_view("ratio crosses 0.6", of, until=2)
    assert state_sentence(alert) == "Fired 15 Mar 2021, waiting to re-arm."


def test_an_alert_that_waits_for_a_missing_session_says_so() -> None:
    for after, waits in ((1, True), (4, True), (6, False)):
        of = context(market([*LONG, None, *[70.0] * after]))
        alert = alert_view("ratio > 0.6", of)
        state = msgspec.structs.replace(alert.state, session=of.market.closes.index[len(LONG) - 1].date())
        alert = replace(alert, state=state)
        line = "Evaluated up to 11 Mar 2021; waiting for 12 Mar 2021, 5 sessions at most."
        assert (line in shown(alert_page(alert, of))) is waits
        assert (line in page(alert_list([alert], of))) is waits
        assert (line in shown(new_alert_page(alert, of, Frequency((), None, None)))) is waits
        assert line not in shown(alert_page(replace(alert, life=Life.PAUSED), of))


def test_an_alert_that_waits_for_units_to_be_confirmed_says_so_and_is_not_stale() -> None:
    counts = [250.0 + number % 2 for number in range(40)] + [300.0, 301.0, 300.0]
    of = context(market([50.0] * len(counts), units={"IWM": counts}))
    alert = alert_view("flow iwm 1d > $1bn", of)
    line = "Evaluated up to 28 Feb 2020; the units of 2 Mar 2020 are not confirmed yet (see /flows)."
    assert line in shown(alert_page(alert, of))
    assert line in page(alert_list([alert], of))
    assert "Stale" not in page(alert_list([alert], of))


def test_one_alert_in_full() -> None:
    answer = alert_page(alert_view("ratio > 0.6", RISEN, number=7, until=1), RISEN)
    assert shown(answer) == [
        "Alert #7 ratio > 0.6",
        "Fired 12 Mar 2021, waiting to re-arm.",
        "ratio is 0.7000, 16.67% above 0.6.",
        "Percentile 100 (n = 301 since 2 Jan 2020).",
        "Close of Fri 12 Mar 2021. Source: CSV import, current.",
        "Re-arms at 0.5995.",
        "Next check: Mon 15 Mar 2021, 16:15 (New York).",
    ]
    assert answer.buttons[-1] == (("All alerts", "/alerts"),)


@pytest.mark.parametrize(
    ("life", "labels"),
    [
        ("active", ["#3", "Why", "Pause", "Off"]),
        ("paused", ["#3", "Why", "Resume", "Off"]),
        ("done", ["#3", "Why", "Renew"]),
        ("expired", ["#3", "Why", "Renew"]),
    ],
)
def test_the_buttons_of_an_alert_are_what_it_can_do(life: str, labels: list[str]) -> None:
    row = list_buttons(3, Life(life))
    assert [label for label, _ in row] == labels
    assert all(line.startswith("/alert 3") for _, line in row)


LOOKS, CHANGES = ["#3 Chart", "Why", "History"], ["Edit", "Test", "Off"]


@pytest.mark.parametrize(
    ("rule", "changed", "labels"),
    [
        ("ratio > 0.6", {}, [LOOKS, ["Snooze 1d", "Snooze 1w", "Pause"], CHANGES, ["Also tell me when it goes back"]]),
        ("ratio crosses 0.6", {"snoozed_until": LATER}, [LOOKS, ["End snooze", "Snooze 1w", "Pause"], CHANGES]),
        ("ratio crosses 0.6", {"life": Life.PAUSED}, [LOOKS, ["Resume"], CHANGES]),
        (
            "ratio crosses 0.6",
            {"life": Life.PAUSED, "reason": "split of IWM 2 for 1 on Thu 16 Jan 2020"},
            [LOOKS, ["Rescale", "Resume"], CHANGES],
        ),
        ("ratio > 0.6", {"life": Life.EXPIRED}, [LOOKS, ["Renew"]]),
        ("ratio > 0.6", {"life": Life.DONE}, [LOOKS, ["Renew"]]),
    ],
)
def test_the_card_holds_every_action(rule: str, changed: dict[str, Any], labels: list[list[str]]) -> None:
    rows = card_buttons(replace(alert_view(rule, FLAT), **changed))
    assert [[label for label, _ in row] for row in rows] == labels


def test_the_state_names_the_local_end_of_a_snooze_and_the_reason_of_a_pause_or_end() -> None:
    alert = alert_view("ratio > 0.6", FLAT)
    snoozed = replace(alert, snoozed_until=LATER)
    berlin = state_sentence(snoozed, ZoneInfo("Europe/Berlin"))
    assert state_sentence(snoozed) == "Armed; snoozed until Sun 14 Mar 2021, 08:30."
    assert berlin == "Armed; snoozed until Sun 14 Mar 2021, 13:30."
    assert state_sentence(replace(snoozed, life=Life.PAUSED)) == "Paused."
    paused = replace(alert, life=Life.PAUSED, reason="it cannot be evaluated (KeyError)")
    assert state_sentence(paused) == "Paused: it cannot be evaluated (KeyError)."
    assert state_sentence(replace(alert, life=Life.DONE, reason="fired once")) == "Ended: fired once."


def test_a_remark_stands_before_the_state_and_the_next_check_is_in_the_chats_own_time() -> None:
    of = replace(FLAT, zone=ZoneInfo("Asia/Ho_Chi_Minh"))
    lines = shown(alert_page(alert_view("ratio > 0.6", of), of, remark="Renewed."))
    assert lines[1:3] == ["Renewed.", "Armed."]
    assert lines[-1] == "Next check: Sat 13 Mar 2021, 04:15 (Ho Chi Minh)."


def test_its_last_day_is_told_and_near_it_one_tap_renews() -> None:
    alert, last = alert_view("ratio > 0.6", FLAT), FLAT.market.last_completed.date()
    renew = (("Renew for a year", "/alert 3 renew"),)
    for left, ends, is_near in ((31, "11 Apr", False), (30, "10 Apr", True), (0, "11 Mar", True)):
        ending = replace(alert, expires_on=last + dt.timedelta(days=left))
        answer = alert_page(ending, FLAT)
        assert f"Ends {ends} 2021 unless renewed." in shown(answer)
        assert (renew in answer.buttons) is is_near
    assert renew not in alert_page(replace(ending, life=Life.EXPIRED), FLAT).buttons
    assert not any(line.startswith("Ends") for line in shown(alert_page(alert, FLAT)))


@pytest.mark.parametrize(("life", "rearms"), [("done", False), ("paused", True)])
def test_the_paused_have_no_next_check_and_the_ended_no_level_to_rearm_at(life: str, rearms: bool) -> None:
    lines = shown(alert_page(alert_view("ratio > 0.6", FLAT, life=life), FLAT))
    assert not any(line.startswith(("Next", "Ends")) for line in lines)
    assert any(line.startswith("After a fire it re-arms") for line in lines) is rearms


def test_a_joined_rule_says_which_history_begins_last() -> None:
    of = context(market(LONG, units={"IWM": [250.0 + number for number in range(299)]}))
    line = "Since 17 Jan 2020 (before: too little history of flow iwm 10d > $1bn) it would not have fired."
    assert line in shown(reply("ratio > 0.6 and flow iwm 10d > $1bn", of))
    assert "How often it would have fired: n/a, no history of pe iwm morningstar > 25x." in shown(
        reply("ratio > 0.6 and pe iwm > 25x", of)
    )


def test_what_an_edited_alert_was_stands_below_its_title() -> None:
    alert, past = alert_view("ratio > 0.6", FLAT), Frequency((), None, None)
    lines = shown(new_alert_page(alert, FLAT, past, "Was: ratio > 0.5"))
    assert lines[:2] == ["Alert #3 ratio > 0.6", "Was: ratio > 0.5"]
    lines = shown(new_alert_page(replace(alert, life=Life.PAUSED), FLAT, past))
    assert "Paused: resume it to get messages." in lines
    assert not any(line.startswith("Next") for line in lines)


@given(NOTES)
def test_a_note_is_shown_as_it_was_typed(note: str) -> None:
    alert, (event,) = alert_with_events("ratio > 0.6", RISEN, until=1)
    rule = msgspec.structs.replace(alert.rule, note=note)
    noted = replace(alert, rule=rule)
    fire = RecordedFire(3, rule, event, None, "CSV <import>", "2021-03-12T21:15:30Z")
    line = fire_line(3, rule, event, "still true", "<Yahoo>")
    for answer in (
        new_alert_page(noted, RISEN, Frequency((), None, None)).html,
        alert_page(noted, RISEN).html,
        alert_list([noted], RISEN).html,
        explanation(fire, RISEN),
        event_list([line], sample=False).html,
        ended_notice([stored(noted)]).html,
        paused_message(3, str(rule), "why <b>&amp;").html,
    ):
        assert str(rule) in parse_html(answer)[0]
    assert (note or str(rule)) in parse_html(summary_answer(RISEN, [noted], XNYS).html)[0]
    text = parse_html(fired_message(noted, event, RISEN, 1, 0).html)[0]
    assert (f"\n“{note}”\n" in text) is bool(note)


def test_every_condition_is_drawn_with_its_threshold_over_a_year() -> None:
    of = context(market(LONG, units={"IWM": [250.0 + number for number in range(299)]}))
    rule = "ratio > sma 20 and flow iwm 5d > $1bn"
    answer = rule_chart_answer(alert_view(rule, of), of, LIGHT, [day("2020-12-01")])
    assert shown(answer)[0] == f"Alert #3 {rule}"
    panels, style, fires = drawing(answer).args
    assert [(panel.name, panel.level_name) for panel in panels] == [
        ("ratio", "sma 20"), ("flow iwm 5d", "threshold"),
    ]  # fmt: skip
    assert [str(panel.series.index[0].date()) for panel in panels] == ["2020-03-11", "2020-03-11"]
    assert style.footer == "Source: CSV import · close of Thu 11 Mar 2021"
    assert fires == [pd.Timestamp("2020-12-01")]


def test_a_threshold_is_drawn_even_before_it_is_defined() -> None:
    of = context(market([50.0 + number for number in range(10)]))
    (panel,), _, fires = drawing(rule_chart_answer(alert_view("ratio > sma 8", of), of, LIGHT, [])).args
    assert panel.level.isna().tolist() == [True] * 7 + [False] * 3
    assert fires == []


def test_a_condition_without_figures_is_named_and_the_others_are_drawn() -> None:
    answer = rule_chart_answer(alert_view("ratio > 0.6 and pe iwm > 25x", FLAT), FLAT, LIGHT, [])
    assert shown(answer)[-1] == ("Not drawn, because there are no figures for the last year: pe iwm morningstar > 25x.")
    assert len(drawing(answer).args[0]) == 1


def test_without_any_figure_there_is_nothing_to_draw() -> None:
    with pytest.raises(NoData, match=r"^There is nothing to draw for pe iwm morningstar > 25x: no figure"):
        rule_chart_answer(alert_view("pe iwm > 25x", FLAT), FLAT, LIGHT, [])
    nothing = context(empty())
    with pytest.raises(NoData, match=r"^No prices are stored yet\."):
        rule_chart_answer(alert_view("ratio > 1", nothing), nothing, LIGHT, [])


def test_a_missing_base_gives_no_value_and_names_its_date() -> None:
    of = context(market([50.0] * 30 + [None, 51.0]))
    lines = shown(reply("excess 1d > 1pp", of))
    missing = "excess 1d: n/a, the close of Fri 14 Feb 2020 is missing. It is evaluated once there is a value."
    assert missing in lines
    assert not any(line.startswith("Close of") for line in lines)
    assert summary_distance(alert_view("excess 1d > 1pp", of), of) == "n/a, the close of Fri 14 Feb 2020 is missing"
