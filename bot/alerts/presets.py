"""Rules that are ready: a name, a sentence and a rule, fitted to the data that a Market has.

A preset that compares a premium with its own history needs PERCENTILE_VALUES sessions of it. Until there are
so many, it compares the premium with an amount instead: that of a P/E a tenth higher against the other fund's
than at the newest session.
"""

import math
from dataclasses import dataclass, replace

import msgspec

from bot.alerts.grammar import parse_rule
from bot.alerts.rule import AMOUNT, Condition, Rule, Target
from bot.alerts.series import PERCENTILE_VALUES
from bot.analytics.market import Market, per_market
from bot.analytics.metrics import METRICS, metrics_of
from bot.analytics.valuation import convention_for
from bot.text import load_toml

_DEARER = 1.1  # the amount stands for a multiple that is so many times the present one against the other
_STEP = 5.0  # percent to which an amount is rounded up


@dataclass(frozen=True)
class Preset:
    """A rule with the name and the sentence that it is offered under.

    meaning  template of the pair, to be filled by `Pair.fill`
    early    the meaning while a percentile has too little history, "" if the rule has none
    """

    name: str
    rule: str
    meaning: str
    early: str = ""


PRESETS = tuple(Preset(name, **fields) for name, fields in load_toml("bot.alerts", "presets.toml").items())


@per_market
def presets_for(market: Market) -> tuple[Preset, ...]:
    """All presets, their rules in canonical text with the convention that the Market has data for.

    A percentile of too little history is replaced by an amount, and the meaning by that of the amount.
    """
    metrics = metrics_of(market.pair, convention_for(market))
    fitted = []
    for preset in PRESETS:
        rule = parse_rule(preset.rule, metrics)
        conditions = tuple(_fitted(condition, market) for condition in rule.conditions)
        meaning = preset.meaning if conditions == rule.conditions else preset.early
        text = str(msgspec.structs.replace(rule, conditions=conditions))
        fitted.append(replace(preset, rule=text, meaning=market.pair.fill(meaning)))
    return tuple(fitted)


def preset_of(text: str, market: Market) -> Preset | None:
    """The preset of that name, in any case and spacing; None when there is none."""
    name = " ".join(text.lower().split())
    return next((preset for preset in presets_for(market) if preset.name.lower() == name), None)


def name_of(rule: Rule, market: Market) -> str:
    """The name that a rule is known by: its note, or that of the preset with its conditions; "" for none."""
    return rule.note or _names(market).get(rule.bare, "")


@per_market
def _names(market: Market) -> dict[Rule, str]:
    metrics = metrics_of(market.pair, convention_for(market))
    return {parse_rule(preset.rule, metrics).bare: preset.name for preset in presets_for(market)}


def _fitted(condition: Condition, market: Market) -> Condition:
    """The condition, with an amount as its target if that is a percentile of too little history."""
    if condition.target.kind != "pct":
        return condition
    metric = METRICS[condition.metric]
    premium = metric.history(market, dict(condition.arguments)).dropna()
    if not 0 < len(premium) <= PERCENTILE_VALUES:
        return condition
    amount = (100.0 + float(premium.iloc[-1])) * _DEARER - 100.0
    target = Target(AMOUNT, math.ceil(round(amount / _STEP, 9)) * _STEP, metric.unit.symbol)
    return msgspec.structs.replace(condition, target=target)
