"""A chat's alerts in pages, what they did, and why one fired.

A page fits one message. An explanation evaluates the stored inputs again and shows today's data beside them.
"""

import datetime as dt
import math
from collections.abc import Sequence
from contextlib import suppress

import msgspec
import pandas as pd

from bot.alerts.engine import ALREADY, BACK, REMINDER, ConditionValue, Event, Sample, step, truth
from bot.alerts.rule import AMOUNT, Condition, Rule
from bot.alerts.view import AlertView, EvaluationContext, RecordedFire
from bot.analytics.market import NO_SOURCE
from bot.analytics.metrics import METRICS
from bot.analytics.windows import AsOf
from bot.messages.alerts import card
from bot.messages.alerts.notices import plain_line
from bot.messages.common import Answer, Button, condition_sources, heading, newest_close, source_line
from bot.messages.html import Html, bold, capital, code, lines, session_phrase, visible_length
from bot.text import short_date
from storage.alert_store import ChatEvent

_SAME = 1e-9  # of a figure: what arithmetic in another order may differ by


def explanation(fire: RecordedFire, context: EvaluationContext) -> Html:
    """The stored figures, their evaluation repeated, and whether the data has changed since."""
    rule, event = fire.rule, fire.event
    close = newest_close(rule, context.market, pd.Timestamp(event.session))
    happened = "fired" if event.kind == "fired" else f"was {event.kind} true"
    observed = dt.datetime.fromisoformat(fire.observed_at).astimezone(dt.UTC)
    return lines(
        bold(f"Why #{fire.number} {happened}") + f" · {session_phrase(close)}",
        code(str(rule)),
        *(_comparison(event, position, condition) for position, condition in enumerate(rule.conditions)),
        card.rearmed(rule, event),
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


ALERTS_A_PAGE = 8  # alerts on a page, a row of buttons each
ROOM = 3200  # visible UTF-16 units of a page's alerts; heading and sources take the rest of a message
Page = list[tuple["AlertView", Html]]
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


def alert_list(alerts: Sequence[AlertView], context: EvaluationContext, shown: int = 0) -> Answer:
    """A page of the chat's alerts: rule, state, value and target. `shown` is an alert on that page."""
    if not alerts:
        example = Html("Try {}, or choose:").format(code("/alert ratio > sma 200"))
        return Answer(lines(bold("No alerts yet."), example), buttons=card.suggestions(context))
    market = context.market
    pages = _pages(alerts, context)
    index = next((at for at, page in enumerate(pages) if page[-1][0].number >= shown), len(pages) - 1)
    page = pages[index]
    name = f"Alerts, page {index + 1} of {len(pages)}" if len(pages) > 1 else "Alerts"
    conditions = (condition for alert, _ in page for condition in alert.rule.conditions)
    sources = [label for label in condition_sources(conditions, market) if label != NO_SOURCE.label]
    html = lines(
        # Alerts can be listed before any data is stored.
        bold(name) + " · no data yet" if market.end is None else heading(name, market, AsOf()),
        *(entry for _, entry in page),
        source_line(sources),
    )
    rows = tuple(card.list_buttons(alert.number, alert.life) for alert, _ in page)
    return Answer(html, buttons=(*rows, *_page_buttons(pages, index)))


def _pages(alerts: Sequence[AlertView], context: EvaluationContext) -> list[Page]:
    pages: list[Page] = [[]]
    used = 0
    for alert in alerts:
        sentences = (
            card.state_sentence(alert, context.zone),
            f"{capital(card.summary_distance(alert, context))}.",
            card.waiting_phrase(alert, context),
            card.stale_phrase(alert, context),
            card.ending_phrase(alert) if card.ends_soon(alert, context) else None,
        )
        head = bold(f"#{alert.number}") + " " + code(str(alert.rule))
        entry = lines(head, " ".join(filter(None, sentences)))
        length = visible_length(entry) + 1
        if pages[-1] and (len(pages[-1]) == ALERTS_A_PAGE or used + length > ROOM):
            pages.append([])
            used = 0
        pages[-1].append((alert, entry))
        used += length
    return pages


def _page_buttons(pages: list[Page], index: int) -> tuple[tuple[Button, ...], ...]:
    """Buttons to the neighbouring pages. They name an alert, so that they survive changes of the list."""
    row: list[Button] = []
    for at, label in ((index - 1, "‹ {}"), (index + 1, "{} ›")):
        if 0 <= at < len(pages):
            first, last = pages[at][0][0].number, pages[at][-1][0].number
            span = f"#{first}" if first == last else f"#{first} to #{last}"
            row.append((label.format(span), f"/alerts {first}"))
    return (tuple(row),) if row else ()


def history_answer(events: Sequence[ChatEvent], number: int | None = None, *, page: int = 1) -> Answer:
    """A page of events, newest first: of one alert, or of all in the chat.

    `events` begin at the page. If there are more than fit on it, a button leads to the older ones.
    """
    events, more = events[:EVENTS_A_PAGE], len(events) > EVENTS_A_PAGE
    turns = _history_turns(number, page, more=more)
    alert_row = () if number is None else (((f"#{number}", f"/alert {number}"), *card.ALL_ALERTS),)
    if not events:
        nothing = "Nothing has fired yet." if number is None else f"Alert #{number} has not fired yet."
        if page > 1:
            nothing, turns = f"There is no page {page}.", _history_turns(number, 2, more=False)
        hint = "Your alerts: /alerts" if number is None else None
        return Answer(lines(bold(nothing), hint), buttons=(*turns, *alert_row))
    count = f"Last {len(events)} events, newest first" if len(events) > 1 else "One event"
    if turns:
        count = f"Page {page} of events, newest first"
    title = count if number is None else f"Alert #{number}: {count[0].lower()}{count[1:]}"
    labels = ", ".join(dict.fromkeys(event.detail.source for event in events if event.detail.source))
    source = f"Source: {labels}." if labels else None
    return Answer(lines(bold(title), *map(_event_line, events), "", source), buttons=(*turns, *alert_row))


def _history_turns(number: int | None, page: int, *, more: bool) -> tuple[tuple[Button, ...], ...]:
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
