"""Downloads one file over HTTP. Returns its bytes, or the FetchOutcome that says why there are none.

The address may contain a key, so it appears in no outcome and no log line.
"""

from __future__ import annotations

import logging
import socket
import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bot import __version__
from bot.data.provider import AccessRefused, FetchOutcome, NetworkDown, RateLimited, SchemaChanged

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

USER_AGENT = f"small-versus-large-bot/{__version__}"
TEXT, ANY = "text/csv, text/plain, */*;q=0.5", "*/*"
_REDIRECTS = 5
# A slow answer as a whole may take this many times the time-out of one step of it.
_PATIENCE = 3


@dataclass(frozen=True)
class DownloadedFile:
    """An answer's bytes. `bounded` if the answer states its length, so that it is known to be whole."""

    content: bytes
    bounded: bool


class _Insecure(Exception):
    """A redirect led from https to http."""


def download(url: str, *, timeout: float, largest: int, accept: str = TEXT) -> DownloadedFile | FetchOutcome:
    """Download a file. `timeout` in seconds is for each step, `largest` in bytes, unpacked."""
    import httpx  # noqa: PLC0415 - late: a bot without such a source needs it later, or never here

    _keep_addresses_out_of_logs()
    deadline = time.monotonic() + _PATIENCE * timeout

    def check(request: httpx.Request) -> None:
        if url.startswith("https:") and request.url.scheme != "https":
            raise _Insecure

    client = httpx.Client(
        headers={"User-Agent": USER_AGENT, "Accept": accept},
        timeout=timeout,
        follow_redirects=True,
        max_redirects=_REDIRECTS,
        event_hooks={"request": [check]},
    )
    try:
        with client, client.stream("GET", url) as response:
            return _status_outcome(response) or _body(response, deadline, largest)
    except _Insecure:
        return NetworkDown("it leads from a secure address to one that is not")
    except httpx.DecodingError:
        return SchemaChanged("its compression is broken")
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as error:
        return NetworkDown(_error_words(error))


def _keep_addresses_out_of_logs() -> None:
    """At INFO and below, httpx and what it sends through log addresses and headers."""
    for name in ("httpx", "httpcore"):
        logger = logging.getLogger(name)
        if logger.level < logging.WARNING:
            logger.setLevel(logging.WARNING)


def _status_outcome(response: httpx.Response) -> FetchOutcome | None:
    """The outcome of a status that makes the body useless, None if the body can be read."""
    status = response.status_code
    if status == 429:
        wait = response.headers.get("Retry-After", "")
        return RateLimited(float(wait) if wait.isdecimal() else None)
    if status in {401, 403}:
        return AccessRefused(f"HTTP {status}")
    if status in {404, 410}:
        return NetworkDown(f"there is nothing at its address (HTTP {status})")
    if status >= 500:
        return NetworkDown(f"the server is out of order (HTTP {status})")
    return None if status == 200 else NetworkDown(f"the request was not answered (HTTP {status})")


def _body(response: httpx.Response, deadline: float, largest: int) -> DownloadedFile | FetchOutcome:
    """The body, unless it is too large or too slow."""
    content = bytearray()
    for chunk in response.iter_bytes():
        content += chunk
        if len(content) > largest:
            return SchemaChanged(f"larger than {largest / 1e6:g} MB")
        if time.monotonic() > deadline:
            return NetworkDown("no answer in time")
    bounded = "Content-Length" in response.headers or "Transfer-Encoding" in response.headers
    return DownloadedFile(bytes(content), bounded)


def _error_words(error: Exception) -> str:
    """Describe a transport error in own words, because its text may contain the address."""
    import httpx  # noqa: PLC0415 - as above

    causes = list(_causes(error))
    for kind, words in (
        (httpx.TimeoutException, "no answer in time"),
        (httpx.TooManyRedirects, "it leads in a circle"),
        (httpx.ProxyError, "the proxy refused the connection"),
        (httpx.RemoteProtocolError, "the answer broke off"),
        (httpx.ReadError, "the answer broke off"),
        (socket.gaierror, "its name could not be resolved"),
        (ssl.SSLCertVerificationError, "its certificate is not trusted"),
        (ssl.SSLError, "the secure connection failed"),
        (httpx.InvalidURL, "its address is not valid"),
        (httpx.UnsupportedProtocol, "its address is not valid"),
    ):
        if any(isinstance(cause, kind) for cause in causes):
            return words
    return "the connection failed"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and the chain of its causes."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
