"""Input, memory and output of the engine: Sample, State and Event, with their JSON.

A figure is missing when it is None, NaN or infinite. State and Event survive JSON exactly.
"""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from enum import StrEnum

from bot.alerts.rule import JsonStruct


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
