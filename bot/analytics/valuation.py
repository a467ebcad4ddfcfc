"""Valuation multiples by convention, and the premium of the small fund over the large one.

There is no bare "P/E": with losses in, without, or capped, the same index is 75x, 18x or 25x, so every
figure carries its convention and basis, and a premium is formed between equal conventions only.
Multiples are in times; `yield` is in percent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from bot.analytics.market import Market

MULTIPLES = {
    "pe": "P/E",
    "pcf": "P/CF",
    "pb": "P/B",
    "ps": "P/S",
    "pfcf": "P/FCF",
    "yield": "Yield",
}
CONVENTIONS = {
    "losses_in": "losses in",
    "positive": "profitable companies only",
    "capped": "each P/E capped at 60",
    "morningstar": "Morningstar via Yahoo",
    "yahoo": "Yahoo quote",
}


@dataclass(frozen=True)
class Figure:
    """One multiple of both funds under one convention and basis, at each fund's own last session."""

    metric: str
    convention: str
    basis: str
    small: float | None
    large: float | None
    small_session: pd.Timestamp | None
    large_session: pd.Timestamp | None
    small_priced: pd.Timestamp | None  # the date of the price behind it, None where it is not stated
    large_priced: pd.Timestamp | None
    sources: tuple[str, ...]
    premium: float | None  # percent, only where both are of one session
    percentile: float | None  # of the premium's last value within its history
    observations: int
    first: pd.Timestamp | None


def select(market: Market, ticker: str, metric: str, convention: str, basis: str | None = None) -> pd.Series:
    """Stored history of one multiple, sessions -> times (yield: percent); one basis, else the newest's."""
    rows = _chosen(market, ticker, metric, convention, basis)
    return pd.Series(rows["value"].to_numpy(dtype="float64"), index=pd.DatetimeIndex(rows["session"]))


def price_sessions(market: Market, ticker: str, metric: str, convention: str) -> pd.Series:
    """The session whose price each figure of `select` was computed from; its own where none is stated.

    A price date on a day that the exchange was closed is that of the session before.
    """
    rows = _chosen(market, ticker, metric, convention, None)
    dates = _price_dates(rows)
    traded = pd.Series(market.sessions, market.sessions).reindex(dates.dropna(), method="ffill")
    sessions = pd.Series(traded.to_numpy(), dates.dropna().index).reindex(rows.index)
    return sessions.where(dates.notna(), rows["session"]).set_axis(pd.DatetimeIndex(rows["session"]))


def _price_dates(rows: pd.DataFrame) -> pd.Series:
    """The price dates of rows, NaT where none is stated."""
    if "price_date" not in rows:
        return pd.Series(pd.NaT, rows.index, dtype="datetime64[ns]")
    return pd.to_datetime(rows["price_date"]).astype("datetime64[ns]")


def _chosen(market: Market, ticker: str, metric: str, convention: str, basis: str | None) -> pd.DataFrame:
    """Rows of one multiple of one basis, a row a session, in order."""
    rows = market.multiples
    rows = rows[(rows["ticker"] == ticker) & (rows["metric"] == metric) & (rows["convention"] == convention)]
    if rows.empty:
        return rows
    rows = rows.sort_values("session", kind="stable")
    basis = rows["basis"].iloc[-1] if basis is None else basis
    return rows[rows["basis"] == basis].drop_duplicates("session", keep="last")


def premium(market: Market, metric: str, convention: str, basis: str | None = None) -> pd.Series:
    """100 (small / large - 1) percent on sessions for which both figures are stored under one basis.

    By default it is the newest basis that both funds have: trailing is never set against forward.
    """
    basis = _common_basis(market, metric, convention) if basis is None else basis
    multiples = {ticker: select(market, ticker, metric, convention, basis) for ticker in market.pair.tickers}
    both = pd.concat(multiples, axis=1, join="inner").dropna()
    small, large = market.pair.tickers
    both = both[both[large] > 0]
    return 100 * (both[small] / both[large] - 1)


def _common_basis(market: Market, metric: str, convention: str) -> str:
    """The newest basis under which both funds have the multiple, "" when there is none."""
    rows = market.multiples
    rows = rows[(rows["metric"] == metric) & (rows["convention"] == convention)]
    of_each = (set(rows.loc[rows["ticker"] == ticker, "basis"]) for ticker in market.pair.tickers)
    shared = set.intersection(*of_each)
    bases = rows[rows["basis"].isin(shared)].sort_values("session", kind="stable")["basis"]
    return str(bases.iloc[-1]) if len(bases) else ""


def percentile_rank(values: pd.Series) -> float | None:
    """Share of the history at or below its last value, percent; None without at least two values."""
    known = values.dropna()
    if len(known) < 2:
        return None
    return float(100 * np.mean(known.to_numpy() <= known.iloc[-1]))


def figures(market: Market, metric: str | None = None) -> list[Figure]:
    """Every stored multiple, or one under its conventions; as MULTIPLES, then by convention and basis."""
    rows = market.multiples
    if metric is not None:
        rows = rows[rows["metric"] == metric]
    keys = sorted(
        {(m, c, b) for m, c, b in zip(rows["metric"], rows["convention"], rows["basis"], strict=True)},
        key=lambda key: (list(MULTIPLES).index(key[0]) if key[0] in MULTIPLES else len(MULTIPLES), *key),
    )
    return [_figure(market, *key) for key in keys]


def _figure(market: Market, metric: str, convention: str, basis: str) -> Figure:
    rows = market.multiples
    chosen = rows[
        (rows["metric"] == metric) & (rows["convention"] == convention) & (rows["basis"] == basis)
    ].sort_values("session", kind="stable")
    last = {ticker: chosen[chosen["ticker"] == ticker].tail(1) for ticker in market.pair.tickers}
    value = {t: float(row["value"].iloc[0]) if len(row) else None for t, row in last.items()}
    session = {t: row["session"].iloc[0] if len(row) else None for t, row in last.items()}
    dates = {t: _price_dates(row).dropna() for t, row in last.items()}
    price_sessions = {t: days.iloc[0] if len(days) else None for t, days in dates.items()}
    over = premium(market, metric, convention, basis)
    small, large = market.pair.tickers
    same = session[small] is not None and session[small] == session[large]
    return Figure(
        metric,
        convention,
        basis,
        value[small],
        value[large],
        session[small],
        session[large],
        price_sessions[small],
        price_sessions[large],
        tuple(sorted({str(row["source"].iloc[0]) for row in last.values() if len(row)})),
        float(over.iloc[-1]) if same and len(over) else None,
        percentile_rank(over),
        len(over),
        over.index[0] if len(over) else None,
    )
