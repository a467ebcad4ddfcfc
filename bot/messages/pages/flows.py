"""The answer to /flows: money into and out of the funds, from the change of units outstanding."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pandas as pd

from bot.analytics import flows
from bot.analytics.market import Market, per_market
from bot.analytics.metrics import metric_value, metrics_of
from bot.analytics.units import NOT_AVAILABLE, PERCENT, USD
from bot.analytics.windows import YTD, AsOf, Window
from bot.messages import common
from bot.messages.charts import ChartSpec, flows_chart
from bot.messages.common import Answer
from bot.messages.html import Html, bold, lines, pre, table
from bot.text import MONTHS, counted, short_date

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bot.messages.canvas import Theme

_MONTH = Window("d", 20)
FLOW_WINDOWS = (Window("d", 1), Window("d", 5), _MONTH, YTD)
_FLAGS_SHOWN = 4


def flows_answer(market: Market, as_of: AsOf, theme: Theme, extra: Sequence[Window] = ()) -> Answer:
    """Return the flow in dollars, in percent of assets and in units over WINDOWS and `extra`."""
    market.require_end()
    windows = list(dict.fromkeys((*FLOW_WINDOWS, *extra)))
    missing = [t for t in market.pair.tickers if flows.daily_flows(market, t).empty]
    next_step = common.flow_steps(market, market.pair.tickers)
    if missing and next_step:
        next_step.append(f"Or a CSV file of its units: {market.import_line('fund-facts', missing[0])}")
    html = lines(
        common.heading("Fund flows", market, as_of, priced=False),
        _reading(market, extra[-1] if extra else _MONTH),
        *(_fund(market, ticker, windows) for ticker in market.pair.tickers),
        *_signals(market),
        _official(market),
        *next_step,
        "",
        "Flow = change in units × NAV. A day's report carries the trades of the day before.",
        common.sources({ticker: market.source(f"facts:{ticker}").label for ticker in market.pair.tickers}),
    )
    if len(missing) == len(market.pair.tickers):
        return Answer(html, buttons=(common.page_buttons(as_of, "Compare", "What moved it"),))
    tail = as_of.suffix
    spans = (("3 months", f"/flows 3m{tail}"), ("1 year", f"/flows 1y{tail}"))
    buttons = ((*spans, *common.page_buttons(as_of, "What moved it")),)
    return Answer(html, _chart(market, extra[-1] if extra else YTD, theme), "flows", buttons)


def _reading(market: Market, window: Window) -> Html | None:
    """Return the direction of money over a window, None if no fund's flow is known."""
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
        return None
    return bold(f"Reading, {common.window_title(window)}") + f": {', '.join(phrases)}."


def _fund(market: Market, ticker: str, windows: Sequence[Window]) -> Html:
    """Return count, assets and age of one fund, its flow over each window, its flagged days."""
    frame = flows.daily_flows(market, ticker)
    if frame.empty:
        reason = f": {NOT_AVAILABLE}, {common.no_flow_reason(market, ticker)}."
        return lines(bold(ticker) + reason, *common.left_out_notes(market, ticker))
    summaries = [flows.flow_summary(frame, window, market.anchor) for window in windows]
    rows = [
        (str(f.window), USD.show(f.dollars), PERCENT.show(f.percent), PERCENT.show(f.units))
        for f in summaries
    ]
    last = flows.believed(frame).iloc[-1]
    end, shares = last.name, last["shares"]
    reported = common.with_age(f"as reported for {short_date(end)}", market, end)
    assets = f"${float(shares * last['nav']) / 1e9:,.1f}bn"
    flagged = sorted({item for summary in summaries for item in summary.flags}, reverse=True)
    more = len(flagged) - _FLAGS_SHOWN
    unconfirmed = ", unconfirmed" if last["held"] else ""
    by_close = ", ".join(str(f.window) for f in summaries if f.by_close)
    bases = ", ".join(common.window_with_base(f.window, f.base) for f in summaries if f.base is not None)
    return lines(
        bold(ticker) + f": {shares / 1e6:,.2f}m units, {assets}, {reported}{unconfirmed}",
        pre(table(("", "flow", "of assets", "units"), rows)),
        f"Base reports: {bases}." if bases else None,
        f"Flow by close where no NAV is stored: {by_close}." if by_close else None,
        _check_by_assets(market, ticker),
        *(f"{flag} {short_date(day)}: {note}." for day, flag, note in flagged[:_FLAGS_SHOWN]),
        f"... and {counted(more, 'more flagged day')}." if more > 0 else None,
        *common.left_out_notes(market, ticker),
    )


@per_market
def _check_by_assets(market: Market, ticker: str) -> str | None:
    """Return the flow by the change of assets, if the source states them: it should be nearly the same."""
    frame = flows.daily_flows(market, ticker)
    base = flows.flow_summary(frame, _MONTH, market.anchor).base
    by_assets = flows.flows_from_assets(market.fund(ticker)[["assets", "nav"]].reindex(frame.index))
    if base is None or base not in by_assets.index or by_assets.index[-1] != frame.index[-1]:
        return None
    dollars = float(by_assets.loc[base:].iloc[1:].sum())
    return f"Check by the change of assets less NAV's return, {_MONTH}: {USD.show(dollars)}."


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
    """Return the chart of the funds whose flow is known, None without any."""
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
    return partial(flows_chart, pd.DataFrame(columns), style)
