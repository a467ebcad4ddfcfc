"""Splits change a level of prices; rules set on it need another level."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from msgspec.structs import replace

from bot.alerts.rule import AMOUNT, Condition, Rule

if TYPE_CHECKING:
    from bot.alerts.state import State
    from bot.analytics.metrics import Metric
    from bot.pair import Pair

_DIGITS = 9  # of a rescaled amount: 0.52 in three is 0.173333333


def level_factor(pair: Pair, share_factors: Iterable[tuple[str, float]]) -> float:
    """The ratio's new level by its old one, from tickers and new shares per old share.

    A split of the small fund lowers the ratio, one of the large fund raises it.
    """
    return math.prod(
        1 / factor if ticker == pair.small.ticker else factor for ticker, factor in share_factors
    )


def reads_level(rule: Rule, registry: Mapping[str, Metric]) -> bool:
    """Whether a condition reads a level of prices."""
    return any(_is_level(condition, registry) for condition in rule.conditions)


def is_set_on_level(rule: Rule, registry: Mapping[str, Metric]) -> bool:
    """Whether a condition compares a level of prices with an amount."""
    return any(_is_level(c, registry) and c.target.kind == AMOUNT for c in rule.conditions)


def rescaled_rule(rule: Rule, factor: float, registry: Mapping[str, Metric]) -> Rule:
    """The rule with its amounts of levels of prices multiplied by a factor."""
    conditions = tuple(_rescaled(condition, factor, registry) for condition in rule.conditions)
    rearm = rule.rearm
    if rearm is not None and _is_level(rule.conditions[0], registry):
        rearm = _rounded(rearm * factor)
    return replace(rule, conditions=conditions, rearm=rearm)


def state_after_split(rule: Rule, state: State, factor: float, registry: Mapping[str, Metric]) -> State:
    """The state in the new shares, without the session's figures, so that no earlier session is replayed."""
    factors = tuple(factor if _is_level(condition, registry) else 1.0 for condition in rule.conditions)
    scaled = [
        (band * by, None if value is None else value * by)
        for band, value, by in zip(state.bands, state.values, factors, strict=True)
    ]
    bands, values = zip(*scaled, strict=True)
    return replace(state, bands=bands, values=values, legs=())


def _is_level(condition: Condition, registry: Mapping[str, Metric]) -> bool:
    return registry[condition.metric].level_of_prices


def _rescaled(condition: Condition, factor: float, registry: Mapping[str, Metric]) -> Condition:
    target = condition.target
    if target.kind != AMOUNT or not _is_level(condition, registry):
        return condition
    return replace(condition, target=replace(target, value=_rounded(target.value * factor)))


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
