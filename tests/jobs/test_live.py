"""An open session, through the real refresh and the real tick: its moving price is no close."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from bot.data.yahoo import Yahoo
from bot.jobs.scheduler import Scheduler
from storage.records import Bar
from tests.data.conftest import CLOSES, COMPLETED, fake, loopback, yahoo, yahoo_cache
from tests.fakes.yahoo import FakeYahoo
from tests.fakes.yahoo_pages import Fund
from tests.jobs.desk import Desk
from tests.jobs.test_scheduler import scheduled

__all__ = ["fake", "loopback", "yahoo", "yahoo_cache"]

NEW_YORK = ZoneInfo("America/New_York")
TODAY = dt.date(2020, 12, 14)
SPY = 380.0  # IWM closed at 190.3: a ratio of 0.5008


def local(hour: int, minute: int = 0, second: int = 0) -> dt.datetime:
    return dt.datetime(2020, 12, 14, hour, minute, second, tzinfo=NEW_YORK)


@pytest.fixture
def scheduler(desk: Desk, fake: FakeYahoo, yahoo: Yahoo) -> Scheduler:
    fake.add(Fund("SPY", dict.fromkeys((day.date() for day in COMPLETED), SPY)))
    desk.services.live = True
    return scheduled(desk, providers=[yahoo])


async def tick(desk: Desk, scheduler: Scheduler, now: dt.datetime) -> None:
    """Prices asked for, whether they are due or not, and a tick."""
    desk.now = now.astimezone(dt.UTC)
    await scheduler.refresh(calls=1, force=True)
    await scheduler.run_jobs()


def moving(ticker: str, price: float) -> Bar:
    """The bar of a session that is open, as a source gives it."""
    return Bar(ticker, TODAY.isoformat(), price, price, price, price, volume=1, provisional=1)


async def test_forty_prices_of_an_open_session_make_no_event_its_close_makes_one(
    desk: Desk, scheduler: Scheduler, fake: FakeYahoo
) -> None:
    await tick(desk, scheduler, local(9, 0))
    above = await desk.alert("ratio > 0.55")
    below = await desk.alert("ratio < 0.45")
    small, large = fake.funds["IWM"], fake.funds["SPY"]
    for step in range(40):  # from far below to far above both levels and back
        now = local(9, 31) + step * dt.timedelta(minutes=9, seconds=30)
        price = 100.0 + 3.0 * (step * 37 % 100)
        if step % 8:
            desk.now = now.astimezone(dt.UTC)
            await desk.store("bars", [moving("IWM", price), moving("SPY", SPY)])
            await scheduler.run_jobs()
        else:
            small.live, large.live = (now, price), (now, SPY)
            await tick(desk, scheduler, now)
    assert fake.count("chart") >= 10
    assert await desk.events() == []
    assert {await desk.evaluated_up_to(alert) for alert in (above, below)} == {"2020-12-11"}

    small.live = large.live = None
    small.closes[TODAY], large.closes[TODAY] = (215.0, SPY)  # a ratio of 0.57, after a move that one session may make
    small.quoted_at = large.quoted_at = local(16, 0, 2)
    await tick(desk, scheduler, local(16, 14, 59))
    assert await desk.events() == []
    await tick(desk, scheduler, local(16, 15))
    assert await desk.events() == [f"{above} fired {TODAY}"]
    assert await desk.titles() == ["#1 fired · close of Mon 14 Dec 2020"]
    await tick(desk, scheduler, local(16, 16))
    assert await desk.events() == [f"{above} fired {TODAY}"]
    assert CLOSES[-1] / SPY < 0.55
