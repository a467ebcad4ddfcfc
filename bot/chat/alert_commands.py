"""/alert, /alerts and /history: parse the words, call one service, render its result."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from bot.alerts.lexer import nearest
from bot.chat import alert_edit, alert_guide
from bot.errors import BadInput
from bot.messages.alerts.card import ALL, alert_page, card_buttons, rule_chart_answer
from bot.messages.alerts.explanation import explanation
from bot.messages.alerts.guide import guide_start
from bot.messages.alerts.list import PAGE, alert_list, history_answer
from bot.messages.alerts.notices import FIRES_SINCE_DAYS, trial_message
from bot.messages.common import Answer
from bot.messages.html import lines
from bot.services import alerts
from bot.text import did_you_mean

if TYPE_CHECKING:
    from bot.chat.ask import Ask


_BY_NUMBER = re.compile(r"#?([0-9]+)(?:\s+(\S+)\s*(.*))?", re.DOTALL)  # no rule begins with a number
_NEW = re.compile(r"new\b\s*(.*)", re.DOTALL | re.IGNORECASE)
_MOST_DIGITS = 18


@dataclass(frozen=True)
class OpenGuide:
    """Show the steps to a rule; `chosen` is what was chosen so far, None at the first step."""

    chosen: str | None = None


@dataclass(frozen=True)
class CreateAlert:
    """Create an alert with a typed rule."""

    rule: str


@dataclass(frozen=True)
class ShowAlert:
    """Show one alert."""

    number: int


@dataclass(frozen=True)
class ActOnAlert:
    """Do something with one alert; `words` say more about it."""

    number: int
    action: str
    words: str


AlertRequest: TypeAlias = OpenGuide | CreateAlert | ShowAlert | ActOnAlert


async def explain(ask: Ask, number: int, _: str) -> Answer:
    """The stored inputs of the last fire, judged again; before any, where the alert stands."""
    explained = await alerts.explain(ask.services, ask.caller, number)
    alert, context = explained.shown.alert, explained.shown.context
    if explained.fire is None:
        answer = await asyncio.to_thread(alert_page, alert, context)
        return Answer(lines(answer.html, "It has not fired yet."), buttons=answer.buttons)
    html = await asyncio.to_thread(explanation, explained.fire, context)
    withdrawn = "It was taken back when the data was revised." if explained.withdrawn else None
    return Answer(lines(html, withdrawn), buttons=(*card_buttons(alert), ALL))


async def chart(ask: Ask, number: int, _: str) -> Answer:
    """Every condition over a year, with its threshold and the fires."""
    shown, fires = await alerts.show_with_fires(ask.services, ask.caller, number)
    return await asyncio.to_thread(rule_chart_answer, shown.alert, shown.context, ask.theme, fires)


async def test(ask: Ask, number: int, _: str) -> Answer:
    """What the message would look like now."""
    shown, fires = await alerts.show_with_fire_count(ask.services, ask.caller, number, FIRES_SINCE_DAYS)
    return await asyncio.to_thread(trial_message, shown.alert, shown.context, fires)


async def history(ask: Ask, number: int | None, _: str = "", page: int = 1) -> Answer:
    """What one alert, or all of the chat's, did, newest first."""
    skip = (page - 1) * PAGE
    events = await alerts.history(ask.services, ask.caller, number, limit=PAGE + 1, skip=skip)
    return history_answer(events, number, page=page)


Action = Callable[["Ask", int, str], Awaitable[Answer]]

# What can be done with an alert. Looks change nothing: in groups they are everybody's.
LOOKS: dict[str, Action] = {"why": explain, "chart": chart, "test": test, "history": history}
CHANGES: dict[str, Action] = {
    "edit": alert_edit.edit,
    "snooze": alert_edit.snooze,
    "pause": alert_edit.pause,
    "resume": alert_edit.resume,
    "renew": alert_edit.renew,
    "off": alert_edit.off,
    "rescale": alert_edit.rescale,
    "back": alert_edit.back,
}
ACTIONS = LOOKS | CHANGES
_WORDY = ("edit", "snooze", "back")  # take more words
_CHOICES = ("edit", "snooze")  # without more words they only ask what to change


def changes(text: str) -> bool:
    """Whether the words after /alert change anything."""
    if _NEW.fullmatch(text) or not text:
        return False
    match = _BY_NUMBER.fullmatch(text)
    if match is None:
        return True
    action = (match[2] or "").lower()
    return bool(action) and action not in LOOKS and not (action in _CHOICES and not match[3])


def parse_alert_request(text: str) -> AlertRequest:
    """What the words after /alert ask for; raises BadInput for what cannot be done with an alert."""
    if (match := _BY_NUMBER.fullmatch(text)) is not None:
        number, action, words = _number(match[1]), (match[2] or "").lower(), match[3] or ""
        return _parse_action(number, action, words) if action else ShowAlert(number)
    if (new := _NEW.fullmatch(text)) is not None:
        return OpenGuide(new[1])
    return CreateAlert(text) if text else OpenGuide()


def _number(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise BadInput(f"There is no alert #{digits} in this chat. Yours: /alerts")
    return int(digits)


def _parse_action(number: int, action: str, words: str) -> ActOnAlert:
    if action not in ACTIONS:
        hint = did_you_mean(action, ACTIONS) or f"There are: {', '.join(ACTIONS)}."
        example = f"/alert {number} {nearest(action, ACTIONS)}".strip()
        raise BadInput(f"“{action}” is nothing an alert can do. {hint}".strip(), example)
    if words and action not in _WORDY:
        raise BadInput(f"“{action}” takes no more words, but “{words}” follows.", f"/alert {number} {action}")
    return ActOnAlert(number, action, words)


async def on_alert(ask: Ask) -> Answer:
    """/alert: a rule creates an alert, a number shows one or changes it, nothing opens the guide."""
    match parse_alert_request(ask.text):
        case OpenGuide(None):
            return guide_start(ask.services.pair)
        case OpenGuide(chosen):
            return await alert_guide.guide_page(ask.services, ask.caller, chosen or "")
        case CreateAlert(rule):
            started = await alerts.create(ask.services, ask.caller, rule)
            return await alert_edit.render_started(started)
        case ShowAlert(number):
            shown = await alerts.show(ask.services, ask.caller, number)
            return await asyncio.to_thread(alert_page, shown.alert, shown.context)
        case ActOnAlert(number, action, words):
            return await ACTIONS[action](ask, number, words)


async def on_alerts(ask: Ask) -> Answer:
    """/alerts: every alert of this chat, in pages; a number turns to the page it is on."""
    match = re.fullmatch(r"#?([0-9]{0,9})", ask.text)
    if match is None:
        raise BadInput(f"“{ask.text}” is not an alert's number.", "/alerts")
    listed = await alerts.list_alerts(ask.services, ask.caller)
    answer = await asyncio.to_thread(alert_list, list(listed.alerts), listed.context, int(match[1] or 0))
    return replace(answer, html=lines(answer.html, *(error.sentence for error in listed.unreadable)))


async def on_history(ask: Ask) -> Answer:
    """/history: what fired in this chat, or of one alert, in pages."""
    match = re.fullmatch(r"(?:#?([0-9]+))? ?(?:page ([0-9]{1,6}))?", ask.text, re.IGNORECASE)
    if match is None:
        raise BadInput(f"“{ask.text}” is not an alert's number.", "/history 1")
    number = _number(match[1]) if match[1] else None
    return await history(ask, number, page=max(int(match[2] or 1), 1))
