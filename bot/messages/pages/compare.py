"""The answer to /compare: who leads, by how much, on what trend, flows and multiples. Its cards, too."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from bot.analytics import trend
from bot.analytics.market import Market
from bot.analytics.performance import TOO_SHORT, Performance, growth, performance
from bot.analytics.units import PERCENT, POINTS
from bot.analytics.windows import YTD, AsOf, Window
from bot.messages import common
from bot.messages.canvas import Theme
from bot.messages.charts import ChartSpec, compare_chart
from bot.messages.common import Answer
from bot.messages.html import Html, lines
from bot.pair import Pair
from bot.text import short_date

RETURN_WINDOWS = (Window("w", 1), Window("m", 1), Window("m", 6), YTD, Window("y", 1))
_CARD_WINDOWS = (Window("m", 1), Window("m", 6), YTD, Window("y", 1))
_OFFERED = ("1m", "6m", "ytd", "1y", "5y")
_YEAR = 372  # days: a year that begins before a weekend and ends after one


def compare_answer(
    market: Market, as_of: AsOf, theme: Theme, asked: Sequence[Window] = (), total: bool | None = None
) -> Answer:
    """Return who leads, the returns of both funds over the usual windows, and the trend, flows and P/E.

    One asked window is shown beside the usual ones; several, or a span between two dates, instead of them.
    `total`: total return or price; None for price, with the total returns in the quote.
    """
    market.require_end()
    asked = tuple(dict.fromkeys(asked))
    is_span = as_of.asof is not None and any(window.since for window in asked)
    windows = asked if is_span or len(asked) > 1 else tuple(dict.fromkeys((*RETURN_WINDOWS, *asked)))
    rows = [performance(market, window, bool(total)) for window in windows]
    html = lines(
        common.heading(_leader(market.pair, rows), market, as_of),
        common.returns_table(market.pair, rows, "total" if total else "price"),
        common.trend_line(market),
        common.flow_line(market),
        common.multiple_line(market),
    )
    quote = common.details(
        market,
        "Total return, distributions reinvested." if total else "Price return.",
        _total_returns(market, windows) if total is None else None,
        *(_annualised(market.pair, row) for row in rows),
        _bases(rows),
        *common.missing_returns(rows),
        common.market_sources(market, "prices", "flows", "multiples"),
    )
    word = {None: "", False: " price", True: " tr"}[total]
    offered = tuple((window, f"/compare {window}{word}{as_of.suffix}") for window in _OFFERED)
    asked_again = " ".join(("/compare", *map(str, asked), "price" if total else "tr"))
    kind = (("Price" if total else "Total return", f"{asked_again}{as_of.suffix}"),)
    pages = common.page_buttons(as_of, "Trend", "Flows", "Multiples", "Why")
    draw = _chart(market, asked, rows, bool(total), theme)
    return Answer(html, draw, "compare", (offered, kind, pages), quote=quote)


def _leader(pair: Pair, rows: Sequence[Performance]) -> str:
    """Return who leads over most windows, and over which it does not; of as many, over the longest."""
    known = [row for row in rows if row.gap is not None]
    leads = {
        ticker: [row for row in known if round(row.gap or 0.0, POINTS.decimals) * sign > 0]  # as it is shown
        for ticker, sign in zip(pair.tickers, (1, -1), strict=True)
    }
    if not any(leads.values()):
        return "Both moved alike" if known else f"No return of {pair} is known"
    ticker = max(leads, key=lambda name: (len(leads[name]), leads[name][-1:] == known[-1:]))
    others = [str(row.window) for row in known if row not in leads[ticker]]
    if not others and len(known) == 1:
        return f"{ticker} leads {'' if known[0].window.since else 'over '}{known[0].window}"
    if not others:
        return f"{ticker} leads on every window"
    return f"{ticker} leads, but not over {', '.join(others)}"


def _total_returns(market: Market, windows: Sequence[Window]) -> str:
    """Return the total returns of both funds: "Total return: ytd +16.14% / +15.48%"."""
    totals = [performance(market, window, total=True) for window in windows]
    shown = [
        f"{row.window} {PERCENT.show(row.small)} / {PERCENT.show(row.large)}" for row in totals if row.small is not None
    ]
    if not shown:
        return " ".join(common.missing_returns(totals)).replace(": n/a", ": total return n/a")
    return f"Total return, {' / '.join(market.pair.tickers)}: {', '.join(shown)}."


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


def _chart(
    market: Market, asked: Sequence[Window], rows: Sequence[Performance], total: bool, theme: Theme
) -> ChartSpec | None:
    """Return the chart of the asked windows, else of a year, else of the longest window that has a base."""
    based_rows = sorted((row for row in rows if row.small is not None), key=lambda row: str(row.base))
    drawable = [row.window for row in based_rows if row.base != row.end]
    shown = [window for window in asked if window in drawable]
    if not shown:
        shown = [window for window in (Window("y", 1), *drawable) if window in drawable][:1]
    if not shown:
        return None
    returns = {common.window_title(window): growth(market, window, total) for window in shown}
    start = min(frame.index[0] for frame in returns.values())
    r, average = (
        series.loc[start:].copy()  # not a view: an answer that is kept would keep all years
        for series in (trend.ratio(market), trend.of_ratio(market, trend.average, common.AVERAGE))
    )
    kind, (small, large) = "total return" if total else "price", market.pair.tickers
    title = f"{small} and {large}, {kind}" + (f" since {short_date(start)}" if len(shown) == 1 else "")
    below = f"{small} ÷ {large} with its {common.AVERAGE}-day average"
    return partial(compare_chart, returns, common.chart_style(title, market, theme), r, average, below)


@dataclass(frozen=True)
class Card:
    """One card for another chat: what the list shows of it, and the message that choosing it sends."""

    title: str
    summary: str
    html: Html


def cards(market: Market, as_of: AsOf, windows: Sequence[Window] = (), total: bool | None = None) -> list[Card]:
    """Return a card for each window, by default for some usual ones. Raises NoData without any common close."""
    end, kinds = market.require_end(), (False, True) if total is None else (total,)
    small, large = market.pair.tickers
    both, source = f"{small} and {large}", common.market_sources(market, "prices")
    result = []
    for window in dict.fromkeys(windows or _CARD_WINDOWS):
        rows = [performance(market, window, kind) for kind in kinds]
        span, sentences = None, [f"{window}: {rows[0].reason}."]
        if rows[0].base is not None:
            span = f"{window}, {short_date(rows[0].base)} to {short_date(end)}:"
            sentences = []
            for row in rows:
                figures = (
                    f"{small} {PERCENT.show(row.small)}, {large} {PERCENT.show(row.large)}, gap {POINTS.show(row.gap)}"
                )
                known = f"n/a, {row.reason}" if row.reason else figures
                sentences.append(f"{'Total' if row.total else 'Price'} return {known}.")
        html = lines(common.heading(_leader(market.pair, rows[:1]), market, as_of), span, *sentences, source)
        result.append(Card(f"{both}, {window}", sentences[0], html))
    return result
