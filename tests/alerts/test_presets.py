from __future__ import annotations

import pytest

from bot.alerts.backtest import frequency
from bot.alerts.bars import Histories
from bot.alerts.grammar import parse_rule
from bot.alerts.presets import PRESETS, Preset
from bot.analytics.registry import METRICS
from tests.sample_market import sample_market


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_a_preset_is_a_rule_that_prints_to_one_that_reads_back(preset: Preset) -> None:
    rule = parse_rule(preset.rule, METRICS)
    assert parse_rule(str(rule), METRICS) == rule


def test_the_names_differ() -> None:
    assert len({preset.name for preset in PRESETS}) == len(PRESETS)


def test_the_trend_preset_fires_a_session_after_the_cross_that_it_confirms() -> None:
    market = sample_market()
    rule = parse_rule(PRESETS[0].rule, METRICS)
    found = frequency(rule, Histories(market, METRICS).bars(rule, None, market.sessions), 1)
    assert [str(date) for date in found.dates] == ["2020-10-07"]
