"""Backtests: when a rule fired over years of samples, and what the ratio did afterwards.

Nothing is known before its time: a move is measured from the session on which the figures of the fire were
known, and the re-arm band of each fire is made of the values before it.
"""

import datetime as dt
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import numpy.typing as npt
import pandas as pd
from msgspec.structs import replace

from bot.alerts.batch import evaluate_series, has_answer
from bot.alerts.engine import BAND_LEAST, BAND_SHARE, BAND_VALUES, Sample, first_state, side_ops
from bot.alerts.rule import ABOVE, Rule
from bot.alerts.series import FloatArray, SampleSeries

YEARS = 5
HORIZONS = (5, 20, 60)  # sessions: a week, a month, a quarter
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
    lasting = replace(rule, once=False, until=None, remind=0, back=False)
    past = bands_before(rule, series) if bands is None else [np.full(len(series), band) for band in bands]
    state = first_state(lasting, series[:begin], series.day(0), tuple(float(band[begin]) for band in past))
    run = evaluate_series(lasting, state, series[begin:], [band[begin:] for band in past])
    dates = tuple(event.session for event in run.events if not event.muted)
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

    Samples before every condition has had a figure are left out: the rule could not fire or re-arm there.
    """
    if not len(series):
        return 0
    complete = max(int(known.argmax()) if known.any() else len(series) for known in series.known)
    answered = np.flatnonzero(has_answer(rule, series)[complete:])
    if not len(answered):
        return len(series)
    first: dt.date = (pd.Timestamp(series.day(-1)) - pd.DateOffset(years=years)).date()
    return max(complete + int(answered[0]) + 1, series.after(first))


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
    dates: Sequence[dt.date], ratio: pd.Series, since: dt.date, lag: int = 0, horizons: Sequence[int] = HORIZONS
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
