"""Notices that data read by alerts is overdue, and that it is back, each sent once per outage and chat.

An outage begins when a close is overdue by 3 h 15 min (fund facts and multiples a session later) and
ends when the part reaches as far as it must again. It is stored, so that a restart tells nothing twice.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from bot.alerts.rule import Rule
from bot.analytics.freshness import is_frozen, lacking, newest
from bot.analytics.sessions import STALE_AFTER
from bot.jobs.sending import queue_notice
from bot.rendering import outages as say
from bot.rendering.outages import DataGap, WaitingAlert
from bot.services.alerts import parts_read
from storage import alerts as stored
from storage import outages

if TYPE_CHECKING:
    import sqlite_utils

    from bot.analytics.market import Market
    from bot.pair import Pair
    from bot.rendering.answer import Answer
    from bot.services.base import Services
    from storage.alerts import StoredAlert

_log = logging.getLogger(__name__)
STALE, BACK = "stale", "back"


@dataclass(frozen=True)
class Reader:
    """An alert that reads a part, with its chat and topic."""

    chat_id: int
    thread_id: int | None
    alert: WaitingAlert


class Outages:
    """The job that reports overdue and recovered data."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def run(self) -> int:
        """Queue notices of new and ended outages. Returns the number of messages."""
        services, now = self._services, self._services.clock()
        market = await services.markets.current()
        if market.is_sample:  # made-up figures end on a day of their own
            return 0
        expected = services.markets.sessions().last_completed(now, STALE_AFTER)
        missing = {part: lacking(market, part, expected) for part in market.parts}
        open_ones = {
            outage.part: outage.session.isoformat() for outage in await services.database.run(outages.current)
        }
        begun = {
            part: f"{session:%Y-%m-%d}"
            for part, session in missing.items()
            if session is not None and part not in open_ones
        }
        ended = {part: session for part, session in open_ones.items() if missing.get(part) is None}
        if not begun and not ended:
            return 0
        rows = await services.database.run(stored.active_alerts) if begun else []
        readers = await asyncio.to_thread(_readers, market.pair, rows, begun)
        store = partial(
            _store,
            market=market,
            begun=begun,
            ended=ended,
            readers=readers,
            default_zone=services.config.time.timezone,
            now=now,
        )
        return await services.database.run(store)


def _readers(pair: Pair, rows: Sequence[StoredAlert], wanted: Mapping[str, str]) -> dict[str, list[Reader]]:
    """The alerts that read each of the parts, in the order of their numbers."""
    readers: dict[str, list[Reader]] = {part: [] for part in wanted}
    for row in rows:
        try:
            read = set(parts_read(Rule.from_json(row.rule_json), pair))
        except Exception:  # noqa: BLE001 - judging tells its owner
            _log.warning("alert %s cannot be read", row.alert_id, exc_info=True)
            continue
        for part in read & set(wanted):
            alert = WaitingAlert(row.number, row.rule)
            readers[part].append(Reader(row.chat_id, row.thread_id, alert))
    return readers


def _store(
    db: sqlite_utils.Database,
    *,
    market: Market,
    begun: Mapping[str, str],
    ended: Mapping[str, str],
    readers: Mapping[str, Sequence[Reader]],
    default_zone: str,
    now: dt.datetime,
) -> int:
    """Store outages that began or ended, and queue the messages, in one transaction."""
    stale: dict[int, list[tuple[DataGap, Sequence[Reader]]]] = defaultdict(list)
    for part, session in begun.items():
        if not outages.begin(db, part, session, now):
            continue
        by_chat: dict[int, list[Reader]] = defaultdict(list)
        for reader in readers[part]:
            by_chat[reader.chat_id].append(reader)
        for chat_id in outages.add_chats(db, part, session, by_chat):
            stale[chat_id].append((_gap(market, part, session), by_chat[chat_id]))
    back: dict[int, list[DataGap]] = defaultdict(list)
    for part, session in ended.items():
        if outages.end(db, part, session, now):
            for chat_id in outages.chats_of(db, part, session):
                back[chat_id].append(_gap(market, part, session))
    notices = [
        *(_stale(chat_id, affected, market) for chat_id, affected in stale.items()),
        *(_back(db, chat_id, gaps, market) for chat_id, gaps in back.items()),
    ]
    for notice in notices:
        _queue(db, notice, default_zone, now)
    return len(notices)


def _gap(market: Market, part: str, session: str) -> DataGap:
    last = newest(market, part)
    return DataGap(
        part,
        dt.date.fromisoformat(session),
        None if last is None else last.date(),
        is_frozen(market, part),
        holed=part == "prices" and _has_holes(market, session),
    )


def _has_holes(market: Market, session: str) -> bool:
    """Whether closes are missing between a session and the newest close."""
    wanted = market.sessions[(market.sessions >= session) & (market.sessions <= market.end)]
    return not wanted.isin(market.closes.index).all()


@dataclass(frozen=True)
class _Notice:
    """A notice to a chat, and the topics in which its alerts were created."""

    chat_id: int
    what: str
    gaps: Sequence[DataGap]
    answer: Answer
    threads: set[int | None]


def _stale(chat_id: int, affected: Sequence[tuple[DataGap, Sequence[Reader]]], market: Market) -> _Notice:
    gaps = [gap for gap, _ in affected]
    readers = [reader for _, group in affected for reader in group]
    alerts = {reader.alert.number: reader.alert for reader in readers}
    threads = {reader.thread_id for reader in readers}
    answer = say.outage_notice(gaps, [alerts[number] for number in sorted(alerts)], market)
    return _Notice(chat_id, STALE, gaps, answer, threads)


def _back(db: sqlite_utils.Database, chat_id: int, gaps: Sequence[DataGap], market: Market) -> _Notice:
    threads = {row.thread_id for row in stored.alerts_of(db, chat_id)}
    return _Notice(chat_id, BACK, gaps, say.recovery_notice(gaps, market), threads)


def _queue(db: sqlite_utils.Database, notice: _Notice, default_zone: str, now: dt.datetime) -> None:
    """Queue one message, in the chat's topic where all its alerts were created in one."""
    place = (notice.chat_id, next(iter(notice.threads)) if len(notice.threads) == 1 else None)
    gaps = "+".join(f"{gap.part}@{gap.since}" for gap in notice.gaps)
    queue_notice(db, place, f"{notice.what}:{notice.chat_id}:{gaps}", notice.answer, default_zone, now)
