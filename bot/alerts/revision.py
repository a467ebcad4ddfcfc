"""Revised data and splits: what they do to alerts that were evaluated before.

When figures are revised (`merge_samples` in batch.py), the sessions evaluated last are evaluated again from
the state before them. An event stays in force until its inputs contradict it.

A split changes a level of prices, so rules set on such a level are rescaled.
"""

import datetime as dt
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from bot.alerts.batch import SeriesRun, carried, evaluate_series
from bot.alerts.engine import ConditionValue, Event, State
from bot.alerts.rule import AMOUNT, JsonStruct, Rule
from bot.alerts.series import SampleSeries
from bot.analytics.metrics import Metric
from bot.pair import Pair

ConditionValues = tuple[ConditionValue, ...]
Factors = tuple[float, ...]  # per condition, by what a split multiplies its level


class Revision(JsonStruct, frozen=True):
    """Why an event is withdrawn: the figures of the first revised session and of the event's own session.

    since   the first revised session
    before  its figures as they were evaluated; empty where it had not been evaluated
    after   its revised figures
    event   the revised figures of the event's session
    """

    since: dt.date
    before: ConditionValues
    after: ConditionValues
    event: ConditionValues


@dataclass(frozen=True, slots=True)
class Replay:
    """The sessions from the first revised one up to the mark, on revised data.

    since      the first revised session
    run        its states replace those stored of these sessions. `done` is false where the fire of a `once`
               rule is withdrawn
    withdrawn  stored events, muted ones too, that no longer happen
    revisions  why each of these is withdrawn
    new        events that were not stored before, or were muted; their sessions may be long past
    kept       stored events that still happen, with their revised figures
    """

    since: dt.date
    run: SeriesRun
    withdrawn: tuple[Event, ...]
    revisions: tuple[Revision, ...]
    new: tuple[Event, ...]
    kept: tuple[Event, ...]


def replay(
    rule: Rule, states: Sequence[State], evaluated: SampleSeries, samples: SampleSeries, stored: Sequence[Event]
) -> Replay | None:
    """Evaluate revised sessions again. Returns None when no input was revised.

    states     those at which the rule turned, oldest first, and the one at its last evaluated session
    evaluated  its samples as they were evaluated
    samples    the same as `merge_samples` has them; those past the last state are left to `evaluate_series`,
               which continues from the last state of the Replay
    stored     the rule's events of these sessions that are in force, muted ones too

    A state without figures is one that a rule was created, edited or resumed with: nothing before it is replayed.
    """
    start = next((state for state in reversed(states) if not state.figures), states[0])
    samples = samples[: samples.after(min(states[-1].session, rule.until or dt.date.max))]
    old = {sample.session: sample.figures for sample in evaluated}
    new = {sample.session: sample.figures for sample in samples}
    revised = (day for day in new if day > start.session and new[day] != old.get(day))
    since = next(revised, None)
    if since is None:
        return None
    before = next(state for state in reversed(states) if state.session < since)
    run = evaluate_series(rule, carried(rule, before, samples, samples.after(since) - 1), samples)
    affected = {event.key: event for event in stored if event.session >= since}
    keys = {event.key for event in run.events}
    withdrawn = tuple(event for event in affected.values() if event.key not in keys)
    added = tuple(event for event in run.events if _is_new(event, affected.get(event.key)))
    return Replay(
        since,
        run,
        withdrawn,
        revisions=tuple(
            Revision(since, old.get(since, ()), new[since], new.get(event.session, event.figures))
            for event in withdrawn
        ),
        new=added,
        kept=tuple(event for event in run.events if event not in added),
    )


def _is_new(event: Event, stored: Event | None) -> bool:
    return stored is None or (stored.muted and not event.muted)


def level_factors(
    rule: Rule, registry: Mapping[str, Metric], pair: Pair, share_factors: Iterable[tuple[str, float]]
) -> Factors:
    """Per condition its level after splits by its level before, from (ticker, new shares per old share).

    A split of a fund lowers its price. One of the small fund lowers the ratio, one of the large fund raises
    it. What is no level of prices stays, with a factor of 1.
    """
    shares = list(share_factors)
    factors = []
    for condition in rule.conditions:
        fund = dict(condition.arguments).get("fund", pair.small.ticker)
        is_ratio = "fund" not in dict(condition.arguments)
        moves = [1 / new if ticker == fund else new if is_ratio else 1.0 for ticker, new in shares]
        factors.append(math.prod(moves) if registry[condition.metric].level_of_prices else 1.0)
    return tuple(factors)


def is_set_on_level(rule: Rule, factors: Factors) -> bool:
    """Whether a condition compares a level that a split has changed with an amount."""
    return any(
        factor != 1 and condition.target.kind == AMOUNT
        for condition, factor in zip(rule.conditions, factors, strict=True)
    )


def rescaled_rule(rule: Rule, factors: Factors) -> Rule:
    """The rule with its amounts multiplied by the factors."""
    conditions = tuple(
        replace(condition, target=replace(condition.target, value=_rounded(condition.target.value * factor)))
        if condition.target.kind == AMOUNT and factor != 1
        else condition
        for condition, factor in zip(rule.conditions, factors, strict=True)
    )
    rearm = rule.rearm if rule.rearm is None or factors[0] == 1 else _rounded(rule.rearm * factors[0])
    return replace(rule, conditions=conditions, rearm=rearm)


def state_after_split(state: State, factors: Factors) -> State:
    """The state rescaled, without the session's figures, so that no earlier session is replayed."""
    bands = tuple(band * by for band, by in zip(state.bands, factors, strict=True))
    values = zip(state.last_values, factors, strict=True)
    last_values = tuple(None if value is None else value * by for value, by in values)
    return replace(state, bands=bands, last_values=last_values, figures=())


def _rounded(value: float) -> float:
    """A rescaled amount to nine digits: 0.52 after a split in three is 0.173333333."""
    return float(f"{value:.9g}")
