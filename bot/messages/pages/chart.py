"""The answer to /chart: one metric's value, meaning and chart."""

from functools import partial

from bot.alerts.rule import subject_of
from bot.analytics.market import Market
from bot.analytics.metrics import Arguments, Metric, close_behind, metric_value, sources_of
from bot.analytics.windows import AsOf, Window
from bot.errors import NoData
from bot.messages import common
from bot.messages.canvas import Theme
from bot.messages.charts import rule_chart
from bot.messages.common import Answer
from bot.messages.html import capital, code, lines, session_phrase

_SPANS = ("6m", "1y", "5y", "max")
_BREAKS = {"+2 sigma": 2.0, "the line": 0.0, "−2 sigma": -2.0}  # what the reader compares the channel with


def metric_answer(
    market: Market, as_of: AsOf, theme: Theme, metric: Metric, arguments: Arguments, span: Window
) -> Answer:
    """Return the current value with session and place in history, and the chart over `span`."""
    end = market.require_end()
    current = metric_value(metric, market, arguments)
    title = capital(common.metric_phrase(metric, arguments, market.pair))
    if current.value is None or current.session is None:
        raise NoData(f"{title}: n/a, {current.reason}.")
    history = metric.history(market, arguments)
    rank = common.percentile_phrase(history)
    close = close_behind(metric, market, arguments, current.session)
    late = f" ({session_phrase(close)}, {common.age(market, close)})" if close != end else ""
    references = _BREAKS if metric.name == "channel" else {}
    shown = common.within(market, history, span)
    panel = common.metric_panel("", shown, history, metric.unit, references)
    html = lines(
        common.heading(f"{title}: {metric.unit.show(current.value)}{late}", market, as_of),
        f"{capital(rank)}." if rank is not None else None,
        metric.meaning,
        common.closes_missing_line(market, arguments),
    )
    quote = common.details(
        market,
        "Formula: " + metric.formula,
        f"Chart: {common.window_title(span)}.",
        "Example of an alert: " + code(f"/alert {metric.example}"),
        common.sources({"data": current.source}),
        priced=metric.part == "prices",
    )
    label = sources_of(metric, market, arguments)
    style = common.chart_style(title, market, theme, label, close)
    draw = partial(rule_chart, [panel], style)
    subject, tail = subject_of(metric.name, arguments.items()), as_of.suffix
    buttons = (
        tuple((window, f"/chart {subject} {window}{tail}") for window in _SPANS),
        (("Make an alert", f"/alert new {subject}"), ("Other metrics", f"/chart{tail}")),
    )
    return Answer(html, draw, metric.name, buttons, quote=quote)
