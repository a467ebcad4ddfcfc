"""Creating and changing a chat's alerts.

Each change is one transaction. Raises BadInput for what is not possible, with a line to send instead.
"""

import asyncio
import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import pandas as pd
import sqlite_utils
from msgspec import structs

from bot.alerts.backtest import Frequency, frequency
from bot.alerts.engine import State, first_state
from bot.alerts.revision import level_factors, rescaled_rule
from bot.alerts.rule import CROSSES, Rule
from bot.alerts.series import parts_read
from bot.alerts.view import AlertView, EvaluationContext, Life
from bot.analytics.market import Market
from bot.analytics.metrics import METRICS, Metric
from bot.errors import BadInput
from bot.services import Caller, alert_views, ensure_chat, metrics_for
from bot.services.alert_views import ShownAlert, find_alert, read_alert, refuse_ended, refuse_paused
from storage import alert_store, sources
from storage.alert_store import SplitChange, StoredAlert

# Makes another rule of a rule. Its BadInput has words to type after "/alert 3 edit" as the example.
RuleChange = Callable[[Rule, Mapping[str, "Metric"]], Rule]

MOST_ALERTS = 50  # a chat; more are no help to anybody who has to read them
_ACTIVE = {"life": Life.ACTIVE, "reason": ""}


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


def preview(rule: Rule, context: EvaluationContext, now: dt.datetime) -> tuple[AlertView, Frequency]:
    """Return the alert, with number 0, that creating it would give, and how often it would have fired."""
    _refuse_past(rule, context.market, now, "/alert")
    state, past = _start_figures(rule, context)
    return AlertView(0, rule, Life.ACTIVE, state), past


async def create(caller: Caller, rule: Rule | str) -> StartedAlert:
    """Store an alert within the chat's quota; `rule` may be a typed line."""
    context, chat = await alert_views.evaluation_context(caller), caller.chat
    if isinstance(rule, str):
        rule = await asyncio.to_thread(alert_views.parse_alert_rule, rule, context.market)
    new_rule = rule
    _refuse_past(new_rule, context.market, caller.now, "/alert")

    def store(db: sqlite_utils.Database, state: State) -> StoredAlert:
        ensure_chat(db, caller)
        _check_others(db, caller, new_rule, adds=True)
        return alert_store.add_alert(
            db,
            chat_id=chat.id,
            owner_id=caller.user_id,
            rule=str(new_rule),
            rule_json=new_rule.to_json(),
            now=caller.now,
            session=state.session.isoformat(),
            expires_on=_last_day(new_rule, caller).isoformat(),
            thread_id=chat.thread_id,
        )

    return await _start(caller, context, new_rule, store)


async def edit(caller: Caller, number: int, change: RuleChange) -> StartedAlert:
    """Give an alert another rule under the same number."""
    context, command = await alert_views.evaluation_context(caller), f"/alert {number} edit"
    before = await read_alert(caller, number, refuse_ended)
    previous = alert_views.read_rule(before)
    try:
        rule = change(previous, metrics_for(context.market))
    except BadInput as error:
        raise BadInput(error.sentence, f"{command} {error.example}" if error.example else command) from error
    if rule == previous:
        raise BadInput(f"Alert #{number} has this rule already.", command)
    _refuse_past(rule, context.market, caller.now, command)
    # Why the bot paused it no longer applies to this rule.
    edited = _with_rule(before, rule, reason="")
    if rule.until != previous.until:
        edited = structs.replace(edited, expires_on=_last_day(rule, caller))
    check = partial(_check_others, caller=caller, rule=rule, number=number)
    started = await _restart(caller, context, (before, edited), rule, check, typed=True)
    return replace(started, previous=previous)


async def rescale(caller: Caller, number: int) -> StartedAlert:
    """Set an alert that a split has paused at its rescaled level."""
    context = await alert_views.evaluation_context(caller)

    def read(db: sqlite_utils.Database) -> tuple[StoredAlert, list[SplitChange]]:
        alert = find_alert(db, caller, number, refuse_ended)
        splits = alert_store.new_split_changes(db).get(alert.alert_id)
        if alert.life != Life.PAUSED or not splits:
            raise BadInput(f"Alert #{number} is not paused by a split.", f"/alert {number}")
        return alert, splits

    before, splits = await caller.services.database.read(read)
    previous = alert_views.read_rule(before)
    share_factors = [(split.ticker, split.factor) for split in splits]
    rule = rescaled_rule(previous, level_factors(previous, METRICS, context.market.pair, share_factors))

    def check(db: sqlite_utils.Database) -> None:
        if alert_store.new_split_changes(db).get(before.alert_id) != splits:
            raise BadInput("Another split became known just now.", f"/alert {number} rescale")

    rescaled = _with_rule(before, rule, **_ACTIVE)
    return replace(await _restart(caller, context, (before, rescaled), rule, check), previous=previous)


async def resume(caller: Caller, number: int) -> StartedAlert:
    """Evaluate a paused alert again; what happened meanwhile does not fire."""

    def refuse_active(alert: StoredAlert) -> None:
        if alert.life == Life.ACTIVE:
            raise BadInput(f"Alert #{number} is active already.", f"/alert {number}")

    context = await alert_views.evaluation_context(caller)
    before = await read_alert(caller, number, refuse_ended, refuse_active)
    resumed = structs.replace(before, **_ACTIVE)
    return await _restart(caller, context, (before, resumed), alert_views.read_rule(before))


async def renew(caller: Caller, number: int) -> ShownAlert:
    """Let an alert go on for a year from today. One that has ended starts afresh, within the quota."""
    before = await read_alert(caller, number)
    rule = structs.replace(alert_views.read_rule(before), until=None)
    renewed = _with_rule(before, rule, expires_on=_last_day(rule, caller))
    if not Life(before.life).has_ended:

        def extend(db: sqlite_utils.Database) -> AlertView:
            _check_others(db, caller, rule, number)
            return alert_views.view_alert(db, _update(db, caller, before, renewed), caller.now)

        return await _change_and_show(caller, extend)

    context = await alert_views.evaluation_context(caller)
    active = structs.replace(renewed, **_ACTIVE, snoozed_until=None)
    check = partial(_check_others, caller=caller, rule=rule, number=number, adds=True)
    started = await _restart(caller, context, (before, active), rule, check)
    return replace(started, ended=alert_views.end_reason(before))


async def _restart(
    caller: Caller,
    context: EvaluationContext,
    versions: tuple[StoredAlert, StoredAlert],
    rule: Rule,
    check: Callable[[sqlite_utils.Database], None] = lambda _: None,
    *,
    typed: bool = False,
) -> StartedAlert:
    """Store the second version of an alert, which starts afresh.

    Its levels allow for all splits, and are in today's shares if they were `typed` now.
    """

    def store(db: sqlite_utils.Database, state: State) -> StoredAlert:
        check(db)
        before, after = versions
        session = state.session if typed else after.level_session
        splits = alert_store.newest_split_id(db)
        return _update(db, caller, before, structs.replace(after, level_session=session, last_split_id=splits))

    return await _start(caller, context, rule, store)


async def _start(
    caller: Caller, context: EvaluationContext, rule: Rule, store: Callable[[sqlite_utils.Database, State], StoredAlert]
) -> StartedAlert:
    """Store an alert with the initial state of its rule, in place of all earlier states."""
    state, past = await asyncio.to_thread(_start_figures, rule, context)
    parts = await asyncio.to_thread(parts_read, rule, caller.services.pair)

    def write(db: sqlite_utils.Database) -> tuple[StoredAlert, list[str]]:
        alert = store(db, state)
        alert_store.start_state(db, alert.alert_id, state.session.isoformat(), state.to_json())
        if alert.life != Life.ACTIVE:
            return alert, []
        outages = [outage for outage in sources.current_outages(db) if outage.part in parts]
        for outage in outages:  # the chat is told when the data is back
            sources.add_outage_chats(db, outage.part, outage.session.isoformat(), [alert.chat_id])
        return alert, [outage.part for outage in outages]

    alert, overdue = await caller.change(write)
    view = alert_views.make_view(alert, rule, state, caller.now)
    return StartedAlert(view, context, overdue, past=past)


def _start_figures(rule: Rule, context: EvaluationContext) -> tuple[State, Frequency]:
    """Return the state of a rule that starts now, and how often it would have fired."""
    history = context.histories.samples(rule, None, context.market.sessions)
    return first_state(rule, history, context.market.last_completed.date()), frequency(rule, history)


async def snooze(caller: Caller, number: int, until: dt.datetime | None) -> ShownAlert:
    """Hold an alert's messages until an instant; None ends the snooze."""

    def write(db: sqlite_utils.Database) -> AlertView:
        alert = find_alert(db, caller, number, refuse_ended, refuse_paused)
        if until is None and alert.snoozed_until is None:
            raise BadInput(f"Alert #{number} is not snoozed.", f"/alert {number} snooze 1d")
        snoozed = structs.replace(alert, snoozed_until=until)
        return alert_views.view_alert(db, _update(db, caller, alert, snoozed), caller.now)

    return await _change_and_show(caller, write)


async def snooze_all(caller: Caller, until: dt.datetime | None) -> int:
    """Hold the messages of all active alerts of a chat until an instant; None ends that. Returns of how many."""

    def write(db: sqlite_utils.Database) -> int:
        active = [alert for alert in alert_store.alerts_of(db, caller.chat.id) if alert.life == Life.ACTIVE]
        chosen = [alert for alert in active if until is not None or alert.snoozed_until is not None]
        for alert in chosen:
            alert_store.update_alert(db, alert.alert_id, snoozed_until=until)
        return len(chosen)

    return await caller.change(write)


async def pause(caller: Caller, number: int) -> ShownAlert:
    """Stop evaluating an alert until it is resumed; its snooze ends."""

    def write(db: sqlite_utils.Database) -> AlertView:
        alert = find_alert(db, caller, number, refuse_ended)
        if alert.life == Life.PAUSED:
            raise BadInput(f"Alert #{number} is paused already.", f"/alert {number}")
        paused = structs.replace(alert, life=Life.PAUSED, reason="", snoozed_until=None)
        return alert_views.view_alert(db, _update(db, caller, alert, paused), caller.now)

    return await _change_and_show(caller, write)


async def tell_back(caller: Caller, number: int) -> ShownAlert:
    """Let an alert report when it re-arms, too; it stays in its state."""

    def write(db: sqlite_utils.Database) -> AlertView:
        alert = find_alert(db, caller, number, refuse_ended)
        rule = alert_views.read_rule(alert)
        if any(condition.op == CROSSES for condition in rule.conditions):
            raise BadInput(f"Alert #{number} fires either way already.", f"/alert {number}")
        if rule.back:
            raise BadInput(f"Alert #{number} tells you already when it goes back.", f"/alert {number}")
        changed = structs.replace(rule, back=True)
        _check_others(db, caller, changed, number)
        return alert_views.view_alert(db, _update(db, caller, alert, _with_rule(alert, changed)), caller.now)

    return await _change_and_show(caller, write)


async def acknowledge(caller: Caller, number: int) -> ShownAlert:
    """Send no more reminders of an alert's last fire."""

    def write(db: sqlite_utils.Database) -> AlertView:
        alert = find_alert(db, caller, number, refuse_ended)
        view = alert_views.view_alert(db, alert, caller.now)
        if not view.rule.remind:
            raise BadInput(f"Alert #{number} sends no reminders.", f"/alert {number} edit remind 5")
        fires = [side.since for side in view.state.sides if side.since]
        if not fires:
            sentence = f"Alert #{number} has nothing to acknowledge: it has not fired, or is back."
            raise BadInput(sentence, f"/alert {number}")
        _update(db, caller, alert, structs.replace(alert, acknowledged=max(fires)))
        alert_store.drop_deferred_reminders(db, alert.alert_id)
        return view

    return await _change_and_show(caller, write)


async def switch_off(caller: Caller, number: int) -> StoredAlert:
    """End an alert, also one that cannot be read; its number and history stay, and it can be renewed."""

    def write(db: sqlite_utils.Database) -> StoredAlert:
        alert = find_alert(db, caller, number, refuse_ended)
        alert_store.switch_off(db, alert.alert_id)
        return alert

    return await caller.change(write)


async def _change_and_show(caller: Caller, write: Callable[[sqlite_utils.Database], AlertView]) -> ShownAlert:
    alert = await caller.change(write)
    return ShownAlert(alert, await alert_views.evaluation_context(caller))


def _with_rule(alert: StoredAlert, rule: Rule, **changes: object) -> StoredAlert:
    return structs.replace(alert, rule=str(rule), rule_json=rule.to_json(), **changes)


def _update(db: sqlite_utils.Database, caller: Caller, before: StoredAlert, after: StoredAlert) -> StoredAlert:
    """Store what differs between two versions of an alert and return the second.

    Raises BadInput if somebody has changed the alert since it was read.
    """
    if not alert_store.is_unchanged(db, before):
        find_alert(db, caller, before.number, refuse_ended)
        raise BadInput(f"Alert #{before.number} was changed just now.", f"/alert {before.number}")
    stored = structs.asdict(before)
    changes = {name: value for name, value in structs.asdict(after).items() if value != stored[name]}
    if changes:
        alert_store.update_alert(db, before.alert_id, **changes)
    return after


def _refuse_past(rule: Rule, market: Market, now: dt.datetime, command: str) -> None:
    """Raise BadInput for a rule whose last day has passed, NoData while there are no prices."""
    market.require_end()
    if rule.until is not None and rule.until <= market.last_completed.date():
        later = structs.replace(rule, until=now.date() + dt.timedelta(days=365))
        raise BadInput(f"“until {rule.until}” has passed already.", f"{command} {later}")


def _check_others(
    db: sqlite_utils.Database, caller: Caller, rule: Rule, number: int = 0, *, adds: bool = False
) -> None:
    """Raise BadInput if another of the chat's alerts than `number` has the rule, or for one too many."""
    others = alert_store.alerts_of(db, caller.chat.id)
    if adds and len(others) >= MOST_ALERTS:
        sentence = f"This chat has {MOST_ALERTS} alerts, the most that are allowed. Switch one off first."
        raise BadInput(sentence, "/alerts")
    for other in others:
        if other.rule == str(rule) and other.number != number:
            sentence = f"Alert #{other.number} has this rule already ({other.life})."
            raise BadInput(sentence, f"/alert {other.number}")


def _last_day(rule: Rule, caller: Caller) -> dt.date:
    """Return the last day of a rule that is created or renewed now: its own, else a year from today."""
    return rule.until or a_year_after(caller.now.astimezone(caller.chat.zone).date())


def a_year_after(day: dt.date) -> dt.date:
    """Return the same day next year, 28 February for 29 February."""
    later: dt.date = (pd.Timestamp(day) + pd.DateOffset(years=1)).date()
    return later
