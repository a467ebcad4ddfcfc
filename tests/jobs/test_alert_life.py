"""An alert's life through services, jobs and a database file, against a model that knows none of them."""

import asyncio
import datetime as dt
import tempfile
from collections import Counter
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import sqlite_utils
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bot.alerts.engine import Event
from bot.alerts.grammar import parse_rule
from bot.alerts.rule import Rule
from bot.analytics.metrics import METRICS
from bot.jobs.deferred import send_deferred
from bot.jobs.notices import announce_ends
from bot.services import Caller, CallerChat, alert_views, alerts
from storage import alert_store
from storage.outbox import OutboxMessage
from storage.records import select_as
from tests.jobs.desk import FIRST, Desk, after_close, sessions

T = TypeVar("T")
BACK, BAND, TRUE = 0.54, 0.56, 0.60  # before 0.55, where the rules re-arm; between; past 0.58
DAYS = sessions(FIRST, 250)
Key = tuple[int, str]  # the number of a session, and what happened: "fired", "still" or "withdrawn"


class Model:
    """What people were promised, computed anew from the sessions since the alert started."""

    def __init__(self) -> None:
        self.values: list[float | None] = [BACK] * 4  # of each session, as evaluated
        self.life, self.status, self.snoozed = "none", "", after_close(FIRST)
        self.in_force: dict[Key, list[Any]] = {}  # events with their letter; of a muted one it is empty
        self.letters: list[list[Any]] = []  # [held, queued or sent; what it says]

    def judged(self) -> int:
        """How many sessions are evaluated: in order, a missing one once five have followed."""
        late = max(len(self.values) - 5, 0)
        return next((i for i in range(late, len(self.values)) if self.values[i] is None), len(self.values))

    def start(self, terms: Rule, life: str) -> None:
        self.terms, self.life = terms, life
        self.paused_at = self.first = self.judged()
        self.past = len([day for day in DAYS if not terms.until or day <= f"{terms.until}"])
        self.begins_true = [value for value in self.values[: self.first] if value][-1] > 0.58

    def replay(self) -> tuple[str, dict[Key, bool]]:
        """The status, and the events by whether a cooldown mutes them."""
        true, count, cooling, owed, events = self.begins_true, 0, 0, False, dict[Key, bool]()
        last = self.paused_at if self.life == "paused" else self.judged()
        for i, value in enumerate(self.values[self.first : min(last, self.past)], self.first):
            if value is None or (self.terms.once and events):
                continue
            muted, cooling = cooling > 0, max(cooling - 1, 0)
            if true and value <= 0.55:
                true, count, owed = False, 0, False
            elif true and owed and not muted:
                owed, events = False, events | ({(i, "still"): False} if value > 0.58 else {})
            elif not true:
                count = count + 1 if value > 0.58 else 0
                if count == self.terms.confirm:
                    true, owed, events[i, "fired"] = True, muted, muted
                    cooling = cooling if muted else self.terms.cooldown
        return "fired" if true else "confirming" if count else "armed", events

    def tick(self, now: dt.datetime) -> None:
        place = "held" if self.snoozed > now else "queued"
        for letter in self.letters:
            letter[0] = place if letter[0] == "held" else letter[0]
        if self.life in {"none", "off"}:
            return
        self.status, events = self.replay()
        for key in [key for key in self.in_force if key[0] >= self.first and key not in events]:
            if (letter := self.in_force.pop(key)) in self.letters:
                if letter[0] == "sent":
                    self.letters.append([place, (key[0], "withdrawn")])
                else:
                    self.letters.remove(letter)
        for key, muted in {} if self.life == "paused" else events.items():
            if not self.in_force.get(key) and not (muted and key in self.in_force):
                self.in_force[key] = [] if muted else [place, key]
                self.letters += [self.in_force[key]] if not muted else []
        ended = len(self.values) > self.past and (self.life == "paused" or self.judged() >= self.past)
        if self.life != "paused" or ended:
            self.past = min(self.past, self.paused_at) if self.life == "paused" else self.past
            done = self.terms.once and events and self.life != "paused"
            self.life = "done" if done else "expired" if ended else "active"


class AlertLife(RuleBasedStateMachine):
    """One alert, and everything that a chat, its figures and its process can do to it."""

    def __init__(self) -> None:
        super().__init__()
        self.runner, self.folder = asyncio.Runner(), tempfile.TemporaryDirectory()
        self.model, self.number = Model(), 0
        self.open(after_close(DAYS[3]))
        self.run(self.desk.closes(self.model.values))

    def open(self, now: dt.datetime) -> None:
        self.desk = Desk(Path(self.folder.name) / "bot.sqlite3")
        self.desk.now = now

    def teardown(self) -> None:
        self.desk.database.close()
        self.runner.close()
        self.folder.cleanup()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        self.desk.now += dt.timedelta(seconds=30)
        return self.runner.run(work)

    @property
    def caller(self) -> Caller:
        chat = CallerChat(1, "private", "Me", ZoneInfo("America/New_York"))
        return Caller(self.desk.services, chat, 1, self.desk.now, self.desk.database.run)

    def tick(self) -> None:
        self.run(send_deferred(self.desk.services))
        self.run(self.desk.evaluate())
        self.run(announce_ends(self.desk.services))
        self.model.tick(self.desk.now)

    def terms(self, confirm: int, option: str, until: int) -> Rule:
        text = f"ratio > 0.58 rearm 0.55 confirm {confirm} {option}"
        last = f" until {DAYS[len(self.model.values) + until]}" if until else ""
        return parse_rule(text + last, METRICS)

    # What happens

    OPTIONS = st.tuples(
        st.integers(1, 3), st.sampled_from(["", "once", "cooldown 1", "cooldown 3"]), st.sampled_from([0, 0, 0, 4])
    )

    VALUES = st.lists(st.sampled_from([BACK, BAND, TRUE, TRUE, None]), min_size=1, max_size=3)

    @initialize(options=OPTIONS)
    def create(self, options: tuple[int, str, int]) -> None:
        terms = self.terms(*options)
        self.number = self.run(alerts.create(self.caller, terms)).alert.number
        self.model.start(terms, "active")
        self.tick()

    @rule(values=VALUES, restarts=st.sampled_from([False, False, True]))
    def close(self, values: list[float | None], restarts: bool = False) -> None:
        if restarts:
            self.desk.database.close()
            self.open(self.desk.now)
        self.run(self.desk.closes(values, DAYS[len(self.model.values)]))
        self.model.values += values
        self.tick()

    @rule(value=st.sampled_from([BACK, TRUE]), age=st.integers(0, 7), delivers=st.booleans(), values=VALUES)
    def revise(self, value: float, age: int, delivers: bool, values: list[float | None]) -> None:
        self.close(values)
        if delivers:
            self.run(self.desk.change("UPDATE outbox SET status = 'sent' WHERE status = 'queued'"))
            for letter in self.model.letters:
                letter[0] = "sent" if letter[0] == "queued" else letter[0]
        session, now = max(len(self.model.values) - 1 - age, 4), self.desk.now
        self.run(self.desk.closes([value], DAYS[session]))
        self.desk.now = now + dt.timedelta(minutes=1)
        self.model.values[session] = value
        self.tick()

    @precondition(lambda self: self.model.life in {"active", "paused"})
    @rule(options=OPTIONS)
    def edit(self, options: tuple[int, str, int]) -> None:
        terms = self.terms(*options)
        if terms != self.model.terms:
            self.run(alerts.edit(self.caller, self.number, lambda *_: terms))
            self.model.start(terms, self.model.life)
            self.tick()

    @rule(command=st.sampled_from(["pause", "snooze", "snooze", "unsnooze", "off"]), days=st.integers(1, 5))
    def command(self, command: str, days: int) -> None:
        model, whose = self.model, (self.caller, self.number)
        match model.life, command:
            case "active", "pause":
                self.run(alerts.pause(*whose))
                model.life, model.paused_at, model.snoozed = "paused", model.judged(), self.desk.now
            case "paused", "pause":
                self.run(alerts.resume(*whose))
                model.start(model.terms, "active")
            case "active", "snooze":
                model.snoozed = self.desk.now + dt.timedelta(days=days)
                self.run(alerts.snooze(*whose, model.snoozed))
            case "active", "unsnooze" if model.snoozed > self.desk.now:
                self.run(alerts.snooze(*whose, None))
                model.snoozed = self.desk.now
            case "active" | "paused", "off":
                self.run(alerts.switch_off(*whose))
                model.life = "off"
                model.letters = [letter for letter in model.letters if letter[0] != "held"]
            case "done" | "expired" | "off", _:
                model.start(self.run(alerts.renew(*whose)).alert.rule, "active")
                model.snoozed = self.desk.now
        self.tick()

    # What is seen

    @invariant()
    def shows_what_was_promised(self) -> None:
        shown, in_force, letters = self.run(self.look())
        life = "off" if shown.reason == alert_store.SWITCHED_OFF else str(shown.life)
        assert life == self.model.life
        assert in_force == set(self.model.in_force)
        assert letters == Counter((place, *key) for place, key in self.model.letters)
        if life == "active":
            assert shown.state.status == self.model.status

    async def look(self) -> tuple[Any, set[Key], Counter[tuple[str, int, str]]]:
        def read(db: sqlite_utils.Database) -> tuple[set[Key], Counter[tuple[str, int, str]]]:
            events = sorted(alert_store.list_events(db, chat_id=1, limit=1_000), key=lambda e: e.event_id)
            in_force, letters = set[Key](), Counter[tuple[str, int, str]]()
            says: dict[int, Key] = {}
            for event in events:
                index, kind = DAYS.index(f"{event.session}"), Event.from_json(event.detail.event).kind
                says[event.event_id] = index, "withdrawn" if event.transition == "withdrawn" else kind
                if event.number == self.number:
                    (in_force.discard if event.transition == "withdrawn" else in_force.add)((index, kind))
                letters["held", *says[event.event_id]] += event.deferred is not None
            status = dict(db.execute("SELECT id, status FROM outbox WHERE kind = 'alert'").fetchall())
            for message in select_as(db, OutboxMessage, "SELECT * FROM outbox WHERE kind = 'alert'"):
                listed = message.body.events
                ids = (
                    [line[0] for line in listed.lines]
                    if listed
                    else [e.event_id for e in events if e.message == message.id]
                )
                assert ids, "a message about no event"
                for key in {says[event_id] for event_id in ids}:
                    letters[status[message.id], *key] += 1
            return in_force, +letters

        shown = await alert_views.show(self.caller, self.number)
        return shown.alert, *await self.desk.database.run(read)


TestAlertLife = AlertLife.TestCase
TestAlertLife.settings = settings(max_examples=max(settings().max_examples // 5, 1), stateful_step_count=25)
