"""Providers -> storage: what is due is asked, what comes is stored, and no failure stops anything else.

Each figure of each ticker (its prices, multiples, fund facts) is asked for until it is stored for the
last completed session, and then left alone until the next. How each stands is kept in
storage.sources, so a restart knows it too. A source that stands by is asked only for what the first
one lacks.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from bot.data.due import closed_until, due_from
from bot.data.provider import RateLimited
from bot.data.question import questions_of
from bot.data.record import FetchReport, record
from bot.data.standby import STANDS_FOR
from storage import sources

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bot.analytics.sessions import Sessions
    from bot.data.provider import Provider
    from bot.data.question import FetchRequest
    from storage.db import Database
    from storage.sources import SourceStatus


async def refresh(
    database: Database,
    providers: Sequence[Provider],
    sessions: Sessions,
    now: dt.datetime,
    *,
    tickers: Sequence[str] | None = None,
    calls: int | None = None,
    force: bool = False,
) -> list[FetchReport]:
    """Ask every provider for what is due at `now` and store it; one Report per question asked.

    Without `tickers` it is about all that a provider serves. `calls` bounds the questions per ticker and
    provider in one run (the scheduler asks one a tick); `force` asks for what is already stored too. A
    source that asked to slow down is left alone by both. Nothing due gives no reports. Storage's errors
    pass through.
    """
    reports: list[FetchReport] = []
    names = {provider.name for provider in providers}
    for provider in providers:
        statuses = await database.run(sources.statuses)
        mine = [status for status in statuses if status.source == provider.name]
        first = STANDS_FOR.get(provider.name)
        leads = [status for status in statuses if status.source == first and first in names]
        questions = questions_of(provider, provider.tickers if tickers is None else tickers)
        due = questions if force else _due(questions, mine, leads, sessions, now)
        until = closed_until(mine, now)
        if due and until:
            reports.append(_left_alone(provider, until))
        else:
            reports += await _ask(database, due, sessions, now, calls)
    return reports


def _due(
    questions: Sequence[FetchRequest],
    mine: Sequence[SourceStatus],
    leads: Sequence[SourceStatus],
    sessions: Sessions,
    now: dt.datetime,
) -> list[FetchRequest]:
    """The questions whose time has come; `leads` are of the source that this one stands by for."""
    own = {status.subject: status for status in mine}
    lead = {status.subject: status for status in leads}
    return [
        question
        for question in questions
        if due_from(own.get(question.subject), sessions, now, lead=lead.get(question.subject)) <= now
    ]


async def _ask(
    database: Database, due: Sequence[FetchRequest], sessions: Sessions, now: dt.datetime, calls: int | None
) -> list[FetchReport]:
    """Ask one provider, until it asks to slow down."""
    completed = sessions.index[sessions.index <= sessions.last_completed(now)]
    reports: list[FetchReport] = []
    asked: Counter[str] = Counter()
    for question in due:
        if calls is not None and asked[question.ticker] >= calls:
            continue
        asked[question.ticker] += 1
        outcome = await question.answer(database, completed)
        note = partial(record, question=question, outcome=outcome, completed=completed, now=now)
        reports.append(await database.run(note))
        if isinstance(outcome, RateLimited):
            break
    return reports


def _left_alone(provider: Provider, until: dt.datetime) -> FetchReport:
    sentence = f"It asked to slow down and is left alone until {until:%H:%M} UTC on {until:%Y-%m-%d}."
    return FetchReport(provider.name, provider.label, "all figures", sentence, ok=False)
