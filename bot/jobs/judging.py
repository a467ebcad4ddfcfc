"""Judging alerts on one Market, and the texts about what came of it. No storage here."""

from __future__ import annotations

import datetime as dt
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from bot.alerts.bars import PATIENCE, lag
from bot.alerts.engine import judge, truth
from bot.alerts.rule import Condition, Rule
from bot.alerts.state import Bar, Event, State
from bot.analytics.market import PAIR
from bot.analytics.registry import METRICS
from bot.errors import BotError
from bot.rendering import pushes
from bot.rendering.standing import Standing
from bot.rendering.text import short_date

if TYPE_CHECKING:
    from bot.rendering.answer import Answer
    from bot.rendering.standing import Context
    from bot.rendering.text import Html

_log = logging.getLogger(__name__)
_QUARTER = dt.timedelta(days=pushes.FIRES_SINCE_DAYS)


@dataclass(frozen=True)
class Row:
    """A stored alert with its state as text and the session it was judged on; None when it has no state."""

    alert: Mapping[str, Any]
    state: str | None
    session: str | None


@dataclass(frozen=True)
class Told:
    """An event with what is stored of it, and its text: a message of its own, or a line of a digest."""

    event: Event
    detail: Mapping[str, object]
    text: Answer | Html
    silent: bool


@dataclass(frozen=True)
class Judged:
    """One alert with what judging gave: states and events in order, or why it cannot be judged."""

    row: Row
    standing: Standing | None = None
    bars: Sequence[Bar] = ()
    states: tuple[State, ...] = ()
    events: tuple[Event, ...] = ()
    told: tuple[Told, ...] = ()
    over: bool = False  # its last day is judged
    broken: str = ""

    @property
    def alert_id(self) -> int:
        """Its id in storage."""
        return int(self.row.alert["alert_id"])

    @property
    def number(self) -> int:
        """Its number in its chat."""
        return int(self.row.alert["number"])

    @property
    def chat_id(self) -> int:
        """Its chat."""
        return int(self.row.alert["chat_id"])

    @property
    def ends(self) -> bool:
        """Whether it is not active any more."""
        return bool(self.broken) or self.over or any(event.done for event in self.events)


class Judge:
    """Judges alerts on one Market; rules of the same conditions share their bars."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._bars: dict[tuple[tuple[Condition, ...], dt.date], list[Bar]] = {}
        self._behind: dict[dt.date, int] = {}  # sessions since, by session

    def all(self, rows: Sequence[Row]) -> list[Judged]:
        """The alerts for which something changes; one that breaks stops no other."""
        judged = (self._guarded(row) for row in rows)
        return [one for one in judged if one.states or one.broken or one.over]

    def _guarded(self, row: Row) -> Judged:
        try:
            standing = _standing(row)
        except Exception as error:  # noqa: BLE001 - one broken rule must not stop the others
            _log.exception("the stored rule of alert %s cannot be read", row.alert["alert_id"])
            return Judged(row, broken=f"its stored rule cannot be read ({type(error).__name__})")
        try:
            return self._judge(row, standing)
        except Exception as error:  # noqa: BLE001 - as above
            _log.exception("alert %s cannot be judged", row.alert["alert_id"])
            return Judged(row, broken=_reason(error))

    def _judge(self, row: Row, standing: Standing) -> Judged:
        rule, state = standing.rule, standing.state
        key = (rule.conditions, state.session)
        if key not in self._bars:
            sessions = self._context.market.sessions
            self._bars[key] = self._context.histories.bars(rule, state.session, sessions)
        run = judge(rule, state, self._bars[key])
        after = run.states[-1] if run.states else state
        over = self._is_over(rule, after)
        return Judged(row, standing, self._bars[key], run.states, run.events, over=over)

    def _is_over(self, rule: Rule, after: State) -> bool:
        """Whether the rule's last day has passed and is judged, or waited for long enough."""
        market = self._context.market
        if rule.until is None or market.last_completed.date() <= rule.until:
            return False
        sessions = market.sessions
        last = sessions[sessions.searchsorted(pd.Timestamp(rule.until), side="right") - 1]
        return after.session >= last.date() or market.behind(last) >= PATIENCE

    def tell(self, judged: Sequence[Judged], before: Mapping[tuple[int, dt.date], int]) -> list[Judged]:
        """The same with the texts of their events; `before` counts an alert's fires in the quarter before."""
        listed = self._listed(judged)
        told = []
        for one in judged:
            try:
                texts = tuple(self._told(one, event, before, one.chat_id in listed) for event in one.events)
                told.append(replace(one, told=texts))
            except Exception as error:  # noqa: BLE001 - as above
                _log.exception("what alert %s did cannot be told", one.alert_id)
                told.append(Judged(one.row, broken=_reason(error)))
        return told

    def _listed(self, judged: Sequence[Judged]) -> set[int]:
        """Chats that get one list: those with several fires to be told, one of them late."""
        late: dict[int, list[bool]] = defaultdict(list)
        for one in judged:
            late[one.chat_id] += [self._late(one, event) > 0 for event in one.events if not event.muted]
        return {chat_id for chat_id, found in late.items() if len(found) > 1 and any(found)}

    def _late(self, one: Judged, event: Event) -> int:
        """Sessions that passed since the one at which the event could first be known."""
        if event.session not in self._behind:
            self._behind[event.session] = self._context.market.behind(pd.Timestamp(event.session))
        allowed = lag(one.standing.rule, METRICS) if one.standing else 0
        return max(self._behind[event.session] - allowed, 0)

    def _told(
        self, one: Judged, event: Event, before: Mapping[tuple[int, dt.date], int], listed: bool
    ) -> Told:
        standing = one.standing
        if standing is None:
            raise LookupError("an alert that could not be read has no events")
        rule, detail = standing.rule, self._detail(one, standing, event)
        if listed:
            line = pushes.fire_line(standing.number, rule, event, _became(event, one.bars))
            return Told(event, detail, line, rule.silent)
        fires = before[one.alert_id, event.session] + sum(
            event.session - _QUARTER <= other.session <= event.session for other in one.events
        )
        text = pushes.fired(standing, event, self._context, fires, self._late(one, event))
        return Told(event, detail, text, rule.silent)

    def _detail(self, one: Judged, standing: Standing, event: Event) -> dict[str, object]:
        """What `why` replays: rule and state as they were, the inputs as judged and where they were from."""
        market, rule = self._context.market, standing.rule
        found = [market.source(part) for condition in rule.conditions for part in _parts(condition)]
        earlier = (state for state in (standing.state, *one.states) if state.session < event.session)
        return {
            "event": event.to_json(),
            "rule": rule.to_json(),
            "before": max(earlier, key=lambda state: state.session).to_json(),
            "source": ", ".join(dict.fromkeys(source.label for source in found)),
            "observed_at": max(source.observed_at for source in found),
        }


def _standing(row: Row) -> Standing:
    if row.state is None:
        raise LookupError("no state is stored")
    rule = Rule.from_json(row.alert["rule_json"])
    return Standing(row.alert["number"], rule, row.alert["life"], State.from_json(row.state))


def _reason(error: Exception) -> str:
    """Why an alert cannot be judged, in words for its owner."""
    if isinstance(error, BotError):
        return str(error)
    return f"it cannot be judged ({type(error).__name__})"


def _became(event: Event, bars: Sequence[Bar]) -> str:
    """Whether the condition has held since the event, or when it went back first."""
    later = (bar.session for bar in bars if bar.session > event.session and truth(event.ops, bar) is False)
    back = next(later, None)
    return "still true" if back is None else f"back on {short_date(back)}"


def _parts(condition: Condition) -> list[str]:
    """Parts of the Market that a condition reads."""
    metric = METRICS[condition.metric]
    if metric.part != "facts":
        return [metric.part]
    fund = dict(condition.arguments).get("fund")
    return [f"facts:{ticker}" for ticker in ([fund] if fund is not None else PAIR)]
