"""CSV files taken in: daily prices, fund facts and multiples of one fund, all of a file or nothing of it.

Every bad row is found and named by its line; nothing is repaired silently. What is read is the storage's
own kinds of rows, so that `store` is the only step from here to the database.
"""

from __future__ import annotations

import datetime as dt
from bisect import bisect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bot.analytics.market import PAIR, TYPED_IN
from bot.data import formats
from bot.data.cells import BadCell, date, name_of, read_table, shorten
from bot.data.formats import FORMATS
from bot.data.load import LABELS
from bot.errors import ImportRejected
from storage import observations as stored
from storage import sources
from storage.observations import Written
from storage.rows import instant

if TYPE_CHECKING:
    import sqlite_utils

    from bot.analytics.sessions import Sessions
    from bot.data.cells import Table
    from bot.data.formats import Cells, Format, Kinded
    from bot.data.provider import Observations
    from storage.rows import Row

SOURCE = TYPED_IN
SAMPLE = "sample"  # made-up figures never leave as a file: read back in, they would pass for real ones
EXPORTED = tuple(name for name in LABELS if name != SAMPLE)
_WHO_AND_WHEN = {formats.SOURCE, formats.OBSERVED}
_EVENTS = {"dividends": "distributions", "stock splits": "splits"}  # columns of daily prices, kinds
SHOWN = 10  # bad rows and left-out dates are named one by one up to here
DAILY = 2  # the median of sessions from row to row above which bars are not daily ones
ENOUGH = 20  # rows before that is judged


@dataclass(frozen=True)
class Preview:
    """What a file holds, to be shown before it is stored."""

    words: str  # "daily prices"
    ticker: str
    rows: int  # that would be stored
    first: str | None  # session, ISO
    last: str | None
    closed: tuple[str, ...] = ()  # dates of rows left out because there was no session
    empty: int = 0  # rows left out because they hold no value
    unread: tuple[str, ...] = ()  # headers of columns that are not read

    def sentences(self) -> list[str]:
        """The preview for people: what there is, then what was left out and why."""
        span = f"{_rows(self.rows)}, {self.first} to {self.last}"
        said = [f"{self.ticker} {self.words}: {span}."]
        if self.closed:
            said.append(f"Left out, no session on that day: {_listed(self.closed, ', ')}.")
        if self.empty:
            said.append(f"Left out, without a value: {_rows(self.empty)}.")
        if self.unread:
            said.append(f"Columns not read: {', '.join(self.unread)}.")
        return said


@dataclass(frozen=True)
class Said:
    """What one source said at one instant, as an export tells it."""

    source: str
    observed_at: str
    observations: Observations


@dataclass(frozen=True)
class Contents:
    """A file as read: its rows by kind, and its preview."""

    observations: Observations
    preview: Preview
    complete: tuple[str, ...] = ()  # kinds of which it says on each of its sessions whether there was one
    record: tuple[Said, ...] = ()  # of an export: the same rows by who said them and when, in order


def read_prices(file: Path | str, ticker: str, *, sessions: Sessions, today: dt.date) -> Contents:
    """Bars, distributions and splits of daily prices; closes are split-adjusted, as Yahoo gives them.

    `file` is a Path, or the CSV text itself. Adj Close is not read: it is derived, and rewritten at
    each distribution. A row on a day without a session is refused. Raises ImportRejected.
    """
    contents = _read(FORMATS["prices"], file, ticker, sessions, today)
    _refuse_weekly(name_of(file), contents.observations["bars"], sessions)
    return contents


def read_fund_facts(file: Path | str, ticker: str, *, sessions: Sessions, today: dt.date) -> Contents:
    """NAV, shares outstanding and assets; each may be missing in a row.

    Rows on days without a session are left out and listed in the preview. A column of ex-dividends is
    not read: distributions come with the prices, and from two files they would be counted twice.
    Raises ImportRejected.
    """
    return _read(FORMATS["fund-facts"], file, ticker, sessions, today)


def read_multiples(file: Path | str, ticker: str, *, sessions: Sessions, today: dt.date) -> Contents:
    """Multiples, one figure a row, each under its convention; basis "unstated" where none is given.

    A figure of a day without a session (a month that ends on a Sunday) counts for the session before it.
    Raises ImportRejected.
    """
    return _read(FORMATS["multiples"], file, ticker, sessions, today)


def read_weights(file: Path | str, ticker: str, *, sessions: Sessions, today: dt.date) -> Contents:
    """Weights in percent: of sectors, of industry groups, or the share of revenue from the home market.

    Issuers' files give sectors only; finer groups and revenue shares come this way, dated. A day
    without a session counts for the session before it. Raises ImportRejected.
    """
    return _read(FORMATS["weights"], file, ticker, sessions, today)


READERS: dict[str, Callable[..., Contents]] = {
    "prices": read_prices,
    "fund-facts": read_fund_facts,
    "multiples": read_multiples,
    "weights": read_weights,
}


def store(
    db: sqlite_utils.Database, rows: Observations, *, source: str, observed_at: str
) -> dict[str, Written]:
    """Write observations of every kind, inside the caller's transaction; what became of them by kind."""
    return {
        kind: stored.add(db, kind, found, source=source, observed_at=observed_at)
        for kind, found in rows.items()
    }


def note_import(
    db: sqlite_utils.Database, rows: Observations, *, source: str, subject: str, observed_at: str
) -> None:
    """Note in the list of sources that a file was imported, and its last session."""
    days = [row["session"] for found in rows.values() for row in found if "session" in row]
    sources.record_import(db, source, subject, now=observed_at, session=max(days, default=None))


def store_file(db: sqlite_utils.Database, contents: Contents, *, observed_at: str) -> dict[str, Written]:
    """Write a file's contents; what an earlier file distributed or split and this one does not is withdrawn.

    What an export tells is stored as it was said: under its sources, at its instants.
    """
    if contents.record:
        return _store_record(db, contents.record)
    rows = dict(contents.observations)
    for kind in contents.complete:
        rows[kind] = [*rows[kind], *_withdrawn(db, contents, kind)]
    subject = f"{contents.preview.ticker} {contents.preview.words}"
    note_import(db, rows, source=SOURCE, subject=subject, observed_at=observed_at)
    return store(db, rows, source=SOURCE, observed_at=observed_at)


def _store_record(db: sqlite_utils.Database, record: Sequence[Said]) -> dict[str, Written]:
    """Write what was said one after the other; what became of it by kind."""
    written: dict[str, Written] = {}
    for said in record:
        for kind, found in said.observations.items():
            new = stored.add(db, kind, found, source=said.source, observed_at=said.observed_at)
            written[kind] = written.get(kind, Written()) + new
    return written


def _withdrawn(db: sqlite_utils.Database, contents: Contents, kind: str) -> list[Row]:
    """Distributions or splits stored from files on sessions of this one, which has none there."""
    (day, (column,)) = stored.KINDS[kind].session, stored.KINDS[kind].values
    sessions = {row["session"] for row in contents.observations["bars"]}
    listed = {row[day] for row in contents.observations[kind]}
    return [
        {"ticker": row["ticker"], day: row[day], column: None}
        for row in stored.newest(db, kind)
        if (row["source"], row["ticker"]) == (SOURCE, contents.preview.ticker)
        and row[day] in sessions - listed
    ]


def known_fund(ticker: str) -> str:
    """The ticker in capitals; ImportRejected for a fund that is not compared."""
    fund = ticker.strip().upper()
    if fund not in PAIR:
        raise ImportRejected(
            f"“{shorten(ticker)}” is not a fund of this bot; it compares {PAIR[0]} and {PAIR[1]}."
        )
    return fund


def _read(form: Format, file: Path | str, ticker: str, sessions: Sessions, today: dt.date) -> Contents:
    """A file's contents; ImportRejected naming every bad row by its line."""
    reading = _Reading(form, known_fund(ticker), sessions, today)
    table = read_table(file, form.layout, tuple(known.layout for known in FORMATS.values()))
    reading.record = {formats.SOURCE, formats.OBSERVED} <= table.columns
    for line, cells in table.rows:
        reading.take(line, cells)
    bad = sorted(table.ragged + reading.bad)
    if bad:
        count = f"{_rows(len(bad))} {'are' if len(bad) > 1 else 'is'} wrong"
        named = _listed([f"line {line}: {reason}" for line, reason in bad], "\n")
        raise ImportRejected(f"{table.name} was not imported, {count}:\n{named}")
    if not reading.kept:
        raise ImportRejected(f"{table.name} was not imported: no row of it holds a figure of a session.")
    return reading.contents(table)


class _Reading:
    """Rows taken in one after another, with what is wrong or left out among them."""

    def __init__(self, form: Format, ticker: str, sessions: Sessions, today: dt.date) -> None:
        self.form = form
        self.ticker = ticker
        self.today = today
        self.sessions: list[dt.date] = list(sessions.index.date)
        self.open = set(self.sessions)
        self.record = False  # whether each row says who said it and when
        self.kept: dict[tuple[str, ...], tuple[int, Kinded]] = {}
        self.bad: list[tuple[int, str]] = []
        self.closed: list[str] = []
        self.empty = 0

    def take(self, line: int, cells: Cells) -> None:
        """Take one row in; what is wrong with it is kept, so that all faults are told at once."""
        if not self.record:
            cells = {column: cell for column, cell in cells.items() if column not in _WHO_AND_WHEN}
        try:
            said = self._said(cells)
            day = date(cells["date"])
            session = self._session(day)
            if session is None:
                self.closed.append(day.isoformat())
                return
            rows = self.form.convert(cells)
            self.empty += not rows
            if rows:
                self._keep(line, session.isoformat(), said, rows)
        except BadCell as err:
            self.bad.append((line, str(err)))

    def _said(self, cells: Cells) -> tuple[str, str]:
        """Who said a row and when; empty words where the file does not tell."""
        if not self.record:
            return "", ""
        source, at = cells[formats.SOURCE], cells[formats.OBSERVED]
        if source not in EXPORTED:
            raise BadCell(f"source “{shorten(source)}” is none of {', '.join(EXPORTED)}")
        if not _is_instant(at) or at[:10] > f"{self.today + dt.timedelta(days=1)}":
            raise BadCell(f"observed_at “{shorten(at)}” is not a past instant like 2020-12-11T21:20:00Z")
        return at, source

    def _session(self, day: dt.date) -> dt.date | None:
        """Session that a row counts for, None where it is dropped; a day of an export counts as it is."""
        if day > self.today:
            raise BadCell(f"{day} is in the future")
        if day < self.sessions[0]:
            raise BadCell(f"{day} is before {self.sessions[0]}, where the calendar of sessions starts")
        if self.record:
            return day
        if day in self.open or self.form.closed == "drop":
            return day if day in self.open else None
        if self.form.closed == "refuse":
            raise BadCell(f"{day} is a day without a session")
        return self.sessions[bisect(self.sessions, day) - 1]

    def _keep(self, line: int, session: str, said: tuple[str, str], rows: Kinded) -> None:
        """Keep a row unless one of its key is there; a second one must say the same."""
        key = (
            session,
            *said,
            *(rows[0][1].get(column, "") for column in ("metric", "convention", "basis", "level", "sector")),
        )
        earlier, known = self.kept.setdefault(key, (line, rows))
        if known != rows:
            raise BadCell(f"{session} is on line {earlier} too, with other values")

    def contents(self, table: Table) -> Contents:
        """All that was kept, by kind and in order of sessions."""
        found: dict[str, list[Row]] = {name: [] for name in self.form.fills}
        record: dict[tuple[str, str], dict[str, list[Row]]] = {}
        for (session, at, source, *_), (_, rows) in sorted(self.kept.items()):
            for name, values in rows:
                row = {"ticker": self.ticker, stored.KINDS[name].session: session, **values}
                found[name].append(row)
                record.setdefault((at, source), {}).setdefault(name, []).append(row)
        told = tuple(Said(source, at, group) for (at, source), group in sorted(record.items()))
        spanned = sorted(session for session, *_ in self.kept)
        preview = Preview(
            words=self.form.layout.words,
            ticker=self.ticker,
            rows=len(self.kept),
            first=spanned[0] if spanned else None,
            last=spanned[-1] if spanned else None,
            closed=tuple(sorted(self.closed)),
            empty=self.empty,
            unread=table.left_out
            if self.record
            else (*table.left_out, *sorted(table.columns & _WHO_AND_WHEN)),
        )
        complete = tuple(kind for column, kind in _EVENTS.items() if column in table.columns)
        return Contents(found, preview, complete, told if self.record else ())


def _refuse_weekly(name: str, bars: Sequence[Row], sessions: Sessions) -> None:
    """ImportRejected for weekly or monthly bars: sources adjust them differently from daily ones."""
    places = sessions.index.get_indexer([row["session"] for row in bars])
    apart = float(np.median(np.diff(places))) if len(places) >= ENOUGH else 0.0
    if apart > DAILY:
        raise ImportRejected(
            f"{name} was not imported: its rows are {apart:g} sessions apart; only daily prices are read."
        )


def _is_instant(text: str) -> bool:
    """Whether a text is an instant as storage writes it."""
    try:
        return instant(text) == text and dt.datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def _listed(items: Sequence[str], between: str) -> str:
    """Items up to SHOWN, then how many more there are."""
    more = len(items) - SHOWN
    return between.join(items[:SHOWN]) + (f"{between}and {more:,} more" if more > 0 else "")
