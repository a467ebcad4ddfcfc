"""The answer to /fundamentals: what prices and multiples imply per share, indexed to 100 at the base."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from bot.analytics import units, valuation
from bot.analytics.fundamentals import convention_for, implied, margin, nearest_figure
from bot.analytics.market import PAIR
from bot.analytics.performance import performance
from bot.analytics.registry import METRICS
from bot.analytics.units import NOT_AVAILABLE
from bot.rendering.answer import Answer, Asked, heading, require, sources
from bot.rendering.charts import compare_chart
from bot.rendering.compare import chart_look, titled
from bot.rendering.tables import table
from bot.rendering.text import age_phrase, bold, lines, pre, short_date

if TYPE_CHECKING:
    from bot.analytics.market import Market
    from bot.analytics.windows import Window
    from bot.rendering.charts import Chart
    from bot.rendering.text import Html
    from bot.rendering.themes import Theme

# Per share = price over multiple: what each multiple implies.
_PER_SHARE = {"pe": "Earnings", "pcf": "Cash flow", "pb": "Book", "ps": "Sales"}
_BASE = 100.0


@dataclass(frozen=True)
class _Line:
    """One figure per share of one fund: now, at the base, and now with the base as 100."""

    name: str
    first: pd.Timestamp | None
    last: pd.Timestamp | None
    now: float | None
    index: float | None


def fundamentals_answer(market: Market, asked: Asked, theme: Theme, window: Window) -> Answer:
    """Implied earnings, cash flow, book and sales per share of both funds, margin and return on equity."""
    require(market)
    chosen = convention_for(market)
    if chosen is None:
        html = lines(
            heading("Implied fundamentals", market, asked),
            f"{NOT_AVAILABLE}: no multiples stored, so nothing is implied.",
            "Each refresh records Yahoo's from then on; history by import:",
            "python -m bot import multiples FILE --ticker IWM",
        )
        return Answer(html)
    blocks = [_fund(market, ticker, chosen, window) for ticker in PAIR]
    html = lines(
        heading(f"Implied fundamentals, {titled(window)}", market, asked),
        f"Per share = price / multiple, {valuation.CONVENTIONS.get(chosen, chosen)}; base = 100.",
        *blocks,
        "",
        sources({"prices": market.source("prices").label, "multiples": market.source("multiples").label}),
    )
    grown = _grown(market, chosen, window)
    draw = (lambda: _chart(market, grown, theme)) if len(grown) > 1 else None
    tail = asked.suffix
    buttons = (
        (("1 year", f"/fundamentals 1y{tail}"), ("5 years", f"/fundamentals 5y{tail}")),
        (("Multiples", f"/multiples{tail}"), ("What moved it", f"/why ytd{tail}")),
    )
    return Answer(html, draw, "fundamentals", buttons)


def _fund(market: Market, ticker: str, convention: str, window: Window) -> Html:
    found = [_line(market, ticker, metric, convention, window) for metric in _PER_SHARE]
    rows = [(line.name, _dollars(line.now), _index(line.index)) for line in found]
    dated = next((line for line in found if line.first is not None and line.last is not None), None)
    recorded = next((line.last for line in found if line.last is not None), None)
    if dated is not None and dated.first is not None and dated.last is not None:
        span = f"{short_date(dated.first)} to {short_date(dated.last)}"
    else:
        span = (
            f"figures to {short_date(recorded)}, none at the base" if recorded is not None else "no figures"
        )
    ends = {line.name: line.last for line in found if line.last is not None}
    newest = max(ends.values(), default=None)
    old = age_phrase(market.behind(newest) - METRICS["pe"].lag) if newest is not None else ""
    older = [f"{name} of {short_date(last)}" for name, last in ends.items() if last != newest]
    profit, equity = margin(market, ticker, convention)
    return lines(
        bold(ticker) + f", {span}{f', {old}' if old else ''}",
        pre(table(("per share", "now", "index"), rows)),
        f"Net margin {units.SHARE.show(profit)}, return on equity {units.SHARE.show(equity)}.",
        f"Not of that session: {', '.join(older)}; margin and return are of the last one of both."
        if older
        else None,
        _history(market, ticker, convention),
    )


def _line(market: Market, ticker: str, metric: str, convention: str, window: Window) -> _Line:
    series = implied(market, ticker, metric, convention)
    base = performance(market, window).base
    name = _PER_SHARE[metric]
    if series.empty:
        return _Line(name, None, None, None, None)
    last = series.index[-1]
    first = nearest_figure(series.index, base) if base is not None else None
    index = _BASE * float(series[last] / series[first]) if first is not None and first < last else None
    return _Line(name, first, last, float(series[last]), index)


def _dollars(value: float | None) -> str:
    return NOT_AVAILABLE if value is None else f"${value:,.2f}"


def _index(value: float | None) -> str:
    return NOT_AVAILABLE if value is None else f"{value:.1f}"


def _history(market: Market, ticker: str, convention: str) -> str:
    series = implied(market, ticker, "pe", convention)
    if series.empty:
        return "No P/E history."
    return f"History from {short_date(series.index[0])}, n = {len(series)}."


def _grown(market: Market, convention: str, window: Window) -> pd.DataFrame:
    """Implied earnings of both funds since the base, percent; on sessions that both have."""
    both = pd.DataFrame({ticker: implied(market, ticker, "pe", convention) for ticker in PAIR}).dropna()
    base = performance(market, window).base
    first = nearest_figure(both.index, base) if base is not None and len(both) else None
    if first is None:
        return both.iloc[:0]
    shown = both.loc[first:]
    return 100 * (shown / shown.iloc[0] - 1)


def _chart(market: Market, grown: pd.DataFrame, theme: Theme) -> Chart:
    title = f"Implied earnings per share since {short_date(grown.index[0])}"
    label = market.source("multiples").label
    return compare_chart(grown, chart_look(title, market, theme, label, grown.index[-1]))
