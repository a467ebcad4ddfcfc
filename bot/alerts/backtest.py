"""Backtest: the engine over past samples.

The engine's step over years: samples at which nothing can turn are passed over.

What `judge` gives sample by sample, in a small part of its time. Where a side could turn is found for all
samples at once; `step` judges those samples, and what the others would have left in the state is put there.

What the ratio did after a rule fired: median move and share of rises, with n.
"""

from __future__ import annotations

import datetime as dt
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd
from msgspec.structs import replace

from bot.alerts.engine import Event, Ops, Side, State, Status, band, directions, first_state, step
from bot.alerts.rule import ABOVE
from bot.alerts.series import SampleSeries

if TYPE_CHECKING:
    from bot.alerts.engine import Sample
    from bot.alerts.rule import Rule
    from bot.alerts.series import BoolArray, FloatArray


_COMPARE: dict[str, Callable[[FloatArray, FloatArray], BoolArray]] = {
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}

Positions = npt.NDArray[np.intp]


def _next_flagged(flags: BoolArray) -> Positions:
    """For each position the first flagged one from there on; the length where none follows."""
    count = len(flags)
    first: Positions = np.minimum.accumulate(np.where(flags, np.arange(count), count)[::-1])
    return first[::-1]


def _last_flagged(flags: BoolArray) -> Positions:
    """For each position the last flagged one up to it; -1 where there is none."""
    last: Positions = np.maximum.accumulate(np.where(flags, np.arange(len(flags)), -1))
    return last


class _Turns:
    """For each position the first one from there on at which one side could turn, by its status."""

    def __init__(self, rule: Rule, ops: Ops, bands: tuple[float, ...], series: SampleSeries) -> None:
        true, self.answered = _answers(ops, series)
        legs = zip(ops, bands, series.values, series.thresholds, strict=True)
        back = reduce(operator.or_, (_may_be_back(rule, *leg) for leg in legs))
        self._next = {
            Status.ARMED: _next_flagged(true),
            Status.CONFIRMING: _next_flagged(self.answered),
            Status.FIRED: _next_flagged(self.answered & back),
        }

    def following(self, side: Side, position: int) -> int:
        """The first position from `position` on at which the side could turn."""
        return int(self._next[side.status][position])


def answered(rule: Rule, series: SampleSeries) -> BoolArray:
    """Per session whether any side of the rule is true or false there."""
    return reduce(operator.or_, (_answers(ops, series)[1] for ops in directions(rule)))


def _answers(ops: Ops, series: SampleSeries) -> tuple[BoolArray, BoolArray]:
    """Per session whether one side is true, and whether it is true or false."""
    true = np.ones(len(series), dtype=bool)
    false = np.zeros(len(series), dtype=bool)
    for leg, op in enumerate(ops):
        known, holds = series.known(leg), _COMPARE[op](series.values[leg], series.thresholds[leg])  # noqa: PD011 - of a SampleSeries
        true &= known & holds
        false |= known & ~holds
    return true, true | false


def _may_be_back(rule: Rule, op: str, band: float, value: FloatArray, threshold: FloatArray) -> BoolArray:
    """Per session whether a leg is at its re-arm level or past it; the step says whether that is enough."""
    above = op in ABOVE
    level = threshold - band if above else threshold + band
    if rule.rearm is not None:
        level = np.full_like(threshold, rule.rearm)
    return value <= level if above else value >= level


class _SeriesJudge:
    """One rule over one SampleSeries; bands stay as they are in the state it begins with."""

    def __init__(self, rule: Rule, state: State, series: SampleSeries) -> None:
        self._series = series
        self._turns = [_Turns(rule, ops, state.bands, series) for ops in directions(rule)]
        judged = reduce(operator.or_, (turns.answered for turns in self._turns))
        self._before = np.append(0, np.cumsum(judged))  # how many were judged before each position
        self._judged = np.append(np.flatnonzero(judged), len(series))
        self._known = [_last_flagged(judged & series.known(leg)) for leg in range(len(series.values))]

    def following(self, state: State, position: int) -> int:
        """The first position from `position` on that has to be judged; the length where none has."""
        turns = zip(self._turns, state.sides, strict=True)
        first = min(turn.following(side, position) for turn, side in turns)
        if any(side.held for side in state.sides):
            # Word of a held fire comes with the first answer after the cooldown.
            after_cooldown = min(int(self._before[position]) + state.cooling, len(self._judged) - 1)
            first = min(first, int(self._judged[after_cooldown]))
        return first

    def passed(self, state: State, begin: int, end: int) -> State:
        """The state after the samples from `begin` up to before `end`, at which nothing turns."""
        if begin == end:
            return state
        sample = self._series[end - 1]
        return replace(
            state,
            session=sample.session,
            cooling=max(state.cooling - int(self._before[end] - self._before[begin]), 0),
            values=tuple(self._last(leg, begin, end, old) for leg, old in enumerate(state.values)),
            legs=sample.legs,
        )

    def _last(self, leg: int, begin: int, end: int, old: float | None) -> float | None:
        last = self._known[leg][end - 1]
        return float(self._series.values[leg][last]) if last >= begin else old  # noqa: PD011 - as above


def judge_series(rule: Rule, state: State, series: SampleSeries) -> tuple[State, tuple[Event, ...]]:
    """The last state and all events of `judge` over the same samples."""
    if not len(series):
        return state, ()
    position = series.after(state.session)
    end = series.after(rule.until or dt.date.max)
    events: list[Event] = []
    series_judge = _SeriesJudge(rule, state, series)
    while position < end and not state.done:
        following = min(series_judge.following(state, position), end)
        state = series_judge.passed(state, position, following)
        if following < end:
            state, event = step(rule, state, series[following])
            events += [event] if event else []
        position = following + 1
    return state, tuple(events)


YEARS = 5


@dataclass(frozen=True)
class Frequency:
    """The fires of a rule between two sessions, both included.

    dates   sessions of the fires, oldest first; those muted by the cooldown are not in it
    since   first session that was judged, later than asked for where history is short
    """

    dates: tuple[dt.date, ...]
    since: dt.date | None
    until: dt.date | None

    @property
    def count(self) -> int:
        """Number of fires."""
        return len(self.dates)


def frequency(rule: Rule, history: Sequence[Sample], years: int = YEARS) -> Frequency:
    """Fires over the last `years` of a rule's samples, ignoring `once` and `until`."""
    series = _until_last_figure(SampleSeries.of(history))
    begin = _first_judged(rule, series, years)
    if begin >= len(series):
        return Frequency((), None, None)
    fires = _fires(rule, series, begin, tuple(map(band, map(series.distances, range(len(rule.conditions))))))
    return Frequency(tuple(event.session for event in fires), series.day(begin), series.day(-1))


def without_band(rule: Rule, history: Sequence[Sample], years: int = YEARS) -> int:
    """How often the rule would have fired without a re-arm band."""
    series = _until_last_figure(SampleSeries.of(history))
    begin = _first_judged(rule, series, years)
    if begin >= len(series):
        return 0
    return len(_fires(replace(rule, rearm=None), series, begin, (0.0,) * len(rule.conditions)))


def _fires(rule: Rule, series: SampleSeries, begin: int, bands: tuple[float, ...]) -> list[Event]:
    """Events that are not muted when evaluation starts at a position."""
    lasting = replace(rule, once=False, until=None)
    state = first_state(lasting, series[:begin], series.day(0), bands)
    _, events = judge_series(lasting, state, series[begin:])
    return [event for event in events if not event.muted]


def _until_last_figure(series: SampleSeries) -> SampleSeries:
    """The samples up to the last one with any figure; years are counted back from there."""
    known = (series.known(leg) for leg in range(len(series.values)))
    positions = np.flatnonzero(reduce(operator.or_, known, np.zeros(len(series), dtype=bool)))
    return series[: int(positions[-1]) + 1 if len(positions) else 0]


def _first_judged(rule: Rule, series: SampleSeries, years: int) -> int:
    """Position of the first sample to evaluate: within the years, and after one at which the rule is known.

    Samples before every condition has a figure are left out: the rule could not have fired there.
    """
    if not len(series):
        return 0
    known = [np.flatnonzero(series.known(leg)) for leg in range(len(series.values))]
    whole = max((int(positions[0]) if len(positions) else len(series)) for positions in known)
    judged = np.flatnonzero(answered(rule, series)[whole:])
    if not len(judged):
        return len(series)
    first: dt.date = (pd.Timestamp(series.day(-1)) - pd.DateOffset(years=years)).date()
    return max(whole + int(judged[0]) + 1, series.after(first))


HORIZONS = (5, 20, 60)  # sessions: a week, a month, a quarter


@dataclass(frozen=True)
class Outcome:
    """Moves of the ratio over `horizon` sessions from the close of each fire; percent.

    n counts the fires that lie far enough back; with none, median and rose are None. `base` is the
    median move over the same horizon from every session of the span, to compare with.
    """

    horizon: int
    n: int
    median: float | None
    rose: float | None  # percent of the fires after which the ratio stood higher
    base: float | None


def outcomes(
    dates: Sequence[dt.date], ratio: pd.Series, since: dt.date, horizons: Sequence[int] = HORIZONS
) -> list[Outcome]:
    """Outcome of each horizon for fires on `dates`; `ratio` on sessions, the span begins at `since`."""
    fired = ratio.index.isin(pd.DatetimeIndex([pd.Timestamp(day) for day in dates]))
    inside = ratio.index >= pd.Timestamp(since)
    by_horizon = []
    for horizon in horizons:
        moved = (100 * (ratio.shift(-horizon) / ratio - 1)).to_numpy()
        after = moved[fired & ~np.isnan(moved)]
        all_after = moved[inside & ~np.isnan(moved)]
        by_horizon.append(
            Outcome(
                horizon,
                len(after),
                float(np.median(after)) if len(after) else None,
                float(100 * np.mean(after > 0)) if len(after) else None,
                float(np.median(all_after)) if len(all_after) else None,
            )
        )
    return by_horizon
