from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest

from bot.alerts.grammar import parse_rule
from bot.analytics.metrics import METRICS
from bot.messages.alerts.guide import edit_menu, mirror_menu, snooze_menu
from bot.services.alerts import mirrored
from tests.messages.pages import context, market, page, said, standing

OF = context(market([50.0 + (number % 7) / 10 for number in range(300)]))


def test_the_usual_changes_are_buttons_and_the_line_can_be_copied() -> None:
    answer = edit_menu(standing("ratio > sma 200 confirm 2 once", OF), OF)
    assert "/alert 3 edit ratio > sma 200 confirm 2 once" in said(answer)
    assert answer.buttons == (
        (("> sma 150", "/alert 3 edit > sma 150"), ("> sma 252", "/alert 3 edit > sma 252")),
        (("confirm 1", "/alert 3 edit confirm 1"), ("confirm 3", "/alert 3 edit confirm 3")),
        (
            ("Not once", "/alert 3 edit no once"),
            ("Silent", "/alert 3 edit silent"),
            ("Urgent", "/alert 3 edit urgent"),
        ),
        (("Back", "/alert 3"),),
    )


def test_each_condition_has_its_step() -> None:
    answer = edit_menu(standing("ratio crosses 0.5 and excess 3m > 5pp", OF), OF)
    assert [label for row in answer.buttons[:2] for label, _ in row] == [
        "ratio cross 0.4995", "ratio cross 0.5005", "excess > 4.9pp", "excess > 5.1pp",
    ]  # fmt: skip
    assert answer.buttons[1][0][1] == "/alert 3 edit condition 2 > 4.9pp"


@pytest.mark.parametrize(
    ("rule", "flags"),
    [
        ("ratio > 0.5 cooldown 5", ["Silent", "Urgent"]),
        ("ratio > 0.5 silent", ["Once", "With sound"]),
        ("ratio > 0.5 urgent", ["Once", "Not urgent"]),
    ],
)
def test_nothing_is_offered_that_would_be_refused(rule: str, flags: list[str]) -> None:
    answer = edit_menu(standing(rule, OF), OF)
    assert [label for label, _ in answer.buttons[-2]] == flags


def test_a_metric_without_history_has_no_steps() -> None:
    answer = edit_menu(standing("pe iwm > 25x", OF), OF)
    assert [label for label, _ in answer.buttons[0]] == ["confirm 2", "confirm 3"]


def test_a_joined_rule_offers_the_mirror_of_each_condition() -> None:
    rule = parse_rule("ratio > 0.5 and excess 3m < 1pp", METRICS)
    answer = mirror_menu(3, rule, mirrored(rule))
    assert said(answer)[2:] == [
        "It goes back as soon as one of them does, and rules have no “or”. Choose one or create several:",
        "/alert ratio < 0.5",
        "/alert excess 3m > 1pp",
    ]
    assert [row[0][1] for row in answer.buttons] == ["/alert 3 back 1", "/alert 3 back 2", "/alert 3"]


def test_a_snoozed_alert_can_be_woken() -> None:
    made = standing("ratio > 0.6", OF)
    assert len(snooze_menu(made).buttons) == 2
    until = dt.datetime(2021, 3, 14, 12, 30, tzinfo=dt.UTC)
    answer = snooze_menu(replace(made, snoozed_until=until))
    assert "Armed; snoozed until Sun 14 Mar 2021, 08:30." in page(answer)
    assert answer.buttons[1] == (("End snooze", "/alert 3 snooze off"),)
