"""The chart of an alert: every condition with its threshold, the fires marked."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pandas as pd

from bot.analytics.freshness import require_end
from bot.errors import NoData
from bot.rendering.answer import SAMPLE, Answer
from bot.rendering.charts import Marks, rule_chart
from bot.rendering.common import condition_panel, rule_chart_style
from bot.rendering.standing import figure_lines, title
from bot.rendering.text import bold, lines

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from bot.alerts.view import AlertView, EvaluationContext
    from bot.rendering.themes import Theme

_SPAN = pd.DateOffset(years=1)


def rule_chart_answer(
    alert: AlertView, context: EvaluationContext, theme: Theme, fires: Sequence[dt.date]
) -> Answer:
    """A year of every condition, one above the other. Raises NoData if none has a figure."""
    rule, market = alert.rule, context.market
    begin = require_end(market) - _SPAN
    drawn = [condition_panel(condition, context.histories, begin) for condition in rule.conditions]
    legs = [leg for leg in drawn if leg.series.notna().any()]
    if not legs:
        raise NoData(f"There is nothing to draw for {rule}: no figure is stored of the last year.")
    lacking = [
        str(condition)
        for condition, leg in zip(rule.conditions, drawn, strict=True)
        if not leg.series.notna().any()
    ]
    html = lines(
        title(alert),
        bold(SAMPLE) if market.is_sample else None,
        *figure_lines(alert, context),
        f"Not drawn, no figure in the last year: {'; '.join(lacking)}." if lacking else None,
    )
    look = rule_chart_style(f"Alert #{alert.number}: {rule}", rule, market, theme)
    marks = Marks([pd.Timestamp(day) for day in fires], "fired") if fires else None
    return Answer(
        html, partial(rule_chart, legs, look, marks), "alert", ((("Back", f"/alert {alert.number}"),),)
    )
