"""The drill: a backup, a loss, a restore; then the same alerts, and nothing is told twice without a mark."""

import datetime as dt
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import pytest
import sqlite_utils

from bot.delivery.drain import Delivery
from bot.local.terminal import NoRateLimiter
from storage import chat_store, outbox, sources
from storage.backup import backup, restore
from storage.outbox import RestoreReport, settle_restore
from storage.records import get_meta
from tests.fakes.botapi import FakeBotApi
from tests.jobs.desk import DAYS, QUIET, Desk, after_close
from tests.storage.messages import queue_message

SUMMARY = "18:00"
ME, OTHER = 1, 2


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return tmp_path / "copy.sqlite3"


@pytest.fixture
async def api() -> AsyncIterator[FakeBotApi]:
    async with FakeBotApi() as served:
        for chat_id in (ME, OTHER):
            served.chat(chat_id)
        yield served


async def tick(desk: Desk, api: FakeBotApi, moment: dt.datetime | None = None) -> None:
    """One tick of the scheduler at a moment: heartbeat, evaluate, summarise, send."""
    desk.now = moment or desk.now
    await desk.database.run(lambda db: sources.record_heartbeat(db, desk.now))
    await desk.evaluate()
    await desk.summaries.run()
    async with api.client(limiter=NoRateLimiter()) as bot:
        await Delivery(bot, desk.database, now=lambda: desk.now).drain()


async def day(desk: Desk, api: FakeBotApi, session: str, level: float) -> None:
    """A session's close arrives, and the bot ticks an hour and two and a half hours after it."""
    await desk.closes([level], session)
    await tick(desk, api)
    await tick(desk, api, after_close(session, 2.5))


def heads(api: FakeBotApi, chat_id: int = ME) -> list[str]:
    """First lines of what a chat got; a mark stands before its message's."""
    return [" | ".join(message.text.splitlines()[:2]) for message in api.messages(chat_id)]


def put_back(desk: Desk, copy: Path, moment: dt.datetime) -> tuple[Desk, RestoreReport]:
    """Restore at a moment, as the command does; the desk of the next process."""
    desk.database.close()
    path = desk.database.path
    report = restore(copy, path, path.with_name(f"aside-{moment:%H%M}.db"), partial(settle_restore, now=moment))
    after = Desk(path)
    after.now = moment
    return after, report


@pytest.fixture
def desks(path: Path) -> Iterator[list[Desk]]:
    """Desks that a test leaves open are closed."""
    opened = [Desk(path)]
    yield opened
    for desk in opened:
        desk.database.close()


async def prepared(desk: Desk, api: FakeBotApi) -> None:
    """Two alerts and a subscriber; the first session is judged and told."""
    await desk.closes(QUIET)
    await desk.subscriber(SUMMARY, ME)
    await desk.alert("ratio > 0.6", ME)
    await desk.alert("ratio > 0.7", OTHER)
    await day(desk, api, DAYS[0], 0.5)
    assert [head.split(" · ")[0] for head in heads(api)] == ["Both funds moved alike"]


async def test_the_drill(desks: list[Desk], copy: Path, api: FakeBotApi) -> None:
    (desk,) = desks
    await prepared(desk, api)
    backup(desk.database.path, copy)
    await day(desk, api, DAYS[1], 0.65)  # alert #1 fires, and a summary
    await day(desk, api, DAYS[2], 0.65)
    before = {chat_id: heads(api, chat_id) for chat_id in (ME, OTHER)}
    assert len(before[ME]) == 4
    answers = await desk.query("SELECT alert_id, session, transition, value FROM alert_events")

    after, report = put_back(desk, copy, after_close(DAYS[2], 4))
    desks.append(after)
    assert (report.repeats, report.summaries) == (0, 0)
    # The next process fetches what is missing and goes on; what it tells again is marked as such.
    await after.closes([0.65, 0.65], DAYS[1])
    await tick(after, api, after_close(DAYS[2], 4.5))
    again = heads(api)[len(before[ME]) :]
    assert [head.split(" | ")[0] for head in again] == ["possible repeat"]
    assert "crossed above" in again[0]
    assert heads(api, OTHER) == before[OTHER]
    assert await after.query("SELECT alert_id, session, transition, value FROM alert_events") == answers
    # What is new is told once, and not marked.
    await day(after, api, DAYS[3], 0.75)
    new = heads(api)[len(before[ME]) + 1 :]
    assert [head.split(" led ")[0] for head in new] == ["IWM"]
    (fired,) = heads(api, OTHER)[len(before[OTHER]) :]
    assert fired.startswith("IWM/SPY crossed above 0.7 | ")
    await tick(after, api)
    assert len(heads(api)) == len(before[ME]) + 2


def waiting(db: sqlite_utils.Database, now: dt.datetime) -> None:
    chat_store.ensure_chat(db, ME, "private", "", now)
    for kind in ("alert", "notice", "summary"):
        body = outbox.MessageBody(f"a {kind}")
        queue_message(db, chat_id=ME, kind=kind, dedup=kind, body=body, now=now)


async def test_what_waited_in_the_backup_is_sent_once_more_and_marked_but_no_summary(
    desks: list[Desk], copy: Path, api: FakeBotApi
) -> None:
    (desk,) = desks
    await desk.closes(QUIET)
    await desk.database.run(partial(waiting, now=desk.now))
    backup(desk.database.path, copy)
    after, report = put_back(desk, copy, desk.now + dt.timedelta(hours=1))
    desks.append(after)
    assert (report.repeats, report.summaries) == (2, 1)
    await tick(after, api)
    await tick(after, api)
    assert heads(api) == ["possible repeat | a alert", "possible repeat | a notice"]


async def test_summaries_due_before_are_left_out(desks: list[Desk], copy: Path, api: FakeBotApi) -> None:
    (desk,) = desks
    await prepared(desk, api)
    backup(desk.database.path, copy)
    before, _ = put_back(desk, copy, after_close(DAYS[1], 1.5))  # the summary of 18:00 is not due yet
    await before.closes([0.5], DAYS[1])
    await tick(before, api, after_close(DAYS[1], 3))
    assert len(heads(api)) == 2
    after, _ = put_back(before, copy, after_close(DAYS[1], 3))
    desks.append(after)
    await after.closes([0.5], DAYS[1])
    await tick(after, api, after_close(DAYS[1], 3.5))
    rows = await after.query("SELECT local_date, status FROM summaries ORDER BY local_date")
    assert tuple(rows[-1].values()) == (DAYS[1], "skipped")
    assert len(heads(api)) == 2


@pytest.mark.parametrize(
    ("restored", "unknown"),
    [("2020-01-17T16:59:59Z", 0), ("2020-01-17T17:00:00Z", 1), ("2020-01-18T00:00:00Z", 1), (None, 0)],
)
async def test_what_is_about_a_session_that_may_have_closed_before_the_restore_is_marked(
    desks: list[Desk], restored: str | None, unknown: int
) -> None:
    (desk,) = desks

    def enqueue(db: sqlite_utils.Database) -> None:
        if restored:
            settle_restore(db, restored)
        queue_message(
            db,
            chat_id=ME,
            kind="alert",
            dedup="a",
            body=outbox.MessageBody(),
            now="2020-01-18T01:00:00Z",
            about="2020-01-17",
        )

    await desk.database.run(enqueue)
    assert await desk.query("SELECT unknown FROM outbox") == [{"unknown": unknown}]


async def test_of_two_restores_the_later_counts(desks: list[Desk], copy: Path, api: FakeBotApi) -> None:
    (desk,) = desks
    await prepared(desk, api)
    backup(desk.database.path, copy)
    first, _ = put_back(desk, copy, after_close(DAYS[2], 4))
    second_copy = copy.with_name("second.sqlite3")
    backup(first.database.path, second_copy)
    later = after_close(DAYS[2], 5)
    second, _ = put_back(first, second_copy, later)
    desks.append(second)
    restored_at = await second.database.run(lambda db: get_meta(db, sources.RESTORED_AT))
    assert restored_at == f"{later:%Y-%m-%dT%H:%M:%SZ}"
