"""The figures of a Market that a rule is evaluated on, as arrays over sessions.

Only completed sessions give a sample, in order, once the inputs of all conditions are stored. A session whose
input is absent is awaited for PATIENCE sessions and then evaluated as missing. A session whose input is n/a
and is followed by a value is missing at once. A session whose input is held, because a jump of a share count
is not confirmed yet, is awaited until it is. A Sample object is created only when one is accessed.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import cast, overload

import numpy as np
import numpy.typing as npt
import pandas as pd

from bot.alerts.engine import BAND_VALUES, ConditionValue, Sample
from bot.alerts.rule import AMOUNT, Condition, Rule, Target
from bot.analytics.market import Market
from bot.analytics.metrics import METRICS, Argument, Metric, held_from, known_on, parts_of
from bot.analytics.trend import over_closes
from bot.errors import BadInput
from bot.pair import Pair

# An input that is still absent this many sessions later is skipped.
PATIENCE = 5
# Targets over a count of closes, among which too many sessions may be missing.
OVER_CLOSES = frozenset({"sma", "high", "low"})
# A percentile of fewer values than this (a year of sessions) is undefined.
PERCENTILE_VALUES = 252
_EPOCH = dt.date(1970, 1, 1).toordinal()  # day 0 of numpy's dates

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
# A metric with its arguments, which conditions with different targets share.
Watched = tuple[str, tuple[tuple[str, "Argument"], ...]]
# What the conditions of a rule read: each metric with its arguments, its target if that moves, and whether
# it begins another group.
Subject = tuple[tuple[Watched, Target | None, bool], ...]


class SampleSeries(Sequence[Sample]):
    """Samples on consecutive sessions.

    days        sessions in order, datetime64[D]
    observed    per condition its value on each session, NaN where missing
    thresholds  per condition its threshold on each session, NaN where missing
    """

    def __init__(
        self, days: npt.NDArray[np.datetime64], observed: Sequence[FloatArray], thresholds: Sequence[FloatArray]
    ) -> None:
        self.days = days
        self.observed = tuple(observed)
        self.thresholds = tuple(thresholds)

    @classmethod
    def of(cls, samples: Iterable[Sample]) -> SampleSeries:
        """The samples as arrays, what is not finite as NaN. A SampleSeries is returned unchanged."""
        if isinstance(samples, SampleSeries):
            return samples
        ordered = list(samples)
        conditions = list(zip(*(sample.figures for sample in ordered), strict=True))
        return cls(
            np.array([sample.session for sample in ordered], dtype="datetime64[D]"),
            [_finite([figure.value for figure in figures]) for figures in conditions],
            [_finite([figure.threshold for figure in figures]) for figures in conditions],
        )

    def __len__(self) -> int:
        return len(self.days)

    @overload
    def __getitem__(self, position: int) -> Sample: ...
    @overload
    def __getitem__(self, position: slice) -> SampleSeries: ...
    def __getitem__(self, position: int | slice) -> Sample | SampleSeries:
        if isinstance(position, slice):
            observed = [array[position] for array in self.observed]
            return SampleSeries(self.days[position], observed, [array[position] for array in self.thresholds])
        figures = []
        for observed_on, threshold_on in zip(self.observed, self.thresholds, strict=True):
            value, level = observed_on.item(position), threshold_on.item(position)
            known = value if value == value else None, level if level == level else None  # noqa: PLR0124 - NaN
            figures.append(ConditionValue(*known))
        return Sample(self.day(position), tuple(figures))

    def day(self, position: int) -> dt.date:
        """The session at a position."""
        return cast(dt.date, self.days.item(position))

    def with_amounts(self, rule: Rule) -> SampleSeries:
        """The samples of a rule, from those of `subject_rule`, in which an amount is 0."""
        thresholds = [
            threshold + condition.target.value if condition.target.kind == AMOUNT else threshold
            for threshold, condition in zip(self.thresholds, rule.conditions, strict=True)
        ]
        return SampleSeries(self.days, self.observed, thresholds)

    def followed_by(self, later: SampleSeries) -> SampleSeries:
        """These samples and later ones."""
        return SampleSeries(
            np.concatenate([self.days, later.days]),
            list(map(np.concatenate, zip(self.observed, later.observed, strict=True))),
            list(map(np.concatenate, zip(self.thresholds, later.thresholds, strict=True))),
        )

    def on(self, days: npt.NDArray[np.datetime64]) -> SampleSeries:
        """The samples on these sessions, without figures where there is none."""
        at = self.days.searchsorted(days)
        at[~np.isin(days, self.days)] = -1  # which is the appended NaN
        figures = [[np.append(a, np.nan)[at] for a in arrays] for arrays in (self.observed, self.thresholds)]
        return SampleSeries(days, *figures)

    def after(self, day: dt.date) -> int:
        """Position of the first session past `day`."""
        return int(self.days.view("i8").searchsorted(day.toordinal() - _EPOCH, side="right"))

    @cached_property
    def known(self) -> list[BoolArray]:
        """Per condition, whether it has value and threshold, for each session."""
        figures = zip(self.observed, self.thresholds, strict=True)
        return [np.isfinite(observed) & np.isfinite(threshold) for observed, threshold in figures]

    def distances(self, index: int, most: int = BAND_VALUES) -> list[float]:
        """The last distances value - threshold of a condition, oldest first."""
        distances = (self.observed[index] - self.thresholds[index])[self.known[index]]
        return [float(distance) for distance in distances[-most:]]


def _finite(figures: Sequence[float | None]) -> FloatArray:
    values = np.array(figures, dtype="float64")  # None becomes NaN
    return np.where(np.isfinite(values), values, np.nan)


@dataclass(frozen=True)
class ConditionSeries:
    """One condition's history: value and threshold on the metric's own sessions, NaN where undefined.

    `level` is the threshold as a Series or an amount. From `held_from` on the values are held. If `settled`,
    NaN means that there is no value for the session, not that one may come.
    """

    value: pd.Series
    level: pd.Series | float
    held_from: pd.Timestamp | None = None
    settled: bool = False

    @property
    def threshold(self) -> pd.Series:
        """The threshold on each of the metric's sessions."""
        return self.level if isinstance(self.level, pd.Series) else pd.Series(self.level, self.value.index)

    def known(self, sessions: pd.DatetimeIndex) -> BoolArray:
        """Whether each session's input is stored: it has a value, or is n/a and followed by a value."""
        present = self.value.notna()
        last = self.value.last_valid_index()
        answered = present | (self.value.index < last) if last is not None else present
        answered |= self.settled
        stored: BoolArray = answered.reindex(sessions, fill_value=False).to_numpy()
        return stored & ~self.held(sessions)

    def held(self, sessions: pd.DatetimeIndex) -> BoolArray:
        """Whether each session's input waits to be confirmed."""
        return np.asarray(sessions >= (pd.Timestamp.max if self.held_from is None else self.held_from))

    def on(self, sessions: pd.DatetimeIndex) -> tuple[FloatArray, FloatArray]:
        """Value and threshold on each session, NaN where missing."""
        at = self.value.index.get_indexer(sessions)  # -1, which is the appended NaN, where missing
        levels = self.threshold.to_numpy()
        return np.append(self.value.to_numpy(), np.nan)[at], np.append(levels, np.nan)[at]


def subject_of_rule(rule: Rule) -> Subject:
    """What a rule reads; rules of one subject differ in amounts, comparisons and options only."""
    return tuple(
        (
            (condition.metric, condition.arguments),
            None if condition.target.kind == AMOUNT else condition.target,
            at in rule.or_at,
        )
        for at, condition in enumerate(rule.conditions)
    )


def subject_rule(subject: Subject) -> Rule:
    """The rule by which a subject is read: its amounts are 0."""
    nothing = Target(AMOUNT, 0.0)
    conditions = tuple(Condition(*watched, ">", target or nothing) for watched, target, _ in subject)
    return Rule(conditions, tuple(at for at, (*_, begins) in enumerate(subject) if begins))


class Histories:
    """Histories of conditions over one Market, computed once for all rules."""

    def __init__(self, market: Market, registry: Mapping[str, Metric]) -> None:
        self._market = market
        self._registry = registry
        self._values: dict[Watched, pd.Series] = {}
        self._series: dict[tuple[Watched, Target | None], ConditionSeries] = {}
        self._ready_sessions: dict[tuple[Watched, ...], tuple[pd.DatetimeIndex | None, pd.DatetimeIndex]] = {}
        self._samples: dict[Subject, tuple[pd.DatetimeIndex | None, SampleSeries]] = {}

    def series(self, condition: Condition) -> ConditionSeries:
        """Value and threshold of one condition. Raises BadInput for a metric that is not in the registry."""
        watched, target = (condition.metric, condition.arguments), condition.target
        key = (watched, None if target.kind == AMOUNT else target)
        if key not in self._series:
            if watched not in self._values:
                self._values[watched] = self._history(condition)
            value, metric = self._values[watched], self._registry[condition.metric]
            level = 0.0 if target.kind == AMOUNT else threshold(value, target)
            if target.kind in OVER_CLOSES and metric.part == "prices":
                level = over_closes(self._market, level, int(target.value))
            held = held_from(metric, self._market, dict(condition.arguments))
            self._series[key] = ConditionSeries(value, level, held, metric.part == "multiples")
        series = self._series[key]
        return replace(series, level=target.value) if target.kind == AMOUNT else series

    def _history(self, condition: Condition) -> pd.Series:
        metric = self._registry.get(condition.metric)
        if metric is None:
            raise BadInput(f"“{condition.metric}” is not a metric any more.")
        history = metric.history(self._market, dict(condition.arguments)).astype("float64")
        if history.empty:  # its index need not hold dates
            return history
        return history.where(np.isfinite(history)).loc[: self._market.last_completed]

    def samples(
        self, rule: Rule, after: dt.date | None = None, sessions: pd.DatetimeIndex | None = None
    ) -> SampleSeries:
        """Samples of a rule past the session `after`, oldest first, up to the first that must wait.

        `sessions` are the exchange's: with them, a session on which no condition has a figure is awaited too.
        Without them the sessions are those on which any condition has a figure.
        """
        subject = subject_of_rule(rule)
        cached = self._samples.get(subject)
        if cached is None or cached[0] is not sessions:
            conditions = subject_rule(subject).conditions
            histories = [self.series(condition) for condition in conditions]
            index = self._ready(rule, histories, sessions)
            observed, thresholds = zip(*(history.on(index) for history in histories), strict=True)
            whole = SampleSeries(index.to_numpy().astype("datetime64[D]"), observed, thresholds)
            self._samples[subject] = cached = (sessions, whole)
        whole = cached[1]
        return whole[whole.after(after) if after else 0 :].with_amounts(rule)

    def _ready(
        self, rule: Rule, histories: list[ConditionSeries], sessions: pd.DatetimeIndex | None
    ) -> pd.DatetimeIndex:
        """Sessions up to the first that must wait for an input, computed once per set of metrics."""
        watched = tuple((condition.metric, condition.arguments) for condition in rule.conditions)
        cached = self._ready_sessions.get(watched)
        if cached is not None and cached[0] is sessions:
            return cached[1]
        index = pd.DatetimeIndex([])
        for history in histories:
            index = index.union(history.value.index)
        if sessions is not None and len(index):
            index = index.union(sessions[sessions >= index[0]])
        index = index[index <= self._market.last_completed]
        known = np.logical_and.reduce([history.known(index) for history in histories])
        awaited = np.arange(len(index)) > len(index) - 1 - PATIENCE
        awaited |= np.logical_or.reduce([history.held(index) for history in histories])
        waiting = np.flatnonzero(awaited & ~known)
        index = index[: waiting[0]] if len(waiting) else index
        self._ready_sessions[watched] = (sessions, index)
        return index


def threshold(value: pd.Series, target: Target) -> pd.Series:
    """The target on each session of `value`, computed over the sessions that have a value."""
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


def values_needed(target: Target) -> int:
    """How many values a metric must have had for the target to exist, 0 for an amount."""
    count = int(target.value)
    return {"sma": count, "high": count + 1, "low": count + 1, "pct": PERCENTILE_VALUES + 1}.get(target.kind, 0)


def rule_lag(rule: Rule, registry: Mapping[str, Metric]) -> int:
    """Sessions until all inputs of a session are stored: the largest lag of the rule's metrics."""
    return max(registry[condition.metric].lag for condition in rule.conditions)


def known_sessions(rule: Rule, market: Market, dates: Iterable[dt.date]) -> list[dt.date]:
    """Per date of a fire the session by which its figures were confirmed, mostly its own."""
    sessions = pd.DatetimeIndex([pd.Timestamp(day) for day in dates])
    known = sessions
    for condition in rule.conditions:
        arguments = dict(condition.arguments)
        known = np.maximum(known, known_on(METRICS[condition.metric], market, arguments, sessions))
    return [session.date() for session in known]


def parts_read(rule: Rule, pair: Pair) -> list[str]:
    """Return the parts of the Market that a rule reads, those of its first condition first."""
    conditions = rule.conditions
    parts = [part for c in conditions for part in parts_of(METRICS[c.metric], pair, dict(c.arguments))]
    return list(dict.fromkeys(parts))
