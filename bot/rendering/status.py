"""The answers to /status and /about: age of the data, checks, queue; sources and definitions."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from bot.analytics.registry import METRICS
from bot.rendering.answer import SAMPLE, Answer
from bot.rendering.common import DISCLAIMER
from bot.rendering.figures import age
from bot.rendering.health import brief_date, flag_lines, restated
from bot.rendering.moments import moment
from bot.rendering.tables import table
from bot.rendering.text import Html, bold, date_phrase, lines, pre, short_date

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping, Sequence
    from zoneinfo import ZoneInfo

    from bot.analytics.market import Market
    from bot.pair import Fund, Pair
    from bot.rendering.health import Health
    from storage.observations import Restatement

_GAPS_SHOWN = 3
# Statuses of the outbox in words; what was sent is no news.
_QUEUE = {
    "queued": "to be sent",
    "sending": "on its way",
    "waiting": "waiting for a new try",
    "ambiguous": "of unknown outcome",
    "dead": "given up",
}


@dataclass(frozen=True)
class StatusReport:
    """What /status shows beside the Market."""

    now: dt.datetime
    zone: ZoneInfo  # of the displayed times
    sources: Sequence[Health]
    restated: Sequence[Restatement]
    queue: Mapping[str, int]
    next_check: dt.datetime
    version: str


def status_answer(market: Market, report: StatusReport) -> Answer:
    """What is stored and its age, the state of each source, restatements, and what waits to be sent."""
    html = lines(
        bold("Status") + f" · last completed session {date_phrase(market.last_completed)}",
        bold(SAMPLE) if market.is_sample else None,
        _prices(market),
        *_missing(market),
        *market.notes.get("prices", ()),
        *(_facts(market, ticker) for ticker in market.pair.tickers),
        *flag_lines(market),
        _multiples(market),
        *_sources(report),
        *restated(report.restated),
        f"Next check: {moment(report.next_check, report.zone)}.",
        f"Queue: {_queue(report.queue)}.",
        f"Version {report.version}. Times: {report.zone.key}.",
    )
    return Answer(html, buttons=((("Compare", "/compare"), ("Alerts", "/alerts")),))


def _sources(report: StatusReport) -> list[Html | str]:
    """A table a source, and below it when it is tried next and what is wrong with it."""
    if not report.sources:
        return ["Sources: none asked yet."]
    parts: list[Html | str] = [bold("Sources")]
    for name, group in groupby(report.sources, key=lambda source: source.source):
        rows = list(group)
        cells = [(source.subject, _answered(source, report), _session(source, report)) for source in rows]
        parts.append(pre(table((name, "answered", "up to"), cells)))
        parts += _next_tries(rows, report)
        parts += [f"{source.subject} lack {source.lacks()}." for source in rows if source.missing]
        parts += [
            f"{source.subject}, failed {source.failures}x: {source.detail}"
            for source in rows
            if source.failures
        ]
        rests = next((source.rests_until for source in rows if source.rests_until), None)
        if rests is not None:
            parts.append(f"{name} is left alone until {moment(rests, report.zone)}.")
    return parts


def _answered(source: Health, report: StatusReport) -> str:
    if source.answered is None:
        return "never"
    local, today = source.answered.astimezone(report.zone), report.now.astimezone(report.zone).date()
    if local.year != today.year:
        return short_date(local)
    return f"{brief_date(local.date(), today)} {local:%H:%M}"


def _session(source: Health, report: StatusReport) -> str:
    return brief_date(source.session, report.now.astimezone(report.zone).date()) if source.session else "none"


def _next_tries(rows: Sequence[Health], report: StatusReport) -> list[str]:
    """When the subjects are tried next, grouped by instant. Imported ones are not tried."""
    groups: dict[str, list[str]] = {}
    for source in rows:
        if source.next_try is not None:
            groups.setdefault(source.tried(report.zone, report.now), []).append(source.subject)
    if not groups:
        return ["Not asked: imported, or switched off."]
    if len(groups) == 1:
        return [f"Next try: {next(iter(groups))}."]
    return [f"Next try {when}: {', '.join(subjects)}." for when, subjects in groups.items()]


def _prices(market: Market) -> str:
    """Span and age of the sessions with a close of both funds, or what is stored of each."""
    if market.end is not None:
        span = f"{short_date(market.closes.index[0])} to {short_date(market.end)}"
        return f"Prices: {span}, {age(market, market.end)}; {market.source('prices').label}."
    held = {
        ticker: market.prices[ticker].dropna() for ticker in market.pair.tickers if ticker in market.prices
    }
    stored = [f"{t} to {short_date(closes.index[-1])}" for t, closes in held.items() if len(closes)]
    if not stored and market.begins is not None:
        return f"Prices: the first stored close is of {date_phrase(market.begins)}, still to come."
    if not stored:
        return "Prices: none stored."
    return f"Prices: no close of both funds, only {', '.join(stored)}."


def _missing(market: Market) -> list[str]:
    gaps = market.missing
    if not len(gaps):
        return []
    shown = ", ".join(short_date(day) for day in gaps[-_GAPS_SHOWN:])
    more = "the last ones " if len(gaps) > _GAPS_SHOWN else ""
    return [f"Sessions without a close of both funds: {len(gaps):,}, {more}{shown}."]


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
    span = f"{short_date(first)} to {short_date(last)}, {age(market, last, METRICS['pe'].lag)}"
    return f"Multiples: {span}; {market.source('multiples').label}."


def _queue(queue: Mapping[str, int]) -> str:
    """What waits to be sent by status, and what was given up."""
    return ", ".join(f"{queue[name]} {words}" for name, words in _QUEUE.items() if queue.get(name)) or "empty"


def about_answer(pair: Pair) -> Answer:
    """Sources, definitions, and the one line on advice."""
    definitions = (
        ("Price return", "close against the close of the base session; every window prints its base."),
        ("Total return", "distributions reinvested at the close of their ex-date."),
        (
            "Ratio",
            pair.fill(
                "price of {small} over price of {large}; trends are read from it, its level means little."
            ),
        ),
        ("Flow", "change of units outstanding times NAV; a change of assets is never called a flow."),
        ("Multiples", "always with convention and basis; premiums only between equal conventions."),
        ("Percentile", "the share of the history, in percent, that is at or below the value."),
    )
    html = lines(
        bold("About"),
        f"{pair.small.ticker} stands for small caps{_index(pair.small)}, "
        f"{pair.large.ticker} for large caps{_index(pair.large)}.",
        *(lines(Html("").join((bold(name), ": ", text))) for name, text in definitions),
        "Prices and Yahoo's multiples come from Yahoo, share counts from the issuers, others by import.",
        "What is missing is named and never filled in. Alerts are judged on completed sessions only.",
        bold(DISCLAIMER),
    )
    return Answer(html, buttons=((("Metrics", "/help metrics"), ("Status", "/status")),))


def _index(fund: Fund) -> str:
    """The index that a fund follows, in brackets, "" if unknown."""
    return f" ({fund.index})" if fund.index else ""
