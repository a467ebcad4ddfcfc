"""The guided choice of a rule: ready ones, or metric, arguments, comparison and target one by one.

Every page's buttons carry all that was chosen before, so that nothing need be remembered; `line` is
what follows "/alert new".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.alerts.presets import PRESETS, Preset
from bot.alerts.rule import CROSSES
from bot.analytics.metrics import metric_value
from bot.analytics.registry import METRICS, metrics_of
from bot.analytics.units import MINUS
from bot.rendering.alerts import frequency_line, suggestions
from bot.rendering.answer import SAMPLE, Answer, Button, in_rows
from bot.rendering.common import subject_title
from bot.rendering.standing import figure_lines, rearm_phrase
from bot.rendering.tables import table
from bot.rendering.text import Html, bold, code, lines, pre, short_date
from bot.rendering.thresholds import suggested_targets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bot.alerts.backtest import Frequency
    from bot.alerts.rule import Condition
    from bot.alerts.view import AlertView, EvaluationContext
    from bot.analytics.metrics import Argument, Metric, Parameter
    from bot.pair import Pair

_PERFORMANCE = frozenset({"excess", "momentum", "drawdown", "beta", "corr"})
TOPICS: dict[str, str] = {
    "trend": "Is the trend breaking?",
    "performance": "Who leads?",
    "flows": "Is money moving?",
    "valuation": "What is being paid?",
}
A_PAGE = 6  # metrics, one a row
_COMPARISONS = (("rises above", ">"), ("falls below", "<"), ("crosses, either way", "cross"))
_FEW = 3  # buttons of a row


def guide_start(pair: Pair) -> Answer:
    """Rules that are ready, and the way to one's own."""
    html = lines(
        bold("Tell you when?"),
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
    return Answer(lines(bold("A rule of your own"), "What is it about?"), buttons=(*rows, _back("/alert")))


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
        *((("‹ Before", f"/alert new {topic} {page - 1}"),) if page > 1 else ()),
        *((("More ›", f"/alert new {topic} {page + 1}"),) if page <= last else ()),
    )
    return Answer(html, buttons=(*rows, *((turns,) if turns else ()), _back("/alert new")))


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
    return Answer(html, buttons=(*in_rows(buttons, wide), _back(back)))


def _label(asked: Parameter, word: str) -> str:
    name = word.upper() if asked.kind == "fund" else word.replace("_", " ")
    return f"{name} (usual)" if word == str(asked.default).lower() and asked.kind != "fund" else name


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
        "Tell you when it ...",
    )
    rows = tuple(((label, f"/alert new {line} {op}"),) for label, op in _COMPARISONS)
    return Answer(html, buttons=(*rows, _back(back)))


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
        "* in 5 years, or as long as there is history",
        Html("").join(("Or type one, e.g. ", code(f"/alert {metric.example}"))),
    )
    buttons = [
        (row[0], f"/alert new {line} {suggestion.target}")
        for row, suggestion in zip(rows, suggestions, strict=True)
    ]
    return Answer(html, buttons=(*in_rows(buttons, _FEW), _back(back)))


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
    return Answer(html, buttons=((("Create", f"/alert {line}"),), *more, test, _back(back)))


def _more(alert: AlertView, line: str) -> tuple[tuple[Button, ...], ...]:
    """Options to add; going back removes them."""
    rule = alert.rule
    if rule.confirm != 1 or rule.once:
        return ()
    words = ("confirm 2", "confirm 3", "once")
    return (tuple((word, f"/alert new {line} {word}") for word in words),)


def _back(line: str) -> tuple[Button, ...]:
    return (("Back", line),)
