"""Time of judging 20 years of one rule, beside computing its metric.

    python -m benchmarks.backtest

Every registry entry's example, on the made-up Market of benchmarks.metrics. `metric` makes the history
alone; `rule` makes it too, with the target, the bars, the re-arm band and every fire of 20 years, as
/backtest does. Nothing is remembered between runs; best of REPEATS. A metric that is a division of
two columns takes a twentieth of a millisecond, which no judging can keep to three times: `own` is what
a rule takes beyond its metric.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.metrics import made_up_market
from bot.alerts.backtest import frequency
from bot.alerts.bars import Histories
from bot.alerts.grammar import parse_rule
from bot.analytics import flows
from bot.analytics.registry import METRICS

if TYPE_CHECKING:
    import pandas as pd

    from bot.alerts.backtest import Frequency
    from bot.alerts.rule import Rule
    from bot.analytics.market import Market

YEARS = 20
REPEATS = 5


@dataclass(frozen=True)
class Timing:
    """One rule over 20 years, milliseconds."""

    rule: str
    metric: float
    whole: float
    fires: int

    @property
    def ratio(self) -> float:
        """The whole beside the metric alone."""
        return self.whole / self.metric


def timings(market: Market, repeats: int = REPEATS) -> Iterator[Timing]:
    """Every registry entry's example."""
    for entry in METRICS.values():
        rule = parse_rule(entry.example, METRICS)
        metric = _best(partial(_metric, rule, market), repeats)
        whole = _best(partial(_whole, rule, market), repeats)
        yield Timing(str(rule), metric, whole, _whole(rule, market).count)


def _metric(rule: Rule, market: Market) -> pd.Series:
    condition = rule.conditions[0]
    return METRICS[condition.metric].history(market, dict(condition.arguments))


def _whole(rule: Rule, market: Market) -> Frequency:
    return frequency(rule, Histories(market, METRICS).course(rule, None, market.sessions), YEARS)


def _best(work: Callable[[], object], repeats: int) -> float:
    """Milliseconds of the fastest of so many runs."""
    taken = []
    for _ in range(repeats):
        flows.prepared.cache_clear()
        begun = time.perf_counter()
        work()
        taken.append(1000 * (time.perf_counter() - begun))
    return min(taken)


def main() -> None:
    """Print a line a rule."""
    print(f"{YEARS} years of one rule; best of {REPEATS}; milliseconds")
    print(f"{'rule':<36}{'metric':>8}{'rule':>8}{'own':>8}{'ratio':>8}{'fires':>8}")
    for each in timings(made_up_market()):
        own = each.whole - each.metric
        print(
            f"{each.rule:<36}{each.metric:>8.2f}{each.whole:>8.2f}{own:>8.2f}{each.ratio:>7.1f}x{each.fires:>8}"
        )


if __name__ == "__main__":
    main()
