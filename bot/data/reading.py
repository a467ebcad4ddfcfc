"""Reads the rows of a CSV file one by one: which session each counts for, and what is wrong with it."""

from __future__ import annotations

import datetime as dt
from bisect import bisect
from typing import TYPE_CHECKING

from bot.analytics.market import SAMPLE
from bot.data import formats
from bot.data.cells import BadCell, date, shorten
from bot.data.names import LABELS
from bot.data.preview import CsvContents, CsvPreview, ExportedRows
from storage.kinds import KINDS
from storage.rows import instant

if TYPE_CHECKING:
    from bot.analytics.sessions import Sessions
    from bot.data.cells import CsvTable
    from bot.data.formats import Cells, Format, Kinded
    from storage.rows import Row

EXPORTED = tuple(name for name in LABELS if name != SAMPLE)
_WHO_AND_WHEN = {formats.SOURCE, formats.OBSERVED}
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
        source, at = cells[formats.SOURCE], cells[formats.OBSERVED]
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
