"""Choices about alerts, one tap each: the guide to a new rule, and what to change about an alert.

The guide offers ready rules, or asks for metric, arguments, comparison and target one by one. The buttons of
every page carry all that was chosen before, so that nothing need be remembered; `line` is what follows
"/alert new". Targets are suggested from the metric's own history.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pandas as pd
from msgspec.structs import replace

from bot.alerts.backtest import Frequency, frequency
from bot.alerts.presets import Preset, presets_for
from bot.alerts.rule import ABOVE, AMOUNT, CROSSES, Condition, Rule, Target
from bot.alerts.view import AlertView, EvaluationContext
from bot.analytics import metrics
from bot.analytics.market import Market
from bot.analytics.units import LEVEL, MINUS, MULTIPLE, PRICE, SHARE
from bot.messages.alerts import card, words
from bot.messages.common import INSERT, SAMPLE_NOTICE, Answer, Button, in_rows, metric_phrase
from bot.messages.html import Html, bold, capital, code, lines, pre, table
from bot.pair import Pair
from bot.text import short_date

_PERFORMANCE = frozenset(
    {"excess", "momentum", "drawdown", "beta", "corr", "price", "return", "volatility", "from_high", "from_low"}
)
TOPICS: dict[str, str] = {
    "trend": "Is the trend breaking?",
    "performance": "Who leads?",
    "flows": "Is money moving?",
    "valuation": "How expensive are they?",
}
_METRICS_A_PAGE = 6
_COMPARISONS = (("rises above", ">"), ("falls below", "<"), ("crosses, either way", "cross"))
_BUTTONS_IN_A_ROW = 3
_QUESTIONS = {
    "count": "Over how many sessions?",
    "window": "Over which window?",
    "fund": "Of which fund?",
    "convention": "Under which convention?",
    "date": "From which date on?",
}
_CONFIRMS = (1, 2, 3)
# Options that are on or off: the word, its buttons, and the options that exclude it.
_FLAGS = (
    ("once", "Once", "Not once", ("cooldown", "remind")),
    ("silent", "Silent", "With sound", ("urgent",)),
    ("urgent", "Urgent", "Not urgent", ("silent",)),
)
_LEAST_VALUES = 60  # with fewer a percentile says nothing
_LEVELS = {LEVEL.name, MULTIPLE.name, SHARE.name, PRICE.name}  # have no natural zero: their own average is the line
_COUNTS = (5.0, 10.0, 20.0, 50.0, 100.0, 150.0, 200.0, 252.0, 500.0)  # usual sessions of averages and highs
_PERCENTILES = (5.0, 10.0, 20.0, 50.0, 80.0, 90.0, 95.0)
_STEPS_A_SPREAD = 12  # from the 10th to the 90th percentile


def guide_start(context: EvaluationContext) -> Answer:
    """Rules that are ready, those that lack figures with what and how to get it, and the way to one's own."""
    rules = {preset: card.preset_rule(preset, context) for preset in presets_for(context.market)}
    missing = {preset: card.lacking(rule, context) for preset, rule in rules.items()}
    steps = [step for rule in rules.values() for step in card.next_steps(rule, context)]
    html = lines(
        bold("When should the bot message you?"),
        *(bold(preset.name) + f": {preset.meaning}" for preset in rules if not missing[preset]),
        *(
            bold(preset.name) + f" cannot be evaluated yet: {', '.join(missing[preset])}."
            for preset in rules
            if missing[preset]
        ),
        *dict.fromkeys(steps),
        "",
        Html("Or type a rule: {}. Details: /help alert").format(code("/alert excess 3m > 5pp confirm 2")),
    )
    return Answer(html, buttons=card.suggestions(context))


def topic_page() -> Answer:
    """The question what the rule is about."""
    rows = tuple(((question, f"/alert new {topic}"),) for topic, question in TOPICS.items())
    html = lines(bold("A rule of your own"), "What is it about?")
    return Answer(html, buttons=(*rows, _back_button("/alert")))


def topic_of(metric: metrics.Metric) -> str:
    """The topic under which a metric is offered."""
    if metric.part == "prices":
        return "performance" if metric.name in _PERFORMANCE else "trend"
    return {"facts": "flows", "multiples": "valuation"}.get(metric.part, "trend")


def metric_page(pair: Pair, topic: str, page: int) -> Answer:
    """The metrics of a topic, six a page. Shows the page nearest to the given number."""
    offered = [metric for metric in metrics.metrics_of(pair).values() if topic_of(metric) == topic]
    pages = math.ceil(len(offered) / _METRICS_A_PAGE)
    page = min(max(page, 1), pages)
    shown = offered[(page - 1) * _METRICS_A_PAGE : page * _METRICS_A_PAGE]
    html = lines(
        bold(TOPICS[topic]) + (f" · page {page} of {pages}" if pages > 1 else ""),
        *(bold(metric.title) + f": {metric.meaning}" for metric in shown),
    )
    rows = tuple(((metric.title, f"/alert new {metric.name}"),) for metric in shown)
    before = (("‹ Previous", f"/alert new {topic} {page - 1}"),) if page > 1 else ()
    after = (("More ›", f"/alert new {topic} {page + 1}"),) if page < pages else ()
    return Answer(html, buttons=(*rows, *filter(None, [before + after]), _back_button("/alert new")))


def parameter_page(
    line: str, metric: metrics.Metric, parameter: metrics.Parameter, choices: Sequence[str], back: str
) -> Answer:
    """The question for one argument."""
    typed = "Or type the rule, e.g. " + code(f"/alert {metric.example}")
    html = lines(bold(metric.title), metric.meaning, _QUESTIONS[parameter.kind], typed)
    buttons = [(_choice_label(parameter, word), f"/alert new {line} {word}") for word in choices]
    columns = 1 if parameter.kind in {"convention", "date"} else _BUTTONS_IN_A_ROW
    return Answer(html, buttons=(*in_rows(buttons, columns), _back_button(back)))


def _choice_label(parameter: metrics.Parameter, word: str) -> str:
    if parameter.kind == "fund":
        return "the ratio" if word == metrics.RATIO_WORD else word.upper()
    name = word.replace("_", " ")
    return f"{name} (default)" if word == str(parameter.default).lower() else name


def comparison_page(
    line: str, metric: metrics.Metric, arguments: dict[str, metrics.Argument], context: EvaluationContext, back: str
) -> Answer:
    """The question whether above, below, or either way."""
    html = lines(
        bold(capital(metric_phrase(metric, arguments, context.market.pair))),
        bold(SAMPLE_NOTICE) if context.market.is_sample else None,
        metric.meaning,
        _current_value(metric, arguments, context.market),
        "Message you when it ...",
    )
    rows = tuple(((label, f"/alert new {line} {op}"),) for label, op in _COMPARISONS)
    return Answer(html, buttons=(*rows, _back_button(back)))


def _current_value(metric: metrics.Metric, arguments: Mapping[str, metrics.Argument], market: Market) -> str:
    current = metrics.metric_value(metric, market, dict(arguments))
    value = f"n/a, {current.reason}" if current.value is None else metric.unit.show(current.value)
    if current.session is None:
        return f"Now {value}."
    close = metrics.close_behind(metric, market, dict(arguments), current.session)
    return f"Now {value} (close of {short_date(close)}, {current.source})."


def target_page(line: str, condition: Condition, context: EvaluationContext, back: str) -> Answer:
    """The question for the threshold: levels of its own history, with how often each would have fired."""
    metric = metrics.metrics_of(context.market.pair)[condition.metric]
    targets = suggested_targets(condition, context)
    rows = [
        (str(target).replace("-", MINUS), meaning, None if fires is None else str(fires))
        for target, meaning, fires in targets
    ]
    way = {CROSSES: "crosses", ">": "above"}.get(condition.op, "below")
    html = lines(
        bold(f"{capital(words.subject_words(condition, context.market.pair))} {way} what?"),
        bold(SAMPLE_NOTICE) if context.market.is_sample else None,
        _current_value(metrics.METRICS[condition.metric], dict(condition.arguments), context.market),
        pre(table((way, "which is", "fires*"), rows)),
        "* in the last 5 years, or since its history begins",
        "Or type one, e.g. " + code(f"/alert {metric.example}"),
    )
    buttons = [(str(t.target).replace("-", MINUS), f"/alert new {line} {t.target}") for t in targets]
    return Answer(html, buttons=(*in_rows(buttons, _BUTTONS_IN_A_ROW), _back_button(back)))


def confirmation(
    alert: AlertView, context: EvaluationContext, past: Frequency, back: str, preset: Preset | None = None
) -> Answer:
    """The rule in words with its state and how often it would have fired. Nothing is stored yet."""
    rule = alert.rule
    html = lines(
        bold(preset.name if preset else "Your rule") + f": {words.rule_words(rule, context.market.pair)}.",
        words.figures_line(alert, context),
        words.frequency_line(past, rule, context),
        "Nothing is set yet: tap Create.",
    )
    quote = lines(
        code(str(rule)),
        preset.meaning if preset else None,
        words.waiting_phrase(alert, context),
        *words.rank_sentences(rule, context),
        words.rearm_phrase(alert, context),
        *card.next_steps(rule, context),
    )
    line = preset.name.lower() if preset else str(rule).replace(f" {CROSSES} ", " cross ")
    options: tuple[Button, ...] = ()
    if not preset and rule.confirm == 1 and not rule.once:  # going back removes a chosen option
        options_left = ("confirm 2", "confirm 3", *(() if rule.cooldown or rule.remind else ("once",)))
        options = tuple((option, f"/alert new {line} {option}") for option in options_left)
    row = (("Create", f"/alert {line}"), ("Backtest", f"/backtest {line}"), *_back_button(back))
    return Answer(html, quote=quote, buttons=tuple(filter(None, (row, options))))


def _back_button(line: str) -> tuple[Button, ...]:
    return (("Back", line),)


class Suggestion(NamedTuple):
    """A target, its meaning, and how often a rule with it would have fired (None without any history)."""

    target: Target
    meaning: str
    fires: int | None


def suggested_targets(condition: Condition, context: EvaluationContext) -> list[Suggestion]:
    """Targets for the metric, arguments and comparison of `condition`, whose own target is ignored."""
    metric, meanings = metrics.METRICS[condition.metric], dict[Target, str]()
    for target, meaning in _candidates(metric, condition.op, _past_values(condition, context)):
        if target.kind != AMOUNT or metric.range.allows(condition.op, target.value):
            meanings.setdefault(target, meaning)
    suggested = []
    for target, meaning in meanings.items():
        rule = Rule((replace(condition, target=target),))
        past = frequency(rule, context.histories.samples(rule, sessions=context.market.sessions))
        suggested.append(Suggestion(target, meaning, None if past.since is None else past.count))
    return suggested


def _past_values(condition: Condition, context: EvaluationContext) -> pd.Series:
    with_any_target = replace(condition, target=Target(AMOUNT, 0.0))
    return context.histories.series(with_any_target).value.dropna()


def _candidates(metric: metrics.Metric, op: str, values: pd.Series) -> list[tuple[Target, str]]:
    """Possible targets with their meanings: levels of its own history, zero, its average, its extremes."""
    symbol, is_level = metric.unit.symbol, metric.unit.name in _LEVELS
    candidates: list[tuple[Target, str]] = []
    if len(values) >= _LEAST_VALUES:
        grid = _grid(values)
        percentiles = (50,) if op == CROSSES else (90, 75) if op in ABOVE else (10, 25)
        for percentile in percentiles:
            amount = _rounded(float(values.quantile(percentile / 100)), grid)
            meaning = "its median" if percentile == 50 else f"its {percentile}th pct"
            candidates.append((Target(AMOUNT, amount, symbol), meaning))
    if not is_level and (values.empty or values.min() < 0 < values.max()):
        candidates.append((Target(AMOUNT, 0.0, symbol), "change of sign"))
    if is_level:
        candidates.append((Target("sma", 200.0), "its average"))
        if op != CROSSES:
            extreme = "high" if op in ABOVE else "low"
            candidates.append((Target(extreme, 252.0), f"1-year {extreme}"))
    if op != CROSSES:
        candidates.append((Target("pct", 90.0 if op in ABOVE else 10.0), "moves with data"))
    return candidates


def _grid(values: pd.Series) -> float:
    """The step between amounts worth offering: 1, 2 or 5 times a power of ten."""
    spread = float(values.quantile(0.9) - values.quantile(0.1)) or abs(float(values.iloc[-1])) or 1.0
    power = 10.0 ** math.floor(math.log10(spread / _STEPS_A_SPREAD))
    ratio = spread / _STEPS_A_SPREAD / power
    return power * (5 if ratio >= 5 else 2 if ratio >= 2 else 1)


def _rounded(amount: float, grid: float) -> float:
    """The multiple of the grid nearest to the amount, without the dust of binary fractions."""
    return float(f"{round(amount / grid) * grid:.10g}") or 0.0


def neighbouring_targets(condition: Condition, context: EvaluationContext) -> list[Target]:
    """The next lower and the next higher target of the same kind, as far as they exist."""
    target = condition.target
    if target.kind == AMOUNT:
        values = _past_values(condition, context)
        if len(values) < _LEAST_VALUES:
            return []
        grid, range_ = _grid(values), metrics.METRICS[condition.metric].range
        amounts = [_rounded(target.value + way * grid, grid) for way in (-1, 1)]
        return [replace(target, value=a) for a in amounts if range_.allows(condition.op, a)]
    steps = _PERCENTILES if target.kind == "pct" else _COUNTS
    lower = [step for step in steps if step < target.value][-1:]
    higher = [step for step in steps if step > target.value][:1]
    return [replace(target, value=step) for step in (*lower, *higher)]


def edit_menu(alert: AlertView, context: EvaluationContext) -> Answer:
    """The usual changes as buttons, and the line to change, which a tap puts into the input field."""
    line = f"/alert {alert.number} edit {alert.rule}"
    html = lines(
        bold(f"What should change about {words.label(alert, context.market)}?"),
        words.figures_line(alert, context),
        "It keeps its number and history, and starts afresh. Or send a line like:",
        code(line),
    )
    last = (("Change the text", INSERT + line), *_back_button(f"/alert {alert.number}"))
    return Answer(html, buttons=(*_target_rows(alert, context), *_option_rows(alert), last))


def _target_rows(alert: AlertView, context: EvaluationContext) -> tuple[tuple[Button, ...], ...]:
    """A step down and a step up of every condition's target, a row per condition."""
    several = len(alert.rule.conditions) > 1
    rows = []
    for position, condition in enumerate(alert.rule.conditions, start=1):
        row = []
        for target in neighbouring_targets(condition, context):
            change = f"{'cross' if condition.op == CROSSES else condition.op} {target}"
            prefix = f"condition {position} " if several else ""
            label = f"{condition.metric} {change}" if several else f"{condition.op} {target}"
            row.append((label, f"/alert {alert.number} edit {prefix}{change}"))
        rows.append(tuple(row))
    return tuple(filter(None, rows))


def _option_rows(alert: AlertView) -> tuple[tuple[Button, ...], ...]:
    rule, command = alert.rule, f"/alert {alert.number} edit"
    confirms = tuple((f"confirm {count}", f"{command} confirm {count}") for count in _CONFIRMS if count != rule.confirm)
    flags = tuple(
        (off, f"{command} no {name}") if getattr(rule, name) else (on, f"{command} {name}")
        for name, on, off, excluded_by in _FLAGS
        if not any(getattr(rule, option) for option in excluded_by)
    )
    return confirms, flags
