"""Explains why an alert fired: its stored inputs, evaluated again by the engine, beside today's data."""

from __future__ import annotations

import datetime as dt
import math
from typing import TYPE_CHECKING

import pandas as pd

from bot.alerts.engine import ConditionValue, Sample, step, truth
from bot.alerts.rule import AMOUNT
from bot.analytics.metrics import METRICS
from bot.analytics.sessions import short_date
from bot.messages.alerts.card import rearmed
from bot.messages.html import bold, code, lines, session_phrase

if TYPE_CHECKING:
    from bot.alerts.engine import Event
    from bot.alerts.rule import Condition
    from bot.alerts.view import EvaluationContext, RecordedFire
    from bot.messages.html import Html


_SAME = 1e-9  # of a figure: what arithmetic in another order may differ by


def explanation(fire: RecordedFire, context: EvaluationContext) -> Html:
    """The stored figures, their evaluation repeated, and whether the data has changed since."""
    rule, event = fire.rule, fire.event
    happened = "fired" if event.kind == "fired" else "was still true"
    observed = dt.datetime.fromisoformat(fire.observed_at).astimezone(dt.UTC)
    return lines(
        bold(f"Why #{fire.number} {happened}") + f" · {session_phrase(event.session)}",
        code(str(rule)),
        *(_comparison(event, position, condition) for position, condition in enumerate(rule.conditions)),
        rearmed(rule, event),
        f"Inputs as stored: {fire.source}, observed {short_date(observed)}, {observed:%H:%M} UTC.",
        _evaluated_again(fire),
        _revision_sentence(fire, context),
    )


def _comparison(event: Event, position: int, condition: Condition) -> str:
    """One condition's figures: value, comparison, threshold, and the value before."""
    figures, previous = event.figures[position], event.previous[position]
    unit = METRICS[condition.metric].unit
    before = f", previously {unit.show(previous)}" if previous is not None else ""
    target = "" if condition.target.kind == AMOUNT else f" ({condition.target})"
    comparison = f"{unit.show(figures.value)} {event.ops[position]} {unit.show(figures.threshold)}{target}"
    return f"{condition.subject}: {comparison}{before}."


def _evaluated_again(fire: RecordedFire) -> str:
    """What today's engine makes of the stored state and figures."""
    event, before = fire.event, fire.before
    if before is None:
        return "Not evaluated again: the state before it is no longer stored."
    _, again = step(fire.rule, before, Sample(event.session, event.figures))
    if again == event:
        outcome = "it fires" if event.kind == "fired" else "still true"
    else:
        outcome = "the result differs from what was reported" if again else "it does not fire"
    state = f"the state after {short_date(before.session)} ({before.status.value})"
    return f"Evaluated again from {state}: {outcome}."


def _revision_sentence(fire: RecordedFire, context: EvaluationContext) -> str | None:
    """Today's figures of that session, if they differ."""
    rule, event = fire.rule, fire.event
    current = tuple(_figures_on(condition, event.session, context) for condition in rule.conditions)
    changed = [
        f"{condition.subject} is {_show(condition, new)} now"
        for condition, new, old in zip(rule.conditions, current, event.figures, strict=True)
        if not _same(new.value, old.value) or not _same(new.threshold, old.threshold)
    ]
    if not changed:
        return None
    verdict = {
        True: "the rule is still true",
        False: "the rule is not true",
        None: "the rule cannot be evaluated",
    }[truth(event.ops, Sample(event.session, current))]
    return f"Data revised since: {'; '.join(changed)}; {verdict} on these figures."


def _figures_on(condition: Condition, day: dt.date, context: EvaluationContext) -> ConditionValue:
    series, session = context.histories.series(condition), pd.Timestamp(day)
    return ConditionValue(series.value.get(session), series.threshold.get(session)).finite


def _show(condition: Condition, figures: ConditionValue) -> str:
    unit = METRICS[condition.metric].unit
    target = f" ({condition.target} {unit.show(figures.threshold)})"
    return f"{unit.show(figures.value)}{'' if condition.target.kind == AMOUNT else target}"


def _same(value: float | None, other: float | None) -> bool:
    if value is None or other is None:
        return value is other
    return math.isclose(value, other, rel_tol=_SAME, abs_tol=_SAME)
