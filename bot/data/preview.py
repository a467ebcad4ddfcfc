"""The contents of a CSV file: its rows by kind of storage, and their preview."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bot.text import counted, listed

if TYPE_CHECKING:
    from bot.data.provider import Observations


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
