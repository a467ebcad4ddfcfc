"""A chat's alerts in pages, what they did, and why one fired.

A page fits one message. An explanation evaluates the stored inputs again and shows today's data beside them.
"""

import datetime as dt
import math
from collections.abc import Sequence
from contextlib import suppress

import msgspec
import pandas as pd

from bot.alerts.engine import ALREADY, BACK, FIRED, REMINDER, ConditionValue, Event, Sample, step, truth
from bot.alerts.rule import AMOUNT, Condition, Rule
from bot.alerts.view import AlertView, EvaluationContext, Life, RecordedFire
from bot.analytics.market import NO_SOURCE
from bot.analytics.metrics import METRICS
from bot.analytics.windows import AsOf
from bot.messages import common
from bot.messages.alerts import card, words
from bot.messages.alerts.notices import plain_line
from bot.messages.html import Html, bold, code, lines, session_phrase, visible_length
from bot.text import counted, short_date
from storage.alert_store import ChatEvent

_SAME = 1e-9  # of a figure: what arithmetic in another order may differ by


def explanation(
    alert: AlertView, fire: RecordedFire, context: EvaluationContext, remark: str | None = None
) -> common.Answer:
    """The stored figures, their evaluation repeated, and whether the data has changed since."""
    rule, event = fire.rule, fire.event
    close = common.newest_close(rule, context.market, pd.Timestamp(event.session))
    observed = dt.datetime.fromisoformat(fire.observed_at).astimezone(dt.UTC)
    happened = "fired" if event.kind == FIRED else f"was {event.kind} true"
    html = lines(
        bold(f"Why #{fire.number} {happened}: {words.headline(rule, event, context.market.pair)}")
        + f" · {session_phrase(close)}",
        *(_comparison(event, position, condition) for position, condition in enumerate(rule.conditions)),
        remark,
        _evaluated_again(fire),
        _revision_sentence(fire, context),
    )
    quote = lines(
        f"#{fire.number}: " + code(str(rule)),
        words.rearmed(rule, event),
        f"Inputs as stored: {fire.source}, observed {short_date(observed)}, {observed:%H:%M} UTC.",
    )
    return common.Answer(html, quote=quote, buttons=card.card_buttons(alert))


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
        outcome = "it fires" if event.kind == "fired" else f"{event.kind} true"
    else:
        outcome = "the result differs from what was reported" if again else "it does not fire"
    state = f"the state after {short_date(before.session)} ({before.status.value})"
    return f"Evaluated again from {state}: {outcome}."


def _revision_sentence(fire: RecordedFire, context: EvaluationContext) -> str | None:
    """Today's figures of that session, if they differ."""
    rule, event, session = fire.rule, fire.event, pd.Timestamp(fire.event.session)
    histories = [context.histories.series(condition) for condition in rule.conditions]
    current = tuple(
        ConditionValue(series.value.get(session), series.threshold.get(session)).finite for series in histories
    )
    changed = []
    for condition, new, old in zip(rule.conditions, current, event.figures, strict=True):
        if not _same(new.value, old.value) or not _same(new.threshold, old.threshold):
            show = METRICS[condition.metric].unit.show
            target = "" if condition.target.kind == AMOUNT else f" ({condition.target} {show(new.threshold)})"
            changed.append(f"{condition.subject} is {show(new.value)}{target} now")
    if not changed:
        return None
    verdicts = {True: "is still true", False: "is not true", None: "cannot be evaluated"}
    verdict = verdicts[truth(rule, event.ops, Sample(event.session, current))]
    return f"Data revised since: {'; '.join(changed)}; the rule {verdict} on these figures."


def _same(value: float | None, other: float | None) -> bool:
    if value is None or other is None:
        return value is other
    return math.isclose(value, other, rel_tol=_SAME, abs_tol=_SAME)


ALERTS_A_PAGE = 8  # alerts on a page, a line and a button each
_ROOM = 2500  # visible UTF-16 units of a page's quote; the rest is on the alerts' own pages
EVENTS_A_PAGE = 20
_TRANSITIONS = {
    "fired": "fired",
    "still": "still true",
    ALREADY: "true already with its first figures",
    REMINDER: "still true, reminded",
    BACK: "back past its re-arm level",
    "withdrawn": "withdrawn because the data was revised",
    "restated": "fired on revised figures",
}
_DEFERRED = {
    "snooze": "sent when the snooze ends",
    "quiet": "sent after the quiet hours",
    "asleep": "not told: this chat refuses messages",
}


def alert_list(alerts: Sequence[AlertView], context: EvaluationContext, page: int = 1) -> common.Answer:
    """A page of the chat's alerts, the nearest to firing first: a line each, rule and figures in the quote."""
    if not alerts:
        example = Html("Try {}, or choose:").format(code("/alert ratio > sma 200"))
        return common.Answer(lines(bold("No alerts yet."), example), buttons=card.suggestions(context))
    market = context.market
    # Sorting is stable: those with the same place keep the order of their numbers.
    rows = sorted(((*words.standing(alert, context), alert) for alert in alerts), key=lambda row: row[0])
    count = math.ceil(len(rows) / ALERTS_A_PAGE)
    page = min(max(page, 1), count)
    shown = rows[(page - 1) * ALERTS_A_PAGE : page * ALERTS_A_PAGE]
    fired = sum(place == 0 for (place, _), _, _ in rows)
    name = f"{counted(len(alerts), 'alert')}, {f'{fired} fired lately' if fired else 'none fired lately'}"
    name += f", page {page} of {count}" if count > 1 else ""
    conditions = (condition for _, _, alert in shown for condition in alert.rule.conditions)
    sources = [source for source in common.condition_sources(conditions, market) if source != NO_SOURCE.label]
    html = lines(
        # Alerts can be listed before any data is stored.
        bold(name) + " · no data yet" if market.end is None else common.heading(name, market, AsOf()),
        *(line + _remarks(alert, context) for _, line, alert in shown),
    )
    entries, room = list[Html](), _ROOM
    for _, _, alert in shown:
        sentences = (
            words.state_sentence(alert, context.zone),
            words.figures_line(alert, context).replace(f" {common.SAMPLE_NOTICE}", ""),
            words.waiting_phrase(alert, context),
        )
        rule = msgspec.structs.replace(alert.rule, note="")
        entry = Html("#{} {}: {}").format(alert.number, code(str(rule)), " ".join(filter(None, sentences)))
        room -= visible_length(entry)
        entries += [entry] if room > 0 else []
    source = common.source_line(sources) if not market.is_sample else None
    numbers = [(f"#{alert.number}", f"/alert {alert.number}") for _, _, alert in shown]
    turns = ((("‹ Nearer", page - 1),) if page > 1 else ()) + ((("Farther ›", page + 1),) if page < count else ())
    onward = tuple((label, f"/alerts page {number}") for label, number in turns)
    last = (*onward, ("New alert", "/alert"))
    return common.Answer(html, quote=lines(*entries, source), buttons=(*common.in_rows(numbers, 4), last))


def _remarks(alert: AlertView, context: EvaluationContext) -> str:
    """What else is to be known about an alert: that it is snoozed, waits for data, or ends soon."""
    ends = alert.expires_on if card.ends_soon(alert, context) else None
    is_snoozed = alert.snoozed_until is not None and alert.life is Life.ACTIVE
    remarks = (
        "snoozed" if is_snoozed else "",
        "waiting for data" if words.waiting_phrase(alert, context) else "",
        f"ends {short_date(ends)}" if ends else "",
    )
    return "".join(f", {remark}" for remark in remarks if remark)


def history_answer(events: Sequence[ChatEvent], number: int | None = None, *, page: int = 1) -> common.Answer:
    """A page of events, newest first: of one alert, or of all in the chat.

    `events` begin at the page. If there are more than fit on it, a button leads to the older ones.
    """
    events, more = events[:EVENTS_A_PAGE], len(events) > EVENTS_A_PAGE
    turns = _history_turns(number, page, more=more)
    alert_row = () if number is None else (((f"#{number}", f"/alert {number}"), card.ALL_ALERTS),)
    if not events:
        nothing = "Nothing has fired yet." if number is None else f"Alert #{number} has not fired yet."
        if page > 1:
            nothing, turns = f"There is no page {page}.", _history_turns(number, 2, more=False)
        hint = "Your alerts: /alerts" if number is None else None
        return common.Answer(lines(bold(nothing), hint), buttons=(*turns, *alert_row))
    count = f"Last {len(events)} events, newest first" if len(events) > 1 else "One event"
    if turns:
        count = f"Page {page} of events, newest first"
    title = count if number is None else f"Alert #{number}: {count[0].lower()}{count[1:]}"
    labels = ", ".join(dict.fromkeys(event.detail.source for event in events if event.detail.source))
    source = f"Source: {labels}." if labels else None
    return common.Answer(lines(bold(title), *map(_event_line, events), "", source), buttons=(*turns, *alert_row))


def _history_turns(number: int | None, page: int, *, more: bool) -> tuple[tuple[common.Button, ...], ...]:
    command = "/history" if number is None else f"/history {number}"
    newer = (("‹ Newer", f"{command} page {page - 1}"),) if page > 1 else ()
    older = (("Older ›", f"{command} page {page + 1}"),) if more else ()
    return ((*newer, *older),) if newer or older else ()


def _event_line(event: ChatEvent) -> Html:
    """The event with the rule as it was then, and the value at which it happened."""
    rule_text, unit = event.rule, None
    with suppress(KeyError, msgspec.DecodeError):  # it cannot be read any more
        rule = Rule.from_json(event.detail.rule)
        rule_text, unit = str(rule), METRICS[rule.conditions[0].metric].unit
    outcome = _TRANSITIONS.get(event.transition, event.transition)
    if unit and event.value is not None and event.transition != "withdrawn":
        outcome += f" at {unit.show(event.value)}"
    is_muted = False
    with suppress(msgspec.DecodeError):  # an event that cannot be read any more
        is_muted = Event.from_json(event.detail.event).muted
    unsent = "held back by its cooldown" if is_muted else _DEFERRED.get(event.deferred or "")
    if unsent:
        outcome += f", {unsent}"
    return plain_line(event.number, rule_text, event.session, outcome)
