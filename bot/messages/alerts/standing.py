"""Where alerts stand, in one line each: which fired, and how far the others are from firing, with a bar."""

from collections.abc import Sequence

import pandas as pd

from bot.alerts import nearness
from bot.alerts.engine import Status
from bot.alerts.nearness import Distance
from bot.alerts.presets import name_of
from bot.alerts.series import rule_lag
from bot.alerts.view import AlertView, EvaluationContext
from bot.analytics.market import Market
from bot.analytics.metrics import METRICS
from bot.messages import common
from bot.messages.html import Html, bold
from bot.text import date_phrase

_NEAREST = 3  # alerts
_BAR = 8  # characters


def standing_lines(alerts: Sequence[AlertView], context: EvaluationContext) -> list[Html]:
    """Return the alerts that fired at the last two closes, then the nearest of the others."""
    fired, waiting = [], []
    for alert in alerts:
        name = bold(alert_name(alert, context.market))
        if (day := _fired(alert, context.market)) is not None:
            fired.append(name + f" fired {day}{_rearms(alert, context)}")
        elif alert.state.status in {Status.ARMED, Status.CONFIRMING}:
            distance = nearness.to_fire(alert.rule, context.histories)
            if distance is not None:
                waiting.append((distance.share, name + f" {bar(distance.share)} {_to_go(alert, distance)}"))
    waiting.sort(key=lambda row: -row[0])
    return [*fired, *(line for _, line in waiting)][:_NEAREST]


def alert_name(alert: AlertView, market: Market) -> str:
    """Return what a person calls an alert: its note, its preset's name, or number and conditions."""
    return name_of(alert.rule, market) or f"#{alert.number} {alert.rule.bare}"


def _fired(alert: AlertView, market: Market) -> str | None:
    """Return "today" or "yesterday", or the day, if an alert became known to fire at one of two closes."""
    fired = max((side.since for side in alert.state.sides if side.since is not None), default=None)
    if fired is None:
        return None
    since = market.sessions_behind(pd.Timestamp(fired)) - rule_lag(alert.rule, METRICS)
    if since > 1:
        return None
    if since <= 0:
        return "today"
    is_near = (market.last_completed - pd.Timestamp(fired)).days <= 1 + rule_lag(alert.rule, METRICS)
    return "yesterday" if is_near else date_phrase(fired).rpartition(" ")[0]


def _rearms(alert: AlertView, context: EvaluationContext) -> str:
    """Return how far the value is from where the alert re-arms, "" for one that has done so."""
    back = nearness.to_rearm(alert.rule, alert.state, context.histories)
    if alert.state.status is not Status.FIRED or back is None:
        return ""
    return f", re-arms {_gap(back)} {'higher' if back.gap > 0 else 'lower'}"


def _to_go(alert: AlertView, distance: Distance) -> str:
    if distance.share < 1:
        return f"{_gap(distance)} to go"
    if alert.state.status is Status.CONFIRMING:
        return f"true, confirming {alert.state.count} of {alert.rule.confirm}"
    return "at its level"


def _gap(distance: Distance) -> str:
    return common.gap_text(METRICS[distance.condition.metric].unit, distance.gap, distance.value)


def bar(share: float) -> str:
    """Return a bar that is full at the level. One that is not there is never shown full."""
    full = _BAR if share >= 1 else min(int(share * _BAR + 0.5), _BAR - 1)
    return "▓" * full + "░" * (_BAR - full)
