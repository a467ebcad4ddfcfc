"""The weekly summary: the week's returns and flows, streaks, what fired, and what the next week brings."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from operator import itemgetter

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bot.alerts.presets import name_of
from bot.alerts.view import AlertView, EvaluationContext
from bot.analytics import flows
from bot.analytics.agenda import agenda
from bot.analytics.market import Market, per_market
from bot.analytics.performance import TOO_SHORT, fund_levels, performance
from bot.analytics.rarity import highest_since, streak
from bot.analytics.sessions import Sessions
from bot.analytics.units import PERCENT, POINTS, USD
from bot.analytics.windows import MTD, YTD, AsOf, Window
from bot.messages import common
from bot.messages.alerts.words import standing_lines
from bot.messages.common import Answer
from bot.messages.html import lines
from bot.messages.pages import summary
from bot.text import DAYS, counted, ordinal, short_date

_RARE = 26  # weeks
_FIRST = itemgetter(0)
Fires = tuple[tuple[int, str, dt.date], ...]  # number, rule and session of each fire, in order


def weekly_answer(
    context: EvaluationContext,
    alerts: Sequence[AlertView],
    fires: Fires,
    sessions: Sessions,
    *,
    late: bool = False,
    total: bool = False,
) -> Answer:
    """Return the message of one chat; `fires` are those since the Monday of `week_begin`.

    Raises NoData when no session has a close of both funds.
    """
    market = context.market
    market.require_end()
    week = performance(market, _week_window(market), total)
    returns = [replace(week, window=Window("w", 1)), *(performance(market, w, total) for w in (MTD, YTD))]
    names = {alert.number: name_of(alert.rule, market) for alert in alerts}
    fired = [(names.get(number) or f"#{number} {rule}", DAYS[day.weekday()]) for number, rule, day in fires]
    by_name = groupby(sorted(fired, key=_FIRST), _FIRST)
    names_and_days = ", ".join(f"{name} ({', '.join(day for _, day in rows)})" for name, rows in by_name)
    last = market.last_completed
    monday = last + pd.Timedelta(days=7 - last.weekday())
    friday = monday + pd.Timedelta(days=4)
    nothing = f"Next week: {counted(len(sessions.between(monday, friday)), 'session')}, nothing special."
    title, sentences = _week(market, total)
    html = lines(
        common.heading(title, market, AsOf()),
        summary.LATE if late else None,
        common.returns_table(market.pair, [row for row in returns if row.reason != TOO_SHORT]),
        *common.missing_returns(returns),
        *sentences,
        f"Fired: {names_and_days}." if names_and_days else "No alert fired." if alerts else None,
        *standing_lines(alerts, context),
        summary.ahead_line("Next week", agenda(market, sessions, monday.date(), friday.date()), nothing),
    )
    row = ((("Alerts", "/alerts"),) if alerts else ()) + common.page_buttons(AsOf(), "Compare", "Flows")
    return Answer(html, quote=summary.quote(market, "Weekly", returns), buttons=(row,))


def week_begin(market: Market) -> dt.date:
    """Return the Monday of the week of the last close."""
    last: dt.date = (market.end or market.last_completed).date()
    return last - dt.timedelta(days=last.weekday())


def _week_window(market: Market) -> Window:
    index = market.closes.index
    before = index[index < pd.Timestamp(week_begin(market))]
    return Window("since", since=(before[-1] if len(before) else index[0]).date())


@per_market
def _week(market: Market, total: bool) -> tuple[str, list[str]]:
    """Return who led the week, and sentences on streaks, the trend and flows."""
    window, small, large = _week_window(market), *market.pair.tickers
    gap = performance(market, window, total).gap
    title, gap = summary.led(market, gap, "led the week"), gap or 0.0
    leader, other = (small, large) if gap > 0 else (large, small)
    levels = fund_levels(market, total)
    changes = 100 * levels.groupby(_weeks(levels.index)).last().pct_change()
    changes = changes.set_index(levels.index.to_series().groupby(_weeks(levels.index)).last()).iloc[1:]
    gaps = changes[small] - changes[large]
    best, ago = highest_since(gaps if gap > 0 else -gaps)
    if gap and ago >= _RARE:
        since = f"since {short_date(best)}" if best is not None else "on record"
        title = f"{leader}'s largest lead over {other} in a week {since}: {POINTS.show(abs(gap))}"
    weeks = abs(streak(gaps)[0])
    sentences = [f"{leader} led for the {ordinal(weeks)} week in a row."] if gap and weeks > 1 else []
    sentences.append(common.trend_line(market))
    for ticker in market.pair.tickers:
        frame = flows.daily_flows(market, ticker)
        flow = flows.flow_summary(frame, window, market.anchor)
        if flow.dollars is None:
            continue
        weeks = abs(streak(frame["flow"].groupby(_weeks(frame.index)).sum())[0])
        again = f", the {ordinal(weeks)} week in a row" if weeks > 1 else ""
        sentences.append(f"Flow {ticker}: {USD.show(flow.dollars)} ({PERCENT.show(flow.percent)}){again}.")
    return title, sentences


def _weeks(index: pd.Index) -> NDArray[np.int64]:
    """Return the number of each session's week, which begins on Monday."""
    days: NDArray[np.int64] = index.to_numpy().astype("datetime64[D]").astype("int64")
    return (days + 3) // 7
