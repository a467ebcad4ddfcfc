"""The answer to /chart: one metric's value, meaning and chart."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bot.alerts.rule import subject_of
from bot.analytics.metrics import Arguments, Metric, close_behind, metric_value, sources_of
from bot.errors import NoData
from bot.messages import common
from bot.messages.charts import ConditionPanel, rule_chart
from bot.messages.common import Answer
from bot.messages.html import bold, code, lines, session_phrase

if TYPE_CHECKING:
    from bot.analytics.market import Market
    from bot.analytics.windows import AsOf, Window
    from bot.messages.canvas import Theme

_SPANS = (("6 months", "6m"), ("1 year", "1y"), ("5 years", "5y"))


def metric_answer(
    market: Market, as_of: AsOf, theme: Theme, metric: Metric, arguments: Arguments, span: Window
) -> Answer:
    """Return the current value with session and place in history, and the chart over `span`."""
    end = market.require_end()
    current = metric_value(metric, market, arguments)
    title = common.subject_title(metric, arguments)
    if current.value is None or current.session is None:
        raise NoData(f"{title}: n/a, {current.reason}.")
    history = metric.history(market, arguments)
    rank = common.percentile_phrase(history)
    close = close_behind(metric, market, arguments, current.session)
    late = f" ({session_phrase(close)}, {common.age(market, close)})" if close != end else ""
    html = lines(
        common.heading(title, market, as_of, priced=metric.part == "prices"),
        bold(metric.unit.show(current.value)) + f"{late}{f', {rank}' if rank is not None else ''}.",
        common.closes_missing_line(market, arguments),
        metric.meaning,
        "Formula: " + metric.formula,
        "Example of an alert: " + code(f"/alert {metric.example}"),
        f"Window of the chart: {common.window_title(span)}.",
        "",
        common.sources({"data": current.source}),
    )
    label = sources_of(metric, market, arguments)
    style = common.chart_style(title, market, theme, label, close)
    draw = partial(rule_chart, [ConditionPanel("", common.within(market, history, span), metric.unit)], style)
    subject, tail = subject_of(metric.name, arguments.items()), as_of.suffix
    buttons = (
        tuple((text, f"/chart {subject} {window}{tail}") for text, window in _SPANS),
        (("Make an alert", f"/alert new {subject}"), ("Other metrics", f"/chart{tail}")),
    )
    return Answer(html, draw, metric.name, buttons)
