"""A process killed in the middle of a run: the next one gives what an undisturbed run would have."""

import datetime as dt
import subprocess
import sys
from pathlib import Path

from bot.jobs.deferred import send_deferred
from tests.jobs.desk import DAYS, QUIET, Desk, after_close

ROOT = Path(__file__).parents[2]

# Evaluates the first day whole, and stops for ever in the middle of the second, at its third message.
CHILD = """
import asyncio, sys
from pathlib import Path
from tests.jobs.desk import Desk, after_close
from storage import outbox

path, *days = sys.argv[1:]
desk, real, queued = Desk(Path(path)), outbox.enqueue_all, []

def enqueue_all(*arguments):
    queued.append(real(*arguments))
    if len(queued) == 2:
        print("ready", flush=True)
        sys.stdin.read()

outbox.enqueue_all = enqueue_all

async def main():
    for day in days:
        desk.now = after_close(day)
        await desk.evaluate()

asyncio.run(main())
"""


def kill(path: Path, code: str, *arguments: str) -> None:
    """Start code that says when it is in the middle, and kill it there."""
    child = subprocess.Popen(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-c", code, str(path), *arguments],
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
    kill(path, CHILD, *DAYS[:2])

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


# Sends the deferred events of three chats, and stops for ever in the middle of the second one.
RELEASING = """
import asyncio, sys
import datetime as dt
from pathlib import Path
from bot.jobs.deferred import send_deferred
from storage import alert_store
from tests.jobs.desk import Desk

path, now = sys.argv[1:]
desk, real, told = Desk(Path(path)), alert_store.assign_message, []
desk.now = dt.datetime.fromisoformat(now)

def assign_message(db, event_ids, message):
    told.append(real(db, event_ids, message))
    if len(told) == 2:
        print("ready", flush=True)
        sys.stdin.read()

alert_store.assign_message = assign_message
asyncio.run(send_deferred(desk.services))
"""


async def test_what_was_held_is_told_once_though_the_process_is_killed_telling_it(path: Path) -> None:
    before = Desk(path)
    await before.closes(QUIET)
    for chat_id in (1, 2, 3):
        await before.alert("ratio > 0.6", chat_id)
    await before.change("UPDATE chats SET quiet_from = '16:00', quiet_to = '07:00'")
    await before.closes([0.65], DAYS[0])
    await before.evaluate()
    assert await before.messages() == []
    before.database.close()
    kill(path, RELEASING, "2020-01-17T12:00:00+00:00")

    after = Desk(path)
    after.now = dt.datetime.fromisoformat("2020-01-17T12:00:00+00:00")
    chats = "SELECT chat_id FROM outbox ORDER BY id"
    assert [row["chat_id"] for row in await after.query(chats)] == [1]
    for _ in range(2):
        await send_deferred(after.services)
    assert [row["chat_id"] for row in await after.query(chats)] == [1, 2, 3]
    after.database.close()
