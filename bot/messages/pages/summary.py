"""The daily summary: what changed first, then performance, trend, flows, multiples, alerts, what is next."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import pandas as pd

from bot.alerts.engine import Status
from bot.alerts.series import rule_lag
from bot.analytics import trend
from bot.analytics.metrics import METRICS
from bot.analytics.performance import performance
from bot.analytics.sessions import EXCHANGE, Sessions
from bot.analytics.units import POINTS
from bot.analytics.windows import MTD, YTD, AsOf, Window
from bot.messages import common
from bot.messages.alerts.card import summary_distance
from bot.messages.common import Answer
from bot.messages.html import Html, bold, code, lines
from bot.text import date_phrase

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bot.alerts.view import AlertView, EvaluationContext
    from bot.analytics.market import Market

_DAY = Window("d", 1)
_WINDOWS = (_DAY, Window("w", 1), MTD, YTD)
_YEAR = 252  # sessions


def summary_answer(
    context: EvaluationContext,
    alerts: Sequence[AlertView],
    sessions: Sessions,
    *,
    late: bool = False,
    total: bool = False,
) -> Answer:
    """Return the message of one chat: the market is the same for all, the alerts are the chat's own.

    Raises NoData when no session has a close of both funds.
    """
    market = context.market
    market.require_end()
    parts = {"prices": "prices", **{f"{ticker} flows": f"facts:{ticker}" for ticker in market.pair.tickers}}
    parts["multiples"] = "multiples"
    html = lines(
        common.heading("Daily summary", market, AsOf()),
        "Late: this summary could not be sent when it was due." if late else None,
        *_changes(market, total),
        *(bold(f"Alert #{alert.number} fired.") for alert in alerts if _fired_last(alert, market)),
        _body(market, total),
        bold("Alerts") if alerts else None,
        *(_alert(alert, context) for alert in alerts),
        "",
        next_session_line(market.last_completed, sessions),
        common.sources({name: market.source(part).label for name, part in parts.items()}),
    )
    return Answer(html, buttons=(common.page_buttons(AsOf(), "Compare", "Trend", "Flows"),))


# What is the same for every chat is made once per Market, because there may be many chats.
@lru_cache(maxsize=4)
def _changes(market: Market, total: bool) -> tuple[Html, ...]:
    """Return what differs from the session before: who led the day, a crossed average, a new extreme."""
    day = performance(market, _DAY, total)
    sentences: list[Html] = []
    if day.gap:
        leader = (market.pair.small if day.gap > 0 else market.pair.large).ticker
        sentences.append(bold(f"{leader} led the day") + f" by {common.magnitude(POINTS, day.gap)}.")
    elif day.gap is not None:
        sentences.append(bold("Both funds moved alike."))
    against = trend.of_ratio(market, trend.ratio_vs_sma, common.AVERAGE)
    if against.iloc[-2:].notna().sum() == 2 and (against.iloc[-1] > 0) != (against.iloc[-2] > 0):
        side = "above" if against.iloc[-1] > 0 else "below"
        sentences.append(bold(f"The ratio crossed {side} its {common.AVERAGE}-day average."))
    for breakout, sign, name in ((trend.breakout, 1, "high"), (trend.breakout_low, -1, "low")):
        if sign * trend.of_ratio(market, breakout, _YEAR).iloc[-1] > 0:
            sentences.append(bold(f"The ratio made a new {_YEAR}-session {name}."))
    return tuple(sentences)


@lru_cache(maxsize=4)
def _body(market: Market, total: bool) -> Html:
    returns = [performance(market, window, total) for window in _WINDOWS]
    return lines(
        common.returns_table(market.pair, returns, total),
        common.ratio_line(market),
        common.channel_line(market),
        common.flow_line(market),
        common.multiple_line(market),
    )


def _fired_last(alert: AlertView, market: Market) -> bool:
    """Return whether the alert fired on the newest session that its inputs are known for."""
    fired = max((side.since for side in alert.state.sides if side.since is not None), default=None)
    if fired is None:
        return False
    return market.sessions_behind(pd.Timestamp(fired)) <= rule_lag(alert.rule, METRICS)


def _alert(alert: AlertView, context: EvaluationContext) -> Html:
    waits = "; waits to re-arm" if alert.state.status is Status.FIRED else ""
    distance = f": {summary_distance(alert, context)}{waits}."
    return bold(f"#{alert.number} ") + code(str(alert.rule)) + distance


def next_session_line(last: pd.Timestamp, sessions: Sessions) -> str:
    """Return the next session, its early close, and the weekdays without one before it."""
    upcoming = sessions.next_after(last)
    closed = pd.bdate_range(last + pd.Timedelta(days=1), upcoming - pd.Timedelta(days=1))
    sentence = f"Next session: {date_phrase(upcoming)}"
    if sessions.is_early_close(upcoming):
        sentence += f", early close at {sessions.close(upcoming).astimezone(EXCHANGE):%H:%M} New York"
    if len(closed):
        sentence += f". No session on {', '.join(date_phrase(day) for day in closed)}"
    return f"{sentence}."
