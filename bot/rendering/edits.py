"""Choices about one alert: what to change of its rule, how long to snooze it, what its mirror is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.alerts.rule import CROSSES, Rule
from bot.analytics.sessions import EXCHANGE
from bot.rendering.answer import SAMPLE, Answer, Button
from bot.rendering.standing import figure_lines, state_sentence, title
from bot.rendering.text import Html, bold, code, lines
from bot.rendering.thresholds import neighbouring_targets

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from bot.alerts.view import AlertView, EvaluationContext

_CONFIRMS = (1, 2, 3)
_AGAINST = {"once": ("cooldown",), "silent": ("urgent",), "urgent": ("silent",)}  # what the grammar refuses
_FLAGS = (
    ("once", "Once", "Not once"),
    ("silent", "Silent", "With sound"),
    ("urgent", "Urgent", "Not urgent"),
)


def edit_menu(alert: AlertView, context: EvaluationContext) -> Answer:
    """The line to copy and change, and the usual changes as buttons."""
    number, rule = alert.number, alert.rule
    html = lines(
        title(alert),
        bold(SAMPLE) if context.market.is_sample else None,
        *figure_lines(alert, context),
        "",
        "Choose a change, or copy the line and send it changed:",
        code(f"/alert {number} edit {rule}"),
        "It keeps its number and history, and starts afresh.",
    )
    return Answer(html, buttons=(*_levels(alert, context), *_options(alert), _back(alert)))


def _levels(alert: AlertView, context: EvaluationContext) -> tuple[tuple[Button, ...], ...]:
    """A step down and a step up of every condition's target."""
    number, several = alert.number, len(alert.rule.conditions) > 1
    rows = []
    for at, condition in enumerate(alert.rule.conditions, start=1):
        row = []
        for target in neighbouring_targets(condition, context):
            words = f"{'cross' if condition.op == CROSSES else condition.op} {target}"
            leg = f"leg {at} " if several else ""
            label = f"{condition.metric} {words}" if several else f"{condition.op} {target}"
            row.append((label, f"/alert {number} edit {leg}{words}"))
        rows.append(tuple(row))
    return tuple(row for row in rows if row)


def _options(alert: AlertView) -> tuple[tuple[Button, ...], ...]:
    number, rule = alert.number, alert.rule
    confirms = tuple(
        (f"confirm {count}", f"/alert {number} edit confirm {count}")
        for count in _CONFIRMS
        if count != rule.confirm
    )
    flags = tuple(
        (off, f"/alert {number} edit no {name}")
        if getattr(rule, name)
        else (on, f"/alert {number} edit {name}")
        for name, on, off in _FLAGS
        if not any(getattr(rule, other) for other in _AGAINST.get(name, ()))
    )
    return confirms, flags


def _back(alert: AlertView) -> tuple[Button, ...]:
    return (("Back", f"/alert {alert.number}"),)


def snooze_menu(alert: AlertView, zone: ZoneInfo = EXCHANGE) -> Answer:
    """The question for how long."""
    number = alert.number
    html = lines(
        title(alert),
        state_sentence(alert, zone),
        "Snooze it for how long? What fires meanwhile comes as one message at the end.",
        Html("").join(("Or type ", code(f"/alert {number} snooze until 2030-12-31"))),
    )
    spans = tuple((span, f"/alert {number} snooze {span}") for span in ("2h", "1d", "1w", "1m"))
    end = ((("End snooze", f"/alert {number} snooze off"),),) if alert.snoozed_until is not None else ()
    return Answer(html, buttons=(spans, *end, _back(alert)))


def mirror_menu(number: int, rule: Rule, mirrors: list[Rule]) -> Answer:
    """Says why a rule has no single mirror image, and offers the rules that mirror it."""
    if not mirrors:
        html = lines(
            bold(f"Alert #{number} tells both ways already."),
            code(str(rule)),
            "A rule with “crosses” fires upwards and downwards.",
        )
        return Answer(html, buttons=((("Back", f"/alert {number}"),),))
    html = lines(
        bold(f"Alert #{number} has {len(rule.conditions)} conditions"),
        code(str(rule)),
        "It has gone back when any one of them has, and a rule cannot say “or”. Choose one, or make several:",
        *(code(f"/alert {mirror}") for mirror in mirrors),
    )
    rows = tuple(
        ((str(mirror.conditions[0]), f"/alert {number} back {at}"),) for at, mirror in enumerate(mirrors, 1)
    )
    return Answer(html, buttons=(*rows, (("Back", f"/alert {number}"),)))
