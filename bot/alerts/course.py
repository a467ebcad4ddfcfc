"""A rule's samples over years as arrays; a Sample object is created only when one is accessed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

import numpy as np
import numpy.typing as npt

from bot.alerts.engine import BAND_VALUES
from bot.alerts.state import ConditionValue, Sample

if TYPE_CHECKING:
    from collections.abc import Iterable

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
