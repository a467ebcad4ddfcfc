"""The weekly summary: the week's returns and flows, streaks, what fired, and what the next week brings."""

from __future__ import annotations

import datetime as dt
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING

import pandas as pd

from bot.alerts.presets import name_of
from bot.analytics import flows, trend
from bot.analytics.agenda import agenda
from bot.analytics.market import Market, per_market
from bot.analytics.performance import fund_levels, performance
from bot.analytics.rarity import highest_since, streak
from bot.analytics.units import PERCENT, POINTS, USD
from bot.analytics.windows import MTD, YTD, AsOf, Window
from bot.messages import common
from bot.messages.alerts.standing import standing_lines
from bot.messages.common import Answer
from bot.messages.html import lines
from bot.messages.pages import summary
from bot.text import DAYS, counted, ordinal, short_date

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from bot.alerts.view import AlertView, EvaluationContext
    from bot.analytics.sessions import Sessions

_RARE = 26  # weeks
_FIRST = itemgetter(0)
_FRIDAY = 4
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
    windows = (_week_window(market), MTD, YTD)
    last = market.last_completed.date()
    monday = last + dt.timedelta(days=7 - last.weekday())
    friday = monday + dt.timedelta(days=_FRIDAY)
    ahead = agenda(market, sessions, monday, friday)
    count = len(sessions.between(pd.Timestamp(monday), pd.Timestamp(friday)))
    names = {alert.number: name_of(alert.rule, market) for alert in alerts}
    fired = [(names.get(number) or f"#{number} {rule}", DAYS[day.weekday()]) for number, rule, day in fires]
    by_name = [(name, [day for _, day in rows]) for name, rows in groupby(sorted(fired, key=_FIRST), _FIRST)]
    told = ", ".join(f"{name} ({', '.join(days)})" for name, days in by_name)
    title, sentences = _week(market, total)
    html = lines(
        summary.head(title, market, "week to ", late=late),
        summary.returns_lines(market, total, windows),
        *sentences,
        f"Fired: {told}." if told else "No alert fired." if alerts else None,
        *standing_lines(alerts, context),
        summary.ahead_line("Next week", ahead, f"Next week: {counted(count, 'session')}, nothing special."),
    )
    row = ((("Alerts", "/alerts"),) if alerts else ()) + common.page_buttons(AsOf(), "Compare", "Flows")
    return Answer(html, quote=summary.quote(market, total, "Weekly summary", windows), buttons=(row,))


def week_begin(market: Market) -> dt.date:
    """Return the Monday of the week of the last close."""
    last: dt.date = (market.end or market.last_completed).date()
    return last - dt.timedelta(days=last.weekday())


def _week_window(market: Market) -> Window:
    """Return the window of that week: since the last close before it."""
    index = market.closes.index
    before = index[index < pd.Timestamp(week_begin(market))]
    return Window("since", since=(before[-1] if len(before) else index[0]).date())


@per_market
def _week(market: Market, total: bool) -> tuple[str, list[str]]:
    """Return who led the week, and sentences on streaks, the trend and flows."""
    window, small, large = _week_window(market), *market.pair.tickers
    gap = performance(market, window, total).gap or 0.0
    leader, other = (small, large) if gap > 0 else (large, small)
    title = f"{leader} led the week by {common.magnitude(POINTS, gap)}" if gap else "Both funds moved alike"
    levels = fund_levels(market, total)
    changes = 100 * levels.groupby(_weeks(levels.index)).last().pct_change()
    changes = changes.set_index(levels.index.to_series().groupby(_weeks(levels.index)).last()).iloc[1:]
    gaps = changes[small] - changes[large]
    best, ago = highest_since(gaps if gap > 0 else -gaps)
    if gap and ago >= _RARE:
        since = f"since {short_date(best)}" if best is not None else "on record"
        title = f"{leader}'s largest lead over {other} in a week {since}: {POINTS.show(abs(gap))}"
    sentences, weeks = [], abs(streak(gaps)[0])
    if weeks > 1:
        sentences.append(f"{leader} led for the {ordinal(weeks)} week in a row.")
    against = trend.of_ratio(market, trend.ratio_vs_sma, common.AVERAGE)
    length, _ = streak(against)
    if length:
        distance = common.magnitude(PERCENT, float(against.iloc[-1]))
        side = f"{distance} {'over' if length > 0 else 'under'} its {common.AVERAGE}-day average"
        sentences.append(f"Ratio {side}, for {counted(abs(length), 'session')}.")
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
