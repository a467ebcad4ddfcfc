import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bot.alerts.grammar import parse_rule
from bot.alerts.rule import Condition
from bot.alerts.view import EvaluationContext
from bot.analytics.metrics import METRICS
from bot.messages.alerts.guide import edit_menu, neighbouring_targets, suggested_targets
from tests.messages.pages import FLAT, alert_view, button_labels, context
from tests.sample_market import sample_market

SAMPLED = context(sample_market())


def test_each_condition_has_its_step() -> None:
    answer = edit_menu(alert_view("ratio crosses 0.5 and excess 3m > 5pp", FLAT), FLAT)
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
    assert button_labels(edit_menu(alert_view(rule, FLAT), FLAT))[-2] == flags


def test_a_metric_without_history_has_no_steps() -> None:
    answer = edit_menu(alert_view("pe iwm > 25x", FLAT), FLAT)
    assert button_labels(answer)[0] == ["confirm 2", "confirm 3"]


def condition(text: str) -> Condition:
    return parse_rule(text, METRICS).conditions[0]


def targets(text: str, of: EvaluationContext) -> list[tuple[str, str]]:
    return [(str(target), meaning) for target, meaning, _ in suggested_targets(condition(text), of)]


def test_levels_come_from_the_metrics_own_history_with_how_often_they_would_have_fired() -> None:
    assert targets("flow_gap 20d > 0", SAMPLED) == [
        ("7pp", "its 90th pct"), ("4pp", "its 75th pct"),
        ("0pp", "change of sign"), ("pct 90", "moves with data"),
    ]  # fmt: skip
    assert targets("ratio < 1", SAMPLED) == [
        ("0.515", "its 10th pct"), ("0.555", "its 25th pct"), ("sma 200", "its average"),
        ("low 252", "1-year low"), ("pct 10", "moves with data"),
    ]  # fmt: skip
    assert targets("flow iwm 20d crosses 0", SAMPLED) == [("$200m", "its median"), ("$0", "change of sign")]
    assert "0%" not in dict(targets("drawdown < -10%", SAMPLED))  # its sign never changes
    suggestions = suggested_targets(condition("ratio > 1"), SAMPLED)
    assert {str(target): fires for target, _, fires in suggestions}["sma 200"] == 18


def test_without_history_only_what_needs_none_is_offered() -> None:
    assert targets("flow iwm 20d > 0", FLAT) == [("$0", "change of sign"), ("pct 90", "moves with data")]
    assert {fires for *_, fires in suggested_targets(condition("pe iwm > 20x"), FLAT)} == {None}


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
    assert [str(target) for target in neighbouring_targets(condition(rule), FLAT)] == beside


@given(st.floats(-10, 10), st.sampled_from(["excess 3m > 5pp", "ratio > 0.5", "slope 60 > 10%"]))
def test_steps_lie_on_both_sides_and_are_written_short(value: float, rule: str) -> None:
    start = condition(rule)
    value = value if start.metric != "ratio" else abs(value) + 1.0  # a ratio is above 0
    lower, higher = neighbouring_targets(replace(start, target=replace(start.target, value=value)), SAMPLED)
    assert lower.value < value < higher.value
    assert len(str(lower)) < 12
