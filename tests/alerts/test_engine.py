from __future__ import annotations

import datetime as dt
import math
import statistics
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bot.alerts.engine import (
    ALREADY,
    ConditionValue,
    Event,
    Sample,
    Side,
    State,
    Status,
    default_bands,
    evaluate,
    first_state,
    rearm_levels,
    settle,
    side_ops,
    step,
    truth,
)
from bot.alerts.rule import Rule
from tests.alerts.examples import DAY, armed, day, rule, sample, samples, waiting, walk

NAN = math.nan


@pytest.mark.parametrize(
    ("text", "band", "values", "expected"),
    [
        # the edge: T itself is not past T, just past it is
        ("ratio > 5", 0.0, [4.0, 5.0, 5.1], "A A F*"),
        ("ratio >= 5", 0.0, [4.0, 4.9, 5.0], "A A F*"),
        ("ratio < 5", 0.0, [6.0, 5.0, 4.9], "A A F*"),
        ("ratio <= 5", 0.0, [6.0, 5.1, 5.0], "A A F*"),
        # a fire is an edge: it is told once while true
        ("ratio > 5", 0.0, [6.0, 7.0, 6.0], "F* F F"),
        # without a band it re-arms strictly past T
        ("ratio > 5", 0.0, [6.0, 5.0, 6.0, 4.9, 6.0], "F* F F A F*"),
        ("ratio >= 5", 0.0, [5.0, 4.9, 5.0], "F* A F*"),
        ("ratio < 5", 0.0, [4.0, 5.0, 4.0, 5.1, 4.0], "F* F F A F*"),
        ("ratio <= 5", 0.0, [5.0, 5.1, 5.0], "F* A F*"),
        # with a band it re-arms at R or past it
        ("ratio > 5", 1.0, [6.0, 4.1, 6.0, 4.0, 6.0], "F* F F A F*"),
        ("ratio >= 5", 1.0, [5.0, 4.1, 5.0, 4.0, 5.0], "F* F F A F*"),
        ("ratio < 5", 1.0, [4.0, 5.9, 4.0, 6.0, 4.0], "F* F F A F*"),
        ("ratio <= 5", 1.0, [5.0, 5.9, 5.0, 6.0, 5.0], "F* F F A F*"),
        # an explicit level replaces the band
        ("ratio > 5 rearm 3", 1.0, [6.0, 4.0, 3.1, 6.0, 3.0, 6.0], "F* F F F A F*"),
        ("ratio < 5 rearm 7", 1.0, [4.0, 6.0, 6.9, 4.0, 7.0, 4.0], "F* F F F A F*"),
        # confirm counts sessions in a row and starts anew when broken
        ("ratio > 5 confirm 2", 0.0, [6.0, 6.0, 6.0], "C1 F* F"),
        ("ratio > 5 confirm 3", 0.0, [6.0, 6.0, 5.0, 6.0, 6.0, 6.0], "C1 C2 A C1 C2 F*"),
        ("ratio > 5 confirm 2", 1.0, [6.0, 6.0, 4.0, 6.0, 6.0], "C1 F* A C1 F*"),
        # a missing session neither counts, nor resets, nor re-arms
        ("ratio > 5", 0.0, [4.0, NAN, 6.0, None, 6.0], "A A F* F F"),
        ("ratio > 5 confirm 3", 0.0, [6.0, NAN, 6.0, None, math.inf, 6.0], "C1 C1 C2 C2 C2 F*"),
        ("ratio > 5", 0.0, [6.0, NAN, 4.0, NAN, 6.0], "F* F A A F*"),
        # once ends the rule
        ("ratio > 5 once", 0.0, [6.0, 4.0, 6.0], "F* F F"),
        # crosses is two mirrored sides, above / below
        ("ratio crosses 5", 0.0, [6.0, 5.0, 4.0, 6.0], "F*/A F/A A/F* F*/A"),
        ("ratio crosses 5", 1.0, [6.0, 4.5, 5.5, 4.0, 5.5, 6.0], "F*/A F/F* F/F A/F F*/F F/A"),
        ("ratio crosses 5 confirm 2", 0.0, [6.0, 4.0, 4.0, NAN, 6.0], "C1/A A/C1 A/F* A/F C1/A"),
        # during the cooldown fires are muted; a held one that is still true is told when it has passed
        ("ratio > 5 cooldown 2", 0.0, [6.0, 4.0, 6.0, 6.0, 6.0], "F* A F- F! F"),
        ("ratio > 5 cooldown 2", 0.0, [6.0, 6.0, 6.0, 6.0], "F* F F F"),
        ("ratio > 5 cooldown 2", 0.0, [6.0, 4.0, 6.0, 4.0, 6.0], "F* A F- A F*"),
        ("ratio > 5 cooldown 2", 0.0, [6.0, 4.0, 4.0, 6.0], "F* A A F*"),
        ("ratio > 5 cooldown 1", 0.0, [6.0, 4.0, 6.0], "F* A F*"),
        # a muted fire does not lengthen the cooldown
        ("ratio > 5 cooldown 3", 0.0, [6.0, 4.0, 6.0, 4.0, 6.0], "F* A F- A F*"),
        # ... and is forgotten once false, inside the band too
        ("ratio > 5 cooldown 2", 1.0, [6.0, 4.0, 6.0, 4.5, 6.0, 6.0], "F* A F- F F F"),
        # missing sessions do not use the cooldown up, and the late word waits for a figure
        ("ratio > 5 cooldown 2", 0.0, [6.0, NAN, 4.0, NAN, 6.0, NAN, 6.0], "F* F A A F- F F!"),
        # reminders count evaluated sessions; one that is due waits until it is true
        ("ratio > 5 remind 2", 0.0, [6.0] * 6, "F* F F? F F? F"),
        ("ratio > 5 remind 1", 0.0, [6.0, 6.0, 6.0, 4.0, 6.0, 6.0], "F* F? F? A F* F?"),
        ("ratio > 5 remind 2", 1.0, [6.0, NAN, 6.0, 4.5, None, 4.5, 6.0, 6.0, 6.0], "F* F F F F F F? F F?"),
        ("ratio > 5 remind 1 cooldown 2", 0.0, [6.0, 4.0, 6.0, 6.0, 6.0], "F* A F- F! F?"),
        # the end of a fire that was reported
        ("ratio > 5 and back", 1.0, [6.0, 4.5, 4.0, 6.0, NAN, 4.0, 4.0], "F* F A^ F* F A^ A"),
        ("ratio > 5 and back cooldown 2", 0.0, [6.0, 4.0, 6.0, 4.0, 6.0], "F* A^ F- A F*"),
        ("ratio > 5 and back once", 0.0, [6.0, 6.0, 4.0, 6.0], "F* F A^ A"),
        # the cooldown is the alert's, not the side's
        ("ratio crosses 5 cooldown 2", 0.0, [6.0, 4.0, 4.0, 4.0, 4.0], "F*/A A/F- A/F A/F! A/F"),
        ("ratio crosses 5 cooldown 2", 0.0, [6.0, 4.0, 4.0, 6.0], "F*/A A/F- A/F F*/A"),
    ],
)
def test_states_along_values(text: str, band: float, values: list[float | None], expected: str) -> None:
    a_rule = rule(text)
    assert walk(a_rule, armed(a_rule, band), samples(values)) == expected


def test_the_band_is_taken_off_a_moving_target_each_session() -> None:
    a_rule = rule("ratio > sma 200")
    legs = [(6.0, 5.0), (6.5, 7.0), (6.1, 7.0), (7.0, 8.0), (9.0, 8.0)]
    some = [sample(number, leg) for number, leg in enumerate(legs, start=1)]
    assert walk(a_rule, armed(a_rule, 1.0), some) == "F* F F A F*"


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ((6.0, 5.0), (3.0, 4.0), True),
        ((6.0, 5.0), (4.0, 4.0), False),
        ((5.0, 5.0), (3.0, 4.0), False),
        ((5.0, 5.0), (NAN, 4.0), False),
        ((None, 5.0), (4.0, 4.0), False),
        ((6.0, 5.0), (NAN, 4.0), None),
        ((6.0, NAN), (3.0, 4.0), None),
        ((6.0, 5.0), (3.0, None), None),
        ((NAN, NAN), (NAN, NAN), None),
    ],
)
def test_and_is_false_with_one_false_leg_and_else_missing_with_one_missing(
    first: tuple[float, float], second: tuple[float, float], expected: bool | None
) -> None:
    assert truth(rule("ratio > 5 and gauge 200 < 4%"), (">", "<"), sample(1, first, second)) is expected


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("ratio > 5 or gauge 200 > 4%", (6.0, 3.0), True),
        ("ratio > 5 or gauge 200 > 4%", (NAN, 5.0), True),
        ("ratio > 5 or gauge 200 > 4%", (5.0, 4.0), False),
        ("ratio > 5 or gauge 200 > 4%", (NAN, 4.0), None),
        ("ratio > 5 and ratio > 5 or gauge 200 > 4%", (6.0, NAN, 4.0), None),
        ("ratio > 5 and ratio > 5 or gauge 200 > 4%", (5.0, NAN, 4.0), False),
        ("ratio > 5 and ratio > 5 or gauge 200 > 4%", (5.0, NAN, NAN), None),
        ("ratio > 5 or gauge 200 > 4% and gauge 200 > 4%", (5.0, 5.0, 5.0), True),
        ("ratio > 5 or gauge 200 > 4% and gauge 200 > 4%", (5.0, 5.0, 4.0), False),
    ],
)
def test_or_is_true_with_one_true_group_and_else_missing_with_one_missing(
    text: str, values: tuple[float, ...], expected: bool | None
) -> None:
    a_rule = rule(text)
    figures = [(value, each.target.value) for value, each in zip(values, a_rule.conditions, strict=True)]
    assert truth(a_rule, side_ops(a_rule)[0], sample(1, *figures)) is expected


def test_or_fires_as_a_whole_and_rearms_when_every_group_is_past_its_own_level() -> None:
    a_rule = rule("ratio > 5 or gauge 200 > 4%")
    legs = [
        (6.0, 0.0),
        (6.0, 5.0),  # the other too: no edge
        (4.0, 5.0),  # the first is past its level
        (4.0, 2.1),  # the second false, inside its band
        (NAN, 2.0),  # past its level, the first is missing
        (4.5, 2.0),  # the first inside its band
        (4.0, 2.0),
        (NAN, 5.0),
    ]
    some = [sample(number, (ratio, 5.0), (gauge, 4.0)) for number, (ratio, gauge) in enumerate(legs, start=1)]
    assert walk(a_rule, armed(a_rule, 1.0, 2.0), some) == "F* F F F F F A F*"


def test_and_rearms_when_any_leg_is_past_its_own_band() -> None:
    a_rule = rule("ratio > 5 and gauge 200 < 4%")
    legs = [
        [(6.0, 5.0), (3.0, 4.0)],  # both true
        [(4.1, 5.0), (5.9, 4.0)],  # both inside their bands
        [(4.1, 5.0), (NAN, 4.0)],  # a missing leg is not past its band
        [(6.0, 5.0), (3.0, 4.0)],  # true again: nothing to tell
        [(NAN, 5.0), (6.0, 4.0)],  # the second leg is past its band, the first is missing
        [(6.0, 5.0), (3.0, 4.0)],
        [(4.0, 5.0), (NAN, 4.0)],  # now the first
        [(6.0, 5.0), (NAN, 4.0)],  # missing
        [(6.0, 5.0), (3.0, 4.0)],
    ]
    some = [sample(number, *pair) for number, pair in enumerate(legs, start=1)]
    assert walk(a_rule, armed(a_rule, 1.0, 2.0), some) == "F* F F F A F* A A F*"


def test_crosses_among_other_conditions_mirrors_only_itself() -> None:
    a_rule = rule("ratio crosses 5 and gauge 200 >= 4% and ratio crosses 1")
    assert side_ops(a_rule) == ((">", ">=", ">"), ("<", ">=", "<"))
    assert side_ops(rule("ratio >= 5")) == ((">=",),)


def test_crosses_with_another_leg_missing_evaluates_the_side_that_is_false() -> None:
    a_rule = rule("ratio crosses 5 and gauge 200 > 4%")
    state = replace(armed(a_rule), sides=(Side(Status.CONFIRMING, 1), Side(Status.CONFIRMING, 1)))
    after, event = step(a_rule, state, sample(1, (6.0, 5.0), (NAN, 4.0)))
    assert after.sides == (Side(Status.CONFIRMING, 1), Side())
    assert event is None


def test_a_missing_session_moves_the_mark_and_no_status() -> None:
    a_rule = rule("ratio > 5 cooldown 3")
    state, _ = step(a_rule, armed(a_rule), sample(1, (6.0, 5.0)))
    moved = replace(state, session=day(2), figures=(ConditionValue(None, 5.0),))
    assert step(a_rule, state, sample(2, (NAN, 5.0))) == (moved, None)


def test_sessions_up_to_the_mark_or_past_until_change_nothing() -> None:
    a_rule = rule("ratio > 5 until 2020-01-03")
    state = armed(a_rule)
    for number in (-1, 0, 3):
        assert step(a_rule, state, sample(number, (6.0, 5.0))) == (state, None)
    assert step(a_rule, state, sample(2, (6.0, 5.0)))[1] is not None


def test_an_event_holds_everything_about_a_fire() -> None:
    a_rule = rule("ratio crosses 5")
    state = armed(a_rule, 0.5)
    state, first = step(a_rule, state, sample(1, (6.0, 5.0)))
    assert first == Event(
        kind="fired",
        session=day(1),
        ops=(">",),
        figures=(ConditionValue(6.0, 5.0),),
        levels=(4.5,),
        previous=(None,),
        since=day(1),
    )
    assert (first.value, first.threshold) == (6.0, 5.0)
    state, second = step(a_rule, state, sample(2, (4.0, 5.0)))
    assert second is not None
    assert (second.ops, second.levels, second.previous) == (("<",), (5.5,), (6.0,))


def test_an_event_of_two_conditions_has_figures_of_both() -> None:
    a_rule = rule("ratio > 5 and gauge 200 < 4%")
    state = replace(armed(a_rule, 1.0, 2.0), last_values=(4.0, 3.5))
    after, event = step(a_rule, state, sample(1, (6.0, 5.0), (3.0, 4.0)))
    assert event is not None
    assert event.levels == (4.0, 6.0)
    assert event.previous == (4.0, 3.5)
    assert after.last_values == (6.0, 3.0)
    # the last value of a missing condition is kept
    assert step(a_rule, state, sample(1, (5.0, 5.0), (NAN, 4.0)))[0].last_values == (5.0, 3.5)


@pytest.mark.parametrize("once", [True, False])
def test_a_rule_with_once_is_done_after_its_fire(once: bool) -> None:
    a_rule = replace(rule("ratio > 5"), once=once)
    state, event = step(a_rule, armed(a_rule), sample(1, (6.0, 5.0)))
    assert event is not None
    assert (event.done, state.done) == (once, once)
    assert (step(a_rule, state, sample(2, (4.0, 5.0))) == (state, None)) is once


def test_a_muted_fire_that_is_reported_late_says_since_when() -> None:
    a_rule = rule("ratio > 5 cooldown 2")
    run = evaluate(a_rule, armed(a_rule), samples([6.0, 4.0, 6.0, 7.0]))
    fired, muted, still = run.events
    assert [fired.muted, muted.muted, still.muted] == [False, True, False]
    assert (still.kind, still.session, still.since, still.value) == ("still", day(4), day(3), 7.0)
    assert [state.cooling for state in run.states] == [2, 1, 0, 0]
    assert [state.sides[0].unreported for state in run.states] == [False, False, True, False]
    assert [state.sides[0].since for state in run.states] == [day(1), None, day(3), day(3)]


@pytest.mark.parametrize(
    ("text", "last", "status"),
    [
        ("ratio > 5", 5.1, Status.FIRED),  # already true: it waits to re-arm
        ("ratio > 5", 5.0, Status.ARMED),
        ("ratio > 5", 4.99, Status.ARMED),  # inside the band
        ("ratio >= 5", 5.0, Status.FIRED),
        ("ratio < 5", 4.9, Status.FIRED),
        ("ratio <= 5", 5.0, Status.FIRED),
        ("ratio > 5 confirm 3", 5.1, Status.FIRED),
    ],
)
def test_where_a_rule_stands_when_it_is_made(text: str, last: float, status: Status) -> None:
    state = first_state(rule(text), samples([1.0, 9.0] * 50 + [last]), DAY)
    assert state.status is status
    assert state.sides == (Side(status),)
    assert state.session == day(101)
    assert state.last_values == (last,)
    assert state.bands[0] > 0.5
    assert (state.cooling, state.done) == (0, False)


def test_a_rule_that_was_already_true_fires_only_after_it_was_back() -> None:
    a_rule = rule("ratio > 5")
    state = first_state(a_rule, samples([6.0]), DAY)
    assert walk(a_rule, state, samples([6.0, 4.0, 6.0], first=2)) == "F A F*"


def test_crosses_is_made_with_one_side_waiting() -> None:
    a_rule = rule("ratio crosses 5")
    assert first_state(a_rule, samples([6.0]), DAY).sides == (Side(Status.FIRED), Side())
    assert first_state(a_rule, samples([4.0]), DAY).sides == (Side(), Side(Status.FIRED))
    assert first_state(a_rule, samples([5.0]), DAY).sides == (Side(), Side())


def test_missing_sessions_at_the_end_leave_the_last_figure_to_say_where_a_rule_stands() -> None:
    state = first_state(rule("ratio > 5"), samples([4.0, 6.0, NAN, None]), DAY)
    assert state.status is Status.FIRED
    assert state.last_values == (6.0,)
    assert state.session == day(4)


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("ratio > 5", [None, NAN, 6.0, 6.0, 4.0, 6.0], "W W F= F A F*"),  # true: told once, and no fire
        ("ratio > 5", [None, 4.0, 6.0], "W A F*"),
        ("ratio > 5 confirm 3", [6.0, 6.0, 4.0, 6.0, 6.0, 6.0], "F= F A C1 C2 F*"),
        ("ratio > 5 once", [6.0, 4.0, 6.0, 6.0], "F= A F* F"),
        ("ratio > 5 cooldown 2", [6.0, 4.0, 6.0], "F= A F*"),
        ("ratio crosses 5", [None, 6.0, 4.0], "W/W F/A A/F*"),  # one side is true wherever it stands
        ("ratio crosses 5", [5.0, 6.0], "A/A F*/A"),
    ],
)
def test_the_first_value_sets_a_rules_side(text: str, values: list[float | None], expected: str) -> None:
    a_rule = rule(text)
    start = first_state(a_rule, samples([None, NAN], first=-1), DAY)
    assert start == waiting(a_rule)
    assert walk(a_rule, start, samples(values)) == expected


def test_with_a_leg_unknown_a_false_leg_decides_and_a_true_one_waits() -> None:
    a_rule = rule("ratio > 5 and gauge 200 < 4%")
    some = [sample(1, (6.0, 5.0), (None, 4.0)), sample(2, (4.0, 5.0), (None, 4.0))]
    assert walk(a_rule, first_state(a_rule, [], DAY), some) == "W A"


@pytest.mark.parametrize(
    ("text", "past", "status", "value"),
    [
        ("ratio > 5", [4.0] * 70 + [6.0, None], Status.FIRED, 6.0),
        ("ratio > 5", [6.0] * 70 + [4.0], Status.ARMED, None),
        ("ratio crosses 5", [4.0, 6.0], Status.ARMED, None),
        ("ratio > 5", [None, NAN], Status.WAITING, None),
    ],
)
def test_history_that_arrives_up_to_the_mark_gives_the_state_of_creation(
    text: str, past: list[float | None], status: Status, value: float | None
) -> None:
    a_rule, some = rule(text), samples(past, first=1 - len(past))
    state, event = settle(a_rule, waiting(a_rule), some)
    assert state == replace(first_state(a_rule, some, DAY), session=DAY)
    assert state.status is status
    assert (event and (event.kind, event.value)) == (value and (ALREADY, value))
    assert not event or event.levels == rearm_levels(a_rule, state, side_ops(a_rule)[0], event.figures)
    assert settle(a_rule, state, some) == (state, None)
    assert settle(a_rule, armed(a_rule), some) == (armed(a_rule), None)


def test_the_band_is_a_quarter_of_the_deviation_over_sixty_to_252_values() -> None:
    a_rule = rule("ratio > 5")
    values: list[float | None] = [float(number % 11) for number in range(252)]

    def expected(count: int) -> float:
        return 0.25 * statistics.stdev(number % 11 for number in range(count))

    assert default_bands(a_rule, samples(values[:60])) == pytest.approx((expected(60),))
    assert default_bands(a_rule, samples([*values[1:60], NAN])) == (0.0,)
    assert default_bands(a_rule, samples([1e6, *values[:100], NAN, *values[100:]])) == pytest.approx((expected(252),))


@pytest.mark.parametrize(
    ("text", "values", "band"),
    [
        ("ratio > 5", [1e6, *range(60)], 2.5),  # 0 is the farthest below 5
        ("ratio < 5", [1e6, *range(60)], 0.25 * statistics.stdev([1e6, *range(60)])),
        ("ratio crosses 5", [1e6, *range(60)], 2.5),
        ("ratio < 5", [-15.0, 5.5] * 40, 0.25),
        ("ratio < 5", [-15.0] * 80, 0.0),
    ],
)
def test_the_band_reaches_no_further_than_values_have_been(text: str, values: list[float], band: float) -> None:
    assert default_bands(rule(text), samples(values)) == pytest.approx((band,))


def test_each_condition_has_the_band_of_its_distances_to_the_target() -> None:
    a_rule = rule("ratio > sma 200 and gauge 200 < 4%")
    moving = [(100.0 * number + number % 2, 100.0 * number) for number in range(1, 101)]
    both = [sample(number, leg, (10.0 * (number % 2), 4.0)) for number, leg in enumerate(moving, start=1)]
    expected = 0.25 * statistics.stdev([number % 2 for number in range(100)])
    assert default_bands(a_rule, both) == pytest.approx((expected, 10 * expected))


@pytest.mark.parametrize(
    ("text", "op", "threshold", "level"),
    [
        ("ratio > 5", ">", 5.0, 4.5),
        ("ratio > 5", ">=", 5.0, 4.5),
        ("ratio < 5", "<", 5.0, 5.5),
        ("ratio < 5", "<=", 5.0, 5.5),
        ("ratio > 5", ">", NAN, None),
        ("ratio > 5 rearm 3", ">", 5.0, 3.0),
    ],
)
def test_levels_lie_on_the_far_side(text: str, op: str, threshold: float, level: float | None) -> None:
    a_rule = rule(text)
    assert rearm_levels(a_rule, armed(a_rule, 0.5), (op,), (ConditionValue(9.0, threshold),)) == (level,)


def test_evaluation_gives_a_state_for_each_session_that_was_new() -> None:
    a_rule = rule("ratio > 5")
    run = evaluate(a_rule, replace(armed(a_rule), session=day(1)), samples([6.0, 6.0, NAN, 4.0]))
    assert [state.session for state in run.states] == [day(2), day(3), day(4)]
    assert [event.session for event in run.events] == [day(2)]


RULES = st.sampled_from(
    [
        rule(text)
        for text in (
            "ratio > 5",
            "ratio <= 5 confirm 2",
            "ratio > 5 rearm 4",
            "ratio crosses 5",
            "ratio crosses 5 confirm 3",
            "ratio >= 5 cooldown 3",
            "ratio crosses 5 cooldown 2 confirm 2",
            "ratio < 5 once",
            "ratio > 5 remind 2 and back",
            "ratio < 5 and back once",
            "ratio > 5 cooldown 3 remind 1",
            "ratio > sma 20 until 2020-01-20",
        )
    ]
)
Start = Callable[..., State]
Figures = list[tuple[float | None, float]]
STARTS = st.sampled_from([armed, waiting])
FIGURES = st.one_of(st.none(), st.just(NAN), st.integers(6, 14).map(lambda number: number / 2))
SEQUENCES = st.lists(st.tuples(FIGURES, st.sampled_from([5.0, 5.0, 4.5, 5.5])), max_size=40)


def _samples(sequence: Figures) -> list[Sample]:
    return [sample(number, leg) for number, leg in enumerate(sequence, start=1)]


@given(RULES, STARTS, SEQUENCES, st.integers(0, 40), st.floats(0, 2))
def test_a_restart_changes_nothing(a_rule: Rule, start: Start, sequence: Figures, cut: int, band: float) -> None:
    some = _samples(sequence)
    whole = evaluate(a_rule, start(a_rule, band), some)
    head = evaluate(a_rule, start(a_rule, band), some[:cut])
    stored = head.states[-1] if head.states else start(a_rule, band)
    tail = evaluate(Rule.from_json(a_rule.to_json()), State.from_json(stored.to_json()), some[cut:])
    assert head.states + tail.states == whole.states
    assert head.events + tail.events == whole.events


@given(RULES, STARTS, SEQUENCES, st.floats(0, 2))
def test_ten_evaluations_are_one(a_rule: Rule, start: Start, sequence: Figures, band: float) -> None:
    some = _samples(sequence)
    repeated = [bar for bar in some for _ in range(10)]
    assert evaluate(a_rule, start(a_rule, band), repeated) == evaluate(a_rule, start(a_rule, band), some)


@given(RULES, STARTS, SEQUENCES, st.floats(0, 2))
def test_missing_sessions_do_nothing(a_rule: Rule, start: Start, sequence: Figures, band: float) -> None:
    some = _samples(sequence)
    present = [bar for bar in some if bar.figures[0].both]
    assert evaluate(a_rule, start(a_rule, band), some).events == evaluate(a_rule, start(a_rule, band), present).events


@given(st.sampled_from([">", ">=", "<", "<=", "crosses"]), st.lists(st.floats(4.001, 5.999), max_size=250))
def test_noise_inside_the_band_fires_at_most_once_a_side(op: str, values: list[float]) -> None:
    a_rule = rule(f"ratio {op} 5")
    fired = [event.ops for event in evaluate(a_rule, armed(a_rule, 1.0), samples(values)).events]
    assert len(fired) == len(set(fired))


@given(SEQUENCES, st.floats(0, 2), st.sampled_from(["", " confirm 2", " confirm 3"]))
def test_crosses_is_two_rules(sequence: Figures, band: float, option: str) -> None:
    some = _samples(sequence)
    both, up, down = (rule(f"ratio {op} 5{option}") for op in ("crosses", ">", "<"))
    apart = [event for side in (up, down) for event in evaluate(side, armed(side, band), some).events]
    together = evaluate(both, armed(both, band), some).events
    assert list(together) == sorted(apart, key=lambda event: event.session)


@pytest.mark.parametrize(
    ("text", "figures", "change"),
    [
        ("ratio > 5", ((6.0, 5.0), (6.0, 5.0)), {}),
        ("ratio > 5 and gauge 200 < 4%", ((6.0, 5.0),), {}),
        ("ratio > 5", ((6.0, 5.0),), {"sides": (Side(), Side())}),
        ("ratio > 5", ((6.0, 5.0),), {"last_values": ()}),
        ("ratio > 5", ((4.0, 5.0),), {"bands": (), "sides": (Side(Status.FIRED),)}),
    ],
)
def test_a_state_or_session_of_another_rule_is_refused(
    text: str, figures: tuple[tuple[float, float], ...], change: dict[str, tuple[object, ...]]
) -> None:
    """Evaluated in part it could fire, or stay silent, on the figures of something else."""
    a_rule = rule(text)
    with pytest.raises(ValueError, match="argument 2 is"):
        step(a_rule, replace(armed(a_rule), **change), sample(1, *figures))


def test_whether_it_is_true_is_not_said_of_a_part_of_the_conditions() -> None:
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        truth(rule("ratio > 5 and gauge 200 < 4%"), (">", "<"), sample(1, (6.0, 5.0)))


FLOATS = st.floats(allow_nan=False, allow_infinity=False)
DATES = st.dates(dt.date(1993, 1, 1), dt.date(2100, 1, 1))
SIDES = st.builds(
    Side, st.sampled_from(Status), st.integers(0, 250), st.one_of(st.none(), DATES), st.booleans(), st.integers(0, 250)
)


def tuples(values: st.SearchStrategy[object]) -> st.SearchStrategy[tuple[object, ...]]:
    return st.lists(values, min_size=1, max_size=3).map(tuple)


@given(
    st.builds(
        State,
        session=DATES,
        bands=tuples(FLOATS),
        sides=tuples(SIDES),
        last_values=tuples(st.one_of(st.none(), FLOATS)),
        cooling=st.integers(0, 250),
        done=st.booleans(),
        figures=tuples(st.builds(ConditionValue, st.one_of(st.none(), FLOATS), FLOATS)),
    )
)
def test_a_state_survives_json_exactly(state: State) -> None:
    assert State.from_json(state.to_json()) == state


@given(
    st.builds(
        Event,
        kind=st.sampled_from(["fired", "still", ALREADY]),
        session=DATES,
        ops=tuples(st.sampled_from([">", "<="])),
        figures=tuples(st.builds(ConditionValue, FLOATS, FLOATS)),
        levels=tuples(st.one_of(st.none(), FLOATS)),
        previous=tuples(st.one_of(st.none(), FLOATS)),
        since=DATES,
        muted=st.booleans(),
        done=st.booleans(),
    )
)
def test_an_event_survives_json_exactly(event: Event) -> None:
    assert Event.from_json(event.to_json()) == event


STATE = (
    '{"session":"2020-10-06","bands":[0.005],"sides":[{"status":"fired","since":"2020-10-06","unreported":true}],'
    '"last_values":[0.4676],"cooling":3,"figures":[{"value":0.4676,"threshold":null}]}'
)
EVENT = (
    '{"kind":"still","session":"2020-10-08","ops":[">","<="],'
    '"figures":[{"value":0.4676,"threshold":0.46},{"value":null,"threshold":2.0}],"levels":[0.455,null],'
    '"previous":[0.4701,null],"since":"2020-10-06","muted":true}'
)


def test_the_json_of_a_state_leaves_out_what_is_at_its_default() -> None:
    state = State(
        session=dt.date(2020, 10, 6),
        bands=(0.005,),
        sides=(Side(Status.FIRED, 0, dt.date(2020, 10, 6), True),),
        last_values=(0.4676,),
        cooling=3,
        figures=(ConditionValue(0.4676, None),),
    )
    assert state.to_json() == STATE
    assert State.from_json(STATE) == state
    assert isinstance(State.from_json(STATE).sides[0].status, Status)


def test_the_json_of_an_event_leaves_out_what_is_at_its_default() -> None:
    event = Event(
        kind="still",
        session=dt.date(2020, 10, 8),
        ops=(">", "<="),
        figures=(ConditionValue(0.4676, 0.46), ConditionValue(None, 2.0)),
        levels=(0.455, None),
        previous=(0.4701, None),
        since=dt.date(2020, 10, 6),
        muted=True,
    )
    assert event.to_json() == EVENT
    assert Event.from_json(EVENT) == event
    assert (event.value, event.threshold) == (0.4676, 0.46)


@pytest.mark.parametrize(
    ("record", "text", "old", "new"),
    [
        (State, STATE, '"session":"2020-10-06",', ""),
        (State, STATE, '"threshold":null', '"threshold":null,"extra":1'),
        (State, STATE, '"cooling":3', '"cooling":"3"'),
        (State, STATE, '"2020-10-06","bands"', '"2020-13-06","bands"'),
        (State, STATE, '"fired"', '"tired"'),
        (State, STATE, "[0.005]", "[NaN]"),
        (State, STATE, "[0.005]", "[null]"),
        (Event, EVENT, '"kind":"still",', ""),
        (Event, EVENT, "2.0", "1e999"),
        (Event, EVENT, "true", "1"),
        (Event, EVENT, "null", '""'),
    ],
)
def test_a_damaged_record_is_refused(record: type[State | Event], text: str, old: str, new: str) -> None:
    with pytest.raises(msgspec.DecodeError):
        record.from_json(text.replace(old, new))


@pytest.mark.parametrize("figure", [math.nan, math.inf, -math.inf, None])
def test_a_condition_without_a_finite_figure_is_missing_and_has_none_there(figure: float | None) -> None:
    for value, threshold, finite in ((figure, 2.0, (None, 2.0)), (1.0, figure, (1.0, None))):
        assert ConditionValue(value, threshold).both is None
        assert ConditionValue(value, threshold).finite == ConditionValue(*finite)
    whole = ConditionValue(0.0, 2.0)
    assert whole.both == (0.0, 2.0)
    assert whole.finite is whole


@pytest.mark.parametrize(
    ("statuses", "expected", "count"),
    [
        (["armed"], Status.ARMED, 0),
        (["fired"], Status.FIRED, 0),
        (["confirming"], Status.CONFIRMING, 2),
        (["fired", "armed"], Status.ARMED, 0),
        (["fired", "confirming"], Status.CONFIRMING, 2),
        (["fired", "fired"], Status.FIRED, 0),
        (["waiting", "fired"], Status.WAITING, 0),
        (["armed", "waiting"], Status.ARMED, 0),
    ],
)
def test_the_livelier_side_is_the_status_of_both(statuses: list[str], expected: Status, count: int) -> None:
    sides = tuple(Side(Status(status), 2 if status == "confirming" else 0) for status in statuses)
    state = State(dt.date(2020, 1, 1), (0.0,), sides, (None,))
    assert (state.status, state.count) == (expected, count)
