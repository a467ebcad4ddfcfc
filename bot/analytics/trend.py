"""Relative trend: whether the ratio R = P_small / P_large rises, and whether its long trend breaks.

Every function takes the ratio (or the Market) and returns a Series on the same sessions, NaN until there is
enough history; a missing session is absent. Averages, highs, lows, slopes and betas over n use the last n
common closes, and are NaN where over MOST_MISSING of the exchange's sessions among them are missing
(`over_closes`); momentum counts the exchange's sessions. The value at t uses nothing after t.
"""

import datetime as dt
import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import pandas as pd

from bot.analytics.market import Market, per_market
from bot.analytics.performance import fund_levels, undistributed_reason, undistributed_sessions
from bot.text import counted

SESSIONS_A_YEAR = 252
SESSIONS_A_MONTH = 21
CHANNEL_FROM = dt.date(2010, 1, 4)  # the downtrend that the December 2020 article draws starts here
CHANNEL_MINIMUM = 3 * SESSIONS_A_YEAR
MOST_MISSING = 0.02


@per_market
def ratio(market: Market) -> pd.Series:
    """R = P_small / P_large from closes, without distributions."""
    small, large = market.pair.tickers
    return market.closes[small] / market.closes[large]


def missing_among(market: Market, n: int) -> pd.Series:
    """How many of the exchange's sessions are missing among the last n common closes up to each of them."""
    index = market.closes.index
    at = market.sessions.searchsorted(index)
    missing = np.zeros(len(index), dtype=np.intp)
    missing[n - 1 :] = at[n - 1 :] - at[: max(len(at) - n + 1, 0)] + 1 - n
    return pd.Series(missing, index)


def over_closes(market: Market, values: pd.Series, n: int) -> pd.Series:
    """Values over the last n common closes, NaN where too many sessions are missing among these."""
    missing = missing_among(market, n)
    enough = missing <= MOST_MISSING * (n + missing)
    return values.where(enough.reindex(values.index, fill_value=True))


def of_ratio(market: Market, function: Callable[[pd.Series, int], pd.Series], n: int) -> pd.Series:
    """A function of the ratio over n common closes, NaN where too many sessions are missing among these."""
    return over_closes(market, function(ratio(market), n), n)


def missing_reason(market: Market, n: int) -> str:
    """Why there is no value over the last n common closes: too many sessions missing among them, else ""."""
    missing = int(missing_among(market, n).iloc[-1])
    is_reason = missing > MOST_MISSING * (n + missing)
    return f"{counted(missing, 'session')} missing among the last {n} closes" if is_reason else ""


def average(r: pd.Series, n: int) -> pd.Series:
    """SMA_n(R), the mean of the last n."""
    return r.rolling(n).mean()


def ratio_vs_sma(r: pd.Series, n: int) -> pd.Series:
    """Mansfield relative strength: 100 (R / SMA_n(R) - 1), percent."""
    return 100 * (r / average(r, n) - 1)


def momentum(market: Market) -> pd.Series:
    """Twelve-month momentum without the last month, 100 (P_{t-21}/P_{t-252} - 1), small less large, pp.

    The last month is left out because returns of one month tend to reverse (Jegadeesh 1990).
    """
    small, large = market.pair.tickers
    index = market.closes.index
    span = market.sessions[market.sessions.isin(index) | market.sessions.isin(market.missing)]
    closes = market.closes.reindex(span)
    changes = 100 * (closes.shift(SESSIONS_A_MONTH) / closes.shift(SESSIONS_A_YEAR) - 1)
    return (changes[small] - changes[large]).reindex(index)


def breakout(r: pd.Series, n: int) -> pd.Series:
    """100 (R / max(R_{t-n..t-1}) - 1), percent; above zero at a new high of n sessions, t excluded."""
    return 100 * (r / r.shift(1).rolling(n).max() - 1)


def breakout_low(r: pd.Series, n: int) -> pd.Series:
    """100 (R / min(R_{t-n..t-1}) - 1), percent; below zero at a new low of n sessions, t excluded."""
    return 100 * (r / r.shift(1).rolling(n).min() - 1)


def slope(r: pd.Series, n: int) -> pd.Series:
    """Percent a year, 100 (e^{252 b} - 1), with b the OLS slope of ln R on the session's number over n."""
    count = pd.Series(np.arange(len(r), dtype="float64"), index=r.index)
    spread = (n * n - 1) / 12  # variance of n consecutive integers
    return 100 * np.expm1(SESSIONS_A_YEAR * np.log(r).rolling(n).cov(count, ddof=0) / spread)


def channel_begin(r: pd.Series) -> dt.date:
    """First session of the long trend line: that of the data if they begin after CHANNEL_FROM."""
    fitted = r.loc[pd.Timestamp(CHANNEL_FROM) :]
    return fitted.index[0].date() if len(fitted) else CHANNEL_FROM


def channel_fit(r: pd.Series, since: dt.date = CHANNEL_FROM) -> pd.DataFrame:
    """Log-linear fit of R from `since`, frozen at t-1: columns residual (sigmas) and slope (percent a year).

    The residual at t is (ln R_t - line at t) / sigma, with sigma of n - 2 degrees of freedom. Both are NaN
    in the first three years. Closed sums in place of a fit per session keep 25 years under a millisecond.
    """
    y = np.log(r.loc[pd.Timestamp(since) :].to_numpy())
    y -= y[:1]  # neither residual nor slope depends on the level, and small sums stay exact
    x = np.arange(len(y), dtype="float64")
    n = x + 1
    sx, sy, sxx, sxy, syy = (np.cumsum(s) for s in (x, y, x * x, x * y, y * y))
    with np.errstate(divide="ignore", invalid="ignore"):
        dx = sxx - sx * sx / n
        b = (sxy - sx * sy / n) / dx
        a = (sy - b * sx) / n
        sigma = np.sqrt((syy - sy * sy / n - b * b * dx).clip(min=0) / (n - 2))
        residual = (y[1:] - (a + b * (x + 1))[:-1]) / sigma[:-1]
    frame = pd.DataFrame(np.nan, index=r.index, columns=["residual", "slope"])
    if len(y) > CHANNEL_MINIMUM:
        rows = frame.index[-len(y) + CHANNEL_MINIMUM :]
        frame.loc[rows, "residual"] = residual[CHANNEL_MINIMUM - 1 :]
        frame.loc[rows, "slope"] = 100 * np.expm1(SESSIONS_A_YEAR * b[CHANNEL_MINIMUM - 1 : -1])
    return frame


def channel_lines(r: pd.Series, since: dt.date = CHANNEL_FROM) -> pd.DataFrame:
    """Line of the last `channel_fit` and where its residual is 2 and -2, in R; no columns in the first three years."""
    part = r.loc[pd.Timestamp(since) :]
    if len(part) <= CHANNEL_MINIMUM:
        return pd.DataFrame(index=part.index)
    x, y = np.arange(len(part)), np.log(part.to_numpy())
    slope, start = np.polyfit(x[:-1], y[:-1], 1)
    line = start + slope * x
    sigma = math.sqrt(float(np.square(y - line)[:-1].sum()) / (len(part) - 3))
    sides = {"+2 sigma": 2, f"line from {channel_begin(r).year}": 0, "−2 sigma": -2}
    return pd.DataFrame({name: np.exp(line + side * sigma) for name, side in sides.items()}, part.index)


def drawdown(r: pd.Series) -> pd.Series:
    """100 (R / running maximum - 1), percent: zero at a high, otherwise negative."""
    return 100 * (r / r.cummax() - 1)


def volatility(market: Market, ticker: str, n: int) -> pd.Series:
    """Annualised standard deviation (ddof 1) of a fund's last n daily log returns of price, percent."""
    returns = np.log(market.closes[ticker]).diff()
    return over_closes(market, 100 * math.sqrt(SESSIONS_A_YEAR) * returns.rolling(n).std(), n)


def from_high(market: Market, ticker: str, n: int) -> pd.Series:
    """100 (P / max(P_{t-n+1..t}) - 1) of a fund, percent: zero at a high of n sessions, else negative."""
    price = market.closes[ticker]
    return over_closes(market, 100 * (price / price.rolling(n).max() - 1), n)


def from_low(market: Market, ticker: str, n: int) -> pd.Series:
    """100 (P / min(P_{t-n+1..t}) - 1) of a fund, percent: zero at a low of n sessions, else positive."""
    price = market.closes[ticker]
    return over_closes(market, 100 * (price / price.rolling(n).min() - 1), n)


def _daily_total_returns(market: Market) -> list[pd.Series]:
    """Both funds' simple returns of each session, NaN where distributions are not stored."""
    returns = fund_levels(market, total=True).pct_change()
    returns = returns.where(undistributed_sessions(market).diff().fillna(0) == 0)
    return [returns[ticker] for ticker in market.pair.tickers]


def beta(market: Market, n: int) -> pd.Series:
    """Beta of the small fund on the large one over n daily total returns: covariance / variance, ddof 1."""
    small, large = _daily_total_returns(market)
    return over_closes(market, small.rolling(n).cov(large) / large.rolling(n).var(), n)


def correlation(market: Market, n: int) -> pd.Series:
    """Correlation of n daily simple total returns of both funds, -1 to 1."""
    small, large = _daily_total_returns(market)
    return over_closes(market, small.rolling(n).corr(large), n)


def daily_returns_reason(market: Market, n: int) -> str:
    """Why beta or correlation over n sessions has no value, "" for too little history."""
    closes = market.closes.index
    reason = undistributed_reason(market, -1 - n) if len(closes) > n else ""
    return reason or missing_reason(market, n)


def last_cross(values: pd.Series, upward: bool = True) -> pd.Timestamp | None:
    """Last session on which `values` went from at or below zero to above it (or the reverse), or None."""
    known = values.dropna()
    above = known > 0 if upward else known < 0
    crossed = above & ~above.shift(1, fill_value=True)
    return known.index[crossed.to_numpy()][-1] if crossed.any() else None


def percentile_rank(values: pd.Series) -> float | None:
    """Share of the history at or below its last value, percent. None without at least two values."""
    known = values.dropna()
    if len(known) < 2:
        return None
    return float(100 * np.mean(known.to_numpy() <= known.iloc[-1]))


@dataclass(frozen=True)
class Season:
    """What the ratio did in one calendar month over the years: changes and the share of rises, percent.

    luck  how likely it is, in percent, that luck alone puts some month of twelve as far from all others;
          None without enough changes
    """

    month: int
    years: int
    mean: float
    median: float
    rose: float
    luck: float | None


def monthly_changes(r: pd.Series, sessions: pd.DatetimeIndex) -> pd.Series:
    """Change of R over each whole calendar month, percent, by the month's last session.

    `sessions` are the exchange's, future ones included. A month is left out if its last close, or that of the
    month before, is missing.
    """
    last = sessions.to_series().groupby([sessions.year, sessions.month]).last()
    ends = r.reindex(pd.DatetimeIndex(last))
    return (100 * (ends / ends.shift(1) - 1)).dropna()


def seasons(changes: pd.Series) -> list[Season]:
    """The seasons in monthly changes of the ratio, January first; a month without any change is left out.

    Luck: the z-score of a month's mean against that of all other months, with the standard deviation of all,
    and 1 - (1 - p)^12 for the choice among twelve months (Sidak).
    """
    months = changes.groupby(pd.DatetimeIndex(changes.index).month)
    return [
        Season(
            month=int(str(month)),
            years=len(values),
            mean=float(values.mean()),
            median=float(values.median()),
            rose=100 * float((values > 0).mean()),
            luck=_luck(values, changes.drop(values.index)),
        )
        for month, values in months
    ]


def _luck(values: pd.Series, others: pd.Series) -> float | None:
    spread = pd.concat([values, others]).std()
    if not spread > 0 or others.empty:
        return None
    z = (values.mean() - others.mean()) / (spread * math.sqrt(1 / len(values) + 1 / len(others)))
    return 100 * (1 - (1 - 2 * NormalDist().cdf(-abs(z))) ** 12)
