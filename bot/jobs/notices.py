"""Ending alerts on their last day, announced a week before with a button that renews them.

An alert never ends unannounced: one whose week passed while the bot was away gets another week. The
last day that a rule names (`until`) is its owner's choice and stands; judging ends such a rule.

Notices that data read by alerts is overdue, and that it is back, each sent once per outage and chat.

An outage begins when a close is overdue by 3 h 15 min (fund facts and multiples a session later) and
ends when the part reaches as far as it must again. It is stored, so that a restart tells nothing twice.

Splits: alerts on the level of the ratio are paused, with one notice a chat and topic.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from bot.alerts.engine import State
from bot.alerts.revision import is_set_on_level, level_factor, reads_level, rescaled_rule, state_after_split
from bot.alerts.rule import Rule
from bot.alerts.view import Life
from bot.analytics.metrics import METRICS, first_overdue_session, is_frozen, newest_session
from bot.analytics.sessions import STALE_AFTER
from bot.jobs.notify import Place, queue_notice
from bot.messages.alerts import notices
from bot.messages.alerts.notices import (
    DataGap,
    Ending,
    SplitPause,
    WaitingAlert,
    outage_notice,
    paused_by_split,
    recovery_notice,
    split_text,
)
from bot.services.alert_views import parts_read
from bot.services.chats import zone_of
from storage import alert_store, sources

if TYPE_CHECKING:
    import sqlite_utils

    from bot.analytics.market import Market
    from bot.config import Config
    from bot.messages.common import Answer
    from bot.pair import Pair
    from bot.services import Services
    from storage.alert_store import ExpiringAlert, SplitChange, StoredAlert


WEEK, _DAY = dt.timedelta(days=7), dt.timedelta(days=1)
ENDED = "its last day has passed"


class Expiry:
    """The job that announces the ends of alerts and ends them."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def run(self) -> int:
        """Announce and end what is due. Returns the number of messages."""
        services = self._services
        end = partial(_end, default_zone=services.config.time.timezone, now=services.clock())
        return await services.database.run(end)


def _end(db: sqlite_utils.Database, default_zone: str, now: dt.datetime) -> int:
    """Announce and end what is due in each chat's own date, in one transaction with the messages."""
    soon: dict[Place, list[Ending]] = defaultdict(list)
    over: dict[Place, list[Ending]] = defaultdict(list)
    tomorrow = now.date() + _DAY  # it is that already in the east
    for row in alert_store.expiring_alerts(db, (tomorrow + WEEK).isoformat()):
        zone = zone_of(row.timezone, default_zone)
        on = row.expires_on
        if on is None:
            continue
        today = now.astimezone(zone).date()
        place, chosen = (row.chat_id, row.thread_id), _names_its_end(row)
        if today > on and _may_end(row, chosen=chosen):
            alert_store.set_life(db, row.alert_id, Life.EXPIRED, ENDED)
            over[place].append(Ending(row.number, row.rule, on))
        elif today > on and not chosen:
            on = today + WEEK
            alert_store.set_expiry(db, row.alert_id, on.isoformat())
            alert_store.mark_expiry_announced(db, row.alert_id)
            soon[place].append(Ending(row.number, row.rule, on))
        elif today <= on <= today + WEEK and alert_store.mark_expiry_announced(db, row.alert_id):
            made = row.created_at.astimezone(zone).date()
            if on - made > WEEK:  # the reply to a shorter one said so
                soon[place].append(Ending(row.number, row.rule, on))
    for place, alerts in soon.items():
        _queue(db, place, "ends", alerts, notices.ending_soon_notice(alerts), default_zone, now)
    for place, alerts in over.items():
        _queue(db, place, "ended", alerts, notices.ended_notice(alerts), default_zone, now)
    return len(soon) + len(over)


def _names_its_end(row: ExpiringAlert) -> bool:
    """Whether the rule has an `until`; False for a damaged one."""
    try:
        return "until" in json.loads(row.rule_json)
    except (ValueError, TypeError):
        return False


def _may_end(row: ExpiringAlert, *, chosen: bool) -> bool:
    """Whether an alert ends now: it was announced, or its rule has an `until` and is not evaluated."""
    return row.life == Life.PAUSED if chosen else row.announced_expiry == row.expires_on


def _queue(
    db: sqlite_utils.Database,
    place: Place,
    event: str,
    alerts: Sequence[Ending],
    answer: Answer,
    default_zone: str,
    now: dt.datetime,
) -> None:
    dedup = f"{event}:{place[0]}:{alerts[0].number}@{alerts[0].on}:{now:%Y-%m-%dT%H:%M:%S}"
    queue_notice(db, place, dedup, answer, default_zone, now)


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
        missing = {part: first_overdue_session(market, part, expected) for part in market.parts}
        open_ones = {
            outage.part: outage.session.isoformat()
            for outage in await services.database.run(sources.current_outages)
        }
        begun = {
            part: f"{session:%Y-%m-%d}"
            for part, session in missing.items()
            if session is not None and part not in open_ones
        }
        ended = {part: session for part, session in open_ones.items() if missing.get(part) is None}
        if not begun and not ended:
            return 0
        rows = await services.database.run(alert_store.active_alerts) if begun else []
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
        if not sources.begin_outage(db, part, session, now):
            continue
        by_chat: dict[int, list[Reader]] = defaultdict(list)
        for reader in readers[part]:
            by_chat[reader.chat_id].append(reader)
        for chat_id in sources.add_outage_chats(db, part, session, by_chat):
            stale[chat_id].append((_gap(market, part, session), by_chat[chat_id]))
    back: dict[int, list[DataGap]] = defaultdict(list)
    for part, session in ended.items():
        if sources.end_outage(db, part, session, now):
            for chat_id in sources.outage_chats(db, part, session):
                back[chat_id].append(_gap(market, part, session))
    notices = [
        *(_stale(chat_id, affected, market) for chat_id, affected in stale.items()),
        *(_back(db, chat_id, gaps, market) for chat_id, gaps in back.items()),
    ]
    for notice in notices:
        _queue_outage_notice(db, notice, default_zone, now)
    return len(notices)


def _gap(market: Market, part: str, session: str) -> DataGap:
    last = newest_session(market, part)
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
    answer = outage_notice(gaps, [alerts[number] for number in sorted(alerts)], market)
    return _Notice(chat_id, STALE, gaps, answer, threads)


def _back(db: sqlite_utils.Database, chat_id: int, gaps: Sequence[DataGap], market: Market) -> _Notice:
    threads = {row.thread_id for row in alert_store.alerts_of(db, chat_id)}
    return _Notice(chat_id, BACK, gaps, recovery_notice(gaps, market), threads)


def _queue_outage_notice(
    db: sqlite_utils.Database, notice: _Notice, default_zone: str, now: dt.datetime
) -> None:
    """Queue one message, in the chat's topic where all its alerts were created in one."""
    place = (notice.chat_id, next(iter(notice.threads)) if len(notice.threads) == 1 else None)
    gaps = "+".join(f"{gap.part}@{gap.since}" for gap in notice.gaps)
    queue_notice(db, place, f"{notice.what}:{notice.chat_id}:{gaps}", notice.answer, default_zone, now)


# Alerts of one chat and topic that the same splits have paused.
Group = tuple[Place, tuple["SplitChange", ...]]


def pause_split_alerts(db: sqlite_utils.Database, config: Config, now: dt.datetime) -> bool:
    """Pause the alerts whose levels new splits have changed; returns whether any alert was changed.

    The current Market is in the new shares already, so this runs before alerts are evaluated on it. An
    alert stays paused until its chat rescales, edits or resumes it. One whose target moves with the data
    goes on: its state is put into the new shares.
    """
    groups: dict[Group, list[SplitPause]] = defaultdict(list)
    waiting: list[int] = []
    changed = False
    for alert_id, unseen in alert_store.new_split_changes(db).items():
        changes = tuple(unseen)
        (alert,) = alert_store.alerts_by_id(db, [alert_id])
        try:
            rule = Rule.from_json(alert.rule_json)
            waits = is_set_on_level(rule, METRICS) and not Life(alert.life).has_ended
            reason = f"split: {split_text(changes)}"
            if waits:
                waiting.append(alert_id)
            if waits and alert.reason == reason:
                continue
            changed = True
            factor = _level_factor(config.pair, changes)
            _reset_state(db, alert, rule, factor)
        except Exception:  # noqa: BLE001 - one broken rule must not stop the others; evaluation reports it
            _log.exception("alert %s cannot be read after a split", alert_id)
            continue
        if waits:
            alert_store.set_life(db, alert_id, Life.PAUSED, reason)
            pause = SplitPause(alert.number, alert.rule, rescaled_rule(rule, factor, METRICS))
            groups[(alert.chat_id, alert.thread_id), changes].append(pause)
    alert_store.mark_all_splits_seen(db, except_for=waiting)
    for (place, changes), pauses in groups.items():
        _notify(db, place, changes, pauses, config, now)
    return changed


def _level_factor(pair: Pair, changes: Sequence[SplitChange]) -> float:
    return level_factor(pair, ((change.ticker, change.factor) for change in changes))


def _reset_state(db: sqlite_utils.Database, alert: StoredAlert, rule: Rule, factor: float) -> None:
    """Put the current state into the new shares: restated closes are no revision of what was evaluated."""
    current = alert_store.current_state(db, alert.alert_id)
    if current is not None and reads_level(rule, METRICS):
        state = state_after_split(rule, State.from_json(current.state), factor, METRICS)
        alert_store.save_state(db, alert.alert_id, state.session.isoformat(), state.to_json())


def _notify(
    db: sqlite_utils.Database,
    place: Place,
    changes: Sequence[SplitChange],
    pauses: Sequence[SplitPause],
    config: Config,
    now: dt.datetime,
) -> None:
    """Queue one notice to a chat and topic.

    The key contains the newest split row: a split that returns after it was withdrawn is reported again.
    """
    dedup = f"split:{place[0]}:{place[1] or ''}:{alert_store.newest_split_id(db)}:{pauses[0].number}"
    answer = paused_by_split(changes, _level_factor(config.pair, changes), pauses)
    queue_notice(db, place, dedup, answer, config.time.timezone, now)
