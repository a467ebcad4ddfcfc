"""Jobs that send notices about alerts: they end, their data is overdue or back, a split has paused them.

An alert never ends unannounced: its end is announced a week before, with a button that renews it, and one
whose week passed while the bot was off gets another week. The last day that a rule names (`until`) is its
owner's choice and stands; evaluation ends such a rule.

An outage begins when a close is overdue by 3 h 15 min (fund facts and multiples a session later), and ends
when the data reaches as far as it must again. Outages are stored, so that a restart reports nothing twice.
"""

import asyncio
import datetime as dt
import json
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial

import sqlite_utils
from msgspec import structs

from bot.alerts.revision import is_set_on_level, level_factors, rescaled_rule, state_after_split
from bot.alerts.rule import Rule
from bot.alerts.series import parts_read
from bot.alerts.view import SPLIT_REASON, Life
from bot.analytics.market import Market
from bot.analytics.metrics import METRICS, first_overdue_session, is_frozen, newest_session
from bot.analytics.sessions import STALE_AFTER
from bot.config import Config
from bot.data.refresh import FetchReport
from bot.jobs.notify import OutboxWriter, Place
from bot.messages.alerts import notices
from bot.messages.common import Answer
from bot.messages.html import bold, lines
from bot.pair import Pair
from bot.services import Services
from bot.services.alert_views import read_state
from storage import alert_store, chat_store, sources
from storage.alert_store import ExpiringAlert, SplitChange, StoredAlert
from storage.records import get_meta, remove_meta, set_meta

_log = logging.getLogger(__name__)
_WEEK, _DAY = dt.timedelta(days=7), dt.timedelta(days=1)
ENDED = "its last day has passed"


async def announce_ends(services: Services) -> int:
    """Announce the ends of alerts, and end those that are due. Returns the number of messages."""
    end = partial(_end_alerts, default_zone=services.config.time.timezone, now=services.clock())
    return await services.database.run(end)


def _end_alerts(db: sqlite_utils.Database, default_zone: str, now: dt.datetime) -> int:
    """Announce and end what is due in each chat's own date, in one transaction with the messages."""
    ending: dict[Place, list[StoredAlert]] = defaultdict(list)
    ended: dict[Place, list[StoredAlert]] = defaultdict(list)
    tomorrow = now.date() + _DAY  # already today in the east
    for alert in alert_store.expiring_alerts(db, (tomorrow + _WEEK).isoformat()):
        last_day = alert.expires_on
        if last_day is None:
            continue
        zone, place = chat_store.zone_of(alert.timezone, default_zone), (alert.chat_id, alert.thread_id)
        today, has_until = now.astimezone(zone).date(), _has_until(alert)
        is_paused, is_announced = alert.life == Life.PAUSED, alert.announced_expiry == last_day
        if today > last_day and (is_paused if has_until else is_announced):
            alert_store.update_alert(db, alert.alert_id, life=Life.EXPIRED, reason=ENDED)
            ended[place].append(alert)
        elif today > last_day and not has_until:
            last_day = today + _WEEK
            alert_store.update_alert(db, alert.alert_id, expires_on=last_day, announced_expiry=last_day)
            ending[place].append(structs.replace(alert, expires_on=last_day))
        elif today <= last_day <= today + _WEEK and alert_store.mark_expiry_announced(db, alert.alert_id):
            created = alert.created_at.astimezone(zone).date()
            if last_day - created > _WEEK:  # the reply to a shorter one said so
                ending[place].append(alert)
    writer = OutboxWriter(db, now, default_zone)
    for event, by_place in (("ends", ending), ("ended", ended)):
        for place, alerts in by_place.items():
            key = f"{alerts[0].number}@{alerts[0].expires_on}:{now:%Y-%m-%dT%H:%M:%S}"
            notice = notices.ends_notice(alerts, has_ended=event == "ended")
            writer.notice(place, f"{event}:{place[0]}:{key}", notice)
    return len(ending) + len(ended)


def _has_until(alert: ExpiringAlert) -> bool:
    """Whether the rule has an `until`; False for a damaged one."""
    try:
        return "until" in json.loads(alert.rule_json)
    except (ValueError, TypeError):
        return False


async def report_refusals(services: Services, reports: Sequence[FetchReport]) -> int:
    """Tell the owner, once, of each fund whose files a site refuses. Returns the number of messages."""
    now, config = services.clock(), services.config

    def store(db: sqlite_utils.Database) -> int:
        sentences = []
        for report in reports:
            key = f"refused:{report.source}:{report.subject.partition(' ')[0]}"
            known = get_meta(db, key)
            if report.refused and known is None:
                set_meta(db, key, report.subject)
                sentences.append(str(report))
            elif report.ok and known == report.subject:
                remove_meta(db, key)
        if sentences and config.access.owner is not None:
            title, again = bold("A site refuses files"), "It is asked again once a day; you are told once."
            writer = OutboxWriter(db, now, config.time.timezone)
            dedup = f"refused:{now:%Y-%m-%dT%H:%M:%S}"
            writer.notice((config.access.owner, None), dedup, Answer(lines(title, *sentences, again)))
        return len(sentences)

    return await services.database.run(store) if reports else 0


async def report_outages(services: Services) -> int:
    """Queue notices of data that is overdue or has recovered. Returns the number of messages."""
    now = services.clock()
    market = await services.markets.current()
    if market.is_sample:  # made-up figures end on a day of their own
        return 0
    expected = services.markets.sessions().last_completed(now, STALE_AFTER)
    missing = {part: first_overdue_session(market, part, expected) for part in market.parts}
    stored = await services.database.run(sources.current_outages)
    known = {outage.part: outage.session.isoformat() for outage in stored}
    begun = {
        part: f"{session:%Y-%m-%d}" for part, session in missing.items() if session is not None and part not in known
    }
    ended = {part: session for part, session in known.items() if missing.get(part) is None}
    if not begun and not ended:
        return 0
    alerts = await services.database.run(alert_store.active_alerts) if begun else []
    readers = await asyncio.to_thread(_alerts_by_part, market.pair, alerts, begun)

    def store(db: sqlite_utils.Database) -> int:
        writer = OutboxWriter(db, now, services.config.time.timezone)
        return _store_outages(writer, market, begun, ended, readers)

    return await services.database.run(store)


def _alerts_by_part(
    pair: Pair, alerts: Sequence[StoredAlert], parts: Mapping[str, str]
) -> dict[str, list[StoredAlert]]:
    readers: dict[str, list[StoredAlert]] = {part: [] for part in parts}
    for alert in alerts:
        try:
            read = set(parts_read(Rule.from_json(alert.rule_json), pair))
        except Exception:  # noqa: BLE001 - evaluation tells its owner
            _log.warning("alert %s cannot be read", alert.alert_id, exc_info=True)
            continue
        for part in read & set(parts):
            readers[part].append(alert)
    return readers


def _store_outages(
    writer: OutboxWriter,
    market: Market,
    begun: Mapping[str, str],
    ended: Mapping[str, str],
    readers: Mapping[str, Sequence[StoredAlert]],
) -> int:
    """Store outages that began or ended, and queue the messages, in one transaction."""
    db, now = writer.db, writer.now
    stale: dict[int, list[notices.DataGap]] = defaultdict(list)
    waiting: dict[int, dict[int, StoredAlert]] = defaultdict(dict)  # by chat and number
    for part, session in begun.items():
        if not sources.begin_outage(db, part, session, now):
            continue
        chats = dict.fromkeys(alert.chat_id for alert in readers[part])
        for chat_id in sources.add_outage_chats(db, part, session, chats):
            stale[chat_id].append(_gap(market, part, session))
            waiting[chat_id] |= {alert.number: alert for alert in readers[part] if alert.chat_id == chat_id}
    back: dict[int, list[notices.DataGap]] = defaultdict(list)
    for part, session in ended.items():
        if sources.end_outage(db, part, session, now):
            for chat_id in sources.outage_chats(db, part, session):
                back[chat_id].append(_gap(market, part, session))
    for chat_id, gaps in stale.items():
        alerts = [alert for _, alert in sorted(waiting[chat_id].items())]
        place, key = _common_place(chat_id, alerts), _outage_key("stale", chat_id, gaps)
        writer.notice(place, key, notices.outage_notice(gaps, alerts, market))
    for chat_id, gaps in back.items():
        place = _common_place(chat_id, alert_store.alerts_of(db, chat_id))
        key = _outage_key("back", chat_id, gaps)
        writer.notice(place, key, notices.recovery_notice(gaps, market))
    return len(stale) + len(back)


def _gap(market: Market, part: str, session: str) -> notices.DataGap:
    last, holed = newest_session(market, part), False
    if part == "prices":
        awaited = market.sessions[(market.sessions >= session) & (market.sessions <= market.end)]
        holed = not awaited.isin(market.closes.index).all()
    since, newest_date = dt.date.fromisoformat(session), None if last is None else last.date()
    return notices.DataGap(part, since, newest_date, is_frozen(market, part), holed=holed)


def _common_place(chat_id: int, alerts: Sequence[StoredAlert]) -> Place:
    threads = {alert.thread_id for alert in alerts}
    return chat_id, threads.pop() if len(threads) == 1 else None


def _outage_key(event: str, chat_id: int, gaps: Sequence[notices.DataGap]) -> str:
    return f"{event}:{chat_id}:{'+'.join(f'{gap.part}@{gap.since}' for gap in gaps)}"


def pause_split_alerts(db: sqlite_utils.Database, config: Config, now: dt.datetime) -> bool:
    """Pause the alerts whose levels new splits have changed. Returns whether any alert was changed.

    The current Market is in the new shares already, so this runs before alerts are evaluated on it. An
    alert stays paused until its chat rescales or resumes it. One whose target moves with the data
    goes on: its state is put into the new shares. Each chat and topic gets one notice for the same splits.
    """
    paused: dict[tuple[Place, tuple[SplitChange, ...]], list[tuple[StoredAlert, Rule]]] = defaultdict(list)
    waiting: list[int] = []
    changed = False
    for alert_id, unseen in alert_store.new_split_changes(db).items():
        splits = tuple(unseen)
        (alert,) = alert_store.alerts_by_id(db, [alert_id])
        reason = f"{SPLIT_REASON}{notices.split_text(splits)}"
        try:
            rule = Rule.from_json(alert.rule_json)
            share_factors = [(split.ticker, split.factor) for split in splits]
            factors = level_factors(rule, METRICS, config.pair, share_factors)
            waits = is_set_on_level(rule, factors) and not Life(alert.life).has_ended
            if waits:
                waiting.append(alert_id)
            if waits and alert.reason == reason:
                continue
            changed = True
            if set(factors) != {1.0}:
                # In the new shares restated closes are no revision of what was evaluated.
                state = state_after_split(read_state(db, alert, rule), factors)
                alert_store.save_states(db, [(alert_id, state.session.isoformat(), state.to_json())])
        except Exception:  # noqa: BLE001 - one broken rule must not stop the others; evaluation reports it
            _log.exception("alert %s cannot be read after a split", alert_id)
            continue
        if waits:
            alert_store.update_alert(db, alert_id, life=Life.PAUSED, reason=reason)
            rescaled = rescaled_rule(rule, factors)
            paused[(alert.chat_id, alert.thread_id), splits].append((alert, rescaled))
    alert_store.mark_all_splits_seen(db, except_for=waiting)
    for (place, splits), pauses in paused.items():
        # The key contains the newest split row: a split that returns after it was withdrawn is new.
        first = pauses[0][0].number
        dedup = f"split:{place[0]}:{place[1] or ''}:{alert_store.newest_split_id(db)}:{first}"
        answer = notices.paused_by_split(splits, pauses)
        OutboxWriter(db, now, config.time.timezone).notice(place, dedup, answer)
    return changed
