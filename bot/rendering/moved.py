"""The answer to /why: what moved the price, earnings or multiple, with distributions and flows beside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.analytics import flows, valuation
from bot.analytics.freshness import require_end
from bot.analytics.fundamentals import ReturnSplit, convention_for, return_split
from bot.analytics.performance import performance
from bot.analytics.registry import METRICS
from bot.analytics.units import MINUS, NOT_AVAILABLE, PERCENT, POINTS, USD
from bot.rendering.answer import Answer, heading, sources
from bot.rendering.common import fact_sources, flagged_days, no_flow_reason, window_title
from bot.rendering.tables import table
from bot.rendering.text import age_phrase, bold, lines, pre, short_date

if TYPE_CHECKING:
    from bot.analytics.market import Market
    from bot.analytics.windows import AsOf, Window
    from bot.rendering.text import Html


def attribution_answer(market: Market, asked: AsOf, window: Window) -> Answer:
    """Price return of each fund split into earnings and multiple, distributions and flows beside it."""
    require_end(market)
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
    flow = flows.summary(flows.daily_flows(market, ticker), window, market.anchor)
    if flow.dollars is None:
        reason = no_flow_reason(market, ticker) if flow.end is None else "too little history"
        note = f"{note}\nFlow: {NOT_AVAILABLE}, {reason}."
    else:
        rows += [("flow", USD.show(flow.dollars)), ("flow, of assets", PERCENT.show(flow.percent))]
        flagged = flagged_days(flow)
        note += f"\nFlow with {flagged}." if flagged else ""
        if flow.end is not None and flow.end != market.end:
            old = age_phrase(market.behind(flow.end) - METRICS["flow"].lag)
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
