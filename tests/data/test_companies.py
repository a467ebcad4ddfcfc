"""Runs over companies, from real yfinance over TLS to what is stored."""

from __future__ import annotations

import datetime as dt
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import pandas as pd
import pytest

from bot.analytics.companies import FundSums
from bot.analytics.metrics import METRICS
from bot.analytics.sessions import Sessions
from bot.analytics.valuation import GROUP, SECTOR, company_sums, convention_for
from bot.data.companies import SECTORS, Companies
from bot.data.load import build_market, read_frames
from bot.data.refresh import FetchReport, refresh
from bot.data.store import store
from storage import observations
from storage.database import Database, open_database
from storage.records import EQUITY, Bar, CompanySums, Constituent, Holdings, Multiple, SectorWeight
from storage.sources import save_holdings
from tests.fakes.yahoo_pages import company

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from bot.analytics.market import Market
    from bot.data.yahoo import Yahoo
    from tests.fakes.yahoo import FakeYahoo, Fault

SESSIONS = Sessions()
FRIDAY = dt.datetime(2020, 12, 11, 21, 30, tzinfo=dt.UTC)
MONDAY = dt.datetime(2020, 12, 14, 21, 30, tzinfo=dt.UTC)
HELD = ("AAA", "BBB", "CCC", "DDD", "EEE")
Held = "Iterable[str]"


def held(ticker: str, symbols: Iterable[str] = HELD, **changed: object) -> Holdings:
    """A fund with the same of each company, as of the day before."""
    rows = [Constituent(symbol, f"{symbol} INC", "", EQUITY, 100.0, None, None, 1.0, "USD") for symbol in symbols]
    return msgspec.structs.replace(Holdings(ticker, "2020-12-10", None, tuple(rows)), **changed)


class World:
    """A database, the fake Yahoo with the companies of HELD, and runs over them."""

    def __init__(self, database: Database, fake: FakeYahoo, yahoo: Yahoo) -> None:
        self.database, self.fake, self.yahoo = database, fake, yahoo

    async def hold(self, *lists: Holdings) -> None:
        for holdings in lists:
            await self.database.run(partial(save_holdings, holdings=holdings, now=FRIDAY))

    async def run(
        self,
        now: dt.datetime = FRIDAY,
        kind: str = "companies",
        **options: Any,  # noqa: ANN401 - those of refresh
    ) -> list[FetchReport]:
        provider = Companies(self.yahoo)
        provider.serves = (kind,)
        return await refresh(self.database, [provider], SESSIONS, now, **options)

    async def run_iwm(
        self, *rows: dict[str, object], held_too: Iterable[str] = (), now: dt.datetime = FRIDAY
    ) -> FetchReport:
        """A run over IWM's companies, those of HELD, changed by `rows`, and others."""
        self.serve(*rows)
        await self.hold(held("IWM", (*HELD, *held_too)))
        [report] = await self.run(now, tickers=("IWM",))
        return report

    async def figures(self, ticker: str = "IWM") -> dict[tuple[str, str, str], float | None]:
        rows = await self.database.run(lambda db: observations.newest(db, Multiple, ticker=ticker))
        assert {row.source for row in rows} <= {"companies"}
        return {(row.metric, row.convention, row.basis): row.value for row in rows}

    async def sums(self, ticker: str = "IWM") -> FundSums:
        [row] = await self.stored_sums(ticker)
        return msgspec.json.decode(row.contents, type=FundSums)

    async def stored_sums(self, ticker: str = "IWM") -> list[CompanySums]:
        return await self.database.run(lambda db: observations.newest(db, CompanySums, ticker=ticker))

    async def market(self, iwm: tuple[float, float], *spy: float) -> Market:
        """The market of Monday, with closes of Friday and Monday."""
        bars = [
            Bar(ticker, session, price)
            for ticker, prices in {"IWM": iwm, "SPY": spy}.items()
            for session, price in zip(("2020-12-11", "2020-12-14"), prices, strict=False)
        ]
        await self.database.run(partial(store, rows={"bars": bars}, source="yahoo", observed_at=MONDAY))
        return build_market(await self.database.run(read_frames), SESSIONS, MONDAY)

    def serve(self, *rows: dict[str, object], count: int = 0) -> None:
        """Companies of HELD, changed by `rows`, and others that are larger."""
        all_rows = [company(symbol) for symbol in HELD] + list(rows)
        all_rows += [company(f"L{number}", marketCap=10**9 + number) for number in range(count)]
        self.fake.companies.update({str(row["symbol"]): row for row in all_rows})


@pytest.fixture
def world(database: Database, fake: FakeYahoo, yahoo: Yahoo) -> World:
    return World(database, fake, yahoo)


def offsets(fake: FakeYahoo) -> list[int]:
    return [page["offset"] for page in fake.screens]


async def test_a_run_stores_both_funds_figures(world: World) -> None:
    world.serve(company("EEE", epsTrailingTwelveMonths=-2.0), count=250)
    await world.hold(held("IWM"), held("SPY", ("AAA", "L1")))
    reports = await world.run()
    assert [report.ok for report in reports] == [True, True]
    assert offsets(world.fake) == [0, 250]
    assert world.fake.count("quote") == 0
    assert await world.figures() == {
        ("pe", "losses_in", "trailing"): 50.0,
        ("pe", "positive", "trailing"): 20.0,
        ("pe", "capped", "trailing"): 20.0,
        ("earnings_yield", "losses_in", "trailing"): 2.0,
        ("loss_share", "losses_in", "trailing"): 20.0,
        ("pe", "losses_in", "forward"): 16.0,
        ("pe", "positive", "forward"): 16.0,
        ("pe", "capped", "forward"): 16.0,
        ("earnings_yield", "losses_in", "forward"): 6.25,
        ("loss_share", "losses_in", "forward"): 0.0,
        ("pb", "losses_in", "trailing"): 2.0,
    }
    [row, *_] = await world.database.run(lambda db: observations.newest(db, Multiple, ticker="IWM"))
    assert (row.session, row.holdings_date, row.price_date) == ("2020-12-11", "2020-12-10", "2020-12-11")
    assert row.coverage == 1.0
    total = await world.sums()
    assert [loss.ticker for loss in total.trailing.losses] == ["EEE"]
    assert (await world.sums("SPY")).equities == 2


async def test_a_session_has_one_run_whoever_asks(world: World) -> None:
    world.serve()
    await world.hold(held("IWM"))
    [report] = await world.run()  # none of SPY, of which no list of holdings is stored
    assert report.subject == "IWM companies"
    assert await world.run(FRIDAY + dt.timedelta(hours=1), force=True, tickers=("IWM",)) == []
    assert offsets(world.fake) == [0]
    await world.run(MONDAY, tickers=("IWM",))
    assert offsets(world.fake) == [0, 0]
    assert len(await world.stored_sums()) == 2


PAGE_FAULTS: dict[str, Fault] = {
    **{name: name for name in ("429", "401", "500", "html", "empty", "broken", "truncated", "reset")},
    "no quotes": lambda page: _without(page, "quotes"),
    "another page": lambda page: _replaced(page, start=0),
    "a page cut short": lambda page: _replaced(page, total=500),
    "an empty page": lambda page: _replaced(page, quotes=[]),
    "no companies at all": lambda page: _replaced(page, quotes=[], total=0),
    "no earnings": lambda page: _rows(page, lambda row: _dropped(row, "epsTrailingTwelveMonths")),
    "no currency": lambda page: _rows(page, lambda row: _dropped(row, "currency")),
    "texts": lambda page: _rows(page, lambda row: row | {"epsTrailingTwelveMonths": "1.00"}),
}


def _result(page: dict[str, Any]) -> dict[str, Any]:
    part: dict[str, Any] = page["finance"]["result"][0]
    return part


def _without(page: dict[str, Any], key: str) -> dict[str, Any]:
    del _result(page)[key]
    return page


def _replaced(page: dict[str, Any], **values: object) -> dict[str, Any]:
    _result(page).update(values)
    return page


def _rows(page: dict[str, Any], change: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    return _replaced(page, quotes=[change(row) for row in _result(page)["quotes"]])


def _dropped(row: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != key}


@pytest.mark.parametrize("fault", PAGE_FAULTS)
async def test_a_page_that_fails_ends_the_run_which_goes_on_there(
    fault: str, tmp_path: Path, fake: FakeYahoo, yahoo: Yahoo
) -> None:
    with open_database(tmp_path / "bot.db") as database:
        world = World(database, fake, yahoo)
        world.serve(count=300)
        await world.hold(held("IWM", (*HELD, *(f"L{number}" for number in range(300)))))
        await world.run(calls=1, tickers=("IWM",))
        fake.fail("screen", PAGE_FAULTS[fault])
        [report] = await world.run(tickers=("IWM",))
        assert not report.ok
        assert (await world.stored_sums(), await world.figures()) == ([], {})
    fake.heal()
    fake.screens.clear()
    with open_database(tmp_path / "bot.db") as database:  # as after a kill
        world = World(database, fake, yahoo)
        [report] = await world.run(FRIDAY + dt.timedelta(minutes=21), tickers=("IWM",))
        assert report.ok, report
        assert offsets(fake) == [250]
        assert (await world.figures())["pe", "losses_in", "trailing"] == 20.0
        assert (await world.sums()).trailing.companies == 305


@pytest.mark.parametrize("fault", ["429", "500", "html", "reset", "empty"])
async def test_symbols_that_fail_are_asked_for_again(fault: str, world: World) -> None:
    world.fake.fail("quote", fault)
    assert not (await world.run_iwm(company("EEE", exchange="PNK"))).ok
    assert await world.figures() == {}
    world.fake.heal()
    await world.run(FRIDAY + dt.timedelta(minutes=21), tickers=("IWM",))
    assert (await world.sums()).trailing.companies == 5
    assert offsets(world.fake) == [0]


ROW_FAULTS: dict[str, tuple[dict[str, object], str]] = {
    "another company": ({"shortName": "Zed Corp", "longName": "Zed Corporation"}, "another company's ticker"),
    "share count": ({"sharesOutstanding": 1_000}, "wrong share count"),
    "currency": ({"financialCurrency": "BRL", "epsTrailingTwelveMonths": 9.0}, "not in dollars"),
    "listing": ({"currency": "CAD"}, "not in dollars"),
    "a fund": ({"quoteType": "ETF"}, "no stock"),
    "no price": ({"regularMarketPrice": None}, "no quote"),
}


@pytest.mark.parametrize("fault", ROW_FAULTS)
async def test_a_wrong_row_is_left_out_and_counted(fault: str, world: World) -> None:
    changed, reason = ROW_FAULTS[fault]
    await world.run_iwm(company("EEE", **changed))
    total = await world.sums()
    assert (total.left_out, total.trailing.companies, total.trailing.coverage) == ({reason: 1}, 4, 0.8)
    assert (await world.figures())["pe", "losses_in", "trailing"] == 20.0


async def test_rows_of_one_symbol_that_contradict_each_other_are_asked_for_alone(world: World) -> None:
    other = company("EEE", epsForward=9.0)
    world.fake.fail("screen", lambda page: _replaced(page, quotes=[*_result(page)["quotes"], other]))
    await world.run_iwm()
    asked = [query["symbols"] for part, query in world.fake.asked if part == "quote"]
    assert asked == ["IWM,EEE"]
    assert (await world.sums()).forward.amount == 5 * 125.0


async def test_missing_fields_leave_the_company_out_of_the_sums_that_need_them(world: World) -> None:
    row = company("EEE", epsTrailingTwelveMonths=None, bookValue=float("nan"), sharesOutstanding=None)
    await world.run_iwm(row)
    total = await world.sums()
    assert (total.trailing.companies, total.forward.companies, total.book.companies) == (4, 5, 4)


async def test_a_page_of_small_companies_may_have_neither_profits_nor_estimates(world: World) -> None:
    symbols = [f"S{number}" for number in range(40)]
    small = {"epsTrailingTwelveMonths": -1.0, "trailingPE": None, "epsForward": None}
    report = await world.run_iwm(*(company(symbol, **small) for symbol in symbols), held_too=symbols)
    assert report.ok, report
    assert (await world.sums()).trailing.losing == 40


async def test_too_little_coverage_stores_no_figure(world: World) -> None:
    report = await world.run_iwm(held_too=("FFF", "GGG", "HHH", "III"))
    assert "missing 44% of the weight" in report.outcome
    assert await world.figures() == {}
    assert (await world.sums()).left_out == {"no quote": 4}


async def test_what_no_page_has_is_asked_for_by_symbol(world: World) -> None:
    rows = {f"{symbol}-B": company(f"{symbol}-B", shortName=f"{symbol}B") for symbol in HELD}
    world.fake.companies.update(rows)
    world.fake.companies["AAA-B"]["exchange"] = "PNK"
    await world.hold(held("IWM", [*(f"{symbol}B" for symbol in HELD), *(f"N{n}" for n in range(200))]))
    await world.run(tickers=("IWM",))
    asked = [query["symbols"].split(",") for part, query in world.fake.asked if part == "quote"]
    assert [len(symbols) for symbols in asked] == [99, 99, 7]
    assert asked[0][:3] == ["IWM", "AAAB", "AAA-B"]
    assert (await world.sums()).trailing.companies == 5


async def test_the_close_of_the_session_is_used_when_the_next_has_opened(world: World) -> None:
    opened = int(dt.datetime(2020, 12, 14, 15, 0, tzinfo=dt.UTC).timestamp())
    await world.run_iwm(*(company(symbol, regularMarketTime=opened) for symbol in HELD))
    assert (await world.figures())["pe", "losses_in", "trailing"] == 19.0


async def test_a_tick_makes_one_request(world: World) -> None:
    world.serve(count=300)
    await world.hold(held("IWM"))
    for minute in range(4):
        now = FRIDAY + dt.timedelta(minutes=minute)
        reports = await world.run(now, calls=1, tickers=("IWM",))
        assert world.fake.count("screen") + world.fake.count("quote") == min(minute + 1, 2)
        assert len(reports) == (minute < 3)
    assert (await world.sums()).trailing.companies == 5


async def test_groups_once_a_week(world: World) -> None:
    kinds = [
        {"industry": "Biotechnology", "sector": "Healthcare"},
        {"industry": "Drug Manufacturers—General", "sector": "Healthcare"},
        {"industry": "Banks—Regional", "sector": "Financial Services"},
        {"industry": "REIT—Office", "sector": "Real Estate", "shortName": "Zed", "longName": "Zed Inc"},
    ]
    world.serve(*(company(symbol, **kind) for symbol, kind in zip(HELD, kinds, strict=False)))
    await world.hold(held("IWM"), held("SPY", ("AAA", "FFF")))
    await world.run(kind="groups")
    assert world.fake.count("screen") == len(SECTORS) + 4
    rows = await world.database.run(lambda db: observations.newest(db, SectorWeight, source="companies"))
    assert {row.sector for row in rows}.isdisjoint({"Energy", "Retail"})  # lists without any company
    weights = {(row.ticker, row.level, row.sector): row.weight for row in rows if row.weight}
    assert weights == {
        ("IWM", GROUP, "Banks"): 20.0,
        ("IWM", GROUP, "Biotech and pharma"): 40.0,
        ("IWM", SECTOR, "Healthcare"): 40.0,
        ("IWM", SECTOR, "Financial Services"): 20.0,
        ("IWM", SECTOR, "Technology"): 20.0,  # the ticker of the fourth is another company's
        ("SPY", GROUP, "Biotech and pharma"): 50.0,
        ("SPY", SECTOR, "Healthcare"): 50.0,
    }
    for later, due in ((MONDAY, False), (FRIDAY + dt.timedelta(days=7), True)):
        world.fake.screens.clear()
        await world.run(later, kind="groups", calls=1)
        assert bool(world.fake.screens) == due


async def test_between_runs_a_multiple_moves_with_the_funds_price(world: World) -> None:
    world.serve(company("EEE", epsTrailingTwelveMonths=-1.0, epsForward=-6.25))
    await world.hold(held("IWM"), held("SPY"))
    await world.run()
    market = await world.market((200.0, 220.0), 400.0, 360.0)
    names = ("pe", "pe_premium", "pb", "earnings_yield", "earnings_yield_gap", "loss_share", "estimates")
    asked = {"fund": "IWM", "convention": "losses_in"}
    values = {name: METRICS[name].history(market, asked) for name in names}
    assert {name: list(history.round(3)) for name, history in values.items()} == {
        "pe": [33.333, 36.667],
        "pe_premium": [0.0, 22.222],
        "pb": [2.0, 2.2],
        "earnings_yield": [3.0, 2.727],
        "earnings_yield_gap": [0.0, -0.606],
        "loss_share": [20.0],  # of the weights of the run's day
        "estimates": [],  # the first are no earnings
    }
    assert convention_for(market) == "losses_in"
    before = market.at(pd.Timestamp("2020-12-10"))
    assert (convention_for(before), company_sums(before, "IWM")) == (None, None)


async def test_estimates_are_those_of_the_first_day_as_100(world: World) -> None:
    await world.run_iwm()
    rows = (company(symbol, epsForward=1.0, regularMarketPrice=22.0) for symbol in HELD)
    await world.run_iwm(*rows, now=MONDAY)
    history = METRICS["estimates"].history(await world.market((200.0, 220.0)), {"fund": "IWM"})
    assert list(history.round(6)) == [100.0, 80.0]
