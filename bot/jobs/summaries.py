"""Daily summaries: one per chat and local date, claimed once and never repeated.

Also local times as instants, which backups and notifications use too: when a time of day falls, and when
quiet hours end.
"""

import asyncio
import datetime as dt
import logging
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from itertools import islice
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pandas as pd
import sqlite_utils

from bot.alerts.view import AlertView, EvaluationContext
from bot.analytics.sessions import STALE_AFTER, Sessions
from bot.config import Config
from bot.errors import NoData
from bot.jobs.pictures import want_summary_chart
from bot.messages.common import AS_NEW, Answer, payload_of
from bot.messages.html import bold, lines
from bot.messages.pages.summary import summary_answer
from bot.messages.pages.weekly import Fires, week_begin, weekly_answer
from bot.services import DAILY, Services, context_of
from bot.services.alert_views import fires_since, view_active_alerts
from bot.services.chats import settings_of
from storage import chat_store, outbox, sources
from storage.chat_store import DueSummary
from storage.outbox import MessageBody, NewMessage

_log = logging.getLogger(__name__)
LATE_AFTER = dt.timedelta(minutes=30)
_FRIDAY, _SUNDAY = 4, 6
_PIECE, _LONGEST_READ = 100, 0.008  # chats, and seconds, after which commands get their turn
_TEXTS = 256  # equal ones are made once
_NEVER = dt.datetime.min.replace(tzinfo=dt.UTC)
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
    changed = bisect_left(seconds, True, key=lambda second: dt.datetime.fromtimestamp(second, zone).utcoffset() != old)
    return dt.datetime.fromtimestamp(seconds.start + changed, dt.UTC)


def quiet_until(now: dt.datetime, start: str | None, end: str | None, zone: ZoneInfo) -> dt.datetime | None:
    """Return the instant at which the quiet hours end that `now` falls into, None outside them.

    They run from `start` to `end`, "HH:MM" local, past midnight if `end` is not later. Equal times mean no quiet hours.
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
        self._planned = _NEVER

    async def run(self) -> int:
        """Queue what is due. Returns the number of messages.

        After a downtime a chat gets only the newest summary, marked as late.

        What falls due while closes of the last session are still expected waits for them.
        """
        services, now, run = self._services, self._services.clock(), self._services.database.run
        await self._plan(now)
        if not (due := await run(partial(_due, now=now))):
            return 0
        market, sessions = await services.markets.current(), services.markets.sessions()
        awaited = services.live and market.end is not None and market.end < market.last_completed
        if awaited and now < sessions.close(market.last_completed) + STALE_AFTER:
            return 0
        context = await asyncio.to_thread(context_of, market, services.markets)
        outages = await run(partial(_outages, sessions=sessions, session=market.last_completed))
        make = lru_cache(_TEXTS)(partial(_body, context, sessions, outages))
        session = f"{market.last_completed:%Y-%m-%d}"
        queued = 0
        while due:
            read = partial(_read, config=services.config, due=due, now=now, begin=week_begin(market))
            texts = await run(read)
            bodies = await asyncio.to_thread(_made, make, texts)
            rows = {chat_id: due.pop(chat_id) for chat_id in texts}
            chats = [(rows[chat_id], body) for chat_id, body in bodies.items()]
            queued += await run(partial(_queue, due=chats, session=session, now=now))
            want_summary_chart(services, market, (_dedup(chat_id, session) for chat_id in bodies))
        return queued

    async def _plan(self, now: dt.datetime) -> None:
        """Add the rows that fell due since the last call; at the first, yesterday's and today's."""
        run, default_zone = self._services.database.run, self._services.config.time.timezone
        since = self._planned if self._planned <= now else _NEVER
        sessions = self._services.markets.sessions()
        for wanted in await run(chat_store.summary_times):
            zone = chat_store.zone_of(wanted.zone, default_zone)
            today = now.astimezone(zone).date()
            for day in (today - _DAY, today):
                due_at = due_instant(day, wanted.at, zone)
                if due_at is None or not since < due_at <= now:
                    continue
                if _is_wanted(wanted.days, day, due_at, sessions):
                    plan = partial(chat_store.plan_summaries, wanted=wanted, kind=DAILY)
                    await run(partial(plan, local_date=day.isoformat(), due_at=due_at))
        self._planned = now


def _is_wanted(days: str, day: dt.date, due_at: dt.datetime, sessions: Sessions) -> bool:
    """Whether a summary is due on a local date; weekly: the first after the last session of a week."""
    if days != "weekly":
        return days == "daily" or day.weekday() <= _FRIDAY
    last = sessions.last_completed(due_at)
    is_last = bool((sessions.next_after(last) - last).days > _SUNDAY - last.weekday())
    return is_last and sessions.last_completed(due_at - _DAY) != last


def _due(db: sqlite_utils.Database, now: dt.datetime) -> dict[int, list[DueSummary]]:
    """Return the due rows by chat, oldest first, without those that must not be sent."""
    chat_store.skip_before_restore(db)
    chat_store.skip_asleep(db, now)
    due: dict[int, list[DueSummary]] = defaultdict(list)
    for row in chat_store.due_summaries(db, now):
        due[row.chat_id].append(row)
    return due


class _Text(NamedTuple):
    """What a text depends on, beside the Market; `fires` of the week in a weekly one, else None."""

    alerts: tuple[AlertView, ...]
    fires: Fires | None
    total: bool
    numbers: str | None
    late: bool


def _read(
    db: sqlite_utils.Database, config: Config, due: dict[int, list[DueSummary]], now: dt.datetime, begin: dt.date
) -> dict[int, _Text]:
    """Return the texts of some chats, for no longer than commands may wait."""
    texts, until = dict[int, _Text](), time.perf_counter() + _LONGEST_READ
    ids = list(islice(due, _PIECE))
    stored = {chat.chat_id: chat for chat in chat_store.chats_by_id(db, ids)}
    for chat_id in ids:
        chat, late = stored.get(chat_id), now - due[chat_id][-1].due_at > LATE_AFTER
        alerts, settings = view_active_alerts(db, chat_id, now), settings_of(config, chat)
        fires = fires_since(db, chat_id, begin) if chat and chat.summary_days == "weekly" else None
        texts[chat_id] = _Text(tuple(alerts), fires, bool(settings.total), settings.numbers, late)
        if time.perf_counter() > until:
            break
    return texts


def _made(make: Callable[[_Text], MessageBody], texts: dict[int, _Text]) -> dict[int, MessageBody]:
    """Return the messages by chat. One that fails must not stop the others."""
    bodies: dict[int, MessageBody] = {}
    for chat_id, text in texts.items():
        try:
            bodies[chat_id] = make(text)
        except Exception:  # noqa: BLE001 - whatever it was
            _log.exception("the summary of chat %s failed; the next tick tries again", chat_id)
    return bodies


def _outages(db: sqlite_utils.Database, sessions: Sessions, session: pd.Timestamp) -> dict[str, bool]:
    """Return the parts of the Market that became overdue or came back since the close before `session`."""
    before = sessions.index[max(sessions.index.searchsorted(session) - 1, 0)]
    return sources.outage_changes(db, sessions.close(before))


def _body(context: EvaluationContext, sessions: Sessions, outages: Mapping[str, bool], text: _Text) -> MessageBody:
    page = partial(summary_answer, outages=outages)
    if text.fires is not None:
        page = partial(weekly_answer, fires=text.fires)
    try:
        answer = page(context, text.alerts, sessions=sessions, late=text.late, total=text.total)
    except NoData as error:
        answer = Answer(lines(bold("Daily summary"), str(error)))
    return payload_of(answer, AS_NEW, numbers=text.numbers)


def _dedup(chat_id: int, session: str) -> str:
    return f"summary:{chat_id}:{session}"


def _queue(
    db: sqlite_utils.Database, due: list[tuple[list[DueSummary], MessageBody]], session: str, now: dt.datetime
) -> int:
    """Claim the chats' due rows and queue their messages, unless that session's was sent before.

    They replace those that could not be sent yet. Returns the number of messages queued.
    """
    count = 0
    for rows, body in due:
        claimed, chat_id = [row.id for row in rows if chat_store.claim_summary(db, row.id)], rows[0].chat_id
        for row_id in claimed[:-1]:
            chat_store.finish_summary(db, row_id, "skipped")
        if not claimed:
            continue
        message = NewMessage(chat_id, None, "summary", _dedup(chat_id, session), body)
        queued = outbox.enqueue(db, message, now)
        chat_store.finish_summary(db, claimed[-1], "skipped" if queued is None else "sent")
        if queued is not None:
            outbox.replace_summaries(db, chat_id, queued, now)
            count += 1
    return count
