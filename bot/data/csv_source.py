"""A second source of prices: a daily CSV file per fund, at an address from the config; and its download.

Such files are Date,Open,High,Low,Close,Volume with closes adjusted for splits, as many sites offer them. They
are read as strictly as an imported file: all rows or none. The address may contain a key, so it appears in no
outcome and no log line.
"""

import datetime as dt
import logging
import re
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from urllib.parse import unquote, urlsplit

import httpx
import pandas as pd

from bot import __version__
from bot.analytics.sessions import FIRST_DAY, Sessions
from bot.data import provider
from bot.data.csv_formats import FORMATS
from bot.data.csv_table import TEXT_NAME, decoded
from bot.data.import_csv import NoFigures, read_csv
from bot.data.store import FileContents
from bot.errors import ImportRejected
from bot.pair import DEFAULT_PAIR

USER_AGENT = f"small-versus-large-bot/{__version__}"
_TEXT, ANY_FILE = "text/csv, text/plain, */*;q=0.5", "*/*"
_REDIRECTS = 5
# One layer of compression at most, whose pieces unpack to a thousand times their size.
_ENCODINGS = frozenset({"", "identity", "gzip", "x-gzip", "deflate"})
# A slow answer as a whole may take this many times the time-out of one step of it.
_PATIENCE = 3


@dataclass(frozen=True)
class DownloadedFile:
    """An answer's bytes. `bounded` if the answer states its length, so that it is known to be whole."""

    content: bytes
    bounded: bool


class _Insecure(Exception):
    """A redirect led from https to http."""


def download(
    url: str, *, timeout: float, largest: int, accept: str = _TEXT, user_agent: str = USER_AGENT
) -> DownloadedFile | provider.FetchOutcome:
    """Download a file. `timeout` in seconds is for each step, `largest` in bytes, unpacked."""
    for name in ("httpx", "httpcore"):  # at INFO and below they log addresses and headers
        logger = logging.getLogger(name)
        logger.setLevel(max(logger.level, logging.WARNING))
    deadline = time.monotonic() + _PATIENCE * timeout

    def check(request: httpx.Request) -> None:
        if url.startswith("https:") and request.url.scheme != "https":
            raise _Insecure

    client = httpx.Client(
        headers={"User-Agent": user_agent, "Accept": accept, "Accept-Encoding": "gzip, deflate"},
        timeout=timeout,
        event_hooks={"request": [check]},
    )
    try:
        with client:
            request = client.build_request("GET", url)
            for _ in range(1 + _REDIRECTS):
                # httpx itself would read the whole body of a redirect.
                with closing(client.send(request, stream=True)) as response:
                    if response.next_request is None:
                        return _status_outcome(response) or _body(response, deadline, largest)
                    request = response.next_request
        return provider.NetworkDown("it leads in a circle")
    except _Insecure:
        return provider.NetworkDown("it leads from a secure address to one that is not")
    except httpx.DecodingError:
        return provider.SchemaChanged("its compression is broken")
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as error:
        return provider.NetworkDown(provider.transport_fault(error))


def _status_outcome(response: httpx.Response) -> provider.FetchOutcome | None:
    """The outcome of a status that makes the body useless, None if the body can be read."""
    status = response.status_code
    if status == 429:
        wait = response.headers.get("Retry-After", "")
        return provider.RateLimited(float(wait) if wait.isdecimal() else None)
    if status in {401, 403}:
        return provider.AccessRefused(f"HTTP {status}")
    if status in {404, 410}:
        return provider.NetworkDown(f"there is nothing at its address (HTTP {status})")
    if status >= 500:
        return provider.NetworkDown(f"the server is out of order (HTTP {status})")
    return None if status == 200 else provider.NetworkDown(f"the request was not answered (HTTP {status})")


def _body(response: httpx.Response, deadline: float, largest: int) -> DownloadedFile | provider.FetchOutcome:
    if response.headers.get("Content-Encoding", "").strip().lower() not in _ENCODINGS:
        return provider.SchemaChanged("it is compressed in a way that was not asked for")
    content = bytearray()
    for chunk in response.iter_bytes():
        content += chunk
        if len(content) > largest:
            return provider.SchemaChanged(f"larger than {largest / 1e6:g} MB")
        if time.monotonic() > deadline:
            return provider.NetworkDown("no answer in time")
    bounded = "Content-Length" in response.headers or "Transfer-Encoding" in response.headers
    return DownloadedFile(bytes(content), bounded)


_LARGEST = 2_000_000  # bytes: thirty years of daily rows are half a million
_JSON = "JSON instead of a CSV file"
_SHORT = 300  # characters: a sentence that stands where the file should be
_CHECK = "check the address and the key in the config's [sources] daily_csv"
_SHOWN = 3  # errors of one file that are named
_SECRET = 6  # characters from which a part of the address might be a key


class DailyCsv(provider.Provider):
    """The Provider "daily-csv".

    `template` is an address with {ticker} in it, and {start} (an ISO date) where the site takes one;
    without {start} each answer is the whole history and is returned whole, so that one rewritten at a
    split is noticed. `timeout` in seconds bounds one step of a request. ValueError for no address.
    """

    name = "daily-csv"
    serves: tuple[str, ...] = ("prices",)

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

    def prices(self, ticker: str, start: dt.date | None, completed: pd.DatetimeIndex) -> provider.FetchOutcome:
        """Bars of the completed sessions, with distributions and splits if the file has their columns."""
        try:
            return self._prices(ticker, start, completed)
        except Exception as error:  # noqa: BLE001 - a traceback would show the address
            return provider.NetworkDown(f"the request failed ({type(error).__name__})")

    def _prices(self, ticker: str, start: dt.date | None, completed: pd.DatetimeIndex) -> provider.FetchOutcome:
        url = self._template.replace("{ticker}", ticker)
        url = url.replace("{start}", (start or FIRST_DAY).isoformat())  # all of its history
        body = download(url, timeout=self._timeout, largest=_LARGEST)
        if isinstance(body, provider.AccessRefused):
            return replace(body, instead=_CHECK)
        if isinstance(body, provider.FetchOutcome):
            return body
        text = _decoded(body)
        if isinstance(text, provider.FetchOutcome):
            return text
        sessions = self._sessions()
        # The file may have a bar of the open session already; a row of a later one is an error.
        today = sessions.next_after(completed[-1]).date()
        try:
            last = completed[-1].date()
            contents = read_csv("prices", text, ticker, sessions=sessions, today=today, completed=last)
        except NoFigures:
            return provider.Empty("it has no completed session")
        except ImportRejected as error:
            return provider.SchemaChanged(self._without_keys(_reason(str(error))))
        return _outcome(contents, start, completed, provider.digest(body.content))

    def _without_keys(self, reason: str) -> str:
        """A reason in which no part of the address can be read, should the site have echoed it."""
        address = urlsplit(self._template)
        parts = re.split(r"[/?&=;:@+,]", f"{address.netloc}/{address.path}/{address.query}")
        for part in {key for piece in parts for key in (piece, unquote(piece)) if len(key) >= _SECRET}:
            reason = reason.replace(part, "…")
        return reason


def _decoded(body: DownloadedFile) -> str | provider.FetchOutcome:
    """The text of an answer, or the outcome if it is not a whole text."""
    try:
        text = decoded(body.content)
    except UnicodeDecodeError:
        return provider.SchemaChanged("not a text in UTF-8")
    is_whole = body.bounded or text.endswith(("\n", "\r"))
    return _error_instead_of_file(text.strip()) or (text if is_whole else provider.NetworkDown("the answer broke off"))


def _error_instead_of_file(text: str) -> provider.FetchOutcome | None:
    """The outcome for an answer that is not the file, despite "200 OK"; None if it may be."""
    for start, reason in {"<": "a web page instead of figures", "{": _JSON, "[": _JSON}.items():
        if text.startswith(start):
            return provider.SchemaChanged(reason)
    if not text:
        return provider.SchemaChanged("an empty body")
    if "\n" not in text and not FORMATS["prices"].missing(text.split(",")):
        return provider.Empty("it has a header line but no rows")
    if len(text) > _SHORT or "," in text.partition("\n")[0]:
        return None
    if re.match(r"no data\b", text, re.IGNORECASE):
        return provider.Empty("it says that it has no data")
    return provider.RateLimited() if re.search(r"\b(?:limit|too many requests)\b", text, re.IGNORECASE) else None


def short_reason(message: str) -> str:
    """The words of an import on why it refused a file: its first line, and the first of what is wrong."""
    first, *rows = message.splitlines()
    more = f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
    return f"{first} {'; '.join(rows[:_SHOWN])}{more}" if rows else first


def _reason(message: str) -> str:
    """Why the text was refused, from the words of an import."""
    reason = re.sub(f"^{TEXT_NAME} was not imported[,:] ", "", short_reason(message))
    if "\n" in message:
        return reason
    return re.sub(f"^{TEXT_NAME} ", "it ", reason).partition(". ")[0].rstrip(".")


def _outcome(
    contents: FileContents, start: dt.date | None, completed: pd.DatetimeIndex, raw: str
) -> provider.FetchOutcome:
    """The figures of completed sessions. Sessions that were requested but are absent are missing."""
    last = f"{completed[-1]:%Y-%m-%d}"
    payload = provider.observations_of(
        {
            kind: [row for row in rows if row.session <= last]
            for kind, rows in provider.rows_by_kind(contents.observations).items()
            if kind == "bars" or kind in contents.complete  # an empty list would mean that there was none
        }
    )
    if not payload["bars"]:
        return provider.Empty("it has no completed session")
    answered = pd.DatetimeIndex([bar.session for bar in payload["bars"]])
    requested = completed[completed >= (answered[0] if start is None else pd.Timestamp(start))]
    missing = tuple(f"{session:%Y-%m-%d}" for session in requested.difference(answered))
    return provider.Ok(payload, missing, raw)
