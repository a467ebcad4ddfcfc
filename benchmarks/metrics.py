"""Time of each metric over 21 years of sessions, beside a plain pandas rolling mean of the same length.

    python -m benchmarks.metrics

The Market is made up (a seeded walk with quarterly distributions, counts in lots and daily multiples), so
that the figures can be compared from machine to machine. Best of REPEATS runs; everything is computed anew
each time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bot.analytics.flows import LOT
from bot.analytics.market import MULTIPLE_COLUMNS, Market
from bot.analytics.metrics import METRICS
from bot.analytics.valuation import MULTIPLES
from bot.pair import DEFAULT_PAIR

if TYPE_CHECKING:
    from bot.analytics.metrics import Metric


SESSIONS = 21 * 252
REPEATS = 7
PAIR = DEFAULT_PAIR.tickers
WINDOW = 200


@dataclass(frozen=True)
class Timing:
    """Milliseconds of one history, and how many rolling means would take as long."""

    name: str
    milliseconds: float
    ratio: float


def made_up_market(sessions: int = SESSIONS) -> Market:
    """Both funds over so many sessions, with all that any metric reads."""
    random = np.random.default_rng(1)
    index = pd.bdate_range(end="2020-12-31", periods=sessions)
    prices = pd.DataFrame(
        {ticker: 100 * np.exp(np.cumsum(random.normal(3e-4, 0.01, sessions))) for ticker in PAIR}, index=index
    )
    return Market(
        prices=prices,
        last_completed=index[-1],
        distributions={ticker: prices[ticker].iloc[::63] * 0.004 for ticker in PAIR},
        facts={ticker: _facts(prices[ticker], random) for ticker in PAIR},
        multiples=_with_categories([_multiples(index, ticker, random) for ticker in PAIR]),
    )


def _facts(price: pd.Series, random: np.random.Generator) -> pd.DataFrame:
    lots = 5_000 + np.cumsum(random.integers(-20, 21, len(price)))
    shares = LOT * lots.clip(min=100).astype("float64")
    return pd.DataFrame({"nav": price, "shares": shares, "assets": price * shares})


def _multiples(index: pd.DatetimeIndex, ticker: str, random: np.random.Generator) -> pd.DataFrame:
    rows = [
        pd.DataFrame(
            {
                "session": index,
                "ticker": ticker,
                "metric": metric,
                "convention": "morningstar",
                "basis": "unstated",
                "value": 20 * np.exp(np.cumsum(random.normal(0, 0.01, len(index)))),
                "source": "csv",
            }
        )
        for metric in MULTIPLES
    ]
    return pd.concat(rows, ignore_index=True)[list(MULTIPLE_COLUMNS)]


def _with_categories(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """The multiples of both funds by session, with names as categories, as bot.data.load has them."""
    frame = pd.concat(frames, ignore_index=True).sort_values("session", kind="stable")
    return frame.astype(dict.fromkeys(("ticker", "metric", "convention", "basis"), "category"))


def timings(market: Market, repeats: int = REPEATS) -> Iterator[Timing]:
    """Every registry entry with its default arguments."""
    ratio = market.closes[PAIR[0]] / market.closes[PAIR[1]]
    plain = _best(lambda: ratio.rolling(WINDOW).mean(), repeats)
    for metric in METRICS.values():
        taken = _best(partial(_history, metric, market), repeats)
        yield Timing(metric.name, 1000 * taken, taken / plain)


def _history(metric: Metric, market: Market) -> pd.Series:
    return metric.history(replace(market), metric.defaults())


def _best(work: Callable[[], object], repeats: int) -> float:
    """Seconds of the fastest of so many runs."""
    taken = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begun)
    return min(taken)


def main() -> None:
    """Print a line a metric and their sum."""
    market = made_up_market()
    found = list(timings(market))
    print(f"{SESSIONS:,} sessions; best of {REPEATS}; beside a rolling mean over {WINDOW} sessions")
    for timing in found:
        print(f"{timing.name:<16}{timing.milliseconds:>9.2f} ms{timing.ratio:>9.1f} x")
    print(f"{'all':<16}{sum(timing.milliseconds for timing in found):>9.2f} ms")


if __name__ == "__main__":
    main()
