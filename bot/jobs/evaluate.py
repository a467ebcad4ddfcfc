"""Evaluating stored alerts: every completed session since the last run, in order, and revised sessions.

`Evaluator` evaluates alerts on one Market, without storage and texts. The functions after it read the alerts.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec
import pandas as pd

from bot.alerts.backtest import has_answer
from bot.alerts.engine import ALREADY, Event, Sample, State, evaluate, settle
from bot.alerts.revision import Revision, replay
from bot.alerts.rule import Condition, Rule
from bot.alerts.series import PATIENCE
from bot.alerts.view import AlertView, Life
from bot.errors import BotError
from bot.services.alert_views import DAMAGED
from storage import alert_store

if TYPE_CHECKING:
    import sqlite_utils

    from bot.alerts.series import Watched
    from bot.alerts.view import EvaluationContext
    from bot.analytics.market import Market
    from storage.alert_store import StoredAlert, StoredState


_log = logging.getLogger(__name__)
WITHDRAWN, RESTATED = "withdrawn", "restated"
_LOOKED_BACK = 12  # sessions evaluated again: those whose state is kept, and the one before them


@dataclass(frozen=True)
class AlertSnapshot:
    """A stored alert as it was read, with its current state if it has one."""

    alert: StoredAlert
    current: StoredState | None

    @property
    def mark(self) -> str | None:
        """The session that was evaluated last."""
        return self.current.session.isoformat() if self.current is not None else None


@dataclass(frozen=True)
class EventInForce:
    """An event with its id in storage."""

    event_id: int
    event: Event


@dataclass(frozen=True)
class StateHistory:
    """The stored states of an alert's last sessions, as text, and the events of these that are in force."""

    states: Sequence[str] = ()
    events: Sequence[EventInForce] = ()


@dataclass(frozen=True)
class AlertEvent:
    """An event to store, and to report unless it is muted.

    transition  the event's kind; "withdrawn": a stored event does not happen on the revised data;
                "restated": it does, with other values
    stored      the stored event that is withdrawn or restated
    revision    why it is withdrawn
    revised     whether revised data led to it
    """

    transition: str
    event: Event
    stored: EventInForce | None = None
    revision: Revision | None = None
    revised: bool = False


@dataclass(frozen=True)
class EvaluationResult:
    """What evaluating one alert changes: its new states and events in order, or why it cannot be evaluated.

    expired  the last session of its rule has been evaluated
    broken   why it cannot be evaluated
    """

    snapshot: AlertSnapshot
    alert: AlertView | None = None
    samples: Sequence[Sample] = ()
    states: tuple[State, ...] = ()
    events: tuple[AlertEvent, ...] = ()
    expired: bool = False
    broken: str = ""

    @property
    def stored(self) -> StoredAlert:
        """The alert as it was read."""
        return self.snapshot.alert

    @property
    def new_fires(self) -> list[Event]:
        """Fires that were not stored before."""
        others = {WITHDRAWN, RESTATED, ALREADY}
        return [change.event for change in self.events if change.transition not in others]

    @property
    def done(self) -> bool:
        """Whether a rule with `once` has fired."""
        return bool(self.states) and self.states[-1].done

    def alert_after(self) -> AlertView:
        """The alert after this evaluation."""
        if self.alert is None:
            raise LookupError("an alert that could not be read has no view")
        if not self.states:
            return self.alert
        life = self.alert.life
        if self.done or life is Life.DONE:
            life = Life.DONE if self.done else Life.ACTIVE
        return replace(self.alert, life=life, state=self.states[-1])


class Evaluator:
    """Evaluates alerts on one Market; rules with the same conditions share their samples.

    `known_series` are those that an earlier Evaluator used: alerts on series that have only grown
    since then need no check for revisions.
    """

    def __init__(self, context: EvaluationContext, known_series: Mapping[Watched, pd.Series]) -> None:
        self._context = context
        self._known_series = known_series
        self._only_grown: dict[Watched, bool] = {}
        self._samples: dict[tuple[tuple[Condition, ...], dt.date], list[Sample]] = {}
        self.series: dict[Watched, pd.Series] = {}

    def possibly_revised(self, snapshots: Sequence[AlertSnapshot]) -> list[int]:
        """Ids of the alerts whose evaluated inputs may have been revised."""
        alert_ids = []
        for snapshot in snapshots:
            with suppress(Exception):  # it is reported when the alert is evaluated
                conditions = Rule.from_json(snapshot.alert.rule_json).conditions
                grown = [self._has_only_grown(condition) for condition in conditions]  # records every series
                if not all(grown):
                    alert_ids.append(snapshot.alert.alert_id)
        return alert_ids

    def _has_only_grown(self, condition: Condition) -> bool:
        """Whether the values that were known before are unchanged."""
        watched = (condition.metric, condition.arguments)
        if watched not in self._only_grown:
            values = self.series[watched] = self._context.histories.series(condition).value
            known = self._known_series.get(watched)
            self._only_grown[watched] = _continues(known, values, self._context.market)
        return self._only_grown[watched]

    def evaluate(
        self, snapshots: Sequence[AlertSnapshot], histories: Mapping[int, StateHistory]
    ) -> list[EvaluationResult]:
        """Evaluate all alerts and return the results of those that change.

        An alert that raises is reported as broken and does not stop the others.
        """
        results = (
            self._evaluate_safely(snapshot, histories.get(snapshot.alert.alert_id)) for snapshot in snapshots
        )
        return [result for result in results if result.states or result.broken or result.expired]

    def _evaluate_safely(self, snapshot: AlertSnapshot, history: StateHistory | None) -> EvaluationResult:
        alert = None
        try:
            alert = _view(snapshot)
            return self._evaluate(snapshot, alert, history)
        except Exception as error:  # noqa: BLE001 - one broken rule must not stop the others
            _log.exception("alert %s cannot be evaluated", snapshot.alert.alert_id)
            if snapshot.alert.life != Life.ACTIVE:  # it is left as it is
                return EvaluationResult(snapshot)
            return EvaluationResult(snapshot, broken=DAMAGED if alert is None else broken_reason(error))

    def _evaluate(
        self, snapshot: AlertSnapshot, alert: AlertView, history: StateHistory | None
    ) -> EvaluationResult:
        rule, state = alert.rule, alert.state
        samples = self._recent_samples(rule, state.session)
        states, events = self._revisions(rule, samples, history) if history is not None else ((), ())
        if states:
            state = states[-1]
        if alert.life is Life.PAUSED:
            events = tuple(event for event in events if event.transition in {WITHDRAWN, RESTATED})
        expired = False
        if alert.life is Life.ACTIVE or (alert.life is Life.DONE and states and not state.done):
            settled, already = self._settled(rule, state)
            if settled is not state:
                state, states = settled, (*states, settled)
                events += (AlertEvent(ALREADY, already),) if already else ()
            run = evaluate(rule, state, [sample for sample in samples if sample.session > state.session])
            states += run.states
            events += tuple(AlertEvent(event.kind, event) for event in run.events)
            expired = self._has_expired(rule, states[-1] if states else state)
        return EvaluationResult(snapshot, alert, samples, states, events, expired=expired)

    def _settled(self, rule: Rule, state: State) -> tuple[State, Event | None]:
        """The state of a rule that waits for figures, once there are some up to its mark."""
        if not state.waits:
            return state, None
        history = self._context.histories.samples(rule, sessions=self._context.market.sessions)
        history = history[: history.after(state.session)]
        return settle(rule, state, history) if has_answer(rule, history).any() else (state, None)

    def _recent_samples(self, rule: Rule, mark: dt.date) -> list[Sample]:
        key = (rule.conditions, mark)
        if key not in self._samples:
            sessions = self._context.market.sessions
            position = max(int(sessions.searchsorted(pd.Timestamp(mark))) - _LOOKED_BACK, 0)
            after = min(sessions[position].date(), mark) if len(sessions) else mark
            self._samples[key] = list(self._context.histories.samples(rule, after, sessions))
        return self._samples[key]

    def _revisions(
        self, rule: Rule, samples: Sequence[Sample], history: StateHistory
    ) -> tuple[tuple[State, ...], tuple[AlertEvent, ...]]:
        """States and events of the kept sessions on revised data; empty where nothing was revised."""
        if not history.states:
            return (), ()
        states = [State.from_json(text) for text in history.states]
        stored = {known.event.key: known for known in history.events}
        replayed = replay(rule, states, samples, [known.event for known in history.events])
        if replayed is None:
            return (), ()
        events: list[AlertEvent] = []
        for event in replayed.withdrawn:
            revision = Revision.between(states, replayed, event)
            events.append(AlertEvent(WITHDRAWN, event, stored[event.key], revision, revised=True))
        events += [
            AlertEvent(RESTATED, event, stored[event.key], revised=True)
            for event in replayed.kept
            if event.key in stored and event.figures != stored[event.key].event.figures
        ]
        events += [AlertEvent(event.kind, event, revised=True) for event in replayed.new]
        return replayed.states, tuple(events)

    def _has_expired(self, rule: Rule, state: State) -> bool:
        """Whether the rule's last session was evaluated, or has been awaited for long enough."""
        market = self._context.market
        if rule.until is None or market.last_completed.date() <= rule.until:
            return False
        sessions = market.sessions
        last = sessions[sessions.searchsorted(pd.Timestamp(rule.until), side="right") - 1]
        return state.session >= last.date() or market.sessions_behind(last) >= PATIENCE


def _continues(before: pd.Series | None, now: pd.Series, market: Market) -> bool:
    """Whether `now` begins with all values of `before`.

    False when `before` ends so many sessions ago that those after it may have been evaluated as missing.
    """
    last = None if before is None else before.last_valid_index()
    if before is None or last is None or market.sessions_behind(last) > PATIENCE:
        return False
    return bool(now.loc[:last].equals(before.loc[:last]))


def _view(snapshot: AlertSnapshot) -> AlertView:
    if snapshot.current is None:
        raise LookupError("no state is stored")
    rule = Rule.from_json(snapshot.alert.rule_json)
    state = State.from_json(snapshot.current.state)
    return AlertView(snapshot.alert.number, rule, Life(snapshot.alert.life), state)


def broken_reason(error: Exception) -> str:
    """Why an alert cannot be evaluated, in words for its owner."""
    if isinstance(error, BotError):
        return str(error)
    return f"it cannot be evaluated ({type(error).__name__})"


def read_snapshots(db: sqlite_utils.Database, market: Market) -> list[AlertSnapshot]:
    """All active alerts, and those that ended in sessions that may be evaluated again."""
    completed = market.sessions[market.sessions <= market.last_completed]
    since = f"{completed[-min(_LOOKED_BACK, len(completed))]:%Y-%m-%d}"
    alerts = (*alert_store.active_alerts(db), *alert_store.recently_ended(db, since))
    return [AlertSnapshot(alert, alert_store.current_state(db, alert.alert_id)) for alert in alerts]


def read_histories(db: sqlite_utils.Database, alert_ids: Sequence[int]) -> dict[int, StateHistory]:
    """The histories of alerts by their ids. One with a damaged event gets none, so nothing is revised."""
    histories = dict.fromkeys(alert_ids, StateHistory())
    for alert_id in alert_ids:
        try:
            events = _events_in_force(db, alert_id)
        except msgspec.DecodeError:
            _log.warning("the events of alert %s cannot be read; none is revised", alert_id, exc_info=True)
            continue
        histories[alert_id] = StateHistory(alert_store.stored_states(db, alert_id), events)
    return histories


def _events_in_force(db: sqlite_utils.Database, alert_id: int) -> list[EventInForce]:
    """The events of the sessions with a stored state that were not withdrawn, each as stored last."""
    in_force: dict[tuple[dt.date, str, tuple[str, ...]], EventInForce] = {}
    for row in alert_store.revisable_events(db, alert_id):
        event = Event.from_json(row.detail.event)
        if row.transition == WITHDRAWN:
            in_force.pop(event.key, None)
        else:
            in_force[event.key] = EventInForce(row.event_id, event)
    return list(in_force.values())
