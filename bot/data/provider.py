"""The interface of a source of data, and the outcomes that a request to it can have.

A provider never raises for a fault of its source. Only Ok carries data, so an outage can
read neither as "no change" nor as an empty success.
"""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypedDict, cast

import msgspec

from bot.analytics.sources import COMPANIES, SAMPLE
from bot.data.csv_cells import shorten
from bot.errors import ImportRejected
from bot.text import counted
from storage.records import (
    KINDS,
    Bar,
    CompanySums,
    Distribution,
    FundFacts,
    Holdings,
    Multiple,
    Observation,
    SectorWeight,
    Split,
)

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping, Sequence

    import pandas as pd
    import sqlite_utils

    from bot.pair import Pair


class Observations(TypedDict, total=False):
    """Rows of each kind of observation. A kind that is not there was not given, an empty one has no rows."""

    bars: Sequence[Bar]
    distributions: Sequence[Distribution]
    splits: Sequence[Split]
    fund_facts: Sequence[FundFacts]
    multiples: Sequence[Multiple]
    sector_weights: Sequence[SectorWeight]
    company_sums: Sequence[CompanySums]


def rows_by_kind(observations: Observations) -> dict[str, Sequence[Observation]]:
    """The same rows, for what is done with any kind."""
    return cast("dict[str, Sequence[Observation]]", observations)


def observations_of(rows: Mapping[str, Sequence[Observation]]) -> Observations:
    """Rows by the tables of their kinds as Observations."""
    return cast("Observations", rows)


_MINUTES = 120  # seconds from which a wait is given in minutes
_LISTED = 3  # more missing things than this are counted, not listed


@dataclass(frozen=True)
class FetchOutcome:
    """The outcome of a request."""

    sentence: ClassVar[str] = "No data: {0.reason}."

    def describe(self) -> str:
        """One sentence that tells people what happened."""
        return self.sentence.format(self)


@dataclass(frozen=True)
class Ok(FetchOutcome):
    """What was requested, but for `missing` sessions or figures; `digest` is the hash of the raw answer.

    `holdings` is an issuer's list of what a fund holds.
    """

    payload: Observations
    missing: tuple[str, ...] = ()
    digest: str | None = field(default=None, compare=False)
    holdings: Holdings | None = field(default=None, compare=False)

    def describe(self) -> str:
        """What came, counted, and the newest few of what did not."""
        shown, more = ", ".join(self.missing[-_LISTED:]), len(self.missing) - _LISTED
        missing = f"; missing {shown}{f' and {more:,} more' if more > 0 else ''}" if self.missing else ""
        counts, held = _counts(self.payload), self.holdings
        if held:
            companies = f"{len(held.constituents):,} companies held as of {held.as_of}"
            counts = f"{counts}; {companies}" if self.payload else companies
        return f"{counts}{missing}."


@dataclass(frozen=True)
class Empty(FetchOutcome):
    """A sound answer without a single figure."""

    reason: str = "the answer held no figures"


@dataclass(frozen=True)
class RateLimited(FetchOutcome):
    """The source asked to slow down. `retry_after` in seconds, if it said for how long."""

    retry_after: float | None = None

    def describe(self) -> str:
        """The request to wait, with its time if it named one."""
        seconds = self.retry_after or 0
        words = f"{seconds:.0f} s" if seconds < _MINUTES else f"{seconds / 60:.0f} min"
        return f"No data: asked to slow down (HTTP 429){f' and to wait {words}' if seconds else ''}."


@dataclass(frozen=True)
class AccessRefused(FetchOutcome):
    """An answer for people only: a bot wall, or a refused key. `instead` is what a person can do."""

    reason: str
    instead: str = ""

    def describe(self) -> str:
        """The refusal, and the way around it."""
        return f"No data: refused ({self.reason}){self.instead and f'; {self.instead}'}."


@dataclass(frozen=True)
class NetworkDown(FetchOutcome):
    """No answer, or one that says the source is out of order."""

    reason: str


@dataclass(frozen=True)
class OutOfOrder(NetworkDown):
    """An answer that says the file is not there, or that broke off: the site got the request."""


@dataclass(frozen=True)
class SchemaChanged(FetchOutcome):
    """An answer in a form this version does not know."""

    reason: str
    sentence = "No data: the answer has an unknown form ({0.reason})."


@dataclass(frozen=True)
class Rejected(FetchOutcome):
    """A file that must not be used: broken, another fund's, or at odds with the prices.

    `reason` is a sentence without its full stop.
    """

    reason: str
    sentence = "Rejected, nothing was stored: {0.reason}."


@dataclass(frozen=True)
class UnknownSymbol(FetchOutcome):
    """The source says that it does not know the ticker."""

    ticker: str
    sentence = 'No data: {0.ticker} is not known there; see [pair] in the config, e.g. small = "IJR".'


class Provider:
    """A source of data. Its methods block, are called in one worker thread and return a FetchOutcome.

    A source overrides the methods of what it `serves`; no other is called.

    `completed` are the sessions completed so far, naive midnights in order, the last one last:
    nothing later may be returned, since the bar of an open session is still moving.

    name: storage's word for the source, e.g. "yahoo". label: what people read, e.g. "Yahoo". serves: what it has data
    for: "prices" by the method of that name, all else as `document`. tickers: the funds it can be asked for. stored_as:
    the source under which its figures are stored, by default its name.
    """

    name: str
    label: str
    serves: tuple[str, ...]
    tickers: tuple[str, ...]
    stored_as: str = ""

    def has(self, ticker: str, figure: str) -> bool:
        """Whether it can be asked for a figure of a fund."""
        return figure in self.serves and ticker in self.tickers

    def address(self, ticker: str, figure: str) -> str:
        """A hash of where and how it asks: a source that rests is asked again once that was changed."""
        del ticker, figure
        return ""

    def prices(self, ticker: str, start: dt.date | None, completed: pd.DatetimeIndex) -> FetchOutcome:
        """Bars, distributions and splits from `start` (None: all history) to the last completed session."""
        raise NotImplementedError

    def document(self, figure: str, ticker: str, completed: pd.DatetimeIndex) -> FetchOutcome:
        """Any other figure: "multiples" (with weights), "fund" (NAV, shares, assets), "holdings" ..."""
        raise NotImplementedError

    def review(self, db: sqlite_utils.Database, ticker: str, outcome: Ok) -> tuple[FetchOutcome, str]:
        """Hold figures against what is stored, before they are written, inside the transaction that writes.

        Returns the outcome to store and a note for people; here, both as they are.
        """
        del db, ticker
        return outcome, ""


def digest(*answers: str | bytes) -> str:
    """Hash of a source's answers. Equal hashes mean that nothing new was published."""
    hashed = hashlib.sha256()
    for answer in answers:
        hashed.update(answer.encode() if isinstance(answer, str) else answer)
        hashed.update(b"\0")
    return hashed.hexdigest()[:16]


# Transport errors in words, and their class names in httpx, curl_cffi and requests, most specific first.
_FAULTS = {
    "no answer in time": {"TimeoutException", "Timeout", "TimeoutError"},
    "it leads in a circle": {"TooManyRedirects"},
    "the proxy refused the connection": {"ProxyError"},
    "the answer broke off": {"RemoteProtocolError", "ReadError", "IncompleteRead", "ChunkedEncodingError"},
    "its name could not be resolved": {"DNSError", "gaierror"},
    "its certificate is not trusted": {"CertificateVerifyError", "SSLCertVerificationError"},
    "the secure connection failed": {"SSLError"},
    "its address is not valid": {"InvalidURL", "UnsupportedProtocol"},
}


def transport_fault(error: BaseException) -> str:
    """A transport error and its causes in own words, because its text may contain the address."""
    names: set[str] = set()
    cause: BaseException | None = error
    while cause is not None:
        names.update(kind.__name__ for kind in type(cause).__mro__)
        cause = cause.__cause__ or cause.__context__
    return next((words for words, kinds in _FAULTS.items() if kinds & names), "the connection failed")


def _counts(payload: Observations) -> str:
    """Counts in words: "250 prices, 1 distribution"."""
    names = {kind: "price" if kind == "bars" else kind[:-1].replace("_", " ") for kind in KINDS}
    parts = [counted(len(rows), names[kind]) for kind, rows in rows_by_kind(payload).items() if rows]
    return ", ".join(parts) or "no figures"


SEC = "sec"  # the source of official monthly flows
# What people read for each source, by its name in storage, in order of preference.
LABELS = {
    "yahoo": "Yahoo",
    "issuer": "issuer file",
    COMPANIES: "companies (Yahoo)",
    "csv": "CSV import",
    "daily-csv": "daily CSV",
    SEC: "SEC filing",
    SAMPLE: "sample data",
}
FILE_SOURCES = {"issuer", SEC}  # sites that are asked for a file once a day at most
# Fallback source -> the one whose sessions it fills, by their names in storage.
STANDS_FOR = {"daily-csv": "yahoo"}


def known_fund(ticker: str, pair: Pair) -> str:
    """The ticker in capitals. Raises ImportRejected for a fund that is not compared."""
    fund = ticker.strip().upper()
    if fund not in pair.tickers:
        raise ImportRejected(f"“{shorten(ticker)}” is not a fund of this bot; {compared(pair)}.")
    return fund


def compared(pair: Pair) -> str:
    """Which funds the bot compares, for messages that refuse another."""
    return pair.fill("it compares {small} and {large}")


SAMPLE_FILE = Path(__file__).with_name("sample.json.gz")


def sample_observations() -> Observations:
    """The sample market: eleven years of both funds, in a file that `python -m docs.sample` writes."""
    rows = msgspec.json.decode(gzip.decompress(SAMPLE_FILE.read_bytes()), type=dict[str, list[list[Any]]])
    return observations_of({kind: [KINDS[kind](*row) for row in group] for kind, group in rows.items()})
