"""The answer to /chart: one metric's value, meaning and chart."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pandas as pd

from bot.alerts.rule import subject_of
from bot.analytics.metrics import Arguments, Metric, metric_value, sources_of
from bot.errors import NoData
from bot.messages.charts import metric_chart
from bot.messages.common import (
    Answer,
    Button,
    age,
    chart_style,
    heading,
    percentile_phrase,
    sources,
    subject_title,
    window_title,
)
from bot.messages.html import Html, bold, code, lines, session_phrase

if TYPE_CHECKING:
    from bot.analytics.market import Market
    from bot.analytics.windows import AsOf, Window
    from bot.messages.canvas import Theme
    from bot.messages.charts import ChartSpec


_SPANS = (("6 months", "6m"), ("1 year", "1y"), ("5 years", "5y"))


def metric_answer(
    market: Market,
    asked: AsOf,
    theme: Theme,
    metric: Metric,
    arguments: Arguments,
    span: Window,
) -> Answer:
    """Current value with session and place in history, and the chart over `span`."""
    end = market.require_end()
    current = metric_value(metric, market, arguments)
    title = subject_title(metric, arguments)
    if current.value is None or current.session is None:
        raise NoData(f"{title}: n/a, {current.reason}.")
    history = metric.history(market, arguments).dropna()
    rank = percentile_phrase(history)
    old = age(market, current.session, metric.lag)
    late = f" ({session_phrase(current.session)}, {old})" if current.session != end else ""
    html = lines(
        heading(title, market, asked, priced=metric.part == "prices"),
        bold(metric.unit.show(current.value)) + f"{late}{f', {rank}' if rank is not None else ''}.",
        metric.meaning,
        "Formula: " + metric.formula,
        Html("").join(("Alert on it, for instance: ", code(f"/alert {metric.example}"))),
        f"Chart: {window_title(span)}.",
        "",
        sources({"data": current.source}),
    )
    draw = _chart(market, metric, arguments, span, theme)
    return Answer(html, draw, metric.name, _buttons(metric, arguments, asked))


def _buttons(metric: Metric, arguments: Arguments, asked: AsOf) -> tuple[tuple[Button, ...], ...]:
    """Buttons for other spans, for an alert on the metric, and for other metrics."""
    subject, tail = subject_of(metric.name, arguments.items()), asked.suffix
    spans = tuple((label, f"/chart {subject} {span}{tail}") for label, span in _SPANS)
    return (spans, (("Make an alert", f"/alert new {subject}"), ("Other metrics", f"/chart{tail}")))


def _chart(market: Market, metric: Metric, arguments: Arguments, span: Window, theme: Theme) -> ChartSpec:
    history: pd.Series = metric.history(market, arguments)
    position = int(span.bases(pd.DatetimeIndex(history.index))[-1])
    look = chart_style(
        subject_title(metric, arguments),
        market,
        theme,
        sources_of(metric, market, arguments),
        history.last_valid_index(),
    )
    return partial(metric_chart, history.iloc[max(position, 0) :], metric.unit, look)
