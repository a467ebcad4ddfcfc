"""The daily summary: what is rare first, then returns, trend and flows, the nearest alerts, a half day ahead.

It is made of what is new. A sentence that was the same at the session before is left out; what is lacking is
mentioned on the day on which that begins and on the day on which it ends. The rest is in the quote.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import pandas as pd

from bot.alerts.view import AlertView, EvaluationContext
from bot.analytics import flows, trend, valuation
from bot.analytics.agenda import Entry, agenda
from bot.analytics.market import Market, market_before, per_market
from bot.analytics.performance import TOO_SHORT, Performance, performance
from bot.analytics.rarity import Kind, Rarity, rarities
from bot.analytics.sessions import Sessions
from bot.analytics.units import PERCENT, POINTS, USD
from bot.analytics.windows import YTD, AsOf, Window
from bot.messages import common
from bot.messages.alerts.notices import part_name
from bot.messages.alerts.words import standing_lines
from bot.messages.common import Answer
from bot.messages.html import Html, capital, lines, session_phrase
from bot.text import DAYS, ordinal, short_date

_DAY, _FLOW_WINDOW = Window("d", 1), Window("d", 20)
_WINDOWS = (_DAY, Window("w", 1), YTD)
_AVERAGE = f"{common.AVERAGE}-day average"
_TOMORROW = dt.timedelta(days=1)
LATE = "Late: this summary could not be sent when it was due."
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
    returns = [performance(market, window, total) for window in _WINDOWS]
    body = [
        common.heading(title, market, AsOf()),
        LATE if late else None,
        *news,
        common.returns_table(market.pair, [row for row in returns if row.reason != TOO_SHORT]),
        *common.missing_returns(returns),
        *_new_sentences(market),
        *(f"{capital(part_name(part))}: {'back' if back else 'overdue'}." for part, back in outages.items()),
    ]
    ahead = agenda(market, sessions, last.date() + _TOMORROW, sessions.next_after(last).date())
    following = ahead_line("Ahead", ahead)
    room = _MOST_LINES - lines(*body, following).count("\n") - 1
    shown = standing_lines(alerts, context)[: max(room, 1)]
    label = f"All {len(alerts)} alerts" if len(alerts) > len(shown) else "Alerts"
    row = ((label, "/alerts"),) if alerts else ()
    buttons = ((*row, *common.page_buttons(AsOf(), "Compare", "Flows")),)
    return Answer(lines(*body, *shown, following), quote=quote(market, "Daily", returns), buttons=buttons)


def board_answer(context: EvaluationContext, alerts: Sequence[AlertView], total: bool = False) -> Answer:
    """Return the live board of a chat. Raises NoData when no session has a close of both funds."""
    market = context.market
    market.require_end()
    html = lines(
        common.heading(led(market, performance(market, YTD, total).gap, "leads this year"), market, AsOf()),
        *_sentences(market),
        _multiples(market),
        *standing_lines(alerts, context),
    )
    note = "Edited after each close and when an alert changes; /pin off ends it."
    return Answer(html, quote=lines(note, common.market_sources(market, "prices", "flows", "multiples")))


def led(market: Market, gap: float | None, verb: str) -> str:
    """Return who led, and by how much: "IWM led the week by 2.08pp"."""
    if not gap:
        return f"{market.pair}" if gap is None else "Both funds moved alike"
    return f"{market.pair.tickers[int(gap < 0)]} {verb} by {common.magnitude(POINTS, gap)}"


def ahead_line(title: str, entries: Sequence[Entry], otherwise: str | None = None) -> str | None:
    """Return what is ahead in one line, `otherwise` if nothing is."""
    listed = "; ".join(f"{DAYS[entry.day.weekday()]} {entry.day.day} {entry.words}" for entry in entries)
    return f"{title}: {listed}." if listed else otherwise


def quote(market: Market, title: str, returns: Sequence[Performance]) -> Html:
    """Return base closes, kind of return, multiples, a note on the data and sources."""
    kind = "Total return, distributions reinvested" if returns[0].total else "Price return"
    based = [(row.window, row.base) for row in returns if row.base is not None]
    bases = ", ".join(common.window_with_base(*window) for window in based)
    return lines(
        f"{title} summary · {session_phrase(market.require_end())}",
        common.details(
            market,
            f"{kind}; base closes: {bases}.",
            _multiples(market),
            common.market_sources(market, "prices", "flows", "multiples"),
        ),
    )


# What is the same for every chat is made once per Market, because there may be many chats.
@per_market
def _news(market: Market, total: bool) -> tuple[str, tuple[str, ...]]:
    """Return the first line, the rarest thing or who led, and one or two more sentences of the kind."""
    rare, gap = rarities(market, total)[:2], performance(market, _DAY, total).gap
    phrases = [_rarity_phrase(row, market, gap) for row in rare]
    if all(row.kind not in {Kind.LEAD, Kind.LEADS} for row in rare):
        phrases.append(led(market, gap, "led"))
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
    has_average = len(against) and pd.notna(against.iloc[-1])
    sentences = (common.trend_line(market) if has_average else "", common.flow_line(market, known_only=True))
    return tuple(filter(None, sentences))


@per_market
def _multiples(market: Market) -> str | None:
    return common.multiple_line(market) if valuation.multiple_figures(market, "pe") else None


def _lacks(market: Market) -> dict[str, str]:
    """Return what cannot be computed for want of data, with the reason in words."""
    lacks = {}
    for ticker in market.pair.tickers:
        frame = flows.daily_flows(market, ticker)
        if frame.empty:
            lacks[f"flows of {ticker}"] = f"flows of {ticker}: {common.no_flow_reason(market, ticker)}"
        elif flows.flow_summary(frame, _FLOW_WINDOW, market.anchor).dollars is None:
            lacks[f"flows of {ticker}"] = f"flows of {ticker}: n/a (see /flows)"
    if market.multiples.empty and market.company_sums.empty:
        lacks["multiples"] = "multiples: none stored"
    if reason := trend.missing_reason(market, common.AVERAGE):
        lacks[f"the {_AVERAGE}"] = f"the {_AVERAGE} is n/a: {reason}"
    return lacks
