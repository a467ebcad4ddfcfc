"""The answers to /trend (the ratio, its averages, momentum, channel, drawdown) and /seasons."""

import math
from functools import partial

import pandas as pd

from bot.analytics import trend
from bot.analytics.market import Market, per_market
from bot.analytics.metrics import METRICS, Arguments, metric_value
from bot.analytics.performance import TOO_SHORT
from bot.analytics.units import LEVEL, PERCENT
from bot.analytics.windows import AsOf, Window
from bot.errors import NoData
from bot.messages import common
from bot.messages.canvas import Theme
from bot.messages.charts import ConditionPanel, bar_chart, rule_chart
from bot.messages.common import Answer
from bot.messages.html import capital, lines, pre, table
from bot.text import MONTHS, counted

# Label (a template of the pair) and registry entry of each figure; the entry gives the unit and the history.
_Figures = tuple[tuple[str, str, Arguments], ...]
_IN_TABLE: _Figures = (
    ("Ratio {small}/{large}", "ratio", {}),
    ("against 50-day avg", "ratio_vs_sma", {"n": 50}),
    ("against 200-day avg", "ratio_vs_sma", {"n": 200}),
    ("vs 252-day high", "breakout", {"n": 252}),
    ("Slope 60 days, a year", "slope", {"n": 60}),
    ("Channel, sigmas", "channel", {"since": Window("since", since=trend.CHANNEL_FROM)}),
    ("Drawdown of ratio", "drawdown", {}),
)
_IN_QUOTE: _Figures = (
    ("momentum 12−1 months", "momentum", {}),
    ("vs 252-day low", "breakout_low", {"n": 252}),
    ("beta 252 days", "beta", {"n": 252}),
    ("correlation 60 days", "corr", {"n": 60}),
    ("gap 3m, total return", "excess", {"window": Window("m", 3)}),
    ("gap 1y, total return", "excess", {"window": Window("y", 1)}),
)
_FEW_YEARS = 10


def trend_answer(market: Market, as_of: AsOf, theme: Theme, window: Window | None = None) -> Answer:
    """Return what the trend metrics say together, each of them with its value, and a chart of the ratio."""
    market.require_end()
    table_rows, missing = _figures(market, _IN_TABLE)
    others, missing_others = _figures(market, _IN_QUOTE)
    html = lines(
        common.heading(_reading(market), market, as_of),
        pre(table(("", "value"), table_rows)),
        common.trend_line(market),
        common.channel_line(market),
    )
    quote = common.details(
        market,
        capital(", ".join(f"{name} {value}" for name, value in others)) + ".",
        *common.missing_figure_lines(missing | missing_others),
        common.market_sources(market, "prices"),
    )
    r = trend.ratio(market)
    average, name = trend.of_ratio(market, trend.average, common.AVERAGE), f"{common.AVERAGE}-day average"
    shown = common.within(market, r, window or Window("y", 2))
    channel = trend.channel_lines(r)
    drawn = {str(line): channel[line].reindex(shown.index) for line in channel.columns}
    panel = ConditionPanel("", shown, LEVEL, average.reindex(shown.index), name, references=drawn)
    draw = partial(rule_chart, [panel], common.chart_style(f"{market.pair} and its {name}", market, theme))
    begin, tail = trend.channel_begin(r), as_of.suffix
    spans = [(span, f"/trend {span}{tail}") for span in ("6m", "2y", "5y")]
    if r.index[-1].date() > begin:
        spans.append((f"since {begin.year}", f"/trend since {begin}{tail}"))
    pages = common.page_buttons(as_of, "Compare", "Flows", "Multiples", "Seasons")
    return Answer(html, draw, "trend", (tuple(spans), pages), quote=quote)


def _figures(market: Market, figures: _Figures) -> tuple[list[tuple[str, str]], dict[str, str]]:
    """Return label and value of trend metrics, and why some are missing."""
    rows, missing = [], {}
    for label, name, arguments in figures:
        metric = METRICS[name]
        current = metric_value(metric, market, arguments)
        rows.append((market.pair.fill(label), metric.unit.show(current.value)))
        if current.value is None and not current.reason.startswith(TOO_SHORT):
            missing[market.pair.fill(label)] = current.reason
    return rows, missing


def seasons_answer(market: Market, as_of: AsOf, theme: Theme, window: Window | None = None) -> Answer:
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
    sentence = next((_season_phrase(season) for season in months if season.month == now), "Seasons")
    html = lines(common.heading(sentence, market, as_of), pre(table(("", "median", "mean", "rose", "n"), rows)))
    quote = common.details(
        market,
        _luck_phrase(min(months, key=lambda season: math.inf if season.luck is None else season.luck)),
        f"Change of {market.pair} over whole calendar months, without distributions; n: years.",
        f"Whole months from {_month(changes.index[0])} to {_month(changes.index[-1])}.",
        common.market_sources(market, "prices"),
    )
    bars = pd.DataFrame({"mean": [s.mean for s in months]}, [MONTHS[s.month - 1] for s in months])
    title = f"{market.pair}: mean change in each month, {_month(changes.index[0])} to {_month(changes.index[-1])}"
    draw = partial(bar_chart, bars, [PERCENT] * len(bars), common.chart_style(title, market, theme))
    buttons = (common.page_buttons(as_of, "Trend", "Compare"),)
    return Answer(html, draw, "seasons", buttons, quote=quote)


def _season_phrase(season: trend.Season) -> str:
    rises, years = round(season.rose * season.years / 100), counted(season.years, "year")
    month, median = MONTHS[season.month - 1], PERCENT.show(season.median)
    return f"In {month} the ratio rose in {rises} of {years}, median {median}"


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
def _reading(market: Market) -> str:
    """Return who leads by the ratio's side of its two averages."""
    near, far = (float(trend.of_ratio(market, trend.ratio_vs_sma, n).iloc[-1]) for n in (50, common.AVERAGE))
    if math.isnan(near + far):
        return f"Trend of {market.pair}"
    return {
        (True, True): "Small caps lead: ratio over its 50- and 200-day averages",
        (True, False): "Small caps catch up: ratio over its 50-day average, under its 200-day",
        (False, True): "Small caps slip: ratio under its 50-day average, over its 200-day",
        (False, False): "Large caps lead: ratio under its 50- and 200-day averages",
    }[near > 0, far > 0]
