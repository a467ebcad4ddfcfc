"""Storing what judging gave: states, events and messages of all alerts in one transaction."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bot.alerts.view import Life
from bot.jobs.judged import RESTATED, WITHDRAWN
from bot.jobs.sending import Place, list_payload, payload_for, send, send_lines
from bot.rendering import pushes
from storage import alerts as stored
from storage import events, held, outbox, unsent

if TYPE_CHECKING:
    import sqlite_utils

    from bot.alerts.state import Event
    from bot.jobs.judged import Judged, Known
    from bot.jobs.telling import Told
    from bot.rendering.answer import Answer

Quiet = Mapping[int, dt.datetime | None]  # until when a chat is left in peace


@dataclass(frozen=True)
class Fire:
    """An event that was stored by a run."""

    chat_id: int
    number: int
    rule: str
    event: Event

    def __str__(self) -> str:
        kind = "fired" if self.event.kind == "fired" else "still true"
        told = f"{kind} (held back by its cooldown)" if self.event.muted else kind
        return f"alert #{self.number} in chat {self.chat_id}, {self.rule}: {told} on {self.event.session}"


@dataclass(frozen=True)
class Stored:
    """What a run stored: the fires that are new; and the alerts that it left alone, by id."""

    fires: list[Fire] = field(default_factory=list)
    left: set[int] = field(default_factory=set)


def commit(
    db: sqlite_utils.Database, judged: list[Judged], *, quiet: Quiet, sample: bool, now: dt.datetime
) -> Stored:
    """Store what judging gave; an alert that somebody changed meanwhile is left as it is."""
    fires: list[Fire] = []
    left: set[int] = set()
    lists: dict[Place, list[tuple[int, Told]]] = defaultdict(list)
    for one in judged:
        if not _is_current(db, one):
            left.add(one.alert_id)
            continue
        place = (one.chat_id, one.row.alert.thread_id)
        if one.broken:
            stored.set_life(db, one.alert_id, Life.PAUSED, one.broken)
            _notice(
                db,
                one,
                place,
                pushes.paused(one.number, one.row.alert.rule, one.broken),
                "paused",
                quiet,
                now,
            )
            continue
        for told, event_id in _store(db, one, now):
            if told.happening.was is not None:
                _revise(db, place, told, event_id, now)
                continue
            fires.append(Fire(one.chat_id, one.number, one.row.alert.rule, told.happening.event))
            if told.listed:
                lists[place].append((event_id, told))
            elif told.text is not None:
                about = told.happening.event.session
                dedup = f"alert:{event_id}"
                message = send(db, place, dedup, told.text, now, silent=told.silent, about=about)
                held.tell(db, [event_id], message)
        _set_life(db, one, place, quiet, now)
    for place, told_there in lists.items():
        _send_list(db, place, told_there, sample=sample, now=now)
    return Stored(fires, left)


def _is_current(db: sqlite_utils.Database, one: Judged) -> bool:
    """Whether the alert still stands as it was read: nobody changed it while it was judged."""
    before, after = one.row.alert, stored.get_alert(db, one.chat_id, one.number)
    state = stored.current_state(db, one.alert_id)
    return (
        after is not None
        and (after.life, after.rule_json, after.snoozed_until)
        == (before.life, before.rule_json, before.snoozed_until)
        and (state.state if state else None) == one.row.state
    )


def _store(db: sqlite_utils.Database, one: Judged, now: dt.datetime) -> list[tuple[Told, int]]:
    """Save the states that are kept and the events of one alert; what is new, with the events' ids."""
    for state in one.states[-stored.STATES_KEPT :]:
        stored.save_state(db, one.alert_id, state.session.isoformat(), state.to_json())
    new, revision = [], 0
    if any(told.happening.revised for told in one.told):
        revision = events.next_revision(db, one.alert_id)
    for told in one.told:
        happening, event = told.happening, told.happening.event
        leg = happening.revision.there[0] if happening.revision is not None else event.legs[0]
        event_id = events.add_event(
            db,
            alert_id=one.alert_id,
            session=event.session.isoformat(),
            transition=happening.transition,
            now=now,
            value=leg.value,
            threshold=leg.threshold,
            detail=told.detail,
            revision=revision if happening.revised else 0,
            held=told.held if happening.was is None else None,
        )
        if event_id is not None:
            new.append((told, event_id))
    return new


def _set_life(db: sqlite_utils.Database, one: Judged, place: Place, quiet: Quiet, now: dt.datetime) -> None:
    """Done after its one fire, active again once that fire is gone, expired after its last day."""
    if one.done:
        stored.set_life(db, one.alert_id, Life.DONE, "fired once")
    elif one.row.alert.life == Life.DONE and one.states:
        stored.set_life(db, one.alert_id, Life.ACTIVE)
    if one.over and one.standing is not None:
        stored.set_life(db, one.alert_id, Life.EXPIRED, "its last day has passed")
        _notice(db, one, place, pushes.ended(one.standing), "ended", quiet, now)


def _revise(db: sqlite_utils.Database, place: Place, told: Told, event_id: int, now: dt.datetime) -> None:
    """Withdraw or restate a stored event: what waits is changed, what was sent gets one correction."""
    was = told.happening.was
    if was is None or was.event.muted:
        return
    why, message = held.fate(db, was.event_id)
    withdrawn = told.happening.transition == WITHDRAWN
    if why is not None:
        held.hold(db, was.event_id, None)
        held.hold(db, event_id, None if withdrawn else why)
    elif message is not None and (row := unsent.find(db, message)) is not None:
        _amend(db, row, was, told, event_id)
    elif withdrawn and (message is None or not outbox.died(db, message)):
        if told.held is not None:
            held.hold(db, event_id, told.held)
        elif told.text is not None:
            reply_to = None if message is None else outbox.message_id(db, message)
            sent = send(
                db,
                place,
                f"correction:{event_id}",
                told.text,
                now,
                silent=told.silent,
                reply_to=reply_to,
                about=told.happening.event.session,
            )
            held.tell(db, [event_id], sent)


def _amend(db: sqlite_utils.Database, row: dict[str, Any], was: Known, told: Told, event_id: int) -> None:
    """Take an event out of a message that was not sent, or say it as it is now."""
    place = (row["chat_id"], row["thread_id"])
    restated = told.happening.transition == RESTATED
    listed = row["payload"].get("lines")
    if listed is None:
        if not restated:
            unsent.withdraw(db, row["id"])
        elif told.text is not None:
            unsent.amend(db, row["id"], payload_for(db, place, told.text, silent=told.silent))
            held.tell(db, [event_id], row["id"])
        return
    lines = [line for line in listed["told"] if line[0] != was.event_id]
    if restated:
        lines.append([event_id, told.happening.event.session.isoformat(), str(told.line)])
        held.tell(db, [event_id], row["id"])
    if lines:
        payload = list_payload(
            db, place, lines, listed["why"], sample=listed["sample"], silent=row["payload"]["silent"]
        )
        unsent.amend(db, row["id"], payload)
    else:
        unsent.withdraw(db, row["id"])


def _send_list(
    db: sqlite_utils.Database,
    place: Place,
    found: list[tuple[int, Told]],
    *,
    sample: bool,
    now: dt.datetime,
) -> None:
    """All fires of a downtime in one message."""
    lines = [[event_id, told.happening.event.session.isoformat(), str(told.line)] for event_id, told in found]
    silent = all(told.silent for _, told in found)
    send_lines(db, place, lines, pushes.AWAY, now, sample=sample, silent=silent)


def _notice(
    db: sqlite_utils.Database,
    one: Judged,
    place: Place,
    answer: Answer,
    what: str,
    quiet: Quiet,
    now: dt.datetime,
) -> None:
    """A notice about one alert; it may be paused more than once, so the instant is part of its key."""
    about = one.states[-1].session if one.states else None
    dedup = f"{what}:{one.alert_id}:{now:%Y-%m-%dT%H:%M:%S}"
    send(db, place, dedup, answer, now, kind="notice", about=about, not_before=quiet.get(one.chat_id))
