"""Ending alerts on their last day, announced a week before with a button that renews them.

An alert never ends unannounced: one whose week passed while the bot was away gets another week. The
last day that a rule names (`until`) is its owner's choice and stands; judging ends such a rule.
"""

from __future__ import annotations

import datetime as dt
import json
from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING

from bot.alerts.view import Life
from bot.jobs.sending import Place, queue_notice
from bot.rendering import endings
from bot.rendering.endings import Ending
from bot.services.chats import zone_of
from storage import alerts as stored

if TYPE_CHECKING:
    from collections.abc import Sequence

    import sqlite_utils

    from bot.rendering.answer import Answer
    from bot.services.base import Services
    from storage.alerts import ExpiringAlert

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
    for row in stored.expiring(db, (tomorrow + WEEK).isoformat()):
        zone = zone_of(row.timezone, default_zone)
        on = row.expires_on
        if on is None:
            continue
        today = now.astimezone(zone).date()
        place, chosen = (row.chat_id, row.thread_id), _names_its_end(row)
        if today > on and _may_end(row, chosen=chosen):
            stored.set_life(db, row.alert_id, Life.EXPIRED, ENDED)
            over[place].append(Ending(row.number, row.rule, on))
        elif today > on and not chosen:
            on = today + WEEK
            stored.set_expiry(db, row.alert_id, on.isoformat())
            stored.set_expiry_told(db, row.alert_id)
            soon[place].append(Ending(row.number, row.rule, on))
        elif today <= on <= today + WEEK and stored.set_expiry_told(db, row.alert_id):
            made = row.created_at.astimezone(zone).date()
            if on - made > WEEK:  # the reply to a shorter one said so
                soon[place].append(Ending(row.number, row.rule, on))
    for place, alerts in soon.items():
        _queue(db, place, "ends", alerts, endings.ending_soon_notice(alerts), default_zone, now)
    for place, alerts in over.items():
        _queue(db, place, "ended", alerts, endings.ended_notice(alerts), default_zone, now)
    return len(soon) + len(over)


def _names_its_end(row: ExpiringAlert) -> bool:
    """Whether the rule has an `until`; False for a damaged one."""
    try:
        return "until" in json.loads(row.rule_json)
    except (ValueError, TypeError):
        return False


def _may_end(row: ExpiringAlert, *, chosen: bool) -> bool:
    """Whether an alert ends now: it was announced, or its rule has an `until` and is not evaluated."""
    return row.life == Life.PAUSED if chosen else row.expiry_told == row.expires_on


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
