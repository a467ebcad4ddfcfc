"""The sources: which are switched on, and fetching and storing what is due.

No failure of a source stops anything else. When a figure of a fund is due is decided by bot.data.schedule.
Figures and the status of their source are stored in one transaction.
"""

import asyncio
import datetime as dt
import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import pandas as pd
import sqlite_utils

from bot.analytics.sessions import Sessions
from bot.config import Config
from bot.data import schedule
from bot.data.companies import RUNS, Companies, Plan, Step
from bot.data.csv_source import DailyCsv
from bot.data.issuers.fetch import OFFICIAL, IssuerFiles, SecFilings
from bot.data.provider import (
    FILE_SOURCES,
    STANDS_FOR,
    AccessRefused,
    FetchOutcome,
    NetworkDown,
    Ok,
    Provider,
    RateLimited,
    rows_by_kind,
)
from bot.data.provisional import confirm_pending, mark_answer, pending_sessions
from bot.data.store import store, with_withdrawals
from bot.data.yahoo import Yahoo
from bot.text import listed
from storage import sources
from storage.database import Database
from storage.observations import Written
from storage.sources import SourceStatus


def build_providers(config: Config) -> list[Provider]:
    """The sources that the configuration switches on. To add one, write its Provider and add it here."""
    providers: list[Provider] = []
    tickers = config.pair.tickers
    yahoo = Yahoo(config.storage.database.parent / "cache", config.sources.yahoo_timeout, tickers)
    if config.sources.yahoo:
        providers.append(yahoo)
    if config.sources.daily_csv:
        providers.append(DailyCsv(config.sources.daily_csv, lambda: Sessions(config.calendar.closed), tickers=tickers))
    if config.issuer.fetch and any(fund.files for fund in config.pair):
        providers.append(IssuerFiles(config.pair, config.issuer.user_agent, config.command_options))
    if config.sec.contact and any(fund.sec for fund in config.pair):
        providers.append(SecFilings(config.pair, config.sec.contact, config.command_options))
    if config.sources.yahoo:
        providers.append(Companies(yahoo))  # the last, because it needs the issuers' lists of holdings
    return providers


def switched_on(config: Config) -> set[str]:
    """The names of the sources that the configuration switches on."""
    return {provider.name for provider in build_providers(config)}


# Figures in the order of their use: alerts wait for prices.
FIGURES = ("prices", "multiples", "fund", "holdings", "distributions", OFFICIAL, *RUNS)

_log = logging.getLogger(__name__)
# One thread for all sources: their libraries are not made for more, and neither are their limits.
_worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sources")
_fetching = threading.Event()


def fetch_in_progress() -> bool:
    """Whether a source is being asked. Nothing can stop its thread, so the process cannot end meanwhile."""
    return _fetching.is_set()


@dataclass(frozen=True)
class FetchRequest:
    """One figure of one ticker to be fetched from one provider."""

    provider: Provider
    ticker: str
    figure: str

    @property
    def subject(self) -> str:
        """Its name in storage.sources: "IWM prices"."""
        return f"{self.ticker} {self.figure}"

    @property
    def address(self) -> str:
        """As of Provider."""
        return self.provider.address(self.ticker, self.figure)

    def kept(self, status: SourceStatus | None, now: dt.datetime) -> "FetchReport | None":
        """The report that it is not made, even by a person's wish, because its file was asked for lately."""
        if status is None or self.address != status.address or self.provider.name not in FILE_SOURCES:
            return None
        until = schedule.kept_until(status, now)
        if until <= now:
            return None
        ok = status.outcome in {"Ok", "Partial"}
        words = f"asked for at {status.last_attempt:%H:%M} UTC on {status.last_attempt:%Y-%m-%d}, not again"
        sentence = f"{words} before {until:%H:%M} on {until:%Y-%m-%d}. {status.detail}"
        return FetchReport(self.provider.name, self.provider.label, self.subject, sentence, ok=ok)

    async def fetch(self, database: Database, completed: pd.DatetimeIndex) -> FetchOutcome:
        """Fetch the figure: prices since the last ones stored, or all at first and when units changed."""
        name = self.provider.name
        loop = asyncio.get_running_loop()
        if isinstance(self.provider, Companies):
            read = partial(self.provider.next_step, self.figure, self.ticker, completed[-1])
            plan = await database.run(read)
            if isinstance(plan, FetchOutcome):
                return plan
            return await loop.run_in_executor(_worker, self._call_provider, plan, completed)
        since = None
        if self.figure == "prices":
            since = await database.run(
                partial(schedule.fetch_start, source=name, ticker=self.ticker, completed=completed)
            )
        outcome = await loop.run_in_executor(_worker, self._call_provider, since, completed)
        if since is not None and isinstance(outcome, Ok):
            changed = partial(schedule.is_rebased, source=name, ticker=self.ticker, payload=outcome.payload)
            if await database.run(changed):
                outcome = await loop.run_in_executor(_worker, self._call_provider, None, completed)
        return outcome

    def _call_provider(self, since: dt.date | Plan | None, completed: pd.DatetimeIndex) -> FetchOutcome:
        """Call the provider. A bug in a provider becomes an outcome like any other."""
        _fetching.set()
        try:
            if isinstance(since, Plan):
                return since.make()
            if self.figure == "prices":
                return self.provider.prices(self.ticker, since, completed)
            return self.provider.document(self.figure, self.ticker, completed)
        except Exception as error:  # noqa: BLE001 - one source's bug stops no other
            _log.exception("%s failed on %s", self.provider.name, self.subject)
            return NetworkDown(f"the request failed ({type(error).__name__})")
        finally:
            _fetching.clear()


_RECENT = 30  # sessions; older ones are not requested any more


@dataclass(frozen=True)
class FetchReport:
    """What became of one request: `ok` when figures came, `written` per kind of storage.observations.

    refused: whether a site refused a file, so that a person has to download it.
    """

    source: str
    label: str
    subject: str  # "IWM prices"
    outcome: str  # one sentence
    ok: bool
    written: Mapping[str, Written] = field(default_factory=dict)
    refused: bool = False

    def __str__(self) -> str:
        """One line for people."""
        counts = [
            f"{sum(getattr(written, count) for written in self.written.values()):,} {word}"
            for count, word in (("inserted", "new"), ("revised", "revised"))
        ]
        stored = f" Stored: {', '.join(counts)}." if self.written else ""
        return f"{self.label}, {self.subject}: {self.outcome}{stored}"


def store_outcome(
    db: sqlite_utils.Database,
    request: FetchRequest,
    outcome: FetchOutcome,
    completed: pd.DatetimeIndex,
    now: dt.datetime,
) -> FetchReport:
    """Write the figures, or that none came and until when the source is left alone."""
    notes = ""
    if isinstance(outcome, Step):
        outcome.keep(db)
        label, sentence = request.provider.label, outcome.describe()
        return FetchReport(request.provider.name, label, request.subject, sentence, ok=True)
    if isinstance(outcome, Ok):
        outcome, notes = request.provider.review(db, request.ticker, outcome)
    if isinstance(outcome, Ok):
        return _success(db, request, outcome, completed, now, notes)
    name, sentence = request.provider.name, outcome.describe()
    sources.record_failure(
        db,
        name,
        request.subject,
        now=now,
        outcome=type(outcome).__name__,
        detail=sentence,
        breaker_until=schedule.breaker_until(outcome, now),
        rests_until=schedule.rest_until(outcome, name, now),
    )
    sources.record_address(db, name, request.subject, request.address)
    refused = isinstance(outcome, AccessRefused) and name in FILE_SOURCES
    label, subject = request.provider.label, request.subject
    return FetchReport(name, label, subject, sentence, ok=False, refused=refused)


def _success(
    db: sqlite_utils.Database,
    request: FetchRequest,
    outcome: Ok,
    completed: pd.DatetimeIndex,
    now: dt.datetime,
    notes: str,
) -> FetchReport:
    """Write the figures and withdraw those that the source no longer gives."""
    name, ticker = request.provider.name, request.ticker
    rows = with_withdrawals(db, name, ticker, outcome, completed)
    rows = mark_answer(db, rows, source=name, ticker=ticker, completed=completed)
    counts = store(db, rows, source=request.provider.stored_as or name, observed_at=now)
    confirm_pending(db, now=now)
    written = {kind: count for kind, count in counts.items() if rows_by_kind(rows)[kind]}
    pending = pending_sessions(db, name, ticker) if request.figure == "prices" else []
    held = f" Provisional, not used: {listed(pending)}." if pending else ""
    sentence = f"{outcome.describe()}{held}{_same_as_before(db, request, outcome, completed)}{notes}"
    last: str | None = f"{completed[-1]:%Y-%m-%d}"
    recent = set(completed[-_RECENT:].strftime("%Y-%m-%d"))  # the other items are names of figures
    missing = [item for item in outcome.missing if item in recent]
    if request.figure == "prices":
        last, missing = schedule.coverage(db, source=name, ticker=ticker, completed=completed)
    elif request.figure == OFFICIAL:
        last = max(row.session for row in outcome.payload["fund_facts"])
    subject = request.subject
    sources.record_success(
        db,
        name,
        subject,
        now=now,
        session=last,
        outcome="Partial" if outcome.missing else "Ok",
        detail=sentence,
        missing=schedule.recent_missing(missing, completed),
    )
    sources.record_address(db, name, subject, request.address)
    if outcome.holdings:
        sources.save_holdings(db, outcome.holdings, now)
    if outcome.digest:
        sources.record_payload(db, name, subject, outcome.digest, after=f"{completed[-1]:%Y-%m-%d}")
    ok = bool(written) or outcome.holdings is not None
    return FetchReport(name, request.provider.label, subject, sentence, ok, written)


def _same_as_before(db: sqlite_utils.Database, request: FetchRequest, outcome: Ok, completed: pd.DatetimeIndex) -> str:
    """A sentence if the answer equals that of an earlier session word for word: its figures are frozen."""
    status = sources.source_status(db, request.provider.name, request.subject)
    if status is None or not outcome.digest or status.payload != outcome.digest:
        return ""
    since = status.payload_since
    return f" The same answer as on {since}." if since and since < completed[-1].date() else ""


async def refresh(  # noqa: PLR0913 - options by name
    database: Database,
    providers: Sequence[Provider],
    sessions: Sessions,
    now: dt.datetime,
    *,
    tickers: Sequence[str] | None = None,
    calls: int | None = None,
    force: bool = False,
    progress: Callable[[str], object] = str,
) -> list[FetchReport]:
    """Fetch from every provider what is due at `now` and store it. Returns one FetchReport per request.

    tickers: the funds to fetch; None means all that a provider serves.
    calls: the most requests per ticker and provider in one run (the scheduler makes one a tick).
    force: fetch what is already stored too, but no file that was asked for lately and no run over companies.
        A source that asked to slow down is left alone all the same.
    progress: called with words before each request.
    Errors of storage pass through.
    """
    reports: list[FetchReport] = []
    names = {provider.name for provider in providers}
    for provider in providers:
        statuses = await database.run(sources.source_statuses)
        first = STANDS_FOR.get(provider.name)
        own = {status.subject: status for status in statuses if status.source == provider.name}
        leads = {status.subject: status for status in statuses if status.source == first and first in names}
        due = []
        funds = provider.tickers if tickers is None else tickers
        if isinstance(provider, Companies):
            held = await database.run(sources.held_funds)
            funds = [ticker for ticker in funds if ticker in held]
        wanted = [(ticker, figure) for figure in FIGURES for ticker in funds if provider.has(ticker, figure)]
        for request in (FetchRequest(provider, *what) for what in wanted):
            status, lead = own.get(request.subject), leads.get(request.subject)
            changed = status is not None and status.address != request.address
            if force and (report := request.kept(status, now)):
                reports.append(report)
            elif (
                (force and request.figure not in RUNS)
                or changed
                or schedule.next_fetch(status, sessions, now, lead=lead) <= now
            ):
                due.append(request)
        until = schedule.closed_until(own.values(), now)
        if due and until:
            sentence = f"It asked to slow down and is left alone until {until:%H:%M} UTC on {until:%Y-%m-%d}."
            report = FetchReport(provider.name, provider.label, "all figures", sentence, ok=False)
            reports += [report] * (report not in reports)  # runs over companies are Yahoo's too
        else:
            reports += await _make_requests(database, due, sessions, now, calls, progress)
    return reports


async def _make_requests(
    database: Database,
    due: Sequence[FetchRequest],
    sessions: Sessions,
    now: dt.datetime,
    calls: int | None,
    progress: Callable[[str], object],
) -> list[FetchReport]:
    """Make requests to one provider until it asks to slow down."""
    completed = sessions.index[sessions.index <= sessions.last_completed(now)]
    reports: list[FetchReport] = []
    calls_made: Counter[str] = Counter()
    for request in due:
        if calls is not None and calls_made[request.ticker] >= calls:
            continue
        calls_made[request.ticker] += 1
        what = f"{request.provider.label}: {request.subject} ({sum(calls_made.values())} of {len(due)})"
        progress(what)
        outcome: FetchOutcome | None = None
        while outcome is None or (isinstance(outcome, Step) and calls is None):
            outcome = await request.fetch(database, completed)
            note = partial(store_outcome, request=request, outcome=outcome, completed=completed, now=now)
            report = await database.run(note)
            if isinstance(outcome, Step):
                progress(f"{what}, {outcome.describe()}")
        reports.append(report)
        if isinstance(outcome, RateLimited):
            break
    return reports
