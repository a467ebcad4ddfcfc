"""The issuers' sites on loopback, over TLS, under the addresses that are the defaults."""

from __future__ import annotations

import copy
import datetime as dt
from collections import Counter
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from bot import __version__
from bot.analytics.sessions import Sessions
from bot.config import Config
from bot.data import companies, yahoo
from bot.data.issuers import fetch as fetching
from bot.data.issuers.fetch import IssuerFiles
from bot.data.refresh import build_providers, refresh
from bot.pair import DEFAULT_PAIR
from storage import observations
from storage.records import KINDS, Distribution, FundFacts
from storage.sources import stored_holdings
from tests.data.conftest import CLOSES, forget, iwm
from tests.data.issuers import samples
from tests.data.issuers.builders import Book, Cell, spreadsheetml, xlsx
from tests.data.issuers.test_nport import CONTACT, feed, filing
from tests.fakes.yahoo import WALL
from tests.fakes.yahoo_pages import company
from tests.fakes.yahoo_proxy import Answer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import sqlite_utils

    from bot.data.refresh import FetchReport
    from storage.database import Database
    from tests.fakes.yahoo import FakeYahoo

NOW = dt.datetime(2020, 12, 14, 21, 30, tzinfo=dt.UTC)  # Monday after the close: holdings are Friday's
NAME = f"small-versus-large-bot/{__version__}"
PAID: list[list[Cell]] = [
    [
        *("FUND NAME", "TICKER", "EX-DATE", "RECORD DATE", "PAYABLE DATE", "DIVIDEND ($)"),
        *("SHORT TERM CAPITAL GAIN ($)", "LONG TERM CAPITAL GAIN ($)"),
    ],
    ["Another fund", "XLK", "soon", "", "", "none", 0, 0],
    ["SPDR S&P 500", "SPY", "9/18/2020", "09/21/2020", "10/30/2020", 1.339224, 0.0, 0.0],
    ["SPDR S&P 500", "SPY", dt.date(2020, 6, 19), "06/22/2020", "07/31/2020", 1.0, 0.25, 0.116242],
    ["SPDR S&P 500", "SPY", "03/20/2020", "03/23/2020", "04/30/2020", 0.0, 0.0, 0.0],
]


def spy_held(day: str = "11-Dec-2020", ticker: str = "SPY") -> bytes:
    book = copy.deepcopy(samples.SPY_HELD)
    book["holdings"][1][1], book["holdings"][2][1] = ticker, f"As of {day}"
    return xlsx(book)


def iwm_held(as_of: str = "Dec 11, 2020", **more: object) -> bytes:
    return samples.holdings_csv(as_of=as_of, count="290,300,000.00", **more)  # type: ignore[arg-type]


FILES = {
    "component=fundDownload": spreadsheetml({**samples.FUND, "Holdings": []}),
    "component=holdings&asOfDate=20201211": iwm_held(),
    "/navhist-us-en-spy.xlsx": xlsx(samples.NAVHIST, strict=True),
    "/holdings-daily-us-en-spy.xlsx": spy_held(),
    "/spdr-etf-historical-distributions.xlsx": xlsx({"dividend": PAID}),
}


def serve(fake: FakeYahoo) -> None:
    fake.files = {part: Answer(200, content, "text/html") for part, content in FILES.items()}


async def ask(database: Database, now: dt.datetime = NOW, *, force: bool = True) -> dict[str, FetchReport]:
    """What became of each file, by its fund and kind."""
    providers = [IssuerFiles(options="--db my.db")]
    reports = await refresh(database, providers, Sessions(), now, force=force)
    return {report.subject: report for report in reports}


def everything(database: Database) -> list[object]:
    """All that is stored of both funds."""
    queries: list[Callable[[sqlite_utils.Database], object]] = [
        *(partial(observations.newest, kind=kind) for kind in KINDS.values()),
        *(partial(stored_holdings, ticker=fund.ticker) for fund in DEFAULT_PAIR),
    ]
    return [database.run_sync(query) for query in queries]


async def test_the_files_of_both_funds_come_in_five_requests(fake: FakeYahoo, database: Database) -> None:
    serve(fake)
    reports = await ask(database)
    assert [str(report) for report in reports.values()] == [
        "issuer file, IWM fund: 5 fund facts, 3 distributions. Stored: 8 new, 0 revised.",
        "issuer file, SPY fund: 4 fund facts. Stored: 4 new, 0 revised.",
        f"issuer file, IWM holdings: 2 sector weights; 3 {HELD}. Stored: 2 new, 0 revised.",
        f"issuer file, SPY holdings: 2 {HELD}.",
        "issuer file, SPY distributions: 2 distributions. Stored: 2 new, 0 revised.",
    ]
    assert [address.partition("?")[0].rpartition("/")[2] for address, _ in fake.asked] == [
        *("get-fund-document", "navhist-us-en-spy.xlsx", "get-fund-document"),
        *("holdings-daily-us-en-spy.xlsx", "spdr-etf-historical-distributions.xlsx"),
    ]
    paid = database.run_sync(partial(observations.newest, kind=Distribution, ticker="SPY"))
    assert [(row.session, row.amount) for row in paid] == [("2020-06-19", 1.366242), ("2020-09-18", 1.339224)]
    held = database.run_sync(partial(stored_holdings, ticker="IWM"))
    assert held is not None
    assert (held.as_of, held.units, len(held.constituents)) == ("2020-12-11", 290_300_000.0, 3)
    await ask(database, NOW + dt.timedelta(hours=2))
    assert len(fake.asked) == 5


async def test_an_older_list_of_holdings_is_left_and_the_history_beside_it_stored(
    fake: FakeYahoo, database: Database
) -> None:
    fake.files = {DATE: Answer(200, FILES[f"component=holdings{DATE}"])}
    await ask(database)
    older: Book = {**samples.FUND, "Holdings": [["04-Dec-2020"], *samples.HELD[1:]]}
    fake.files = {"component=fundDownload": Answer(200, spreadsheetml(older))}
    assert (await ask(database, NOW + dt.timedelta(days=2)))["IWM fund"].ok
    held = database.run_sync(partial(stored_holdings, ticker="IWM"))
    assert held is not None
    assert held.as_of == "2020-12-11"
    assert len(database.run_sync(partial(observations.newest, kind=FundFacts, ticker="IWM"))) == 5


async def test_a_killed_refresh_goes_on_where_it_ended(fake: FakeYahoo, database: Database) -> None:
    serve(fake)
    words: list[str] = []
    await refresh(database, [IssuerFiles()], Sessions(), NOW, calls=1, progress=words.append)
    assert words == ["issuer file: IWM fund (1 of 5)", "issuer file: SPY fund (2 of 5)"]
    assert len(fake.asked) == 2
    assert len(await ask(database, NOW)) == 5
    assert len(fake.asked) == 5


HELD = "companies held as of 2020-12-11"
NOTHING, SPY_FILE = "Rejected, nothing was stored: ", FILES["/navhist-us-en-spy.xlsx"]
IWM_GAVE, SPY_GAVE = (f"{NOTHING}what www.{site}.com gave for" for site in ("blackrock", "ssga"))
REFUSED, DATE = f"to “{NAME}”); download ", "&asOfDate=20201211"
WRONG = {
    "forbidden": ("navhist", Answer(403, WALL), f"No data: refused (HTTP 403 {REFUSED}"),
    "too many": ("navhist", Answer(429, b""), f"No data: refused (HTTP 429 {REFUSED}"),
    "wall": ("navhist", Answer(200, WALL), f"No data: refused (a web page instead of the file {REFUSED}"),
    "silence": ("navhist", Answer(200, b"", then="hang"), f"No data: refused (no answer in time {REFUSED}"),
    "cut": ("navhist", Answer(200, SPY_FILE, cut=900), "No data: the answer broke off."),
    "half": ("navhist", Answer(200, SPY_FILE[:900]), NOTHING),
    "gone": ("navhist", Answer(404, b""), "No data: there is nothing at its address (HTTP 404)."),
    "other fund": ("fundDownload", Answer(200, SPY_FILE), NOTHING),
    "other ticker": (
        "holdings-daily",
        Answer(200, spy_held(ticker="XLK")),
        f"{SPY_GAVE} SPY is of XLK, not a fund of this bot",
    ),
    "no date": (
        DATE,
        Answer(200, samples.holdings_csv(as_of="-", count="-", rows=[])),
        f"{IWM_GAVE} IWM is empty: the issuer has no holdings",
    ),
    "day before": (DATE, Answer(200, iwm_held("Dec 10, 2020")), "No data: it is of 2020-12-10, not of"),
    "cut holdings": (DATE, Answer(200, iwm_held()[:-300]), f"{IWM_GAVE} IWM"),
    "moved": (DATE, Answer(200, iwm_held(header=[*samples.COLUMNS[:4], "Price", *samples.COLUMNS[5:]])), NOTHING),
    "no quantity": (
        DATE,
        Answer(200, iwm_held(header=[*samples.COLUMNS[:6], "Par"])),
        f"{IWM_GAVE} IWM lists no holdings with their quantity.",
    ),
    "no SPY": (
        "distributions",
        Answer(200, xlsx({"dividend": PAID[:2]})),
        f"{SPY_GAVE} SPY has the layout of an SSGA distributions, but",
    ),
    "not paid": (
        "distributions",
        Answer(200, xlsx({"dividend": [PAID[0], ["", "SPY", "soon", "", "", 1.0, 0, 0]]})),
        f"{SPY_GAVE} SPY was not imported, 1 thing is wrong:",
    ),
}


@pytest.mark.parametrize("name", WRONG)
async def test_what_is_not_the_file_stores_nothing_and_is_said(
    fake: FakeYahoo, database: Database, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(fetching, "TIMEOUT", 0.2)
    part, answer, sentence = WRONG[name]
    fake.files = {part: answer}
    parts = part.replace("20201211", "{date}")
    [subject] = [f"{f.ticker} {kind}" for f in DEFAULT_PAIR for kind, url in f.files.items() if parts in url]
    report = (await ask(database))[subject]
    assert report.outcome.startswith(sentence)
    assert (report.ok, everything(database)) == (False, [*([] for _ in KINDS), None, None])


async def test_a_changed_name_or_address_is_tried_at_once(fake: FakeYahoo, database: Database) -> None:
    first = await ask(database)
    assert {report.refused for report in first.values()} == {True}
    assert await ask(database, force=False) == {}
    serve(fake)
    config = Config().with_keys(issuer={"user_agent": "Mozilla/5.0"}, sources={"yahoo": False})
    reports = await refresh(database, build_providers(config), Sessions(), NOW)
    assert [report.ok for report in reports] == [True] * 5


async def test_units_by_holdings_where_the_history_does_not_come(fake: FakeYahoo, database: Database) -> None:
    """Of the next day too; once the history comes its counts stand, with their NAV."""
    fake.files = {DATE: Answer(200, iwm_held())}
    await ask(database)
    [fact] = database.run_sync(partial(observations.newest, kind=FundFacts))
    assert (fact.session, fact.nav, fact.shares) == ("2020-12-11", None, 290_300_000.0)
    later = samples.holdings_csv(as_of="Dec 14, 2020", count="290,400,000.00")
    serve(fake)
    fake.files["&asOfDate=20201214"] = Answer(200, later)
    fake.files["component=fundDownload"] = Answer(200, FILES["component=fundDownload"])
    await ask(database, NOW + dt.timedelta(days=1))
    rows = database.run_sync(partial(observations.newest, kind=FundFacts, ticker="IWM"))
    assert [(row.session, row.nav, row.shares) for row in rows[-2:]] == [
        ("2020-12-11", 190.2135, 290_300_000.0),
        ("2020-12-14", None, 290_400_000.0),
    ]


async def test_a_first_refresh_keeps_to_its_budget_of_requests_and_a_daily_one_to_its_own(
    fake: FakeYahoo, database: Database, yahoo_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The companies have as many pages as a run may read, and none has more symbols than it may ask for."""
    forget(yahoo_cache)
    days = pd.bdate_range("2020-11-27", "2020-12-15")
    closes = dict(zip((day.date() for day in days), [*CLOSES, 190.0, 191.0, 192.0], strict=True))
    fake.add(*(replace(iwm(), symbol=ticker, closes=closes) for ticker in DEFAULT_PAIR.tickers))
    for module in (companies, yahoo):
        monkeypatch.setattr(module, "PAGE", 1)
        monkeypatch.setattr(module, "BATCH", 1)
    symbols = [f"C{number}" for number in range(companies.MOST_PAGES + 1)]
    fake.companies = {symbol: company(symbol, sector="None of them") for symbol in symbols}
    serve(fake)
    fake.files["asOfDate=20201214"] = Answer(200, iwm_held("Dec 14, 2020"), "text/html")
    for number, fund in enumerate(DEFAULT_PAIR):
        fake.files[f"CIK={fund.sec}"] = feed(("2020-12-08", str(number)))
    fake.files |= {"/0/primary": Answer(200, filing()), "/1/primary": Answer(200, filing("N/A", "0000884394"))}
    storage = {"database": tmp_path / "bot.db"}
    providers = build_providers(Config().with_keys(sec={"contact": CONTACT}, storage=storage))

    async def requests(now: dt.datetime) -> Counter[str]:
        fake.asked.clear()
        await refresh(database, providers, Sessions(), now, force=True)
        return Counter(part for part, _ in fake.asked)

    first, lists = await requests(NOW), len(companies.INDUSTRIES) + len(companies.SECTORS)
    assert first["screen"] == companies.MOST_PAGES + lists
    assert first["quote"] == companies.MOST_BATCHES + len(DEFAULT_PAIR.tickers)
    assert first.total() + companies.MOST_GROUP_PAGES - lists <= 160
    daily = await requests(NOW + dt.timedelta(days=1))
    assert (daily["screen"], daily["quote"]) == (companies.MOST_PAGES, first["quote"])
    assert daily.total() <= 40
    assert companies.MOST_GROUP_PAGES <= 80
