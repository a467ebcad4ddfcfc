"""The daily summary: what is rare first, then returns, trend and flows, the nearest alerts, a half day ahead.

It is made of what is new. A sentence that was the same at the session before is left out; what is lacking is
mentioned on the day on which that begins and on the day on which it ends. The rest is in the quote.
"""

from __future__ import annotations

import datetime as dt
from types import MappingProxyType
from typing import TYPE_CHECKING

import pandas as pd

from bot.analytics import flows, trend, valuation
from bot.analytics.agenda import agenda
from bot.analytics.market import Market, market_before, per_market
from bot.analytics.performance import TOO_SHORT, performance
from bot.analytics.rarity import Kind, Rarity, rarities
from bot.analytics.units import LEVEL, PERCENT, POINTS, USD
from bot.analytics.windows import YTD, AsOf, Window
from bot.messages import common
from bot.messages.alerts.notices import part_name
from bot.messages.alerts.standing import standing_lines
from bot.messages.common import Answer
from bot.messages.html import Html, age_phrase, bold, capital, lines, pre, session_phrase, table
from bot.text import DAYS, date_phrase, ordinal, short_date

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bot.alerts.view import AlertView, EvaluationContext
    from bot.analytics.agenda import Entry
    from bot.analytics.sessions import Sessions

_DAY, _FLOW_WINDOW = Window("d", 1), Window("d", 20)
_WINDOWS = (_DAY, Window("w", 1), YTD)
_AVERAGE = f"{common.AVERAGE}-day average"
_TOMORROW = dt.timedelta(days=1)
_MOST_LINES = 12  # before the quote


def summary_answer(
    context: EvaluationContext,
    alerts: Sequence[AlertView],
    sessions: Sessions,
    *,
    late: bool = False,
    total: bool = False,
    outages: Mapping[str, bool] = MappingProxyType({}),
) -> Answer:
    """Return the message of one chat: the market is the same for all, the alerts are the chat's own.

    `outages` are the parts of the Market that became overdue (False) or current again (True) since the
    session before. Raises NoData when no session has a close of both funds.
    """
    market = context.market
    last, (title, news) = market.last_completed, _news(market, total)
    body = [
        head(title, market, late=late),
        *news,
        returns_lines(market, total, _WINDOWS),
        *_new_sentences(market),
        *(f"{capital(part_name(part))}: {'back' if back else 'overdue'}." for part, back in outages.items()),
    ]
    following = ahead_line(
        "Ahead", agenda(market, sessions, last.date() + _TOMORROW, sessions.next_after(last).date())
    )
    room = _MOST_LINES - lines(*body, following).count("\n") - 1
    shown = standing_lines(alerts, context)[: max(room, 1)]
    label = f"All {len(alerts)} alerts" if len(alerts) > len(shown) else "Alerts"
    row = ((label, "/alerts"),) if alerts else ()
    buttons = ((*row, *common.page_buttons(AsOf(), "Compare", "Flows")),)
    return Answer(lines(*body, *shown, following), quote=quote(market, total), buttons=buttons)


def board_answer(context: EvaluationContext, alerts: Sequence[AlertView], total: bool = False) -> Answer:
    """Return the live board of a chat. Raises NoData when no session has a close of both funds."""
    market = context.market
    market.require_end()
    gap, title = performance(market, YTD, total).gap, str(market.pair)
    if gap:
        leader = (market.pair.small if gap > 0 else market.pair.large).ticker
        title = f"{leader} leads this year by {common.magnitude(POINTS, gap)}"
    html = lines(
        head(title, market),
        *_sentences(market),
        common.multiple_line(market) if valuation.multiple_figures(market, "pe") else None,
        *standing_lines(alerts, context),
    )
    note = "Edited after each close and when an alert changes; /pin off ends it."
    return Answer(html, quote=lines(note, common.market_sources(market, "prices", "flows", "multiples")))


def head(title: str, market: Market, span: str = "", *, late: bool = False) -> Html:
    """Return the first lines: what is so, of which session, whether the figures are made up, old or late."""
    end, last = market.require_end(), market.last_completed
    behind = age_phrase(market.sessions_behind(end))
    return lines(
        bold(title) + f" · {span}{date_phrase(end)}" + " · sample data" * market.is_sample,
        bold(f"Stale: {behind}; the last completed session is {date_phrase(last)}.") if behind else None,
        "Late: this summary could not be sent when it was due." if late else None,
    )


def ahead_line(title: str, entries: Sequence[Entry], otherwise: str | None = None) -> str | None:
    """Return what is ahead in one line, `otherwise` if nothing is."""
    listed = "; ".join(f"{DAYS[entry.day.weekday()]} {entry.day.day} {entry.words}" for entry in entries)
    return f"{title}: {listed}." if listed else otherwise


# What is the same for every chat is made once per Market, because there may be many chats.
@per_market
def _news(market: Market, total: bool) -> tuple[str, tuple[str, ...]]:
    """Return the first line, the rarest thing or who led, and one or two more sentences of the kind."""
    rare = rarities(market, total)
    gap = performance(market, _DAY, total).gap
    led = "Daily summary"
    if gap is not None:
        leader = (market.pair.small if gap > 0 else market.pair.large).ticker
        led = f"{leader} led by {common.magnitude(POINTS, gap)}" if gap else "Both funds moved alike"
    phrases = [_rarity_phrase(row, market, gap) for row in rare[:2]]
    if all(row.kind not in {Kind.LEAD, Kind.LEADS} for row in rare[:2]):
        phrases.append(led)
    return phrases[0], tuple(f"{phrase}." for phrase in phrases[1:])


def _rarity_phrase(rarity: Rarity, market: Market, gap: float | None) -> str:
    """Return what is rare in words: "IWM's largest lead over SPY since 27 May: +2.37pp".

    `gap` is the lead of the small fund on the day, in points.
    """
    ticker, value, is_up = rarity.ticker, rarity.value, rarity.value > 0
    other = next(other for other in market.pair.tickers if other != ticker)
    side, size = "above" if is_up else "below", USD.show(value)
    dated = "" if rarity.session == market.end else f" ({common.near_date(rarity.session, rarity.session)})"
    count, by = ordinal(int(abs(value))), common.magnitude(POINTS, gap or 0.0)
    phrase = {
        Kind.CROSSED: f"{market.pair} crossed {side} its {_AVERAGE} for the first time {{}}",
        Kind.LEAD: f"{ticker}'s largest lead over {other} {{}}: {POINTS.show(abs(value))}",
        Kind.RATIO: f"{market.pair} at its {'highest' if is_up else 'lowest'} {{}}",
        Kind.MOVE: f"{ticker}'s largest {'rise' if is_up else 'fall'} {{}}: {PERCENT.show(value)}",
        Kind.FLOW: f"{ticker}'s largest {'inflow' if is_up else 'outflow'} {{}}: {size}{dated}",
        Kind.LEADS: f"{ticker} led for the {count} session in a row, by {by}",
        Kind.FLOWS: f"{count} day of {'inflows into' if is_up else 'outflows from'} {ticker}",
    }[rarity.kind]
    if rarity.since is None:
        return phrase.format(f"on record (from {short_date(rarity.begin)})")
    return phrase.format(f"since {common.near_date(rarity.since, rarity.session)}")


@per_market
def returns_lines(market: Market, total: bool, windows: tuple[Window, ...]) -> Html:
    """Return the returns as a table, without windows that have the base of another one."""
    rows = {
        row.base if row.small is not None else row.window: row
        for row in (performance(market, window, total) for window in windows)
    }
    cells = [
        (
            "week" if row.window.since else str(row.window),
            PERCENT.show(row.small),
            PERCENT.show(row.large),
            POINTS.show(row.gap),
        )
        for row in rows.values()
        if row.reason != TOO_SHORT
    ]
    reasons = {str(row.window): row.reason for row in rows.values() if row.reason != TOO_SHORT}
    header = ("", *market.pair.tickers, "gap")
    return lines(pre(table(header, cells)) if cells else None, *common.missing_figure_lines(reasons))


@per_market
def _new_sentences(market: Market) -> tuple[str, ...]:
    """Return trend and flows unless they are the same words as before, and what began or ended to lack."""
    before = market_before(market)
    now, earlier = _sentences(market), () if before is None else _sentences(before)
    sentences = [sentence for sentence in now if sentence not in earlier]
    if before is not None:
        lacks, lacked = _lacks(market), _lacks(before)
        sentences += [f"{capital(lacks[part])}." for part in lacks if part not in lacked]
        sentences += [f"{capital(part)}: back." for part in lacked if part not in lacks]
    return tuple(sentences)


def _sentences(market: Market) -> tuple[str, ...]:
    against = trend.of_ratio(market, trend.ratio_vs_sma, common.AVERAGE)
    sentences = []
    if len(against) and pd.notna(against.iloc[-1]):
        gap, level = float(against.iloc[-1]), LEVEL.show(float(trend.ratio(market).iloc[-1]))
        side = f"{common.magnitude(PERCENT, gap)} {'over' if gap > 0 else 'under'}" if gap else "exactly at"
        sentences.append(f"Ratio {level}: {side} its {_AVERAGE}.")
    parts = []
    for ticker in market.pair.tickers:
        flow = flows.flow_summary(flows.daily_flows(market, ticker), _FLOW_WINDOW, market.anchor)
        if flow.dollars is not None:
            unconfirmed = ", unconfirmed" * flow.is_unconfirmed
            parts.append(f"{ticker} {USD.show(flow.dollars)} ({PERCENT.show(flow.percent)}{unconfirmed})")
    if parts:
        sentences.append(f"Flows {_FLOW_WINDOW}: {', '.join(parts)}.")
    return tuple(sentences)


def _lacks(market: Market) -> dict[str, str]:
    """Return what cannot be computed for want of data, with the reason in words."""
    lacks = {}
    for ticker in market.pair.tickers:
        frame = flows.daily_flows(market, ticker)
        if frame.empty:
            lacks[f"flows of {ticker}"] = f"flows of {ticker}: {common.no_flow_reason(market, ticker)}"
        elif flows.flow_summary(frame, _FLOW_WINDOW, market.anchor).dollars is None:
            lacks[f"flows of {ticker}"] = f"flows of {ticker}: n/a (see /flows)"
    if not valuation.multiple_figures(market, "pe"):
        lacks["multiples"] = "multiples: none stored"
    if reason := trend.missing_reason(market, common.AVERAGE):
        lacks[f"the {_AVERAGE}"] = f"the {_AVERAGE} is n/a: {reason}"
    return lacks


@per_market
def quote(
    market: Market, total: bool, title: str = "Daily summary", windows: tuple[Window, ...] = _WINDOWS
) -> Html:
    """Return base closes, kind of return, multiples, notes on the data and sources."""
    returns = [performance(market, window, total) for window in windows]
    bases = ", ".join(
        common.window_with_base(row.window, row.base) for row in returns if row.base is not None
    )
    kind = "Total return, distributions reinvested" if total else "Price return"
    return lines(
        f"{title} · {session_phrase(market.require_end())}",
        f"{kind}; base closes: {bases}. Flows: 20 sessions, in dollars and in percent of assets.",
        common.multiple_line(market) if valuation.multiple_figures(market, "pe") else None,
        *common.price_notes(market),
        common.market_sources(market, "prices", "flows", "multiples"),
    )
