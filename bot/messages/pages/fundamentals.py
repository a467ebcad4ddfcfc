"""The answers to /fundamentals and /why: implied figures per share, and what moved the price of each fund."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from bot.analytics import flows, valuation
from bot.analytics.performance import performance
from bot.analytics.units import INDEX, MINUS, NOT_AVAILABLE, PERCENT, POINTS, SHARE, USD
from bot.analytics.valuation import INDEX_BASE, ReturnSplit, convention_for
from bot.messages import common
from bot.messages.charts import ChartSpec, indexed_chart
from bot.messages.common import Answer
from bot.messages.html import Html, bold, lines, pre, table
from bot.text import short_date

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from bot.analytics.market import Market
    from bot.analytics.windows import AsOf, Window
    from bot.messages.canvas import Theme

# Per share = price over multiple: what each multiple implies.
_PER_SHARE = {"pe": "Earnings", "pcf": "Cash flow", "pb": "Book", "ps": "Sales"}
_RATIOS = {"ps": "Net margin", "pb": "return on equity"}  # those of which the multiple and the P/E are parts


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
    if leading is None:
        html = lines(
            common.heading("Implied fundamentals", market, as_of),
            f"{NOT_AVAILABLE}: no multiples are stored, so nothing is implied.",
            "Each refresh records Yahoo's of that day; older ones are imported:",
            market.import_line("multiples", market.pair.small.ticker),
        )
        return Answer(html, buttons=(common.page_buttons(as_of, "Compare", "What moved it"),))
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
    html = lines(
        common.heading(f"Implied fundamentals, {common.window_title(window)}", market, as_of),
        f"Per share = price / multiple, {common.convention_phrase(*leading)}; base = 100.",
        *(f"{', '.join(lent)}: {common.convention_phrase(*kind)}." for kind, lent in others.items()),
        *(_fund(market, ticker, kinds, figures) for ticker, figures in funds.items()),
        "",
        common.market_sources(market, "prices", "multiples"),
    )
    drawable = any(figure.is_indexed for figures in funds.values() for figure in figures)
    draw = (
        _chart(market, funds, f"Implied per share, indexed: {', '.join(names)}", theme) if drawable else None
    )
    spans = (("1 year", f"/fundamentals 1y{tail}"), ("5 years", f"/fundamentals 5y{tail}"))
    pages = common.page_buttons(as_of, "Multiples", "What moved it")
    return Answer(html, draw, "fundamentals", (spans, pages))


def _fund(
    market: Market, ticker: str, kinds: Mapping[str, tuple[str, str]], figures: Sequence[_Figure]
) -> Html:
    rows = [
        (
            figure.name,
            f"${figure.dollars.iloc[-1]:,.2f}" if len(figure.dollars) else None,
            INDEX.show(figure.index.iloc[-1]) if figure.is_indexed else None,
        )
        for figure in figures
    ]
    ends = {figure.name: figure.dollars.index[-1] for figure in figures if len(figure.dollars)}
    span, older, newest = "no figures", list[str](), None
    if ends:
        newest = max(ends.values())
        older = [f"{name} of {short_date(last)}" for name, last in ends.items() if last != newest]
        indexed = next((figure.index.index for figure in figures if figure.is_indexed), None)
        span = f"figures to {short_date(next(iter(ends.values())))}, none at the base"
        if indexed is not None:
            span = f"{short_date(indexed[0])} to {short_date(indexed[-1])}"
        span = common.with_age(span, market, newest)
    margin, _ = valuation.margins(market, ticker, *kinds["ps"])
    _, on_equity = valuation.margins(market, ticker, *kinds["pb"])
    phrases = [
        f"{name} {SHARE.show(ratio and ratio.value)}"
        + (f" of {short_date(ratio.session)}" if ratio and ratio.session != newest else "")
        for name, ratio in ((_RATIOS["ps"], margin), (_RATIOS["pb"], on_equity))
    ]
    earnings = figures[0].dollars
    return lines(
        bold(ticker) + f", {span}",
        pre(table(("per share", "now", "index"), rows)),
        f"{', '.join(phrases)}.",
        f"Of an earlier session: {', '.join(older)}." if older else None,
        f"P/E history from {short_date(earnings.index[0])}, n = {len(earnings)}."
        if len(earnings)
        else "No history of a P/E above 0.",
    )


def _chart(market: Market, funds: Mapping[str, Sequence[_Figure]], title: str, theme: Theme) -> ChartSpec:
    """Draw a panel a fund, its lines the indexed figures of the text, their base in its title if shared."""
    panels = {}
    for ticker, figures in funds.items():
        bases = {figure.index.index[0] for figure in figures if len(figure.index)}
        base = short_date(next(iter(bases))) if len(bases) == 1 else "base"
        drawn = {figure.name: figure.index for figure in figures if figure.is_indexed}
        panels[f"{ticker}, {base} = {INDEX_BASE:.0f}"] = drawn
    last = max(
        figure.index.index[-1] for figures in funds.values() for figure in figures if len(figure.index)
    )
    labels = dict.fromkeys(market.source(part).label for part in ("prices", "multiples"))
    style = common.chart_style(title, market, theme, ", ".join(labels), last)
    return partial(indexed_chart, panels, INDEX, style, INDEX_BASE)


def attribution_answer(market: Market, as_of: AsOf, window: Window) -> Answer:
    """Return each fund's price return split into earnings and multiple, distributions and flows beside it."""
    market.require_end()
    leading = convention_for(market)
    splits = valuation.return_splits(market, window, leading)
    used = {split.convention for split in splits.values() if isinstance(split, ReturnSplit)}
    unused = None
    if leading and used and leading not in used:
        reason = valuation.return_split(market, market.pair.small.ticker, window, leading)
        unused = f"With {valuation.CONVENTIONS.get(leading, leading)} there is no split: {reason}."
    html = lines(
        common.heading(f"What moved it, {common.window_title(window)}", market, as_of),
        _reading(market, splits[market.pair.small.ticker]),
        *(_attribution(market, ticker, window, split) for ticker, split in splits.items()),
        unused,
        "",
        common.market_sources(market, "prices", "multiples", "flows"),
    )
    first, second = ("Compare", "Flows"), ("Multiples", "Fundamentals")
    return Answer(html, buttons=(common.page_buttons(as_of, *first), common.page_buttons(as_of, *second)))


def _attribution(market: Market, ticker: str, window: Window, split: ReturnSplit | str) -> Html:
    position = market.pair.tickers.index(ticker)
    price, total = performance(market, window), performance(market, window, total=True)
    price_return = (price.small, price.large)[position]
    total_return = (total.small, total.large)[position]
    if price.base is None or price_return is None:
        return lines(bold(ticker) + f": {NOT_AVAILABLE} for {window}, {price.reason}.")
    paid = None if total_return is None else total_return - price_return
    rows = [("price return", PERCENT.show(price_return)), ("distributions", POINTS.show(paid))]
    notes = common.missing_figure_lines({"Distributions": total.reason})
    if isinstance(split, ReturnSplit):
        rows.append(("implied earnings", PERCENT.show(split.earnings)))
        rows.append(("multiple (P/E)", PERCENT.show(split.multiple)))
        kind = common.convention_phrase(split.convention, split.basis)
        notes.append(
            f"P/E {split.pe_first:.1f}x → {split.pe_last:.1f}x, {kind}: "
            f"(1 {_term(split.earnings)}) × (1 {_term(split.multiple)}) = 1 {_term(split.price)}, "
            f"{short_date(split.first)} to {short_date(split.last)}."
        )
    else:
        notes.append(f"Earnings and multiple: {NOT_AVAILABLE}, {split}.")
    flow = flows.flow_summary(flows.daily_flows(market, ticker), window, market.anchor)
    if flow.dollars is None:
        reason = common.flagged_days(flow) or "too little history"
        if flow.end is None:
            reason = common.no_flow_reason(market, ticker)
        notes.append(f"Flow: {NOT_AVAILABLE}, {reason}.")
    else:
        rows += [("flow", USD.show(flow.dollars)), ("flow, of assets", PERCENT.show(flow.percent))]
        if flow.by_close:
            notes.append("Flow by close where no NAV is stored.")
        if flagged := common.flagged_days(flow):
            notes.append(f"Flow{', unconfirmed,' * flow.is_unconfirmed} with {flagged}.")
        if flow.end is not None and flow.end != market.end:
            reported = f"Flow as reported for {short_date(flow.end)}"
            notes.append(f"{common.with_age(reported, market, flow.end)}.")
    head = bold(ticker) + f" since {short_date(price.base)}"
    return lines(head, pre(table(("", "change"), rows)), *notes)


def _term(percent: float) -> str:
    """Return a change as a term of a product: "+ 0.149" or "− 0.490"."""
    return f"{MINUS if percent < 0 else '+'} {abs(percent) / 100:.3f}"


def _reading(market: Market, split: ReturnSplit | str) -> Html | None:
    """Return what moved the small fund's price most, None if its return cannot be split."""
    small = market.pair.small.ticker
    if not isinstance(split, ReturnSplit):
        return None
    if split.earnings < 0 < split.price:
        reading = f"{small}'s price rose on a higher multiple while its earnings fell."
    elif split.price < 0 < split.earnings:
        reading = f"{small}'s price fell on a lower multiple while its earnings rose."
    else:
        main = "its multiple" if abs(split.multiple) > abs(split.earnings) else "its earnings"
        reading = f"{small}'s price moved mostly with {main}."
    return bold("Reading") + f": {reading}"
