"""The notifier: messages about alert events, sent at once, in a list, or deferred. No storage here."""

from __future__ import annotations

import datetime as dt
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pandas as pd

from bot.alerts.bars import lag
from bot.alerts.engine import truth
from bot.analytics.registry import METRICS
from bot.jobs.judged import RESTATED, WITHDRAWN, EvaluationResult
from bot.jobs.judging import error_text
from bot.jobs.local_time import quiet_until
from bot.rendering import corrections, pushes
from bot.rendering.text import Html, short_date
from bot.services.alerts import parts_read
from bot.services.chats import zone_of
from storage.events import EventDetail

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from bot.alerts.rule import Rule
    from bot.alerts.state import Event, Sample
    from bot.alerts.view import AlertView, EvaluationContext
    from bot.jobs.judged import AlertEvent
    from bot.rendering.answer import Answer

_log = logging.getLogger(__name__)
QUARTER = dt.timedelta(days=pushes.FIRES_SINCE_DAYS)
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
            self._sessions_since[event.session] = self._context.market.behind(pd.Timestamp(event.session))
        return max(self._sessions_since[event.session] - lag(rule, METRICS), 0)

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
            text = pushes.fired_message(alert, event, context, fires, late, became=since)
            notification = replace(notification, text=text)
        return notification

    @staticmethod
    def line(alert: AlertView, event: Event, samples: Sequence[Sample], source: str) -> Html:
        """A fire as a line of a list, with whether it is still true and the source of its data."""
        return pushes.fire_line(alert.number, alert.rule, event, state_since(event, samples), source)

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
    return corrections.correction_notice(
        alert, alert_event.event, alert_event.revision, context, detail.source
    )


def state_since(event: Event, samples: Sequence[Sample]) -> str:
    """Whether the condition has held since the event, or the first session on which it did not."""
    later = (
        sample.session
        for sample in samples
        if sample.session > event.session and truth(event.ops, sample) is False
    )
    back = next(later, None)
    return "still true" if back is None else f"back on {short_date(back)}"
