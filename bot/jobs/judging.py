"""Evaluating alerts on one Market: new events, and events whose inputs were revised. No storage, no texts."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from bot.alerts.bars import PATIENCE
from bot.alerts.engine import judge
from bot.alerts.replay import Revision, replay
from bot.alerts.rule import Condition, Rule
from bot.alerts.state import Sample, State
from bot.alerts.view import AlertView, Life
from bot.errors import BotError
from bot.jobs.judged import (
    RESTATED,
    WITHDRAWN,
    AlertEvent,
    AlertSnapshot,
    EvaluationResult,
    StateHistory,
)
from bot.services.alerts import DAMAGED

if TYPE_CHECKING:
    from bot.alerts.bars import Watched
    from bot.alerts.view import EvaluationContext

_log = logging.getLogger(__name__)
# Sessions before the mark that are looked at again: those whose state is kept, and the one before them.
LOOKED_BACK = 12


class Evaluator:
    """Evaluates alerts on one Market; rules with the same conditions share their samples.

    `known_series` are those that an earlier Evaluator used: alerts on series that have only grown
    since then need no check for revisions.
    """

    def __init__(
        self, context: EvaluationContext, known_series: Mapping[Watched, pd.Series] | None = None
    ) -> None:
        self._context = context
        self._known_series = known_series or {}
        self._only_grown: dict[Watched, bool] = {}
        self._samples: dict[tuple[tuple[Condition, ...], dt.date], list[Sample]] = {}
        self.series: dict[Watched, pd.Series] = {}

    def possibly_revised(self, snapshots: Sequence[AlertSnapshot]) -> list[int]:
        """Ids of the alerts whose evaluated inputs may have been revised."""
        return [snapshot.alert.alert_id for snapshot in snapshots if self._may_have_been_revised(snapshot)]

    def _may_have_been_revised(self, snapshot: AlertSnapshot) -> bool:
        try:
            conditions = Rule.from_json(snapshot.alert.rule_json).conditions
            grown = [self._has_only_grown(condition) for condition in conditions]  # notes every series
            return not all(grown)
        except Exception:  # noqa: BLE001 - it is reported when the alert is evaluated
            return False

    def _has_only_grown(self, condition: Condition) -> bool:
        """Whether the values that were known before are unchanged."""
        watched = (condition.metric, condition.arguments)
        if watched not in self._only_grown:
            values = self.series[watched] = self._context.histories.series(condition).value
            self._only_grown[watched] = _continues(self._known_series.get(watched), values)
        return self._only_grown[watched]

    def evaluate(
        self, snapshots: Sequence[AlertSnapshot], histories: Mapping[int, StateHistory] | None = None
    ) -> list[EvaluationResult]:
        """Evaluate all alerts and return the results of those that change.

        An alert that raises is reported as broken and does not stop the others.
        """
        results = (
            self._evaluate_safely(snapshot, (histories or {}).get(snapshot.alert.alert_id))
            for snapshot in snapshots
        )
        return [result for result in results if result.states or result.broken or result.expired]

    def _evaluate_safely(self, snapshot: AlertSnapshot, history: StateHistory | None) -> EvaluationResult:
        try:
            alert = _view(snapshot)
        except Exception:  # noqa: BLE001 - one broken rule must not stop the others
            _log.exception("the stored rule of alert %s cannot be read", snapshot.alert.alert_id)
            return _broken(snapshot, DAMAGED)
        try:
            return self._evaluate(snapshot, alert, history)
        except Exception as error:  # noqa: BLE001 - as above
            _log.exception("alert %s cannot be judged", snapshot.alert.alert_id)
            return _broken(snapshot, error_text(error))

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
            run = judge(rule, state, [sample for sample in samples if sample.session > state.session])
            states += run.states
            events += tuple(AlertEvent(event.kind, event) for event in run.events)
            expired = self._has_expired(rule, states[-1] if states else state)
        return EvaluationResult(snapshot, alert, samples, states, events, expired=expired)

    def _recent_samples(self, rule: Rule, mark: dt.date) -> list[Sample]:
        """Samples from some sessions before the mark on."""
        key = (rule.conditions, mark)
        if key not in self._samples:
            sessions = self._context.market.sessions
            position = max(int(sessions.searchsorted(pd.Timestamp(mark))) - LOOKED_BACK, 0)
            after = min(sessions[position].date(), mark) if len(sessions) else mark
            self._samples[key] = self._context.histories.samples(rule, after, sessions)
        return self._samples[key]

    def _revisions(
        self, rule: Rule, samples: Sequence[Sample], history: StateHistory
    ) -> tuple[tuple[State, ...], tuple[AlertEvent, ...]]:
        """States and events of the kept sessions on revised data; empty where nothing was revised."""
        states = [State.from_json(text) for text in history.states]
        stored = {known.event.key: known for known in history.events}
        replayed = (
            replay(rule, states, samples, [known.event for known in history.events]) if states else None
        )
        if replayed is None:
            return (), ()
        return replayed.states, (
            *(
                AlertEvent(
                    WITHDRAWN,
                    event,
                    stored[event.key],
                    Revision.between(states, replayed, event),
                    revised=True,
                )
                for event in replayed.withdrawn
            ),
            *(
                AlertEvent(RESTATED, event, stored[event.key], revised=True)
                for event in replayed.kept
                if event.key in stored and event.legs != stored[event.key].event.legs
            ),
            *(AlertEvent(event.kind, event, revised=True) for event in replayed.new),
        )

    def _has_expired(self, rule: Rule, state: State) -> bool:
        """Whether the rule's last session was evaluated, or has been awaited for long enough."""
        market = self._context.market
        if rule.until is None or market.last_completed.date() <= rule.until:
            return False
        sessions = market.sessions
        last = sessions[sessions.searchsorted(pd.Timestamp(rule.until), side="right") - 1]
        return state.session >= last.date() or market.behind(last) >= PATIENCE


def _continues(before: pd.Series | None, now: pd.Series) -> bool:
    """Whether `now` begins with all values of `before`.

    False when `before` ends in a stretch without values long enough that it may have been evaluated as
    missing.
    """
    last = None if before is None else before.last_valid_index()
    if before is None or last is None or int((before.index > last).sum()) >= PATIENCE:
        return False
    return bool(now.loc[:last].equals(before.loc[:last]))


def _view(snapshot: AlertSnapshot) -> AlertView:
    if snapshot.state is None:
        raise LookupError("no state is stored")
    rule = Rule.from_json(snapshot.alert.rule_json)
    state = State.from_json(snapshot.state)
    return AlertView(snapshot.alert.number, rule, Life(snapshot.alert.life), state)


def _broken(snapshot: AlertSnapshot, why: str) -> EvaluationResult:
    """The result of an alert that cannot be evaluated; one that is not active is left as it is."""
    if snapshot.alert.life != Life.ACTIVE:
        return EvaluationResult(snapshot)
    return EvaluationResult(snapshot, broken=why)


def error_text(error: Exception) -> str:
    """Why an alert cannot be evaluated, in words for its owner."""
    if isinstance(error, BotError):
        return str(error)
    return f"it cannot be judged ({type(error).__name__})"
