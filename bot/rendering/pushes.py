"""Messages that alerts send by themselves: one fired, many fired while the bot was away, one has stopped."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd

from bot.alerts.view import Life
from bot.analytics.registry import METRICS
from bot.analytics.units import NOT_AVAILABLE
from bot.rendering.alerts import card_buttons, rearmed
from bot.rendering.answer import SAMPLE, Answer
from bot.rendering.figures import distance, percentile_phrase, source_line
from bot.rendering.standing import next_check
from bot.rendering.text import Html, bold, code, lines, session_phrase, short_date
from bot.text import capital, counted

if TYPE_CHECKING:
    from bot.alerts.rule import Condition, Rule
    from bot.alerts.state import Event
    from bot.alerts.view import AlertView, EvaluationContext

FIRES_SINCE_DAYS = 90
DIGEST_LINES = 20
# Why several events are sent in one message.
AWAY, QUIET, SNOOZED = "away", "quiet", "snoozed"
_WHILE = {QUIET: "held back by quiet hours", SNOOZED: "while alerts were snoozed"}


def fired_message(
    alert: AlertView,
    event: Event,
    context: EvaluationContext,
    fires: int,
    late: int,
    *,
    became: str = "",
    held: Sequence[str] = (),
) -> Answer:
    """The message of one alert that fired, or is still true after its cooldown.

    `fires` counts 90 days. `late` is how many sessions after its first possible one the event was found, and
    `became` says what became of it since. `held` says why it was held back, and what became of it.
    """
    rule, market = alert.rule, context.market
    what = "fired" if event.kind == "fired" else f"is still true, since {short_date(event.since)}"
    html = lines(
        bold(f"Alert #{alert.number} {what}") + f" · {session_phrase(event.session)}",
        code(str(rule)),
        f"“{rule.note}”" if rule.note else None,
        bold(SAMPLE) if market.is_sample else None,
        _late(late, became) if late and not held else None,
        *held,
        *(
            line
            for at, condition in enumerate(rule.conditions)
            for line in _moved(event, at, condition, context)
        ),
        rearmed(rule, event),
        _cools(rule) if event.kind == "fired" else None,
        f"Fires in {FIRES_SINCE_DAYS} days: {fires}, this one included." if event.kind == "fired" else None,
        None if event.done else next_check(context),
        source_line(rule, market, late),
    )
    return Answer(html, buttons=card_buttons(replace(alert, life=Life.DONE) if event.done else alert))


def _late(late: int, became: str) -> str:
    since = f"; {became}" if became else ""
    return f"Late by {counted(late, 'session')}: the bot was off, or the data came late{since}."


def _cools(rule: Rule) -> str | None:
    return (
        f"For {counted(rule.cooldown, 'session')} further fires go to /history only."
        if rule.cooldown
        else None
    )


def _moved(event: Event, position: int, condition: Condition, context: EvaluationContext) -> list[str]:
    """Previous value -> new value of one condition, how far past its target, and its place in history."""
    leg, unit = event.legs[position], METRICS[condition.metric].unit
    if leg.pair is None:
        return [f"{condition.subject}: {NOT_AVAILABLE}."]
    value, level = leg.pair
    before = event.previous[position]
    moved = f"{unit.show(before)} → {unit.show(value)}" if before is not None else unit.show(value)
    rank = percentile_phrase(context.histories.series(condition).value.loc[: pd.Timestamp(event.session)])
    ranked = [] if rank is None else [f"{capital(rank)}."]
    return [f"{condition.subject}: {moved}, {distance(condition, value, level)}.", *ranked]


def fire_line(number: int, rule: Rule, event: Event, became: str, source: str) -> Html:
    """One line of a digest: session, rule, value, what became of it, and its source."""
    value = METRICS[rule.conditions[0].metric].unit.show(event.value)
    still = f", true since {short_date(event.since)}" if event.kind != "fired" else ""
    outcome = f" · {value}{still}, {became} ({source})"
    return Html("").join((f"{short_date(event.session)} · #{number} ", code(str(rule)), outcome))


def plain_line(number: int, rule: str, session: dt.date, transition: str) -> Html:
    """One line of a digest about an event whose rule cannot be read."""
    return Html("").join((f"{short_date(session)} · #{number} ", code(rule), f" · {transition}"))


def digest(fires: Sequence[Html], *, sample: bool, why: str = AWAY) -> Answer:
    """Events that were not sent when they happened, in one message; those beyond 20 are counted."""
    more = len(fires) - DIGEST_LINES
    html = lines(
        bold(_title(len(fires), why)) + (", newest first" if len(fires) > 1 else ""),
        bold(SAMPLE) if sample else None,
        *fires[:DIGEST_LINES],
        f"... and {more} more, /history" if more > 0 else None,
    )
    return Answer(html, buttons=((("Alerts", "/alerts"), ("History", "/history")),))


def _title(count: int, why: str) -> str:
    fires = counted(count, "fire")
    if why == AWAY:
        return f"Late: {fires}, judged only now"
    return f"{fires.replace('fire', 'event')} {_WHILE[why]}"


def paused_message(number: int, rule: str, reason: str) -> Answer:
    """The notice that an alert cannot be judged and is paused."""
    html = lines(
        bold(f"Alert #{number} is paused") + f": {reason.rstrip('.')}.",
        code(rule),
        "All others go on. Resume it once that is mended, or switch it off and set it again.",
    )
    switches = (("Resume", f"/alert {number} resume"), ("Off", f"/alert {number} off"))
    return Answer(html, buttons=(switches,))


def ended_message(alert: AlertView) -> Answer:
    """The notice that an alert's last day has passed."""
    rule = alert.rule
    last = f": {short_date(rule.until)} was its last day" if rule.until is not None else ""
    html = lines(bold(f"Alert #{alert.number} has ended") + f"{last}.", code(str(rule)))
    again = ("Renew for a year", f"/alert {alert.number} renew")
    return Answer(html, buttons=((again, ("Alerts", "/alerts")),))
