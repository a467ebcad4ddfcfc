"""Changing one alert: edit, snooze, pause, resume, renew, off, and its mirrored rule."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from bot.alerts.view import AlertView, Life
from bot.chat.alert_looks import look
from bot.chat.alert_rows import (
    awaited,
    context,
    found,
    fresh,
    last_day,
    make,
    refuse_full,
    refuse_past,
    refuse_same,
    standing,
    start_afresh,
)
from bot.chat.rule_edits import edited
from bot.chat.snooze import snooze_end
from bot.errors import BadInput
from bot.rendering import alerts as say
from bot.rendering import edits
from bot.rendering.answer import Answer
from bot.rendering.outages import waits
from bot.rendering.text import Html, bold, code, lines, short_date
from bot.services.alerts import rule_of
from bot.services.base import metrics_for
from storage import alerts as stored

if TYPE_CHECKING:
    import sqlite_utils

    from bot.chat.ask import Ask
    from storage.alerts import StoredAlert


def refuse_ended(row: StoredAlert) -> None:
    """Raises BadInput for an alert that has ended."""
    if Life(row.life).has_ended:
        raise BadInput(f"Alert #{row.number} has ended ({_end(row)}).", f"/alert {row.number} renew")


async def edit(ask: Ask, row: StoredAlert, rest: str) -> Answer:
    """Another rule under the same number, starting afresh; without words, the usual changes as buttons."""
    refuse_ended(row)
    if not rest:
        return await asyncio.to_thread(edits.choice, await standing(ask, row), await context(ask))
    of, old = await context(ask), rule_of(row)
    command = f"/alert {row.number} edit"
    try:
        rule = edited(old, rest, metrics_for(of.market))
    except BadInput as error:
        raise BadInput(error.sentence, f"{command} {error.example}" if error.example else command) from error
    if rule == old:
        raise BadInput(f"That is what alert #{row.number} says already.", command)
    refuse_past(rule, of.market, ask, command)
    state, often = await fresh(rule, of)

    def write(db: sqlite_utils.Database) -> tuple[StoredAlert, list[str]]:
        refuse_same(db, ask, rule, row.number)
        now = found(db, ask, str(row.number))
        refuse_ended(now)
        session = state.session.isoformat()
        stored.replace_rule(db, row.alert_id, rule=str(rule), rule_json=rule.to_json(), session=session)
        if rule.until != old.until:
            stored.set_expiry(db, row.alert_id, last_day(rule, ask, of).isoformat())
        start_afresh(db, row.alert_id, state)
        missing = awaited(db, ask, rule) if now.life == Life.ACTIVE else []
        return found(db, ask, str(row.number)), missing

    now, missing = await ask.change(write)
    made = replace(await standing(ask, now), rule=rule, state=state)
    was = Html("").join(("Was: ", code(old)))
    return await asyncio.to_thread(say.created, made, of, often, was, waits=waits(missing, of.market))


async def snooze(ask: Ask, row: StoredAlert, rest: str) -> Answer:
    """Hold its messages for a while; what fires meanwhile comes as one message at the end."""
    refuse_ended(row)
    number = row.number
    if row.life == Life.PAUSED:
        raise BadInput(f"Alert #{number} is paused: it sends nothing anyway.", f"/alert {number} resume")
    if not rest:
        return edits.snooze_choice(await standing(ask, row), (await context(ask)).zone)
    until = snooze_end(rest, ask.now, (await context(ask)).zone, f"/alert {number} snooze")
    if until is None and row.snoozed_until is None:
        raise BadInput(f"Alert #{number} is not snoozed.", f"/alert {number} snooze 1d")
    await ask.change(lambda db: stored.set_snooze(db, row.alert_id, until))
    now = await ask.services.database.run(lambda db: found(db, ask, str(number)))
    if until is None:
        return await look(ask, now, "Snooze ended: what fired meanwhile comes as one message.")
    return await look(ask, now, "Snoozed: what fires meanwhile comes as one message at its end.")


async def pause(ask: Ask, row: StoredAlert, _: str) -> Answer:
    """Stop judging it until it is resumed."""
    refuse_ended(row)
    if row.life == Life.PAUSED:
        raise BadInput(f"Alert #{row.number} is paused already.", f"/alert {row.number}")

    def write(db: sqlite_utils.Database) -> None:
        stored.set_life(db, row.alert_id, Life.PAUSED)
        stored.set_snooze(db, row.alert_id, None)

    await ask.change(write)
    return await _now(ask, row)


async def resume(ask: Ask, row: StoredAlert, _: str) -> Answer:
    """Judge it again, afresh as at creation: what happened meanwhile does not fire."""
    refuse_ended(row)
    if row.life == Life.ACTIVE:
        raise BadInput(f"Alert #{row.number} is active already.", f"/alert {row.number}")
    of, rule = await context(ask), rule_of(row)
    state, _often = await fresh(rule, of)

    def write(db: sqlite_utils.Database) -> tuple[StoredAlert, list[str]]:
        stored.set_life(db, row.alert_id, Life.ACTIVE)
        start_afresh(db, row.alert_id, state)
        return found(db, ask, str(row.number)), awaited(db, ask, rule)

    now, missing = await ask.change(write)
    return await look(ask, now, waits(missing, of.market))


async def renew(ask: Ask, row: StoredAlert, _: str) -> Answer:
    """A year more from today; one that has ended starts afresh, within the quota."""
    of, old = await context(ask), rule_of(row)
    rule = replace(old, until=None)
    state, often = await fresh(rule, of)
    expires, ended = last_day(rule, ask, of), Life(row.life).has_ended

    def write(db: sqlite_utils.Database) -> tuple[StoredAlert, list[str]]:
        if ended:
            refuse_full(db, ask)
        refuse_same(db, ask, rule, row.number)
        if rule != old:
            stored.replace_rule(db, row.alert_id, rule=str(rule), rule_json=rule.to_json())
        stored.set_expiry(db, row.alert_id, expires.isoformat())
        if ended:
            stored.set_life(db, row.alert_id, Life.ACTIVE)
            stored.set_snooze(db, row.alert_id, None)
            start_afresh(db, row.alert_id, state)
        return found(db, ask, str(row.number)), awaited(db, ask, rule) if ended else []

    now, missing = await ask.change(write)
    if not ended:
        return await look(ask, now, f"Renewed until {short_date(expires)}.")
    again = AlertView(row.number, rule, Life.ACTIVE, state, expires_on=expires)
    remark = f"It had ended ({_end(row)}) and starts afresh."
    return await asyncio.to_thread(say.created, again, of, often, remark, waits=waits(missing, of.market))


def _end(row: StoredAlert) -> str:
    return str(row.reason or row.life).rstrip(".")


async def off(ask: Ask, row: StoredAlert, _: str) -> Answer:
    """End it; its number and history stay, and it can be renewed."""
    refuse_ended(row)
    await ask.change(lambda db: stored.switch_off(db, row.alert_id))
    html = lines(bold(f"Alert #{row.number} is off."), code(row.rule))
    return Answer(html, buttons=((("Undo", f"/alert {row.number} renew"), ("Alerts", "/alerts")),))


async def back(ask: Ask, row: StoredAlert, rest: str) -> Answer:
    """A second alert with the mirrored rule; of several conditions, one each to choose from by its place."""
    rule = rule_of(row)
    mirrors = edits.mirrored(rule)
    if not rest and len(mirrors) != 1:
        return edits.mirror_choice(row.number, rule, mirrors)
    if rest and not (rest.isascii() and rest.isdigit() and 0 < int(rest) <= len(mirrors)):
        raise BadInput(f"“{rest}” is none of the rule's conditions.", f"/alert {row.number} back")
    return await make(ask, mirrors[int(rest or 1) - 1])


async def _now(ask: Ask, row: StoredAlert) -> Answer:
    """The alert as it is stored after a change."""
    return await look(ask, await ask.services.database.run(lambda db: found(db, ask, str(row.number))))
