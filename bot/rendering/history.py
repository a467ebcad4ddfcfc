"""What alerts did: one line an event, newest first."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from bot.alerts.grammar import parse_rule
from bot.alerts.rule import Rule
from bot.analytics.registry import METRICS
from bot.rendering.answer import Answer
from bot.rendering.text import Html, bold, code, lines, short_date

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_WORDS = {
    "fired": "fired",
    "still": "still true",
    "withdrawn": "taken back, the data was revised",
    "restated": "fired with other figures, the data was revised",
}
_HELD = {"snooze": "told when the snooze ends", "quiet": "told after the quiet hours"}


def history_answer(events: Sequence[Mapping[str, Any]], number: int | None = None) -> Answer:
    """Events as `storage.events.events` gives them: of one alert, or of all in the chat."""
    one = (((f"#{number}", f"/alert {number}"), ("All alerts", "/alerts")),) if number is not None else ()
    if not events:
        said = "Nothing has fired yet." if number is None else f"Alert #{number} has not fired yet."
        return Answer(lines(bold(said), "Yours: /alerts" if number is None else None), buttons=one)
    labels = ", ".join(dict.fromkeys(label for event in events if (label := event["detail"].get("source"))))
    count = f"Last {len(events)} events, newest first" if len(events) > 1 else "One event"
    title = count if number is None else f"Alert #{number}: {count[0].lower()}{count[1:]}"
    source = f"Source: {labels}." if labels else None
    return Answer(lines(bold(title), *map(_line, events), "", source), buttons=one)


def _line(event: Mapping[str, Any]) -> Html:
    """Session, number, the rule as it was then, what happened and at which value."""
    detail = event["detail"]
    rule = Rule.from_json(detail["rule"]) if "rule" in detail else parse_rule(event["rule"], METRICS)
    unit = METRICS[rule.conditions[0].metric].unit
    day = short_date(dt.date.fromisoformat(event["session"]))
    word = _WORDS.get(event["transition"], event["transition"])
    gone = event["transition"] == "withdrawn"
    value = f" at {unit.show(event['value'])}" if event["value"] is not None and not gone else ""
    kept = "held back by its cooldown" if _muted(detail) else _HELD.get(event["held"] or "", "")
    told = f" · {word}{value}{f', {kept}' if kept else ''}"
    return Html("").join((f"{day} · #{event['number']} ", code(str(rule)), told))


def _muted(detail: Mapping[str, Any]) -> bool:
    return '"muted":true' in str(detail.get("event", ""))
