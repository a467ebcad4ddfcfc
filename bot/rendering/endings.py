"""What is said about alerts that end by themselves: a week before, and on the day after their last."""

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


def soon(endings: Sequence[Ending]) -> Answer:
    """Alerts that end within days, each with a button that keeps it for another year."""
    if len(endings) == 1:
        (one,) = endings
        head = bold(f"Alert #{one.number} ends soon") + f": its last day is {date_phrase(one.on)}."
        renew, off = (_renew(one, "Renew for a year"), ("Off", f"/alert {one.number} off"))
        html = lines(head, code(one.rule), "Renewed, it goes on for a year from today.")
        return Answer(html, buttons=((renew, off),))
    head = bold(f"{len(endings)} alerts end soon") + "; renewed, they go on for a year from today."
    return _many(head, endings)


def over(endings: Sequence[Ending]) -> Answer:
    """Alerts whose last day has passed."""
    if len(endings) == 1:
        (one,) = endings
        head = bold(f"Alert #{one.number} has ended") + f": {short_date(one.on)} was its last day."
        return Answer(
            lines(head, code(one.rule)), buttons=((_renew(one, "Renew for a year"), ("Alerts", "/alerts")),)
        )
    return _many(bold(f"{len(endings)} alerts have ended") + ": their last day has passed.", endings)


def _many(head: Html, endings: Sequence[Ending]) -> Answer:
    shown = endings[:_SHOWN]
    more = len(endings) - len(shown)
    told = [Html("").join((f"{short_date(each.on)} · #{each.number} ", code(each.rule))) for each in shown]
    html = lines(head, *told, f"... and {more} more, /alerts" if more else None)
    each_one = [_renew(each, f"Renew #{each.number}") for each in shown]
    return Answer(html, buttons=(*in_rows(each_one, _A_ROW), (("Alerts", "/alerts"),)))


def _renew(one: Ending, label: str) -> Button:
    return label, f"/alert {one.number} renew"
