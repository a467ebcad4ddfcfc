"""Records the requests of a data library's call, and judges a failure by their answers.

yfinance words most failures as "possibly delisted", whatever the cause. So its requests go through a
Wire that remembers each answer, and `outcome_of_error` judges by the answers, not by the wording.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

from bot.data.provider import (
    Empty,
    FetchOutcome,
    NetworkDown,
    RateLimited,
    SchemaChanged,
    UnknownSymbol,
    digest,
)

# One call makes up to eight requests (cookie, crumb, time zone, data, and again after a refusal);
# together they may take this many times the time-out of one.
_PATIENCE = 3

# Class names of transport errors, most specific first, in words; curl_cffi and requests share them.
_FAULTS = {
    "DNSError": "its name could not be resolved",
    "ProxyError": "the proxy refused the connection",
    "CertificateVerifyError": "its certificate is not trusted",
    "SSLError": "the secure connection failed",
    "IncompleteRead": "the answer broke off",
    "ChunkedEncodingError": "the answer broke off",
    "Timeout": "no answer in time",
    "TimeoutError": "no answer in time",
    "ConnectionError": "the connection failed",
}

# What Yahoo says in the `description` of its errors, by how it begins.
_UNKNOWN = ("No data found, symbol may be delisted", "Quote not found for")
_NOTHING = ("Data doesn't exist for startDate", "No fundamentals data found")
_NO_PRICES = Empty("there are no prices in the sessions asked for")


@dataclass(frozen=True)
class RecordedRequest:
    """One request: its path, and either what was answered or why nothing was."""

    path: str
    status: int | None = None
    body: str = ""
    retry_after: float | None = None
    fault: str = ""

    @property
    def is_data(self) -> bool:
        """Whether it asked for figures that are used, not for a cookie, a crumb or a growth ratio."""
        return self.path.startswith(("/v7/finance/", "/v8/finance/", "/v10/finance/"))


class RecordingSession:
    """A session whose requests are remembered and kept short.

    `session` is a curl_cffi or requests Session (both send everything through `request`);
    `timeout` in seconds bounds each request, whatever the library asks for.
    """

    def __init__(self, session: Any, timeout: float) -> None:  # noqa: ANN401 - two libraries' types
        self.session = session
        self.attempts: list[RecordedRequest] = []
        self._timeout = timeout
        self._deadline = 0.0
        self._send = session.request
        session.request = self._request

    def begin(self) -> None:
        """Forget the last call and start the clock of the next."""
        self.attempts = []
        self._deadline = time.monotonic() + _PATIENCE * self._timeout

    def answer(self) -> dict[str, Any]:
        """The body of the last answer with figures; KeyError, TypeError or ValueError if it is no object."""
        body = json.loads(next(attempt.body for attempt in reversed(self.attempts) if attempt.is_data))
        return cast("dict[str, Any]", body)

    def digest(self) -> str:
        """Hash of the answers with figures."""
        return digest(*(attempt.body for attempt in _last_of_each(self.attempts) if attempt.is_data))

    def _request(self, method: str, url: str, **options: Any) -> Any:  # noqa: ANN401 - as above
        path = urlsplit(url).path
        try:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            options["timeout"] = min(self._timeout, left)
            response = self._send(method=method, url=url, **options)
        except OSError as error:
            self.attempts.append(RecordedRequest(path, fault=_error_words(error)))
            raise
        wait = response.headers.get("Retry-After") or ""
        retry_after = float(wait) if wait.isdigit() else None
        self.attempts.append(RecordedRequest(path, response.status_code, response.text, retry_after))
        return response


def outcome_of_error(error: Exception, attempts: list[RecordedRequest], ticker: str) -> FetchOutcome:
    """The Outcome of a call that raised `error` after `attempts`."""
    limited = [attempt for attempt in _last_of_each(attempts) if attempt.status == 429]
    if limited:
        return RateLimited(max(attempt.retry_after or 0.0 for attempt in limited) or None)
    if not any(attempt.is_data for attempt in attempts):
        faults = [attempt.fault for attempt in attempts if attempt.fault]
        return NetworkDown(faults[-1] if faults else f"the request failed ({type(error).__name__})")
    return find_problem(attempts, ticker) or SchemaChanged(_of_error(error))


def find_problem(attempts: list[RecordedRequest], ticker: str) -> FetchOutcome | None:
    """The outcome of answers that the library accepted wrongly, None if they are sound."""
    asked = (attempt for attempt in _last_of_each(attempts) if attempt.is_data)
    return next(
        (outcome for attempt in asked if (outcome := _of_status(attempt) or _of_body(attempt, ticker))), None
    )


def _last_of_each(attempts: list[RecordedRequest]) -> list[RecordedRequest]:
    """The last attempt at each path: a refusal that a second try overcame does not count."""
    return list({attempt.path: attempt for attempt in attempts}.values())


def _of_status(attempt: RecordedRequest) -> FetchOutcome | None:
    """The outcome of a status, None if the body must be read."""
    if attempt.status is None:
        return NetworkDown(attempt.fault)
    if attempt.status >= 500:
        return NetworkDown(f"the server is out of order (HTTP {attempt.status})")
    if attempt.status in (401, 403):
        return NetworkDown(f"access was refused (HTTP {attempt.status})")
    return None


def _of_body(attempt: RecordedRequest, ticker: str) -> FetchOutcome | None:
    """The outcome of a body, None for an object without an error."""
    answer = _parsed(attempt.body)
    if isinstance(answer, FetchOutcome):
        return answer
    part = next((value for value in answer.values() if isinstance(value, dict)), {})
    error = part.get("error")
    if error:
        description = str(error.get("description") if isinstance(error, dict) else error)
        return _of_description(description, attempt.status, ticker)
    if attempt.status != 200:
        return SchemaChanged(f"HTTP {attempt.status}")
    return _of_result(part)


def _parsed(body: str) -> dict[str, Any] | FetchOutcome:
    """The JSON object in a body, or the outcome if there is none."""
    text = body.strip()
    if "Will be right back" in text:
        return NetworkDown("the server is down for maintenance")
    if not text:
        return SchemaChanged("an empty body")
    if text.startswith("<"):
        return SchemaChanged("a web page instead of figures")
    try:
        answer = json.loads(text)
    except ValueError:
        return SchemaChanged("broken JSON")
    return answer if isinstance(answer, dict) else SchemaChanged(f"{text[:20]} instead of an object")


def _of_description(description: str, status: int | None, ticker: str) -> FetchOutcome:
    """The outcome of an error in Yahoo's own words. A missing page alone never makes a ticker unknown."""
    if status == 404 and description.startswith(_UNKNOWN):
        return UnknownSymbol(ticker)
    if description.startswith(_NOTHING):
        return _NO_PRICES if "startDate" in description else Empty("it keeps no such figures for this fund")
    return SchemaChanged(f"an error, HTTP {status}")


def _of_result(part: dict[str, Any]) -> FetchOutcome | None:
    """The outcome of a result without figures, None if there may be some.

    A price answer that has its description, `meta`, and no session is sound.
    """
    if "result" not in part:
        return SchemaChanged("it has no result")
    result = part["result"]
    if not result:
        return Empty("its result is empty")
    first = result[0] if isinstance(result, list) else None
    if isinstance(first, dict) and "meta" in first and not first.get("timestamp"):
        return _NO_PRICES
    return None


def _of_error(error: Exception) -> str:
    """An unexpected error in words, without the library's guesses."""
    return f"{error} is missing" if isinstance(error, KeyError) else type(error).__name__


def _error_words(error: OSError) -> str:
    """A transport error in words."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return next((words for name, words in _FAULTS.items() if name in names), "the connection failed")
