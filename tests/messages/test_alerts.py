from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import msgspec
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.alerts.backtest import Frequency, frequency
from bot.alerts.view import Life, RecordedFire
from bot.local.botapi import parse_html
from bot.messages.alerts.card import (
    alert_page,
    card_buttons,
    list_buttons,
    new_alert_page,
    rearm_phrase,
    state_sentence,
    summary_distance,
)
from bot.messages.alerts.history import alert_list, explanation
from bot.messages.pages.summary import summary_answer
from tests.messages.pages import XNYS, context, day, market, page, said, standing, told
from tests.sample_market import sample_market

if TYPE_CHECKING:
    from bot.alerts.view import EvaluationContext
    from bot.messages.common import Answer


SAMPLE = "Sample data: simulated between published points, not the market."
LATER = dt.datetime(2021, 3, 14, 12, 30, tzinfo=dt.UTC)
LONG = [50.0 + (number % 7) / 10 for number in range(300)]


def reply(text: str, of: EvaluationContext) -> Answer:
    """The reply to a new rule."""
    made = standing(text, of)
    return new_alert_page(made, of, frequency(made.rule, of.histories.samples(made.rule)))


def test_a_new_rule_that_is_true_already() -> None:
    assert page(reply("ratio > sma 200", context(sample_market()))) == (
        "Alert #3 ratio > sma 200\n"
        "Sample data: simulated between published points, not the market.\n"
        "ratio is 0.5195, 13.10% above sma 200 (0.4593).\n"
        "Percentile 11 (n = 2,757 since 31 Dec 2009).\n"
        "Close of Fri 11 Dec 2020. Source: sample data, current.\n"
        "The rule is already true, so nothing is sent now.\n"
        "Re-arms 0.0070 below sma 200 (now 0.4523).\n"
        "In the last 5 years it would have fired 13 times, last on 6 Oct 2020.\n"
        "Next check: Mon 14 Dec 2020, 16:15 (New York)."
    )


def test_a_new_rule_that_is_armed() -> None:
    assert page(reply("flow iwm 5d > $1bn", context(sample_market()))) == (
        "Alert #3 flow iwm 5d > $1bn\n"
        "Sample data: simulated between published points, not the market.\n"
        "flow iwm 5d is +$0.96bn, $41.6m below $1bn.\n"
        "Percentile 95 (n = 2,752 since 8 Jan 2010).\n"
        "Close of Fri 11 Dec 2020. Source: sample data, current.\n"
        "Armed: you get a message when the rule becomes true.\n"
        "After a fire it re-arms at +$0.85bn.\n"
        "In the last 5 years it would have fired 31 times, last on 3 Dec 2020.\n"
        "Next check: Mon 14 Dec 2020, 16:15 (New York)."
    )


def test_each_condition_of_a_joined_rule_has_its_lines() -> None:
    lines = said(reply("ratio_vs_sma 200 > 5% and flow_gap 20d > 2pp", context(sample_market())))
    assert lines[2:9] == [
        "ratio_vs_sma 200 is +13.10%, 8.10pp above 5%.",
        "Percentile 100 (n = 2,558 since 15 Oct 2010).",
        "flow_gap 20d is +6.91pp, 4.91pp above 2pp.",
        "Percentile 89 (n = 2,737 since 1 Feb 2010).",
        "Close of Fri 11 Dec 2020. Source: sample data, current.",
        "The rule is already true, so nothing is sent now.",
        "Re-arms at +3.56% or at +0.98pp.",
    ]


def test_figures_of_an_older_close_are_dated_with_their_age() -> None:
    of = context(market([50.0] * 30, units={"IWM": [250.0 + number for number in range(25)]}))
    lines = said(reply("flow iwm 5d > $1bn", of))
    assert "Close of Thu 6 Feb 2020. Source: CSV import, 5 sessions old." in lines


def test_conditions_of_different_closes_are_dated_each() -> None:
    of = context(market([50.0] * 30, units={"IWM": [250.0 + number for number in range(25)]}))
    lines = said(reply("ratio > 0.6 and flow iwm 5d > $1bn", of))
    assert lines[1] == "ratio is 0.5000, 16.67% below 0.6."
    assert lines[3] == "flow iwm 5d is +$0.50bn (6 Feb 2020, 5 sessions old), $0.50bn below $1bn."
    assert "Close of Thu 13 Feb 2020. Source: CSV import, current." in lines


def test_a_rule_on_nothing_stored_says_so_and_is_kept() -> None:
    lines = said(reply("pe iwm > 25x", context(market(LONG))))
    assert lines[1].startswith("pe iwm morningstar: n/a, no ")
    assert lines[1].endswith(". It is evaluated once there is a value.")
    assert lines[2:5] == [
        "Armed: you get a message when the rule becomes true.",
        "After a fire it re-arms below 25x (no band: fewer than 60 values).",
        "How often it would have fired: n/a, no history.",
    ]


def test_a_target_that_needs_more_history_says_so() -> None:
    lines = said(reply("ratio > pct 90", context(market(LONG[:100]))))
    assert lines[1] == "ratio is 0.5010, pct 90 is n/a: too little history."
    assert "After a fire it re-arms below pct 90 (no band: fewer than 60 values)." in lines


@pytest.mark.parametrize(
    ("frequency", "line"),
    [
        (Frequency((), None, None), "How often it would have fired: n/a, no history."),
        (Frequency((), day("2015-12-14"), day("2020-12-11")), "In the last 5 years it would not have fired."),
        (
            Frequency((day("2020-10-06"),), day("2015-12-14"), day("2020-12-11")),
            "In the last 5 years it would have fired once, on 6 Oct 2020.",
        ),
        (
            Frequency((day("2019-10-06"), day("2020-10-06")), day("2015-12-14"), day("2020-12-11")),
            "In the last 5 years it would have fired twice, last on 6 Oct 2020.",
        ),
        (
            Frequency((day("2020-10-06"),) * 3, day("2018-03-01"), day("2020-12-11")),
            "Since 1 Mar 2018 (before: too little history) it would have fired 3 times, last on 6 Oct 2020.",
        ),
        (
            Frequency((), day("2018-03-01"), day("2020-12-11")),
            "Since 1 Mar 2018 (before: too little history) it would not have fired.",
        ),
    ],
)
def test_how_often_it_would_have_fired(frequency: Frequency, line: str) -> None:
    of = context(market(LONG))
    assert line in said(new_alert_page(standing("ratio > 0.6", of), of, frequency))


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
        (
            "ratio > 0.6 and ratio < low 20",
            "After a fire it re-arms at 0.5995 or 0.0005 above low 20 (now 0.5005).",
        ),
    ],
)
def test_where_it_rearms(rule: str, line: str) -> None:
    of = context(market(LONG))
    assert rearm_phrase(standing(rule, of), of) == line


def test_an_alert_that_is_done_rearms_nowhere() -> None:
    of = context(market([*LONG, 70.0]))
    done = standing("ratio > 0.6 once", of, until=1)
    assert (rearm_phrase(done, of), state_sentence(done)) == (None, "Ended.")


@pytest.mark.parametrize(
    ("rule", "life", "until", "words"),
    [
        ("ratio > 0.8", "active", 0, "Armed."),
        ("ratio > 0.6 confirm 3", "active", 2, "Confirming, 2 of 3."),
        ("ratio > 0.6", "active", 2, "Fired 13 Mar 2021, waiting to re-arm."),
        ("ratio > 0.6", "active", 0, "Already true when it was set, waiting to re-arm."),
        ("ratio > 0.6", "paused", 2, "Paused."),
        ("ratio > 0.6", "expired", 2, "Ended."),
        ("ratio > 0.6", "done", 2, "Ended."),
        ("ratio crosses 0.6", "active", 1, "Armed downwards."),
        ("ratio crosses 0.6", "active", 2, "Fired upwards 13 Mar 2021, armed downwards."),
        ("ratio crosses 0.6 confirm 3", "active", 2, "Confirming upwards, 2 of 3."),
    ],
)
def test_the_state_in_words(rule: str, life: str, until: int, words: str) -> None:
    of = context(market([*LONG, 70.0, 70.0]))
    since = of.market.closes.index[-2]
    told_words = state_sentence(standing(rule, of, life=life, until=until))
    assert told_words == words.replace("13 Mar 2021", f"{since.day} {since:%b} {since.year}")


def test_a_rule_that_has_fired_both_ways_tells_of_the_last_fire() -> None:
    of = context(market([*LONG, 70.0, 59.999]))  # below the threshold, within the band
    since = of.market.closes.index[-1]
    said_of = state_sentence(standing("ratio crosses 0.6", of, until=2))
    assert said_of == f"Fired {since.day} {since:%b} {since.year}, waiting to re-arm."


def test_a_new_rule_that_crosses_says_which_way_it_waits_for() -> None:
    lines = said(reply("ratio crosses 0.6", context(market(LONG))))
    assert "Armed upwards: you get a message when the rule becomes true." in lines


def test_an_alert_that_waits_for_a_missing_session_says_so() -> None:
    for after, waits in ((1, True), (4, True), (6, False)):
        of = context(market([*LONG, None, *[70.0] * after]))
        mark = of.market.closes.index[len(LONG) - 1].date()
        made = standing("ratio > 0.6", of)
        made = replace(made, state=msgspec.structs.replace(made.state, session=mark))
        told_line = "Evaluated up to 11 Mar 2021; waiting for 12 Mar 2021, 5 sessions at most."
        assert (told_line in said(alert_page(made, of))) is waits
        assert (told_line in page(alert_list([made], of))) is waits
        assert told_line not in said(alert_page(replace(made, life=Life.PAUSED), of))


def test_a_new_rule_on_a_weekly_figure_says_how_far_it_is_evaluated() -> None:
    lines = said(reply("pe losses_in > 50x", context(sample_market())))
    assert "Evaluated up to 4 Dec 2020; waiting for 7 Dec 2020, 5 sessions at most." in lines


def test_one_alert_in_full() -> None:
    of = context(market([*LONG, 70.0]))
    answer = alert_page(standing("ratio > 0.6", of, number=7, until=1), of)
    assert said(answer) == [
        "Alert #7 ratio > 0.6",
        "Fired 12 Mar 2021, waiting to re-arm.",
        "ratio is 0.7000, 16.67% above 0.6.",
        "Percentile 100 (n = 301 since 2 Jan 2020).",
        "Close of Fri 12 Mar 2021. Source: CSV import, current.",
        "Re-arms at 0.5995.",
        "Next check: Mon 15 Mar 2021, 16:15 (New York).",
    ]
    assert answer.buttons[-1] == (("All alerts", "/alerts"),)


def test_an_alert_that_is_paused_has_no_next_check() -> None:
    of = context(market(LONG))
    answer = alert_page(standing("ratio > 0.6", of, life="paused"), of)
    assert not any(line.startswith("Next check") for line in said(answer))


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


@pytest.mark.parametrize(
    ("rule", "changed", "labels"),
    [
        (
            "ratio > 0.6",
            {},
            [
                ["#3 Chart", "Why", "History"],
                ["Snooze 1d", "Snooze 1w", "Pause"],
                ["Edit", "Test", "Off"],
                ["Also tell me when it goes back"],
            ],
        ),
        (
            "ratio crosses 0.6",
            {"snoozed_until": LATER},
            [["#3 Chart", "Why", "History"], ["End snooze", "Snooze 1w", "Pause"], ["Edit", "Test", "Off"]],
        ),
        (
            "ratio crosses 0.6",
            {"life": Life.PAUSED},
            [["#3 Chart", "Why", "History"], ["Resume"], ["Edit", "Test", "Off"]],
        ),
        (
            "ratio crosses 0.6",
            {"life": Life.PAUSED, "reason": "split of IWM 2 for 1 on Thu 16 Jan 2020"},
            [["#3 Chart", "Why", "History"], ["Rescale", "Resume"], ["Edit", "Test", "Off"]],
        ),
        ("ratio > 0.6", {"life": Life.EXPIRED}, [["#3 Chart", "Why", "History"], ["Renew"]]),
        ("ratio > 0.6", {"life": Life.DONE}, [["#3 Chart", "Why", "History"], ["Renew"]]),
    ],
)
def test_the_card_holds_every_deed_and_no_other(
    rule: str, changed: dict[str, Any], labels: list[list[str]]
) -> None:
    rows = card_buttons(replace(standing(rule, context(market(LONG))), **changed))
    assert [[label for label, _ in row] for row in rows] == labels


def test_the_time_a_snooze_ends_is_local() -> None:
    snoozed = replace(standing("ratio > 0.6", context(market(LONG))), snoozed_until=LATER)
    assert state_sentence(snoozed) == "Armed; snoozed until Sun 14 Mar 2021, 08:30."
    assert (
        state_sentence(snoozed, ZoneInfo("Europe/Berlin")) == "Armed; snoozed until Sun 14 Mar 2021, 13:30."
    )
    assert state_sentence(replace(snoozed, life=Life.PAUSED)) == "Paused."


def test_why_it_is_paused_or_has_ended_is_said() -> None:
    made = replace(standing("ratio > 0.6", context(market(LONG))), reason="it cannot be evaluated (KeyError)")
    assert state_sentence(replace(made, life=Life.PAUSED)) == "Paused: it cannot be evaluated (KeyError)."
    assert state_sentence(replace(made, life=Life.DONE, reason="fired once")) == "Ended: fired once."


def test_the_next_check_is_told_in_the_chats_own_time() -> None:
    of = replace(context(market(LONG)), zone=ZoneInfo("Asia/Ho_Chi_Minh"))
    assert said(alert_page(standing("ratio > 0.6", of), of))[-1] == (
        "Next check: Sat 13 Mar 2021, 04:15 (Ho Chi Minh)."
    )


def test_its_last_day_is_told_and_near_it_one_tap_renews() -> None:
    of = context(market(LONG))
    made = standing("ratio > 0.6", of)
    renew = (("Renew for a year", "/alert 3 renew"),)
    for left, is_near in ((31, False), (30, True), (0, True)):
        ends = of.market.last_completed.date() + dt.timedelta(days=left)
        answer = alert_page(replace(made, expires_on=ends), of)
        assert f"Ends {ends.day} {ends:%b} {ends.year} unless renewed." in said(answer)
        assert (renew in answer.buttons) is is_near
    assert renew not in alert_page(replace(made, expires_on=ends, life=Life.EXPIRED), of).buttons
    assert not any(line.startswith("Ends") for line in said(alert_page(made, of)))


def test_a_remark_stands_before_the_state() -> None:
    of = context(market(LONG))
    assert said(alert_page(standing("ratio > 0.6", of), of, remark="Renewed."))[1:3] == ["Renewed.", "Armed."]


def test_an_alert_that_has_ended_rearms_nowhere_and_is_not_checked() -> None:
    of = context(market(LONG))
    lines = said(alert_page(standing("ratio > 0.6", of, life="done"), of))
    assert not any(line.startswith(("After", "Re-arms", "Next", "Ends")) for line in lines)


def test_a_joined_rule_says_which_history_begins_last() -> None:
    of = context(market(LONG, units={"IWM": [250.0 + number for number in range(299)]}))
    told = "Since 17 Jan 2020 (before: too little history of flow iwm 10d > $1bn) it would not have fired."
    assert told in said(reply("ratio > 0.6 and flow iwm 10d > $1bn", of))
    assert "How often it would have fired: n/a, no history of pe iwm morningstar > 25x." in said(
        reply("ratio > 0.6 and pe iwm > 25x", of)
    )


def test_what_an_edited_alert_was_stands_below_its_title() -> None:
    of = context(market(LONG))
    made = standing("ratio > 0.6", of)
    answer = new_alert_page(made, of, Frequency((), None, None), "Was: ratio > 0.5")
    assert said(answer)[:2] == ["Alert #3 ratio > 0.6", "Was: ratio > 0.5"]
    paused = said(new_alert_page(replace(made, life=Life.PAUSED), of, Frequency((), None, None)))
    assert "Paused: resume it to get messages." in paused
    assert not any(line.startswith("Next") for line in paused)


def test_a_distance_is_told_without_a_name_where_there_is_one_condition() -> None:
    of = context(market([50.0] * 5))
    assert summary_distance(standing("ratio > 0.6", of), of) == "0.5000, 16.67% below 0.6"


def test_values_of_another_session_are_dated_in_the_list() -> None:
    of = context(market([50.0] * 5, [100.0] * 4 + [None]))
    assert of.market.end == pd.Timestamp("2020-01-07")
    assert summary_distance(standing("ratio > 0.6", of), of).endswith("below 0.6")


NOTES = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters='"“”'), max_size=60)


@given(NOTES)
def test_a_note_cannot_become_markup_anywhere(note: str) -> None:
    of = context(market([*LONG, 70.0]))
    made, (event,) = told("ratio > 0.6", of, until=1)
    noted = replace(made, rule=msgspec.structs.replace(made.rule, note=note))
    pages = (
        new_alert_page(noted, of, Frequency((), None, None)).html,
        alert_page(noted, of).html,
        alert_list([noted], of).html,
        summary_answer(of, [noted], XNYS).html,
        explanation(RecordedFire(3, noted.rule, event, None, "CSV <import>", "2021-03-12T21:15:30Z"), of),
    )
    for html in pages:
        assert str(noted.rule) in parse_html(html)[0]
