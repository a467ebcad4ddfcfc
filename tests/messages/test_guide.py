import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bot.alerts.grammar import parse_rule
from bot.alerts.presets import PRESETS
from bot.alerts.rule import Condition
from bot.alerts.view import EvaluationContext
from bot.analytics.market import Market
from bot.analytics.metrics import METRICS
from bot.data.issuers.fetch import by_hand
from bot.messages.alerts.card import next_steps
from bot.messages.alerts.guide import edit_menu, guide_start, neighbouring_targets, suggested_targets
from bot.messages.alerts.history import alert_list
from bot.messages.pages.backtest import backtest_choices
from bot.pair import DEFAULT_PAIR
from tests.funds import PAIR
from tests.messages.pages import FLAT, LONG, alert_view, button_labels, context, empty, market, shown
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


ISSUER = "{}: its issuer's file brings NAV and units: python -m bot refresh; or {}"
IWM_FILE, SPY_FILE = (ISSUER.format(fund.ticker, by_hand(fund, "fund")) for fund in DEFAULT_PAIR)
NO_COUNTS = "Money turns cannot be evaluated yet: no share counts of"
PE = [("2020-03-02", ticker, "pe", 20.0) for ticker in PAIR]


@pytest.mark.parametrize(
    ("of", "offered", "said"),
    [
        (
            market(LONG),
            ["Trend breaks", "Small caps lead"],
            [
                f"{NO_COUNTS} IWM and SPY stored.",
                "Too expensive cannot be evaluated yet: no pe_premium morningstar stored.",
                IWM_FILE,
                SPY_FILE,
                "Yahoo gives it once a day: python -m bot refresh",
            ],
        ),
        (
            market(LONG, units={"IWM": [250.0 + number for number in range(300)]}, multiples=PE),
            ["Trend breaks", "Small caps lead", "Too expensive"],
            [
                f"{NO_COUNTS} SPY stored.",
                "Too expensive: IWM's P/E, against SPY's, is a tenth higher than at the newest session.",
                SPY_FILE,
            ],
        ),
        (
            market(LONG[:150]),
            ["Small caps lead"],
            [
                (
                    "Trend breaks cannot be evaluated yet: too little history of ratio: 150 of 200 sessions "
                    "for sma 200, complete in Oct 2020 at the earliest."
                )
            ],
        ),
        (empty(), [], ["Prices come with python -m bot refresh"]),
        (sample_market(), [preset.name for preset in PRESETS], []),
    ],
)
def test_presets_that_cannot_be_evaluated_are_not_offered_and_say_what_is_lacking(
    of: Market, offered: list[str], said: list[str]
) -> None:
    answer, known = guide_start(context(of)), context(of)
    labels = [label for (label,) in button_labels(answer)]
    assert labels == [*offered, "Make my own"]
    assert set(said) <= set(shown(answer))
    assert sum("cannot be evaluated yet" in line for line in shown(answer)) == len(PRESETS) - len(offered)
    assert [label for (label,) in button_labels(alert_list([], known))] == labels
    assert [label for (label,) in button_labels(backtest_choices(known, "x"))] == offered


@pytest.mark.parametrize(
    ("rule", "step"),
    [
        ("flow iwm 5d > $1bn", IWM_FILE),
        ("pe iwm losses_in > 25x", "It is added up from the companies once a day: python -m bot refresh"),
        (
            "pfcf spy > 10x",
            "pfcf morningstar comes from a file alone: python -m bot import multiples FILE --ticker SPY",
        ),
        ("pb_premium > 20%", "Yahoo gives it once a day: python -m bot refresh"),
        ("ratio > sma 200", ""),
    ],
)
def test_a_rule_without_figures_says_how_to_get_them(rule: str, step: str) -> None:
    known = context(market(LONG))
    assert next_steps(parse_rule(rule, METRICS), known) == ([step] if step else [])
