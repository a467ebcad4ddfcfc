"""A second source of prices: a daily CSV file per fund, at an address from the config.

Such files are Date,Open,High,Low,Close,Volume with closes adjusted for splits, as many sites offer
them. They are read as strictly as an imported file: all rows or none.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import pandas as pd

from bot.analytics.sessions import Sessions
from bot.data.cells import TEXT_NAME
from bot.data.download import DownloadedFile, download
from bot.data.files import NoFigures, read_prices
from bot.data.formats import FORMATS
from bot.data.provider import (
    AccessRefused,
    Empty,
    FetchOutcome,
    NetworkDown,
    Ok,
    Partial,
    RateLimited,
    SchemaChanged,
    digest,
    unreviewed,
)
from bot.errors import ImportRejected
from bot.pair import DEFAULT_PAIR

if TYPE_CHECKING:
    from collections.abc import Callable

    from bot.data.preview import CsvContents

LARGEST = 20_000_000  # bytes: thirty years of daily rows are half a million
FIRST = dt.date(1993, 1, 1)  # before both funds: what {start} becomes for the whole history
_SHORT = 300  # characters: a sentence that stands where the file should be
_CHECK = "check the address and the key in the config's [sources] daily_csv"
_SHOWN = 3  # errors of one file that are named
_SECRET = 6  # characters from which a part of the address might be a key


class DailyCsv:
    """The Provider "daily-csv".

    `template` is an address with {ticker} in it, and {start} (an ISO date) where the site takes one;
    without {start} each answer is the whole history and is returned whole, so that one rewritten at a
    split is noticed. `timeout` in seconds bounds one step of a request. ValueError for no address.
    """

    name = "daily-csv"
    serves: tuple[str, ...] = ("prices",)
    review = unreviewed

    def __init__(
        self,
        template: str,
        sessions: Callable[[], Sessions] = Sessions,
        timeout: float = 30.0,
        tickers: tuple[str, ...] = DEFAULT_PAIR.tickers,
    ) -> None:
        self.tickers = tickers
        self.label = f"daily CSV ({urlsplit(template).hostname})"  # not the rest: it may hold a key
        self._template = template
        self._sessions = sessions
        self._timeout = timeout

    def prices(self, ticker: str, start: dt.date | None, completed: pd.DatetimeIndex) -> FetchOutcome:
        """Bars of the completed sessions, with distributions and splits if the file has their columns."""
        try:
            return self._prices(ticker, start, completed)
        except Exception as error:  # noqa: BLE001 - a traceback would show the address
            return NetworkDown(f"the request failed ({type(error).__name__})")

    def multiples(self, ticker: str, completed: pd.DatetimeIndex) -> FetchOutcome:
        """Nothing: the file has prices only."""
        del ticker, completed
        return Empty("the file has prices only")

    def fund(self, ticker: str, completed: pd.DatetimeIndex) -> FetchOutcome:
        """Nothing: the file has prices only."""
        del ticker, completed
        return Empty("the file has prices only")

    def _prices(self, ticker: str, start: dt.date | None, completed: pd.DatetimeIndex) -> FetchOutcome:
        url = self._template.replace("{ticker}", ticker)
        url = url.replace("{start}", (start or FIRST).isoformat())
        body = download(url, timeout=self._timeout, largest=LARGEST)
        if isinstance(body, AccessRefused):
            return replace(body, instead=_CHECK)
        if isinstance(body, FetchOutcome):
            return body
        text = _decoded(body)
        if isinstance(text, FetchOutcome):
            return text
        sessions = self._sessions()
        # The file may have a bar of the open session already; a row of a later one is an error.
        today = sessions.next_after(completed[-1]).date()
        try:
            contents = read_prices(
                text, ticker, sessions=sessions, today=today, completed=completed[-1].date()
            )
        except NoFigures:
            return Empty("it has no completed session")
        except ImportRejected as error:
            return SchemaChanged(self._without_keys(_reason(str(error))))
        return _outcome(contents, start, completed, digest(body.content))

    def _without_keys(self, reason: str) -> str:
        """A reason in which no part of the address can be read, should the site have echoed it."""
        address = urlsplit(self._template)
        parts = re.split(r"[/?&=;:@+,]", f"{address.netloc}/{address.path}/{address.query}")
        for part in {key for piece in parts for key in (piece, unquote(piece)) if len(key) >= _SECRET}:
            reason = reason.replace(part, "…")
        return reason


def _decoded(body: DownloadedFile) -> str | FetchOutcome:
    """Decode an answer. Returns the outcome instead if it is not a whole text."""
    try:
        utf16 = body.content.startswith((b"\xff\xfe", b"\xfe\xff"))
        text = body.content.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError:
        return SchemaChanged("not a text in UTF-8")
    if problem := _error_instead_of_file(text.strip()):
        return problem
    if not body.bounded and not text.endswith(("\n", "\r")):
        return NetworkDown("the answer broke off")
    return text


def _error_instead_of_file(text: str) -> FetchOutcome | None:
    """The outcome for an answer that is not the file, despite "200 OK". Returns None if it may be."""
    if not text:
        return SchemaChanged("an empty body")
    if text.startswith("<"):
        return SchemaChanged("a web page instead of figures")
    if text.startswith(("{", "[")):
        return SchemaChanged("JSON instead of a CSV file")
    if "\n" not in text and not FORMATS["prices"].layout.missing(text.split(",")):
        return Empty("it has no rows")
    if len(text) > _SHORT or "," in text.partition("\n")[0]:
        return None
    return _sentence(text)


def _sentence(text: str) -> FetchOutcome | None:
    """The outcome for an answer that is a sentence, None if it is of no known kind."""
    if re.match(r"no data\b", text, re.IGNORECASE):
        return Empty("it says that it has no data")
    return RateLimited() if re.search(r"\b(?:limit|too many requests)\b", text, re.IGNORECASE) else None


def _reason(message: str) -> str:
    """Why a file was refused, from the words of an import."""
    first, *rows = message.splitlines()
    first = re.sub(f"^{TEXT_NAME} was not imported[,:] ", "", first)
    if not rows:
        return re.sub(f"^{TEXT_NAME} ", "it ", first).partition(". ")[0].rstrip(".")
    more = f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
    return f"{first} {'; '.join(rows[:_SHOWN])}{more}"


def _outcome(
    contents: CsvContents, start: dt.date | None, completed: pd.DatetimeIndex, raw: str
) -> FetchOutcome:
    """The figures of completed sessions. Sessions that were requested but are absent are missing."""
    last = f"{completed[-1]:%Y-%m-%d}"
    payload = {
        kind: [row for row in rows if (row.get("session") or row["ex_date"]) <= last]
        for kind, rows in contents.observations.items()
        if kind == "bars" or kind in contents.complete  # an empty list would mean that there was none
    }
    if not payload["bars"]:
        return Empty("it has no completed session")
    had = pd.DatetimeIndex([bar["session"] for bar in payload["bars"]])
    asked = completed[completed >= (had[0] if start is None else pd.Timestamp(start))]
    missing = tuple(f"{session:%Y-%m-%d}" for session in asked.difference(had))
    return Partial(payload, missing, raw) if missing else Ok(payload, raw)
