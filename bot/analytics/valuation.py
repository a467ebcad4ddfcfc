"""Valuation multiples, the fundamentals they imply, and sector weights.

There is no bare "P/E": with losses included, left out or capped, the same index is 75x, 18x or 25x, so every figure
carries its convention and basis, and a premium is formed between equal conventions only. Multiples are in times; what
ends in yield, and the share of loss-makers, is in percent.

Price and multiple imply figures per share: earnings = P / PE, cash flow = P / PCF, book = P / PB, sales = P / PS,
exactly as the multiple's convention counts them. A price return splits into earnings and multiple exactly in logs:
ln(P_e/P_b) = ln(EPS_e/EPS_b) + ln(PE_e/PE_b). What is divided or split is of one convention, basis and day.

Morningstar's figures have no date of their own. A session on which all of a fund's repeat although the price moved has
none: they are as of the session on which they last changed.

Weights are percent of the fund. Two classifications are never compared: Yahoo's sectors are Morningstar's, the issuer's
are GICS, and "Technology" is not the same list of companies in both.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import NamedTuple

import msgspec
import numpy as np
import pandas as pd

from bot.analytics.companies import CAPPED, FORWARD, LOSSES_IN, FundSums
from bot.analytics.market import Market, per_market
from bot.analytics.performance import performance
from bot.analytics.sources import COMPANIES
from bot.analytics.trend import percentile_rank
from bot.analytics.windows import Window
from bot.pair import Pair
from bot.text import short_date

MULTIPLES = {
    "pe": "P/E",
    "pcf": "P/CF",
    "pb": "P/B",
    "ps": "P/S",
    "pfcf": "P/FCF",
    "yield": "Yield",
    "earnings_yield": "Earnings yield",
    "loss_share": "Loss-makers",
}
OF_COMPANIES = {"earnings_yield", "loss_share"}  # in percent; the first of any sign
CONVENTIONS = {
    "losses_in": "losses included",
    "positive": "profitable companies only",
    "capped": "each P/E capped at 60",
    "morningstar": "Morningstar via Yahoo",
    "yahoo": "Yahoo quote",
}
ADDED_UP = frozenset({"losses_in", "positive", "capped"})  # from the companies; older figures are imported
UNDATED = "morningstar"  # the convention whose figures carry no date
# What Yahoo gives, by convention, its companies added up or the fund's own figures; anything else comes from
# imported files alone.
FROM_YAHOO = {
    "losses_in": frozenset({"pe", "pb", "earnings_yield", "loss_share"}),
    "positive": frozenset({"pe"}),
    "capped": frozenset({"pe"}),
    "morningstar": frozenset({"pe", "pb", "ps", "pcf"}),
    "yahoo": frozenset({"pe", "yield"}),
}
# A multiple may be this many days older than the session it stands for; the split then runs between
# the multiples' own dates and says so.
TOLERANCE_DAYS = 31
INDEX_BASE = 100.0  # of an index, at its base

SECTOR, GROUP, REVENUE = "sector", "industry group", "revenue"


@per_market
def multiple_history(market: Market, ticker: str, metric: str, convention: str, basis: str | None = None) -> pd.Series:
    """Stored history of one multiple, sessions -> times (yield: percent), of one basis, else the newest's."""
    rows = _history_rows(market, ticker, metric, convention, basis)
    return pd.Series(rows["value"].to_numpy(dtype="float64"), index=pd.DatetimeIndex(rows["session"]))


def price_sessions(market: Market, ticker: str, metric: str, convention: str, basis: str | None = None) -> pd.Series:
    """The session whose price each figure of `multiple_history` was computed from.

    It is the figure's own session where its source states none. A price date on a day that the exchange was
    closed is that of the session before.
    """
    rows = _history_rows(market, ticker, metric, convention, basis)
    dates = _price_dates(rows)
    traded = pd.Series(market.sessions, market.sessions).reindex(dates.dropna(), method="ffill")
    sessions = pd.Series(traded.to_numpy(), dates.dropna().index).reindex(rows.index)
    return sessions.where(dates.notna(), rows["session"]).set_axis(pd.DatetimeIndex(rows["session"]))


def _price_dates(rows: pd.DataFrame) -> pd.Series:
    if "price_date" not in rows:
        return pd.Series(pd.NaT, rows.index, dtype="datetime64[ns]")
    return pd.to_datetime(rows["price_date"]).astype("datetime64[ns]")


@per_market
def dated_multiples(market: Market) -> pd.DataFrame:
    """The stored multiples without undated ones that only repeat: they are as of their last change."""
    rows = market.multiples
    undated = (rows["convention"] == UNDATED) & _price_dates(rows).isna()
    repeated = pd.Series(False, rows.index)
    for ticker in market.pair.tickers:
        own = undated & (rows["ticker"] == ticker)
        if not own.any() or ticker not in market.prices:
            continue
        given = rows[own & rows["value"].notna()]
        sessions, places = np.unique(given["session"].to_numpy(), return_inverse=True)
        kinds = given.groupby(["metric", "basis"], observed=True).ngroup().to_numpy()
        figures = np.full((len(sessions) + 1, kinds.max(initial=0) + 1), np.nan)  # none before the first
        figures[places + 1, kinds] = given["value"]
        before, now = figures[:-1], figures[1:]
        changed = ((now != before) & ~(np.isnan(now) & np.isnan(before))).any(axis=1)
        price = market.prices[ticker].dropna().reindex(sessions, method="ffill").to_numpy()
        since = price[np.maximum.accumulate(np.where(changed, np.arange(len(sessions)), 0))]
        repeats = sessions[~changed & (price != since) & ~np.isnan(price)]
        repeated |= own & rows["session"].isin(repeats)
    return rows[~repeated]


@per_market
def _rows(market: Market, metric: str, convention: str) -> pd.DataFrame:
    """Stored rows of one multiple under one convention, by session."""
    rows = dated_multiples(market) if convention == UNDATED else market.multiples
    rows = rows[(rows["metric"] == metric) & (rows["convention"] == convention)]
    return rows.sort_values("session", kind="stable")


@per_market
def _history_rows(market: Market, ticker: str, metric: str, convention: str, basis: str | None) -> pd.DataFrame:
    """Rows of one fund's multiple of one basis, one per session."""
    rows = _rows(market, metric, convention)
    rows = rows[rows["ticker"] == ticker]
    if rows.empty:
        return rows
    basis = rows["basis"].iloc[-1] if basis is None else basis
    return rows[rows["basis"] == basis].drop_duplicates("session", keep="last")


@per_market
def premium_history(market: Market, metric: str, convention: str, basis: str | None = None) -> pd.Series:
    """100 (small / large - 1), percent, on sessions for which both figures are stored under one basis.

    By default it is the newest basis that both funds have: trailing is never compared with forward.
    """
    if basis is None:
        rows = _rows(market, metric, convention)
        shared = set.intersection(*(set(rows.loc[rows["ticker"] == ticker, "basis"]) for ticker in market.pair.tickers))
        bases = rows.loc[rows["basis"].isin(shared), "basis"]
        basis = str(bases.iloc[-1]) if len(bases) else ""
    small, large = (multiple_history(market, ticker, metric, convention, basis) for ticker in market.pair.tickers)
    small, large = small.align(large.where(large > 0), join="inner")
    return (100 * (small / large - 1)).dropna()


@per_market
def yield_gap_history(market: Market, convention: str, basis: str | None = None) -> pd.Series:
    """Earnings yield, small less large, percentage points, on sessions for which both are of one basis."""
    small, large = (
        multiple_history(market, ticker, "earnings_yield", convention, basis) for ticker in market.pair.tickers
    )
    return (small - large).dropna()


@per_market
def estimate_index(market: Market, ticker: str) -> pd.Series:
    """Estimated earnings a share of the next year, losses included, with the first day's as 100.

    The fund's price times its forward earnings yield; empty where the first are not positive.
    """
    forward = multiple_history(market, ticker, "earnings_yield", LOSSES_IN, FORWARD)
    dates = price_sessions(market, ticker, "earnings_yield", LOSSES_IN, FORWARD)
    price = market.prices.reindex(index=pd.DatetimeIndex(dates), columns=[ticker])[ticker]
    earnings = (price.set_axis(forward.index) * forward).dropna()
    if earnings.empty or earnings.iloc[0] <= 0:
        return earnings.iloc[:0]
    return INDEX_BASE * earnings / earnings.iloc[0]


def company_sums(market: Market, ticker: str) -> tuple[pd.Timestamp, FundSums] | None:
    """What a fund's companies add up to, of the newest session that has it; None without any."""
    rows = market.company_sums
    rows = rows[rows["ticker"] == ticker]
    if rows.empty:
        return None
    last = rows.iloc[-1]
    return last["session"], msgspec.json.decode(last["contents"], type=FundSums)


# How each figure moves with the fund's price while its companies' figures are those of the last run.
_POWERS = {"pe": 1, "pb": 1, "earnings_yield": -1}
_UNMOVED = {CAPPED}  # the cap applies to each company


def with_price_moves(multiples: pd.DataFrame, prices: pd.DataFrame) -> pd.DataFrame:
    """Multiples, and those of the sessions between two runs over companies: they move with the price.

    A figure moves for TOLERANCE_DAYS at most.
    """
    own = multiples[multiples["source"] == COMPANIES]
    moved = [multiples]
    keys = ["ticker", "metric", "convention", "basis"]
    for (ticker, metric, convention, _), group in own.groupby(keys, observed=True):
        if ticker not in prices or metric not in _POWERS or convention in _UNMOVED:
            continue
        rows = group.drop_duplicates("session", keep="last").set_index("session")
        price = prices[ticker].dropna()
        later = price.index[price.index > rows.index[0]].difference(rows.index)
        runs = rows.index[rows.index.searchsorted(later) - 1]
        near = ((later - runs).days <= TOLERANCE_DAYS) & runs.isin(price.index)
        later, runs = later[near], runs[near]
        change = price[later].to_numpy() / price[runs].to_numpy()
        figures = rows.loc[runs].assign(price_date=later.strftime("%Y-%m-%d"))
        figures["value"] = figures["value"].to_numpy() * change ** _POWERS[metric]
        moved.append(figures.set_axis(later).rename_axis("session").reset_index())
    return pd.concat(moved).sort_values("session", kind="stable") if len(moved) > 1 else multiples


def with_repeats(market: Market, history: pd.Series, tickers: Sequence[str], metric: str, convention: str) -> pd.Series:
    """A history with NaN on sessions for which the source only repeated its undated figures."""
    rows = market.multiples
    rows = rows[(rows["metric"] == metric) & (rows["convention"] == convention)]
    if convention != UNDATED or rows.empty:
        return history
    sessions = (pd.DatetimeIndex(rows.loc[rows["ticker"] == ticker, "session"]) for ticker in tickers)
    return history.reindex(history.index.union(reduce(pd.DatetimeIndex.intersection, sessions).unique()))


class FundMultiple(NamedTuple):
    """One fund's newest figure of a multiple; `priced` is the date of its price, None where not stated."""

    value: float | None = None
    session: pd.Timestamp | None = None
    priced: pd.Timestamp | None = None


@dataclass(frozen=True)
class MultipleFigure:
    """One multiple of both funds under one convention and basis, at each fund's own last session.

    premium              percent, only where both are of one session
    percentile           of the premium's last value within its history
    observations, first  length and first session of the premium's history
    """

    metric: str
    convention: str
    basis: str
    small: FundMultiple
    large: FundMultiple
    premium: float | None
    percentile: float | None
    observations: int
    first: pd.Timestamp | None

    @property
    def sessions(self) -> list[pd.Timestamp]:
        """The sessions of the funds that have a figure."""
        return [fund.session for fund in (self.small, self.large) if fund.session is not None]


def multiple_figures(market: Market, metric: str | None = None) -> list[MultipleFigure]:
    """Every stored multiple, or one under its conventions, ordered as MULTIPLES, by convention and basis."""
    order, kinds = list(MULTIPLES), dated_multiples(market)[["metric", "convention", "basis"]]
    keys = sorted(
        (
            (str(kind), str(convention), str(basis))
            for kind, convention, basis in kinds.drop_duplicates().itertuples(index=False)
            if metric in {None, kind}
        ),
        key=lambda key: (order.index(key[0]) if key[0] in order else len(order), *key),
    )
    return [_figure(market, *key) for key in keys]


def _figure(market: Market, metric: str, convention: str, basis: str) -> MultipleFigure:
    rows = _rows(market, metric, convention)
    rows = rows[rows["basis"] == basis]
    small, large = (_newest(rows[rows["ticker"] == ticker]) for ticker in market.pair.tickers)
    premium = premium_history(market, metric, convention, basis)
    same = small.session is not None and small.session == large.session
    return MultipleFigure(
        metric,
        convention,
        basis,
        small,
        large,
        premium=float(premium.iloc[-1]) if same and len(premium) else None,
        percentile=percentile_rank(premium),
        observations=len(premium),
        first=premium.index[0] if len(premium) else None,
    )


def _newest(rows: pd.DataFrame) -> FundMultiple:
    if rows.empty:
        return FundMultiple()
    priced = _price_dates(rows).iloc[-1]
    last = rows.iloc[-1]
    return FundMultiple(float(last["value"]), last["session"], None if pd.isna(priced) else priced)


@per_market
def convention_for(market: Market) -> str | None:
    """The convention to read by: losses included where the small fund's companies were added up lately.

    Otherwise it is the small fund's with a P/E and the most kinds of multiples. Between equals the newest
    figure decides, then the longest history. Returns None without any.
    """
    rows = dated_multiples(market)
    rows = rows[rows["ticker"] == market.pair.small.ticker]
    since = market.last_completed - pd.Timedelta(days=TOLERANCE_DAYS)
    added_up = (rows["source"] == COMPANIES) & (rows["metric"] == "pe")
    if (added_up & (rows["session"] >= since)).any():
        return LOSSES_IN
    having = rows.loc[rows["metric"] == "pe", "convention"].unique()
    rows = rows[rows["convention"].isin(having)]
    if rows.empty:
        return None
    kinds = rows.groupby("convention")["metric"].nunique()
    spans = rows[rows["metric"] == "pe"].groupby("convention")["session"].agg(["max", "count"])
    ranked = spans.assign(kinds=kinds).sort_values(["kinds", "max", "count"])
    return str(ranked.index[-1])


@per_market
def kinds_under(market: Market, convention: str | None) -> frozenset[str]:
    """The multiples that the small fund has under a convention."""
    rows = market.multiples
    own = (rows["convention"] == convention) & (rows["ticker"] == market.pair.small.ticker)
    return frozenset(map(str, rows.loc[own, "metric"].unique()))


@per_market
def basis_for(market: Market, convention: str) -> str | None:
    """The basis under which most can be held against each other, None without a P/E.

    Both funds' P/E comes first, then the most kinds of multiples, then the newest figure.
    """
    rows = dated_multiples(market)
    rows = rows[(rows["convention"] == convention) & rows["metric"].isin(["pe", "pcf", "pb", "ps"])]
    ranked = []
    for basis, group in rows.groupby("basis", observed=True):
        funds = group.loc[group["metric"] == "pe", "ticker"].nunique()
        if funds:
            ranked.append((funds, group["metric"].nunique(), group["session"].max(), len(group), str(basis)))
    return max(ranked)[-1] if ranked else None


@per_market
def kind_for(market: Market, metric: str) -> tuple[str, str] | None:
    """Convention and basis to read a multiple by: the leading ones, else those that most funds have it under.

    Between equals the newest figure decides. Returns None without any.
    """
    leading = convention_for(market)
    first = leading, leading and basis_for(market, leading)
    rows = dated_multiples(market)
    kinds = rows[rows["metric"] == metric].groupby(["convention", "basis"], observed=True)
    ranked = [(kind == first, rows["ticker"].nunique(), rows["session"].max(), kind) for kind, rows in kinds]
    return max(ranked)[-1] if ranked else None


def implied_per_share(market: Market, ticker: str, metric: str, convention: str, basis: str | None = None) -> pd.Series:
    """Price over multiple on sessions that have both: dollars of earnings, sales, ... per share.

    The price is the one that the multiple was computed from, where its source states the date of it.
    """
    multiple = multiple_history(market, ticker, metric, convention, basis)
    dates = price_sessions(market, ticker, metric, convention, basis)
    price = market.prices.reindex(index=pd.DatetimeIndex(dates), columns=[ticker])[ticker]
    return (price.set_axis(multiple.index) / multiple.where(multiple > 0)).dropna()


def implied_index(
    market: Market, ticker: str, metric: str, convention: str, window: Window, basis: str | None = None
) -> pd.Series:
    """Implied figure per share with the one at the window's base as 100; empty without one there."""
    series = implied_per_share(market, ticker, metric, convention, basis)
    base = performance(market, window).base
    first = nearest_figure(series.index, base) if base is not None and len(series) else None
    return series.iloc[:0] if first is None else INDEX_BASE * series.loc[first:] / series[first]


class DatedRatio(NamedTuple):
    """A ratio of two multiples of one day, percent, and their session."""

    value: float
    session: pd.Timestamp


def margins(
    market: Market, ticker: str, convention: str, basis: str | None = None
) -> tuple[DatedRatio | None, DatedRatio | None]:
    """Net margin (P/S)/(P/E) and return on equity (P/B)/(P/E), each of the newest session that allows it.

    Both multiples are of one basis, by default that of the newest P/E, and made of the price of one session.
    """
    rows = _history_rows(market, ticker, "pe", convention, basis)
    basis = str(rows["basis"].iloc[-1]) if len(rows) else ""
    pe = multiple_history(market, ticker, "pe", convention, basis)
    priced = price_sessions(market, ticker, "pe", convention, basis)
    ratios: list[DatedRatio | None] = []
    for metric in ("ps", "pb"):
        multiple = multiple_history(market, ticker, metric, convention, basis)
        same_day = priced == price_sessions(market, ticker, metric, convention, basis).reindex(priced.index)
        ratio = (100 * multiple / pe.where((pe > 0) & same_day)).dropna()
        ratios.append(DatedRatio(float(ratio.iloc[-1]), ratio.index[-1]) if len(ratio) else None)
    return ratios[0], ratios[1]


@dataclass(frozen=True)
class ReturnSplit:
    """One fund's price return between the prices of two P/Es, split into earnings and multiple, percent."""

    first: pd.Timestamp
    last: pd.Timestamp
    convention: str
    basis: str
    price: float
    earnings: float
    multiple: float
    pe_first: float
    pe_last: float


def return_splits(market: Market, window: Window, convention: str | None) -> dict[str, ReturnSplit | str]:
    """Per fund the split of its price return, or why there is none, all of one convention and basis.

    It is the kind of P/E that splits the returns of most funds: one of the convention given rather than
    another, then the newest.
    """
    rows = dated_multiples(market)
    rows = rows[(rows["metric"] == "pe") & (convention is not None)].sort_values("session", kind="stable")
    newest_first = dict.fromkeys(zip(rows["convention"][::-1], rows["basis"][::-1], strict=True))
    candidates = [
        {t: return_split(market, t, window, *map(str, kind)) for t in market.pair.tickers}
        for kind in sorted(newest_first, key=lambda kind: kind[0] != convention) or [("", "")]
    ]
    return max(candidates, key=lambda splits: sum(isinstance(s, ReturnSplit) for s in splits.values()))


def return_split(
    market: Market, ticker: str, window: Window, convention: str, basis: str | None = None
) -> ReturnSplit | str:
    """Split of the fund's price return over the window by P/Es of one basis, or why there is none.

    It needs a P/E near the window's base and one near its end. The basis is by default that of the newest.
    """
    rows = _history_rows(market, ticker, "pe", convention, basis)
    pe = multiple_history(market, ticker, "pe", convention, basis)
    eps = implied_per_share(market, ticker, "pe", convention, basis)
    row = performance(market, window)
    if row.base is None or market.end is None:
        return row.reason
    if eps.empty:
        return "its P/E is not meaningful" if len(pe) else "no P/E stored"
    first, last = nearest_figure(eps.index, row.base), nearest_figure(eps.index, market.end)
    if first is None or last is None or first >= last:
        return _missing_pe(eps.index, row.base, market.end)
    dates, price = price_sessions(market, ticker, "pe", convention, basis), eps * pe
    return ReturnSplit(
        dates[first],
        dates[last],
        convention,
        str(rows["basis"].iloc[-1]),
        price=100 * (price[last] / price[first] - 1),
        earnings=100 * (eps[last] / eps[first] - 1),
        multiple=100 * (pe[last] / pe[first] - 1),
        pe_first=float(pe[first]),
        pe_last=float(pe[last]),
    )


def priced_session(
    market: Market, tickers: Sequence[str], metric: str, convention: str, session: pd.Timestamp
) -> pd.Timestamp:
    """The oldest session whose price a multiple or a premium of funds on `session` is made of."""
    dates = [price_sessions(market, ticker, metric, convention).get(session) for ticker in tickers]
    known = market.sessions[market.sessions <= session]
    return min([*(date for date in dates if date is not None and date <= session), *known[-1:], session])


def _missing_pe(sessions: pd.Index, base: pd.Timestamp, end: pd.Timestamp) -> str:
    """Which P/E a split between two sessions lacks, given the sessions that have one."""
    if base < sessions[0]:
        return f"P/E is recorded from {short_date(sessions[0])}"
    last = base
    for target in (base, end):
        nearest = nearest_figure(sessions, target)
        if nearest is None:
            return f"no P/E is stored for the {TOLERANCE_DAYS} days up to {short_date(target)}"
        last = nearest
    return f"no P/E is stored after {short_date(last)}"


def nearest_figure(sessions: pd.Index, target: pd.Timestamp) -> pd.Timestamp | None:
    """Last session on or before the target. None when it is too old to stand for it."""
    position = sessions.searchsorted(target, side="right") - 1
    if position < 0 or (target - sessions[position]).days > TOLERANCE_DAYS:
        return None
    return pd.Timestamp(sessions[position])


@dataclass(frozen=True)
class Weights:
    """Weights of one level from one source.

    frame     names x (small, large, gap), percent and percentage points, largest gap first
    sessions  per fund the session its weights are for
    """

    level: str
    source: str
    frame: pd.DataFrame
    sessions: dict[str, pd.Timestamp]

    @property
    def both(self) -> bool:
        """Whether both funds have weights."""
        return len(self.sessions) > 1


def newest_weights(market: Market, level: str) -> list[Weights]:
    """The newest weights of a level, one entry for each source that has any; those of both funds first."""
    rows = market.weights[market.weights["level"] == level]
    by_source = [_weights(market.pair, str(name), level, group) for name, group in rows.groupby("source", sort=True)]
    return sorted(by_source, key=lambda entry: not entry.both)


def _weights(pair: Pair, source: str, level: str, rows: pd.DataFrame) -> Weights:
    columns, sessions = {}, {}
    for ticker in pair.tickers:
        own = rows[rows["ticker"] == ticker].dropna(subset=["weight"])
        if len(own):
            sessions[ticker] = own["session"].max()
            newest = own[own["session"] == sessions[ticker]]
            columns[ticker] = newest.set_index("sector")["weight"].astype("float64")
    small, large = pair.tickers
    frame = pd.DataFrame(columns, columns=[small, large], dtype="float64")
    if len(sessions) > 1:
        # A name that one fund's list leaves out has no weight in it: both lists are complete.
        frame = frame.fillna(0.0)
    frame["gap"] = frame[small] - frame[large]
    order = frame["gap"].abs() if len(sessions) > 1 else frame[list(sessions)].max(axis=1)
    return Weights(level, source, frame.loc[order.sort_values(ascending=False).index], sessions)
