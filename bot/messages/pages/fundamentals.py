"""The answer to /fundamentals: what prices and multiples imply per share, indexed to 100 at the base.

The answer to /why: what moved the price, earnings or multiple, with distributions and flows beside.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from bot.analytics import flows, units, valuation
from bot.analytics.metrics import METRICS
from bot.analytics.performance import performance
from bot.analytics.sessions import short_date
from bot.analytics.units import INDEX, MINUS, NOT_AVAILABLE, PERCENT, POINTS, USD
from bot.analytics.valuation import (
    INDEX_BASE,
    ReturnSplit,
    convention_for,
    implied_index,
    implied_per_share,
    margins,
    return_split,
)
from bot.messages.charts import IndexPanel, indexed_chart
from bot.messages.common import (
    Answer,
    Button,
    chart_style,
    fact_sources,
    flagged_days,
    heading,
    no_flow_reason,
    sources,
    window_title,
)
from bot.messages.html import age_phrase, bold, lines, pre, table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from bot.analytics.market import Market
    from bot.analytics.windows import AsOf, Window
    from bot.messages.canvas import Theme
    from bot.messages.charts import ChartSpec
    from bot.messages.html import Html


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
    market.require_end()
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
    old = age_phrase(market.sessions_behind(newest) - METRICS["pe"].lag) if newest is not None else ""
    older = [f"{name} of {short_date(last)}" for name, last in ends.items() if last != newest]
    profit, equity = margins(market, ticker, convention)
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
    series = implied_per_share(market, ticker, metric, convention)
    index = implied_index(market, ticker, metric, convention, window)
    last = series.index[-1] if len(series) else None
    return _Line(_PER_SHARE[metric], last, None if last is None else float(series[last]), index)


def _dollars(value: float | None) -> str:
    return NOT_AVAILABLE if value is None else f"${value:,.2f}"


def _history(market: Market, ticker: str, convention: str) -> str:
    series = implied_per_share(market, ticker, "pe", convention)
    if series.empty:
        return "No P/E history."
    return f"History from {short_date(series.index[0])}, n = {len(series)}."


def _chart(market: Market, funds: Mapping[str, Sequence[_Line]], title: str, theme: Theme) -> ChartSpec:
    """A panel a fund, its lines the indexed figures of the text."""
    sheets = [_sheet(ticker, rows) for ticker, rows in funds.items()]
    last = max(line.index.index[-1] for rows in funds.values() for line in rows if len(line.index))
    labels = dict.fromkeys(market.source(part).label for part in ("prices", "multiples"))
    look = chart_style(title, market, theme, ", ".join(labels), last)
    return partial(indexed_chart, sheets, INDEX, look, INDEX_BASE)


def _sheet(ticker: str, figures: Sequence[_Line]) -> IndexPanel:
    """One fund's lines, with their base in the title if they share it."""
    bases = {line.first for line in figures if line.first is not None}
    since = (
        f"{short_date(next(iter(bases)))} = {INDEX_BASE:.0f}"
        if len(bases) == 1
        else f"base = {INDEX_BASE:.0f}"
    )
    drawn = {line.name: line.index for line in figures if line.grown is not None}
    return IndexPanel(f"{ticker}, {since}", drawn)


def attribution_answer(market: Market, asked: AsOf, window: Window) -> Answer:
    """Price return of each fund split into earnings and multiple, distributions and flows beside it."""
    market.require_end()
    chosen = convention_for(market)
    blocks = [_attribution(market, ticker, window, chosen) for ticker in market.pair.tickers]
    html = lines(
        heading(f"What moved it, {window_title(window)}", market, asked),
        _verdict(market, window, chosen),
        *blocks,
        "",
        sources(
            {
                "prices": market.source("prices").label,
                "multiples": market.source("multiples").label,
                "flows": fact_sources(market),
            }
        ),
    )
    tail = asked.suffix
    buttons = (
        (("Compare", f"/compare{tail}"), ("Flows", f"/flows{tail}")),
        (("Multiples", f"/multiples{tail}"), ("Fundamentals", f"/fundamentals ytd{tail}")),
    )
    return Answer(html, buttons=buttons)


def _attribution(market: Market, ticker: str, window: Window, chosen: str | None) -> Html:
    position = market.pair.tickers.index(ticker)
    price, total = performance(market, window), performance(market, window, total=True)
    returned = (price.small, price.large)[position]
    with_paid = (total.small, total.large)[position]
    if price.base is None or returned is None or with_paid is None:
        return lines(bold(ticker) + f": {NOT_AVAILABLE}, too little price history for {window}.")
    rows = [("price return", PERCENT.show(returned)), ("distributions", POINTS.show(with_paid - returned))]
    split = return_split(market, ticker, window, chosen) if chosen is not None else None
    note: str | None
    if isinstance(split, ReturnSplit):
        rows += [
            ("implied earnings", PERCENT.show(split.earnings)),
            ("multiple (P/E)", PERCENT.show(split.multiple)),
        ]
        note = (
            f"P/E {split.pe_first:.1f}x → {split.pe_last:.1f}x, {valuation.CONVENTIONS[split.convention]}: "
            f"(1 {_signed(split.earnings)}) × (1 {_signed(split.multiple)}) = 1 {_signed(split.price)}, "
            f"{short_date(split.first)} to {short_date(split.last)}."
        )
    else:
        note = f"Earnings and multiple: {NOT_AVAILABLE}, {split.reason if split else 'no P/E stored'}."
    flow = flows.flow_summary(flows.daily_flows(market, ticker), window, market.anchor)
    if flow.dollars is None:
        reason = no_flow_reason(market, ticker) if flow.end is None else "too little history"
        note = f"{note}\nFlow: {NOT_AVAILABLE}, {reason}."
    else:
        rows += [("flow", USD.show(flow.dollars)), ("flow, of assets", PERCENT.show(flow.percent))]
        flagged = flagged_days(flow)
        note += f"\nFlow with {flagged}." if flagged else ""
        if flow.end is not None and flow.end != market.end:
            old = age_phrase(market.sessions_behind(flow.end) - METRICS["flow"].lag)
            note += f"\nFlow as reported for {short_date(flow.end)}{f', {old}' if old else ''}."
    head = bold(ticker) + f" since {short_date(price.base)}"
    return lines(head, pre(table(("", "change"), rows)), note)


def _signed(percent: float) -> str:
    """A change as a term of a product: "+ 0.149" or "− 0.490"."""
    return f"{MINUS if percent < 0 else '+'} {abs(percent) / 100:.3f}"


def _verdict(market: Market, window: Window, chosen: str | None) -> Html | None:
    """What moved the small fund's price most, None if its return cannot be split."""
    small = market.pair.small.ticker
    split = return_split(market, small, window, chosen) if chosen is not None else None
    if not isinstance(split, ReturnSplit):
        return None
    if split.earnings < 0 < split.price:
        verdict = f"{small}'s price rose on a higher multiple while its earnings fell."
    elif split.price < 0 < split.earnings:
        verdict = f"{small}'s price fell on a lower multiple while its earnings rose."
    else:
        led = "its multiple" if abs(split.multiple) > abs(split.earnings) else "its earnings"
        verdict = f"{small}'s price moved mostly with {led}."
    return bold("Reading") + f": {verdict}"
