"""CSV text and files read as an import reads them, and what is said of those that are refused."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest

from bot.analytics.sessions import Sessions
from bot.data import import_csv
from bot.errors import ImportRejected

if TYPE_CHECKING:
    from pathlib import Path

    from bot.data.store import FileContents


SESSIONS = Sessions()
TODAY = COMPLETED = dt.date(2021, 12, 31)

PRICES = """Date,Open,High,Low,Close,Adj Close,Volume,Dividends,Stock Splits
2020-12-10,189.1,191.5,188.0,190.91,188.4,"21,340,100",0.0,0.0
2020-12-11,189.9,191.02,187.5,190.3,188.1,19000000,0.592,2.0
"""


def read(what: str, file: Path | str, ticker: str = "IWM") -> FileContents:
    return import_csv.read_csv(what, file, ticker, sessions=SESSIONS, today=TODAY, completed=COMPLETED)


def refusal(what: str, file: Path | str, ticker: str = "IWM") -> str:
    with pytest.raises(ImportRejected) as caught:
        read(what, file, ticker)
    return str(caught.value)
