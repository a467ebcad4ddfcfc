"""The outbox on a real file, in any order of what can happen to it, beside a model of what it must do."""

from __future__ import annotations

import shutil
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from telegram.error import ChatMigrated, RetryAfter, TelegramError

from bot.delivery.outcome import ErrorClass, FailedSend, delivered_parts, reason_after, settle_failure
from bot.delivery.rate_limiter import SendPostponed
from storage import chat_store, outbox
from storage.database import open_database
from storage.records import instant, parse_instant, select
from tests.storage.messages import queue_message

if TYPE_CHECKING:
    from collections.abc import Callable

    import sqlite_utils

    from storage.outbox import OutboxMessage, ReadyMessage

T = TypeVar("T")
START = datetime(2020, 12, 11, 12, tzinfo=UTC)
KINDS = ("reply", "alert", "notice", "summary")  # in the order of sending
CHATS, GROUP = (1, 2, -3), -1003
MESSAGES = st.tuples(st.sampled_from(KINDS), st.sampled_from((*CHATS, GROUP)), st.sampled_from((0, 0, 0, 90)))
DAY, KEPT = 86_400, 600
SENT, PART, POSTPONED = "sent", "part", "postponed"  # the outcomes that are no class of errors
OF_THE_CHAT = (ErrorClass.HALTED, ErrorClass.LEFT, ErrorClass.ASLEEP, ErrorClass.NO_TOPIC, ErrorClass.MIGRATED)


def at(seconds: int) -> datetime:
    return START + timedelta(seconds=seconds)


@dataclass
class Row:
    chat: int
    kind: str
    due: int
    changed: int
    status: str = "queued"
    attempts: int = 0
    unknown: int = 0
    parts: int = 0


# What must become of messages. Instants are seconds; the statuses of chats are the chat store's.
@dataclass
class Model:
    now: int = 0
    rows: dict[int, Row] = field(default_factory=dict)
    halts: dict[int, int] = field(default_factory=dict)  # 0: of all chats
    chats: dict[int, tuple[str, int]] = field(default_factory=dict)  # status, and when it is tried again

    def may_go(self, row: Row) -> bool:
        status, again = self.chats.get(row.chat, ("active", 0))
        busy = any((other.status, other.chat) == ("sending", row.chat) for other in self.rows.values())
        due = max(row.due, self.halts.get(row.chat, 0), self.halts.get(0, 0), again)
        return row.status in ("queued", "waiting") and status != "inactive" and not busy and due <= self.now

    def ready(self) -> list[int]:
        order = sorted(self.rows.items(), key=lambda item: (KINDS.index(item[1].kind), item[0]))
        first = {row.chat: number for number, row in reversed(order) if self.may_go(row)}
        return [number for number, row in order if first.get(row.chat) == number]

    def end(self, row: Row, status: str) -> None:
        row.changed, row.status = self.now if row.status != "dead" else row.changed, status

    def wait(self, row: Row, seconds: int = 0, attempts: int = 0) -> None:
        row.status, row.due, row.attempts = "waiting", self.now + seconds, row.attempts + attempts

    def refuse(self, row: Row, *, left: bool) -> None:
        self.wait(row)
        row.changed = self.now if left else row.changed
        waits = [r for r in self.rows.values() if r.chat == row.chat and r.status in ("queued", "waiting")]
        for other in waits if left or self.chats[row.chat][0] != "inactive" else ():
            held = not left and other.kind == "notice" and not (other.unknown or other.parts)
            other.status = "dead" if other.kind in ("summary", "reply") else "held" if held else other.status
        if row.kind in ("summary", "reply"):
            self.end(row, "dead")

    def settle(self, row: Row, outcome: ErrorClass | str, seconds: int, chat: int, new: int) -> None:
        known, back_off = row.chat in self.chats, min(5 * 2**row.attempts, 900)
        match outcome:
            case _ if outcome == POSTPONED or (outcome in OF_THE_CHAT and row.chat != chat):
                self.wait(row)
            case "part":
                row.status, row.unknown, row.parts = "waiting", 0, row.parts + 1
            case ErrorClass.HALTED:
                self.wait(row, seconds)
                self.halts[row.chat] = max(row.due, self.halts.get(row.chat, 0))
            case ErrorClass.LATER | ErrorClass.PAUSED:
                self.wait(row, *((back_off, 1) if outcome is ErrorClass.LATER else (60, 0)))
            case ErrorClass.UNKNOWN if row.kind != "summary":
                self.end(row, "ambiguous")
                row.unknown, row.attempts = row.unknown + 1, row.attempts + 1
            case ErrorClass.LEFT | ErrorClass.ASLEEP | ErrorClass.NO_TOPIC if known:
                self.refuse(row, left=outcome is ErrorClass.LEFT)
            case ErrorClass.MIGRATED if known or new in self.chats:
                self.wait(row, back_off if row.attempts >= 3 else 0, attempts=1)
            case _:
                self.end(row, "sent" if outcome in (SENT, ErrorClass.NOTHING) else "dead")


Message: TypeAlias = tuple[str, int, int]  # kind, chat and seconds to wait
Outcome: TypeAlias = "tuple[ErrorClass | str, int, int]"  # with seconds to wait and a new chat id
Event: TypeAlias = tuple[Any, ...]
SECONDS, TARGETS = st.sampled_from((1, 30, 3_600)), st.sampled_from((*CHATS, GROUP))
OUTCOMES = st.tuples(st.sampled_from((SENT, PART, POSTPONED, *[ErrorClass.UNKNOWN] * 4, *ErrorClass)), SECONDS, TARGETS)
EVENTS = st.one_of(
    st.tuples(st.just("pass_time"), st.sampled_from((1, 60, 3_600, DAY))),
    st.tuples(st.just("migrate"), st.sampled_from(CHATS), TARGETS),
    st.tuples(st.sampled_from(("forget", "start")), TARGETS),
    st.tuples(st.just("halt"), st.sampled_from((0, *CHATS)), SECONDS),
    st.just(("prune",)),
)


class OutboxMachine(RuleBasedStateMachine):
    """Deliveries, kills and all that happens beside them. `copies` are the parts that arrived at Telegram."""

    template: Path

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory(dir=self.template.parent)
        self.path = Path(shutil.copy(self.template, self.folder.name))
        self.database, self.model, self.serial = open_database(self.path), Model(), 0
        self.granted: list[ReadyMessage] = []
        self.flights: dict[int, OutboxMessage] = {}
        self.copies: dict[tuple[int, int], int] = defaultdict(int)

    def teardown(self) -> None:
        """In the end everything is sent or was given up, within days."""
        self.run(lambda db: [chat_store.reactivate(db, chat) for chat in self.model.chats])
        while any(row.status not in ("sent", "dead", "held") for row in self.model.rows.values()):
            self.settle_all()
            assert self.model.now < 99 * DAY
            self.pass_time(DAY)
            self.getme_answers()
            self.find(9)
            self.mark()
        self.database.close()
        self.folder.cleanup()

    def run(self, write: Callable[[sqlite_utils.Database], T]) -> T:
        result = self.database.run_sync(write)
        rows = self.read("SELECT chat_id, status, next_try FROM chats")
        self.model.chats = {row["chat_id"]: (row["status"], seconds(row["next_try"])) for row in rows}
        return result

    def read(self, sql: str) -> list[dict[str, Any]]:
        return self.database.run_sync(lambda db: select(db, sql), plain=True)

    @property
    def now(self) -> datetime:
        return at(self.model.now)

    def enqueue(self, messages: list[Message]) -> None:
        for kind, chat, wait in messages:
            self.serial += 1
            body, due = outbox.MessageBody("fired"), self.model.now + wait
            what: dict[str, Any] = {
                "chat_id": chat,
                "kind": kind,
                "dedup": str(self.serial),
                "body": body,
                "not_before": at(due),
            }
            number = self.run(partial(queue_message, now=self.now, **what))
            assert number is not None
            self.model.rows[number] = Row(chat, kind, due, self.model.now)

    def find(self, limit: int) -> None:
        self.granted = self.run(lambda db: outbox.find_ready(db, self.now, limit))
        assert [message.id for message in self.granted] == self.model.ready()[:limit]

    def mark(self) -> None:
        """Of what was granted a slot, what may still be sent is marked, in one commit."""
        for message in self.run(lambda db: outbox.mark_sending(db, self.granted, self.now)):
            row = self.model.rows[message.id]
            assert self.model.may_go(row)
            assert (message.unknown, delivered_parts(message)) == (row.unknown, row.parts)
            row.status, row.changed = "sending", self.model.now
            self.flights[message.id] = message
        mine = [(message.id, message.chat_id) for message in self.granted]
        left = [self.model.rows.get(number) for number, _ in mine]
        assert not any(
            row and row.chat == chat and self.model.may_go(row) for row, (_, chat) in zip(left, mine, strict=True)
        )
        self.granted = []

    @rule(
        messages=st.lists(MESSAGES, max_size=4), limit=st.integers(2, 4), before=st.none() | EVENTS,
        meanwhile=st.none() | EVENTS, outcomes=st.lists(OUTCOMES, max_size=4), arrives=st.booleans(),
    )  # fmt: skip
    def deliver(
        self, messages: list[Message], limit: int, before: Event | None, meanwhile: Event | None,
        outcomes: list[Outcome], arrives: bool,
    ) -> None:  # fmt: skip
        """Something may happen while messages wait for their slots, and while requests are under way."""
        self.enqueue(messages)
        self.getme_answers()
        self.find(limit)
        self.happen(before)
        self.mark()
        self.happen(meanwhile)
        for number, (outcome, wait, new) in zip(list(self.flights), outcomes, strict=False):
            self.settle(number, outcome, wait, new, arrives)

    def settle_all(self) -> None:
        for number in list(self.flights):
            self.settle(number, SENT, 1, GROUP, arrives=True)

    def settle(self, number: int, outcome: ErrorClass | str, wait: int, new: int, arrives: bool) -> None:
        message, row = self.flights.pop(number), self.model.rows.get(number)
        if outcome in (SENT, PART) or (outcome is ErrorClass.UNKNOWN and arrives):
            self.arrive(message)
        done = delivered_parts(message)
        error = {
            ErrorClass.HALTED: RetryAfter(timedelta(seconds=wait)),
            POSTPONED: SendPostponed(timedelta(seconds=wait)),
            ErrorClass.MIGRATED: ChatMigrated(new),
        }.get(outcome, TelegramError("no"))
        if row is not None:
            self.model.settle(row, outcome, wait, message.chat_id, new)
            if outcome is ErrorClass.MIGRATED and row.chat == message.chat_id:
                self.move(row.chat, new)
        failure = FailedSend(message, error, "no", self.now, done)
        match outcome:
            case "sent":
                self.run(lambda db: outbox.mark_sent(db, number, 7, self.now))
            case "part":
                self.run(lambda db: outbox.note_progress(db, number, reason_after(done + 1, "more")))
            case _:
                kind = outcome if isinstance(outcome, ErrorClass) else ErrorClass.HALTED
                self.run(lambda db: settle_failure(db, failure, kind))

    def arrive(self, message: OutboxMessage) -> None:
        """A copy after the first is marked, and there is none of a summary."""
        part = (message.id, delivered_parts(message))
        assert not self.copies[part] or (message.unknown and message.kind != "summary")
        self.copies[part] += 1

    @rule(arrived=st.integers(0, 3))
    def kill(self, arrived: int) -> None:
        """Some of the requests under way had arrived. The next process reads the file and recovers."""
        for message in [*self.flights.values()][:arrived]:
            self.arrive(message)
        self.flights, self.granted = {}, []
        self.database.close()
        self.database = open_database(self.path)
        for row in self.model.rows.values():
            if row.status == "sending":
                self.model.end(row, "dead" if row.kind == "summary" else "ambiguous")
                row.unknown += 1
        self.run(lambda db: outbox.mark_interrupted(db, self.now))

    @rule(event=EVENTS)
    def happen(self, event: Event | None) -> None:
        if event:
            getattr(self, event[0])(*event[1:])

    def pass_time(self, seconds: int) -> None:
        self.model.now += seconds

    def getme_answers(self) -> None:
        self.run(lambda db: outbox.requeue_ambiguous(db, self.now))
        for row in self.model.rows.values():
            if row.status == "ambiguous":
                self.model.wait(row)

    def migrate(self, old: int, new: int) -> None:
        self.move(old, new)
        self.run(lambda db: chat_store.migrate_chat(db, old, new))

    def move(self, old: int, new: int) -> None:
        if old == new or old not in self.model.chats:
            return
        for row in self.model.rows.values():
            row.chat = new if row.chat == old else row.chat
        if until := self.model.halts.pop(old, 0):
            self.model.halts[new] = max(until, self.model.halts.get(new, 0))

    def forget(self, chat: int) -> None:
        self.run(lambda db: chat_store.forget_chat(db, chat))
        self.model.rows = {number: row for number, row in self.model.rows.items() if row.chat != chat}
        self.model.halts.pop(chat, None)

    def start(self, chat: int) -> None:
        def begin(db: sqlite_utils.Database) -> None:
            chat_store.ensure_chat(db, chat, "private", "", self.now)
            chat_store.reactivate(db, chat)

        self.run(begin)

    def prune(self) -> None:
        self.model.now += KEPT
        before = self.model.now - KEPT + 1
        self.run(lambda db: outbox.prune(db, at(before), 1_000))
        gone = [n for n, row in self.model.rows.items() if row.status in ("sent", "dead") and row.changed < before]
        for number in gone:
            del self.model.rows[number]

    def halt(self, chat: int, wait: int) -> None:
        until = self.model.now + wait
        self.run(lambda db: outbox.begin_halt(db, chat, at(until)))
        self.model.halts[chat] = max(until, self.model.halts.get(chat, 0))

    @invariant()
    def the_rows_are_the_models(self) -> None:
        sql = "SELECT id, chat_id, kind, status, not_before, attempts, unknown FROM outbox"
        stored = {row.pop("id"): row for row in self.read(sql)}
        for row in stored.values():
            row["not_before"] = row["not_before"] if row["status"] in ("queued", "waiting") else ""
        assert stored == {
            number: {
                "chat_id": row.chat, "kind": row.kind, "status": row.status,
                "not_before": instant(at(row.due)) if row.status in ("queued", "waiting") else "",
                "attempts": row.attempts, "unknown": row.unknown,
            }
            for number, row in self.model.rows.items()
        }  # fmt: skip


def seconds(text: str | None) -> int:
    return int((parse_instant(text) - START).total_seconds()) if text else 0


def test_in_any_order_of_events_the_outbox_does_what_the_model_says(tmp_path: Path) -> None:
    def begin(db: sqlite_utils.Database) -> None:
        for chat in CHATS:
            chat_store.ensure_chat(db, chat, "private", "", START)

    OutboxMachine.template = tmp_path / "bot.sqlite3"
    with open_database(OutboxMachine.template) as database:
        database.run_sync(begin)
    run_state_machine_as_test(
        OutboxMachine, settings=settings(max_examples=2 * settings().max_examples, stateful_step_count=15)
    )
