"""Many sessions and many alerts evaluated at once, with the states and events of `step`.

`step` turns an armed side only where it is true, and a side that has fired only where a condition is at its
re-arm level or past it. Both are looked for in arrays: over sessions for one alert (`evaluate_series`), over
alerts for those that read the same figures (`Batch`). Between these sessions a state only moves on, as
`carried` says, so it is not stored.
"""

import datetime as dt
import operator
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, NamedTuple, TypeVar

import msgspec
import numpy as np
from msgspec.structs import replace

from bot.alerts.engine import COMPARE, FIRED, Event, Ops, Sample, Side, State, Status, side_ops, step, truth
from bot.alerts.rule import ABOVE, AMOUNT, Rule
from bot.alerts.series import BoolArray, FloatArray, SampleSeries, Subject, subject_rule

# Sessions whose figures are kept as evaluated: the 10 that can be revised, and the one before them.
SESSIONS_KEPT = 11
_REVISABLE = SESSIONS_KEPT - 1
# Share of the larger of value, threshold and band; storage takes figures this close for the same.
LEAST_REVISION = 1e-5
_CHUNK = 64  # samples, among which a fire usually re-arms
_GONE, _ARMED, _FIRED, _WAITING, _OTHER = range(5)  # of a side: _OTHER is evaluated on every session
_CODES = {Status.ARMED: _ARMED, Status.FIRED: _FIRED, Status.WAITING: _WAITING}
_SIGNS = {op: 1.0 if op in ABOVE else -1.0 for op in COMPARE}
_NEVER = np.iinfo(np.int64).max
_FAILS = {">": operator.le, "<": operator.ge, ">=": operator.lt, "<=": operator.gt}
A = TypeVar("A", bound="BoolArray")


class SeriesRun(NamedTuple):
    """The result of evaluating one alert.

    state   the last one
    before  the state before each event
    turned  the states that differ from those before them in more than `carried` sets
    """

    state: State
    events: tuple[Event, ...]
    before: tuple[State, ...]
    turned: tuple[State, ...]


def evaluate_series(
    rule: Rule, state: State, series: SampleSeries, bands: Sequence[FloatArray] = (), mark: dt.date = dt.date.min
) -> SeriesRun:
    """The last state and all events of `evaluate` over the same samples, in a small part of its time.

    `bands` are those that a fire on each session re-arms with, per condition; by default the state's own.
    Up to the mark, nothing turns.
    """
    events: list[Event] = []
    befores: list[State] = []
    turned: list[State] = []
    position = series.after(max(state.session, mark))
    end = series.after(rule.until) if rule.until else len(series)
    while not state.done:
        turn = _first_turn(rule, state, series, position, end)
        state = before = carried(rule, state, series, turn)
        if turn >= end:
            break
        state, event = step(rule, before, series[turn])
        if event:
            events.append(event)
            befores.append(before)
            if bands and event.kind == FIRED:
                state = replace(state, bands=tuple(float(band[turn]) for band in bands))
        if not is_carried(before, state):
            turned.append(state)
        position = turn + 1
    return SeriesRun(state, tuple(events), tuple(befores), tuple(turned))


def _first_turn(rule: Rule, state: State, series: SampleSeries, position: int, end: int) -> int:
    """The first position from `position` on that has to be evaluated, or that of the end."""
    if state.cooling:
        return position
    begin, count = position, _CHUNK
    while begin < end:
        part = slice(begin, min(begin + count, end))
        sides = zip(side_ops(rule), state.sides, strict=True)
        flags = reduce(operator.or_, [_may_turn(rule, state.bands, ops, side, series, part) for ops, side in sides])
        if flags[at := int(flags.argmax())]:
            return begin + at
        begin, count = begin + count, 4 * count
    return max(position, end)


def _may_turn(rule: Rule, bands: Sequence[float], ops: Ops, side: Side, series: SampleSeries, part: slice) -> BoolArray:
    """Per session of a part whether `step` has to see one side there."""
    if side.unreported or side.reminder or side.status not in (Status.ARMED, Status.FIRED):
        return np.ones(part.stop - part.start, dtype=bool)
    flags: list[BoolArray] = []
    for op, band, observed, thresholds in zip(ops, bands, series.observed, series.thresholds, strict=True):
        value, level = observed[part], thresholds[part]
        if side.status is Status.ARMED:
            flags.append(COMPARE[op](value, level))
        elif op in ABOVE:
            flags.append(value <= (level - band if rule.rearm is None else rule.rearm))
        else:
            flags.append(value >= (level + band if rule.rearm is None else rule.rearm))
    return _any_group(rule, flags) if side.status is Status.ARMED else _each_group(rule, flags)


def _any_group(rule: Rule, flags: Sequence[A]) -> A:
    """Where all conditions of any group are true, given an array for each condition."""
    return reduce(operator.or_, [reduce(operator.and_, group) for group in rule.grouped(flags)])


def _each_group(rule: Rule, flags: Sequence[A]) -> A:
    """Where any condition of each group is true."""
    return reduce(operator.and_, [reduce(operator.or_, group) for group in rule.grouped(flags)])


def is_carried(before: State, after: State) -> bool:
    """Whether the state after later sessions differs in what `carried` sets only."""
    unchanged = after.sides == before.sides and after.cooling == before.cooling
    return unchanged and after.done == before.done and after.bands == before.bands


def carried(rule: Rule, state: State, samples: SampleSeries, position: int) -> State:
    """The state after the samples before `position`, on none of which it turns."""
    if position == 0 or samples.day(position - 1) <= state.session:
        return state
    last = samples[position - 1]
    if all(figure.both for figure in last.figures):
        known = tuple(figure.value for figure in last.figures)
        return replace(state, session=last.session, figures=last.figures, last_values=known)
    values = list(state.last_values)
    unknown = set(range(len(values)))
    for at in range(position - 1, samples.after(state.session) - 1, -1):
        sample = last if at == position - 1 else samples[at]
        if len(values) == 1 or any(truth(rule, ops, sample) is not None for ops in side_ops(rule)):
            for index in [index for index in unknown if sample.figures[index].both]:
                values[index] = sample.figures[index].value
                unknown.remove(index)
        if not unknown:
            break
    return replace(state, session=last.session, figures=last.figures, last_values=tuple(values))


def answers(rule: Rule, ops: Ops, series: SampleSeries) -> tuple[BoolArray, BoolArray]:
    """Per session whether one side is true, and whether it is true or false."""
    columns = list(zip(ops, series.observed, series.thresholds, strict=True))  # NaN compares as false
    true: BoolArray = _any_group(rule, [COMPARE[op](value, level) for op, value, level in columns])
    false: BoolArray = _each_group(rule, [_FAILS[op](value, level) for op, value, level in columns])
    return true, true | false


def has_answer(rule: Rule, series: SampleSeries) -> BoolArray:
    """Per session whether any side of the rule is true or false there."""
    return reduce(operator.or_, [answers(rule, ops, series)[1] for ops in side_ops(rule)])


class Batch:
    """The active alerts of one subject, a row for each of them, with a place for both sides of `crosses`.

    rule       reads the subject; its amounts are 0
    evaluated  the last evaluated session, None before the first
    figures    as they were evaluated, up to that session: of the last SESSIONS_KEPT sessions, and back to the
               last figure of each condition
    """

    def __init__(self, subject: Subject, evaluated: dt.date | None = None, figures: Sequence[Sample] = ()) -> None:
        self.subject = subject
        self.rule = subject_rule(subject)
        self.evaluated = evaluated
        self.figures = SampleSeries.of(figures) if figures else None
        fields: list[Any] = [("alert", "i8"), ("turned", "i8"), ("until", "i8"), ("status", "i1", (2,))]
        fields += [(name, "f8", (2, len(subject))) for name in ("sign", "level", "rearm")]
        self.rows = np.zeros(0, dtype=fields)
        self._row_of: dict[int, int] = {}
        self._free: list[int] = []

    @property
    def name(self) -> str:
        """What the subject is called in storage."""
        return self.rule.to_json()

    @property
    def alert_ids(self) -> set[int]:
        """The alerts that are in it."""
        return set(self._row_of)

    @property
    def is_empty(self) -> bool:
        """Whether no alert is in it."""
        return not self._row_of

    @property
    def begin(self) -> dt.date:
        """The session before those that can be revised."""
        if self.figures is None or len(self.figures) < SESSIONS_KEPT:
            return dt.date.min
        return self.figures.day(-SESSIONS_KEPT)

    @property
    def waits(self) -> bool:
        """Whether an alert waits for its first figures."""
        return bool((self.rows["status"] == _WAITING).any())

    def put(self, alert_id: int, rule: Rule, state: State) -> None:
        """Add an alert, or change it. Raises an error for a state or comparison that is not valid."""
        sides: list[tuple[object, ...]] = []
        for ops, side in zip(side_ops(rule), state.sides, strict=True):
            columns = []
            for op, condition, band in zip(ops, rule.conditions, state.bands, strict=True):
                sign, target = _SIGNS[op], condition.target
                level = sign * target.value if target.kind == AMOUNT else 0.0
                columns.append((sign, level, level - band if rule.rearm is None else sign * rule.rearm))
            busy = state.cooling or side.unreported or side.reminder
            code = _OTHER if busy else _CODES.get(side.status, _OTHER)
            sides.append((code, *zip(*columns, strict=True)))
        if len(sides) == 1:
            sides.append((_GONE, *sides[0][1:]))
        row = self._row_of.get(alert_id)
        if row is None:
            if not self._free:
                size = len(self.rows)
                self.rows = np.concatenate([self.rows, np.zeros(size or 4, dtype=self.rows.dtype)])
                self._free = list(range(len(self.rows) - 1, size - 1, -1))
            row = self._row_of[alert_id] = self._free.pop()
        until = rule.until.toordinal() if rule.until else _NEVER
        self.rows[row] = (alert_id, state.session.toordinal(), until, *zip(*sides, strict=True))

    def remove(self, alert_id: int) -> None:
        """Remove an alert, if it is there."""
        if (row := self._row_of.pop(alert_id, None)) is not None:
            self.rows["status"][row] = _GONE
            self._free.append(row)

    def progress(self, current: SampleSeries, bands: Callable[[], Sequence[float]]) -> "Progress":
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


class Progress(NamedTuple):
    """A batch on the samples of today.

    samples  the kept ones with their revisions, then from position `first` on the new ones
    since    the first revised session, if any
    """

    batch: Batch
    samples: SampleSeries
    first: int
    since: dt.date | None

    @property
    def after(self) -> tuple[dt.date, SampleSeries]:
        """The last evaluated session and the figures of the batch, once these samples are evaluated.

        Without alerts it stays at its last session.
        """
        samples = self.samples[: self.first] if self.batch.is_empty else self.samples
        begin = max(len(samples) - SESSIONS_KEPT, 0)
        for known in samples.known:
            if not known[begin:].any() and known[:begin].any():
                begin = int(np.flatnonzero(known[:begin])[-1])
        last = [samples.day(-1)] if len(samples) else []
        return max([self.batch.evaluated or dt.date.min, *last]), samples[begin:]

    def turning(self, today: dt.date, *, any_figures: bool) -> set[int]:
        """The alerts that the new sessions may change, that end, or that wait while there are any figures."""
        chosen = self.batch.rows["until"] < today.toordinal()
        if self.first < len(self.samples):
            chosen |= self._may_turn(self.first, len(self.samples))
        if any_figures:
            chosen |= (self.batch.rows["status"] == _WAITING).any(axis=1)
        return self._alert_ids(chosen)

    def revised(self) -> set[int]:
        """The alerts that the revised sessions may change, or that turned on one of them."""
        if self.since is None:
            return set()
        chosen = self._may_turn(self.samples.after(self.since) - 1, self.first)
        return self._alert_ids(chosen | (self.batch.rows["turned"] >= self.since.toordinal()))

    def _may_turn(self, begin: int, end: int) -> BoolArray:
        """Whether each alert may turn on one of the sessions, given its status."""
        rows = self.batch.rows
        armed, fired = (rows["status"] == code for code in (_ARMED, _FIRED))
        turns: BoolArray = rows["status"] == _OTHER
        for at in range(begin, end):  # one at a time, as there may be many and as many alerts
            met, back = [], []
            figures = zip(self.samples.observed, self.samples.thresholds, strict=True)
            for index, (observed, thresholds) in enumerate(figures):
                sign, level, rearm = (rows[name][:, :, index] for name in ("sign", "level", "rearm"))
                value, target = sign * observed[at], sign * thresholds[at]
                met.append(value >= target + level)
                back.append(value <= target + rearm)
            turns |= (armed & _any_group(self.batch.rule, met)) | (fired & _each_group(self.batch.rule, back))
        return turns[:, 0] | turns[:, 1]

    def _alert_ids(self, chosen: BoolArray) -> set[int]:
        rows = self.batch.rows
        return set(rows["alert"][chosen & (rows["status"][:, 0] != _GONE)].tolist())


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


def encoded(figures: SampleSeries) -> str:
    """Samples as the JSON that `decoded` reads."""
    return msgspec.json.encode(list(figures)).decode()


def decoded(text: str) -> list[Sample]:
    """The samples of `encoded`."""
    return msgspec.json.decode(text, type=list[Sample])


def any_figures(samples: SampleSeries) -> bool:
    """Whether any condition has a figure on any session."""
    return bool(reduce(operator.or_, samples.known, np.zeros(len(samples), dtype=bool)).any())
