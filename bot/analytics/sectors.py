"""Sector and group weights of both funds, and where they differ most.

Weights are percent of the fund. Two classifications are never set against each other: Yahoo's sectors
are Morningstar's, the issuer's are GICS, and "Technology" is not the same list of companies in both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from bot.analytics.market import Market
    from bot.pair import Pair

BOTH = 2  # funds
SECTOR, GROUP, REVENUE = "sector", "industry group", "revenue"
# Yahoo's keys in words (Morningstar's eleven sectors).
MORNINGSTAR = {
    "realestate": "Real estate",
    "consumer_cyclical": "Consumer cyclical",
    "basic_materials": "Basic materials",
    "consumer_defensive": "Consumer defensive",
    "technology": "Technology",
    "communication_services": "Communication services",
    "financial_services": "Financial services",
    "utilities": "Utilities",
    "industrials": "Industrials",
    "energy": "Energy",
    "healthcare": "Healthcare",
}


@dataclass(frozen=True)
class Weights:
    """Weights of one level from one source: frame of names x (small, large, gap), largest gap first.

    sessions    per fund the session its weights are for
    """

    level: str
    source: str
    frame: pd.DataFrame
    sessions: dict[str, pd.Timestamp]

    @property
    def both(self) -> bool:
        """Whether both funds have weights."""
        return len(self.sessions) == BOTH


def weights(market: Market, level: str) -> list[Weights]:
    """The newest weights of a level, one entry a source that has any; those of both funds first."""
    rows = market.weights[market.weights["level"] == level]
    groups = rows.groupby("source", sort=True)
    by_source = [_of_source(market.pair, str(name), level, group) for name, group in groups]
    return sorted(by_source, key=lambda entry: not entry.both)


def _of_source(pair: Pair, source: str, level: str, rows: pd.DataFrame) -> Weights:
    columns, sessions = {}, {}
    small, large = pair.tickers
    for ticker in (small, large):
        own = rows[rows["ticker"] == ticker].dropna(subset=["weight"])
        if own.empty:
            continue
        last = own["session"].max()
        newest = own[own["session"] == last]
        columns[ticker] = pd.Series(newest["weight"].to_numpy(dtype="float64"), index=newest["sector"])
        sessions[ticker] = last
    # A name that one fund's list leaves out has no weight in it: both lists are whole.
    frame = pd.DataFrame(columns, columns=[small, large], dtype="float64")
    if len(sessions) == BOTH:
        frame = frame.fillna(0.0)
    frame["gap"] = frame[small] - frame[large]
    order = frame["gap"].abs() if len(sessions) == BOTH else frame[list(sessions)].max(axis=1)
    return Weights(level, source, frame.loc[order.sort_values(ascending=False).index], sessions)
