"""A small registry, independent of the real one, and short ways to write samples and states."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from msgspec.structs import replace

from bot.alerts.batch import is_carried, merge_samples
from bot.alerts.engine import (
    ALREADY,
    BACK,
    REMINDER,
    STILL,
    ConditionValue,
    Event,
    Sample,
    Side,
    State,
    Status,
    evaluate,
    side_ops,
    step,
)
from bot.alerts.grammar import parse_rule
from bot.alerts.revision import Revision, replay
from bot.alerts.series import SampleSeries
from bot.analytics import units
from bot.analytics.metrics import Arguments, Metric, Parameter
from bot.analytics.windows import Window
from bot.pair import DEFAULT_PAIR

if TYPE_CHECKING:
    import pandas as pd

    from bot.alerts.rule import Rule
    from bot.analytics.market import Market


DAY = dt.date(2020, 1, 1)
SINCE_2010 = Window("since", since=dt.date(2010, 1, 4))
FUND = Parameter("fund", "fund", "IWM", choices=DEFAULT_PAIR.tickers)
CONVENTION = Parameter("convention", "convention", "losses_in", choices=("losses_in", "positive", "capped"))


def small(market: Market, _: Arguments) -> pd.Series:
    """IWM's closes, whatever the arguments."""
    return market.prices["IWM"]


def shares(market: Market, arguments: Arguments) -> pd.Series:
    """A fund's share count."""
    return market.fund(str(arguments["fund"]))["shares"]


def metric(name: str, unit: units.Unit, example: str, *parameters: Parameter, lag: int = 0) -> Metric:
    history = shares if lag else small
    return Metric(
        phrase="x",
        name=name,
        title=name,
        unit=unit,
        history=history,
        parameters=parameters,
        lag=lag,
        meaning="An example.",
        formula="x",
        example=example,
    )


REGISTRY = {
    entry.name: entry
    for entry in (
        metric("ratio", units.LEVEL, "ratio > sma 200"),
        metric("gauge", units.PERCENT, "gauge 200 > 5%", Parameter("n", "count", 200, low=2, high=500)),
        metric("gauge_low", units.PERCENT, "gauge_low 50 < 0%", Parameter("n", "count", 50)),
        metric("excess", units.POINTS, "excess 3m < -2pp", Parameter("window", "window")),
        metric("channel", units.NUMBER, "channel > 2", Parameter("since", "date", SINCE_2010)),
        metric("flow", units.USD, "flow iwm 5d > $1bn", FUND, Parameter("window", "window", Window("d", 20)), lag=1),
        metric("pe", units.MULTIPLE, "pe iwm > 25x", FUND, CONVENTION),
        metric("pe_premium", units.PERCENT, "pe_premium > 20%", CONVENTION),
    )
}


def rule(text: str) -> Rule:
    return parse_rule(text, REGISTRY)


def day(number: int) -> dt.date:
    """The session of that number; number 0 is the mark of a fresh state."""
    return DAY + dt.timedelta(days=number)


def sample(number: int, *figures: tuple[float | None, float | None]) -> Sample:
    return Sample(day(number), tuple(ConditionValue(*figure) for figure in figures))


def samples(values: Iterable[float | None], threshold: float | None = 5.0, first: int = 1) -> list[Sample]:
    """Samples of one condition on consecutive sessions."""
    return [sample(number, (value, threshold)) for number, value in enumerate(values, start=first)]


@dataclass(frozen=True)
class Replayed:
    """A Replay, with the state after each of its sessions."""

    since: dt.date
    states: tuple[State, ...]
    withdrawn: tuple[Event, ...]
    revisions: tuple[Revision, ...]
    new: tuple[Event, ...]
    kept: tuple[Event, ...]


def replay_revised(
    a_rule: Rule, states: Sequence[State], current: Sequence[Sample], stored: Sequence[Event]
) -> Replayed | None:
    """Evaluated sessions again, on what `merge_samples` makes of their figures and the current ones.

    They are as `evaluate` has them.
    """
    states = states[max((index for index, state in enumerate(states) if not state.figures), default=0) :]
    kept = SampleSeries.of([Sample(state.session, state.figures) for state in states[1:]])
    series = SampleSeries.of([bar for bar in current if states[0].session < bar.session <= states[-1].session])
    if len(kept) and len(series):
        series, _ = merge_samples(kept, series, lambda: states[-1].bands)
    result = replay(a_rule, states, kept, series or kept, stored)
    if result is None:
        return None
    before = next(state for state in reversed(states) if state.session < result.since)
    ran = evaluate(a_rule, before, [bar for bar in series if bar.session >= result.since])
    turned = [after for state, after in pairwise((before, *ran.states)) if not is_carried(state, after)]
    assert (result.run.state, result.run.events) == (ran.states[-1], ran.events)
    assert list(result.run.turned) == turned
    return Replayed(result.since, ran.states, result.withdrawn, result.revisions, result.new, result.kept)


def armed(a_rule: Rule, *bands: float) -> State:
    """A fresh state, armed on every side; band 0 where none is given."""
    count = len(a_rule.conditions)
    sides = tuple(Side() for _ in side_ops(a_rule))
    return State(DAY, bands or (0.0,) * count, sides, (None,) * count)


def waiting(a_rule: Rule, *bands: float) -> State:
    """A fresh state that waits for its first figures on every side."""
    state = armed(a_rule, *bands)
    return replace(state, sides=(Side(Status.WAITING),) * len(state.sides))


def walk(a_rule: Rule, state: State, some: Sequence[Sample]) -> str:
    """The sides after each sample in short: W, A, C1, F; a fire is marked *, a muted one -, reported late !,
    one that is no fire because it was true with its first figures =, a reminder ?, its end ^.
    """
    words = []
    for bar in some:
        state, event = step(a_rule, state, bar)
        sides = zip(state.sides, side_ops(a_rule), strict=True)
        words.append("/".join(_short(side) + _mark(event, ops) for side, ops in sides))
    return " ".join(words)


def _short(side: Side) -> str:
    return f"C{side.count}" if side.status is Status.CONFIRMING else side.status[0].upper()


def _mark(event: Event | None, ops: tuple[str, ...]) -> str:
    if event is None or event.ops != ops:
        return ""
    return {STILL: "!", ALREADY: "=", REMINDER: "?", BACK: "^"}.get(event.kind, "-" if event.muted else "*")
