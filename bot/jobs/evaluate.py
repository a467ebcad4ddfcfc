"""Judging alerts: every completed session since the last run, in order; what fired is queued.

Texts are made first; then the new states, the events and the messages are committed together. An alert
that somebody changed meanwhile is left as it is, and judged again by the next run.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from bot.jobs.judging import Judge, Judged, Row, Told
from bot.rendering import pushes
from bot.rendering.answer import REPLY, Answer, payload_of
from bot.rendering.numbers import USUAL
from bot.services import context_of
from storage import alerts as stored
from storage import chats, outbox

if TYPE_CHECKING:
    import sqlite_utils

    from bot.alerts.state import Event
    from bot.analytics.market import Market
    from bot.services import Services

_QUARTER = dt.timedelta(days=pushes.FIRES_SINCE_DAYS)


@dataclass(frozen=True)
class Fire:
    """An event that was stored by a run."""

    chat_id: int
    number: int
    rule: str
    event: Event

    def __str__(self) -> str:
        kind = "fired" if self.event.kind == "fired" else "still true"
        told = f"{kind} (held back by its cooldown)" if self.event.muted else kind
        return f"alert #{self.number} in chat {self.chat_id}, {self.rule}: {told} on {self.event.session}"


class Evaluation:
    """Judges all active alerts, and remembers the Market and the alerts that it has judged."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._judged: tuple[Market, dict[int, str | None]] | None = None

    async def run(self) -> list[Fire]:
        """Judge on the Market of the moment; the fires that are new. At once when nothing is new."""
        services = self._services
        market = await services.markets.current()
        if market.end is None:
            return []
        if self._judged == (market, await services.database.run(stored.marks)):
            return []
        rows = await services.database.run(_read)
        context = await asyncio.to_thread(context_of, market, services.markets)
        judge = Judge(context)
        changed = await asyncio.to_thread(judge.all, rows)
        counts = await services.database.run(partial(_fires_before, changed))
        told = await asyncio.to_thread(judge.tell, changed, counts)
        commit = partial(_commit, judged=told, sample=market.is_sample, now=services.clock())
        fires = await services.database.run(commit) if told else []
        # An alert that was left alone stands elsewhere than these marks say: the next run will see it.
        self._judged = (market, _marks(rows, told))
        return fires


def _read(db: sqlite_utils.Database) -> list[Row]:
    """Every alert to be judged, with its state as text."""
    rows = []
    for alert in stored.active_alerts(db):
        session, state = stored.current_state(db, alert["alert_id"]) or (None, None)
        rows.append(Row(alert, state, session))
    return rows


def _fires_before(judged: list[Judged], db: sqlite_utils.Database) -> dict[tuple[int, dt.date], int]:
    """How often an alert had fired in the quarter before each of its events."""
    return {
        (one.alert_id, event.session): stored.fires_since(
            db, one.alert_id, (event.session - _QUARTER).isoformat()
        )
        for one in judged
        for event in one.events
    }


def _marks(rows: list[Row], told: list[Judged]) -> dict[int, str | None]:
    """The marks as this run leaves them: the session judged last, by alert still active."""
    marks = {row.alert["alert_id"]: row.session for row in rows}
    for one in told:
        if one.ends:
            del marks[one.alert_id]
        elif one.states:
            marks[one.alert_id] = one.states[-1].session.isoformat()
    return marks


def _commit(db: sqlite_utils.Database, judged: list[Judged], *, sample: bool, now: dt.datetime) -> list[Fire]:
    """Store states, events and messages of all alerts in one transaction."""
    found: dict[int, list[tuple[Judged, Told, int]]] = defaultdict(list)
    for one in judged:
        if not _is_current(db, one):
            continue
        if one.broken:
            stored.set_life(db, one.alert_id, "paused", one.broken)
            _enqueue(db, one, pushes.paused(one.number, one.row.alert["rule"], one.broken), "paused", now)
            continue
        found[one.chat_id] += [(one, told, event_id) for told, event_id in _store(db, one, now)]
        if one.over and one.standing is not None:
            stored.set_life(db, one.alert_id, "expired", "its last day has passed")
            _enqueue(db, one, pushes.ended(one.standing), "ended", now)
    for chat_id, group in found.items():
        _push(db, chat_id, [fire for fire in group if not fire[1].event.muted], sample=sample, now=now)
    return [
        Fire(one.chat_id, one.number, one.row.alert["rule"], told.event)
        for group in found.values()
        for one, told, _ in group
    ]


def _is_current(db: sqlite_utils.Database, one: Judged) -> bool:
    """Whether the alert still stands as it was read: nobody changed it while it was judged."""
    row = stored.get_alert(db, one.chat_id, one.number)
    state = stored.current_state(db, one.alert_id)
    was = one.row.alert
    same = row is not None and (row["life"], row["rule_json"]) == (was["life"], was["rule_json"])
    return same and (state[1] if state else None) == one.row.state


def _store(db: sqlite_utils.Database, one: Judged, now: dt.datetime) -> list[tuple[Told, int]]:
    """Save the states that are kept and the events of one alert; what is new, with the events' ids."""
    for state in one.states[-stored.STATES_KEPT :]:
        stored.save_state(db, one.alert_id, state.session.isoformat(), state.to_json())
    new = []
    for told in one.told:
        event_id = stored.add_event(
            db,
            alert_id=one.alert_id,
            session=told.event.session.isoformat(),
            transition=told.event.kind,
            now=now,
            value=told.event.value,
            threshold=told.event.threshold,
            detail=told.detail,
        )
        if event_id is not None:
            new.append((told, event_id))
        if told.event.done:
            stored.set_life(db, one.alert_id, "done", "fired once")
    return new


def _push(
    db: sqlite_utils.Database,
    chat_id: int,
    fires: list[tuple[Judged, Told, int]],
    *,
    sample: bool,
    now: dt.datetime,
) -> None:
    """One message a fire; those that are lines (after a downtime) in one message, newest first."""
    listed = []
    for _, told, event_id in fires:
        if isinstance(told.text, Answer):
            about = told.event.session
            _queue(db, chat_id, f"alert:{event_id}", told.text, now, silent=told.silent, about=about)
        else:
            listed.append((told.event.session, event_id, told.text, told.silent))
    if listed:
        listed.sort(reverse=True)
        answer = pushes.digest([line for _, _, line, _ in listed], sample=sample)
        silent = all(silent for *_, silent in listed)
        _queue(db, chat_id, f"digest:{listed[0][1]}", answer, now, silent=silent, about=listed[-1][0])


def _enqueue(db: sqlite_utils.Database, one: Judged, answer: Answer, what: str, now: dt.datetime) -> None:
    """A notice about one alert; an alert may be paused more than once, so the instant is part of its key."""
    dedup = f"{what}:{one.alert_id}:{now:%Y-%m-%dT%H:%M:%S}"
    about = one.states[-1].session if one.states else None
    _queue(db, one.chat_id, dedup, answer, now, kind="notice", about=about)


def _queue(  # noqa: PLR0913 - a message's columns, by name
    db: sqlite_utils.Database,
    chat_id: int,
    dedup: str,
    answer: Answer,
    now: dt.datetime,
    *,
    kind: str = "alert",
    silent: bool = False,
    about: dt.date | None = None,
) -> None:
    numbers = (chats.get_chat(db, chat_id) or {}).get("numbers") or USUAL
    payload = payload_of(answer, REPLY, silent=silent, numbers=numbers)
    session = about.isoformat() if about else None
    outbox.enqueue(db, chat_id=chat_id, kind=kind, dedup=dedup, payload=payload, now=now, about=session)
