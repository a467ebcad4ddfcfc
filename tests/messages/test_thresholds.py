from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bot.alerts.grammar import parse_rule
from bot.analytics.metrics import METRICS
from bot.messages.alerts.guide import neighbouring_targets, suggested_targets
from tests.messages.pages import context, market
from tests.sample_market import sample_market

if TYPE_CHECKING:
    from bot.alerts.rule import Condition
    from bot.alerts.view import EvaluationContext


LONG = context(market([50.0 + (number % 7) / 10 for number in range(300)]))


def condition(text: str) -> Condition:
    return parse_rule(text, METRICS).conditions[0]


def targets(text: str, of: EvaluationContext) -> list[tuple[str, str]]:
    return [(str(each.target), each.meaning) for each in suggested_targets(condition(text), of)]


def test_levels_come_from_the_metrics_own_history() -> None:
    of = context(sample_market())
    assert targets("flow_gap 20d > 0", of) == [
        ("7pp", "its 90th pct"), ("4pp", "its 75th pct"),
        ("0pp", "change of sign"), ("pct 90", "moves with data"),
    ]  # fmt: skip
    assert targets("ratio < 1", of) == [
        ("0.515", "its 10th pct"), ("0.555", "its 25th pct"), ("sma 200", "its average"),
        ("low 252", "1-year low"), ("pct 10", "moves with data"),
    ]  # fmt: skip
    assert targets("flow iwm 20d crosses 0", of) == [("$200m", "its median"), ("$0", "change of sign")]


def test_each_says_how_often_it_would_have_fired() -> None:
    of = context(sample_market())
    fires = {str(each.target): each.fires for each in suggested_targets(condition("ratio > 1"), of)}
    assert fires["sma 200"] == 13


def test_without_history_only_what_needs_none_is_offered() -> None:
    assert targets("flow iwm 20d > 0", LONG) == [("$0", "change of sign"), ("pct 90", "moves with data")]
    assert {each.fires for each in suggested_targets(condition("pe iwm > 20x"), LONG)} == {None}


def test_zero_is_offered_only_where_the_metric_changes_its_sign() -> None:
    of = context(sample_market())
    assert "0%" not in dict(targets("drawdown < -10%", of))


@pytest.mark.parametrize(
    ("rule", "beside"),
    [
        ("ratio > sma 200", ["sma 150", "sma 252"]),
        ("ratio > high 500", ["high 252"]),
        ("ratio > low 5", ["low 10"]),
        ("ratio > sma 60", ["sma 50", "sma 100"]),
        ("ratio > pct 90", ["pct 80", "pct 95"]),
        ("ratio > 0.5", ["0.4995", "0.5005"]),
        ("pe iwm > 25x", []),
    ],
)
def test_a_step_down_and_a_step_up(rule: str, beside: list[str]) -> None:
    assert [str(target) for target in neighbouring_targets(condition(rule), LONG)] == beside


@given(st.floats(-10, 10), st.sampled_from(["excess 3m > 5pp", "ratio > 0.5", "slope 60 > 10%"]))
def test_steps_lie_on_both_sides_and_are_written_short(value: float, rule: str) -> None:
    of = context(sample_market())
    start = condition(rule)
    lower, higher = neighbouring_targets(replace(start, target=replace(start.target, value=value)), of)
    assert lower.value < value < higher.value
    assert len(str(lower)) < 12
