"""Storing what an issuer's file says, after a look at whether its NAVs can be this fund's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from bot.data.files import note_import, store
from bot.errors import ImportRejected
from storage import observations as stored

if TYPE_CHECKING:
    import pandas as pd
    import sqlite_utils

    from bot.analytics.market import Market
    from bot.data.issuers.preview import Contents
    from storage.observations import Written
    from storage.rows import Row

SOURCE = "issuer"
# A fund's price stays this close to its NAV: IWM's own file is 13% above it in July 2001, 7% in January 2002.
NEAR = 0.05
# Sessions before it is judged whether the file is of the fund at all.
ENOUGH = 5


def against_market(contents: Contents, market: Market, name: str) -> Contents:
    """The contents with each NAV listed that is more than 5% off that session's close.

    Such NAVs are stored as given: one file has a few. ImportRejected where most of them are off, because
    then it is another fund's. Without prices, or with sample data only, nothing is compared.
    """
    ticker = contents.preview.ticker
    source = market.sources.get("prices")
    if source is None or source.name == "sample" or ticker not in market.prices:
        return contents
    closes: pd.Series = market.prices[ticker].dropna()
    closed = {f"{session:%Y-%m-%d}": float(close) for session, close in closes.items()}
    apart = [
        (row["session"], row["nav"] / closed[row["session"]] - 1)
        for row in contents.observations.get("fund_facts", ())
        if row["nav"] and row["session"] in closed
    ]
    far = tuple(f"{session} ({100 * off:+.1f}%)" for session, off in apart if abs(off) > NEAR)
    if len(apart) >= ENOUGH and len(far) > len(apart) / 2:
        raise ImportRejected(
            f"{name} was not imported: {len(far):,} of {len(apart):,} NAVs are more than 5% off "
            f"{ticker}'s price, so it is another fund's."
        )
    return replace(contents, preview=replace(contents.preview, off_market=far))


def store_issuer(db: sqlite_utils.Database, contents: Contents, *, observed_at: str) -> dict[str, Written]:
    """Write a file's contents, inside the caller's transaction; what became of them by kind.

    What a file does not give (a holdings file has no NAV) stays as an earlier one gave it. A distribution
    that an earlier file had and this one's list no longer has is withdrawn.
    """
    rows: dict[str, list[Row]] = {kind: list(found) for kind, found in contents.observations.items()}
    ticker = contents.preview.ticker
    if "fund_facts" in rows:
        known = {row["session"]: row for row in _own(db, "fund_facts", ticker)}
        rows["fund_facts"] = [_completed(row, known.get(row["session"], {})) for row in rows["fund_facts"]]
    if "distributions" in rows:
        rows["distributions"] += _withdrawn(db, rows["distributions"], ticker)
    note_import(db, rows, source=SOURCE, subject=f"{ticker} import", observed_at=observed_at)
    return store(db, rows, source=SOURCE, observed_at=observed_at)


def _own(db: sqlite_utils.Database, kind: str, ticker: str) -> list[Row]:
    """Newest rows of a fund that came from its issuer."""
    return [row for row in stored.newest(db, kind) if (row["source"], row["ticker"]) == (SOURCE, ticker)]


def _completed(row: Row, known: Mapping[str, object]) -> Row:
    """A row of fund facts with what was known before in place of what it does not give."""
    return {column: known.get(column) if value is None else value for column, value in row.items()}


def _withdrawn(db: sqlite_utils.Database, listed: list[Row], ticker: str) -> list[Row]:
    """Distributions of earlier files between the first and the last one listed that are not listed."""
    paid = {row["ex_date"] for row in listed}
    return [
        {"ticker": ticker, "ex_date": row["ex_date"], "amount": None}
        for row in _own(db, "distributions", ticker)
        if min(paid) <= row["ex_date"] <= max(paid) and row["ex_date"] not in paid
    ]
