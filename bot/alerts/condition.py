"""Conditions: from words to a metric with its arguments, a comparison and a target."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec.structs import replace

from bot.alerts.arguments import read_arguments
from bot.alerts.phrases import METRIC_WORDS, NEGATIVE_WORDS
from bot.alerts.reading import (
    LONGEST,
    Tokens,
    choices,
    got_instead,
    is_amount,
    likest,
    nearest,
    take_amount,
    take_count,
)
from bot.alerts.rule import AMOUNT, CROSSES, Condition, Target
from bot.errors import BadInput

if TYPE_CHECKING:
    from bot.analytics.metrics import Metric

# Kinds of target that take a number, and one that makes a good example.
TARGETS = {"sma": 200.0, "high": 250.0, "low": 250.0, "pct": 90.0}
_PERCENTILE = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)%?")
_MIRROR = {">": "<", "<": ">", ">=": "<=", "<=": ">=", CROSSES: CROSSES}


@dataclass(frozen=True)
class ParsedCondition:
    """A parsed condition; `negative` if amounts were typed with the opposite sign (outflows)."""

    condition: Condition
    metric: Metric
    negative: bool


def read_condition(tokens: Tokens, registry: Mapping[str, Metric]) -> ParsedCondition:
    """Read one condition at the cursor. Raises BadInput."""
    funds, known = [], fund_words(registry)
    while tokens.text in known:
        funds.append(tokens.take())
    metric, negative = _metric(tokens, registry)
    arguments = read_arguments(metric, funds, tokens, registry)
    draft = Condition(metric.name, arguments, tokens.take(), Target(AMOUNT, 0.0))
    condition = replace(draft, target=_target(tokens, metric, draft))
    return ParsedCondition(_mirrored(condition, metric) if negative else condition, metric, negative)


def fund_words(registry: Mapping[str, Metric]) -> tuple[str, ...]:
    """How the funds of these metrics are written, the small one first."""
    funds = (p.choices for metric in registry.values() for p in metric.parameters if p.kind == "fund")
    return tuple(choice.lower() for choice in next(funds, ()))


def _metric_words(registry: Mapping[str, Metric]) -> dict[str, str]:
    """Other words for the metrics of this registry; a name of the registry always wins over them."""
    funds = fund_words(registry)
    tokens = {**METRIC_WORDS, "/".join(funds): "ratio"} if funds else METRIC_WORDS
    return {word: name for word, name in tokens.items() if name in registry and word not in registry}


def _metric(tokens: Tokens, registry: Mapping[str, Metric]) -> tuple[Metric, bool]:
    """The metric that the next words name, the longest name first, and whether it counts outflows."""
    aliases = _metric_words(registry)
    for width in (3, 2, 1):
        typed = tokens.ahead(width, "_")
        name = typed if typed in registry else aliases.get(typed, "")
        if name:
            tokens.take(width)
            return registry[name], name != typed and typed in NEGATIVE_WORDS
    raise _unknown_metric(tokens, registry)


def _unknown_metric(tokens: Tokens, registry: Mapping[str, Metric]) -> BadInput:
    first = next(iter(registry.values())).example
    if not tokens.text:
        return BadInput("The rule stops where a metric is expected.", first)
    aliases = _metric_words(registry)
    near = nearest(tokens.text, [*registry, *aliases])
    if near:
        example = registry[aliases.get(near, near)].example
        return BadInput(f"“{tokens.typed}” is not a metric. Did you mean {near}?", example)
    few = likest(tokens.text, list(registry))
    problem = f"“{tokens.typed}” is not a metric. Metrics are {choices(few, 'and')}, for instance"
    return BadInput(f"{problem}; all of them: /help metrics.", registry[few[0]].example)


def _target(tokens: Tokens, metric: Metric, draft: Condition) -> Target:
    """The target at the cursor, for the condition it completes."""
    expected = f"expected an amount such as {metric.unit.example}, or sma, high, low or pct with a number"
    if not tokens.text:
        raise BadInput(f"“{draft.op}” has no target; {expected}.", metric.example)
    if is_amount(tokens.text):
        return Target(AMOUNT, take_amount(tokens, metric, metric.example), metric.unit.symbol)
    kind = tokens.text
    if kind not in TARGETS:
        near = nearest(kind, TARGETS)
        ending = f". Did you mean {near}?" if near else f"; {expected}."
        raise BadInput(f"“{tokens.typed}” is not a target{ending}", metric.example)
    tokens.take()
    example = str(replace(draft, target=Target(kind, TARGETS[kind])))
    if kind == "pct":
        return Target(kind, _percentile(tokens, example))
    return Target(kind, float(take_count(tokens, kind, 2 if kind == "sma" else 1, LONGEST, example)))


def _percentile(tokens: Tokens, example: str) -> float:
    match = _PERCENTILE.fullmatch(tokens.text)
    if match is None or not 0 <= float(match[1]) <= 100:
        raise BadInput(f"“pct” needs a percentile from 0 to 100{got_instead(tokens)}.", example)
    tokens.take()
    return float(match[1])


def _mirrored(condition: Condition, metric: Metric) -> Condition:
    """The condition on flows that is equivalent to one typed about outflows."""
    target = condition.target
    if target.kind != AMOUNT:
        raise BadInput(f"Outflows compare with an amount, not with {target.kind}.", metric.example)
    return replace(condition, op=_MIRROR[condition.op], target=replace(target, value=-target.value or 0.0))
