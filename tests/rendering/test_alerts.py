from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.alerts.backtest import Frequency, frequency
from bot.alerts.grammar import parse_rule
from bot.analytics.registry import METRICS
from bot.rendering.alerts import buttons, created, listing, one, suggestions, why
from bot.rendering.standing import rearm, sentence, summary_distance
from bot.rendering.summary import summary
from tests.fakes.botapi_html import parse_html
from tests.rendering.pages import XNYS, context, day, market, page, said, standing, told
from tests.sample_market import sample_market

if TYPE_CHECKING:
    from bot.alerts.state import Event
    from bot.rendering.answer import Answer
    from bot.rendering.standing import Context

SAMPLE = "Sample data: simulated between published points, not the market."
LONG = [50.0 + (number % 7) / 10 for number in range(300)]


def reply(text: str, of: Context) -> Answer:
    """The reply to a new rule."""
    made = standing(text, of)
    return created(made, of, frequency(made.rule, of.histories.bars(made.rule)))


def test_a_new_rule_that_is_true_already() -> None:
    assert page(reply("ratio > sma 200", context(sample_market()))) == (
        "Alert #3 ratio > sma 200\n"
        "Sample data: simulated between published points, not the market.\n"
        "ratio is 0.5195, 13.10% above sma 200 (0.4593).\n"
        "Percentile 11 (n = 2,757 since 31 Dec 2009).\n"
        "Close of Fri 11 Dec 2020. Source: sample data, current.\n"
        "True already, so nothing is sent now.\n"
        "Re-arms 0.0070 below sma 200, now 0.4523.\n"
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
        "Armed: a message comes when it turns true.\n"
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
        "True already, so nothing is sent now.",
        "Re-arms at +3.56% or at +0.98pp.",
    ]


def test_figures_of_an_older_close_are_dated_with_their_age() -> None:
    of = context(market([50.0] * 30, units={"IWM": [250.0 + number for number in range(25)]}))
    lines = said(reply("flow iwm 5d > $1bn", of))
    assert "Close of Thu 6 Feb 2020. Source: CSV import, 4 sessions old." in lines


def test_conditions_of_different_closes_are_dated_each() -> None:
    of = context(market([50.0] * 30, units={"IWM": [250.0 + number for number in range(25)]}))
    lines = said(reply("ratio > 0.6 and flow iwm 5d > $1bn", of))
    assert lines[1] == "ratio is 0.5000, 16.67% below 0.6."
    assert lines[3] == "flow iwm 5d is +$0.50bn (6 Feb 2020, 4 sessions old), $0.50bn below $1bn."
    assert "Close of Thu 13 Feb 2020. Source: CSV import, current." in lines


def test_a_rule_on_nothing_stored_says_so_and_is_kept() -> None:
    lines = said(reply("pe iwm > 25x", context(market(LONG))))
    assert lines[1].startswith("pe iwm morningstar: n/a, no ")
    assert lines[1].endswith(". It is judged once there is a value.")
    assert lines[2:5] == [
        "Armed: a message comes when it turns true.",
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
            "Since 1 Mar 2018, where its history begins, it would have fired 3 times, last on 6 Oct 2020.",
        ),
        (
            Frequency((), day("2018-03-01"), day("2020-12-11")),
            "Since 1 Mar 2018, where its history begins, it would not have fired.",
        ),
    ],
)
def test_how_often_it_would_have_fired(frequency: Frequency, line: str) -> None:
    of = context(market(LONG))
    assert line in said(created(standing("ratio > 0.6", of), of, frequency))


@pytest.mark.parametrize(
    ("rule", "line"),
    [
        ("ratio > 0.6 rearm 0.55", "After a fire it re-arms at 0.5500."),
        ("ratio > 0.6 once", "It fires once and is then done."),
        ("ratio > 0.6", "After a fire it re-arms at 0.5995."),
        ("ratio < 0.4", "After a fire it re-arms at 0.4005."),
        ("ratio >= 0.6", "After a fire it re-arms at 0.5995."),
        ("ratio < low 20", "After a fire it re-arms 0.0005 above low 20, now 0.5005."),
        ("ratio > sma 20", "Re-arms 0.0005 below sma 20, now 0.5023."),
        ("ratio crosses sma 20", "After a fire it re-arms 0.0005 back past sma 20."),
        ("ratio_vs_sma 20 > sma 20", "Re-arms 0.10pp below sma 20, now −0.13%."),
        ("beta 252 > 1", "After a fire it re-arms below 1 (no band: fewer than 60 values)."),
        ("beta 252 < 1", "After a fire it re-arms above 1 (no band: fewer than 60 values)."),
        (
            "ratio > 0.6 and ratio < low 20",
            "After a fire it re-arms at 0.5995 or 0.0005 above low 20, now 0.5005.",
        ),
    ],
)
def test_where_it_rearms(rule: str, line: str) -> None:
    of = context(market(LONG))
    assert rearm(standing(rule, of), of) == line


def test_an_alert_that_is_done_rearms_nowhere() -> None:
    of = context(market([*LONG, 70.0]))
    done = standing("ratio > 0.6 once", of, until=1)
    assert (rearm(done, of), sentence(done)) == (None, "Ended.")


@pytest.mark.parametrize(
    ("rule", "life", "until", "words"),
    [
        ("ratio > 0.8", "active", 0, "Armed."),
        ("ratio > 0.6 confirm 3", "active", 2, "Confirming, 2 of 3."),
        ("ratio > 0.6", "active", 2, "Fired 13 Mar 2021, waits to re-arm."),
        ("ratio > 0.6", "active", 0, "True since before it was set, waits to re-arm."),
        ("ratio > 0.6", "paused", 2, "Paused."),
        ("ratio > 0.6", "expired", 2, "Ended."),
        ("ratio > 0.6", "done", 2, "Ended."),
        ("ratio crosses 0.6", "active", 2, "Armed."),
    ],
)
def test_the_state_in_words(rule: str, life: str, until: int, words: str) -> None:
    of = context(market([*LONG, 70.0, 70.0]))
    since = of.market.pair.index[-2]
    told_words = sentence(standing(rule, of, life=life, until=until))
    assert told_words == words.replace("13 Mar 2021", f"{since.day} {since:%b} {since.year}")


def test_one_alert_in_full() -> None:
    of = context(market([*LONG, 70.0]))
    answer = one(standing("ratio > 0.6", of, number=7, until=1), of)
    assert said(answer) == [
        "Alert #7 ratio > 0.6",
        "Fired 12 Mar 2021, waits to re-arm.",
        "ratio is 0.7000, 16.67% above 0.6.",
        "Percentile 100 (n = 301 since 2 Jan 2020).",
        "Close of Fri 12 Mar 2021. Source: CSV import, current.",
        "Re-arms at 0.5995.",
        "Next check: Mon 15 Mar 2021, 16:15 (New York).",
    ]
    assert answer.buttons[-1] == (("All alerts", "/alerts"),)


def test_an_alert_that_is_paused_has_no_next_check() -> None:
    of = context(market(LONG))
    answer = one(standing("ratio > 0.6", of, life="paused"), of)
    assert not any(line.startswith("Next check") for line in said(answer))


@pytest.mark.parametrize(
    ("life", "labels"),
    [
        ("active", ["#3 Chart", "Why", "Pause", "Off"]),
        ("paused", ["#3 Chart", "Why", "Resume", "Off"]),
        ("done", ["#3 Chart", "Why"]),
        ("expired", ["#3 Chart", "Why"]),
    ],
)
def test_the_buttons_of_an_alert_are_what_it_can_do(life: str, labels: list[str]) -> None:
    row = buttons(3, life)
    assert [label for label, _ in row] == labels
    assert all(line.startswith("/alert 3 ") for _, line in row)


def test_the_list_tells_state_and_distance_of_each() -> None:
    of = context(market([*LONG, 70.0], units={"IWM": [250.0 + number for number in range(299)]}))
    rules = ("ratio > 0.6", "ratio < 0.4 and excess 3m > 5pp", "flow iwm 5d > $1bn", "pe iwm > 25x")
    answer = listing([standing(rule, of, number=at) for at, rule in enumerate(rules, start=1)], of)
    assert said(answer) == [
        "Alerts · close of Fri 12 Mar 2021",
        "#1 ratio > 0.6",
        "True since before it was set, waits to re-arm. 0.7000, 16.67% above 0.6.",
        "#2 ratio < 0.4 and excess 3m > 5pp",
        "Armed. Ratio 0.7000, 75.00% above 0.4; excess 3m +39.72pp, 34.72pp above 5pp.",
        "#3 flow iwm 5d > $1bn",
        "Armed. +$0.50bn, $0.50bn below $1bn (10 Mar 2021).",
        "#4 pe iwm morningstar > 25x",
        "Armed. Has no value yet.",
        "Source: CSV import.",
    ]
    assert [row[0][0] for row in answer.buttons] == ["#1 Chart", "#2 Chart", "#3 Chart", "#4 Chart"]


def test_the_list_labels_sample_data() -> None:
    of = context(sample_market())
    assert said(listing([standing("ratio > sma 200", of)], of))[1] == SAMPLE


@pytest.mark.parametrize(("count", "rows", "first"), [(8, 8, 4), (9, 2, 5), (50, 10, 5)])
def test_many_alerts_get_one_button_each(count: int, rows: int, first: int) -> None:
    of = context(market([50.0] * 5))
    answer = listing([standing(f"ratio > {0.6 + at / 1000}", of, number=at) for at in range(count)], of)
    page(answer)
    assert (len(answer.buttons), len(answer.buttons[0])) == (rows, first)


def test_no_alerts_offer_rules_to_begin_with() -> None:
    answer = listing([], context(market([50.0])))
    assert said(answer) == ["No alerts yet.", "Try /alert ratio > sma 200, or choose:"]
    assert answer.buttons == suggestions()


def test_every_suggestion_can_be_pressed() -> None:
    for ((label, line),) in suggestions():
        assert label
        parse_rule(line.removeprefix("/alert "), METRICS)


def test_a_distance_is_told_without_a_name_where_there_is_one_condition() -> None:
    of = context(market([50.0] * 5))
    assert summary_distance(standing("ratio > 0.6", of), of) == "0.5000, 16.67% below 0.6"


def happened(rule: str, of: Context, until: int) -> Event:
    (event,) = told(rule, of, until=until)[1]
    return event


def test_why_replays_what_was_stored() -> None:
    of = context(market([*LONG, 70.0]))
    rule = "ratio > sma 20 and excess 3m > 5pp"
    html = why(3, parse_rule(rule, METRICS), happened(rule, of, 1), "CSV import", "2021-03-12T21:15:30Z")
    assert said(html) == [
        "Why #3 fired · close of Fri 12 Mar 2021",
        "ratio > sma 20 and excess 3m > 5pp",
        "ratio: 0.7000 > 0.5129 (sma 20), 0.5050 when judged before.",
        "excess 3m: +39.72pp > +5.00pp, +0.80pp when judged before.",
        "Re-arms at 0.5123 (moves with sma 20) or +4.88pp.",
        "Inputs as stored: CSV import, observed 2021-03-12 21:15 UTC.",
    ]


def test_why_of_a_first_judgement_has_nothing_before() -> None:
    event = happened("ratio > 0.6", context(market([*LONG, 70.0])), 1)
    first = replace(event, previous=(None,))
    lines = said(why(3, parse_rule("ratio > 0.6", METRICS), first, "CSV import", "2021-03-12T21:15:30Z"))
    assert lines[2] == "ratio: 0.7000 > 0.6000."


def test_values_of_another_session_are_dated_in_the_list() -> None:
    of = context(market([50.0] * 5, [100.0] * 4 + [None]))
    assert of.market.end == pd.Timestamp("2020-01-07")
    assert summary_distance(standing("ratio > 0.6", of), of).endswith("below 0.6")


NOTES = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters='"“”'), max_size=60)


@given(NOTES)
def test_a_note_cannot_become_markup_anywhere(note: str) -> None:
    of = context(market([*LONG, 70.0]))
    made, (event,) = told("ratio > 0.6", of, until=1)
    noted = replace(made, rule=replace(made.rule, note=note))
    pages = (
        created(noted, of, Frequency((), None, None)).html,
        one(noted, of).html,
        listing([noted], of).html,
        summary(of, [noted], XNYS).html,
        why(3, noted.rule, event, "CSV <import>", "2021-03-12T21:15:30Z"),
    )
    for html in pages:
        assert str(noted.rule) in parse_html(html)[0]
