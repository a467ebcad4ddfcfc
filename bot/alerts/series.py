"""A rule's samples over years as arrays; a Sample object is created only when one is accessed.

Samples: the figures of the Market that a rule is evaluated on.

Only completed sessions give a sample, in order, once the inputs of all legs are stored. A session
whose input is absent is awaited for 5 sessions and then judged as missing; a session that says
n/a and is followed by a value has been answered and is missing at once.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, overload

import numpy as np
import numpy.typing as npt
import pandas as pd

from bot.alerts.engine import BAND_VALUES, ConditionValue, Sample
from bot.alerts.rule import AMOUNT, Condition, Rule, Target
from bot.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bot.analytics.market import Market
    from bot.analytics.metrics import Argument, Metric


FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


class SampleSeries(Sequence[Sample]):
    """Samples on consecutive sessions.

    days        sessions in order, datetime64[D]
    values      per condition its value on each session, NaN where missing
    thresholds  the same of its threshold
    """

    def __init__(
        self, days: npt.NDArray[np.datetime64], values: Sequence[FloatArray], thresholds: Sequence[FloatArray]
    ) -> None:
        self.days = days
        self.values = tuple(values)
        self.thresholds = tuple(thresholds)

    @classmethod
    def of(cls, samples: Iterable[Sample]) -> SampleSeries:
        """The samples as arrays. A SampleSeries is returned unchanged."""
        if isinstance(samples, SampleSeries):
            return samples
        ordered = list(samples)
        conditions = list(zip(*(sample.legs for sample in ordered), strict=True))
        return cls(
            np.array([sample.session for sample in ordered], dtype="datetime64[D]"),
            [_array(leg.value for leg in legs) for legs in conditions],
            [_array(leg.threshold for leg in legs) for legs in conditions],
        )

    def __len__(self) -> int:
        return len(self.days)

    @overload
    def __getitem__(self, position: int) -> Sample: ...
    @overload
    def __getitem__(self, position: slice) -> SampleSeries: ...
    def __getitem__(self, position: int | slice) -> Sample | SampleSeries:
        if isinstance(position, slice):
            return SampleSeries(
                self.days[position],
                [values[position] for values in self.values],
                [thresholds[position] for thresholds in self.thresholds],
            )
        legs = zip(self.values, self.thresholds, strict=True)
        return Sample(
            self.day(position),
            tuple(
                ConditionValue(_figure(value[position]), _figure(threshold[position]))
                for value, threshold in legs
            ),
        )

    def day(self, position: int) -> dt.date:
        """The session at a position."""
        day: dt.date = self.days[position].item()
        return day

    def after(self, day: dt.date) -> int:
        """Position of the first session past `day`."""
        return int(self.days.searchsorted(np.datetime64(day), side="right"))

    def known(self, leg: int) -> BoolArray:
        """Whether a condition has value and threshold, for each session."""
        known: BoolArray = np.isfinite(self.values[leg]) & np.isfinite(self.thresholds[leg])
        return known

    def distances(self, leg: int, most: int = BAND_VALUES) -> list[float]:
        """The last distances of a condition's value from its threshold, oldest first."""
        distances = (self.values[leg] - self.thresholds[leg])[self.known(leg)]
        return [float(distance) for distance in distances[-most:]]


def _array(figures: Iterable[float | None]) -> FloatArray:
    return np.array(list(figures), dtype="float64")  # None becomes NaN


def _figure(value: np.float64) -> float | None:
    return float(value) if np.isfinite(value) else None


# An input that is still absent this many sessions later is skipped.
PATIENCE = 5
# A percentile of fewer values than this (a year of sessions) says nothing.
PERCENTILE_VALUES = 252


@dataclass(frozen=True)
class ConditionSeries:
    """One condition's history: value and threshold on the metric's own sessions, NaN where undefined."""

    value: pd.Series
    threshold: pd.Series

    def known(self, sessions: pd.DatetimeIndex) -> npt.NDArray[np.bool_]:
        """Whether each session's input is stored: it has a value, or is n/a and followed by a value."""
        present = self.value.notna()
        last = self.value.last_valid_index()
        answered = present | (self.value.index < last) if last is not None else present
        stored: npt.NDArray[np.bool_] = answered.reindex(sessions, fill_value=False).to_numpy()
        return stored

    def on(self, sessions: pd.DatetimeIndex) -> tuple[FloatArray, FloatArray]:
        """Value and threshold per session, NaN for what is missing."""
        at = self.value.index.get_indexer(sessions)
        return _at(self.value, at), _at(self.threshold, at)


# A metric with its arguments: what a condition watches, whatever its target.
Watched = tuple[str, tuple[tuple[str, "Argument"], ...]]


class Histories:
    """Histories of conditions over one Market, computed once for all rules."""

    def __init__(self, market: Market, registry: Mapping[str, Metric]) -> None:
        self._market = market
        self._registry = registry
        self._values: dict[Watched, pd.Series] = {}
        self._series: dict[tuple[Watched, Target], ConditionSeries] = {}
        self._spans: dict[tuple[Watched, ...], tuple[pd.DatetimeIndex | None, pd.DatetimeIndex]] = {}

    def series(self, condition: Condition) -> ConditionSeries:
        """Value and threshold of one condition; raises BadInput for a metric the registry lacks."""
        watched = (condition.metric, condition.arguments)
        key = (watched, condition.target)
        if key not in self._series:
            if watched not in self._values:
                self._values[watched] = self._history(condition)
            value = self._values[watched]
            self._series[key] = ConditionSeries(value, threshold(value, condition.target))
        return self._series[key]

    def _history(self, condition: Condition) -> pd.Series:
        metric = self._registry.get(condition.metric)
        if metric is None:
            raise BadInput(f"“{condition.metric}” is not a metric any more.")
        history = metric.history(self._market, dict(condition.arguments)).astype("float64")
        if history.empty:  # its index may be of anything
            return history
        return history.where(np.isfinite(history)).loc[: self._market.last_completed]

    def samples(
        self, rule: Rule, after: dt.date | None = None, sessions: pd.DatetimeIndex | None = None
    ) -> list[Sample]:
        """Samples of a rule past the session `after`, oldest first, up to the first that must wait.

        `sessions` are the exchange's: with them, a session that no leg has at all is awaited too.
        Without them the sessions are those of any leg.
        """
        return list(self.sample_series(rule, after, sessions))

    def sample_series(
        self, rule: Rule, after: dt.date | None = None, sessions: pd.DatetimeIndex | None = None
    ) -> SampleSeries:
        """The same samples as arrays, for long histories."""
        legs = [self.series(condition) for condition in rule.conditions]
        ready = self._ready(rule, legs, sessions)
        begin = int(ready.searchsorted(pd.Timestamp(after), side="right")) if after else 0
        index = ready[begin:]
        figures = [leg.on(index) for leg in legs]
        days = index.to_numpy().astype("datetime64[D]")
        return SampleSeries(days, [value for value, _ in figures], [level for _, level in figures])

    def _ready(
        self, rule: Rule, legs: list[ConditionSeries], sessions: pd.DatetimeIndex | None
    ) -> pd.DatetimeIndex:
        """Sessions up to the first that must wait for an input, once for rules on the same metrics."""
        watched = tuple((condition.metric, condition.arguments) for condition in rule.conditions)
        span = self._spans.get(watched)
        if span is None or span[0] is not sessions:
            index = self._sessions(legs, sessions)
            span = self._spans[watched] = (sessions, index[: _waiting(legs, index)])
        return span[1]

    def _sessions(self, legs: list[ConditionSeries], sessions: pd.DatetimeIndex | None) -> pd.DatetimeIndex:
        index = pd.DatetimeIndex([])
        for leg in legs:
            index = index.union(leg.value.index)
        if sessions is not None and len(index):
            index = index.union(sessions[sessions >= index[0]])
        return index[index <= self._market.last_completed]


def _waiting(legs: list[ConditionSeries], index: pd.DatetimeIndex) -> int:
    """Position of the first session that must wait for an input, or the length."""
    known = np.logical_and.reduce([leg.known(index) for leg in legs])
    recent = np.arange(len(index)) > len(index) - 1 - PATIENCE
    waiting = np.flatnonzero(recent & ~known)
    return int(waiting[0]) if len(waiting) else len(index)


def _at(series: pd.Series, at: npt.NDArray[np.intp]) -> FloatArray:
    """Values at positions, NaN where missing (position -1)."""
    values: FloatArray = np.append(series.to_numpy(), np.nan)[at]
    return values


def threshold(value: pd.Series, target: Target) -> pd.Series:
    """The target on each session of `value`, counted over the sessions that have a value."""
    if target.kind == AMOUNT:
        return pd.Series(target.value, index=value.index)
    defined, count = value.dropna(), int(target.value)
    match target.kind:
        case "sma":
            level = defined.rolling(count).mean()
        case "high":
            level = defined.rolling(count).max().shift(1)
        case "low":
            level = defined.rolling(count).min().shift(1)
        case "pct":
            level = defined.expanding(PERCENTILE_VALUES).quantile(target.value / 100).shift(1)
        case _:
            raise BadInput(f"“{target.kind}” is not a target.", "sma 200")
    return level.reindex(value.index)


def lag(rule: Rule, registry: Mapping[str, Metric]) -> int:
    """Sessions until all inputs of a session are stored: the largest lag of the rule's metrics."""
    return max(registry[condition.metric].lag for condition in rule.conditions)
