"""Many alerts evaluated at once: those that read the same figures are one batch, held as arrays.

`step` turns an armed side only where it is true, and a side that has fired only where a condition is at its
re-arm level or past it. `Progress` finds for all alerts of a batch at once where that may be, and leaves the
rest to `step`. Between these sessions a state only moves on, as `carried` says, so it is not stored.
"""

from __future__ import annotations

import datetime as dt
import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from bot.alerts.engine import COMPARE, Event, Sample, State, Status, side_ops, step, truth
from bot.alerts.rule import ABOVE, AMOUNT
from bot.alerts.series import SampleSeries, subject_rule

if TYPE_CHECKING:
    from collections.abc import Callable

    from bot.alerts.rule import Rule
    from bot.alerts.series import BoolArray, Subject

# Sessions whose figures are kept as evaluated: the 10 that can be revised, and the one before them.
SESSIONS_KEPT = 11
_REVISABLE = SESSIONS_KEPT - 1
# Share of the larger of value, threshold and band; storage takes figures this close for the same.
LEAST_REVISION = 1e-5
_GONE, _ARMED, _FIRED, _WAITING, _OTHER = range(5)  # of an entry: _OTHER is evaluated on every session
_PLAIN = {Status.ARMED: _ARMED, Status.FIRED: _FIRED}
_CODES = {**_PLAIN, Status.WAITING: _WAITING}
_SIGNS = {op: 1.0 if op in ABOVE else -1.0 for op in COMPARE}
_NEVER = np.iinfo(np.int64).max


class Batch:
    """The active alerts of one subject, an entry for each side of a rule.

    rule       reads the subject; its amounts are 0
    evaluated  the last evaluated session, None before the first
    figures    as they were evaluated, up to that session: of the last SESSIONS_KEPT sessions, and back to the
               last figure of each condition
    """

    def __init__(
        self, subject: Subject, evaluated: dt.date | None = None, figures: Sequence[Sample] = ()
    ) -> None:
        self.subject = subject
        self.rule = subject_rule(subject)
        self.evaluated = evaluated
        self.figures = SampleSeries.of(figures) if figures else None
        fields: list[Any] = [("alert", "i8"), ("status", "i1"), ("turned", "i8"), ("until", "i8")]
        fields += [(name, "f8", (len(subject),)) for name in ("sign", "level", "band", "rearm")]
        self._entries = np.zeros(4, dtype=fields)
        self._size = 0
        self._first_entry: dict[int, int] = {}

    @property
    def name(self) -> str:
        """What the subject is called in storage."""
        return self.rule.to_json()

    @property
    def entries(self) -> npt.NDArray[np.void]:
        """All entries, those of alerts that are gone too."""
        return self._entries[: self._size]

    @property
    def alert_ids(self) -> set[int]:
        """The alerts that are in it."""
        return set(self._first_entry)

    @property
    def is_empty(self) -> bool:
        """Whether no alert is in it."""
        return not self._first_entry

    @property
    def begin(self) -> dt.date:
        """The session before those that can be revised."""
        if self.figures is None or len(self.figures) < SESSIONS_KEPT:
            return dt.date.min
        return self.figures.day(-SESSIONS_KEPT)

    @property
    def waits(self) -> bool:
        """Whether an alert waits for its first figures."""
        return bool((self.entries["status"] == _WAITING).any())

    def put(self, alert_id: int, rule: Rule, state: State) -> None:
        """Add an alert, or change it. Raises an error for a state or comparison that is not valid."""
        turned, until = state.session.toordinal(), rule.until.toordinal() if rule.until else _NEVER
        sides = _sides(rule, state)
        first = self._first_entry.get(alert_id)
        if first is None or self._sides_at(first) != len(sides):
            self.remove(alert_id)
            if self._size + len(sides) > len(self._entries):
                self._make_room()
            first, self._size = self._size, self._size + len(sides)
        for entry, (status, *levels) in enumerate(sides, start=first):
            self._entries[entry] = (alert_id, status, turned, until, *levels)
        self._first_entry[alert_id] = first

    def remove(self, alert_id: int) -> None:
        """Remove an alert, if it is there."""
        if (first := self._first_entry.pop(alert_id, None)) is not None:
            self._entries["status"][first : first + self._sides_at(first)] = _GONE

    def _sides_at(self, first: int) -> int:
        """The number of sides of the alert whose first entry this is."""
        alert_ids = self.entries["alert"][first : first + 2]
        return int((alert_ids == alert_ids[0]).sum())

    def first_entry(self, alert_id: int) -> int | None:
        """The entry of an alert's first side, which the other follows."""
        return self._first_entry.get(alert_id)

    def _make_room(self) -> None:
        """Drop the entries of alerts that are gone, and double what remains."""
        present = self.entries[self.entries["status"] != _GONE]
        self._entries = np.concatenate([present, np.zeros(len(present) + 4, dtype=present.dtype)])
        self._size = len(present)
        alert_ids = enumerate(present["alert"].tolist())
        self._first_entry = {alert_id: at for at, alert_id in reversed(list(alert_ids))}

    def progress(self, current: SampleSeries, bands: Callable[[], Sequence[float]]) -> Progress:
        """What is new in the subject's samples, those of the kept sessions included.

        bands  the subject's own default bands, by which a revision is told from jitter
        """
        end = current.after(self.evaluated) if self.evaluated is not None else len(current)
        if self.figures is None:
            return Progress(self, current[max(end - SESSIONS_KEPT, 0) :], min(end, SESSIONS_KEPT), None)
        fixed, revisable = self.figures[:-_REVISABLE], self.figures[-_REVISABLE:]
        begin = current.after(fixed.day(-1)) if len(fixed) else 0
        merged, since = merge_samples(revisable, current[begin:end], bands)
        known = fixed.followed_by(merged)
        return Progress(self, known.followed_by(current[end:]), len(known), since)


def _sides(rule: Rule, state: State) -> list[tuple[object, ...]]:
    """Status, signs, levels, bands and re-arm levels of each side; below is above with signs turned."""
    special = state.cooling > 0 or any(side.unreported for side in state.sides)
    sides: list[tuple[object, ...]] = []
    for side, ops in zip(state.sides, side_ops(rule), strict=True):
        signs, levels = [], []
        for op, condition, _ in zip(ops, rule.conditions, state.bands, strict=True):
            signs.append(_SIGNS[op])
            levels.append(signs[-1] * condition.target.value if condition.target.kind == AMOUNT else 0.0)
        rearm = [math.nan if rule.rearm is None else sign * rule.rearm for sign in signs]
        status = _OTHER if special else _CODES.get(side.status, _OTHER)
        sides.append((status, signs, levels, state.bands, rearm))
    return sides


def merge_samples(
    old: SampleSeries, new: SampleSeries, bands: Callable[[], Sequence[float]]
) -> tuple[SampleSeries, dt.date | None]:
    """The figures that count for evaluated sessions, and the first session on which they are revised.

    An old figure stays where the new one is missing, or where neither value nor threshold differs by more
    than LEAST_REVISION. A new session counts if it has a figure.
    """
    late = reduce(operator.or_, new.known, np.zeros(len(new), dtype=bool))
    days = np.union1d(old.days, new.days[late])
    old, new = old.on(days), new.on(days)
    revised = np.zeros(len(days), dtype=bool)
    observed, thresholds = [], []
    for index, (was_known, is_known) in enumerate(zip(old.known, new.known, strict=True)):
        before, now = (np.array([s.observed[index], s.thresholds[index]]) for s in (old, new))
        differs = is_known & ~(was_known & (before == now).all(axis=0))
        if (differs & was_known).any():
            allowed = LEAST_REVISION * np.maximum(np.abs(before).max(axis=0), bands()[index])
            differs &= ~(was_known & (np.abs(before - now).max(axis=0) <= allowed))
        value, level = np.where(differs, now, before)
        observed.append(value)
        thresholds.append(level)
        revised |= differs
    since = days[revised.argmax()].item() if revised.any() else None
    return SampleSeries(days, observed, thresholds), since


@dataclass(frozen=True)
class AlertRun:
    """The result of evaluating one alert.

    state   the last one, with the session up to which it is evaluated
    turned  the states that are stored, and the events, each with the state before it
    """

    state: State
    turned: tuple[State, ...]
    events: tuple[tuple[Event, State], ...]


class Progress:
    """A batch on the samples of today.

    samples  the kept ones with their revisions, then from position `first` on the new ones
    since    the first revised session, if any
    """

    def __init__(self, batch: Batch, samples: SampleSeries, first: int, since: dt.date | None) -> None:
        self.batch, self.samples, self.first, self.since = batch, samples, first, since
        self._kept = samples[:first]
        self._begin = first if since is None else samples.after(since) - 1
        self._met, self._back = self._turning(samples[self._begin :])

    @property
    def after(self) -> tuple[dt.date, SampleSeries]:
        """The last evaluated session and the figures of the batch, once these samples are evaluated.

        Without alerts it stays at its last session.
        """
        samples = self._kept
        if not self.batch.is_empty:
            samples = samples.followed_by(self.samples[self.first :])
        begin = max(len(samples) - SESSIONS_KEPT, 0)
        for known in samples.known:
            if not known[begin:].any() and known[:begin].any():
                begin = int(np.flatnonzero(known[:begin])[-1])
        last = [samples.day(-1)] if len(samples) else []
        return max([self.batch.evaluated or dt.date.min, *last]), samples[begin:]

    def find_again(self) -> None:
        """Keep the figures as they were, so that the next run finds the revisions of this one again.

        Replaying them twice gives the same states and events.
        """
        if self.batch.figures is not None:
            self._kept = self.batch.figures

    def _turning(self, samples: SampleSeries) -> tuple[BoolArray, BoolArray]:
        """Per session and entry whether an armed side may be true, and whether one may re-arm."""
        entries = self.batch.entries
        met = np.ones((len(samples), len(entries)), dtype=bool)
        back = np.zeros_like(met)
        for index, (observed, threshold) in enumerate(zip(samples.observed, samples.thresholds, strict=True)):
            sign, rearm = entries["sign"][:, index], entries["rearm"][:, index]
            amount, band = entries["level"][:, index], entries["band"][:, index]
            for session in range(len(samples)):  # one at a time, as there may be many and as many alerts
                value, level = observed[session] * sign, threshold[session] * sign + amount
                met[session] &= value >= level
                back[session] |= value <= np.where(np.isnan(rearm), level - band, rearm)
        return met, back

    def _may_turn(self, begin: int, end: int | None = None) -> BoolArray:
        """Whether each entry may turn on one of the sessions, given its status."""
        part, status = slice(begin - self._begin, end and end - self._begin), self.batch.entries["status"]
        met, back = self._met[part].any(axis=0), self._back[part].any(axis=0)
        turns: BoolArray = ((status == _ARMED) & met) | ((status == _FIRED) & back) | (status == _OTHER)
        return turns

    def turning(self, today: dt.date, *, any_figures: bool) -> set[int]:
        """The alerts that the new sessions may change, that end, or that wait while there are any figures."""
        entries = self.batch.entries
        chosen = entries["until"] < today.toordinal()
        if self.first < len(self.samples):
            chosen |= self._may_turn(self.first)
        if any_figures:
            chosen |= entries["status"] == _WAITING
        return set(entries["alert"][chosen & (entries["status"] != _GONE)].tolist())

    def revised(self) -> set[int]:
        """The alerts that the revised sessions may change, or that turned on one of them."""
        if self.since is None:
            return set()
        entries = self.batch.entries
        chosen = self._may_turn(self._begin, self.first) | (entries["turned"] >= self.since.toordinal())
        return set(entries["alert"][chosen & (entries["status"] != _GONE)].tolist())

    def run(self, alert_id: int, rule: Rule, state: State, samples: SampleSeries) -> AlertRun:
        """Evaluate the samples past the state by `step` where it may turn: those of the batch, or others."""
        first = self.batch.first_entry(alert_id) if samples.days is self.samples.days else None
        position = samples.after(state.session)
        turned: list[State] = []
        events: list[tuple[Event, State]] = []
        while position < len(samples) and not state.done:
            if first is not None and position >= self._begin:
                position = self._next_turn(first, state, position)
                if position == len(samples):
                    break
            before = carried(rule, state, samples, position)
            state, event = step(rule, before, samples[position])
            if state is not before and not is_carried(before, state):
                turned.append(state)
            if event:
                events.append((event, before))
            position += 1
        if len(samples) and not state.done:
            state = replace(state, session=max(state.session, samples.day(-1)))
        return AlertRun(state, tuple(turned), tuple(events))

    def _next_turn(self, first: int, state: State, position: int) -> int:
        """The first position from `position` on at which the alert may turn, or the number of samples."""
        if state.cooling or any(side.unreported or side.status not in _PLAIN for side in state.sides):
            return position
        last = len(self.samples)
        for entry, side in enumerate(state.sides, start=first):
            flags = self._back if side.status is Status.FIRED else self._met
            flags = flags[position - self._begin :, entry]
            if flags[at := int(flags.argmax())]:
                last = min(last, position + at)
        return last


def is_carried(before: State, after: State) -> bool:
    """Whether the state after later sessions differs in what `carried` sets only."""
    unchanged = after.sides == before.sides and after.cooling == before.cooling
    return unchanged and after.done == before.done and after.bands == before.bands


def carried(rule: Rule, state: State, samples: SampleSeries, position: int) -> State:
    """The state after the samples before `position`, on none of which it turns."""
    if position == 0 or samples.day(position - 1) <= state.session:
        return state
    values = list(state.last_values)
    unknown = set(range(len(values)))
    last = samples[position - 1]
    for at in range(position - 1, samples.after(state.session) - 1, -1):
        sample = last if at == position - 1 else samples[at]
        if len(values) == 1 or any(truth(ops, sample) is not None for ops in side_ops(rule)):
            for index in [index for index in unknown if sample.figures[index].both]:
                values[index] = sample.figures[index].value
                unknown.remove(index)
        if not unknown:
            break
    return replace(state, session=last.session, figures=last.figures, last_values=tuple(values))


def state_history(rule: Rule, rows: Sequence[State], figures: SampleSeries, mark: dt.date) -> list[State]:
    """The states after each kept session up to the mark, from those that were stored when they turned."""
    kept = range(max(len(figures) - SESSIONS_KEPT, 0), len(figures))
    positions = {figures.day(at): at for at in kept}
    turned = {row.session: row for row in rows}
    states: list[State] = []
    for day in sorted(day for day in {*positions, *turned} if day <= mark):
        if day in turned:
            states.append(turned[day])
        elif states:
            states.append(carried(rule, states[-1], figures, positions[day] + 1))
    revisable = min(positions, default=mark) if len(kept) < SESSIONS_KEPT else figures.day(1 - SESSIONS_KEPT)
    before = [at for at, state in enumerate(states) if state.session < revisable]
    return states[before[-1] if before else 0 :]


def encoded(figures: SampleSeries) -> str:
    """Samples as the JSON that `decoded` reads."""
    return msgspec.json.encode(list(figures)).decode()


def decoded(text: str) -> list[Sample]:
    """The samples of `encoded`."""
    return msgspec.json.decode(text, type=list[Sample])


def any_figures(samples: SampleSeries) -> bool:
    """Whether any condition has a figure on any session."""
    return bool(reduce(operator.or_, samples.known, np.zeros(len(samples), dtype=bool)).any())
