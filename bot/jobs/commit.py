"""The evaluation job: states, events and messages of all alerts are stored in one transaction."""

from __future__ import annotations

import asyncio
import datetime as dt
import gc
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from msgspec import structs

from bot.alerts.batch import SESSIONS_KEPT
from bot.alerts.engine import ALREADY
from bot.alerts.view import Life
from bot.jobs.evaluate import (
    RESTATED,
    WITHDRAWN,
    Alerts,
    Evaluator,
    read_events,
    read_snapshots,
    recently_ended,
)
from bot.jobs.notices import ENDED, pause_split_alerts
from bot.jobs.notify import QUARTER, DeliveryWindow, Notifier, OutboxWriter, Place
from bot.messages.alerts import notices
from bot.services import context_of
from storage import alert_store, chat_store, outbox
from storage.outbox import NewMessage

if TYPE_CHECKING:
    import sqlite_utils

    from bot.alerts.engine import Event
    from bot.analytics.market import Market
    from bot.jobs.evaluate import AlertSnapshot, EvaluationResult, EventInForce, InForce
    from bot.jobs.notify import FireSessions, Notification, NotifiedResult
    from bot.messages.common import Answer
    from bot.services import Services
    from storage.alert_store import EvaluatedAlert
    from storage.outbox import ListedEvent, OutboxMessage


_ALERTS_A_READ = 1_000  # in one go: the database serves others in between


@dataclass(frozen=True)
class Fire:
    """An event that was stored by a run."""

    chat_id: int
    number: int
    rule: str
    event: Event

    def __str__(self) -> str:
        kind = "fired" if self.event.kind == "fired" else "still true"
        if self.event.muted:
            kind += " (held back by its cooldown)"
        return f"alert #{self.number} in chat {self.chat_id}, {self.rule}: {kind} on {self.event.session}"


class Evaluation:
    """The job that evaluates all active alerts, and stores their new states, events and messages.

    Messages are made before the transaction. An alert that somebody changed meanwhile is left as it is,
    and evaluated again by the next run. The job keeps the alerts in memory, and reads those that change.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._last: Market | None = None  # of the last run
        self._alerts: Alerts | None = None

    async def run(self) -> list[Fire]:
        """Evaluate on the current Market and return the new fires; at once when nothing is new."""
        market = await self._market()
        if market.end is None:
            return []
        alerts, changed = await self._read_alerts()
        if self._last is market and not changed:
            return []
        self._last = None  # until this run is stored
        with _uncollected():
            fires, skipped = await self._evaluate(market, alerts)
        await self._read_alerts()
        self._last = None if skipped else market
        return fires

    async def _evaluate(self, market: Market, alerts: Alerts) -> tuple[list[Fire], set[int]]:
        """Evaluate on a Market. Returns the new fires, and the alerts that were changed meanwhile."""
        services, database = self._services, self._services.database
        # 1. Evaluate.
        context = await asyncio.to_thread(context_of, market, services.markets)
        evaluator = Evaluator(context, alerts)
        await asyncio.to_thread(evaluator.choose)
        snapshots, events = await self._read_chosen(evaluator)
        results = await asyncio.to_thread(evaluator.evaluate, snapshots, events)
        # 2. Make the messages.
        now, zone = services.clock(), services.config.time.timezone
        fires, windows = await database.run(
            partial(_read_fires_and_windows, results=results, default_zone=zone, now=now)
        )
        notified = await asyncio.to_thread(Notifier(context).notify, results, fires, windows, now)
        # 3. Store both.
        store = partial(
            store_results,
            evaluator=evaluator,
            notified=notified,
            default_zone=zone,
            sample=market.is_sample,
            now=services.clock(),
        )
        stored = await database.run(store)
        alerts.move_on(evaluator)
        return stored

    async def _market(self) -> Market:
        """The current Market, once alerts on levels that a split in it has changed are paused."""
        services = self._services
        while True:
            market = await services.markets.current()
            if self._last is market:
                return market
            pause = partial(pause_split_alerts, config=services.config, now=services.clock())
            if not await services.database.run(pause):
                return market

    async def _read_alerts(self) -> tuple[Alerts, bool]:
        """The alerts in memory, and whether any was read: all of them once, then those that were changed."""
        run, alerts, changed = self._services.database.run, self._alerts, False
        if alerts is None:
            alerts = Alerts(await run(alert_store.subjects))
            last: int | None = 0
            while last is not None:
                last = await run(partial(_read_active, alerts=alerts, after=last))
            self._alerts = alerts
            changed = True
            if not gc.get_freeze_count():  # they stay, so the collector need not look at them again
                gc.freeze()
        while await run(partial(_read_changed, alerts=alerts)):
            changed = True
        return alerts, changed

    async def _read_chosen(self, evaluator: Evaluator) -> tuple[list[AlertSnapshot], dict[int, InForce]]:
        """The alerts to evaluate, and the events of those that may be revised."""
        run, chosen, since = self._services.database.run, evaluator.chosen, evaluator.revised_since
        snapshots: list[AlertSnapshot] = []
        events: dict[int, InForce] = {}
        ended = await run(partial(recently_ended, since=since, evaluator=evaluator)) if since else []
        for batch in _batches({*chosen, *ended}):
            snapshots += await run(partial(read_snapshots, alert_ids=batch))
        if since is not None:
            for batch in _batches({*evaluator.revised, *ended}):
                events |= await run(partial(read_events, alert_ids=batch, since=since))
        return snapshots, events


@contextmanager
def _uncollected() -> Iterator[None]:
    """Look for no cycles meanwhile: what a run makes has none, and the search took a third of its time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _batches(alert_ids: set[int]) -> Iterator[list[int]]:
    remaining = iter(sorted(alert_ids))
    while batch := list(islice(remaining, _ALERTS_A_READ)):
        yield batch


def _read_active(db: sqlite_utils.Database, alerts: Alerts, after: int) -> int | None:
    """Put active alerts with ids above `after` into memory. Returns the last id, None after the last one."""
    rows = alert_store.all_evaluated(db, after, _ALERTS_A_READ)
    _put(db, alerts, rows)
    return rows[-1].alert_id if rows else None


def _read_changed(db: sqlite_utils.Database, alerts: Alerts) -> bool:
    """Put changed alerts into memory. Returns whether there were any."""
    alert_ids, rows = alert_store.take_changed(db, _ALERTS_A_READ)
    for alert_id in set(alert_ids) - {row.alert_id for row in rows}:
        alerts.remove(alert_id)
    _put(db, alerts, rows)
    return bool(alert_ids)


def _put(db: sqlite_utils.Database, alerts: Alerts, rows: Sequence[EvaluatedAlert]) -> None:
    """Put alerts into memory. Those that are evaluated no more keep the session up to which they were."""
    marks = [(alerts.put(row), row.alert_id) for row in rows]
    alert_store.set_evaluated(db, [(mark, alert_id) for mark, alert_id in marks if mark is not None])


def _read_fires_and_windows(
    db: sqlite_utils.Database, results: Sequence[EvaluationResult], default_zone: str, now: dt.datetime
) -> tuple[FireSessions, Mapping[int, DeliveryWindow]]:
    """The fires of alerts in the quarter before their first event, and the chats' delivery windows."""
    with_events = [result for result in results if result.events]
    fires: FireSessions = {}
    if with_events:
        first = min(change.event.session for result in with_events for change in result.events) - QUARTER
        alert_ids = [result.stored.alert_id for result in with_events]
        fires = alert_store.fire_sessions(db, alert_ids, first.isoformat())
    chats = chat_store.chats_by_id(db, {result.stored.chat_id for result in results})
    return fires, {chat.chat_id: DeliveryWindow.of(chat, default_zone, now) for chat in chats}


def store_results(
    db: sqlite_utils.Database,
    evaluator: Evaluator,
    notified: Sequence[NotifiedResult],
    *,
    default_zone: str,
    sample: bool,
    now: dt.datetime,
) -> tuple[list[Fire], set[int]]:
    """Store results with their messages, and up to which session alerts are evaluated, in one transaction.

    Returns the new fires, and the ids of the alerts that were changed meanwhile and are left as they are.
    """
    changed = alert_store.changed_ids(db)
    commit = _Commit(OutboxWriter(db, now, default_zone), sample, changed)
    commit.store(notified)
    stay = changed.union(result.stored.alert_id for result, _ in notified if result.broken)
    alert_store.set_evaluated(db, evaluator.evaluated_sessions(stay))
    alert_store.keep_evaluated(db, evaluator.left_behind(stay))
    alert_store.save_subjects(db, evaluator.new_subjects())
    alert_store.drop_subjects(db, evaluator.unused_subjects())
    return commit.fires, changed


class _StoredEvent(NamedTuple):
    """An event that has just been stored, and what is said about it where."""

    event_id: int
    notification: Notification
    place: Place

    @property
    def line(self) -> ListedEvent:
        session = self.notification.alert_event.event.session.isoformat()
        return self.event_id, session, str(self.notification.line)


@dataclass(frozen=True)
class _Commit:
    """One transaction, and what it has stored so far."""

    writer: OutboxWriter
    sample: bool
    changed: set[int]  # alerts that were changed meanwhile
    fires: list[Fire] = field(default_factory=list)
    states: list[tuple[int, str, str]] = field(default_factory=list)
    oldest: list[tuple[int, str]] = field(default_factory=list)  # states up to here are not needed

    @property
    def db(self) -> sqlite_utils.Database:
        return self.writer.db

    def store(self, notified: Sequence[NotifiedResult]) -> None:
        lists: dict[Place, list[_StoredEvent]] = defaultdict(list)
        for result, notifications in notified:
            alert = result.stored
            if alert.alert_id in self.changed:
                continue
            if result.broken:
                alert_store.update_alert(self.db, alert.alert_id, life=Life.PAUSED, reason=result.broken)
                answer = notices.paused_message(alert.number, alert.rule, result.broken)
                self._queue_notice(result, answer, "paused")
                continue
            for stored in self._store_events(result, notifications):
                change = stored.notification.alert_event
                if change.stored is not None:
                    self._revise(change.stored, stored)
                    continue
                if change.event.kind != ALREADY:
                    self.fires.append(Fire(alert.chat_id, alert.number, alert.rule, change.event))
                if stored.notification.listed:
                    lists[stored.place].append(stored)
                else:
                    self._queue_event(stored, "alert")
            self._set_life(result)
        for place, listed in lists.items():
            lines = [stored.line for stored in listed]
            silent = all(stored.notification.silent for stored in listed)
            self.writer.event_list(place, lines, notices.AWAY, sample=self.sample, silent=silent)
        alert_store.save_states(self.db, self.states)
        alert_store.prune_states(self.db, self.oldest)

    def _store_events(
        self, result: EvaluationResult, notifications: Sequence[Notification]
    ) -> list[_StoredEvent]:
        """Store the states and the events of one alert. Returns the new events."""
        alert_id = result.stored.alert_id
        if result.since is not None:
            alert_store.drop_states(self.db, alert_id, result.since.isoformat())
        self.states.extend((alert_id, state.session.isoformat(), state.to_json()) for state in result.turned)
        if result.turned and result.samples:
            oldest = result.samples.day(max(len(result.samples) - SESSIONS_KEPT, 0))
            self.oldest.append((alert_id, oldest.isoformat()))
        new, revision = [], 0
        if any(change.revised for change in result.events):
            revision = alert_store.next_revision(self.db, alert_id)
        for notification in notifications:
            change, event = notification.alert_event, notification.alert_event.event
            figures = change.revision.event[0] if change.revision is not None else event.figures[0]
            event_id = alert_store.add_event(
                self.db,
                alert_id=alert_id,
                session=event.session.isoformat(),
                transition=change.transition,
                now=self.writer.now,
                value=figures.value,
                threshold=figures.threshold,
                detail=notification.detail,
                revision=revision if change.revised else 0,
                deferred=notification.deferred if change.stored is None else None,
            )
            if event_id is not None:
                new.append(_StoredEvent(event_id, notification, _place(result)))
        return new

    def _set_life(self, result: EvaluationResult) -> None:
        """Done after its one fire, active again if that fire is withdrawn, expired after its last session."""
        stored = result.stored
        if result.done and result.state is not None:
            changes = {"life": Life.DONE, "reason": "fired once", "evaluated": result.state.session}
            alert_store.update_alert(self.db, stored.alert_id, **changes)
        elif stored.life == Life.DONE and result.since is not None:
            alert_store.update_alert(self.db, stored.alert_id, life=Life.ACTIVE, reason="")
        if result.expired and result.alert is not None:
            alert_store.update_alert(self.db, stored.alert_id, life=Life.EXPIRED, reason=ENDED)
            ended = structs.replace(stored, expires_on=result.alert.rule.until)
            self._queue_notice(result, notices.ended_notice([ended]), "ended")

    def _revise(self, revised: EventInForce, stored: _StoredEvent) -> None:
        """Withdraw or restate a stored event: what waits is changed, what was sent gets one correction."""
        if revised.event.muted:
            return
        deferred, message = alert_store.deferral_and_message(self.db, revised.event_id)
        event_id, notification, place = stored
        queued = outbox.find_amendable(self.db, message) if message is not None else None
        if queued is not None and queued.body.joined:
            alert_store.defer_queued(self.db, place[0])  # what was joined is separated
            deferred, queued = alert_store.deferral_and_message(self.db, revised.event_id)[0], None
        withdrawn = notification.alert_event.transition == WITHDRAWN
        if deferred is not None:
            alert_store.set_deferral(self.db, revised.event_id, None)
            alert_store.set_deferral(self.db, event_id, None if withdrawn else deferred)
        elif queued is not None:
            self._amend(queued, revised, stored)
        elif withdrawn and (message is None or not outbox.is_dead(self.db, message)):
            if notification.deferred is not None:
                alert_store.set_deferral(self.db, event_id, notification.deferred)
            else:
                reply_to = None if message is None else outbox.sent_message_id(self.db, message)
                self._queue_event(stored, "correction", reply_to)

    def _queue_event(self, stored: _StoredEvent, kind: str, reply_to: int | None = None) -> None:
        """Queue the message of one event, if it has one of its own."""
        event_id, notification, place = stored
        if notification.text is None:
            return
        body = self.writer.body(place, notification.text, silent=notification.silent)
        body = structs.replace(body, reply_to=reply_to)
        about = notification.alert_event.event.session.isoformat()
        self.writer.report([event_id], NewMessage(*place, "alert", f"{kind}:{event_id}", body, about))

    def _queue_notice(self, result: EvaluationResult, answer: Answer, event: str) -> None:
        """Queue a notice about one alert. It may be paused again later, so the key contains the instant."""
        dedup = f"{event}:{result.stored.alert_id}:{self.writer.now:%Y-%m-%dT%H:%M:%S}"
        about = result.state.session.isoformat() if result.state is not None and result.changes else None
        self.writer.notice(_place(result), dedup, answer, about)

    def _amend(self, message: OutboxMessage, revised: EventInForce, stored: _StoredEvent) -> None:
        """Remove an event from a message that was not sent, or restate it there."""
        place, notification = (message.chat_id, message.thread_id), stored.notification
        listed = message.body.events
        restated = notification.alert_event.transition == RESTATED
        if listed is None:
            if not restated:
                outbox.withdraw(self.db, message.id)
            elif notification.text is not None:
                body = self.writer.body(place, notification.text, silent=notification.silent)
                outbox.amend(self.db, message.id, body)
                alert_store.assign_message(self.db, [stored.event_id], message.id)
            return
        lines = [line for line in listed.lines if line[0] != revised.event_id]
        if restated:
            lines.append(stored.line)
            alert_store.assign_message(self.db, [stored.event_id], message.id)
        if lines:
            events = structs.replace(listed, lines=lines)
            body = self.writer.list_body(place, events, silent=message.body.silent)
            outbox.amend(self.db, message.id, body)
        else:
            outbox.withdraw(self.db, message.id)


def _place(result: EvaluationResult) -> Place:
    return result.stored.chat_id, result.stored.thread_id
