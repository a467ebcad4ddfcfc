"""Reads CSV files of prices, fund facts, multiples and weights of one fund: a whole file or nothing.

Every bad row is found and named by its line; nothing is repaired silently. What is read are rows as storage
has them, so that `store` is the only step from here to the database.
"""

import datetime as dt
import operator
from bisect import bisect
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from pathlib import Path

import msgspec

from bot.analytics.sessions import Sessions
from bot.analytics.sources import SAMPLE
from bot.data.csv_cells import BadCell, Cells, shorten
from bot.data.csv_formats import FORMATS, OBSERVED_COLUMN, SOURCE_COLUMN
from bot.data.csv_table import CsvTable, Format, read_table
from bot.data.provider import LABELS, observations_of
from bot.data.store import FileContents, Preview
from bot.errors import ImportRejected
from bot.text import counted, listed
from storage.records import Bar, K, Observation, instant

_EXPORTED_SOURCES = tuple(name for name in LABELS if name != SAMPLE)
_ORIGIN = {SOURCE_COLUMN, OBSERVED_COLUMN}
_EVENTS = {"dividends": "distributions", "stock splits": "splits"}  # columns of daily prices, kinds


class RowReader:
    """Collects the rows of one file of a ticker, and what is wrong or left out among them.

    Rows after `completed`, the last completed session, are left out because their figures still change, but
    not from an export (`exported`), whose rows name their source and instant. Days are texts in ISO form.
    """

    def __init__(
        self,
        form: Format,
        ticker: str,
        sessions: Sequence[dt.date],
        *,
        today: dt.date,
        completed: dt.date,
        exported: bool,
    ) -> None:
        self._form, self._ticker, self._exported = form, ticker, exported
        self._today, self._completed = today.isoformat(), completed.isoformat()
        self._latest = f"{today + dt.timedelta(days=1)}"  # day of an instant in any time zone
        self._sessions = [day.isoformat() for day in sessions]
        self._known = set(self._sessions)
        # Lines and rows by session, instant, source and what else tells the rows of a session apart.
        self.rows: dict[tuple[str, ...], tuple[int, list[Observation]]] = {}
        self.bad: list[tuple[int, str]] = []
        self.closed: list[str] = []
        self.unfinished: set[str] = set()
        self.empty = 0

    def take(self, line: int, cells: Cells) -> None:
        """Read one row. Errors are collected, so that all are reported at once."""
        try:
            observed_at, source = self._origin(cells)
            day = cells["date"] if cells["date"] in self._known else cells.date("date") or ""
            session = day if day in self._known and day <= self._today else self._session(day)
            if session is None:
                self.closed.append(day)
                return
            if session > self._completed and not self._exported:
                self.unfinished.add(session)
                return
            rows = [
                row
                for row in self._form.convert(cells, self._ticker, session)
                if self._exported or any(getattr(row, name) is not None for name in row.figures)
            ]
            if not rows:
                self.empty += 1
                return
            key = (session, observed_at, source, *[getattr(rows[0], name) for name in rows[0].key[2:]])
            earlier, known = self.rows.setdefault(key, (line, rows))
            if known is not rows and known != rows:
                raise BadCell(f"{session} is on line {earlier} too, with other values")
        except BadCell as err:
            self.bad.append((line, str(err)))

    def _origin(self, cells: Cells) -> tuple[str, str]:
        """Instant and source of a row, empty strings if the file does not name them."""
        if not self._exported:
            for column in _ORIGIN:
                cells.pop(column, None)
            return "", ""
        source, at = cells[SOURCE_COLUMN], cells[OBSERVED_COLUMN]
        if source not in _EXPORTED_SOURCES:
            raise BadCell(f"source “{shorten(source)}” is none of {', '.join(_EXPORTED_SOURCES)}")
        if not _is_instant(at) or at[:10] > self._latest:
            raise BadCell(f"observed_at “{shorten(at)}” is not a past instant like 2020-12-11T21:20:00Z")
        return at, source

    def _session(self, day: str) -> str | None:
        """Session that a row counts for, None if it is dropped. A day of an export counts as it is."""
        if not day:
            raise BadCell("date is missing")
        if day > self._today:
            raise BadCell(f"{day} is in the future")
        if day in self._known:
            return day
        if day < self._sessions[0]:
            raise BadCell(f"{day} is before {self._sessions[0]}, where the calendar of sessions starts")
        if self._exported:
            return day
        if self._form.closed == "refuse":
            raise BadCell(f"{day} is a day without a session")
        return None if self._form.closed == "drop" else self._sessions[bisect(self._sessions, day) - 1]

    def contents(self, table: CsvTable) -> FileContents | None:
        """All rows by kind and in order of sessions, None without any."""
        if not self.rows:
            return None
        observations: dict[str, list[Observation]] = {kind: [] for kind in self._form.fills}
        for (_, observed_at, source, *_), (_, rows) in sorted(self.rows.items()):
            for row in rows:
                if self._exported:
                    row = msgspec.structs.replace(row, source=source, observed_at=observed_at)  # noqa: PLW2901 - completed
                observations[row.table].append(row)
        sessions = [session for session, *_ in self.rows]
        subject = f"{self._ticker} {self._form.title}"
        preview = Preview(
            self._ticker,
            f"{subject}: {counted(len(self.rows), 'row')}, {min(sessions)} to {max(sessions)}.",
            layout=table.layout,
            closed=tuple(sorted(self.closed)),
            unfinished=tuple(sorted(self.unfinished)),
            empty=self.empty,
            unread=(*table.left_out, *(() if self._exported else sorted(table.columns & _ORIGIN))),
        )
        complete = tuple(kind for column, kind in _EVENTS.items() if column in table.columns)
        return FileContents(observations_of(observations), preview, subject, complete, self._exported)


def _is_instant(text: str) -> bool:
    try:
        return instant(text) == text and dt.datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


LARGEST_STEP = 2  # the median of sessions from row to row above which bars are not daily ones
ENOUGH_ROWS = 20  # rows before that is judged, and whether closes are adjusted
# Prices have been in cents since the exchanges left fractions; a split leaves earlier ones between cents.
_CENTS_SINCE = "2001-04-09"
RECENT_ROWS = 250  # the last rows, of which
ON_CENT = 0.5  # this share must lie
MOST_SPLITS = 1_000_000  # what all splits of a fund may multiply to, or its inverse
CENT_WITHIN = 0.0001 + 1e-9  # dollars from a cent; sources write floats
_TOO_FEW = "Too few closes to tell whether they are adjusted for distributions; taken as not adjusted."


class NoFigures(ImportRejected):
    """A file of the right layout without a figure of a completed session."""


def read_csv(
    form: str, file: Path | str, ticker: str, *, sessions: Sessions, today: dt.date, completed: dt.date
) -> FileContents:
    """The contents of a file (Path) or of CSV text. `form` is a key of FORMATS.

    Adj Close is not read: it is derived, and rewritten at each distribution. Weekly or monthly rows, a row on
    a day without a session, and closes adjusted for distributions are refused. Of fund facts, rows on days
    without a session are left out, and so is a column of ex-dividends: distributions come with the prices,
    and from two files they would be counted twice. Other figures of such a day count for the session before.
    Raises ImportRejected naming every bad row by its line, or NoFigures.
    """
    table = read_table(file, FORMATS[form], FORMATS.values(), ticker)
    if not table.rows and not table.bad:
        raise NoFigures(f"{table.name} was not imported: it has a header line but no rows.")
    exported = table.columns >= _ORIGIN
    reader = RowReader(FORMATS[form], ticker, sessions.days, today=today, completed=completed, exported=exported)
    for line, cells in table.rows:
        reader.take(line, cells)
    bad = sorted(table.bad + reader.bad)
    if bad:
        count = f"{counted(len(bad), 'row')} {'are' if len(bad) > 1 else 'is'} wrong"
        lines = listed([f"line {line}: {reason}" for line, reason in bad], "\n")
        raise ImportRejected(f"{table.name} was not imported, {count}:\n{lines}")
    contents = reader.contents(table)
    if contents is None:
        raise NoFigures(f"{table.name} was not imported: no row of it holds a figure of a completed session.")
    if form != "prices":
        return contents
    if not (exported and table.split_adjusted):  # an export repeats a split of each source
        _refuse_splits(table.name, contents)
    if not table.split_adjusted:
        contents = _adjust_for_splits(contents)
    _refuse_weekly(table.name, contents.observations["bars"], sessions.days)
    if exported:
        return contents  # an export holds what was checked before
    notes = _refuse_adjusted(table.name, contents)
    return replace(contents, preview=replace(contents.preview, notes=notes))


def _refuse_splits(name: str, contents: FileContents) -> None:
    """Raise ImportRejected for splits that together leave the range of prices."""
    whole = 1.0
    for split in contents.observations["splits"]:
        whole *= split.ratio or 1.0
        if not 1 / MOST_SPLITS <= whole <= MOST_SPLITS:
            raise ImportRejected(
                f"{name} was not imported: up to {split.session} its splits multiply to {whole:.3g}, "
                f"which is not between 1/{MOST_SPLITS:,} and {MOST_SPLITS:,}."
            )


def _adjust_for_splits(contents: FileContents) -> FileContents:
    """Bars and distributions as traded, adjusted for the splits after their session."""
    rows = contents.observations
    splits = sorted((split.session, split.ratio or 1.0) for split in rows["splits"])
    days = [session for session, _ in splits]
    # By the number of splits up to a session, the product of the later ones.
    products = [*accumulate((ratio for _, ratio in reversed(splits)), operator.mul, initial=1.0)][::-1]

    def adjusted(row: K, names: tuple[str, ...]) -> K:
        later = products[bisect(days, row.session)]
        values = {name: value for name in names if (value := getattr(row, name)) is not None}
        changed = {name: value / later for name, value in values.items() if name != "volume"}
        if "volume" in values:
            changed["volume"] = round(values["volume"] * later)
        return msgspec.structs.replace(row, **changed)

    bars = [adjusted(bar, ("open", "high", "low", "close", "volume")) for bar in rows["bars"]]
    distributions = [adjusted(row, ("amount",)) for row in rows["distributions"]]
    return replace(contents, observations={**rows, "bars": bars, "distributions": distributions})


def _refuse_adjusted(name: str, contents: FileContents) -> tuple[str, ...]:
    """Raise ImportRejected for closes adjusted for distributions. Returns a note if they are too few.

    A traded price lies on a cent; one that is adjusted for distributions does so by chance only.
    """
    rows = contents.observations
    after = max([_CENTS_SINCE, *(split.session for split in rows["splits"])])
    closes = [bar.close for bar in rows["bars"] if bar.session > after][-RECENT_ROWS:]
    if len(closes) < ENOUGH_ROWS:
        return (_TOO_FEW,) if rows["bars"] else ()
    on_cent = sum(abs(close - round(close, 2)) <= CENT_WITHIN for close in closes)
    if on_cent >= ON_CENT * len(closes):
        return ()
    ticker = contents.preview.ticker
    call = f'yf.Ticker("{ticker}").history(period="max", auto_adjust=False).to_csv("{ticker}.csv")'
    raise ImportRejected(
        f"{name} was not imported: its closes are adjusted for distributions (on a cent: {on_cent} of "
        f"the last {len(closes)}), and total returns would count distributions twice. "
        f"Closes adjusted for splits only: {call}"
    )


def _refuse_weekly(name: str, bars: Sequence[Bar], sessions: Sequence[dt.date]) -> None:
    """Raise ImportRejected for weekly or monthly bars, which sources adjust differently from daily ones."""
    places = {day.isoformat(): place for place, day in enumerate(sessions)}
    taken = [places[bar.session] for bar in bars if bar.session in places]
    steps = sorted(after - before for before, after in pairwise(taken))
    apart = steps[len(steps) // 2] if len(taken) >= ENOUGH_ROWS else 0
    if apart > LARGEST_STEP:
        raise ImportRejected(
            f"{name} was not imported: its rows are {apart} sessions apart; only daily prices are read."
        )
