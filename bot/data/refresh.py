"""Providers -> storage: what is due is asked, what comes is stored, and no failure stops anything else.

Each figure of each ticker (its prices, multiples, fund facts) is asked for until it is stored for the
last completed session, and then left alone until the next. How each stands is kept in
storage.sources, so a restart knows it too.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from bot.data.due import breaker, closed_until, is_due
from bot.data.provider import NetworkDown, Ok, Outcome, Partial, RateLimited
from storage import observations, sources

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import sqlite_utils

    from bot.analytics.sessions import Sessions
    from bot.data.provider import Provider
    from storage.db import Database
    from storage.observations import Written

# Figures in the order of their use: alerts wait for prices.
FIGURES = ("prices", "multiples", "fund")
# Sessions read again before the last stored one: late corrections, and sessions restored later.
OVERLAP = 10

_log = logging.getLogger(__name__)
# One thread for all sources: their libraries are not made for more, and neither are their limits.
_worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sources")
_asking = threading.Event()


def under_way() -> bool:
    """Whether a source is being asked: nothing can stop its thread, and the process's end waits for it."""
    return _asking.is_set()


@dataclass(frozen=True)
class Report:
    """One question to one source: `ok` when figures came, `written` per kind of storage.observations."""

    source: str
    label: str
    subject: str  # "IWM prices"
    outcome: str  # one sentence
    ok: bool
    written: Mapping[str, Written] = field(default_factory=dict)

    def __str__(self) -> str:
        """One line for people."""
        counts = [
            f"{sum(getattr(written, count) for written in self.written.values()):,} {word}"
            for count, word in (("inserted", "new"), ("revised", "revised"))
        ]
        stored = f" Stored: {', '.join(counts)}." if self.written else ""
        return f"{self.label}, {self.subject}: {self.outcome}{stored}"


@dataclass(frozen=True)
class _Question:
    """One figure of one ticker, at one provider."""

    provider: Provider
    ticker: str
    figure: str

    @property
    def subject(self) -> str:
        return f"{self.ticker} {self.figure}"

    def ask(self, start: dt.date | None, completed: pd.DatetimeIndex) -> Outcome:
        """The provider's answer; a provider's own bug is an outcome like any other."""
        _asking.set()
        try:
            if self.figure == "prices":
                return self.provider.prices(self.ticker, start, completed)
            if self.figure == "multiples":
                return self.provider.multiples(self.ticker, completed)
            return self.provider.fund(self.ticker, completed)
        except Exception as error:  # noqa: BLE001 - one source's bug stops no other
            _log.exception("%s failed on %s", self.provider.name, self.subject)
            return NetworkDown(f"the request failed ({type(error).__name__})")
        finally:
            _asking.clear()


async def refresh(
    database: Database,
    providers: Iterable[Provider],
    sessions: Sessions,
    now: dt.datetime,
    *,
    tickers: Sequence[str] = ("IWM", "SPY"),
    calls: int | None = None,
    force: bool = False,
) -> list[Report]:
    """Ask every provider for what is due at `now` and store it; one Report per question asked.

    `calls` bounds the questions per ticker and provider in one run (the scheduler asks one a tick);
    `force` asks for what is already stored too. A source that asked to slow down is left alone by
    both. Nothing due gives no reports. Storage's errors pass through.
    """
    completed = sessions.index[sessions.index <= sessions.last_completed(now)]
    reports: list[Report] = []
    for provider in providers:
        reports += await _refresh_one(database, provider, completed, now, tickers, calls, force=force)
    return reports


async def _refresh_one(
    database: Database,
    provider: Provider,
    completed: pd.DatetimeIndex,
    now: dt.datetime,
    tickers: Sequence[str],
    calls: int | None,
    *,
    force: bool,
) -> list[Report]:
    """All that is due at one provider, until it asks to slow down."""
    mine = {
        row["subject"]: row for row in await database.run(sources.statuses) if row["source"] == provider.name
    }
    questions = [
        _Question(provider, ticker, figure)
        for figure in FIGURES
        for ticker in tickers
        if figure in provider.serves
    ]
    last = _day(completed[-1])
    due = [each for each in questions if force or is_due(mine.get(each.subject), last, now)]
    until = closed_until(mine.values(), now)
    if due and until:
        return [_left_alone(provider, until)]
    reports: list[Report] = []
    asked: Counter[str] = Counter()
    for question in due:
        if calls is not None and asked[question.ticker] >= calls:
            continue
        asked[question.ticker] += 1
        outcome = await _answer(database, question, completed)
        store = partial(_store, question=question, outcome=outcome, completed=completed, now=now)
        reports.append(await database.run(store))
        if isinstance(outcome, RateLimited):
            break
    return reports


async def _answer(database: Database, question: _Question, completed: pd.DatetimeIndex) -> Outcome:
    """The source's answer: incremental prices, all of them at first and after a split.

    Yahoo rewrites the whole history when a fund splits, so closes of before and after must not mix.
    """
    loop = asyncio.get_running_loop()
    start = None
    if question.figure == "prices":
        start = await database.run(partial(_start, question=question, completed=completed))
    outcome = await loop.run_in_executor(_worker, question.ask, start, completed)
    if start is not None and isinstance(outcome, Ok | Partial):
        splits = outcome.payload.get("splits", ())
        if await database.run(partial(_is_new_split, question=question, splits=splits)):
            outcome = await loop.run_in_executor(_worker, question.ask, None, completed)
    return outcome


def _start(db: sqlite_utils.Database, question: _Question, completed: pd.DatetimeIndex) -> dt.date | None:
    """First session to read: OVERLAP before the last one stored of this source, None without any."""
    last = observations.latest_session(db, "bars", question.ticker, question.provider.name)
    if last is None:
        return None
    position = int(completed.searchsorted(pd.Timestamp(last)))
    session: pd.Timestamp = completed[max(min(position, len(completed) - 1) - OVERLAP, 0)]
    return dt.date(session.year, session.month, session.day)


def _is_new_split(
    db: sqlite_utils.Database, question: _Question, splits: Sequence[Mapping[str, Any]]
) -> bool:
    """Whether a split is not stored yet."""
    known = {
        (row["ticker"], row["session"])
        for row in observations.newest(db, "splits")
        if row["source"] == question.provider.name
    }
    return any((split["ticker"], split["session"]) not in known for split in splits)


def _store(
    db: sqlite_utils.Database,
    question: _Question,
    outcome: Outcome,
    completed: pd.DatetimeIndex,
    now: dt.datetime,
) -> Report:
    """Write the figures and how the source stands, in one transaction."""
    name, word, said = question.provider.name, type(outcome).__name__, outcome.describe()
    written: dict[str, Written] = {}
    if isinstance(outcome, Ok | Partial):
        for kind, rows in outcome.payload.items():
            if rows:
                written[kind] = observations.add(db, kind, rows, source=name, observed_at=now)
        reached = _reached(question, outcome, completed)
        sources.record_success(
            db, name, question.subject, now=now, session=reached, outcome=word, detail=said
        )
    else:
        sources.record_failure(
            db,
            name,
            question.subject,
            now=now,
            outcome=word,
            detail=said,
            breaker_until=breaker(outcome, now),
        )
    return Report(name, question.provider.label, question.subject, said, bool(written), written)


def _reached(question: _Question, outcome: Ok | Partial, completed: pd.DatetimeIndex) -> str:
    """Session up to which a figure is now had: of prices the last bar's, of what is asked daily today's."""
    if question.figure != "prices":
        return _day(completed[-1])
    return max((row["session"] for row in outcome.payload.get("bars", ())), default="")


def _left_alone(provider: Provider, until: str) -> Report:
    said = f"It asked to slow down and is left alone until {until[11:16]} UTC on {until[:10]}."
    return Report(provider.name, provider.label, "all figures", said, ok=False)


def _day(session: pd.Timestamp) -> str:
    return f"{session:%Y-%m-%d}"
