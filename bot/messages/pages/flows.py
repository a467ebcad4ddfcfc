"""The answer to /flows: money into and out of the funds, from the change of units outstanding."""

from collections.abc import Mapping, Sequence
from functools import partial

import pandas as pd

from bot.analytics import flows
from bot.analytics.market import Market, per_market
from bot.analytics.metrics import metric_value, metrics_of
from bot.analytics.units import NOT_AVAILABLE, PERCENT, USD
from bot.analytics.windows import YTD, AsOf, Window
from bot.messages import common
from bot.messages.canvas import Theme
from bot.messages.charts import ChartSpec, flows_chart
from bot.messages.common import Answer
from bot.messages.html import capital, lines, pre, table
from bot.text import MONTHS, counted, short_date

_DAY, _WEEK, _MONTH = Window("d", 1), Window("d", 5), Window("d", 20)
FLOW_WINDOWS = (_DAY, _WEEK, _MONTH, YTD)
_FLAGS_SHOWN = 3


def flows_answer(market: Market, as_of: AsOf, theme: Theme, asked: Sequence[Window] = ()) -> Answer:
    """Return both funds' flows over the usual windows: an asked one is shown beside these, several instead."""
    market.require_end()
    asked = tuple(dict.fromkeys(asked))
    usual = (_DAY, _MONTH, YTD) if asked else FLOW_WINDOWS
    windows = asked if len(asked) > 1 else tuple(dict.fromkeys((*usual, *asked)))
    tickers = market.pair.tickers
    frames = {ticker: flows.daily_flows(market, ticker) for ticker in tickers}
    missing = [ticker for ticker, frame in frames.items() if frame.empty]
    steps = common.flow_steps(market, tickers)
    if missing and steps:
        steps.append(f"Or a CSV file of its units: {market.import_line('fund-facts', missing[0])}")
    summaries = {
        ticker: [flows.flow_summary(frame, window, market.anchor) for window in windows]
        for ticker, frame in frames.items()
        if not frame.empty
    }
    rows = [
        (f"{ticker} {flow.window}", USD.show(flow.dollars), PERCENT.show(flow.percent))
        for ticker, fund in summaries.items()
        for flow in fund
    ]
    window = asked[-1] if asked else _drawn_window(summaries)
    html = lines(
        common.heading(_reading(market, window), market, as_of),
        pre(table(("", "flow", "of assets"), rows)) if rows else None,
        *(_units_line(market, ticker, frame) for ticker, frame in frames.items()),
    )
    quote = common.details(
        market,
        *_bases(summaries),
        *(line for ticker, fund in summaries.items() for line in _notes(market, ticker, fund)),
        *(line for ticker in tickers for line in common.left_out_notes(market, ticker)),
        *_signals(market),
        _official(market),
        "Flow = change in units × NAV. A day's report carries the trades of the day before.",
        common.sources({ticker: market.source(f"facts:{ticker}").label for ticker in tickers}),
        priced=False,
    )
    pages = common.page_buttons(as_of, "Compare", "Trend", "Multiples", "Why")
    if len(missing) == len(tickers):
        return Answer(html, buttons=(pages,), quote=quote, steps=tuple(steps))
    spans = tuple((span, f"/flows {span}{as_of.suffix}") for span in ("20d", "3m", "ytd", "1y"))
    draw = _chart(market, window, theme)
    return Answer(html, draw, "flows", (spans, pages), quote=quote, steps=tuple(steps))


def _drawn_window(summaries: Mapping[str, Sequence[flows.FlowSummary]]) -> Window:
    """Return 20 sessions, or the longest shorter window that some fund has a flow for."""
    known = [flow.window for fund in summaries.values() for flow in fund if flow.dollars is not None]
    return next((window for window in (_MONTH, _WEEK, _DAY) if window in known), _MONTH)


def _reading(market: Market, window: Window) -> str:
    directions: dict[str, list[str]] = {"into": [], "out of": [], "flat": []}
    for ticker in market.pair.tickers:
        flow = flows.flow_summary(flows.daily_flows(market, ticker), window, market.anchor)
        if flow.dollars is not None:
            way = "flat" if flow.is_flat else "into" if flow.dollars > 0 else "out of"
            directions[way].append(ticker + " (unconfirmed)" * flow.is_unconfirmed)
    flat = " and ".join(directions.pop("flat"))
    moves = [f"{way} {' and '.join(tickers)}" for way, tickers in directions.items() if tickers]
    phrases = [f"money went {' and '.join(moves)}"] * bool(moves) + [f"about flat in {flat}"] * bool(flat)
    if not phrases:
        return "No fund's flow is known"
    return f"{capital(', '.join(phrases))}, {common.window_title(window)}"


def _units_line(market: Market, ticker: str, frame: pd.DataFrame) -> str:
    """Return count, assets and age of one fund, or why it has no flow."""
    if frame.empty:
        return f"{ticker}: {NOT_AVAILABLE}, {common.no_flow_reason(market, ticker)}."
    last = flows.believed(frame).iloc[-1]
    dated = common.with_age(common.near_date(last.name, market.require_end()), market, last.name)
    units, assets = last["shares"] / 1e6, float(last["shares"] * last["nav"]) / 1e9
    return f"{ticker}: {units:,.2f}m units, ${assets:,.1f}bn, {dated}{', unconfirmed' * bool(last['held'])}"


def _bases(summaries: Mapping[str, Sequence[flows.FlowSummary]]) -> list[str]:
    """Return the base reports of the windows, once if all funds have the same."""
    bases = {
        ticker: ", ".join(common.window_with_base(f.window, f.base) for f in fund if f.base is not None)
        for ticker, fund in summaries.items()
    }
    if len(set(bases.values())) == 1:
        return [f"Base reports: {days}." for days in set(bases.values()) if days]
    return [f"{ticker} base reports: {days}." for ticker, days in bases.items() if days]


def _notes(market: Market, ticker: str, summaries: Sequence[flows.FlowSummary]) -> list[str]:
    """Return flows by close, the check by assets and the flagged days of one fund."""
    flagged = sorted({item for summary in summaries for item in summary.flags}, reverse=True)
    more = len(flagged) - _FLAGS_SHOWN
    by_close = ", ".join(str(f.window) for f in summaries if f.by_close)
    sentences = (
        by_close and f"{ticker} by close where no NAV is stored: {by_close}.",
        _check_by_assets(market, ticker),
        *(f"{flag} {ticker} {short_date(day)}: {note}." for day, flag, note in flagged[:_FLAGS_SHOWN]),
        f"... and {counted(more, 'more flagged day')}." if more > 0 else None,
    )
    return [sentence for sentence in sentences if sentence]


@per_market
def _check_by_assets(market: Market, ticker: str) -> str | None:
    """Return the flow by the change of assets, if the source states them: it should be nearly the same."""
    frame = flows.daily_flows(market, ticker)
    base = flows.flow_summary(frame, _MONTH, market.anchor).base
    by_assets = flows.flows_from_assets(market.fund(ticker)[["assets", "nav"]].reindex(frame.index))
    if base is None or base not in by_assets.index or by_assets.index[-1] != frame.index[-1]:
        return None
    dollars = float(by_assets.loc[base:].iloc[1:].sum())
    return f"{ticker} check by the change of assets, {_MONTH}: {USD.show(dollars)}."


@per_market
def _signals(market: Market) -> list[str]:
    """Return z-score, acceleration and gap over 20 sessions, or why one is missing. Empty without facts."""
    small, large = market.pair.tickers
    frame = flows.daily_flows(market, small)
    if frame.empty:
        return []
    shown = {}
    for name in ("flow_z", "flow_change", "flow_gap"):
        metric = metrics_of(market.pair)[name]
        signal = metric_value(metric, market, metric.defaults())
        shown[name] = metric.unit.show(signal.value) + (f", {signal.reason}" if signal.reason else "")
        if signal.session is not None and signal.session != frame.index[-1]:
            shown[name] += f" ({short_date(signal.session)})"
    return [
        f"{small} 20d z-score: {shown['flow_z']}.",
        f"{small} 20d flow less that of the 20d before: {shown['flow_change']}.",
        f"Gap {small} − {large} 20d, as % of assets: {shown['flow_gap']}.",
    ]


def _official(market: Market) -> str | None:
    """Return the last month's flows by the funds' own filings beside ours, None without any."""
    parts = []
    for ticker, filed in market.official.items():
        if filed.empty:
            continue
        end, dollars = filed.index[-1], float(filed.iloc[-1])
        ours = flows.month_flow(flows.daily_flows(market, ticker), market.sessions, end)
        month = f"{MONTHS[end.month - 1]} {end.year}"
        shown = USD.show(ours) if ours is not None else NOT_AVAILABLE
        parts.append(f"{ticker} {USD.show(dollars)} in {month}, ours {shown}")
    return f"Official, by filings (N-PORT): {'; '.join(parts)}." if parts else None


def _chart(market: Market, window: Window, theme: Theme) -> ChartSpec | None:
    """Return the chart of the funds whose flow is known, with the names of the others, None without any."""
    columns, unconfirmed = {}, []
    for ticker in market.pair.tickers:
        frame = flows.daily_flows(market, ticker)
        flow = flows.flow_summary(frame, window, market.anchor)
        if flow.base is not None:
            # The base is the line's zero: its own flow belongs to the window before.
            columns[ticker] = frame["flow"].loc[flow.base :].copy()
            columns[ticker].iloc[0] = 0.0
            unconfirmed += [ticker] * flow.is_unconfirmed
    if not columns:
        return None
    since = short_date(min(column.index[0] for column in columns.values()))
    doubt = f" ({' and '.join(unconfirmed)} unconfirmed)" if unconfirmed else ""
    last = max(column.index[-1] for column in columns.values())
    label = common.fact_sources(market)
    style = common.chart_style(f"Money into the funds since {since}{doubt}", market, theme, label, last)
    lacking = [ticker for ticker in market.pair.tickers if ticker not in columns]
    note = f"No flow of {' and '.join(lacking)} is known over {common.window_title(window)}." if lacking else ""
    return partial(flows_chart, pd.DataFrame(columns), style, note)
