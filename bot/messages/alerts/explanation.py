"""Explains why an alert fired: its stored inputs, judged again by the engine, beside today's data."""

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
    """The stored figures, their judgement repeated, and whether the data has changed since."""
    rule, event = fire.rule, fire.event
    happened = "fired" if event.kind == "fired" else "was still true"
    return lines(
        bold(f"Why #{fire.number} {happened}") + f" · {session_phrase(event.session)}",
        code(str(rule)),
        *(_compared(event, at, condition) for at, condition in enumerate(rule.conditions)),
        rearmed(rule, event),
        f"Inputs as stored: {fire.source}, observed {_instant(fire.observed_at)}.",
        _replayed(fire),
        *_revised(fire, context),
    )


def _instant(observed: str) -> str:
    """A stored instant in words, e.g. "11 Dec 2020, 21:20 UTC"."""
    moment = dt.datetime.fromisoformat(observed).astimezone(dt.UTC)
    return f"{short_date(moment)}, {moment:%H:%M} UTC"


def _compared(event: Event, at: int, condition: Condition) -> str:
    """One condition's figures: value, comparison, threshold, and the value judged before."""
    leg, before = event.figures[at], event.previous[at]
    unit = METRICS[condition.metric].unit
    earlier = f", previously {unit.show(before)}" if before is not None else ""
    level = "" if condition.target.kind == AMOUNT else f" ({condition.target})"
    compared = f"{unit.show(leg.value)} {event.ops[at]} {unit.show(leg.threshold)}{level}"
    return f"{condition.subject}: {compared}{earlier}."


def _replayed(fire: RecordedFire) -> str:
    """The judgement of the stored state and figures by today's engine."""
    event, before = fire.event, fire.before
    if before is None:
        return "Not evaluated again: the state before it is no longer stored."
    _, again = step(fire.rule, before, Sample(event.session, event.figures))
    start = f"Evaluated again from the state after {short_date(before.session)} ({before.status.value}): "
    if again == event:
        return start + ("it fires." if event.kind == "fired" else "still true.")
    return start + ("the result differs from what was reported." if again else "it does not fire.")


def _revised(fire: RecordedFire, context: EvaluationContext) -> list[str]:
    """Today's figures of that session, if they differ."""
    rule, event = fire.rule, fire.event
    session = pd.Timestamp(event.session)
    now = tuple(_leg(condition, session, context) for condition in rule.conditions)
    changed = [
        f"{condition.subject} is {_figures(condition, leg)} now"
        for condition, leg, old in zip(rule.conditions, now, event.figures, strict=True)
        if not _same(leg.value, old.value) or not _same(leg.threshold, old.threshold)
    ]
    if not changed:
        return []
    answer = truth(event.ops, Sample(event.session, now))
    verdict = {
        True: "the rule is still true on these figures",
        False: "the rule is not true on these figures",
    }
    consequence = verdict[answer] if answer is not None else "the rule cannot be evaluated on these figures"
    return [f"Data revised since: {'; '.join(changed)}; {consequence}."]


def _leg(condition: Condition, session: pd.Timestamp, context: EvaluationContext) -> ConditionValue:
    series = context.histories.series(condition)
    return ConditionValue(_at(series.value, session), _at(series.threshold, session))


def _at(series: pd.Series, session: pd.Timestamp) -> float | None:
    value = series.get(session)
    return None if value is None or math.isnan(value) else float(value)


def _figures(condition: Condition, leg: ConditionValue) -> str:
    unit = METRICS[condition.metric].unit
    level = "" if condition.target.kind == AMOUNT else f" ({condition.target} {unit.show(leg.threshold)})"
    return f"{unit.show(leg.value)}{level}"


def _same(value: float | None, other: float | None) -> bool:
    if value is None or other is None:
        return value is other
    return math.isclose(value, other, rel_tol=_SAME, abs_tol=_SAME)
