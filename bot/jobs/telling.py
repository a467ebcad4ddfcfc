"""Texts about what happened to alerts, and whether each is told now, in a list, or later. No storage here."""

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
from bot.jobs.judged import RESTATED, WITHDRAWN, Judged, standing_after
from bot.jobs.judging import reason
from bot.jobs.local_time import quiet_until
from bot.preferences import zone_of
from bot.rendering import corrections, pushes
from bot.rendering.text import Html, short_date
from bot.services.alerts import parts_read
from storage.events import EventDetail

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from bot.alerts.rule import Rule
    from bot.alerts.state import Bar, Event
    from bot.alerts.view import AlertView, EvaluationContext
    from bot.jobs.judged import Happening
    from bot.rendering.answer import Answer

_log = logging.getLogger(__name__)
QUARTER = dt.timedelta(days=pushes.FIRES_SINCE_DAYS)
SNOOZE, QUIET = "snooze", "quiet"

Counts = Mapping[tuple[int, dt.date], int]


@dataclass(frozen=True)
class Told:
    """A happening with what is stored of it, and its texts: a message of its own, or a line of a list.

    listed  whether it is told in a list
    held    why it is not told now: "snooze" or "quiet"
    """

    happening: Happening
    detail: EventDetail
    text: Answer | None = None
    line: Html | None = None
    listed: bool = False
    silent: bool = False
    held: str | None = None


@dataclass(frozen=True)
class Wishes:
    """What a chat wants of the clock: its zone, and until when it is left in peace."""

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
    ) -> Wishes:
        """Those of a chat's settings."""
        zone = zone_of(timezone, default_zone)
        return cls(zone, quiet_until(now, quiet_from, quiet_to, zone))

    def hold(self, snoozed_until: dt.datetime | None, rule: Rule, now: dt.datetime) -> str | None:
        """Why an alert is not told now: it is snoozed, or the hours are quiet and it is not urgent."""
        if snoozed_until is not None and snoozed_until > now:
            return SNOOZE
        return QUIET if self.quiet_until is not None and not rule.urgent else None


class Teller:
    """Makes the texts of one Market."""

    def __init__(self, context: EvaluationContext) -> None:
        self._context = context
        self._behind: dict[dt.date, int] = {}  # sessions since, by session

    def tell(
        self, judged: Sequence[Judged], before: Counts, wishes: Mapping[int, Wishes], now: dt.datetime
    ) -> list[Judged]:
        """The same with what is told; `before` counts an alert's fires in the quarter before a session.

        A chat with several fires to be told, one of them late, gets one list.
        """
        held = {one.alert_id: _held(one, wishes[one.chat_id], now) for one in judged}
        listed = self._listed(judged, held)
        told = []
        for one in judged:
            try:
                context = replace(self._context, zone=wishes[one.chat_id].zone)
                texts = [
                    self._told(one, happening, before, context, listed, held[one.alert_id])
                    for happening in one.happenings
                ]
                told.append(replace(one, told=tuple(texts)))
            except Exception as error:  # noqa: BLE001 - one broken rule must not stop the others
                _log.exception("what alert %s did cannot be told", one.alert_id)
                told += [Judged(one.row, broken=reason(error))] if one.was_active else []
        return told

    def _listed(self, judged: Sequence[Judged], held: Mapping[int, str | None]) -> set[int]:
        late: dict[int, list[bool]] = defaultdict(list)
        for one in judged:
            if not held[one.alert_id] and one.standing is not None:
                rule = one.standing.rule
                late[one.chat_id] += [self.late(rule, event) > 0 for event in one.fires if not event.muted]
        return {chat_id for chat_id, found in late.items() if len(found) > 1 and any(found)}

    def late(self, rule: Rule, event: Event) -> int:
        """Sessions that passed since the one at which the event could first be known."""
        if event.session not in self._behind:
            self._behind[event.session] = self._context.market.behind(pd.Timestamp(event.session))
        return max(self._behind[event.session] - lag(rule, METRICS), 0)

    def _told(
        self,
        one: Judged,
        happening: Happening,
        before: Counts,
        context: EvaluationContext,
        listed: set[int],
        held: str | None,
    ) -> Told:
        standing, event = standing_after(one), happening.event
        rule, detail = standing.rule, self._detail(one, standing, happening)
        if event.muted:
            return Told(happening, detail)
        if happening.transition == WITHDRAWN:
            text = _correction(standing, happening, detail, context)
            return Told(happening, detail, text, silent=rule.silent, held=held)
        restated = happening.transition == RESTATED  # either text may be the one that waits
        in_list = one.chat_id in listed and not held and not restated
        told = Told(happening, detail, listed=in_list, silent=rule.silent, held=held)
        if in_list or restated:
            told = replace(told, line=self.line(standing, event, one.bars, detail.source))
        if restated or not (in_list or held):
            fires = before[one.alert_id, event.session] + _fired_before(one, event)
            late, since = self.late(rule, event), became(event, one.bars)
            text = pushes.fired(standing, event, context, fires, late, became=since)
            told = replace(told, text=text)
        return told

    @staticmethod
    def line(standing: AlertView, event: Event, bars: Sequence[Bar], source: str) -> Html:
        """A fire as a line of a list, with what became of it and where its figures are from."""
        return pushes.fire_line(standing.number, standing.rule, event, became(event, bars), source)

    def _detail(self, one: Judged, standing: AlertView, happening: Happening) -> EventDetail:
        """What `why` replays: rule and state as they were, the inputs as judged and where they were from."""
        market, rule, event = self._context.market, standing.rule, happening.event
        sources = [market.source(part) for part in parts_read(rule)]
        states = (*([one.standing.state] if one.standing else ()), *one.states)
        earlier = [state for state in states if state.session < event.session]
        before = max(earlier, key=lambda state: state.session, default=None)
        revision = happening.revision
        return EventDetail(
            event=event.to_json(),
            rule=rule.to_json(),
            source=", ".join(dict.fromkeys(source.label for source in sources)),
            observed_at=max(source.observed_at for source in sources),
            before=before.to_json() if before is not None else None,
            revision=revision.to_json() if revision is not None else None,
        )


def _held(one: Judged, wishes: Wishes, now: dt.datetime) -> str | None:
    return (
        wishes.hold(one.row.alert.snoozed_until, one.standing.rule, now) if one.standing is not None else None
    )


def _fired_before(one: Judged, event: Event) -> int:
    """How often the alert fired in the quarter up to an event, of what is new."""
    return sum(event.session - QUARTER <= other.session <= event.session for other in one.fires)


def _correction(
    standing: AlertView, happening: Happening, detail: EventDetail, context: EvaluationContext
) -> Answer:
    if happening.revision is None:
        raise LookupError("an event is withdrawn for a revision")
    return corrections.correction(standing, happening.event, happening.revision, context, detail.source)


def became(event: Event, bars: Sequence[Bar]) -> str:
    """Whether the condition has held since the event, or when it went back first."""
    later = (bar.session for bar in bars if bar.session > event.session and truth(event.ops, bar) is False)
    back = next(later, None)
    return "still true" if back is None else f"back on {short_date(back)}"
