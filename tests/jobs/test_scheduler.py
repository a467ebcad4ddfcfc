import datetime as dt
import logging
from functools import partial
from typing import Any

import pytest
from telegram.ext import Application
from telegram.warnings import PTBUserWarning

from bot.data.provider import FetchOutcome, Provider
from bot.delivery.outcome import DrainReport
from bot.errors import OUT_OF_MEMORY
from bot.jobs import scheduler as tick
from bot.jobs.scheduler import TICK_SECONDS, Scheduler
from bot.services import OUTBOX_KEPT
from storage import outbox, sources
from storage.database import DiskFull
from tests.jobs.desk import Desk, sessions
from tests.storage.messages import claim, queue_message

STEPS = (
    "_record_heartbeat",
    "send_deferred",
    "_evaluation",
    "report_outages",
    "announce_ends",
    "_summaries",
    "_delivery",
    "_prune",
)


class Counter:
    """Stands for the delivery: it counts, and fails when told to."""

    stopped = ""

    def __init__(self) -> None:
        self.drained = self.woken = 0
        self.outage_notifier = self
        self.faults: list[Exception] = []

    async def drain(self) -> DrainReport:
        self.drained += 1
        return DrainReport()

    async def keep_sending(self, failed: Any) -> None:  # noqa: ANN401 - as the delivery has it
        await self.drain()
        await failed(DiskFull("full"))

    async def is_idle(self) -> bool:
        return False

    def wake(self) -> None:
        self.woken += 1

    async def notify(self, error: Exception) -> None:
        self.faults.append(error)


class Source(Provider):
    """A source that notes what it is asked, and fails."""

    name, label, serves, tickers = "slow", "Slow", ("prices",), ("IWM", "SPY")

    def __init__(self) -> None:
        self.asked: list[str] = []

    def prices(self, ticker: str, *_: object) -> FetchOutcome:
        self.asked.append(ticker)
        raise ZeroDivisionError


@pytest.fixture
def delivery() -> Counter:
    return Counter()


@pytest.fixture
def scheduler(desk: Desk, delivery: Counter) -> Scheduler:
    return scheduled(desk, delivery)


def scheduled(desk: Desk, delivery: Any = None, providers: Any = ()) -> Scheduler:  # noqa: ANN401 - stand-ins
    counter: Any = delivery or Counter()
    return Scheduler(desk.services, providers, counter)


async def ready(desk: Desk) -> None:
    """An alert that fires, a summary that is due."""
    await desk.subscriber("16:30")
    await desk.closes([0.5] * 10)
    await desk.alert("ratio > 0.6")
    await desk.closes([0.65], sessions("2020-01-16", 1)[0])


async def kinds(desk: Desk) -> list[str]:
    return [row["kind"] for row in await desk.query("SELECT kind FROM outbox ORDER BY id")]


async def test_a_tick_evaluates_and_sends(desk: Desk, scheduler: Scheduler, delivery: Counter) -> None:
    await ready(desk)
    await scheduler.tick()
    assert await kinds(desk) == ["alert", "summary"]
    assert delivery.drained == 1
    await scheduler.tick()
    assert await kinds(desk) == ["alert", "summary"]


async def test_the_heartbeat_is_the_last_tick_by_the_real_clock_whatever_day_is_played(
    desk: Desk, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.now = dt.datetime(2020, 3, 16, 12, tzinfo=dt.UTC)
    for hour in (10, 11):
        now = dt.datetime(2020, 1, 16, hour, 0, 30, 999, tzinfo=dt.UTC)
        monkeypatch.setattr(tick, "wall_clock", lambda now=now: now)
        await scheduler.run_jobs()
    beat = await desk.database.run(sources.last_heartbeat)
    assert beat == dt.datetime(2020, 1, 16, 11, 0, 30, tzinfo=dt.UTC)


@pytest.mark.parametrize(("step", "fault"), [*((step, DiskFull) for step in STEPS), ("_evaluation", ZeroDivisionError)])
async def test_one_failing_step_leaves_the_others_running(
    desk: Desk,
    scheduler: Scheduler,
    delivery: Counter,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    fault: type[Exception],
) -> None:
    await ready(desk)
    break_step(monkeypatch, scheduler, step, fault)
    with caplog.at_level(logging.ERROR, "bot.jobs.scheduler"):
        await scheduler.tick()
    (record,) = caplog.records
    assert "the next tick tries again" in record.getMessage()
    expected = {"_evaluation": ["summary"], "_summaries": ["alert"]}.get(step, ["alert", "summary"])
    assert await kinds(desk) == expected
    assert delivery.drained == (step != "_delivery")
    assert [type(error) for error in delivery.faults] == [fault]
    beat = await desk.database.run(sources.last_heartbeat)
    assert (beat is None) == (step == "_record_heartbeat")


def break_step(monkeypatch: pytest.MonkeyPatch, scheduler: Scheduler, step: str, fault: type[Exception]) -> None:
    async def failing(*_: object) -> None:
        raise fault("broken")

    holder: Any = getattr(scheduler, step, None)
    if holder is None:
        monkeypatch.setattr(tick, step, failing)
    elif callable(holder):
        monkeypatch.setattr(scheduler, step, failing)
    else:
        monkeypatch.setattr(holder, "drain" if step == "_delivery" else "run", failing)


async def test_a_database_that_is_moved_away_under_the_bot_is_a_fault_that_the_owner_hears_of(
    desk: Desk, scheduler: Scheduler, delivery: Counter, caplog: pytest.LogCaptureFixture
) -> None:
    await scheduler.run_jobs()
    desk.database.path.rename(desk.database.path.with_name("moved.sqlite3"))
    with caplog.at_level(logging.CRITICAL):
        await scheduler.run_jobs()
    assert [str(fault) for fault in delivery.faults] == [
        f"{desk.database.path} was deleted or replaced while the bot had it open."
    ]


async def test_a_failing_source_stops_nothing(desk: Desk, delivery: Counter, caplog: pytest.LogCaptureFixture) -> None:
    source = Source()
    desk.services.live = True
    scheduler = scheduled(desk, delivery, [source])
    with caplog.at_level(logging.CRITICAL):
        await scheduler.tick()
    assert source.asked == ["IWM", "SPY"]
    assert delivery.drained == 1


async def test_a_lack_of_memory_is_one_line(
    scheduler: Scheduler, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_step(monkeypatch, scheduler, "_evaluation", MemoryError)
    with caplog.at_level(logging.ERROR, "bot.jobs.scheduler"):
        await scheduler.tick()
    assert [(record.getMessage(), record.exc_info) for record in caplog.records] == [
        (f"{OUT_OF_MEMORY.rstrip('.')}; the next tick tries again", None)
    ]


async def test_asking_that_breaks_is_logged_and_left(
    desk: Desk, delivery: Counter, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = scheduled(desk, delivery)

    async def failing(**_: object) -> None:
        raise DiskFull("full")

    monkeypatch.setattr(scheduler, "refresh", failing)
    with caplog.at_level(logging.ERROR, "bot.jobs.scheduler"):
        await scheduler.tick()
    assert [record.getMessage() for record in caplog.records] == [
        "the database could not be used; the next tick tries again"
    ]
    assert delivery.drained == 1


async def test_offline_no_source_is_asked(desk: Desk, delivery: Counter) -> None:
    source = Source()
    scheduler = scheduled(desk, delivery, [source])
    assert await scheduler.refresh(force=True) == []
    await scheduler.tick()
    assert source.asked == []


async def test_what_was_sent_long_ago_is_forgotten_once_a_day(desk: Desk, scheduler: Scheduler) -> None:
    old, new = desk.now - OUTBOX_KEPT - dt.timedelta(days=1), desk.now - dt.timedelta(days=1)
    for name, moment in (("old", old), ("new", new)):
        await sent(desk, name, moment)
    await scheduler.run_jobs()
    assert await dedups(desk) == ["new"]
    await sent(desk, "old", old)
    desk.now += dt.timedelta(hours=23)
    await scheduler.run_jobs()
    assert await dedups(desk) == ["new", "old"]
    desk.now += dt.timedelta(hours=1)
    await scheduler.run_jobs()
    assert await dedups(desk) == ["new"]


async def test_a_clock_put_back_stops_no_forgetting_and_lets_go_what_the_wrong_one_put_off(
    desk: Desk, scheduler: Scheduler
) -> None:
    right = desk.now
    desk.now += dt.timedelta(days=365)
    await scheduler.run_jobs()
    put_off = partial(queue_message, chat_id=1, kind="alert", dedup="put off", body=outbox.MessageBody())
    await desk.database.run(partial(put_off, now=desk.now, not_before=desk.now + dt.timedelta(seconds=5)))
    await sent(desk, "old", right - OUTBOX_KEPT - dt.timedelta(days=1))
    desk.now = right
    await scheduler.run_jobs()
    assert await dedups(desk) == ["put off"]
    assert [row.dedup for row in await desk.database.run(lambda db: claim(db, right))] == ["put off"]


async def sent(desk: Desk, dedup: str, moment: dt.datetime) -> None:
    def write(db: Any) -> None:  # noqa: ANN401 - sqlite-utils
        row = queue_message(db, chat_id=1, kind="alert", dedup=dedup, body=outbox.MessageBody(), now=moment)
        assert row is not None
        claim(db, moment)
        outbox.mark_sent(db, row, 1, moment)

    await desk.database.run(write)


async def dedups(desk: Desk) -> list[str]:
    return [row["dedup"] for row in await desk.query("SELECT dedup FROM outbox ORDER BY dedup")]


def application(*, queue: bool = True) -> Any:  # noqa: ANN401 - PTB's six type variables
    builder = Application.builder().token("1:" + "A" * 35).updater(None)
    return builder.build() if queue else builder.job_queue(None).build()


async def run_job(app: Any, name: str) -> None:  # noqa: ANN401 - as above
    (job,) = app.job_queue.get_jobs_by_name(name)
    await job.callback(None)


def test_the_jobs_repeat_apart_and_no_delay_drops_a_tick(scheduler: Scheduler) -> None:
    app = application()
    scheduler.schedule(app)
    jobs = {job.name: job for job in app.job_queue.jobs()}
    assert set(jobs) == {"sources", "jobs", "send", "backup", "heartbeat", "edits"}
    assert jobs.pop("send").job.misfire_grace_time is None
    for job in jobs.values():
        assert job.job.trigger.interval == dt.timedelta(seconds=TICK_SECONDS)
        assert job.job.misfire_grace_time == TICK_SECONDS
        assert job.job.coalesce is True
        assert job.job.max_instances == 1


@pytest.mark.parametrize(
    ("name", "did"),
    [("sources", (0, 0, 0)), ("jobs", (1, 0, 0)), ("send", (0, 1, 1)), ("backup", (0, 0, 0)), ("heartbeat", (0, 0, 0))],
)
async def test_each_job_does_its_part(
    scheduler: Scheduler, delivery: Counter, name: str, did: tuple[int, int, int]
) -> None:
    app = application()
    scheduler.schedule(app)
    await run_job(app, name)
    assert (delivery.woken, delivery.drained, len(delivery.faults)) == did


async def test_the_backup_job_makes_the_backup_that_is_due(desk: Desk, scheduler: Scheduler) -> None:
    desk.services.config = desk.services.config.with_keys(storage={"database": desk.database.path})
    desk.now = dt.datetime(2020, 1, 16, 14, tzinfo=dt.UTC)
    app = application()
    scheduler.schedule(app)
    await run_job(app, "backup")
    assert [file.name for file in desk.services.config.backups.iterdir()] == ["bot-2020-01-16.sqlite3"]


def test_without_a_job_queue_nothing_can_be_scheduled(scheduler: Scheduler) -> None:
    missing = "^python-telegram-bot was installed without its job-queue extra$"
    with pytest.warns(PTBUserWarning), pytest.raises(RuntimeError, match=missing):
        scheduler.schedule(application(queue=False))
