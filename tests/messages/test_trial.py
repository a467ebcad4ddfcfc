from __future__ import annotations

import pytest

from bot.errors import NoData
from bot.messages.alerts.notices import trial_event, trial_message
from tests.messages.pages import context, market, said, standing

LONG = [50.0 + (number % 7) / 10 for number in range(300)]


def test_a_test_is_the_message_of_now_marked_as_one() -> None:
    of = context(market(LONG))
    answer = trial_message(standing("ratio > 0.6", of), of, 2)
    assert said(answer) == [
        "TEST - nothing has fired",
        "Alert #3 fired · close of Thu 11 Mar 2021",
        "ratio > 0.6",
        "ratio: 0.5040 → 0.5050, 15.83% below 0.6.",
        "Percentile 86 (n = 300 since 2 Jan 2020).",
        "Re-arms at 0.5995.",
        "Fires in the last 90 days: 3, including this one.",
        "Next check: Fri 12 Mar 2021, 16:15 (New York).",
        "Source: CSV import, current.",
    ]
    assert answer.buttons == ((("#3", "/alert 3"), ("Edit", "/alert 3 edit")),)


def test_a_rule_that_crosses_is_shown_on_the_side_it_stands() -> None:
    of = context(market(LONG))
    assert trial_event(standing("ratio crosses 0.6", of), of).ops == ("<",)
    assert trial_event(standing("ratio crosses 0.4", of), of).ops == (">",)


def test_the_figures_are_those_of_the_last_session_that_has_them_all() -> None:
    of = context(market(LONG, units={"IWM": [250.0 + number for number in range(298)]}))
    event = trial_event(standing("ratio > 0.6 and flow iwm 5d > $1bn", of), of)
    assert str(event.session) == "2021-03-09"
    assert None not in event.previous


def test_one_session_alone_has_nothing_before_it() -> None:
    of = context(market([50.0]))
    assert trial_event(standing("ratio > 0.6", of), of).previous == (None,)


def test_without_any_figure_there_is_nothing_to_show() -> None:
    of = context(market(LONG))
    with pytest.raises(NoData, match=r"^There are no figures yet for pe iwm morningstar > 25x, so there"):
        trial_message(standing("pe iwm > 25x", of), of, 0)


def test_a_rule_for_one_fire_says_that_it_would_be_done() -> None:
    of = context(market(LONG))
    lines = said(trial_message(standing("ratio > 0.6 once", of), of, 0))
    assert "It was set to fire once and is now done." in lines


def test_the_figures_of_a_test_are_as_old_as_they_are() -> None:
    of = context(market(LONG, behind=2))
    lines = said(trial_message(standing("ratio > 0.6", of), of, 0))
    assert lines[3] == "Late by 2 sessions: the bot was off, or the data came late."
    assert lines[-1] == "Source: CSV import, 2 sessions old."
