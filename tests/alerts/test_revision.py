from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bot.alerts.batch import LEAST_REVISION
from bot.alerts.engine import ConditionValue, Event, Sample, State, Status, evaluate
from bot.alerts.grammar import parse_rule
from bot.alerts.revision import is_set_on_level, level_factors, rescaled_rule, state_after_split
from bot.alerts.rule import Rule
from bot.analytics.metrics import METRICS
from bot.pair import DEFAULT_PAIR
from tests.alerts.examples import REGISTRY, Replayed, armed, day, replay_revised, rule, sample, samples

NAN = math.nan


def run(text: str, values: Sequence[float | None], band: float = 0.0) -> tuple[Rule, list[State], tuple[Event, ...]]:
    """A rule evaluated on some values: it, the states from the first on, the events."""
    a_rule = rule(text)
    start = armed(a_rule, band)
    ran = evaluate(a_rule, start, samples(values))
    return a_rule, [start, *ran.states], ran.events


def revised(text: str, then: Sequence[float | None], now: Sequence[float | None], band: float = 0.0) -> Replayed | None:
    a_rule, states, stored = run(text, then, band)
    return replay_revised(a_rule, states, samples(now), stored)


def replayed(a_rule: Rule, states: Sequence[State], now: Sequence[Sample], stored: Sequence[Event]) -> Replayed:
    """The replay of figures that were revised."""
    result = replay_revised(a_rule, states, now, stored)
    assert result is not None
    return result


def sessions(events: Sequence[Event]) -> list[object]:
    return [event.session for event in events]


def test_fired_on_a_provisional_bar_revised_away_then_truly_crossed_two_days_later() -> None:
    a_rule, states, stored = run("ratio > 5", [4.0, 6.0])
    assert sessions(stored) == [day(2)]
    final = samples([4.0, 4.9, 4.8, 6.0])
    result = replayed(a_rule, states, final[:2], stored)
    assert (result.since, result.withdrawn, result.new, result.kept) == (day(2), stored, (), ())
    assert result.states[-1].status is Status.ARMED
    rest = evaluate(a_rule, result.states[-1], final)
    assert sessions(rest.events) == [day(4)]
    # the revision is done with: the figures that were evaluated are the ones of now
    assert replay_revised(a_rule, [*states[:2], *result.states], final[:2], ()) is None


def test_nothing_is_replayed_while_the_figures_are_those_that_were_evaluated() -> None:
    assert revised("ratio > 5", [4.0, 6.0, None, 4.0], [4.0, 6.0, None, 4.0]) is None
    assert revised("ratio > 5", [], [4.0, 6.0]) is None


def test_samples_past_the_mark_and_up_to_the_first_state_are_left_alone() -> None:
    a_rule, states, stored = run("ratio > 5", [4.0, 6.0, 4.0])
    assert replay_revised(a_rule, states[1:], samples([9.0, 6.0, 4.0, 6.0]), stored) is None


@pytest.mark.parametrize(
    ("text", "then", "now", "since", "withdrawn", "new", "kept"),
    [
        # a fire appears
        ("ratio > 5", [4.0, 4.9, 4.0], [4.0, 5.1, 4.0], 2, [], [2], []),
        # it stays, with its new figures
        ("ratio > 5", [4.0, 6.0, 4.0, 6.0], [4.0, 7.0, 4.0, 6.0], 2, [], [], [2, 4]),
        # it moves with its confirmation
        ("ratio > 5 confirm 2", [6.0, 6.0, 6.0], [4.0, 6.0, 6.0], 1, [2], [3], []),
        # events before the revision stand
        ("ratio > 5", [6.0, 4.0, 6.0], [6.0, 4.0, 4.0], 3, [3], [], []),
        # a figure that is missing now withdraws nothing
        ("ratio > 5", [4.0, 6.0, 4.0], [3.0, None, 4.0], 1, [], [], [2]),
        ("ratio > 5", [4.0, 6.0, 4.0], [3.0, NAN, 4.0], 1, [], [], [2]),
        ("ratio > 5", [4.0, 6.0, 4.0], [3.0, math.inf, 4.0], 1, [], [], [2]),
        # one that was missing and came late is evaluated
        ("ratio > 5", [4.0, None, 4.0], [4.0, 6.0, 4.0], 2, [], [2], []),
        # jitter turns nothing when another session is revised
        ("ratio > 5", [4.0, 5.00001], [3.0, 5.0], 1, [], [], [2]),
    ],
)
def test_what_becomes_of_fires_on_revised_figures(
    text: str,
    then: list[float | None],
    now: list[float | None],
    since: int,
    withdrawn: list[int],
    new: list[int],
    kept: list[int],
) -> None:
    result = revised(text, then, now)
    assert result is not None
    events = [sessions(group) for group in (result.withdrawn, result.new, result.kept)]
    assert events == [[day(number) for number in numbers] for numbers in (withdrawn, new, kept)]
    assert [state.session for state in result.states] == [day(n) for n in range(since, len(now) + 1)]
    assert result.since == day(since)
    for event in (*result.new, *result.kept):
        value = now[(event.session - day(1)).days]
        assert event.value == pytest.approx(value if value and math.isfinite(value) else 6.0, rel=1e-5)
    assert [State.from_json(state.to_json()) for state in result.states] == list(result.states)


def test_the_other_side_of_crosses_is_another_fire() -> None:
    result = revised("ratio crosses 5", [5.0, 6.0], [5.0, 4.0])
    assert result is not None
    assert [event.ops for event in (*result.withdrawn, *result.new)] == [(">",), ("<",)]


def test_once_is_active_again_when_its_fire_is_withdrawn() -> None:
    a_rule, states, stored = run("ratio > 5 once", [4.0, 6.0, 7.0, 8.0])
    assert states[-1].done
    now = samples([4.0, 5.0, 4.0, 6.0])
    result = replayed(a_rule, states, now, stored)
    assert (result.withdrawn, result.new) == (stored, ())
    assert not result.states[-1].done
    assert result.states[-1].session == day(2)  # what came after the fire is evaluated next
    assert sessions(evaluate(a_rule, result.states[-1], now).events) == [day(4)]


def test_a_muted_fire_that_is_not_muted_any_more_is_new() -> None:
    then, now = [6.0, 4.0, 6.0], [4.0, 4.0, 6.0]
    result, back = revised("ratio > 5 cooldown 5", then, now), revised("ratio > 5 cooldown 5", now, then)
    assert result is not None
    assert back is not None
    groups = (result.withdrawn, result.new, back.new, back.kept)
    assert [[(event.session, event.muted) for event in group] for group in groups] == [
        [(day(1), False)],
        [(day(3), False)],
        [(day(1), False)],
        [(day(3), True)],
    ]


def test_a_figure_or_a_session_that_is_gone_withdraws_nothing() -> None:
    for gone in (None, NAN, math.inf):
        assert revised("ratio > 5", [4.0, 6.0, 4.0], [4.0, gone, 4.0]) is None
    assert revised("ratio > 5", [4.0, 6.0], [4.0]) is None


def test_the_first_session_after_the_first_kept_state_is_replayed_too() -> None:
    a_rule, states, stored = run("ratio > 5", [4.0, 4.0, 6.0, 4.0])
    result = replayed(a_rule, states[1:], samples([4.0, 5.5, 6.0, 4.0]), stored)
    assert (result.since, sessions(result.new), sessions(result.withdrawn)) == (day(2), [day(2)], [day(3)])


def test_a_session_that_is_gone_is_evaluated_again_as_it_was_when_an_earlier_one_is_revised() -> None:
    a_rule, states, stored = run("ratio > 5", [4.0, 6.0, 4.0])
    now = samples([3.0, 6.0, 4.0])
    result = replayed(a_rule, states, [now[0], now[2]], stored)
    assert [state.session for state in result.states] == [day(1), day(2), day(3)]
    assert sessions(result.kept) == [day(2)]


def test_a_session_that_was_not_there_and_came_late_is_evaluated() -> None:
    a_rule = rule("ratio > 5")
    start = armed(a_rule)
    whole = samples([4.0, 6.0, 4.0])
    ran = evaluate(a_rule, start, [whole[0], whole[2]])
    result = replayed(a_rule, [start, *ran.states], whole, ran.events)
    assert (sessions(result.new), [state.session for state in result.states]) == ([day(2)], [day(2), day(3)])
    missing = [whole[0], sample(2, (None, 5.0)), whole[2]]
    assert replay_revised(a_rule, [start, *ran.states], missing, ran.events) is None


@pytest.mark.parametrize(
    ("text", "band", "value", "moved", "noticed"),
    [
        ("ratio > 5", 0.0, 5.00001, 4.99997, False),  # of the larger figure: 5e-5
        ("ratio > 5", 0.0, 5.00001, 4.99995, True),
        ("ratio > 0", 1.0, 0.000009, 0.0, False),  # near zero: of the band
        ("ratio > 0", 1.0, LEAST_REVISION, 0.0, False),
        ("ratio > 0", 1.0, 0.000011, 0.0, True),
        ("ratio > 0", 0.0, 0.000001, 0.0, True),
    ],
)
def test_jitter_is_no_revision(text: str, band: float, value: float, moved: float, noticed: bool) -> None:
    a_rule = rule(text)
    threshold = a_rule.conditions[0].target.value
    start = armed(a_rule, band)
    ran = evaluate(a_rule, start, samples([value], threshold))
    result = replay_revised(a_rule, [start, *ran.states], samples([moved], threshold), ran.events)
    assert (result is not None) is noticed


def test_a_moved_threshold_is_a_revision() -> None:
    a_rule, states, stored = run("ratio > sma 20", [4.0, 6.0])
    result = replayed(a_rule, states, samples([4.0, 6.0], 7.0), stored)
    assert (result.since, result.withdrawn) == (day(1), stored)


def test_one_condition_may_be_revised() -> None:
    a_rule = rule("ratio > 5 and gauge 200 < 4%")
    start = armed(a_rule, 1.0, 1.0)
    ran = evaluate(a_rule, start, [sample(1, (6.0, 5.0), (3.0, 4.0))])
    result = replayed(a_rule, [start, *ran.states], [sample(1, (NAN, 5.0), (5.0, 4.0))], ran.events)
    assert result.withdrawn == ran.events
    assert [figure.value for figure in result.states[0].figures] == [6.0, 5.0]


def test_nothing_before_a_fresh_start_is_replayed() -> None:
    a_rule, states, stored = run("ratio > 5", [4.0, 6.0, 7.0])
    resumed = replace(states[2], figures=())
    result = replayed(a_rule, [*states[:2], resumed, states[3]], samples([9.0, 4.0, 8.0]), stored)
    assert (result.since, result.withdrawn) == (day(3), ())


FIGURES = st.one_of(st.none(), st.integers(6, 14).map(lambda number: number / 2))
RULES = st.sampled_from(
    [
        "ratio > 5",
        "ratio <= 5 confirm 2",
        "ratio crosses 5 confirm 2",
        "ratio >= 5 cooldown 3",
        "ratio crosses 5 cooldown 2",
        "ratio < 5 once",
        "ratio > 5 confirm 3 once",
        "ratio > 5 rearm 4",
        "ratio > 5 remind 2 and back",
    ]
)


@given(
    RULES, st.lists(FIGURES, min_size=1, max_size=24), st.data(), st.sampled_from([0.0, 0.5, 1.0]), st.integers(0, 10)
)
def test_with_revisions_a_run_cut_anywhere_ends_as_one_run_on_the_final_figures(
    text: str, provisional: list[float | None], data: st.DataObject, band: float, depth: int
) -> None:
    """Evaluated day by day, every state through its JSON, while each of the last ten figures may change."""
    a_rule = rule(text)
    known: list[Sample] = []
    states = [armed(a_rule, band)]
    standing: list[Event] = []
    for number, value in enumerate(provisional, start=1):
        known.append(sample(number, (value, 5.0)))
        back = data.draw(st.integers(0, min(depth, number)), label="sessions back")
        if back:
            known[-back] = sample(number + 1 - back, (data.draw(st.integers(6, 14)) / 2, 5.0))
        _catch_up(Rule.from_json(a_rule.to_json()), states, known, standing)
    whole = evaluate(a_rule, armed(a_rule, band), known)
    assert standing == list(whole.events)
    assert states[-1] == whole.states[-1]


def _catch_up(a_rule: Rule, states: list[State], known: list[Sample], standing: list[Event]) -> None:
    """What a run of the bot does: replay what was revised, evaluate what is new, remember both."""
    kept = [State.from_json(state.to_json()) for state in states[-11:]]
    again = replay_revised(a_rule, kept, known, [event for event in standing if event.session > kept[0].session])
    if again is not None:
        keys = {event.key for event in (*again.withdrawn, *again.kept, *again.new)}
        standing[:] = [event for event in standing if event.key not in keys]
        standing += [*again.kept, *again.new]
        states[:] = [state for state in states if state.session < again.since] + list(again.states)
    ran = evaluate(a_rule, states[-1], known)
    states += ran.states
    standing += ran.events
    standing.sort(key=lambda event: event.session)


@given(RULES, st.lists(FIGURES, max_size=24), st.floats(-LEAST_REVISION, LEAST_REVISION))
def test_jitter_alone_never_changes_anything(text: str, values: list[float | None], jitter: float) -> None:
    a_rule, states, stored = run(text, values)
    moved = [None if value is None else value * (1 + 0.99 * jitter) for value in values]
    assert replay_revised(a_rule, states, samples(moved), stored) is None


def test_a_withdrawn_fire_has_the_figures_of_the_first_revised_session_and_its_own() -> None:
    a_rule, states, (event,) = run("ratio > 5 confirm 2", [4.0, 6.0, 7.0])
    result = replayed(a_rule, states, samples([4.0, 4.5, 4.8]), [event])
    (revision,) = result.revisions
    assert (revision.since, event.session) == (day(2), day(3))
    (before,), (after,), (now,) = revision.before, revision.after, revision.event
    assert (before.value, after.value, now.value) == (6.0, 4.5, 4.8)


SPLIT = {
    **REGISTRY,
    "ratio": dataclasses.replace(REGISTRY["ratio"], level_of_prices=True),
    "price": dataclasses.replace(REGISTRY["pe"], name="price", level_of_prices=True),
}


def factors(text: str, *share_factors: tuple[str, float]) -> tuple[float, ...]:
    return level_factors(parse_rule(text, SPLIT), SPLIT, DEFAULT_PAIR, share_factors)


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
    by = factors(before, ("IWM", 1 / factor))
    assert is_set_on_level(rule(before), by)
    assert str(rescaled_rule(rule(before), by)) == after


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
    by = factors(text, ("IWM", 2.0))
    assert not is_set_on_level(rule(text), by)
    assert (by == (0.5,)) is reads
    assert str(rescaled_rule(rule(text), by)) == text


def test_the_ratio_and_a_price_are_levels_of_prices() -> None:
    assert [name for name, metric in METRICS.items() if metric.level_of_prices] == ["ratio", "price"]


def test_a_split_lowers_its_funds_price_and_moves_the_ratio() -> None:
    text = "ratio > 5 and price iwm > 5x or price spy > 5x or gauge 200 > 5%"
    assert factors(text, ("IWM", 2.0)) == (0.5, 0.5, 1.0, 1.0)
    assert factors(text, ("SPY", 4.0), ("IWM", 2.0)) == (2.0, 0.5, 0.25, 1.0)


def test_a_state_goes_on_in_the_new_shares_and_forgets_the_figures_of_its_session() -> None:
    a_rule = rule("ratio > sma 20 and gauge 200 < 4% cooldown 9")
    run = evaluate(a_rule, armed(a_rule, 1.0, 2.0), [sample(1, (6.0, 5.0), (3.0, 4.0))])
    (state,) = run.states
    after = state_after_split(state, (0.5, 1.0))
    assert after == replace(state, bands=(0.5, 2.0), last_values=(3.0, 3.0), figures=())
    missing = replace(state, last_values=(None, 3.0))
    assert state_after_split(missing, (0.5, 1.0)).last_values == (None, 3.0)


@given(
    st.sampled_from(["ratio > sma 20", "ratio < low 20", "ratio crosses sma 9", "ratio > sma 20 cooldown 2"]),
    st.lists(st.one_of(st.none(), st.floats(4, 6)), min_size=1, max_size=30),
    st.sampled_from([0.5, 2.0, 0.25]),
    st.integers(0, 30),
)
def test_a_split_changes_no_fire(text: str, values: list[float | None], factor: float, at: int) -> None:
    a_rule = rule(text)
    before = [sample(number, (value, 5.0)) for number, value in enumerate(values, start=1)]
    after = [_times(sample, factor) for sample in before]
    start = armed(a_rule, 0.25)
    head = evaluate(a_rule, start, before[:at])
    states = [start, *head.states]
    states[-1] = state_after_split(states[-1], (factor,))
    assert replay_revised(a_rule, states, after, head.events) is None
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
        state_after_split(replace(armed(a_rule, 1.0, 2.0), session=day(1)), (0.5,))
