"""Notifications about alert events: at once, in a list, or deferred. Queueing of messages in the outbox."""

import datetime as dt
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pandas as pd
import sqlite_utils
from msgspec import structs

from bot.alerts.batch import answers
from bot.alerts.engine import ALREADY, BACK, Event
from bot.alerts.rule import Rule
from bot.alerts.series import SampleSeries, parts_read, rule_lag, subject_of_rule
from bot.alerts.view import EvaluationContext, Life
from bot.analytics.market import Market
from bot.analytics.metrics import METRICS
from bot.jobs.evaluate import RESTATED, WITHDRAWN, AlertEvent, EvaluationResult, broken_reason
from bot.jobs.summaries import quiet_until
from bot.messages.alerts import notices
from bot.messages.alerts.notices import ASLEEP, QUIET, SNOOZE
from bot.messages.common import AS_NEW, Answer, payload_of
from bot.messages.html import Html
from bot.text import short_date
from storage import alert_store, chat_store, outbox
from storage.alert_store import EventDetail
from storage.chat_store import StoredChat
from storage.outbox import EventList, ListedEvent, MessageBody, NewMessage

_log = logging.getLogger(__name__)
QUARTER = dt.timedelta(days=notices.FIRES_SINCE_DAYS)

FireSessions = Mapping[int, Sequence[dt.date]]  # by alert
Place = tuple[int, int | None]  # a chat and its topic
_SESSION_AND_ID = itemgetter(1, 0)  # of a listed event


class Notification(NamedTuple):
    """An alert event with the detail to store, and its texts: a message of its own, or a line of a list.

    listed    whether it is reported in a list
    deferred  why it is not reported now: "snooze", "quiet" or "asleep"
    """

    alert_event: AlertEvent
    detail: EventDetail
    text: Answer | None = None
    line: Html | None = None
    listed: bool = False
    silent: bool = False
    deferred: str | None = None


# The result of evaluating an alert, with a notification for each of its events.
NotifiedResult = tuple[EvaluationResult, tuple[Notification, ...]]


@dataclass(frozen=True)
class DeliveryWindow:
    """When a chat may be sent something.

    quiet_until  the end of its quiet hours, if they last now
    asleep       whether it refused a message and is not to be tried again yet
    """

    zone: ZoneInfo
    quiet_until: dt.datetime | None = None
    asleep: bool = False

    @classmethod
    def of(cls, chat: StoredChat | None, default_zone: str, now: dt.datetime) -> "DeliveryWindow":
        """The window of a chat by its settings."""
        if chat is None:
            return cls(chat_store.zone_of(None, default_zone))
        zone = chat_store.zone_of(chat.timezone, default_zone)
        asleep = chat.next_try is not None and chat.next_try > now
        return cls(zone, quiet_until(now, chat.quiet_from, chat.quiet_to, zone), asleep)

    @property
    def is_open(self) -> bool:
        """Whether a notice may be sent."""
        return self.quiet_until is None and not self.asleep

    def deferral_reason(self, snoozed_until: dt.datetime | None, rule: Rule, now: dt.datetime) -> str | None:
        """SNOOZE for a snoozed alert, ASLEEP until a chat that refused a message is tried again, else None.

        QUIET during quiet hours, unless the rule is urgent.
        """
        if snoozed_until is not None and snoozed_until > now:
            return SNOOZE
        if self.asleep:
            return ASLEEP
        return QUIET if self.quiet_until is not None and not rule.urgent else None


class Notifier:
    """Makes the notifications of one Market. Reads and writes no storage."""

    def __init__(self, context: EvaluationContext) -> None:
        self._context = context
        self._sessions_since: dict[dt.date, int] = {}

    def notify(
        self,
        results: Sequence[EvaluationResult],
        earlier_fires: FireSessions,
        windows: Mapping[int, DeliveryWindow],
        now: dt.datetime,
    ) -> list[NotifiedResult]:
        """The results with their notifications; `earlier_fires` are the stored ones of the last quarter.

        A chat with several fires to report, one of them late, gets one list.
        """
        deferred = {
            result.stored.alert_id: windows[result.stored.chat_id].deferral_reason(
                result.stored.snoozed_until, result.alert.rule, now
            )
            for result in results
            if result.alert is not None
        }
        with_list = self._chats_with_list([result for result in results if not deferred.get(result.stored.alert_id)])
        notified: list[NotifiedResult] = []
        for result in results:
            try:
                context = self._in_zone(windows[result.stored.chat_id].zone)
                notifications = tuple(
                    self._notification(
                        result,
                        alert_event,
                        earlier_fires,
                        context,
                        deferred[result.stored.alert_id],
                        listed=result.stored.chat_id in with_list,
                    )
                    for alert_event in result.events
                )
                notified.append((result, notifications))
            except Exception as error:  # noqa: BLE001 - one broken rule must not stop the others
                _log.exception("no message can be made about alert %s", result.stored.alert_id)
                if result.stored.life == Life.ACTIVE:
                    notified.append((EvaluationResult(result.stored, broken=broken_reason(error)), ()))
        return notified

    def _in_zone(self, zone: ZoneInfo) -> EvaluationContext:
        return self._context.once(("zone", zone), lambda: replace(self._context, zone=zone))

    def _chats_with_list(self, results: Sequence[EvaluationResult]) -> set[int]:
        lateness: dict[int, list[bool]] = defaultdict(list)
        for result in results:
            if result.alert is not None:
                lateness[result.stored.chat_id] += [
                    self.sessions_late(result.alert.rule, event) > 0 for event in result.news if not event.muted
                ]
        return {chat_id for chat_id, late in lateness.items() if len(late) > 1 and any(late)}

    def sessions_late(self, rule: Rule, event: Event) -> int:
        """Sessions that passed since the one at which the event could first be known."""
        if event.session not in self._sessions_since:
            session = pd.Timestamp(event.session)
            self._sessions_since[event.session] = self._context.market.sessions_behind(session)
        return max(self._sessions_since[event.session] - rule_lag(rule, METRICS), 0)

    def _notification(
        self,
        result: EvaluationResult,
        alert_event: AlertEvent,
        earlier_fires: FireSessions,
        context: EvaluationContext,
        deferred: str | None,
        *,
        listed: bool,
    ) -> Notification:
        alert, event = result.alert, alert_event.event
        if alert is None:
            raise LookupError("an alert that could not be read has no events")
        rule = alert.rule
        detail = self._detail(result.stored.rule_json, rule, alert_event)
        if event.muted:
            return Notification(alert_event, detail)
        if alert_event.transition == WITHDRAWN:
            if alert_event.revision is None:
                raise LookupError("an event is withdrawn for a revision")
            notice = notices.correction_notice(alert, event, alert_event.revision, context, detail.source)
            return Notification(alert_event, detail, notice, silent=rule.silent, deferred=deferred)
        restated = alert_event.transition == RESTATED  # a message or a list with it may be waiting
        listed = listed and not deferred and not restated and event.kind != ALREADY
        text, line, late = None, None, self.sessions_late(rule, event)
        since = ""
        if result.samples is not None and (listed or restated or late):
            since = state_since(rule, event, result.samples)
        if listed or restated:
            line = notices.fire_line(alert.number, rule, event, since, detail.source)
        if restated or not (listed or deferred):
            sessions = [fire.session for fire in result.new_fires]
            sessions += earlier_fires.get(result.stored.alert_id, ())
            fires = sum(event.session - QUARTER <= session <= event.session for session in sessions)
            text = notices.fired_message(alert, event, context, fires, late, since=since)
        return Notification(alert_event, detail, text, line, listed, rule.silent, deferred)

    def _detail(self, rule_json: str, rule: Rule, alert_event: AlertEvent) -> EventDetail:
        """What /why replays: rule, state and inputs as they were evaluated, with the inputs' source."""
        market, event = self._context.market, alert_event.event
        key = "inputs", subject_of_rule(rule)
        source, observed_at = self._context.once(key, lambda: _inputs(rule, market))
        before, revision = alert_event.before, alert_event.revision
        return EventDetail(
            event=event.to_json(),
            rule=rule_json,
            source=source,
            observed_at=observed_at,
            before=before.to_json() if before is not None else None,
            revision=revision.to_json() if revision is not None else None,
        )


def _inputs(rule: Rule, market: Market) -> tuple[str, str]:
    """The labels of a rule's sources, and when the newest of its figures was observed."""
    sources = [market.source(part) for part in parts_read(rule, market.pair)]
    labels = dict.fromkeys(source.label for source in sources)
    return ", ".join(labels), max(source.observed_at for source in sources)


def state_since(rule: Rule, event: Event, samples: SampleSeries) -> str:
    """Whether the condition has held since the event, or the first session on which it did not."""
    later = samples[samples.after(event.session) :]
    true, answered = answers(rule, event.ops, later)
    if event.kind == BACK:
        return f"true again since {short_date(later.day(int(true.argmax())))}" if true.any() else "not true since"
    false = answered & ~true
    return f"no longer true since {short_date(later.day(int(false.argmax())))}" if false.any() else "still true"


@dataclass(frozen=True)
class OutboxWriter:
    """Queues messages in the outbox, in the open transaction.

    default_zone  the time zone of chats that have set none
    chats         those read so far
    """

    db: sqlite_utils.Database
    now: dt.datetime
    default_zone: str
    chats: dict[int, StoredChat | None] = field(default_factory=dict)

    def read_chats(self, chat_ids: Iterable[int]) -> None:
        """Read chats in one go."""
        self.chats.update((chat.chat_id, chat) for chat in chat_store.chats_by_id(self.db, set(chat_ids)))

    def chat(self, chat_id: int) -> StoredChat | None:
        """A chat, read once."""
        if chat_id not in self.chats:
            self.chats[chat_id] = chat_store.get_chat(self.db, chat_id)
        return self.chats[chat_id]

    def notice(self, place: Place, dedup: str, answer: Answer, about: str | None = None) -> None:
        """Queue a notice after the chat's quiet hours, unless it is inactive. The chat need not be stored."""
        chat = self.chat(place[0])
        if chat is None or chat.status != "inactive":
            window = DeliveryWindow.of(chat, self.default_zone, self.now)
            body = self.body(place, answer)
            notice = NewMessage(*place, "notice", dedup, body, about, window.quiet_until)
            outbox.enqueue(self.db, notice, self.now)
            if window.asleep:
                outbox.hold_notices(self.db, place[0])

    def event_list(
        self, place: Place, lines: Sequence[ListedEvent], why: str, *, sample: bool, silent: bool
    ) -> NewMessage:
        """One list of lines (event_id, session, html), newest first, that reports these events."""
        body = self.list_body(place, EventList(list(lines), why, sample), silent=silent)
        newest, oldest = max(lines, key=_SESSION_AND_ID), min(lines, key=_SESSION_AND_ID)
        return NewMessage(*place, "alert", f"digest:{newest[0]}", body, oldest[1])

    def report(self, event_ids: Sequence[int], message: NewMessage) -> int | None:
        """Queue the message that reports these events and return its id."""
        queued = outbox.enqueue(self.db, message, self.now)
        alert_store.assign_message(self.db, event_ids, queued)
        return queued

    def list_body(self, place: Place, events: EventList, *, silent: bool) -> MessageBody:
        """The content of a list with its lines, newest first, so that one can be removed while it waits."""
        events = structs.replace(events, lines=sorted(events.lines, key=_SESSION_AND_ID, reverse=True))
        html = [Html(line[2]) for line in events.lines]
        answer = notices.event_list(html, sample=events.sample, why=events.reason)
        return structs.replace(self.body(place, answer, silent=silent), events=events)

    def body(self, place: Place, answer: Answer, *, silent: bool = False) -> MessageBody:
        """The content of an answer's message, with numbers in the format of the chat."""
        chat = self.chat(place[0])
        return payload_of(answer, AS_NEW, silent=silent, numbers=chat.numbers if chat else None)
