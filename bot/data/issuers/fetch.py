"""The issuers' files as a provider, fetched from the addresses in the config; and what of a file is accepted.

The addresses change, and the sites often refuse programs and cloud addresses: with a 403, or with "200 OK"
and a web page. Such a refusal is not an outage: then only a browser helps. Fetched and imported files pass
the same checks, among them that the NAVs can be this fund's.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urlsplit

import msgspec
import pandas as pd

from bot.data.csv_source import ANY_FILE, DownloadedFile, download, short_reason
from bot.data.issuers.formats import LARGEST, WebPageInstead
from bot.data.issuers.layouts import off_market_sentence, read_issuer
from bot.data.load import stored_closes
from bot.data.provider import AccessRefused, Empty, FetchOutcome, Observations, Ok, Provider, Rejected, digest
from bot.data.source_selection import ISSUER
from bot.data.store import FileContents, store_import, with_withdrawals
from bot.errors import ImportRejected
from bot.pair import DEFAULT_PAIR, Pair
from bot.text import command_line
from storage import observations
from storage.rows import FundFacts

if TYPE_CHECKING:
    import sqlite_utils

    from storage.observations import Written


# A fund's price stays this close to its NAV: IWM's own file is 13% above it in July 2001, 7% in January 2002.
NEAR = 0.05
# Sessions before it is judged whether the file is of the fund at all.
ENOUGH_SESSIONS = 5


def accepted_rows(
    db: sqlite_utils.Database, ticker: str, rows: Observations, name: str
) -> tuple[Observations, tuple[str, ...]]:
    """The rows to store for a file, and the NAVs that are far from the market price, each with how far.

    Both imported and fetched files pass here. What a file does not give (a holdings file has no NAV) stays
    as an earlier one gave it. Raises ImportRejected if its NAVs are another fund's; then nothing may be
    written.
    """
    facts = rows.get("fund_facts", ())
    if not facts:
        return rows, ()
    far = off_market(facts, ticker, stored_closes(db, ticker), name)
    stored = observations.newest(db, FundFacts, ticker=ticker, source=ISSUER)
    known = {row.session: row for row in stored}
    return {**rows, "fund_facts": [_completed(row, known.get(row.session, row)) for row in facts]}, far


def off_market(facts: Sequence[FundFacts], ticker: str, market: pd.Series, name: str) -> tuple[str, ...]:
    """Sessions whose NAV is more than 5% off that session's close: "2020-12-04 (+10.7%)".

    Such NAVs are stored as given: one file has a few. Raises ImportRejected if most of them are off, because
    then the file is another fund's. Without prices nothing is compared.
    """
    closed = {f"{session:%Y-%m-%d}": float(close) for session, close in market.dropna().items()}
    apart = [
        (row.session, row.nav / closed[row.session] - 1) for row in facts if row.nav and row.session in closed
    ]
    far = tuple(f"{session} ({100 * off:+.1f}%)" for session, off in apart if abs(off) > NEAR)
    if len(apart) >= ENOUGH_SESSIONS and len(far) > len(apart) / 2:
        raise ImportRejected(
            f"{name} was not imported: {len(far):,} of {len(apart):,} NAVs are more than 5% off "
            f"{ticker}'s price, so it is another fund's."
        )
    return far


def store_issuer(
    db: sqlite_utils.Database, contents: FileContents, *, name: str, observed_at: str
) -> tuple[FileContents, dict[str, Written]]:
    """Write a file's contents in the caller's transaction. Returns them as accepted, and the counts.

    Raises ImportRejected as `accept` does.
    """
    ticker = contents.preview.ticker
    rows, far = accepted_rows(db, ticker, contents.observations, name)
    rows = with_withdrawals(db, ISSUER, ticker, Ok(rows), pd.DatetimeIndex([]))
    written = store_import(db, rows, source=ISSUER, subject=contents.subject, observed_at=observed_at)
    if not far:
        return contents, written
    notes = (off_market_sentence(far), *contents.preview.notes)
    return replace(contents, preview=replace(contents.preview, notes=notes)), written


def _completed(row: FundFacts, known: FundFacts) -> FundFacts:
    """A row of fund facts, completed by what was known before."""
    absent = {name: getattr(known, name) for name in row.figures if getattr(row, name) is None}
    return msgspec.structs.replace(row, **absent)


TIMEOUT = 20.0  # seconds for a step of a download
# Sessions that an issuer's file is behind by nature: the count for one day is published on the next.
BEHIND = 1

Fetch: TypeAlias = "Callable[[str], bytes | FetchOutcome]"


def fetch(url: str, timeout: float = TIMEOUT) -> bytes | FetchOutcome:
    """Download a file. Returns the outcome instead if that fails."""
    answer = download(url, timeout=timeout, largest=LARGEST, accept=ANY_FILE)
    return answer.content if isinstance(answer, DownloadedFile) else answer


def _today() -> dt.date:
    return dt.datetime.now(dt.UTC).date()


class IssuerFiles(Provider):
    """The issuers' files as a provider; `urls` has one address a ticker."""

    name = ISSUER
    label = "issuer file"
    serves: tuple[str, ...] = ("fund",)

    def __init__(
        self,
        urls: Mapping[str, str],
        fetch: Fetch = fetch,
        today: Callable[[], dt.date] = _today,
        pair: Pair = DEFAULT_PAIR,
        options: str = "",
    ) -> None:
        self._urls = dict(urls)
        self.tickers = tuple(urls)
        self._fetch = fetch
        self._today = today
        self._pair = pair
        self._instead = f"download it in a browser and run: {command_line('import issuer FILE', options)}"

    def _file_name(self, ticker: str) -> str:
        return f"what {urlsplit(self._urls[ticker]).hostname} gave for {ticker}"

    def fund(self, ticker: str, completed: pd.DatetimeIndex) -> FetchOutcome:
        """NAV and shares of all sessions, distributions and sector weights, as far as the file has them.

        KeyError for a ticker without an address.
        """
        url = self._urls[ticker]
        data = self._fetch(url)
        if isinstance(data, FetchOutcome):
            return replace(data, instead=self._instead) if isinstance(data, AccessRefused) else data
        name = self._file_name(ticker)
        try:
            contents = read_issuer(
                data, name=name, completed=completed, today=self._today(), ticker=ticker, pair=self._pair
            )
        except WebPageInstead:
            return AccessRefused("a web page instead of the file", self._instead)
        except ImportRejected as error:
            return Rejected(short_reason(str(error)).rstrip("."))
        return _outcome(contents, completed, digest(data))

    def review(self, db: sqlite_utils.Database, ticker: str, outcome: Ok) -> tuple[FetchOutcome, str]:
        """Accept or reject the file as its import would; the note names new NAVs far from the price."""
        stored = observations.newest(db, FundFacts, ticker=ticker, source=ISSUER)
        known = {row.session for row in stored}
        try:
            rows, far = accepted_rows(db, ticker, outcome.payload, self._file_name(ticker))
        except ImportRejected as error:
            return Rejected(str(error).rstrip(".")), ""
        new = [nav for nav in far if nav.split()[0] not in known]
        return replace(outcome, payload=rows), f" {off_market_sentence(new)}" if new else ""


def _outcome(contents: FileContents, completed: pd.DatetimeIndex, raw: str) -> FetchOutcome:
    """The rows of a file, or that it has none; sessions may be missing at the end."""
    rows = contents.observations
    if not rows:
        return Empty("; ".join(note.rstrip(".") for note in contents.preview.notes) or "it has no figures")
    facts = rows.get("fund_facts", ())
    last = max((row.session for row in facts if row.nav is not None), default="")
    days = [f"{session:%Y-%m-%d}" for session in completed[-30:]]
    late = tuple(day for day in days[: len(days) - BEHIND] if day > last)
    if not last:
        late = ("NAV",) if facts else ("NAV and shares",)
    return Ok(rows, late, raw)
