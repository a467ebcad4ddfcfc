"""Evaluating stored alerts: every completed session since the last run, in order, and revised sessions.

`Alerts` holds what tells which alerts a session can change. `Evaluator` evaluates these on one Market,
without storage and texts. The functions after it read them.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

import msgspec
import pandas as pd

from bot.alerts.backtest import has_answer
from bot.alerts.batch import (
    SESSIONS_KEPT,
    Batch,
    Progress,
    any_figures,
    carried,
    decoded,
    encoded,
    is_carried,
    state_history,
)
from bot.alerts.engine import ALREADY, Event, Ops, State, default_band, settle
from bot.alerts.revision import Revision, replay
from bot.alerts.rule import Rule
from bot.alerts.series import PATIENCE, subject_of_rule
from bot.alerts.view import AlertView, Life
from bot.errors import BotError
from bot.services.alert_views import DAMAGED
from storage import alert_store

if TYPE_CHECKING:
    import sqlite_utils

    from bot.alerts.series import SampleSeries, Subject
    from bot.alerts.view import EvaluationContext
    from storage.alert_store import EvaluatedAlert, StoredAlert, StoredSubject


_log = logging.getLogger(__name__)
WITHDRAWN, RESTATED = "withdrawn", "restated"
EventKey = tuple[dt.date, str, Ops]
InForce: TypeAlias = "Sequence[EventInForce] | None"  # None: a stored event cannot be read


@dataclass(frozen=True)
class AlertSnapshot:
    """A stored alert as it was read, with the states at which it turned as text, oldest first."""

    alert: StoredAlert
    states: Sequence[str] = ()


@dataclass(frozen=True)
class EventInForce:
    """An event with its id in storage."""

    event_id: int
    event: Event


@dataclass(frozen=True)
class AlertEvent:
    """An event to store, and to report unless it is muted.

    transition  the event's kind; "withdrawn": a stored event does not happen on the revised data;
                "restated": it does, with other values
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


@dataclass(frozen=True)
class EvaluationResult:
    """What evaluating one alert changes, or why it cannot be evaluated.

    state    after the last session
    turned   the states to store
    since    the first revised session, whose stored states and those of later ones are replaced
    expired  the last session of its rule has been evaluated
    broken   why it cannot be evaluated
    """

    snapshot: AlertSnapshot
    alert: AlertView | None = None
    samples: SampleSeries | None = None
    state: State | None = None
    turned: tuple[State, ...] = ()
    events: tuple[AlertEvent, ...] = ()
    since: dt.date | None = None
    expired: bool = False
    broken: str = ""

    @property
    def stored(self) -> StoredAlert:
        """The alert as it was read."""
        return self.snapshot.alert

    @property
    def changes(self) -> bool:
        """Whether there is anything to store."""
        return bool(self.turned or self.events or self.since or self.expired or self.broken)

    @property
    def new_fires(self) -> list[Event]:
        """Fires that were not stored before."""
        others = {WITHDRAWN, RESTATED, ALREADY}
        return [change.event for change in self.events if change.transition not in others]

    @property
    def done(self) -> bool:
        """Whether a rule with `once` has fired."""
        return self.state is not None and self.state.done

    def alert_after(self) -> AlertView:
        """The alert after this evaluation."""
        if self.alert is None or self.state is None:
            raise LookupError("an alert that could not be read has no view")
        life = self.alert.life
        if self.done or life is Life.DONE:
            life = Life.DONE if self.done else Life.ACTIVE
        return replace(self.alert, life=life, state=self.state)


class Alerts:
    """The active alerts of active chats in memory: a batch for each subject.

    batch_of  the batch of each alert
    own       the last evaluated sessions of alerts that were not evaluated with their batch
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

    def move_on(self, evaluator: Evaluator) -> None:
        """Note what an evaluation has stored."""
        for progress in evaluator.progress.values():
            progress.batch.evaluated, figures = progress.after
            progress.batch.figures = figures or None
        for subject in evaluator.unused:
            del self.batches[subject]
        for alert_id in evaluator.level:
            self.own.pop(alert_id, None)
        for alert_id, mark in evaluator.marks.items():
            if alert_id in self.own:
                self.own[alert_id] = mark

    def put(self, row: EvaluatedAlert) -> str | None:
        """Read an alert again. Returns its last evaluated session if it leaves its batch just now."""
        try:
            rule, state = Rule.from_json(row.rule_json), State.from_json(row.state or "")
            subject = subject_of_rule(rule)
            batch = self.batches.get(subject)
            last = dt.date.fromisoformat(row.evaluated) if row.evaluated else batch and batch.evaluated
            mark = max(state.session, last or state.session)
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

    progress  of each subject that can be evaluated
    chosen    alerts to evaluate
    revised   those of them whose evaluated sessions may have to be replayed
    level     alerts that are evaluated with their batch from now on
    marks     the last evaluated sessions of those that are not yet
    """

    def __init__(self, context: EvaluationContext, alerts: Alerts) -> None:
        self._context = context
        self._alerts = alerts
        self.progress: dict[Subject, Progress] = {}
        self.chosen = set(alerts.damaged)
        self.revised: set[int] = set()
        self.level: list[int] = []
        self.marks: dict[int, dt.date] = {}

    def choose(self) -> None:
        """Find the alerts that new or revised sessions can change."""
        alerts = self._alerts
        today = self._context.market.last_completed.date()
        for subject, batch in alerts.batches.items():
            try:
                progress = self._progress(batch)
                self.chosen |= progress.turning(today, any_figures=batch.waits and self._has_figures(batch))
            except Exception:  # noqa: BLE001 - evaluating its alerts says so
                self.chosen |= batch.alert_ids
                continue
            self.progress[subject] = progress
            self.revised |= progress.revised()
        for alert_id, mark in alerts.own.items():
            own_progress = self.progress.get(alerts.batch_of[alert_id].subject)
            if own_progress is not None and own_progress.batch.evaluated == mark:
                self.level.append(alert_id)
            else:
                self.chosen.add(alert_id)
                self.revised.add(alert_id)
            if own_progress is not None and own_progress.since is not None:
                self.revised.add(alert_id)
        self.chosen |= self.revised

    def _progress(self, batch: Batch) -> Progress:
        if batch.evaluated is None:  # its first alerts
            batch.evaluated = max(self._alerts.own[alert_id] for alert_id in batch.alert_ids)
        sessions = self._context.market.sessions
        current = self._context.histories.samples(batch.rule, batch.begin, sessions)
        return batch.progress(current, partial(self._bands, batch))

    def _has_figures(self, batch: Batch) -> bool:
        sessions = self._context.market.sessions
        return any_figures(self._context.histories.samples(batch.rule, sessions=sessions))

    def _bands(self, batch: Batch) -> list[float]:
        samples = self._context.histories.samples(batch.rule, sessions=self._context.market.sessions)
        return [default_band(samples.distances(index)) for index in range(len(batch.rule.conditions))]

    @property
    def revised_since(self) -> dt.date | None:
        """The first kept session of what may be revised, None where nothing is."""
        batches = [progress.batch for progress in self.progress.values() if progress.since is not None]
        batches += [self._alerts.batch_of[alert_id] for alert_id in self.revised]
        return min((batch.begin for batch in batches), default=None)

    def reads_revised(self, alert: StoredAlert) -> bool:
        """Whether the figures of an alert, also one that has ended, are revised."""
        try:
            progress = self.progress.get(subject_of_rule(Rule.from_json(alert.rule_json)))
        except ValueError:
            return False
        return progress is not None and progress.since is not None

    def evaluated_sessions(self, stay: set[int]) -> list[tuple[str | None, int]]:
        """The last evaluated session of alerts with their ids, None if it is that of their batch now.

        Those that `stay` as they are are left out.
        """
        rows: list[tuple[str | None, int]] = [(None, alert_id) for alert_id in self.level]
        rows += [(mark.isoformat(), alert_id) for alert_id, mark in self.marks.items()]
        return [row for row in rows if row[1] not in stay]

    def left_behind(self, alert_ids: set[int]) -> list[tuple[str, int]]:
        """The last evaluated session of alerts that do not move on with their batches."""
        batch_of = self._alerts.batch_of
        for alert_id in alert_ids & batch_of.keys():
            if (progress := self.progress.get(batch_of[alert_id].subject)) is not None:
                progress.find_again()
        marks = ((self._alerts.mark(alert_id), alert_id) for alert_id in alert_ids)
        return [(mark.isoformat(), alert_id) for mark, alert_id in marks if mark is not None]

    def new_subjects(self) -> list[tuple[str, str, str]]:
        """The subjects that have moved on or are revised: name, last evaluated session and figures."""
        rows = []
        for progress in self.progress.values():
            last, figures = progress.after
            if last != progress.batch.evaluated or progress.since or progress.batch.figures is None:
                rows.append((progress.batch.name, last.isoformat(), encoded(figures)))
        return rows

    def unused_subjects(self) -> list[str]:
        """The names of subjects to delete."""
        return [self._alerts.batches[subject].name for subject in self.unused]

    @property
    def unused(self) -> list[Subject]:
        """Subjects that no alert reads any more, and none has lately."""
        sessions = self._context.market.sessions
        old = sessions[sessions <= self._context.market.last_completed][-2 * SESSIONS_KEPT :][0].date()
        batches = self._alerts.batches.items()
        return [key for key, batch in batches if batch.is_empty and (batch.evaluated or old) <= old]

    def evaluate(
        self, snapshots: Sequence[AlertSnapshot], events: Mapping[int, InForce]
    ) -> list[EvaluationResult]:
        """Evaluate alerts and return the results of those that change; `events` are those in force.

        An alert that raises is reported as broken and does not stop the others.
        """
        results = (
            self._evaluate_safely(snapshot, events.get(snapshot.alert.alert_id, ())) for snapshot in snapshots
        )
        return [result for result in results if result.changes]

    def _evaluate_safely(
        self, snapshot: AlertSnapshot, events: Sequence[EventInForce] | None
    ) -> EvaluationResult:
        rows: list[State] = []
        try:
            rule = Rule.from_json(snapshot.alert.rule_json)
            rows = [State.from_json(text) for text in snapshot.states or ("",)]
            return self._evaluate(snapshot, rule, rows, events)
        except Exception as error:  # noqa: BLE001 - one broken rule must not stop the others
            _log.exception("alert %s cannot be evaluated", snapshot.alert.alert_id)
            if snapshot.alert.life != Life.ACTIVE:  # it is left as it is
                return EvaluationResult(snapshot)
            return EvaluationResult(snapshot, broken=broken_reason(error) if rows else DAMAGED)

    def _evaluate(
        self,
        snapshot: AlertSnapshot,
        rule: Rule,
        rows: Sequence[State],
        stored: Sequence[EventInForce] | None,
    ) -> EvaluationResult:
        alert_id, histories = snapshot.alert.alert_id, self._context.histories
        sessions = self._context.market.sessions
        subject = subject_of_rule(rule)
        progress = self.progress.get(subject)
        if progress is None:  # mostly because its figures cannot be read, which raises here
            alone = Batch(subject)
            progress = alone.progress(histories.samples(alone.rule, sessions=sessions), list)
        samples = progress.samples.with_amounts(rule)
        mark = self._alerts.mark(alert_id) or snapshot.alert.evaluated or rows[-1].session
        before = carried(rule, rows[-1], samples, samples.after(mark))
        alert = AlertView(snapshot.alert.number, rule, Life(snapshot.alert.life), before)
        result = EvaluationResult(snapshot, alert, samples, before)
        revised = progress.since is not None or alert_id in self.revised
        if revised and stored is not None and progress.batch.figures is not None:
            figures = progress.batch.figures.with_amounts(rule)
            result = self._replayed(result, state_history(rule, rows, figures, mark), stored)
        if alert.life is Life.ACTIVE or (alert.life is Life.DONE and result.since and not result.done):
            result = self._continued(result, progress, max(mark, rows[-1].session))
        return result

    def _continued(self, result: EvaluationResult, progress: Progress, mark: dt.date) -> EvaluationResult:
        """The result with the new sessions evaluated."""
        alert_id, alert, state, samples = result.stored.alert_id, result.alert, result.state, result.samples
        if alert is None or state is None or samples is None:
            raise LookupError("there is nothing to continue from")
        turned, events = list(result.turned), list(result.events)
        settled, already = self._settled(alert.rule, state)
        if settled is not state:
            turned.append(settled)
            events += [AlertEvent(ALREADY, already, state)] if already else []
        if not len(samples) or mark < samples.day(0):  # it is far behind the others
            samples = self._context.histories.samples(alert.rule, mark, self._context.market.sessions)
        run = progress.run(alert_id, alert.rule, settled, samples)
        events += [AlertEvent(event.kind, event, before) for event, before in run.events]
        mark = max(mark, run.state.session)
        if alert_id in self._alerts.own or alert.life is not Life.ACTIVE:
            self.marks[alert_id] = mark
        return replace(
            result,
            samples=samples,
            state=run.state,
            turned=(*turned, *run.turned),
            events=tuple(events),
            expired=self._has_expired(alert.rule, mark),
        )

    def _settled(self, rule: Rule, state: State) -> tuple[State, Event | None]:
        """The state of a rule that waits for figures, once there are some up to its mark."""
        if not state.waits:
            return state, None
        history = self._context.histories.samples(rule, sessions=self._context.market.sessions)
        history = history[: history.after(state.session)]
        return settle(rule, state, history) if has_answer(rule, history).any() else (state, None)

    def _replayed(
        self, result: EvaluationResult, states: Sequence[State], stored: Sequence[EventInForce]
    ) -> EvaluationResult:
        """The result with the kept sessions replayed on revised figures, unchanged where none was revised."""
        alert = result.alert
        if alert is None or not states:
            return result
        in_force = {known.event.key: known for known in stored}
        replayed = replay(alert.rule, states, result.samples or (), [known.event for known in stored])
        if replayed is None or not replayed.states:  # none: all are past the rule's last day
            return result
        *_, unrevised = (state for state in states if state.session < replayed.since)
        turned = [
            after
            for before, after in pairwise((unrevised, *replayed.states))
            if not is_carried(before, after)
        ]
        events: list[AlertEvent] = []
        for event in replayed.withdrawn:
            revision = Revision.between(states, replayed, event)
            events.append(AlertEvent(WITHDRAWN, event, None, in_force[event.key], revision, revised=True))
        events += [
            AlertEvent(RESTATED, event, None, in_force[event.key], revised=True)
            for event in replayed.kept
            if event.key in in_force and event.figures != in_force[event.key].event.figures
        ]
        events += [AlertEvent(event.kind, event, revised=True) for event in replayed.new]
        if alert.life is Life.PAUSED:
            events = [event for event in events if event.transition in {WITHDRAWN, RESTATED}]
        known_states = (*states, *replayed.states)
        events = [
            replace(change, before=_newest_before(known_states, change.event.session)) for change in events
        ]
        return replace(
            result,
            state=replayed.states[-1],
            turned=tuple(turned),
            events=tuple(events),
            since=replayed.since,
        )

    def _has_expired(self, rule: Rule, mark: dt.date) -> bool:
        """Whether the rule's last session was evaluated, or has been awaited for long enough."""
        market = self._context.market
        if rule.until is None or market.last_completed.date() <= rule.until:
            return False
        sessions = market.sessions
        last = sessions[sessions.searchsorted(pd.Timestamp(rule.until), side="right") - 1]
        return mark >= last.date() or market.sessions_behind(last) >= PATIENCE


def _newest_before(states: Iterable[State], session: dt.date) -> State | None:
    earlier = [state for state in states if state.session < session]
    return max(earlier, key=lambda state: state.session, default=None)


def broken_reason(error: Exception) -> str:
    """Why an alert cannot be evaluated, in words for its owner."""
    if isinstance(error, BotError):
        return str(error)
    return f"it cannot be evaluated ({type(error).__name__})"


def read_snapshots(db: sqlite_utils.Database, alert_ids: Sequence[int]) -> list[AlertSnapshot]:
    """The alerts with these ids and their states."""
    states = alert_store.stored_states(db, alert_ids)
    return [AlertSnapshot(alert, states[alert.alert_id]) for alert in alert_store.alerts_by_id(db, alert_ids)]


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
