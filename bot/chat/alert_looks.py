"""Looking at one alert: where it stands, why it fired, its chart, a test, its history. Nothing changes."""

from __future__ import annotations

import asyncio
import datetime as dt
from functools import partial
from typing import TYPE_CHECKING

from bot.alerts.rule import Rule
from bot.alerts.state import Event, State
from bot.chat.alert_rows import context, standing
from bot.rendering import alerts as say
from bot.rendering.answer import Answer
from bot.rendering.history import PAGE, history_answer
from bot.rendering.pushes import FIRES_SINCE_DAYS
from bot.rendering.rule_chart import chart_answer
from bot.rendering.text import lines
from bot.rendering.trial import trial
from bot.rendering.why import StoredFire
from bot.rendering.why import why as say_why
from storage import alerts as stored
from storage import events

if TYPE_CHECKING:
    from bot.chat.ask import Ask
    from storage.alerts import StoredAlert
    from storage.events import StoredEvent

_LOOKED_AT = 20  # newest events, among which the last fire is looked for
_FIRES = ("fired", "still", "restated")


async def look(ask: Ask, row: StoredAlert, remark: str | None = None) -> Answer:
    """One alert in full; `remark` says what was just done to it."""
    return await asyncio.to_thread(say.one, await standing(ask, row), await context(ask), remark=remark)


async def why(ask: Ask, row: StoredAlert, _: str) -> Answer:
    """The stored inputs of the last fire, judged again; before any, where the alert stands."""
    read = partial(events.events, alert_id=row.alert_id, limit=_LOOKED_AT)
    found = await ask.services.database.run(read)
    fire = next((event for event in found if event.transition in _FIRES), None)
    if fire is None:
        answer = await look(ask, row)
        return Answer(lines(answer.html, "It has not fired yet."), buttons=answer.buttons)
    later = found[: found.index(fire)]
    gone = any(e.transition == "withdrawn" and e.session == fire.session for e in later)
    told = await asyncio.to_thread(say_why, await _stored(ask, row, fire), await context(ask))
    html = lines(told, "It was taken back when the data was revised." if gone else None)
    return Answer(html, buttons=(*say.card(await standing(ask, row)), say.ALL))


async def _stored(ask: Ask, row: StoredAlert, fire: StoredEvent) -> StoredFire:
    """A fire as it is stored, with the rule and the state of its time where they are kept."""
    detail = fire.detail
    before = detail.before
    if before is None:
        kept = await ask.services.database.run(
            lambda db: stored.state_before(db, row.alert_id, fire.session.isoformat())
        )
        before = kept.state if kept else None
    return StoredFire(
        row.number,
        Rule.from_json(detail.rule or row.rule_json),
        Event.from_json(detail.event),
        State.from_json(before) if before else None,
        detail.source,
        detail.observed_at,
    )


async def chart(ask: Ask, row: StoredAlert, _: str) -> Answer:
    """Every condition over a year, with its threshold and the fires."""
    read = partial(events.events, alert_id=row.alert_id, limit=200)
    found = await ask.services.database.run(read)
    fires = sorted({e.session for e in found if e.transition == "fired"})
    return await asyncio.to_thread(
        chart_answer, await standing(ask, row), await context(ask), ask.theme, fires
    )


async def test(ask: Ask, row: StoredAlert, _: str) -> Answer:
    """What the message would look like now."""
    of = await context(ask)
    since = (of.market.last_completed - dt.timedelta(days=FIRES_SINCE_DAYS)).date().isoformat()
    fires = await ask.services.database.run(lambda db: events.fires_since(db, row.alert_id, since))
    return await asyncio.to_thread(trial, await standing(ask, row), of, fires)


async def history(ask: Ask, row: StoredAlert, _: str = "", page: int = 1) -> Answer:
    """What one alert did, newest first."""
    read = partial(events.events, alert_id=row.alert_id, limit=PAGE + 1, skip=(page - 1) * PAGE)
    return history_answer(await ask.services.database.run(read), row.number, page=page)


async def history_of_chat(ask: Ask, page: int = 1) -> Answer:
    """What the chat's alerts did, newest first."""
    read = partial(events.events, chat_id=ask.chat_id, limit=PAGE + 1, skip=(page - 1) * PAGE)
    return history_answer(await ask.services.database.run(read), page=page)
