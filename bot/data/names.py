"""What the sources are called, in the order in which they are preferred, and the funds there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.analytics.market import SAMPLE
from bot.data.cells import shorten
from bot.errors import BotError, ImportRejected
from storage import sources

if TYPE_CHECKING:
    import sqlite_utils

    from bot.pair import Pair

_PAIR = "pair"  # of the notes in storage
LABELS = {
    "yahoo": "Yahoo",
    "issuer": "issuer file",
    "csv": "CSV import",
    "daily-csv": "daily CSV",
    SAMPLE: "sample data",
}


def source_label(source: str) -> str:
    """What people call a source of storage's."""
    return LABELS.get(source, source)


def known_fund(ticker: str, pair: Pair) -> str:
    """The ticker in capitals; ImportRejected for a fund that is not compared."""
    fund = ticker.strip().upper()
    if fund not in pair.tickers:
        raise ImportRejected(f"“{shorten(ticker)}” is not a fund of this bot; {compared(pair)}.")
    return fund


def compared(pair: Pair) -> str:
    """Which funds the bot compares, for messages that refuse another."""
    return pair.fill("it compares {small} and {large}")


def claim(db: sqlite_utils.Database, pair: Pair) -> None:
    """Note in a new database for which pair it is; raises BotError where it holds another pair."""
    refuse_other_pair(db, pair)
    sources.set_meta(db, _PAIR, _noted(pair))


def refuse_other_pair(db: sqlite_utils.Database, pair: Pair) -> None:
    """Raise BotError where the database was made for another pair."""
    noted = sources.meta(db, _PAIR)
    if noted is None or noted == _noted(pair):
        return
    small, large = noted.split()
    raise BotError(
        pair.fill("The config compares {small} and {large}, ")
        + f"but this database was made for {small} and {large}, so nothing was done. Name another file, "
        f'e.g. --db new.db, or write small = "{small}" and large = "{large}" below [pair].'
    )


def _noted(pair: Pair) -> str:
    return " ".join(pair.tickers)
