"""Judging alerts: every completed session since the last run, in order; what fired is queued.

Texts are made first; then the new states, the events and the messages are committed together.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bot.alerts.engine import judge, truth
from bot.analytics.registry import METRICS
from bot.rendering import alerts as say
from bot.rendering.answer import REPLY, SAMPLE, button_rows
from bot.rendering.text import bold, code, lines, short_date, strip_html
from bot.services import context_of, standing_of
from storage import alerts as stored
from storage import outbox

if TYPE_CHECKING:
    import sqlite_utils

    from bot.alerts.state import Event, State
    from bot.rendering.text import Html
    from bot.services import Services

_log = logging.getLogger(__name__)
DIGEST_LINES = 20
_QUARTER = dt.timedelta(days=say.FIRES_SINCE_DAYS)


@dataclass(frozen=True)
class Judged:
    """One alert with the states and events that judging gave; `broken` says why it could not be judged."""

    row: dict[str, Any]
    standing: say.Standing | None
    states: tuple[State, ...] = ()
    events: tuple[Event, ...] = ()
    broken: str = ""


@dataclass(frozen=True)
class Fire:
    """An event that was stored by this run."""

    chat_id: int
    number: int
    rule: str
    event: Event

    def __str__(self) -> str:
        told = "held back, fired" if self.event.muted else self.event.kind
        return f"alert #{self.number} in chat {self.chat_id}, {self.rule}: {told} on {self.event.session}"


async def evaluate(services: Services) -> list[Fire]:
    """Judge all active alerts on the Market of the moment; the fires that are new."""
    market = await services.markets.current()
    if market.end is None:
        return []
    context = await asyncio.to_thread(context_of, market, services.markets)

    def read(db: sqlite_utils.Database) -> list[tuple[dict[str, Any], say.Standing | Exception]]:
        return [(row, _standing(db, row)) for row in stored.active_alerts(db)]

    rows = await services.database.run(read)
    judged = await asyncio.to_thread(lambda: [_judge(row, standing, context) for row, standing in rows])
    changed = [one for one in judged if one.states or one.broken or _is_over(one, context)]
    if not changed:
        return []
    return await services.database.run(lambda db: _commit(db, changed, context, services.clock()))


def _standing(db: sqlite_utils.Database, row: dict[str, Any]) -> say.Standing | Exception:
    try:
        return standing_of(db, row)
    except (ValueError, KeyError, LookupError, TypeError) as error:
        return error


def _judge(row: dict[str, Any], standing: say.Standing | Exception, context: say.Context) -> Judged:
    """Judge one alert; one that breaks stops no other."""
    if isinstance(standing, Exception):
        return Judged(row, None, broken=f"its stored rule cannot be read ({type(standing).__name__})")
    try:
        bars = context.histories.bars(standing.rule, standing.state.session, context.market.sessions)
        run = judge(standing.rule, standing.state, bars)
    except Exception as error:  # noqa: BLE001 - one broken rule must not stop the others
        _log.exception("alert %s cannot be judged", row["alert_id"])
        return Judged(row, standing, broken=f"it cannot be judged ({type(error).__name__}: {error})")
    return Judged(row, standing, run.states, run.events)


def _is_over(one: Judged, context: say.Context) -> bool:
    """Whether the rule's last day has passed and every session up to it is judged or given up."""
    until = one.standing.rule.until if one.standing else None
    return until is not None and context.market.last_completed.date() > until


def _commit(
    db: sqlite_utils.Database, judged: list[Judged], context: say.Context, now: dt.datetime
) -> list[Fire]:
    """Store states, events and messages of all alerts in one transaction; the new fires."""
    fires: dict[int, list[tuple[Judged, Event, int]]] = defaultdict(list)
    for one in judged:
        if one.broken or one.standing is None:
            _pause_broken(db, one, now)
            continue
        if not _is_current(db, one):
            continue
        for event, event_id in _store(db, one, context, now):
            fires[one.row["chat_id"]].append((one, event, event_id))
        if _is_over(one, context):
            _expire(db, one, now)
    for chat_id, found in fires.items():
        _queue(db, chat_id, [item for item in found if not item[1].muted], context, now)
    return [
        Fire(chat_id, one.row["number"], one.row["rule"], event)
        for chat_id, found in fires.items()
        for one, event, _ in found
    ]


def _is_current(db: sqlite_utils.Database, one: Judged) -> bool:
    """Whether the alert still stands as it was read: nobody changed it while it was judged."""
    row = stored.get_alert(db, one.row["chat_id"], one.row["number"])
    state = stored.current_state(db, one.row["alert_id"])
    read = one.standing.state.to_json() if one.standing else ""
    return row is not None and row["life"] == "active" and state is not None and state[1] == read


def _store(
    db: sqlite_utils.Database, one: Judged, context: say.Context, now: dt.datetime
) -> list[tuple[Event, int]]:
    """Save the states and the events of one alert; the events that are new, with their ids."""
    for state in one.states:
        stored.save_state(db, one.row["alert_id"], state.session.isoformat(), state.to_json())
    new = []
    for event in one.events:
        event_id = stored.add_event(
            db,
            alert_id=one.row["alert_id"],
            session=event.session.isoformat(),
            transition=event.kind,
            now=now,
            value=event.value,
            threshold=event.threshold,
            detail=_detail(one, event, context),
        )
        if event_id is not None:
            new.append((event, event_id))
        if event.done:
            stored.set_life(db, one.row["alert_id"], "done", "fired once")
    return new


def _detail(one: Judged, event: Event, context: say.Context) -> dict[str, object]:
    """What `why` replays: the inputs as judged and where they were from."""
    rule = one.standing.rule if one.standing else None
    part = METRICS[rule.conditions[0].metric].part if rule else "prices"
    source = context.market.source("facts:IWM" if part == "facts" else part)
    return {"event": event.to_json(), "source": source.label, "observed_at": source.observed_at}


def _queue(
    db: sqlite_utils.Database,
    chat_id: int,
    found: list[tuple[Judged, Event, int]],
    context: say.Context,
    now: dt.datetime,
) -> None:
    """One message an event; after a downtime one message that lists them all."""
    if len(found) > 1 and any(_is_late(one, event, context) for one, event, _ in found):
        newest = max(event_id for _, _, event_id in found)
        html = _digest(found, context)
        _enqueue(db, chat_id, f"digest:{newest}", html, [("Alerts", "/alerts"), ("History", "/history")], now)
        return
    for one, event, event_id in found:
        if one.standing is None:
            continue
        since = (event.session - _QUARTER).isoformat()
        count = stored.fires_since(db, one.row["alert_id"], since)
        late = _is_late(one, event, context)
        html = say.fired(one.standing, event, context, count, late=late)
        buttons = list(say.buttons(one.standing.number))
        _enqueue(db, chat_id, f"alert:{event_id}", html, buttons, now, silent=one.standing.rule.silent)


def _is_late(one: Judged, event: Event, context: say.Context) -> bool:
    """Whether the event's session is older than the newest one its inputs can be known for."""
    rule = one.standing.rule if one.standing else None
    lag = max(METRICS[c.metric].lag for c in rule.conditions) if rule else 0
    sessions = context.market.sessions
    last = sessions.searchsorted(context.market.last_completed)
    return bool(event.session < sessions[max(last - lag, 0)].date())


def _digest(found: list[tuple[Judged, Event, int]], context: say.Context) -> Html:
    """Every fire of a downtime, newest first, with what became of it."""
    ordered = sorted(found, key=lambda item: (item[1].session, item[2]), reverse=True)
    told = [
        say.event_line(one.standing.number, one.standing.rule, event, _since(one, event, context))
        for one, event, _ in ordered[:DIGEST_LINES]
        if one.standing is not None
    ]
    more = len(ordered) - DIGEST_LINES
    return lines(
        bold(f"{len(ordered)} alerts fired while the bot was away"),
        bold(SAMPLE) if context.market.is_sample else None,
        *told,
        f"... and {more} more, /history" if more > 0 else None,
    )


def _since(one: Judged, event: Event, context: say.Context) -> str:
    """Whether the condition has held since the event, or when it went back."""
    if one.standing is None:
        return ""
    later = context.histories.bars(one.standing.rule, event.session, context.market.sessions)
    back = next((bar.session for bar in later if truth(event.ops, bar) is False), None)
    return ", still true" if back is None else f", back on {short_date(back)}"


def _enqueue(
    db: sqlite_utils.Database,
    chat_id: int,
    dedup: str,
    html: Html,
    buttons: list[tuple[str, str]],
    now: dt.datetime,
    *,
    silent: bool = False,
) -> None:
    payload = {
        "html": html,
        "plain": strip_html(html),
        "buttons": button_rows([buttons], REPLY),
        "silent": silent,
    }
    outbox.enqueue(db, chat_id=chat_id, kind="alert", dedup=dedup, payload=payload, now=now)


def _pause_broken(db: sqlite_utils.Database, one: Judged, now: dt.datetime) -> None:
    """An alert that cannot be judged pauses itself and says so once."""
    stored.set_life(db, one.row["alert_id"], "paused", one.broken)
    number = one.row["number"]
    html = lines(bold(f"Alert #{number} is paused") + f": {one.broken}.", code(one.row["rule"]))
    buttons = [("Resume", f"/alert {number} resume"), ("Off", f"/alert {number} off")]
    dedup = f"broken:{one.row['alert_id']}:{now:%Y-%m-%dT%H:%M:%S}"
    _enqueue(db, one.row["chat_id"], dedup, html, buttons, now)


def _expire(db: sqlite_utils.Database, one: Judged, now: dt.datetime) -> None:
    stored.set_life(db, one.row["alert_id"], "expired", "past its last day")
    rule = one.row["rule"]
    html = lines(bold(f"Alert #{one.row['number']} has ended") + ": its last day has passed.", code(rule))
    _enqueue(db, one.row["chat_id"], f"expired:{one.row['alert_id']}", html, [("Alerts", "/alerts")], now)
