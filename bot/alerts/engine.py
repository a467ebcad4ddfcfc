"""The engine: when a rule fires. Pure: a state and one session's figures in, state and event out.

    status   ARMED -> CONFIRMING k/n -> FIRED -> (back past the re-arm level) -> ARMED

A rule fires when its stored state turns true, never because a value merely is true. T is the
threshold, R the re-arm level: T less a band (on the far side), or the rule's own `rearm`. At R
the rule re-arms; where R is T itself, strictly past it. A missing session moves the mark and
no status. Sessions up to the mark are ignored, so judging one twice changes nothing.

Input, memory and output of the engine: Sample, State and Event, with their JSON.

A figure is missing when it is None, NaN or infinite. State and Event survive JSON exactly.
"""

from __future__ import annotations

import datetime as dt
import math
import operator
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

from msgspec.structs import replace

from bot.alerts.rule import ABOVE, CROSSES, JsonStruct, Rule


class Status(StrEnum):
    """Where one side of a rule stands."""

    ARMED = "armed"
    CONFIRMING = "confirming"
    FIRED = "fired"


class ConditionValue(JsonStruct, frozen=True):
    """One condition's figures on one session, in the metric's unit."""

    value: float | None
    threshold: float | None

    @property
    def pair(self) -> tuple[float, float] | None:
        """Value and threshold; None when either is missing."""
        if self.value is None or self.threshold is None:
            return None
        if math.isfinite(self.value) and math.isfinite(self.threshold):
            return self.value, self.threshold
        return None

    @property
    def plain(self) -> ConditionValue:
        """The same with None for NaN and infinity, which JSON does not have."""
        if self.pair is not None:
            return self
        return ConditionValue(_finite(self.value), _finite(self.threshold))


@dataclass(frozen=True, slots=True)
class Sample:
    """The figures of one completed session, one leg per condition."""

    session: dt.date
    legs: tuple[ConditionValue, ...]


class Side(JsonStruct, frozen=True):
    """One side of a rule; a rule with `crosses` has two, any other has one.

    count  sessions in a row on which it was true while confirming
    since  session of its last fire; None when it was already true at creation
    held   it fired during a cooldown and has not been reported
    """

    status: Status = Status.ARMED
    count: int = 0
    since: dt.date | None = None
    held: bool = False


class State(JsonStruct, frozen=True):
    """The engine's memory of a rule after `session` was evaluated.

    bands    per condition, how far past the threshold it re-arms; 0 when history was too short
    sides    above and below for `crosses`, otherwise one
    values   per condition, the last value judged (None before the first)
    cooling  judged sessions of the cooldown still to come
    done     a `once` rule has fired
    legs     per condition the figures of `session` as they were judged, by which a revision of them is
             noticed later; none where nothing was judged: the rule was made, edited or resumed then
    """

    session: dt.date
    bands: tuple[float, ...]
    sides: tuple[Side, ...]
    values: tuple[float | None, ...]
    cooling: int = 0
    done: bool = False
    legs: tuple[ConditionValue, ...] = ()

    @property
    def status(self) -> Status:
        """The livelier side's status: CONFIRMING before ARMED before FIRED."""
        statuses = {side.status for side in self.sides}
        return next(
            status for status in (Status.CONFIRMING, Status.ARMED, Status.FIRED) if status in statuses
        )

    @property
    def count(self) -> int:
        """Sessions confirmed so far."""
        return max(side.count for side in self.sides)


class Event(JsonStruct, frozen=True):
    """A fire, or the end of a cooldown at which a muted fire is still true.

    kind      "fired", or "still": a fire held back by the cooldown is true at its end
    ops       per condition the comparison that came true; `crosses` is resolved to > or <
    legs      figures of the session
    levels    per condition the level at which it re-arms
    previous  per condition the value judged before
    since     session of the fire: the event's own, or the held one's for "still"
    muted     fired during the cooldown: for the history only
    done      the rule was `once` and has ended
    """

    kind: str
    session: dt.date
    ops: tuple[str, ...]
    legs: tuple[ConditionValue, ...]
    levels: tuple[float | None, ...]
    previous: tuple[float | None, ...]
    since: dt.date
    muted: bool = False
    done: bool = False

    @property
    def key(self) -> tuple[dt.date, str, tuple[str, ...]]:
        """What makes it the same event on other figures: session, kind and side."""
        return self.session, self.kind, self.ops

    @property
    def value(self) -> float | None:
        """The first condition's value."""
        return self.legs[0].value

    @property
    def threshold(self) -> float | None:
        """The first condition's threshold."""
        return self.legs[0].threshold


def _finite(figure: float | None) -> float | None:
    return figure if figure is not None and math.isfinite(figure) else None


# The default band: this share of the standard deviation (ddof=1) of metric - target ...
BAND_SHARE = 0.25
# ... over this many of its last values; with fewer than the least there is no band.
BAND_VALUES = 252
BAND_LEAST = 60

_COMPARE = {">": operator.gt, "<": operator.lt, ">=": operator.ge, "<=": operator.le}

Ops = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Run:
    """The result of evaluating samples: the state after each of them, and the events."""

    states: tuple[State, ...]
    events: tuple[Event, ...]


def directions(rule: Rule) -> tuple[Ops, ...]:
    """Comparisons of each side: `crosses` makes two mirrored sides, above and below."""
    ops = tuple(condition.op for condition in rule.conditions)
    if CROSSES not in ops:
        return (ops,)
    return tuple(tuple(way if op == CROSSES else op for op in ops) for way in (">", "<"))


def truth(ops: Ops, sample: Sample) -> bool | None:
    """Whether all conditions are true. False if any is false, else None if any figure is missing."""
    answers = [
        _COMPARE[op](*leg.pair) if leg.pair else None for op, leg in zip(ops, sample.legs, strict=True)
    ]
    if False in answers:
        return False
    return None if None in answers else True


def bands(rule: Rule, samples: Sequence[Sample]) -> tuple[float, ...]:
    """Default band of each condition, in the metric's unit; 0 when it has too few values."""
    return tuple(
        _band(sample.legs[index] for sample in reversed(samples)) for index in range(len(rule.conditions))
    )


def _band(legs: Iterable[ConditionValue]) -> float:
    """Default band of one condition, whose legs come newest first."""
    return band(list(islice((leg.pair[0] - leg.pair[1] for leg in legs if leg.pair), BAND_VALUES)))


def band(distances: Sequence[float]) -> float:
    """Default band of a condition with these last distances of value and threshold, at most BAND_VALUES."""
    return BAND_SHARE * statistics.stdev(distances) if len(distances) >= BAND_LEAST else 0.0


def levels(rule: Rule, state: State, ops: Ops, legs: Sequence[ConditionValue]) -> tuple[float | None, ...]:
    """R of each condition for one side; None where the leg is missing."""
    return tuple(
        _level(rule, op, band, leg.pair[1]) if leg.pair else None
        for op, band, leg in zip(ops, state.bands, legs, strict=True)
    )


def _level(rule: Rule, op: str, band: float, threshold: float) -> float:
    if rule.rearm is not None:
        return rule.rearm
    return threshold - band if op in ABOVE else threshold + band


def _is_back(op: str, leg: ConditionValue, level: float | None) -> bool:
    """Whether one condition has moved back far enough to re-arm the rule."""
    if leg.pair is None or level is None:
        return False
    value, threshold = leg.pair
    if op in ABOVE:
        return value < threshold if level == threshold else value <= level
    return value > threshold if level == threshold else value >= level


def first_state(
    rule: Rule, samples: Sequence[Sample], created: dt.date, given: tuple[float, ...] | None = None
) -> State:
    """The state of a rule that starts after the sessions in `samples`; no event is created.

    Already true (by the last session that can say): it counts as fired and waits to re-arm;
    otherwise, inside the band too, it is armed. `created` is the mark when there are no samples.
    An edited or resumed rule starts afresh in the same way. `given` are bands known beforehand.
    """
    return State(
        session=samples[-1].session if samples else created,
        bands=bands(rule, samples) if given is None else given,
        sides=tuple(Side(Status.FIRED) if _was_true(ops, samples) else Side() for ops in directions(rule)),
        values=tuple(_last_value(samples, index) for index in range(len(rule.conditions))),
    )


def _was_true(ops: Ops, samples: Sequence[Sample]) -> bool:
    answers = (truth(ops, sample) for sample in reversed(samples))
    return next((answer for answer in answers if answer is not None), False)


def _last_value(samples: Sequence[Sample], index: int) -> float | None:
    pairs = (sample.legs[index].pair for sample in reversed(samples))
    return next((pair[0] for pair in pairs if pair), None)


def step(rule: Rule, state: State, sample: Sample) -> tuple[State, Event | None]:
    """Evaluate one session. Returns the state after it and at most one event.

    Sessions up to the mark or past `until`, and every session of a rule that is done, change nothing.
    """
    if state.done or sample.session <= state.session or (rule.until and sample.session > rule.until):
        return state, None
    ways = directions(rule)
    answers = tuple(truth(ops, sample) for ops in ways)
    if all(answer is None for answer in answers):
        return replace(state, session=sample.session, legs=tuple(leg.plain for leg in sample.legs)), None
    turned = tuple(
        _turn(rule, state, side, ops, sample, answer)
        for side, ops, answer in zip(state.sides, ways, answers, strict=True)
    )
    return _with_event(rule, state, sample, answers, turned)


def _turn(rule: Rule, state: State, side: Side, ops: Ops, sample: Sample, answer: bool | None) -> Side:
    """The side after this session, ignoring the cooldown."""
    if answer is None:
        return side
    if side.status is Status.FIRED:
        back = map(_is_back, ops, sample.legs, levels(rule, state, ops, sample.legs))
        return Side() if any(back) else side
    if not answer:
        return Side()
    count = side.count + 1
    if count < rule.confirm:
        return Side(Status.CONFIRMING, count)
    return Side(Status.FIRED, since=sample.session)


def _with_event(
    rule: Rule, before: State, sample: Sample, answers: tuple[bool | None, ...], turned: tuple[Side, ...]
) -> tuple[State, Event | None]:
    """The state with its new sides, and the event of a fire, which is muted during a cooldown.

    Two sides are never true at once, so there is at most one event: a fresh fire, or word of a
    held one that is still true on the first session after the cooldown.
    """
    event: Event | None = None
    cooling, muted = max(before.cooling - 1, 0), before.cooling > 0
    sides = list(turned)
    for index, (old, new, answer) in enumerate(zip(before.sides, turned, answers, strict=True)):
        if new.status is Status.FIRED and old.status is not Status.FIRED:
            event = _event(rule, before, sample, index, new, muted=muted)
            sides[index] = replace(new, held=True) if muted else new
            cooling = cooling if muted else rule.cooldown
        elif new.held and not muted and answer is not None:
            event = _event(rule, before, sample, index, new, kind="still") if answer else event
            sides[index] = replace(new, held=False)
    values = tuple(
        leg.pair[0] if leg.pair else old for leg, old in zip(sample.legs, before.values, strict=True)
    )
    after = State(
        session=sample.session,
        bands=before.bands,
        sides=tuple(sides),
        values=values,
        cooling=cooling,
        done=event is not None and event.done,
        legs=tuple(leg.plain for leg in sample.legs),
    )
    return after, event


def _event(
    rule: Rule,
    before: State,
    sample: Sample,
    index: int,
    side: Side,
    *,
    kind: str = "fired",
    muted: bool = False,
) -> Event:
    ops = directions(rule)[index]
    return Event(
        kind=kind,
        session=sample.session,
        ops=ops,
        legs=sample.legs,
        levels=levels(rule, before, ops, sample.legs),
        previous=before.values,
        since=side.since or sample.session,
        muted=muted,
        done=rule.once and kind == "fired",
    )


def judge(rule: Rule, state: State, samples: Iterable[Sample]) -> Run:
    """Evaluate samples in order. Returns the states and events of those after the mark."""
    states: list[State] = []
    events: list[Event] = []
    for sample in samples:
        after, event = step(rule, state, sample)
        if after is not state:
            states.append(after)
        if event:
            events.append(event)
        state = after
    return Run(tuple(states), tuple(events))
