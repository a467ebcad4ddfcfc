"""Stored alerts: reading them with what messages about them need."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.alerts.engine import start
from bot.alerts.rule import MALFORMED, Rule
from bot.alerts.state import State
from bot.alerts.view import AlertView, Life
from bot.analytics.metrics import parts_of
from bot.analytics.registry import METRICS
from bot.errors import BadInput
from storage import alerts as stored

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable

    import sqlite_utils

    from bot.alerts.view import EvaluationContext
    from storage.alerts import StoredAlert

DAMAGED = "what is stored of it is damaged"


class Unreadable(BadInput):
    """A stored alert that this version cannot read: damaged, or of a metric that is gone."""

    def __init__(self, row: StoredAlert, why: str) -> None:
        sentence = f"Alert #{row.number} cannot be read ({why}); switch it off and set it again."
        super().__init__(sentence, f"/alert {row.number} off")


def rule_of(row: StoredAlert) -> Rule:
    """The rule of a stored alert; raises Unreadable."""
    try:
        rule = Rule.from_json(row.rule_json)
    except MALFORMED as error:
        raise Unreadable(row, DAMAGED) from error
    for condition in rule.conditions:
        if condition.metric not in METRICS:
            raise Unreadable(row, f"“{condition.metric}” is not a metric any more")
    return rule


def standing_of(db: sqlite_utils.Database, row: StoredAlert, now: dt.datetime) -> AlertView:
    """A stored alert's row with its state; a snooze that is over by now is none. Raises Unreadable."""
    current = stored.current_state(db, row.alert_id)
    if current is None:
        raise Unreadable(row, DAMAGED)
    try:
        state = State.from_json(current.state)
    except MALFORMED as error:
        raise Unreadable(row, DAMAGED) from error
    snoozed = row.snoozed_until is not None and row.snoozed_until > now
    return AlertView(
        row.number,
        rule_of(row),
        Life(row.life),
        state,
        snoozed_until=row.snoozed_until if snoozed else None,
        expires_on=row.expires_on,
        reason=row.reason,
    )


def parts_read(rule: Rule) -> list[str]:
    """Parts of the Market that a rule reads, those of its first condition first."""
    conditions = rule.conditions
    found = [part for c in conditions for part in parts_of(METRICS[c.metric], dict(c.arguments))]
    return list(dict.fromkeys(found))


def standings_of(
    db: sqlite_utils.Database, rows: Iterable[StoredAlert], now: dt.datetime
) -> tuple[list[AlertView], list[Unreadable]]:
    """The alerts that can be read, and why the others cannot: one of them must not cost the rest."""
    read: list[AlertView] = []
    unread: list[Unreadable] = []
    for row in rows:
        try:
            read.append(standing_of(db, row, now))
        except Unreadable as error:
            unread.append(error)
    return read, unread


def active_standings(db: sqlite_utils.Database, chat_id: int, now: dt.datetime) -> list[AlertView]:
    """A chat's active alerts, as a summary needs them; of one that cannot be read judging tells."""
    rows = (row for row in stored.alerts_of(db, chat_id) if row.life == Life.ACTIVE)
    return standings_of(db, rows, now)[0]


def fresh_state(rule: Rule, context: EvaluationContext) -> State:
    """State of a rule that is made, edited or resumed now."""
    history = context.histories.course(rule, sessions=context.market.sessions)
    return start(rule, history, context.market.last_completed.date())
