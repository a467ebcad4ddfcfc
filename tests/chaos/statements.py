"""One evaluate-and-send cycle, killed before each writing statement in turn, each time from the start.

The cycle sends what was queued before it, releases what was held back in quiet hours and by a snooze,
judges a session, announces an alert's end, makes summaries and takes commands. After each kill a second
life ends it.
"""

import asyncio
import datetime as dt
import random
import re
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import sqlite_utils

from storage import alert_store, chat_store
from tests.chaos import script
from tests.chaos.judge import Count, verdicts
from tests.chaos.lives import DIED_AT
from tests.chaos.story import Api, Chaos, begin, warm
from tests.jobs.desk import Desk

QUIET_HOURS = ("16:00", "16:30")
HELD_RULES = ("ratio > 0.6", "ratio > 0.58", "ratio > 0.59")
EARLIER, CYCLE = script.QUIET, script.QUIET + 1  # judged before the cycle; judged in it
MOST = 2_000  # statements; a cycle has a tenth


class Cycle(Chaos):
    """The cycle once: a kill at one statement, and the life after it."""

    async def once(self, at: int) -> bool:
        """Die at a statement, then drain; whether there was one."""
        self._next = at
        self._talk()
        killed = await self._life("statement")
        self._check()
        if killed:
            await self._life("drained")
            self._check()
        return killed

    def _fault(self) -> None:
        """Kills are enough."""


async def sweep(folder: Path, every: int = 1) -> list[Count]:
    """Die at each statement (or at each `every`-th); the counts of all cycles together."""
    template = folder / "template.sqlite3"
    await prepare(template)
    totals: Counter[str] = Counter()
    good: dict[str, bool] = {}
    kinds: Counter[str] = Counter()
    async with warm() as process:
        for at in range(every, MOST, every):
            killed, counts, kind = await _cycle(folder, template, process, at)
            for count in counts:
                totals[count.words] += count.number
                good[count.words] = good.get(count.words, True) and count.good
            if not killed:
                break
            kinds[kind] += 1
    statements = kinds.total()
    return [
        Count("writing statements of one cycle, each died at once", statements, not killed and statements > 0),
        *(Count(f"    {kind}", number) for kind, number in kinds.most_common()),
        *(Count(words, number, good[words]) for words, number in totals.items()),
    ]


async def _cycle(
    folder: Path, template: Path, process: asyncio.subprocess.Process, at: int
) -> tuple[bool, Sequence[Count], str]:
    """One cycle from a copy of the template: whether it was died at, the verdict, the statement's kind."""
    path = folder / str(at) / template.name
    path.parent.mkdir()
    shutil.copy(template, path)
    async with Api() as api:
        for chat_id in (*script.CHATS, *script.HELD, script.TALKER, script.OWNER):
            api.chat(chat_id)
        run = Cycle(path, api, process, random.Random(at), script.evening(CYCLE), number=CYCLE)
        killed = await run.once(at)
        counts = verdicts(run)
        if not all(count.good for count in counts):
            print(f"      at statement {at}:", *(count for count in counts if not count.good), sep="\n      ")  # noqa: T201 - the command's voice
    note = path.with_suffix(DIED_AT)
    kind = _kind(note.read_text()) if killed else ""
    shutil.rmtree(path.parent)
    return killed, counts, kind


def _kind(statement: str) -> str:
    """What a statement does to which table."""
    verb = r"\b(?:INSERT(?: OR \w+)? INTO|UPDATE(?: OR \w+)?|DELETE FROM)\s+[\[\"]?\w+"
    match = re.search(verb, statement, re.IGNORECASE)
    return " ".join((match[0] if match else statement.split(maxsplit=1)[0]).split())


async def prepare(path: Path) -> None:
    """The story's beginning, and one session judged: its alerts queued, those of two chats held back."""
    await begin(path)
    desk = Desk(path)
    desk.now = script.evening(script.QUIET - 1)
    for rule in HELD_RULES[:2]:
        await desk.alert(rule, script.HELD[0])
    snoozed = await desk.alert(HELD_RULES[2], script.HELD[1])
    ending = await desk.alert("ratio > 9", script.CHATS[0])
    desk.now = script.evening(EARLIER) - dt.timedelta(minutes=20)

    def wish(db: sqlite_utils.Database) -> None:
        chat_store.set_preferences(
            db, script.HELD[0], **dict(zip(("quiet_from", "quiet_to"), QUIET_HOURS, strict=True))
        )
        alert_store.update_alert(db, snoozed, snoozed_until=desk.now + dt.timedelta(hours=2))
        alert_store.update_alert(db, ending, expires_on=f"{script.session(CYCLE + 1):%Y-%m-%d}")

    await desk.database.run(wish)
    sessions = desk.services.markets.sessions().index
    await script.Script().fill(desk, sessions[: script.START + EARLIER + 1])
    await desk.evaluate()
    deferred = await desk.query("SELECT deferred FROM alert_events WHERE deferred IS NOT NULL ORDER BY deferred")
    assert [row["deferred"] for row in deferred] == ["quiet", "quiet", "snooze"]
    desk.database.close()
