"""The notifier: messages about alert events, sent at once, in a list, or deferred. No storage here.

Queueing messages in the outbox: single ones, and lists with a line per event.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pandas as pd

from bot.alerts.engine import truth
from bot.alerts.series import rule_lag
from bot.analytics.metrics import METRICS
from bot.analytics.sessions import short_date
from bot.jobs.evaluate import RESTATED, WITHDRAWN, EvaluationResult, error_text
from bot.jobs.summaries import quiet_until
from bot.messages.alerts import notices
from bot.messages.common import REPLY, payload_of
from bot.messages.html import Html
from bot.services.alert_views import parts_read
from bot.services.chats import zone_of
from storage import alert_store, chat_store, outbox
from storage.alert_store import EventDetail

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    import sqlite_utils

    from bot.alerts.engine import Event, Sample
    from bot.alerts.rule import Rule
    from bot.alerts.view import AlertView, EvaluationContext
    from bot.jobs.evaluate import AlertEvent
    from bot.messages.common import Answer
    from storage.outbox import ListedEvent


_log = logging.getLogger(__name__)
QUARTER = dt.timedelta(days=notices.FIRES_SINCE_DAYS)
SNOOZE, QUIET = "snooze", "quiet"

FireCounts = Mapping[tuple[int, dt.date], int]


@dataclass(frozen=True)
class Notification:
    """An alert event with the detail to store, and its texts: a message of its own, or a line of a list.

    listed    whether it is reported in a list
    deferred  why it is not reported now: "snooze" or "quiet"
    """

    alert_event: AlertEvent
    detail: EventDetail
    text: Answer | None = None
    line: Html | None = None
    listed: bool = False
    silent: bool = False
    deferred: str | None = None


@dataclass(frozen=True)
class NotifiedResult:
    """The result of evaluating an alert, with a notification for each of its events."""

    result: EvaluationResult
    notifications: tuple[Notification, ...] = ()


@dataclass(frozen=True)
class DeliveryWindow:
    """When a chat may be sent something: its time zone, and when its quiet hours end if they last now."""

    zone: ZoneInfo
    quiet_until: dt.datetime | None = None

    @classmethod
    def of(
        cls,
        timezone: str | None,
        default_zone: str,
        now: dt.datetime,
        quiet_from: str | None = None,
        quiet_to: str | None = None,
    ) -> DeliveryWindow:
        """The window of a chat with these settings."""
        zone = zone_of(timezone, default_zone)
        return cls(zone, quiet_until(now, quiet_from, quiet_to, zone))

    def deferral_reason(self, snoozed_until: dt.datetime | None, rule: Rule, now: dt.datetime) -> str | None:
        """SNOOZE for a snoozed alert, QUIET during quiet hours unless the rule is urgent, else None."""
        if snoozed_until is not None and snoozed_until > now:
            return SNOOZE
        return QUIET if self.quiet_until is not None and not rule.urgent else None


class Notifier:
    """Makes the notifications of one Market."""

    def __init__(self, context: EvaluationContext) -> None:
        self._context = context
        self._sessions_since: dict[dt.date, int] = {}

    def notify(
        self,
        results: Sequence[EvaluationResult],
        earlier_fires: FireCounts,
        windows: Mapping[int, DeliveryWindow],
        now: dt.datetime,
    ) -> list[NotifiedResult]:
        """The results with their notifications; `earlier_fires` counts an alert's fires in a quarter.

        A chat with several fires to report, one of them late, gets one list.
        """
        deferred = {result.alert_id: _deferral(result, windows[result.chat_id], now) for result in results}
        with_list = self._chats_with_list(results, deferred)
        notified = []
        for result in results:
            try:
                context = replace(self._context, zone=windows[result.chat_id].zone)
                notifications = [
                    self._notification(
                        result, alert_event, earlier_fires, context, with_list, deferred[result.alert_id]
                    )
                    for alert_event in result.events
                ]
                notified.append(NotifiedResult(result, tuple(notifications)))
            except Exception as error:  # noqa: BLE001 - one broken rule must not stop the others
                _log.exception("what alert %s did cannot be told", result.alert_id)
                if result.was_active:
                    broken = EvaluationResult(result.snapshot, broken=error_text(error))
                    notified.append(NotifiedResult(broken))
        return notified

    def _chats_with_list(
        self, results: Sequence[EvaluationResult], deferred: Mapping[int, str | None]
    ) -> set[int]:
        lateness: dict[int, list[bool]] = defaultdict(list)
        for result in results:
            if not deferred[result.alert_id] and result.alert is not None:
                rule = result.alert.rule
                lateness[result.chat_id] += [
                    self.sessions_late(rule, event) > 0 for event in result.new_fires if not event.muted
                ]
        return {chat_id for chat_id, late in lateness.items() if len(late) > 1 and any(late)}

    def sessions_late(self, rule: Rule, event: Event) -> int:
        """Sessions that passed since the one at which the event could first be known."""
        if event.session not in self._sessions_since:
            self._sessions_since[event.session] = self._context.market.sessions_behind(
                pd.Timestamp(event.session)
            )
        return max(self._sessions_since[event.session] - rule_lag(rule, METRICS), 0)

    def _notification(
        self,
        result: EvaluationResult,
        alert_event: AlertEvent,
        earlier_fires: FireCounts,
        context: EvaluationContext,
        with_list: set[int],
        deferred: str | None,
    ) -> Notification:
        alert, event = result.alert_after(), alert_event.event
        rule, detail = alert.rule, self._detail(result, alert, alert_event)
        if event.muted:
            return Notification(alert_event, detail)
        if alert_event.transition == WITHDRAWN:
            text = _correction(alert, alert_event, detail, context)
            return Notification(alert_event, detail, text, silent=rule.silent, deferred=deferred)
        restated = alert_event.transition == RESTATED  # either text may be the one that waits
        listed = result.chat_id in with_list and not deferred and not restated
        notification = Notification(alert_event, detail, listed=listed, silent=rule.silent, deferred=deferred)
        if listed or restated:
            line = self.line(alert, event, result.samples, detail.source)
            notification = replace(notification, line=line)
        if restated or not (listed or deferred):
            fires = earlier_fires[result.alert_id, event.session] + _fires_before(result, event)
            late, since = self.sessions_late(rule, event), state_since(event, result.samples)
            text = notices.fired_message(alert, event, context, fires, late, became=since)
            notification = replace(notification, text=text)
        return notification

    @staticmethod
    def line(alert: AlertView, event: Event, samples: Sequence[Sample], source: str) -> Html:
        """A fire as a line of a list, with whether it is still true and the source of its data."""
        return notices.fire_line(alert.number, alert.rule, event, state_since(event, samples), source)

    def _detail(self, result: EvaluationResult, alert: AlertView, alert_event: AlertEvent) -> EventDetail:
        """What /why replays: rule, state and inputs as they were evaluated, with the inputs' source."""
        market, rule, event = self._context.market, alert.rule, alert_event.event
        sources = [market.source(part) for part in parts_read(rule, market.pair)]
        states = (*([result.alert.state] if result.alert else ()), *result.states)
        earlier = [state for state in states if state.session < event.session]
        before = max(earlier, key=lambda state: state.session, default=None)
        revision = alert_event.revision
        return EventDetail(
            event=event.to_json(),
            rule=rule.to_json(),
            source=", ".join(dict.fromkeys(source.label for source in sources)),
            observed_at=max(source.observed_at for source in sources),
            before=before.to_json() if before is not None else None,
            revision=revision.to_json() if revision is not None else None,
        )


def _deferral(result: EvaluationResult, window: DeliveryWindow, now: dt.datetime) -> str | None:
    if result.alert is None:
        return None
    return window.deferral_reason(result.snapshot.alert.snoozed_until, result.alert.rule, now)


def _fires_before(result: EvaluationResult, event: Event) -> int:
    """How often the alert fired in the quarter up to an event, counting new fires only."""
    return sum(event.session - QUARTER <= other.session <= event.session for other in result.new_fires)


def _correction(
    alert: AlertView, alert_event: AlertEvent, detail: EventDetail, context: EvaluationContext
) -> Answer:
    if alert_event.revision is None:
        raise LookupError("an event is withdrawn for a revision")
    return notices.correction_notice(alert, alert_event.event, alert_event.revision, context, detail.source)


def state_since(event: Event, samples: Sequence[Sample]) -> str:
    """Whether the condition has held since the event, or the first session on which it did not."""
    later = (
        sample.session
        for sample in samples
        if sample.session > event.session and truth(event.ops, sample) is False
    )
    back = next(later, None)
    return "still true" if back is None else f"back on {short_date(back)}"


Place = tuple[int, int | None]  # a chat and its topic
Payload = dict[str, object]


def send_lines(
    db: sqlite_utils.Database,
    place: Place,
    lines: list[ListedEvent],
    why: str,
    now: dt.datetime,
    *,
    sample: bool,
    silent: bool,
) -> None:
    """Queue one list of lines (event_id, session, html), newest first, that reports these events."""
    ordered = newest_first(lines)
    payload = list_payload(db, place, ordered, why, sample=sample, silent=silent)
    dedup = f"digest:{ordered[0][0]}"
    message = outbox.enqueue(
        db,
        chat_id=place[0],
        thread_id=place[1],
        kind="alert",
        dedup=dedup,
        payload=payload,
        now=now,
        about=ordered[-1][1],
    )
    alert_store.assign_message(db, [line[0] for line in lines], message)


def newest_first(lines: list[ListedEvent]) -> list[ListedEvent]:
    """Lines by session and event, the last one first."""
    return sorted(lines, key=lambda line: (line[1], line[0]), reverse=True)


def list_payload(
    db: sqlite_utils.Database, place: Place, lines: list[ListedEvent], why: str, *, sample: bool, silent: bool
) -> Payload:
    """The payload of a list with its lines, so that one can be removed while it waits."""
    ordered = newest_first(lines)
    answer = notices.digest([Html(line[2]) for line in ordered], sample=sample, why=why)
    return {
        **payload_for(db, place, answer, silent=silent),
        "events": {"lines": ordered, "reason": why, "sample": sample},
    }


def payload_for(db: sqlite_utils.Database, place: Place, answer: Answer, *, silent: bool = False) -> Payload:
    """The outbox payload of an answer, with numbers in the format of the chat."""
    chat = chat_store.get_chat(db, place[0])
    return payload_of(answer, REPLY, silent=silent, numbers=chat.numbers if chat else None)


def send(  # noqa: PLR0913 - a message's columns, by name
    db: sqlite_utils.Database,
    place: Place,
    dedup: str,
    answer: Answer,
    now: dt.datetime,
    *,
    kind: str = "alert",
    silent: bool = False,
    reply_to: int | None = None,
    not_before: dt.datetime | None = None,
    about: dt.date | None = None,
) -> int | None:
    """Queue one message `about` a session; its id, None when it was queued before."""
    payload = payload_for(db, place, answer, silent=silent)
    if reply_to is not None:
        payload["reply_to"] = reply_to
    return outbox.enqueue(
        db,
        chat_id=place[0],
        thread_id=place[1],
        kind=kind,
        dedup=dedup,
        payload=payload,
        now=now,
        not_before=not_before,
        about=about.isoformat() if about else None,
    )


def queue_notice(
    db: sqlite_utils.Database, place: Place, dedup: str, answer: Answer, default_zone: str, now: dt.datetime
) -> None:
    """Queue a notice to an active chat, after its quiet hours."""
    chat = chat_store.get_chat(db, place[0])
    if chat is None or chat.status != "active":
        return
    window = DeliveryWindow.of(chat.timezone, default_zone, now, chat.quiet_from, chat.quiet_to)
    send(db, place, dedup, answer, now, kind="notice", not_before=window.quiet_until)
