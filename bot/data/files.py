"""Reads CSV files of prices, fund facts, multiples and weights of one fund: a whole file or nothing.

Every bad row is found and named by its line; nothing is repaired silently. What is read is the storage's
own kinds of rows, so that `store` is the only step from here to the database.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bot.data import formats
from bot.data.cells import file_label, read_table
from bot.data.formats import FORMATS
from bot.data.reading import RowReader
from bot.errors import ImportRejected
from bot.text import counted, listed

if TYPE_CHECKING:
    from bot.analytics.sessions import Sessions
    from bot.data.formats import Format
    from bot.data.preview import CsvContents
    from storage.rows import Row

DAILY = 2  # the median of sessions from row to row above which bars are not daily ones
ENOUGH = 20  # rows before that is judged, and whether closes are adjusted
# Prices have been in cents since the exchanges left fractions; a split leaves earlier ones between cents.
_CENTS_SINCE = "2001-04-09"
JUDGED = 250  # the last rows, of which
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
    record = {formats.SOURCE, formats.OBSERVED} <= table.columns
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
    closes = [row["close"] for row in rows["bars"] if row["session"] > after][-JUDGED:]
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
