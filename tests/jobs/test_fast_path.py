"""Alerts evaluated in batches change as if `replay` and `evaluate` had judged each of them by itself."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from bot.alerts.engine import Event, Side, State, evaluate, side_ops
from bot.alerts.rule import Condition, Rule, Target
from bot.alerts.series import SampleSeries
from bot.alerts.view import Life
from bot.jobs.evaluate import WITHDRAWN, Alerts, AlertSnapshot, EvaluationResult, Evaluator, EventInForce
from storage.alert_store import EvaluatedAlert, StoredAlert, StoredSubject
from tests.alerts.examples import replay_revised

FIRST = dt.date(2020, 1, 1)
KEPT = 11
VALUES = st.sampled_from([None, 3.0, 4.0, 4.5, 5.0, 5.5, 6.0, 7.0])


def day(number: int) -> dt.date:
    return FIRST + dt.timedelta(days=number)


@dataclass
class World:
    """Figures by session that tests revise, in the place of a Market and its histories."""

    figures: dict[int, tuple[tuple[float | None, float | None], ...]] = field(default_factory=dict)
    last: int = 0

    def samples(self, rule: Rule, after: dt.date | None = None, *_: object, **__: object) -> SampleSeries:
        """As Histories has it; the second figure of a condition counts where its target moves."""
        numbers = sorted(number for number in self.figures if number <= self.last)
        count = len(rule.conditions)
        days = np.array([day(number) for number in numbers], dtype="datetime64[D]")
        observed = np.array([[f[0] for f in self.figures[n][:count]] for n in numbers], dtype=float)
        moving = np.array([[f[1] for f in self.figures[n][:count]] for n in numbers], dtype=float)
        thresholds = [
            np.zeros(len(numbers)) if condition.target.kind == "amount" else moving.reshape(-1, count)[:, at]
            for at, condition in enumerate(rule.conditions)
        ]
        series = SampleSeries(days, list(observed.reshape(-1, count).T), thresholds).with_amounts(rule)
        return series[series.after(after) if after else 0 :]

    @property
    def context(self) -> Any:  # noqa: ANN401 - it stands for an EvaluationContext
        index = pd.DatetimeIndex([day(number) for number in range(self.last + 1)])
        behind = lambda session: int((index > session).sum())  # noqa: E731
        market = SimpleNamespace(sessions=index, last_completed=index[-1], sessions_behind=behind)
        return SimpleNamespace(market=market, histories=self)


@dataclass
class Alone:
    """One alert as `replay` and `evaluate` have it: all states of the kept sessions, events in force."""

    rule: Rule
    states: list[State]
    in_force: list[Event] = field(default_factory=list)
    log: list[tuple[str, Event]] = field(default_factory=list)

    def run(self, world: World) -> None:
        samples = world.samples(self.rule)
        replayed = replay_revised(self.rule, self.states, list(samples), self.in_force)
        if replayed is not None:
            self.states = [state for state in self.states if state.session < replayed.since] + [*replayed.states]
            self.log += [(WITHDRAWN, event) for event in replayed.withdrawn]
            self.log += [(event.kind, event) for event in replayed.new]
            current = [*replayed.new, *replayed.kept]
            keys = {event.key for event in (*replayed.withdrawn, *current)}
            self.in_force = [event for event in self.in_force if event.key not in keys] + current
        state = self.states[-1]
        new = evaluate(self.rule, state, samples[samples.after(state.session) :])
        self.states = [*self.states, *new.states][-KEPT:]
        self.log += [(event.kind, event) for event in new.events]
        self.in_force += new.events


class Together:
    """The same alerts in batches, with what is stored of each: states where they turned, events in force."""

    def __init__(self, rules: Sequence[Rule], start: Sequence[State]) -> None:
        self.rules = list(rules)
        self.rows = {alert_id: [state] for alert_id, state in enumerate(start, start=1)}
        self.marks: dict[int, str | None] = dict.fromkeys(self.rows)
        self.in_force: dict[int, list[EventInForce]] = {alert_id: [] for alert_id in self.rows}
        self.log: dict[int, list[tuple[str, Event]]] = {alert_id: [] for alert_id in self.rows}
        self.expired: set[int] = set()
        self.away: set[int] = set()
        self.subjects: dict[str, StoredSubject] = {}
        self.restart()

    def restart(self) -> None:
        """A new process's memory: what is stored."""
        self.alerts = Alerts(self.subjects.values())
        for alert_id in self.rows:
            self._read(alert_id)

    def _read(self, alert_id: int) -> None:
        if (mark := self.alerts.put(self._row(alert_id))) is not None:
            self.marks[alert_id] = mark

    def _row(self, alert_id: int) -> EvaluatedAlert:
        rows, rule = self.rows[alert_id], self.rules[alert_id - 1]
        active = not rows[-1].done and alert_id not in self.expired | self.away
        return EvaluatedAlert(alert_id, active, rule.to_json(), self.marks[alert_id], rows[-1].to_json())

    def leave(self, alert_ids: set[int], *, is_restarted: bool) -> None:
        """These alerts are in inactive chats, the others are not; perhaps in a new process."""
        self.away, before = alert_ids, self.away
        for alert_id in self.away | before:
            self._read(alert_id)
        if is_restarted:
            self.restart()

    def run(self, world: World) -> None:
        """One run, with what `store_results` does of it."""
        evaluator = Evaluator(world.context, self.alerts)
        evaluator.choose()
        assert not self.alerts.damaged  # none is evaluated by itself because its batch failed
        assert evaluator.progress.keys() == self.alerts.batches.keys()
        snapshots = [self._snapshot(alert_id) for alert_id in sorted(evaluator.chosen)]
        results = evaluator.evaluate(snapshots, self.in_force)
        for result in results:
            assert not result.broken
            self._store(result)
        self.marks |= dict.fromkeys(level := evaluator.level())
        for name, session, figures in evaluator.new_subjects():
            self.subjects[name] = StoredSubject(name, dt.date.fromisoformat(session), figures)
        for batch in evaluator.unused:
            self.subjects.pop(batch.name, None)
        self.alerts.move_on(evaluator, level, [result for result in results if result.goes_on])
        for result in results:
            if not result.goes_on:
                self._read(result.stored.alert_id)

    def _snapshot(self, alert_id: int) -> AlertSnapshot:
        mark = self.marks[alert_id]
        alert: StoredAlert = SimpleNamespace(  # type: ignore[assignment]
            alert_id=alert_id,
            number=alert_id,
            rule_json=self.rules[alert_id - 1].to_json(),
            life=Life.ACTIVE,
            acknowledged=None,
            evaluated=mark and dt.date.fromisoformat(mark),
        )
        return alert, [state.to_json() for state in self.rows[alert_id]]

    def _store(self, result: EvaluationResult) -> None:
        alert_id, rows = result.stored.alert_id, self.rows[result.stored.alert_id]
        if result.expired:
            self.expired.add(alert_id)
        if result.since is not None:
            rows = [state for state in rows if state.session < result.since]
        rows = [state for state in rows if result.oldest is None or state.session >= result.oldest]
        by_session = {state.session: state for state in (*rows, *result.turned)}
        self.rows[alert_id] = [by_session[session] for session in sorted(by_session)]
        in_force = {known.event.key: known for known in self.in_force[alert_id]}
        for change in result.events:
            if change.transition == WITHDRAWN:
                in_force.pop(change.event.key)
            else:
                in_force[change.event.key] = EventInForce(len(in_force), change.event)
            if change.transition != "restated":
                self.log[alert_id].append((change.transition, change.event))
        self.in_force[alert_id] = list(in_force.values())


TARGETS = st.one_of(
    st.sampled_from([4.0, 5.0, 6.0]).map(lambda level: Target("amount", level)), st.just(Target("sma", 3.0))
)


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    """A rule on few subjects, so that batches hold several alerts."""
    count = draw(st.sampled_from([1, 1, 1, 2]))
    or_at = draw(st.sampled_from([(), (1,)])) if count > 1 else ()
    ops = st.sampled_from([">", "<", ">=", "<=", *(() if or_at else ("crosses",))])
    conditions = tuple(Condition("gauge", (), draw(ops), draw(TARGETS)) for _ in range(count))
    rearm = None
    if count == 1 and conditions[0].target.kind == "amount" and conditions[0].op != "crosses":
        above = conditions[0].op in {">", ">="}
        beyond = conditions[0].target.value + (-1.0 if above else 1.0)
        rearm = draw(st.sampled_from([None, beyond]))
    return Rule(
        conditions,
        or_at,
        confirm=draw(st.sampled_from([1, 1, 2, 3])),
        rearm=rearm,
        cooldown=draw(st.sampled_from([0, 0, 2, 4])),
        back="crosses" not in {condition.op for condition in conditions} and draw(st.booleans()),
        once=draw(st.sampled_from([False, False, False, True])),
        until=draw(st.sampled_from([None, None, day(14)])),
    )


FIGURES = st.tuples(st.tuples(VALUES, VALUES), st.tuples(VALUES, VALUES))
RUNS = st.lists(
    st.tuples(
        st.integers(0, 9),  # new sessions
        st.lists(st.tuples(st.integers(0, 12), st.none() | FIGURES), max_size=3),  # revised: sessions ago
        st.sets(st.integers(1, 5), max_size=1),  # in chats that are inactive meanwhile
        st.booleans(),  # after a restart
    ),
    min_size=1,
    max_size=5,
)


def first(rule: Rule, band: float) -> State:
    count = len(rule.conditions)
    return State(FIRST, (band,) * count, tuple(Side() for _ in side_ops(rule)), (None,) * count)


@given(
    st.lists(rules(), min_size=1, max_size=5),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.lists(st.none() | FIGURES, min_size=46, max_size=46),
    RUNS,
)
def test_a_batch_changes_as_its_alerts_would_alone(
    some: list[Rule], band: float, figures: list[Any], runs: list[tuple[int, list[Any], set[int], bool]]
) -> None:
    alone = [Alone(rule, [first(rule, band)]) for rule in some]
    together = Together(some, [first(rule, band) for rule in some])
    world, behind = World(), False
    for count, revisions, away, is_restarted in runs:
        for number in range(world.last + 1, world.last + count + 1):
            if figures[number] is not None:
                world.figures[number] = figures[number]
        world.last += count
        for ago, revised in revisions:
            # One that is behind is evaluated on what its batch was, also on figures that are gone since, and
            # what is revised while its chat is inactive is not replayed.
            gone = revised is None or away or (behind and any(None in condition for condition in revised))
            if not gone and world.last - ago > 0:
                world.figures[world.last - ago] = revised
        if not world.last:
            continue
        ended, behind = set(together.expired), bool(away)
        together.leave(away & together.rows.keys(), is_restarted=is_restarted)
        together.run(world)
        for alert_id, alert in enumerate(alone, start=1):
            if alert_id not in away | ended and not alert.states[-1].done:
                alert.run(world)
        for alert_id, alert in enumerate(alone, start=1):
            log, row = together.log[alert_id], together.rows[alert_id][-1]
            assert log == alert.log
            state = alert.states[-1]
            assert (row.sides, row.cooling, row.done) == (state.sides, state.cooling, state.done)
