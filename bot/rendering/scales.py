"""Scales of charts: labels of ticks, limits of axes, and how labels are kept apart. Pure numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from bot.analytics.units import MINUS, USD, Unit

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pandas as pd

Ticks = tuple[list[float], list[str]]

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_MONTH_STEPS = (1, 2, 3, 6, 12, 24, 60, 120, 240)
_FEW_DAYS = 62  # up to two months single sessions are named, beyond that months or years
_SCALES = ((1e9, "bn"), (1e6, "m"), (1e3, "k"), (1.0, ""))


def days(index: pd.DatetimeIndex) -> np.ndarray:
    """Days since 1970 of naive midnights, the x of every chart."""
    numbers: np.ndarray = index.to_numpy().astype("datetime64[D]").astype("float64")
    return numbers


def tick_labels(values: Sequence[float], unit: Unit) -> list[str]:
    """Labels with just the decimals that their distance needs, and money in one scale on the whole axis."""
    step = values[1] - values[0]
    if unit is not USD:
        return [unit.show(value, _decimals(step)) for value in values]
    largest = max(map(abs, values), default=0.0)
    scale, suffix = next((item for item in _SCALES if largest >= item[0]), _SCALES[-1])
    places = _decimals(step / scale)
    return [_money(value / scale, places, suffix) for value in values]


def _money(value: float, places: int, suffix: str) -> str:
    if not value:
        return "$0"
    return f"{MINUS if value < 0 else '+'}${abs(value):,.{places}f}{suffix}"


def _decimals(step: float) -> int:
    """Fewest decimals that write the step exactly, e.g. 0 for 20, 1 for 2.5, 2 for 0.05."""
    return next((places for places in range(12) if math.isclose(round(step, places), step, rel_tol=1e-6)), 12)


def limits(values: np.ndarray) -> tuple[float, float]:
    """Lower and upper end of an axis with a margin around all (finite) `values`. They are never equal."""
    low, high = float(values.min()), float(values.max())
    air = 0.06 * (high - low)
    if air <= 1e-9 * max(abs(low), abs(high)):  # flat, or differing only by rounding
        air = 0.05 * max(abs(low), abs(high)) or 1.0
    return low - air, high + air


def spread(wanted: Sequence[float], height: float, low: float, high: float) -> list[float]:
    """Centres of labels of one height, near the wanted ones, in their order, `height` or more apart.

    All are between `low` and `high` if they fit, else they start at `low` and exceed `high`.
    """
    order = sorted(range(len(wanted)), key=lambda item: wanted[item])
    targets = [wanted[item] for item in order]
    upward = _pushed(targets, height)
    downward = [-place for place in reversed(_pushed([-place for place in reversed(targets)], height))]
    # The mean of two orders that keep the distance keeps it too, and favours neither label.
    places = [(up + down) / 2 for up, down in zip(upward, downward, strict=True)]
    for number in range(len(places) - 1, -1, -1):
        ceiling = high - height / 2 - (len(places) - 1 - number) * height
        places[number] = min(places[number], ceiling)
    for number in range(len(places)):
        places[number] = max(places[number], low + height / 2 + number * height)
    return [place for _, place in sorted(zip(order, places, strict=True))]


def _pushed(places: Sequence[float], height: float) -> list[float]:
    """Ascending places pushed upward until each is `height` above the one before."""
    pushed: list[float] = []
    for place in places:
        pushed.append(max(place, pushed[-1] + height) if pushed else place)
    return pushed
