"""A process killed in the middle of a run: the next one gives what an undisturbed run would have."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.jobs.desk import Desk, after_close, sessions

ROOT = Path(__file__).parents[2]
QUIET = [0.5] * 10
DAYS = sessions("2020-01-16", 2)

# Judges the first day whole, and stops for ever in the middle of the second, at its third message.
CHILD = """
import asyncio, sys
from pathlib import Path
from tests.jobs.desk import Desk, after_close
from storage import outbox

path, *days = sys.argv[1:]
desk, real, queued = Desk(Path(path)), outbox.enqueue, []

def enqueue(db, **named):
    queued.append(real(db, **named))
    if len(queued) == 8:
        print("ready", flush=True)
        sys.stdin.read()

outbox.enqueue = enqueue

async def main():
    for day in days:
        desk.now = after_close(day)
        await desk.evaluate()

asyncio.run(main())
"""


def kill_in_the_middle(path: Path) -> None:
    child = subprocess.Popen(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-c", CHILD, str(path), *DAYS],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        child.kill()


async def test_a_process_killed_in_the_middle_loses_and_doubles_nothing(path: Path) -> None:
    before = Desk(path)
    await before.closes(QUIET)
    for chat_id in range(1, 6):
        await before.alert("ratio > 0.6", chat_id)
        await before.alert("ratio > 0.7", chat_id)
    await before.closes([0.65, 0.75], DAYS[0])
    before.database.close()
    kill_in_the_middle(path)

    after = Desk(path)
    after.now = after_close(DAYS[1])
    first = [f"{alert} fired {DAYS[0]}" for alert in (1, 3, 5, 7, 9)]
    second = [f"{alert} fired {DAYS[1]}" for alert in (2, 4, 6, 8, 10)]
    assert await after.events() == first
    assert len(await after.messages()) == 5
    assert len(await after.evaluate()) == 5
    after.restart()
    assert await after.evaluate() == []
    assert await after.events() == first + second
    chats = await after.query("SELECT chat_id FROM outbox ORDER BY id")
    assert [row["chat_id"] for row in chats] == [1, 2, 3, 4, 5] * 2
    after.database.close()
