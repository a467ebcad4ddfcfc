"""Daily summaries: one per chat and local date, claimed once and never repeated.

Also local times as instants, which backups and notifications use too: when a time of day falls, and when
quiet hours end.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from bisect import bisect_left
from collections import defaultdict
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from bot.analytics.sessions import STALE_AFTER
from bot.errors import NoData
from bot.messages.common import AS_NEW, Answer, payload_of
from bot.messages.html import bold, lines, localized
from bot.messages.pages.summary import summary_answer
from bot.services import DAILY, context_of
from bot.services.alert_views import view_active_alerts
from bot.services.chats import settings_of
from storage import chat_store, outbox
from storage.db import StorageError
from storage.outbox import NewMessage

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    import sqlite_utils

    from bot.alerts.view import AlertView, EvaluationContext
    from bot.analytics.market import Market
    from bot.services import Services
    from storage.chat_store import DueSummary, StoredChat


_log = logging.getLogger(__name__)
LATE_AFTER = dt.timedelta(minutes=30)
_FRIDAY = 4
_SECOND, _DAY = dt.timedelta(seconds=1), dt.timedelta(days=1)


def due_instant(day: dt.date, at: str, zone: ZoneInfo) -> dt.datetime | None:
    """Return the UTC instant of a local time on a local date, None if the date does not exist there.

    In a gap (clocks put forward) it is the first valid instant, in a fold (put back) the first of both.
    """
    local = dt.datetime.combine(day, dt.time.fromisoformat(at), zone)
    instant = local.astimezone(dt.UTC)
    if instant.astimezone(zone).replace(tzinfo=None) == local.replace(tzinfo=None):
        return instant
    first = _transition(local.replace(fold=1).astimezone(dt.UTC), instant, zone)
    beside = (first.astimezone(zone).date(), (first - _SECOND).astimezone(zone).date())
    return first if day in beside else None


def _transition(before: dt.datetime, after: dt.datetime, zone: ZoneInfo) -> dt.datetime:
    """The second between two instants at which the zone's offset changes."""
    old = before.astimezone(zone).utcoffset()
    seconds = range(int(before.timestamp()) + 1, int(after.timestamp()))
    changed = bisect_left(
        seconds, True, key=lambda second: dt.datetime.fromtimestamp(second, zone).utcoffset() != old
    )
    return dt.datetime.fromtimestamp(seconds.start + changed, dt.UTC)


def quiet_until(now: dt.datetime, start: str | None, end: str | None, zone: ZoneInfo) -> dt.datetime | None:
    """Return the instant at which the quiet hours end that `now` falls into, None outside them.

    They run from `start` to `end`, "HH:MM" local, past midnight if `end` is not later. Equal times
    mean no quiet hours.
    """
    if start is None or end is None or start == end:
        return None
    today = now.astimezone(zone).date()
    for day in (today - _DAY, today):
        begin = due_instant(day, start, zone)
        finish = _next(day if start < end else day + _DAY, end, zone)
        if begin is not None and begin <= now < finish:
            return finish
    return None


def _next(day: dt.date, at: str, zone: ZoneInfo) -> dt.datetime:
    """The instant of a local time on a date, or on the day after where that date does not exist."""
    instant = due_instant(day, at, zone) or due_instant(day + _DAY, at, zone)
    if instant is None:
        raise LookupError(f"neither {day} nor the day after exists in {zone.key}")
    return instant


class Summaries:
    """The job that queues due summaries; it remembers up to when they are planned."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._planned: dt.datetime | None = None

    async def run(self) -> int:
        """Queue what is due. Returns the number of messages.

        After a downtime a chat gets only the newest summary, marked as late.

        What falls due while closes of the last session are still expected waits for them.
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
                queued += await _queue_summary(services, context, rows, now)
            except StorageError:
                raise
            except Exception:  # noqa: BLE001 - one chat must not stop the others
                _log.exception("the summary of chat %s failed; the next tick tries again", chat_id)
        return queued


def _is_awaited(market: Market, services: Services, now: dt.datetime) -> bool:
    if market.end is None or market.end >= market.last_completed:
        return False
    return now < services.markets.sessions().close(market.last_completed) + STALE_AFTER


async def _queue_summary(
    services: Services, context: EvaluationContext, rows: list[DueSummary], now: dt.datetime
) -> int:
    """Queue the summary of one chat. Returns the number of messages queued, 0 or 1."""
    chat_id = rows[0].chat_id

    def read(db: sqlite_utils.Database) -> tuple[list[AlertView], StoredChat | None]:
        return view_active_alerts(db, chat_id, services.clock()), chat_store.get_chat(db, chat_id)

    alerts, chat = await services.database.run(read)
    settings = settings_of(services.config, chat)
    late = now - rows[-1].due_at > LATE_AFTER
    sessions = services.markets.sessions()
    try:
        answer = await asyncio.to_thread(
            summary_answer, context, alerts, sessions, late=late, total=bool(settings.total)
        )
    except NoData as error:
        answer = Answer(lines(bold("Daily summary"), str(error)))
    answer = replace(answer, html=localized(answer.html, settings.numbers))
    session = f"{context.market.last_completed:%Y-%m-%d}"
    return await services.database.run(partial(_queue, rows=rows, answer=answer, session=session, now=now))


def _plan(
    db: sqlite_utils.Database, default_zone: str, since: dt.datetime | None, now: dt.datetime
) -> dict[int, list[DueSummary]]:
    """Return the due rows by chat, oldest first, after adding those that fell due after `since`.

    Without `since`, at the first run of a process, yesterday's and today's are added, unless they are stored.
    """
    for wanted in chat_store.summary_times(db):
        zone = chat_store.zone_of(wanted.zone, default_zone)
        today = now.astimezone(zone).date()
        for day in (today - _DAY, today):
            if wanted.weekdays and day.weekday() > _FRIDAY:
                continue
            instant = due_instant(day, wanted.at, zone)
            if instant is not None and instant <= now and (since is None or since < instant):
                chat_store.plan_summaries(db, wanted, DAILY, day.isoformat(), instant)
    chat_store.skip_before_restore(db)
    chat_store.skip_asleep(db, now)
    due: dict[int, list[DueSummary]] = defaultdict(list)
    for row in chat_store.due_summaries(db, now):
        due[row.chat_id].append(row)
    return due


def _queue(
    db: sqlite_utils.Database, rows: list[DueSummary], answer: Answer, session: str, now: dt.datetime
) -> int:
    """Claim the chat's due rows and queue one summary, unless that session's was sent before.

    It replaces those that could not be sent yet. Returns the number of messages queued, 0 or 1.
    """
    claimed = [row for row in rows if chat_store.claim_summary(db, row.id)]
    if not claimed:
        return 0
    for row in claimed[:-1]:
        chat_store.finish_summary(db, row.id, "skipped")
    chat_id = rows[0].chat_id
    message = NewMessage(chat_id, None, "summary", f"summary:{chat_id}:{session}", payload_of(answer, AS_NEW))
    queued = outbox.enqueue(db, message, now)
    chat_store.finish_summary(db, claimed[-1].id, "sent" if queued is not None else "skipped")
    if queued is None:
        return 0
    outbox.replace_summaries(db, chat_id, queued, now)
    return 1
