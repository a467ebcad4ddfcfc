"""Writes observations of any source, and whole files, to the database.

Every figure takes one way: an answer is reviewed by its provider (an issuer's file by `accepted_rows`), then
`with_withdrawals` adds what it takes back, and `store` writes it.

It also withdraws distributions and splits that a source no longer lists, or has given another date. A
distribution that stays stored beside its correction is counted twice in every total return, and a split that
never was halves all closes before it. One is withdrawn only where the answer has the session before, its own
session and the session after, so that what is absent there the source does not have.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from bot.analytics.sources import TYPED_IN
from bot.data.provider import Observations, Ok, observations_of, rows_by_kind
from bot.data.provisional import confirm_pending, mark_answer
from bot.text import counted, listed
from storage import observations, sources
from storage.observations import Written
from storage.records import KINDS, Distribution, Holdings, Moment, Observation, Split

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import pandas as pd
    import sqlite_utils


EVENTS: tuple[type[Distribution | Split], ...] = (Distribution, Split)


@dataclass(frozen=True)
class Preview:
    """What a file holds: its fund, what was read, what was left out and why, and what looks wrong."""

    ticker: str
    summary: str  # "IWM daily prices: 2 rows, 2020-12-10 to 2020-12-11."
    layout: str = ""  # whose it is, where it is not the plain one
    closed: tuple[str, ...] = ()  # dates of rows left out because there was no session
    unfinished: tuple[str, ...] = ()  # sessions left out because they were not completed
    empty: int = 0  # rows left out because they hold no value
    unread: tuple[str, ...] = ()  # headers of columns that are not read
    notes: tuple[str, ...] = ()  # sentences on what looks wrong, could not be checked or is not given

    def sentences(self) -> list[str]:
        """The preview for people, a sentence each."""
        sentences = {
            f"Layout: {self.layout}.": self.layout,
            f"Left out, no session on that day: {listed(self.closed)}.": self.closed,
            f"Left out, session not completed: {listed(self.unfinished)}.": self.unfinished,
            f"Left out, without a value: {counted(self.empty, 'row')}.": self.empty,
            f"Columns not read: {', '.join(self.unread)}.": self.unread,
        }
        return [self.summary, *(sentence for sentence, shown in sentences.items() if shown), *self.notes]


@dataclass(frozen=True)
class FileContents:
    """A file as read: its rows by kind, and its preview."""

    observations: Observations
    preview: Preview
    subject: str  # what its import is called in the list of sources: "IWM daily prices"
    complete: tuple[str, ...] = ()  # kinds for which every session of the file has a value or none
    exported: bool = False  # whether it is an export, whose rows name their source and instant
    holdings: Holdings | None = None
    source: str = TYPED_IN


def store(db: sqlite_utils.Database, rows: Observations, *, source: str, observed_at: Moment) -> dict[str, Written]:
    """Write observations of every kind in the caller's transaction. Returns the counts by kind."""
    return {
        kind: observations.add(db, KINDS[kind], group, source=source, observed_at=observed_at)
        for kind, group in rows_by_kind(rows).items()
    }


def store_import(
    db: sqlite_utils.Database, rows: Observations, *, source: str, subject: str, observed_at: str
) -> dict[str, Written]:
    """Write a file's rows, and note in the list of sources that it was imported, and its last session."""
    groups = rows_by_kind(rows).items()
    days = [row.session for kind, group in groups if kind != Distribution.table for row in group]
    session = max(days, default=None)
    sources.record_success(db, source, subject, now=observed_at, session=session, outcome=sources.IMPORTED)
    written = store(db, rows, source=source, observed_at=observed_at)
    confirm_pending(db, now=observed_at)
    return written


def store_file(
    db: sqlite_utils.Database, contents: FileContents, *, observed_at: str, accept: bool = False
) -> dict[str, Written]:
    """Write a file's contents. Distributions and splits of an earlier file that it lacks are withdrawn.

    Implausible figures are stored as provisional, unless the person vouches for them (`accept`). Rows of an
    export are stored under their own sources and instants, in their order.
    """
    rows, ticker = contents.observations, contents.preview.ticker
    if contents.exported:
        written: dict[str, Written] = {}
        for table, group in rows_by_kind(rows).items():
            for (at, source), part in groupby(sorted(group, key=_origin), key=_origin):
                counts = observations.add(db, KINDS[table], part, source=source, observed_at=at)
                written[table] = written.get(table, Written()) + counts
        return written
    rows = rows if accept else mark_answer(db, rows, source=TYPED_IN, ticker=ticker)
    sessions = {bar.session for bar in rows.get("bars", ())}
    withdrawn: dict[str, list[Observation]] = {}
    for kind in EVENTS:
        if kind.table in contents.complete:
            absent = sessions - {row.session for row in rows_by_kind(rows)[kind.table]}
            stored = observations.newest(db, kind, ticker=ticker, source=TYPED_IN)
            withdrawn[kind.table] = [kind(ticker, row.session, None) for row in stored if row.session in absent]
    rows = with_rows(rows, withdrawn)
    return store_import(db, rows, source=TYPED_IN, subject=contents.subject, observed_at=observed_at)


def _origin(row: Observation) -> tuple[str, str]:
    return row.observed_at, row.source


def with_rows(rows: Observations, more: Mapping[str, Sequence[Observation]]) -> Observations:
    """Observations with more rows of the kinds that they have."""
    return observations_of({kind: [*group, *more.get(kind, ())] for kind, group in rows_by_kind(rows).items()})


def with_withdrawals(
    db: sqlite_utils.Database, source: str, ticker: str, outcome: Ok, completed: pd.DatetimeIndex
) -> Observations:
    """The rows of an answer, and those that withdraw stored events of its source which it should list.

    Nothing is withdrawn if the answer has an event that cannot be dated: that may be it. No split is if
    many distributions are absent: then the answer came without its events.
    """
    withdrawn: dict[str, list[Observation]] = {}
    payload = rows_by_kind(outcome.payload)
    answered = {bar.session for bar in outcome.payload["bars"]} if "bars" in payload else None
    if answered is not None and not all(name[:1].isdigit() for name in outcome.missing):  # not dates alone
        return outcome.payload
    for kind in EVENTS:
        if kind.table not in payload:
            continue
        listed = {row.session for row in payload[kind.table]}
        newest = observations.newest(db, kind, ticker=ticker, source=source)
        stored = {row.session for row in newest if getattr(row, *kind.figures) is not None}
        absent = [
            session
            for session in sorted(stored - listed)
            if (
                (listed and min(listed) < session < max(listed))  # it has all events between its ends
                if answered is None
                else _is_surrounded(session, answered, completed)
            )
        ]
        if len(absent) > max(len(stored & listed), 1):  # not so many at once: the list itself is not whole
            break
        withdrawn[kind.table] = [kind(ticker, session, None) for session in absent]
    return with_rows(outcome.payload, withdrawn)


def _is_surrounded(session: str, answered: Collection[str], completed: pd.DatetimeIndex) -> bool:
    """Whether an answer has a session, the one before and the one after it."""
    place = int(completed.searchsorted(session))
    around = [f"{day:%Y-%m-%d}" for day in completed[max(place - 1, 0) : place + 2]]
    return len(around) == 3 and around[1] == session and all(day in answered for day in around)
