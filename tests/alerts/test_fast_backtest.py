from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bot.alerts.backtest import evaluate_series, has_answer
from bot.alerts.engine import ConditionValue, Sample, Side, State, Status, evaluate
from bot.alerts.series import SampleSeries
from tests.alerts.examples import armed, day, rule, sample, samples
from tests.alerts.strategies import THOUSAND

FIGURES = st.one_of(st.none(), st.just(math.nan), st.integers(6, 14).map(lambda number: number / 2))
LEG = st.builds(ConditionValue, FIGURES, st.sampled_from([5.0, 5.0, 5.0, 4.5, None]))
ONE = (
    "ratio > 5",
    "ratio <= 5 confirm 2",
    "ratio < 5 rearm 6",
    "ratio > 5 rearm 4.5",
    "ratio crosses 5 confirm 3",
    "ratio >= 5 cooldown 3",
    "ratio crosses 5 cooldown 2 confirm 2",
    "ratio crosses 5 cooldown 1",
    "ratio < 5 once",
    "ratio > sma 20 until 2020-01-20",
)
TWO = (
    "ratio > 5 and gauge 200 < 5%",
    "ratio crosses 5 and gauge 200 >= 5% cooldown 2",
    "ratio crosses 5 and ratio crosses 4 confirm 2",
)


@THOUSAND
@given(
    st.sampled_from([*ONE, *TWO]),
    st.lists(st.tuples(LEG, LEG), max_size=40),
    st.sampled_from([0.0, 0.5, 1.0, 0.3]),
    st.integers(0, 20),
)
def test_a_sweep_is_the_evaluation_of_every_bar(
    text: str, legs: list[tuple[ConditionValue, ConditionValue]], band: float, cut: int
) -> None:
    a_rule = rule(text)
    width = len(a_rule.conditions)
    some = [Sample(day(number), pair[:width]) for number, pair in enumerate(legs, start=1)]
    # from anywhere: cooling, confirming or holding word back
    start = (
        armed(a_rule, *([band] * width)),
        *evaluate(a_rule, armed(a_rule, *([band] * width)), some).states,
    )
    state = start[min(cut, len(start) - 1)]
    state = State.from_json(state.to_json())
    run = evaluate(a_rule, state, some)
    assert evaluate_series(a_rule, state, SampleSeries.of(some)) == ((run.states or (state,))[-1], run.events)


@pytest.mark.parametrize("band", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("text", [*ONE, *TWO])
def test_a_sweep_is_the_evaluation_of_every_bar_over_a_year(text: str, band: float) -> None:
    """Some years that are the same each time, begun at every tenth of their states."""
    a_rule = rule(text)
    width = len(a_rule.conditions)
    values, levels = [None, math.nan, 3.5, 4.0, 4.5, 5.0, 5.5, 6.0, 6.5], [5.0, 5.0, 5.0, 4.5, None]
    for seed in range(2):
        chance = random.Random(seed)
        some = [
            Sample(
                day(number),
                tuple(ConditionValue(chance.choice(values), chance.choice(levels)) for _ in range(width)),
            )
            for number in range(1, 81)
        ]
        first = armed(a_rule, *([band] * width))
        for state in (first, *evaluate(a_rule, first, some).states[::10]):
            run = evaluate(a_rule, state, some)
            assert evaluate_series(a_rule, state, SampleSeries.of(some)) == (
                (run.states or (state,))[-1],
                run.events,
            )


def test_a_cooldown_counts_the_evaluated_sessions_that_are_passed_over() -> None:
    a_rule = rule("ratio > 5 cooldown 9")
    some = samples([4.0, 6.0, 6.0, None, 6.0, 6.0])
    state, (event,) = evaluate_series(a_rule, armed(a_rule), SampleSeries.of(some))
    assert (state.cooling, event.session) == (6, day(2))
    # ... from where it stands, and never below none
    tail = SampleSeries.of(samples([6.0] * 9, first=7))
    assert evaluate_series(a_rule, state, tail[:4])[0].cooling == 2
    assert evaluate_series(a_rule, state, tail)[0].cooling == 0


@pytest.mark.parametrize(
    "values", [[6.0, 4.0, 6.0], [6.0, 4.0, 6.0, None], [6.0, 4.0, 6.0, None, None, None]]
)
def test_word_held_back_waits_for_a_session_that_answers(values: list[float | None]) -> None:
    a_rule = rule("ratio > 5 cooldown 2")
    some = samples([*values])
    state, events = evaluate_series(a_rule, armed(a_rule), SampleSeries.of(some))
    assert (state.session, state.sides[0].unreported) == (day(len(values)), True)
    assert [event.muted for event in events] == [False, True]
    late = samples([None, 6.0, 6.0, 6.0], first=len(values) + 1)
    run = evaluate(a_rule, state, late)
    assert evaluate_series(a_rule, state, SampleSeries.of(late)) == (run.states[-1], run.events)
    assert [event.kind for event in run.events] == ["still"]


def test_a_course_gives_the_bars_it_was_made_of() -> None:
    some = [sample(1, (1.0, 2.0), (3.0, None)), sample(2, (None, 5.0), (math.nan, math.inf))]
    series = SampleSeries.of(some)
    assert list(series) == [some[0], sample(2, (None, 5.0), (None, None))]
    assert list(series[1:]) == [series[1]]
    assert series[-1] == series[1]
    assert SampleSeries.of(series) is series
    assert (series.after(day(0)), series.after(day(1)), series.after(day(9))) == (0, 1, 2)


def test_an_empty_course_has_no_bar() -> None:
    empty = SampleSeries.of([])
    assert list(empty) == []
    assert empty.after(day(1)) == 0


def test_distances_are_of_the_last_sessions_that_have_both_figures() -> None:
    series = SampleSeries.of([*samples([9.0, 6.0, None, 4.0]), sample(5, (7.0, None))])
    assert series.distances(0) == [4.0, 1.0, -1.0]
    assert series.distances(0, 2) == [1.0, -1.0]


@pytest.mark.parametrize(
    ("legs", "expected"),
    [
        (((6.0, 5.0), (3.0, 4.0)), True),
        (((5.0, 5.0), (None, 4.0)), True),  # one is false, whatever the other
        (((6.0, 5.0), (None, 4.0)), False),
        (((None, 5.0), (3.0, None)), False),
    ],
)
def test_a_session_answers_when_any_side_is_true_or_false(
    legs: tuple[tuple[float, float], tuple[float, float]], expected: bool
) -> None:
    a_rule = rule("ratio > 5 and gauge 200 < 4%")
    assert has_answer(a_rule, SampleSeries.of([sample(1, *legs)])).tolist() == [expected]


def test_a_state_of_another_rule_is_not_swept() -> None:
    a_rule = rule("ratio crosses 5")
    series = SampleSeries.of(samples([4.0, 5.0]))
    for change in ({"bands": ()}, {"bands": (0.0, 0.0)}):
        with pytest.raises(ValueError, match="argument 2 is"):
            evaluate_series(a_rule, replace(armed(a_rule), **change), series)
    # none of these sides could turn, so that only their number tells
    waiting = replace(armed(a_rule), sides=(Side(Status.FIRED),) * 3)
    with pytest.raises(ValueError, match="argument 2 is longer"):
        evaluate_series(a_rule, waiting, SampleSeries.of(samples([5.0, 5.0])))


def test_bars_of_different_rules_are_no_course() -> None:
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        SampleSeries.of([sample(1, (4.0, 5.0), (1.0, 2.0)), sample(2, (4.0, 5.0))])
    some = SampleSeries.of(samples([4.0, 5.0]))
    with pytest.raises(ValueError, match="argument 2 is longer"):
        SampleSeries(some.days, some.observed, some.thresholds * 2)[0]
