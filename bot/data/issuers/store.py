"""Stores an issuer's file, after checking that its NAVs can be this fund's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd

from bot.data.load import stored_closes
from bot.data.provider import Ok
from bot.data.store import note_import, store
from bot.data.withdrawn import withdrawals
from bot.errors import ImportRejected
from storage import observations as stored

if TYPE_CHECKING:
    from collections.abc import Sequence

    import sqlite_utils

    from bot.data.issuers.preview import IssuerContents
    from bot.data.provider import Observations
    from storage.observations import Written
    from storage.rows import Row

SOURCE = "issuer"
# A fund's price stays this close to its NAV: IWM's own file is 13% above it in July 2001, 7% in January 2002.
NEAR = 0.05
# Sessions before it is judged whether the file is of the fund at all.
ENOUGH = 5


def accept(
    db: sqlite_utils.Database, ticker: str, rows: Observations, name: str
) -> tuple[dict[str, list[Row]], tuple[str, ...]]:
    """The rows to store for a file, and the NAVs that are far from the market price, each with how far.

    Both imported and fetched files pass here. What a file does not give (a holdings file has no NAV) stays
    as an earlier one gave it; a distribution that an earlier file had and this one's list no longer has is
    withdrawn. Raises ImportRejected if its NAVs are another fund's; then nothing may be written.
    """
    taken: dict[str, list[Row]] = {kind: list(group) for kind, group in rows.items()}
    facts = taken.get("fund_facts", [])
    far = off_market(facts, ticker, stored_closes(db, ticker), name) if facts else ()
    if facts:
        rows_before = stored.newest(db, "fund_facts", ticker=ticker, source=SOURCE)
        known = {row["session"]: row for row in rows_before}
        taken["fund_facts"] = [_completed(row, known.get(row["session"], {})) for row in facts]
    for kind, gone in withdrawals(db, SOURCE, ticker, Ok(taken), pd.DatetimeIndex([])).items():
        taken[kind] += gone
    return taken, far


def off_market(facts: Sequence[Row], ticker: str, market: pd.Series, name: str) -> tuple[str, ...]:
    """Sessions whose NAV is more than 5% off that session's close: "2020-12-04 (+10.7%)".

    Such NAVs are stored as given: one file has a few. Raises ImportRejected if most of them are off, because
    then the file is another fund's. Without prices nothing is compared.
    """
    closed = {f"{session:%Y-%m-%d}": float(close) for session, close in market.dropna().items()}
    apart = [
        (row["session"], row["nav"] / closed[row["session"]] - 1)
        for row in facts
        if row["nav"] and row["session"] in closed
    ]
    far = tuple(f"{session} ({100 * off:+.1f}%)" for session, off in apart if abs(off) > NEAR)
    if len(apart) >= ENOUGH and len(far) > len(apart) / 2:
        raise ImportRejected(
            f"{name} was not imported: {len(far):,} of {len(apart):,} NAVs are more than 5% off "
            f"{ticker}'s price, so it is another fund's."
        )
    return far


def store_issuer(
    db: sqlite_utils.Database, contents: IssuerContents, *, name: str, observed_at: str
) -> tuple[IssuerContents, dict[str, Written]]:
    """Write a file's contents in the caller's transaction. Returns them as accepted, and the counts.

    Raises ImportRejected as `accept` does.
    """
    ticker = contents.preview.ticker
    rows, far = accept(db, ticker, contents.observations, name)
    note_import(db, rows, source=SOURCE, subject=f"{ticker} import", observed_at=observed_at)
    written = store(db, rows, source=SOURCE, observed_at=observed_at)
    return replace(contents, preview=replace(contents.preview, off_market=far)), written


def _completed(row: Row, known: Mapping[str, object]) -> Row:
    """A row of fund facts, completed by what was known before."""
    return {column: known.get(column) if value is None else value for column, value in row.items()}
