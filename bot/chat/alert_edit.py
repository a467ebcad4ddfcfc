"""Changing one alert: edit, snooze, pause, resume, rescale, renew, off, back and ok.

/alert 3 edit ratio > sma 100        another rule
/alert 3 edit > 6%                   another comparison and target; of the second condition: condition 2 > 6%
/alert 3 edit or excess 3m > 5pp     one more condition
/alert 3 edit confirm 2 silent       other options; "no silent" takes one off
/alert 3 snooze 1d                   also 2h, 1w, until 2020-12-24, off
"""

import asyncio
import contextlib
import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from msgspec import structs
from msgspec.structs import fields

from bot.alerts.grammar import parse_rule
from bot.alerts.lexer import tokenize
from bot.alerts.rule import ABOVE, AMOUNT, CROSSES, OPS, Condition, Rule, Target
from bot.analytics.metrics import Metric
from bot.analytics.windows import named_dates, parse_date
from bot.chat.access import Ask
from bot.errors import BadInput
from bot.messages.alerts.card import alert_page, new_alert_page, snooze_menu
from bot.messages.alerts.guide import edit_menu
from bot.messages.alerts.notices import waiting_note
from bot.messages.common import Answer
from bot.messages.html import Html, bold, capital, code, lines, moment
from bot.services import alert_views, alerts
from bot.services.alert_views import ShownAlert, refuse_ended, refuse_paused
from bot.services.alerts import StartedAlert
from bot.text import counted, short_date

_NTH_CONDITION = re.compile(r"condition\s+(\d{1,2})\s+(.*)", re.IGNORECASE | re.DOTALL)
_NO = re.compile(r"no\s+(?:and\s+)?(\w+)", re.IGNORECASE)
_DEFAULTS: dict[str, Any] = {
    field.name: field.default for field in fields(Rule) if field.name not in {"conditions", "or_at"}
}
_NUMBER = re.compile(r"[-\u2212]?[0-9]+(?:\.[0-9]+)?")
_SPAN = re.compile(r"(?:for\s+)?(\d{1,4})\s*(h|hours?|d|days?|w|weeks?|m|months?)", re.IGNORECASE)
_UNTIL = re.compile(r"until\s+(.+)", re.IGNORECASE)
_HOURS = {"h": 1, "d": 24, "w": 7 * 24, "m": 30 * 24}
_AT_THE_END = "What fires meanwhile comes as one message at its end."
_LONGEST = dt.timedelta(days=366)  # past it the alert itself has ended


async def edit(ask: Ask, number: int, text: str) -> Answer:
    """Give it another rule under the same number; without words, show the usual changes as buttons."""
    if not text:
        shown = await alert_views.show(ask.caller, number, refuse_ended)
        return await asyncio.to_thread(edit_menu, shown.alert, shown.context)
    started = await alerts.edit(ask.caller, number, lambda rule, metrics: edited_rule(rule, text, metrics))
    return await render_started(started, "Changed")


async def snooze(ask: Ask, number: int, text: str) -> Answer:
    """Hold its messages for a while; what fires meanwhile comes as one message at the end."""
    caller = ask.caller
    if not text:
        shown = await alert_views.show(caller, number, refuse_ended, refuse_paused)
        return snooze_menu(shown.alert, shown.context)
    until = snooze_end(text, caller.now, caller.chat.zone, f"/alert {number} snooze")
    remark = "Snoozed. " + _AT_THE_END if until else "Snooze ended. What fired meanwhile comes as one message."
    return await render_shown(await alerts.snooze(caller, number, until), remark)


async def on_snooze(ask: Ask) -> Answer:
    """/snooze: hold the messages of all alerts of the chat for a while; without words, the spans as buttons."""
    if not ask.text:
        spans = tuple((span, f"/snooze {span}") for span in ("2h", "1d", "1w", "1m"))
        html = lines(
            bold("How long should all alerts be snoozed?"), "Or type: " + code("/snooze until 2030-12-31"), _AT_THE_END
        )
        return Answer(html, buttons=(spans, (("End snooze", "/snooze off"), ("Alerts", "/alerts"))))
    until = snooze_end(ask.text, ask.now, ask.caller.chat.zone, "/snooze")
    count = await alerts.snooze_all(ask.caller, until)
    if not count:
        raise BadInput("No alert is snoozed." if until is None else "There is no active alert to snooze.", "/alerts")
    title = (
        f"{counted(count, 'alert')} snoozed until {moment(until, ask.caller.chat.zone)}." if until else "Snooze ended."
    )
    toast = f"{title} {_AT_THE_END}" if until else f"{title} What fired meanwhile comes as one message."
    row = (("End snooze", "/snooze off"), ("Alerts", "/alerts")) if until else (("Alerts", "/alerts"),)
    return Answer(lines(bold(title), toast.removeprefix(title).strip()), buttons=(row,), toast=toast)


async def pause(ask: Ask, number: int, _: str) -> Answer:
    """Stop evaluating it until it is resumed."""
    return await render_shown(await alerts.pause(ask.caller, number), "It sends nothing until you resume it.")


async def resume(ask: Ask, number: int, _: str) -> Answer:
    """Evaluate it again; what happened meanwhile does not fire."""
    return await render_started(await alerts.resume(ask.caller, number), "Resumed")


async def rescale(ask: Ask, number: int, _: str) -> Answer:
    """Set an alert that a split has paused at its rescaled level."""
    return await render_started(await alerts.rescale(ask.caller, number), "Rescaled")


async def renew(ask: Ask, number: int, _: str) -> Answer:
    """Let it go on for a year from today; one that has ended starts afresh, within the quota."""
    renewed = await alerts.renew(ask.caller, number)
    if isinstance(renewed, StartedAlert):
        return await render_started(renewed, "Renewed")
    last_day = renewed.alert.expires_on
    return await render_shown(renewed, f"Renewed until {short_date(last_day)}." if last_day else None)


async def off(ask: Ask, number: int, _: str) -> Answer:
    """End it; its number and history stay, and it can be renewed."""
    alert = await alerts.switch_off(ask.caller, number)
    html = lines(bold(f"Alert #{number} is off."), code(alert.rule))
    below, undo = Html(f"#{number}: off."), (("Undo", f"/alert {number} renew"),)
    return Answer(html, buttons=(undo,), below=below, toast=f"Alert #{number} is off.")


async def back(ask: Ask, number: int, _: str) -> Answer:
    """Report when it goes back, too."""
    shown = await alerts.tell_back(ask.caller, number)
    return await render_shown(shown, "You get one more message when it goes back.")


async def acknowledge(ask: Ask, number: int, _: str) -> Answer:
    """Send no more reminders of its last fire."""
    shown = await alerts.acknowledge(ask.caller, number)
    return await render_shown(shown, "Got it: no more reminders until it fires again.")


async def render_started(started: StartedAlert, done: str = "", remark: str | None = None) -> Answer:
    """Render an alert that starts now, with the rule or the end that it had before, else with a remark.

    `done` is what was done to an alert that there was already.
    """
    alert, context = started.alert, started.context
    if started.previous is not None:
        remark = "Was: " + code(started.previous)
    elif started.ended:
        remark = f"It had ended ({started.ended}) and starts afresh."
    overdue = waiting_note(started.overdue, context.market)
    make = partial(new_alert_page, alert, context, started.past, remark, done=done, waits=overdue)
    answer = await asyncio.to_thread(make)
    return replace(answer, below=None) if done == "Changed" else answer


async def render_shown(shown: ShownAlert, remark: str | None = None) -> Answer:
    """Render one alert in full; `remark` says what was just done to it."""
    return await asyncio.to_thread(alert_page, shown.alert, shown.context, remark=remark)


def snooze_end(text: str, now: dt.datetime, zone: ZoneInfo, command: str) -> dt.datetime | None:
    """Return when the snooze ends, None for now. A date means its midnight in `zone`. Raises BadInput."""
    words = text.strip()
    if words.lower() in {"off", "end", "stop", "no"}:
        return None
    if span := _SPAN.fullmatch(words):
        end = now + dt.timedelta(hours=int(span[1]) * _HOURS[span[2][0].lower()])
    elif until := _UNTIL.fullmatch(words):
        end = dt.datetime.combine(parse_date(named_dates(until[1]), f"{command} 1d"), dt.time(), zone)
    else:
        sentence = f"“{words}” is not a time to snooze until; use 2h, 1d, 1w, until DATE or off."
        raise BadInput(sentence, f"{command} 1d")
    if not now < end:
        raise BadInput(f"“{words}” is not in the future.", f"{command} 1d")
    if end - now > _LONGEST:
        raise BadInput(f"“{words}” is longer than a year.", f"{command} 1w")
    return end


def edited_rule(rule: Rule, text: str, registry: Mapping[str, Metric]) -> Rule:
    """Return the rule that the words make of `rule`; raises BadInput with words to type instead.

    The result is parsed once more as a whole, so that the grammar refuses what does not go together.
    """
    if (no := _NO.fullmatch(text.strip())) is not None:
        return _without_option(rule, no[1].lower())
    nth = _NTH_CONDITION.fullmatch(text.strip())
    change = nth[2] if nth else text
    first = next((token.text for token in tokenize(change)), "")
    if nth or first in OPS:
        edited = _with_comparison(rule, int(nth[1]) if nth else 0, change, registry)
    elif first in {"and", "or"}:
        edited = _with_conditions(rule, change, registry)
    elif first in _DEFAULTS:
        edited = _with_options(rule, rule.conditions[0], change, registry)
    else:
        return parse_rule(text, registry)
    return parse_rule(str(edited), registry)


def _without_option(rule: Rule, name: str) -> Rule:
    set_options = [option for option in _DEFAULTS if getattr(rule, option) != _DEFAULTS[option]]
    example = f"no {set_options[0]}" if set_options else _other_confirm(rule)
    if name not in _DEFAULTS:
        raise BadInput(f"“{name}” is not an option of alerts.", example)
    if name not in set_options:
        raise BadInput(f"The rule has no “{name}”.", example)
    return structs.replace(rule, **{name: _DEFAULTS[name]})


def _other_confirm(rule: Rule) -> str:
    """Return a change that every rule accepts, as an example."""
    return f"confirm {3 if rule.confirm == 2 else 2}"


def _with_comparison(rule: Rule, number: int, change: str, registry: Mapping[str, Metric]) -> Rule:
    """Return the rule with another comparison in one condition, and with the options that follow it.

    `number` is the condition's position from 1, or 0 if none was named.
    """
    count = len(rule.conditions)
    if (not number and count > 1) or number > count:
        has = f"the rule has {counted(count, 'condition')}"
        sentence = f"There is no condition {number}: {has}." if number else f"{capital(has)}; say which."
        raise BadInput(sentence, _example_with_number(rule, change, registry))
    at = max(number, 1) - 1
    old = rule.conditions[at]
    try:
        parsed = parse_rule(f"{old.subject} {change}", registry)
    except BadInput as error:
        words = _probable_change(old, change, error.example, registry)
        raise BadInput(error.sentence, f"condition {number} {words}" if number else words) from error
    if len(parsed.conditions) > 1:
        or_at = (*rule.or_at, *(count - 1 + position for position in parsed.or_at))
        conditions = (*rule.conditions, *parsed.conditions[1:])
        whole = structs.replace(rule, conditions=conditions, or_at=or_at, rearm=None)
        raise BadInput("To add a condition, type the whole rule.", str(whole))
    new = parsed.conditions[0]
    conditions = (*rule.conditions[:at], new, *rule.conditions[at + 1 :])
    compared = structs.replace(rule, conditions=conditions, rearm=_moved_rearm(rule, old, new))
    return _with_options(compared, old, change, registry)


def _with_conditions(rule: Rule, change: str, registry: Mapping[str, Metric]) -> Rule:
    """Return the rule with more conditions, and with the options that follow them."""
    parsed = parse_rule(f"{rule.bare} {change}", registry)
    names = {token.text for token in tokenize(change)} & set(_DEFAULTS)
    options = {name: getattr(parsed, name) for name in names}
    return structs.replace(rule, conditions=parsed.conditions, or_at=parsed.or_at, rearm=None, **options)


def _probable_change(old: Condition, change: str, example: str, registry: Mapping[str, Metric]) -> str:
    """Return the change as it was probably meant: the example's, or the typed number in the metric's unit."""
    unit, number = registry[old.metric].unit, _NUMBER.search(change)
    op = next((token.text for token in tokenize(change) if token.text in OPS), old.op)
    amount = number[0] if number else "no number"
    from_example = example.removeprefix(f"{old.subject} ")
    candidates = (from_example if amount in from_example else "", f"{op} {amount}{unit.symbol}", f"{op} {unit.example}")
    for words in candidates:
        with contextlib.suppress(BadInput):
            if parse_rule(f"{old.subject} {words}", registry) != Rule((old,)):
                return words
    return from_example


def _example_with_number(rule: Rule, change: str, registry: Mapping[str, Metric]) -> str:
    """Return the change for the first condition that it fits, or an example if it fits none."""
    for position, condition in enumerate(rule.conditions, 1):
        with contextlib.suppress(BadInput):
            parse_rule(f"{condition.subject} {change}", registry)
            return f"condition {position} {change}"
    first = rule.conditions[0]
    return f"condition 1 {first.op} sma {200 if first.target == Target('sma', 50.0) else 50}"


def _moved_rearm(rule: Rule, old: Condition, new: Condition) -> float | None:
    """Return the re-arm level at its old distance from the target, or None where it makes no sense."""
    comparable = old.target.kind == new.target.kind == AMOUNT and (old.op in ABOVE) == (new.op in ABOVE)
    if rule.rearm is None or not comparable or new.op == CROSSES:
        return None
    return float(f"{rule.rearm + new.target.value - old.target.value:.12g}")


def _with_options(rule: Rule, condition: Condition, change: str, registry: Mapping[str, Metric]) -> Rule:
    names = {token.text for token in tokenize(change)} & set(_DEFAULTS)
    if not names:
        return rule
    prefix = condition.subject if tokenize(change)[0].text in OPS else str(rule.bare)
    try:
        parsed = parse_rule(f"{prefix} {change}", registry)
    except BadInput as error:
        example = error.example.removeprefix(f"{prefix} ")  # the rest of the rule stays
        raise BadInput(error.sentence, _other_confirm(rule) if example == prefix else example) from error
    return structs.replace(rule, **{name: getattr(parsed, name) for name in names})
