"""Revised data: the sessions judged last are judged again from the state before them.

What is told stands until its figures say otherwise. A figure that is missing now but was not when it
was judged withdraws nothing, and neither does one that differs by less than JITTER.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bot.alerts.engine import judge
from bot.alerts.state import Bar, Event, Leg, State

if TYPE_CHECKING:
    from bot.alerts.rule import Rule

# Of the larger of value, threshold and band; the storage takes figures this close for the same.
JITTER = 1e-5


@dataclass(frozen=True, slots=True)
class Replay:
    """What became of the sessions from the first revised one up to the mark.

    since      that session
    states     after each of these sessions, oldest first: they take the place of the stored ones, the
               last is the current one; `done` in it is false where the fire of a `once` rule is gone
    withdrawn  events that were told, or recorded as muted, and do not happen any more
    new        events that happen now and have not been told; their sessions may be long past
    kept       events that were told and still happen, with their figures of now
    """

    since: dt.date
    states: tuple[State, ...]
    withdrawn: tuple[Event, ...]
    new: tuple[Event, ...]
    kept: tuple[Event, ...]


def replay(rule: Rule, states: Sequence[State], bars: Sequence[Bar], told: Sequence[Event]) -> Replay | None:
    """Judge again what was judged on figures that have changed; None when none has.

    states  the kept ones, oldest first: the first is the state before the sessions that can be
            replayed, the last the current one, whose session is the mark
    bars    the rule's bars as they are now, from behind the first state on; those past the mark are
            left to `judge`, which goes on from the last state of the Replay
    told    the rule's events of these sessions that stand, muted ones too, withdrawn ones not

    The sessions are those of the states, and any that has figures now and had none then. A state
    without figures is one that a rule was made, edited or resumed with: nothing before it is replayed.
    """
    fresh = max((index for index, state in enumerate(states) if not state.legs), default=0)
    states = states[fresh:]
    then = {state.session: state for state in states[1:]}
    now = {bar.session: bar for bar in bars if states[0].session < bar.session <= states[-1].session}
    found = [_judged_on(session, then.get(session), now.get(session)) for session in sorted(then | now)]
    settled = [bar for bar in found if bar is not None]
    changed = (
        bar.session for bar in settled if bar.session not in then or bar.legs != then[bar.session].legs
    )
    since = next(changed, None)
    if since is None:
        return None
    before = next(state for state in reversed(states) if state.session < since)
    run = judge(rule, before, [bar for bar in settled if bar.session >= since])
    return _compared(since, run.states, run.events, [event for event in told if event.session >= since])


def _judged_on(session: dt.date, then: State | None, now: Bar | None) -> Bar | None:
    """The figures that count for a session; None when it has none now and was not judged then."""
    if then is None:
        return now if now and any(leg.pair for leg in now.legs) else None
    if now is None:
        return Bar(session, then.legs)
    legs = zip(then.legs, now.legs, then.bands, strict=True)
    return Bar(session, tuple(_settled(*leg) for leg in legs))


def _settled(then: Leg, now: Leg, band: float) -> Leg:
    """The leg as it is now where it says something else than then, otherwise as it was judged."""
    if now.pair is None:
        return then
    if then.pair is None:
        return now
    allowed = JITTER * max(band, *map(abs, then.pair))
    apart = max(abs(old - new) for old, new in zip(then.pair, now.pair, strict=True))
    return now if apart > allowed else then


def _compared(
    since: dt.date, states: tuple[State, ...], events: Sequence[Event], told: Sequence[Event]
) -> Replay:
    """Events as they are now beside those that were told; one that was muted and is not now is new."""
    known = {event.key: event for event in told}
    still = {event.key for event in events}
    new = [event for event in events if _is_new(event, known.get(event.key))]
    return Replay(
        since,
        states,
        withdrawn=tuple(event for event in told if event.key not in still),
        new=tuple(new),
        kept=tuple(event for event in events if event not in new),
    )


def _is_new(event: Event, known: Event | None) -> bool:
    return known is None or (known.muted and not event.muted)
