"""Judging alerts on one Market: what is new, and what was judged on figures that are others now.

No storage and no texts here.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from bot.alerts.bars import PATIENCE
from bot.alerts.engine import judge
from bot.alerts.replay import Replay, replay
from bot.alerts.rule import Condition, Rule
from bot.alerts.state import Bar, Event, State
from bot.alerts.view import AlertView, Life
from bot.errors import BotError
from bot.jobs.judged import RESTATED, WITHDRAWN, Happening, Judged, Kept, Row
from bot.rendering.corrections import Revision
from bot.services.alerts import DAMAGED

if TYPE_CHECKING:
    from bot.alerts.bars import Watched
    from bot.alerts.view import EvaluationContext

_log = logging.getLogger(__name__)
# Sessions before the mark that are looked at again: those whose state is kept, and the one before them.
LOOKED_BACK = 12


class Judge:
    """Judges alerts on one Market; rules of the same conditions share their bars.

    `seen` are the values that an earlier Judge went by: alerts on those that have only grown since
    need no look at what is kept of them.
    """

    def __init__(self, context: EvaluationContext, seen: Mapping[Watched, pd.Series] | None = None) -> None:
        self._context = context
        self._seen = seen or {}
        self._grown: dict[Watched, bool] = {}
        self._bars: dict[tuple[tuple[Condition, ...], dt.date], list[Bar]] = {}
        self.watched: dict[Watched, pd.Series] = {}

    def doubtful(self, rows: Sequence[Row]) -> list[int]:
        """The alerts whose judged figures may be others now, by id."""
        return [row.alert.alert_id for row in rows if self._may_differ(row)]

    def _may_differ(self, row: Row) -> bool:
        try:
            conditions = Rule.from_json(row.alert.rule_json).conditions
            grown = [self._has_only_grown(condition) for condition in conditions]  # each is noted
            return not all(grown)
        except Exception:  # noqa: BLE001 - it is told when the alert is judged
            return False

    def _has_only_grown(self, condition: Condition) -> bool:
        """Whether the values that were known before are the same as then."""
        watched = (condition.metric, condition.arguments)
        if watched not in self._grown:
            now = self.watched[watched] = self._context.histories.series(condition).value
            self._grown[watched] = _continues(self._seen.get(watched), now)
        return self._grown[watched]

    def all(self, rows: Sequence[Row], kept: Mapping[int, Kept] | None = None) -> list[Judged]:
        """The alerts for which something changes; one that breaks stops no other."""
        judged = (self._guarded(row, (kept or {}).get(row.alert.alert_id)) for row in rows)
        return [one for one in judged if one.states or one.broken or one.over]

    def _guarded(self, row: Row, kept: Kept | None) -> Judged:
        try:
            standing = _standing(row)
        except Exception:  # noqa: BLE001 - one broken rule must not stop the others
            _log.exception("the stored rule of alert %s cannot be read", row.alert.alert_id)
            return _broken(row, DAMAGED)
        try:
            return self._judge(row, standing, kept)
        except Exception as error:  # noqa: BLE001 - as above
            _log.exception("alert %s cannot be judged", row.alert.alert_id)
            return _broken(row, reason(error))

    def _judge(self, row: Row, standing: AlertView, kept: Kept | None) -> Judged:
        rule, state = standing.rule, standing.state
        bars = self._recent(rule, state.session)
        states, happenings = self._revised(rule, bars, kept) if kept is not None else ((), ())
        if states:
            state = states[-1]
        if row.alert.life == Life.PAUSED:
            happenings = tuple(one for one in happenings if one.transition in {WITHDRAWN, RESTATED})
        over = False
        if row.alert.life == Life.ACTIVE or (row.alert.life == Life.DONE and states and not state.done):
            run = judge(rule, state, [bar for bar in bars if bar.session > state.session])
            states += run.states
            happenings += tuple(Happening(event.kind, event) for event in run.events)
            over = self._is_over(rule, states[-1] if states else state)
        return Judged(row, standing, bars, states, happenings, over=over)

    def _recent(self, rule: Rule, mark: dt.date) -> list[Bar]:
        """Bars from some sessions before the mark on."""
        key = (rule.conditions, mark)
        if key not in self._bars:
            sessions = self._context.market.sessions
            place = max(int(sessions.searchsorted(pd.Timestamp(mark))) - LOOKED_BACK, 0)
            after = min(sessions[place].date(), mark) if len(sessions) else mark
            self._bars[key] = self._context.histories.bars(rule, after, sessions)
        return self._bars[key]

    def _revised(
        self, rule: Rule, bars: Sequence[Bar], kept: Kept
    ) -> tuple[tuple[State, ...], tuple[Happening, ...]]:
        """What judging the kept sessions again gives; nothing where no figure has changed."""
        states = [State.from_json(text) for text in kept.states]
        known = {one.event.key: one for one in kept.events}
        found = replay(rule, states, bars, [one.event for one in kept.events]) if states else None
        if found is None:
            return (), ()
        return found.states, (
            *(
                Happening(WITHDRAWN, event, known[event.key], _why(found, states, event), revised=True)
                for event in found.withdrawn
            ),
            *(
                Happening(RESTATED, event, known[event.key], revised=True)
                for event in found.kept
                if event.key in known and event.legs != known[event.key].event.legs
            ),
            *(Happening(event.kind, event, revised=True) for event in found.new),
        )

    def _is_over(self, rule: Rule, after: State) -> bool:
        """Whether the rule's last day has passed and is judged, or waited for long enough."""
        market = self._context.market
        if rule.until is None or market.last_completed.date() <= rule.until:
            return False
        sessions = market.sessions
        last = sessions[sessions.searchsorted(pd.Timestamp(rule.until), side="right") - 1]
        return after.session >= last.date() or market.behind(last) >= PATIENCE


def _continues(before: pd.Series | None, now: pd.Series) -> bool:
    """Whether `now` begins with all that was known before.

    A stretch without values at the end of `before` may have been judged as missing once it was long
    enough, so that nothing can be said of it.
    """
    last = None if before is None else before.last_valid_index()
    if before is None or last is None or int((before.index > last).sum()) >= PATIENCE:
        return False
    return bool(now.loc[:last].equals(before.loc[:last]))


def _why(found: Replay, states: Sequence[State], event: Event) -> Revision:
    """The figures of the first revised session and of the event's, before and after."""
    then = {state.session: state.legs for state in states}
    now = {state.session: state.legs for state in found.states}
    there = now.get(event.session, then.get(event.session, event.legs))
    return Revision(found.since, then.get(found.since, ()), now.get(found.since, ()), there)


def _standing(row: Row) -> AlertView:
    if row.state is None:
        raise LookupError("no state is stored")
    rule = Rule.from_json(row.alert.rule_json)
    return AlertView(row.alert.number, rule, Life(row.alert.life), State.from_json(row.state))


def _broken(row: Row, why: str) -> Judged:
    """An alert that cannot be judged; one that has ended or is paused anyway is left as it is."""
    return Judged(row, broken=why) if row.alert.life == Life.ACTIVE else Judged(row)


def reason(error: Exception) -> str:
    """Why an alert cannot be judged, in words for its owner."""
    if isinstance(error, BotError):
        return str(error)
    return f"it cannot be judged ({type(error).__name__})"
