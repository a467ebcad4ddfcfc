"""Suggests targets for a metric from its own history, for the guide.

Choices about one alert: what to change of its rule, how long to snooze it, what its mirror is.

The guided choice of a rule: ready ones, or metric, arguments, comparison and target one by one.

Every page's buttons carry all that was chosen before, so that nothing need be remembered; `line` is
what follows "/alert new".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec.structs import replace

from bot.alerts.backtest import frequency
from bot.alerts.grammar import PRESETS, Preset
from bot.alerts.rule import ABOVE, AMOUNT, CROSSES, Rule, Target
from bot.analytics.metrics import METRICS, metric_value, metrics_of
from bot.analytics.sessions import EXCHANGE, short_date
from bot.analytics.units import LEVEL, MINUS, MULTIPLE, SHARE
from bot.messages.alerts.card import (
    figure_lines,
    frequency_line,
    rearm_phrase,
    state_sentence,
    suggestions,
    title,
)
from bot.messages.common import SAMPLE, Answer, Button, in_rows, subject_title
from bot.messages.html import Html, bold, code, lines, pre, table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from zoneinfo import ZoneInfo

    import pandas as pd

    from bot.alerts.backtest import Frequency
    from bot.alerts.rule import Condition
    from bot.alerts.view import AlertView, EvaluationContext
    from bot.analytics.metrics import Argument, Metric, Parameter
    from bot.pair import Pair


_LEAST = 60  # values below which a percentile says nothing
_LEVELS = {LEVEL.name, MULTIPLE.name, SHARE.name}  # have no natural zero: their own average is the line
_COUNTS = (5, 10, 20, 50, 100, 150, 200, 252, 500)  # sessions of averages, highs and lows people use
_SHARES = (5.0, 10.0, 20.0, 50.0, 80.0, 90.0, 95.0)  # percentiles
_STEPS_A_SPREAD = 12  # from the 10th to the 90th percentile


@dataclass(frozen=True)
class Suggestion:
    """A target, its meaning, and how often a rule with it would have fired (None without any history)."""

    target: Target
    meaning: str
    fires: int | None


def suggested_targets(condition: Condition, context: EvaluationContext) -> list[Suggestion]:
    """Targets for the metric, arguments and comparison of `condition`, whose own target is ignored."""
    metric, values = METRICS[condition.metric], _values(condition, context)
    meanings: dict[Target, str] = {}
    for target, meaning in _candidates(metric, condition.op, values):
        meanings.setdefault(target, meaning)
    return [
        Suggestion(target, meaning, _fires(replace(condition, target=target), context))
        for target, meaning in meanings.items()
    ]


def _values(condition: Condition, context: EvaluationContext) -> pd.Series:
    watched = replace(condition, target=Target(AMOUNT, 0.0))
    return context.histories.series(watched).value.dropna()


def _candidates(metric: Metric, op: str, values: pd.Series) -> list[tuple[Target, str]]:
    """Possible targets: levels of its own history, zero, its average, its extremes."""
    symbol, level = metric.unit.symbol, metric.unit.name in _LEVELS
    candidates: list[tuple[Target, str]] = []
    if len(values) >= _LEAST:
        grid = _grid(values)
        shares = (50,) if op == CROSSES else (90, 75) if op in ABOVE else (10, 25)
        for share in shares:
            amount = _rounded(float(values.quantile(share / 100)), grid)
            candidates.append(
                (Target(AMOUNT, amount, symbol), "its median" if share == 50 else f"its {share}th pct")
            )
    if not level and (values.empty or values.min() < 0 < values.max()):
        candidates.append((Target(AMOUNT, 0.0, symbol), "change of sign"))
    if level:
        candidates.append((Target("sma", 200.0), "its average"))
        if op != CROSSES:
            candidates.append(
                (
                    Target("high" if op in ABOVE else "low", 252.0),
                    f"1-year {'high' if op in ABOVE else 'low'}",
                )
            )
    if op != CROSSES:
        candidates.append((Target("pct", 90.0 if op in ABOVE else 10.0), "moves with data"))
    return candidates


def _fires(condition: Condition, context: EvaluationContext) -> int | None:
    rule = Rule((condition,))
    fires = frequency(rule, context.histories.sample_series(rule, sessions=context.market.sessions))
    return None if fires.since is None else fires.count


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
    match target.kind:
        case "sma" | "high" | "low":
            return _beside(target, tuple(map(float, _COUNTS)))
        case "pct":
            return _beside(target, _SHARES)
    values = _values(condition, context)
    if len(values) < _LEAST:
        return []
    grid = _grid(values)
    return [replace(target, value=_rounded(target.value + way * grid, grid)) for way in (-1, 1)]


def _beside(target: Target, steps: tuple[float, ...]) -> list[Target]:
    lower = [step for step in steps if step < target.value][-1:]
    higher = [step for step in steps if step > target.value][:1]
    return [replace(target, value=step) for step in (*lower, *higher)]


_CONFIRMS = (1, 2, 3)
_AGAINST = {"once": ("cooldown",), "silent": ("urgent",), "urgent": ("silent",)}  # what the grammar refuses
_FLAGS = (
    ("once", "Once", "Not once"),
    ("silent", "Silent", "With sound"),
    ("urgent", "Urgent", "Not urgent"),
)


def edit_menu(alert: AlertView, context: EvaluationContext) -> Answer:
    """The line to copy and change, and the usual changes as buttons."""
    number, rule = alert.number, alert.rule
    html = lines(
        title(alert),
        bold(SAMPLE) if context.market.is_sample else None,
        *figure_lines(alert, context),
        "",
        "Choose a change, or copy this line, edit it and send it:",
        code(f"/alert {number} edit {rule}"),
        "The alert keeps its number and history, and starts afresh.",
    )
    return Answer(html, buttons=(*_levels(alert, context), *_options(alert), _back(alert)))


def _levels(alert: AlertView, context: EvaluationContext) -> tuple[tuple[Button, ...], ...]:
    """A step down and a step up of every condition's target."""
    number, several = alert.number, len(alert.rule.conditions) > 1
    rows = []
    for at, condition in enumerate(alert.rule.conditions, start=1):
        row = []
        for target in neighbouring_targets(condition, context):
            words = f"{'cross' if condition.op == CROSSES else condition.op} {target}"
            leg = f"leg {at} " if several else ""
            label = f"{condition.metric} {words}" if several else f"{condition.op} {target}"
            row.append((label, f"/alert {number} edit {leg}{words}"))
        rows.append(tuple(row))
    return tuple(row for row in rows if row)


def _options(alert: AlertView) -> tuple[tuple[Button, ...], ...]:
    number, rule = alert.number, alert.rule
    confirms = tuple(
        (f"confirm {count}", f"/alert {number} edit confirm {count}")
        for count in _CONFIRMS
        if count != rule.confirm
    )
    flags = tuple(
        (off, f"/alert {number} edit no {name}")
        if getattr(rule, name)
        else (on, f"/alert {number} edit {name}")
        for name, on, off in _FLAGS
        if not any(getattr(rule, other) for other in _AGAINST.get(name, ()))
    )
    return confirms, flags


def _back(alert: AlertView) -> tuple[Button, ...]:
    return (("Back", f"/alert {alert.number}"),)


def snooze_menu(alert: AlertView, zone: ZoneInfo = EXCHANGE) -> Answer:
    """The question for how long."""
    number = alert.number
    html = lines(
        title(alert),
        state_sentence(alert, zone),
        "How long should it be snoozed? Whatever fires in the meantime is sent in one message at the end.",
        Html("").join(("Or type ", code(f"/alert {number} snooze until 2030-12-31"))),
    )
    spans = tuple((span, f"/alert {number} snooze {span}") for span in ("2h", "1d", "1w", "1m"))
    end = ((("End snooze", f"/alert {number} snooze off"),),) if alert.snoozed_until is not None else ()
    return Answer(html, buttons=(spans, *end, _back(alert)))


def mirror_menu(number: int, rule: Rule, mirrors: list[Rule]) -> Answer:
    """Says why a rule has no single mirror image, and offers the rules that mirror it."""
    if not mirrors:
        html = lines(
            bold(f"Alert #{number} already reports both directions."),
            code(str(rule)),
            "A rule with “crosses” fires upwards and downwards.",
        )
        return Answer(html, buttons=((("Back", f"/alert {number}"),),))
    html = lines(
        bold(f"Alert #{number} has {len(rule.conditions)} conditions"),
        code(str(rule)),
        "It goes back as soon as one of them does, and rules have no “or”. Choose one, or create several:",
        *(code(f"/alert {mirror}") for mirror in mirrors),
    )
    rows = tuple(
        ((str(mirror.conditions[0]), f"/alert {number} back {at}"),) for at, mirror in enumerate(mirrors, 1)
    )
    return Answer(html, buttons=(*rows, (("Back", f"/alert {number}"),)))


_PERFORMANCE = frozenset({"excess", "momentum", "drawdown", "beta", "corr"})
TOPICS: dict[str, str] = {
    "trend": "Is the trend breaking?",
    "performance": "Who leads?",
    "flows": "Is money moving?",
    "valuation": "How expensive are they?",
}
A_PAGE = 6  # metrics, one a row
_COMPARISONS = (("rises above", ">"), ("falls below", "<"), ("crosses, either way", "cross"))
_FEW = 3  # buttons of a row


def guide_start(pair: Pair) -> Answer:
    """Rules that are ready, and the way to one's own."""
    html = lines(
        bold("When should the bot message you?"),
        *(Html("").join((bold(preset.name), f": {pair.fill(preset.meaning)}")) for preset in PRESETS),
        "",
        Html("").join(
            ("Or type a rule: ", code("/alert excess 3m > 5pp confirm 2"), ". Details: /help alert")
        ),
    )
    return Answer(html, buttons=suggestions())


def topic_page() -> Answer:
    """The question what it is about."""
    rows = tuple(((question, f"/alert new {topic}"),) for topic, question in TOPICS.items())
    return Answer(
        lines(bold("A rule of your own"), "What is it about?"), buttons=(*rows, _back_button("/alert"))
    )


def topic_of(metric: Metric) -> str:
    """The topic under which a metric is offered."""
    if metric.part == "prices":
        return "performance" if metric.name in _PERFORMANCE else "trend"
    return {"facts": "flows", "multiples": "valuation"}.get(metric.part, "trend")


def metric_page(pair: Pair, topic: str, page: int) -> Answer:
    """The metrics of a topic, six a page. Shows the page nearest to the given number."""
    on_topic = [metric for metric in metrics_of(pair).values() if topic_of(metric) == topic]
    last = (len(on_topic) - 1) // A_PAGE
    page = min(max(page, 1), last + 1)
    shown = on_topic[(page - 1) * A_PAGE : page * A_PAGE]
    html = lines(
        bold(TOPICS[topic]) + (f" · page {page} of {last + 1}" if last else ""),
        *(Html("").join((bold(metric.title), f": {metric.meaning}")) for metric in shown),
    )
    rows = tuple(((metric.title, f"/alert new {metric.name}"),) for metric in shown)
    turns = (
        *((("‹ Previous", f"/alert new {topic} {page - 1}"),) if page > 1 else ()),
        *((("More ›", f"/alert new {topic} {page + 1}"),) if page <= last else ()),
    )
    return Answer(html, buttons=(*rows, *((turns,) if turns else ()), _back_button("/alert new")))


def parameter_page(line: str, metric: Metric, asked: Parameter, choices: Sequence[str], back: str) -> Answer:
    """The question for one argument."""
    question = {
        "count": "Over how many sessions?",
        "window": "Over which window?",
        "fund": "Of which fund?",
        "convention": "Under which convention?",
        "date": "From which date on?",
    }[asked.kind]
    typed = Html("").join(("Or type the rule, e.g. ", code(f"/alert {metric.example}")))
    html = lines(bold(metric.title), metric.meaning, question, typed)
    buttons = [(_label(asked, word), f"/alert new {line} {word}") for word in choices]
    wide = 1 if asked.kind in {"convention", "date"} else _FEW
    return Answer(html, buttons=(*in_rows(buttons, wide), _back_button(back)))


def _label(asked: Parameter, word: str) -> str:
    name = word.upper() if asked.kind == "fund" else word.replace("_", " ")
    return f"{name} (default)" if word == str(asked.default).lower() and asked.kind != "fund" else name


def comparison_page(
    line: str, metric: Metric, arguments: dict[str, Argument], context: EvaluationContext, back: str
) -> Answer:
    """The question whether above, below, or either way."""
    now = metric_value(metric, context.market, arguments)
    shown = f"n/a, {now.reason}" if now.value is None else metric.unit.show(now.value)
    dated = f" (close of {short_date(now.session)}, {now.source})" if now.session is not None else ""
    html = lines(
        bold(subject_title(metric, arguments)),
        bold(SAMPLE) if context.market.is_sample else None,
        metric.meaning,
        f"Now {shown}{dated}.",
        "Message you when it ...",
    )
    rows = tuple(((label, f"/alert new {line} {op}"),) for label, op in _COMPARISONS)
    return Answer(html, buttons=(*rows, _back_button(back)))


def target_page(line: str, condition: Condition, context: EvaluationContext, back: str) -> Answer:
    """The question for the threshold: levels of its own history, with how often each would have fired."""
    metric = metrics_of(context.market.pair)[condition.metric]
    suggestions = suggested_targets(condition, context)
    rows = [
        (
            str(suggestion.target).replace("-", MINUS),
            suggestion.meaning,
            "n/a" if suggestion.fires is None else str(suggestion.fires),
        )
        for suggestion in suggestions
    ]
    way = {CROSSES: "crosses"}.get(condition.op, "above" if condition.op == ">" else "below")
    html = lines(
        bold(f"{condition.subject} {way} what?"),
        bold(SAMPLE) if context.market.is_sample else None,
        *_now(condition, context),
        pre(table((way, "which is", "fires*"), rows)),
        "* in the last 5 years, or since its history begins",
        Html("").join(("Or type one, e.g. ", code(f"/alert {metric.example}"))),
    )
    buttons = [
        (row[0], f"/alert new {line} {suggestion.target}")
        for row, suggestion in zip(rows, suggestions, strict=True)
    ]
    return Answer(html, buttons=(*in_rows(buttons, _FEW), _back_button(back)))


def _now(condition: Condition, context: EvaluationContext) -> list[str]:
    metric = METRICS[condition.metric]
    now = metric_value(metric, context.market, dict(condition.arguments))
    if now.value is None or now.session is None:
        return [f"Now n/a, {now.reason}."]
    return [f"Now {metric.unit.show(now.value)} (close of {short_date(now.session)}, {now.source})."]


def confirmation(
    alert: AlertView,
    context: EvaluationContext,
    frequency: Frequency,
    back: str,
    preset: Preset | None = None,
) -> Answer:
    """The canonical rule with its state and how often it would have fired. Nothing is stored yet."""
    rule = alert.rule
    html = lines(
        bold(preset.name if preset else "Your rule"),
        code(str(rule)),
        context.market.pair.fill(preset.meaning) if preset else None,
        bold(SAMPLE) if context.market.is_sample else None,
        *figure_lines(alert, context),
        rearm_phrase(alert, context),
        frequency_line(frequency, rule, context),
    )
    line = preset.name.lower() if preset else str(rule).replace(f" {CROSSES} ", " cross ")
    more: tuple[tuple[Button, ...], ...] = () if preset else _more(alert, line)
    test = (("Backtest", f"/backtest {line}"),)
    return Answer(html, buttons=((("Create", f"/alert {line}"),), *more, test, _back_button(back)))


def _more(alert: AlertView, line: str) -> tuple[tuple[Button, ...], ...]:
    """Options to add; going back removes them."""
    rule = alert.rule
    if rule.confirm != 1 or rule.once:
        return ()
    words = ("confirm 2", "confirm 3", "once")
    return (tuple((word, f"/alert new {line} {word}") for word in words),)


def _back_button(line: str) -> tuple[Button, ...]:
    return (("Back", line),)
