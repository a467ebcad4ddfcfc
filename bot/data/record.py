"""An answer on record: its figures, and how its source stands with the subject, in one transaction."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bot.data.due import breaker, rest
from bot.data.provider import FetchOutcome, Ok, Partial
from bot.data.span import lately, standing
from bot.data.withdrawn import withdrawn
from storage import observations, sources

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    import sqlite_utils

    from bot.data.question import FetchRequest
    from storage.observations import Written


_RECENT = 30  # sessions: those of before are asked for no more


@dataclass(frozen=True)
class FetchReport:
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


def record(
    db: sqlite_utils.Database,
    question: FetchRequest,
    outcome: FetchOutcome,
    completed: pd.DatetimeIndex,
    now: dt.datetime,
) -> FetchReport:
    """Write what came, or that nothing came and until when the source is left alone."""
    notes = ""
    if isinstance(outcome, Ok | Partial):
        outcome, notes = question.provider.review(db, question.ticker, outcome)
    if isinstance(outcome, Ok | Partial):
        return _success(db, question, outcome, completed, now, notes)
    name, said = question.provider.name, outcome.describe()
    sources.record_failure(
        db,
        name,
        question.subject,
        now=now,
        outcome=type(outcome).__name__,
        detail=said,
        breaker_until=breaker(outcome, now),
    )
    until = rest(outcome, now)
    if until:
        sources.note_rest(db, name, question.subject, until)
    return FetchReport(name, question.provider.label, question.subject, said, ok=False)


def _success(
    db: sqlite_utils.Database,
    question: FetchRequest,
    outcome: Ok | Partial,
    completed: pd.DatetimeIndex,
    now: dt.datetime,
    notes: str,
) -> FetchReport:
    """Write the figures; what the source no longer says is withdrawn."""
    name, ticker = question.provider.name, question.ticker
    rows = {kind: list(found) for kind, found in outcome.payload.items()}
    for kind, gone in withdrawn(db, name, ticker, outcome, completed).items():
        rows[kind] += gone
    written = {
        kind: observations.add(db, kind, found, source=name, observed_at=now)
        for kind, found in rows.items()
        if found
    }
    said = f"{outcome.describe()}{_same_as_before(db, question, outcome, completed)}{notes}"
    last: str | None = f"{completed[-1]:%Y-%m-%d}"
    missing = [each for each in getattr(outcome, "missing", ()) if _is_session(each, completed)]
    if question.figure == "prices":
        last, missing = standing(db, source=name, ticker=ticker, completed=completed)
    subject = question.subject
    sources.record_success(
        db, name, subject, now=now, session=last, outcome=type(outcome).__name__, detail=said
    )
    sources.note_missing(db, name, subject, lately(missing, completed))
    if outcome.digest:
        sources.note_payload(db, name, subject, outcome.digest, after=f"{completed[-1]:%Y-%m-%d}")
    return FetchReport(name, question.provider.label, subject, said, bool(written), written)


def _is_session(name: str, completed: pd.DatetimeIndex) -> bool:
    """Whether what is missing is a session; a figure has another name."""
    return bool((completed[-_RECENT:].strftime("%Y-%m-%d") == name).any())


def _same_as_before(
    db: sqlite_utils.Database, question: FetchRequest, outcome: Ok | Partial, completed: pd.DatetimeIndex
) -> str:
    """A sentence where the answer is, word for word, that of an earlier session: its figures are frozen."""
    status = sources.status(db, question.provider.name, question.subject)
    if status is None or not outcome.digest or status.payload != outcome.digest:
        return ""
    since = status.payload_since
    return f" The same answer as on {since}." if since and since < completed[-1].date() else ""
