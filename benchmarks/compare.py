"""CPU time of /compare's figures, beside ffn's statistics of the same closes; of every metric's backtest.

    python -m benchmarks.compare

The figures are those of every window, without and with distributions, on 26 made-up years of which nothing
is remembered. Where ffn is not installed (it is in the dependencies `dev`), its time of last time is stated.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

from benchmarks.backtest import timings
from benchmarks.metrics import made_up_market
from benchmarks.results import Result
from bot.analytics.performance import performance
from bot.messages.pages.compare import RETURN_WINDOWS

if TYPE_CHECKING:
    from bot.analytics.market import Market

RUNS = 9
SESSIONS = 26 * 252
FFN_BEFORE = 37.0  # ms for both funds, on two cores


def run(quick: bool = False) -> list[Result]:
    """Return all figures; of the backtests that of the slowest metric."""
    market = made_up_market(SESSIONS)
    work: list[Callable[[], object]] = [partial(_figures, market)]
    if find_spec("ffn") is not None:
        import ffn  # noqa: PLC0415 - it may be absent

        work.append(lambda: [ffn.PerformanceStats(market.closes[fund]) for fund in market.closes])
    ours, *peers = _medians(work, 1 if quick else RUNS)
    peer, note = (peers[0], "") if peers else (FFN_BEFORE, "ffn of last time")
    slowest = max(timings(made_up_market()), key=lambda timing: timing.whole)
    return [
        Result("/compare over 26 years, beside ffn", ours, "ms CPU", 0.1, peer, note=note),
        Result(f"20 years of {slowest.rule}", slowest.whole, "ms CPU", 50.0),
    ]


def _figures(market: Market) -> None:
    fresh = replace(market)
    for total in (False, True):
        for window in RETURN_WINDOWS:
            performance(fresh, window, total)


def _medians(works: list[Callable[[], object]], runs: int) -> list[float]:
    """Milliseconds of CPU of each, in turns, after one run that loads what is needed."""
    taken: list[list[float]] = [[] for _ in works]
    for _ in range(runs + 1):
        for work, times in zip(works, taken, strict=True):
            begun = time.process_time()
            work()
            times.append(1000 * (time.process_time() - begun))
    return [statistics.median(times[1:]) for times in taken]


if __name__ == "__main__":
    for result in run():
        print(result)
