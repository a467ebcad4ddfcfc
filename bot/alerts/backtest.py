"""Backtest: the engine's own step over history."""

from __future__ import annotations

import datetime as dt
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from msgspec.structs import replace

from bot.alerts.course import Course
from bot.alerts.engine import band, start
from bot.alerts.sweep import answered, sweep

if TYPE_CHECKING:
    from bot.alerts.rule import Rule
    from bot.alerts.state import Bar, Event

YEARS = 5


@dataclass(frozen=True)
class Frequency:
    """How often a rule would have told its owner between two sessions, both included.

    dates   sessions of the fires, oldest first; those muted by the cooldown are not in it
    since   first session that was judged, later than asked for where history is short
    """

    dates: tuple[dt.date, ...]
    since: dt.date | None
    until: dt.date | None

    @property
    def count(self) -> int:
        """Number of fires."""
        return len(self.dates)


def frequency(rule: Rule, history: Sequence[Bar], years: int = YEARS) -> Frequency:
    """Fires over the last `years` of a rule's bars; `once` and `until` are left aside."""
    course = _answered(Course.of(history))
    begin = _begin(rule, course, years)
    if begin >= len(course):
        return Frequency((), None, None)
    fires = _fires(rule, course, begin, tuple(map(band, map(course.distances, range(len(rule.conditions))))))
    return Frequency(tuple(event.session for event in fires), course.day(begin), course.day(-1))


def without_band(rule: Rule, history: Sequence[Bar], years: int = YEARS) -> int:
    """How often the rule would have fired with no band at all: what the band keeps quiet."""
    course = _answered(Course.of(history))
    begin = _begin(rule, course, years)
    if begin >= len(course):
        return 0
    return len(_fires(replace(rule, rearm=None), course, begin, (0.0,) * len(rule.conditions)))


def _fires(rule: Rule, course: Course, begin: int, bands: tuple[float, ...]) -> list[Event]:
    """Events that are told when judging begins at a position."""
    lasting = replace(rule, once=False, until=None)
    state = start(lasting, course[:begin], course.day(0), bands)
    _, events = sweep(lasting, state, course[begin:])
    return [event for event in events if not event.muted]


def _answered(course: Course) -> Course:
    """The bars up to the last one that has any figure: years are counted back from the data's end."""
    each = (course.known(leg) for leg in range(len(course.values)))
    known = np.flatnonzero(reduce(operator.or_, each, np.zeros(len(course), dtype=bool)))
    return course[: int(known[-1]) + 1 if len(known) else 0]


def _begin(rule: Rule, course: Course, years: int) -> int:
    """Position of the first bar to judge: within the span, and after one that says where the rule stands.

    Before every condition has had a figure the rule could not have fired, which says nothing about it.
    """
    if not len(course):
        return 0
    known = [np.flatnonzero(course.known(leg)) for leg in range(len(course.values))]
    whole = max((int(each[0]) if len(each) else len(course)) for each in known)
    judged = np.flatnonzero(answered(rule, course)[whole:])
    if not len(judged):
        return len(course)
    first: dt.date = (pd.Timestamp(course.day(-1)) - pd.DateOffset(years=years)).date()
    return max(whole + int(judged[0]) + 1, course.after(first))
