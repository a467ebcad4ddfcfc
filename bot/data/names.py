"""What the sources are called, in the order in which they are preferred, and the funds there are."""

from __future__ import annotations

from bot.analytics.market import PAIR, SAMPLE
from bot.data.cells import shorten
from bot.errors import ImportRejected

LABELS = {
    "yahoo": "Yahoo",
    "issuer": "issuer file",
    "csv": "CSV import",
    "daily-csv": "daily CSV",
    SAMPLE: "sample data",
}


def label(source: str) -> str:
    """What people call a source of storage's."""
    return LABELS.get(source, source)


def known_fund(ticker: str) -> str:
    """The ticker in capitals; ImportRejected for a fund that is not compared."""
    fund = ticker.strip().upper()
    if fund not in PAIR:
        raise ImportRejected(
            f"“{shorten(ticker)}” is not a fund of this bot; it compares {PAIR[0]} and {PAIR[1]}."
        )
    return fund
