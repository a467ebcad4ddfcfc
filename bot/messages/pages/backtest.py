"""The answer to /backtest: when a rule would have fired, and what the ratio did afterwards."""

from __future__ import annotations

import datetime as dt
from functools import partial
from typing import TYPE_CHECKING

import pandas as pd

from bot.analytics.metrics import metrics_of, sources_of
from bot.analytics.sessions import short_date
from bot.analytics.units import NOT_AVAILABLE, PERCENT
from bot.analytics.windows import AsOf
from bot.messages.alerts.card import times
from bot.messages.charts import Marks, rule_chart
from bot.messages.common import (
    Answer,
    condition_panel,
    heading,
    latest_starting_condition,
    rule_chart_style,
    sources,
)
from bot.messages.html import bold, code, lines, pre, table

if TYPE_CHECKING:
    from bot.alerts.backtest import Frequency, Outcome
    from bot.messages.canvas import Theme
    from bot.messages.charts import ChartSpec
    from bot.messages.html import Html
    from bot.pair import Pair
    from bot.services.questions import Backtest


_SHOWN = 12
_LONGER = (5, 10, 20)  # years that are offered where fewer were tested
_FEW = 10  # fires below this are too few to mean anything


def backtest_answer(tested: Backtest, theme: Theme) -> Answer:
    """Dates fired, fires without the band, outcome after 5, 20 and 60 sessions, a chart with marks."""
    rule, market, years, fires = tested.rule, tested.context.market, tested.years, tested.fires
    metrics = metrics_of(market.pair)
    html = lines(
        heading("Backtest", market, AsOf()),
        code(str(rule)),
        _span(tested),
        _fired(tested),
        _dates(fires.dates),
        *_followed(market.pair, tested),
        f"n below {_FEW}: too few to mean anything." if 0 < fires.count < _FEW else None,
        "",
        sources(
            {
                metrics[c.metric].title: sources_of(metrics[c.metric], market, dict(c.arguments))
                for c in rule.conditions
            }
        ),
    )
    longer = None if _is_short(fires, years) else next((more for more in _LONGER if more > years), None)
    # The rule of a preset might be too long for a button.
    line = tested.preset.name.lower() if tested.preset else str(rule)
    again = ((f"{longer} years", f"/backtest {line} {longer}y"),) if longer else ()
    buttons = ((("Make it an alert", f"/alert {line}"), *again),)
    return Answer(html, _chart(tested, theme), "backtest", buttons)


def _is_short(fires: Frequency, years: int) -> bool:
    """Whether history begins later than the years asked for."""
    asked = (pd.Timestamp(fires.until) - pd.DateOffset(years=years)).date()
    return fires.since is not None and fires.since > asked + dt.timedelta(days=10)


def _span(tested: Backtest) -> str:
    """The sessions that were judged, and which condition has no earlier ones."""
    fires, first = tested.fires, short_date(tested.begin)
    latest = latest_starting_condition(tested.rule, tested.context.histories)
    what = f" of {latest}" if len(tested.rule.conditions) > 1 else ""
    note = f"; before that there is too little history{what}" if _is_short(fires, tested.years) else ""
    return f"Judged close by close from {first} to {short_date(tested.end)}{note}."


def _fired(tested: Backtest) -> Html:
    """How often it fired, and how often it would have without the band."""
    count, bare = tested.fires.count, tested.bare
    if not count and not bare:
        return bold("It never fired") + ", with the re-arm band or without."
    sentence = bold(f"Fired {times(count)}" if count else "It never fired")
    return sentence + f"; without the re-arm band {times(bare)}."


def _dates(dates: tuple[dt.date, ...]) -> str | None:
    if not dates:
        return None
    shown = ", ".join(short_date(day) for day in reversed(dates[-_SHOWN:]))
    more = len(dates) - _SHOWN
    return f"On {shown}{f' and {more} more' if more > 0 else ''}."


def _followed(pair: Pair, tested: Backtest) -> list[Html | str]:
    """What the ratio did after the fires, beside what it did from any day."""
    if not tested.fires.count:
        return []
    header = ("sessions", "median", "rose", "n", "any day")
    return [
        f"What {pair} did after it fired:",
        pre(table(header, _rows(tested.after))),
        "Any day: the median after every session, fired or not.",
    ]


def _rows(after: list[Outcome]) -> list[tuple[str, ...]]:
    return [
        (
            str(outcome.horizon),
            PERCENT.show(outcome.median, 1),
            NOT_AVAILABLE if outcome.rose is None else f"{outcome.rose:.0f}%",
            str(outcome.n),
            PERCENT.show(outcome.base, 1),
        )
        for outcome in after
    ]


def _chart(tested: Backtest, theme: Theme) -> ChartSpec:
    """Every condition that has a figure in the span, one above the other, the fires marked."""
    begin, histories = pd.Timestamp(tested.begin), tested.context.histories
    drawn = [condition_panel(condition, histories, begin) for condition in tested.rule.conditions]
    look = rule_chart_style(f"Backtest: {tested.rule}", tested.rule, tested.context.market, theme)
    fires = [pd.Timestamp(day) for day in tested.fires.dates]
    marks = Marks(fires, "fired") if fires else None
    return partial(rule_chart, [leg for leg in drawn if leg.series.notna().any()], look, marks)
