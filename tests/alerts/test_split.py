from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bot.alerts.engine import judge
from bot.alerts.replay import replay
from bot.alerts.split import rescale
from bot.alerts.state import Bar, Leg, State
from bot.analytics.registry import METRICS
from tests.alerts.examples import REGISTRY, armed, bar, day, rule

SPLIT = {**REGISTRY, "ratio": dataclasses.replace(REGISTRY["ratio"], level_of_prices=True)}


@pytest.mark.parametrize(
    ("before", "factor", "after"),
    [
        ("ratio > 0.52", 0.5, "ratio > 0.26"),
        ("ratio > 0.52 confirm 2 rearm 0.5", 2.0, "ratio > 1.04 confirm 2 rearm 1"),
        ("ratio < 0.52", 1 / 3, "ratio < 0.173333333"),
        ("ratio crosses 0.52 and gauge 200 > 5%", 0.5, "ratio crosses 0.26 and gauge 200 > 5%"),
        # what follows the data, and other metrics, stay
        ("ratio > sma 200", 0.5, "ratio > sma 200"),
        ("ratio > pct 90", 0.5, "ratio > pct 90"),
        ("ratio > high 250", 0.5, "ratio > high 250"),
        ("gauge 200 > 5% rearm 3.123456789123%", 0.5, "gauge 200 > 5% rearm 3.123456789123%"),
        ("flow iwm 5d > $1bn", 0.5, "flow iwm 5d > $1bn"),
        ("pe iwm losses_in > 25x", 0.5, "pe iwm losses_in > 25x"),
    ],
)
def test_levels_of_prices_are_rescaled_and_nothing_else(before: str, factor: float, after: str) -> None:
    assert str(rescale(rule(before), (), factor, SPLIT)[0]) == after


def test_the_ratio_is_the_one_level_of_prices() -> None:
    assert [name for name, metric in METRICS.items() if metric.level_of_prices] == ["ratio"]


def test_the_state_is_rescaled_with_the_rule() -> None:
    a_rule = rule("ratio > 6 and gauge 200 < 4%")
    legs = (Leg(8.0, 6.0), Leg(3.0, 4.0))
    state = replace(armed(a_rule, 1.0, 2.0), values=(8.0, None), legs=legs)
    _, (found,) = rescale(a_rule, [state], 0.5, SPLIT)
    assert found == replace(state, bands=(0.5, 2.0), values=(4.0, None), legs=(Leg(4.0, 3.0), Leg(3.0, 4.0)))


def test_missing_figures_stay_missing() -> None:
    a_rule = rule("ratio > sma 20")
    state = replace(armed(a_rule), values=(None,), legs=(Leg(None, None),))
    assert rescale(a_rule, [state], 0.5, SPLIT)[1] == (state,)
    fixed = rule("ratio > 6")
    assert rescale(fixed, [replace(armed(fixed), legs=(Leg(None, None),))], 0.5, SPLIT)[1][0].legs == (
        Leg(None, None),
    )


def test_a_threshold_is_the_rules_own_to_its_last_digit() -> None:
    a_rule = rule("ratio > 0.52")
    state = replace(armed(a_rule), legs=(Leg(0.5, 0.52),))
    scaled, (found,) = rescale(a_rule, [state], 1 / 3, SPLIT)
    assert found.legs[0].threshold == scaled.conditions[0].target.value == 0.173333333
    moving = rule("ratio > sma 200")
    assert rescale(moving, [state], 0.5, SPLIT)[1][0].legs[0].threshold == 0.26


@given(
    st.sampled_from(["ratio > 5", "ratio < 5 rearm 6", "ratio crosses 5", "ratio > sma 20 cooldown 2"]),
    st.lists(st.one_of(st.none(), st.floats(4, 6)), min_size=1, max_size=30),
    st.sampled_from([0.5, 2.0, 1 / 3, 0.1]),
    st.integers(0, 30),
)
def test_a_split_is_no_revision_and_changes_no_fire(
    text: str, values: list[float | None], factor: float, at: int
) -> None:
    a_rule = rule(text)
    before = [bar(number, (value, 5.0)) for number, value in enumerate(values, start=1)]
    after = [_times(each, factor) for each in before]
    start = armed(a_rule, 0.3)
    head = judge(a_rule, start, before[:at])
    scaled, states = rescale(a_rule, [start, *head.states], factor, SPLIT)
    assert replay(scaled, [State.from_json(state.to_json()) for state in states], after, head.events) is None
    tail = judge(scaled, states[-1], after)
    whole = judge(a_rule, start, before)
    fired = [(event.session, event.kind) for event in (*head.events, *tail.events)]
    assert fired == [(event.session, event.kind) for event in whole.events]


def _times(each: Bar, factor: float) -> Bar:
    value = each.legs[0].value
    return Bar(each.session, (Leg(None if value is None else value * factor, 5.0 * factor),))


def test_the_mark_and_the_sides_stay() -> None:
    a_rule = rule("ratio > 5 cooldown 9")
    run = judge(a_rule, armed(a_rule), [bar(1, (6.0, 5.0))])
    _, (found,) = rescale(a_rule, run.states, 0.5, SPLIT)
    assert (found.session, found.sides, found.cooling) == (day(1), run.states[0].sides, 9)


def test_a_state_of_another_rule_is_refused() -> None:
    a_rule = rule("ratio > 5")
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        rescale(a_rule, [armed(a_rule, 1.0, 2.0)], 0.5, SPLIT)
