"""Messages that withdraw an alert which does not hold on revised figures."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bot.alerts.state import ConditionValue
from bot.analytics.registry import METRICS
from bot.analytics.units import NOT_AVAILABLE
from bot.rendering.alerts import list_buttons
from bot.rendering.answer import SAMPLE, Answer
from bot.rendering.figures import distance
from bot.rendering.standing import state_sentence
from bot.rendering.text import Html, bold, code, lines, session_phrase, short_date

if TYPE_CHECKING:
    from bot.alerts.replay import ConditionValues, Revision
    from bot.alerts.rule import Condition, Rule
    from bot.alerts.state import Event
    from bot.alerts.view import AlertView, EvaluationContext


def correction_notice(
    alert: AlertView, event: Event, revision: Revision, context: EvaluationContext, source: str
) -> Answer:
    """The message that withdraws a fire: the figures then and now, and the state of the alert."""
    rule, day = alert.rule, session_phrase(event.session)
    was = "fired" if event.kind == "fired" else "was said to be still true"
    html = lines(
        bold(f"Correction to alert #{alert.number}") + f" · {day}",
        code(str(rule)),
        bold(SAMPLE) if context.market.is_sample else None,
        f"It {was} on figures that have been revised. On those of now it did not.",
        *_changes(rule, revision.since, revision.before, revision.after),
        *(
            _changes(rule, event.session, event.legs, revision.event)
            if event.session != revision.since
            else ()
        ),
        *(_now(rule, revision.event)),
        state_sentence(alert),
        f"Source: {source}.",
    )
    return Answer(html, buttons=(list_buttons(alert.number, alert.life),))


def correction_line(number: int, rule: Rule, event: Event, revision: Revision, source: str) -> Html:
    """The correction as one line of a digest."""
    moved = _changes(rule, event.session, event.legs, revision.event)
    outcome = f" · withdrawn: {'; '.join(line.rstrip('.') for line in moved) or 'revised'} ({source})"
    return Html("").join((f"{short_date(event.session)} · #{number} ", code(str(rule)), outcome))


def _changes(rule: Rule, session: dt.date, then: ConditionValues, now: ConditionValues) -> list[str]:
    """A line for every figure of a session that is another now: value, or a target that moves."""
    changes = []
    before: Sequence[ConditionValue] = then or (ConditionValue(None, None),) * len(now)
    for condition, old, new in zip(rule.conditions, before, now, strict=True):
        for name, was, is_now in (
            (condition.subject, old.value, new.value),
            (str(condition.target), old.threshold, new.threshold),
        ):
            shown, becomes = _show(condition, was), _show(condition, is_now)
            if is_now is not None and shown != becomes and not (name != condition.subject and was is None):
                changes.append(f"{name}, {short_date(session)}: {shown} → {becomes}.")
    return changes


def _now(rule: Rule, legs: ConditionValues) -> list[str]:
    """The event's session by today's figures, per condition."""
    return [
        f"{condition.subject} is {distance(condition, *leg.pair)}."
        for condition, leg in zip(rule.conditions, legs, strict=True)
        if leg.pair is not None
    ]


def _show(condition: Condition, figure: float | None) -> str:
    return NOT_AVAILABLE if figure is None else METRICS[condition.metric].unit.show(figure)
