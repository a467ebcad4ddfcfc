"""Revised data: the sessions evaluated last are evaluated again from the state before them.

An event is in force until its inputs say otherwise. An input that is missing now but was not when it was
evaluated withdraws nothing, and neither does one that differs by less than JITTER.

Splits change a level of prices; rules set on it need another level.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec.structs import replace

from bot.alerts.engine import ConditionValue, Event, Sample, State, judge
from bot.alerts.rule import AMOUNT, Condition, JsonStruct, Rule

if TYPE_CHECKING:
    from bot.analytics.metrics import Metric
    from bot.pair import Pair


# Of the larger of value, threshold and band; the storage takes figures this close for the same.
JITTER = 1e-5

ConditionValues = tuple[ConditionValue, ...]


@dataclass(frozen=True, slots=True)
class Replay:
    """The sessions from the first revised one up to the mark, on revised data.

    since      the first revised session
    states     after each of these sessions, oldest first: they replace the stored ones, the last is the
               current one; its `done` is false where the fire of a `once` rule is withdrawn
    withdrawn  stored events, muted ones too, that no longer happen
    new        events that were not stored before, or were muted; their sessions may be long past
    kept       stored events that still happen, with their revised figures
    """

    since: dt.date
    states: tuple[State, ...]
    withdrawn: tuple[Event, ...]
    new: tuple[Event, ...]
    kept: tuple[Event, ...]


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

    @classmethod
    def between(cls, states: Sequence[State], replayed: Replay, event: Event) -> Revision:
        """The revision that withdraws an event, from the stored states and their replay."""
        before = {state.session: state.legs for state in states}
        after = {state.session: state.legs for state in replayed.states}
        since, session = replayed.since, event.session
        at_event = after.get(session, before.get(session, event.legs))
        return cls(since, before.get(since, ()), after.get(since, ()), at_event)


def replay(
    rule: Rule, states: Sequence[State], samples: Sequence[Sample], stored: Sequence[Event]
) -> Replay | None:
    """Evaluate revised sessions again; None when no input was revised.

    states  the stored ones, oldest first: the first is the state before the sessions that can be
            replayed, the last the current one, whose session is the mark
    samples    the rule's samples on today's data, from after the first state on; those past the mark are
            left to `judge`, which goes on from the last state of the Replay
    stored  the rule's events of these sessions that are in force, muted ones too

    The sessions are those of the states, and any that has figures now and had none then. A state
    without figures is one that a rule was made, edited or resumed with: nothing before it is replayed.
    """
    first = max((index for index, state in enumerate(states) if not state.legs), default=0)
    states = states[first:]
    then = {state.session: state for state in states[1:]}
    now = {
        sample.session: sample
        for sample in samples
        if states[0].session < sample.session <= states[-1].session
    }
    merged = (_merged(session, then.get(session), now.get(session)) for session in sorted(then | now))
    evaluated = [sample for sample in merged if sample is not None]
    revised = (
        sample.session
        for sample in evaluated
        if sample.session not in then or sample.legs != then[sample.session].legs
    )
    since = next(revised, None)
    if since is None:
        return None
    before = next(state for state in reversed(states) if state.session < since)
    run = judge(rule, before, [sample for sample in evaluated if sample.session >= since])
    return _compared(since, run.states, run.events, [event for event in stored if event.session >= since])


def _merged(session: dt.date, then: State | None, now: Sample | None) -> Sample | None:
    """The figures that count for a session; None when it has none now and was not evaluated then."""
    if then is None:
        return now if now and any(leg.pair for leg in now.legs) else None
    if now is None:
        return Sample(session, then.legs)
    legs = zip(then.legs, now.legs, then.bands, strict=True)
    return Sample(session, tuple(_merged_leg(*leg) for leg in legs))


def _merged_leg(then: ConditionValue, now: ConditionValue, band: float) -> ConditionValue:
    """The leg of now where it differs by more than JITTER, otherwise the one that was evaluated."""
    if now.pair is None:
        return then
    if then.pair is None:
        return now
    allowed = JITTER * max(band, *map(abs, then.pair))
    difference = max(abs(old - new) for old, new in zip(then.pair, now.pair, strict=True))
    return now if difference > allowed else then


def _compared(
    since: dt.date, states: tuple[State, ...], events: Sequence[Event], stored: Sequence[Event]
) -> Replay:
    """The replay's events beside the stored ones; one that was muted and is not now is new."""
    stored_by_key = {event.key: event for event in stored}
    keys = {event.key for event in events}
    new = [event for event in events if _is_new(event, stored_by_key.get(event.key))]
    return Replay(
        since,
        states,
        withdrawn=tuple(event for event in stored if event.key not in keys),
        new=tuple(new),
        kept=tuple(event for event in events if event not in new),
    )


def _is_new(event: Event, stored: Event | None) -> bool:
    return stored is None or (stored.muted and not event.muted)


_DIGITS = 9  # of a rescaled amount: 0.52 in three is 0.173333333


def level_factor(pair: Pair, share_factors: Iterable[tuple[str, float]]) -> float:
    """The ratio's new level by its old one, from tickers and new shares per old share.

    A split of the small fund lowers the ratio, one of the large fund raises it.
    """
    return math.prod(
        1 / factor if ticker == pair.small.ticker else factor for ticker, factor in share_factors
    )


def reads_level(rule: Rule, registry: Mapping[str, Metric]) -> bool:
    """Whether a condition reads a level of prices."""
    return any(_is_level(condition, registry) for condition in rule.conditions)


def is_set_on_level(rule: Rule, registry: Mapping[str, Metric]) -> bool:
    """Whether a condition compares a level of prices with an amount."""
    return any(_is_level(c, registry) and c.target.kind == AMOUNT for c in rule.conditions)


def rescaled_rule(rule: Rule, factor: float, registry: Mapping[str, Metric]) -> Rule:
    """The rule with its amounts of levels of prices multiplied by a factor."""
    conditions = tuple(_rescaled(condition, factor, registry) for condition in rule.conditions)
    rearm = rule.rearm
    if rearm is not None and _is_level(rule.conditions[0], registry):
        rearm = _rounded(rearm * factor)
    return replace(rule, conditions=conditions, rearm=rearm)


def state_after_split(rule: Rule, state: State, factor: float, registry: Mapping[str, Metric]) -> State:
    """The state in the new shares, without the session's figures, so that no earlier session is replayed."""
    factors = tuple(factor if _is_level(condition, registry) else 1.0 for condition in rule.conditions)
    scaled = [
        (band * by, None if value is None else value * by)
        for band, value, by in zip(state.bands, state.values, factors, strict=True)
    ]
    bands, values = zip(*scaled, strict=True)
    return replace(state, bands=bands, values=values, legs=())


def _is_level(condition: Condition, registry: Mapping[str, Metric]) -> bool:
    return registry[condition.metric].level_of_prices


def _rescaled(condition: Condition, factor: float, registry: Mapping[str, Metric]) -> Condition:
    target = condition.target
    if target.kind != AMOUNT or not _is_level(condition, registry):
        return condition
    return replace(condition, target=replace(target, value=_rounded(target.value * factor)))


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
