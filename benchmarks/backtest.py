"""Time of evaluating 20 years of one rule, beside computing its metric; of /backtest, beside /chart.

    python -m benchmarks.backtest

Every registry entry's example, on the made-up Market of benchmarks.metrics. `metric` makes the history
alone; `rule` makes it too, with the target, the bars, the re-arm band and every fire of 20 years, as
/backtest does. Nothing is remembered between runs; best of REPEATS. A metric that is a division of
two columns takes a twentieth of a millisecond, which no evaluation can keep to three times: `own` is what
a rule takes beyond its metric.

The second table is what a person waits for: the whole answers of /chart, of the rule's metric, and of
/backtest, over the same years, text and picture.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.metrics import made_up_market
from bot.alerts.backtest import frequency
from bot.alerts.grammar import parse_rule
from bot.alerts.series import Histories
from bot.alerts.view import EvaluationContext
from bot.analytics.metrics import METRICS
from bot.analytics.windows import AsOf, parse_window
from bot.messages.canvas import LIGHT
from bot.messages.pages.backtest import backtest_answer
from bot.messages.pages.chart import metric_answer
from bot.services.questions import run_backtest

if TYPE_CHECKING:
    import pandas as pd

    from bot.alerts.backtest import Frequency
    from bot.alerts.rule import Rule
    from bot.analytics.market import Market
    from bot.messages.common import Answer


YEARS = 20
REPEATS = 5
ANSWER_REPEATS = 2  # a picture takes a thousand times a metric
EXAMPLES = tuple(entry.example for entry in METRICS.values())


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
    for example in EXAMPLES:
        rule = parse_rule(example, METRICS)
        metric = _best(partial(_metric, rule, market), repeats)
        whole = _best(partial(_whole, rule, market), repeats)
        yield Timing(str(rule), metric, whole, _whole(rule, market).count)


@dataclass(frozen=True)
class Wait:
    """Two whole answers over 20 years, milliseconds: the chart of a rule's metric, and its backtest."""

    rule: str
    chart: float
    backtest: float

    @property
    def ratio(self) -> float:
        """The backtest beside the chart."""
        return self.backtest / self.chart


def waits(market: Market, examples: Iterable[str] = EXAMPLES, repeats: int = ANSWER_REPEATS) -> Iterator[Wait]:
    """The answers about every example."""
    for example in examples:
        rule = parse_rule(example, METRICS)
        chart = _best(partial(_charted, rule, market), repeats)
        yield Wait(str(rule), chart, _best(partial(_backtested, rule, market), repeats))


def _charted(rule: Rule, market: Market) -> bytes:
    condition, span = rule.conditions[0], parse_window(f"{YEARS}y")
    metric, arguments = METRICS[condition.metric], dict(condition.arguments)
    return _drawn(metric_answer(market, AsOf(), LIGHT, metric, arguments, span))


def _backtested(rule: Rule, market: Market) -> bytes:
    context = EvaluationContext(market, Histories(market, METRICS), next_check=market.last_completed)
    return _drawn(backtest_answer(run_backtest(rule, context, YEARS), LIGHT))


def _drawn(answer: Answer) -> bytes:
    if answer.draw is None:
        raise LookupError("the answer has no picture")
    return answer.draw()()


def _metric(rule: Rule, market: Market) -> pd.Series:
    condition = rule.conditions[0]
    return METRICS[condition.metric].history(replace(market), dict(condition.arguments))


def _whole(rule: Rule, market: Market) -> Frequency:
    return frequency(rule, Histories(replace(market), METRICS).samples(rule, None, market.sessions), YEARS)


def _best(work: Callable[[], object], repeats: int) -> float:
    """Milliseconds of CPU of the fastest of so many runs."""
    taken = []
    for _ in range(repeats):
        begun = time.process_time()
        work()
        taken.append(1000 * (time.process_time() - begun))
    return min(taken)


def main() -> None:
    """Print a line a rule, then a line an answer."""
    market = made_up_market()
    print(f"{YEARS} years of one rule; best of {REPEATS}; milliseconds")
    print(f"{'rule':<36}{'metric':>8}{'rule':>8}{'own':>8}{'ratio':>8}{'fires':>8}")
    for each in timings(market):
        own = each.whole - each.metric
        print(f"{each.rule:<36}{each.metric:>8.2f}{each.whole:>8.2f}{own:>8.2f}{each.ratio:>7.1f}x{each.fires:>8}")
    print(f"\nthe whole answers; best of {ANSWER_REPEATS}; milliseconds")
    print(f"{'rule':<36}{'/chart':>10}{'/backtest':>10}{'ratio':>8}")
    for wait in waits(market):
        print(f"{wait.rule:<36}{wait.chart:>10.0f}{wait.backtest:>10.0f}{wait.ratio:>7.1f}x")


if __name__ == "__main__":
    main()
