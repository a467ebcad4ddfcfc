"""Strategies: any rule on the metrics of a registry."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from bot.alerts.grammar import refuse_contradiction
from bot.alerts.lexer import plain_note
from bot.alerts.rule import OPS, Condition, Rule, Target
from bot.analytics.windows import Window
from bot.errors import BadInput
from tests.funds import PAIR

if TYPE_CHECKING:
    from bot.analytics.metrics import Argument, Metric, Parameter


DATES = st.dates(dt.date(1993, 1, 1), dt.date(2100, 1, 1))
COUNTED = st.builds(Window, st.sampled_from(["d", "w", "m", "y"]), st.integers(1, 100))
SINCE = DATES.map(lambda day: Window("since", since=day))
WINDOWS = st.one_of(COUNTED, st.sampled_from([Window("ytd"), Window("mtd")]), SINCE)
AMOUNTS = (
    st.floats(-1e12, 1e12)
    .map(lambda value: float(f"{value:.9g}"))
    .filter(lambda value: value == 0 or abs(value) > 1e-6)
)
NOTES = st.text(st.characters(exclude_characters='"“”«»„', exclude_categories=["Cs"]), max_size=20)


def arguments(parameter: Parameter) -> st.SearchStrategy[Argument]:
    match parameter.kind:
        case "count":
            return st.integers(parameter.low, parameter.high)
        case "window":
            return COUNTED if parameter.counted else WINDOWS
        case "date":
            return SINCE
    return st.sampled_from(parameter.choices or PAIR)


def targets(metric: Metric) -> st.SearchStrategy[Target]:
    return st.one_of(
        AMOUNTS.map(lambda value: Target("amount", value + 0.0, metric.unit.symbol)),
        st.builds(Target, st.sampled_from(["sma", "high", "low"]), st.integers(2, 5000).map(float)),
        st.integers(0, 1000).map(lambda value: Target("pct", value / 10)),
    )


@st.composite
def conditions(draw: st.DrawFn, registry: Mapping[str, Metric], ops: tuple[str, ...] = OPS) -> Condition:
    metric = draw(st.sampled_from(list(registry.values())))
    values = tuple((parameter.name, draw(arguments(parameter))) for parameter in metric.parameters)
    op = draw(st.sampled_from(ops))

    def possible(target: Target) -> bool:
        return target.kind != "amount" or metric.range.allows(op, target.value)

    return Condition(metric.name, values, op, draw(targets(metric).filter(possible)))


@st.composite
def rules(draw: st.DrawFn, registry: Mapping[str, Metric]) -> Rule:
    or_at = draw(st.sampled_from([(), (), (1,), (2,), (1, 2)]))
    ops, least = (OPS[:-1], or_at[-1] + 1) if or_at else (OPS, 1)
    legs = tuple(draw(st.lists(conditions(registry, ops), min_size=least, max_size=3)))
    try:
        refuse_contradiction(Rule(legs, or_at))
    except BadInput:
        legs, or_at = legs[:1], ()
    once = draw(st.booleans())
    sound = draw(st.sampled_from(["", "urgent", "silent"]))
    rearm = None
    if len(legs) == 1 and legs[0].target.kind == "amount" and legs[0].op != "crosses" and draw(st.booleans()):
        distance = draw(st.integers(1, 1000)) * 10.0
        value = legs[0].target.value
        above = legs[0].op in {">", ">="}
        rearm = value - distance if above else value + distance
        if registry[legs[0].metric].range.never("<=" if above else ">=", rearm):
            rearm = None
    return Rule(
        legs,
        or_at,
        confirm=draw(st.integers(1, 250)),
        rearm=None if rearm == legs[0].target.value else rearm,
        cooldown=0 if once else draw(st.integers(0, 250)),
        remind=0 if once else draw(st.integers(0, 250)),
        back="crosses" not in {leg.op for leg in legs} and draw(st.booleans()),
        once=once,
        until=draw(st.one_of(st.none(), DATES)),
        urgent=sound == "urgent",
        silent=sound == "silent",
        note=plain_note(draw(NOTES)),
    )
