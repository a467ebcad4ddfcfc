"""Backtests: when a rule fired over years of samples, and what the ratio did afterwards.

`evaluate_series` gives what `engine.evaluate` gives sample by sample, in a small part of its time. It finds
for all samples at once where a side could turn, evaluates only those with `step`, and sets what the samples
in between leave in the state.
"""

from __future__ import annotations

import datetime as dt
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd
from msgspec.structs import replace

from bot.alerts.engine import (
    COMPARE,
    Event,
    Ops,
    State,
    Status,
    default_band,
    first_state,
    side_ops,
    step,
)
from bot.alerts.rule import ABOVE
from bot.alerts.series import SampleSeries

if TYPE_CHECKING:
    from bot.alerts.engine import Sample
    from bot.alerts.rule import Rule
    from bot.alerts.series import BoolArray, FloatArray

YEARS = 5
HORIZONS = (5, 20, 60)  # sessions: a week, a month, a quarter

Positions = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Frequency:
    """The fires of a rule between two sessions, both included.

    dates   sessions of the fires, oldest first, without those muted by the cooldown
    since   first session that was evaluated, later than asked for where history is short
    """

    dates: tuple[dt.date, ...]
    since: dt.date | None
    until: dt.date | None

    @property
    def count(self) -> int:
        """Number of fires."""
        return len(self.dates)


def frequency(
    rule: Rule, history: Sequence[Sample], years: int = YEARS, bands: tuple[float, ...] | None = None
) -> Frequency:
    """Fires over the last `years` of a rule's samples, ignoring `once` and `until`.

    `bands` are used instead of the default ones. Years are counted back from the last sample with any figure.
    """
    series = SampleSeries.of(history)
    positions = np.flatnonzero(reduce(operator.or_, series.known, np.zeros(len(series), dtype=bool)))
    series = series[: int(positions[-1]) + 1 if len(positions) else 0]
    begin = _first_evaluated(rule, series, years)
    if begin >= len(series):
        return Frequency((), None, None)
    if bands is None:
        bands = tuple(default_band(series.distances(index)) for index in range(len(series.observed)))
    lasting = replace(rule, once=False, until=None)
    state = first_state(lasting, series[:begin], series.day(0), bands)
    _, events = evaluate_series(lasting, state, series[begin:])
    dates = tuple(event.session for event in events if not event.muted)
    return Frequency(dates, series.day(begin), series.day(-1))


def fires_without_band(rule: Rule, history: Sequence[Sample], years: int = YEARS) -> int:
    """How often the rule would have fired without a re-arm band."""
    return frequency(replace(rule, rearm=None), history, years, (0.0,) * len(rule.conditions)).count


def _first_evaluated(rule: Rule, series: SampleSeries, years: int) -> int:
    """Position of the first sample to evaluate: within the years, and after one at which the rule is known.

    Samples before every condition has had a figure are left out, as the rule could not have fired there.
    """
    if not len(series):
        return 0
    complete = max(int(known.argmax()) if known.any() else len(series) for known in series.known)
    answered = np.flatnonzero(has_answer(rule, series)[complete:])
    if not len(answered):
        return len(series)
    first: dt.date = (pd.Timestamp(series.day(-1)) - pd.DateOffset(years=years)).date()
    return max(complete + int(answered[0]) + 1, series.after(first))


def evaluate_series(rule: Rule, state: State, series: SampleSeries) -> tuple[State, tuple[Event, ...]]:
    """The last state and all events of `evaluate` over the same samples."""
    if not len(series):
        return state, ()
    position = series.after(state.session)
    end = series.after(rule.until or dt.date.max)
    events: list[Event] = []
    evaluation = _SeriesEvaluation(rule, state, series)
    while position < end and not state.done:
        turn = min(evaluation.first_turn(state, position), end)
        state = evaluation.state_between(state, position, turn)
        if turn < end:
            state, event = step(rule, state, series[turn])
            events += [event] if event else []
        position = turn + 1
    return state, tuple(events)


class _SeriesEvaluation:
    """One rule over one SampleSeries, with the bands of the state it begins with."""

    def __init__(self, rule: Rule, state: State, series: SampleSeries) -> None:
        self._series = series
        self._turns = [_Turns(rule, ops, state.bands, series) for ops in side_ops(rule)]
        answered = reduce(operator.or_, (turns.answered for turns in self._turns))
        self._before = np.append(0, np.cumsum(answered))  # how many have an answer before each position
        self._answered = np.append(np.flatnonzero(answered), len(series))
        self._known = [_last_flagged(answered & known) for known in series.known]

    def first_turn(self, state: State, position: int) -> int:
        """The first position from `position` on that has to be evaluated, or the length."""
        first = min(
            int(turns.next[side.status][position])
            for turns, side in zip(self._turns, state.sides, strict=True)
        )
        if any(side.unreported for side in state.sides):
            # A muted fire is reported with the first answer after the cooldown.
            after_cooldown = min(int(self._before[position]) + state.cooling, len(self._answered) - 1)
            first = min(first, int(self._answered[after_cooldown]))
        return first

    def state_between(self, state: State, begin: int, end: int) -> State:
        """The state after the samples from `begin` up to before `end`, at which nothing turns."""
        if begin == end:
            return state
        sample = self._series[end - 1]
        return replace(
            state,
            session=sample.session,
            cooling=max(state.cooling - int(self._before[end] - self._before[begin]), 0),
            last_values=tuple(
                float(observed[known[end - 1]]) if known[end - 1] >= begin else old
                for observed, known, old in zip(
                    self._series.observed, self._known, state.last_values, strict=True
                )
            ),
            figures=sample.figures,
        )


class _Turns:
    """For each position the first one from there on at which one side could turn, by its status."""

    def __init__(self, rule: Rule, ops: Ops, bands: tuple[float, ...], series: SampleSeries) -> None:
        true, self.answered = _answers(ops, series)
        conditions = zip(ops, bands, series.observed, series.thresholds, strict=True)
        back = reduce(operator.or_, (_may_be_back(rule, *condition) for condition in conditions))
        self.next = {
            Status.WAITING: _next_flagged(self.answered),
            Status.ARMED: _next_flagged(true),
            Status.CONFIRMING: _next_flagged(self.answered),
            Status.FIRED: _next_flagged(self.answered & back),
        }


def has_answer(rule: Rule, series: SampleSeries) -> BoolArray:
    """Per session whether any side of the rule is true or false there."""
    return reduce(operator.or_, (_answers(ops, series)[1] for ops in side_ops(rule)))


def _answers(ops: Ops, series: SampleSeries) -> tuple[BoolArray, BoolArray]:
    """Per session whether one side is true, and whether it is true or false."""
    true = np.ones(len(series), dtype=bool)
    false = np.zeros(len(series), dtype=bool)
    for op, known, value, threshold in zip(
        ops, series.known, series.observed, series.thresholds, strict=True
    ):
        holds = COMPARE[op](value, threshold)
        true &= known & holds
        false |= known & ~holds
    return true, true | false


def _may_be_back(rule: Rule, op: str, band: float, value: FloatArray, threshold: FloatArray) -> BoolArray:
    """Per session whether a condition is at its re-arm level or past it; `step` decides what follows."""
    above = op in ABOVE
    level = threshold - band if above else threshold + band
    if rule.rearm is not None:
        level = np.full_like(threshold, rule.rearm)
    return value <= level if above else value >= level


def _next_flagged(flags: BoolArray) -> Positions:
    """For each position the first flagged one from there on, or the length."""
    count = len(flags)
    first: Positions = np.minimum.accumulate(np.where(flags, np.arange(count), count)[::-1])
    return first[::-1]


def _last_flagged(flags: BoolArray) -> Positions:
    """For each position the last flagged one up to it, or -1."""
    last: Positions = np.maximum.accumulate(np.where(flags, np.arange(len(flags)), -1))
    return last


@dataclass(frozen=True)
class Outcome:
    """Moves of the ratio over `horizon` sessions from the close of each fire, in percent.

    n       fires that lie far enough back; with none, median and rose are None
    rose    percent of those fires after which the ratio stood higher
    base    median move over the same horizon from every session of the span, to compare with
    """

    horizon: int
    n: int
    median: float | None
    rose: float | None
    base: float | None


def outcomes(
    dates: Sequence[dt.date], ratio: pd.Series, since: dt.date, horizons: Sequence[int] = HORIZONS
) -> list[Outcome]:
    """The outcome of fires on `dates` for each horizon; the span of `ratio` begins at `since`."""
    fired = ratio.index.isin(pd.DatetimeIndex([pd.Timestamp(day) for day in dates]))
    inside = ratio.index >= pd.Timestamp(since)
    results = []
    for horizon in horizons:
        moves = (100 * (ratio.shift(-horizon) / ratio - 1)).to_numpy()
        after = moves[fired & ~np.isnan(moves)]
        all_after = moves[inside & ~np.isnan(moves)]
        results.append(
            Outcome(
                horizon,
                len(after),
                float(np.median(after)) if len(after) else None,
                float(100 * np.mean(after > 0)) if len(after) else None,
                float(np.median(all_after)) if len(all_after) else None,
            )
        )
    return results
