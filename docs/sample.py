"""Makes the sample market: eleven years of both funds, so that everything can be tried without a network.

    python -m docs.sample        # writes bot/data/sample.json.gz; a test compares it with what is made here

The paths run through the figures of sample.csv and are simulated between them. Published are closes
(split-adjusted dollars), IWM's NAV and shares outstanding, and distributions (dollars by ex-date); of SPY
only the NAV and shares of 2020-12-14. The rest of the file is made up to agree with what was said in
December 2020: IWM at 75 times estimated earnings and 14.4 times cash flow, its earnings estimates down 49%
in 2020 against 14% for SPY; about 80 and under 60% of revenue from the United States; outflows of SPY of
$31.08bn since New Year and $13.48bn in three months. Multiples include losses and use estimated figures;
yields and weights are percent.

Every answer made from it says "sample data".
"""

from __future__ import annotations

import csv
import gzip
import itertools
import math
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np
import pandas as pd
from msgspec.structs import astuple

from bot.analytics.flows import LOT
from bot.analytics.sessions import Sessions
from bot.analytics.valuation import REVENUE, SECTOR
from bot.data.provider import SAMPLE_FILE, rows_by_kind
from bot.pair import DEFAULT_PAIR
from storage.records import Bar, Distribution, FundFacts, Multiple, SectorWeight

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from bot.data.provider import Observations

    _Floats = NDArray[np.float64]
    Closes = dict[str, _Floats]


FIGURES = Path(__file__).with_suffix(".csv")
SMALL, LARGE = PAIR = DEFAULT_PAIR.tickers
# Found by search: with it the ratio crosses above its 200-day average once in 2020, on the day on
# which it really did (2020-10-06), and ends where it really ended above it.
SEED = 811_901
FIRST, LAST = pd.Timestamp("2009-12-31"), pd.Timestamp("2020-12-31")

VOLATILITY = {SMALL: 0.0115, LARGE: 0.008}  # of a day's log return in quiet times
CORRELATION = 0.85
# How much wilder it was: from, until, factor.
WILD = (
    ("2010-05-01", "2010-07-31", 1.5),
    ("2011-08-01", "2011-11-30", 1.7),
    ("2018-10-01", "2018-12-31", 1.3),
    ("2020-02-20", "2020-04-30", 2.5),
    ("2020-05-01", "2020-06-30", 1.6),
)
VOLUME = {SMALL: 25e6, LARGE: 90e6}  # shares traded on a usual day
PREMIUM = 0.0003  # spread of NAV around the close
LOTS_A_DAY = {SMALL: 35.0, LARGE: 80.0}  # spread of a day's change
PER_SHARE = 0.002  # spread of a day's change in earnings, sales, ... per share
CONVENTION, BASIS = "losses_in", "forward"

# One stream of random numbers a topic: a change to one leaves the others as they are. That of the units
# was found by search too: IWM's flows of 2020 come out close to the real ones.
_PRICES, _BARS, _UNITS, _MULTIPLES = 0, 1, 1_622, 3


SAMPLE_MULTIPLES = ("pe", "pcf", "ps", "pb", "yield")
LOSS_SHARE = "loss_share"  # runs straight between its known figures


class SampleFigure(NamedTuple):
    """One line of sample.csv. `name` is the sector or country of a weight."""

    figure: str
    ticker: str
    date: str
    name: str
    value: float


@cache
def figures() -> tuple[SampleFigure, ...]:
    """The figures that the sample runs through, by figure, ticker and date in order."""
    lines = FIGURES.read_text(encoding="utf-8").splitlines()
    return tuple(
        SampleFigure(row["figure"], row["ticker"], row["date"], row["name"], float(row["value"]))
        for row in csv.DictReader(lines)
    )


def _known(figure: str, ticker: str) -> dict[str, float]:
    return {line.date: line.value for line in figures() if (line.figure, line.ticker) == (figure, ticker)}


def simulate(seed: int = SEED, sessions: Sessions | None = None) -> Observations:
    """Bars, distributions, fund facts, multiples and weights of both funds.

    The same seed gives the same rows everywhere; published figures are the same under any seed.
    """
    days = (sessions or Sessions()).between(FIRST, LAST)
    closes = _closes(days, _random(seed, _PRICES))
    return {
        "bars": _bars(days, closes, _random(seed, _BARS)),
        "distributions": [
            Distribution(ticker, day, amount)
            for ticker in PAIR
            for day, amount in _known("distribution", ticker).items()
        ],
        "fund_facts": _fund_facts(days, closes, _random(seed, _UNITS)),
        "multiples": _multiples(days, closes, _random(seed, _MULTIPLES)),
        "sector_weights": [
            SectorWeight(line.ticker, line.date, line.figure, line.name, line.value)
            for line in figures()
            if line.figure in {SECTOR, REVENUE}
        ],
    }


def main() -> None:
    """Write the rows of each kind into the package, without their source and instant."""
    rows = {kind: [astuple(row)[:-2] for row in group] for kind, group in rows_by_kind(simulate()).items()}
    SAMPLE_FILE.write_bytes(gzip.compress(msgspec.json.encode(rows), mtime=0))


def _random(seed: int, topic: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64([seed, topic]))


def _bridge(days: pd.DatetimeIndex, known: Mapping[str, float], steps: _Floats) -> _Floats:
    """Random walk of `steps` through the values known on some sessions, free after the last."""
    at = days.get_indexer(pd.DatetimeIndex(list(known)))
    everywhere = np.arange(len(days))
    walk = np.cumsum(steps)
    line: _Floats = np.interp(everywhere, at, list(known.values())) - np.interp(everywhere, at, walk[at])
    return line + walk


def _wildness(days: pd.DatetimeIndex) -> _Floats:
    factor = np.ones(len(days))
    for first, last, times in WILD:
        factor[days.slice_indexer(pd.Timestamp(first), pd.Timestamp(last))] = times
    return factor


def _closes(days: pd.DatetimeIndex, random: np.random.Generator) -> Closes:
    """Closes in dollars and cents: correlated log-normal paths through the published ones."""
    common, own = random.standard_normal((2, len(days)))
    shocks = {LARGE: common, SMALL: CORRELATION * common + math.sqrt(1 - CORRELATION**2) * own}
    wild = _wildness(days)
    closes = {}
    for ticker in PAIR:
        logs = {day: float(np.log(close)) for day, close in _known("close", ticker).items()}
        path = _bridge(days, logs, VOLATILITY[ticker] * wild * shocks[ticker])
        closes[ticker] = np.exp(path).round(2)
    return closes


def _bars(days: pd.DatetimeIndex, closes: Closes, random: np.random.Generator) -> list[Bar]:
    """Daily bars around the closes: open near the close before, high and low around both."""
    rows: list[Bar] = []
    wild = _wildness(days)
    for ticker in PAIR:
        close, spread = closes[ticker], VOLATILITY[ticker] * wild
        gap, up, down, trade = random.standard_normal((4, len(days)))
        opened = np.round(np.concatenate((close[:1], close[:-1])) * np.exp(0.3 * spread * gap), 2)
        high = np.round(np.maximum(opened, close) * np.exp(0.4 * spread * np.abs(up)), 2)
        low = np.round(np.minimum(opened, close) * np.exp(-0.4 * spread * np.abs(down)), 2)
        volume = np.round(VOLUME[ticker] * wild * np.exp(0.25 * trade), -2).astype("int64")
        prices = (column.tolist() for column in (close, opened, high, low, volume))
        rows += [Bar(ticker, *bar) for bar in zip(_iso(days), *prices, strict=True)]
    return rows


def _fund_facts(days: pd.DatetimeIndex, closes: Closes, random: np.random.Generator) -> list[FundFacts]:
    """NAV within some hundredths of a percent of the close, shares in whole lots, assets as their product."""
    rows: list[FundFacts] = []
    for ticker in PAIR:
        published = _known("nav", ticker)
        nav = np.round(closes[ticker] * np.exp(PREMIUM * random.standard_normal(len(days))), 4)
        nav[days.get_indexer(pd.DatetimeIndex(list(published)))] = list(published.values())
        counts = _known("shares", ticker)
        odd = list(counts.values())[-1] % LOT  # SPY's count is no whole number of lots
        lots = {day: round((count - odd) / LOT) for day, count in counts.items()}
        path = _bridge(days, lots, LOTS_A_DAY[ticker] * random.standard_normal(len(days)))
        shares = np.round(path) * LOT + odd
        assets = np.round(nav * shares, 2)
        columns = (column.tolist() for column in (nav, shares, assets))
        rows += [FundFacts(ticker, *facts) for facts in zip(_iso(days), *columns, strict=True)]
    return rows


def _multiples(days: pd.DatetimeIndex, closes: Closes, random: np.random.Generator) -> list[Multiple]:
    """Multiples on the last session of each week and month from 2014-12-31 on.

    What moves between the known figures are earnings, sales, ... per share; the multiple follows from the
    close, so that price, multiple and earnings always agree.
    """
    rows: list[Multiple] = []
    for metric, ticker in itertools.product(SAMPLE_MULTIPLES, PAIR):
        known = _known(metric, ticker)
        at = days.get_indexer(pd.DatetimeIndex(list(known)))
        shown = _period_ends(days) & (np.arange(len(days)) >= at[0])
        power = 1 if metric == "yield" else -1  # per share = close times yield, or close over multiple
        per_share = closes[ticker][at] * np.array(list(known.values())) ** power
        logs = dict(zip(known, np.log(per_share).tolist(), strict=True))
        path = np.exp(_bridge(days, logs, PER_SHARE * random.standard_normal(len(days))))
        values = np.round((path / closes[ticker]) ** power, 3)[shown]
        rows += _figures(ticker, metric, days[shown], values)
        if metric == "pe":
            shares = _known(LOSS_SHARE, ticker)
            at = days.get_indexer(pd.DatetimeIndex(list(shares)))
            share = np.interp(np.flatnonzero(shown), at, list(shares.values()))
            rows += _figures(ticker, LOSS_SHARE, days[shown], share.round(2))
            rows += _figures(ticker, "earnings_yield", days[shown], np.round(100 / values, 4))
    return rows


def _figures(ticker: str, metric: str, days: pd.DatetimeIndex, values: _Floats) -> list[Multiple]:
    return [
        Multiple(ticker, day, metric, CONVENTION, BASIS, value, day, day, coverage=1.0)
        for day, value in zip(_iso(days), values.tolist(), strict=True)
    ]


def _period_ends(days: pd.DatetimeIndex) -> NDArray[np.bool_]:
    ends: NDArray[np.bool_] = np.ones(len(days), dtype=bool)
    weeks, months = days.to_period("W"), days.to_period("M")
    ends[:-1] = (weeks[:-1] != weeks[1:]) | (months[:-1] != months[1:])
    return ends


def _iso(days: pd.DatetimeIndex) -> list[str]:
    return [f"{day:%Y-%m-%d}" for day in days]


if __name__ == "__main__":
    main()
