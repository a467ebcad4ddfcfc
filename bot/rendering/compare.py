"""The answer to /compare: who leads, by how much, on what trend, flows and multiples."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bot.analytics import flows, performance, trend, units, valuation
from bot.analytics.market import LARGE, PAIR, SMALL
from bot.analytics.registry import METRICS
from bot.analytics.units import NOT_AVAILABLE, PERCENT, POINTS
from bot.analytics.windows import YTD, Window
from bot.rendering.answer import Answer, Asked, heading, require, sources
from bot.rendering.charts import Panel, compare_chart
from bot.rendering.tables import table
from bot.rendering.text import Html, age_phrase, bold, lines, pre, session_phrase, short_date
from bot.rendering.themes import Look, Theme

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from bot.analytics.market import Market
    from bot.analytics.performance import Performance
    from bot.analytics.valuation import Figure
    from bot.rendering.charts import ChartSpec

WINDOWS = (
    Window("w", 1),
    Window("m", 1),
    Window("m", 3),
    Window("m", 6),
    YTD,
    Window("y", 1),
)
AVERAGE = 200
_YEAR = 372  # days: a year that begins before a weekend and ends after one
FLOW_WINDOW = Window("d", 20)


def compare(
    market: Market, asked: Asked, theme: Theme, extra: Sequence[Window] = (), total: bool | None = None
) -> Answer:
    """Price and total return of both funds (or the one asked for) over WINDOWS and `extra`."""
    require(market)
    windows = list(dict.fromkeys((*WINDOWS, *extra)))
    kinds = (False, True) if total is None else (total,)
    blocks = [_block(market, windows, kind) for kind in kinds]
    rows = [performance.performance(market, window, kinds[0]) for window in windows]
    html = lines(
        heading("IWM and SPY", market, asked),
        _leader(rows, kinds[0]),
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
                "flows": fact_labels(market),
                "multiples": market.source("multiples").label,
            }
        ),
    )
    # The window asked for, else a year, else the longest that has a base; without any there is no chart.
    based_rows = sorted((row for row in rows if row.base is not None), key=lambda row: str(row.base))
    wanted = [*extra, Window("y", 1), *(row.window for row in based_rows)]
    drawable = {row.window for row in based_rows if row.base != row.end}
    shown = next((window for window in wanted if window in drawable), None)
    draw = None if shown is None else _chart(market, shown, kinds[0], theme)
    return Answer(html, draw, "compare", _buttons(asked))


def _block(market: Market, windows: Sequence[Window], total: bool) -> Html:
    found = [performance.performance(market, window, total) for window in windows]
    rows = [
        (str(one.window), PERCENT.show(one.small), PERCENT.show(one.large), POINTS.show(one.gap))
        for one in found
    ]
    title = "Total return, distributions reinvested" if total else "Price return"
    return lines(bold(title), pre(table(("", SMALL, LARGE, "gap"), rows)), *map(_a_year, found))


def _a_year(found: Performance) -> str | None:
    """What a window of more than a year comes to in each; None for a shorter one."""
    if found.base is None or found.end is None or (found.end - found.base).days <= _YEAR:
        return None
    small, large = (PERCENT.show(found.annualised(return_)) for return_ in (found.small, found.large))
    return f"{found.window} a year: {SMALL} {small}, {LARGE} {large}."


def _bases(rows: Sequence[Performance]) -> str:
    """The close each window starts from."""
    parts = [based(row.window, row.base) for row in rows if row.base is not None]
    lacking = [str(row.window) for row in rows if row.base is None]
    said = [f"Base closes: {', '.join(parts)}."] if parts else []
    if lacking:
        said.append(f"Too little history for {', '.join(lacking)}.")
    return " ".join(said)


def based(window: Window, base: pd.Timestamp) -> str:
    """A window with the session of its base close; `since` a session says it already."""
    if window.since == base.date():
        return str(window)
    return f"{window} {short_date(base)}"


def _leader(rows: Sequence[Performance], total: bool) -> Html:
    """Who leads over which windows, in words."""
    leads = {
        ticker: ", ".join(str(row.window) for row in rows if (row.gap or 0.0) * sign > 0)
        for ticker, sign in ((SMALL, 1), (LARGE, -1))
    }
    kind = "total return" if total else "price"
    said = [bold(f"{ticker} leads") + f": {windows}" for ticker, windows in leads.items() if windows]
    return Html("; ").join(said) + f" ({kind})." if said else Html("Neither leads.")


def ratio_line(market: Market) -> str:
    """The ratio, its distance to the 200-day average and since when it is on this side."""
    r = trend.ratio(market)
    against = trend.against_average(r, AVERAGE)
    level = units.LEVEL.show(float(r.iloc[-1]))
    if against.dropna().empty:
        return f"Ratio IWM/SPY {level}; its {AVERAGE}-day average needs {AVERAGE} sessions, stored: {len(r)}."
    distance = float(against.iloc[-1])
    if distance == 0:
        return f"Ratio IWM/SPY {level}, exactly at its {AVERAGE}-day average."
    side = "over" if distance > 0 else "under"
    far = PERCENT.show(abs(distance)).lstrip("+")
    since = trend.last_cross(against, upward=distance > 0)
    started = f" ({side} it since {short_date(since)})" if since is not None else ""
    return f"Ratio IWM/SPY {level}, {far} {side} its {AVERAGE}-day average{started}."


def flow_line(market: Market, window: Window = FLOW_WINDOW) -> str:
    """Flow of both funds over a window, each with its last session where that is not the Market's."""
    parts = []
    for ticker in PAIR:
        found = flows.summary(flows.prepared(market, ticker), window, market.anchor)
        if found.dollars is None or found.end is None:
            reason = "no fund facts" if found.end is None else "too little history"
            parts.append(f"{ticker} {NOT_AVAILABLE}, {reason}")
            continue
        late = f" to {short_date(found.end)}" if found.end != market.end else ""
        old = age_phrase(market.behind(found.end) - METRICS["flow"].lag)
        late += f", {old}" if old else ""
        parts.append(
            f"{ticker} {units.USD.show(found.dollars)} ({PERCENT.show(found.percent)} of assets){late}"
        )
        flagged = flagged_days(found)
        parts[-1] += f", {flagged}" if flagged else ""
    return f"Flows {window}: {'; '.join(parts)}."


def flagged_days(found: flows.FlowSummary) -> str:
    """How many days of a flow have doubtful counts, and the last one; "" for none. /flows tells them all.

    A large flow is no doubt of its own.
    """
    doubtful = [(day, flag) for day, flag, _ in found.flags if flag != "LARGE"]
    if not doubtful:
        return ""
    day, flag = doubtful[-1]
    count = f"{len(doubtful)} flagged days, last" if len(doubtful) > 1 else "1 flagged day,"
    return f"{count} {flag} {short_date(day)}: /flows"


def multiple_line(market: Market) -> str:
    """The newest P/E of both funds with its convention, or that there is none."""
    found = valuation.figures(market, "pe")
    if not found:
        return f"Multiples: {NOT_AVAILABLE}, none stored."
    figure = max(found, key=lambda f: (max(_sessions(f)), f.observations))
    told = ((SMALL, figure.small, figure.small_session), (LARGE, figure.large, figure.large_session))
    same = figure.small_session == figure.large_session
    both = ", ".join(
        f"{ticker} {units.MULTIPLE.show(value)}"
        + (f" ({_aged(market, short_date(session), session)})" if session is not None and not same else "")
        for ticker, value, session in told
    )
    session = figure.small_priced if same and figure.small_priced is not None else _sessions(figure)[0]
    dated = f", {_aged(market, session_phrase(session), session)}" if same else ""
    return f"P/E ({convention(figure.convention, figure.basis)}): {both}{dated}."


def _aged(market: Market, words: str, session: pd.Timestamp) -> str:
    """The session of a multiple in `words`, with its age where it is old."""
    old = age_phrase(market.behind(session) - METRICS["pe"].lag)
    return f"{words}, {old}" if old else words


def _sessions(figure: Figure) -> list[pd.Timestamp]:
    """The sessions of a multiple's figures: of both funds, or of the one that has any."""
    return [session for session in (figure.small_session, figure.large_session) if session is not None]


def convention(name: str, basis: str) -> str:
    """Convention and basis in words, e.g. "losses in, forward"."""
    stated = "basis unstated" if basis == "unstated" else basis
    return f"{valuation.CONVENTIONS.get(name, name)}, {stated}"


def fact_labels(market: Market) -> str:
    """Sources of both funds' facts, "" without any."""
    labels = dict.fromkeys(market.source(f"facts:{ticker}").label for ticker in PAIR)
    return ", ".join(label for label in labels if label != "no data")


def _chart(market: Market, window: Window, total: bool, theme: Theme) -> ChartSpec:
    grown = performance.growth(market, window, total)
    r: pd.Series = trend.ratio(market)
    kind = "total return" if total else "price"
    look = chart_look(f"IWM and SPY, {kind} since {short_date(grown.index[0])}", market, theme)
    return partial(compare_chart, grown, look, Panel(r, r.rolling(AVERAGE).mean()))


def chart_look(
    title: str,
    market: Market,
    theme: Theme,
    label: str | None = None,
    session: pd.Timestamp | None = None,
) -> Look:
    """Title, source line and sample label of a chart; of prices, if nothing else is said."""
    source = label or market.source("prices").label
    dated = session_phrase(require(market) if session is None else session)
    return Look(title, f"Source: {source} · {dated}", theme, sample=market.is_sample)


def titled(window: Window) -> str:
    """A window as it stands in a title: "since 30 Sep 2020"."""
    return f"since {short_date(window.since)}" if window.since is not None else str(window)


def _buttons(asked: Asked) -> tuple[tuple[tuple[str, str], ...], ...]:
    tail = asked.suffix
    return (
        (("3 years", f"/compare 3y{tail}"), ("Trend", f"/trend{tail}"), ("Flows", f"/flows{tail}")),
        (("Multiples", f"/multiples{tail}"), ("What moved it", f"/why ytd{tail}")),
    )
