"""What a metric is, and its current reading.

METRICS, the one registry, is in `registry.py`: commands, alert words, units, charts, help and tables
derive from it. A metric's `history` maps a Market and its arguments to a Series on sessions, NaN or
absent where undefined; the value at t uses nothing after t. The current value is the last point of
the history. Adding a metric is one entry in `registry.py` and one pure function.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bot.analytics.market import PAIR
from bot.analytics.windows import Window

if TYPE_CHECKING:
    import pandas as pd

    from bot.analytics.market import Market
    from bot.analytics.units import Unit

Argument = Window | int | str | dt.date
Arguments = Mapping[str, Argument]


@dataclass(frozen=True)
class Parameter:
    """One argument of a metric.

    `kind` is window, count, fund, convention or date; without a default it must be given.
    """

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
    part: str = "prices"  # the part of the Market it reads: prices, facts or multiples
    meaning: str  # one sentence for people
    formula: str  # in the field's notation, with its source where it has one
    example: str  # a rule that can be typed; every example is itself a test

    def defaults(self) -> dict[str, Argument]:
        """Arguments that hold when none is given; a parameter without a default is left out."""
        return {p.name: p.default for p in self.parameters if p.default is not None}


@dataclass(frozen=True)
class Reading:
    """A metric's value with its session, source and age; value is None where it cannot be given."""

    value: float | None
    session: pd.Timestamp | None
    source: str
    sessions_behind: int = 0
    reason: str = ""  # why there is no value


def sources_of(metric: Metric, market: Market, arguments: Arguments) -> str:
    """Labels of the sources that a metric reads, e.g. "Yahoo" or "issuer file, Yahoo"."""
    if metric.part == "facts":
        funds = [str(arguments["fund"])] if "fund" in arguments else list(PAIR)
        parts = [f"facts:{fund}" for fund in funds]
    else:
        parts = [metric.part]
    return ", ".join(dict.fromkeys(market.source(part).label for part in parts))


def reading(metric: Metric, market: Market, arguments: Arguments) -> Reading:
    """Current value of a metric: the last point of its history, with session, source and age."""
    source = sources_of(metric, market, arguments)
    history = metric.history(market, arguments)
    known = history[np.isfinite(history.to_numpy(dtype="float64"))] if len(history) else history
    if known.empty:
        return Reading(None, None, source, reason=_why_nothing(metric, market, arguments))
    session = known.index[-1]
    return Reading(float(known.iloc[-1]), session, source, max(market.behind(session) - metric.lag, 0))


def _why_nothing(metric: Metric, market: Market, arguments: Arguments) -> str:
    """One clause that says what is missing for a metric without any value."""
    if market.end is None:
        return "no prices stored"
    if metric.part == "facts":
        funds = [str(arguments["fund"])] if "fund" in arguments else list(PAIR)
        lacking = [fund for fund in funds if market.fund(fund)["shares"].dropna().empty]
        if lacking:
            return f"no fund facts of {' and '.join(lacking)} stored"
    if metric.part == "multiples":
        return (
            "no such multiple stored for both funds" if "fund" not in arguments else "no such multiple stored"
        )
    return f"too little history (prices from {market.pair.index[0]:%Y-%m-%d})"
