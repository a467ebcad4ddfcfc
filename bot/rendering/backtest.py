"""The answer to /backtest: when a rule would have fired, and what the ratio did afterwards."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from bot.alerts.backtest import Frequency, frequency, without_band
from bot.alerts.outcome import Outcome, outcomes
from bot.analytics import trend
from bot.analytics.registry import METRICS
from bot.analytics.units import NOT_AVAILABLE, PERCENT
from bot.errors import NoData
from bot.rendering.answer import Answer, Asked, heading, require, sources
from bot.rendering.charts import Marks, Threshold, metric_chart
from bot.rendering.compare import chart_look
from bot.rendering.tables import table
from bot.rendering.text import bold, code, lines, pre, short_date

if TYPE_CHECKING:
    from bot.alerts.bars import Histories
    from bot.alerts.rule import Rule
    from bot.analytics.market import Market
    from bot.rendering.charts import Chart
    from bot.rendering.text import Html
    from bot.rendering.themes import Theme

_SHOWN = 12
_FEW = 10  # fires below this are too few to mean anything


@dataclass(frozen=True)
class Backtest:
    """A rule run over history."""

    rule: Rule
    found: Frequency
    bare: int  # fires without the band
    after: list[Outcome]


def run(rule: Rule, market: Market, histories: Histories, years: int) -> Backtest:
    """The live step over the last `years`; raises NoData when no input has any history."""
    require(market)
    history = histories.course(rule, None, market.sessions)
    found = frequency(rule, history, years)
    if found.since is None:
        lacking = [str(c) for c in rule.conditions if histories.series(c).value.dropna().empty]
        raise NoData(f"There is no history for {' and '.join(lacking) or rule}; nothing can be tested.")
    return Backtest(
        rule,
        found,
        without_band(rule, history, years),
        outcomes(found.dates, trend.ratio(market), found.since),
    )


def backtest_answer(market: Market, theme: Theme, histories: Histories, rule: Rule, years: int) -> Answer:
    """Dates fired, fires without the band, outcome after 5, 20 and 60 sessions, a chart with marks."""
    tested = run(rule, market, histories, years)
    found = tested.found
    html = lines(
        heading("Backtest", market, Asked()),
        code(str(rule)),
        _span(found, years),
        bold(f"Fired {_times(found.count)}") + f"; without the re-arm band {_times(tested.bare)}.",
        _dates(found.dates),
        *_followed(tested),
        f"n below {_FEW}: too few to mean anything." if 0 < found.count < _FEW else None,
        "",
        sources({METRICS[c.metric].title: market.source(_part(c.metric)).label for c in rule.conditions}),
    )
    buttons = (((("Make it an alert", f"/alert {rule}")), ("10 years", f"/backtest {rule} 10y")),)
    return Answer(html, lambda: _chart(market, theme, histories, tested), "backtest", buttons)


def _part(metric: str) -> str:
    part = METRICS[metric].part
    return "facts:IWM" if part == "facts" else part


def _span(found: Frequency, years: int) -> str:
    if found.since is None or found.until is None:
        return NOT_AVAILABLE
    asked = (pd.Timestamp(found.until) - pd.DateOffset(years=years)).date()
    short = found.since > asked + dt.timedelta(days=10)
    note = f"; there is no history before {short_date(found.since)}" if short else ""
    return f"Judged close by close from {short_date(found.since)} to {short_date(found.until)}{note}."


def _times(count: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")


def _dates(dates: tuple[dt.date, ...]) -> str | None:
    if not dates:
        return None
    shown = ", ".join(short_date(day) for day in reversed(dates[-_SHOWN:]))
    more = len(dates) - _SHOWN
    return f"On {shown}{f' and {more} more' if more > 0 else ''}."


def _followed(tested: Backtest) -> list[Html | str]:
    """What the ratio did after the fires, beside what it did from any day."""
    if not tested.found.count:
        return []
    header = ("sessions", "median", "rose", "n", "any day")
    return ["What IWM/SPY did after it fired:", pre(table(header, _rows(tested.after)))]


def _rows(after: list[Outcome]) -> list[tuple[str, ...]]:
    return [
        (
            str(one.horizon),
            PERCENT.show(one.median, 1),
            NOT_AVAILABLE if one.rose is None else f"{one.rose:.0f}%",
            str(one.n),
            PERCENT.show(one.base, 1),
        )
        for one in after
    ]


def _chart(market: Market, theme: Theme, histories: Histories, tested: Backtest) -> Chart:
    condition = tested.rule.conditions[0]
    series = histories.series(condition)
    since = pd.Timestamp(tested.found.since)
    look = chart_look(f"Backtest: {tested.rule}", market, theme, market.source(_part(condition.metric)).label)
    marks = Marks([pd.Timestamp(day) for day in tested.found.dates], "fired")
    level = Threshold(series.threshold.loc[since:], str(condition.target))
    unit = METRICS[condition.metric].unit
    return metric_chart(series.value.loc[since:], unit, look, threshold=level, marks=marks)
