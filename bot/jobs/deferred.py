"""Deferred notifications: one message a chat at the end of a snooze or of quiet hours."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections import defaultdict
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from bot.alerts.engine import Event
from bot.alerts.revision import Revision
from bot.alerts.rule import Rule
from bot.jobs.evaluate import WITHDRAWN
from bot.jobs.notify import QUARTER, SNOOZE, DeliveryWindow, Notifier, Place, send, send_lines, state_since
from bot.messages.alerts import notices
from bot.messages.html import capital
from bot.services import context_of
from bot.services.alert_views import view_alerts
from storage import alert_store

if TYPE_CHECKING:
    import sqlite_utils

    from bot.alerts.view import AlertView, EvaluationContext
    from bot.messages.common import Answer
    from bot.messages.html import Html
    from bot.services import Services
    from storage.alert_store import DeferredEvent


_log = logging.getLogger(__name__)
_WHY = {"snooze": "while this alert was snoozed", "quiet": "during quiet hours"}
_TITLES = {"snooze": notices.SNOOZED, "quiet": notices.QUIET}


@dataclass(frozen=True)
class Deferred:
    """A deferred event, the number of fires in the quarter before it, and its alert if it can be read."""

    event: DeferredEvent
    fires: int
    alert: AlertView | None


class DeferredNotifications:
    """The job that queues deferred notifications once they may be sent."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def run(self) -> int:
        """Queue what may be sent now. Returns the number of messages."""
        services, now = self._services, self._services.clock()
        read = partial(_read, default_zone=services.config.time.timezone, now=now)
        waiting = await services.database.run(read)
        if not waiting:
            return 0
        market = await services.markets.current()
        context = await asyncio.to_thread(context_of, market, services.markets)
        for place, rows in waiting.items():
            try:
                message = await asyncio.to_thread(_message, context, rows, now, services.config.time.timezone)
            except Exception:  # noqa: BLE001 - one chat must not stop the others
                _log.exception("the deferred events of chat %s cannot be reported in full", place[0])
                message = _plainly(rows)
            store = partial(_store, place=place, rows=rows, message=message, sample=market.is_sample, now=now)
            await services.database.run(store)
        return len(waiting)


def _read(db: sqlite_utils.Database, default_zone: str, now: dt.datetime) -> dict[Place, list[Deferred]]:
    """The events that may be sent now by chat and topic, oldest first."""
    deferred: dict[Place, list[Deferred]] = defaultdict(list)
    for row in alert_store.deferred_events(db):
        rule = _rule(row)
        if (
            rule is not None
            and _window(row, default_zone, now).deferral_reason(row.snoozed_until, rule, now) is not None
        ):
            continue
        since = (row.session - QUARTER).isoformat()
        fires = alert_store.fires_since(db, row.alert_id, since, until=row.session.isoformat())
        alert = alert_store.get_alert(db, row.chat_id, row.number)
        views, _ = view_alerts(db, [alert] if alert else [], now)  # empty for one that cannot be read
        deferred[row.chat_id, row.thread_id].append(Deferred(row, fires, views[0] if views else None))
    return deferred


def _window(row: DeferredEvent, default_zone: str, now: dt.datetime) -> DeliveryWindow:
    return DeliveryWindow.of(row.timezone, default_zone, now, row.quiet_from, row.quiet_to)


def _rule(row: DeferredEvent) -> Rule | None:
    """The rule of an event; None if it is damaged, which is no longer a reason to wait."""
    try:
        return Rule.from_json(row.detail.rule)
    except msgspec.DecodeError:
        return None


def _message(
    context: EvaluationContext, rows: list[Deferred], now: dt.datetime, default_zone: str
) -> Answer | list[Html]:
    """A message for one event, or lines of a list for several."""
    if len(rows) > 1:
        return [_line(row.event, context) for row in rows]
    (deferred,) = rows
    row = deferred.event
    context = replace(context, zone=_window(row, default_zone, now).zone)
    alert, event = _alert_at_event(deferred), Event.from_json(row.detail.event)
    if row.transition == WITHDRAWN:
        revision = Revision.from_json(row.detail.revision or "")
        return notices.correction_notice(alert, event, revision, context, row.detail.source)
    late = Notifier(context).sessions_late(alert.rule, event)
    sentence = f"Held back {_WHY[row.deferred or '']}; {_state_since(row, event, context)}."
    return notices.fired_message(alert, event, context, deferred.fires, late, deferral=(capital(sentence),))


def _alert_at_event(deferred: Deferred) -> AlertView:
    """The alert as it stands, with the rule that the event came of."""
    if deferred.alert is None:
        raise LookupError(f"alert {deferred.event.alert_id} cannot be read any more")
    return replace(deferred.alert, rule=Rule.from_json(deferred.event.detail.rule))


def _line(row: DeferredEvent, context: EvaluationContext) -> Html:
    event, rule = Event.from_json(row.detail.event), Rule.from_json(row.detail.rule)
    if row.transition == WITHDRAWN:
        revision = Revision.from_json(row.detail.revision or "")
        return notices.correction_line(row.number, rule, event, revision, row.detail.source)
    since = _state_since(row, event, context)
    return notices.fire_line(row.number, rule, event, since, row.detail.source)


def _state_since(row: DeferredEvent, event: Event, context: EvaluationContext) -> str:
    rule = Rule.from_json(row.detail.rule)
    return state_since(event, context.histories.samples(rule, event.session, context.market.sessions))


def _plainly(rows: list[Deferred]) -> list[Html]:
    """Lines made from the stored rows alone, used when the messages cannot be made."""
    return [
        notices.plain_line(row.event.number, row.event.rule, row.event.session, row.event.transition)
        for row in rows
    ]


def _store(
    db: sqlite_utils.Database,
    place: Place,
    rows: list[Deferred],
    message: Answer | list[Html],
    *,
    sample: bool,
    now: dt.datetime,
) -> None:
    """Queue the message and mark its events as sent, except those that are no longer deferred."""
    pending = [row.event for row in rows]
    still = [alert_store.deferral_and_message(db, event.event_id)[0] is not None for event in pending]
    silent = all((rule := _rule(event)) is not None and rule.silent for event in pending)
    if not isinstance(message, list):
        if all(still):
            event_id = pending[0].event_id
            sent = send(
                db, place, f"deferred:{event_id}", message, now, silent=silent, about=pending[0].session
            )
            alert_store.assign_message(db, [event_id], sent)
        return
    lines = [
        (event.event_id, event.session.isoformat(), str(line))
        for event, line, waits in zip(pending, message, still, strict=True)
        if waits
    ]
    if lines:
        why = _TITLES["snooze" if all(event.deferred == SNOOZE for event in pending) else "quiet"]
        send_lines(db, place, lines, why, now, sample=sample, silent=silent)
