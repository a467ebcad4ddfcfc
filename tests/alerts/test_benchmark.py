from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.backtest import timings, waits
from benchmarks.metrics import made_up_market
from bot.alerts.backtest import frequency
from bot.alerts.engine import step
from bot.alerts.grammar import parse_rule
from bot.alerts.series import Histories
from bot.analytics.metrics import METRICS

if TYPE_CHECKING:
    import pytest

    from bot.alerts.engine import Event, Sample, State
    from bot.alerts.rule import Rule


def test_every_example_is_timed_beside_its_metric() -> None:
    found = list(timings(made_up_market(sessions=700), repeats=1))
    assert [timing.rule.split()[0] for timing in found] == list(METRICS)
    assert all(timing.metric > 0 for timing in found)
    assert all(timing.ratio > 0 for timing in found)
    assert any(timing.fires for timing in found)


def test_the_whole_answer_is_timed_beside_the_metrics_chart() -> None:
    (found,) = waits(made_up_market(sessions=700), ["excess 3m > 5pp"], repeats=1)
    assert found.rule == "excess 3m > 5pp"
    assert found.chart > 0
    assert found.ratio == found.backtest / found.chart


def test_twenty_years_are_evaluated_where_something_can_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    evaluated = []

    def counted(rule: Rule, state: State, sample: Sample) -> tuple[State, Event | None]:
        evaluated.append(sample.session)
        return step(rule, state, sample)

    monkeypatch.setattr("bot.alerts.engine.step", counted)
    market = made_up_market()
    rule = parse_rule("ratio > sma 200", METRICS)
    found = frequency(rule, Histories(market, METRICS).samples(rule, None, market.sessions), 20)
    assert found.count > 20
    assert len(evaluated) <= 2 * found.count + 1
