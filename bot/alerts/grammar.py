"""The grammar of rules: parses one typed line into a Rule.

    rule      = condition { "and" condition } { option }
    condition = metric { param } op target
    param     = window | count | fund | convention | "since" DATE      in any order, each by its kind
    op        = ">" | "<" | ">=" | "<=" | "crosses"
    target    = amount | "sma" n | "high" n | "low" n | "pct" p
    option    = "confirm" n | "rearm" amount | "cooldown" n | "once" | "until" DATE | "urgent" | "silent"
              | "note" "..."

Case does not matter. Friendly spellings (`bot.alerts.phrases`) are read too; `str(rule)` is the
one canonical text. A mistake raises BadInput: it names the word, says what was expected and
shows the nearest example that works.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from bot.alerts.condition import TARGETS, ParsedCondition, read_condition
from bot.alerts.phrases import METRIC_WORDS, tokenize
from bot.alerts.reading import (
    AMOUNT_UNITS,
    COUNT_UNITS,
    Tokens,
    choices,
    got_instead,
    is_amount,
    nearest,
    take_amount,
    take_count,
)
from bot.alerts.rule import ABOVE, AMOUNT, CROSSES, OPS, Rule
from bot.analytics.windows import WORDS as WINDOW_WORDS
from bot.analytics.windows import parse_date
from bot.errors import BadInput

if TYPE_CHECKING:
    from bot.analytics.metrics import Metric

MOST_CHARACTERS = 500  # a rule is quoted back in messages, several at once
MOST_CONDITIONS = 5
MOST_SESSIONS = 250  # of confirm and cooldown: a year

# A reader of one option: the words behind its name, what it belongs to, an example that works.
Option = Callable[[Tokens, ParsedCondition, str], Any]


def parse_rule(text: str, registry: Mapping[str, Metric]) -> Rule:
    """Rule of a typed line, on the metrics of `registry`; raises BadInput."""
    example = next(iter(registry.values())).example
    if len(text) > MOST_CHARACTERS:
        raise BadInput(f"A rule has at most {MOST_CHARACTERS} characters, not {len(text)}.", example)
    tokens = Tokens(tokenize(text))
    if not tokens.text:
        raise BadInput("A rule needs a metric, a comparison and a target.", example)
    conditions = [read_condition(tokens, registry)]
    while tokens.text == "and":
        tokens.take()
        conditions.append(read_condition(tokens, registry))
    if len(conditions) > MOST_CONDITIONS:
        raise BadInput(f"A rule has at most {MOST_CONDITIONS} conditions, not {len(conditions)}.", example)
    bare = Rule(tuple(parsed.condition for parsed in conditions))
    rule = replace(bare, **_options(tokens, bare, conditions[0], registry))
    _fit_together(rule)
    if len(str(rule)) > MOST_CHARACTERS:
        raise BadInput(f"Written out, the rule has more than {MOST_CHARACTERS} characters.", example)
    return rule


def grammar_words(registry: Mapping[str, Metric]) -> frozenset[str]:
    """The words that mean something in a rule on these metrics, the funds' own aside."""
    parameters = [p for metric in registry.values() for p in metric.parameters if p.kind != "fund"]
    names = {*registry, *METRIC_WORDS, *(choice for p in parameters for choice in p.choices)}
    parts = {part for name in names for part in name.split("_")}
    tokens = {"and", *OPS, *_OPTIONS, *TARGETS, *COUNT_UNITS, *AMOUNT_UNITS, *WINDOW_WORDS}
    return frozenset(names | parts | tokens)


def is_plain(word: str) -> bool:
    """Whether a rule's reader takes a word as it is, and no friendly spelling changes it."""
    return [item.text for item in tokenize(word)] == [word.lower()]


def _fit_together(rule: Rule) -> None:
    """Refuse options that contradict each other."""
    if rule.cooldown and rule.once:
        raise BadInput("“cooldown” does nothing with “once”.", str(replace(rule, cooldown=0)))
    if rule.urgent and rule.silent:
        problem = "“urgent” is told in quiet hours too, “silent” without a sound: take one of them."
        raise BadInput(problem, str(replace(rule, silent=False)))


def _options(
    tokens: Tokens, bare: Rule, first: ParsedCondition, registry: Mapping[str, Metric]
) -> dict[str, Any]:
    """Options up to the end of the words; `bare` is the rule without them."""
    options: dict[str, Any] = {}
    while tokens.text:
        name = tokens.text
        if name not in _OPTIONS:
            if name == "and" and options:
                example = _reordered(tokens, bare, options, registry)
                raise BadInput("Conditions come before options.", example)
            raise _unknown(tokens, bare)
        if name in options:
            raise BadInput(f"“{name}” is given twice.", _example(name, bare))
        tokens.take()
        if name == "rearm" and (reason := _no_rearm(bare)):
            raise BadInput(reason, str(bare))
        options[name] = _OPTIONS[name](tokens, first, _example(name, bare))
    return options


def _reordered(tokens: Tokens, bare: Rule, options: Mapping[str, Any], registry: Mapping[str, Metric]) -> str:
    """The rule with its options moved behind the condition at the cursor, or an example if that fails."""
    typed = str(replace(bare, **options)).removeprefix(str(bare))
    try:
        return str(parse_rule(f"{bare} {tokens.rest}{typed}", registry))
    except BadInput:
        return _example("confirm", bare)


def _unknown(tokens: Tokens, bare: Rule) -> BadInput:
    """The error for a word that is neither `and` nor an option."""
    near = nearest(tokens.text, ["and", *_OPTIONS])
    example = _example(near if near in _OPTIONS else "confirm", bare)
    problem = f"“{tokens.typed}” is not understood after “{tokens.before}”"
    if near:
        return BadInput(f"{problem}. Did you mean {near}?", example)
    return BadInput(f"{problem}; expected {choices(['and', *_OPTIONS])}.", example)


def _example(name: str, bare: Rule) -> str:
    """The rule followed by a valid form of the option, or the bare rule if the option cannot be used."""
    if name != "rearm":
        return f"{bare} {_FORMS.get(name, name)}"
    if _no_rearm(bare):
        return str(bare)
    condition = bare.conditions[0]
    level = condition.target.value
    step = abs(level) / 5 or 1.0
    level += -step if condition.op in ABOVE else step
    return str(replace(bare, rearm=float(f"{level:.6g}")))


def _no_rearm(bare: Rule) -> str:
    """Why the rule cannot have a re-arm level, or an empty string."""
    condition = bare.conditions[0]
    if len(bare.conditions) > 1:
        return "“rearm” is for a single condition; with “and” each has its own band."
    if condition.op == CROSSES:
        return "“rearm” does not go with “crosses”, which fires either way."
    if condition.target.kind != AMOUNT:
        return f"“rearm” needs a target that stands still; “{condition.target}” moves."
    return ""


def _confirm(tokens: Tokens, _: ParsedCondition, example: str) -> int:
    return take_count(tokens, "confirm", 1, MOST_SESSIONS, example)


def _cooldown(tokens: Tokens, _: ParsedCondition, example: str) -> int:
    return take_count(tokens, "cooldown", 1, MOST_SESSIONS, example)


def _rearm(tokens: Tokens, first: ParsedCondition, example: str) -> float:
    """Read the re-arm level. Raises BadInput unless the condition is false at it."""
    if not is_amount(tokens.text):
        raise BadInput(f"“rearm” needs an amount{got_instead(tokens)}.", example)
    amount = take_amount(tokens, first.metric, example)
    level = -amount or 0.0 if first.negative else amount
    target, above = first.condition.target, first.condition.op in ABOVE
    if level >= target.value if above else level <= target.value:
        side = "below" if above else "above"
        raise BadInput(f"“rearm {target.write(level)}” must be {side} {target}.", example)
    return level


def _until(tokens: Tokens, _: ParsedCondition, example: str) -> dt.date:
    if not tokens.text:
        raise BadInput("“until” needs a date written YYYY-MM-DD.", example)
    try:
        return parse_date(tokens.take())
    except BadInput as err:
        raise BadInput(err.sentence, example) from None


def _note(tokens: Tokens, _: ParsedCondition, example: str) -> str:
    if not tokens.is_quoted:
        raise BadInput("“note” needs its text in quotes.", example)
    return tokens.take()


def _flag(*_: object) -> bool:
    return True


_OPTIONS: dict[str, Option] = {
    "confirm": _confirm,
    "rearm": _rearm,
    "cooldown": _cooldown,
    "once": _flag,
    "until": _until,
    "urgent": _flag,
    "silent": _flag,
    "note": _note,
}
# Forms for examples, where the bare word is none.
_FORMS = {
    "confirm": "confirm 3",
    "cooldown": "cooldown 10",
    "until": "until 2030-12-31",
    "note": 'note "why"',
}
