"""METRICS: the one registry. Commands, alert words, units, charts, help and tables derive from it.

A metric's `history` maps a Market and its arguments to a Series on sessions, NaN where undefined;
the value at t uses nothing after t. The current value is the last point of the history.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bot.analytics.windows import Window

if TYPE_CHECKING:
    import pandas as pd

    from bot.analytics.market import Market
    from bot.analytics.units import Unit

Argument = Window | int | str
Arguments = Mapping[str, Argument]


@dataclass(frozen=True)
class Parameter:
    """One argument of a metric: kind is window, count, fund or convention; no default = it must be given."""

    name: str
    kind: str
    default: Argument | None = None
    choices: tuple[str, ...] = ()
    low: int = 1
    high: int = 5_000


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One entry of the registry; see the module docstring for `history`."""

    name: str
    title: str
    unit: Unit
    history: Callable[[Market, Arguments], pd.Series]
    parameters: tuple[Parameter, ...] = ()
    lag: int = 0  # sessions until the inputs of session t are stored
    part: str = "prices"  # the part of the Market it reads: prices, facts, multiples
    chart: str = "line"  # line, bar or cumulative
    meaning: str  # one sentence for people
    formula: str  # in the field's notation, with its source where it has one
    example: str  # a rule that can be typed; every example is itself a test


@dataclass(frozen=True)
class Reading:
    """A metric's value with its session, source and age; value is None where it cannot be given."""

    value: float | None
    session: pd.Timestamp | None
    source: str
    sessions_behind: int = 0
    flags: tuple[str, ...] = ()
    reason: str = ""  # why there is no value
