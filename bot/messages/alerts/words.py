"""What messages about alerts say: rules and figures in words, the state, where it re-arms, how far it is.

The first line of such a message is a sentence of `headline` or `rule_words`, the figures follow, and everything
else about the alert is in the quote of `details`.
"""

import datetime as dt
import math
from collections.abc import Sequence
from functools import lru_cache, partial
from textwrap import shorten
from zoneinfo import ZoneInfo

import pandas as pd

from bot.alerts import nearness
from bot.alerts.backtest import Frequency
from bot.alerts.engine import ALREADY, BACK, FIRED, Event, Sample, State, Status, truth
from bot.alerts.nearness import Distance
from bot.alerts.presets import name_of
from bot.alerts.rule import ABOVE, AMOUNT, CROSSES, MIRROR, Condition, Rule, Target
from bot.alerts.series import OVER_CLOSES, PATIENCE, rule_lag
from bot.alerts.view import AlertView, EvaluationContext, Life
from bot.analytics.market import Market
from bot.analytics.metrics import METRICS, metric_value
from bot.analytics.performance import TOO_SHORT
from bot.analytics.sessions import EXCHANGE, SETTLE
from bot.analytics.trend import missing_reason
from bot.analytics.units import MINUS, NOT_AVAILABLE
from bot.messages import common
from bot.messages.html import Html, age_phrase, bold, capital, code, lines, moment, session_phrase, zone_name
from bot.pair import Pair
from bot.text import date_phrase, short_date

_NEAREST = 3  # alerts of a summary
_BAR = 8  # characters
_LONGEST_NAME = 80  # characters of a line's name
_DIRECTIONS = ("upwards", "downwards")  # the sides of a rule that crosses, as the engine has them
_FIVE_YEARS = dt.timedelta(days=5 * 365 - 10)  # less what holidays may take off
_SIDES = {">": "above", ">=": "at or above", "<": "below", "<=": "at or below", CROSSES: "across"}
_TARGETS = {"sma": "its {:g}-day average", "high": "its {:g}-day high", "low": "its {:g}-day low"}
_PERCENTILE = "percentile {:g} of its history"


# Rules in words


def alert_name(alert: AlertView, market: Market) -> str:
    """Return what a person calls an alert: its note, its preset's name, or number and rule in words."""
    return name_of(alert.rule, market) or f"#{alert.number} {capital(rule_words(alert.rule, market.pair))}"


def label(alert: AlertView, market: Market) -> str:
    """Return the name with the number: "“Trend breaks” (#3)", "Alert #3" without a name."""
    name = name_of(alert.rule, market)
    return f"“{name}” (#{alert.number})" if name else f"Alert #{alert.number}"


def rule_words(rule: Rule, pair: Pair) -> str:
    """Return the conditions of a rule in words: "IWM/SPY above its 200-day average"."""
    return rule.joined([f"{subject_words(c, pair)} {_SIDES[c.op]} {target_words(c.target)}" for c in rule.conditions])


@lru_cache(1024)  # many alerts fire on the same
def subject_words(condition: Condition, pair: Pair) -> str:
    """Return the metric of a condition with its arguments in words: "IWM's flow over 20d"."""
    return common.metric_phrase(METRICS[condition.metric], dict(condition.arguments), pair)


def target_words(target: Target) -> str:
    """Return a target in words: "$1bn", "its 200-day average"."""
    if target.kind == AMOUNT:
        return str(target).replace("-", MINUS)  # as it was typed
    return _TARGETS.get(target.kind, _PERCENTILE).format(target.value)


def headline(rule: Rule, event: Event, pair: Pair) -> str:
    """Return what happened to a rule, without a full stop: "IWM/SPY crossed above its 200-day average".

    Of a rule with `or`, the groups that are true are named.
    """
    several, clauses = len(rule.conditions) > 1, []
    for condition, op in zip(rule.conditions, event.ops, strict=True):
        side = _SIDES[MIRROR[op] if event.kind == BACK and not several else op]
        if several or event.kind == ALREADY or (event.kind == FIRED and len(side.split()) > 1):
            verb = "is"
        elif event.kind == BACK:
            verb = "is back"
        elif event.kind == FIRED:
            verb = "crossed" if rule.confirm == 1 else "has been"
        else:
            verb = "is still"
        clauses.append(f"{subject_words(condition, pair)} {verb} {side} {target_words(condition.target)}")
    if rule.or_at and event.kind != BACK:
        groups = zip(rule.grouped(clauses), rule.grouped(event.ops), rule.grouped(event.figures), strict=True)
        true = [
            group
            for group, ops, figures in groups
            if truth(Rule(rule.conditions[: len(group)]), tuple(ops), Sample(event.session, tuple(figures)))
        ]
        words = " or ".join(" and ".join(group) for group in true)
    else:
        words = rule.joined(clauses)
    if several and event.kind != FIRED:
        words = f"{ {BACK: 'no longer true', ALREADY: 'true already'}.get(event.kind, 'still true') }: {words}"
    elif event.kind == ALREADY:
        words += " already"
    elif event.kind == FIRED and rule.confirm > 1:
        words += f" for {rule.confirm} sessions"
    return capital(words)


# Figures


def against(condition: Condition, value: float, level: float) -> str:
    """Return a value beside its target, and how far past it is: "0.4676 against 0.4642 (+0.7%)"."""
    metric, gap = METRICS[condition.metric], value - level
    target = target_words(condition.target) if condition.target.kind == AMOUNT else metric.unit.show(level)
    shown = common.gap_text(metric.unit, gap, level)
    if not any(digit in shown for digit in "123456789"):
        shown = "equal" if gap == 0 else "just above" if gap > 0 else "just below"
    else:
        shown = ("+" if gap > 0 else MINUS) + shown
    return f"{metric.unit.show(value)} against {target} ({shown})"


def figures_line(alert: AlertView, context: EvaluationContext) -> str:
    """Return the newest value of every condition beside its target, with the close that they are of.

    A value is dated by itself if it is of another session. One that is missing is said, and why.
    """
    conditions, market, parts = alert.rule.conditions, context.market, list[str]()
    sessions = [shown_session(condition, context) for condition in conditions]
    newest = max((session for session in sessions if session is not None), default=None)
    for condition, session in zip(conditions, sessions, strict=True):
        if session is None:
            current = metric_value(METRICS[condition.metric], market, dict(condition.arguments))
            name = f"{subject_words(condition, market.pair)} " if len(conditions) > 1 else ""
            parts.append(f"{name}{NOT_AVAILABLE}, {current.reason or 'no value yet'}")
            continue
        dated = f", {common.date_with_age(market, session)}" if session != newest else ""
        parts.append(f"{_value_and_target(condition, context, session)}{dated}")
    if newest is None:
        return f"Now {'; '.join(parts)}. It is evaluated once there is a value."
    close = common.newest_close(alert.rule, market, newest)
    sample = f" {common.SAMPLE_NOTICE}" if market.is_sample else ""
    return f"Now {'; '.join(parts)}, {common.with_age(session_phrase(close), market, close)}.{sample}"


def _value_and_target(condition: Condition, context: EvaluationContext, session: pd.Timestamp) -> str:
    """Return a session's value beside its target, or a note that the target needs more history."""
    series = context.histories.series(condition)
    value, level = float(series.value.loc[session]), float(series.threshold.loc[session])
    if not math.isnan(level):
        return against(condition, value, level)
    metric, target = METRICS[condition.metric], condition.target
    is_over_closes = target.kind in OVER_CLOSES and metric.part == "prices"
    reason = missing_reason(context.market, int(target.value)) if is_over_closes else ""
    return f"{metric.unit.show(value)}, {target_words(target)} is {NOT_AVAILABLE}: {reason or TOO_SHORT}"


def shown_session(condition: Condition, context: EvaluationContext) -> pd.Timestamp | None:
    """Return the session of the value that is shown, None where the last session has none for a reason."""
    last, market = last_session(condition, context), context.market
    reason = "" if market.end is None else METRICS[condition.metric].reason(market, dict(condition.arguments))
    return None if last is None or (last != market.end and reason not in {"", TOO_SHORT}) else last


def last_session(condition: Condition, context: EvaluationContext) -> pd.Timestamp | None:
    """Return the last session with a value."""
    return context.histories.series(condition).value.last_valid_index()


def rank_sentences(rule: Rule, context: EvaluationContext, session: dt.date | None = None) -> list[str]:
    """Return the percentile of every condition's value on a session, by default the newest; several are named."""
    last = None if session is None else pd.Timestamp(session)

    def rank(condition: Condition) -> str | None:
        return common.percentile_phrase(context.histories.series(condition).value.loc[:last])

    subjects = [condition.subject for condition in rule.conditions]
    ranks = [context.once(("rank", c.subject, session), partial(rank, c)) for c in rule.conditions]
    return [
        f"{subject}: {phrase}." if len(subjects) > 1 else f"{capital(phrase)}."
        for subject, phrase in zip(subjects, ranks, strict=True)
        if phrase is not None
    ]


def details(alert: AlertView, context: EvaluationContext, *sentences: Html | str | None, source: str = "") -> Html:
    """Return the quote of a message about an alert: its name, number and rule, the sentences, the source."""
    rule, market = alert.rule, context.market
    name = name_of(rule, market)
    if not source and not market.is_sample:
        sessions = [shown_session(condition, context) for condition in rule.conditions]
        newest = max((session for session in sessions if session is not None), default=None)
        source = common.rule_sources(rule, market, newest) if newest is not None else ""
    return lines(
        (f"“{name}” " if name else "") + f"#{alert.number}: " + code(str(rule)), *filter(None, (*sentences, source))
    )


# States


def state_sentence(alert: AlertView, zone: ZoneInfo = EXCHANGE) -> str:
    """Return the state in words, as a sentence, after one about a fire that its chat was not told of."""
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
    return armed_phrase(state)


def armed_phrase(state: State) -> str:
    """Return the armed state; of a crossing rule with its direction and the last fire in the other one."""
    since = _last_fire(state)
    fired = f"fired{_direction(state, Status.FIRED)} {short_date(since)}, " if since else ""
    return f"{fired}armed{_direction(state, Status.ARMED)}"


def _last_fire(state: State) -> dt.date | None:
    """Return the session of the last fire since which it has not armed again."""
    fires = (side.since for side in state.sides if side.status is Status.FIRED and side.since)
    return max(fires, default=None)


def _direction(state: State, status: Status) -> str:
    """Return the direction of a crossing rule that has a status, "" for any other rule."""
    if len(state.sides) < len(_DIRECTIONS):
        return ""
    sides = zip(_DIRECTIONS, state.sides, strict=True)
    matching = [direction for direction, side in sides if side.status is status]
    return f" {matching[0]}" if len(matching) == 1 else " both ways"


def waiting_phrase(alert: AlertView, context: EvaluationContext) -> str | None:
    """Return a sentence that data is overdue, or which session is missing or held, None where none is.

    Nothing is overdue while a figure is held.
    """
    mark, rule, market, overdue = alert.state.session, alert.rule, context.market, 0
    newest = [last_session(condition, context) for condition in rule.conditions]
    if alert.life is not Life.ACTIVE:
        return None
    for condition, last in zip(rule.conditions, newest, strict=True):
        if last is not None and context.histories.series(condition).held_from is None:
            late = market.sessions_behind(last)
            overdue = max(overdue, late) if late > METRICS[condition.metric].lag else overdue
    stale = f"Stale: {age_phrase(overdue)}." if overdue else None
    behind = market.sessions_behind(pd.Timestamp(mark))
    if None in newest or behind <= rule_lag(rule, METRICS):
        return stale
    if len(context.histories.samples(rule, mark, market.sessions)):
        return stale
    session = market.sessions[market.sessions.searchsorted(pd.Timestamp(mark), side="right")]
    until = f"waiting for {short_date(session)}, {PATIENCE} sessions at most"
    if any(context.histories.series(condition).held_from == session for condition in rule.conditions):
        until = f"the units of {short_date(session)} are not confirmed yet (see /flows)"
    return " ".join(filter(None, [f"Evaluated up to {short_date(mark)}; {until}.", stale]))


def ending_phrase(alert: AlertView) -> str | None:
    """Return the day on which the alert expires, None without one or after it has ended."""
    if alert.expires_on is None or alert.life.has_ended:
        return None
    return f"Ends {short_date(alert.expires_on)} unless renewed."


def next_check(context: EvaluationContext) -> str:
    """Return when alerts are evaluated next: once the next close has settled."""
    return f"Next check: {moment(context.next_check + SETTLE, context.zone)} ({zone_name(context.zone)})."


def rearm_phrase(alert: AlertView, context: EvaluationContext) -> str | None:
    """Return how the rule re-arms, or that it fires once. None for a rule that has fired its one time."""
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
    """Return where one condition re-arms: a level, or a distance from a target that moves."""
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
    """Return where an alert that fired re-arms."""
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
    """Return how often a rule would have fired, and since when there is history of all its conditions."""
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
    """Return a number of times in words: never, once, twice, 3 times."""
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")


# Distances


def standing(alert: AlertView, context: EvaluationContext) -> tuple[tuple[int, float], Html]:
    """Return where an alert stands, in a line, and its place in a list.

    First those that fired at the last two closes, then the armed ones by their distance, those that wait to
    re-arm, those without figures, and the paused ones.
    """
    name = bold(shorten(alert_name(alert, context.market), _LONGEST_NAME, placeholder="…")) + " "
    state = alert.state
    if alert.life is Life.PAUSED:
        return (4, 0.0), name + _status(alert)
    since = _last_fire(state)
    if since is not None and (day := _recent(since, alert, context.market)) is not None:
        return (0, 0.0), name + f"fired {day}{_rearms(alert, context)}"
    if state.status in {Status.ARMED, Status.CONFIRMING}:
        distance = nearness.to_fire(alert.rule, context.histories)
        if distance is not None:
            return (1, -distance.share), name + f"{bar(distance.share)} {_to_go(alert, distance)}"
    if state.status is Status.FIRED:
        return (2, 0.0), name + _status(alert).partition(",")[0] + _rearms(alert, context)
    return (3, 0.0), name + ("no value yet" if state.status is Status.ARMED else _status(alert))


def standing_lines(alerts: Sequence[AlertView], context: EvaluationContext) -> list[Html]:
    """Return the alerts that fired at the last two closes and the nearest of the others, three at most."""
    rows = sorted((standing(alert, context) for alert in alerts), key=lambda row: row[0])
    return [line for (place, _), line in rows if place <= 1][:_NEAREST]


def _recent(fired: dt.date, alert: AlertView, market: Market) -> str | None:
    """Return "today" or "yesterday", or the day, if an alert became known to fire at one of two closes."""
    lag = rule_lag(alert.rule, METRICS)
    since = market.sessions_behind(pd.Timestamp(fired)) - lag
    if since > 1:
        return None
    if since <= 0:
        return "today"
    is_near = (market.last_completed - pd.Timestamp(fired)).days <= 1 + lag
    return "yesterday" if is_near else date_phrase(fired).rpartition(" ")[0]


def _rearms(alert: AlertView, context: EvaluationContext) -> str:
    """Return how far the value is from where the alert re-arms, "" for one that has done so."""
    back = nearness.to_rearm(alert.rule, alert.state, context.histories)
    if alert.state.status is not Status.FIRED or back is None:
        return ""
    return f", re-arms {_gap(back)} {'higher' if back.gap > 0 else 'lower'}"


def _to_go(alert: AlertView, distance: Distance) -> str:
    if distance.share < 1:
        return f"{_gap(distance)} to go"
    if alert.state.status is Status.CONFIRMING:
        return f"true, confirming {alert.state.count} of {alert.rule.confirm}"
    return "at its level"


def _gap(distance: Distance) -> str:
    return common.gap_text(METRICS[distance.condition.metric].unit, distance.gap, distance.value)


def bar(share: float) -> str:
    """Return a bar that is full at the level. One that is not there is never shown full."""
    full = _BAR if share >= 1 else min(int(share * _BAR + 0.5), _BAR - 1)
    return "▓" * full + "░" * (_BAR - full)
