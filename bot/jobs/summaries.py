"""Daily summaries: one per chat and local date, claimed once and never repeated."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections import defaultdict
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from bot.analytics.sessions import STALE_AFTER
from bot.errors import NoData
from bot.jobs.local_time import due_instant
from bot.rendering.answer import REPLY, Answer, payload_of
from bot.rendering.numbers import localized
from bot.rendering.summary import summary_answer
from bot.rendering.text import bold, lines
from bot.services.alerts import active_alerts
from bot.services.base import DAILY, context_of
from bot.services.chats import settings_of, zone_of
from storage import chats, outbox, unsent
from storage.db import StorageError

if TYPE_CHECKING:
    import sqlite_utils

    from bot.alerts.view import AlertView, EvaluationContext
    from bot.analytics.market import Market
    from bot.services.base import Services
    from storage.chats import DueSummary, StoredChat

_log = logging.getLogger(__name__)
LATE_AFTER = dt.timedelta(minutes=30)
_FRIDAY = 4


class Summaries:
    """The job that queues due summaries; it remembers up to when they are planned."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._planned: dt.datetime | None = None

    async def run(self) -> int:
        """Queue what is due; how many. After a downtime a chat gets the newest only, marked late.

        What falls due while the last session's closes are still on their way waits for them.
        """
        services, now = self._services, self._services.clock()
        since = self._planned if self._planned is not None and self._planned <= now else None
        plan = partial(_plan, default_zone=services.config.time.timezone, since=since, now=now)
        due = await services.database.run(plan)
        self._planned = now
        if not due:
            return 0
        market = await services.markets.current()
        if services.live and _is_awaited(market, services, now):
            return 0
        context = await asyncio.to_thread(context_of, market, services.markets)
        queued = 0
        for chat_id, rows in due.items():
            try:
                queued += await _queue_summary(services, context, chat_id, rows, now)
            except StorageError:
                raise
            except Exception:  # noqa: BLE001 - one chat must not stop the others
                _log.exception("the summary of chat %s failed; the next tick tries again", chat_id)
        return queued


def _is_awaited(market: Market, services: Services, now: dt.datetime) -> bool:
    """Whether closes of the last session are missing that may still come."""
    if market.end is None or market.end >= market.last_completed:
        return False
    return now < services.markets.sessions().close(market.last_completed) + STALE_AFTER


async def _queue_summary(
    services: Services, context: EvaluationContext, chat_id: int, rows: list[DueSummary], now: dt.datetime
) -> int:
    """Queue the summary of one chat. Returns the number of messages queued, 0 or 1."""
    alerts, chat = await services.database.run(partial(_read_chat, chat_id=chat_id, now=services.clock()))
    preferred = settings_of(services.config, chat)
    late = now - rows[-1].due_at > LATE_AFTER
    sessions = services.markets.sessions()
    try:
        answer = await asyncio.to_thread(
            summary_answer, context, alerts, sessions, late=late, total=bool(preferred.total)
        )
    except NoData as error:
        answer = Answer(lines(bold("Daily summary"), str(error)))
    answer = replace(answer, html=localized(answer.html, preferred.numbers))
    session = f"{context.market.last_completed:%Y-%m-%d}"
    return await services.database.run(
        partial(_queue, chat_id=chat_id, rows=rows, answer=answer, session=session, now=now)
    )


def _plan(
    db: sqlite_utils.Database, default_zone: str, since: dt.datetime | None, now: dt.datetime
) -> dict[int, list[DueSummary]]:
    """Due rows by chat, oldest first. Those that fell due after `since` are added.

    Without `since`, at the first run of a process, yesterday's and today's are; they may be there already.
    """
    for chat in chats.subscribers(db):
        zone = zone_of(chat.timezone, default_zone)
        today = now.astimezone(zone).date()
        for day in (today - dt.timedelta(days=1), today):
            if chat.weekdays and day.weekday() > _FRIDAY:
                continue
            instant = due_instant(day, chat.summary_at or "", zone)
            if (
                instant is not None
                and chat.created_at <= instant <= now
                and (since is None or since < instant)
            ):
                chats.add_due(db, chat.chat_id, DAILY, day.isoformat(), instant)
    chats.skip_before_restore(db)
    due: dict[int, list[DueSummary]] = defaultdict(list)
    for row in chats.due(db, now):
        due[row.chat_id].append(row)
    return due


def _read_chat(
    db: sqlite_utils.Database, chat_id: int, now: dt.datetime
) -> tuple[list[AlertView], StoredChat | None]:
    """The active alerts and the settings of a chat."""
    return active_alerts(db, chat_id, now), chats.get_chat(db, chat_id)


def _queue(
    db: sqlite_utils.Database,
    chat_id: int,
    rows: list[DueSummary],
    answer: Answer,
    session: str,
    now: dt.datetime,
) -> int:
    """Claim the chat's due rows and queue one summary, unless that session's was sent before.

    It takes the place of those that could not be sent yet.
    """
    won = [row for row in rows if chats.claim(db, row.id)]
    if not won:
        return 0
    for row in won[:-1]:
        chats.finish(db, row.id, "skipped")
    payload = payload_of(answer, REPLY)
    dedup = f"summary:{chat_id}:{session}"
    queued = outbox.enqueue(db, chat_id=chat_id, kind="summary", dedup=dedup, payload=payload, now=now)
    chats.finish(db, won[-1].id, "sent" if queued is not None else "skipped")
    if queued is None:
        return 0
    unsent.replace_summaries(db, chat_id, queued, now)
    return 1
