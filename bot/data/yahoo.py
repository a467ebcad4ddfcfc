"""Yahoo through yfinance: prices, distributions, splits, multiples, sector weights and fund facts.

The only file that knows yfinance, which is imported when first used. Every method makes one call of it (and
so the few requests that go with one) and never raises for a fault of the source.

yfinance words most failures as "possibly delisted", whatever the cause. So its requests go through a
RecordingSession that remembers each answer, and a failure is judged by the answers, not by the wording.
"""

import datetime as dt
import json
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import pandas as pd

from bot.analytics.companies import QUOTE_COLUMNS
from bot.data import provider, yahoo_rows
from bot.pair import DEFAULT_PAIR

# One call makes up to eight requests (cookie, crumb, time zone, data, and again after a refusal);
# together they may take this many times the time-out of one.
_CALL_TIMEOUTS = 3

_LARGEST = 10_000_000  # bytes of an answer, unpacked: thirty years of daily prices are a tenth of it
_ABORT = 0xFFFFFFFF  # CURL_WRITEFUNC_ERROR, for an answer that is larger

# What Yahoo says in the `description` of its errors, by how it begins.
_UNKNOWN_SYMBOL = ("No data found, symbol may be delisted", "Quote not found for")
_NO_PRICES = provider.Empty("there are no prices in the sessions asked for")
_NO_DATA = {
    "Data doesn't exist for startDate": _NO_PRICES,
    "No fundamentals data found": provider.Empty("it keeps no such figures for this fund"),
}


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
        return self.path.startswith(("/v1/finance/", "/v7/finance/", "/v8/finance/", "/v10/finance/"))


class RecordingSession:
    """A curl_cffi session whose requests are remembered and kept short, in time and in bytes.

    `timeout` in seconds bounds each request, whatever the library asks for.
    """

    def __init__(self, session: Any, timeout: float) -> None:  # noqa: ANN401 - it is imported late
        self.session = session
        self.attempts: list[RecordedRequest] = []
        self._timeout = timeout
        self._deadline = 0.0
        self._send = session.request
        session.request = self._request

    def begin(self) -> None:
        """Forget the last call and start the clock of the next."""
        self.attempts = []
        self._deadline = time.monotonic() + _CALL_TIMEOUTS * self._timeout

    def answer(self) -> dict[str, Any]:
        """The body of the last answer with figures; KeyError, TypeError or ValueError if it is no object."""
        body = json.loads(next(attempt.body for attempt in reversed(self.attempts) if attempt.is_data))
        return cast("dict[str, Any]", body)

    def digest(self) -> str:
        """Hash of the answers with figures."""
        return provider.digest(*(attempt.body for attempt in _last_of_each(self.attempts) if attempt.is_data))

    def _request(self, method: str, url: str, **options: Any) -> Any:  # noqa: ANN401 - as above
        path = urlsplit(url).path
        body = bytearray()

        def collect(chunk: bytes) -> int:
            body.extend(chunk)
            return len(chunk) if len(body) <= _LARGEST else _ABORT

        try:
            remaining = self._deadline - time.monotonic()
            if remaining <= 0:
                raise TimeoutError
            options["timeout"] = min(self._timeout, remaining)
            response = self._send(method=method, url=url, content_callback=collect, **options)
        except OSError as error:
            large = f"its answer is larger than {_LARGEST / 1e6:.0f} MB" if len(body) > _LARGEST else ""
            self.attempts.append(RecordedRequest(path, fault=large or provider.transport_fault(error)))
            raise
        response.content = bytes(body)
        wait = response.headers.get("Retry-After") or ""
        retry_after = float(wait) if wait.isdecimal() else None
        self.attempts.append(RecordedRequest(path, response.status_code, response.text, retry_after))
        return response


def outcome_of_error(error: Exception, attempts: list[RecordedRequest], ticker: str) -> provider.FetchOutcome:
    """The Outcome of a call that raised `error` after `attempts`."""
    limited = [attempt for attempt in _last_of_each(attempts) if attempt.status == 429]
    if limited:
        return provider.RateLimited(max(attempt.retry_after or 0.0 for attempt in limited) or None)
    if not any(attempt.is_data for attempt in attempts):
        faults = [attempt.fault for attempt in attempts if attempt.fault]
        return provider.NetworkDown(faults[-1] if faults else f"the request failed ({type(error).__name__})")
    # An unexpected error in words, without the library's guesses.
    reason = f"{error} is missing" if isinstance(error, KeyError) else type(error).__name__
    return find_problem(attempts, ticker) or provider.SchemaChanged(reason)


def find_problem(attempts: list[RecordedRequest], ticker: str) -> provider.FetchOutcome | None:
    """The outcome of answers that the library accepted wrongly, None if they are sound."""
    answers = (attempt for attempt in _last_of_each(attempts) if attempt.is_data)
    return next((outcome for answer in answers if (outcome := _answer_outcome(answer, ticker))), None)


def _last_of_each(attempts: list[RecordedRequest]) -> list[RecordedRequest]:
    """The last attempt at each path: a refusal that a second try overcame does not count."""
    return list({attempt.path: attempt for attempt in attempts}.values())


def _answer_outcome(answer: RecordedRequest, ticker: str) -> provider.FetchOutcome | None:
    """The outcome of an answer without figures, None if it may have some."""
    status, text = answer.status, answer.body.strip()
    if status is None or status >= 500 or status in {401, 403}:
        words = "access was refused" if status in {401, 403} else "the server is out of order"
        return provider.NetworkDown(answer.fault or f"{words} (HTTP {status})")
    if "Will be right back" in text:
        return provider.NetworkDown("the server is down for maintenance")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):  # the second of a deep nesting
        reason = "a web page instead of figures" if text.startswith("<") else "broken JSON"
        return provider.SchemaChanged(reason if text else "an empty body")
    if not isinstance(content, dict):
        return provider.SchemaChanged(f"{text[:20]} instead of an object")
    part = next((value for value in content.values() if isinstance(value, dict)), {})
    if error := part.get("error"):
        return _error_outcome(str(error.get("description") if isinstance(error, dict) else error), status, ticker)
    return provider.SchemaChanged(f"HTTP {status}") if status != 200 else _result_outcome(part)


def _error_outcome(description: str, status: int, ticker: str) -> provider.FetchOutcome:
    """The outcome of an error in Yahoo's own words. A missing page alone never makes a ticker unknown."""
    if status == 404 and description.startswith(_UNKNOWN_SYMBOL):
        return provider.UnknownSymbol(ticker)
    known = (outcome for words, outcome in _NO_DATA.items() if description.startswith(words))
    return next(known, provider.SchemaChanged(f"an error, HTTP {status}"))


def _result_outcome(part: dict[str, Any]) -> provider.FetchOutcome | None:
    """The outcome of a result without figures, None if there may be some.

    A price answer that has its description, `meta`, and no session is sound.
    """
    if "result" not in part:
        return provider.SchemaChanged("it has no result")
    result = part["result"]
    if not result:
        return provider.Empty("its result is empty")
    first = result[0] if isinstance(result, list) else None
    if isinstance(first, dict) and "meta" in first and not first.get("timestamp"):
        return _NO_PRICES
    return None


PAGE, BATCH = 250, 98  # the most companies that a page has, and that are asked for by symbol
WHOLE = 0.9  # of the companies that a page must have by its total: a shorter one is cut
LEAST_VALUE = 10_000_000  # dollars: both funds' companies are larger, shells and funds are left out
_EXCHANGES = ["exchange", "NMS", "NYQ", "NGM", "NCM", "ASE", "BTS"]


@dataclass(frozen=True)
class CompanyPage(provider.FetchOutcome):
    """Companies by symbol, of `total` that there are."""

    quotes: Mapping[str, yahoo_rows.CompanyQuote]
    total: int


def _page(rows: list[Any], total: int, session: pd.Timestamp) -> CompanyPage | provider.SchemaChanged:
    quotes = yahoo_rows.company_quotes(rows, session)
    for name in ("price", "eps", "currency", "kind", "name"):  # others may well lack on a page of small ones
        given = {quote[QUOTE_COLUMNS.index(name)] for quote in quotes.values()}
        if len(quotes) >= PAGE / 10 and given == {None}:
            return provider.SchemaChanged(f"companies without {name}")
    return CompanyPage(quotes, total)


class Yahoo(provider.Provider):
    """The Provider "yahoo".

    `cache` is a folder of its own, made private (0700), for the cookie and the time zones that
    yfinance keeps: it unpickles the cookie, so nobody else may write there. `timeout` in seconds
    bounds one request.
    """

    name = "yahoo"
    label = "Yahoo"
    serves: tuple[str, ...] = ("prices", "multiples", "fund")

    def __init__(self, cache: Path, timeout: float = 10.0, tickers: tuple[str, ...] = DEFAULT_PAIR.tickers) -> None:
        self.tickers = tickers
        self._cache = cache
        self._timeout = timeout
        self._session: RecordingSession | None = None

    def prices(self, ticker: str, start: dt.date | None, completed: pd.DatetimeIndex) -> provider.FetchOutcome:
        """Bars, distributions and splits of the completed sessions from `start` (None: all there is)."""

        def read(symbol: Any, session: RecordingSession) -> provider.FetchOutcome:  # noqa: ANN401 - yfinance has no types
            # Never an `end`: a finished range would be cached for the life of the process.
            span = {"period": "max"} if start is None else {"start": start.isoformat()}
            frame = symbol.history(interval="1d", auto_adjust=False, actions=True, timeout=self._timeout, **span)
            answer = session.answer()["chart"]["result"][0]
            if answer["meta"]["symbol"] != ticker:
                return provider.SchemaChanged(f"prices of {answer['meta']['symbol']} instead of {ticker}")
            return _prices(ticker, start, frame, answer, completed)

        return self._call(ticker, read)

    def document(self, figure: str, ticker: str, completed: pd.DatetimeIndex) -> provider.FetchOutcome:
        """Multiples or fund facts."""
        return (self.multiples if figure == "multiples" else self.fund)(ticker, completed)

    def multiples(self, ticker: str, completed: pd.DatetimeIndex) -> provider.FetchOutcome:
        """Morningstar's multiples and the sector weights; undated there, so as of the last session."""

        def read(symbol: Any, session: RecordingSession) -> provider.FetchOutcome:  # noqa: ANN401 - as above
            del session
            day = f"{completed[-1]:%Y-%m-%d}"
            funds = symbol.funds_data
            multiples, missing = yahoo_rows.multiple_rows(ticker, day, funds.equity_holdings[ticker].to_dict())
            sectors, no_sectors = yahoo_rows.sector_rows(ticker, day, funds.sector_weightings)
            return _outcome({"multiples": multiples, "sector_weights": sectors}, missing + no_sectors)

        return self._call(ticker, read)

    def fund(self, ticker: str, completed: pd.DatetimeIndex) -> provider.FetchOutcome:
        """Net asset value and assets of the session before the quote's; trailing P/E and yield."""

        def read(symbol: Any, session: RecordingSession) -> provider.FetchOutcome:  # noqa: ANN401 - as above
            info = _info(symbol)
            if wrong := find_problem(session.attempts, ticker):  # it passes over one half that holds nothing
                return wrong
            facts, multiples, missing = yahoo_rows.fund_rows(ticker, info, completed)
            return _outcome({"fund_facts": facts, "multiples": multiples}, missing)

        return self._call(ticker, read)

    def screen(
        self, only: tuple[str, tuple[str, ...]] | None, offset: int, session: pd.Timestamp
    ) -> provider.FetchOutcome:
        """One page of the companies listed in the US, the largest first, as CompanyPage.

        only: of which field (industry, sector) they have a value, and its names, with * for any letters.
        """

        def read(symbol: Any, recorded: RecordingSession) -> provider.FetchOutcome:  # noqa: ANN401 - as above
            del symbol
            import yfinance  # noqa: PLC0415 - as in _call

            field = yfinance.EquityQuery
            parts = [field("gt", ["intradaymarketcap", LEAST_VALUE]), field("is-in", _EXCHANGES)]
            if only is not None:
                known = yfinance.const.EQUITY_SCREENER_EQ_MAP[only[0]]
                names = sorted(set().union(*known.values()) if isinstance(known, dict) else known)
                values = (name for name in names if any(fnmatchcase(name, like) for like in only[1]))
                parts.append(field("is-in", [only[0], *values]))
            query = field("and", parts)
            order = {"sortField": "intradaymarketcap", "sortAsc": False}
            result = yfinance.screen(query, offset=offset, size=PAGE, session=recorded.session, **order)
            rows, total = result["quotes"], int(result["total"])
            ended = offset - PAGE < total <= offset  # since the page before
            is_cut = len(rows) < WHOLE * min(PAGE, total - offset)
            if result["start"] != offset or is_cut or not (rows or ended):
                place = f"from {result['start']} instead of {offset}"
                return provider.SchemaChanged(f"{len(rows)} companies of {total}, {place}")
            return _page(rows, total, session)

        return self._call(self.tickers[0], read)

    def quotes(self, symbols: Sequence[str], session: pd.Timestamp) -> provider.FetchOutcome:
        """The companies of up to BATCH symbols, as CompanyPage; those that are not known are absent.

        A fund is asked for beside them: an answer without it is no answer.
        """

        def read(symbol: Any, recorded: RecordingSession) -> provider.FetchOutcome:  # noqa: ANN401 - as above
            del symbol
            from yfinance.const import _QUERY1_URL_  # noqa: PLC0415 - as in _call
            from yfinance.data import YfData  # noqa: PLC0415 - as above

            fund = self.tickers[0]
            options = {"symbols": ",".join((fund, *symbols)), "formatted": "false"}
            url = f"{_QUERY1_URL_}/v7/finance/quote"
            answer = YfData(session=recorded.session).get_raw_json(url, params=options)
            rows = answer["quoteResponse"]["result"]
            if not any(isinstance(row, dict) and row.get("symbol") == fund for row in rows):
                return provider.SchemaChanged(f"quotes without {fund}")
            return _page([row for row in rows if row.get("symbol") in symbols], len(rows), session)

        return self._call(self.tickers[0], read)

    def _call(
        self, ticker: str, read: Callable[[Any, RecordingSession], provider.FetchOutcome]
    ) -> provider.FetchOutcome:
        session: RecordingSession | None = None
        try:
            import yfinance  # noqa: PLC0415 - late: it costs a second or two
            from yfinance.data import YfData  # noqa: PLC0415 - as above

            session = self._recording_session(yfinance)
            YfData.cache_get.cache_clear()  # it caches errors too
            session.begin()
            outcome = read(yfinance.Ticker(ticker, session=session.session), session)
            return replace(outcome, digest=session.digest()) if isinstance(outcome, provider.Ok) else outcome
        except Exception as error:  # noqa: BLE001 - yfinance lets out whatever its parsing met
            return outcome_of_error(error, session.attempts if session else [], ticker)

    def _recording_session(self, yfinance: Any) -> RecordingSession:  # noqa: ANN401 - as above
        """The session of this provider, made on first use: its cookies serve all calls."""
        if self._session is None:
            from curl_cffi import requests  # noqa: PLC0415 - what yfinance itself sends through

            self._cache.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._cache.chmod(0o700)
            # Of calls that pandas 4 will drop; importing yfinance turned these warnings on.
            warnings.filterwarnings("ignore", category=pd.errors.Pandas4Warning, module="yfinance")
            yfinance.set_tz_cache_location(str(self._cache))
            # Hidden errors would come back as empty frames.
            yfinance.config.debug.hide_exceptions = False
            self._session = RecordingSession(requests.Session(impersonate="chrome"), self._timeout)
        return self._session


def _prices(
    ticker: str, start: dt.date | None, frame: pd.DataFrame, answer: dict[str, Any], completed: pd.DatetimeIndex
) -> provider.FetchOutcome:
    """Rows of one price answer; sessions without a close are named as missing."""
    if reason := yahoo_rows.unknown_form(answer["meta"], answer.get("timestamp") or ()):
        return provider.SchemaChanged(reason)
    frame = frame.set_axis(pd.DatetimeIndex(frame.index).tz_localize(None).normalize())  # by New York dates
    bars = yahoo_rows.bar_rows(ticker, frame, answer["meta"], completed)
    if not bars:
        return provider.Empty("it has no completed session")
    distributions, splits, missing = yahoo_rows.event_rows(ticker, answer, frame, completed)
    first = pd.Timestamp(bars[0].session if start is None else start)
    expected = completed[completed >= first]
    gaps = expected.difference(pd.DatetimeIndex([bar.session for bar in bars]))
    missing += [f"{session:%Y-%m-%d}" for session in gaps]
    return _outcome({"bars": bars, "distributions": distributions, "splits": splits}, missing)


def _info(symbol: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
    """`info`, even where its last part, a growth ratio of no use here, could not be read.

    Asking again makes no request: what had come before the failure is given out.
    """
    try:
        info = symbol.info
    except Exception:
        info = symbol.info
        if not info:
            raise
    return dict(info)


def _outcome(payload: provider.Observations, missing: list[str]) -> provider.FetchOutcome:
    if not any(provider.rows_by_kind(payload).values()):
        return provider.Empty(f"missing {', '.join(missing)}" if missing else "the answer held no figures")
    return provider.Ok(payload, tuple(missing))
