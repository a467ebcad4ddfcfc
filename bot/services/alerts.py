"""A chat's alerts: creating, changing, reading and explaining them.

Each change is one transaction. BadInput says what is not possible, with a line to send instead.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import msgspec
from msgspec import structs

from bot.alerts.backtest import frequency
from bot.alerts.engine import Event, State, first_state
from bot.alerts.grammar import parse_rule, preset_of
from bot.alerts.revision import level_factor, rescaled_rule
from bot.alerts.rule import CROSSES, Rule
from bot.alerts.view import AlertView, Life, RecordedFire
from bot.analytics.metrics import METRICS, parts_of
from bot.errors import BadInput
from bot.services import context_of, metrics_for
from storage import alert_store, chat_store, sources

if TYPE_CHECKING:
    from collections.abc import Iterable

    import sqlite_utils

    from bot.alerts.backtest import Frequency
    from bot.alerts.view import EvaluationContext
    from bot.analytics.market import Market
    from bot.analytics.metrics import Metric
    from bot.pair import Pair
    from bot.services import Caller, Chat, Services
    from storage.alert_store import ChatEvent, StoredAlert


T = TypeVar("T")
# The rule that words make of another one; raises BadInput whose example is words to type instead.
RuleChange = Callable[[Rule, Mapping[str, "Metric"]], Rule]
Check = Callable[["StoredAlert"], None]

MOST_ALERTS = 50  # a chat; more are no help to anybody who has to read them
DAMAGED = "what is stored of it is damaged"
_LARGEST_NUMBER = 10**18  # SQLite's integers hold it
_LOOKED_AT = 20  # newest events, among which the last fire is looked for
_FIRES = ("fired", "still", "restated")
_CHARTED = 200  # newest events, of which a chart marks the fires
_MIRROR = {">": "<", "<": ">", ">=": "<=", "<=": ">="}


@dataclass(frozen=True)
class ShownAlert:
    """An alert as it stands, and what its figures are read from.

    overdue  the overdue parts of the Market that it waits for; the chat is told when they are back
    """

    alert: AlertView
    context: EvaluationContext
    overdue: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class StartedAlert(ShownAlert):
    """An alert that starts now.

    past      how often it would have fired
    previous  its rule before it was edited
    ended     why it had ended before it was renewed
    """

    past: Frequency
    previous: Rule | None = None
    ended: str = ""


@dataclass(frozen=True)
class AlertList:
    """A chat's alerts that have not ended, and why some of them cannot be read."""

    alerts: Sequence[AlertView]
    unreadable: Sequence[Unreadable]
    context: EvaluationContext


@dataclass(frozen=True)
class Explanation:
    """An alert with its last fire, if it has fired; `withdrawn`: revised data took the fire back."""

    shown: ShownAlert
    fire: RecordedFire | None = None
    withdrawn: bool = False


class Unreadable(BadInput):
    """A stored alert that this version cannot read: damaged, or of a metric that is gone."""

    def __init__(self, alert: StoredAlert, reason: str) -> None:
        sentence = f"Alert #{alert.number} cannot be read ({reason}); switch it off and set it again."
        super().__init__(sentence, f"/alert {alert.number} off")


# Reading


def read_rule(alert: StoredAlert) -> Rule:
    """The rule of a stored alert; raises Unreadable."""
    try:
        rule = Rule.from_json(alert.rule_json)
    except msgspec.DecodeError as error:
        raise Unreadable(alert, DAMAGED) from error
    for condition in rule.conditions:
        if condition.metric not in METRICS:
            raise Unreadable(alert, f"“{condition.metric}” is not a metric any more")
    return rule


def view_alert(db: sqlite_utils.Database, alert: StoredAlert, now: dt.datetime) -> AlertView:
    """A stored alert with its current state; raises Unreadable."""
    current = alert_store.current_state(db, alert.alert_id)
    if current is None:
        raise Unreadable(alert, DAMAGED)
    try:
        state = State.from_json(current.state)
    except msgspec.DecodeError as error:
        raise Unreadable(alert, DAMAGED) from error
    return _view(alert, read_rule(alert), state, now)


def _view(alert: StoredAlert, rule: Rule, state: State, now: dt.datetime) -> AlertView:
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
    """The alerts that can be read, and the errors of those that cannot."""
    views: list[AlertView] = []
    errors: list[Unreadable] = []
    for alert in alerts:
        try:
            views.append(view_alert(db, alert, now))
        except Unreadable as error:
            errors.append(error)
    return views, errors


def active_alerts(db: sqlite_utils.Database, chat_id: int, now: dt.datetime) -> list[AlertView]:
    """A chat's active alerts that can be read; evaluating them reports the others."""
    alerts = (alert for alert in alert_store.alerts_of(db, chat_id) if alert.life == Life.ACTIVE)
    return view_alerts(db, alerts, now)[0]


def parts_read(rule: Rule, pair: Pair) -> list[str]:
    """Parts of the Market that a rule reads, those of its first condition first."""
    conditions = rule.conditions
    parts = [part for c in conditions for part in parts_of(METRICS[c.metric], pair, dict(c.arguments))]
    return list(dict.fromkeys(parts))


def parse_alert_rule(text: str, market: Market, command: str = "/alert") -> Rule:
    """The rule of a typed line or of a preset's name; raises BadInput whose example is a line to send."""
    preset = preset_of(text)
    try:
        return parse_rule(preset.rule if preset else text, metrics_for(market))
    except BadInput as error:
        raise BadInput(error.sentence, f"{command} {error.example}" if error.example else "") from error


def initial_state(rule: Rule, context: EvaluationContext) -> State:
    """State of a rule that is created, edited or resumed now."""
    history = context.histories.sample_series(rule, sessions=context.market.sessions)
    return first_state(rule, history, context.market.last_completed.date())


def past_fires(rule: Rule, context: EvaluationContext) -> Frequency:
    """How often a rule would have fired."""
    return frequency(rule, context.histories.sample_series(rule, None, context.market.sessions))


def mirrored(rule: Rule) -> list[Rule]:
    """The rules that tell when a rule has gone back: one for each condition that does not cross.

    The comparison is turned and the target stays, as the two sides of `crosses` have it. Options stay too,
    except the re-arm level, which lies on the other side.
    """
    bare = structs.replace(rule, rearm=None)
    return [
        structs.replace(bare, conditions=(structs.replace(condition, op=_MIRROR[condition.op]),))
        for condition in rule.conditions
        if condition.op != CROSSES
    ]


async def evaluation_context(services: Services, chat: Chat) -> EvaluationContext:
    """The Market of now with its histories, and the chat's time zone."""
    market = await services.markets.current()
    context = await asyncio.to_thread(context_of, market, services.markets)
    return replace(context, zone=chat.zone)


async def show(services: Services, caller: Caller, number: int, *checks: Check) -> ShownAlert:
    """One alert; `checks` raise BadInput where it is not in the state that is needed."""
    shown, _ = await _show_with(services, caller, number, lambda _, alert: [check(alert) for check in checks])
    return shown


async def show_with_fires(
    services: Services, caller: Caller, number: int
) -> tuple[ShownAlert, list[dt.date]]:
    """One alert and the sessions on which it fired."""

    def fires(db: sqlite_utils.Database, alert: StoredAlert) -> list[dt.date]:
        recent = alert_store.list_events(db, alert_id=alert.alert_id, limit=_CHARTED)
        return sorted({event.session for event in recent if event.transition == "fired"})

    return await _show_with(services, caller, number, fires)


async def show_with_fire_count(
    services: Services, caller: Caller, number: int, days: int
) -> tuple[ShownAlert, int]:
    """One alert and how often it fired in the last `days`."""
    market = await services.markets.current()
    since = (market.last_completed - dt.timedelta(days=days)).date().isoformat()
    return await _show_with(
        services, caller, number, lambda db, alert: alert_store.fires_since(db, alert.alert_id, since)
    )


async def get_rule(services: Services, caller: Caller, number: int) -> Rule:
    """The rule of one alert."""
    return read_rule(await services.database.run(lambda db: find_alert(db, caller.chat.id, number)))


async def explain(services: Services, caller: Caller, number: int) -> Explanation:
    """The last fire of an alert as it is stored, with the rule and the state of its time."""

    def last_fire(db: sqlite_utils.Database, alert: StoredAlert) -> tuple[RecordedFire | None, bool]:
        recent = alert_store.list_events(db, alert_id=alert.alert_id, limit=_LOOKED_AT)
        place = next((at for at, event in enumerate(recent) if event.transition in _FIRES), None)
        if place is None:
            return None, False
        fire = recent[place]
        later = ((event.transition, event.session) for event in recent[:place])
        return _recorded(db, alert, fire), ("withdrawn", fire.session) in later

    shown, (fire, withdrawn) = await _show_with(services, caller, number, last_fire)
    return Explanation(shown, fire, withdrawn)


def _recorded(db: sqlite_utils.Database, alert: StoredAlert, fire: ChatEvent) -> RecordedFire:
    detail, before = fire.detail, fire.detail.before
    if before is None:
        earlier = alert_store.state_before(db, alert.alert_id, fire.session.isoformat())
        before = earlier.state if earlier else None
    return RecordedFire(
        alert.number,
        Rule.from_json(detail.rule or alert.rule_json),
        Event.from_json(detail.event),
        State.from_json(before) if before else None,
        detail.source,
        detail.observed_at,
    )


async def list_alerts(services: Services, caller: Caller) -> AlertList:
    """A chat's active and paused alerts."""

    def read(db: sqlite_utils.Database) -> tuple[list[AlertView], list[Unreadable]]:
        return view_alerts(db, alert_store.alerts_of(db, caller.chat.id), caller.now)

    alerts, unreadable = await services.database.run(read)
    return AlertList(alerts, unreadable, await evaluation_context(services, caller.chat))


async def history(
    services: Services, caller: Caller, number: int | None = None, *, limit: int, skip: int = 0
) -> list[ChatEvent]:
    """What one alert did, or all of the chat's alerts, newest first."""

    def read(db: sqlite_utils.Database) -> list[ChatEvent]:
        chat_id = caller.chat.id
        alert_id = None if number is None else find_alert(db, chat_id, number).alert_id
        return alert_store.list_events(db, alert_id=alert_id, chat_id=chat_id, limit=limit, skip=skip)

    return await services.database.run(read)


async def preview(services: Services, caller: Caller, rule: Rule) -> StartedAlert:
    """What creating an alert with a rule would give; nothing is stored and its number is 0."""
    context = await evaluation_context(services, caller.chat)
    _refuse_past(rule, context.market, caller.now, "/alert")
    state, past = await asyncio.to_thread(_start, rule, context)
    return StartedAlert(AlertView(0, rule, Life.ACTIVE, state), context, past=past)


# Changes


async def create(services: Services, caller: Caller, rule: Rule | str) -> StartedAlert:
    """Store an alert within the chat's quota; `rule` may be a typed line."""
    context = await evaluation_context(services, caller.chat)
    if isinstance(rule, str):
        rule = parse_alert_rule(rule, context.market)
    _refuse_past(rule, context.market, caller.now, "/alert")
    state, past = await asyncio.to_thread(_start, rule, context)
    new_rule, chat, now = rule, caller.chat, caller.now

    def write(db: sqlite_utils.Database) -> tuple[StoredAlert, list[str]]:
        chat_store.ensure_chat(db, chat.id, chat.kind, chat.title, now)
        _refuse_full(db, chat.id)
        _refuse_same(db, chat.id, new_rule)
        alert = alert_store.add_alert(
            db,
            chat_id=chat.id,
            owner_id=caller.user_id,
            rule=str(new_rule),
            rule_json=new_rule.to_json(),
            now=now,
            session=state.session.isoformat(),
            expires_on=_last_day(new_rule, caller).isoformat(),
            thread_id=chat.thread_id,
        )
        _save_initial_state(db, alert.alert_id, state)
        return alert, _await_overdue(db, services.pair, chat.id, new_rule)

    alert, overdue = await caller.change(write)
    return StartedAlert(_view(alert, rule, state, now), context, overdue, past=past)


async def edit(services: Services, caller: Caller, number: int, change: RuleChange) -> StartedAlert:
    """Give an alert another rule under the same number; it starts afresh."""
    context = await evaluation_context(services, caller.chat)
    chat_id, command = caller.chat.id, f"/alert {number} edit"
    before = await services.database.run(lambda db: _find_checked(db, chat_id, number, refuse_ended))
    previous = read_rule(before)
    try:
        rule = change(previous, metrics_for(context.market))
    except BadInput as error:
        raise BadInput(error.sentence, f"{command} {error.example}" if error.example else command) from error
    if rule == previous:
        raise BadInput(f"That is what alert #{number} says already.", command)
    _refuse_past(rule, context.market, caller.now, command)
    state, past = await asyncio.to_thread(_start, rule, context)

    def write(db: sqlite_utils.Database) -> tuple[StoredAlert, list[str]]:
        _refuse_same(db, chat_id, rule, number)
        alert = _find_checked(db, chat_id, number, refuse_ended)  # somebody may have ended it meanwhile
        alert_store.replace_rule(
            db, alert.alert_id, rule=str(rule), rule_json=rule.to_json(), session=state.session.isoformat()
        )
        if rule.until != previous.until:
            alert = structs.replace(alert, expires_on=_last_day(rule, caller))
            _set_expiry(db, alert)
        _save_initial_state(db, alert.alert_id, state)
        return alert, _await_overdue(db, services.pair, chat_id, rule) if alert.life == Life.ACTIVE else []

    alert, overdue = await caller.change(write)
    return StartedAlert(_view(alert, rule, state, caller.now), context, overdue, past=past, previous=previous)


async def rescale(services: Services, caller: Caller, number: int) -> StartedAlert:
    """Set an alert that a split has paused at its rescaled level; it starts afresh."""
    context, chat_id = await evaluation_context(services, caller.chat), caller.chat.id

    def rescaled(db: sqlite_utils.Database) -> tuple[StoredAlert, Rule, Rule]:
        alert = _find_checked(db, chat_id, number, refuse_ended)
        changes = alert_store.new_split_changes(db).get(alert.alert_id)
        if alert.life != Life.PAUSED or not changes:
            raise BadInput(f"Alert #{number} is not paused by a split.", f"/alert {number}")
        factor = level_factor(context.market.pair, ((change.ticker, change.factor) for change in changes))
        previous = read_rule(alert)
        return alert, previous, rescaled_rule(previous, factor, METRICS)

    _, previous, rule = await services.database.run(rescaled)
    state, past = await asyncio.to_thread(_start, rule, context)

    def write(db: sqlite_utils.Database) -> tuple[StoredAlert, list[str]]:
        alert, _, now_rescaled = rescaled(db)
        if now_rescaled != rule:
            raise BadInput("Another split became known just now.", f"/alert {number} rescale")
        alert_store.replace_rule(db, alert.alert_id, rule=str(rule), rule_json=rule.to_json())
        alert_store.set_life(db, alert.alert_id, Life.ACTIVE)
        _save_initial_state(db, alert.alert_id, state)
        resumed = structs.replace(alert, life=Life.ACTIVE, reason="")
        return resumed, _await_overdue(db, services.pair, chat_id, rule)

    alert, overdue = await caller.change(write)
    return StartedAlert(_view(alert, rule, state, caller.now), context, overdue, past=past, previous=previous)


async def snooze(services: Services, caller: Caller, number: int, until: dt.datetime | None) -> ShownAlert:
    """Hold an alert's messages until an instant; None ends the snooze."""

    def write(db: sqlite_utils.Database) -> AlertView:
        alert = _find_checked(db, caller.chat.id, number, refuse_ended, refuse_paused)
        if until is None and alert.snoozed_until is None:
            raise BadInput(f"Alert #{number} is not snoozed.", f"/alert {number} snooze 1d")
        alert_store.set_snooze(db, alert.alert_id, until)
        return view_alert(db, structs.replace(alert, snoozed_until=until), caller.now)

    return await _changed(services, caller, write)


async def pause(services: Services, caller: Caller, number: int) -> ShownAlert:
    """Stop evaluating an alert until it is resumed; its snooze ends."""

    def write(db: sqlite_utils.Database) -> AlertView:
        alert = _find_checked(db, caller.chat.id, number, refuse_ended)
        if alert.life == Life.PAUSED:
            raise BadInput(f"Alert #{number} is paused already.", f"/alert {number}")
        alert_store.set_life(db, alert.alert_id, Life.PAUSED)
        alert_store.set_snooze(db, alert.alert_id, None)
        paused = structs.replace(alert, life=Life.PAUSED, reason="", snoozed_until=None)
        return view_alert(db, paused, caller.now)

    return await _changed(services, caller, write)


async def resume(services: Services, caller: Caller, number: int) -> ShownAlert:
    """Evaluate a paused alert again, afresh as at creation: what happened meanwhile does not fire."""

    def refuse_active(alert: StoredAlert) -> None:
        if alert.life == Life.ACTIVE:
            raise BadInput(f"Alert #{number} is active already.", f"/alert {number}")

    chat_id, checks = caller.chat.id, (refuse_ended, refuse_active)
    context = await evaluation_context(services, caller.chat)
    rule = read_rule(await services.database.run(lambda db: _find_checked(db, chat_id, number, *checks)))
    state = await asyncio.to_thread(initial_state, rule, context)

    def write(db: sqlite_utils.Database) -> tuple[StoredAlert, list[str]]:
        alert = _find_checked(db, chat_id, number, *checks)
        alert_store.set_life(db, alert.alert_id, Life.ACTIVE)
        alert_store.mark_splits_seen(db, alert.alert_id)  # whoever resumes it keeps its level
        _save_initial_state(db, alert.alert_id, state)
        return structs.replace(alert, life=Life.ACTIVE, reason=""), _await_overdue(
            db, services.pair, chat_id, rule
        )

    alert, overdue = await caller.change(write)
    return ShownAlert(_view(alert, rule, state, caller.now), context, overdue)


async def renew(services: Services, caller: Caller, number: int) -> ShownAlert:
    """Let an alert go on for a year from today; one that has ended starts afresh, within the quota."""
    context, chat_id = await evaluation_context(services, caller.chat), caller.chat.id
    before = await services.database.run(lambda db: find_alert(db, chat_id, number))
    previous = read_rule(before)
    rule = structs.replace(previous, until=None)
    state, past = await asyncio.to_thread(_start, rule, context)

    def write(db: sqlite_utils.Database) -> tuple[StoredAlert, AlertView, list[str]]:
        alert = find_alert(db, chat_id, number)
        ended = Life(alert.life).has_ended
        if ended:
            _refuse_full(db, chat_id)
        _refuse_same(db, chat_id, rule, number)
        if rule != previous:
            alert_store.replace_rule(db, alert.alert_id, rule=str(rule), rule_json=rule.to_json())
        renewed = structs.replace(alert, expires_on=_last_day(rule, caller), rule_json=rule.to_json())
        _set_expiry(db, renewed)
        if not ended:
            return alert, view_alert(db, renewed, caller.now), []
        alert_store.set_life(db, alert.alert_id, Life.ACTIVE)
        alert_store.mark_splits_seen(db, alert.alert_id)
        alert_store.set_snooze(db, alert.alert_id, None)
        _save_initial_state(db, alert.alert_id, state)
        renewed = structs.replace(renewed, life=Life.ACTIVE, reason="", snoozed_until=None)
        return (
            alert,
            _view(renewed, rule, state, caller.now),
            _await_overdue(db, services.pair, chat_id, rule),
        )

    alert, view, overdue = await caller.change(write)
    if not Life(alert.life).has_ended:
        return ShownAlert(view, context)
    return StartedAlert(view, context, overdue, past=past, ended=_end_reason(alert))


async def switch_off(caller: Caller, number: int) -> StoredAlert:
    """End an alert, also one that cannot be read; its number and history stay, and it can be renewed."""

    def write(db: sqlite_utils.Database) -> StoredAlert:
        alert = _find_checked(db, caller.chat.id, number, refuse_ended)
        alert_store.switch_off(db, alert.alert_id)
        return alert

    return await caller.change(write)


# Steps of the above


def find_alert(db: sqlite_utils.Database, chat_id: int, number: int) -> StoredAlert:
    """A chat's alert by its number, also one that has ended; raises BadInput."""
    alert = alert_store.get_alert(db, chat_id, number) if number < _LARGEST_NUMBER else None
    if alert is None:
        raise BadInput(f"There is no alert #{number} in this chat. Yours: /alerts")
    return alert


def _find_checked(db: sqlite_utils.Database, chat_id: int, number: int, *checks: Check) -> StoredAlert:
    alert = find_alert(db, chat_id, number)
    for check in checks:
        check(alert)
    return alert


def refuse_ended(alert: StoredAlert) -> None:
    """Raises BadInput for an alert that has ended."""
    if Life(alert.life).has_ended:
        number = alert.number
        raise BadInput(f"Alert #{number} has ended ({_end_reason(alert)}).", f"/alert {number} renew")


def refuse_paused(alert: StoredAlert) -> None:
    """Raises BadInput for an alert that is paused."""
    if alert.life == Life.PAUSED:
        number = alert.number
        raise BadInput(f"Alert #{number} is paused: it sends nothing anyway.", f"/alert {number} resume")


def _end_reason(alert: StoredAlert) -> str:
    return (alert.reason or alert.life).rstrip(".")


def _refuse_past(rule: Rule, market: Market, now: dt.datetime, command: str) -> None:
    """Raises BadInput for a rule whose last day has passed, NoData while there are no prices."""
    market.require_end()
    if rule.until is not None and rule.until <= market.last_completed.date():
        later = structs.replace(rule, until=now.date() + dt.timedelta(days=365))
        raise BadInput(f"“until {rule.until}” has passed already.", f"{command} {later}")


def _refuse_full(db: sqlite_utils.Database, chat_id: int) -> None:
    """Raises BadInput when the chat has as many alerts as it may."""
    if alert_store.count_active(db, chat_id) >= MOST_ALERTS:
        raise BadInput(
            f"This chat has {MOST_ALERTS} alerts, which is the most. Switch one off first.", "/alerts"
        )


def _refuse_same(db: sqlite_utils.Database, chat_id: int, rule: Rule, number: int = 0) -> None:
    """Raises BadInput when another alert than `number` has the rule."""
    for alert in alert_store.alerts_of(db, chat_id):
        if alert.rule == str(rule) and alert.number != number:
            raise BadInput(f"This is alert #{alert.number} already ({alert.life}).", f"/alert {alert.number}")


def _start(rule: Rule, context: EvaluationContext) -> tuple[State, Frequency]:
    return initial_state(rule, context), past_fires(rule, context)


def _last_day(rule: Rule, caller: Caller) -> dt.date:
    """The day on which a rule created or renewed now ends: its own, else a year from today."""
    return rule.until or a_year_after(caller.now.astimezone(caller.chat.zone).date())


def a_year_after(day: dt.date) -> dt.date:
    """The same day next year; of 29 February the day before."""
    try:
        return day.replace(year=day.year + 1)
    except ValueError:
        return day.replace(year=day.year + 1, day=28)


def _set_expiry(db: sqlite_utils.Database, alert: StoredAlert) -> None:
    alert_store.set_expiry(db, alert.alert_id, alert.expires_on.isoformat() if alert.expires_on else None)


def _save_initial_state(db: sqlite_utils.Database, alert_id: int, state: State) -> None:
    """Store the state of an alert that starts now, in place of all earlier ones."""
    alert_store.clear_states(db, alert_id)
    alert_store.save_state(db, alert_id, state.session.isoformat(), state.to_json())


def _await_overdue(db: sqlite_utils.Database, pair: Pair, chat_id: int, rule: Rule) -> list[str]:
    """Parts of the Market that a rule reads and that are overdue; the chat is told when they are back."""
    parts = parts_read(rule, pair)
    missing = [outage for outage in sources.current_outages(db) if outage.part in parts]
    for outage in missing:
        sources.add_outage_chats(db, outage.part, outage.session.isoformat(), [chat_id])
    return [outage.part for outage in missing]


async def _changed(
    services: Services, caller: Caller, write: Callable[[sqlite_utils.Database], AlertView]
) -> ShownAlert:
    alert = await caller.change(write)
    return ShownAlert(alert, await evaluation_context(services, caller.chat))


async def _show_with(
    services: Services, caller: Caller, number: int, read: Callable[[sqlite_utils.Database, StoredAlert], T]
) -> tuple[ShownAlert, T]:
    """One alert with what `read` reads about it."""

    def read_both(db: sqlite_utils.Database) -> tuple[AlertView, T]:
        alert = find_alert(db, caller.chat.id, number)
        more = read(db, alert)
        return view_alert(db, alert, caller.now), more

    view, more = await services.database.run(read_both)
    return ShownAlert(view, await evaluation_context(services, caller.chat)), more
