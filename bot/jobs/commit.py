"""The evaluation job: states, events and messages of all alerts are stored in one transaction."""

import asyncio
import datetime as dt
import gc
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import NamedTuple

import sqlite_utils
from msgspec import structs

from bot.alerts.engine import ALREADY, BACK, FIRED, Event
from bot.alerts.rule import Rule
from bot.alerts.view import Life
from bot.analytics.market import Market
from bot.jobs import evaluate, notify
from bot.jobs.notices import ENDED, pause_split_alerts
from bot.jobs.pictures import want_alert_charts
from bot.messages.alerts import notices
from bot.messages.common import Answer
from bot.services import Services, context_of
from storage import alert_store, chat_store, outbox
from storage.alert_store import EvaluatedAlert
from storage.outbox import ListedEvent, NewMessage, OutboxMessage

_ALERTS_A_READ = 1_000  # in one go: the database serves others in between


class Fire(NamedTuple):
    """An event that was stored by a run."""

    chat_id: int
    number: int
    rule: Rule
    event: Event
    event_id: int

    def __str__(self) -> str:
        kind = {FIRED: "fired", BACK: "back past its re-arm level"}.get(self.event.kind, "still true")
        if self.event.muted:
            kind += " (held back by its cooldown)"
        return f"alert #{self.number} in chat {self.chat_id}, {self.rule}: {kind} on {self.event.session}"


class Evaluation:
    """The job that evaluates all active alerts, and stores their new states, events and messages.

    Messages are made before the transaction, except about alerts that somebody changed meanwhile, which are
    evaluated again in it. The job keeps the alerts in memory, and reads those that change.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._last: Market | None = None  # of the last run
        self._alerts: evaluate.Alerts | None = None

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
            stored = await self._evaluate(market, alerts)
        await self._read_alerts()
        self._last = None if stored.changed else market
        return stored.fires

    async def _evaluate(self, market: Market, alerts: evaluate.Alerts) -> "StoredRun":
        """Evaluate on a Market, and store what that changes."""
        services, database = self._services, self._services.database
        # 1. Evaluate.
        context = await asyncio.to_thread(context_of, market, services.markets)
        evaluator = evaluate.Evaluator(context, alerts)
        await asyncio.to_thread(evaluator.choose)
        snapshots, events = await self._read_chosen(evaluator)
        results = await asyncio.to_thread(evaluator.evaluate, snapshots, events)
        # 2. Make the messages.
        now, zone = services.clock(), services.config.time.timezone
        fires, windows = await database.run(
            partial(_read_fires_and_windows, results=results, default_zone=zone, now=now)
        )
        notifier = notify.Notifier(context)
        notified = await asyncio.to_thread(notifier.notify, results, fires, windows, now)
        # 3. Store both.
        store = partial(
            store_results,
            evaluator=evaluator,
            notifier=notifier,
            notified=notified,
            default_zone=zone,
            sample=market.is_sample,
            now=services.clock(),
        )
        self._alerts = None  # they are read anew if this is broken off, perhaps after the commit
        stored = await database.run(store)
        messages = [(f"alert:{fire.event_id}", fire.rule, fire.event.session) for fire in stored.fires]
        want_alert_charts(services, context, messages)
        alerts.move_on(evaluator, stored.level, stored.kept)
        self._alerts = alerts
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

    async def _read_alerts(self) -> tuple[evaluate.Alerts, bool]:
        """The alerts in memory, and whether any was read: all of them once, then those that were changed."""
        run, alerts, changed = self._services.database.run, self._alerts, False
        if alerts is None:
            alerts = evaluate.Alerts(await run(alert_store.subjects))
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

    async def _read_chosen(
        self, evaluator: evaluate.Evaluator
    ) -> tuple[list[evaluate.AlertSnapshot], dict[int, evaluate.InForce]]:
        """The alerts to evaluate, and the events of those that may be revised."""
        run, chosen, since = self._services.database.run, evaluator.chosen, evaluator.revised_since
        snapshots: list[evaluate.AlertSnapshot] = []
        events: dict[int, evaluate.InForce] = {}
        ended = await run(partial(evaluate.recently_ended, since=since, evaluator=evaluator)) if since else []
        for batch in _batches({*chosen, *ended}):
            snapshots += await run(partial(evaluate.read_snapshots, alert_ids=batch))
        if since is not None:
            for batch in _batches({*evaluator.revised, *ended}):
                events |= await run(partial(evaluate.read_events, alert_ids=batch, since=since))
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


def _read_active(db: sqlite_utils.Database, alerts: evaluate.Alerts, after: int) -> int | None:
    """Put active alerts with ids above `after` into memory. Returns the last id, None after the last one."""
    rows = alert_store.all_evaluated(db, after, _ALERTS_A_READ)
    _put(db, alerts, rows)
    return rows[-1].alert_id if rows else None


def _read_changed(db: sqlite_utils.Database, alerts: evaluate.Alerts) -> bool:
    """Put changed alerts into memory. Returns whether there were any."""
    alert_ids, rows = alert_store.take_changed(db, _ALERTS_A_READ)
    for alert_id in set(alert_ids) - {row.alert_id for row in rows}:
        alerts.remove(alert_id)
    _put(db, alerts, rows)
    return bool(alert_ids)


def _put(db: sqlite_utils.Database, alerts: evaluate.Alerts, rows: Sequence[EvaluatedAlert]) -> None:
    """Put alerts into memory. Those that are evaluated no more keep the session up to which they were."""
    marks = [(alerts.put(row), row.alert_id) for row in rows]
    alert_store.set_evaluated(db, [(mark, alert_id) for mark, alert_id in marks if mark is not None])


def _read_fires_and_windows(
    db: sqlite_utils.Database, results: Sequence[evaluate.EvaluationResult], default_zone: str, now: dt.datetime
) -> tuple[notify.FireSessions, Mapping[int, notify.DeliveryWindow]]:
    """The fires of alerts in the quarter before their first event, and the chats' delivery windows."""
    with_events = [result for result in results if result.events]
    fires: notify.FireSessions = {}
    if with_events:
        first = min(change.event.session for result in with_events for change in result.events) - notify.QUARTER
        alert_ids = [result.stored.alert_id for result in with_events]
        fires = alert_store.fire_sessions(db, alert_ids, first.isoformat())
    chats = chat_store.chats_by_id(db, {result.stored.chat_id for result in results})
    return fires, {chat.chat_id: notify.DeliveryWindow.of(chat, default_zone, now) for chat in chats}


class StoredRun(NamedTuple):
    """What a run has stored.

    fires    the new ones
    changed  alerts that were changed meanwhile
    level    alerts that are level with their batch now
    kept     the results after which alerts need not be read again
    """

    fires: list[Fire]
    changed: set[int]
    level: set[int]
    kept: list[evaluate.EvaluationResult]


def store_results(
    db: sqlite_utils.Database,
    evaluator: evaluate.Evaluator,
    notifier: notify.Notifier,
    notified: Sequence[notify.NotifiedResult],
    *,
    default_zone: str,
    sample: bool,
    now: dt.datetime,
) -> StoredRun:
    """Store results with their messages, and up to which session alerts are evaluated, in one transaction."""
    changed, since = alert_store.changed_ids(db), evaluator.revised_since
    again = sorted(changed.intersection(result.stored.alert_id for result, _ in notified))
    results: list[evaluate.EvaluationResult] = []
    if again:  # as they are now; one that reads other figures or is damaged is left to the next run
        snapshots = [row for row in evaluate.read_snapshots(db, again) if evaluator.progress_of(row[0])]
        results = evaluator.evaluate(snapshots, evaluate.read_events(db, again, since) if since else {})
        fires, windows = _read_fires_and_windows(db, results, default_zone, now)
        anew = notifier.notify(results, fires, windows, now)
        notified = [row for row in notified if row[0].stored.alert_id not in changed]
        notified += [row for row in anew if not row[0].broken]
    commit = _Commit(notify.OutboxWriter(db, now, default_zone), sample)
    commit.store(notified)
    broken = {result.stored.alert_id for result, _ in notified if result.broken}
    level = evaluator.level() - changed - broken | {result.stored.alert_id for result in results}
    kept = [row[0] for row in notified if row[0].goes_on and row[0].stored.alert_id not in changed]
    alert_store.set_evaluated(db, [(None, alert_id) for alert_id in level])
    alert_store.forget_changes(db, [result.stored.alert_id for result in kept])
    alert_store.save_subjects(db, evaluator.new_subjects())
    alert_store.drop_subjects(db, [batch.name for batch in evaluator.unused])
    return StoredRun(commit.fires, changed, level, kept)


class _StoredEvent(NamedTuple):
    """An event that is stored, and what is said about it."""

    event_id: int
    result: evaluate.EvaluationResult
    notification: notify.Notification

    @property
    def place(self) -> notify.Place:
        return _place(self.result)

    @property
    def change(self) -> evaluate.AlertEvent:
        return self.notification.alert_event

    @property
    def session(self) -> str:
        return self.change.event.session.isoformat()

    @property
    def line(self) -> ListedEvent:
        return self.event_id, self.session, str(self.notification.line)


class _Commit:
    """One transaction, and the fires that it has stored."""

    def __init__(self, writer: notify.OutboxWriter, sample: bool) -> None:
        self.writer, self.db, self.sample = writer, writer.db, sample
        self.fires: list[Fire] = []

    def store(self, notified: Sequence[notify.NotifiedResult]) -> None:
        results = [result for result, _ in notified]
        self.writer.read_chats(result.stored.chat_id for result in results)
        self._store_states(results)
        # 1. Events, with the messages that report them: a list for a place, or one of its own.
        some = [(result, notification) for result, group in notified for notification in group]
        first = alert_store.next_event_id(self.db)
        events = [_StoredEvent(event_id, *row) for event_id, row in enumerate(some, start=first)]
        reports: dict[object, list[_StoredEvent]] = defaultdict(list)
        for event in events:
            listed, text = event.notification.listed, event.notification.text
            if event.change.stored is None and (listed or text is not None):
                reports[event.place if listed else event.event_id].append(event)
        messages = dict(enumerate(reports.values(), start=outbox.next_id(self.db)))
        absent = self._store_events(events, messages)
        # 2. Their messages.
        stored = {key: [e for e in report if e.event_id not in absent] for key, report in messages.items()}
        queued = {key: self._message(report) for key, report in stored.items() if report}
        outbox.enqueue_all(self.db, queued, self.writer.now)
        # 3. What follows from an event, or from its end.
        for event in events:
            change, alert = event.change, event.result.stored
            if event.event_id in absent:
                continue
            if change.stored is not None:
                self._revise(change.stored, event)
            elif change.event.kind != ALREADY and event.result.alert is not None:
                rule = event.result.alert.rule
                self.fires.append(Fire(alert.chat_id, alert.number, rule, change.event, event.event_id))
        for result in results:
            self._set_life(result)

    def _store_states(self, results: Sequence[evaluate.EvaluationResult]) -> None:
        states: list[tuple[int, str, str]] = []
        for result in results:
            alert_id = result.stored.alert_id
            if result.since is not None:
                alert_store.drop_states(self.db, alert_id, result.since.isoformat())
            states += [(alert_id, state.session.isoformat(), state.to_json()) for state in result.turned]
        alert_store.save_states(self.db, states)
        oldest = [(result.stored.alert_id, result.oldest.isoformat()) for result in results if result.oldest]
        alert_store.prune_states(self.db, oldest)

    def _store_events(self, events: Sequence[_StoredEvent], messages: Mapping[int, Sequence[_StoredEvent]]) -> set[int]:
        """Store events with their messages. Returns the ids of those that were stored before."""
        message_of = {event.event_id: key for key, report in messages.items() for event in report}
        revised = {event.result.stored.alert_id for event in events if event.change.revised}
        revisions = {alert_id: alert_store.next_revision(self.db, alert_id) for alert_id in revised}
        rows = []
        for event in events:
            change, alert_id = event.change, event.result.stored.alert_id
            figures = change.event.figures if change.revision is None else change.revision.event
            row = alert_store.NewEvent(
                event.event_id,
                alert_id,
                event.session,
                change.transition,
                event.notification.detail,
                figures[0].value,
                figures[0].threshold,
                revisions[alert_id] if change.revised else 0,
                event.notification.deferred if change.stored is None else None,
                message_of.get(event.event_id),
            )
            rows.append(row)
        return alert_store.add_events(self.db, rows, self.writer.now)

    def _message(self, report: Sequence[_StoredEvent]) -> NewMessage:
        event, *_ = report
        if event.notification.listed:
            silent = all(event.notification.silent for event in report)
            lines = [event.line for event in report]
            return self.writer.event_list(event.place, lines, notices.AWAY, sample=self.sample, silent=silent)
        return self._own_message(event, "alert")

    def _own_message(self, event: _StoredEvent, kind: str, reply_to: int | None = None) -> NewMessage:
        if event.notification.text is None:
            raise LookupError("an event without a text has no message")
        body = self.writer.body(event.place, event.notification.text, silent=event.notification.silent)
        body = body if reply_to is None else structs.replace(body, reply_to=reply_to)
        return NewMessage(*event.place, "alert", f"{kind}:{event.event_id}", body, event.session)

    def _set_life(self, result: evaluate.EvaluationResult) -> None:
        """Done after its one fire, active again if that fire is withdrawn, expired after its last session.

        Paused if it cannot be evaluated.
        """
        stored, update = result.stored, partial(alert_store.update_alert, self.db, result.stored.alert_id)
        if result.broken:
            update(life=Life.PAUSED, reason=result.broken)
            answer = notices.paused_message(stored.number, stored.rule, result.broken)
            self._queue_notice(result, answer, "paused")
        elif result.done:
            update(life=Life.DONE, reason="fired once")
        elif stored.life == Life.DONE and result.since is not None:
            update(life=Life.ACTIVE, reason="", evaluated=None)
        if result.expired and result.alert is not None:
            update(life=Life.EXPIRED, reason=ENDED)
            ended = structs.replace(stored, expires_on=result.alert.rule.until)
            self._queue_notice(result, notices.ends_notice([ended], has_ended=True), "ended")

    def _revise(self, revised: evaluate.EventInForce, stored: _StoredEvent) -> None:
        """Withdraw or restate a stored event: what waits is changed, what was sent gets one correction.

        One that a cooldown mutes now is not sent any more.
        """
        deferred, message = alert_store.deferral_and_message(self.db, revised.event_id)
        if revised.event.muted and message is None:
            return
        queued = outbox.find_amendable(self.db, message) if message is not None else None
        if queued is not None and queued.body.joined:
            alert_store.defer_queued(self.db, stored.place[0])  # what was joined is separated
            deferred, queued = alert_store.deferral_and_message(self.db, revised.event_id)[0], None
        withdrawn = stored.change.transition == evaluate.WITHDRAWN
        is_gone = withdrawn or stored.change.event.muted
        if deferred is not None:
            alert_store.set_deferral(self.db, revised.event_id, None)
            alert_store.set_deferral(self.db, stored.event_id, None if is_gone else deferred)
        elif queued is not None:
            self._amend(queued, revised, stored, is_gone=is_gone)
        elif not withdrawn:
            alert_store.assign_message(self.db, [stored.event_id], message)
        elif message is None or not outbox.is_dead(self.db, message):
            if stored.notification.deferred is not None:
                alert_store.set_deferral(self.db, stored.event_id, stored.notification.deferred)
            else:
                reply_to = None if message is None else outbox.sent_message_id(self.db, message)
                self.writer.report([stored.event_id], self._own_message(stored, "correction", reply_to))

    def _queue_notice(self, result: evaluate.EvaluationResult, answer: Answer, event: str) -> None:
        """Queue a notice about one alert. It may be paused again later, so the key contains the instant."""
        dedup = f"{event}:{result.stored.alert_id}:{self.writer.now:%Y-%m-%dT%H:%M:%S}"
        about = result.alert.state.session.isoformat() if result.alert is not None else None
        self.writer.notice(_place(result), dedup, answer, about)

    def _amend(
        self, message: OutboxMessage, revised: evaluate.EventInForce, stored: _StoredEvent, *, is_gone: bool
    ) -> None:
        """Remove an event from a message that was not sent, or restate it there."""
        listed = message.body.events
        lines = [] if listed is None else [line for line in listed.lines if line[0] != revised.event_id]
        if not is_gone:
            lines.append(stored.line)
            alert_store.assign_message(self.db, [stored.event_id], message.id)
        if not lines:
            outbox.withdraw(self.db, message.id)
            return
        if listed is None:
            body = self._own_message(stored, "alert").body
        else:
            events = structs.replace(listed, lines=lines)
            body = self.writer.list_body(stored.place, events, silent=message.body.silent)
        outbox.amend(self.db, message.id, body)


def _place(result: evaluate.EvaluationResult) -> notify.Place:
    return result.stored.chat_id, result.stored.thread_id
