from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bot.alerts.engine import Event, Sample, Side, State, Status, evaluate
from bot.alerts.revision import JITTER, Replay, Revision, replay
from bot.alerts.rule import Rule
from tests.alerts.examples import armed, day, rule, sample, samples
from tests.alerts.strategies import THOUSAND

NAN = math.nan


def run(
    text: str, values: Sequence[float | None], band: float = 0.0
) -> tuple[Rule, list[State], tuple[Event, ...]]:
    """A rule evaluated on some values: it, the states from the first on, the events."""
    a_rule = rule(text)
    start = armed(a_rule, band)
    ran = evaluate(a_rule, start, samples(values))
    return a_rule, [start, *ran.states], ran.events


def revised(
    text: str, then: Sequence[float | None], now: Sequence[float | None], band: float = 0.0
) -> Replay | None:
    a_rule, states, told = run(text, then, band)
    return replay(a_rule, states, samples(now), told)


def sessions(events: Sequence[Event]) -> list[object]:
    return [event.session for event in events]


def test_fired_on_a_provisional_bar_revised_away_then_truly_crossed_two_days_later() -> None:
    a_rule, states, told = run("ratio > 5", [4.0, 6.0])
    assert sessions(told) == [day(2)]
    final = samples([4.0, 4.9, 4.8, 6.0])
    found = replay(a_rule, states, final[:2], told)
    assert found is not None
    assert (found.since, found.withdrawn, found.new, found.kept) == (day(2), told, (), ())
    assert found.states[-1].status is Status.ARMED
    rest = evaluate(a_rule, found.states[-1], final)
    assert sessions(rest.events) == [day(4)]
    # the revision is done with: the figures that were evaluated are the ones of now
    assert replay(a_rule, [*states[:2], *found.states], final[:2], ()) is None


def test_nothing_is_replayed_while_the_figures_are_those_that_were_evaluated() -> None:
    assert revised("ratio > 5", [4.0, 6.0, None, 4.0], [4.0, 6.0, None, 4.0]) is None
    assert revised("ratio > 5", [], [4.0, 6.0]) is None


def test_bars_past_the_mark_and_up_to_the_first_state_are_left_alone() -> None:
    a_rule, states, told = run("ratio > 5", [4.0, 6.0, 4.0])
    assert replay(a_rule, states[1:], samples([9.0, 6.0, 4.0, 6.0]), told) is None


def test_a_fire_that_appears_is_new_and_says_its_session() -> None:
    found = revised("ratio > 5", [4.0, 4.9, 4.0], [4.0, 5.1, 4.0])
    assert found is not None
    assert (sessions(found.new), found.withdrawn, found.kept) == ([day(2)], (), ())
    assert [state.status for state in found.states] == [Status.FIRED, Status.ARMED]
    assert found.new[0].figures[0].value == 5.1


def test_a_fire_that_stays_is_kept_with_its_new_figures() -> None:
    found = revised("ratio > 5", [4.0, 6.0, 4.0, 6.0], [4.0, 7.0, 4.0, 6.0])
    assert found is not None
    assert (sessions(found.kept), found.withdrawn, found.new) == ([day(2), day(4)], (), ())
    assert found.kept[0].value == 7.0
    assert found.since == day(2)
    assert len(found.states) == 3


def test_events_before_the_revision_stand() -> None:
    found = revised("ratio > 5", [6.0, 4.0, 6.0], [6.0, 4.0, 4.0])
    assert found is not None
    assert (sessions(found.withdrawn), found.kept) == ([day(3)], ())
    assert [state.session for state in found.states] == [day(3)]


def test_a_fire_moves_with_its_confirmation() -> None:
    found = revised("ratio > 5 confirm 2", [6.0, 6.0, 6.0], [4.0, 6.0, 6.0])
    assert found is not None
    assert (sessions(found.withdrawn), sessions(found.new)) == ([day(2)], [day(3)])


def test_the_other_side_of_crosses_is_another_fire() -> None:
    found = revised("ratio crosses 5", [5.0, 6.0], [5.0, 4.0])
    assert found is not None
    assert [event.ops for event in found.withdrawn] == [(">",)]
    assert [event.ops for event in found.new] == [("<",)]


def test_once_is_active_again_when_its_fire_is_withdrawn() -> None:
    a_rule, states, told = run("ratio > 5 once", [4.0, 6.0, 7.0, 8.0])
    assert states[-1].done
    found = replay(a_rule, states, samples([4.0, 5.0, 4.0, 6.0]), told)
    assert found is not None
    assert (found.withdrawn, found.new) == (told, ())
    assert not found.states[-1].done
    assert found.states[-1].session == day(2)  # what came after the fire is evaluated next
    assert sessions(evaluate(a_rule, found.states[-1], samples([4.0, 5.0, 4.0, 6.0])).events) == [day(4)]


def test_a_muted_fire_that_is_not_muted_any_more_is_new() -> None:
    then, now = [6.0, 4.0, 6.0], [4.0, 4.0, 6.0]
    found = revised("ratio > 5 cooldown 5", then, now)
    assert found is not None
    assert [(event.session, event.muted) for event in found.withdrawn] == [(day(1), False)]
    assert [(event.session, event.muted) for event in found.new] == [(day(3), False)]
    back = revised("ratio > 5 cooldown 5", now, then)
    assert back is not None
    assert [(event.session, event.muted) for event in back.new] == [(day(1), False)]
    assert [(event.session, event.muted) for event in back.kept] == [(day(3), True)]


@pytest.mark.parametrize("gone", [None, NAN, math.inf])
def test_a_figure_that_is_missing_now_withdraws_nothing(gone: float | None) -> None:
    assert revised("ratio > 5", [4.0, 6.0, 4.0], [4.0, gone, 4.0]) is None
    found = revised("ratio > 5", [4.0, 6.0, 4.0], [3.0, gone, 4.0])
    assert found is not None
    assert (sessions(found.kept), found.withdrawn) == ([day(2)], ())


def test_a_session_that_is_gone_altogether_withdraws_nothing() -> None:
    a_rule, states, told = run("ratio > 5", [4.0, 6.0])
    assert replay(a_rule, states, samples([4.0]), told) is None


def test_the_first_session_after_the_first_kept_state_is_replayed_too() -> None:
    a_rule, states, told = run("ratio > 5", [4.0, 4.0, 6.0, 4.0])
    found = replay(a_rule, states[1:], samples([4.0, 5.5, 6.0, 4.0]), told)
    assert found is not None
    assert (found.since, sessions(found.new), sessions(found.withdrawn)) == (day(2), [day(2)], [day(3)])


def test_a_session_that_is_gone_is_evaluated_again_as_it_was_when_an_earlier_one_is_revised() -> None:
    a_rule, states, told = run("ratio > 5", [4.0, 6.0, 4.0])
    now = samples([3.0, 6.0, 4.0])
    found = replay(a_rule, states, [now[0], now[2]], told)
    assert found is not None
    assert [state.session for state in found.states] == [day(1), day(2), day(3)]
    assert sessions(found.kept) == [day(2)]


def test_a_figure_that_was_missing_and_came_late_is_evaluated() -> None:
    found = revised("ratio > 5", [4.0, None, 4.0], [4.0, 6.0, 4.0])
    assert found is not None
    assert sessions(found.new) == [day(2)]


def test_a_session_that_was_not_there_and_came_late_is_evaluated() -> None:
    a_rule = rule("ratio > 5")
    start = armed(a_rule)
    whole = samples([4.0, 6.0, 4.0])
    ran = evaluate(a_rule, start, [whole[0], whole[2]])
    found = replay(a_rule, [start, *ran.states], whole, ran.events)
    assert found is not None
    assert (sessions(found.new), [state.session for state in found.states]) == ([day(2)], [day(2), day(3)])
    missing = [whole[0], sample(2, (None, 5.0)), whole[2]]
    assert replay(a_rule, [start, *ran.states], missing, ran.events) is None


@pytest.mark.parametrize(
    ("text", "band", "value", "moved", "noticed"),
    [
        ("ratio > 5", 0.0, 5.00001, 4.99997, False),  # of the larger figure: 5e-5
        ("ratio > 5", 0.0, 5.00001, 4.99995, True),
        ("ratio > 0", 1.0, 0.000009, 0.0, False),  # near zero: of the band
        ("ratio > 0", 1.0, JITTER, 0.0, False),
        ("ratio > 0", 1.0, 0.000011, 0.0, True),
        ("ratio > 0", 0.0, 0.000001, 0.0, True),
    ],
)
def test_jitter_is_no_revision(text: str, band: float, value: float, moved: float, noticed: bool) -> None:
    a_rule = rule(text)
    threshold = a_rule.conditions[0].target.value
    start = armed(a_rule, band)
    ran = evaluate(a_rule, start, samples([value], threshold))
    found = replay(a_rule, [start, *ran.states], samples([moved], threshold), ran.events)
    assert (found is not None) is noticed


def test_jitter_turns_nothing_when_another_session_is_revised() -> None:
    found = revised("ratio > 5", [4.0, 5.00001], [3.0, 5.0])
    assert found is not None
    assert sessions(found.kept) == [day(2)]


def test_a_moved_threshold_is_a_revision() -> None:
    a_rule, states, told = run("ratio > sma 20", [4.0, 6.0])
    found = replay(a_rule, states, samples([4.0, 6.0], 7.0), told)
    assert found is not None
    assert (found.since, found.withdrawn) == (day(1), told)


def test_one_leg_may_be_revised() -> None:
    a_rule = rule("ratio > 5 and gauge 200 < 4%")
    start = armed(a_rule, 1.0, 1.0)
    ran = evaluate(a_rule, start, [sample(1, (6.0, 5.0), (3.0, 4.0))])
    found = replay(a_rule, [start, *ran.states], [sample(1, (NAN, 5.0), (5.0, 4.0))], ran.events)
    assert found is not None
    assert found.withdrawn == ran.events
    assert [leg.value for leg in found.states[0].figures] == [6.0, 5.0]


def test_nothing_before_a_fresh_start_is_replayed() -> None:
    a_rule, states, told = run("ratio > 5", [4.0, 6.0, 7.0])
    resumed = replace(states[2], figures=())
    found = replay(a_rule, [*states[:2], resumed, states[3]], samples([9.0, 4.0, 8.0]), told)
    assert found is not None
    assert (found.since, found.withdrawn) == (day(3), ())


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
    ]
)


@THOUSAND
@given(
    RULES,
    st.lists(FIGURES, min_size=1, max_size=24),
    st.data(),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.integers(0, 10),
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
    again = replay(a_rule, kept, known, [event for event in standing if event.session > kept[0].session])
    if again is not None:
        keys = {
            (event.session, event.kind, event.ops) for event in (*again.withdrawn, *again.kept, *again.new)
        }
        standing[:] = [each for each in standing if (each.session, each.kind, each.ops) not in keys]
        standing += [*again.kept, *again.new]
        states[:] = [state for state in states if state.session < again.since] + list(again.states)
    ran = evaluate(a_rule, states[-1], known)
    states += ran.states
    standing += ran.events
    standing.sort(key=lambda event: event.session)


@given(RULES, st.lists(FIGURES, max_size=24), st.floats(-JITTER, JITTER))
def test_what_is_only_jitter_never_changes_anything(
    text: str, values: list[float | None], jitter: float
) -> None:
    a_rule, states, told = run(text, values)
    moved = [None if value is None else value * (1 + 0.99 * jitter) for value in values]
    assert replay(a_rule, states, samples(moved), told) is None


def test_a_withdrawn_fire_has_the_figures_of_the_first_revised_session_and_its_own() -> None:
    rule, states, (event,) = run("ratio > 5 confirm 2", [4.0, 6.0, 7.0])
    replayed = replay(rule, states, samples([4.0, 4.5, 4.8]), [event])
    assert replayed is not None
    revision = Revision.between(states, replayed, event)
    assert (revision.since, event.session) == (day(2), day(3))
    (before,), (after,), (now,) = revision.before, revision.after, revision.event
    assert (before.value, after.value, now.value) == (6.0, 4.5, 4.8)


def test_a_withdrawn_fire_without_a_replayed_session_keeps_its_figures() -> None:
    _, states, (event,) = run("ratio > 5", [4.0, 6.0])
    nothing = Replay(day(5), (), (event,), (), ())
    assert Revision.between(states, nothing, event) == Revision(day(5), (), (), states[-1].figures)
    other = replace(event, figures=())
    assert Revision.between(states, nothing, other).event == states[-1].figures
    assert Revision.between([], nothing, event) == Revision(day(5), (), (), event.figures)


def test_the_states_replayed_go_through_json() -> None:
    found = revised("ratio > 5", [4.0, NAN, 6.0], [4.5, NAN, 6.0])
    assert found is not None
    assert [State.from_json(state.to_json()) for state in found.states] == list(found.states)
    assert found.states[0].sides == (Side(),)


def test_sessions_of_another_rule_are_refused() -> None:
    a_rule, states, told = run("ratio > 5", [4.0, 6.0])
    other = [sample(2, (6.0, 5.0), (1.0, 2.0))]
    with pytest.raises(ValueError, match="argument 2 is longer"):
        replay(a_rule, states, other, told)
