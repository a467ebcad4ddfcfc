"""A chat's alerts as they are stored: found by their number, made and renewed within the quota."""

from __future__ import annotations

import asyncio
import datetime as dt
from dataclasses import replace
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from bot.alerts.backtest import frequency
from bot.alerts.grammar import parse_rule
from bot.alerts.presets import preset_of
from bot.alerts.view import AlertView, Life
from bot.errors import BadInput
from bot.rendering import alerts as say
from bot.rendering.answer import Answer, require
from bot.rendering.outages import waits
from bot.services.alerts import fresh_state, parts_read, standing_of
from bot.services.base import context_of, metrics_for
from storage import alerts as stored
from storage import chats, outages

if TYPE_CHECKING:
    import sqlite_utils

    from bot.alerts.backtest import Frequency
    from bot.alerts.rule import Rule
    from bot.alerts.state import State
    from bot.alerts.view import EvaluationContext
    from bot.analytics.market import Market
    from bot.chat.ask import Ask
    from storage.alerts import StoredAlert

MOST_ALERTS = 50  # a chat; more are no help to anybody who has to read them
_DIGITS = 19  # numbers of fewer digits fit SQLite's integers


def found(db: sqlite_utils.Database, ask: Ask, number: str) -> StoredAlert:
    """This chat's alert of that number, ended ones too; raises BadInput."""
    row = stored.get_alert(db, ask.chat_id, int(number)) if len(number) < _DIGITS else None
    if row is None:
        raise BadInput(f"There is no alert #{number} in this chat. Yours: /alerts")
    return row


async def context(ask: Ask) -> EvaluationContext:
    """What is said about alerts needs: the Market's histories and the chat's time zone."""
    made = await asyncio.to_thread(context_of, await ask.market(), ask.services.markets)
    return replace(made, zone=ZoneInfo(ask.preferences.zone))


async def standing(ask: Ask, row: StoredAlert) -> AlertView:
    """An alert's row with its state."""
    return await ask.services.database.run(lambda db: standing_of(db, row, ask.now))


def read_rule(text: str, market: Market, command: str = "/alert") -> Rule:
    """Rule of a typed line or of a preset's name; raises BadInput whose example is a line to send."""
    preset = preset_of(text)
    try:
        return parse_rule(preset.rule if preset else text, metrics_for(market))
    except BadInput as error:
        raise BadInput(error.sentence, f"{command} {error.example}" if error.example else "") from error


def refuse_past(rule: Rule, market: Market, ask: Ask, command: str = "/alert") -> None:
    """Raises BadInput for a rule whose last day has passed."""
    require(market)
    if rule.until is not None and rule.until <= market.last_completed.date():
        later = replace(rule, until=ask.now.date() + dt.timedelta(days=365))
        raise BadInput(f"“until {rule.until}” has passed already.", f"{command} {later}")


async def fresh(rule: Rule, of: EvaluationContext) -> tuple[State, Frequency]:
    """State of a rule that starts now, and how often it would have fired."""
    state = await asyncio.to_thread(fresh_state, rule, of)
    history = await asyncio.to_thread(of.histories.course, rule, None, of.market.sessions)
    return state, await asyncio.to_thread(frequency, rule, history)


def last_day(rule: Rule, ask: Ask, of: EvaluationContext) -> dt.date:
    """The day on which a rule made or renewed now ends: its own, else a year from today."""
    return rule.until or a_year_after(ask.now.astimezone(of.zone).date())


def a_year_after(day: dt.date) -> dt.date:
    """The same day next year; of 29 February the day before."""
    try:
        return day.replace(year=day.year + 1)
    except ValueError:
        return day.replace(year=day.year + 1, day=28)


async def make(ask: Ask, rule: Rule) -> Answer:
    """Store an alert within the chat's quota, and say where it stands."""
    of = await context(ask)
    refuse_past(rule, of.market, ask)
    state, often = await fresh(rule, of)
    expires = last_day(rule, ask, of)

    def write(db: sqlite_utils.Database) -> tuple[int, list[str]]:
        chats.ensure_chat(db, ask.chat_id, ask.chat_kind, ask.chat_title, ask.now)
        refuse_full(db, ask)
        refuse_same(db, ask, rule)
        row = stored.add_alert(
            db,
            chat_id=ask.chat_id,
            owner_id=ask.user_id,
            rule=str(rule),
            rule_json=rule.to_json(),
            now=ask.now,
            session=state.session.isoformat(),
            expires_on=expires.isoformat(),
            thread_id=ask.thread_id,
        )
        stored.save_state(db, row.alert_id, state.session.isoformat(), state.to_json())
        return row.number, awaited(db, ask, rule)

    number, missing = await ask.change(write)
    made = AlertView(number, rule, Life.ACTIVE, state, expires_on=expires)
    return await asyncio.to_thread(say.created, made, of, often, waits=waits(missing, of.market))


def awaited(db: sqlite_utils.Database, ask: Ask, rule: Rule) -> list[str]:
    """Parts of the Market that a rule reads and that are overdue; the chat is told when they are back."""
    read = parts_read(rule)
    missing = [row for row in outages.current(db) if row["part"] in read]
    for row in missing:
        outages.add_chats(db, row["part"], row["session"], [ask.chat_id])
    return [row["part"] for row in missing]


def refuse_full(db: sqlite_utils.Database, ask: Ask) -> None:
    """Raises BadInput when the chat has as many alerts as it may."""
    if stored.count_active(db, ask.chat_id) >= MOST_ALERTS:
        raise BadInput(
            f"This chat has {MOST_ALERTS} alerts, which is the most. Switch one off first.", "/alerts"
        )


def refuse_same(db: sqlite_utils.Database, ask: Ask, rule: Rule, number: int = 0) -> None:
    """Raises BadInput when another alert than `number` has the rule."""
    for row in stored.alerts_of(db, ask.chat_id):
        if row.rule == str(rule) and row.number != number:
            raise BadInput(f"This is alert #{row.number} already ({row.life}).", f"/alert {row.number}")


def start_afresh(db: sqlite_utils.Database, alert_id: int, state: State) -> None:
    """Forget the states of an alert for that of one which starts now."""
    stored.clear_states(db, alert_id)
    stored.save_state(db, alert_id, state.session.isoformat(), state.to_json())
