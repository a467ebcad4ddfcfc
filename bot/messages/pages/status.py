"""The answers to /status and /about, and the health of the sources in words that `doctor` shares."""

import datetime as dt
import textwrap
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from zoneinfo import ZoneInfo

import pandas as pd

from bot.analytics import flows
from bot.analytics.market import Market
from bot.analytics.sessions import Sessions
from bot.analytics.sources import SAMPLE
from bot.analytics.units import MINUS
from bot.data.provider import LABELS, SEC
from bot.data.schedule import closed_until, next_try
from bot.messages import common
from bot.messages.html import Html, bold, lines, moment, pre, table, zone_label, zone_name
from bot.pair import Pair
from bot.services.questions import StoredStatus
from bot.text import MONTHS, counted, date_phrase, short_date
from storage.observations import Restatement
from storage.records import Holdings
from storage.sources import SourceStatus

RESTATED_DAYS = 30
COUNTS_CHECKED = 20  # a month of share counts
_RESTATED_SHOWN = 5
_SESSIONS_SHOWN = 3
_WIDE = 50  # columns of a terminal in which dates have room for four digits of the year
_DATE = {"%Y-%m-%d": 10, "%y-%m-%d": 8}  # columns of a date
_NOW = "now"
# Statuses of the outbox in words; what was sent is no news.
_QUEUE = {
    "queued": "to be sent",
    "held": "held for a chat that refuses messages",
    "sending": "on its way",
    "waiting": "waiting for a new try",
    "ambiguous": "of unknown outcome",
    "dead": "given up",
}


@dataclass(frozen=True)
class Health:
    """One subject of one source: what came last, and when it is tried next."""

    status: SourceStatus
    next_try: dt.datetime | None  # None where nobody asks: a file brought it, or it is off
    rests_until: dt.datetime | None  # its source asked to slow down, or refuses programs

    @property
    def source(self) -> str:
        """The source as people call it."""
        return LABELS.get(self.status.source, self.status.source)

    def sentence(self, zone: ZoneInfo, now: dt.datetime) -> str:
        """All of it in one line."""
        status, following = self.status, self.next_try_phrase(zone, now)
        where = "" if following == _NOW else f" {zone_name(zone)}"
        parts = [
            f"last success {moment(status.last_success, zone)}" if status.last_success else "no success yet",
            f"last session {short_date(status.last_session)}" if status.last_session else "no session yet",
            f"next try {following}{where}" if self.next_try else "not asked",
        ]
        if status.dropped:
            parts.append(f"missing sessions: {self.missing_sessions()}")
        if status.failures:
            parts.append(f"failed {status.failures}x: {status.detail.rstrip('.')}")
        if self.rests_until:
            parts.append(f"not asked until {moment(self.rests_until, zone)}")
        return "; ".join(parts)

    def missing_sessions(self) -> str:
        """The sessions that it dropped, the last ones named."""
        dropped = tuple(self.status.dropped)
        named = ", ".join(short_date(day) for day in dropped[-_SESSIONS_SHOWN:])
        more = len(dropped) - _SESSIONS_SHOWN
        return f"{named} and {more} before" if more > 0 else named

    def next_try_phrase(self, zone: ZoneInfo, now: dt.datetime) -> str:
        """When it is tried next: an instant, or "now"."""
        return _NOW if self.next_try is None or self.next_try <= now else moment(self.next_try, zone)


def source_healths(
    statuses: Sequence[SourceStatus], sessions: Sessions, now: dt.datetime, enabled: Collection[str] | None = None
) -> list[Health]:
    """Return the health of every subject of every source. `enabled` are the sources that are switched on."""
    healths = []
    for status in statuses:
        closed = closed_until((other for other in statuses if other.source == status.source), now)
        rests = [until for until in (closed, status.rests_until) if until is not None and until > now]
        following = next_try(status, statuses, sessions, now, enabled)
        healths.append(Health(status, following, max(rests, default=None)))
    return healths


def findings(
    market: Market, sources: Sequence[Health], restatements: Sequence[Restatement], zone: ZoneInfo, now: dt.datetime
) -> Iterator[tuple[bool, str, str]]:
    """Yield for `doctor` whether all is well, the subject and the words, of every source and its figures."""
    for source in sources:
        well = not source.status.failures and source.rests_until is None
        yield well, f"source {source.source}, {source.status.subject}", source.sentence(zone, now)
    for part, notes in market.notes.items():
        for note in notes:
            yield False, f"sources of {part.removeprefix('facts:')}", note.rstrip(".")
    for note in common.provisional_notes(market.provisional):
        yield False, "provisional figures", note.rstrip(".")
    for line in _flag_lines(market):
        if not line.startswith("SOURCE_SWITCH"):  # already a note above
            yield line.endswith(": none."), "share counts", line.rstrip(".")
    restated = _restated(restatements)
    for line in restated[1:] or restated:
        yield True, "restatements", str(line).rstrip(".")


@dataclass(frozen=True)
class StatusReport:
    """What /status shows beside the Market."""

    now: dt.datetime
    zone: ZoneInfo  # of the displayed times
    sources: Sequence[Health]
    stored: StoredStatus
    next_check: dt.datetime
    version: str


def status_answer(market: Market, report: StatusReport) -> common.Answer:
    """Return what is stored and its age, the state of each source, restatements, and the queue."""
    gaps, multiples, stored = market.missing, pd.Index(market.multiples["session"]), report.stored
    last = ", ".join(short_date(day) for day in gaps[-_SESSIONS_SHOWN:])
    more = "the last ones " if len(gaps) > _SESSIONS_SHOWN else ""
    missing = f"Sessions without a close of both funds: {len(gaps):,}, {more}{last}."
    queue = [f"{stored.queue[name]} {words}" for name, words in _QUEUE.items() if stored.queue.get(name)]
    html = lines(
        bold("Status") + f" · last completed session {date_phrase(market.last_completed)}",
        bold(common.SAMPLE_NOTICE) if market.is_sample else None,
        _prices(market),
        missing if len(market.missing) else None,
        *market.notes.get("prices", ()),
        *common.provisional_notes(market.provisional),
        *(_facts(market, ticker) for ticker in market.pair.tickers),
        *_flag_lines(market),
        f"Multiples: {_span(market, multiples, 'multiples') if len(multiples) else 'none stored.'}",
        *_sources(report),
        *_restated(stored.restated),
        f"Next check: {moment(report.next_check, report.zone)}.",
        f"Queue: {', '.join(queue) or 'empty'}.",
        f"{counted(stored.refusing, 'chat')} refused the last message; what alerts report there waits."
        if stored.refusing
        else None,
        f"Version {report.version}. Times: {zone_label(report.zone.key)}.",
    )
    return common.Answer(html, buttons=((("Compare", "/compare"), ("Alerts", "/alerts")),))


def _prices(market: Market) -> str:
    if market.end is not None:
        return f"Prices: {_span(market, market.closes.index, 'prices')}"
    stored = [
        f"{ticker} to {short_date(closes.index[-1])}"
        for ticker in market.pair.tickers
        if len(closes := market.prices.get(ticker, pd.Series()).dropna())
    ]
    if stored:
        return f"Prices: no session has a close of both funds; stored are {', '.join(stored)}."
    if market.first_close is not None:
        return f"Prices: none yet, the first stored close is of {date_phrase(market.first_close)}."
    return "Prices: none stored."


def _span(market: Market, sessions: pd.Index, part: str) -> str:
    """Return first and last session, age and source of stored figures."""
    first, last = sessions[0], sessions[-1]
    return f"{short_date(first)} to {short_date(last)}, {common.age(market, last)}; {market.source(part).label}."


def _facts(market: Market, ticker: str) -> str:
    frame = market.fund(ticker)
    counts = frame["shares"].dropna()
    if counts.empty:
        nav = frame["nav"].dropna()
        stored = f" (NAV only, to {short_date(nav.index[-1])})" if len(nav) else ""
        return f"{ticker} fund facts: no share counts{stored}."
    return f"{ticker} fund facts: {_span(market, counts.index, f'facts:{ticker}')}"


def _flag_lines(market: Market) -> list[str]:
    """Return per fund the flags on its last share counts, and what is left out of them."""
    sentences = []
    for ticker in market.pair.tickers:
        flags = flows.daily_flows(market, ticker)["flag"].tail(COUNTS_CHECKED)
        flagged = flags[flags != ""]
        last = {flag: short_date(day) for day, flag in flagged.items()}
        words = [
            f"{flag} {last[flag]}" if count == 1 else f"{flag} {count}x, last {last[flag]}"
            for flag, count in Counter(flagged).items()
        ]
        if len(flags):
            sentences.append(f"{ticker} flags on the last {len(flags)} share counts: {'; '.join(words) or 'none'}.")
        sentences += common.left_out_notes(market, ticker)
    return sentences


def _sources(report: StatusReport) -> list[Html | str]:
    """Return a table a source, and below it when it is tried next and what is wrong with it."""
    known = {health.status.source for health in report.sources}
    unasked = [label for name, label in LABELS.items() if name in report.stored.sources - {SAMPLE, *known}]
    imported = [f"Figures of {', '.join(unasked)} are stored from an import."] if unasked else []
    if not report.sources:
        return ["Sources: none has been asked yet.", *imported]
    parts: list[Html | str] = [bold("Sources")]
    for name, group in groupby(report.sources, key=lambda source: source.source):
        rows = list(group)
        parts.append(pre(table((name, "answered", "up to"), [_cells(row.status, report) for row in rows])))
        parts += _next_tries(rows, report)
        incomplete = (row for row in rows if row.status.dropped)
        parts += [f"{row.status.subject} are missing for {row.missing_sessions()}." for row in incomplete]
        failing = (row.status for row in rows if row.status.failures)
        parts += [f"{status.subject} failed {status.failures}x: {status.detail}" for status in failing]
        rests = next((row.rests_until for row in rows if row.rests_until), None)
        if rests is not None:
            parts.append(f"{name} is not asked until {moment(rests, report.zone)}.")
    return [*parts, *imported]


def _cells(status: SourceStatus, report: StatusReport) -> tuple[str, str, str]:
    """Return subject, last answer and last session of a source. Dates leave out the current year."""
    today = report.now.astimezone(report.zone).date()

    def brief(day: dt.date) -> str:
        return f"{day.day} {MONTHS[day.month - 1]}" if day.year == today.year else short_date(day)

    answered = "never"
    if status.last_success is not None:
        local = status.last_success.astimezone(report.zone)
        answered = brief(local.date()) + (f" {local:%H:%M}" if local.year == today.year else "")
    return status.subject, answered, brief(status.last_session) if status.last_session else "none"


def _next_tries(rows: Sequence[Health], report: StatusReport) -> list[str]:
    """Return when the subjects are tried next, grouped by instant. Imported ones are not tried."""
    groups: dict[str, list[str]] = {}
    for source in rows:
        if source.next_try is not None:
            when = source.next_try_phrase(report.zone, report.now)
            groups.setdefault(when, []).append(source.status.subject)
    if len(groups) == 1:
        return [f"Next try: {next(iter(groups))}."]
    tries = [f"Next try {when}: {', '.join(subjects)}." for when, subjects in groups.items()]
    return tries or ["Not asked: imported or switched off."]


def _restated(restatements: Sequence[Restatement]) -> list[Html | str]:
    title = f"Restated in the last {RESTATED_DAYS} days:"
    if not restatements:
        return [f"{title} nothing over 1 bp."]
    return [title, *common.shortened([_restatement(row) for row in restatements], _RESTATED_SHOWN)]


def _restatement(restatement: Restatement) -> str:
    """Return one in words: "IWM 10 Dec 2020 close 190 → 190.19 (+10.0 bp), Yahoo"."""
    day = next(value for name, value in restatement.key.items() if name in {"session", "ex_date"})
    words = str(restatement).replace(day, short_date(dt.date.fromisoformat(day)), 1)
    words = words.replace(" -> ", " → ").replace("(-", f"({MINUS}")
    return f"{words}, {LABELS.get(restatement.source, restatement.source)}"


def knowledge(market: Market, held: Mapping[str, Holdings | None], width: int) -> list[str]:
    """Return lines on what is known of each fund, since when and from whom, and on what is lacking.

    For a terminal of `width` columns, at least 40.
    """
    form = "%Y-%m-%d" if width >= _WIDE else "%y-%m-%d"
    wrapped = partial(textwrap.fill, width=width, break_long_words=False, break_on_hyphens=False)
    rows: list[str] = []
    for fund in market.pair:
        ticker, facts, holdings = fund.ticker, market.fund(fund.ticker), held.get(fund.ticker)
        weights, multiples = (
            rows.loc[rows["ticker"] == ticker, "session"] for rows in (market.weights, market.multiples)
        )
        filed = market.official.get(ticker, pd.Series(dtype="float64"))
        prices = market.prices.get(ticker, pd.Series(dtype="float64")).dropna()
        companies = f"{len(holdings.constituents):,} companies" if holdings else ""
        part = f"facts:{ticker}"
        kinds: dict[str, tuple[Iterable[object], str]] = {
            "prices": (prices.index, market.source("prices").label),
            "payouts": (market.distributions_of(ticker).index, market.source("prices").label),
            "NAV": (facts["nav"].dropna().index, market.source(part).label),
            "units": (facts["shares"].dropna().index, market.source(part).label),
            "holdings": ([holdings.as_of] if holdings else [], companies),
            "sectors": (weights, ""),
            "multiples": (multiples, market.source("multiples").label),
            "filings": (filed.index, LABELS[SEC]),
        }
        rows.append(f"{ticker:9}  {'since':{_DATE[form]}}  {'to':{_DATE[form]}}  from")
        lacking = []
        for kind, (sessions, label) in kinds.items():
            if len(days := pd.DatetimeIndex(list(sessions))):
                row = f"{kind:9}  {days.min():{form}}  {days.max():{form}}  "
                short = label if len(row + label) <= width else label.partition(" ")[0]
                rows.append(f"{row}{short}".rstrip())
            else:
                lacking.append(kind)
        steps = [f"Lacking: {', '.join(lacking)}."] * bool(lacking) + common.flow_steps(market, [ticker])
        steps += [
            f"{name}: {refusal}"
            for name, refusal in market.refusals.items()
            if name.startswith(f"{ticker} ") and name != f"{ticker} fund"
        ]
        if "prices" in lacking:
            steps.append(f"Prices: {market.import_line('prices', ticker)}")
        if "filings" in lacking and fund.sec:
            steps.append("Filings: set [sec] contact in the config.")
        rows += [*map(wrapped, steps), ""]
    return rows[:-1]


def about_answer(pair: Pair) -> common.Answer:
    """Return sources, definitions, and the one line on advice."""
    small_index, large_index = (f" ({fund.index})" if fund.index else "" for fund in pair)
    ratio = "price of {small} over price of {large}; its trend counts, its level means little."
    definitions = (
        ("Price return", "close against the close of the base session, which is shown for every window."),
        ("Total return", "the same with distributions reinvested at the close of their ex-date."),
        ("Ratio", pair.fill(ratio)),
        ("Flow", "change of units outstanding times NAV; a change of assets is never called a flow."),
        ("Multiples", "always with convention and basis; premiums only between equal conventions."),
        ("Percentile", "the share of the history, in percent, that is at or below the value."),
    )
    html = lines(
        bold("About"),
        f"{pair.small.ticker} stands for small caps{small_index}, {pair.large.ticker} for large caps{large_index}.",
        *(bold(name) + f": {text}" for name, text in definitions),
        "Prices and multiples are from Yahoo, NAV, units and holdings from issuers, the rest is imported.",
        "What is missing is named and never filled in. Alerts are evaluated on completed sessions only.",
        bold(common.DISCLAIMER),
    )
    return common.Answer(html, buttons=((("Metrics", "/help metrics"), ("Status", "/status")),))
