"""What a fund holds, as its issuer lists it; of each fund the newest list is stored.

`stored_holdings` gives it to whatever sums figures of companies over a fund.
"""

import msgspec
import sqlite_utils

from storage import sources
from storage.records import Moment

EQUITY = "equity"


class Constituent(msgspec.Struct, frozen=True, array_like=True):
    """One line of a list of holdings. What a file does not give is "" or None: prices and values at SSGA."""

    ticker: str  # as the issuer writes it: BRKB (iShares), BRK.B (SSGA)
    name: str  # as the issuer writes it: MOOG INC CLASS A
    sector: str  # by GICS; none at SSGA
    asset_class: str  # EQUITY for companies, in small letters
    quantity: float | None  # shares held
    price: float | None  # dollars a share
    value: float | None  # market value in dollars
    weight: float  # percent of the fund
    currency: str = ""  # of the price: USD


class Holdings(msgspec.Struct, frozen=True):
    """A fund's list of companies."""

    ticker: str
    as_of: str  # the day of the list, 2026-07-17
    units: float | None  # the fund's own units of that day, at iShares
    constituents: tuple[Constituent, ...]  # equities only, those without a price too


def store_holdings(db: sqlite_utils.Database, holdings: Holdings, *, observed_at: Moment) -> bool:
    """Store a list in the caller's transaction, unless a later one is stored. Returns whether it was."""
    text = msgspec.json.encode(holdings).decode()
    return sources.save_holdings(db, holdings.ticker, holdings.as_of, observed_at, text)


def stored_holdings(db: sqlite_utils.Database, ticker: str) -> Holdings | None:
    """The newest list of a fund, None without one."""
    text = sources.holdings_contents(db, ticker)
    return None if text is None else msgspec.json.decode(text, type=Holdings)
