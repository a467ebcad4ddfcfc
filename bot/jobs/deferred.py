"""Deferred notifications: one message a chat at the end of a snooze, of quiet hours or of its sleep."""

import asyncio
import datetime as dt
import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

import msgspec
import sqlite_utils

from bot.alerts.engine import Event
from bot.alerts.revision import Revision
from bot.alerts.rule import Rule
from bot.alerts.view import AlertView, EvaluationContext
from bot.jobs.evaluate import WITHDRAWN
from bot.jobs.notify import QUARTER, DeliveryWindow, Notifier, OutboxWriter, Place, state_since
from bot.messages.alerts import notices
from bot.messages.alerts.notices import ASLEEP, QUIET, SNOOZE
from bot.messages.common import Answer
from bot.messages.html import Html
from bot.services import Services, context_of
from bot.services.alert_views import view_alerts
from storage import alert_store, chat_store, outbox
from storage.alert_store import DeferredEvent
from storage.outbox import NewMessage

_log = logging.getLogger(__name__)
_DEFERRED_WHILE = {
    SNOOZE: "while this alert was snoozed",
    QUIET: "during quiet hours",
    ASLEEP: "while this chat refused messages",
}


@dataclass(frozen=True)
class Deferred:
    """A deferred event.

    fires   how often its alert fired in the quarter up to it
    alert   its alert, if it can be read
    window  the delivery window of its chat
    """

    event: DeferredEvent
    rule: Rule | None  # None if it is damaged, which is no reason to wait
    fires: int
    alert: AlertView | None
    window: DeliveryWindow


class Batch(NamedTuple):
    """What is sent together: the events of a chat and topic, and their message or the lines of their list."""

    place: Place
    rows: Sequence[Deferred]
    message: Answer | list[Html]
    sample: bool
    notices: bool  # whether the chat's held notices are joined


async def send_deferred(services: Services) -> int:
    """Queue the deferred notifications that may be sent now. Returns the number of messages."""
    now, zone = services.clock(), services.config.time.timezone
    waiting, noticed = await services.database.run(partial(_read, default_zone=zone, now=now))
    if not waiting:
        return 0
    market = await services.markets.current()
    context = await asyncio.to_thread(context_of, market, services.markets)
    for place, rows in waiting.items():
        message: Answer | list[Html]
        try:
            message = await asyncio.to_thread(_message, context, rows)
        except Exception:  # noqa: BLE001 - one chat must not stop the others
            _log.exception("the deferred events of chat %s are listed without figures", place[0])
            message = [
                notices.plain_line(event.number, event.rule, event.session, event.transition)
                for event in (row.event for row in rows)
            ]
        batch = Batch(place, rows, message, sample=market.is_sample, notices=place[0] in noticed)
        await services.database.run(partial(_store, now=now, default_zone=zone, batch=batch))
    return len(waiting)


def _read(
    db: sqlite_utils.Database, default_zone: str, now: dt.datetime
) -> tuple[dict[Place, list[Deferred]], set[int]]:
    """The events that may be sent now by chat and topic, oldest first, and the chats whose notices may.

    What waited because a chat was asleep is sent together, in one of its topics: another one on another day,
    because a topic may be closed.
    """
    for chat in chat_store.refusing_chats(db):
        if DeliveryWindow.of(chat, default_zone, now).asleep:
            alert_store.defer_queued(db, chat.chat_id)  # queued before it was known that the chat sleeps
    deferred: dict[Place, list[Deferred]] = defaultdict(list)
    for event in alert_store.deferred_events(db):
        window = DeliveryWindow.of(chat_store.get_chat(db, event.chat_id), default_zone, now)
        rule = _rule(event)
        if window.asleep or (rule is not None and window.deferral_reason(event.snoozed_until, rule, now)):
            continue
        quarter = (event.session - QUARTER).isoformat()
        fires = alert_store.fires_since(db, event.alert_id, quarter, until=event.session.isoformat())
        alert = alert_store.get_alert(db, event.chat_id, event.number)
        views, _ = view_alerts(db, [alert] if alert else [], now)  # empty for one that cannot be read
        row = Deferred(event, rule, fires, views[0] if views else None, window)
        deferred[event.chat_id, event.thread_id].append(row)
    events = (row.event for rows in deferred.values() for row in rows)
    together, noticed = {event.chat_id for event in events if event.deferred == ASLEEP}, set[int]()
    for notice in outbox.held_notices(db):
        addressee = chat_store.get_chat(db, notice.chat_id)
        if DeliveryWindow.of(addressee, default_zone, now).is_open:
            noticed.add(notice.chat_id)
            deferred[notice.chat_id, notice.thread_id] += []
    for chat_id, group in groupby(sorted(deferred, key=itemgetter(0)), key=itemgetter(0)):
        if chat_id not in together | noticed:
            continue
        places = list(group)
        rows = [row for place in places for row in deferred.pop(place)]
        rows.sort(key=lambda row: (row.event.session, row.event.event_id))
        deferred[places[now.toordinal() % len(places)]] = rows
    return deferred, noticed


def _rule(event: DeferredEvent) -> Rule | None:
    try:
        return Rule.from_json(event.detail.rule)
    except msgspec.DecodeError:
        return None


def _message(context: EvaluationContext, rows: Sequence[Deferred]) -> Answer | list[Html]:
    """A message for one event, or lines of a list for several or none."""
    if len(rows) != 1:
        return [_line(row.event, context) for row in rows]
    (row,) = rows
    stored, detail = row.event, row.event.detail
    if row.alert is None:
        raise LookupError(f"alert {stored.alert_id} cannot be read any more")
    context = replace(context, zone=row.window.zone)
    rule, event = Rule.from_json(detail.rule), Event.from_json(detail.event)
    alert = replace(row.alert, rule=rule)  # the rule of the event, which may have been edited since
    if stored.transition == WITHDRAWN:
        revision = Revision.from_json(detail.revision or "")
        return notices.correction_notice(alert, event, revision, context, detail.source)
    late = Notifier(context).sessions_late(rule, event)
    sentence = f"Held back {_DEFERRED_WHILE[stored.deferred or '']}; {_state_since(rule, event, context)}."
    return notices.fired_message(alert, event, context, row.fires, late, deferred=sentence)


def _line(stored: DeferredEvent, context: EvaluationContext) -> Html:
    detail, number = stored.detail, stored.number
    event, rule = Event.from_json(detail.event), Rule.from_json(detail.rule)
    if stored.transition == WITHDRAWN:
        revision = Revision.from_json(detail.revision or "")
        return notices.correction_line(number, rule, event, revision, detail.source)
    return notices.fire_line(number, rule, event, _state_since(rule, event, context), detail.source)


def _state_since(rule: Rule, event: Event, context: EvaluationContext) -> str:
    return state_since(rule, event, context.histories.samples(rule, event.session, context.market.sessions))


def _store(db: sqlite_utils.Database, now: dt.datetime, default_zone: str, batch: Batch) -> None:
    """Queue the message and mark its events as sent, except those that are no longer deferred."""
    place, rows, message, sample, with_notices = batch
    writer, events = OutboxWriter(db, now, default_zone), [row.event for row in rows]
    waiting = [alert_store.deferral_and_message(db, event.event_id)[0] is not None for event in events]
    silent = all(row.rule is not None and row.rule.silent for row in rows)
    queued = None
    if isinstance(message, list):
        lines = [
            (event.event_id, event.session.isoformat(), str(line))
            for event, line, waits in zip(events, message, waiting, strict=True)
            if waits
        ]
        if lines:
            reasons = {event.deferred for event in events}
            why = SNOOZE if reasons == {SNOOZE} else QUIET
            if ASLEEP in reasons:
                why = ASLEEP
            listed = writer.event_list(place, lines, why, sample=sample, silent=silent)
            queued = writer.report([line[0] for line in lines], listed)
    elif all(waiting):
        (event,) = events
        body, about = writer.body(place, message, silent=silent), event.session.isoformat()
        deferred = NewMessage(*place, "alert", f"deferred:{event.event_id}", body, about)
        queued = writer.report([event.event_id], deferred)
    if with_notices:
        outbox.join_held(db, place, queued, now)
