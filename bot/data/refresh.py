"""Providers -> storage: fetches what is due and stores it. No failure of a source stops anything else.

Each figure of each ticker (its prices, multiples, fund facts) is requested until it is stored for the last
completed session, and not again before the next one. The state of each is kept in storage.sources, so it
survives a restart. A fallback source is asked only for what the first source lacks.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from bot.data.due import closed_until, next_fetch
from bot.data.provider import RateLimited
from bot.data.question import fetch_requests
from bot.data.record import FetchReport, store_outcome
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
    """Fetch from every provider what is due at `now` and store it. Returns one FetchReport per request.

    tickers: the funds to fetch; None means all that a provider serves.
    calls: the most requests per ticker and provider in one run (the scheduler makes one a tick).
    force: fetch what is already stored too. A source that asked to slow down is left alone all the same.
    Errors of storage pass through.
    """
    reports: list[FetchReport] = []
    names = {provider.name for provider in providers}
    for provider in providers:
        statuses = await database.run(sources.statuses)
        mine = [status for status in statuses if status.source == provider.name]
        first = STANDS_FOR.get(provider.name)
        leads = [status for status in statuses if status.source == first and first in names]
        requests = fetch_requests(provider, provider.tickers if tickers is None else tickers)
        due = requests if force else _due(requests, mine, leads, sessions, now)
        until = closed_until(mine, now)
        if due and until:
            reports.append(_left_alone(provider, until))
        else:
            reports += await _ask(database, due, sessions, now, calls)
    return reports


def _due(
    requests: Sequence[FetchRequest],
    mine: Sequence[SourceStatus],
    leads: Sequence[SourceStatus],
    sessions: Sessions,
    now: dt.datetime,
) -> list[FetchRequest]:
    """The requests that are due. `leads` is the state of the source that this one is a fallback for."""
    own = {status.subject: status for status in mine}
    lead = {status.subject: status for status in leads}
    return [
        request
        for request in requests
        if next_fetch(own.get(request.subject), sessions, now, lead=lead.get(request.subject)) <= now
    ]


async def _ask(
    database: Database, due: Sequence[FetchRequest], sessions: Sessions, now: dt.datetime, calls: int | None
) -> list[FetchReport]:
    """Make requests to one provider until it asks to slow down."""
    completed = sessions.index[sessions.index <= sessions.last_completed(now)]
    reports: list[FetchReport] = []
    asked: Counter[str] = Counter()
    for request in due:
        if calls is not None and asked[request.ticker] >= calls:
            continue
        asked[request.ticker] += 1
        outcome = await request.fetch(database, completed)
        note = partial(store_outcome, request=request, outcome=outcome, completed=completed, now=now)
        reports.append(await database.run(note))
        if isinstance(outcome, RateLimited):
            break
    return reports


def _left_alone(provider: Provider, until: dt.datetime) -> FetchReport:
    sentence = f"It asked to slow down and is left alone until {until:%H:%M} UTC on {until:%Y-%m-%d}."
    return FetchReport(provider.name, provider.label, "all figures", sentence, ok=False)
