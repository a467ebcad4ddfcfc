"""What a metric is, and its current reading.

METRICS, the one registry, is in `registry.py`: commands, alert words, units, charts, help and tables
derive from it. A metric's `history` maps a Market and its arguments to a Series on sessions, NaN or
absent where undefined; the value at t uses nothing after t. The current value is the last point of
the history. Adding a metric is one entry in `registry.py` and one pure function.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from bot.analytics.dates import short_date
from bot.analytics.market import NOTHING
from bot.analytics.windows import Window

if TYPE_CHECKING:
    import pandas as pd

    from bot.analytics.market import Market
    from bot.analytics.units import Unit
    from bot.pair import Pair

Argument = Window | int | str | dt.date
Arguments = Mapping[str, Argument]


@dataclass(frozen=True)
class Parameter:
    """One argument of a metric.

    `kind` is window, count, fund, convention or date; without a default it must be given. Of a fund,
    default and choices are templates of the pair.
    """

    name: str
    kind: str
    default: Argument | None = None
    choices: tuple[str, ...] = ()
    low: int = 1
    high: int = 5_000
    counted: bool = False  # only a window that has a length, not ytd, mtd, since

    def of_pair(self, pair: Pair) -> Parameter:
        """The parameter with the pair's tickers in place of their names."""
        if self.kind != "fund":
            return self
        return replace(
            self, default=pair.fill(str(self.default)), choices=tuple(map(pair.fill, self.choices))
        )


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One entry of the registry; see the module docstring for `history`.

    In the registry title, meaning, formula and example are templates of the pair; `of_pair` fills them.
    """

    name: str
    title: str
    unit: Unit
    history: Callable[[Market, Arguments], pd.Series]
    parameters: tuple[Parameter, ...] = ()
    lag: int = 0  # sessions until the inputs of session t are stored
    level_of_prices: bool = False  # a level in units of prices: a split rescales it and pauses rules on it
    part: str = "prices"  # the part of the Market it reads: prices, facts or multiples
    meaning: str  # one sentence for people
    formula: str  # in the field's notation, with its source where it has one
    example: str  # a rule that can be typed; every example is itself a test

    def of_pair(self, pair: Pair) -> Metric:
        """The metric with the pair's tickers in its texts and parameters."""
        return replace(
            self,
            parameters=tuple(parameter.of_pair(pair) for parameter in self.parameters),
            title=pair.fill(self.title),
            meaning=pair.fill(self.meaning),
            formula=pair.fill(self.formula),
            example=pair.fill(self.example),
        )

    def defaults(self) -> dict[str, Argument]:
        """Arguments that hold when none is given; a parameter without a default is left out."""
        return {p.name: p.default for p in self.parameters if p.default is not None}


@dataclass(frozen=True)
class MetricValue:
    """A metric's value with its session, source and age; value is None where it cannot be given."""

    value: float | None
    session: pd.Timestamp | None
    source: str
    sessions_behind: int = 0
    reason: str = ""  # why there is no value


def funds_of(pair: Pair, arguments: Arguments) -> tuple[str, ...]:
    """Tickers of the fund that a metric is asked for, or of both."""
    return (str(arguments["fund"]),) if "fund" in arguments else pair.tickers


def sources_of(metric: Metric, market: Market, arguments: Arguments) -> str:
    """Labels of the sources that a metric reads, e.g. "issuer file, Yahoo"; "no data" without any."""
    parts = parts_of(metric, market.pair, arguments)
    labels = dict.fromkeys(market.source(part).label for part in parts if part in market.sources)
    return ", ".join(labels) or NOTHING.label


def parts_of(metric: Metric, pair: Pair, arguments: Arguments) -> list[str]:
    """Parts of the Market that a metric reads: "prices", "multiples", "facts:IWM"."""
    if metric.part != "facts":
        return [metric.part]
    return [f"facts:{fund}" for fund in funds_of(pair, arguments)]


def metric_value(metric: Metric, market: Market, arguments: Arguments) -> MetricValue:
    """Current value of a metric: the last point of its history, with session, source and age."""
    source = sources_of(metric, market, arguments)
    history = metric.history(market, arguments)
    known = history[np.isfinite(history.to_numpy(dtype="float64"))] if len(history) else history
    if known.empty:
        return MetricValue(None, None, source, reason=_why_nothing(metric, market, arguments))
    session = known.index[-1]
    return MetricValue(float(known.iloc[-1]), session, source, max(market.behind(session) - metric.lag, 0))


def _why_nothing(metric: Metric, market: Market, arguments: Arguments) -> str:
    """One clause that says what is missing for a metric without any value."""
    for parameter in metric.parameters:
        window = arguments.get(parameter.name)
        if parameter.counted and isinstance(window, Window) and not window.counted:
            return f"{window} has no window before it"
    if metric.part == "multiples":
        both = "" if "fund" in arguments else " for both funds"
        return f"no such multiple stored{both}"
    if metric.part == "facts":
        return _why_no_flow(market, funds_of(market.pair, arguments))
    if market.end is None:
        return "no closes of both funds stored"
    return f"too little history (prices from {short_date(market.closes.index[0])})"


def _why_no_flow(market: Market, funds: tuple[str, ...]) -> str:
    counts = {fund: market.fund(fund)["shares"].dropna().index for fund in funds}
    lacking = [fund for fund, sessions in counts.items() if sessions.empty]
    if lacking:
        return f"no share counts of {' and '.join(lacking)} stored"
    return f"too little history (share counts from {short_date(max(s[0] for s in counts.values()))})"
