"""The daily summary: what changed first, then performance, trend, flows, multiples, alerts, what is next."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pandas as pd

from bot.analytics import trend
from bot.analytics.market import LARGE, SMALL
from bot.analytics.performance import performance
from bot.analytics.units import PERCENT, POINTS
from bot.analytics.windows import MTD, YTD, Window
from bot.rendering.alerts import Context, Standing, summary_distance
from bot.rendering.answer import Answer, Asked, heading, require, sources
from bot.rendering.compare import flow_line, multiple_line, ratio_line
from bot.rendering.tables import table
from bot.rendering.text import Html, bold, code, date_phrase, lines, pre
from bot.rendering.trend import channel_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bot.analytics.market import Market
    from bot.analytics.sessions import Sessions

_DAY = Window("d", 1)
_WINDOWS = (_DAY, Window("w", 1), MTD, YTD)


def summary(
    context: Context, standings: Sequence[Standing], sessions: Sessions, *, late: bool = False
) -> Answer:
    """The message of one chat: the market is the same for all, the alerts are the chat's own."""
    market = context.market
    require(market)
    rows = []
    for window in _WINDOWS:
        found = performance(market, window)
        rows.append(
            (str(window), PERCENT.show(found.small), PERCENT.show(found.large), POINTS.show(found.gap))
        )
    alerts = [
        lines(Html("").join((bold(f"#{s.number} "), code(str(s.rule)), f": {summary_distance(s, context)}")))
        for s in standings
    ]
    html = lines(
        heading("Daily summary", market, Asked()),
        "Late: the bot was not running when this was due." if late else None,
        *_changed(market),
        bold("Price return"),
        pre(table(("", SMALL, LARGE, "gap"), rows)),
        ratio_line(market),
        channel_line(market),
        flow_line(market),
        multiple_line(market),
        bold("Alerts") if alerts else None,
        *alerts,
        "",
        following(market.last_completed, sessions),
        sources({"prices": market.source("prices").label, "multiples": market.source("multiples").label}),
    )
    return Answer(html, buttons=((("Compare", "/compare"), ("Trend", "/trend"), ("Flows", "/flows")),))


def _changed(market: Market) -> list[Html]:
    """What is different from the session before: who led the day, a crossed average, a new extreme."""
    day = performance(market, _DAY)
    said: list[Html] = []
    if day.small is not None and day.gap is not None:
        leader = SMALL if day.gap > 0 else LARGE
        said.append(bold(f"{leader} led the day") + f" by {POINTS.show(abs(day.gap)).lstrip('+')}.")
    r = trend.ratio(market)
    against = trend.against_average(r, 200).dropna()
    if len(against) > 1 and (against.iloc[-1] > 0) != (against.iloc[-2] > 0):
        way = "above" if against.iloc[-1] > 0 else "below"
        said.append(bold(f"The ratio crossed {way} its 200-day average."))
    for extreme, words in ((trend.breakout(r, 252), "high"), (-trend.breakout_low(r, 252), "low")):
        if len(extreme) and extreme.iloc[-1] > 0:
            said.append(bold(f"The ratio made a new 252-session {words}."))
    return said


def following(last: pd.Timestamp, sessions: Sessions) -> str:
    """The next session, and whether a holiday or an early close is near."""
    upcoming = sessions.next_after(last)
    gap = pd.bdate_range(last + pd.Timedelta(days=1), upcoming - pd.Timedelta(days=1))
    said = f"Next session: {date_phrase(upcoming)}"
    if sessions.is_early_close(upcoming):
        close = sessions.close(upcoming).astimezone(_new_york())
        said += f", early close at {close:%H:%M} New York"
    if len(gap):
        said += f"; closed on {', '.join(date_phrase(day) for day in gap)}"
    return said + "."


def _new_york() -> ZoneInfo:
    return ZoneInfo("America/New_York")
