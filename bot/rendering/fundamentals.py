"""The answer to /fundamentals: what prices and multiples imply per share, indexed to 100 at the base."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from bot.analytics import units, valuation
from bot.analytics.freshness import require_end
from bot.analytics.fundamentals import BASE, convention_for, implied, indexed, margin
from bot.analytics.registry import METRICS
from bot.analytics.units import INDEX, NOT_AVAILABLE
from bot.rendering.answer import Answer, Button, heading, sources
from bot.rendering.charts import Sheet, sheets_chart
from bot.rendering.common import chart_style, window_title
from bot.rendering.tables import table
from bot.rendering.text import age_phrase, bold, lines, pre, short_date

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from bot.analytics.market import Market
    from bot.analytics.windows import AsOf, Window
    from bot.rendering.charts import ChartSpec
    from bot.rendering.text import Html
    from bot.rendering.themes import Theme

# Per share = price over multiple: what each multiple implies.
_PER_SHARE = {"pe": "Earnings", "pcf": "Cash flow", "pb": "Book", "ps": "Sales"}


@dataclass(frozen=True)
class _Line:
    """One figure per share of one fund: now, at the base, and now with the base as 100."""

    name: str
    last: pd.Timestamp | None
    now: float | None
    index: pd.Series  # from the base on, where it is 100; empty without a base

    @property
    def first(self) -> pd.Timestamp | None:
        """The session of the base."""
        return self.index.index[0] if len(self.index) else None

    @property
    def grown(self) -> float | None:
        """The last value of the index, None if there is none after the base."""
        return float(self.index.iloc[-1]) if len(self.index) > 1 else None


def fundamentals_answer(market: Market, asked: AsOf, theme: Theme, window: Window) -> Answer:
    """Implied earnings, cash flow, book and sales per share of both funds, margin and return on equity."""
    require_end(market)
    chosen = convention_for(market)
    if chosen is None:
        html = lines(
            heading("Implied fundamentals", market, asked),
            f"{NOT_AVAILABLE}: no multiples stored, so nothing is implied.",
            "Each refresh records Yahoo's from then on; history by import:",
            f"python -m bot import multiples FILE --ticker {market.pair.small.ticker}",
        )
        return Answer(html, buttons=(_others(asked),))
    convention = valuation.CONVENTIONS.get(chosen, chosen)
    funds = {
        ticker: [_line(market, ticker, metric, chosen, window) for metric in _PER_SHARE]
        for ticker in market.pair.tickers
    }
    html = lines(
        heading(f"Implied fundamentals, {window_title(window)}", market, asked),
        f"Per share = price / multiple, {convention}; base = 100.",
        *(_fund(market, ticker, chosen, rows) for ticker, rows in funds.items()),
        "",
        sources({"prices": market.source("prices").label, "multiples": market.source("multiples").label}),
    )
    drawable = any(line.grown is not None for rows in funds.values() for line in rows)
    draw = _chart(market, funds, f"Implied per share, indexed: {convention}", theme) if drawable else None
    tail = asked.suffix
    buttons = (
        (("1 year", f"/fundamentals 1y{tail}"), ("5 years", f"/fundamentals 5y{tail}")),
        _others(asked),
    )
    return Answer(html, draw, "fundamentals", buttons)


def _others(asked: AsOf) -> tuple[Button, ...]:
    return (("Multiples", f"/multiples{asked.suffix}"), ("What moved it", f"/why ytd{asked.suffix}"))


def _fund(market: Market, ticker: str, convention: str, figures: Sequence[_Line]) -> Html:
    rows = [(line.name, _dollars(line.now), INDEX.show(line.grown)) for line in figures]
    dated = next((line for line in figures if line.grown is not None), None)
    recorded = next((line.last for line in figures if line.last is not None), None)
    if dated is not None and dated.first is not None and dated.last is not None:
        span = f"{short_date(dated.first)} to {short_date(dated.last)}"
    else:
        span = (
            f"figures to {short_date(recorded)}, none at the base" if recorded is not None else "no figures"
        )
    ends = {line.name: line.last for line in figures if line.last is not None}
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
    index = indexed(market, ticker, metric, convention, window)
    last = series.index[-1] if len(series) else None
    return _Line(_PER_SHARE[metric], last, None if last is None else float(series[last]), index)


def _dollars(value: float | None) -> str:
    return NOT_AVAILABLE if value is None else f"${value:,.2f}"


def _history(market: Market, ticker: str, convention: str) -> str:
    series = implied(market, ticker, "pe", convention)
    if series.empty:
        return "No P/E history."
    return f"History from {short_date(series.index[0])}, n = {len(series)}."


def _chart(market: Market, funds: Mapping[str, Sequence[_Line]], title: str, theme: Theme) -> ChartSpec:
    """A panel a fund, its lines the indexed figures of the text."""
    sheets = [_sheet(ticker, rows) for ticker, rows in funds.items()]
    last = max(line.index.index[-1] for rows in funds.values() for line in rows if len(line.index))
    labels = dict.fromkeys(market.source(part).label for part in ("prices", "multiples"))
    look = chart_style(title, market, theme, ", ".join(labels), last)
    return partial(sheets_chart, sheets, INDEX, look, BASE)


def _sheet(ticker: str, figures: Sequence[_Line]) -> Sheet:
    """One fund's lines, with their base in the title if they share it."""
    bases = {line.first for line in figures if line.first is not None}
    since = f"{short_date(next(iter(bases)))} = {BASE:.0f}" if len(bases) == 1 else f"base = {BASE:.0f}"
    drawn = {line.name: line.index for line in figures if line.grown is not None}
    return Sheet(f"{ticker}, {since}", drawn)
