from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pytest
from msgspec.structs import replace

from bot.alerts.batch import SESSIONS_KEPT, Batch, Progress, any_figures, decoded, encoded, merge_samples
from bot.alerts.engine import State, evaluate, first_state
from bot.alerts.series import SampleSeries, subject_of_rule
from tests.alerts.examples import armed, day, rule, sample, samples, waiting

if TYPE_CHECKING:
    from bot.alerts.engine import Sample
    from bot.alerts.rule import Rule

Values = Sequence[float | None]
QUIET: Values = [4.0] * 12  # sessions 1 to 12, all evaluated
LAST = len(QUIET)
RULES = (
    "ratio > 5",
    "ratio >= 9",
    "ratio < 2",
    "ratio crosses 6",
    "ratio > 5 rearm 3",
    "ratio > 5 confirm 2",
    "ratio > 5 cooldown 9",
    "ratio > 9 until 2020-01-14",
)


def series(values: Values, first: int = 1) -> SampleSeries:
    """Samples of the batch's subject, in which an amount is 0."""
    return SampleSeries.of(samples(values, 0.0, first))


def evaluated(a_rule: Rule, values: Values) -> State:
    """The state after some sessions, of a rule that was made before them."""
    amount = a_rule.conditions[0].target.value
    start = first_state(a_rule, samples([4.0], amount, 0), day(0))
    return evaluate(a_rule, start, samples(values, amount)).states[-1]


def batch(values: Values = QUIET) -> Batch:
    """A batch of RULES, numbered from 1 on, that is evaluated on these values."""
    batch = Batch(subject_of_rule(rule(RULES[0])), day(len(values)), list(series(values)))
    for number, text in enumerate(RULES, start=1):
        batch.put(number, rule(text), evaluated(rule(text), values))
    return batch


def progress(a_batch: Batch, values: Values) -> Progress:
    return a_batch.progress(series(values), lambda: [0.0])


@pytest.mark.parametrize(
    ("old", "new", "turning"),
    [
        (QUIET, [], set()),
        (QUIET, [4.0, None, 4.9], set()),
        (QUIET, [5.0], {1, 5, 6, 7}),  # `step` decides whether 5 is past 5
        (QUIET, [2.0], {3}),
        (QUIET, [6.0], {1, 4, 5, 6, 7}),  # one side re-arms
        (QUIET, [4.0, 9.0], {1, 2, 4, 5, 6, 7, 8}),
        ([*QUIET, 5.5], [5.5], {6, 7}),  # to be confirmed, cooling down
        ([*QUIET, 5.5], [5.0], {1, 6, 7}),
        ([*QUIET, 5.5], [3.0], {1, 5, 6, 7}),
        ([*QUIET, 5.5, 5.5], [5.5], {7}),
        ([*QUIET, 5.5, 5.5], [5.5, None], {7}),
        ([*QUIET, 6.5], [6.5], {6, 7}),
        ([*QUIET, 6.5], [6.0], {4, 6, 7}),
    ],
)
def test_only_alerts_that_new_sessions_can_turn_are_chosen(old: Values, new: Values, turning: set[int]) -> None:
    today = day(12)  # before the last day of the eighth
    assert progress(batch(old), [*old, *new]).turning(today, any_figures=True) == turning


def test_an_alert_is_chosen_once_its_last_day_has_passed_and_while_it_waits_for_figures() -> None:
    a_batch = batch()
    assert progress(a_batch, QUIET).turning(dt.date(2020, 1, 14), any_figures=True) == set()
    assert progress(a_batch, QUIET).turning(dt.date(2020, 1, 15), any_figures=True) == {8}
    assert progress(a_batch, [*QUIET, 2.0]).turning(dt.date(2020, 1, 15), any_figures=True) == {3, 8}
    a_batch.put(9, rule(RULES[0]), waiting(rule(RULES[0])))
    assert a_batch.waits
    assert progress(a_batch, QUIET).turning(day(12), any_figures=False) == set()
    assert progress(a_batch, QUIET).turning(day(12), any_figures=True) == {9}
    a_batch.remove(9)
    assert not a_batch.waits


def test_a_band_holds_an_alert_that_has_fired() -> None:
    a_batch, a_rule = batch(), rule(RULES[0])
    state = evaluate(a_rule, armed(a_rule, 0.5), samples([5.5])).states[-1]
    a_batch.put(1, a_rule, state)
    assert 1 not in progress(a_batch, [*QUIET, 4.6]).turning(day(LAST), any_figures=True)
    assert 1 in progress(a_batch, [*QUIET, 4.5]).turning(day(LAST), any_figures=True)
    state = evaluate(reminding := rule("ratio > 5 remind 3"), armed(a_rule, 0.5), samples([5.5])).states[-1]
    a_batch.put(1, reminding, state)
    assert 1 in progress(a_batch, [*QUIET, 4.6]).turning(day(LAST), any_figures=True)


def test_each_condition_turns_an_alert_back_and_is_revised() -> None:
    a_rule = rule("ratio > 5 and gauge 200 < 4%")
    old = sample(1, (6.0, 0.0), (3.0, 0.0))
    a_batch = Batch(subject_of_rule(a_rule), day(1), [old])
    state = evaluate(a_rule, armed(a_rule, 0.5, 0.5), [sample(1, (6.0, 5.0), (3.0, 4.0))]).states[-1]
    a_batch.put(1, a_rule, state)

    def current(*some: Sample) -> Progress:
        return a_batch.progress(SampleSeries.of(some), lambda: [0.0, 0.0])

    for ratio, gauge, turning in ((4.0, 3.0, {1}), (6.0, 5.0, {1}), (6.0, 3.0, set())):
        new = current(old, sample(2, (ratio, 0.0), (gauge, 0.0)))
        assert new.turning(day(2), any_figures=True) == turning
    assert current(sample(1, (5.5, 0.0), (3.0, 0.0))).since == day(1)
    assert current(sample(1, (6.0, 0.0), (3.5, 0.0))).since == day(1)


def test_a_state_of_another_rule_is_refused() -> None:
    a_rule = rule(RULES[0])
    for state in (armed(rule("ratio crosses 5")), armed(a_rule, 0.0, 0.0), replace(armed(a_rule), bands=())):
        with pytest.raises(ValueError, match="zip"):
            batch().put(1, a_rule, state)


def test_of_a_new_batch_and_of_a_short_one_all_sessions_count() -> None:
    new = Batch(subject_of_rule(rule(RULES[0])), day(3)).progress(series([4.0] * 5), lambda: [0.0])
    assert ([bar.session for bar in new.samples], new.first) == ([day(n) for n in range(1, 6)], 3)
    assert progress(batch([4.0] * 3), [4.5, 4.0, 4.0]).since == day(1)


def test_alerts_that_are_added_changed_and_removed_do_not_disturb_each_other() -> None:
    a_batch = Batch(subject_of_rule(rule(RULES[0])), day(LAST), list(series(QUIET)))
    assert a_batch.is_empty
    levels = {number: 10 + number for number in range(1, 40)}
    for number, level in levels.items():
        a_batch.put(number, rule(f"ratio > {level}"), armed(rule(f"ratio > {level}")))
    for number in (*range(1, 40, 3), 99):
        a_batch.remove(number)
        levels.pop(number, None)
    levels |= {2: 30, 3: 31, 50: 32}
    for number, text in ((2, "ratio crosses 30"), (3, "ratio >= 31"), (50, "ratio crosses 32")):
        a_batch.put(number, rule(text), evaluated(rule(text), QUIET))
    assert a_batch.alert_ids == set(levels)
    for value in (12.0, 29.5, 31.0, 32.0, 50.0):
        turning = progress(a_batch, [*QUIET, value]).turning(day(LAST), any_figures=True)
        assert turning == {number for number, level in levels.items() if level <= value}


@pytest.mark.parametrize(
    ("now", "since", "revised"),
    [
        (QUIET, None, set()),
        ([*QUIET[:9], 5.5, *QUIET[10:]], 10, {1, 5, 6, 7}),
        ([*QUIET[:11], 4.5], 12, set()),
        ([*QUIET[:11], None], None, set()),
        ([*QUIET[:11], 4.00003], None, set()),
        ([*QUIET[:11], 4.00005], 12, set()),
        ([9.0, *QUIET[1:]], None, set()),  # before those that can be revised
    ],
)
def test_revised_sessions_choose_alerts_that_they_can_turn(now: Values, since: int | None, revised: set[int]) -> None:
    a_batch = batch()
    for number, text in enumerate(RULES, start=1):  # turned long ago
        a_batch.put(number, rule(text), replace(evaluated(rule(text), QUIET), session=day(1)))
    a_progress = progress(a_batch, now)
    assert a_progress.since == (since and day(since))
    assert a_progress.revised() == revised
    a_batch.put(3, rule(RULES[2]), evaluated(rule(RULES[2]), QUIET))  # turned on the last session
    assert progress(a_batch, now).revised() == (revised | {3} if since else set())


def test_the_figures_of_the_last_sessions_are_kept_and_the_last_one_of_each_condition() -> None:
    a_batch = batch()
    assert a_batch.begin == day(LAST + 1 - SESSIONS_KEPT)
    last, figures = progress(a_batch, [*QUIET, 4.0, 4.0]).after
    assert (last, figures.day(0), len(figures)) == (day(14), day(14 + 1 - SESSIONS_KEPT), SESSIONS_KEPT)
    last, figures = progress(a_batch, [*QUIET, *[None] * 12]).after
    assert (last, figures.day(0), len(figures)) == (day(24), day(12), 13)
    for number in range(1, len(RULES) + 1):
        a_batch.remove(number)
    assert progress(a_batch, [*QUIET, 4.0]).after[0] == day(12)


def test_merged_samples_are_the_old_ones_where_nothing_is_revised_and_new_days_with_figures() -> None:
    old = series([4.0, None, 4.0, 4.0])
    days = np.array([day(number) for number in (1, 2, 3, 4, 5, 6)], dtype="datetime64[D]")
    new = SampleSeries(days, [np.array([4.0, 5.0, np.nan, 4.0, 6.0, np.nan])], [np.zeros(6)])
    merged, since = merge_samples(old, new, lambda: [0.0])
    assert [bar.figures[0].value for bar in merged] == [4.0, 5.0, 4.0, 4.0, 6.0]
    assert since == day(2)
    assert decoded(encoded(merged)) == list(merged)
    assert any_figures(merged)
    assert not any_figures(series([None, None]))
