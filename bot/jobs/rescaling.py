"""Splits: alerts on the level of the ratio are paused, with one notice a chat and topic."""

from __future__ import annotations

import datetime as dt
import logging
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bot.alerts.rule import Rule
from bot.alerts.split import is_set_on_level, level_factor, reads_level, rescaled_rule, state_after_split
from bot.alerts.state import State
from bot.alerts.view import Life
from bot.analytics.registry import METRICS
from bot.jobs.sending import Place, queue_notice
from bot.rendering.splits import SplitPause, paused_by_split, split_text
from storage import alerts as stored
from storage import splits

if TYPE_CHECKING:
    import sqlite_utils

    from bot.config import Config
    from bot.pair import Pair
    from storage.alerts import StoredAlert
    from storage.splits import SplitChange

_log = logging.getLogger(__name__)

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
    for alert_id, unseen in splits.unseen(db).items():
        changes = tuple(unseen)
        (alert,) = stored.alerts_by_id(db, [alert_id])
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
            stored.set_life(db, alert_id, Life.PAUSED, reason)
            pause = SplitPause(alert.number, alert.rule, rescaled_rule(rule, factor, METRICS))
            groups[(alert.chat_id, alert.thread_id), changes].append(pause)
    splits.mark_all_seen(db, but=waiting)
    for (place, changes), pauses in groups.items():
        _notify(db, place, changes, pauses, config, now)
    return changed


def _level_factor(pair: Pair, changes: Sequence[SplitChange]) -> float:
    return level_factor(pair, ((change.ticker, change.factor) for change in changes))


def _reset_state(db: sqlite_utils.Database, alert: StoredAlert, rule: Rule, factor: float) -> None:
    """Put the current state into the new shares: restated closes are no revision of what was evaluated."""
    current = stored.current_state(db, alert.alert_id)
    if current is not None and reads_level(rule, METRICS):
        state = state_after_split(rule, State.from_json(current.state), factor, METRICS)
        stored.save_state(db, alert.alert_id, state.session.isoformat(), state.to_json())


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
    dedup = f"split:{place[0]}:{place[1] or ''}:{splits.newest(db)}:{pauses[0].number}"
    answer = paused_by_split(changes, _level_factor(config.pair, changes), pauses)
    queue_notice(db, place, dedup, answer, config.time.timezone, now)
