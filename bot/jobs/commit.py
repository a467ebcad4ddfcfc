"""The evaluation job: states, events and messages of all alerts are stored in one transaction."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from msgspec import structs

from bot.alerts.engine import ALREADY
from bot.alerts.view import Life
from bot.jobs.evaluate import RESTATED, WITHDRAWN, Evaluator, read_histories, read_snapshots
from bot.jobs.notices import ENDED, pause_split_alerts
from bot.jobs.notify import QUARTER, DeliveryWindow, Notifier, OutboxWriter, Place
from bot.messages.alerts import notices
from bot.services import context_of
from storage import alert_store, chat_store, outbox
from storage.outbox import NewMessage

if TYPE_CHECKING:
    import pandas as pd
    import sqlite_utils

    from bot.alerts.engine import Event
    from bot.alerts.series import Watched
    from bot.analytics.market import Market
    from bot.jobs.evaluate import AlertSnapshot, EvaluationResult, EventInForce, StateHistory
    from bot.jobs.notify import FireCounts, Notification, NotifiedResult
    from bot.messages.common import Answer
    from bot.services import Services
    from storage.outbox import ListedEvent, OutboxMessage


_ALERTS_A_READ = 1_000  # whose stored states are read in one go: the database serves others in between
Marks = dict[int, str | None]  # the session evaluated last, by alert id


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
    and evaluated again by the next run. The job remembers the Market and the alerts of the last run.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._last: tuple[Market, Marks] | None = None
        self._series: Mapping[Watched, pd.Series] = {}  # of the last run

    async def run(self) -> list[Fire]:
        """Evaluate on the current Market and return the new fires; at once when nothing is new."""
        services, database = self._services, self._services.database
        market = await self._market()
        if market.end is None:
            return []
        if self._last == (market, await database.run(alert_store.last_evaluated_sessions)):
            return []
        # 1. Evaluate.
        snapshots = await database.run(partial(read_snapshots, market=market))
        context = await asyncio.to_thread(context_of, market, services.markets)
        evaluator = Evaluator(context, self._series)
        histories = await self._read_histories(evaluator, snapshots)
        results = await asyncio.to_thread(evaluator.evaluate, snapshots, histories)
        # 2. Make the messages.
        now, zone = services.clock(), services.config.time.timezone
        fires, windows = await database.run(
            partial(_read_fires_and_windows, results=results, default_zone=zone, now=now)
        )
        notified = await asyncio.to_thread(Notifier(context).notify, results, fires, windows, now)
        # 3. Store both.
        store = partial(
            store_results, notified=notified, default_zone=zone, sample=market.is_sample, now=services.clock()
        )
        new_fires, skipped = await database.run(store) if notified else ([], set[int]())
        self._last = market, _marks_after(snapshots, notified, skipped)
        self._series = evaluator.series
        return new_fires

    async def _market(self) -> Market:
        """The current Market, once alerts on levels that a split in it has changed are paused."""
        services = self._services
        while True:
            market = await services.markets.current()
            if self._last is not None and self._last[0] is market:
                return market
            pause = partial(pause_split_alerts, config=services.config, now=services.clock())
            if not await services.database.run(pause):
                return market

    async def _read_histories(
        self, evaluator: Evaluator, snapshots: Sequence[AlertSnapshot]
    ) -> dict[int, StateHistory]:
        """Histories of the alerts that may have been revised or that the last run did not evaluate."""
        marks = self._last[1] if self._last is not None else {}
        alert_ids = set(await asyncio.to_thread(evaluator.possibly_revised, snapshots))
        for snapshot in snapshots:
            if marks.get(snapshot.alert.alert_id) != snapshot.mark:
                alert_ids.add(snapshot.alert.alert_id)
        histories: dict[int, StateHistory] = {}
        remaining = iter(sorted(alert_ids))
        while batch := list(islice(remaining, _ALERTS_A_READ)):
            histories |= await self._services.database.run(partial(read_histories, alert_ids=batch))
        return histories


def _marks_after(
    snapshots: Sequence[AlertSnapshot], notified: Sequence[NotifiedResult], skipped: set[int]
) -> Marks:
    """The marks of the alerts that are still active, except those that are evaluated again."""
    marks = {
        snapshot.alert.alert_id: snapshot.mark for snapshot in snapshots if snapshot.alert.life == Life.ACTIVE
    }
    for result, _ in notified:
        if result.broken or result.expired or result.alert_after().life is not Life.ACTIVE:
            marks.pop(result.stored.alert_id, None)
        elif result.states:
            marks[result.stored.alert_id] = result.states[-1].session.isoformat()
    return {alert_id: mark for alert_id, mark in marks.items() if alert_id not in skipped}


def _read_fires_and_windows(
    db: sqlite_utils.Database, results: Sequence[EvaluationResult], default_zone: str, now: dt.datetime
) -> tuple[FireCounts, Mapping[int, DeliveryWindow]]:
    """How often an alert fired in the quarter before each of its events, and the chats' delivery windows."""
    fires = {
        (result.stored.alert_id, session): alert_store.fires_since(
            db, result.stored.alert_id, (session - QUARTER).isoformat(), until=session.isoformat()
        )
        for result in results
        for session in (change.event.session for change in result.events)
    }
    windows = {
        chat_id: DeliveryWindow.of(chat_store.get_chat(db, chat_id), default_zone, now)
        for chat_id in {result.stored.chat_id for result in results}
    }
    return fires, windows


def store_results(
    db: sqlite_utils.Database,
    notified: Sequence[NotifiedResult],
    *,
    default_zone: str,
    sample: bool,
    now: dt.datetime,
) -> tuple[list[Fire], set[int]]:
    """Store results with their messages, in one transaction.

    Returns the new fires, and the ids of the alerts that were changed meanwhile and are left as they are.
    """
    commit = _Commit(OutboxWriter(db, now, default_zone), sample)
    commit.store(notified)
    return commit.fires, commit.skipped


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
    fires: list[Fire] = field(default_factory=list)
    skipped: set[int] = field(default_factory=set)

    @property
    def db(self) -> sqlite_utils.Database:
        return self.writer.db

    def store(self, notified: Sequence[NotifiedResult]) -> None:
        lists: dict[Place, list[_StoredEvent]] = defaultdict(list)
        for result, notifications in notified:
            if not self._is_current(result):
                self.skipped.add(result.stored.alert_id)
                continue
            alert = result.stored
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

    def _is_current(self, result: EvaluationResult) -> bool:
        before = result.stored
        after = alert_store.get_alert(self.db, before.chat_id, before.number)
        return (
            after is not None
            and (after.life, after.rule_json, after.snoozed_until)
            == (before.life, before.rule_json, before.snoozed_until)
            and alert_store.current_state(self.db, before.alert_id) == result.snapshot.current
        )

    def _store_events(
        self, result: EvaluationResult, notifications: Sequence[Notification]
    ) -> list[_StoredEvent]:
        """Save the states to keep and the events of one alert. Returns the new events."""
        alert_id = result.stored.alert_id
        for state in result.states[-alert_store.STATES_KEPT :]:
            alert_store.save_state(self.db, alert_id, state.session.isoformat(), state.to_json())
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
        if result.done:
            alert_store.update_alert(self.db, stored.alert_id, life=Life.DONE, reason="fired once")
        elif stored.life == Life.DONE and result.states:
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
        about = result.states[-1].session.isoformat() if result.states else None
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
