import datetime as dt
import re
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.alerts.backtest import Frequency
from bot.alerts.engine import ALREADY, BACK, FIRED, STILL, ConditionValue, Event
from bot.alerts.grammar import parse_rule
from bot.alerts.view import EvaluationContext, Life
from bot.analytics.metrics import METRICS, Metric
from bot.messages.alerts.words import (
    against,
    figures_line,
    frequency_line,
    headline,
    rearm_phrase,
    rule_words,
    standing,
    standing_lines,
    state_sentence,
    waiting_phrase,
)
from bot.messages.html import strip_html
from bot.pair import DEFAULT_PAIR
from tests.messages.pages import FLAT, LONG, RISEN, alert_view, context, day, market
from tests.sample_market import sample_market

LATER = dt.datetime(2021, 3, 14, 12, 30, tzinfo=dt.UTC)


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_every_metric_is_the_subject_of_a_sentence(metric: Metric) -> None:
    words = rule_words(parse_rule(metric.example, METRICS), DEFAULT_PAIR)
    assert not set("{}_") & set(words)
    assert re.search("IWM|SPY|both funds|the ", words)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("ratio > sma 200", "IWM/SPY above its 200-day average"),
        ("price spy <= low 20", "SPY's price at or below its 20-day low"),
        ("drawdown iwm < -30%", "the drawdown of IWM below −30%"),
        ("drawdown < -30%", "the drawdown of IWM/SPY below −30%"),
        (
            "flow iwm 5d > $1bn and excess ytd > 5pp",
            "IWM's flow over 5d above $1bn and IWM's lead in total return year to date above 5pp",
        ),
        ("return iwm since 2020-03-23 crosses 0%", "IWM's price return since 23 Mar 2020 across 0%"),
        ("channel > 2", "IWM/SPY in sigmas from its line since 4 Jan 2010 above 2"),
        ("pe_premium losses_in > pct 90", "IWM's P/E premium (losses included) above percentile 90 of its history"),
    ],
)
def test_a_rule_in_words(rule: str, words: str) -> None:
    assert rule_words(parse_rule(rule, METRICS), DEFAULT_PAIR) == words


BETA = "IWM's beta over 60 days is above 1"


@pytest.mark.parametrize(
    ("rule", "kind", "values", "words"),
    [
        ("ratio > sma 200", FIRED, [0.5], "IWM/SPY crossed above its 200-day average"),
        ("ratio < 0.6", FIRED, [0.5], "IWM/SPY crossed below 0.6"),
        ("drawdown <= -30%", FIRED, [-31.0], "The drawdown of IWM/SPY is at or below −30%"),
        ("ratio > 0.4 confirm 3", FIRED, [0.5], "IWM/SPY has been above 0.4 for 3 sessions"),
        ("ratio > 0.4", STILL, [0.5], "IWM/SPY is still above 0.4"),
        ("ratio > 0.4", ALREADY, [0.5], "IWM/SPY is above 0.4 already"),
        ("ratio > 0.4 and back", BACK, [0.3], "IWM/SPY is back below 0.4"),
        ("ratio > 0.4 and beta 60 > 1", FIRED, [0.5, 2.0], f"IWM/SPY is above 0.4 and {BETA}"),
        ("ratio > 0.4 and beta 60 > 1 and back", BACK, [0.5, 0.5], f"No longer true: IWM/SPY is above 0.4 and {BETA}"),
        ("ratio > 0.4 or beta 60 > 1", STILL, [0.3, 2.0], f"Still true: {BETA}"),
        ("ratio > 0.4 or beta 60 > 1", FIRED, [0.5, 2.0], f"IWM/SPY is above 0.4 or {BETA}"),
    ],
)
def test_what_happened_in_words(rule: str, kind: str, values: list[float], words: str) -> None:
    parsed = parse_rule(rule, METRICS)
    levels = [condition.target.value if condition.target.kind == "amount" else 0.4 for condition in parsed.conditions]
    figures = tuple(ConditionValue(*both) for both in zip(values, levels, strict=True))
    ops, unknown = tuple(condition.op for condition in parsed.conditions), (None,) * len(values)
    session = day("2021-03-12")
    event = Event(kind, session, ops, figures, unknown, unknown, session)
    assert headline(parsed, event, DEFAULT_PAIR) == words


@pytest.mark.parametrize(
    ("rule", "value", "level", "words"),
    [
        ("ratio > sma 200", 0.4676, 0.4642, "0.4676 against 0.4642 (+0.73%)"),
        ("flow iwm 5d > $1bn", 0.96e9, 1e9, "+$0.96bn against $1bn (−$40.0m)"),
        ("excess 3m < -2pp", -2.5, -2.0, "−2.50pp against −2pp (−0.50pp)"),
        ("ratio > 0.51234", 0.5, 0.51234, "0.5000 against 0.51234 (−2.41%)"),
        ("ratio_vs_sma 200 > high 20", 5.0, 6.5, "+5.00% against +6.50% (−1.50pp)"),
        ("flow_z iwm 20d > 2", 1.0, 2.0, "+1.00 against 2 (−1.00)"),
        ("pe iwm > 25x", 30.0, 25.0, "30.0x against 25x (+20.00%)"),
        ("yield iwm > 1.5%", 1.2, 1.5, "1.20% against 1.5% (−0.30pp)"),
        ("beta 60 > 0", 0.5, 0.0, "+0.50 against 0 (+0.50)"),
        ("ratio > 0.6", 0.6, 0.6, "0.6000 against 0.6 (equal)"),
        ("ratio > 0.6", 0.60000001, 0.6, "0.6000 against 0.6 (just above)"),
        ("ratio > 0.6", 0.59999999, 0.6, "0.6000 against 0.6 (just below)"),
    ],
)
def test_a_value_beside_its_target(rule: str, value: float, level: float, words: str) -> None:
    assert against(parse_rule(rule, METRICS).conditions[0], value, level) == words


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_a_distance_always_says_the_side(value: float, level: float) -> None:
    words = against(parse_rule("excess 3m > sma 20", METRICS).conditions[0], value, level)
    side = ("(+", "(just above") if value > level else ("(−", "(just below") if value < level else ("(equal",)
    assert sum(part in words for part in side) == 1


OLD = context(market([50.0] * 30, units={"IWM": [250.0 + number for number in range(25)]}))


@pytest.mark.parametrize(
    ("rule", "of", "line"),
    [
        ("flow iwm 5d > $1bn", OLD, "Now +$0.50bn against $1bn (−$0.50bn), close of Thu 6 Feb 2020, 5 sessions old."),
        (
            "ratio > 0.6 and flow iwm 5d > $1bn",
            OLD,
            (
                "Now 0.5000 against 0.6 (−16.67%); +$0.50bn against $1bn (−$0.50bn), 6 Feb 2020 (5 sessions old), "
                "close of Thu 13 Feb 2020."
            ),
        ),
        ("pe iwm > 25x", FLAT, "Now n/a, no such multiple stored. It is evaluated once there is a value."),
        (
            "excess 1d > 1pp",
            context(market([50.0] * 30 + [None, 51.0])),
            "Now n/a, the close of Fri 14 Feb 2020 is missing. It is evaluated once there is a value.",
        ),
        (
            "ratio > pct 90",
            context(market(LONG[:100])),
            "Now 0.5010, percentile 90 of its history is n/a: too little history, close of Tue 26 May 2020.",
        ),
        (
            "ratio > 0.5",
            context(sample_market()),
            "Now 0.5195 against 0.5 (+3.90%), close of Fri 11 Dec 2020. Sample data, not the market.",
        ),
    ],
)
def test_the_newest_figures_with_their_close_and_age(rule: str, of: EvaluationContext, line: str) -> None:
    assert figures_line(alert_view(rule, of), of) == line


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
    assert frequency_line(past, parse_rule("ratio > 0.6", METRICS), FLAT) == line


def test_a_joined_rule_says_which_history_begins_last() -> None:
    of = context(market(LONG, units={"IWM": [250.0 + number for number in range(299)]}))
    rule = parse_rule("ratio > 0.6 and flow iwm 10d > $1bn", METRICS)
    past = Frequency((), day("2020-01-17"), day("2021-03-11"))
    line = "Since 17 Jan 2020 (before: too little history of flow iwm 10d > $1bn) it would not have fired."
    assert frequency_line(past, rule, of) == line
    without = parse_rule("ratio > 0.6 and pe iwm > 25x", METRICS)
    line = "How often it would have fired: n/a, no history of pe iwm morningstar > 25x."
    assert frequency_line(Frequency((), None, None), without, of) == line


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
    line = "Evaluated up to 11 Mar 2021; waiting for 12 Mar 2021, 5 sessions at most."
    for after, waits in ((1, True), (4, True), (6, False)):
        of = context(market([*LONG, None, *[70.0] * after]))
        alert = alert_view("ratio > 0.6", of)
        state = msgspec.structs.replace(alert.state, session=of.market.closes.index[len(LONG) - 1].date())
        alert = replace(alert, state=state)
        assert waiting_phrase(alert, of) == (line if waits else None)
        assert waiting_phrase(replace(alert, life=Life.PAUSED), of) is None


def test_an_alert_that_waits_for_units_to_be_confirmed_says_so_and_is_not_stale() -> None:
    counts = [250.0 + number % 2 for number in range(40)] + [300.0, 301.0, 300.0]
    of = context(market([50.0] * len(counts), units={"IWM": counts}))
    line = "Evaluated up to 28 Feb 2020; the units of 2 Mar 2020 are not confirmed yet (see /flows)."
    assert waiting_phrase(alert_view("flow iwm 1d > $1bn", of), of) == line


def test_an_alert_is_stale_past_its_lag_and_not_while_it_is_paused() -> None:
    for life, counts, stale in (("paused", 200, False), ("active", 200, True), ("active", 299, False)):
        of = context(market(LONG, units={"IWM": [250.0 + at for at in range(counts)]}))
        phrase = waiting_phrase(alert_view("flow iwm 5d > $1bn", of, life=life), of) or ""
        assert phrase.endswith("Stale: 100 sessions old.") is stale


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


def line_of(text: str, of: EvaluationContext, **options: Any) -> str:  # noqa: ANN401 - those of alert_view
    return strip_html(standing(alert_view(text, of, **options), of)[1])


def test_where_an_alert_stands_in_a_line() -> None:
    assert line_of("ratio > 0.6", RISEN, until=1) == "#3 IWM/SPY above 0.6 fired today, re-arms 14.36% lower"
    assert line_of("ratio > 0.6", RISEN) == "#3 IWM/SPY above 0.6 true from the start, re-arms 14.73% lower"
    assert line_of("ratio < sma 20", FLAT) == "#3 IWM/SPY below its 20-day average ▓▓░░░░░░ 0.43% to go"
    assert line_of("pe iwm > 25x", FLAT).endswith("above 25x waiting for its first figures")
    assert line_of("ratio > 0.6", FLAT, life="paused") == "#3 IWM/SPY above 0.6 paused"
    assert line_of('ratio > 0.8 note "Far away"', FLAT).startswith("Far away ░")
    assert line_of(f'ratio > 0.8 note "{"word " * 40}"', FLAT).partition("…")[0].count("word") == 16


def test_the_nearest_stand_first_and_a_summary_names_three() -> None:
    rules = ("ratio > 0.8", "ratio > 0.507", "pe iwm > 25x", "ratio > 0.6", "ratio > 0.51")
    alerts = [alert_view(rule, FLAT, number=number) for number, rule in enumerate(rules)]
    alerts.append(replace(alerts[0], life=Life.PAUSED))
    shown = [strip_html(line).partition(" ")[0] for line in standing_lines(alerts, FLAT)]
    places = [standing(alert, FLAT)[0] for alert in alerts]
    assert shown == ["#1", "#4", "#3"]
    assert sorted(range(6), key=lambda at: places[at]) == [1, 4, 3, 0, 2, 5]
