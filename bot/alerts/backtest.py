"""Backtest: the engine's own step over history."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pandas as pd

from bot.alerts.bars import bars
from bot.alerts.engine import bands, directions, judge, start, truth

if TYPE_CHECKING:
    from bot.alerts.rule import Rule
    from bot.alerts.state import Bar
    from bot.analytics.market import Market
    from bot.analytics.metrics import Metric

YEARS = 5


@dataclass(frozen=True)
class Frequency:
    """How often a rule would have told its owner between two sessions, both included.

    dates   sessions of the fires, oldest first; those muted by the cooldown are not in it
    since   first session that was judged, later than asked for where history is short
    """

    dates: tuple[dt.date, ...]
    since: dt.date | None
    until: dt.date | None

    @property
    def count(self) -> int:
        """Number of fires."""
        return len(self.dates)


def how_often(
    rule: Rule,
    market: Market,
    registry: Mapping[str, Metric],
    sessions: pd.DatetimeIndex | None = None,
    years: int = YEARS,
) -> Frequency:
    """Fires over the last `years` of the Market, with the bands the rule would be given today."""
    return frequency(rule, bars(rule, market, registry, sessions=sessions), years)


def frequency(rule: Rule, history: list[Bar], years: int = YEARS) -> Frequency:
    """Fires over the last `years` of a rule's bars; `once` and `until` are left aside."""
    history = _answered(history)
    begin = _begin(rule, history, years)
    if begin >= len(history):
        return Frequency((), None, None)
    state = replace(start(rule, history[:begin], history[0].session), bands=bands(rule, history))
    run = judge(replace(rule, once=False, until=None), state, history[begin:])
    dates = tuple(event.session for event in run.events if not event.muted)
    return Frequency(dates, history[begin].session, history[-1].session)


def without_band(rule: Rule, history: list[Bar], years: int = YEARS) -> int:
    """How often the rule would have fired with no band at all: what the band keeps quiet."""
    history = _answered(history)
    begin = _begin(rule, history, years)
    if begin >= len(history):
        return 0
    bare = replace(rule, once=False, until=None, rearm=None)
    flat = tuple(0.0 for _ in rule.conditions)
    state = replace(start(bare, history[:begin], history[0].session), bands=flat)
    return sum(not event.muted for event in judge(bare, state, history[begin:]).events)


def _answered(history: list[Bar]) -> list[Bar]:
    """The bars up to the last one that has any figure: years are counted back from the data's end."""
    end = len(history)
    while end and all(leg.pair is None for leg in history[end - 1].legs):
        end -= 1
    return history[:end]


def _begin(rule: Rule, history: list[Bar], years: int) -> int:
    """Position of the first bar to judge: within the span, and after one that says where it stands."""
    if not history:
        return 0
    first: dt.date = (pd.Timestamp(history[-1].session) - pd.DateOffset(years=years)).date()
    ways = directions(rule)
    for position, bar in enumerate(history, start=1):
        if any(truth(ops, bar) is not None for ops in ways):
            return max(position, sum(earlier.session <= first for earlier in history))
    return len(history)
