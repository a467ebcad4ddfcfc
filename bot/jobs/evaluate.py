"""Judging alerts: every completed session since the last run, in order; what fired is queued.

What was judged before on figures that are others now is judged again. Texts are made first; then the new
states, the events and the messages are committed together. An alert that somebody changed meanwhile is
left as it is, and judged again by the next run.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from bot.alerts.state import Event
from bot.alerts.view import Life
from bot.jobs.commit import Fire, Stored, commit
from bot.jobs.judged import WITHDRAWN, Judged, Kept, Known, Row, standing_after
from bot.jobs.judging import LOOKED_BACK, Judge
from bot.jobs.rescaling import rescale_all
from bot.jobs.telling import QUARTER, Teller, Wishes
from bot.services.base import context_of
from storage import alerts as stored
from storage import chats, events

if TYPE_CHECKING:
    import pandas as pd
    import sqlite_utils

    from bot.alerts.bars import Watched
    from bot.alerts.view import EvaluationContext
    from bot.analytics.market import Market
    from bot.services.base import Services

__all__ = ["Evaluation", "Fire"]

# Alerts whose kept states are read in one piece: the database serves others in between.
_PIECE = 1_000


class Evaluation:
    """Judges all active alerts, and remembers the Market and the alerts that it has judged."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._judged: tuple[Market, dict[int, str | None]] | None = None
        self._seen: dict[Watched, pd.Series] = {}  # what the last run went by

    async def run(self) -> list[Fire]:
        """Judge on the Market of the moment; the fires that are new. At once when nothing is new."""
        services = self._services
        market = await self._market()
        if market.end is None:
            return []
        if self._judged == (market, await services.database.run(stored.marks)):
            return []
        rows = await services.database.run(partial(_read, since=_looked_back(market)))
        context = await asyncio.to_thread(context_of, market, services.markets)
        judge = Judge(context, self._seen)
        kept = await self._kept(judge, rows)
        changed = await asyncio.to_thread(judge.all, rows, kept)
        told, wishes = await self._told(context, changed)
        quiet = {chat_id: wish.quiet_until for chat_id, wish in wishes.items()}
        store = partial(commit, judged=told, quiet=quiet, sample=market.is_sample, now=services.clock())
        done = await services.database.run(store) if told else Stored()
        # An alert that was left alone is missing here: the next run will see it.
        marks = _marks(rows, told)
        self._judged = (market, {alert: mark for alert, mark in marks.items() if alert not in done.left})
        self._seen = judge.watched
        return done.fires

    async def _market(self) -> Market:
        """The Market of the moment, once what the alerts are set on allows for every split in it."""
        services = self._services
        while True:
            market = await services.markets.current()
            if self._judged is not None and self._judged[0] is market:
                return market
            rescale = partial(rescale_all, default_zone=services.config.timezone, now=services.clock())
            if not await services.database.run(rescale):
                return market

    async def _kept(self, judge: Judge, rows: Sequence[Row]) -> dict[int, Kept]:
        """What is kept of alerts whose figures may be others now, or that the last run did not judge."""
        known = self._judged[1] if self._judged is not None else {}
        doubtful = set(await asyncio.to_thread(judge.doubtful, rows))
        unknown = {row.alert.alert_id for row in rows if known.get(row.alert.alert_id) != row.session}
        kept: dict[int, Kept] = {}
        waiting = iter(sorted(doubtful | unknown))
        while piece := list(islice(waiting, _PIECE)):
            kept |= await self._services.database.run(partial(_read_kept, alerts=piece))
        return kept

    async def _told(
        self, context: EvaluationContext, changed: list[Judged]
    ) -> tuple[list[Judged], Mapping[int, Wishes]]:
        """What came of it, with its texts, and what the chats wish."""
        services, now = self._services, self._services.clock()
        counts, wishes = await services.database.run(
            partial(_read_about, judged=changed, default_zone=services.config.timezone, now=now)
        )
        return await asyncio.to_thread(Teller(context).tell, changed, counts, wishes, now), wishes


def _looked_back(market: Market) -> str:
    """The first of the sessions that may be judged again."""
    done = market.sessions[market.sessions <= market.last_completed]
    return f"{done[-min(LOOKED_BACK, len(done))]:%Y-%m-%d}"


def _read(db: sqlite_utils.Database, since: str) -> list[Row]:
    """Every alert to be judged, and those that ended lately, with the state as text."""
    rows = []
    for alert in (*stored.active_alerts(db), *stored.ended_lately(db, since)):
        state = stored.current_state(db, alert.alert_id)
        rows.append(Row(alert, state.state, state.session.isoformat()) if state else Row(alert, None, None))
    return rows


def _read_kept(db: sqlite_utils.Database, alerts: Sequence[int]) -> dict[int, Kept]:
    return {alert_id: Kept(stored.states(db, alert_id), _standing(db, alert_id)) for alert_id in alerts}


def _standing(db: sqlite_utils.Database, alert_id: int) -> list[Known]:
    """The events of the kept sessions that were not withdrawn, each as it was stored last."""
    first = stored.first_session(db, alert_id)
    found: dict[tuple[dt.date, str, tuple[str, ...]], Known] = {}
    for row in events.events_from(db, alert_id, first) if first is not None else ():
        event = Event.from_json(row.detail.event)
        if row.transition == WITHDRAWN:
            found.pop(event.key, None)
        else:
            found[event.key] = Known(row.event_id, event)
    return list(found.values())


def _read_about(
    db: sqlite_utils.Database, judged: list[Judged], default_zone: str, now: dt.datetime
) -> tuple[Mapping[tuple[int, dt.date], int], Mapping[int, Wishes]]:
    """How often an alert had fired in the quarter before each of its events; what the chats wish."""
    counts = {
        (one.alert_id, event.session): events.fires_since(
            db, one.alert_id, (event.session - QUARTER).isoformat(), until=event.session.isoformat()
        )
        for one in judged
        for event in _events(one)
    }
    wishes = {}
    for chat_id in {one.chat_id for one in judged}:
        row = chats.get_chat(db, chat_id) or {}
        quiet = row.get("quiet_from"), row.get("quiet_to")
        wishes[chat_id] = Wishes.of(row.get("timezone"), default_zone, now, *quiet)
    return counts, wishes


def _events(one: Judged) -> Iterator[Event]:
    return (happening.event for happening in one.happenings)


def _marks(rows: list[Row], told: list[Judged]) -> dict[int, str | None]:
    """The marks as this run leaves them: the session judged last, by alert still active."""
    marks = {row.alert.alert_id: row.session for row in rows if row.alert.life == Life.ACTIVE}
    for one in told:
        if one.ends or standing_after(one).life is not Life.ACTIVE:
            marks.pop(one.alert_id, None)
        elif one.states:
            marks[one.alert_id] = one.states[-1].session.isoformat()
    return marks
