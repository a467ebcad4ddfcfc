"""Backtest: the engine over past samples."""

from __future__ import annotations

import datetime as dt
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from msgspec.structs import replace

from bot.alerts.course import SampleSeries
from bot.alerts.engine import band, first_state
from bot.alerts.sweep import answered, judge_series

if TYPE_CHECKING:
    from bot.alerts.rule import Rule
    from bot.alerts.state import Event, Sample

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
