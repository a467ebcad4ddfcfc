from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bot.alerts.engine import ConditionValue, Sample, evaluate
from bot.alerts.revision import (
    is_set_on_level,
    level_factor,
    reads_level,
    replay,
    rescaled_rule,
    state_after_split,
)
from bot.analytics.metrics import METRICS
from bot.pair import DEFAULT_PAIR
from tests.alerts.examples import REGISTRY, armed, day, rule, sample

SPLIT = {**REGISTRY, "ratio": dataclasses.replace(REGISTRY["ratio"], level_of_prices=True)}


@pytest.mark.parametrize(
    ("before", "factor", "after"),
    [
        ("ratio > 0.52", 0.5, "ratio > 0.26"),
        ("ratio > 0.52 confirm 2 rearm 0.5", 2.0, "ratio > 1.04 confirm 2 rearm 1"),
        ("ratio < 0.52", 1 / 3, "ratio < 0.173333333"),
        ("ratio crosses 0.52 and gauge 200 > 5%", 0.5, "ratio crosses 0.26 and gauge 200 > 5%"),
    ],
)
def test_a_rule_on_a_level_of_prices_is_rescaled(before: str, factor: float, after: str) -> None:
    assert is_set_on_level(rule(before), SPLIT)
    assert str(rescaled_rule(rule(before), factor, SPLIT)) == after


@pytest.mark.parametrize(
    ("text", "reads"),
    [
        ("ratio > sma 200", True),
        ("ratio > pct 90", True),
        ("ratio > high 250", True),
        ("gauge 200 > 5% rearm 3.123456789123%", False),
        ("flow iwm 5d > $1bn", False),
        ("pe iwm losses_in > 25x", False),
    ],
)
def test_a_rule_that_follows_the_data_or_reads_no_level_stays(text: str, reads: bool) -> None:
    assert not is_set_on_level(rule(text), SPLIT)
    assert reads_level(rule(text), SPLIT) is reads
    assert str(rescaled_rule(rule(text), 0.5, SPLIT)) == text


def test_the_ratio_is_the_one_level_of_prices() -> None:
    assert [name for name, metric in METRICS.items() if metric.level_of_prices] == ["ratio"]


def test_a_split_of_the_small_fund_lowers_the_ratio_and_one_of_the_large_raises_it() -> None:
    assert level_factor(DEFAULT_PAIR, [("IWM", 2.0)]) == 0.5
    assert level_factor(DEFAULT_PAIR, [("SPY", 4.0), ("IWM", 2.0)]) == 2.0


def test_a_state_goes_on_in_the_new_shares_and_forgets_the_figures_of_its_session() -> None:
    a_rule = rule("ratio > sma 20 and gauge 200 < 4% cooldown 9")
    run = evaluate(a_rule, armed(a_rule, 1.0, 2.0), [sample(1, (6.0, 5.0), (3.0, 4.0))])
    (state,) = run.states
    after = state_after_split(a_rule, state, 0.5, SPLIT)
    assert after == replace(state, bands=(0.5, 2.0), last_values=(3.0, 3.0), figures=())
    missing = replace(state, last_values=(None, 3.0))
    assert state_after_split(a_rule, missing, 0.5, SPLIT).last_values == (None, 3.0)


@given(
    st.sampled_from(["ratio > sma 20", "ratio < low 20", "ratio crosses sma 9", "ratio > sma 20 cooldown 2"]),
    st.lists(st.one_of(st.none(), st.floats(4, 6)), min_size=1, max_size=30),
    st.sampled_from([0.5, 2.0, 0.25]),
    st.integers(0, 30),
)
def test_a_split_is_no_revision_and_changes_no_fire(
    text: str, values: list[float | None], factor: float, at: int
) -> None:
    a_rule = rule(text)
    before = [sample(number, (value, 5.0)) for number, value in enumerate(values, start=1)]
    after = [_times(sample, factor) for sample in before]
    start = armed(a_rule, 0.25)
    head = evaluate(a_rule, start, before[:at])
    states = [start, *head.states]
    states[-1] = state_after_split(a_rule, states[-1], factor, SPLIT)
    assert replay(a_rule, states, after, head.events) is None
    tail = evaluate(a_rule, states[-1], after)
    whole = evaluate(a_rule, start, before)
    fired = [(event.session, event.kind) for event in (*head.events, *tail.events)]
    assert fired == [(event.session, event.kind) for event in whole.events]


def _times(sample: Sample, factor: float) -> Sample:
    value = sample.figures[0].value
    return Sample(sample.session, (ConditionValue(None if value is None else value * factor, 5.0 * factor),))


def test_a_state_of_another_rule_is_refused() -> None:
    a_rule = rule("ratio > 5")
    with pytest.raises(ValueError, match="zip"):
        state_after_split(a_rule, replace(armed(a_rule, 1.0, 2.0), session=day(1)), 0.5, SPLIT)
