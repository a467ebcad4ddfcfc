import datetime as dt
from dataclasses import replace

import pytest

from bot.alerts.engine import State, evaluate, first_state
from bot.alerts.grammar import parse_rule
from bot.alerts.view import AlertView, Life
from bot.analytics.metrics import METRICS
from bot.analytics.sessions import Sessions
from bot.messages.common import Answer
from bot.messages.pages.summary import summary_answer
from tests import shared_data
from tests.messages.pages import LONG, XNYS, alert_view, context, day, market, page
from tests.shared_data import shared


def shown(answer: Answer) -> list[str]:
    """The lines before the quote."""
    return page(answer.html).splitlines()


@pytest.mark.parametrize(
    ("levels", "news"),
    [
        ([50.0], ["IWM/SPY"]),
        ([50.0, 50.0], ["Both funds moved alike"]),
        ([50.0, 51.0], ["IWM led by 2.00pp"]),
        ([50.0, 49.0], ["SPY led by 2.00pp"]),
        (
            [50.0 - number / 100 for number in range(299)] + [49.0],
            [
                "IWM/SPY crossed above its 200-day average for the first time on record (from 15 Oct 2020)",
                "IWM's largest lead over SPY on record (from 2 Jan 2020): +4.21pp.",
            ],
        ),
        (
            [*LONG, 70.0],
            [
                "IWM's largest lead over SPY on record (from 2 Jan 2020): +38.61pp",
                "IWM's largest rise on record (from 2 Jan 2020): +38.61%.",
            ],
        ),
        (LONG[:294], ["IWM led by 0.20pp"]),  # as high as the highest is no new high
    ],
)
def test_the_first_line_is_what_is_rare_or_who_led(levels: list[float], news: list[str]) -> None:
    first, *others = shown(summary_answer(context(market(levels)), [], XNYS))
    assert [first.partition(" · ")[0], *others[: len(news) - 1]] == news


def test_a_fire_is_told_on_its_day_and_the_next_by_its_name_and_where_it_rearms() -> None:
    of = context(market([*LONG, 50.0, 70.0, 70.0]))
    alerts = [
        alert_view('ratio > 0.6 confirm 2 note "Up & away"', of, number=1, until=2),
        alert_view("ratio < 0.4", of, number=2),
        alert_view("ratio > 0.6", of, number=3, until=2),
        alert_view("ratio > 0.6", of, number=4),  # true from the start
    ]
    assert alerts[2].state.sides[0].since == dt.date(2021, 3, 15)
    assert shown(summary_answer(of, alerts, XNYS))[-3:] == [
        "Up & away fired today, re-arms 14.36% lower",
        "#3 IWM/SPY above 0.6 fired yesterday, re-arms 14.36% lower",
        "#2 IWM/SPY below 0.4 ░░░░░░░░ 42.86% to go",
    ]


def test_a_fire_on_flows_is_told_when_the_counts_have_come() -> None:
    of = context(market([50.0] * 31, units={"IWM": [*(250.0 + n / 10 for n in range(29)), 270.0]}))
    alert = alert_view("flow iwm 1d > $1bn", of, until=1)
    assert "#3 IWM's flow over 1d above $1bn fired today, re-arms $0.72bn lower" in shown(
        summary_answer(of, [alert], XNYS)
    )


def test_what_is_lacking_is_told_when_it_begins_and_when_it_ends() -> None:
    counts = [250.0 + n / 10 for n in range(40)]
    for sessions, told in ((41, []), (23, []), (22, ["Flows of IWM: back."])):
        of = context(market([50.0] * sessions, units={"IWM": counts[: sessions - 1]}))
        lines = shown(summary_answer(of, [], XNYS))
        assert [line for line in lines if "of IWM" in line or "of SPY" in line] == told, sessions
    outages = {"facts:IWM": False, "multiples": True}
    lines = shown(summary_answer(context(market([50.0] * 3)), [], XNYS, outages=outages))
    assert lines[-2:] == ["Share counts of IWM: overdue.", "Multiples: back."]


@shared
def test_a_quarter_reads_as_news() -> None:
    """62 sessions of autumn 2020, each at most 12 lines long, no line but a distance the day before's."""
    whole, titles, before = shared_data.market(), dict[str, str](), set[str]()
    rules = [parse_rule(text, METRICS) for text in ("ratio > sma 200 confirm 2", "excess 3m > 5pp")]
    states: dict[int, State] = {}
    for end in whole.closes.loc["2020-09-15":].index[:62]:
        counted = whole.closes.index[whole.closes.index.get_loc(end) - 1]  # share counts come a session late
        facts = {ticker: frame.loc[:counted] for ticker, frame in whole.facts.items()}
        of = context(replace(whole, facts=facts).at(end))
        for number, rule in enumerate(rules, start=1):
            state = states.get(number)
            history = of.histories.samples(rule, state.session if state else None, whole.sessions)
            if state is None:
                states[number] = first_state(rule, history, end.date())
            elif run := evaluate(rule, state, history).states:
                states[number] = run[-1]
        alerts = [AlertView(n, rule, Life.ACTIVE, states[n]) for n, rule in enumerate(rules, start=1)]
        lines = shown(summary_answer(of, alerts, XNYS))
        assert len(lines) <= 12, lines
        assert not before & {line for line in lines if " to go" not in line and "gap" not in line}, lines
        before = set(lines) - {lines[0]}
        titles[f"{end:%m-%d}"] = lines[0].partition(" · ")[0]
    assert titles["10-06"] == "IWM/SPY crossed above its 200-day average for the first time since 25 Sep 2018"
    assert titles["11-09"] == "IWM's largest lead over SPY since 15 Jul: +2.37pp"
    assert titles["11-17"] == "IWM/SPY at its highest since 27 Feb"
    assert sum(" led by " in title for title in titles.values()) > 40  # nothing is rare on most days


def test_an_early_close_and_closures_before_the_next_session_come_last() -> None:
    of = context(market([50.0] * 229))  # to the day before Thanksgiving
    assert shown(summary_answer(of, [], XNYS))[-1] == "Ahead: Thu 26 closed; Fri 27 early close at 13:00 New York."
    of = context(market([50.0] * 228))
    assert "Ahead" not in page(summary_answer(of, [], XNYS).html)
    closed = Sessions([day("2020-11-25")])
    assert shown(summary_answer(of, [], closed))[-1].startswith("Ahead: Wed 25 closed; Thu 26 closed; Fri 27 early")
