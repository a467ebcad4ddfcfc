"""Alert commands: make, list, look at, pause, resume and switch off."""

from __future__ import annotations

import asyncio
import datetime as dt
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bot.alerts.backtest import frequency
from bot.alerts.grammar import parse_rule
from bot.alerts.rule import Rule
from bot.alerts.state import Event
from bot.analytics.registry import METRICS
from bot.analytics.windows import Window
from bot.errors import BadInput
from bot.rendering import alerts as say
from bot.rendering.answer import Answer, Asked, require
from bot.rendering.metric import metric_answer
from bot.rendering.text import Html, bold, code, did_you_mean, lines, short_date
from bot.services import context_of, fresh_state, metrics_for, standing_of
from storage import alerts as stored
from storage import chats

if TYPE_CHECKING:
    import sqlite_utils

    from bot.chat.ask import Ask

MOST_ALERTS = 50
MOST_EVENTS = 20
_BY_NUMBER = re.compile(r"#?([0-9]+)(?:\s+(.*))?", re.DOTALL)  # no rule begins with a number
_LOOKS = ("why", "chart")
_ACTIONS = (*_LOOKS, "pause", "resume", "off")
_ENDED = ("done", "expired")
_DIGITS = 19  # numbers of fewer digits fit SQLite's integers


def changes(text: str) -> bool:
    """Whether the words after /alert change anything."""
    match = _BY_NUMBER.fullmatch(text)
    if match is None:
        return bool(text)
    return match[2] is not None and match[2].lower() not in _LOOKS


async def on_alert(ask: Ask) -> Answer:
    """/alert: a rule makes an alert, a number looks at one or changes it, nothing opens a choice."""
    match = _BY_NUMBER.fullmatch(ask.text)
    if match is not None:
        return await _existing(ask, match[1], (match[2] or "").lower())
    if not ask.text:
        html = lines(
            bold("Which rule?"),
            "Type one, e.g. "
            + code("/alert excess 3m > 5pp confirm 2")
            + ", or choose. Details: /help alert",
        )
        return Answer(html, buttons=say.suggestions())
    return await _create(ask)


async def _create(ask: Ask) -> Answer:
    market = await ask.market()
    try:
        rule = parse_rule(ask.text, metrics_for(market))
    except BadInput as error:
        raise BadInput(error.sentence, f"/alert {error.example}" if error.example else "") from error
    require(market)
    if rule.until is not None and rule.until <= market.last_completed.date():
        later = ask.now.date() + dt.timedelta(days=365)
        raise BadInput(f"“until {rule.until}” has passed already.", f"/alert {replace(rule, until=later)}")
    context = await asyncio.to_thread(context_of, market, ask.services.markets)
    state = await asyncio.to_thread(fresh_state, rule, context)
    history = await asyncio.to_thread(context.histories.course, rule, None, market.sessions)
    often = await asyncio.to_thread(frequency, rule, history)

    def write(db: sqlite_utils.Database) -> int:
        chats.ensure_chat(db, ask.chat_id, ask.chat_kind, ask.chat_title, ask.now)
        present = stored.alerts_of(db, ask.chat_id)
        if len(present) >= MOST_ALERTS:
            raise BadInput(
                f"This chat has {MOST_ALERTS} alerts, which is the most. Switch one off first.", "/alerts"
            )
        same = next((row for row in present if row["rule"] == str(rule)), None)
        if same is not None:
            raise BadInput(
                f"This is alert #{same['number']} already ({same['life']}).", f"/alert {same['number']}"
            )
        row = stored.add_alert(
            db,
            chat_id=ask.chat_id,
            owner_id=ask.user_id,
            rule=str(rule),
            rule_json=rule.to_json(),
            now=ask.now,
            session=state.session.isoformat(),
        )
        stored.save_state(db, row["alert_id"], state.session.isoformat(), state.to_json())
        return int(row["number"])

    number = await ask.change(write)
    return await asyncio.to_thread(say.created, say.Standing(number, rule, "active", state), context, often)


async def _existing(ask: Ask, number: str, action: str) -> Answer:
    row = await ask.services.database.run(lambda db: _found(db, ask, number))
    if action and action not in _ACTIONS:
        hint = did_you_mean(action, _ACTIONS)
        raise BadInput(f"“{action}” is nothing an alert can do. {hint}".strip(), f"/alert {number} pause")
    match action:
        case "why":
            return await _why(ask, row)
        case "chart":
            return await _chart(ask, row)
    if row["life"] in _ENDED:
        raise BadInput(f"Alert #{number} has ended ({_end(row)}).", f"/alert {row['rule']}")
    match action:
        case "off":
            return await _off(ask, row)
        case "pause" | "resume":
            return await _switch(ask, row, action)
    return await _look(ask, row)


def _found(db: sqlite_utils.Database, ask: Ask, number: str) -> dict[str, Any]:
    """This chat's alert of that number, ended ones too; raises BadInput."""
    row = stored.get_alert(db, ask.chat_id, int(number)) if len(number) < _DIGITS else None
    if row is None:
        raise BadInput(f"There is no alert #{number} in this chat. Yours: /alerts")
    return row


def _end(row: dict[str, Any]) -> str:
    return str(row["reason"] or row["life"])


async def _look(ask: Ask, row: dict[str, Any]) -> Answer:
    standing = await ask.services.database.run(lambda db: standing_of(db, row))
    context = await asyncio.to_thread(context_of, await ask.market(), ask.services.markets)
    return await asyncio.to_thread(say.one, standing, context)


async def _off(ask: Ask, row: dict[str, Any]) -> Answer:
    await ask.change(lambda db: stored.switch_off(db, row["alert_id"]))
    html = lines(bold(f"Alert #{row['number']} is off."), code(row["rule"]))
    return Answer(html, buttons=((("Make it again", f"/alert {row['rule']}"), ("Alerts", "/alerts")),))


async def _switch(ask: Ask, row: dict[str, Any], action: str) -> Answer:
    """Pause, or resume afresh as at creation: what happened meanwhile does not fire."""
    wanted = "paused" if action == "pause" else "active"
    if row["life"] == wanted:
        raise BadInput(f"Alert #{row['number']} is {wanted} already.", f"/alert {row['number']}")
    if wanted == "active":
        context = await asyncio.to_thread(context_of, await ask.market(), ask.services.markets)
        state = await asyncio.to_thread(fresh_state, Rule.from_json(row["rule_json"]), context)

    def write(db: sqlite_utils.Database) -> None:
        stored.set_life(db, row["alert_id"], wanted)
        if wanted == "active":
            stored.clear_states(db, row["alert_id"])
            stored.save_state(db, row["alert_id"], state.session.isoformat(), state.to_json())

    await ask.change(write)
    return await _look(ask, {**row, "life": wanted})


async def _why(ask: Ask, row: dict[str, Any]) -> Answer:
    """The stored inputs of the last fire; before any, where the alert stands."""
    found = await ask.services.database.run(lambda db: stored.events(db, alert_id=row["alert_id"], limit=1))
    if not found:
        answer = await _look(ask, row)
        return Answer(lines(answer.html, "It has not fired yet."), buttons=answer.buttons)
    detail = found[0]["detail"]
    event = Event.from_json(detail["event"])
    html = say.why(
        row["number"], Rule.from_json(row["rule_json"]), event, detail["source"], detail["observed_at"]
    )
    return Answer(html, buttons=(say.buttons(row["number"], row["life"]),))


async def _chart(ask: Ask, row: dict[str, Any]) -> Answer:
    condition = Rule.from_json(row["rule_json"]).conditions[0]
    market = await ask.market()
    return await asyncio.to_thread(
        metric_answer,
        market,
        Asked(),
        ask.theme,
        METRICS[condition.metric],
        dict(condition.arguments),
        Window("y", 1),
        condition.target,
    )


async def on_alerts(ask: Ask) -> Answer:
    """/alerts: every alert of this chat."""

    def read(db: sqlite_utils.Database) -> list[say.Standing]:
        return [standing_of(db, row) for row in stored.alerts_of(db, ask.chat_id)]

    standings = await ask.services.database.run(read)
    context = await asyncio.to_thread(context_of, await ask.market(), ask.services.markets)
    return await asyncio.to_thread(say.listing, standings, context)


async def on_history(ask: Ask) -> Answer:
    """/history: what fired in this chat, or of one alert."""
    number = re.fullmatch(r"#?([0-9]*)", ask.text)
    if number is None:
        raise BadInput(f"“{ask.text}” is not an alert's number.", "/history 1")

    def read(db: sqlite_utils.Database) -> list[dict[str, Any]]:
        if not number[1]:
            return stored.events(db, chat_id=ask.chat_id, limit=MOST_EVENTS)
        alert_id = _found(db, ask, number[1])["alert_id"]
        return stored.events(db, alert_id=alert_id, limit=MOST_EVENTS)

    found = await ask.services.database.run(read)
    if not found:
        return Answer(lines(bold("Nothing has fired yet."), "Yours: /alerts"))
    told = [_history_line(event) for event in found]
    labels = ", ".join(dict.fromkeys(event["detail"]["source"] for event in found))
    title = f"Last {len(told)} events, newest first" if len(told) > 1 else "One event"
    return Answer(lines(bold(title), *told, "", f"Source: {labels}."))


def _history_line(event: dict[str, Any]) -> Html:
    unit = METRICS[parse_rule(event["rule"], METRICS).conditions[0].metric].unit
    day = short_date(dt.date.fromisoformat(event["session"]))
    told = f" · {event['transition']} at {unit.show(event['value'])}"
    return Html("").join((f"{day} · #{event['number']} ", code(event["rule"]), told))
