"""Short cards for other chats: one window, both funds, price and total return.

The answer to /compare: who leads, by how much, on what trend, flows and multiples.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from bot.analytics import trend
from bot.analytics.performance import growth, performance
from bot.analytics.sessions import short_date
from bot.analytics.units import PERCENT, POINTS
from bot.analytics.windows import YTD, AsOf, Window
from bot.messages.charts import RatioPanel, compare_chart
from bot.messages.common import (
    AVERAGE,
    Answer,
    chart_style,
    fact_sources,
    flow_line,
    heading,
    multiple_line,
    ratio_line,
    sources,
    window_with_base,
)
from bot.messages.html import Html, bold, lines, pre, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from bot.analytics.market import Market
    from bot.analytics.performance import Performance
    from bot.messages.canvas import Theme
    from bot.messages.charts import ChartSpec
    from bot.pair import Pair


USUAL = (Window("m", 1), Window("m", 6), YTD, Window("y", 1))


@dataclass(frozen=True)
class Card:
    """One card: what the list shows of it, and the message that choosing it sends."""

    title: str
    summary: str
    html: Html


def cards(
    market: Market, asked: AsOf, windows: Sequence[Window] = (), total: bool | None = None
) -> list[Card]:
    """A card for each window, or for USUAL. Raises NoData if no session has a close of both funds."""
    market.require_end()
    kinds = (False, True) if total is None else (total,)
    return [_card(market, asked, window, kinds) for window in dict.fromkeys(windows or USUAL)]


def _card(market: Market, asked: AsOf, window: Window, kinds: Sequence[bool]) -> Card:
    returns = [(kind, performance(market, window, kind)) for kind in kinds]
    _, first = returns[0]
    if first.base is None:
        sentences = [f"{window}: too little history."]
    else:
        names = {False: "Price return", True: "Total return"}
        sentences = [f"{names[kind]} {_legs(market.pair, return_)}." for kind, return_ in returns]
    both = market.pair.fill("{small} and {large}")
    until = short_date(market.require_end())
    html = lines(
        heading(both, market, asked),
        f"Over {window_with_base(window, first.base)} to {until}:" if first.base is not None else None,
        *sentences,
        sources({"prices": market.source("prices").label}),
    )
    return Card(f"{both}, {window}", sentences[0], html)


def _legs(pair: Pair, return_: Performance) -> str:
    small, large = PERCENT.show(return_.small), PERCENT.show(return_.large)
    return f"{pair.small.ticker} {small}, {pair.large.ticker} {large}, gap {POINTS.show(return_.gap)}"


WINDOWS = (
    Window("w", 1),
    Window("m", 1),
    Window("m", 3),
    Window("m", 6),
    YTD,
    Window("y", 1),
)
_YEAR = 372  # days: a year that begins before a weekend and ends after one


def compare_answer(
    market: Market, asked: AsOf, theme: Theme, extra: Sequence[Window] = (), total: bool | None = None
) -> Answer:
    """Price and total return of both funds (or the one asked for) over WINDOWS and `extra`."""
    market.require_end()
    windows = list(dict.fromkeys((*WINDOWS, *extra)))
    kinds = (False, True) if total is None else (total,)
    blocks = [_block(market, windows, kind) for kind in kinds]
    rows = [performance(market, window, kinds[0]) for window in windows]
    html = lines(
        heading(market.pair.fill("{small} and {large}"), market, asked),
        _leader(market.pair, rows, kinds[0]),
        *blocks,
        _bases(rows),
        "",
        ratio_line(market),
        flow_line(market),
        multiple_line(market),
        "",
        sources(
            {
                "prices": market.source("prices").label,
                "flows": fact_sources(market),
                "multiples": market.source("multiples").label,
            }
        ),
    )
    # The requested window, else a year, else the longest that has a base. Without any there is no chart.
    based_rows = sorted((row for row in rows if row.base is not None), key=lambda row: str(row.base))
    wanted = [*extra, Window("y", 1), *(row.window for row in based_rows)]
    drawable = {row.window for row in based_rows if row.base != row.end}
    shown = next((window for window in wanted if window in drawable), None)
    draw = None if shown is None else _chart(market, shown, kinds[0], theme)
    return Answer(html, draw, "compare", _buttons(asked))


def _block(market: Market, windows: Sequence[Window], total: bool) -> Html:
    returns = [performance(market, window, total) for window in windows]
    rows = [
        (str(row.window), PERCENT.show(row.small), PERCENT.show(row.large), POINTS.show(row.gap))
        for row in returns
    ]
    title = "Total return, distributions reinvested" if total else "Price return"
    return lines(
        bold(title),
        pre(table(("", *market.pair.tickers, "gap"), rows)),
        *filter(None, (_a_year(market.pair, row) for row in returns)),
    )


def _a_year(pair: Pair, row: Performance) -> str | None:
    """The annualised returns of a window of more than a year, None for a shorter one."""
    if row.base is None or row.end is None or (row.end - row.base).days <= _YEAR:
        return None
    small, large = (PERCENT.show(row.annualised(return_)) for return_ in (row.small, row.large))
    return f"{row.window} a year: {pair.small.ticker} {small}, {pair.large.ticker} {large}."


def _bases(rows: Sequence[Performance]) -> str:
    """The close each window starts from."""
    parts = [window_with_base(row.window, row.base) for row in rows if row.base is not None]
    lacking = [str(row.window) for row in rows if row.base is None]
    sentences = [f"Base closes: {', '.join(parts)}."] if parts else []
    if lacking:
        sentences.append(f"Too little history for {', '.join(lacking)}.")
    return " ".join(sentences)


def _leader(pair: Pair, rows: Sequence[Performance], total: bool) -> Html:
    """Who leads over which windows, in words."""
    leads = {
        ticker: ", ".join(str(row.window) for row in rows if (row.gap or 0.0) * sign > 0)
        for ticker, sign in zip(pair.tickers, (1, -1), strict=True)
    }
    kind = "total return" if total else "price"
    phrases = [bold(f"{ticker} leads") + f": {windows}" for ticker, windows in leads.items() if windows]
    return Html("; ").join(phrases) + f" ({kind})." if phrases else Html("Neither leads.")


def _chart(market: Market, window: Window, total: bool, theme: Theme) -> ChartSpec:
    grown = growth(market, window, total)
    r: pd.Series = trend.ratio(market)
    kind = "total return" if total else "price"
    both, over = market.pair.fill("{small} and {large}"), market.pair.fill("{small} ÷ {large}")
    look = chart_style(f"{both}, {kind} since {short_date(grown.index[0])}", market, theme)
    panel = RatioPanel(r, r.rolling(AVERAGE).mean(), f"{over} with its {AVERAGE}-day average")
    return partial(compare_chart, grown, look, panel)


def _buttons(asked: AsOf) -> tuple[tuple[tuple[str, str], ...], ...]:
    tail = asked.suffix
    return (
        (("3 years", f"/compare 3y{tail}"), ("Trend", f"/trend{tail}"), ("Flows", f"/flows{tail}")),
        (("Multiples", f"/multiples{tail}"), ("What moved it", f"/why ytd{tail}")),
    )
