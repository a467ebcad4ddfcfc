"""Stores the outcome of a request: its figures and the state of its source, in one transaction."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bot.data.due import breaker_until, rest_until
from bot.data.provider import FetchOutcome, Ok, Partial
from bot.data.span import coverage, recent_missing
from bot.data.withdrawn import withdrawals
from storage import observations, sources

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    import sqlite_utils

    from bot.data.question import FetchRequest
    from storage.observations import Written


_RECENT = 30  # sessions; older ones are not requested any more


@dataclass(frozen=True)
class FetchReport:
    """What became of one request: `ok` when figures came, `written` per kind of storage.observations."""

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


def store_outcome(
    db: sqlite_utils.Database,
    request: FetchRequest,
    outcome: FetchOutcome,
    completed: pd.DatetimeIndex,
    now: dt.datetime,
) -> FetchReport:
    """Write the figures, or that none came and until when the source is left alone."""
    notes = ""
    if isinstance(outcome, Ok | Partial):
        outcome, notes = request.provider.review(db, request.ticker, outcome)
    if isinstance(outcome, Ok | Partial):
        return _success(db, request, outcome, completed, now, notes)
    name, sentence = request.provider.name, outcome.describe()
    sources.record_failure(
        db,
        name,
        request.subject,
        now=now,
        outcome=type(outcome).__name__,
        detail=sentence,
        breaker_until=breaker_until(outcome, now),
    )
    until = rest_until(outcome, now)
    if until:
        sources.note_rest(db, name, request.subject, until)
    return FetchReport(name, request.provider.label, request.subject, sentence, ok=False)


def _success(
    db: sqlite_utils.Database,
    request: FetchRequest,
    outcome: Ok | Partial,
    completed: pd.DatetimeIndex,
    now: dt.datetime,
    notes: str,
) -> FetchReport:
    """Write the figures and withdraw those that the source no longer gives."""
    name, ticker = request.provider.name, request.ticker
    rows = {kind: list(group) for kind, group in outcome.payload.items()}
    for kind, gone in withdrawals(db, name, ticker, outcome, completed).items():
        rows[kind] += gone
    written = {
        kind: observations.add(db, kind, group, source=name, observed_at=now)
        for kind, group in rows.items()
        if group
    }
    sentence = f"{outcome.describe()}{_same_as_before(db, request, outcome, completed)}{notes}"
    last: str | None = f"{completed[-1]:%Y-%m-%d}"
    missing = [item for item in getattr(outcome, "missing", ()) if _is_session(item, completed)]
    if request.figure == "prices":
        last, missing = coverage(db, source=name, ticker=ticker, completed=completed)
    subject = request.subject
    sources.record_success(
        db, name, subject, now=now, session=last, outcome=type(outcome).__name__, detail=sentence
    )
    sources.note_missing(db, name, subject, recent_missing(missing, completed))
    if outcome.digest:
        sources.note_payload(db, name, subject, outcome.digest, after=f"{completed[-1]:%Y-%m-%d}")
    return FetchReport(name, request.provider.label, subject, sentence, bool(written), written)


def _is_session(name: str, completed: pd.DatetimeIndex) -> bool:
    """Whether a missing item is a recent session and not the name of a figure."""
    return bool((completed[-_RECENT:].strftime("%Y-%m-%d") == name).any())


def _same_as_before(
    db: sqlite_utils.Database, request: FetchRequest, outcome: Ok | Partial, completed: pd.DatetimeIndex
) -> str:
    """A sentence if the answer equals that of an earlier session word for word: its figures are frozen."""
    status = sources.status(db, request.provider.name, request.subject)
    if status is None or not outcome.digest or status.payload != outcome.digest:
        return ""
    since = status.payload_since
    return f" The same answer as on {since}." if since and since < completed[-1].date() else ""
