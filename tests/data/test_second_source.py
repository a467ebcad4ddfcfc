"""A second source of prices the whole way: a loopback Yahoo that fails, and a web site with daily CSVs."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from bot.analytics.sessions import Sessions
from bot.analytics.windows import AsOf
from bot.data.csv_source import DailyCsv
from bot.data.load import build_market, read_frames
from bot.data.refresh import refresh
from bot.data.yahoo import Yahoo
from bot.messages.canvas import LIGHT
from bot.messages.html import strip_html
from bot.messages.pages.compare import compare_answer
from storage import sources
from storage.database import Database, open_database
from tests.data.conftest import forget
from tests.fakes.website import page
from tests.fakes.yahoo_pages import sample_fund

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from bot.analytics.market import Market
    from bot.data.provider import Provider
    from tests.fakes.website import Website
    from tests.fakes.yahoo import FakeYahoo


SESSIONS = Sessions()
DAYS = [day.date() for day in SESSIONS.between(pd.Timestamp("2020-11-02"), pd.Timestamp("2020-12-18"))]
FRIDAY = dt.datetime(2020, 12, 11, 21, 30, tzinfo=dt.UTC)
MONDAY = dt.datetime(2020, 12, 14, 21, 15, tzinfo=dt.UTC)  # the session counts from here
STALE = MONDAY + dt.timedelta(hours=3)
LATER = dt.timedelta(days=1)


class World:
    """Both sources with the same made-up closes, as they would be served at an instant."""

    def __init__(self, fake: FakeYahoo, site: Website, database: Database, cache: Path) -> None:
        self.fake, self.site, self.database = fake, site, database
        self.csv = DailyCsv(f"{site.address}/{{ticker}}.csv", lambda: SESSIONS, timeout=5)
        yahoo = Yahoo(cache, timeout=5)
        yahoo.serves = ("prices",)
        self.providers: list[Provider] = [yahoo, self.csv]
        self.factor = 1.0  # of the second source's closes

    async def at(self, now: dt.datetime, *, yahoo: str = "", dropped: tuple[dt.date, ...] = ()) -> list[str]:
        """Refresh at `now`, with Yahoo's fault and what it drops; sources and subjects that were asked."""
        self._serve(now, dropped)
        self.fake.heal()
        if yahoo:
            self.fake.fail("all", yahoo)
        self.reports = await refresh(self.database, self.providers, SESSIONS, now, tickers=("IWM", "SPY"))
        return [f"{report.source} {report.subject}" for report in self.reports if "prices" in report.subject]

    async def market(self, now: dt.datetime) -> Market:
        return build_market(await self.database.run(read_frames), SESSIONS, now)

    async def row(self, source: str) -> sources.SourceStatus:
        status = await self.database.run(lambda db: sources.source_status(db, source, "IWM prices"))
        assert status is not None
        return status

    def _serve(self, now: dt.datetime, dropped: tuple[dt.date, ...]) -> None:
        shown = [day for day in DAYS if pd.Timestamp(day) <= SESSIONS.last_completed(now)]
        for ticker, price in (("IWM", 150.0), ("SPY", 340.0)):
            fund = sample_fund(ticker, shown, price)
            rows = "".join(f"{day},{close * self.factor:.2f}\n" for day, close in fund.closes.items() if close)
            self.site.pages[f"/{ticker}.csv"] = page(f"Date,Close\n{rows}")
            for day in dropped:
                fund.closes.pop(day, None)
            self.fake.add(fund)


@pytest.fixture
async def world(fake: FakeYahoo, yahoo_cache: Path, tmp_path: Path, site: Website) -> AsyncIterator[World]:
    forget(yahoo_cache)
    with open_database(tmp_path / "bot.db") as database:
        yield World(fake, site, database, yahoo_cache)


BOTH = ["yahoo IWM prices", "yahoo SPY prices", "daily-csv IWM prices", "daily-csv SPY prices"]
YAHOO, CSV = BOTH[:2], BOTH[2:]


async def test_while_yahoo_answers_the_second_source_is_never_asked(world: World) -> None:
    for now in (FRIDAY, MONDAY, MONDAY + LATER):
        assert await world.at(now) == YAHOO
        assert await world.at(now) == []


@pytest.mark.parametrize("fault", ["500", "429"])
async def test_a_stale_session_that_yahoo_lacks_comes_from_the_second_source(fault: str, world: World) -> None:
    await world.at(FRIDAY)
    assert await world.at(MONDAY, yahoo=fault) in (YAHOO, YAHOO[:1])  # the first 429 ends the asking
    assert (await world.market(STALE)).end == pd.Timestamp("2020-12-11")
    subjects = await world.at(STALE, yahoo=fault)
    assert subjects[-2:] == CSV
    market = await world.market(STALE)
    assert market.end == pd.Timestamp("2020-12-14")
    assert market.source("prices").label == "Yahoo + daily CSV (1 session)"
    tuesday = await world.at(MONDAY + LATER)
    assert tuesday == YAHOO
    assert (await world.market(MONDAY + LATER)).source("prices").label == "Yahoo"


async def test_closes_that_disagree_are_never_mixed_in(world: World) -> None:
    world.factor = 1.02
    await world.at(FRIDAY)
    await world.at(STALE, yahoo="500")
    market = await world.market(STALE)
    assert market.end == pd.Timestamp("2020-12-11")
    assert market.source("prices").label == "Yahoo"
    assert (await world.row("daily-csv")).last_session == MONDAY.date()
    answer = compare_answer(market, AsOf(), LIGHT)
    assert (
        "Prices of Yahoo and daily CSV differ by up to 2.00% on 29 sessions, the last on 11 Dec 2020. "
        "Those of Yahoo are used; see /status."
    ) in strip_html(f"{answer.html}\n{answer.quote}").splitlines()


async def test_a_session_that_yahoo_drops_is_filled_and_asked_for_until_it_comes(world: World) -> None:
    dropped = (dt.date(2020, 12, 14),)
    await world.at(FRIDAY)
    await world.at(MONDAY, dropped=dropped)
    assert (await world.row("yahoo")).last_session == FRIDAY.date()
    tuesday = MONDAY + LATER
    assert await world.at(tuesday, dropped=dropped) == BOTH  # Monday is stale by now
    row = await world.row("yahoo")
    assert (f"{row.last_session}", row.missing) == ("2020-12-15", "2020-12-14")
    market = await world.market(tuesday)
    assert market.source("prices").label == "Yahoo + daily CSV (1 session)"
    assert len(market.missing) == 0

    assert await world.at(tuesday + dt.timedelta(hours=5)) == []
    assert await world.at(tuesday + dt.timedelta(hours=6)) == YAHOO
    row = await world.row("yahoo")
    assert (f"{row.last_session}", row.missing) == ("2020-12-15", "")
    assert (await world.market(tuesday)).source("prices").label == "Yahoo"


async def test_with_yahoo_switched_off_the_second_source_is_the_first(world: World) -> None:
    assert await world.at(FRIDAY - LATER) == YAHOO
    world.providers = [world.csv]
    assert await world.at(MONDAY) == CSV
    assert (await world.market(MONDAY)).source("prices").label == "Yahoo + daily CSV (2 sessions)"
