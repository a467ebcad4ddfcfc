"""/alert without a rule: a choice in steps. What was chosen stands in the buttons, behind "/alert new"."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from bot.alerts.grammar import parse_rule, preset_of
from bot.alerts.rule import CROSSES
from bot.analytics.metrics import metrics_of
from bot.errors import BadInput
from bot.messages.alerts.guide import (
    TOPICS,
    comparison_page,
    confirmation,
    metric_page,
    parameter_page,
    target_page,
    topic_of,
    topic_page,
)
from bot.services import alerts, metrics_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bot.alerts.grammar import Preset
    from bot.alerts.rule import Rule
    from bot.analytics.market import Market
    from bot.analytics.metrics import Metric, Parameter
    from bot.messages.common import Answer
    from bot.services import Caller, Services


_OPS = {">": ">", "<": "<", "cross": CROSSES}
_COUNTS = (5, 10, 20, 50, 60, 100, 200, 252)  # sessions people think in: a week, a month, ..., a year
_WINDOWS = ("5d", "20d", "1m", "3m", "6m", "1y", "ytd")
_DATES = ("since 2010-01-04", "since 2015-01-02", "since 2020-01-02")


async def guide_page(services: Services, caller: Caller, text: str) -> Answer:
    """The page that follows what was chosen so far; raises BadInput for what no button says."""
    words = text.split()
    if not words:
        return topic_page()
    if words[0] in TOPICS and all(word.isascii() and word.isdigit() for word in words[1:]):
        return metric_page(services.pair, words[0], int("".join(words[1:])[:3] or 1))
    if (preset := preset_of(text)) is not None:
        return await _confirm(services, caller, preset.rule, "/alert", preset)
    metric = metrics_of(services.pair).get(words[0].lower())
    if metric is None:
        raise BadInput(f"“{words[0]}” is nothing to choose.", "/alert new")
    return await _metric(services, caller, metric, words[1:])


async def _metric(services: Services, caller: Caller, metric: Metric, words: Sequence[str]) -> Answer:
    """The next page for a metric: an argument that is lacking, comparison, target, or the whole rule."""
    given, rest = _arguments(metric, words)
    line = " ".join((metric.name, *given))
    back = " ".join(("/alert new", *((metric.name, *given[:-1]) if given else (topic_of(metric),))))
    if len(given) < len(metric.parameters) and not rest:
        parameter, market = metric.parameters[len(given)], await services.markets.current()
        return parameter_page(line, metric, parameter, _choices(parameter, market), back)
    if rest and rest[0] not in _OPS:
        raise BadInput(f"“{rest[0]}” is nothing to choose after “{line}”.", "/alert new")
    if len(rest) > 1:
        return await _confirm(services, caller, " ".join((line, *rest)), _before(line, rest))
    context = await alerts.evaluation_context(services, caller.chat)
    rule = _read(f"{line} {_OPS[rest[0]] if rest else '>'} 0", context.market)
    condition = rule.conditions[0]
    if not rest:
        return await asyncio.to_thread(
            comparison_page, line, metric, dict(condition.arguments), context, back
        )
    return await asyncio.to_thread(target_page, f"{line} {rest[0]}", condition, context, f"/alert new {line}")


def _arguments(metric: Metric, words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The arguments chosen so far, each as it is typed, and the words behind them."""
    given: list[str] = []
    left = list(words)
    while left and left[0] not in _OPS and len(given) < len(metric.parameters):
        width = 2 if left[0] == "since" else 1
        given.append(" ".join(left[:width]))
        left = left[width:]
    return given, left


def _before(line: str, rest: Sequence[str]) -> str:
    """The page before the whole rule: without its options, else without its target."""
    for option in ("confirm", "once"):
        if option in rest:
            return " ".join(("/alert new", line, *rest[: rest.index(option)]))
    return f"/alert new {line} {rest[0]}"


def _choices(asked: Parameter, market: Market) -> list[str]:
    """What is offered for an argument; any other can be typed."""
    match asked.kind:
        case "count":
            usual = asked.default if isinstance(asked.default, int) else asked.low
            return [str(count) for count in sorted({*_COUNTS, usual}) if asked.low <= count <= asked.high]
        case "window":
            return [window for window in _WINDOWS if not (asked.counted and window == "ytd")]
        case "date":
            return list(_DATES)
        case "convention":
            stored = set(market.multiples["convention"])
            return [name for name in asked.choices if not stored or name in stored]
    return [choice.lower() for choice in asked.choices]


def _read(text: str, market: Market) -> Rule:
    try:
        return parse_rule(text, metrics_for(market))
    except BadInput as error:
        raise BadInput(error.sentence, "/alert new") from error


async def _confirm(
    services: Services, caller: Caller, text: str, back: str, preset: Preset | None = None
) -> Answer:
    """The whole rule with a button that creates the alert; nothing is stored yet."""
    rule = _read(text, await services.markets.current())
    shown = await alerts.preview(services, caller, rule)
    return await asyncio.to_thread(confirmation, shown.alert, shown.context, shown.past, back, preset)
