"""The answer to /compare: who leads, by how much, on what trend, flows and multiples."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bot.analytics import performance, trend
from bot.analytics.freshness import require_end
from bot.analytics.units import PERCENT, POINTS
from bot.analytics.windows import YTD, AsOf, Window
from bot.rendering.answer import Answer, heading, sources
from bot.rendering.charts import Panel, compare_chart
from bot.rendering.common import (
    AVERAGE,
    chart_style,
    fact_sources,
    flow_line,
    multiple_line,
    ratio_line,
    window_with_base,
)
from bot.rendering.tables import table
from bot.rendering.text import Html, bold, lines, pre, short_date

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from bot.analytics.market import Market
    from bot.analytics.performance import Performance
    from bot.pair import Pair
    from bot.rendering.charts import ChartSpec
    from bot.rendering.themes import Theme

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
    require_end(market)
    windows = list(dict.fromkeys((*WINDOWS, *extra)))
    kinds = (False, True) if total is None else (total,)
    blocks = [_block(market, windows, kind) for kind in kinds]
    rows = [performance.performance(market, window, kinds[0]) for window in windows]
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
    returns = [performance.performance(market, window, total) for window in windows]
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
    grown = performance.growth(market, window, total)
    r: pd.Series = trend.ratio(market)
    kind = "total return" if total else "price"
    both, over = market.pair.fill("{small} and {large}"), market.pair.fill("{small} ÷ {large}")
    look = chart_style(f"{both}, {kind} since {short_date(grown.index[0])}", market, theme)
    panel = Panel(r, r.rolling(AVERAGE).mean(), f"{over} with its {AVERAGE}-day average")
    return partial(compare_chart, grown, look, panel)


def _buttons(asked: AsOf) -> tuple[tuple[tuple[str, str], ...], ...]:
    tail = asked.suffix
    return (
        (("3 years", f"/compare 3y{tail}"), ("Trend", f"/trend{tail}"), ("Flows", f"/flows{tail}")),
        (("Multiples", f"/multiples{tail}"), ("What moved it", f"/why ytd{tail}")),
    )
