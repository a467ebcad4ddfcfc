"""The state of an alert in words: value and distance, status, where it re-arms."""

from __future__ import annotations

import datetime as dt
import math
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pandas as pd

from bot.alerts.bars import PATIENCE, lag
from bot.alerts.rule import ABOVE, AMOUNT, CROSSES
from bot.alerts.state import Status
from bot.alerts.view import Life
from bot.analytics.metrics import metric_value
from bot.analytics.registry import METRICS
from bot.analytics.sessions import EXCHANGE, SETTLE
from bot.analytics.units import NOT_AVAILABLE
from bot.rendering.figures import age, difference_unit, distance, percentile_phrase, source_line, width
from bot.rendering.moments import moment, place_of
from bot.rendering.text import Html, age_phrase, bold, code, session_phrase, short_date
from bot.text import capital

if TYPE_CHECKING:
    from bot.alerts.rule import Condition
    from bot.alerts.state import State
    from bot.alerts.view import AlertView, EvaluationContext


_WAYS = ("upwards", "downwards")  # the sides of a rule that crosses, as the engine has them
SOON = dt.timedelta(days=30)  # before its end an alert says so in the list, and can be renewed


def title(alert: AlertView) -> Html:
    """Number and rule, the first line of messages about an alert."""
    return Html(" ").join((bold(f"Alert #{alert.number}"), code(str(alert.rule))))


def figure_lines(alert: AlertView, context: EvaluationContext) -> list[str]:
    """Value, distance and percentile of every condition, then their close, source and age."""
    conditions, market = alert.rule.conditions, context.market
    known = [session for condition in conditions if (session := _last(condition, context)) is not None]
    newest = max(known, default=None)
    sentences = [line for condition in conditions for line in _where(condition, context, newest)]
    if newest is not None:
        old = market.behind(newest) - lag(alert.rule, METRICS)
        sentences.append(f"{capital(session_phrase(newest))}. {source_line(alert.rule, market, old)}")
    return sentences


def _last(condition: Condition, context: EvaluationContext) -> pd.Timestamp | None:
    """Session of the condition's newest value."""
    return context.histories.series(condition).value.last_valid_index()


def _where(condition: Condition, context: EvaluationContext, newest: pd.Timestamp | None) -> list[str]:
    """Current value of one condition, dated if it is not of the newest close, distance and percentile."""
    known = context.histories.series(condition).value.dropna()
    metric = METRICS[condition.metric]
    if known.empty:
        reason = metric_value(metric, context.market, dict(condition.arguments)).reason or "no value yet"
        return [f"{condition.subject}: {NOT_AVAILABLE}, {reason}. It is judged once there is a value."]
    rank, session = percentile_phrase(known), known.index[-1]
    shown = metric.unit.show(float(known.iloc[-1]))
    if session != newest:
        shown += f" ({short_date(session)}, {age(context.market, session, metric.lag)})"
    return [
        f"{condition.subject} is {shown}, {_far(condition, context)}.",
        *([f"{capital(rank)}."] if rank is not None else []),
    ]


def _far(condition: Condition, context: EvaluationContext) -> str:
    """Distance of the newest value from the target, or a note that the target needs more history."""
    series = context.histories.series(condition)
    last = series.value.last_valid_index()
    if last is None:
        return NOT_AVAILABLE
    level = float(series.threshold.loc[last])
    if math.isnan(level):
        return f"{condition.target} is {NOT_AVAILABLE}: too little history"
    return distance(condition, float(series.value.loc[last]), level)


def _status(alert: AlertView) -> str:
    """The state in words, snoozing aside."""
    state, rule = alert.state, alert.rule
    because = f": {alert.reason.rstrip('.')}" if alert.reason else ""
    if alert.life is Life.PAUSED:
        return f"paused{because}"
    if alert.life is not Life.ACTIVE or state.done:
        return f"ended{because}"
    match state.status:
        case Status.CONFIRMING:
            return f"confirming{_way(state, Status.CONFIRMING)}, {state.count} of {rule.confirm}"
        case Status.FIRED:
            since = _fired_on(state)
            began = f"fired {short_date(since)}" if since else "true since before it was set"
            return f"{began}, waits to re-arm"
    return armed_phrase(state)


def armed_phrase(state: State) -> str:
    """The armed state; of a crossing rule with its direction and the last fire in the other one."""
    since, way = _fired_on(state), _way(state, Status.FIRED)
    before = f"fired{way} {short_date(since)}, " if since else ""
    return f"{before}armed{_way(state, Status.ARMED)}"


def _fired_on(state: State) -> dt.date | None:
    """Session of the last fire since which it has not armed again."""
    return max(
        (side.since for side in state.sides if side.status is Status.FIRED and side.since), default=None
    )


def _way(state: State, status: Status) -> str:
    """The direction of a crossing rule that has a status, "" for any other rule."""
    ways = [way for way, side in zip(_WAYS, state.sides, strict=False) if side.status is status]
    if len(state.sides) < len(_WAYS):
        return ""
    return f" {ways[0]}" if len(ways) == 1 else " both ways"


def state_sentence(alert: AlertView, zone: ZoneInfo = EXCHANGE) -> str:
    """The state in words, as a sentence."""
    snoozed = ""
    if alert.snoozed_until is not None and alert.life is Life.ACTIVE:
        snoozed = f"; snoozed until {moment(alert.snoozed_until, zone)}"
    return f"{capital(_status(alert))}{snoozed}."


def stale_phrase(alert: AlertView, context: EvaluationContext) -> str | None:
    """A sentence that data of the rule is overdue, and for how long. None while it is current."""
    old = max((_age(condition, context) for condition in alert.rule.conditions), default=0)
    return f"Stale: {age_phrase(old)}." if old > 0 and alert.life is Life.ACTIVE else None


def _age(condition: Condition, context: EvaluationContext) -> int:
    """Sessions by which the newest value is older than it should be, 0 if there never was one."""
    last = _last(condition, context)
    return 0 if last is None else context.market.behind(last) - METRICS[condition.metric].lag


def waiting_phrase(alert: AlertView, context: EvaluationContext) -> str | None:
    """A sentence that the alert waits for a missing session before newer figures, else None."""
    mark, rule, sessions = alert.state.session, alert.rule, context.market.sessions
    known = [_last(condition, context) for condition in rule.conditions]
    if alert.life is not Life.ACTIVE or any(last is None or last.date() <= mark for last in known):
        return None
    if len(context.histories.sample_series(rule, mark, sessions)):
        return None
    missing = sessions[sessions.searchsorted(pd.Timestamp(mark), side="right")]
    return f"Judged up to {short_date(mark)}; waits for {short_date(missing)}, {PATIENCE} sessions at most."


def ends_soon(alert: AlertView, context: EvaluationContext) -> bool:
    """Whether the alert's last day is near."""
    if alert.expires_on is None or alert.life.has_ended:
        return False
    today: dt.date = context.market.last_completed.date()
    return alert.expires_on - today <= SOON


def ending_phrase(alert: AlertView) -> str | None:
    """The day on which the alert expires, None without one or after it has ended."""
    if alert.expires_on is None or alert.life.has_ended:
        return None
    return f"Ends {short_date(alert.expires_on)} unless renewed."


def rearm_phrase(alert: AlertView, context: EvaluationContext) -> str | None:
    """How the rule re-arms. Empty for a rule that fires once or has ended."""
    rule, state = alert.rule, alert.state
    if rule.once:
        return None if state.done else "It fires once and is then done."
    verb = "Re-arms" if state.status is Status.FIRED else "After a fire it re-arms"
    if rule.rearm is not None:
        return f"{verb} at {METRICS[rule.conditions[0].metric].unit.show(rule.rearm)}."
    parts = [
        _back(condition, band, context) for condition, band in zip(rule.conditions, state.bands, strict=True)
    ]
    return f"{verb} {' or '.join(parts)}."


def _back(condition: Condition, band: float, context: EvaluationContext) -> str:
    """Where one condition re-arms: a level, or a distance from a target that moves."""
    unit, target = METRICS[condition.metric].unit, condition.target
    way = {CROSSES: "back past"}.get(condition.op, "below" if condition.op in ABOVE else "above")
    if not band:
        return f"{way} {target} (no band: fewer than 60 values)"
    shown = width(difference_unit(unit), band)
    if condition.op == CROSSES:
        return f"{shown} {way} {target}"
    side = -band if condition.op in ABOVE else band
    if target.kind == AMOUNT:
        return f"at {unit.show(target.value + side)}"
    threshold = context.histories.series(condition).threshold.dropna()
    now = f", now {unit.show(float(threshold.iloc[-1]) + side)}" if len(threshold) else ""
    return f"{shown} {way} {target}{now}"


def next_check(context: EvaluationContext) -> str:
    """When alerts are judged next: once the next close has settled."""
    return f"Next check: {moment(context.next_check + SETTLE, context.zone)} ({place_of(context.zone)})."


def summary_distance(alert: AlertView, context: EvaluationContext) -> str:
    """Value and distance of every condition in one line, dated if they are not of the last close."""
    conditions = alert.rule.conditions
    parts = []
    for condition in conditions:
        last = _last(condition, context)
        name = f"{condition.subject} " if len(conditions) > 1 else ""
        if last is None:
            parts.append(f"{name}has no value yet")
            continue
        value = float(context.histories.series(condition).value.loc[last])
        late = f" ({short_date(last)})" if last != context.market.end else ""
        unit = METRICS[condition.metric].unit
        parts.append(f"{name}{unit.show(value)}, {_far(condition, context)}{late}")
    return "; ".join(parts)
