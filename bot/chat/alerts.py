"""/alert, /alerts and /history: which words mean which deed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from bot.alerts.reading import nearest
from bot.chat import alert_changes, alert_looks, guide
from bot.chat.alert_rows import context, found, make, read_rule
from bot.errors import BadInput
from bot.rendering.listing import listing
from bot.rendering.text import did_you_mean, lines
from bot.services.alerts import standings_of
from storage import alerts as stored
from storage.alerts import StoredAlert

if TYPE_CHECKING:
    import sqlite_utils

    from bot.alerts.view import AlertView
    from bot.chat.ask import Ask
    from bot.rendering.answer import Answer
    from bot.services.alerts import Unreadable

_BY_NUMBER = re.compile(r"#?([0-9]+)(?:\s+(\S+)\s*(.*))?", re.DOTALL)  # no rule begins with a number
_NEW = re.compile(r"new\b\s*(.*)", re.DOTALL | re.IGNORECASE)

Deed = Callable[["Ask", StoredAlert, str], Awaitable["Answer"]]

# What an alert can do. Looks change nothing: in groups they are everybody's.
LOOKS: dict[str, Deed] = {
    "why": alert_looks.why,
    "chart": alert_looks.chart,
    "test": alert_looks.test,
    "history": alert_looks.history,
}
CHANGES: dict[str, Deed] = {
    "edit": alert_changes.edit,
    "snooze": alert_changes.snooze,
    "pause": alert_changes.pause,
    "resume": alert_changes.resume,
    "renew": alert_changes.renew,
    "off": alert_changes.off,
    "back": alert_changes.back,
}
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


async def on_alert(ask: Ask) -> Answer:
    """/alert: a rule makes an alert, a number looks at one or changes it, nothing opens a choice."""
    match = _BY_NUMBER.fullmatch(ask.text)
    if match is not None:
        return await _existing(ask, match[1], (match[2] or "").lower(), match[3] or "")
    if new := _NEW.fullmatch(ask.text):
        return await guide.guided(ask, new[1])
    if not ask.text:
        return guide.begin()
    return await make(ask, read_rule(ask.text, await ask.market()))


async def _existing(ask: Ask, number: str, action: str, rest: str) -> Answer:
    """What an alert is asked to do; raises BadInput for what it cannot."""
    row = await ask.services.database.run(lambda db: found(db, ask, number))
    if not action:
        return await alert_looks.look(ask, row)
    known = {**LOOKS, **CHANGES}
    if action not in known:
        hint = did_you_mean(action, known) or f"There are: {', '.join(known)}."
        example = f"/alert {number} {nearest(action, known)}".strip()
        raise BadInput(f"“{action}” is nothing an alert can do. {hint}".strip(), example)
    if rest and action not in _WORDY:
        raise BadInput(f"“{action}” takes no more words, but “{rest}” follows.", f"/alert {number} {action}")
    return await known[action](ask, row, rest)


async def on_alerts(ask: Ask) -> Answer:
    """/alerts: every alert of this chat, in pages; a number turns to the page it is on."""
    asked = re.fullmatch(r"#?([0-9]{0,9})", ask.text)
    if asked is None:
        raise BadInput(f"“{ask.text}” is not an alert's number.", "/alerts")

    def read(db: sqlite_utils.Database) -> tuple[list[AlertView], list[Unreadable]]:
        return standings_of(db, stored.alerts_of(db, ask.chat_id), ask.now)

    standings, unread = await ask.services.database.run(read)
    answer = await asyncio.to_thread(listing, standings, await context(ask), int(asked[1] or 0))
    return replace(answer, html=lines(answer.html, *(error.sentence for error in unread)))


async def on_history(ask: Ask) -> Answer:
    """/history: what fired in this chat, or of one alert, in pages."""
    asked = re.fullmatch(r"(?:#?([0-9]+))? ?(?:page ([0-9]{1,6}))?", ask.text, re.IGNORECASE)
    if asked is None:
        raise BadInput(f"“{ask.text}” is not an alert's number.", "/history 1")
    number, page = asked[1], max(int(asked[2] or 1), 1)
    if not number:
        return await alert_looks.history_of_chat(ask, page)
    row = await ask.services.database.run(lambda db: found(db, ask, number))
    return await alert_looks.history(ask, row, page=page)
