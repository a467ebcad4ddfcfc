"""Evaluating stored alerts: every completed session since the last run, in order, and revised sessions."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from bot.alerts.state import Event
from bot.alerts.view import Life
from bot.jobs.judged import WITHDRAWN, AlertSnapshot, EvaluationResult, EventInForce, StateHistory
from bot.jobs.judging import LOOKED_BACK, Evaluator
from bot.services.base import context_of
from storage import alerts as stored
from storage import events

if TYPE_CHECKING:
    import pandas as pd
    import sqlite_utils

    from bot.alerts.bars import Watched
    from bot.alerts.view import EvaluationContext
    from bot.analytics.market import Market
    from bot.services.base import Services

Marks = dict[int, str | None]  # the session evaluated last, by alert id

# Alerts whose stored states are read in one piece: the database serves others in between.
_PIECE = 1_000


@dataclass(frozen=True)
class MarketEvaluation:
    """The results of one run on one Market: those of the alerts that change."""

    context: EvaluationContext
    snapshots: Sequence[AlertSnapshot]
    results: Sequence[EvaluationResult]
    series: Mapping[Watched, pd.Series]


class IncrementalEvaluator:
    """Evaluates all active alerts, and remembers the Market and the alerts of the last run."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._last: tuple[Market, Marks] | None = None
        self._series: Mapping[Watched, pd.Series] = {}  # of the last run

    def has_seen(self, market: Market) -> bool:
        """Whether this Market is that of the last run."""
        return self._last is not None and self._last[0] is market

    async def evaluate(self, market: Market) -> MarketEvaluation | None:
        """Evaluate on a Market; None when neither it nor any alert has changed since the last run."""
        services = self._services
        if market.end is None or self._last == (market, await services.database.run(stored.marks)):
            return None
        snapshots = await services.database.run(partial(_read_snapshots, since=_looked_back(market)))
        context = await asyncio.to_thread(context_of, market, services.markets)
        evaluator = Evaluator(context, self._series)
        histories = await self._read_histories(evaluator, snapshots)
        results = await asyncio.to_thread(evaluator.evaluate, snapshots, histories)
        return MarketEvaluation(context, snapshots, results, evaluator.series)

    def remember(
        self, evaluation: MarketEvaluation, stored_results: Sequence[EvaluationResult], skipped: set[int]
    ) -> None:
        """Note what a run stored; alerts that it skipped are evaluated again by the next run."""
        marks = _marks(evaluation.snapshots, stored_results)
        kept = {alert_id: mark for alert_id, mark in marks.items() if alert_id not in skipped}
        self._last = (evaluation.context.market, kept)
        self._series = evaluation.series

    async def _read_histories(
        self, evaluator: Evaluator, snapshots: Sequence[AlertSnapshot]
    ) -> dict[int, StateHistory]:
        """Histories of the alerts that may have been revised or that the last run did not evaluate."""
        marks = self._last[1] if self._last is not None else {}
        revised = set(await asyncio.to_thread(evaluator.possibly_revised, snapshots))
        changed = {
            snapshot.alert.alert_id
            for snapshot in snapshots
            if marks.get(snapshot.alert.alert_id) != snapshot.session
        }
        histories: dict[int, StateHistory] = {}
        alert_ids = iter(sorted(revised | changed))
        while piece := list(islice(alert_ids, _PIECE)):
            histories |= await self._services.database.run(partial(_read_piece, alert_ids=piece))
        return histories


def _looked_back(market: Market) -> str:
    """The first of the sessions that may be evaluated again."""
    completed = market.sessions[market.sessions <= market.last_completed]
    return f"{completed[-min(LOOKED_BACK, len(completed))]:%Y-%m-%d}"


def _read_snapshots(db: sqlite_utils.Database, since: str) -> list[AlertSnapshot]:
    """All active alerts, and those that ended lately, with their current states as text."""
    snapshots = []
    for alert in (*stored.active_alerts(db), *stored.ended_lately(db, since)):
        state = stored.current_state(db, alert.alert_id)
        if state is None:
            snapshots.append(AlertSnapshot(alert, None, None))
        else:
            snapshots.append(AlertSnapshot(alert, state.state, state.session.isoformat()))
    return snapshots


def _read_piece(db: sqlite_utils.Database, alert_ids: Sequence[int]) -> dict[int, StateHistory]:
    return {
        alert_id: StateHistory(stored.states(db, alert_id), _events_in_force(db, alert_id))
        for alert_id in alert_ids
    }


def _events_in_force(db: sqlite_utils.Database, alert_id: int) -> list[EventInForce]:
    """The events of the sessions with a stored state that were not withdrawn, each as stored last."""
    first = stored.first_session(db, alert_id)
    in_force: dict[tuple[dt.date, str, tuple[str, ...]], EventInForce] = {}
    for row in events.events_from(db, alert_id, first) if first is not None else ():
        event = Event.from_json(row.detail.event)
        if row.transition == WITHDRAWN:
            in_force.pop(event.key, None)
        else:
            in_force[event.key] = EventInForce(row.event_id, event)
    return list(in_force.values())


def _marks(snapshots: Sequence[AlertSnapshot], results: Sequence[EvaluationResult]) -> Marks:
    """The marks after a run, of alerts still active."""
    marks = {
        snapshot.alert.alert_id: snapshot.session
        for snapshot in snapshots
        if snapshot.alert.life == Life.ACTIVE
    }
    for result in results:
        if result.ends or result.alert_after().life is not Life.ACTIVE:
            marks.pop(result.alert_id, None)
        elif result.states:
            marks[result.alert_id] = result.states[-1].session.isoformat()
    return marks
