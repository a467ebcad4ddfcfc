"""Backtests: when a rule fired over years of samples, and what the ratio did afterwards.

Nothing is known before its time: a move is measured from the session on which the figures of the fire were
known, and the re-arm band of each fire is made of the values before it.

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
    BAND_LEAST,
    BAND_SHARE,
    BAND_VALUES,
    COMPARE,
    Event,
    Ops,
    State,
    Status,
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
_CHUNK = 64  # samples, among which a fire usually re-arms
_SHIFTED = 50_000  # moves that are looked at to see how a median compares with those of shifted dates

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

    `bands` are used instead of those made of the values before each fire. Years are counted back from the
    last sample with any figure.
    """
    series = SampleSeries.of(history)
    positions = np.flatnonzero(reduce(operator.or_, series.known, np.zeros(len(series), dtype=bool)))
    series = series[: int(positions[-1]) + 1 if len(positions) else 0]
    begin = _first_evaluated(rule, series, years)
    if begin >= len(series):
        return Frequency((), None, None)
    lasting = replace(rule, once=False, until=None)
    past = bands_before(rule, series) if bands is None else [np.full(len(series), band) for band in bands]
    state = first_state(lasting, series[:begin], series.day(0), tuple(float(band[begin]) for band in past))
    _, events = evaluate_series(lasting, state, series[begin:], [band[begin:] for band in past])
    dates = tuple(event.session for event in events if not event.muted)
    return Frequency(dates, series.day(begin), series.day(-1))


def bands_before(rule: Rule, series: SampleSeries) -> list[FloatArray]:
    """Per condition the default band on each session, made of the values before it, as of default_bands()."""
    bands = []
    inputs = zip(series.observed, series.thresholds, series.known, strict=True)
    for index, (observed, threshold, known) in enumerate(inputs):
        window = pd.Series((observed - threshold)[known]).rolling(BAND_VALUES, min_periods=BAND_LEAST)
        band = (BAND_SHARE * window.std()).fillna(0.0).to_numpy()
        for op in {ops[index] for ops in side_ops(rule)}:
            farthest = (-window.min() if op in ABOVE else window.max()).to_numpy()
            band = np.where((farthest > 0) & (farthest < band), farthest / 2, band)
        of_count = np.append(0.0, band)  # by the number of values before
        bands.append(of_count[np.cumsum(known) - known])
    return bands


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


def evaluate_series(
    rule: Rule, state: State, series: SampleSeries, bands: Sequence[FloatArray] = ()
) -> tuple[State, tuple[Event, ...]]:
    """The last state and all events of `evaluate` over the same samples.

    `bands` are those that a fire on each session re-arms with, per condition; by default the state's own.
    """
    if not len(series):
        return state, ()
    position = series.after(state.session)
    end = series.after(rule.until or dt.date.max)
    events: list[Event] = []
    evaluation = _SeriesEvaluation(rule, series)
    while position < end and not state.done:
        turn = min(evaluation.first_turn(state, position), end)
        state = evaluation.state_between(state, position, turn)
        if turn < end:
            state, event = step(rule, state, series[turn])
            events += [event] if event else []
            if bands and event and event.kind == "fired":
                state = replace(state, bands=tuple(float(band[turn]) for band in bands))
        position = turn + 1
    return state, tuple(events)


class _SeriesEvaluation:
    """One rule over one SampleSeries."""

    def __init__(self, rule: Rule, series: SampleSeries) -> None:
        self._series = series
        self._turns = [_Turns(rule, ops, series) for ops in side_ops(rule)]
        answered = reduce(operator.or_, (turns.answered for turns in self._turns))
        self._before = np.append(0, np.cumsum(answered))  # how many have an answer before each position
        self._answered = np.append(np.flatnonzero(answered), len(series))
        self._known = [_last_flagged(answered & known) for known in series.known]

    def first_turn(self, state: State, position: int) -> int:
        """The first position from `position` on that has to be evaluated, or the length."""
        first = min(
            turns.first(side.status, position, state.bands)
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
    """The first position at which one side could turn."""

    def __init__(self, rule: Rule, ops: Ops, series: SampleSeries) -> None:
        self._rule, self._ops, self._series = rule, ops, series
        true, self.answered = answers(ops, series)
        self._next = {
            Status.WAITING: _next_flagged(self.answered),
            Status.ARMED: _next_flagged(true),
            Status.CONFIRMING: _next_flagged(self.answered),
        }

    def first(self, status: Status, position: int, bands: tuple[float, ...]) -> int:
        """The first position from `position` on at which a side of this status could turn, or the length."""
        if status is not Status.FIRED:
            return int(self._next[status][position])
        begin, count = position, _CHUNK
        while begin < len(self._series):
            part = slice(begin, begin + count)
            back = self.answered[part] & self._may_be_back(bands, part)
            if back.any():
                return begin + int(back.argmax())
            begin, count = begin + count, 4 * count
        return len(self._series)

    def _may_be_back(self, bands: tuple[float, ...], part: slice) -> BoolArray:
        """Per session of a part whether a condition is at its re-arm level or past it; `step` decides."""
        sides = zip(self._ops, bands, self._series.observed, self._series.thresholds, strict=True)
        return reduce(
            operator.or_,
            (
                _is_past(self._rule, op, band, observed[part], threshold[part])
                for op, band, observed, threshold in sides
            ),
        )


def has_answer(rule: Rule, series: SampleSeries) -> BoolArray:
    """Per session whether any side of the rule is true or false there."""
    return reduce(operator.or_, (answers(ops, series)[1] for ops in side_ops(rule)))


def answers(ops: Ops, series: SampleSeries) -> tuple[BoolArray, BoolArray]:
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


def _is_past(rule: Rule, op: str, band: float, value: FloatArray, threshold: FloatArray) -> BoolArray:
    """Per session whether one condition is at its re-arm level or past it."""
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
    """Moves of the ratio over `horizon` sessions from the close at which each fire was known, in percent.

    n       fires that lie far enough back; with none, the other figures of fires are None
    rose    percent of those fires after which the ratio stood higher
    base    median move over the same horizon from every session of the span, to compare with
    lower   a quarter of the moves is below, and above `upper`
    worst   the lowest that the ratio stood on the way after any fire
    luck    percent of the shifts of the fires along the span, the end joined to its begin, whose median lies
            as far from `base` on the same side; None for fewer than two sessions
    """

    horizon: int
    n: int
    median: float | None
    rose: float | None
    base: float | None
    lower: float | None = None
    upper: float | None = None
    worst: float | None = None
    luck: float | None = None


def outcomes(
    dates: Sequence[dt.date],
    ratio: pd.Series,
    since: dt.date,
    lag: int = 0,
    horizons: Sequence[int] = HORIZONS,
) -> list[Outcome]:
    """The outcome of fires confirmed on `dates` for each horizon; the span of fires begins at `since`.

    `ratio` is on the exchange's sessions, NaN where it is missing. The figures of a fire are known `lag`
    sessions after it.
    """
    days = pd.DatetimeIndex([pd.Timestamp(day) for day in dates])
    fired = ratio.index.searchsorted(days) + lag
    begin = int(ratio.index.searchsorted(pd.Timestamp(since))) + lag
    return [_outcome(fired, ratio.to_numpy(), begin, horizon) for horizon in horizons]


def _outcome(fired: Positions, values: FloatArray, begin: int, horizon: int) -> Outcome:
    moves = np.full(len(values), np.nan)
    moves[:-horizon] = 100 * (values[horizon:] / values[:-horizon] - 1)
    span = np.flatnonzero(np.isfinite(moves) & (np.arange(len(moves)) >= begin))
    fired = fired[np.isin(fired, span)]
    base = float(np.median(moves[span])) if len(span) else None
    if not len(fired) or base is None:
        return Outcome(horizon, 0, None, None, base)
    lower, median, upper = (float(level) for level in np.percentile(moves[fired], (25, 50, 75)))
    paths = values[fired[:, None] + np.arange(1, horizon + 1)]
    return Outcome(
        horizon,
        len(fired),
        median,
        float(100 * np.mean(moves[fired] > 0)),
        base,
        lower,
        upper,
        float(100 * (np.nanmin(paths, axis=1) / values[fired] - 1).min()),
        _luck(moves[span], span.searchsorted(fired), median, base),
    )


def _luck(moves: FloatArray, fired: Positions, median: float, base: float) -> float | None:
    """Percent of shifts of the fires whose median lies as far from the base on the same side."""
    if len(moves) < 2:
        return None
    apart = max(1, len(moves) * len(fired) // _SHIFTED)
    shifts = np.arange(1, len(moves), apart)
    medians = np.median(moves[(fired + shifts[:, None]) % len(moves)], axis=1)
    return float(100 * np.mean(medians >= median if median >= base else medians <= median))
