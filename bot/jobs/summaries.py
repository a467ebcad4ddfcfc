"""Daily summaries: planned a local date at a time, claimed once, never repeated."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from bot.errors import NoData
from bot.rendering.answer import REPLY, button_rows
from bot.rendering.summary import summary
from bot.rendering.text import strip_html
from bot.services import DAILY, context_of, standing_of
from storage import alerts as stored
from storage import chats, outbox

if TYPE_CHECKING:
    import sqlite_utils

    from bot.rendering.alerts import Standing
    from bot.rendering.answer import Answer
    from bot.services import Services

LATE_AFTER = dt.timedelta(minutes=30)


def due_instant(day: dt.date, at: str, zone: ZoneInfo) -> dt.datetime | None:
    """UTC instant of a local time on a local date; None where the date does not exist there.

    In a gap (clocks put forward) it is the first valid instant, in a fold (put back) the first of both.
    """
    local = dt.datetime.combine(day, dt.time.fromisoformat(at), zone)
    instant = local.astimezone(dt.UTC)
    if instant.astimezone(zone).replace(tzinfo=None) != local.replace(tzinfo=None):
        instant = _transition(local.replace(fold=1).astimezone(dt.UTC), instant, zone)
    return instant if instant.astimezone(zone).date() == day else None


def _transition(before: dt.datetime, after: dt.datetime, zone: ZoneInfo) -> dt.datetime:
    """The second between two instants at which the zone's offset changes."""
    old = before.astimezone(zone).utcoffset()
    low, high = int(before.timestamp()), int(after.timestamp())
    while high - low > 1:
        middle = (low + high) // 2
        same = dt.datetime.fromtimestamp(middle, zone).utcoffset() == old
        low, high = (middle, high) if same else (low, middle)
    return dt.datetime.fromtimestamp(high, dt.UTC)


async def summarise(services: Services) -> int:
    """Queue the summaries that are due; how many. After a downtime the newest only, marked late."""
    now = services.clock()
    claimed = await services.database.run(lambda db: _plan(db, services.config.timezone, now))
    if not claimed:
        return 0
    market = await services.markets.current()
    context = await asyncio.to_thread(context_of, market, services.markets)
    queued = 0
    for chat_id, rows in claimed.items():
        standings = await services.database.run(partial(_standings, chat_id=chat_id))
        late = now - dt.datetime.fromisoformat(rows[-1]["due_at"]) > LATE_AFTER
        try:
            answer = await asyncio.to_thread(
                summary, context, standings, services.markets.sessions(), late=late
            )
        except NoData:
            answer = None
        session = f"{market.last_completed:%Y-%m-%d}"
        queued += await services.database.run(
            partial(_queue, chat_id=chat_id, rows=rows, answer=answer, session=session, now=now)
        )
    return queued


def _plan(db: sqlite_utils.Database, default_zone: str, now: dt.datetime) -> dict[int, list[dict[str, Any]]]:
    """Due rows by chat, oldest first; those of yesterday and today are added if they are new."""
    for chat in chats.subscribers(db):
        zone = ZoneInfo(chat["timezone"] or default_zone)
        today = now.astimezone(zone).date()
        for day in (today - dt.timedelta(days=1), today):
            instant = due_instant(day, chat["summary_at"], zone)
            if instant is not None and dt.datetime.fromisoformat(chat["created_at"]) <= instant <= now:
                chats.add_due(db, chat["chat_id"], DAILY, day.isoformat(), instant)
    found: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in chats.due(db, now):
        found[row["chat_id"]].append(row)
    return found


def _standings(db: sqlite_utils.Database, chat_id: int) -> list[Standing]:
    return [standing_of(db, row) for row in stored.alerts_of(db, chat_id) if row["life"] == "active"]


def _queue(
    db: sqlite_utils.Database,
    chat_id: int,
    rows: list[dict[str, Any]],
    answer: Answer | None,
    session: str,
    now: dt.datetime,
) -> int:
    """Claim the chat's due rows and queue one summary, unless that session's was sent before."""
    won = [row for row in rows if chats.claim(db, row["id"])]
    if not won:
        return 0
    for row in won[:-1]:
        chats.finish(db, row["id"], "skipped")
    queued = None
    if answer is not None:
        payload = {
            "html": answer.html,
            "plain": strip_html(answer.html),
            "buttons": button_rows(answer.buttons, REPLY),
            "silent": False,
        }
        dedup = f"summary:{chat_id}:{session}"
        queued = outbox.enqueue(db, chat_id=chat_id, kind="summary", dedup=dedup, payload=payload, now=now)
    chats.finish(db, won[-1]["id"], "sent" if queued is not None else "skipped")
    return 0 if queued is None else 1
