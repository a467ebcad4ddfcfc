"""The state of an alert in words: value and distance, status, where it re-arms.

Pages about one alert: after it was created or changed, and in full.

The chart of an alert: every condition with its threshold, the fires marked.
"""

from __future__ import annotations

import datetime as dt
import math
from functools import partial
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pandas as pd

from bot.alerts.engine import Status
from bot.alerts.grammar import PRESETS
from bot.alerts.rule import ABOVE, AMOUNT, CROSSES
from bot.alerts.series import PATIENCE, rule_lag
from bot.alerts.view import Life
from bot.analytics.metrics import METRICS, metric_value
from bot.analytics.sessions import EXCHANGE, SETTLE, short_date
from bot.analytics.units import NOT_AVAILABLE
from bot.errors import NoData
from bot.messages.charts import Marks, rule_chart
from bot.messages.common import (
    SAMPLE,
    Answer,
    Button,
    age,
    condition_panel,
    difference_unit,
    distance,
    latest_starting_condition,
    percentile_phrase,
    rule_chart_style,
    source_line,
    width,
)
from bot.messages.html import Html, age_phrase, bold, capital, code, lines, moment, place_of, session_phrase

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bot.alerts.backtest import Frequency
    from bot.alerts.engine import Event, State
    from bot.alerts.rule import Condition, Rule
    from bot.alerts.view import AlertView, EvaluationContext
    from bot.messages.canvas import Theme


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
        old = market.sessions_behind(newest) - rule_lag(alert.rule, METRICS)
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
    return 0 if last is None else context.market.sessions_behind(last) - METRICS[condition.metric].lag


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


_FIVE_YEARS = dt.timedelta(days=5 * 365 - 10)  # less what holidays may take off


def list_buttons(number: int, life: Life = Life.ACTIVE) -> tuple[Button, ...]:
    """The buttons of one alert in a list. The number opens everything else that can be done with it."""
    first = ((f"#{number}", f"/alert {number}"), ("Why", f"/alert {number} why"))
    if life.has_ended:
        return (*first, ("Renew", f"/alert {number} renew"))
    switch = ("Pause", "pause") if life is Life.ACTIVE else ("Resume", "resume")
    return (*first, (switch[0], f"/alert {number} {switch[1]}"), ("Off", f"/alert {number} off"))


def card_buttons(alert: AlertView) -> tuple[tuple[Button, ...], ...]:
    """All buttons of one alert. One that has ended can only be viewed and renewed."""
    number, active = alert.number, alert.life is Life.ACTIVE

    def does(label: str, action: str) -> Button:
        return label, f"/alert {number} {action}"

    looks = (does(f"#{number} Chart", "chart"), does("Why", "why"), does("History", "history"))
    if alert.life.has_ended or alert.state.done:
        return (looks, (does("Renew", "renew"),))
    quiet: tuple[Button, ...]
    if not active:
        quiet = (does("Resume", "resume"),)
    elif alert.snoozed_until is not None:
        quiet = (does("End snooze", "snooze off"), does("Snooze 1w", "snooze 1w"), does("Pause", "pause"))
    else:
        quiet = (does("Snooze 1d", "snooze 1d"), does("Snooze 1w", "snooze 1w"), does("Pause", "pause"))
    rest = (does("Edit", "edit"), does("Test", "test"), does("Off", "off"))
    both_ways = any(condition.op == CROSSES for condition in alert.rule.conditions)
    mirror = () if both_ways else ((does("Also tell me when it goes back", "back"),),)
    return (looks, quiet, rest, *mirror)


def new_alert_page(
    alert: AlertView,
    context: EvaluationContext,
    frequency: Frequency,
    remark: str | None = None,
    *,
    waits: str | None = None,
) -> Answer:
    """The reply to a new rule: its value, its distance, and how often it would have fired.

    `remark` says what became of the earlier rule of an alert that is edited or renewed; `waits`
    that its data is overdue.
    """
    html = lines(
        title(alert),
        remark,
        bold(SAMPLE) if context.market.is_sample else None,
        *figure_lines(alert, context),
        waits,
        _begins(alert),
        rearm_phrase(alert, context),
        frequency_line(frequency, alert.rule, context),
        ending_phrase(alert),
        next_check(context) if alert.life is Life.ACTIVE else None,
    )
    return Answer(html, buttons=(*card_buttons(alert), ALL))


ALL: tuple[Button, ...] = (("All alerts", "/alerts"),)


def _begins(alert: AlertView) -> str:
    if alert.life is Life.PAUSED:
        return "Paused: resume it to be told."
    if alert.state.status is Status.FIRED:
        return "True already, so nothing is sent now."
    return f"{capital(armed_phrase(alert.state))}: a message comes when it turns true."


def alert_page(alert: AlertView, context: EvaluationContext, *, remark: str | None = None) -> Answer:
    """One alert in full. `remark` says what was just done to it."""
    alive = not (alert.life.has_ended or alert.state.done)
    soon = ends_soon(alert, context)
    html = lines(
        title(alert),
        bold(SAMPLE) if context.market.is_sample else None,
        bold(remark) if remark else None,
        state_sentence(alert, context.zone),
        waiting_phrase(alert, context),
        *figure_lines(alert, context),
        rearm_phrase(alert, context) if alive else None,
        ending_phrase(alert),
        next_check(context) if alert.life is Life.ACTIVE else None,
    )
    renew: tuple[tuple[Button, ...], ...] = (
        ((("Renew for a year", f"/alert {alert.number} renew"),),) if soon else ()
    )
    return Answer(html, buttons=(*card_buttons(alert), *renew, ALL))


def frequency_line(frequency: Frequency, rule: Rule, context: EvaluationContext) -> str:
    """How often a rule would have fired, and since when there is history of all its conditions."""
    last = latest_starting_condition(rule, context.histories)
    if frequency.since is None or frequency.until is None:
        of = f" of {last}" if len(rule.conditions) > 1 else ""
        return f"How often it would have fired: {NOT_AVAILABLE}, no history{of}."
    whose = f" of {last}" if len(rule.conditions) > 1 else ""
    whole = frequency.until - frequency.since >= _FIVE_YEARS
    span = (
        "In the last 5 years"
        if whole
        else f"Since {short_date(frequency.since)} (before: too little history{whose})"
    )
    if not frequency.dates:
        return f"{span} it would not have fired."
    when = "on" if frequency.count == 1 else "last on"
    return f"{span} it would have fired {times(frequency.count)}, {when} {short_date(frequency.dates[-1])}."


def times(count: int) -> str:
    """A number of times in words: never, once, twice, 3 times."""
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")


def rearmed(rule: Rule, event: Event) -> str:
    """Where an alert that fired re-arms."""
    if event.done:
        return "It was to fire once and is done."
    shown = [
        METRICS[condition.metric].unit.show(level)
        + ("" if condition.target.kind == AMOUNT else f" (moves with {condition.target})")
        for condition, level in zip(rule.conditions, event.levels, strict=True)
        if level is not None
    ]
    return f"Re-arms at {' or '.join(shown)}." if shown else "Re-arms once the value is back."


def suggestions() -> tuple[tuple[Button, ...], ...]:
    """Rules to start with, one button each, and the way to one's own."""
    ready = tuple(((preset.name, f"/alert new {preset.name.lower()}"),) for preset in PRESETS)
    return (*ready, (("Make my own", "/alert new"),))


_SPAN = pd.DateOffset(years=1)


def rule_chart_answer(
    alert: AlertView, context: EvaluationContext, theme: Theme, fires: Sequence[dt.date]
) -> Answer:
    """A year of every condition, one above the other. Raises NoData if none has a figure."""
    rule, market = alert.rule, context.market
    begin = market.require_end() - _SPAN
    drawn = [condition_panel(condition, context.histories, begin) for condition in rule.conditions]
    legs = [leg for leg in drawn if leg.series.notna().any()]
    if not legs:
        raise NoData(f"There is nothing to draw for {rule}: no figure is stored of the last year.")
    lacking = [
        str(condition)
        for condition, leg in zip(rule.conditions, drawn, strict=True)
        if not leg.series.notna().any()
    ]
    html = lines(
        title(alert),
        bold(SAMPLE) if market.is_sample else None,
        *figure_lines(alert, context),
        f"Not drawn, no figure in the last year: {'; '.join(lacking)}." if lacking else None,
    )
    look = rule_chart_style(f"Alert #{alert.number}: {rule}", rule, market, theme)
    marks = Marks([pd.Timestamp(day) for day in fires], "fired") if fires else None
    return Answer(
        html, partial(rule_chart, legs, look, marks), "alert", ((("Back", f"/alert {alert.number}"),),)
    )
