"""/alert, /alerts and /history: parse the words, call one service, render its result.

"/alert new" is a guide in steps. What was chosen so far stands in its buttons: "/alert new flow iwm 20d <".
"""

import asyncio
import datetime as dt
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial

from bot.alerts.grammar import nearest_rule, parse_rule, reads_percent_as_points
from bot.alerts.presets import Preset, preset_of
from bot.alerts.rule import CROSSES, Rule
from bot.alerts.view import EvaluationContext
from bot.analytics.market import Market
from bot.analytics.metrics import Metric, Parameter
from bot.analytics.windows import AsOf
from bot.chat import alert_edit
from bot.chat.access import Ask
from bot.errors import BadInput
from bot.messages.alerts import guide
from bot.messages.alerts.card import alert_page, buttons_answer, rule_chart_answer
from bot.messages.alerts.history import EVENTS_A_PAGE, alert_list, explanation, history_answer
from bot.messages.common import Answer
from bot.messages.html import lines
from bot.services import alert_views, alerts, metrics_for
from bot.services.questions import answer_once
from bot.text import did_you_mean, nearest

_BY_NUMBER = re.compile(r"#?([0-9]+)(?:\s+(\S+)\s*(.*))?", re.DOTALL)  # no rule begins with a number
_NEW = re.compile(r"new\b\s*(.*)", re.DOTALL | re.IGNORECASE)


def changes(text: str) -> bool:
    """Return whether the words after /alert change anything."""
    if _NEW.fullmatch(text) or not text:
        return False
    match = _BY_NUMBER.fullmatch(text)
    if match is None:
        return True
    action = (match[2] or "").lower()
    return bool(action) and action not in LOOKS and not (action in _CHOICES and not match[3])


async def on_alert(ask: Ask) -> Answer:
    """/alert: a rule creates an alert, a number shows one or changes it, nothing opens the guide."""
    text, caller = ask.text, ask.caller
    if not text:
        context = await alert_views.evaluation_context(caller)
        return await asyncio.to_thread(guide.guide_start, context)
    if (new := _NEW.fullmatch(text)) is not None:
        context = await alert_views.evaluation_context(caller)
        return await asyncio.to_thread(guide_page, new[1], context, ask.now)
    match = _BY_NUMBER.fullmatch(text)
    if match is None:
        started = await alerts.create(caller, text)
        in_points = reads_percent_as_points(text, started.alert.rule)
        remark = "% is read as percentage points (pp) here." if in_points else None
        return await alert_edit.render_started(started, remark=remark)
    number, action, words = int(match[1]), (match[2] or "").lower(), match[3] or ""
    if not action:
        return await alert_edit.render_shown(await alert_views.show(caller, number))
    if action not in ACTIONS:
        hint = did_you_mean(action, ACTIONS) or f"You can: {', '.join(ACTIONS)}."
        example = f"/alert {number} {nearest(action, ACTIONS) or ''}".strip()
        raise BadInput(f"“{action}” is not something you can do with an alert. {hint}", example)
    if words and action not in _WITH_WORDS:
        raise BadInput(f"“{action}” takes no more words, but “{words}” follows.", f"/alert {number} {action}")
    return await ACTIONS[action](ask, number, words)


async def explain(ask: Ask, number: int, _: str) -> Answer:
    """Show the stored inputs of the last fire, evaluated again, or the alert if it has not fired yet."""
    shown, (fire, withdrawn) = await alert_views.show_with(ask.caller, number, alert_views.last_fire)
    if fire is None:
        answer = await asyncio.to_thread(alert_page, shown.alert, shown.context)
        return replace(answer, html=lines(answer.html, "It has not fired yet."))
    remark = "It was withdrawn when the data was revised." if withdrawn else None
    return await asyncio.to_thread(explanation, shown.alert, fire, shown.context, remark)


async def show_buttons(ask: Ask, number: int, _: str, *, more: bool) -> Answer:
    """Show all buttons, or the usual ones only."""
    shown = await alert_views.show(ask.caller, number)
    return await asyncio.to_thread(buttons_answer, shown.alert, shown.context, more=more)


async def chart(ask: Ask, number: int, _: str) -> Answer:
    """Draw every condition over a year, with its threshold and the fires."""
    shown, fires = await alert_views.show_with(ask.caller, number, alert_views.fire_sessions)
    return await asyncio.to_thread(rule_chart_answer, shown.alert, shown.context, ask.theme, fires)


async def history(ask: Ask, number: int | None, _: str = "", page: int = 1) -> Answer:
    """Show the events of one alert, or of all the chat's alerts, newest first."""
    skip = (page - 1) * EVENTS_A_PAGE
    events = await alert_views.history(ask.caller, number, limit=EVENTS_A_PAGE + 1, skip=skip)
    return history_answer(events, number, page=page)


Action = Callable[["Ask", int, str], Awaitable[Answer]]

# What can be done with an alert. In groups LOOKS, which change nothing, are open to everybody.
LOOKS: dict[str, Action] = {
    "why": explain,
    "chart": chart,
    "history": history,
    "more": partial(show_buttons, more=True),
    "less": partial(show_buttons, more=False),
}
CHANGES: dict[str, Action] = {
    "edit": alert_edit.edit,
    "snooze": alert_edit.snooze,
    "pause": alert_edit.pause,
    "resume": alert_edit.resume,
    "renew": alert_edit.renew,
    "off": alert_edit.off,
    "rescale": alert_edit.rescale,
    "back": alert_edit.back,
    "ok": alert_edit.acknowledge,
}
ACTIONS = LOOKS | CHANGES
_WITH_WORDS = ("edit", "snooze")
_CHOICES = ("edit", "snooze")  # without more words they only ask what to change


async def on_alerts(ask: Ask) -> Answer:
    """/alerts: every alert of this chat, in pages."""
    match = re.fullmatch(r"(?:page )?([0-9]{0,6})", ask.text, re.IGNORECASE)
    if match is None:
        raise BadInput(f"“{ask.text}” is not a page of the alerts.", "/alerts page 2")
    listed, unreadable, context = await alert_views.list_alerts(ask.caller)
    if listed:
        answer = await asyncio.to_thread(alert_list, listed, context, int(match[1] or 1))
    else:
        answer = await answer_once(_empty_list, context.market, AsOf(), context)
    return replace(answer, html=lines(answer.html, *(error.sentence for error in unreadable)))


def _empty_list(_market: Market, _as_of: AsOf, context: EvaluationContext) -> Answer:
    return alert_list((), context)


async def on_history(ask: Ask) -> Answer:
    """/history: what fired in this chat, or of one alert, in pages."""
    match = re.fullmatch(r"(?:#?([0-9]+))? ?(?:page ([0-9]{1,6}))?", ask.text, re.IGNORECASE)
    if match is None:
        raise BadInput(f"“{ask.text}” is not an alert's number.", "/history 1")
    number = int(match[1]) if match[1] else None
    return await history(ask, number, page=max(int(match[2] or 1), 1))


# The guide

_OPS = {">": ">", "<": "<", "cross": CROSSES}
_COUNTS = (5, 10, 20, 50, 60, 100, 200, 252)  # sessions people think in: a week, a month, ..., a year
_WINDOWS = ("5d", "20d", "1m", "3m", "6m", "1y", "ytd")
_DATES = ("since 2010-01-04", "since 2015-01-02", "since 2020-01-02")


def guide_page(chosen: str, context: EvaluationContext, now: dt.datetime) -> Answer:
    """Return the page that follows what was chosen so far; raises BadInput for what is not on offer."""
    words = chosen.split()
    if not words:
        return guide.topic_page()
    if words[0] in guide.TOPICS and all(word.isascii() and word.isdigit() for word in words[1:]):
        return guide.metric_page(context.market.pair, words[0], int("".join(words[1:])[:3] or 1))
    if (preset := preset_of(chosen, context.market)) is not None:
        return _confirmation_page(preset.rule, context, now, "/alert", preset)
    metrics = metrics_for(context.market)
    metric = metrics.get(words[0].lower())
    steps = _arguments(metric, words[1:])[1] if metric else words
    if metric is not None and (not steps or steps[0] in _OPS):
        return _metric_step(metric, words[1:], context, now)
    try:  # a rule in words that the guide does not offer
        return _confirmation_page(str(parse_rule(chosen, metrics)), context, now, "/alert new")
    except BadInput as error:
        if metric is None and (meant := nearest_rule(chosen, metrics)):
            page = _confirmation_page(meant, context, now, "/alert new")
            return replace(page, html=lines("Do you mean this?", page.html))
        if metric is None and steps[1:]:
            raise BadInput(error.sentence, f"/alert new {error.example}" if error.example else "/alert") from error
    after = f" after “{' '.join(words[: len(words) - len(steps)])}”" if metric else ""
    raise BadInput(f"“{steps[0]}” is not one of the choices{after}.", "/alert new")


def _metric_step(metric: Metric, words: Sequence[str], context: EvaluationContext, now: dt.datetime) -> Answer:
    """Return the next page for a metric: a missing argument, comparison, target, or the whole rule."""
    arguments, rest = _arguments(metric, words)
    line = " ".join((metric.name, *arguments))
    back = " ".join(("/alert new", *((metric.name, *arguments[:-1]) if arguments else (guide.topic_of(metric),))))
    if len(arguments) < len(metric.parameters) and not rest:
        parameter = metric.parameters[len(arguments)]
        return guide.parameter_page(line, metric, parameter, _choices(parameter, context.market), back)
    if len(rest) > 1:
        return _confirmation_page(" ".join((line, *rest)), context, now, _page_before(line, rest))
    compared = f"{line} {_OPS[rest[0]] if rest else '>'} 0"
    condition = _read_rule(compared, context.market, subject=True).conditions[0]
    if rest:
        return guide.target_page(f"{line} {rest[0]}", condition, context, f"/alert new {line}")
    return guide.comparison_page(line, metric, dict(condition.arguments), context, back)


def _confirmation_page(
    text: str, context: EvaluationContext, now: dt.datetime, back: str, preset: Preset | None = None
) -> Answer:
    """Return the page with the whole rule and a button that creates the alert; nothing is stored yet."""
    alert, past = alerts.preview(_read_rule(text, context.market), context, now)
    return guide.confirmation(alert, context, past, back, preset)


def _arguments(metric: Metric, words: Sequence[str]) -> tuple[list[str], list[str]]:
    arguments: list[str] = []
    rest = list(words)
    while rest and rest[0] not in _OPS and len(arguments) < len(metric.parameters):
        width = 2 if rest[0] == "since" else 1
        arguments.append(" ".join(rest[:width]))
        rest = rest[width:]
    return arguments, rest


def _page_before(line: str, rest: Sequence[str]) -> str:
    """Return the command of the page before a whole rule: without its options, else without its target."""
    for option in ("confirm", "once"):
        if option in rest:
            return " ".join(("/alert new", line, *rest[: rest.index(option)]))
    return f"/alert new {line} {rest[0]}"


def _choices(parameter: Parameter, market: Market) -> list[str]:
    """Return what is offered for an argument; others can be typed."""
    match parameter.kind:
        case "count":
            low, high = parameter.low, parameter.high
            usual = parameter.default if isinstance(parameter.default, int) else low
            return [str(count) for count in sorted({*_COUNTS, usual}) if low <= count <= high]
        case "window":
            return [window for window in _WINDOWS if not (parameter.counted and window == "ytd")]
        case "date":
            return list(_DATES)
        case "convention":
            stored = set(market.multiples["convention"])
            return [name for name in parameter.choices if not stored or name in stored]
    return list(parameter.words)


def _read_rule(text: str, market: Market, *, subject: bool = False) -> Rule:
    try:
        return parse_rule(text, metrics_for(market), subject=subject)
    except BadInput as error:
        raise BadInput(error.sentence, f"/alert new {error.example}".rstrip()) from error
