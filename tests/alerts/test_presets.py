"""Presets: each has a rule of the grammar, fitted to how much history a Market has."""

import pytest

from bot.alerts.backtest import frequency
from bot.alerts.engine import side_ops
from bot.alerts.grammar import parse_rule
from bot.alerts.presets import PRESETS, preset_of, presets_for
from bot.alerts.rule import Rule
from bot.alerts.series import Histories
from bot.analytics.metrics import METRICS
from tests.funds import LARGE, SMALL
from tests.messages.pages import LONG, days, market
from tests.sample_market import sample_market


def test_the_presets_are_these() -> None:
    assert all(Rule.from_json(parse_rule(preset.rule, METRICS).to_json()) for preset in PRESETS)
    assert [(preset.name, preset.rule) for preset in PRESETS] == [
        ("Trend breaks", "ratio > sma 200 confirm 2"),
        ("Small caps lead", "excess 3m > 5pp"),
        ("Money turns", "flow_gap 20d crosses 0"),
        ("Too expensive", "pe_premium > pct 90"),
        ("Rotation", "ratio > sma 200 and flow_gap 20d > 0 and pe_premium < pct 90"),
    ]
    assert side_ops(parse_rule(PRESETS[2].rule, METRICS)) == ((">",), ("<",))


def test_the_trend_preset_fires_a_session_after_the_cross_that_it_confirms() -> None:
    market = sample_market()
    parsed = parse_rule(PRESETS[0].rule, METRICS)
    fires = frequency(parsed, Histories(market, METRICS).samples(parsed, None, market.sessions), 1)
    assert [str(date) for date in fires.dates] == ["2020-10-07"]


@pytest.mark.parametrize("typed", ["Too expensive", "too EXPENSIVE", "  too   expensive "])
def test_a_preset_has_a_name(typed: str) -> None:
    preset = preset_of(typed, sample_market())
    assert preset is not None
    assert preset.name == "Too expensive"
    assert preset_of("expensive", sample_market()) is None


@pytest.mark.parametrize(
    ("sessions", "pe", "target"),
    [
        (252, (40.0, 20.0), "120%"),  # a premium of 100%: (1 + 1) x 1.1 - 1
        (252, (16.0, 20.0), "-10%"),  # -20%: 0.8 x 1.1 - 1 = -12%, rounded up
        (252, (18.0, 20.0), "0%"),
        (253, (40.0, 20.0), "pct 90"),
        (0, (40.0, 20.0), "pct 90"),
    ],
)
def test_a_premium_with_too_little_history_for_a_percentile_is_compared_with_an_amount(
    sessions: int, pe: tuple[float, float], target: str
) -> None:
    dates = [str(day.date()) for day in days(sessions)]
    rows = [(day, ticker, "pe", value) for day in dates for ticker, value in zip((SMALL, LARGE), pe, strict=True)]
    presets = {preset.name: preset for preset in presets_for(market(LONG, multiples=rows))}
    expensive, rotation = presets["Too expensive"], presets["Rotation"]
    assert expensive.rule.endswith(f"> {target}")
    assert rotation.rule.endswith(f"< {target}")
    assert ("a tenth higher" in expensive.meaning, "a tenth higher" in rotation.meaning) == (
        target != "pct 90",
        target != "pct 90",
    )
    assert parse_rule(expensive.rule, METRICS).conditions[0].metric == "pe_premium"
