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
from bot.analytics.sessions import EXCHANGE, date_phrase
from bot.analytics.units import PERCENT, POINTS
from bot.analytics.windows import MTD, YTD, AsOf, Window
from bot.messages.alerts.card import summary_distance
from bot.messages.common import (
    AVERAGE,
    Answer,
    channel_line,
    flow_line,
    heading,
    multiple_line,
    ratio_line,
    sources,
)
from bot.messages.html import Html, bold, code, lines, pre, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bot.alerts.view import AlertView, EvaluationContext
    from bot.analytics.market import Market
    from bot.analytics.sessions import Sessions


_DAY = Window("d", 1)
_WINDOWS = (_DAY, Window("w", 1), MTD, YTD)
_YEAR = 252


def summary_answer(
    context: EvaluationContext,
    standings: Sequence[AlertView],
    sessions: Sessions,
    *,
    late: bool = False,
    total: bool = False,
) -> Answer:
    """The message of one chat: the market is the same for all, the alerts are the chat's own.

    Raises NoData when no session has a close of both funds.
    """
    market = context.market
    market.require_end()
    html = lines(
        heading("Daily summary", market, AsOf()),
        "Late: it could not be sent when it was due." if late else None,
        *_changed(market, total),
        *(bold(f"Alert #{s.number} fired.") for s in standings if _fired_last(s, market)),
        _body(market, total),
        bold("Alerts") if standings else None,
        *(_alert(alert, context) for alert in standings),
        "",
        next_session_line(market.last_completed, sessions),
        sources(
            {
                "prices": market.source("prices").label,
                **{
                    f"{ticker} flows": market.source(f"facts:{ticker}").label
                    for ticker in market.pair.tickers
                },
                "multiples": market.source("multiples").label,
            }
        ),
    )
    return Answer(html, buttons=((("Compare", "/compare"), ("Trend", "/trend"), ("Flows", "/flows")),))


@lru_cache(maxsize=4)
def _changed(market: Market, total: bool) -> tuple[Html, ...]:
    """What is different from the session before: who led the day, a crossed average, a new extreme."""
    day = performance(market, _DAY, total)
    sentences: list[Html] = []
    if day.gap is not None:
        leader = (market.pair.small if day.gap > 0 else market.pair.large).ticker
        led = bold(f"{leader} led the day") + f" by {POINTS.show(abs(day.gap)).lstrip('+')}."
        sentences.append(led if day.gap else bold("Both funds moved alike."))
    r = trend.ratio(market)
    against = trend.ratio_vs_sma(r, AVERAGE).dropna()
    if len(against) > 1 and (against.iloc[-1] > 0) != (against.iloc[-2] > 0):
        way = "above" if against.iloc[-1] > 0 else "below"
        sentences.append(bold(f"The ratio crossed {way} its {AVERAGE}-day average."))
    for extreme, words in ((trend.breakout(r, _YEAR), "high"), (-trend.breakout_low(r, _YEAR), "low")):
        if extreme.iloc[-1] > 0:
            sentences.append(bold(f"The ratio made a new {_YEAR}-session {words}."))
    return tuple(sentences)


@lru_cache(maxsize=4)
def _body(market: Market, total: bool) -> Html:
    """The part that is the same for every chat, made once per Market because there may be many chats."""
    returns = [performance(market, window, total) for window in _WINDOWS]
    rows = [
        (str(f.window), PERCENT.show(f.small), PERCENT.show(f.large), POINTS.show(f.gap)) for f in returns
    ]
    return lines(
        bold("Total return, distributions reinvested" if total else "Price return"),
        pre(table(("", *market.pair.tickers, "gap"), rows)),
        ratio_line(market),
        channel_line(market),
        flow_line(market),
        multiple_line(market),
    )


def _fired_last(alert: AlertView, market: Market) -> bool:
    """Whether the alert fired on the newest session that its inputs are known for."""
    newest = max((side.since for side in alert.state.sides if side.since is not None), default=None)
    if newest is None:
        return False
    return market.sessions_behind(pd.Timestamp(newest)) <= rule_lag(alert.rule, METRICS)


def _alert(alert: AlertView, context: EvaluationContext) -> Html:
    """One alert: its value and distance, and whether it waits to re-arm."""
    waits = "; waits to re-arm" if alert.state.status is Status.FIRED else ""
    distance = f": {summary_distance(alert, context)}{waits}."
    return Html("").join((bold(f"#{alert.number} "), code(str(alert.rule)), distance))


def next_session_line(last: pd.Timestamp, sessions: Sessions) -> str:
    """The next session, its early close, and the weekdays without one before it."""
    upcoming = sessions.next_after(last)
    closed = pd.bdate_range(last + pd.Timedelta(days=1), upcoming - pd.Timedelta(days=1))
    early = ""
    if sessions.is_early_close(upcoming):
        early = f", early close at {sessions.close(upcoming).astimezone(EXCHANGE):%H:%M} New York"
    sentence = f"Next session: {date_phrase(upcoming)}{early}."
    if len(closed):
        sentence += f" No session on {', '.join(date_phrase(day) for day in closed)}."
    return sentence
