"""Phrases about one figure: its place in history, its age, its distance from an alert's target."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pandas as pd

from bot.alerts.rule import AMOUNT
from bot.analytics.metrics import sources_of
from bot.analytics.registry import METRICS
from bot.analytics.units import LEVEL, MINUS, MULTIPLE, PERCENT, POINTS
from bot.analytics.valuation import percentile_rank
from bot.rendering.text import age_phrase, short_date

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bot.alerts.bars import Histories
    from bot.alerts.rule import Condition, Rule, Target
    from bot.analytics.market import Market
    from bot.analytics.units import Unit

# Distances of these are in percent of the target, because a hundredth of a ratio means little.
_RELATIVE = {LEVEL.name, MULTIPLE.name}


CURRENT = "current"


def percentile_phrase(history: pd.Series) -> str | None:
    """The percentile of the last value in its history, e.g. "percentile 12 (n = 2,757 since 31 Dec 2009)".

    100 is the highest value so far. Returns None for fewer than two values.
    """
    known = history.dropna()
    rank = percentile_rank(known)
    if rank is None:
        return None
    return f"percentile {math.floor(rank)} (n = {len(known):,} since {short_date(known.index[0])})"


def latest_starting_condition(rule: Rule, histories: Histories) -> Condition:
    """The condition whose history begins last, one without any history before all others."""

    def first(condition: Condition) -> pd.Timestamp:
        series = histories.series(condition)
        session = (series.value - series.threshold).first_valid_index()
        return pd.Timestamp.max if session is None else pd.Timestamp(session)

    return max(rule.conditions, key=first)


def age(market: Market, session: pd.Timestamp, late: int = 0) -> str:
    """Age of a figure whose inputs arrive `late` sessions after it: "current", "2 sessions old"."""
    return age_phrase(market.behind(session) - late) or CURRENT


def sources_behind(conditions: Iterable[Condition], market: Market) -> list[str]:
    """The sources of what conditions are judged on, each once."""
    labels = (
        sources_of(METRICS[condition.metric], market, dict(condition.arguments)) for condition in conditions
    )
    return list(dict.fromkeys(labels))


def source_line(rule: Rule, market: Market, old: int) -> str:
    """Sources of what a rule is judged on and its age in sessions, e.g. "Source: Yahoo, current."."""
    labels = sources_behind(rule.conditions, market)
    word = "Source" if len(labels) == 1 else "Sources"
    return f"{word}: {'; '.join(labels)}, {age_phrase(old) or CURRENT}."


def target_phrase(target: Target, level: float, unit: Unit) -> str:
    """A target in words: an amount as it was typed, one that moves with its level of the day."""
    if target.kind == AMOUNT:
        return str(target).replace("-", MINUS)
    return f"{target} ({unit.show(level)})"


def difference_unit(unit: Unit) -> Unit:
    """The unit of a difference: that of two percentages is percentage points."""
    return POINTS if unit.symbol == "%" else unit


def width(unit: Unit, difference: float) -> str:
    """The size of a difference, without its sign."""
    return unit.show(abs(difference)).lstrip("+")


def distance(condition: Condition, value: float, level: float) -> str:
    """How far a value is from its target and on which side: "0.73% above sma 200 (0.4642)"."""
    unit, gap = METRICS[condition.metric].unit, value - level
    aim = target_phrase(condition.target, level, unit)
    if gap == 0:
        return f"exactly at {aim}"
    side = "above" if gap > 0 else "below"
    relative = unit.name in _RELATIVE and level != 0
    shown = width(PERCENT, 100 * gap / level) if relative else width(difference_unit(unit), gap)
    return f"{shown} {side} {aim}" if any(digit in shown for digit in "123456789") else f"just {side} {aim}"
