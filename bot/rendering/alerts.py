"""What is said about alerts when someone asks: at creation, in the list, in full, why one fired."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from bot.alerts.presets import PRESETS
from bot.alerts.rule import AMOUNT
from bot.alerts.state import Status
from bot.analytics.market import NOTHING
from bot.analytics.metrics import sources_of
from bot.analytics.registry import METRICS
from bot.analytics.units import NOT_AVAILABLE
from bot.rendering.answer import SAMPLE, Answer, Asked, Button, heading
from bot.rendering.standing import (
    Context,
    Standing,
    capital,
    figures,
    next_check,
    rearm,
    sentence,
    summary_distance,
    title,
)
from bot.rendering.text import Html, bold, code, lines, session_phrase, short_date

if TYPE_CHECKING:
    from bot.alerts.backtest import Frequency
    from bot.alerts.rule import Rule
    from bot.alerts.state import Event
    from bot.analytics.market import Market

__all__ = [
    "Context",
    "Standing",
    "buttons",
    "created",
    "listing",
    "one",
    "suggestions",
    "summary_distance",
    "why",
]

MOST_ROWS = 8  # alerts that get a row of buttons each in the list
_A_ROW = 5
_FIVE_YEARS = dt.timedelta(days=5 * 365 - 10)  # less what holidays may take off


def buttons(number: int, life: str = "active") -> tuple[Button, ...]:
    """The button row of one alert; one that has ended can only be looked at."""
    switch = ("Pause", "pause") if life == "active" else ("Resume", "resume")
    looks = ((f"#{number} Chart", f"/alert {number} chart"), ("Why", f"/alert {number} why"))
    if life not in {"active", "paused"}:
        return looks
    return (
        *looks,
        (switch[0], f"/alert {number} {switch[1]}"),
        ("Off", f"/alert {number} off"),
    )


def created(standing: Standing, context: Context, frequency: Frequency) -> Answer:
    """The reply to a new rule: where it stands, how far away, how often it would have fired."""
    already = standing.state.status is Status.FIRED
    said = (
        "True already, so nothing is sent now." if already else "Armed: a message comes when it turns true."
    )
    html = lines(
        title(standing),
        bold(SAMPLE) if context.market.is_sample else None,
        *figures(standing, context),
        said,
        rearm(standing, context),
        _often(frequency),
        next_check(context),
    )
    return Answer(html, buttons=(buttons(standing.number),))


def one(standing: Standing, context: Context) -> Answer:
    """One alert in full."""
    html = lines(
        title(standing),
        bold(SAMPLE) if context.market.is_sample else None,
        sentence(standing),
        *figures(standing, context),
        rearm(standing, context),
        next_check(context) if standing.life == "active" else None,
    )
    return Answer(html, buttons=(buttons(standing.number, standing.life), (("All alerts", "/alerts"),)))


def _often(frequency: Frequency) -> str:
    if frequency.since is None or frequency.until is None:
        return f"How often it would have fired: {NOT_AVAILABLE}, no history."
    whole = frequency.until - frequency.since >= _FIVE_YEARS
    span = (
        "In the last 5 years" if whole else f"Since {short_date(frequency.since)}, where its history begins,"
    )
    if not frequency.dates:
        return f"{span} it would not have fired."
    times = {1: "once", 2: "twice"}.get(frequency.count, f"{frequency.count} times")
    last = "on" if frequency.count == 1 else "last on"
    return f"{span} it would have fired {times}, {last} {short_date(frequency.dates[-1])}."


def listing(standings: list[Standing], context: Context) -> Answer:
    """The chat's alerts: rule, state in words, value against target; a button row each."""
    if not standings:
        return Answer(
            lines(
                bold("No alerts yet."),
                Html("").join(("Try ", code("/alert ratio > sma 200"), ", or choose:")),
            ),
            buttons=suggestions(),
        )
    parts: list[Html | str] = [_heading(context.market)]
    for standing in standings:
        parts.append(Html(" ").join((bold(f"#{standing.number}"), code(str(standing.rule)))))
        parts.append(f"{sentence(standing)} {capital(summary_distance(standing, context))}.")
    parts.append(_sources(standings, context.market))
    return Answer(lines(*parts), buttons=_rows(standings))


def _heading(market: Market) -> Html:
    """Heading of the list; alerts can be listed before there is any data."""
    if market.end is None:
        return bold("Alerts") + " · no data yet"
    return heading("Alerts", market, Asked())


def _sources(standings: list[Standing], market: Market) -> str:
    """One line that names the sources of all listed alerts."""
    found = dict.fromkeys(
        sources_of(METRICS[condition.metric], market, dict(condition.arguments))
        for standing in standings
        for condition in standing.rule.conditions
    )
    named = [label for label in found if label != NOTHING.label]
    return f"{'Source' if len(named) < 2 else 'Sources'}: {'; '.join(named) or 'none'}."


def _rows(standings: list[Standing]) -> tuple[tuple[Button, ...], ...]:
    """A row an alert; where that would be a wall (Telegram takes 100 buttons), one button an alert."""
    if len(standings) <= MOST_ROWS:
        return tuple(buttons(standing.number, standing.life) for standing in standings)
    each = [(f"#{standing.number}", f"/alert {standing.number}") for standing in standings]
    return tuple(tuple(each[i : i + _A_ROW]) for i in range(0, len(each), _A_ROW))


def why(number: int, rule: Rule, event: Event, source: str, observed: str) -> Html:
    """The stored inputs of the last fire, as they were judged."""
    rows = []
    for position, condition in enumerate(rule.conditions):
        leg, unit = event.legs[position], METRICS[condition.metric].unit
        before = event.previous[position]
        earlier = f", {unit.show(before)} when judged before" if before is not None else ""
        level = "" if condition.target.kind == AMOUNT else f" ({condition.target})"
        compared = f"{unit.show(leg.value)} {event.ops[position]} {unit.show(leg.threshold)}{level}"
        rows.append(f"{condition.subject}: {compared}{earlier}.")
    return lines(
        bold(f"Why #{number} fired") + f" · {session_phrase(event.session)}",
        code(str(rule)),
        *rows,
        rearmed(rule, event),
        f"Inputs as stored: {source}, observed {observed[:16].replace('T', ' ')} UTC.",
    )


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
    """Rules to start with, one button each."""
    return tuple(((preset.name, f"/alert {preset.rule}"),) for preset in PRESETS)
