"""Labels of the sources in order of preference, and checks of the funds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.analytics.market import SAMPLE
from bot.data.cells import shorten
from bot.errors import ImportRejected

if TYPE_CHECKING:
    from bot.pair import Pair

LABELS = {
    "yahoo": "Yahoo",
    "issuer": "issuer file",
    "csv": "CSV import",
    "daily-csv": "daily CSV",
    SAMPLE: "sample data",
}


def source_label(source: str) -> str:
    """The label of a source for people."""
    return LABELS.get(source, source)


def known_fund(ticker: str, pair: Pair) -> str:
    """The ticker in capitals. Raises ImportRejected for a fund that is not compared."""
    fund = ticker.strip().upper()
    if fund not in pair.tickers:
        raise ImportRejected(f"“{shorten(ticker)}” is not a fund of this bot; {compared(pair)}.")
    return fund


def compared(pair: Pair) -> str:
    """Which funds the bot compares, for messages that refuse another."""
    return pair.fill("it compares {small} and {large}")
