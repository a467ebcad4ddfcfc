"""How far a rule is from firing, or from re-arming, and how near that is measured by the last year."""

from dataclasses import dataclass

import numpy as np

from bot.alerts.engine import BAND_VALUES, ConditionValue, State, rearm_levels, side_ops
from bot.alerts.rule import ABOVE, CROSSES, Condition, Rule
from bot.alerts.series import Histories


@dataclass(frozen=True)
class Distance:
    """How far a condition's value is from a level.

    gap    how much the value must rise (above zero) or fall to reach the level, in the metric's unit
    share  0: as far as it was at most within the last year; 1: there
    """

    condition: Condition
    value: float
    level: float
    share: float

    @property
    def gap(self) -> float:
        """The level less the value."""
        return self.level - self.value


def to_fire(rule: Rule, histories: Histories) -> Distance | None:
    """The distance of the group nearest to true: that of its farthest condition; None without figures."""
    groups = rule.grouped([_distance(condition, histories) for condition in rule.conditions])
    farthest = [
        min((row for row in group if row is not None), key=lambda row: row.share)
        for group in groups
        if None not in group
    ]
    return max(farthest, key=lambda row: row.share, default=None)


def to_rearm(rule: Rule, state: State, histories: Histories) -> Distance | None:
    """How far a rule that fired is from re-arming: the farthest group, by its nearest condition."""
    distances = [_distance(condition, histories) for condition in rule.conditions]
    figures = [ConditionValue(None, None) if row is None else ConditionValue(row.value, row.level) for row in distances]
    levels = rearm_levels(rule, state, side_ops(rule)[0], figures)
    back = [
        None if row is None or level is None else Distance(row.condition, row.value, level, 1.0)
        for row, level in zip(distances, levels, strict=True)
    ]
    groups = [list(filter(None, group)) for group in rule.grouped(back)]
    nearest = [min(group, key=_relative) for group in groups if group]
    return max(nearest, key=_relative, default=None)


def _relative(distance: Distance) -> float:
    return abs(distance.gap / (distance.level or 1.0))


def _distance(condition: Condition, histories: Histories) -> Distance | None:
    series = histories.series(condition)
    value = series.value.to_numpy()[-BAND_VALUES:]
    level = series.threshold.to_numpy()[-BAND_VALUES:]
    known = np.isfinite(value) & np.isfinite(level)
    if not known.any():
        return None
    gaps = (level - value)[known]
    if condition.op == CROSSES:
        gaps = np.abs(gaps)
    elif condition.op not in ABOVE:
        gaps = -gaps
    farthest = float(gaps.max())
    share = 1.0 if gaps[-1] <= 0 or farthest <= 0 else 1.0 - float(gaps[-1]) / farthest
    return Distance(condition, float(value[known][-1]), float(level[known][-1]), share)
