"""The story: session after session the bot is killed at its work, started again, and drained."""

import asyncio
import contextlib
import datetime as dt
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bot.local.botapi import Json
from bot.local.methods import Call
from storage.database import StorageError, broken_references, integrity_check, open_database
from storage.records import select
from tests.chaos import script
from tests.chaos.lives import SLOTS, SPEED
from tests.fakes.botapi import FakeBotApi, RecordedRequest
from tests.fakes.botapi_faults import Fault, bad_gateway, drop, flood, server_error
from tests.jobs.desk import Desk

ROOT = Path(__file__).parents[2]
TOO_MANY = 5  # problems, after which there is no use in going on
PATIENCE = 120.0  # seconds for a life that takes one; a message sent in vain again and again rests for long
SHOT = "the client was killed"  # why a request has no answer
REDELIVERED = 6  # updates, the newest ones, of which some are delivered again
DRAINED = """
    SELECT (SELECT count(*) FROM outbox WHERE status NOT IN ('sent', 'dead')) AS waiting,
           (SELECT count(*) FROM summaries WHERE status IN ('due', 'claimed')) AS due,
           (SELECT count(*) FROM summaries WHERE local_date = ?) AS said,
           (SELECT count(*) FROM alert_events WHERE session = ?) AS judged
"""
# How a session's first life ends, which begins with nothing left over, and how those after a kill do.
FIRST = ("statement", "statement", "request", "statement", "statement", "answer", "statement", "random")
AGAIN = ("random", "request", "answer")


class Api(FakeBotApi):
    """The fake Bot API, which can kill its client when a message comes in, or before it is answered."""

    victim: int = 0
    moment: str = ""  # "request": before it has an effect; "answer": after
    after: int = 0
    shots: int = 0

    def aim(self, victim: int, moment: str, after: int) -> None:
        """Kill at a message, after so many others."""
        self.victim, self.moment, self.after = victim, moment, after

    async def _call(self, call: Call) -> bytes | Fault | None:
        if call.method != "sendMessage" or not self.moment:
            return await super()._call(call)
        if self.after:
            self.after -= 1
            return await super()._call(call)
        moment, self.moment = self.moment, ""
        if moment == "request":
            self.requests.append(RecordedRequest(call, self.clock(), description=SHOT))
            self._shoot()
            return None
        await super()._call(call)
        self._shoot()
        return None

    def _shoot(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.victim, signal.SIGKILL)
            self.shots += 1


@dataclass(frozen=True)
class Death:
    """What stood between mark and answer when the bot was killed.

    sending   the rows that were marked
    slots     the chats of the slots that this life was granted
    requests  those of this life that had come in
    """

    sending: list[dict[str, Any]]
    slots: Counter[int]
    requests: list[RecordedRequest]


@dataclass
class Chaos:
    """One run: what was done to the bot, and what is known about each message."""

    path: Path
    api: Api
    process: asyncio.subprocess.Process
    chance: random.Random
    now: dt.datetime
    number: int = script.QUIET - 1
    kills: Counter[str] = field(default_factory=Counter)
    lives: int = 0
    hits: Counter[int] = field(default_factory=Counter)  # kills while a row was being sent, by row
    deaths: list[Death] = field(default_factory=list)
    statements: int = 0  # of one undisturbed life, as far as seen
    swept: int = 0  # times that every statement was died at
    problems: list[str] = field(default_factory=list)
    redelivered: int = 0
    changed_back: int = 0  # times that a setting was not the one that was asked for last
    commands: dict[int, str] = field(default_factory=dict)  # by update_id
    noted: set[int] = field(default_factory=set)  # those of them that the bot has noted
    _said: dict[int, Json] = field(default_factory=dict)
    _asked: int = 0  # the update whose setting must stand
    _next: int = 1
    _first_request: int = 0  # of this life
    _usual: float = 0.5

    async def run(self, kills: int) -> None:
        """Session after session, until so many kills were made."""
        while self.kills.total() < kills and len(self.problems) < TOO_MANY:
            self.number += 1
            self.now = max(self.now, script.evening(self.number))
            self._talk()
            kind = FIRST[self.number % len(FIRST)]
            while await self._life(kind):
                self._check()
                if self.kills.total() >= kills or self.chance.random() < 0.7:
                    break
                kind = self.chance.choice(AGAIN)
            self.api.heal()
            await self._life("drained")
            self._check()

    # One life

    async def _life(self, kind: str) -> bool:
        """Start the bot and let it be killed, or drained and stopped; whether it was killed."""
        self.api.moment = ""
        self._fault()
        self._redeliver()
        at = self._next if kind == "statement" else 0
        polls = len(self.api.calls("getUpdates"))
        pid = await self._start(at)
        began = time.monotonic()
        ended = asyncio.create_task(self._line())
        if kind in ("request", "answer"):
            self.api.aim(pid, kind, self.chance.randrange(4))
        wait = self.chance.uniform(0.02, 1.2 * self._usual) if kind == "random" else PATIENCE
        drained = asyncio.create_task(self._drained(polls))
        try:
            await asyncio.wait({ended, drained}, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                if kind != "random" and not drained.done():
                    self.problems.append(f"life {self.lives} ({kind}) was not drained in {PATIENCE:.0f} s")
                with contextlib.suppress(ProcessLookupError):  # it was quicker
                    os.kill(pid, signal.SIGKILL if kind == "random" else signal.SIGTERM)
            status = await asyncio.wait_for(ended, PATIENCE)
        finally:
            drained.cancel()
        self.now += dt.timedelta(seconds=(time.monotonic() - began) * SPEED + 5)
        return self._ended(kind, status, time.monotonic() - began)

    def _ended(self, kind: str, status: int, seconds: float) -> bool:
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        if killed:
            self.kills[kind] += 1
            rows = self.rows("SELECT * FROM outbox WHERE status = 'sending'")
            # A life that died before it recovered left those of the one before.
            known = {(row["id"], row["unknown"]) for death in self.deaths for row in death.sending}
            sending = [row for row in rows if (row["id"], row["unknown"]) not in known]
            self.hits.update(row["id"] for row in sending)
            slots = Counter(map(int, self._slots.read_text().split())) if self._slots.exists() else Counter()
            self.deaths.append(Death(sending, slots, self.api.requests[self._first_request :]))
        elif status:
            self.problems.append(f"life {self.lives} ({kind}) ended with {status}")
        else:
            self._usual = 0.8 * self._usual + 0.2 * seconds
        if kind == "statement" and killed:
            self.statements, self._next = max(self.statements, self._next), self._next + 1
        elif kind == "statement":
            self.swept, self._next = self.swept + 1, 1
        return killed

    async def _start(self, kill_at: int) -> int:
        self.lives += 1
        order = {
            "database": str(self.path),
            "root": self.api.root,
            "token": self.api.token,
            "now": self.now.isoformat(),
            "kill_at": kill_at,
        }
        assert self.process.stdin
        self._slots.unlink(missing_ok=True)
        self.process.stdin.write(f"{json.dumps(order)}\n".encode())
        pid = await self._line()
        self._first_request = len(self.api.requests)  # what came in meanwhile was on its way from the last life
        return pid

    @property
    def _slots(self) -> Path:
        return self.path.with_suffix(SLOTS)

    async def _line(self) -> int:
        assert self.process.stdout
        return int(await self.process.stdout.readline())

    async def _drained(self, polls: int) -> None:
        """Return once this session is judged, nothing waits to be sent, and every update is confirmed.

        Not before this life has polled, after so many polls of earlier ones: a signal would find it deaf.
        """
        wanted = len(script.CHATS)  # as many as there are alerts that fire, and chats with a summary
        day = f"{script.session(self.number):%Y-%m-%d}"
        while True:
            await asyncio.sleep(0.04)
            if not self.api.updates and len(self.api.calls("getUpdates")) > polls:
                with contextlib.suppress(StorageError):
                    (state,) = self.rows(DRAINED, day, day)
                    if (state["waiting"], state["due"]) == (0, 0) and min(state["judged"], state["said"]) >= wanted:
                        return

    # What is done to it

    def _talk(self) -> None:
        """The talker makes an alert, ends those it has, and moves its summary's time.

        Those that have ended are forgotten: a rule that is there already would not be taken a second time.
        """
        with open_database(self.path) as database:
            database.run_sync(
                lambda db: db.execute("DELETE FROM alerts WHERE chat_id = ? AND life = 'done'", [script.TALKER])
            )
        mine = self.rows("SELECT number FROM alerts WHERE chat_id = ? AND life = 'active'", script.TALKER)
        lines = [f"/alert ratio > {9 + self.number / 1000:.3f}"]
        lines += [f"/alert {row['number']} off" for row in mine]
        lines += [f"/summary on 03:{self.number % 60:02d}"]
        for line in lines:
            self.api.say(script.TALKER, line)
            self.commands[self.api.last_update_id] = line
            self._said[self.api.last_update_id] = self.api.updates[-1]

    def _redeliver(self) -> None:
        """Some of the newest updates come again, as Telegram does when it heard no confirmation.

        The very newest do not always: an old setting would then have the last word.
        """
        newest = sorted(self.commands)[-REDELIVERED:]
        newest = newest[: self.chance.randint(1, REDELIVERED)]
        present = {update["update_id"] for update in self.api.updates}
        for update_id in newest:
            if update_id not in present and self.chance.random() < 0.7:
                self.redelivered += 1
                self.api.updates.append(self._said[update_id])
        self.api.updates.sort(key=lambda update: int(update["update_id"]))

    def _fault(self) -> None:
        """Now and then a message's outcome is unknown, or its chat is halted."""
        self.api.heal()
        if self.chance.random() < 0.3:
            faults = (drop(), drop(acts=True), bad_gateway(acts=True), server_error(acts=True), flood(3))
            self.api.fail("sendMessage", self.chance.choice(faults), after=self.chance.randrange(4))

    # What came of it

    def _check(self) -> None:
        """The database is whole after every life. The bot forgets after a week which updates it has seen."""
        seen = {row["update_id"] for row in self.rows("SELECT update_id FROM updates")}
        new = (seen & self.commands.keys()) - self.noted
        self.noted |= new
        # In order within a life. One that was lost in a kill may come after a newer one, for the first time.
        settings = [update for update in new if self.commands[update].startswith("/summary")]
        self._asked = max(settings, default=self._asked)
        if self._asked:
            (chat,) = self.rows("SELECT summary_at FROM chats WHERE chat_id = ?", script.TALKER)
            self.changed_back += not self.commands[self._asked].endswith(chat["summary_at"])
        with open_database(self.path) as database:
            self.problems += database.run_sync(integrity_check, plain=True) + database.run_sync(
                broken_references, plain=True
            )

    def rows(self, sql: str, *parameters: object) -> list[dict[str, Any]]:
        """Rows of a query, read beside the bot."""
        with open_database(self.path, read_only=True) as database:
            return database.run_sync(lambda db: select(db, sql, parameters))


@asynccontextmanager
async def chaos(folder: Path, seed: int) -> AsyncIterator[Chaos]:
    """A database with chats and alerts, the fake Bot API, and the warm process."""
    path = folder / "bot.sqlite3"
    await begin(path)
    async with warm() as process, Api() as api:
        for chat_id in (*script.CHATS, script.TALKER, script.OWNER):
            api.chat(chat_id)
        yield Chaos(path, api, process, random.Random(seed), script.evening(script.QUIET - 1))


@asynccontextmanager
async def warm() -> AsyncIterator[asyncio.subprocess.Process]:
    """The process that forks a life for each order."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.chaos.lives"),
        cwd=ROOT,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONWARNINGS": "default"},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        assert process.stdin
        process.stdin.close()
        await process.wait()


async def begin(path: Path) -> None:
    """Chats with two alerts each, judged up to the session before the story, and subscribers."""
    desk = Desk(path)
    desk.now = script.evening(script.QUIET - 1)
    sessions = desk.services.markets.sessions().index
    await script.Script().fill(desk, sessions[: script.START + script.QUIET])
    for chat_id in script.CHATS:
        for rule in script.RULES:
            await desk.alert(rule, chat_id)
    for chat_id in script.SUBSCRIBERS:
        await desk.subscriber(script.SUMMARY_AT, chat_id)
    await desk.subscriber("03:00", script.TALKER)  # its own wish for one may be lost in a kill
    desk.database.close()
