import asyncio
import datetime as dt
import logging
import stat
import threading
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import sqlite_utils

from bot.jobs import backups
from bot.jobs.backup_files import backup_file, dated_backups
from bot.jobs.backups import RETRY, Backups, backup_due
from storage import backup, chat_store
from storage.backup import row_counts
from storage.database import DiskFull, open_database
from tests.jobs.desk import Desk

NEW_YORK = ZoneInfo("America/New_York")
OWNER = 7
FULL = "The disk is full: the backup could not be written; free some room and try again."


@pytest.fixture
def desk(desk: Desk) -> Desk:
    """A desk whose owner is known and whose backups are its own."""
    desk.services.config = desk.services.config.with_keys(
        storage={"database": desk.database.path}, access={"owner": OWNER}
    )
    return desk


def night(day: int, hour: int = 3, minute: int = 30) -> dt.datetime:
    """A local time of January 2020."""
    return dt.datetime(2020, 1, day, hour, minute, tzinfo=NEW_YORK).astimezone(dt.UTC)


def names(desk: Desk) -> list[str]:
    return [file.name for _, file in dated_backups(desk.services.config)]


async def a_night(desk: Desk) -> Path | None:
    """The backup of 20 January, by a new process."""
    desk.now = night(20)
    return await Backups(desk.services).run()


async def nights(desk: Desk, *days: int) -> Backups:
    job = Backups(desk.services)
    for day in days:
        desk.now = night(day)
        assert await job.run() == backup_file(desk.services.config, desk.now.astimezone(NEW_YORK).date())
    return job


async def test_a_night_leaves_one_verified_copy_that_only_its_owner_reads(desk: Desk) -> None:
    await desk.closes([0.5] * 10)
    job = Backups(desk.services)
    desk.now = night(20, 3, 29)
    assert await job.run() is None
    desk.now = night(20)
    file = await job.run()
    assert file == desk.database.path.parent / "backups" / "bot-2020-01-20.sqlite3"
    assert file is not None
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert [entry.name for entry in file.parent.iterdir()] == [file.name]
    with open_database(file, read_only=True) as copy:
        assert copy.run_sync(row_counts) == await desk.database.run(row_counts)
    desk.now = night(20, 23)
    assert await job.run() is None


async def test_copies_are_kept_for_so_many_days_and_nothing_else_is_touched(desk: Desk) -> None:
    desk.services.config = desk.services.config.with_keys(backup={"keep": 3})
    folder = desk.services.config.backups
    folder.mkdir()
    others = ["bot-2019-12-01.db", "bot-2019-13-01.sqlite3", "other-2019-12-01.sqlite3", "notes.txt"]
    for name in others:
        (folder / name).write_text("mine")
    await nights(desk, 6, 7, 8, 9)
    assert names(desk) == [f"bot-2020-01-0{day}.sqlite3" for day in (9, 8, 7)]
    assert all((folder / name).exists() for name in others)


async def test_old_copies_go_once_a_new_one_is_there(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    await nights(desk, 2, 3)
    desk.now = night(31)
    with monkeypatch.context() as patch:
        patch.setattr(backups, "backup", full)
        assert await Backups(desk.services).run() is None
    assert names(desk) == ["bot-2020-01-03.sqlite3", "bot-2020-01-02.sqlite3"]
    await nights(desk, 31)
    assert names(desk) == ["bot-2020-01-31.sqlite3"]


async def test_what_is_left_of_a_copy_that_was_cut_off_goes_with_the_next_night(desk: Desk) -> None:
    folder = desk.services.config.backups
    folder.mkdir()
    for name in ("bot-2020-01-05.sqlite3.part", "bot-2020-01-05.sqlite3.part-journal", "mine.sqlite3.part"):
        (folder / name).write_text("half")
    await nights(desk, 6)
    assert sorted(file.name for file in folder.iterdir()) == ["bot-2020-01-06.sqlite3", "mine.sqlite3.part"]


def full(*_: object) -> None:
    raise DiskFull(FULL)


async def test_the_owner_is_told_once_that_backups_fail_and_once_that_they_work_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tried: list[dt.datetime] = []

    def failing(*_: object) -> None:
        tried.append(desk.now)
        full()

    with caplog.at_level(logging.CRITICAL), monkeypatch.context() as patch:
        patch.setattr(backups, "backup", failing)
        for restart in (False, True):  # a new process knows that it was told
            job = Backups(desk.services)
            for minute in (0, 30, 59, 60, 61):
                desk.now = night(20) + dt.timedelta(days=restart, minutes=minute)
                assert await job.run() is None
    assert [moment - night(20) for moment in tried[:2]] == [dt.timedelta(0), RETRY]
    assert len(tried) == 4
    (failure,) = await notices(desk)
    assert failure == f"The nightly backup failed: {FULL} It is tried again every hour."
    await nights(desk, 22, 23)
    assert (await notices(desk))[1:] == ["Backups work again; the newest is bot-2020-01-22.sqlite3."]


async def notices(desk: Desk) -> list[str]:
    rows = await desk.query("SELECT kind, chat_id FROM outbox")
    assert {(row["kind"], row["chat_id"]) for row in rows} <= {("notice", OWNER)}
    return await desk.messages()


async def test_the_owners_quiet_hours_defer_the_notice(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def prepare(db: sqlite_utils.Database) -> None:
        chat_store.ensure_chat(db, OWNER, "private", "", desk.now)
        chat_store.set_preferences(db, OWNER, quiet_from="22:00", quiet_to="07:00")

    await desk.database.run(prepare)
    monkeypatch.setattr(backups, "backup", full)
    assert await a_night(desk) is None
    assert await desk.query("SELECT not_before FROM outbox") == [{"not_before": "2020-01-20T12:00:00Z"}]


async def test_without_an_owner_a_failure_is_logged(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    desk.services.config = desk.services.config.with_keys(access={"owner": None})
    monkeypatch.setattr(backups, "backup", full)
    assert await a_night(desk) is None
    assert "the nightly backup failed: The disk is full" in caplog.text
    assert await notices(desk) == []


async def test_a_folder_that_cannot_be_written_is_a_failure_and_no_crash(desk: Desk) -> None:
    desk.services.config.backups.write_text("a file in the way")
    assert await a_night(desk) is None
    assert (await notices(desk))[0].startswith("The nightly backup failed: ")


async def test_a_copy_that_cannot_be_deleted_is_named(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "bot-2020-01-01.sqlite3")

    monkeypatch.setattr(backups, "make_backup", refused)
    assert await a_night(desk) is None
    assert await notices(desk) == [
        "The nightly backup failed: bot-2020-01-01.sqlite3 (Permission denied). It is tried again every hour."
    ]


async def test_a_clock_put_back_ends_a_failures_rest(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    job = Backups(desk.services)
    desk.now = night(30)
    with monkeypatch.context() as patch:
        patch.setattr(backups, "backup", full)
        await job.run()
    desk.now = night(20)
    assert await job.run() is not None


async def test_switched_off_nothing_is_copied(desk: Desk) -> None:
    desk.services.config = desk.services.config.with_keys(backup={"enabled": False})
    assert await a_night(desk) is None
    assert not desk.services.config.backups.exists()


async def test_the_tick_goes_on_while_a_copy_is_made(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    copied, real = [], backup.backup

    def slow(path: Path, target: Path) -> dict[str, int]:
        # On a thread of its own: the database answers others before this returns.
        counts = desk.database.run_sync(row_counts)
        copied.append(target)
        assert real(path, target) == counts
        return counts

    monkeypatch.setattr(backups, "backup", slow)
    await nights(desk, 20)
    assert len(copied) == 1


def test_a_copy_under_way_does_not_hold_up_the_end(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, release, ended = threading.Event(), threading.Event(), threading.Event()

    def stuck(*_: object) -> None:
        begun.set()
        release.wait(20)
        ended.set()

    async def ends() -> None:
        desk.now = night(20)
        task = asyncio.create_task(Backups(desk.services).run())
        await asyncio.to_thread(begun.wait, 60)
        task.cancel()

    monkeypatch.setattr(backups, "backup", stuck)
    asyncio.run(ends())  # comes back although the copy does not
    assert not ended.is_set()
    release.set()


@pytest.mark.parametrize(
    ("zone", "at", "now", "day"),
    [
        ("America/New_York", "02:30", "2020-03-08T07:00Z", dt.date(2020, 3, 8)),  # a gap: 03:00 EDT
        ("America/New_York", "02:30", "2020-03-08T06:59Z", None),
        ("Asia/Tokyo", "03:30", "2020-03-07T18:30Z", dt.date(2020, 3, 8)),
        ("Asia/Tokyo", "03:30", "2020-03-07T18:29Z", None),
    ],
)
def test_the_time_is_local(desk: Desk, zone: str, at: str, now: str, day: dt.date | None) -> None:
    config = desk.services.config.with_keys(time={"timezone": zone}, backup={"time": at})
    assert backup_due(config, dt.datetime.fromisoformat(now)) == day
