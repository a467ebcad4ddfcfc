"""Splits: a level of prices is another number afterwards, and so is what was set on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from bot.alerts.rule import AMOUNT, Condition, Rule
from bot.alerts.state import Leg, State

if TYPE_CHECKING:
    from bot.analytics.metrics import Metric

_DIGITS = 9  # of a rescaled amount: 0.52 in three is 0.173333333


def rescale(
    rule: Rule, states: Sequence[State], factor: float, registry: Mapping[str, Metric]
) -> tuple[Rule, tuple[State, ...]]:
    """Rule and states in the units after a split; equal to those given where a split changes nothing.

    factor  the metric's new level by its old one: 0.5 for the ratio when the small fund splits two for one,
            2 when the large one does

    Only metrics that are a level of prices are touched (Metric.level_of_prices): their amounts, the
    re-arm level, bands, and the figures in the states. Their other targets follow the data by
    themselves. Nothing fires or arms by it, and figures restated by the same factor are no revision.
    """
    factors = tuple(factor if registry[c.metric].level_of_prices else 1.0 for c in rule.conditions)
    conditions = tuple(map(_condition, rule.conditions, factors))
    rearm = None if rule.rearm is None else _amount(rule.rearm, factors[0])
    rescaled = replace(rule, conditions=conditions, rearm=rearm)
    return rescaled, tuple(_state(rescaled, state, factors) for state in states)


def _amount(value: float, factor: float) -> float:
    return value if factor == 1 else float(f"{value * factor:.{_DIGITS}g}")


def _condition(condition: Condition, factor: float) -> Condition:
    target = condition.target
    if target.kind != AMOUNT:
        return condition
    return replace(condition, target=replace(target, value=_amount(target.value, factor)))


def _state(rule: Rule, state: State, factors: tuple[float, ...]) -> State:
    return replace(
        state,
        bands=tuple(band * factor for band, factor in zip(state.bands, factors, strict=True)),
        values=tuple(map(_times, state.values, factors)),
        legs=tuple(map(_leg, rule.conditions, state.legs, factors)),
    )


def _leg(condition: Condition, leg: Leg, factor: float) -> Leg:
    """The figures rescaled; an amount's threshold is the rule's own, to its last digit."""
    fixed = condition.target.kind == AMOUNT and leg.threshold is not None
    threshold = condition.target.value if fixed else _times(leg.threshold, factor)
    return Leg(_times(leg.value, factor), threshold)


def _times(figure: float | None, factor: float) -> float | None:
    return None if figure is None else figure * factor
