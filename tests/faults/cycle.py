"""A cycle of fetching, judging and sending on a disk that fails meanwhile; and its end once it is mended."""

import asyncio
import datetime as dt
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bot.delivery.drain import Delivery
from bot.delivery.rate_limiter import SendBudget
from bot.jobs.scheduler import Scheduler
from storage.database import broken_references, integrity_check
from tests.chaos.script import Script
from tests.fakes.botapi import FakeBotApi
from tests.faults.disk import failing
from tests.jobs.desk import FIRST, Desk, after_close, sessions
from tests.titles import title_of

CHATS, OWNER = (101, 102), 9
LAST = "2020-01-16"  # a session
REPEAT = "possible repeat\n"
OUTAGE_TICKS, TICKS = 3, 12
TOLD = "Nothing is lost: what is due waits, and the bot tries again twice a minute."


@dataclass(frozen=True)
class Result:
    """What a cycle with a fault led to: whether the fault was met, and what was not as it must be."""

    struck: int
    problems: list[str]


class Source(Script):
    """A source by which the ratio is 0.55 until the last session, on which the alerts fire."""

    def close(self, ticker: str, day: pd.Timestamp) -> float:
        """The close of a session."""
        return 100.0 if ticker == "SPY" else 62.0 if day == pd.Timestamp(LAST) else 55.0


async def prepare(path: Path) -> dt.datetime:
    """Two chats with an alert each that is about to fire, and a summary; the instant of the cycle."""
    desk = Desk(path)
    before = pd.DatetimeIndex(sessions(FIRST, 10))
    desk.now = after_close(f"{before[-1]:%Y-%m-%d}")
    await Source().fill(desk, before)
    for chat_id in CHATS:
        await desk.subscriber("16:30", chat_id)
        await desk.alert("ratio > 0.6", chat_id)
    desk.database.close()
    return after_close(LAST)


async def cycle(template: Path, now: dt.datetime, path: Path, kind: str, number: int) -> Result:
    """The cycle, failing from its n-th writing statement on for OUTAGE_TICKS ticks."""
    shutil.copy(template, path)
    with failing(kind) as disk:
        desk = Desk(path)
        desk.now, desk.services.live = now, True
        async with FakeBotApi() as api, served(desk, api) as scheduler:
            disk.arm(number)
            for _ in range(OUTAGE_TICKS):
                await tick(desk, scheduler)
            disk.mend()
            for _ in range(TICKS):
                await tick(desk, scheduler)
            problems = await _problems(desk, api, outage=disk.struck > 0)
        desk.database.close()
    await asyncio.to_thread(path.unlink)
    return Result(disk.struck, problems)


@asynccontextmanager
async def served(desk: Desk, api: FakeBotApi) -> AsyncIterator[Scheduler]:
    """The scheduler with a real client; its waits for room take no time."""
    for chat_id in (*CHATS, OWNER):
        api.chat(chat_id)
    passed = [0.0]

    async def leap(seconds: float) -> None:
        passed[0] += seconds

    limiter = SendBudget(monotonic=lambda: passed[0], sleep=leap)
    async with api.client(limiter=limiter) as bot:
        delivery = Delivery(bot, desk.database, now=lambda: desk.now, owner=OWNER, jitter=lambda: 0.0)
        yield Scheduler(desk.services, [Source()], delivery)


async def tick(desk: Desk, scheduler: Scheduler) -> None:
    """One tick, and the time to the next."""
    await scheduler.tick()
    desk.now += dt.timedelta(seconds=30)


async def _problems(desk: Desk, api: FakeBotApi, *, outage: bool) -> list[str]:
    """What is lost, doubled, unmarked or broken, and whether the owner was told once."""
    problems = [
        *desk.database.run_sync(integrity_check, plain=True),
        *desk.database.run_sync(broken_references, plain=True),
    ]
    for chat_id in CHATS:
        texts = [message.text for message in api.messages(chat_id)]
        alerts = [text for text in texts if title_of(text.removeprefix(REPEAT)).startswith("#1 fired")]
        if len(alerts) != 1 + sum(text.startswith(REPEAT) for text in alerts):
            problems.append(f"chat {chat_id} got its alert {len(alerts)} times")
        if (summaries := sum("Daily summary" in text for text in texts)) != 1:
            problems.append(f"chat {chat_id} got {summaries} summaries")
    events = await desk.events()
    if len(events) != len(CHATS):
        problems.append(f"events: {events}")
    unfinished = await desk.query("SELECT status FROM outbox WHERE status NOT IN ('sent', 'dead')")
    if unfinished:
        problems.append(f"{len(unfinished)} messages are not finished")
    notices = [message.text for message in api.messages(OWNER)]
    if len(notices) != int(outage) or not all(text.endswith(TOLD) for text in notices):
        problems.append(f"the owner was told {notices}")
    return problems
