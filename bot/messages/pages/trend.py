"""The answers to /trend (the ratio, its averages, momentum, channel, drawdown) and /seasons."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

from bot.analytics import trend
from bot.analytics.market import Market, per_market
from bot.analytics.metrics import METRICS, Arguments, metric_value
from bot.analytics.performance import TOO_SHORT
from bot.analytics.units import LEVEL, PERCENT
from bot.analytics.windows import AsOf, Window
from bot.errors import NoData
from bot.messages import common
from bot.messages.charts import ConditionPanel, rule_chart
from bot.messages.common import Answer
from bot.messages.html import Html, bold, lines, pre, table
from bot.text import MONTHS, counted

if TYPE_CHECKING:
    import pandas as pd

    from bot.messages.canvas import Theme

# Label (a template of the pair) and registry entry of each line; the entry gives the unit and the history.
_LINES: tuple[tuple[str, str, Arguments], ...] = (
    ("Ratio {small}/{large}", "ratio", {}),
    ("against 50-day avg", "ratio_vs_sma", {"n": 50}),
    ("against 200-day avg", "ratio_vs_sma", {"n": 200}),
    ("Momentum 12−1 months", "momentum", {}),
    ("vs 252-day high", "breakout", {"n": 252}),
    ("vs 252-day low", "breakout_low", {"n": 252}),
    ("Slope 60 days, a year", "slope", {"n": 60}),
    ("Channel, sigmas", "channel", {"since": Window("since", since=trend.CHANNEL_FROM)}),
    ("Drawdown of ratio", "drawdown", {}),
    ("Beta 252 days", "beta", {"n": 252}),
    ("Correlation 60 days", "corr", {"n": 60}),
    ("Gap 3m, total return", "excess", {"window": Window("m", 3)}),
    ("Gap 1y, total return", "excess", {"window": Window("y", 1)}),
)

_FEW_YEARS = 10


def trend_answer(market: Market, as_of: AsOf, theme: Theme, window: Window | None = None) -> Answer:
    """Return every trend metric with its value, and what they say together."""
    market.require_end()
    html = lines(
        common.heading(f"Relative trend, {market.pair}", market, as_of),
        _reading(market),
        _figures(market),
        common.ratio_line(market),
        common.channel_line(market),
        "",
        common.market_sources(market, "prices"),
    )
    r = trend.ratio(market)
    average, name = trend.of_ratio(market, trend.average, common.AVERAGE), f"{common.AVERAGE}-day average"
    shown = common.within(market, r, window or Window("y", 2))
    panel = ConditionPanel("", shown, LEVEL, average.reindex(shown.index), name)
    draw = partial(rule_chart, [panel], common.chart_style(f"{market.pair} and its {name}", market, theme))
    begin = trend.channel_begin(r)
    since = (f"Since {begin.year}", f"/chart ratio since {begin}{as_of.suffix}")
    spans = (since,) if r.index[-1].date() > begin else ()
    buttons = ((*spans, *common.page_buttons(as_of, "Compare")),)
    return Answer(html, draw, "trend", buttons)


@per_market
def _figures(market: Market) -> Html:
    """Return the table of all trend metrics, and why some are missing."""
    rows, missing = [], {}
    for label, name, arguments in _LINES:
        metric = METRICS[name]
        current = metric_value(metric, market, arguments)
        rows.append((market.pair.fill(label), metric.unit.show(current.value)))
        if current.value is None and not current.reason.startswith(TOO_SHORT):
            missing[label] = current.reason
    return lines(pre(table(("", "value"), rows)), *common.missing_figure_lines(missing))


def seasons_answer(market: Market, as_of: AsOf, window: Window | None = None) -> Answer:
    """Return what the ratio did in each calendar month, the running month first, and how much of it is luck.

    With a window only the whole months inside it count. Raises NoData without any.
    """
    market.require_end()
    r = trend.ratio(market)
    changes = trend.monthly_changes(common.within(market, r, window) if window else r, market.sessions)
    if changes.empty:
        raise NoData("There is no whole month of closes yet; /seasons needs at least one.")
    months = trend.seasons(changes)
    upcoming = market.sessions[market.sessions.searchsorted(r.index[-1], side="right") :]
    now = (upcoming[0] if len(upcoming) else r.index[-1]).month
    rows = [
        (MONTHS[s.month - 1], PERCENT.show(s.median), PERCENT.show(s.mean), f"{s.rose:.0f}%", str(s.years))
        for s in months
    ]
    html = lines(
        common.heading(f"Seasons of {market.pair}", market, as_of),
        *(_season_phrase(season) for season in months if season.month == now),
        pre(table(("", "median", "mean", "rose", "n"), rows)),
        "Change of the ratio over whole calendar months, without distributions; n: years.",
        _luck_phrase(min(months, key=lambda season: math.inf if season.luck is None else season.luck)),
        f"Whole months from {_month(changes.index[0])} to {_month(changes.index[-1])}.",
        "",
        common.market_sources(market, "prices"),
    )
    return Answer(html, buttons=(common.page_buttons(as_of, "Trend", "Compare"),))


def _season_phrase(season: trend.Season) -> str:
    rises, years = round(season.rose * season.years / 100), counted(season.years, "year")
    month, median = MONTHS[season.month - 1], PERCENT.show(season.median)
    return f"In {month} it rose in {rises} of {years}; median {median}."


def _luck_phrase(extreme: trend.Season) -> str | None:
    """Return how likely the month furthest from the others is by luck, None where that is unknown."""
    if extreme.luck is None:
        return None
    if extreme.years < _FEW_YEARS:
        return f"n below {_FEW_YEARS}: too few years to mean anything."
    furthest = f"{MONTHS[extreme.month - 1]}, mean {PERCENT.show(extreme.mean)}"
    luck = common.luck_phrase(extreme.luck)
    return f"Furthest from the others: {furthest}. By luck some month of twelve lies as far in {luck}."


def _month(session: pd.Timestamp) -> str:
    return f"{MONTHS[session.month - 1]} {session.year}"


@per_market
def _reading(market: Market) -> Html | None:
    """Return who leads by the ratio's side of its two averages, None before both exist."""
    near, far = (float(trend.of_ratio(market, trend.ratio_vs_sma, n).iloc[-1]) for n in (50, common.AVERAGE))
    if math.isnan(near + far):
        return None
    lead = {
        (True, True): "small caps lead; the ratio is above its 50- and 200-day averages.",
        (True, False): "small caps catch up; the ratio is above its 50-day, but not its 200-day average.",
        (False, True): "small caps slip; the ratio is above its 200-day, but not its 50-day average.",
        (False, False): "large caps lead; the ratio is above neither its 50- nor its 200-day average.",
    }[near > 0, far > 0]
    return bold("Reading") + f": {lead}"
