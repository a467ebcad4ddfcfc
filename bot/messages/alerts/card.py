"""Pages about one alert: after it was created or changed, in full, and its chart.

The sentences they consist of say its value and distance, its status, and where it re-arms.
"""

import datetime as dt
import math
from collections.abc import Sequence
from zoneinfo import ZoneInfo

import pandas as pd

from bot.alerts.backtest import Frequency
from bot.alerts.engine import BACK, Event, State, Status
from bot.alerts.grammar import parse_rule
from bot.alerts.presets import Preset, presets_for
from bot.alerts.rule import ABOVE, AMOUNT, CROSSES, Condition, Rule
from bot.alerts.series import OVER_CLOSES, PATIENCE, rule_lag, values_needed
from bot.alerts.view import AlertView, EvaluationContext, Life
from bot.analytics.market import Market
from bot.analytics.metrics import METRICS, funds_of, metric_value, metrics_of, multiple_read
from bot.analytics.performance import TOO_SHORT
from bot.analytics.sessions import EXCHANGE, SETTLE
from bot.analytics.trend import missing_reason
from bot.analytics.units import NOT_AVAILABLE
from bot.analytics.valuation import ADDED_UP, FROM_YAHOO
from bot.errors import NoData
from bot.messages import common
from bot.messages.canvas import Theme
from bot.messages.common import Answer, Button
from bot.messages.html import Html, age_phrase, bold, capital, code, lines, moment, session_phrase, zone_name
from bot.text import MONTHS, command_line, short_date

_DIRECTIONS = ("upwards", "downwards")  # the sides of a rule that crosses, as the engine has them
_ENDS_SOON = dt.timedelta(days=30)  # before its end an alert says so in the list, and can be renewed
_FIVE_YEARS = dt.timedelta(days=5 * 365 - 10)  # less what holidays may take off
_CHART_SPAN = pd.DateOffset(years=1)
ALL_ALERTS: tuple[Button, ...] = (("All alerts", "/alerts"),)


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
    note = f"{capital(_armed_phrase(alert.state))}: you get a message when the rule becomes true."
    if alert.life is Life.PAUSED:
        note = "Paused: resume it to get messages."
    elif alert.state.status is Status.FIRED:
        note = "The rule is already true, so nothing is sent now."
    elif alert.state.status is Status.WAITING:
        note = "Waiting for its first figures: you are told if it is true by then."
    html = lines(
        title(alert),
        remark,
        bold(common.SAMPLE_NOTICE) if context.market.is_sample else None,
        *figure_lines(alert, context),
        waits,
        waiting_phrase(alert, context),
        note,
        rearm_phrase(alert, context),
        frequency_line(frequency, alert.rule, context),
        ending_phrase(alert),
        next_check(context) if alert.life is Life.ACTIVE else None,
    )
    return Answer(html, buttons=(*card_buttons(alert), ALL_ALERTS))


def alert_page(alert: AlertView, context: EvaluationContext, *, remark: str | None = None) -> Answer:
    """One alert in full. `remark` says what was just done to it."""
    has_ended = alert.life.has_ended or alert.state.done
    html = lines(
        title(alert),
        bold(common.SAMPLE_NOTICE) if context.market.is_sample else None,
        bold(remark) if remark else None,
        state_sentence(alert, context.zone),
        waiting_phrase(alert, context),
        *figure_lines(alert, context),
        None if has_ended else rearm_phrase(alert, context),
        ending_phrase(alert),
        next_check(context) if alert.life is Life.ACTIVE else None,
    )
    renew = ((("Renew for a year", f"/alert {alert.number} renew"),),) if ends_soon(alert, context) else ()
    return Answer(html, buttons=(*card_buttons(alert), *renew, ALL_ALERTS))


def rule_chart_answer(alert: AlertView, context: EvaluationContext, theme: Theme, fires: Sequence[dt.date]) -> Answer:
    """The chart of an alert: a year of every condition with its threshold, the fires marked.

    Raises NoData if no condition has a figure.
    """
    rule, market = alert.rule, context.market
    name, begin = f"Alert #{alert.number}: {rule}", market.require_end() - _CHART_SPAN
    draw, missing = common.rule_chart_spec(name, rule, context, theme, begin, fires)
    if len(missing) == len(rule.conditions):
        raise NoData(f"There is nothing to draw for {rule}: no figures are stored for the last year.")
    note = f"Not drawn, because there are no figures for the last year: {'; '.join(missing)}."
    html = lines(
        title(alert),
        bold(common.SAMPLE_NOTICE) if market.is_sample else None,
        *figure_lines(alert, context),
        note if missing else None,
    )
    return Answer(html, draw, "alert", ((("Back", f"/alert {alert.number}"),),))


def card_buttons(alert: AlertView) -> tuple[tuple[Button, ...], ...]:
    """All buttons of one alert. One that has ended can only be viewed and renewed."""

    def button(label: str, action: str) -> Button:
        return label, f"/alert {alert.number} {action}"

    views = (button(f"#{alert.number} Chart", "chart"), button("Why", "why"), button("History", "history"))
    if alert.life.has_ended or alert.state.done:
        return (views, (button("Renew", "renew"),))
    pauses = [button("Resume", "resume")]
    if alert.is_paused_by_split:
        pauses.insert(0, button("Rescale", "rescale"))
    elif alert.life is Life.ACTIVE:
        is_snoozed = alert.snoozed_until is not None
        first = button("End snooze", "snooze off") if is_snoozed else button("Snooze 1d", "snooze 1d")
        pauses = [first, button("Snooze 1w", "snooze 1w"), button("Pause", "pause")]
    changes = (button("Edit", "edit"), button("Test", "test"), button("Off", "off"))
    both_ways = alert.rule.back or any(condition.op == CROSSES for condition in alert.rule.conditions)
    back = () if both_ways else ((button("Also tell me when it goes back", "back"),),)
    return (views, tuple(pauses), changes, *back)


def list_buttons(number: int, life: Life = Life.ACTIVE) -> tuple[Button, ...]:
    """The buttons of one alert in a list. The number opens everything else that can be done with it."""
    first = ((f"#{number}", f"/alert {number}"), ("Why", f"/alert {number} why"))
    if life.has_ended:
        return (*first, ("Renew", f"/alert {number} renew"))
    switch = "Pause" if life is Life.ACTIVE else "Resume"
    return (*first, (switch, f"/alert {number} {switch.lower()}"), ("Off", f"/alert {number} off"))


def suggestions(context: EvaluationContext) -> tuple[tuple[Button, ...], ...]:
    """Rules to start with that can be evaluated, one button each, and the way to one's own."""
    return (*preset_buttons("/alert new", context), (("Make my own", "/alert new"),))


def preset_buttons(command: str, context: EvaluationContext) -> tuple[tuple[Button, ...], ...]:
    """A button a preset that can be evaluated, which gives it to a command."""
    rules = ((preset.name, preset_rule(preset, context)) for preset in presets_for(context.market))
    return tuple(((name, f"{command} {name.lower()}"),) for name, rule in rules if not lacking(rule, context))


def preset_rule(preset: Preset, context: EvaluationContext) -> Rule:
    """The rule of a preset of `presets_for`."""
    return parse_rule(preset.rule, metrics_of(context.market.pair))


def lacking(rule: Rule, context: EvaluationContext) -> list[str]:
    """What is missing for the conditions that cannot be evaluated yet, a clause each."""
    clauses = []
    for condition in rule.conditions:
        series = context.histories.series(condition)
        if (series.value - series.threshold).notna().any():
            continue
        metric, arguments = METRICS[condition.metric], dict(condition.arguments)
        if series.value.notna().any():
            clauses.append(_too_short(condition, series.value.dropna()))
        elif metric.part == "multiples":
            clauses.append(f"no {condition.subject} stored")
        else:
            clauses.append(metric_value(metric, context.market, arguments).reason)
    return list(dict.fromkeys(clauses))


def _too_short(condition: Condition, values: pd.Series) -> str:
    """How many of a metric's values a target still lacks, and the month that has them at the earliest."""
    needed, clause = values_needed(condition.target), f"too little history of {condition.metric}"
    if len(values) >= needed:
        return f"{clause} for {condition.target}"
    day = values.index[-1] + pd.offsets.BDay(needed - len(values))
    month = f"{MONTHS[day.month - 1]} {day.year}"
    progress = f"{len(values)} of {needed} sessions for {condition.target}"
    return f"{clause}: {progress}, complete in {month} at the earliest"


def next_steps(rule: Rule, context: EvaluationContext) -> list[str]:
    """How to get the figures of which a rule's conditions have none: which file, by which command."""
    market, steps = context.market, list[str]()
    refresh = command_line("refresh", market.options)
    for condition in rule.conditions:
        metric, arguments = METRICS[condition.metric], dict(condition.arguments)
        if context.histories.series(condition).value.notna().any():
            continue
        funds = funds_of(market.pair, arguments)
        if metric.part == "facts":
            steps += common.flow_steps(market, funds)
        elif metric.part == "multiples":
            multiple, convention = multiple_read(metric, arguments)
            rows = market.multiples[market.multiples["metric"] == multiple]
            stored = set(rows[rows["convention"] == convention]["ticker"])
            if multiple in FROM_YAHOO.get(convention, ()):
                how = "It is added up from the companies" if convention in ADDED_UP else "Yahoo gives it"
                steps.append(f"{how} once a day: {refresh}")
            else:
                files = [market.import_line("multiples", fund) for fund in funds if fund not in stored]
                steps += [f"{multiple} {convention} comes from a file alone: {line}" for line in files]
        elif market.end is None:
            steps.append(f"Prices come with {refresh}")
    return list(dict.fromkeys(steps))


def title(alert: AlertView) -> Html:
    """Number and rule, the first line of messages about an alert."""
    return bold(f"Alert #{alert.number}") + " " + code(str(alert.rule))


def figure_lines(alert: AlertView, context: EvaluationContext) -> list[str]:
    """Value, distance and percentile of every condition, then their close, source and age.

    A value is dated if it is not of the newest close.
    """
    conditions, market, sentences = alert.rule.conditions, context.market, list[str]()
    sessions = [_shown_session(condition, context) for condition in conditions]
    newest = max((session for session in sessions if session is not None), default=None)
    for condition, session in zip(conditions, sessions, strict=True):
        if session is None:
            current = metric_value(METRICS[condition.metric], market, dict(condition.arguments))
            reason = f"{current.reason or 'no value yet'}. It is evaluated once there is a value."
            sentences.append(f"{condition.subject}: {NOT_AVAILABLE}, {reason}")
            continue
        value, distance = _value_and_distance(condition, context, session)
        dated = f" ({short_date(session)}, {common.age(market, session)})" if session != newest else ""
        sentences.append(f"{condition.subject} is {value}{dated}, {distance}.")
        rank = common.percentile_phrase(context.histories.series(condition).value)
        if rank is not None:
            sentences.append(f"{capital(rank)}.")
    sentences += next_steps(alert.rule, context)
    if newest is not None:
        sources = common.rule_sources(alert.rule, market, newest)
        close = common.newest_close(alert.rule, market, newest)
        sentences.append(f"{capital(session_phrase(close))}. {sources}")
    return sentences


def _shown_session(condition: Condition, context: EvaluationContext) -> pd.Timestamp | None:
    """The session of the value that is shown, None where the last session has none for a reason."""
    last = _last_session(condition, context)
    has_reason = last != context.market.end and _missing_reason(condition, context.market)
    return None if last is None or has_reason else last


def _missing_reason(condition: Condition, market: Market) -> str:
    """Why the last session has no value although history reaches back far enough, else ""."""
    reason = "" if market.end is None else METRICS[condition.metric].reason(market, dict(condition.arguments))
    return "" if reason == TOO_SHORT else reason


def _last_session(condition: Condition, context: EvaluationContext) -> pd.Timestamp | None:
    return context.histories.series(condition).value.last_valid_index()


def _value_and_distance(condition: Condition, context: EvaluationContext, session: pd.Timestamp) -> tuple[str, str]:
    """A session's value and its distance from the target, or a note that the target needs more history."""
    series = context.histories.series(condition)
    value, level = float(series.value.loc[session]), float(series.threshold.loc[session])
    shown, target = METRICS[condition.metric].unit.show(value), condition.target
    if not math.isnan(level):
        return shown, common.distance(condition, value, level)
    is_over_closes = target.kind in OVER_CLOSES and METRICS[condition.metric].part == "prices"
    reason = missing_reason(context.market, int(target.value)) if is_over_closes else ""
    return shown, f"{target} is {NOT_AVAILABLE}: {reason or TOO_SHORT}"


def summary_distance(alert: AlertView, context: EvaluationContext) -> str:
    """Value and distance of every condition in one line, dated if they are not of the last close."""
    conditions = alert.rule.conditions
    phrases = []
    for condition in conditions:
        last = _last_session(condition, context)
        name = f"{condition.subject} " if len(conditions) > 1 else ""
        if last is None:
            phrases.append(f"{name}has no value yet")
            continue
        if last != context.market.end and (reason := _missing_reason(condition, context.market)):
            phrases.append(f"{name}{NOT_AVAILABLE}, {reason}")
            continue
        dated = f" ({short_date(last)})" if last != context.market.end else ""
        phrases.append(f"{name}{', '.join(_value_and_distance(condition, context, last))}{dated}")
    return "; ".join(phrases)


def state_sentence(alert: AlertView, zone: ZoneInfo = EXCHANGE) -> str:
    """The state in words, as a sentence, after one about a fire that its chat was not told of."""
    snoozed = untold = ""
    if alert.untold is not None:
        untold = f"Fired on {short_date(alert.untold)}, not told: this chat refuses messages. "
    if alert.snoozed_until is not None and alert.life is Life.ACTIVE:
        snoozed = f"; snoozed until {moment(alert.snoozed_until, zone)}"
    return f"{untold}{capital(_status(alert))}{snoozed}."


def _status(alert: AlertView) -> str:
    state, reason = alert.state, f": {alert.reason.rstrip('.')}" if alert.reason else ""
    if alert.life is Life.PAUSED:
        return f"paused{reason}"
    if alert.life is not Life.ACTIVE or state.done:
        return f"ended{reason}"
    match state.status:
        case Status.CONFIRMING:
            return f"confirming{_direction(state, Status.CONFIRMING)}, {state.count} of {alert.rule.confirm}"
        case Status.WAITING:
            return "waiting for its first figures"
        case Status.FIRED:
            since = _last_fire(state)
            began = f"fired {short_date(since)}, " if since else "true from the start, "
            return f"{'' if since and since == alert.untold else began}waiting to re-arm"
    return _armed_phrase(state)


def _armed_phrase(state: State) -> str:
    """The armed state; of a crossing rule with its direction and the last fire in the other one."""
    since = _last_fire(state)
    fired = f"fired{_direction(state, Status.FIRED)} {short_date(since)}, " if since else ""
    return f"{fired}armed{_direction(state, Status.ARMED)}"


def _last_fire(state: State) -> dt.date | None:
    """Session of the last fire since which it has not armed again."""
    fires = (side.since for side in state.sides if side.status is Status.FIRED and side.since)
    return max(fires, default=None)


def _direction(state: State, status: Status) -> str:
    """The direction of a crossing rule that has a status, "" for any other rule."""
    if len(state.sides) < len(_DIRECTIONS):
        return ""
    sides = zip(_DIRECTIONS, state.sides, strict=True)
    matching = [direction for direction, side in sides if side.status is status]
    return f" {matching[0]}" if len(matching) == 1 else " both ways"


def stale_phrase(alert: AlertView, context: EvaluationContext) -> str | None:
    """A sentence that data of the rule is overdue, and for how long. None while it is current or held."""
    overdue = 0
    for condition in alert.rule.conditions:
        if context.histories.series(condition).held_from is not None:
            continue
        if (last := _last_session(condition, context)) is not None:
            behind = context.market.sessions_behind(last)
            overdue = max(overdue, behind) if behind > METRICS[condition.metric].lag else overdue
    return f"Stale: {age_phrase(overdue)}." if overdue and alert.life is Life.ACTIVE else None


def waiting_phrase(alert: AlertView, context: EvaluationContext) -> str | None:
    """A sentence that the alert waits for a session that is missing or held, None if it waits for none."""
    mark, rule, market = alert.state.session, alert.rule, context.market
    newest = [_last_session(condition, context) for condition in rule.conditions]
    behind = market.sessions_behind(pd.Timestamp(mark))
    if alert.life is not Life.ACTIVE or None in newest or behind <= rule_lag(rule, METRICS):
        return None
    if len(context.histories.samples(rule, mark, market.sessions)):
        return None
    session = market.sessions[market.sessions.searchsorted(pd.Timestamp(mark), side="right")]
    until = f"waiting for {short_date(session)}, {PATIENCE} sessions at most"
    if any(context.histories.series(condition).held_from == session for condition in rule.conditions):
        until = f"the units of {short_date(session)} are not confirmed yet (see /flows)"
    return f"Evaluated up to {short_date(mark)}; {until}."


def ends_soon(alert: AlertView, context: EvaluationContext) -> bool:
    """Whether the alert's last day is near."""
    if alert.expires_on is None or alert.life.has_ended:
        return False
    today: dt.date = context.market.last_completed.date()
    return alert.expires_on - today <= _ENDS_SOON


def ending_phrase(alert: AlertView) -> str | None:
    """The day on which the alert expires, None without one or after it has ended."""
    if alert.expires_on is None or alert.life.has_ended:
        return None
    return f"Ends {short_date(alert.expires_on)} unless renewed."


def next_check(context: EvaluationContext) -> str:
    """When alerts are evaluated next: once the next close has settled."""
    return f"Next check: {moment(context.next_check + SETTLE, context.zone)} ({zone_name(context.zone)})."


def rearm_phrase(alert: AlertView, context: EvaluationContext) -> str | None:
    """How the rule re-arms, or that it fires once. None for a rule that has fired its one time."""
    rule, state = alert.rule, alert.state
    if rule.once and not rule.back:
        return None if state.done else "It fires once and is then done."
    verb = "Re-arms" if state.status is Status.FIRED else "After a fire it re-arms"
    if rule.rearm is not None:
        return f"{verb} at {METRICS[rule.conditions[0].metric].unit.show(rule.rearm)}."
    bands = zip(rule.conditions, state.bands, strict=True)
    levels = [_rearm_level(condition, band, context) for condition, band in bands]
    return f"{verb} {rule.joined(levels, 'and', 'or')}."


def _rearm_level(condition: Condition, band: float, context: EvaluationContext) -> str:
    """Where one condition re-arms: a level, or a distance from a target that moves."""
    unit, target = METRICS[condition.metric].unit, condition.target
    side = {CROSSES: "back past"}.get(condition.op, "below" if condition.op in ABOVE else "above")
    if not band:
        return f"{side} {target} (no band: fewer than 60 values)"
    shown = common.magnitude(common.difference_unit(unit), band)
    if condition.op == CROSSES:
        return f"{shown} {side} {target}"
    offset = -band if condition.op in ABOVE else band
    if target.kind == AMOUNT:
        return f"at {unit.show(target.value + offset)}"
    threshold = context.histories.series(condition).threshold.dropna()
    now = f" (now {unit.show(float(threshold.iloc[-1]) + offset)})" if len(threshold) else ""
    return f"{shown} {side} {target}{now}"


def rearmed(rule: Rule, event: Event) -> str:
    """Where an alert that fired re-arms."""
    if event.done:
        return "It was set to fire once and is now done."
    if event.kind == BACK:
        return "Armed again: you get a message when it becomes true."
    shown = [
        METRICS[condition.metric].unit.show(level)
        + ("" if condition.target.kind == AMOUNT else f" (moves with {condition.target})")
        if level is not None
        else ""
        for condition, level in zip(rule.conditions, event.levels, strict=True)
    ]
    groups = [" or ".join(filter(None, group)) for group in rule.grouped(shown)]
    return (
        f"Re-arms at {' and '.join(filter(None, groups))}." if any(groups) else "Re-arms once the value has gone back."
    )


def frequency_line(frequency: Frequency, rule: Rule, context: EvaluationContext) -> str:
    """How often a rule would have fired, and since when there is history of all its conditions."""
    of_condition = ""
    if len(rule.conditions) > 1:
        of_condition = f" of {common.latest_starting_condition(rule, context.histories)}"
    if frequency.since is None or frequency.until is None:
        return f"How often it would have fired: {NOT_AVAILABLE}, no history{of_condition}."
    span = f"Since {short_date(frequency.since)} (before: too little history{of_condition})"
    if frequency.until - frequency.since >= _FIVE_YEARS:
        span = "In the last 5 years"
    if not frequency.dates:
        return f"{span} it would not have fired."
    when = "on" if frequency.count == 1 else "last on"
    return f"{span} it would have fired {times(frequency.count)}, {when} {short_date(frequency.dates[-1])}."


def times(count: int) -> str:
    """A number of times in words: never, once, twice, 3 times."""
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")
