"""The provider of issuers' files, fetched from the addresses in the config.

The addresses change, and the sites often refuse programs and cloud addresses: with a 403, or with
"200 OK" and a web page. Such a refusal is not an outage: then only a browser helps.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urlsplit

from bot.data.download import ANY, DownloadedFile, download
from bot.data.issuers.preview import off_market_sentence
from bot.data.issuers.reading import read_completed
from bot.data.issuers.sniff import LARGEST, WebPageInstead
from bot.data.issuers.store import SOURCE, accept
from bot.data.provider import AccessRefused, Empty, FetchOutcome, Ok, Partial, Rejected, digest
from bot.errors import ImportRejected
from bot.pair import DEFAULT_PAIR
from storage import observations

if TYPE_CHECKING:
    import pandas as pd
    import sqlite_utils

    from bot.data.issuers.preview import IssuerContents
    from bot.pair import Pair

TIMEOUT = 20.0  # seconds for a step of a download
# Sessions that an issuer's file is behind by nature: the count for one day is published on the next.
BEHIND = 1
_SHOWN = 3  # wrong things of a file that are named
BY_HAND = "download it in a browser and run: python -m bot import issuer FILE"

Fetch: TypeAlias = "Callable[[str], bytes | FetchOutcome]"


def fetch(url: str, timeout: float = TIMEOUT) -> bytes | FetchOutcome:
    """Download a file. Returns the outcome instead if that fails; a refusal says what to do."""
    answer = download(url, timeout=timeout, largest=LARGEST, accept=ANY)
    if isinstance(answer, DownloadedFile):
        return answer.content
    return replace(answer, instead=BY_HAND) if isinstance(answer, AccessRefused) else answer


def _today() -> dt.date:
    return dt.datetime.now(dt.UTC).date()


class IssuerFiles:
    """The issuers' files as a provider; `urls` has one address a ticker."""

    name = SOURCE
    label = "issuer file"
    serves: tuple[str, ...] = ("fund",)

    def __init__(
        self,
        urls: Mapping[str, str],
        fetch: Fetch = fetch,
        today: Callable[[], dt.date] = _today,
        pair: Pair = DEFAULT_PAIR,
    ) -> None:
        self._urls = dict(urls)
        self.tickers = tuple(urls)
        self._fetch = fetch
        self._today = today
        self._pair = pair

    def prices(self, ticker: str, start: dt.date | None, completed: pd.DatetimeIndex) -> FetchOutcome:
        """Nothing: an issuer gives no prices."""
        del ticker, start, completed
        return Empty("issuers' files have no prices")

    def multiples(self, ticker: str, completed: pd.DatetimeIndex) -> FetchOutcome:
        """Nothing: an issuer's file gives no multiples."""
        del ticker, completed
        return Empty("issuers' files have no multiples")

    def _file_name(self, ticker: str) -> str:
        """What a fetched file is called in messages."""
        return f"what {urlsplit(self._urls[ticker]).hostname} gave for {ticker}"

    def fund(self, ticker: str, completed: pd.DatetimeIndex) -> FetchOutcome:
        """NAV and shares of all sessions, distributions and sector weights, as far as the file has them.

        KeyError for a ticker without an address.
        """
        url = self._urls[ticker]
        data = self._fetch(url)
        if isinstance(data, FetchOutcome):
            return data
        name = self._file_name(ticker)
        try:
            contents = read_completed(
                data, name=name, completed=completed, today=self._today(), ticker=ticker, pair=self._pair
            )
        except WebPageInstead:
            return AccessRefused("a web page instead of the file", BY_HAND)
        except ImportRejected as error:
            return Rejected(_reason(str(error)))
        return _outcome(contents, completed, digest(data))

    def review(
        self, db: sqlite_utils.Database, ticker: str, outcome: Ok | Partial
    ) -> tuple[FetchOutcome, str]:
        """Accept or reject the file as its import would; the note names new NAVs far from the price."""
        rows_before = observations.newest(db, "fund_facts", ticker=ticker, source=SOURCE)
        known = {row["session"] for row in rows_before}
        try:
            rows, far = accept(db, ticker, outcome.payload, self._file_name(ticker))
        except ImportRejected as error:
            return Rejected(str(error).rstrip(".")), ""
        new = [nav for nav in far if nav.split()[0] not in known]
        return replace(outcome, payload=rows), f" {off_market_sentence(new)}" if new else ""


def _reason(message: str) -> str:
    """Why a file was refused, from the words of an import: the first of what is wrong is named."""
    first, *rows = message.splitlines()
    more = f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
    reason = f"{first} {'; '.join(rows[:_SHOWN])}{more}" if rows else first
    return reason.rstrip(".")


def _outcome(contents: IssuerContents, completed: pd.DatetimeIndex, raw: str) -> FetchOutcome:
    """Ok, or Partial if sessions are missing at the end."""
    rows = contents.observations
    if not any(rows.values()):
        return Empty("; ".join(note.rstrip(".") for note in contents.preview.notes) or "it has no figures")
    facts = rows.get("fund_facts", ())
    last = max((row["session"] for row in facts if row["nav"] is not None), default="")
    days = [f"{session:%Y-%m-%d}" for session in completed[-30:]]
    late = tuple(day for day in days[: len(days) - BEHIND] if day > last)
    if not last:
        late = ("NAV",) if facts else ("NAV and shares",)
    return Partial(rows, late, raw) if late else Ok(rows, raw)
