"""What alerts did: one line an event, newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from bot.alerts.grammar import parse_rule
from bot.alerts.rule import Rule
from bot.analytics.registry import METRICS
from bot.errors import BadInput
from bot.rendering.answer import Answer, Button
from bot.rendering.text import Html, bold, code, lines, short_date

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bot.analytics.units import Unit
    from storage.events import ChatEvent, EventDetail

_WORDS = {
    "fired": "fired",
    "still": "still true",
    "withdrawn": "taken back, the data was revised",
    "restated": "fired on revised figures",
}
_HELD = {"snooze": "told when the snooze ends", "quiet": "told after the quiet hours"}


PAGE = 20  # events in a message


def history_answer(events: Sequence[ChatEvent], number: int | None = None, *, page: int = 1) -> Answer:
    """Events as `storage.events.events` gives them: of one alert, or of all in the chat.

    They begin at a page. If there are more than fit on it, a button leads to the older ones.
    """
    events, more = events[:PAGE], len(events) > PAGE
    turns = _turns(number, page, more=more)
    alert_buttons = (
        (((f"#{number}", f"/alert {number}"), ("All alerts", "/alerts")),) if number is not None else ()
    )
    if not events:
        nothing = "Nothing has fired yet." if number is None else f"Alert #{number} has not fired yet."
        if page > 1:
            nothing, turns = f"There is no page {page}.", _turns(number, 2, more=False)
        return Answer(
            lines(bold(nothing), "Yours: /alerts" if number is None else None),
            buttons=(*turns, *alert_buttons),
        )
    labels = ", ".join(dict.fromkeys(label for event in events if (label := event.detail.source)))
    count = f"Last {len(events)} events, newest first" if len(events) > 1 else "One event"
    if turns:
        count = f"Page {page} of events, newest first"
    title = count if number is None else f"Alert #{number}: {count[0].lower()}{count[1:]}"
    source = f"Source: {labels}." if labels else None
    return Answer(lines(bold(title), *map(_line, events), "", source), buttons=(*turns, *alert_buttons))


def _turns(number: int | None, page: int, *, more: bool) -> tuple[tuple[Button, ...], ...]:
    """Buttons to the newer and the older page, if any."""
    of = "/history" if number is None else f"/history {number}"
    newer = (("‹ Newer", f"{of} page {page - 1}"),) if page > 1 else ()
    older = (("Older ›", f"{of} page {page + 1}"),) if more else ()
    return ((*newer, *older),) if newer or older else ()


def _line(event: ChatEvent) -> Html:
    """Session, number, the rule as it was then, what happened and at which value."""
    detail = event.detail
    rule, unit = _rule(event)
    day = short_date(event.session)
    word = _WORDS.get(event.transition, event.transition)
    gone = event.transition == "withdrawn"
    value = f" at {unit.show(event.value)}" if unit and event.value is not None and not gone else ""
    kept = "held back by its cooldown" if _muted(detail) else _HELD.get(event.held or "", "")
    outcome = f" · {word}{value}{f', {kept}' if kept else ''}"
    return Html("").join((f"{day} · #{event.number} ", code(rule), outcome))


def _rule(event: ChatEvent) -> tuple[str, Unit | None]:
    """The rule and the unit of its value. Of a rule that cannot be read, the stored text and None."""
    stored = event.detail.rule
    try:
        rule = Rule.from_json(stored) if stored else parse_rule(event.rule, METRICS)
        return str(rule), METRICS[rule.conditions[0].metric].unit
    except (BadInput, KeyError, msgspec.DecodeError):
        return event.rule, None


def _muted(detail: EventDetail) -> bool:
    return '"muted":true' in detail.event
