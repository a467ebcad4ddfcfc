"""The answers to /fundamentals and /why: implied figures per share, and what moved the price of each fund."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import pandas as pd

from bot.analytics import flows, valuation
from bot.analytics.market import Market
from bot.analytics.performance import performance
from bot.analytics.units import INDEX, MINUS, NOT_AVAILABLE, PERCENT, POINTS, SHARE, USD
from bot.analytics.valuation import INDEX_BASE, ReturnSplit, convention_for
from bot.analytics.windows import AsOf, Window
from bot.messages import common
from bot.messages.canvas import Theme
from bot.messages.charts import ChartSpec, bar_chart, indexed_chart
from bot.messages.common import Answer
from bot.messages.html import lines, pre, table
from bot.text import short_date

# Per share = price over multiple: what each multiple implies.
_PER_SHARE = {"pe": "Earnings", "pcf": "Cash flow", "pb": "Book", "ps": "Sales"}
_RATIOS = {"ps": "Net margin", "pb": "Return on equity"}  # those of which the multiple and the P/E are parts


class _Figure(NamedTuple):
    """One figure per share of one fund, by session."""

    name: str
    dollars: pd.Series
    index: pd.Series  # from the base on, where it is 100; empty without a base

    @property
    def is_indexed(self) -> bool:
        """Whether there is a figure after the base."""
        return len(self.index) > 1


def fundamentals_answer(market: Market, as_of: AsOf, theme: Theme, window: Window) -> Answer:
    """Return implied earnings, cash flow, book and sales per share, net margin and return on equity."""
    market.require_end()
    tail, leading = as_of.suffix, valuation.kind_for(market, "pe")
    pages = common.page_buttons(as_of, "Compare", "Multiples", "Why")
    if leading is None:
        html = lines(
            common.heading("Nothing is implied: no multiples are stored", market, as_of),
            "Each refresh records Yahoo's of that day.",
        )
        step = f"Older multiples are imported: {market.import_line('multiples', market.pair.small.ticker)}"
        return Answer(html, buttons=(pages,), steps=(step,))
    kinds = {metric: valuation.kind_for(market, metric) or leading for metric in _PER_SHARE}
    others: dict[tuple[str, str], list[str]] = {}
    for metric, name in _PER_SHARE.items():
        if kinds[metric] != leading:
            others.setdefault(kinds[metric], []).extend(filter(None, (name, _RATIOS.get(metric))))
    names = dict.fromkeys(valuation.CONVENTIONS.get(name, name) for name, _ in (leading, *others))
    funds = {
        ticker: [
            _Figure(
                name,
                valuation.implied_per_share(market, ticker, metric, *kinds[metric]),
                valuation.implied_index(market, ticker, metric, kinds[metric][0], window, kinds[metric][1]),
            )
            for metric, name in _PER_SHARE.items()
        ]
        for ticker in market.pair.tickers
    }
    ratios = {ticker: _ratios(market, ticker, kinds) for ticker in funds}
    rows = [
        (name, *(INDEX.show(f[at].index.iloc[-1]) if f[at].is_indexed else None for f in funds.values()))
        for at, name in enumerate(_PER_SHARE.values())
    ]
    rows += [(name, *(ratios[ticker][name] for ticker in funds)) for name in _RATIOS.values()]
    html = lines(
        common.heading(_earnings_reading(funds, window), market, as_of),
        f"Implied per share, {common.convention_phrase(*leading)}; base = {INDEX_BASE:.0f}.",
        pre(table(("", *funds), rows)),
    )
    quote = common.details(
        market,
        *(_fund(market, ticker, figures) for ticker, figures in funds.items()),
        *(f"{', '.join(lent)}: {common.convention_phrase(*kind)}." for kind, lent in others.items()),
        "Implied per share = price / multiple.",
        common.market_sources(market, "prices", "multiples"),
    )
    drawable = any(figure.is_indexed for figures in funds.values() for figure in figures)
    draw = _chart(market, funds, f"Implied per share, {', '.join(names)}", theme) if drawable else None
    spans = tuple((span, f"/fundamentals {span}{tail}") for span in ("ytd", "1y", "5y"))
    return Answer(html, draw, "fundamentals", (spans, pages), quote=quote)


def _earnings_reading(funds: Mapping[str, Sequence[_Figure]], window: Window) -> str:
    """Return how both funds' implied earnings changed over the window."""
    changes = {
        ticker: PERCENT.show(float(figures[0].index.iloc[-1]) - INDEX_BASE, 0)
        for ticker, figures in funds.items()
        if figures[0].is_indexed
    }
    span = common.window_title(window)
    if not changes:
        return f"Implied fundamentals, {span}"
    return f"Implied earnings, {span}: {', '.join(f'{ticker} {change}' for ticker, change in changes.items())}"


def _ratios(market: Market, ticker: str, kinds: Mapping[str, tuple[str, str]]) -> dict[str, str]:
    """Return net margin and return on equity, by name."""
    margin, _ = valuation.margins(market, ticker, *kinds["ps"])
    _, on_equity = valuation.margins(market, ticker, *kinds["pb"])
    return {_RATIOS[metric]: SHARE.show(ratio and ratio.value) for metric, ratio in (("ps", margin), ("pb", on_equity))}


def _fund(market: Market, ticker: str, figures: Sequence[_Figure]) -> str:
    """Return what one fund's shares stand for in dollars, with the sessions of the figures."""
    dollars = [f"{f.name.lower()} ${f.dollars.iloc[-1]:,.2f}" for f in figures if len(f.dollars)]
    ends = {figure.name: figure.dollars.index[-1] for figure in figures if len(figure.dollars)}
    if not ends:
        return f"{ticker}: no figures."
    newest = max(ends.values())
    older = [f"{name} of {short_date(last)}" for name, last in ends.items() if last != newest]
    indexed = next((figure.index.index for figure in figures if figure.is_indexed), None)
    span = f"figures to {short_date(newest)}, none at the base"
    if indexed is not None:
        span = f"{short_date(indexed[0])} to {short_date(indexed[-1])}"
    earnings = figures[0].dollars
    history = (
        f"P/E history from {short_date(earnings.index[0])}, n = {len(earnings)}"
        if len(earnings)
        else "no history of a P/E above 0"
    )
    late = f"; of an earlier session: {', '.join(older)}" if older else ""
    return f"{ticker}, {common.with_age(span, market, newest)}: {', '.join(dollars)}; {history}{late}."


def _chart(market: Market, funds: Mapping[str, Sequence[_Figure]], title: str, theme: Theme) -> ChartSpec:
    """Draw a panel a figure, with a line a fund; the base is in the title if all have the same."""
    every = [figure.index.index for figures in funds.values() for figure in figures if figure.is_indexed]
    panels = {
        name: {ticker: figures[at].index for ticker, figures in funds.items() if figures[at].is_indexed}
        for at, name in enumerate(_PER_SHARE.values())
    }
    base, last = {index[0] for index in every}, max(index[-1] for index in every)
    title += f", {short_date(base.pop()) if len(base) == 1 else 'base'} = {INDEX_BASE:.0f}"
    labels = dict.fromkeys(market.source(part).label for part in ("prices", "multiples"))
    style = common.chart_style(title, market, theme, ", ".join(labels), last)
    return partial(indexed_chart, panels, INDEX, style, INDEX_BASE)


def attribution_answer(market: Market, as_of: AsOf, theme: Theme, window: Window) -> Answer:
    """Return each fund's price return split into earnings and multiple, distributions and flows beside it."""
    market.require_end()
    leading, (small, _) = convention_for(market), market.pair.tickers
    splits = valuation.return_splits(market, window, leading)
    used = {split.convention for split in splits.values() if isinstance(split, ReturnSplit)}
    unused = None
    if leading and used and leading not in used:
        reason = valuation.return_split(market, small, window, leading)
        unused = f"With {valuation.CONVENTIONS.get(leading, leading)} there is no split: {reason}."
    price, total = performance(market, window), performance(market, window, total=True)
    if price.base is None or price.small is None or price.large is None:
        html = lines(common.heading("What moved it is not known", market, as_of), f"{window}: {price.reason}.")
        return Answer(html, buttons=(common.page_buttons(as_of, "Compare", "Flows"),))
    moves = pd.DataFrame(
        {
            ticker: _moves(splits[ticker], returned, paid)
            for ticker, returned, paid in zip(
                market.pair.tickers, (price.small, price.large), (total.small, total.large), strict=True
            )
        }
    )
    summaries = [flows.flow_summary(flows.daily_flows(market, ticker), window, market.anchor) for ticker in splits]
    rows = [
        *((str(name), *(_MOVES[str(name)].show(value) for value in row)) for name, row in moves.iterrows()),
        ("Flow", *(USD.show(flow.dollars) for flow in summaries)),
        ("Flow, of assets", *(PERCENT.show(flow.percent) for flow in summaries)),
    ]
    html = lines(
        common.heading(f"{_reading(market, splits[small])}, {common.window_title(window)}", market, as_of),
        pre(table(("", *splits), rows)),
    )
    quote = common.details(
        market,
        f"Since the close of {short_date(price.base)}. Earnings are implied: price / multiple.",
        *(_split_line(ticker, split) for ticker, split in splits.items()),
        unused,
        *common.missing_figure_lines({"Distributions": total.reason} if total.small is None else {}),
        *(line for ticker, flow in zip(splits, summaries, strict=True) for line in _flow_notes(market, ticker, flow)),
        common.market_sources(market, "prices", "multiples", "flows"),
    )
    style = common.chart_style(f"What moved the price, {common.window_title(window)}", market, theme)
    draw = partial(bar_chart, moves, list(_MOVES.values()), style)
    spans = tuple((span, f"/why {span}{as_of.suffix}") for span in ("6m", "ytd", "1y", "5y"))
    pages = common.page_buttons(as_of, "Compare", "Flows", "Multiples", "Fundamentals")
    return Answer(html, draw, "why", (spans, pages), quote=quote)


# The rows of what moved a price, with their units: a change in percent, or a part of the return in points.
_MOVES = {"Price return": PERCENT, "Distributions": POINTS, "Earnings": PERCENT, "Multiple (P/E)": PERCENT}


def _moves(split: ReturnSplit | str, price: float, total: float | None) -> pd.Series:
    """Return what moved one fund's price, by the names of _MOVES; NaN for what is not known."""
    parts = (split.earnings, split.multiple) if isinstance(split, ReturnSplit) else (math.nan, math.nan)
    paid = math.nan if total is None else total - price
    return pd.Series([price, paid, *parts], list(_MOVES), dtype="float64")


def _split_line(ticker: str, split: ReturnSplit | str) -> str:
    """Return the P/E at both ends and the product that the return is, or why there is none."""
    if not isinstance(split, ReturnSplit):
        return f"{ticker}, earnings and multiple: {NOT_AVAILABLE}, {split}."
    kind = common.convention_phrase(split.convention, split.basis)
    return (
        f"{ticker} P/E {split.pe_first:.1f}x → {split.pe_last:.1f}x, {kind}: "
        f"(1 {_term(split.earnings)}) × (1 {_term(split.multiple)}) = 1 {_term(split.price)}, "
        f"{short_date(split.first)} to {short_date(split.last)}."
    )


def _flow_notes(market: Market, ticker: str, flow: flows.FlowSummary) -> list[str]:
    """Return why a flow is missing, or what is to be known of it."""
    if flow.dollars is None:
        reason = common.flagged_days(flow) or "too little history"
        if flow.end is None:
            reason = common.no_flow_reason(market, ticker)
        return [f"{ticker} flow: {NOT_AVAILABLE}, {reason}."]
    notes = [f"{ticker} flow by close where no NAV is stored."] if flow.by_close else []
    if flagged := common.flagged_days(flow):
        notes.append(f"{ticker} flow{', unconfirmed,' * flow.is_unconfirmed} with {flagged}.")
    if flow.end is not None and flow.end != market.end:
        reported = f"{ticker} flow as reported for {short_date(flow.end)}"
        notes.append(f"{common.with_age(reported, market, flow.end)}.")
    return notes


def _term(percent: float) -> str:
    """Return a change as a term of a product: "+ 0.149" or "− 0.490"."""
    return f"{MINUS if percent < 0 else '+'} {abs(percent) / 100:.3f}"


def _reading(market: Market, split: ReturnSplit | str) -> str:
    """Return what moved the small fund's price most."""
    small = market.pair.small.ticker
    if not isinstance(split, ReturnSplit):
        return f"What moved {small} and {market.pair.large.ticker}"
    if split.earnings < 0 < split.price:
        return f"{small} rose on a higher multiple while its earnings fell"
    if split.price < 0 < split.earnings:
        return f"{small} fell on a lower multiple while its earnings rose"
    main = "its multiple" if abs(split.multiple) > abs(split.earnings) else "its earnings"
    return f"{small} moved mostly with {main}"
