"""The contents of a CSV file: its rows by kind of storage, and their preview.

Reads the rows of a CSV file one by one: which session each counts for, and what is wrong with it.

Reads CSV files of prices, fund facts, multiples and weights of one fund: a whole file or nothing.

Every bad row is found and named by its line; nothing is repaired silently. What is read is the storage's
own kinds of rows, so that `store` is the only step from here to the database.
"""

from __future__ import annotations

import datetime as dt
import math
from bisect import bisect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bot.analytics.market import SAMPLE
from bot.data import csv_formats
from bot.data.csv_cells import BadCell, date, file_label, read_table, shorten
from bot.data.csv_formats import FORMATS
from bot.data.provider import LABELS
from bot.errors import ImportRejected
from bot.text import counted, listed
from storage.rows import KINDS, instant

if TYPE_CHECKING:
    from bot.analytics.sessions import Sessions
    from bot.data.csv_cells import CsvTable
    from bot.data.csv_formats import Cells, Format, Kinded
    from bot.data.provider import Observations
    from storage.rows import Row


@dataclass(frozen=True)
class CsvPreview:
    """What a file holds, to be shown before it is stored."""

    words: str  # "daily prices"
    ticker: str
    rows: int  # that would be stored
    first: str | None  # session, ISO
    last: str | None
    layout: str = ""  # whose it is, where it is not the plain one
    closed: tuple[str, ...] = ()  # dates of rows left out because there was no session
    unfinished: tuple[str, ...] = ()  # sessions left out because they were not completed
    empty: int = 0  # rows left out because they hold no value
    unread: tuple[str, ...] = ()  # headers of columns that are not read
    note: str = ""  # what could not be checked

    def sentences(self) -> list[str]:
        """The preview for people: what was read, then what was left out and why."""
        span = f"{counted(self.rows, 'row')}, {self.first} to {self.last}"
        sentences = [f"{self.ticker} {self.words}: {span}."]
        if self.layout:
            sentences.append(f"Layout: {self.layout}.")
        if self.closed:
            sentences.append(f"Left out, no session on that day: {listed(self.closed)}.")
        if self.unfinished:
            sentences.append(f"Left out, session not completed: {listed(self.unfinished)}.")
        if self.empty:
            sentences.append(f"Left out, without a value: {counted(self.empty, 'row')}.")
        if self.unread:
            sentences.append(f"Columns not read: {', '.join(self.unread)}.")
        if self.note:
            sentences.append(self.note)
        return sentences


@dataclass(frozen=True)
class ExportedRows:
    """The rows of an export from one source at one instant."""

    source: str
    observed_at: str
    observations: Observations


@dataclass(frozen=True)
class CsvContents:
    """A file as read: its rows by kind, and its preview."""

    observations: Observations
    preview: CsvPreview
    complete: tuple[str, ...] = ()  # kinds for which every session of the file has a value or none
    record: tuple[ExportedRows, ...] = ()  # of an export: the same rows by source and instant, in order


EXPORTED = tuple(name for name in LABELS if name != SAMPLE)
_WHO_AND_WHEN = {csv_formats.SOURCE, csv_formats.OBSERVED}
_EVENTS = {"dividends": "distributions", "stock splits": "splits"}  # columns of daily prices, kinds


class RowReader:
    """Collects the rows of one file, and what is wrong or left out among them.

    `record`: of an export, whose rows say who said each and when. Rows of other files after `completed`, the
    last completed session, are left out: their figures still change.
    """

    def __init__(
        self,
        form: Format,
        ticker: str,
        sessions: Sessions,
        *,
        today: dt.date,
        completed: dt.date,
        record: bool,
    ) -> None:
        self.form = form
        self.ticker = ticker
        self.today = today
        self.completed = completed
        self.sessions: list[dt.date] = list(sessions.index.date)
        self.open = set(self.sessions)
        self.record = record
        self.kept: dict[tuple[str, ...], tuple[int, Kinded]] = {}
        self.bad: list[tuple[int, str]] = []
        self.closed: list[str] = []
        self.unfinished: set[str] = set()
        self.empty = 0

    def take(self, line: int, cells: Cells) -> None:
        """Read one row. Errors are collected, so that all are reported at once."""
        if not self.record:
            cells = {column: cell for column, cell in cells.items() if column not in _WHO_AND_WHEN}
        try:
            origin = self._said(cells)
            day = date(cells["date"])
            session = self._session(day)
            if session is None:
                self.closed.append(day.isoformat())
                return
            if session > self.completed and not self.record:
                self.unfinished.add(session.isoformat())
                return
            rows = self.form.convert(cells)
            self.empty += not rows
            if rows:
                self._keep(line, session.isoformat(), origin, rows)
        except BadCell as err:
            self.bad.append((line, str(err)))

    def _said(self, cells: Cells) -> tuple[str, str]:
        """Instant and source of a row, empty strings if the file does not name them."""
        if not self.record:
            return "", ""
        source, at = cells[csv_formats.SOURCE], cells[csv_formats.OBSERVED]
        if source not in EXPORTED:
            raise BadCell(f"source “{shorten(source)}” is none of {', '.join(EXPORTED)}")
        if not _is_instant(at) or at[:10] > f"{self.today + dt.timedelta(days=1)}":
            raise BadCell(f"observed_at “{shorten(at)}” is not a past instant like 2020-12-11T21:20:00Z")
        return at, source

    def _session(self, day: dt.date) -> dt.date | None:
        """Session that a row counts for, None if it is dropped. A day of an export counts as it is."""
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

    def _keep(self, line: int, session: str, origin: tuple[str, str], rows: Kinded) -> None:
        """Keep a row unless its key is known already; a second one must have the same values."""
        key = (
            session,
            *origin,
            *(rows[0][1].get(column, "") for column in ("metric", "convention", "basis", "level", "sector")),
        )
        earlier, known = self.kept.setdefault(key, (line, rows))
        if known != rows:
            raise BadCell(f"{session} is on line {earlier} too, with other values")

    def contents(self, table: CsvTable) -> CsvContents:
        """All that was kept, by kind and in order of sessions."""
        observations: dict[str, list[Row]] = {name: [] for name in self.form.fills}
        record: dict[tuple[str, str], dict[str, list[Row]]] = {}
        for (session, at, source, *_), (_, rows) in sorted(self.kept.items()):
            for name, values in rows:
                row = {"ticker": self.ticker, KINDS[name].session: session, **values}
                observations[name].append(row)
                record.setdefault((at, source), {}).setdefault(name, []).append(row)
        exported = tuple(ExportedRows(source, at, group) for (at, source), group in sorted(record.items()))
        spanned = sorted(session for session, *_ in self.kept)
        preview = CsvPreview(
            words=self.form.layout.words,
            ticker=self.ticker,
            rows=len(self.kept),
            first=spanned[0] if spanned else None,
            last=spanned[-1] if spanned else None,
            layout=table.layout,
            closed=tuple(sorted(self.closed)),
            unfinished=tuple(sorted(self.unfinished)),
            empty=self.empty,
            unread=table.left_out
            if self.record
            else (*table.left_out, *sorted(table.columns & _WHO_AND_WHEN)),
        )
        complete = tuple(kind for column, kind in _EVENTS.items() if column in table.columns)
        return CsvContents(observations, preview, complete, exported if self.record else ())


def _is_instant(text: str) -> bool:
    """Whether a text is an instant as storage writes it."""
    try:
        return instant(text) == text and dt.datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


DAILY = 2  # the median of sessions from row to row above which bars are not daily ones
ENOUGH = 20  # rows before that is judged, and whether closes are adjusted
# Prices have been in cents since the exchanges left fractions; a split leaves earlier ones between cents.
_CENTS_SINCE = "2001-04-09"
RECENT_ROWS = 250  # the last rows, of which
ON_CENT = 0.5  # this share must lie
CENT_WITHIN = 0.0001 + 1e-9  # dollars from a cent; sources write floats
_TOO_FEW = "Too few closes to tell whether they are adjusted for distributions; taken as not adjusted."
_PER_SHARE = ("open", "high", "low", "close", "amount")


class NoFigures(ImportRejected):
    """A file of the right layout without a figure of a completed session."""


def read_prices(
    file: Path | str, ticker: str, *, sessions: Sessions, today: dt.date, completed: dt.date
) -> CsvContents:
    """Bars, distributions and splits of daily prices; closes are split-adjusted, as Yahoo gives them.

    `file` is a Path, or the CSV text itself. Adj Close is not read: it is derived, and rewritten at
    each distribution. A row on a day without a session is refused, and so are closes adjusted for
    distributions. Raises ImportRejected.
    """
    contents = _read_file(FORMATS["prices"], file, ticker, sessions, today, completed)
    _refuse_weekly(file_label(file), contents.observations["bars"], sessions)
    if contents.record:
        return contents  # an export holds what was checked before
    note = _refuse_adjusted(file_label(file), contents)
    return replace(contents, preview=replace(contents.preview, note=note))


def read_fund_facts(
    file: Path | str, ticker: str, *, sessions: Sessions, today: dt.date, completed: dt.date
) -> CsvContents:
    """Read NAV, shares outstanding and assets, each of which may be missing in a row.

    Rows on days without a session are left out and listed in the preview. A column of ex-dividends is
    not read: distributions come with the prices, and from two files they would be counted twice.
    Raises ImportRejected.
    """
    return _read_file(FORMATS["fund-facts"], file, ticker, sessions, today, completed)


def read_multiples(
    file: Path | str, ticker: str, *, sessions: Sessions, today: dt.date, completed: dt.date
) -> CsvContents:
    """Read multiples, one figure a row under its convention; the basis is "unstated" if none is given.

    A figure of a day without a session (a month that ends on a Sunday) counts for the session before it.
    Raises ImportRejected.
    """
    return _read_file(FORMATS["multiples"], file, ticker, sessions, today, completed)


def read_weights(
    file: Path | str, ticker: str, *, sessions: Sessions, today: dt.date, completed: dt.date
) -> CsvContents:
    """Weights in percent: of sectors, of industry groups, or the share of revenue from the home market.

    Issuers' files give sectors only; finer groups and revenue shares come this way, dated. A day
    without a session counts for the session before it. Raises ImportRejected.
    """
    return _read_file(FORMATS["weights"], file, ticker, sessions, today, completed)


READERS: dict[str, Callable[..., CsvContents]] = {
    "prices": read_prices,
    "fund-facts": read_fund_facts,
    "multiples": read_multiples,
    "weights": read_weights,
}


def _read_file(
    form: Format, file: Path | str, ticker: str, sessions: Sessions, today: dt.date, completed: dt.date
) -> CsvContents:
    """A file's contents. Raises ImportRejected naming every bad row by its line, or NoFigures."""
    table = read_table(file, form.layout, tuple(known.layout for known in FORMATS.values()), ticker)
    record = {csv_formats.SOURCE, csv_formats.OBSERVED} <= table.columns
    reading = RowReader(form, ticker, sessions, today=today, completed=completed, record=record)
    for line, cells in table.rows:
        reading.take(line, cells)
    bad = sorted(table.bad + reading.bad)
    if bad:
        count = f"{counted(len(bad), 'row')} {'are' if len(bad) > 1 else 'is'} wrong"
        named = listed([f"line {line}: {reason}" for line, reason in bad], "\n")
        raise ImportRejected(f"{table.name} was not imported, {count}:\n{named}")
    if not reading.kept:
        raise NoFigures(f"{table.name} was not imported: no row of it holds a figure of a completed session.")
    contents = reading.contents(table)
    return contents if table.split_adjusted else _adjust_for_splits(contents)


def _adjust_for_splits(contents: CsvContents) -> CsvContents:
    """Bars and distributions as traded, adjusted for the splits after their session."""
    splits = [(row["session"], row["ratio"]) for row in contents.observations["splits"]]

    def adjusted(row: Row) -> Row:
        day = row.get("session") or row["ex_date"]
        later = math.prod(ratio for session, ratio in splits if session > day)
        changed = {name: row[name] / later for name in _PER_SHARE if row.get(name) is not None}
        if row.get("volume") is not None:
            changed["volume"] = round(row["volume"] * later)
        return {**row, **changed}

    rows = contents.observations
    events = {kind: [adjusted(row) for row in rows[kind]] for kind in ("bars", "distributions")}
    return replace(contents, observations={**rows, **events})


def _refuse_adjusted(name: str, contents: CsvContents) -> str:
    """Raises ImportRejected for closes adjusted for distributions. Returns a note on too few, or "".

    A traded price lies on a cent; one that is adjusted for distributions does so by chance only.
    """
    rows = contents.observations
    after = max([_CENTS_SINCE, *(row["session"] for row in rows["splits"])])
    closes = [row["close"] for row in rows["bars"] if row["session"] > after][-RECENT_ROWS:]
    if len(closes) < ENOUGH:
        return _TOO_FEW if rows["bars"] else ""
    on_cent = sum(abs(close - round(close, 2)) <= CENT_WITHIN for close in closes)
    if on_cent >= ON_CENT * len(closes):
        return ""
    ticker = contents.preview.ticker
    call = f'yf.Ticker("{ticker}").history(period="max", auto_adjust=False).to_csv("{ticker}.csv")'
    raise ImportRejected(
        f"{name} was not imported: its closes are adjusted for distributions (on a cent: {on_cent} of "
        f"the last {len(closes)}), and total returns would count distributions twice. "
        f"Closes adjusted for splits only: {call}"
    )


def _refuse_weekly(name: str, bars: Sequence[Row], sessions: Sessions) -> None:
    """Raise ImportRejected for weekly or monthly bars, which sources adjust differently from daily ones."""
    places = sessions.index.get_indexer([row["session"] for row in bars])
    apart = float(np.median(np.diff(places))) if len(places) >= ENOUGH else 0.0
    if apart > DAILY:
        raise ImportRejected(
            f"{name} was not imported: its rows are {apart:g} sessions apart; only daily prices are read."
        )
