"""The answers to /status and /about: age of the data, checks, queue; sources and definitions."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from bot.analytics.market import PAIR
from bot.analytics.registry import METRICS
from bot.data.load import LABELS
from bot.rendering.answer import SAMPLE, Answer
from bot.rendering.figures import age
from bot.rendering.reference import ADVICE
from bot.rendering.text import Html, bold, date_phrase, lines, session_phrase, short_date

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bot.analytics.market import Market

_GAPS_SHOWN = 3
# Statuses of the outbox in words; what was sent is no news.
_QUEUE = {
    "queued": "to be sent",
    "sending": "on its way",
    "waiting": "waiting for a new try",
    "ambiguous": "of unknown outcome",
    "dead": "given up",
}


def status(
    market: Market,
    sources: Sequence[Mapping[str, Any]],
    queue: Mapping[str, int],
    next_check: dt.datetime,
    version: str,
) -> Answer:
    """What is stored and how old it is, how each source answered, what waits to be sent."""
    html = lines(
        bold("Status") + f" · last completed session {date_phrase(market.last_completed)}",
        bold(SAMPLE) if market.is_sample else None,
        _prices(market),
        *_missing(market),
        *(_facts(market, ticker) for ticker in PAIR),
        _multiples(market),
        bold("Sources") if sources else "Sources: none asked yet.",
        *(_source(row) for row in sources),
        f"Next check: after the {session_phrase(next_check)}, {next_check:%H:%M} UTC.",
        f"Queue: {_queue(queue)}.",
        f"Version {version}.",
    )
    return Answer(html, buttons=((("Compare", "/compare"), ("Alerts", "/alerts")),))


def _prices(market: Market) -> str:
    """Span and age of the sessions with a close of both funds; what there is of each where there are none."""
    if market.end is not None:
        span = f"{short_date(market.pair.index[0])} to {short_date(market.end)}"
        return f"Prices: {span}, {age(market, market.end)}; {market.source('prices').label}."
    held = {ticker: market.prices[ticker].dropna() for ticker in PAIR if ticker in market.prices}
    stored = [f"{t} to {short_date(closes.index[-1])}" for t, closes in held.items() if len(closes)]
    if not stored:
        return "Prices: none stored."
    return f"Prices: no close of both funds, only {', '.join(stored)}."


def _missing(market: Market) -> list[str]:
    gaps = market.missing
    if not len(gaps):
        return []
    shown = ", ".join(short_date(day) for day in gaps[-_GAPS_SHOWN:])
    more = "the last ones " if len(gaps) > _GAPS_SHOWN else ""
    return [f"Sessions without a close of both funds: {len(gaps)}, {more}{shown}."]


def _facts(market: Market, ticker: str) -> str:
    frame = market.fund(ticker)
    counts = frame["shares"].dropna()
    if counts.empty:
        nav = frame["nav"].dropna()
        held = f" (NAV only, to {short_date(nav.index[-1])})" if len(nav) else ""
        return f"{ticker} fund facts: no share counts{held}."
    span = f"{short_date(counts.index[0])} to {short_date(counts.index[-1])}"
    old = age(market, counts.index[-1], METRICS["flow"].lag)
    return f"{ticker} fund facts: {span}, {old}; {market.source(f'facts:{ticker}').label}."


def _multiples(market: Market) -> str:
    rows = market.multiples
    if rows.empty:
        return "Multiples: none stored."
    first, last = rows["session"].iloc[0], rows["session"].iloc[-1]
    span = f"{short_date(first)} to {short_date(last)}, {age(market, last)}"
    return f"Multiples: {span}; {market.source('multiples').label}."


def _source(row: Mapping[str, Any]) -> str:
    success = f"last success {_instant(row['last_success'])}" if row["last_success"] else "no success yet"
    failing = f"; {row['detail'].rstrip('.')}" if row["failures"] else ""
    breaker = f"; left alone until {_instant(row['breaker_until'])}" if row["breaker_until"] else ""
    return f"{LABELS.get(row['source'], row['source'])}, {row['subject']}: {success}{failing}{breaker}."


def _instant(text: str) -> str:
    return f"{text[:16].replace('T', ' ')} UTC"


def _queue(queue: Mapping[str, int]) -> str:
    """What waits to be sent by status, and what was given up."""
    return ", ".join(f"{queue[name]} {words}" for name, words in _QUEUE.items() if queue.get(name)) or "empty"


def about() -> Answer:
    """Sources, definitions, and the one line on advice."""
    told = (
        ("Price return", "close against the close of the base session; every window prints its base."),
        ("Total return", "distributions reinvested at the close of their ex-date."),
        ("Ratio", "price of IWM over price of SPY; trends are read from it, its level means little."),
        ("Flow", "change of units outstanding times NAV; a change of assets is never called a flow."),
        ("Multiples", "always with convention and basis; premiums only between equal conventions."),
        ("Percentile", "the share of the history, in percent, that is at or below the value."),
    )
    html = lines(
        bold("About"),
        "IWM stands for small caps (Russell 2000), SPY for large caps (S&P 500).",
        *(lines(Html("").join((bold(name), ": ", text))) for name, text in told),
        "Prices and Yahoo's multiples come from Yahoo; share counts from the issuers' files you import.",
        "What is missing is named and never filled in. Alerts are judged on completed sessions only.",
        bold(ADVICE),
    )
    return Answer(html, buttons=((("Metrics", "/help metrics"), ("Status", "/status")),))
