"""What a fund holds, as its issuer lists it; of each fund the newest list is stored.

`stored_holdings` gives it to whatever sums figures of companies over a fund.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from storage import sources

if TYPE_CHECKING:
    import sqlite_utils

    from storage.rows import Moment

EQUITY = "equity"


class Constituent(msgspec.Struct, frozen=True, array_like=True):
    """One line of a list of holdings; what the file does not give is "" or None.

    ticker       as the issuer writes it, e.g. BRKB (iShares) or BRK.B (SSGA)
    name         as the issuer writes it, e.g. MOOG INC CLASS A
    sector       by GICS; SSGA leaves it empty
    asset_class  EQUITY for companies; in small letters
    quantity     shares held
    price        dollars a share; SSGA gives none
    value        market value in dollars; SSGA gives none
    weight       percent of the fund
    currency     of the price, e.g. USD
    """

    ticker: str
    name: str
    sector: str
    asset_class: str
    quantity: float | None
    price: float | None
    value: float | None
    weight: float
    currency: str = ""


class Holdings(msgspec.Struct, frozen=True):
    """A fund's list of companies.

    as_of         the day of the list, e.g. 2026-07-17
    units         the fund's own units of that day, where the list says them (iShares)
    constituents  equities only: no cash, futures or the like; those without a price too
    """

    ticker: str
    as_of: str
    units: float | None
    constituents: tuple[Constituent, ...]


def store_holdings(db: sqlite_utils.Database, holdings: Holdings, *, observed_at: Moment) -> bool:
    """Store a list in the caller's transaction, unless a later one is stored. Returns whether it was."""
    text = msgspec.json.encode(holdings).decode()
    return sources.save_holdings(db, holdings.ticker, holdings.as_of, observed_at, text)


def stored_holdings(db: sqlite_utils.Database, ticker: str) -> Holdings | None:
    """The newest list of a fund, None without one."""
    text = sources.holdings_contents(db, ticker)
    return None if text is None else msgspec.json.decode(text, type=Holdings)
