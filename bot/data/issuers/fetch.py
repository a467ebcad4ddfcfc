"""Fetching the issuers' files from the addresses in the config, for `refresh`.

The addresses change, and the sites often refuse programs and cloud addresses: with a 403, or with
"200 OK" and a web page. That is told apart from an outage, because then only a browser helps.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urlsplit

import httpx

from bot import __version__
from bot.data.issuers.reading import read_completed
from bot.data.issuers.sniff import LARGEST, Wall
from bot.data.issuers.store import SOURCE
from bot.data.provider import Empty, NetworkDown, Ok, Outcome, Partial, RateLimited, SchemaChanged
from bot.errors import ImportRejected

if TYPE_CHECKING:
    import pandas as pd

    from bot.data.issuers.preview import Contents

TIMEOUT = 60.0  # seconds for the whole of a file
USER_AGENT = f"small-versus-large-bot/{__version__}"
# Sessions that an issuer's file is behind by nature: the count for one day is published on the next.
BEHIND = 1

Fetch: TypeAlias = "Callable[[str], bytes | Outcome]"


@dataclass(frozen=True)
class Refused(Outcome):
    """The issuer's site does not give its file to programs."""

    reason: str

    def describe(self) -> str:
        """The refusal, and what a person can do instead."""
        return (
            f"No data: refused by a bot wall ({self.reason}); download it in a browser and run: "
            "python -m bot import issuer FILE"
        )


def download(url: str, timeout: float = TIMEOUT) -> bytes | Outcome:
    """The file at an address, or the Outcome that says why there is none; at most LARGEST bytes of it."""
    deadline = time.monotonic() + timeout
    headers = {"User-Agent": USER_AGENT}
    try:
        with httpx.stream("GET", url, headers=headers, timeout=timeout, follow_redirects=True) as response:
            return _complaint(response) or _body(response, deadline)
    except httpx.TimeoutException:
        return NetworkDown("no answer in time")
    except httpx.TooManyRedirects:
        return SchemaChanged("the address leads in a circle")
    except httpx.RemoteProtocolError:
        return NetworkDown("the answer broke off")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return NetworkDown(f"the connection failed ({type(error).__name__})")


def _complaint(response: httpx.Response) -> Outcome | None:
    """What the status says against reading the body."""
    status = response.status_code
    if status == httpx.codes.TOO_MANY_REQUESTS:
        wait = response.headers.get("Retry-After", "")
        return RateLimited(float(wait) if wait.isdigit() else None)
    if status in {401, 403}:
        return Refused(f"HTTP {status}")
    if status >= 500:
        return NetworkDown(f"the server is out of order (HTTP {status})")
    return None if status == httpx.codes.OK else SchemaChanged(f"HTTP {status}, the address has changed")


def _body(response: httpx.Response, deadline: float) -> bytes | Outcome:
    """The body, unless it is too large or too slow."""
    data = bytearray()
    for chunk in response.iter_bytes():
        data += chunk
        if len(data) > LARGEST:
            return SchemaChanged(f"larger than {LARGEST / 1e6:.0f} MB")
        if time.monotonic() > deadline:
            return NetworkDown("no answer in time")
    return bytes(data)


def _today() -> dt.date:
    return dt.datetime.now(dt.UTC).date()


class IssuerFiles:
    """The issuers' files as a provider; `urls` has one address a ticker."""

    name = SOURCE
    label = "issuer file"
    serves: tuple[str, ...] = ("fund",)

    def __init__(
        self, urls: Mapping[str, str], fetch: Fetch = download, today: Callable[[], dt.date] = _today
    ) -> None:
        self._urls = dict(urls)
        self._fetch = fetch
        self._today = today

    def prices(self, ticker: str, start: dt.date | None, completed: pd.DatetimeIndex) -> Outcome:
        """Nothing: an issuer gives no prices."""
        del ticker, start, completed
        return Empty("issuers' files have no prices")

    def multiples(self, ticker: str, completed: pd.DatetimeIndex) -> Outcome:
        """Nothing: an issuer's file gives no multiples."""
        del ticker, completed
        return Empty("issuers' files have no multiples")

    def fund(self, ticker: str, completed: pd.DatetimeIndex) -> Outcome:
        """NAV and shares of all sessions, distributions and sector weights, as far as the file has them."""
        url = self._urls.get(ticker)
        if url is None:
            return Empty(f"no address is configured for {ticker}")
        data = self._fetch(url)
        if isinstance(data, Outcome):
            return data
        name = f"what {urlsplit(url).hostname} gave for {ticker}"
        try:
            contents = read_completed(
                data, name=name, completed=completed, today=self._today(), ticker=ticker
            )
        except Wall:
            return Refused("a web page instead of the file")
        except ImportRejected as error:
            return SchemaChanged(str(error).splitlines()[0].rstrip("."))
        return _outcome(contents, completed)


def _outcome(contents: Contents, completed: pd.DatetimeIndex) -> Outcome:
    """Ok, or Partial where sessions are missing at the end; facts without a NAV would hide stored ones."""
    rows = {kind: list(found) for kind, found in contents.observations.items()}
    facts = [row for row in rows.pop("fund_facts", []) if row["nav"] is not None]
    if not facts and not rows:
        return Empty("; ".join(note.rstrip(".") for note in contents.preview.notes) or "it has no figures")
    if facts:
        rows["fund_facts"] = facts
    last = max((row["session"] for row in facts), default="")
    days = [f"{session:%Y-%m-%d}" for session in completed[-30:]]
    late = tuple(day for day in days[: len(days) - BEHIND] if day > last) if facts else ("NAV and shares",)
    return Partial(rows, late) if late else Ok(rows)
