"""Telling what was held: at the end of a snooze and of quiet hours, one message a chat."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections import defaultdict
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from bot.alerts.rule import MALFORMED, Rule
from bot.alerts.state import Event
from bot.jobs.judged import WITHDRAWN
from bot.jobs.sending import Place, send, send_lines
from bot.jobs.telling import QUARTER, SNOOZE, Teller, Wishes, became
from bot.rendering import corrections, pushes
from bot.services.alerts import standings_of
from bot.services.base import context_of
from bot.words import capital
from storage import alerts as stored
from storage import events, held

if TYPE_CHECKING:
    import sqlite_utils

    from bot.alerts.view import AlertView, EvaluationContext
    from bot.rendering.answer import Answer
    from bot.rendering.text import Html
    from bot.services.base import Services

_log = logging.getLogger(__name__)
_WHY = {"snooze": "while this alert was snoozed", "quiet": "during quiet hours"}
_TITLES = {"snooze": pushes.SNOOZED, "quiet": pushes.QUIET}

Row = dict[str, Any]


class Release:
    """Queues what was held and may be told now."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def run(self) -> int:
        """Queue what may be told; how many messages."""
        services, now = self._services, self._services.clock()
        read = partial(_read, default_zone=services.config.timezone, now=now)
        waiting = await services.database.run(read)
        if not waiting:
            return 0
        market = await services.markets.current()
        context = await asyncio.to_thread(context_of, market, services.markets)
        for place, rows in waiting.items():
            try:
                message = await asyncio.to_thread(_message, context, rows, now, services.config.timezone)
            except Exception:  # noqa: BLE001 - one chat must not stop the others
                _log.exception("what was held of chat %s cannot be told in full", place[0])
                message = _plainly(rows)
            store = partial(_store, place=place, rows=rows, message=message, sample=market.is_sample, now=now)
            await services.database.run(store)
        return len(waiting)


def _read(db: sqlite_utils.Database, default_zone: str, now: dt.datetime) -> dict[Place, list[Row]]:
    """What may be told now, by chat and topic, oldest first, with what the texts need."""
    found: dict[Place, list[Row]] = defaultdict(list)
    for row in held.waiting(db):
        rule = _rule(row)
        if rule is not None and Wishes.of(row, default_zone, now).hold(row, rule, now) is not None:
            continue
        session = dt.date.fromisoformat(row["session"])
        since = (session - QUARTER).isoformat()
        fires = events.fires_since(db, row["alert_id"], since, until=row["session"])
        alert = stored.get_alert(db, row["chat_id"], row["number"])
        standings, _ = standings_of(db, [alert] if alert else [], now)  # of an alert that can still be read
        standing = standings[0] if standings else None
        found[row["chat_id"], row["thread_id"]].append({**row, "fires": fires, "standing": standing})
    return found


def _rule(row: Row) -> Rule | None:
    """The rule that an event came of; None of one that is damaged, which nothing holds back any longer."""
    try:
        return Rule.from_json(row["detail"]["rule"])
    except MALFORMED:
        return None


def _message(
    context: EvaluationContext, rows: list[Row], now: dt.datetime, default_zone: str
) -> Answer | list[Html]:
    """A message of its own for one event, lines for several."""
    if len(rows) > 1:
        return [_line(row, context) for row in rows]
    (row,) = rows
    context = replace(context, zone=Wishes.of(row, default_zone, now).zone)
    standing, event = _standing(row), Event.from_json(row["detail"]["event"])
    if row["transition"] == WITHDRAWN:
        revision = corrections.Revision.from_json(row["detail"]["revision"])
        return corrections.correction(standing, event, revision, context, row["detail"]["source"])
    late = Teller(context).late(standing.rule, event)
    said = f"Held back {_WHY[row['held']]}; {_became(row, event, context)}."
    return pushes.fired(standing, event, context, row["fires"], late, held=(capital(said),))


def _standing(row: Row) -> AlertView:
    """The alert as it stands, with the rule that the event came of."""
    standing: AlertView | None = row["standing"]
    if standing is None:
        raise LookupError(f"alert {row['alert_id']} cannot be read any more")
    return replace(standing, rule=Rule.from_json(row["detail"]["rule"]))


def _line(row: Row, context: EvaluationContext) -> Html:
    event, rule = Event.from_json(row["detail"]["event"]), Rule.from_json(row["detail"]["rule"])
    if row["transition"] == WITHDRAWN:
        revision = corrections.Revision.from_json(row["detail"]["revision"])
        return corrections.correction_line(row["number"], rule, event, revision, row["detail"]["source"])
    became = _became(row, event, context)
    return pushes.fire_line(row["number"], rule, event, became, row["detail"]["source"])


def _became(row: Row, event: Event, context: EvaluationContext) -> str:
    rule = Rule.from_json(row["detail"]["rule"])
    return became(event, context.histories.bars(rule, event.session, context.market.sessions))


def _plainly(rows: list[Row]) -> list[Html]:
    """Lines of what is stored, where no more can be said."""
    return [pushes.plain_line(row["number"], row["rule"], row["session"], row["transition"]) for row in rows]


def _store(
    db: sqlite_utils.Database,
    place: Place,
    rows: list[Row],
    message: Answer | list[Html],
    *,
    sample: bool,
    now: dt.datetime,
) -> None:
    """Queue the message and note that its events are told; those that are not held any more are left out."""
    still = [held.fate(db, row["event_id"])[0] is not None for row in rows]
    silent = all((rule := _rule(row)) is not None and rule.silent for row in rows)
    if not isinstance(message, list):
        if all(still):
            event_id = rows[0]["event_id"]
            about = dt.date.fromisoformat(rows[0]["session"])
            sent = send(db, place, f"held:{event_id}", message, now, silent=silent, about=about)
            held.tell(db, [event_id], sent)
        return
    told = [
        [row["event_id"], row["session"], str(line)]
        for row, line, waits in zip(rows, message, still, strict=True)
        if waits
    ]
    if told:
        why = _TITLES["snooze" if all(row["held"] == SNOOZE for row in rows) else "quiet"]
        send_lines(db, place, told, why, now, sample=sample, silent=silent)
