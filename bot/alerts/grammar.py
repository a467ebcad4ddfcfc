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

Arguments of a metric: each word goes to the first free parameter of its kind.

Conditions: from words to a metric with its arguments, a comparison and a target.

Presets: rules that can be chosen by name.

What a chart shows: a metric named with its arguments, as in a rule, without a comparison.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from bot.alerts.lexer import (
    AMOUNT_UNITS,
    COUNT_UNITS,
    LONGEST_COUNT,
    METRIC_WORDS,
    NEGATIVE_WORDS,
    Tokens,
    choices,
    got_instead,
    is_amount,
    most_similar,
    nearest,
    read_count,
    take_amount,
    take_count,
    tokenize,
)
from bot.alerts.rule import ABOVE, AMOUNT, CROSSES, OPS, Condition, Rule, Target
from bot.analytics.windows import WORDS as WINDOW_WORDS
from bot.analytics.windows import Window, parse_date, parse_window
from bot.errors import BadInput

if TYPE_CHECKING:
    from bot.analytics.metrics import Argument, Metric, Parameter


_DATED = re.compile(r"(?:since )?([0-9]{4}-[0-9]{2}-[0-9]{2})")
_WINDOW_START = re.compile(r"[0-9]|since$")
COMPARISON = f"a comparison ({', '.join(OPS)})"
_COMPARING = ("above", "below", "over", "under", "crosses")


def read_arguments(
    metric: Metric, funds: list[str], tokens: Tokens, registry: Mapping[str, Metric]
) -> tuple[tuple[str, Argument], ...]:
    """Read the arguments up to the comparison, in the registry's order, with defaults filled in.

    `funds` were typed before the metric ("iwm inflows 5d"). Raises BadInput.
    """
    given: dict[str, Argument] = {}
    for fund in funds:
        if not _fill(metric, given, fund.lower()):
            raise BadInput(f"“{fund}” does not go with {metric.name}.", metric.example)
    while tokens.text not in OPS:
        width = next((width for width in (2, 1) if _fill(metric, given, tokens.ahead(width))), 0)
        if not width:
            raise _unfit(metric, given, tokens, registry)
        tokens.take(width)
    return tuple((parameter.name, _value(metric, parameter, given)) for parameter in metric.parameters)


def _value(metric: Metric, parameter: Parameter, given: Mapping[str, Argument]) -> Argument:
    value = given.get(parameter.name, parameter.default)
    if value is None:
        raise BadInput(f"{metric.name} needs {describe(parameter)}.", metric.example)
    return value


def _fill(metric: Metric, given: dict[str, Argument], text: str) -> bool:
    """Assign the text to the first free parameter of its kind. Returns False when there is none."""
    for parameter in metric.parameters:
        if parameter.name not in given and (value := _read(parameter, text)) is not None:
            given[parameter.name] = value
            return True
    return False


def _read(parameter: Parameter, text: str) -> Argument | None:
    """The text as an argument; None if it is not of the parameter's kind or is out of range."""
    match parameter.kind:
        case "count":
            return read_count(text, parameter.low, parameter.high)
        case "window":
            window = _or_none(parse_window, text)
            fits = not parameter.counted or (isinstance(window, Window) and window.counted)
            return window if fits else None
        case "date":
            dated = _DATED.fullmatch(text)
            return _or_none(parse_date, dated[1]) if dated else None
    return {name.lower(): name for name in parameter.choices}.get(text.replace(" ", "_"))


def _or_none(parse: Callable[[str], Argument], text: str) -> Argument | None:
    try:
        return parse(text)
    except BadInput:
        return None


def describe(parameter: Parameter) -> str:
    """What a parameter expects, for messages."""
    match parameter.kind:
        case "count":
            return f"a number of sessions from {parameter.low} to {parameter.high}"
        case "window":
            return "a window (5d, 1w, 3m, 1y)" if parameter.counted else "a window (5d, 3m, ytd)"
        case "date":
            return "a date (since 2010-01-04)"
    return f"a {parameter.kind} ({choices([name.lower() for name in parameter.choices])})"


def _unfit(
    metric: Metric, given: Mapping[str, Argument], tokens: Tokens, registry: Mapping[str, Metric]
) -> BadInput:
    """The error for a word that is neither an argument nor a comparison."""
    free = [parameter for parameter in metric.parameters if parameter.name not in given]
    expected = choices([*map(describe, free), COMPARISON])
    if not tokens.text:
        return BadInput(f"The rule stops after “{tokens.before}”; expected {expected}.", metric.example)
    if any(parameter.kind in {"window", "date"} for parameter in free) and _WINDOW_START.match(tokens.text):
        text = tokens.ahead(2) if tokens.text == "since" else tokens.text
        try:
            parse_window(text)
        except BadInput as err:
            return BadInput(err.sentence, metric.example)
    return _near_miss(metric, free, tokens, registry) or BadInput(
        f"“{tokens.typed}” is not understood after “{tokens.before}”; expected {expected}.", metric.example
    )


def _near_miss(
    metric: Metric, free: list[Parameter], tokens: Tokens, registry: Mapping[str, Metric]
) -> BadInput | None:
    """The error for a misspelt comparison or argument, or for a misspelt second half of the metric's name."""
    problem = f"“{tokens.typed}” is not understood after “{tokens.before}”. Did you mean"
    known = [*_COMPARING, *(name.lower() for parameter in free for name in parameter.choices)]
    if near := nearest(tokens.text, known):
        return BadInput(f"{problem} {near}?", metric.example)
    start = f"{metric.name}_"
    endings = {name.removeprefix(start): name for name in registry if name.startswith(start)}
    if near := nearest(tokens.text, endings):
        return BadInput(f"{problem} {endings[near]}?", registry[endings[near]].example)
    return None


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
    few = most_similar(tokens.text, list(registry))
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
    return Target(kind, float(take_count(tokens, kind, 2 if kind == "sma" else 1, LONGEST_COUNT, example)))


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


@dataclass(frozen=True)
class Preset:
    """A rule with the name and the sentence it is offered under; the sentence is a template of the pair."""

    name: str
    rule: str
    meaning: str


PRESETS = (
    Preset(
        "Trend breaks",
        "ratio > sma 200 confirm 2",
        "{small}/{large} closes above its 200-day average twice in a row.",
    ),
    Preset(
        "Small caps lead",
        "excess 3m > 5pp",
        "{small} is ahead of {large} by more than 5 points in three months.",
    ),
    Preset(
        "Money turns",
        "flow_gap 20d crosses 0",
        "Flows of 20 days, in percent of assets, change sides between the funds.",
    ),
    Preset(
        "Too expensive",
        "pe_premium > pct 90",
        "{small}'s P/E premium over {large} is above nine tenths of its own history.",
    ),
    Preset(
        "Rotation",
        "ratio > sma 200 and flow_gap 20d > 0 and pe_premium < pct 90",
        "Trend and flows favour {small}, and its premium is not yet extreme.",
    ),
)


def preset_of(text: str) -> Preset | None:
    """The preset of that name, however it is written; None when there is none."""
    name = " ".join(text.lower().split())
    return next((preset for preset in PRESETS if preset.name.lower() == name), None)


def parse_subject(
    text: str, windows: Sequence[Window], registry: Mapping[str, Metric]
) -> tuple[Metric, dict[str, Argument], Window | None]:
    """Metric, its arguments and the span to show; raises BadInput.

    Of `windows` the first belongs to the metric if it takes one (a `since` also where it takes a
    date), the next is the span; a lone window of a metric that takes none is the span.
    """
    try:
        return _parse(text, windows, registry)
    except BadInput as error:
        raise BadInput(_without_comparison(error.sentence), error.example) from error


def _parse(
    text: str, windows: Sequence[Window], registry: Mapping[str, Metric]
) -> tuple[Metric, dict[str, Argument], Window | None]:
    """The grammar reads whole rules: the subject is that of a rule whose target needs no unit."""
    metric = registry[parse_rule(f"{text} > 0", registry).conditions[0].metric]
    kinds = {parameter.kind for parameter in metric.parameters}
    left = list(windows)
    if left and ("window" in kinds or ("date" in kinds and left[0].since is not None)):
        text += f" {left.pop(0)}"
    condition = parse_rule(f"{text} > 0", registry).conditions[0]
    return metric, dict(condition.arguments), left[0] if left else None


def _without_comparison(sentence: str) -> str:
    """What the grammar says of a rule, said of a subject, which has no comparison."""
    return sentence.replace(f" or {COMPARISON}", "").replace(COMPARISON, "nothing more")
