"""Notices about alerts that expire: a week before, and on the day after their last day."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from bot.rendering.answer import Answer, Button, in_rows
from bot.rendering.text import Html, bold, code, date_phrase, lines, short_date

_SHOWN = 20
_A_ROW = 4


@dataclass(frozen=True)
class Ending:
    """An alert by number, its rule and its last day."""

    number: int
    rule: str
    on: dt.date


def ending_soon_notice(endings: Sequence[Ending]) -> Answer:
    """Alerts that end within days, each with a button that keeps it for another year."""
    if len(endings) == 1:
        (ending,) = endings
        head = bold(f"Alert #{ending.number} ends soon") + f": its last day is {date_phrase(ending.on)}."
        renew, off = (_renew(ending, "Renew for a year"), ("Off", f"/alert {ending.number} off"))
        html = lines(head, code(ending.rule), "Renewed, it goes on for a year from today.")
        return Answer(html, buttons=((renew, off),))
    head = bold(f"{len(endings)} alerts end soon") + "; renewed, they go on for a year from today."
    return _many(head, endings)


def ended_notice(endings: Sequence[Ending]) -> Answer:
    """Alerts whose last day has passed."""
    if len(endings) == 1:
        (ending,) = endings
        head = bold(f"Alert #{ending.number} has ended") + f": {short_date(ending.on)} was its last day."
        return Answer(
            lines(head, code(ending.rule)),
            buttons=((_renew(ending, "Renew for a year"), ("Alerts", "/alerts")),),
        )
    return _many(bold(f"{len(endings)} alerts have ended") + ": their last day has passed.", endings)


def _many(head: Html, endings: Sequence[Ending]) -> Answer:
    shown = endings[:_SHOWN]
    more = len(endings) - len(shown)
    rows = [
        Html("").join((f"{short_date(ending.on)} · #{ending.number} ", code(ending.rule))) for ending in shown
    ]
    html = lines(head, *rows, f"... and {more} more, /alerts" if more else None)
    renewals = [_renew(ending, f"Renew #{ending.number}") for ending in shown]
    return Answer(html, buttons=(*in_rows(renewals, _A_ROW), (("Alerts", "/alerts"),)))


def _renew(ending: Ending, label: str) -> Button:
    return label, f"/alert {ending.number} renew"
