"""The answer to /compare: who leads, by how much, on what trend, flows and multiples. Its cards, too."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from bot.analytics import trend
from bot.analytics.performance import TOO_SHORT, Performance, growth, performance
from bot.analytics.units import PERCENT, POINTS
from bot.analytics.windows import YTD, AsOf, Window
from bot.messages import common
from bot.messages.charts import ChartSpec, compare_chart
from bot.messages.common import Answer
from bot.messages.html import Html, bold, lines
from bot.text import short_date

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bot.analytics.market import Market
    from bot.messages.canvas import Theme
    from bot.pair import Pair

RETURN_WINDOWS = (Window("w", 1), Window("m", 1), Window("m", 3), Window("m", 6), YTD, Window("y", 1))
_CARD_WINDOWS = (Window("m", 1), Window("m", 6), YTD, Window("y", 1))
_YEAR = 372  # days: a year that begins before a weekend and ends after one


def compare_answer(
    market: Market, as_of: AsOf, theme: Theme, extra: Sequence[Window] = (), total: bool | None = None
) -> Answer:
    """Return price and total return of both funds (or the one asked for) over WINDOWS and `extra`."""
    market.require_end()
    windows = list(dict.fromkeys((*RETURN_WINDOWS, *extra)))
    kinds = (False, True) if total is None else (total,)
    returns = {kind: [performance(market, window, kind) for window in windows] for kind in kinds}
    rows = returns[kinds[0]]
    blocks: list[Html | str] = []
    for kind in kinds:
        blocks.append(common.returns_table(market.pair, returns[kind], kind))
        blocks += [line for row in returns[kind] if (line := _annualised(market.pair, row)) is not None]
    html = lines(
        common.heading(market.pair.fill("{small} and {large}"), market, as_of),
        _leader(market.pair, rows, kinds[0]),
        *blocks,
        _bases(rows),
        "",
        common.ratio_line(market),
        common.flow_line(market),
        common.multiple_line(market),
        "",
        common.market_sources(market, "prices", "flows", "multiples"),
    )
    # The requested window, else a year, else the longest that has a base. Without any there is no chart.
    based_rows = sorted((row for row in rows if row.small is not None), key=lambda row: str(row.base))
    windows = [*extra, Window("y", 1), *(row.window for row in based_rows)]
    drawable = {row.window for row in based_rows if row.base != row.end}
    shown = next((window for window in windows if window in drawable), None)
    draw = None if shown is None else _chart(market, shown, kinds[0], theme)
    word = {None: "", False: " price", True: " tr"}[total]
    buttons = (
        (("3 years", f"/compare 3y{word}{as_of.suffix}"), *common.page_buttons(as_of, "Trend", "Flows")),
        common.page_buttons(as_of, "Multiples", "What moved it"),
    )
    return Answer(html, draw, "compare", buttons)


def _annualised(pair: Pair, row: Performance) -> str | None:
    """Return the annualised returns of a window of more than a year, None for a shorter one."""
    if row.base is None or row.end is None or row.small is None or (row.end - row.base).days <= _YEAR:
        return None
    small, large = (PERCENT.show(row.annualised(return_)) for return_ in (row.small, row.large))
    return f"{row.window} a year: {pair.small.ticker} {small}, {pair.large.ticker} {large}."


def _bases(rows: Sequence[Performance]) -> str:
    bases = ", ".join(common.window_with_base(row.window, row.base) for row in rows if row.base is not None)
    lacking = ", ".join(str(row.window) for row in rows if row.reason == TOO_SHORT)
    sentences = (bases and f"Base closes: {bases}.", lacking and f"Too little history for {lacking}.")
    return " ".join(filter(None, sentences))


def _leader(pair: Pair, rows: Sequence[Performance], total: bool) -> Html | None:
    if all(row.gap is None for row in rows):
        return None
    leads = {
        ticker: ", ".join(str(row.window) for row in rows if (row.gap or 0.0) * sign > 0)
        for ticker, sign in zip(pair.tickers, (1, -1), strict=True)
    }
    kind = "total return" if total else "price"
    phrases = [bold(f"{ticker} leads") + f": {windows}" for ticker, windows in leads.items() if windows]
    return Html("; ").join(phrases) + f" ({kind})." if phrases else Html("Neither leads.")


def _chart(market: Market, window: Window, total: bool, theme: Theme) -> ChartSpec:
    grown = growth(market, window, total)
    r, average = (
        series.loc[grown.index[0] :].copy()  # not a view: an answer that is kept would keep all years
        for series in (trend.ratio(market), trend.of_ratio(market, trend.average, common.AVERAGE))
    )
    kind = "total return" if total else "price"
    small, large = market.pair.tickers
    title = f"{small} and {large}, {kind} since {short_date(grown.index[0])}"
    below = f"{small} ÷ {large} with its {common.AVERAGE}-day average"
    return partial(compare_chart, grown, common.chart_style(title, market, theme), r, average, below)


@dataclass(frozen=True)
class Card:
    """One card for another chat: what the list shows of it, and the message that choosing it sends."""

    title: str
    summary: str
    html: Html


def cards(
    market: Market, as_of: AsOf, windows: Sequence[Window] = (), total: bool | None = None
) -> list[Card]:
    """Return a card for each window, by default for some usual ones, with price and total return.

    Raises NoData if no session has a close of both funds.
    """
    end = market.require_end()
    kinds = (False, True) if total is None else (total,)
    small, large = market.pair.tickers
    both, source = f"{small} and {large}", common.market_sources(market, "prices")
    result = []
    for window in dict.fromkeys(windows or _CARD_WINDOWS):
        rows = [performance(market, window, kind) for kind in kinds]
        span, sentences = None, [f"{window}: {rows[0].reason}."]
        if rows[0].base is not None:
            span = f"{window}, {short_date(rows[0].base)} to {short_date(end)}:"
            sentences = [
                f"{'Total' if row.total else 'Price'} return "
                + (
                    f"n/a, {row.reason}."
                    if row.reason
                    else f"{small} {PERCENT.show(row.small)}, {large} {PERCENT.show(row.large)}, "
                    f"gap {POINTS.show(row.gap)}."
                )
                for row in rows
            ]
        html = lines(common.heading(both, market, as_of), span, *sentences, source)
        result.append(Card(f"{both}, {window}", sentences[0], html))
    return result
