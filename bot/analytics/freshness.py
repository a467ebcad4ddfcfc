"""How far each part of the Market reaches, for telling an outage from a holiday."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.analytics.counts import FROZEN_SESSIONS
from bot.analytics.dates import date_phrase, short_date
from bot.analytics.market import TYPED_IN
from bot.analytics.registry import METRICS
from bot.errors import NoData

if TYPE_CHECKING:
    import pandas as pd

    from bot.analytics.market import Market

_LAGS = {metric.part: metric.lag for metric in METRICS.values()}


def lag_of(part: str) -> int:
    """Sessions after which the figures of a session are expected."""
    return _LAGS[part.partition(":")[0]]


def require_end(market: Market) -> pd.Timestamp:
    """The last session with a close of both funds; raises NoData when there is none."""
    if market.end is not None:
        return market.end
    tickers = market.pair.tickers
    sessions = {t: market.prices[t].dropna().index for t in tickers if t in market.prices}
    first = {ticker: days[0] for ticker, days in sessions.items() if len(days)}
    if not first and market.begins is not None:
        raise NoData(
            f"The first stored close of both funds is of {date_phrase(market.begins)}; the last completed "
            f"session is {date_phrase(market.last_completed)}, so there is nothing to show yet."
        )
    if not first:
        raise NoData(
            "No prices are stored yet. Fetch them with “python -m bot refresh”, or import a file: "
            f"python -m bot import prices {tickers[0]}_daily.csv --ticker {tickers[0]}"
        )
    stored = "; ".join(f"{t} from {short_date(first[t])}" if t in first else f"{t} none" for t in tickers)
    lacking = next((ticker for ticker in tickers if ticker not in first), market.pair.large.ticker)
    raise NoData(
        f"There is no session yet with a close of both funds (prices stored: {stored}). Import the rest: "
        f"python -m bot import prices {lacking}_daily.csv --ticker {lacking}"
    )


def newest(market: Market, part: str) -> pd.Timestamp | None:
    """The last session for which a part has its figures; None when it never had any.

    A share count that does not move for three sessions is frozen: it reaches as far as it moved.
    """
    if part == "prices":
        return market.end
    if part == "multiples":
        return _newest_multiple(market)
    counts = _counts(market, part)
    if is_frozen(market, part):
        return counts.index[counts.diff() != 0][-1]
    return counts.index[-1] if len(counts) else None


def is_frozen(market: Market, part: str) -> bool:
    """Whether a part brings new sessions and the same share count for each."""
    if not part.startswith("facts:"):
        return False
    steps = _counts(market, part).diff().iloc[-FROZEN_SESSIONS:]
    return len(steps) == FROZEN_SESSIONS and bool((steps == 0).all())


def _counts(market: Market, part: str) -> pd.Series:
    return market.fund(part.partition(":")[2])["shares"].dropna()


def _newest_multiple(market: Market) -> pd.Timestamp | None:
    """The last session on which a source that is asked each day has a multiple of both funds, of any kind.

    Nobody promised another one to those who type them in.
    """
    rows = market.multiples
    known = rows[rows["value"].notna() & (rows["source"] != TYPED_IN)]
    last = known.groupby("ticker")["session"].max()
    return None if last.empty or len(last) < len(market.pair.tickers) else last.min()


def due(market: Market, part: str, expected: pd.Timestamp) -> pd.Timestamp | None:
    """The session that a part must reach once the close of `expected` is overdue, its lag allowed for."""
    done = market.sessions[market.sessions <= expected]
    lag = lag_of(part)
    return done[-1 - lag] if len(done) > lag else None


def lacking(market: Market, part: str, expected: pd.Timestamp) -> pd.Timestamp | None:
    """The first session after the newest of a part that is overdue; None where nothing is, or never was."""
    last, wanted = newest(market, part), due(market, part, expected)
    if last is None or wanted is None or last >= wanted:
        return None
    return market.sessions[market.sessions.searchsorted(last, side="right")]
