"""The grammar of rules: parses a typed line into a Rule.

    rule      = group { "or" group } { option }
    group     = condition { "and" condition }
    condition = metric { argument } op target
    argument  = window | count | fund | convention | "since" DATE      in any order, each known by its kind
    op        = ">" | "<" | ">=" | "<=" | "crosses"
    target    = amount | "sma" n | "high" n | "low" n | "pct" p
    option    = "confirm" n | "rearm" amount | "cooldown" n | "remind" n | "and back" | "once" | "until" DATE
              | "urgent" | "silent" | "note" "..."
    subject   = metric { argument }

Upper and lower case are the same. The lexer reads friendly spellings too; `str(rule)` is the one canonical
text. A mistake raises BadInput, which names the word, says what was expected and shows the nearest example
that works: one that shares its metric or its words with what was typed, or none. A comparison that no
possible value of the metric makes true, or false, is refused.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import combinations
from typing import Any, NamedTuple

from msgspec.structs import replace

from bot.alerts import lexer
from bot.alerts.rule import ABOVE, AMOUNT, CROSSES, MIRROR, OPS, Condition, Rule, Target
from bot.analytics.metrics import Argument, Metric, Parameter
from bot.analytics.windows import DATE, Window, parse_date, parse_window
from bot.analytics.windows import WORDS as WINDOW_WORDS
from bot.errors import BadInput
from bot.pair import DEFAULT_PAIR
from bot.text import load_toml

MOST_CHARACTERS = 500  # a rule is quoted back in messages, several at once
MOST_CONDITIONS = 5
MOST_SESSIONS = 250  # of confirm and cooldown: a year

# Kinds of target that take a number, each with one that makes a good example.
TARGETS = {"sma": 200.0, "high": 250.0, "low": 250.0, "pct": 90.0}


class Word(NamedTuple):
    """A word of the grammar.

    place    "joint", "comparison", "target" or "option"
    usage    how it is written
    meaning  one sentence
    example  a rule that has it
    """

    place: str
    usage: str
    meaning: str
    example: str


# Help, documentation and examples are made of these.
WORDS = {name: Word(**fields) for name, fields in load_toml("bot.alerts", "words.toml").items()}
_JOINTS = ("and", "or")
# Options, each as it is written in an example; that of `rearm` depends on the rule.
_OPTIONS = {
    name.removeprefix("and "): word.example[word.example.index(name) :]
    for name, word in WORDS.items()
    if word.place == "option"
}
_COMPARISON = f"a comparison ({', '.join(OPS)})"
_COMPARING = ("above", "below", "over", "under", "crosses")
_BETWEEN = "between"
_WITHIN = frozenset({"in", "within", "during"})  # before a window that follows the target
_DATED = re.compile(rf"(?:since )?({DATE})")
_WINDOW_START = re.compile(r"[0-9]|since$")
_PERCENTILE = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)%?")


def parse_rule(text: str, registry: Mapping[str, Metric], *, subject: bool = False, guesses: bool = True) -> Rule:
    """The rule of a typed line, on the metrics of `registry`. Raises BadInput.

    With `subject` the comparison was not typed: no message asks for one, and it need not be possible.
    Without `guesses` no message offers the rule that a sentence may mean.
    """
    if len(text) > MOST_CHARACTERS:
        raise BadInput(f"A rule has at most {MOST_CHARACTERS} characters, not {len(text)}.")
    if (bare_text := lexer.without_request(text)) != text:
        try:
            return parse_rule(bare_text, registry, subject=subject, guesses=guesses)
        except BadInput as error:
            meant = nearest_rule(bare_text, registry) if guesses else ""
            if meant in ("", error.example):
                raise
            raise BadInput("That is a sentence, not a rule. Do you mean this one?", meant) from error
    tokens = lexer.Tokens(lexer.tokenize(text))
    if not tokens.text:
        example = next(iter(registry.values())).example
        raise BadInput("A rule needs a metric, a comparison and a target.", example)
    rule = _RuleParser(tokens, registry, () if subject else (_COMPARISON,), guesses=guesses).rule()
    if len(str(rule)) > MOST_CHARACTERS:
        bare = str(replace(rule, note=""))
        problem = f"Written out, the rule has more than {MOST_CHARACTERS} characters."
        raise BadInput(problem, bare if len(bare) <= MOST_CHARACTERS else "")
    return rule


def parse_subject(
    text: str, windows: Sequence[Window], registry: Mapping[str, Metric]
) -> tuple[Metric, dict[str, Argument], Window | None]:
    """A metric with its arguments, and the span to show. Raises BadInput.

    The first of `windows` belongs to the metric if it takes one (a `since` also where it takes a date), the
    next is the span. A lone window of a metric that takes none is the span.
    """
    # The grammar parses whole rules: the subject is that of a rule whose target needs no unit.
    metric = registry[parse_rule(f"{text} > 0", registry, subject=True).conditions[0].metric]
    kinds = {parameter.kind for parameter in metric.parameters}
    spans = list(windows)
    if spans and ("window" in kinds or ("date" in kinds and spans[0].since is not None)):
        text += f" {spans.pop(0)}"
    condition = parse_rule(f"{text} > 0", registry, subject=True).conditions[0]
    return metric, dict(condition.arguments), spans[0] if spans else None


class _RuleParser:
    """Parses the tokens of one rule from left to right."""

    def __init__(
        self, tokens: lexer.Tokens, registry: Mapping[str, Metric], following: tuple[str, ...], *, guesses: bool
    ) -> None:
        self._guesses = guesses
        self._following = following  # what may be typed after the arguments
        self._tokens = tokens
        self._registry = registry
        self._funds = _fund_words(registry)
        # Funds of the usual pair that another pair replaces: people type them out of habit.
        self._other_funds = set(DEFAULT_PAIR.words).difference(self._funds) if self._funds else set()
        self._negative = False  # whether the last condition's amounts have the opposite sign (outflows)
        self._conditions: list[Condition] = []  # read so far
        self._or_at: list[int] = []

    def rule(self) -> Rule:
        self._conditions += self._compared_metric()
        while (joint := self._tokens.text) in _JOINTS:
            self._tokens.take()
            if joint == "or":
                self._or_at.append(len(self._conditions))
            self._conditions += self._compared_metric()
        if len(self._conditions) > MOST_CONDITIONS:
            fitting = (at for at in self._or_at if at < MOST_CONDITIONS)
            example = str(Rule(tuple(self._conditions[:MOST_CONDITIONS]), tuple(fitting)))
            raise BadInput(f"A rule has at most {MOST_CONDITIONS} conditions, not {len(self._conditions)}.", example)
        bare = Rule(tuple(self._conditions), tuple(self._or_at))
        if bare.or_at and any(condition.op == CROSSES for condition in bare.conditions):
            problem = "“crosses” does not go with “or”, as it fires either way: say above or below."
            fixed = (replace(c, op=">" if c.op == CROSSES else c.op) for c in bare.conditions)
            raise BadInput(problem, str(replace(bare, conditions=tuple(fixed))))
        if self._following:
            refuse_contradiction(bare)
        rule = replace(bare, **self._options(bare))
        crosses = any(condition.op == CROSSES for condition in rule.conditions)
        loud = "“urgent” is sent in quiet hours too, “silent” without a sound: choose one of them."
        for excluded, problem, option in (
            (rule.cooldown and rule.once, "“cooldown” does nothing with “once”.", "cooldown"),
            (rule.remind and rule.once, "“remind” does not go with “once”, which ends with its first fire.", "once"),
            (rule.back and crosses, "“and back” does nothing with “crosses”, which fires either way.", "back"),
            (rule.urgent and rule.silent, loud, "silent"),
        ):
            if excluded:
                raise BadInput(problem, str(replace(rule, **{option: type(getattr(rule, option))()})))
        return rule

    def _compared_metric(self) -> list[Condition]:
        """The condition at the cursor, two for “between”."""
        funds = []  # typed before the metric: "iwm inflows 5d"
        while self._tokens.text in self._funds:
            funds.append(self._tokens.take())
        price = self._registry.get("price")
        if funds and price and self._tokens.text in (*OPS, _BETWEEN):  # "iwm > $230"
            metric, self._negative = price, False
        else:
            metric, self._negative = self._metric(funds)
        typed = self._typed_arguments(metric, funds)
        op = self._tokens.take().lower()
        if op != _BETWEEN:
            conditions = [self._condition(metric, typed, op)]
        else:
            conditions = [self._condition(metric, typed, ">")]
            if self._tokens.text != "and":
                example = f"{conditions[0].subject} between {conditions[0].target} and ..."
                raise BadInput(f"“between” needs two targets{self._tokens.mismatch}: {example}", metric.example)
            self._tokens.take()
            conditions.append(self._condition(metric, typed, "<"))
        if self._tokens.text in _WITHIN:  # "outflows > $2bn in 5 days"
            window = next((w for w in (2, 1) if _assign(metric, typed, self._tokens.ahead(w, skip=1))), 0)
            self._tokens.take(1 + window if window else 0)
        return [replace(condition, arguments=_with_defaults(metric, typed)) for condition in conditions]

    def _condition(self, metric: Metric, typed: Mapping[str, Argument], op: str) -> Condition:
        draft = Condition(metric.name, _with_defaults(metric, typed), op, Target(AMOUNT, 0.0))
        target = self._target(metric, draft)
        if not self._negative:
            return self._possible(metric, replace(draft, target=target))
        if target.kind != AMOUNT:
            raise BadInput(f"Outflows compare with an amount, not with {target.kind}.", metric.example)
        return replace(draft, op=MIRROR[draft.op], target=replace(target, value=-target.value or 0.0))

    def _possible(self, metric: Metric, condition: Condition) -> Condition:
        op, target = condition.op, condition.target
        if target.kind != AMOUNT or not self._following or metric.range.allows(op, target.value):
            return condition
        never = op == CROSSES or metric.range.never(op, target.value)
        problem = f"“{op} {target}” is {'never' if never else 'always'} true"
        below = replace(target, value=-abs(target.value) or 0.0)
        if metric.range.high == 0 and metric.range.allows("<", below.value):  # meant with the other sign
            example = replace(condition, op="<", target=below)
        else:
            usual = parse_rule(metric.example, self._registry).conditions[0]
            example = replace(condition, op=usual.op, target=usual.target)
        raise BadInput(f"{problem}: {metric.name} is {metric.range.words(metric.unit)}.", str(example))

    def _metric(self, funds: Sequence[str]) -> tuple[Metric, bool]:
        """The metric that the next words name, the longest name first, and whether it counts outflows."""
        words = _metric_words(self._registry)
        if (named := self._named_metric(words)) is None:
            raise self._unknown_metric(words, funds)
        width, name, typed = named
        self._tokens.take(width)
        return self._registry[name], name != typed and typed in lexer.NEGATIVE_WORDS

    def _named_metric(self, words: Mapping[str, str], skip: int = 0) -> tuple[int, str, str] | None:
        """How many words name a metric, its name, and what was typed; the first `skip` words are passed."""
        for width in (3, 2, 1):
            typed = self._tokens.ahead(width, "_", skip)
            name = typed if typed in self._registry else words.get(typed, "")
            if name:
                return width, name, typed
        return None

    def _unknown_metric(self, words: Mapping[str, str], funds: Sequence[str]) -> BadInput:
        tokens, registry = self._tokens, self._registry
        if not tokens.text or (not self._following and tokens.text in OPS):
            problem = "The rule stops where a metric is expected."
            if not self._following:
                problem = "A metric is missing. All metrics: /help metrics"
            return BadInput(problem, self._so_far(funds))
        meant = nearest_rule(tokens.all, registry) if self._guesses and not self._conditions else ""
        near = lexer.nearest_word(tokens.text, [*registry, *words])
        begins_sentence = not near and any(pattern.fullmatch(tokens.text) for pattern in lexer.GENERAL.values())
        is_sentence = meant and (begins_sentence or not set(OPS) & set(tokens.all.split()))
        if near and not is_sentence:
            example = registry[words.get(near, near)].example
            return BadInput(f"“{tokens.typed}” is not a metric. Did you mean {near}?", example)
        following = self._named_metric(words, 1)
        takers = _with_usual_fund(registry)
        others = [word for word in tokens.text.split("/") if word in self._other_funds]
        if following and registry[following[1]] in takers and tokens.text.isalpha() and not begins_sentence:
            return self._not_a_fund(tokens.text, registry[following[1]])
        if others:
            first = registry[words["/".join(self._funds)]] if "/" in tokens.text else takers[0]
            return self._not_a_fund(others[0], registry[following[1]] if following else first)
        if meant:
            return BadInput(f"“{tokens.typed}” is not a metric. Do you mean this rule?", meant)
        question = "" if self._conditions or not self._following else "What should it watch? "
        return BadInput(f"“{tokens.typed}” is not a metric. {question}All metrics: /help metrics", self._so_far(funds))

    def _so_far(self, funds: Sequence[str]) -> str:
        """The conditions read so far, else a rule on the fund that was typed, else an empty string."""
        if self._conditions:
            or_at = (at for at in self._or_at if at < len(self._conditions))
            return str(Rule(tuple(self._conditions), tuple(or_at)))
        if not funds:
            return ""
        metric = _with_usual_fund(self._registry)[0]
        condition = parse_rule(metric.example, self._registry).conditions[0]
        arguments = dict(condition.arguments) | {"fund": funds[-1].upper()}
        return str(replace(condition, arguments=tuple(arguments.items())))

    def _not_a_fund(self, word: str, metric: Metric) -> BadInput:
        compared = " and ".join(fund.upper() for fund in self._funds)
        return BadInput(f"{word.upper()} is not a fund of this bot; it compares {compared}.", metric.example)

    def _typed_arguments(self, metric: Metric, funds: list[str]) -> dict[str, Argument]:
        arguments: dict[str, Argument] = {}
        for fund in funds:
            if not _assign(metric, arguments, fund.lower()):
                raise BadInput(f"“{fund}” does not go with {metric.name}.", metric.example)
        while self._tokens.text not in (*OPS, _BETWEEN):
            widths = (width for width in (2, 1) if _assign(metric, arguments, self._tokens.ahead(width)))
            width = next(widths, 0)
            if not width:
                raise self._bad_argument(metric, [p for p in metric.parameters if p.name not in arguments])
            self._tokens.take(width)
        for parameter in metric.parameters:
            if parameter.name not in arguments and (parameter.default is None or parameter.required):
                raise BadInput(f"{metric.name} needs {_describe(parameter)}.", metric.example)
        return arguments

    def _bad_argument(self, metric: Metric, free: list[Parameter]) -> BadInput:
        """The error for a word that is neither an argument nor a comparison."""
        tokens = self._tokens
        expected = lexer.choices([*map(_describe, free), *self._following]) or "nothing more"
        if not tokens.text:
            return BadInput(f"The rule stops after “{tokens.before}”; expected {expected}.", metric.example)
        if any(p.kind in {"window", "date"} for p in free) and _WINDOW_START.match(tokens.text):
            try:
                parse_window(tokens.ahead(2) if tokens.text == "since" else tokens.text, metric.example)
            except BadInput as error:
                return error
        if tokens.text in self._other_funds:
            return self._not_a_fund(tokens.text, metric)
        problem = f"“{tokens.typed}” is not understood after “{tokens.before}”"
        known = [*_COMPARING, *(word for parameter in free for word in parameter.words)]
        if near := lexer.nearest_word(tokens.text, known):
            return BadInput(f"{problem}. Did you mean {near}?", metric.example)
        # It may be a misspelt second half of a metric's name.
        start = f"{metric.name}_"
        endings = {name.removeprefix(start): name for name in self._registry if name.startswith(start)}
        if near := lexer.nearest_word(tokens.text, endings):
            longer = self._registry[endings[near]]
            return BadInput(f"{problem}. Did you mean {longer.name}?", longer.example)
        return BadInput(f"{problem}; expected {expected}.", metric.example)

    def _target(self, metric: Metric, draft: Condition) -> Target:
        tokens = self._tokens
        expected = f"expected an amount such as {metric.unit.example}, or sma, high, low or pct with a number"
        if not tokens.text:
            raise BadInput(f"“{draft.op}” has no target; {expected}.", metric.example)
        if lexer.is_amount(tokens.text):
            return Target(AMOUNT, self._amount(metric, metric.example), metric.unit.symbol)
        kind = tokens.text
        if kind not in TARGETS:
            near = lexer.nearest_word(kind, TARGETS)
            ending = f". Did you mean {near}?" if near else f"; {expected}."
            raise BadInput(f"“{tokens.typed}” is not a target{ending}", metric.example)
        tokens.take()
        example = str(replace(draft, target=Target(kind, TARGETS[kind])))
        if kind != "pct":
            return Target(kind, float(self._count(kind, 2 if kind == "sma" else 1, lexer.LONGEST_COUNT, example)))
        match = _PERCENTILE.fullmatch(tokens.text)
        if match is None or not 0 <= float(match[1]) <= 100:
            raise BadInput(f"“pct” needs a percentile from 0 to 100{tokens.mismatch}.", example)
        tokens.take()
        return Target(kind, float(match[1]))

    def _options(self, bare: Rule) -> dict[str, Any]:
        tokens = self._tokens
        options: dict[str, Any] = {}
        while tokens.text:
            name = tokens.text
            if name in _JOINTS and options:
                raise BadInput("Conditions come before options.", self._reordered(bare, options))
            if name not in _OPTIONS:
                near = lexer.nearest_word(name, [*_JOINTS, *_OPTIONS])
                ending = f". Did you mean {near}?" if near else f"; expected {lexer.choices([*_JOINTS, *_OPTIONS])}."
                example = _option_example(near if near in _OPTIONS else "confirm", bare, self._registry)
                raise BadInput(f"“{tokens.typed}” is not understood after “{tokens.before}”{ending}", example)
            example = _option_example(name, bare, self._registry)
            if name in options:
                raise BadInput(f"“{name}” is given twice.", example)
            tokens.take()
            options[name] = self._option(name, bare, example)
        return options

    def _reordered(self, bare: Rule, options: Mapping[str, Any]) -> str:
        """The rule with its options moved behind the condition at the cursor, or an example if that fails."""
        typed = str(replace(bare, **options)).removeprefix(str(bare))
        try:
            return str(parse_rule(f"{bare} {self._tokens.rest}{typed}", self._registry))
        except BadInput:
            return _option_example("confirm", bare, self._registry)

    def _option(self, name: str, bare: Rule, example: str) -> Any:  # noqa: ANN401 - of any option
        tokens = self._tokens
        match name:
            case "confirm" | "cooldown" | "remind":
                return self._count(name, 1, MOST_SESSIONS, example)
            case "rearm":
                return self._rearm(bare, example)
            case "until":
                if not tokens.text:
                    raise BadInput("“until” needs a date written YYYY-MM-DD.", example)
                return parse_date(tokens.take(), example)
            case "note":
                if tokens.text != lexer.QUOTE:
                    raise BadInput("“note” needs its text in quotes.", example)
                return tokens.take()
        return True

    def _rearm(self, bare: Rule, example: str) -> float:
        if reason := _no_rearm(bare):
            raise BadInput(reason, str(bare))
        if not lexer.is_amount(self._tokens.text):
            raise BadInput(f"“rearm” needs an amount{self._tokens.mismatch}.", example)
        condition = bare.conditions[0]
        amount = self._amount(self._registry[condition.metric], example)
        level = -amount or 0.0 if self._negative else amount
        target, above = condition.target, condition.op in ABOVE
        if level >= target.value if above else level <= target.value:
            side = "below" if above else "above"
            raise BadInput(f"“rearm {target.write(level)}” must be {side} {target}.", example)
        metric = self._registry[condition.metric]
        if metric.range.never("<=" if above else ">=", level):
            problem = f"“rearm {target.write(level)}” is never reached"
            raise BadInput(f"{problem}: {metric.name} is {metric.range.words(metric.unit)}.", str(bare))
        return level

    def _count(self, name: str, low: int, high: int, example: str) -> int:
        count = lexer.read_count(self._tokens.text, low, high)
        if count is None:
            needs = f"“{name}” needs a number of sessions from {low} to {high}"
            raise BadInput(f"{needs}{self._tokens.mismatch}.", example)
        self._tokens.take()
        if self._tokens.text in lexer.COUNT_UNITS:
            self._tokens.take()
        return count

    def _amount(self, metric: Metric, example: str) -> float:
        amount = self._tokens.take()
        while self._tokens.text in lexer.AMOUNT_UNITS:
            amount += f" {self._tokens.take()}"
        try:
            return metric.unit.parse(amount)
        except BadInput as error:
            raise BadInput(error.sentence, example) from error


def nearest_rule(text: str, registry: Mapping[str, Metric]) -> str:
    """The rule that a sentence is most likely about, or an empty string when it names no metric.

    It is a guess from single words, to be confirmed: whose, which way, over which window, how much.
    """
    plain = text.lower()
    for name, fund in zip(("small", "large"), _fund_words(registry), strict=False):
        plain = lexer.SENTENCE[name].sub(fund, plain)
    typed = " ".join(token.text for token in lexer.tokenize(lexer.without_request(plain)))
    with suppress(BadInput):
        return str(parse_rule(typed, registry, guesses=False))
    words = typed.replace("_", " ")
    funds = [word for word in re.findall(r"\w+", words) if word in _fund_words(registry)]
    metric = _meant_metric(words, registry, names_fund=bool(funds))
    if metric is None:
        return ""
    usual, kinds = parse_rule(metric.example, registry).conditions[0], {p.kind for p in metric.parameters}
    if not funds and any(parameter.required for parameter in metric.parameters):
        funds = [_fund_words(registry)[0]]
    below, away = (lexer.SENTENCE[name].search(words) is not None for name in ("below", "away"))
    if len(funds) > 1 and "fund" not in kinds and funds[0] != _fund_words(registry)[0]:
        below = away = not below  # the large fund beats the small one
    below = below or metric.range.high == 0
    moving, window = lexer.SENTENCE["moving"].search(words), lexer.SENTENCE["window"].search(words)
    amount = lexer.SENTENCE["amount"].search(words.replace(window[0], " " * len(window[0])) if window else words)
    is_level = amount is not None and lexer.SENTENCE["level"].search(words[: amount.start()]) is not None
    sign = "-" if metric.range.high == 0 or (below and metric.range.low < 0 and (away or not is_level)) else ""
    target = f"{sign}{str(usual.target).removeprefix('-')}" if usual.target.kind == AMOUNT else str(usual.target)
    symbol = metric.unit.symbol
    if moving:
        target = moving[0]
    # A percentage is meant where points are, and a number without a unit in the metric's.
    elif amount and (not amount["unit"] or symbol in ("x" if amount["unit"] == "x" else ("%", "pp"))):
        scale = (amount["scale"] or "")[:1] if symbol == "$" else ""
        number = f"${amount['number']}{scale}" if symbol == "$" else amount["number"]
        target = f"{amount['minus'] or sign}{number}{metric.unit.suffix}"
    fund = funds[0] if funds and "fund" in kinds else ""
    span = ""
    if window and "window" in kinds:
        span = window["named"] or f"{window['count'] or 1}{window['unit'] or window['one']}"
    op = CROSSES if CROSSES in words else "<" if below else ">"
    for guess in (f"{op} {target}", f"{usual.op} {usual.target}"):
        with suppress(BadInput):
            return str(parse_rule(f"{metric.name} {fund} {span} {guess}", registry))
    return metric.example


def _meant_metric(words: str, registry: Mapping[str, Metric], *, names_fund: bool) -> Metric | None:
    """The metric that a sentence is about: by words that say more than a name, a name, or other words."""
    names = {name: name for name in registry} | _metric_words(registry)
    named = [name for name in names if re.search(rf"\b{re.escape(name.replace('_', ' '))}\b", words)]
    meant = [name for name, pattern in lexer.SPECIFIC.items() if pattern.search(words)]
    meant += [names[max(named, key=lambda name: (names[name] != "ratio", len(name)))]] if named else []
    for name, pattern in lexer.GENERAL.items():
        metric = registry.get(name)
        if metric and (names_fund or not any(p.required for p in metric.parameters)) and pattern.search(words):
            meant.append(name)
    return next((registry[name] for name in meant if name in registry), None)


def _fund_words(registry: Mapping[str, Metric]) -> tuple[str, ...]:
    """How the funds of these metrics are written, the small one first."""
    funds = (p.choices for metric in registry.values() for p in metric.parameters if p.kind == "fund")
    return tuple(choice.lower() for choice in next(funds, ()) if choice)


def _with_usual_fund(registry: Mapping[str, Metric]) -> list[Metric]:
    """The metrics of one fund that need not be named."""
    return [
        metric
        for metric in registry.values()
        if any(p.kind == "fund" and p.default and not p.required for p in metric.parameters)
    ]


def _metric_words(registry: Mapping[str, Metric]) -> dict[str, str]:
    """Other words for the metrics of this registry; a name of the registry always wins over them."""
    funds = _fund_words(registry)
    words = {**lexer.METRIC_WORDS, "/".join(funds): "ratio"} if funds else lexer.METRIC_WORDS
    return {word: name for word, name in words.items() if name in registry and word not in registry}


def _assign(metric: Metric, arguments: dict[str, Argument], text: str) -> bool:
    """Assign the text to the first free parameter of its kind. Returns False when there is none."""
    for parameter in metric.parameters:
        if parameter.name not in arguments and (value := _argument(parameter, text)) is not None:
            arguments[parameter.name] = value
            return True
    return False


def _with_defaults(metric: Metric, typed: Mapping[str, Argument]) -> tuple[tuple[str, Argument], ...]:
    """All arguments in the registry's order; those that were not typed have their defaults."""
    arguments = {**metric.defaults(), **typed}
    return tuple((parameter.name, arguments[parameter.name]) for parameter in metric.parameters)


def _argument(parameter: Parameter, text: str) -> Argument | None:
    """The text as an argument. None if it is not of the parameter's kind or is out of range."""
    match parameter.kind:
        case "count":
            return lexer.read_count(text, parameter.low, parameter.high)
        case "window":
            window = _window_or_none(text)
            return None if window and parameter.counted and not window.counted else window
        case "date":
            dated = _DATED.fullmatch(text)
            return _window_or_none(f"since {dated[1]}") if dated else None
    return parameter.words.get(text.replace(" ", "_"))


def _window_or_none(text: str) -> Window | None:
    try:
        return parse_window(text)
    except BadInput:
        return None


def _describe(parameter: Parameter) -> str:
    return {
        "count": f"a number of sessions from {parameter.low} to {parameter.high}",
        "window": "a window (5d, 1w, 3m, 1y)" if parameter.counted else "a window (5d, 3m, ytd)",
        "date": "a date (since 2010-01-04)",
    }.get(parameter.kind, f"a {parameter.kind} ({lexer.choices(list(parameter.words))})")


def _option_example(name: str, bare: Rule, registry: Mapping[str, Metric]) -> str:
    """The rule followed by a valid form of the option, or the bare rule if the option cannot be used."""
    if name != "rearm":
        return f"{bare} {_OPTIONS[name]}"
    if _no_rearm(bare):
        return str(bare)
    condition = bare.conditions[0]
    above, level = condition.op in ABOVE, condition.target.value
    range_ = registry[condition.metric].range
    step = min(abs(level) / 5 or 1.0, abs((range_.low if above else range_.high) - level) / 2)
    level += -step if above else step
    return str(replace(bare, rearm=float(f"{level:.6g}"))) if step else str(bare)


def _no_rearm(bare: Rule) -> str:
    condition = bare.conditions[0]
    if len(bare.conditions) > 1:
        joint = "or" if bare.or_at else "and"
        return f"“rearm” is for a single condition; with “{joint}” each has its own band."
    if condition.op == CROSSES:
        return "“rearm” does not go with “crosses”, which fires either way."
    if condition.target.kind != AMOUNT:
        return f"“rearm” needs a target that stands still; “{condition.target}” moves."
    return ""


def refuse_contradiction(rule: Rule) -> None:
    """Raise BadInput where two amounts of one metric make a group never true, or the rule always."""
    conditions = list(enumerate(rule.conditions))
    sizes = [len(group) for group in rule.grouped(conditions)]
    groups = [number for number, size in enumerate(sizes) for _ in range(size)]
    for (at, first), (other, second) in combinations(conditions, 2):
        ops, kinds = {first.op, second.op}, {first.target.kind, second.target.kind}
        if first.subject != second.subject or kinds != {AMOUNT} or not ops & ABOVE or not ops - ABOVE - {CROSSES}:
            continue
        above, below = (first, second) if first.op in ABOVE else (second, first)
        between = below.target.value - above.target.value
        if groups[at] == groups[other]:
            is_wrong, joint, when = between < 0 or (not between and ops != {">=", "<="}), "and", "never"
        else:
            is_alone = sizes[groups[at]] == sizes[groups[other]] == 1
            is_wrong, joint, when = (is_alone and (between > 0 or (not between and ops != {">", "<"})), "or", "always")
        if is_wrong:
            swapped = list(rule.conditions)
            swapped[at], swapped[other] = (replace(first, target=second.target), replace(second, target=first.target))
            example = replace(rule, conditions=tuple(swapped)) if between else Rule((first,))
            raise BadInput(f"“{first} {joint} {second}” is {when} true.", str(example))


def reads_percent_as_points(text: str, rule: Rule) -> bool:
    """Whether amounts of a rule that is in percentage points were typed in percent."""
    units = {condition.target.unit for condition in rule.conditions}
    return "pp" in units and "%" not in units and re.search(r"%|\bpercent\b", text) is not None


def grammar_words(registry: Mapping[str, Metric]) -> frozenset[str]:
    """The words that mean something in a rule on these metrics, other than the funds' own."""
    parameters = [p for metric in registry.values() for p in metric.parameters if p.kind != "fund"]
    names = {*registry, *lexer.METRIC_WORDS, *(choice for p in parameters for choice in p.choices)}
    parts = {part for name in names for part in name.split("_")}
    words = {*_JOINTS, *OPS, *_OPTIONS, *TARGETS, *lexer.COUNT_UNITS, *lexer.AMOUNT_UNITS, *WINDOW_WORDS}
    return frozenset(names | parts | words)


def is_plain(word: str) -> bool:
    """Whether the lexer leaves a word as it is."""
    return [token.text for token in lexer.tokenize(word)] == [word.lower()]
