from __future__ import annotations

import dataclasses
import datetime as dt
import math
import random
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.backtest import timings, waits
from benchmarks.metrics import made_up_market
from bot.alerts.backtest import Outcome, bands_before, fires_without_band, frequency, outcomes
from bot.alerts.batch import evaluate_series, has_answer
from bot.alerts.engine import ConditionValue, Sample, Side, State, Status, default_bands, evaluate, step
from bot.alerts.grammar import parse_rule
from bot.alerts.series import Histories, SampleSeries
from bot.analytics.metrics import METRICS
from tests.alerts.examples import armed, day, rule, sample, samples

if TYPE_CHECKING:
    from bot.alerts.engine import Event
    from bot.alerts.rule import Rule


def test_fires_are_counted_with_their_dates() -> None:
    fires = frequency(rule("ratio > 5"), samples([4.0, 6.0, 4.0, 6.0, 6.0]))
    assert fires.count == 2
    assert fires.dates == (day(2), day(4))
    assert (fires.since, fires.until) == (day(2), day(5))


def test_what_was_already_true_at_the_start_is_no_fire() -> None:
    assert frequency(rule("ratio > 5"), samples([6.0, 6.0, 4.0, 6.0])).dates == (day(4),)


def test_counting_starts_after_the_first_session_that_says_where_the_rule_stands() -> None:
    fires = frequency(rule("ratio > 5"), samples([None, None, 6.0, 4.0, 6.0]))
    assert (fires.since, fires.dates) == (day(4), (day(5),))


def test_without_a_session_to_evaluate_nothing_is_claimed() -> None:
    for some in ([], samples([None, None]), samples([6.0])):
        fires = frequency(rule("ratio > 5"), some)
        assert (fires.dates, fires.since, fires.until) == ((), None, None)
        assert fires_without_band(rule("ratio > 5"), some) == 0


def dated(*bars: tuple[str, float | None]) -> list[Sample]:
    """Samples of one condition, with 5 as its threshold, on these days."""
    return [Sample(dt.date.fromisoformat(day), (ConditionValue(value, 5.0),)) for day, value in bars]


def test_only_the_last_five_years_count() -> None:
    some = dated(("2015-06-12", 4.0), ("2015-06-15", 6.0), ("2015-06-16", 4.0), ("2020-06-15", 6.0))
    fires = frequency(rule("ratio > 5"), some)
    assert (fires.since, fires.dates) == (some[2].session, (some[3].session,))
    assert frequency(rule("ratio > 5"), some, years=6).dates == (some[1].session, some[3].session)
    assert fires_without_band(rule("ratio > 5"), some) == 1
    assert fires_without_band(rule("ratio > 5"), some, years=6) == 2


def test_once_and_until_are_left_aside_and_muted_fires_do_not_count() -> None:
    some = samples([4.0, 6.0, 4.0, 6.0, 4.0, 4.0, 6.0])
    assert frequency(rule("ratio > 5 once until 2020-01-02"), some).dates == (day(2), day(4), day(7))
    assert frequency(rule("ratio > 5 cooldown 3"), some).dates == (day(2), day(7))


def test_the_band_of_each_fire_is_made_of_the_values_before_it() -> None:
    values: list[float | None] = [4.0, 6.0] * 50
    assert frequency(rule("ratio > 5"), samples(values)).count == 50
    wide: list[float | None] = [100.0, -100.0] * 50
    assert frequency(rule("ratio > 5"), samples([*values, *wide])).count == 99
    assert frequency(rule("ratio > 5"), samples([*wide, *values])).count == 50  # to re-arm it takes −20


@pytest.mark.parametrize(("low", "high"), [(-9.0, 9.0), (-0.1, 9.0), (0.0, 9.0), (-9.0, 0.1)])
@pytest.mark.parametrize("text", ["ratio > 5", "ratio < 5", "ratio crosses 5"])
def test_the_bands_of_a_series_are_those_of_each_beginning(text: str, low: float, high: float) -> None:
    distances = np.clip(np.random.default_rng(1).normal(size=320), low, high)
    some = samples([None if number % 7 == 3 else 5 + float(x) for number, x in enumerate(distances)])
    (bands,) = bands_before(rule(text), SampleSeries.of(some))
    counts = range(0, len(some), 19)
    assert [bands[count] for count in counts] == pytest.approx(
        [default_bands(rule(text), some[:count])[0] for count in counts]
    )


@given(
    st.sampled_from(["ratio > 5", "ratio crosses 5 confirm 2", "ratio < 5 cooldown 3", "ratio > 5 rearm 4"]),
    st.integers(0, 99),
    st.integers(1, 200),
)
def test_what_comes_later_changes_no_fire(text: str, seed: int, cut: int) -> None:
    walk = np.random.default_rng(seed).normal(size=200).cumsum() / 3 + 5
    whole, early = (frequency(rule(text), samples(list(part))).dates for part in (walk, walk[:cut]))
    assert early == tuple(session for session in whole if session <= day(cut))


def test_years_are_counted_back_from_the_last_figure() -> None:
    some = dated(("2014-01-02", 4.0), ("2015-06-15", 4.0), ("2015-06-16", 6.0), ("2020-06-15", 6.0))
    late = Sample(dt.date(2020, 8, 14), (ConditionValue(1.0, None),))
    fires = frequency(rule("ratio > 5"), [*some, *dated(("2020-07-15", None)), late])
    first, last = some[2].session, some[3].session
    assert (fires.since, fires.until, fires.dates) == (first, last, (first,))


def test_counting_starts_when_every_condition_has_had_a_figure() -> None:
    a_rule = rule("ratio > 5 and gauge 200 > 5%")
    early = [sample(number, (4.0, 5.0), (None, 5.0)) for number in range(1, 6)]
    some = [*early, sample(6, (6.0, 5.0), (4.0, 5.0)), sample(7, (6.0, 5.0), (6.0, 5.0))]
    fires = frequency(a_rule, some)
    assert (fires.since, fires.dates) == (day(7), (day(7),))
    assert frequency(a_rule, early).since is None
    assert fires_without_band(a_rule, early) == 0
    # the last condition's first figure on a session that another lacks says nothing yet
    late = [*early, sample(6, (None, 5.0), (6.0, 5.0)), *some[5:]]
    late = [msgspec.structs.replace(bar, session=day(number)) for number, bar in enumerate(late, start=1)]
    assert frequency(a_rule, late).since == day(8)


def test_one_condition_with_a_figure_makes_a_session_the_datas_end() -> None:
    a_rule = rule("ratio > 5 and gauge 200 > 5%")
    some = [sample(1, (4.0, 5.0), (6.0, 5.0)), sample(2, (6.0, 5.0), (6.0, 5.0)), sample(3, (4.0, 5.0), (None, 5.0))]
    assert frequency(a_rule, some).until == day(3)
    assert frequency(a_rule, some).dates == (day(2),)


def test_fires_without_the_band_are_counted_without_a_level_too() -> None:
    values: list[float | None] = [4.0, *([6.0, 4.5] * 5), 100.0, -100.0, 6.0]
    assert fires_without_band(rule("ratio > 5"), samples(values)) == 7
    assert fires_without_band(rule("ratio > 5 rearm 0"), samples(values)) == 7
    assert frequency(rule("ratio > 5 rearm 0"), samples(values)).count == 2
    assert fires_without_band(rule("ratio > 5 once until 2020-01-02"), samples(values)) == 7
    assert fires_without_band(rule("ratio > 5 cooldown 100"), samples(values)) == 1
    values = [*[4.0, 6.0] * 40, *[4.9, 6.0] * 5]  # the default band asks for less than 4.9
    assert frequency(rule("ratio > 5"), samples(values)).count == 40
    assert fires_without_band(rule("ratio > 5"), samples(values)) == 45


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
    "ratio > 5 cooldown 4 remind 2 and back",
    "ratio < 5 and back once",
)
TWO = (
    "ratio > 5 and gauge 200 < 5%",
    "ratio crosses 5 and gauge 200 >= 5% cooldown 2",
    "ratio crosses 5 and ratio crosses 4 confirm 2",
    "ratio > 5 or gauge 200 < 5%",
    "ratio > 5 and gauge 200 < 5% or gauge 200 >= 6% confirm 2",
)


@pytest.mark.parametrize("band", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("text", [*ONE, *TWO])
def test_a_series_is_evaluated_as_each_of_its_samples_over_a_year(text: str, band: float) -> None:
    """Some years that are the same each time, begun at every tenth of their states."""
    a_rule = rule(text)
    width = len(a_rule.conditions)
    values, levels = [None, math.nan, 3.5, 4.0, 4.5, 5.0, 5.5, 6.0, 6.5], [5.0, 5.0, 5.0, 4.5, None]
    for seed in range(2):
        chance = random.Random(seed)
        some = [
            Sample(
                day(number), tuple(ConditionValue(chance.choice(values), chance.choice(levels)) for _ in range(width))
            )
            for number in range(1, 81)
        ]
        first = armed(a_rule, *([band] * width))
        for state in (first, *evaluate(a_rule, first, some).states[::10]):
            run = evaluate(a_rule, state, some)
            last = (run.states or (state,))[-1]
            assert evaluate_series(a_rule, state, SampleSeries.of(some))[:2] == (last, run.events)


def test_a_cooldown_counts_the_evaluated_sessions_that_are_passed_over() -> None:
    a_rule = rule("ratio > 5 cooldown 9")
    some = samples([4.0, 6.0, 6.0, None, 6.0, 6.0])
    state, (event,), *_ = evaluate_series(a_rule, armed(a_rule), SampleSeries.of(some))
    assert (state.cooling, event.session) == (6, day(2))
    # ... from where it stands, and never below none
    tail = SampleSeries.of(samples([6.0] * 9, first=7))
    assert evaluate_series(a_rule, state, tail[:4]).state.cooling == 2
    assert evaluate_series(a_rule, state, tail).state.cooling == 0


@pytest.mark.parametrize("values", [[6.0, 4.0, 6.0], [6.0, 4.0, 6.0, None], [6.0, 4.0, 6.0, None, None, None]])
def test_a_muted_fire_is_reported_with_the_first_session_that_answers(values: list[float | None]) -> None:
    a_rule = rule("ratio > 5 cooldown 2")
    some = samples([*values])
    state, events, *_ = evaluate_series(a_rule, armed(a_rule), SampleSeries.of(some))
    assert (state.session, state.sides[0].unreported) == (day(len(values)), True)
    assert [event.muted for event in events] == [False, True]
    late = samples([None, 6.0, 6.0, 6.0], first=len(values) + 1)
    run = evaluate(a_rule, state, late)
    assert evaluate_series(a_rule, state, SampleSeries.of(late))[:2] == (run.states[-1], run.events)
    assert [event.kind for event in run.events] == ["still"]


def test_a_series_gives_the_samples_it_was_made_of() -> None:
    some = [sample(1, (1.0, 2.0), (3.0, None)), sample(2, (None, 5.0), (math.nan, math.inf))]
    series = SampleSeries.of(some)
    assert list(series) == [some[0], sample(2, (None, 5.0), (None, None))]
    assert list(series[1:]) == [series[1]]
    assert series[-1] == series[1]
    assert SampleSeries.of(series) is series
    assert (list(SampleSeries.of([])), SampleSeries.of([]).after(day(1))) == ([], 0)
    assert (series.after(day(0)), series.after(day(1)), series.after(day(9))) == (0, 1, 2)


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
def test_a_session_answers_by_any_side(legs: tuple[tuple[float, float], tuple[float, float]], expected: bool) -> None:
    a_rule = rule("ratio > 5 and gauge 200 < 4%")
    assert has_answer(a_rule, SampleSeries.of([sample(1, *legs)])).tolist() == [expected]


def test_a_state_of_another_rule_is_not_swept() -> None:
    a_rule = rule("ratio crosses 5")
    series = SampleSeries.of(samples([4.0, 5.0]))
    for change in ({"bands": ()}, {"bands": (0.0, 0.0)}):
        with pytest.raises(ValueError, match="argument 2 is"):
            evaluate_series(a_rule, msgspec.structs.replace(armed(a_rule), **change), series)
    # none of these sides could turn, so that only their number tells
    waiting = msgspec.structs.replace(armed(a_rule), sides=(Side(Status.FIRED),) * 3)
    with pytest.raises(ValueError, match="argument 2 is longer"):
        evaluate_series(a_rule, waiting, SampleSeries.of(samples([5.0, 5.0])))


def test_samples_of_different_rules_are_no_series() -> None:
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        SampleSeries.of([sample(1, (4.0, 5.0), (1.0, 2.0)), sample(2, (4.0, 5.0))])
    some = SampleSeries.of(samples([4.0, 5.0]))
    with pytest.raises(ValueError, match="argument 2 is longer"):
        SampleSeries(some.days, some.observed, some.thresholds * 2)[0]


SESSIONS = pd.bdate_range("2020-01-01", periods=8)
RATIO = pd.Series([1.0, 1.1, 1.0, 0.5, 1.0, 2.0, 1.0, 1.0], index=SESSIONS)


def nth(position: int) -> dt.date:
    session: dt.date = SESSIONS[position].date()
    return session


@pytest.mark.parametrize(
    ("fires", "horizon", "since", "outcome"),
    [
        # from the close of the fire
        ([2], 1, 0, (1, -50.0, 0.0, 0.0)),
        # over all fires: from 1.0 to 1.0, from 1.0 to 1.0, from 0.5 to 2.0
        ([0, 2, 3], 2, 0, (3, 0.0, 100 / 3, 0.0)),
        # a fire too near the end is not counted
        ([6], 2, 0, (0, None, None, 0.0)),
        # the comparison is any session of the span only: +100, +100, -50, 0
        ([], 1, 3, (0, None, None, 50.0)),
    ],
)
def test_outcomes_of_fires(
    fires: list[int], horizon: int, since: int, outcome: tuple[int, float | None, float | None, float]
) -> None:
    (result,) = outcomes([nth(position) for position in fires], RATIO, nth(since), 0, (horizon,))
    expected = Outcome(horizon, *outcome)
    assert dataclasses.astuple(result)[:5] == pytest.approx(dataclasses.astuple(expected)[:5])


def test_moves_are_measured_from_the_close_at_which_the_fire_was_known() -> None:
    (result,) = outcomes([nth(2), nth(3)], RATIO, nth(0), 1, (1,))
    assert result.n == 2
    assert (result.median, result.lower, result.upper) == (100.0, 100.0, 100.0)  # 0.5 to 1.0, 1.0 to 2.0
    (missing,) = outcomes([nth(2), nth(3)], RATIO.where(RATIO != 0.5), nth(0), 1, (1,))
    assert missing.n == 1


def test_quartiles_and_the_worst_of_all_paths() -> None:
    ratio = pd.Series([1.0, 1.1, 0.7, 1.2, 1.0, 0.9, 1.3, 1.0, 1.0, 2.0], pd.bdate_range("2020-01-01", periods=10))
    dates = [session.date() for session in ratio.index[:5]]
    (result,) = outcomes(dates, ratio, dates[0], 0, (3,))
    moves = [20.0, 100 * (1.0 / 1.1 - 1), 100 * (0.9 / 0.7 - 1), 100 * (1.3 / 1.2 - 1), 0.0]
    assert (result.lower, result.median, result.upper) == pytest.approx(tuple(np.percentile(moves, (25, 50, 75))))
    assert result.worst == pytest.approx(100 * (0.7 / 1.1 - 1))


@pytest.mark.parametrize(("fires", "shifts"), [([9], 2), ([1], 29), ([9, 19], 2), ([3, 9], 5)])
def test_luck_is_the_share_of_shifted_fires_that_do_as_well(fires: list[int], shifts: int) -> None:
    """A ratio that rises on every tenth session only, as its outcomes are by the session after each fire."""
    rises = np.where(np.arange(1, 31) % 10 == 0, 1.1, 1.0)
    ratio = pd.Series(np.append(1.0, rises.cumprod()), pd.bdate_range("2020-01-01", periods=31))
    dates = [ratio.index[position].date() for position in fires]
    (result,) = outcomes(dates, ratio, ratio.index[0].date(), 0, (1,))
    assert result.luck == pytest.approx(100 * shifts / 29)


def test_half_a_percent_is_a_rise() -> None:
    ratio = pd.Series([1.0, 1.005, 1.005], index=SESSIONS[:3])
    (result,) = outcomes([nth(0), nth(1)], ratio, nth(0), 0, (1,))
    assert (result.n, result.rose) == (2, 50.0)


def test_every_horizon_has_its_own_line() -> None:
    counts = {result.horizon: result.n for result in outcomes([nth(0)], RATIO, nth(0))}
    assert counts == {5: 1, 20: 0, 60: 0}


def test_every_example_is_timed_beside_its_metric() -> None:
    times = list(timings(made_up_market(sessions=400), repeats=1))
    assert [timing.rule.split()[0] for timing in times] == list(METRICS)
    assert all(timing.metric > 0 and timing.ratio > 0 for timing in times)
    assert any(timing.fires for timing in times)


def test_the_whole_answer_is_timed_beside_the_metrics_chart() -> None:
    (wait,) = waits(made_up_market(sessions=400), ["excess 3m > 5pp"], repeats=1)
    assert wait.rule == "excess 3m > 5pp"
    assert wait.chart > 0
    assert wait.ratio == wait.backtest / wait.chart


def test_twenty_years_are_evaluated_where_something_can_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    evaluated = []

    def counted(rule: Rule, state: State, sample: Sample) -> tuple[State, Event | None]:
        evaluated.append(sample.session)
        return step(rule, state, sample)

    monkeypatch.setattr("bot.alerts.batch.step", counted)
    market = made_up_market()
    parsed = parse_rule("ratio > sma 200", METRICS)
    fires = frequency(parsed, Histories(market, METRICS).samples(parsed, None, market.sessions), 20)
    assert fires.count > 20
    assert fires.count <= len(evaluated) <= 2 * fires.count + 1
