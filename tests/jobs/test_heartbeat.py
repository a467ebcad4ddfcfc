import datetime as dt
import logging
from collections.abc import Iterator
from dataclasses import replace

import pytest

from bot.jobs.scheduler import Scheduler
from tests.fakes.website import Answer, Website, page, redirect
from tests.jobs.desk import Desk, full_disk
from tests.jobs.test_scheduler import Counter, scheduled

SECRET = "b7e3a9c2"  # noqa: S105 - the test's
PATH = f"/ping/{SECRET}"


@pytest.fixture
def site() -> Iterator[Website]:
    with Website() as opened:
        opened.pages[PATH] = page("OK")
        yield opened


@pytest.fixture
def post() -> Counter:
    return Counter()


@pytest.fixture
def scheduler(desk: Desk, site: Website, post: Counter) -> Scheduler:
    return calling(desk, f"{site.address}{PATH}", post)


def calling(desk: Desk, url: str, post: Counter) -> Scheduler:
    desk.services.config = desk.services.config.with_keys(heartbeat={"url": url, "minutes": 5})
    return scheduled(desk, post)


async def minutes(desk: Desk, scheduler: Scheduler, count: int) -> None:
    """Ticks of half a minute."""
    for _ in range(2 * count):
        await scheduler.run_jobs()
        await scheduler.call_heartbeat()
        desk.now += dt.timedelta(seconds=30)


async def test_the_address_is_called_regularly(desk: Desk, scheduler: Scheduler, site: Website) -> None:
    await minutes(desk, scheduler, 16)
    assert site.asked == [PATH] * 4


async def test_it_is_not_called_after_a_tick_that_failed(
    desk: Desk, scheduler: Scheduler, site: Website, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(scheduler, "_record_heartbeat", full_disk)
        await minutes(desk, scheduler, 10)
    assert site.asked == []
    await minutes(desk, scheduler, 1)
    assert site.asked == [PATH]


async def test_it_is_not_called_while_telegram_cannot_be_reached(
    desk: Desk, scheduler: Scheduler, site: Website, post: Counter
) -> None:
    post.stopped = "Telegram refuses this token; sending is paused until it is accepted."
    await minutes(desk, scheduler, 10)
    assert site.asked == []


async def test_it_is_not_called_without_ticks(desk: Desk, scheduler: Scheduler, site: Website) -> None:
    await minutes(desk, scheduler, 1)
    for _ in range(20):
        desk.now += dt.timedelta(minutes=5)
        await scheduler.call_heartbeat()
    assert site.asked == [PATH]


async def test_a_clock_put_back_does_not_stop_it(desk: Desk, scheduler: Scheduler, site: Website) -> None:
    await minutes(desk, scheduler, 1)
    desk.now -= dt.timedelta(days=1)
    await minutes(desk, scheduler, 1)
    assert len(site.asked) == 2


async def test_a_redirect_is_followed(scheduler: Scheduler, site: Website) -> None:
    site.pages[PATH], site.pages["/there"] = redirect("/there"), page("OK")
    await scheduler.run_jobs()
    assert await scheduler._heartbeat.run()
    assert site.asked == [PATH, "/there"]


async def test_an_answer_that_never_ends_is_taken_by_its_head(scheduler: Scheduler, site: Website) -> None:
    site.pages[PATH] = replace(page("OK", length=10**9), then="hang")
    await scheduler.run_jobs()
    assert await scheduler._heartbeat.run()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (page("gone", f"404 {SECRET}"), "HTTP 404"),
        (page("", "500 Oops"), "HTTP 500"),
        (Answer(b""), "RemoteProtocolError"),
        (Answer(b"no http at all\r\n\r\n"), "RemoteProtocolError"),
        (Answer(b"", "hang"), "ReadTimeout"),
    ],
)
async def test_a_call_that_fails_is_logged_without_the_secret_and_made_again(
    desk: Desk,
    scheduler: Scheduler,
    site: Website,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    answer: Answer,
    reason: str,
) -> None:
    monkeypatch.setattr("bot.jobs.scheduler.HEARTBEAT_TIMEOUT", 0.2)
    site.pages[PATH] = answer
    with caplog.at_level(logging.INFO, "bot"):
        await minutes(desk, scheduler, 1)
    assert [record.getMessage() for record in caplog.records if record.name.startswith("bot")] == [
        f"the heartbeat was not accepted by 127.0.0.1 ({reason})"
    ]
    site.pages[PATH] = page("OK")
    await minutes(desk, scheduler, 5)
    assert site.asked == [PATH, PATH]


async def test_an_address_where_nobody_listens_is_named_by_its_host(
    desk: Desk, post: Counter, caplog: pytest.LogCaptureFixture
) -> None:
    with Website() as closed:
        address = closed.address
    scheduler = calling(desk, f"{address}{PATH}", post)
    await minutes(desk, scheduler, 1)
    assert "the heartbeat was not accepted by 127.0.0.1 (ConnectError)" in caplog.text
    assert SECRET not in caplog.text


async def test_without_an_address_nothing_is_called(desk: Desk, post: Counter) -> None:
    scheduler = calling(desk, "", post)
    await scheduler.run_jobs()
    assert not await scheduler._heartbeat.run()
