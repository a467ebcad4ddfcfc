"""The engine: when a rule fires. Pure functions of a state and one session's figures.

    status   ARMED -> CONFIRMING k/n -> FIRED -> (back past the re-arm level) -> ARMED
             WAITING -> ARMED or FIRED, by the first figures of a rule that was made without any

A rule fires when its stored state turns true, never because a value merely is true: one whose first figures are true is
reported as true already. With T the threshold, the re-arm level R is T less a band (plus, for < and <=), or the rule's
own `rearm`. The rule re-arms at R, or strictly past it where R equals T.

A figure is missing when it is None, NaN or infinite. A session with a missing figure moves the mark (the last evaluated
session) and no status. Sessions up to the mark are ignored, so evaluating one twice changes nothing.
"""

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

# The default band: this share of the standard deviation (ddof 1) of value - threshold ...
BAND_SHARE = 0.25
# ... over this many of its last values; with fewer than BAND_LEAST there is no band.
BAND_VALUES = 252
BAND_LEAST = 60

FIRED, STILL = "fired", "still"
ALREADY, REMINDER, BACK = "already", "reminder", "back"  # kinds of events that are no fire

COMPARE = {">": operator.gt, "<": operator.lt, ">=": operator.ge, "<=": operator.le}

Ops = tuple[str, ...]  # the comparison of each condition


class ConditionValue(JsonStruct, frozen=True):
    """One condition's figures on one session, in the metric's unit."""

    value: float | None
    threshold: float | None

    @property
    def both(self) -> tuple[float, float] | None:
        """Value and threshold, or None when either is missing."""
        value, threshold = self.value, self.threshold
        if value is None or threshold is None:
            return None
        return (value, threshold) if math.isfinite(value) and math.isfinite(threshold) else None

    @property
    def finite(self) -> "ConditionValue":
        """The same with None for NaN and infinity, which JSON does not have."""
        if self.both is not None:
            return self
        return ConditionValue(
            *(x if x is not None and math.isfinite(x) else None for x in (self.value, self.threshold))
        )


class Sample(JsonStruct, frozen=True):
    """The figures of one completed session, one entry per condition."""

    session: dt.date
    figures: tuple[ConditionValue, ...]


class Status(StrEnum):
    """The state of one side of a rule."""

    WAITING = "waiting"
    ARMED = "armed"
    CONFIRMING = "confirming"
    FIRED = "fired"


class Side(JsonStruct, frozen=True):
    """One side of a rule. A rule with `crosses` has two, any other has one.

    count       sessions in a row on which it was true while confirming
    since       session of its last fire; None when it was already true at creation or with its first figures
    unreported  it fired during a cooldown and has not been reported
    reminder    after how many evaluated sessions a reminder is due, 0 for never; one that is due comes on the
                first session on which it is true
    """

    status: Status = Status.ARMED
    count: int = 0
    since: dt.date | None = None
    unreported: bool = False
    reminder: int = 0


class State(JsonStruct, frozen=True):
    """The engine's memory of a rule after `session` was evaluated.

    bands        per condition, how far past the threshold it re-arms; 0 when history was too short
    sides        above and below for `crosses`, otherwise one
    last_values  per condition, the last value that was not missing; None before the first
    cooling      sessions of the cooldown still to come
    done         a `once` rule has fired
    figures      per condition the figures of `session` as evaluated, by which a later revision of them is
                 noticed; empty where the rule was created, edited or resumed, so that nothing was evaluated
    """

    session: dt.date
    bands: tuple[float, ...]
    sides: tuple[Side, ...]
    last_values: tuple[float | None, ...]
    cooling: int = 0
    done: bool = False
    figures: tuple[ConditionValue, ...] = ()

    @property
    def status(self) -> Status:
        """The status of the side closest to firing: CONFIRMING, ARMED, WAITING, FIRED in this order."""
        statuses = {side.status for side in self.sides}
        order = (Status.CONFIRMING, Status.ARMED, Status.WAITING, Status.FIRED)
        return next(status for status in order if status in statuses)

    @property
    def waits(self) -> bool:
        """Whether a side has had no figures yet that tell whether it is true."""
        return any(side.status is Status.WAITING for side in self.sides)

    @property
    def count(self) -> int:
        """Sessions confirmed so far."""
        return max(side.count for side in self.sides)


class Event(JsonStruct, frozen=True):
    """A fire, or what else is reported about a rule.

    kind      FIRED; STILL: a fire muted by the cooldown is true at its end; REMINDER: it is still true;
              BACK: it re-arms; ALREADY: no fire, the rule is true with its first figures
    ops       per condition the comparison that came true; `crosses` is resolved to > or <
    figures   figures of the session
    levels    per condition the level at which it re-arms
    previous  per condition the value evaluated before
    since     session of the fire; the event's own where it was true from the start
    muted     fired during the cooldown, for the history only
    done      the rule was `once` and has ended
    """

    kind: str
    session: dt.date
    ops: Ops
    figures: tuple[ConditionValue, ...]
    levels: tuple[float | None, ...]
    previous: tuple[float | None, ...]
    since: dt.date
    muted: bool = False
    done: bool = False

    @property
    def key(self) -> tuple[dt.date, str, Ops]:
        """Session, kind and side, by which it is the same event on other figures."""
        return self.session, self.kind, self.ops

    @property
    def value(self) -> float | None:
        """The first condition's value."""
        return self.figures[0].value

    @property
    def threshold(self) -> float | None:
        """The first condition's threshold."""
        return self.figures[0].threshold


@dataclass(frozen=True, slots=True)
class Run:
    """The result of evaluating samples: the state after each of them, and the events."""

    states: tuple[State, ...]
    events: tuple[Event, ...]


def evaluate(rule: Rule, state: State, samples: Iterable[Sample]) -> Run:
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


def step(rule: Rule, state: State, sample: Sample) -> tuple[State, Event | None]:
    """Evaluate one session. Returns the state after it and at most one event.

    Sessions up to the mark or past `until`, and every session of a rule that is done, change nothing.
    """
    if state.done or sample.session <= state.session or (rule.until and sample.session > rule.until):
        return state, None
    ops_by_side = side_ops(rule)
    answers = [truth(rule, ops, sample) for ops in ops_by_side]
    if answers.count(None) == len(answers):
        figures = tuple(figure.finite for figure in sample.figures)
        return replace(state, session=sample.session, figures=figures), None
    turned = [
        _turn(rule, state, side, ops, sample, answer)
        for side, ops, answer in zip(state.sides, ops_by_side, answers, strict=True)
    ]
    return _with_event(rule, state, sample, answers, turned)


def _turn(rule: Rule, state: State, side: Side, ops: Ops, sample: Sample, answer: bool | None) -> Side:
    if answer is None:
        return side
    if side.status is Status.WAITING:
        return Side(Status.FIRED if answer else Status.ARMED)
    if side.status is Status.FIRED:
        return _turn_back(rule, state, side, ops, sample)
    if not answer:
        return Side()
    count = side.count + 1
    if count < rule.confirm:
        return Side(Status.CONFIRMING, count)
    return Side(Status.FIRED, since=sample.session)


def _turn_back(rule: Rule, state: State, side: Side, ops: Ops, sample: Sample) -> Side:
    """A side that has fired: armed again if it is back, else a session closer to its reminder."""
    levels = rearm_levels(rule, state, ops, sample.figures)
    back = list(map(_is_back, ops, sample.figures, levels))
    if all(map(any, rule.grouped(back))):
        return Side()
    return replace(side, reminder=max(side.reminder - 1, 1)) if side.reminder else side


def _with_event(
    rule: Rule, before: State, sample: Sample, answers: Sequence[bool | None], turned: Sequence[Side]
) -> tuple[State, Event | None]:
    """The state with its new sides, and the event of a fire, which is muted during a cooldown.

    Two sides are never true at once, so there is at most one event: a new fire, a muted one that is still
    true on the first evaluated session after the cooldown, a reminder, or the end of a reported fire.
    """
    event: Event | None = None
    cooling, muted = max(before.cooling - 1, 0), before.cooling > 0
    sides = list(turned)
    for index, (old, new, answer) in enumerate(zip(before.sides, turned, answers, strict=True)):
        if old.status is Status.WAITING:
            event = _already(rule, before, sample, index, new) or event
        elif new.status is Status.FIRED and old.status is not Status.FIRED:
            event = _event(rule, before, sample, index, new, muted=muted)
            sides[index] = replace(new, **({"unreported": True} if muted else {"reminder": rule.remind}))
            cooling = cooling if muted else rule.cooldown
        elif new.unreported and not muted and answer is not None:
            event = _event(rule, before, sample, index, new, kind=STILL) if answer else event
            sides[index] = replace(new, unreported=False, reminder=rule.remind if answer else 0)
        elif old.reminder == 1 and new.reminder and answer:
            event = _event(rule, before, sample, index, new, kind=REMINDER)
            sides[index] = replace(new, reminder=rule.remind)
        elif rule.back and old.status is Status.FIRED and new.status is Status.ARMED and not old.unreported:
            event = _event(rule, before, sample, index, old, kind=BACK)
    after = State(
        session=sample.session,
        bands=before.bands,
        sides=tuple(sides),
        last_values=tuple(
            [
                both[0] if (both := figure.both) else old
                for figure, old in zip(sample.figures, before.last_values, strict=True)
            ]
        ),
        cooling=cooling,
        done=event is not None and event.done,
        figures=tuple([figure.finite for figure in sample.figures]),
    )
    return after, event


def _already(rule: Rule, before: State, sample: Sample, index: int, side: Side) -> Event | None:
    """The event of first figures that are true; None for `crosses`, of which one side always is."""
    if side.status is not Status.FIRED or len(before.sides) > 1:
        return None
    return _event(rule, before, sample, index, side, kind=ALREADY)


def _event(
    rule: Rule, before: State, sample: Sample, index: int, side: Side, *, kind: str = FIRED, muted: bool = False
) -> Event:
    ops = side_ops(rule)[index]
    return Event(
        kind=kind,
        session=sample.session,
        ops=ops,
        figures=tuple([figure.finite for figure in sample.figures]),
        levels=rearm_levels(rule, before, ops, sample.figures),
        previous=before.last_values,
        since=side.since or sample.session,
        muted=muted,
        done=rule.once and side.since is not None and kind == (BACK if rule.back else FIRED),
    )


def side_ops(rule: Rule) -> tuple[Ops, ...]:
    """The comparisons of each side. `crosses` makes two mirrored sides, above and below."""
    ops = tuple(condition.op for condition in rule.conditions)
    if CROSSES not in ops:
        return (ops,)
    return tuple(tuple(side if op == CROSSES else op for op in ops) for side in (">", "<"))


def truth(rule: Rule, ops: Ops, sample: Sample) -> bool | None:
    """Whether all conditions of any group are true, None where a missing figure decides.

    A group with a false condition is false, else one with a missing figure is missing.
    """
    answers = [
        COMPARE[op](*both) if (both := figure.both) else None for op, figure in zip(ops, sample.figures, strict=True)
    ]
    groups = [False if False in group else None if None in group else True for group in rule.grouped(answers)]
    return True if True in groups else None if None in groups else False


def rearm_levels(rule: Rule, state: State, ops: Ops, figures: Sequence[ConditionValue]) -> tuple[float | None, ...]:
    """The re-arm level R of each condition for one side; None where a figure is missing."""
    return tuple(
        _rearm_level(rule, op, band, both[1]) if (both := figure.both) else None
        for op, band, figure in zip(ops, state.bands, figures, strict=True)
    )


def _rearm_level(rule: Rule, op: str, band: float, threshold: float) -> float:
    if rule.rearm is not None:
        return rule.rearm
    return threshold - band if op in ABOVE else threshold + band


def _is_back(op: str, figure: ConditionValue, level: float | None) -> bool:
    """Whether one condition has moved back far enough to re-arm the rule."""
    if figure.both is None or level is None:
        return False
    value, threshold = figure.both
    if op in ABOVE:
        return value < threshold if level == threshold else value <= level
    return value > threshold if level == threshold else value >= level


def first_state(
    rule: Rule, samples: Sequence[Sample], created: dt.date, bands: tuple[float, ...] | None = None
) -> State:
    """The state of a rule that is created, edited or resumed after the sessions in `samples`.

    A rule that is already true, by the last session that can tell, counts as fired and waits to re-arm;
    otherwise it is armed, inside the band too. Where no session can tell, it waits for one. `created` is the
    mark when there are no samples; `bands` are used instead of the default ones.
    """
    return State(
        session=samples[-1].session if samples else created,
        bands=default_bands(rule, samples) if bands is None else bands,
        sides=tuple(_first_side(rule, ops, samples) for ops in side_ops(rule)),
        last_values=tuple(_last_value(samples, index) for index in range(len(rule.conditions))),
    )


def settle(rule: Rule, state: State, history: Sequence[Sample]) -> tuple[State, Event | None]:
    """Give a rule that waits for first figures the sides of history that has arrived up to its mark.

    Returns the state that it would have been created with, and the event of one that is true already.
    """
    settled = first_state(rule, history, state.session)
    sides = zip(state.sides, settled.sides, strict=True)
    chosen = tuple(new if old.status is Status.WAITING else old for old, new in sides)
    if chosen == state.sides:
        return state, None
    event, ops = None, side_ops(rule)[0]
    if chosen[0].status is Status.FIRED:
        last = next(sample for sample in reversed(history) if truth(rule, ops, sample) is not None)
        event = _already(rule, replace(state, bands=settled.bands), last, 0, chosen[0])
    return replace(state, sides=chosen, bands=settled.bands, last_values=settled.last_values), event


def _first_side(rule: Rule, ops: Ops, samples: Sequence[Sample]) -> Side:
    answers = (truth(rule, ops, sample) for sample in reversed(samples))
    true = next((answer for answer in answers if answer is not None), None)
    return Side(Status.WAITING if true is None else Status.FIRED if true else Status.ARMED)


def _last_value(samples: Sequence[Sample], index: int) -> float | None:
    figures = (sample.figures[index].both for sample in reversed(samples))
    return next((both[0] for both in figures if both), None)


def default_bands(rule: Rule, samples: Sequence[Sample]) -> tuple[float, ...]:
    """Default band of each condition, in the metric's unit; 0 when it has too few values.

    Where none of the values has been past the band, it is half of how far the farthest has: drawdown < -0.5%
    would otherwise re-arm above 0, where a drawdown never is.
    """
    bands = []
    for index in range(len(rule.conditions)):
        figures = (sample.figures[index].both for sample in reversed(samples))
        distances = list(islice((both[0] - both[1] for both in figures if both), BAND_VALUES))
        band = default_band(distances)
        for op in {ops[index] for ops in side_ops(rule)}:
            farthest = max((-distance if op in ABOVE else distance for distance in distances), default=0.0)
            band = farthest / 2 if 0 < farthest < band else band
        bands.append(band)
    return tuple(bands)


def default_band(distances: Sequence[float]) -> float:
    """Default band of a condition, from its last distances value - threshold, at most BAND_VALUES of them."""
    return BAND_SHARE * statistics.stdev(distances) if len(distances) >= BAND_LEAST else 0.0
