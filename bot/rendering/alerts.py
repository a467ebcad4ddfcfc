"""Pages about one alert: after it was created or changed, and in full."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from bot.alerts.presets import PRESETS
from bot.alerts.rule import AMOUNT, CROSSES
from bot.alerts.state import Status
from bot.alerts.view import Life
from bot.analytics.registry import METRICS
from bot.analytics.units import NOT_AVAILABLE
from bot.rendering.answer import SAMPLE, Answer, Button
from bot.rendering.figures import latest_starting_condition
from bot.rendering.standing import (
    armed_phrase,
    ending_phrase,
    ends_soon,
    figure_lines,
    next_check,
    rearm_phrase,
    state_sentence,
    title,
    waiting_phrase,
)
from bot.rendering.text import bold, lines, short_date
from bot.text import capital

if TYPE_CHECKING:
    from bot.alerts.backtest import Frequency
    from bot.alerts.rule import Rule
    from bot.alerts.state import Event
    from bot.alerts.view import AlertView, EvaluationContext

_FIVE_YEARS = dt.timedelta(days=5 * 365 - 10)  # less what holidays may take off


def list_buttons(number: int, life: Life = Life.ACTIVE) -> tuple[Button, ...]:
    """The buttons of one alert in a list. The number opens everything else that can be done with it."""
    first = ((f"#{number}", f"/alert {number}"), ("Why", f"/alert {number} why"))
    if life.has_ended:
        return (*first, ("Renew", f"/alert {number} renew"))
    switch = ("Pause", "pause") if life is Life.ACTIVE else ("Resume", "resume")
    return (*first, (switch[0], f"/alert {number} {switch[1]}"), ("Off", f"/alert {number} off"))


def card_buttons(alert: AlertView) -> tuple[tuple[Button, ...], ...]:
    """All buttons of one alert. One that has ended can only be viewed and renewed."""
    number, active = alert.number, alert.life is Life.ACTIVE

    def does(label: str, action: str) -> Button:
        return label, f"/alert {number} {action}"

    looks = (does(f"#{number} Chart", "chart"), does("Why", "why"), does("History", "history"))
    if alert.life.has_ended or alert.state.done:
        return (looks, (does("Renew", "renew"),))
    quiet: tuple[Button, ...]
    if not active:
        quiet = (does("Resume", "resume"),)
    elif alert.snoozed_until is not None:
        quiet = (does("End snooze", "snooze off"), does("Snooze 1w", "snooze 1w"), does("Pause", "pause"))
    else:
        quiet = (does("Snooze 1d", "snooze 1d"), does("Snooze 1w", "snooze 1w"), does("Pause", "pause"))
    rest = (does("Edit", "edit"), does("Test", "test"), does("Off", "off"))
    both_ways = any(condition.op == CROSSES for condition in alert.rule.conditions)
    mirror = () if both_ways else ((does("Also tell me when it goes back", "back"),),)
    return (looks, quiet, rest, *mirror)


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
    html = lines(
        title(alert),
        remark,
        bold(SAMPLE) if context.market.is_sample else None,
        *figure_lines(alert, context),
        waits,
        _begins(alert),
        rearm_phrase(alert, context),
        frequency_line(frequency, alert.rule, context),
        ending_phrase(alert),
        next_check(context) if alert.life is Life.ACTIVE else None,
    )
    return Answer(html, buttons=(*card_buttons(alert), ALL))


ALL: tuple[Button, ...] = (("All alerts", "/alerts"),)


def _begins(alert: AlertView) -> str:
    if alert.life is Life.PAUSED:
        return "Paused: resume it to be told."
    if alert.state.status is Status.FIRED:
        return "True already, so nothing is sent now."
    return f"{capital(armed_phrase(alert.state))}: a message comes when it turns true."


def alert_page(alert: AlertView, context: EvaluationContext, *, remark: str | None = None) -> Answer:
    """One alert in full. `remark` says what was just done to it."""
    alive = not (alert.life.has_ended or alert.state.done)
    soon = ends_soon(alert, context)
    html = lines(
        title(alert),
        bold(SAMPLE) if context.market.is_sample else None,
        bold(remark) if remark else None,
        state_sentence(alert, context.zone),
        waiting_phrase(alert, context),
        *figure_lines(alert, context),
        rearm_phrase(alert, context) if alive else None,
        ending_phrase(alert),
        next_check(context) if alert.life is Life.ACTIVE else None,
    )
    renew: tuple[tuple[Button, ...], ...] = (
        ((("Renew for a year", f"/alert {alert.number} renew"),),) if soon else ()
    )
    return Answer(html, buttons=(*card_buttons(alert), *renew, ALL))


def frequency_line(frequency: Frequency, rule: Rule, context: EvaluationContext) -> str:
    """How often a rule would have fired, and since when there is history of all its conditions."""
    last = latest_starting_condition(rule, context.histories)
    if frequency.since is None or frequency.until is None:
        of = f" of {last}" if len(rule.conditions) > 1 else ""
        return f"How often it would have fired: {NOT_AVAILABLE}, no history{of}."
    whose = f" of {last}" if len(rule.conditions) > 1 else ""
    whole = frequency.until - frequency.since >= _FIVE_YEARS
    span = (
        "In the last 5 years"
        if whole
        else f"Since {short_date(frequency.since)} (before: too little history{whose})"
    )
    if not frequency.dates:
        return f"{span} it would not have fired."
    when = "on" if frequency.count == 1 else "last on"
    return f"{span} it would have fired {times(frequency.count)}, {when} {short_date(frequency.dates[-1])}."


def times(count: int) -> str:
    """A number of times in words: never, once, twice, 3 times."""
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")


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
    """Rules to start with, one button each, and the way to one's own."""
    ready = tuple(((preset.name, f"/alert new {preset.name.lower()}"),) for preset in PRESETS)
    return (*ready, (("Make my own", "/alert new"),))
