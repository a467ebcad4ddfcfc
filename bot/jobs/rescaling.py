"""Rescaling what alerts are set on after a split: once, with a notice, all in one transaction."""

from __future__ import annotations

import datetime as dt
import logging
import math
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from bot.alerts.rule import Rule
from bot.alerts.split import rescale
from bot.alerts.state import State
from bot.alerts.view import Life
from bot.analytics.registry import METRICS
from bot.jobs.sending import Place, send
from bot.jobs.telling import DeliveryWindow
from bot.rendering.splits import Rescaled, Split, rescaled
from storage import alerts as stored
from storage import chats, splits

if TYPE_CHECKING:
    from collections.abc import Sequence

    import sqlite_utils

    from bot.config import Config
    from bot.pair import Pair
    from storage.alerts import StoredAlert

_log = logging.getLogger(__name__)

Row = dict[str, Any]
# Alerts of one place that allow for the same splits now.
Group = tuple[Place, tuple[Split, ...]]


def rescale_all(db: sqlite_utils.Database, config: Config, now: dt.datetime) -> bool:
    """Let every alert allow for the splits that became known; whether there were any.

    The Market of the moment is in the new shares already, so this comes before judging on it.
    """
    unseen = splits.unseen(db)
    found: dict[Group, list[Rescaled]] = defaultdict(list)
    for alert_id, rows in unseen.items():
        those = tuple(_split(row) for row in rows)
        (alert,) = stored.alerts_by_id(db, [alert_id])
        try:
            changed = _rescale(db, alert, factor_of(those, config.pair))
        except Exception:  # noqa: BLE001 - one broken rule must not stop the others; judging tells its owner
            _log.exception("alert %s cannot be rescaled", alert_id)
            continue
        if changed is not None and not Life(alert.life).has_ended:
            found[(alert.chat_id, alert.thread_id), those].append(changed)
    known = splits.mark_seen(db)
    for (place, those), alerts in found.items():
        _tell(db, place, those, alerts, known, config, now)
    return bool(unseen)


def factor_of(those: Sequence[Split], pair: Pair) -> float:
    """The ratio's new level by its old one: a share of either fund is worth less after its split."""
    return math.prod(1 / each.factor if each.ticker == pair.small.ticker else each.factor for each in those)


def _rescale(db: sqlite_utils.Database, alert: StoredAlert, factor: float) -> Rescaled | None:
    """Store an alert's rule and states in the new shares; None where it is not set on a level of prices."""
    rule = Rule.from_json(alert.rule_json)
    states = [State.from_json(text) for text in stored.states(db, alert.alert_id)]
    after, moved = rescale(rule, states, factor, METRICS)
    if after == rule and list(moved) == states:
        return None
    stored.replace_rule(db, alert.alert_id, rule=str(after), rule_json=after.to_json())
    for state in moved:
        stored.save_state(db, alert.alert_id, state.session.isoformat(), state.to_json())
    return Rescaled(alert.number, alert.rule, str(after))


def _tell(
    db: sqlite_utils.Database,
    place: Place,
    those: Sequence[Split],
    alerts: Sequence[Rescaled],
    known: int,
    config: Config,
    now: dt.datetime,
) -> None:
    """One notice a chat and topic, of the alerts whose rule reads otherwise now.

    `known` is the last row that tells of a split: one that returns after it was taken back is told again.
    """
    chat = chats.get_chat(db, place[0])
    reworded = [each for each in alerts if each.before != each.after]
    if chat is None or chat.status != "active" or not reworded:
        return
    dedup = f"split:{place[0]}:{place[1] or ''}:{known}:{reworded[0].number}"
    answer = rescaled(those, factor_of(those, config.pair), reworded)
    wait = DeliveryWindow.of(
        chat.timezone, config.time.timezone, now, chat.quiet_from, chat.quiet_to
    ).quiet_until
    send(db, place, dedup, answer, now, kind="notice", not_before=wait)


def _split(row: Row) -> Split:
    session = dt.date.fromisoformat(row["session"])
    return Split(row["ticker"], session, row["ratio"], withdrawn=row["withdrawn"])
