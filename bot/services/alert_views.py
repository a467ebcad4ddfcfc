"""Reading a chat's alerts: lists, views with their state, what explains a fire, and their rules.

Raises BadInput for what is not possible, with a line to send instead.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import msgspec
import sqlite_utils
from msgspec import structs

from bot.alerts.batch import carried, decoded
from bot.alerts.engine import Event, State
from bot.alerts.grammar import parse_rule
from bot.alerts.presets import preset_of
from bot.alerts.rule import Rule
from bot.alerts.series import SampleSeries, subject_of_rule, subject_rule
from bot.alerts.view import AlertView, EvaluationContext, Life, RecordedFire
from bot.analytics.market import Market
from bot.analytics.metrics import METRICS
from bot.errors import BadInput
from bot.services import Caller, context_of, metrics_for
from storage import alert_store
from storage.alert_store import ChatEvent, StoredAlert

T = TypeVar("T")
Check = Callable[["StoredAlert"], None]  # raises BadInput if the alert is not in the state that is needed

DAMAGED = "its stored data is damaged"
_LARGEST_NUMBER = 10**18  # SQLite's integers hold it
_EXPLAINED_EVENTS = 20  # newest events, among which the last fire is looked for
_CHARTED_EVENTS = 200  # newest events, of which a chart marks the fires
_FIRES = ("fired", "still", "restated")


@dataclass(frozen=True)
class ShownAlert:
    """An alert with its state, and the data that its figures are computed from.

    overdue  the overdue parts of the Market that it waits for; the chat is told when they are back
    """

    alert: AlertView
    context: EvaluationContext
    overdue: Sequence[str] = ()


class Unreadable(BadInput):
    """A stored alert that this version cannot read: damaged, or of a metric that is gone."""

    def __init__(self, alert: StoredAlert, reason: str) -> None:
        sentence = f"Alert #{alert.number} cannot be read ({reason}); switch it off and set it again."
        super().__init__(sentence, f"/alert {alert.number} off")


def find_alert(db: sqlite_utils.Database, caller: Caller, number: int, *checks: Check) -> StoredAlert:
    """Return a chat's alert by its number, also one that has ended; raises BadInput."""
    alert = alert_store.get_alert(db, caller.chat.id, number) if number < _LARGEST_NUMBER else None
    if alert is None:
        raise BadInput(f"There is no alert #{number} in this chat. Your alerts: /alerts")
    for check in checks:
        check(alert)
    return alert


async def read_alert(caller: Caller, number: int, *checks: Check) -> StoredAlert:
    """Read an alert; raises BadInput as `find_alert` does."""
    return await caller.services.database.read(lambda db: find_alert(db, caller, number, *checks))


def refuse_ended(alert: StoredAlert) -> None:
    """Raise BadInput for an alert that has ended."""
    if Life(alert.life).has_ended:
        number = alert.number
        raise BadInput(f"Alert #{number} has ended ({end_reason(alert)}).", f"/alert {number} renew")


def refuse_paused(alert: StoredAlert) -> None:
    """Raise BadInput for an alert that is paused."""
    if alert.life == Life.PAUSED:
        number = alert.number
        raise BadInput(f"Alert #{number} is paused: it sends nothing anyway.", f"/alert {number} resume")


def end_reason(alert: StoredAlert) -> str:
    """Return why an alert has ended, without a full stop."""
    return (alert.reason or alert.life).rstrip(".")


def parse_alert_rule(text: str, market: Market, command: str = "/alert") -> Rule:
    """Return the rule of a typed line or of a preset's name; raises BadInput with a line to send."""
    preset = preset_of(text, market)
    try:
        return parse_rule(preset.rule if preset else text, metrics_for(market))
    except BadInput as error:
        raise BadInput(error.sentence, f"{command} {error.example}".strip()) from error


def read_rule(alert: StoredAlert) -> Rule:
    """Return the rule of a stored alert; raises Unreadable."""
    try:
        rule = Rule.from_json(alert.rule_json)
    except msgspec.DecodeError as error:
        raise Unreadable(alert, DAMAGED) from error
    for condition in rule.conditions:
        if condition.metric not in METRICS:
            raise Unreadable(alert, f"“{condition.metric}” is not a metric any more")
    return rule


def view_alert(db: sqlite_utils.Database, alert: StoredAlert, now: dt.datetime) -> AlertView:
    """Return a stored alert with its current state; raises Unreadable."""
    rule = read_rule(alert)
    try:
        state = read_state(db, alert, rule)
    except msgspec.DecodeError as error:
        raise Unreadable(alert, DAMAGED) from error
    untold = alert_store.untold_fire(db, alert.alert_id)
    return replace(make_view(alert, rule, state, now), untold=untold)


def read_state(db: sqlite_utils.Database, alert: StoredAlert, rule: Rule) -> State:
    """Return the current state of an alert, at its last evaluated session. Raises msgspec.DecodeError."""
    current = alert_store.current_state(db, alert.alert_id)
    state = State.from_json(current.state if current else "")
    subject = alert_store.get_subject(db, subject_rule(subject_of_rule(rule)).to_json())
    mark = alert.evaluated or (subject.session if subject else state.session)
    if subject and (figures := SampleSeries.of(decoded(subject.figures))):
        state = carried(rule, state, figures.with_amounts(rule), figures.after(mark))
    return structs.replace(state, session=max(state.session, mark))


def make_view(alert: StoredAlert, rule: Rule, state: State, now: dt.datetime) -> AlertView:
    """Return the view of a stored alert whose rule and state are known."""
    snoozed = alert.snoozed_until is not None and alert.snoozed_until > now
    return AlertView(
        alert.number,
        rule,
        Life(alert.life),
        state,
        snoozed_until=alert.snoozed_until if snoozed else None,
        expires_on=alert.expires_on,
        reason=alert.reason,
    )


def view_alerts(
    db: sqlite_utils.Database, alerts: Iterable[StoredAlert], now: dt.datetime
) -> tuple[list[AlertView], list[Unreadable]]:
    """Return the alerts that can be read, and the errors of those that cannot."""
    views: list[AlertView] = []
    errors: list[Unreadable] = []
    for alert in alerts:
        try:
            views.append(view_alert(db, alert, now))
        except Unreadable as error:
            errors.append(error)
    return views, errors


def view_active_alerts(db: sqlite_utils.Database, chat_id: int, now: dt.datetime) -> list[AlertView]:
    """Return a chat's active alerts that can be read; evaluating them reports the others."""
    alerts = (alert for alert in alert_store.alerts_of(db, chat_id) if alert.life == Life.ACTIVE)
    return view_alerts(db, alerts, now)[0]


async def evaluation_context(caller: Caller) -> EvaluationContext:
    """Return the current Market with its histories, and the chat's time zone."""
    market = await caller.services.markets.current()
    return replace(context_of(market, caller.services.markets), zone=caller.chat.zone)


async def show(caller: Caller, number: int, *checks: Check) -> ShownAlert:
    """Return one alert; raises BadInput if there is none or a check refuses it."""
    shown, _ = await show_with(caller, number, lambda _, alert: [check(alert) for check in checks])
    return shown


async def show_with(
    caller: Caller, number: int, read: Callable[[sqlite_utils.Database, StoredAlert], T]
) -> tuple[ShownAlert, T]:
    """Return one alert and what `read` reads about it, such as `fire_sessions` or `last_fire`."""

    def read_both(db: sqlite_utils.Database) -> tuple[AlertView, T]:
        alert = find_alert(db, caller, number)
        more = read(db, alert)
        return view_alert(db, alert, caller.now), more

    view, more = await caller.services.database.read(read_both)
    return ShownAlert(view, await evaluation_context(caller)), more


def fire_sessions(db: sqlite_utils.Database, alert: StoredAlert) -> list[dt.date]:
    """Return the sessions on which an alert fired."""
    recent = alert_store.list_events(db, alert_id=alert.alert_id, limit=_CHARTED_EVENTS)
    return sorted({event.session for event in recent if event.transition == "fired"})


def fires_since(db: sqlite_utils.Database, chat_id: int, since: dt.date) -> tuple[tuple[int, str, dt.date], ...]:
    """Return number, rule and session of a chat's newest fires since a session, in order."""
    recent = alert_store.list_events(db, chat_id=chat_id, limit=_CHARTED_EVENTS)
    fires = [event for event in recent if event.transition == "fired" and event.session >= since]
    return tuple((event.number, event.rule, event.session) for event in reversed(fires))


def last_fire(db: sqlite_utils.Database, alert: StoredAlert) -> tuple[RecordedFire | None, bool]:
    """Return an alert's last fire as it is stored, and whether revised data took that fire back."""
    recent = alert_store.list_events(db, alert_id=alert.alert_id, limit=_EXPLAINED_EVENTS)
    for at, event in enumerate(recent):
        if event.transition in _FIRES:
            later = ((newer.transition, newer.session) for newer in recent[:at])
            return _recorded_fire(alert, event), ("withdrawn", event.session) in later
    return None, False


def _recorded_fire(alert: StoredAlert, fire: ChatEvent) -> RecordedFire:
    detail, before = fire.detail, fire.detail.before
    return RecordedFire(
        alert.number,
        Rule.from_json(detail.rule or alert.rule_json),
        Event.from_json(detail.event),
        State.from_json(before) if before else None,
        detail.source,
        detail.observed_at,
    )


async def list_alerts(caller: Caller) -> tuple[list[AlertView], list[Unreadable], EvaluationContext]:
    """Return a chat's active and paused alerts, and the errors of those that cannot be read."""
    alerts, unreadable = caller.services.database.look_up(
        lambda db: view_alerts(db, alert_store.alerts_of(db, caller.chat.id), caller.now)
    )
    return alerts, unreadable, await evaluation_context(caller)


async def history(caller: Caller, number: int | None = None, *, limit: int, skip: int = 0) -> list[ChatEvent]:
    """Return the events of one alert, or of all the chat's alerts, newest first."""

    def read(db: sqlite_utils.Database) -> list[ChatEvent]:
        alert_id = None if number is None else find_alert(db, caller, number).alert_id
        return alert_store.list_events(db, alert_id=alert_id, chat_id=caller.chat.id, limit=limit, skip=skip)

    return await caller.services.database.read(read)
