"""Evaluating stored alerts: every completed session since the last run, in order, and revised sessions.

`Alerts` holds what tells which alerts a session can change. `Evaluator` evaluates these on one Market,
without storage and texts. The functions after it read them.
"""

import datetime as dt
import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple, TypeAlias

import msgspec
import pandas as pd
import sqlite_utils

from bot.alerts.batch import (
    SESSIONS_KEPT,
    Batch,
    Progress,
    any_figures,
    carried,
    decoded,
    encoded,
    evaluate_series,
    has_answer,
)
from bot.alerts.engine import ALREADY, FIRED, REMINDER, STILL, Event, Ops, State, default_band, settle
from bot.alerts.revision import Replay, Revision, replay
from bot.alerts.rule import Rule
from bot.alerts.series import PATIENCE, SampleSeries, Subject, subject_of_rule
from bot.alerts.view import AlertView, EvaluationContext, Life
from bot.errors import BotError
from bot.services.alert_views import DAMAGED
from storage import alert_store
from storage.alert_store import EvaluatedAlert, StoredAlert, StoredSubject

_log = logging.getLogger(__name__)
WITHDRAWN, RESTATED = "withdrawn", "restated"
EventKey = tuple[dt.date, str, Ops]
InForce: TypeAlias = "Sequence[EventInForce] | None"  # None: a stored event cannot be read
# An alert as it was read, with the states at which it turned as text, oldest first.
AlertSnapshot: TypeAlias = "tuple[StoredAlert, Sequence[str]]"


class EventInForce(NamedTuple):
    """An event with its id in storage."""

    event_id: int
    event: Event


class AlertEvent(NamedTuple):
    """An event to store, and to report unless it is muted.

    transition  the event's kind; "withdrawn": a stored event does not happen on the revised data;
                "restated": it does, with other values or muted
    before      the state before it
    stored      the stored event that is withdrawn or restated
    revision    why it is withdrawn
    revised     whether revised data led to it
    """

    transition: str
    event: Event
    before: State | None = None
    stored: EventInForce | None = None
    revision: Revision | None = None
    revised: bool = False


class EvaluationResult(NamedTuple):
    """What evaluating one alert changes, or why it cannot be evaluated.

    stored   the alert as it was read
    alert    as it is after the last session
    turned   the states to store
    oldest   states before this session are needed no more
    since    the first revised session, whose stored states and those of later ones are replaced
    expired  the last session of its rule has been evaluated
    broken   why it cannot be evaluated
    """

    stored: StoredAlert
    alert: AlertView | None = None
    samples: SampleSeries | None = None
    turned: Sequence[State] = ()
    oldest: dt.date | None = None
    events: Sequence[AlertEvent] = ()
    since: dt.date | None = None
    expired: bool = False
    broken: str = ""

    @property
    def changes(self) -> bool:
        """Whether there is anything to store."""
        return bool(self.turned or self.events or self.since or self.expired or self.broken)

    @property
    def goes_on(self) -> bool:
        """Whether it stays as active as it was, on the figures that it was evaluated on."""
        return not (self.done or self.since or self.expired or self.broken)

    @property
    def news(self) -> list[Event]:
        """Events that were not stored before, without those of first figures."""
        return [c.event for c in self.events if c.stored is None and c.transition != ALREADY]

    @property
    def new_fires(self) -> list[Event]:
        """Fires that were not stored before."""
        return [event for event in self.news if event.kind in {FIRED, STILL}]

    @property
    def done(self) -> bool:
        """Whether a rule with `once` has fired."""
        return self.alert is not None and self.alert.state.done


class Alerts:
    """The active alerts of active chats in memory: a batch for each subject.

    batch_of  the batch of each alert
    own       the last evaluated sessions of alerts that were not evaluated with their batch, on whose figures
              they are evaluated later
    damaged   alerts that cannot be read; evaluating them says so
    """

    def __init__(self, subjects: Iterable[StoredSubject] = ()) -> None:
        self.batches: dict[Subject, Batch] = {}
        self.own: dict[int, dt.date] = {}
        self.damaged: set[int] = set()
        self.batch_of: dict[int, Batch] = {}
        for row in subjects:
            subject = subject_of_rule(Rule.from_json(row.subject))
            self.batches[subject] = Batch(subject, row.session, decoded(row.figures))

    def mark(self, alert_id: int) -> dt.date | None:
        """The last evaluated session of an alert."""
        batch = self.batch_of.get(alert_id)
        return self.own.get(alert_id, batch.evaluated if batch else None)

    def remove(self, alert_id: int) -> None:
        """Remove an alert, if it is there."""
        self.own.pop(alert_id, None)
        self.damaged.discard(alert_id)
        if (batch := self.batch_of.pop(alert_id, None)) is not None:
            batch.remove(alert_id)

    def move_on(self, evaluator: "Evaluator", level: Iterable[int], results: Iterable[EvaluationResult]) -> None:
        """Note what an evaluation has stored: alerts that are level with their batch now, and states."""
        for progress in evaluator.progress.values():
            progress.batch.evaluated, figures = progress.after
            progress.batch.figures = figures or None
        for batch in evaluator.unused:
            del self.batches[batch.subject]
        for alert_id in level:
            self.own.pop(alert_id, None)
        for result in results:
            if result.alert is not None and result.turned:
                alert_id = result.stored.alert_id
                self.batch_of[alert_id].put(alert_id, result.alert.rule, result.turned[-1])

    def put(self, row: EvaluatedAlert) -> str | None:
        """Read an alert again. Returns its last evaluated session if it leaves its batch just now."""
        try:
            rule, state = Rule.from_json(row.rule_json), State.from_json(row.state or "")
            subject = subject_of_rule(rule)
            batch = self.batches.get(subject)
            last = batch.evaluated if batch else None
            last = dt.date.fromisoformat(row.evaluated) if row.evaluated else last
            mark = state.session if state.done or last is None else max(state.session, last)
            if not row.active:
                self.remove(row.alert_id)
                return None if row.evaluated else mark.isoformat()
            if batch is None:
                batch = self.batches[subject] = Batch(subject)
            if self.batch_of.get(row.alert_id) is not batch:
                self.remove(row.alert_id)
            batch.put(row.alert_id, rule, state)
        except Exception:  # noqa: BLE001 - evaluating it says so
            self.remove(row.alert_id)
            if row.active:
                self.damaged.add(row.alert_id)
            return None
        self.batch_of[row.alert_id] = batch
        self.own.pop(row.alert_id, None)
        if row.evaluated or mark != batch.evaluated:
            self.own[row.alert_id] = mark
        return None


class Evaluator:
    """Evaluates alerts on one Market: `choose` those that can change, then `evaluate` them.

    chosen    the alerts that can change
    revised   those of them with revised figures
    progress  the batches on this Market
    """

    def __init__(self, context: EvaluationContext, alerts: Alerts) -> None:
        self._market = context.market
        self._samples = partial(context.histories.samples, sessions=context.market.sessions)
        self._alerts = alerts
        self.progress: dict[Subject, Progress] = {}
        self.chosen = set(alerts.damaged)
        self.revised: set[int] = set()

    def choose(self) -> None:
        """Find the alerts that new or revised sessions can change."""
        alerts = self._alerts
        today = self._market.last_completed.date()
        for subject, batch in alerts.batches.items():
            try:
                progress = self._progress(batch)
                has_figures = batch.waits and any_figures(self._samples(batch.rule))
                self.chosen |= progress.turning(today, any_figures=has_figures)
            except Exception:  # noqa: BLE001 - evaluating its alerts says so
                self.chosen |= batch.alert_ids
                continue
            self.progress[subject] = progress
            self.revised |= progress.revised()
        for alert_id, mark in alerts.own.items():
            own_progress = self.progress.get(alerts.batch_of[alert_id].subject)
            if own_progress is None or own_progress.since or own_progress.batch.evaluated != mark:
                self.revised.add(alert_id)
        self.chosen |= self.revised

    def _progress(self, batch: Batch) -> Progress:
        if batch.evaluated is None:  # its first alerts
            marks = [self._alerts.own[alert_id] for alert_id in batch.alert_ids]
            batch.evaluated = max(marks, default=dt.date.min)
        return batch.progress(self._samples(batch.rule, batch.begin), partial(self._bands, batch))

    def _bands(self, batch: Batch) -> list[float]:
        samples = self._samples(batch.rule)
        return [default_band(samples.distances(index)) for index in range(len(batch.rule.conditions))]

    @property
    def revised_since(self) -> dt.date | None:
        """The first kept session of what may be revised, None where nothing is."""
        batches = [progress.batch for progress in self.progress.values() if progress.since is not None]
        batches += [self._alerts.batch_of[alert_id] for alert_id in self.revised]
        return min((batch.begin for batch in batches), default=None)

    def reads_revised(self, alert: StoredAlert) -> bool:
        """Whether the figures of an alert, also one that has ended, are revised."""
        progress = self.progress_of(alert)
        return progress is not None and progress.since is not None

    def progress_of(self, alert: StoredAlert) -> Progress | None:
        """The batch that an alert would be in, if it can be read."""
        try:
            return self.progress.get(subject_of_rule(Rule.from_json(alert.rule_json)))
        except ValueError:
            return None

    def level(self) -> set[int]:
        """Alerts that are level with their batch once this evaluation is stored, and were not before."""
        batch_of = self._alerts.batch_of
        return {alert_id for alert_id in self._alerts.own if batch_of[alert_id].subject in self.progress}

    def new_subjects(self) -> list[tuple[str, str, str]]:
        """The subjects that have moved on or are revised: name, last evaluated session and figures."""
        rows = []
        for progress in self.progress.values():
            last, figures = progress.after
            if last != progress.batch.evaluated or progress.since or progress.batch.figures is None:
                rows.append((progress.batch.name, last.isoformat(), encoded(figures)))
        return rows

    @property
    def unused(self) -> list[Batch]:
        """The batches of subjects that no alert reads any more, and none has lately."""
        sessions = self._market.sessions
        old = sessions[sessions <= self._market.last_completed][-2 * SESSIONS_KEPT :][0].date()
        batches = self._alerts.batches.values()
        return [batch for batch in batches if batch.is_empty and (batch.evaluated or old) <= old]

    def evaluate(self, snapshots: Iterable[AlertSnapshot], events: Mapping[int, InForce]) -> list[EvaluationResult]:
        """Evaluate alerts and return the results of those that change; `events` are those in force.

        An alert that raises is reported as broken and does not stop the others.
        """
        results = (self._evaluate_safely(alert, states, events.get(alert.alert_id, ())) for alert, states in snapshots)
        return [result for result in results if result.changes]

    def _evaluate_safely(self, stored: StoredAlert, states: Sequence[str], events: InForce) -> EvaluationResult:
        rows: list[State] = []
        try:
            rule = Rule.from_json(stored.rule_json)
            rows = [State.from_json(text) for text in states or ("",)]
            return self._evaluate(stored, rule, rows, events)
        except Exception as error:  # noqa: BLE001 - one broken rule must not stop the others
            _log.exception("alert %s cannot be evaluated", stored.alert_id)
            if stored.life != Life.ACTIVE:  # it is left as it is
                return EvaluationResult(stored)
            return EvaluationResult(stored, broken=broken_reason(error) if rows else DAMAGED)

    def _evaluate(self, stored: StoredAlert, rule: Rule, rows: Sequence[State], in_force: InForce) -> EvaluationResult:
        progress = self.progress.get(subject := subject_of_rule(rule))
        if progress is None:  # mostly because its figures cannot be read, which raises here
            alone = Batch(subject)
            progress = alone.progress(self._samples(alone.rule), list)
        samples, figures = progress.samples.with_amounts(rule), progress.batch.figures
        mark = stored.evaluated or self._alerts.mark(stored.alert_id) or rows[-1].session
        state, life = rows[-1], Life(stored.life)
        turned: list[State] = []
        events: list[AlertEvent] = []
        since, expired = None, False
        # 1. Replay what is revised.
        is_revised = progress.since is not None or stored.alert_id in self.revised
        if is_revised and in_force is not None and figures is not None:
            evaluated = figures.with_amounts(rule)
            states = [*rows, carried(rule, rows[-1], evaluated, evaluated.after(mark))]
            replayed = replay(rule, states, evaluated, samples, [known.event for known in in_force])
            if replayed is not None:
                since, state = replayed.since, replayed.run.state
                turned += replayed.run.turned
                events += _revised_events(replayed, in_force, is_paused=life is Life.PAUSED)
        # 2. Evaluate what is new.
        if life is Life.ACTIVE or (life is Life.DONE and since and not state.done):
            if state.waits:
                before = carried(rule, state, samples, samples.after(mark))
                state, already = self._settled(rule, before)
                turned += [state] if state is not before else []
                events += [AlertEvent(ALREADY, already, before)] if already else []
            if not len(samples) or mark < samples.day(0):  # it is far behind the others
                samples = self._samples(rule, mark)
            run = evaluate_series(rule, state, samples, mark=mark)
            turned += run.turned
            events += map(AlertEvent, [event.kind for event in run.events], run.events, run.before)
            state, life = run.state, Life.DONE if run.state.done else Life.ACTIVE
            last = max(mark, samples.day(-1)) if len(samples) else mark
            expired = not state.done and self._has_expired(rule, last)
        # 3. Keep the states that tell those of the sessions that can be revised.
        kept = [row for row in rows if since is None or row.session < since]
        oldest = samples.day(-SESSIONS_KEPT) if len(samples) >= SESSIONS_KEPT else dt.date.min
        earlier = [row.session for row in (*kept, *turned) if row.session <= oldest]
        return EvaluationResult(
            stored,
            AlertView(stored.number, rule, life, state),
            samples,
            [row for row in turned if row.session >= earlier[-1]] if earlier else turned,
            earlier[-1] if kept and earlier and kept[0].session < earlier[-1] and turned else None,
            _without_idle_reminders(events, state, stored.acknowledged),
            since,
            expired,
        )

    def _settled(self, rule: Rule, state: State) -> tuple[State, Event | None]:
        """The state of a rule that waits for figures, once there are some up to its mark."""
        history = self._samples(rule)
        history = history[: history.after(state.session)]
        return settle(rule, state, history) if has_answer(rule, history).any() else (state, None)

    def _has_expired(self, rule: Rule, mark: dt.date) -> bool:
        """Whether the rule's last session was evaluated, or has been awaited for long enough."""
        market = self._market
        if rule.until is None or market.last_completed.date() <= rule.until:
            return False
        sessions = market.sessions
        last = sessions[sessions.searchsorted(pd.Timestamp(rule.until), side="right") - 1]
        return mark >= last.date() or market.sessions_behind(last) >= PATIENCE


def _without_idle_reminders(
    events: Sequence[AlertEvent], state: State, acknowledged: dt.date | None
) -> list[AlertEvent]:
    """The events, but of new reminders the last one only, and none of a fire that is over or acknowledged."""
    last = max((change.event.session for change in events if change.event.kind == REMINDER), default=None)
    fires = {side.since for side in state.sides if side.since and side.since > (acknowledged or dt.date.min)}
    return [
        change
        for change in events
        if change.stored is not None
        or change.event.kind != REMINDER
        or (change.event.session == last and change.event.since in fires)
    ]


def _revised_events(replayed: Replay, in_force: Sequence[EventInForce], *, is_paused: bool) -> Iterator[AlertEvent]:
    """What to store about events on revised figures. A paused alert fires no more."""
    stored = {known.event.key: known for known in in_force}
    for event, revision in zip(replayed.withdrawn, replayed.revisions, strict=True):
        yield AlertEvent(WITHDRAWN, event, None, stored[event.key], revision, revised=True)
    for event, before in zip(replayed.run.events, replayed.run.before, strict=True):
        if event in replayed.new:
            if not is_paused:
                yield AlertEvent(event.kind, event, before, revised=True)
        elif (event.figures, event.muted) != (stored[event.key].event.figures, stored[event.key].event.muted):
            yield AlertEvent(RESTATED, event, before, stored[event.key], revised=True)


def broken_reason(error: Exception) -> str:
    """Why an alert cannot be evaluated, in words for its owner."""
    if isinstance(error, BotError):
        return str(error)
    return f"it cannot be evaluated ({type(error).__name__})"


def read_snapshots(db: sqlite_utils.Database, alert_ids: Sequence[int]) -> list[AlertSnapshot]:
    """The alerts with these ids and their states."""
    states = alert_store.stored_states(db, alert_ids)
    return [(alert, states[alert.alert_id]) for alert in alert_store.alerts_by_id(db, alert_ids)]


def recently_ended(db: sqlite_utils.Database, since: dt.date, evaluator: Evaluator) -> list[int]:
    """Ids of alerts that ended, with an event since a session, and whose figures are revised."""
    ended = alert_store.recently_ended(db, since.isoformat())
    return [alert.alert_id for alert in ended if evaluator.reads_revised(alert)]


def read_events(db: sqlite_utils.Database, alert_ids: Sequence[int], since: dt.date) -> dict[int, InForce]:
    """The events of alerts since a session that were not withdrawn, each as stored last.

    None for an alert with a damaged event, of which nothing is revised.
    """
    in_force: dict[int, dict[EventKey, EventInForce]] = defaultdict(dict)
    try:
        for row in alert_store.events_since(db, alert_ids, since.isoformat()):
            event = Event.from_json(row.detail.event)
            if row.transition == WITHDRAWN:
                in_force[row.alert_id].pop(event.key, None)
            else:
                in_force[row.alert_id][event.key] = EventInForce(row.event_id, event)
    except msgspec.DecodeError:
        if len(alert_ids) > 1:
            apart = (read_events(db, [alert_id], since) for alert_id in alert_ids)
            return {alert_id: events for alert in apart for alert_id, events in alert.items()}
        _log.warning("the events of alert %s cannot be read; none is revised", alert_ids[0], exc_info=True)
        return {alert_ids[0]: None}
    return {alert_id: list(events.values()) for alert_id, events in in_force.items()}
