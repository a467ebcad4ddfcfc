from __future__ import annotations

import pytest

from bot.alerts.backtest import frequency
from bot.alerts.engine import side_ops
from bot.alerts.grammar import PRESETS, Preset, parse_rule, preset_of
from bot.alerts.rule import Rule
from bot.alerts.series import Histories
from bot.analytics.metrics import METRICS
from tests.sample_market import sample_market


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_a_preset_is_a_rule_that_prints_to_one_that_reads_back(preset: Preset) -> None:
    rule = parse_rule(preset.rule, METRICS)
    assert parse_rule(str(rule), METRICS) == rule
    assert Rule.from_json(rule.to_json()) == rule


def test_the_rules_are_these() -> None:
    assert {preset.name: preset.rule for preset in PRESETS} == {
        "Trend breaks": "ratio > sma 200 confirm 2",
        "Small caps lead": "excess 3m > 5pp",
        "Money turns": "flow_gap 20d crosses 0",
        "Too expensive": "pe_premium > pct 90",
        "Rotation": "ratio > sma 200 and flow_gap 20d > 0 and pe_premium < pct 90",
    }
    assert len(PRESETS) == 5


def test_money_turns_either_way() -> None:
    (rule,) = (parse_rule(preset.rule, METRICS) for preset in PRESETS if preset.name == "Money turns")
    assert side_ops(rule) == ((">",), ("<",))


def test_the_trend_preset_fires_a_session_after_the_cross_that_it_confirms() -> None:
    market = sample_market()
    rule = parse_rule(PRESETS[0].rule, METRICS)
    found = frequency(rule, Histories(market, METRICS).samples(rule, None, market.sessions), 1)
    assert [str(date) for date in found.dates] == ["2020-10-07"]


@pytest.mark.parametrize("typed", ["Too expensive", "too EXPENSIVE", "  too   expensive "])
def test_a_preset_is_found_by_its_name(typed: str) -> None:
    assert preset_of(typed) is PRESETS[3]


def test_another_name_is_no_preset() -> None:
    assert preset_of("expensive") is None
