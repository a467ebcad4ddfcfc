"""Yahoo through yfinance: prices, distributions, splits, multiples, sector weights and fund facts.

The only file that knows yfinance, which is imported when first used. Every method makes one call
of it (and so the few requests that go with one) and never raises for a fault of the source.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from bot.data.provider import Empty, FetchOutcome, Ok, Partial, SchemaChanged, unreviewed
from bot.data.wire import RecordingSession, find_problem, outcome_of_error
from bot.data.yahoo_rows import (
    bar_rows,
    event_rows,
    fund_rows,
    mark_provisional,
    multiple_rows,
    sector_rows,
)
from bot.pair import DEFAULT_PAIR

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable
    from pathlib import Path

    from bot.data.provider import Observations


class Yahoo:
    """The Provider "yahoo".

    `cache` is a folder of its own, made private (0700), for the cookie and the time zones that
    yfinance keeps: it unpickles the cookie, so nobody else may write there. `timeout` in seconds
    bounds one request.
    """

    name = "yahoo"
    label = "Yahoo"
    serves: tuple[str, ...] = ("prices", "multiples", "fund")
    review = unreviewed

    def __init__(
        self, cache: Path, timeout: float = 10.0, tickers: tuple[str, ...] = DEFAULT_PAIR.tickers
    ) -> None:
        self.tickers = tickers
        self._cache = cache
        self._timeout = timeout
        self._wire: RecordingSession | None = None

    def prices(self, ticker: str, start: dt.date | None, completed: pd.DatetimeIndex) -> FetchOutcome:
        """Bars, distributions and splits of the completed sessions from `start` (None: all there is)."""

        def read(symbol: Any, wire: RecordingSession) -> FetchOutcome:  # noqa: ANN401 - yfinance has no types
            # Never an `end`: a finished range would be cached for the life of the process.
            span = {"period": "max"} if start is None else {"start": start.isoformat()}
            frame = symbol.history(
                interval="1d", auto_adjust=False, actions=True, timeout=self._timeout, **span
            )
            answer = wire.answer()["chart"]["result"][0]
            if answer["meta"]["symbol"] != ticker:
                return SchemaChanged(f"prices of {answer['meta']['symbol']} instead of {ticker}")
            return _prices(ticker, start, frame, answer, completed)

        return self._ask(ticker, read)

    def multiples(self, ticker: str, completed: pd.DatetimeIndex) -> FetchOutcome:
        """Morningstar's multiples and the sector weights; undated there, so as of the last session."""

        def read(symbol: Any, wire: RecordingSession) -> FetchOutcome:  # noqa: ANN401 - as above
            del wire
            session = f"{completed[-1]:%Y-%m-%d}"
            funds = symbol.funds_data
            multiples, missing = multiple_rows(ticker, session, funds.equity_holdings[ticker].to_dict())
            sectors, none = sector_rows(ticker, session, funds.sector_weightings)
            return _outcome({"multiples": multiples, "sector_weights": sectors}, missing + none)

        return self._ask(ticker, read)

    def fund(self, ticker: str, completed: pd.DatetimeIndex) -> FetchOutcome:
        """Net asset value and assets of the session before the quote's; trailing P/E and yield."""

        def read(symbol: Any, wire: RecordingSession) -> FetchOutcome:  # noqa: ANN401 - as above
            info = _info(symbol)
            if wrong := find_problem(wire.attempts, ticker):  # it passes over one half that holds nothing
                return wrong
            facts, multiples, missing = fund_rows(ticker, info, completed)
            return _outcome({"fund_facts": facts, "multiples": multiples}, missing)

        return self._ask(ticker, read)

    def _ask(self, ticker: str, read: Callable[[Any, RecordingSession], FetchOutcome]) -> FetchOutcome:
        """Answer of one call, whatever yfinance makes of it."""
        attempts: RecordingSession | None = None
        try:
            import yfinance  # noqa: PLC0415 - late: it costs a second or two
            from yfinance.data import YfData  # noqa: PLC0415 - as above

            attempts = wire = self._connection(yfinance)
            YfData.cache_get.cache_clear()  # it caches errors too
            wire.begin()
            outcome = read(yfinance.Ticker(ticker, session=wire.session), wire)
            return replace(outcome, digest=wire.digest()) if isinstance(outcome, Ok | Partial) else outcome
        except Exception as error:  # noqa: BLE001 - yfinance lets out whatever its parsing met
            return outcome_of_error(error, attempts.attempts if attempts else [], ticker)

    def _connection(self, yfinance: Any) -> RecordingSession:  # noqa: ANN401 - as above
        """The session of this provider, made on first use: its cookies serve all calls."""
        if self._wire is None:
            from curl_cffi import requests  # noqa: PLC0415 - what yfinance itself sends through

            self._cache.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._cache.chmod(0o700)
            # Of calls that pandas 4 will drop; importing yfinance turned these warnings on.
            warnings.filterwarnings("ignore", category=pd.errors.Pandas4Warning, module="yfinance")
            yfinance.set_tz_cache_location(str(self._cache))
            # Hidden errors would come back as empty frames.
            yfinance.config.debug.hide_exceptions = False
            self._wire = RecordingSession(requests.Session(impersonate="chrome"), self._timeout)
        return self._wire


def _prices(
    ticker: str,
    start: dt.date | None,
    frame: pd.DataFrame,
    answer: dict[str, Any],
    completed: pd.DatetimeIndex,
) -> FetchOutcome:
    """Rows of one price answer; sessions without a close are named as missing."""
    bars = bar_rows(ticker, frame, completed)
    if not bars:
        return Empty("it has no completed session")
    mark_provisional(bars, answer["meta"])
    distributions, splits, missing = event_rows(ticker, answer, completed)
    first = pd.Timestamp(bars[0]["session"] if start is None else start)
    expected = completed[completed >= first]
    gaps = expected.difference(pd.DatetimeIndex([bar["session"] for bar in bars]))
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


def _outcome(payload: Observations, missing: list[str]) -> FetchOutcome:
    """Ok, Partial or Empty, by what there is and what is missing."""
    if not any(payload.values()):
        return Empty(f"missing {', '.join(missing)}" if missing else "the answer held no figures")
    return Partial(payload, tuple(missing)) if missing else Ok(payload)
