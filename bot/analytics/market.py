"""Market: all data that the metrics may use, as of one moment, with the age and source of each part.

Frozen frames on naive midnight sessions. Prices are split-adjusted closes in dollars; missing sessions are
absent, never filled. There is no clock: `last_completed` is the session that the exchange had completed last
when the Market was loaded.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import pandas as pd

from bot.analytics.sources import SAMPLE
from bot.errors import NoData
from bot.pair import DEFAULT_PAIR, Pair
from bot.text import command_line, date_phrase, short_date

MULTIPLE_COLUMNS = ("session", "ticker", "metric", "convention", "basis", "value", "source")
SUM_COLUMNS = ("ticker", "session", "contents")
WEIGHT_COLUMNS = ("session", "ticker", "level", "sector", "weight", "source")


@dataclass(frozen=True)
class Source:
    """Where a part of the Market comes from."""

    name: str  # storage's word: yahoo, csv, issuer, sample
    label: str  # what people read: "Yahoo", "CSV import", "sample data"
    observed_at: str = ""  # UTC of the newest row, ISO 8601

    @property
    def is_sample(self) -> bool:
        """Whether the numbers are made up and must be labelled so wherever they are shown."""
        return self.name == SAMPLE


NO_SOURCE = Source("none", "no data")


@dataclass(frozen=True, eq=False)
class Dispute:
    """Closes of one fund on which another source disagrees with the one that is used."""

    ticker: str
    used: str  # labels, as people read them
    other: str
    differences: pd.Series  # sessions that disagree, in order -> relative difference of the other's close


@dataclass(frozen=True, eq=False)
class ProvisionalFigures:
    """Figures of one fund from one source that are not used, because they are implausible for one reason."""

    ticker: str
    noun: str  # "close" or "distribution"
    amounts: pd.Series  # sessions in order -> dollars, NaN where the source gave no number
    reason: str  # "outside the low and high of the same session"
    label: str  # of the source, as people read it


@dataclass(frozen=True, eq=False)  # compared and hashed by identity, so that results can be cached by it
class Market:
    """Everything known about the pair at one moment.

    prices         DataFrame, sessions x tickers, split-adjusted close, NaN where one fund's is missing
    distributions  per ticker a Series ex-date -> dollars per share
    facts          per ticker a DataFrame, sessions x (nav, shares, assets), of ONE source each; it may have
                   the columns `was`, the count that a source gave before it replaced it, and `seconded`,
                   whether another source has the same count
    multiples      DataFrame with MULTIPLE_COLUMNS, one row per figure, ordered by session; where they are
                   known also holdings_date, price_date (ISO text) and coverage (0 to 1)
    weights        DataFrame with WEIGHT_COLUMNS, percent, one row per sector or group and session
    company_sums   DataFrame with SUM_COLUMNS: per fund and session what its companies add up to, ordered by
                   session; `contents` is a FundSums of bot.analytics.companies as JSON
    pair           the two funds
    sources        part (see `parts`) -> Source
    calendar       the exchange's sessions; without it, the sessions that have a price
    last_completed the exchange's last completed session
    anchor         K, the date asked for; None when none was asked (then it is the end session)
    notes          sentences on what its sources disagree on, by part
    disputes       closes on which another source disagrees with the one that is used
    provisional    figures that were given and are not used, because they are implausible
    first_close    the first stored close of both funds, also where it is later than last_completed
    refusals       files that did not come ("IWM fund": NAV and units) -> a sentence on why
    official       per ticker a Series of each month's last session -> dollars of the month, by filings
    whole          the Market of which this is the part up to `anchor`
    options        --config and --db of the process, for the command lines in messages
    results        what functions with `per_market` have computed of it
    """

    prices: pd.DataFrame
    last_completed: pd.Timestamp
    pair: Pair = DEFAULT_PAIR
    distributions: Mapping[str, pd.Series] = field(default_factory=dict)
    facts: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    multiples: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(MULTIPLE_COLUMNS)))
    weights: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(WEIGHT_COLUMNS)))
    company_sums: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(SUM_COLUMNS)))
    sources: Mapping[str, Source] = field(default_factory=dict)
    calendar: pd.DatetimeIndex | None = None
    anchor: pd.Timestamp | None = None
    notes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    disputes: tuple[Dispute, ...] = ()
    provisional: tuple[ProvisionalFigures, ...] = ()
    first_close: pd.Timestamp | None = None
    official: Mapping[str, pd.Series] = field(default_factory=dict)
    refusals: Mapping[str, str] = field(default_factory=dict)
    whole: "Market | None" = None
    options: str = ""
    results: dict[tuple[object, ...], Any] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def closes(self) -> pd.DataFrame:
        """Closes of both funds on the sessions they have in common (inner join, nothing filled)."""
        return self.prices.reindex(columns=list(self.pair.tickers)).dropna()

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that each have a source of their own: "prices", "facts:IWM", ..., "multiples"."""
        return ("prices", *(f"facts:{ticker}" for ticker in self.pair.tickers), "multiples")

    @cached_property
    def end(self) -> pd.Timestamp | None:
        """Last session on which both funds have a close, None in an empty Market."""
        return self.closes.index[-1] if len(self.closes) else None

    def require_end(self) -> pd.Timestamp:
        """The last session with a close of both funds. Raises NoData when there is none."""
        if self.end is not None:
            return self.end
        tickers = self.pair.tickers
        sessions = {t: self.prices[t].dropna().index for t in tickers if t in self.prices}
        first = {ticker: days[0] for ticker, days in sessions.items() if len(days)}
        if not first and self.first_close is not None:
            raise NoData(
                f"The first stored close of both funds is of {date_phrase(self.first_close)}; the last "
                f"completed session is {date_phrase(self.last_completed)}, so there is nothing to show yet."
            )
        if not first:
            raise NoData(
                "No prices are stored yet.",
                step=f"Fetch them with “{command_line('refresh', self.options)}”, or import a file: "
                f"{self.import_line('prices', tickers[0])}",
            )
        stored = "; ".join(f"{t} from {short_date(first[t])}" if t in first else f"{t} none" for t in tickers)
        missing = next((ticker for ticker in tickers if ticker not in first), self.pair.large.ticker)
        raise NoData(
            f"There is no session yet with a close of both funds (prices stored: {stored}).",
            step=f"Import the rest: {self.import_line('prices', missing)}",
        )

    def import_line(self, kind: str, ticker: str) -> str:
        """Return the command line that imports a fund's file of prices, fund-facts, multiples or weights."""
        file = f"{ticker}_daily.csv" if kind == "prices" else "FILE"
        return command_line(f"import {kind} {file} --ticker {ticker}", self.options)

    @property
    def sessions(self) -> pd.DatetimeIndex:
        """The exchange's sessions, future ones included."""
        return self.prices.index if self.calendar is None else self.calendar

    def sessions_behind(self, session: pd.Timestamp) -> int:
        """How many sessions lie between `session` and the last completed one, which counts."""
        first, last = self.sessions.searchsorted([session, self.last_completed], side="right")
        return max(int(last - first), 0)

    @property
    def missing(self) -> pd.DatetimeIndex:
        """Completed sessions since the first common one for which a close of either fund is missing."""
        if self.end is None:
            return self.sessions[:0]
        span = self.sessions[(self.sessions >= self.closes.index[0]) & (self.sessions <= self.last_completed)]
        return span.difference(self.closes.index)

    def fund(self, ticker: str) -> pd.DataFrame:
        """Fund facts of one ticker: sessions x (nav, shares, assets); empty when there are none."""
        if ticker in self.facts:
            return self.facts[ticker]
        columns = ["nav", "shares", "assets"]
        return pd.DataFrame(columns=columns, index=pd.DatetimeIndex([]), dtype="float64")

    def distributions_of(self, ticker: str) -> pd.Series:
        """Distributions of one ticker by ex-date, dollars per share; empty when there are none."""
        if ticker in self.distributions:
            return self.distributions[ticker]
        return pd.Series(dtype="float64", index=pd.DatetimeIndex([]))

    def source(self, part: str) -> Source:
        """Source of one of the parts."""
        return self.sources.get(part, NO_SOURCE)

    @property
    def is_sample(self) -> bool:
        """Whether any part is sample data."""
        return any(source.is_sample for source in self.sources.values())

    def at(self, anchor: pd.Timestamp) -> "Market":
        """The same Market as of `anchor`, which need not be a session: nothing later is left in it."""
        last = min(self.last_completed, anchor)
        completed = self.sessions[self.sessions <= last]
        return replace(
            self,
            prices=self.prices.loc[:anchor],
            distributions={ticker: paid.loc[:anchor] for ticker, paid in self.distributions.items()},
            facts={ticker: frame.loc[:anchor] for ticker, frame in self.facts.items()},
            multiples=self.multiples[self.multiples["session"] <= anchor],
            weights=self.weights[self.weights["session"] <= anchor],
            company_sums=self.company_sums[self.company_sums["session"] <= anchor],
            disputes=tuple(replace(dispute, differences=dispute.differences.loc[:anchor]) for dispute in self.disputes),
            provisional=tuple(
                replace(figures, amounts=figures.amounts.loc[:anchor])
                for figures in self.provisional
                if figures.amounts.index[0] <= anchor
            ),
            official={ticker: flows.loc[:anchor] for ticker, flows in self.official.items()},
            last_completed=completed[-1] if len(completed) else last,
            anchor=anchor,
            whole=self.whole or self,
        )


P = ParamSpec("P")
T = TypeVar("T")


def per_market(function: Callable[Concatenate[Market, P], T]) -> Callable[Concatenate[Market, P], T]:
    """Compute a function of a Market once for the same arguments; the result lives as long as the Market.

    A Market never changes, so the result cannot go stale. Callers must not change it in place.
    """

    @wraps(function)
    def computed_once(market: Market, /, *args: P.args, **kwargs: P.kwargs) -> T:
        key = (function, args, tuple(kwargs.items()))
        if key not in market.results:
            market.results[key] = function(market, *args, **kwargs)
        result: T = market.results[key]
        return result

    return computed_once


@per_market
def market_before(market: Market) -> Market | None:
    """The Market of the session before the last close, as it was known that evening; None without one.

    Share counts arrive a session late, so those of that session are left out.
    """
    if len(market.closes) < 2:
        return None
    session = market.closes.index[-2]
    earlier = market.sessions[market.sessions < session]
    facts = market.facts if not len(earlier) else {t: f.loc[: earlier[-1]] for t, f in market.facts.items()}
    return replace(market, facts=facts).at(session)
