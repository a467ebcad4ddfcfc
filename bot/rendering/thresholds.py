"""Suggests targets for a metric from its own history, for the guide."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec.structs import replace

from bot.alerts.backtest import frequency
from bot.alerts.rule import ABOVE, AMOUNT, CROSSES, Rule, Target
from bot.analytics.registry import METRICS
from bot.analytics.units import LEVEL, MULTIPLE, SHARE

if TYPE_CHECKING:
    import pandas as pd

    from bot.alerts.rule import Condition
    from bot.alerts.view import EvaluationContext
    from bot.analytics.metrics import Metric

_LEAST = 60  # values below which a percentile says nothing
_LEVELS = {LEVEL.name, MULTIPLE.name, SHARE.name}  # have no natural zero: their own average is the line
_COUNTS = (5, 10, 20, 50, 100, 150, 200, 252, 500)  # sessions of averages, highs and lows people use
_SHARES = (5.0, 10.0, 20.0, 50.0, 80.0, 90.0, 95.0)  # percentiles
_STEPS_A_SPREAD = 12  # from the 10th to the 90th percentile


@dataclass(frozen=True)
class Suggestion:
    """A target, its meaning, and how often a rule with it would have fired (None without any history)."""

    target: Target
    meaning: str
    fires: int | None


def suggested_targets(condition: Condition, context: EvaluationContext) -> list[Suggestion]:
    """Targets for the metric, arguments and comparison of `condition`, whose own target is ignored."""
    metric, values = METRICS[condition.metric], _values(condition, context)
    meanings: dict[Target, str] = {}
    for target, meaning in _candidates(metric, condition.op, values):
        meanings.setdefault(target, meaning)
    return [
        Suggestion(target, meaning, _fires(replace(condition, target=target), context))
        for target, meaning in meanings.items()
    ]


def _values(condition: Condition, context: EvaluationContext) -> pd.Series:
    watched = replace(condition, target=Target(AMOUNT, 0.0))
    return context.histories.series(watched).value.dropna()


def _candidates(metric: Metric, op: str, values: pd.Series) -> list[tuple[Target, str]]:
    """Possible targets: levels of its own history, zero, its average, its extremes."""
    symbol, level = metric.unit.symbol, metric.unit.name in _LEVELS
    candidates: list[tuple[Target, str]] = []
    if len(values) >= _LEAST:
        grid = _grid(values)
        shares = (50,) if op == CROSSES else (90, 75) if op in ABOVE else (10, 25)
        for share in shares:
            amount = _rounded(float(values.quantile(share / 100)), grid)
            candidates.append(
                (Target(AMOUNT, amount, symbol), "its median" if share == 50 else f"its {share}th pct")
            )
    if not level and (values.empty or values.min() < 0 < values.max()):
        candidates.append((Target(AMOUNT, 0.0, symbol), "its sign"))
    if level:
        candidates.append((Target("sma", 200.0), "its average"))
        if op != CROSSES:
            candidates.append((Target("high" if op in ABOVE else "low", 252.0), "a year's"))
    if op != CROSSES:
        candidates.append((Target("pct", 90.0 if op in ABOVE else 10.0), "as it moves"))
    return candidates


def _fires(condition: Condition, context: EvaluationContext) -> int | None:
    rule = Rule((condition,))
    fires = frequency(rule, context.histories.sample_series(rule, sessions=context.market.sessions))
    return None if fires.since is None else fires.count


def _grid(values: pd.Series) -> float:
    """The step between amounts worth offering: 1, 2 or 5 times a power of ten."""
    spread = float(values.quantile(0.9) - values.quantile(0.1)) or abs(float(values.iloc[-1])) or 1.0
    power = 10.0 ** math.floor(math.log10(spread / _STEPS_A_SPREAD))
    ratio = spread / _STEPS_A_SPREAD / power
    return power * (5 if ratio >= 5 else 2 if ratio >= 2 else 1)


def _rounded(amount: float, grid: float) -> float:
    """The multiple of the grid nearest to the amount, without the dust of binary fractions."""
    return float(f"{round(amount / grid) * grid:.10g}") or 0.0


def neighbouring_targets(condition: Condition, context: EvaluationContext) -> list[Target]:
    """The next lower and the next higher target of the same kind, as far as they exist."""
    target = condition.target
    match target.kind:
        case "sma" | "high" | "low":
            return _beside(target, tuple(map(float, _COUNTS)))
        case "pct":
            return _beside(target, _SHARES)
    values = _values(condition, context)
    if len(values) < _LEAST:
        return []
    grid = _grid(values)
    return [replace(target, value=_rounded(target.value + way * grid, grid)) for way in (-1, 1)]


def _beside(target: Target, steps: tuple[float, ...]) -> list[Target]:
    lower = [step for step in steps if step < target.value][-1:]
    higher = [step for step in steps if step > target.value][:1]
    return [replace(target, value=step) for step in (*lower, *higher)]
