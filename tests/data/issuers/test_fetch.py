from __future__ import annotations

import datetime as dt
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from bot import __version__
from bot.analytics.sessions import Sessions
from bot.data.issuers import fetch as fetching
from bot.data.issuers.fetch import IssuerFiles, fetch
from bot.data.provider import (
    AccessRefused,
    Empty,
    FetchOutcome,
    NetworkDown,
    Observations,
    Ok,
    Partial,
    RateLimited,
    Rejected,
    SchemaChanged,
)
from bot.data.refresh import refresh
from storage import observations, sources
from storage.db import open_database
from storage.rows import Bar, FundFacts
from tests.data.issuers import samples
from tests.data.issuers.builders import Cell, spreadsheetml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bot.data.refresh import FetchReport


COMPLETED = pd.bdate_range("2020-11-02", "2020-12-14")
TODAY = dt.date(2020, 12, 15)
BY_HAND = "download it in a browser and run: python -m bot import issuer FILE"


class Site:
    """An issuer's site on loopback: what each path answers is set by the test."""

    def __init__(self) -> None:
        self.answers: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {}
        self.agents: list[str] = []
        self.release = threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server.server_port}{path}"

    def gives(self, path: str, body: bytes, status: int = 200, **headers: str) -> str:
        def answer(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(status)
            handler.send_header("Content-Type", "text/html")  # wrong for figures, and not to be believed
            handler.send_header("Content-Length", headers.get("Length", str(len(body))))
            for name, value in headers.items():
                handler.send_header(name.replace("_", "-"), value)
            handler.end_headers()
            handler.wfile.write(body)

        self.answers[path] = answer
        return self.url(path)

    def hangs(self, path: str) -> str:
        def wait(_: BaseHTTPRequestHandler) -> None:
            self.release.wait(10)

        self.answers[path] = wait
        return self.url(path)

    def close(self) -> None:
        self.release.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.agents.append(self.headers["User-Agent"])
                site.answers[self.path](self)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
                del format, args

        return Handler


@pytest.fixture
def site() -> Iterator[Site]:
    running = Site()
    yield running
    running.close()


def files(**answers: bytes | FetchOutcome) -> IssuerFiles:
    """The provider with each ticker's answer instead of a network."""
    urls = {ticker: f"https://issuer.example/{ticker}" for ticker in answers}
    return IssuerFiles(urls, lambda url: answers[url[-3:]], lambda: TODAY)


def test_a_file_is_downloaded_through_redirects_under_our_own_name(site: Site) -> None:
    whole = spreadsheetml(samples.FUND)
    site.gives("/file", whole)
    moved = site.gives("/old", b"", 302, Location="/file")
    assert fetch(moved) == whole
    assert site.agents == [f"small-versus-large-bot/{__version__}"] * 2


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (401, AccessRefused("HTTP 401")),
        (403, AccessRefused("HTTP 403")),
        (404, NetworkDown("there is nothing at its address (HTTP 404)")),
        (429, RateLimited(None)),
        (500, NetworkDown("the server is out of order (HTTP 500)")),
        (503, NetworkDown("the server is out of order (HTTP 503)")),
    ],
)
def test_each_refusal_of_the_site_is_told_apart(site: Site, status: int, outcome: FetchOutcome) -> None:
    assert fetch(site.gives("/file", b"<html>", status)) == outcome


def test_how_long_to_wait_is_heard(site: Site) -> None:
    assert fetch(site.gives("/file", b"", 429, Retry_After="120")) == RateLimited(120.0)


def test_an_answer_that_breaks_off_is_no_file(site: Site) -> None:
    site.answers["/cut"] = cut_short
    assert fetch(site.url("/cut")) == NetworkDown("the answer broke off")


def cut_short(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b"As Of")
    handler.close_connection = True


def test_a_site_that_does_not_answer_is_given_up(site: Site) -> None:
    assert fetch(site.hangs("/never"), timeout=0.05) == NetworkDown("no answer in time")


def test_a_site_that_answers_too_slowly_is_given_up(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 61.0])
    monkeypatch.setattr("bot.data.csv_source.time.monotonic", lambda: next(times))
    assert fetch(site.gives("/slow", b"x")) == NetworkDown("no answer in time")


def test_a_site_that_is_not_there_is_down(site: Site) -> None:
    site.close()
    assert fetch(site.url("/file")) == NetworkDown("the connection failed")
    assert fetch("http://127.0.0.1:port/") == NetworkDown("its address is not valid")


def test_a_circle_of_redirects_and_a_file_too_large_are_refused(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    circle = site.gives("/a", b"", 302, Location="/a")
    assert fetch(circle) == NetworkDown("it leads in a circle")
    monkeypatch.setattr(fetching, "LARGEST", 1_000_000)
    assert fetch(site.gives("/big", b"x" * 1_000_001)) == SchemaChanged("larger than 1 MB")


def test_a_fund_workbook_becomes_a_payload_of_completed_sessions() -> None:
    provider = files(IWM=spreadsheetml(samples.FUND))
    outcome = provider.fund("IWM", COMPLETED[:-1])
    assert isinstance(outcome, Ok)
    assert [row.session for row in outcome.payload["fund_facts"]] == [
        "2020-11-30",
        "2020-12-04",
        "2020-12-11",
    ]
    assert outcome.payload["sector_weights"] == samples.weights()
    early = provider.fund("IWM", COMPLETED[COMPLETED <= "2020-12-10"])
    assert isinstance(early, Partial)
    assert early.payload["fund_facts"][-1].session == "2020-12-04"
    assert early.missing == ("2020-12-07", "2020-12-08", "2020-12-09")


def test_a_nav_history_is_complete_up_to_the_session_before() -> None:
    provider = files(SPY=spreadsheetml(samples.NAVHIST))
    payload: Observations = {"fund_facts": samples.SPY_FACTS}
    assert provider.fund("SPY", COMPLETED) == Ok(payload)
    longer = COMPLETED.append(pd.DatetimeIndex(["2020-12-15"]))
    assert provider.fund("SPY", longer) == Ok(payload)
    longest = longer.append(pd.DatetimeIndex(["2020-12-16"]))
    assert provider.fund("SPY", longest) == Partial(payload, ("2020-12-15",))


def test_holdings_alone_give_weights_and_hide_no_stored_nav() -> None:
    provider = files(IWM=samples.holdings_csv(as_of="Dec 11, 2020"), SPY=spreadsheetml(samples.SPY_HELD))
    count = FundFacts("IWM", "2020-12-11", nav=None, shares=280200000.0, assets=None)
    expected = Partial({"fund_facts": [count], "sector_weights": samples.weights()}, ("NAV",))
    assert provider.fund("IWM", COMPLETED) == expected
    spy = IssuerFiles({"SPY": "x"}, lambda _: spreadsheetml(samples.SPY_HELD), lambda: dt.date(2024, 5, 13))
    note = "Sector weights: none, the issuer leaves the column Sector empty (“-”); Yahoo gives them"
    assert spy.fund("SPY", pd.bdate_range("2024-05-06", "2024-05-10")) == Empty(note)


def test_a_wall_is_named_with_the_way_around_it() -> None:
    wall = files(IWM=b"<!doctype html><title>Are you a robot?</title>").fund("IWM", COMPLETED)
    assert wall == AccessRefused("a web page instead of the file", BY_HAND)
    assert wall.describe() == f"No data: refused (a web page instead of the file); {BY_HAND}."


def test_the_way_around_a_refusal_names_the_options_of_the_process() -> None:
    refused = IssuerFiles({"IWM": "x"}, lambda _: AccessRefused("HTTP 403"), options="--config my.toml")
    assert refused.fund("IWM", COMPLETED) == AccessRefused("HTTP 403", f"{BY_HAND} --config my.toml")


def test_a_file_that_cannot_be_read_is_rejected_with_what_is_wrong() -> None:
    row: list[Cell] = ["Dek 11, 2020", 190.2135, "--", 290300000.0]
    wrong = [samples.HISTORICAL[0], row, *samples.HISTORICAL[2:]]
    provider = files(IWM=b"", SPY=spreadsheetml(samples.FUND))
    assert provider.fund("IWM", COMPLETED) == Rejected(
        "what issuer.example gave for IWM is empty. Download the file in a browser and run: "
        "python -m bot import issuer FILE"
    )
    assert provider.fund("SPY", COMPLETED) == Rejected(
        "what issuer.example gave for SPY is of IWM, not of SPY"
    )
    broken = files(IWM=spreadsheetml({**samples.FUND, "Historical": wrong})).fund("IWM", COMPLETED)
    assert broken.describe() == (
        "Rejected, nothing was stored: what issuer.example gave for IWM was not imported, 1 thing is wrong: "
        "Historical, row 2: “Dek 11, 2020” is not a date like 2020-12-11, Dec 11, 2020 or 11-Dec-2020."
    )


def test_what_the_download_says_is_passed_on_and_only_what_has_an_address_is_asked() -> None:
    provider = files(IWM=NetworkDown("no answer in time"))
    assert provider.fund("IWM", COMPLETED) == NetworkDown("no answer in time")
    assert provider.tickers == ("IWM",)
    assert (provider.name, provider.label, provider.serves) == ("issuer", "issuer file", ("fund",))


async def test_refresh_stores_what_came_and_keeps_how_each_file_stands(site: Site, tmp_path: Path) -> None:
    urls = {
        "IWM": site.gives("/iwm", spreadsheetml(samples.FUND)),
        "SPY": site.gives("/spy", b"<html>no</html>"),
    }
    now = dt.datetime(2020, 12, 11, 21, 30, tzinfo=dt.UTC)
    async with open_database(tmp_path / "bot.db") as database:
        reports = await refresh(database, [IssuerFiles(urls)], Sessions(), now)
        facts = await database.run(lambda db: observations.newest(db, FundFacts))
        stands = {status.subject: status for status in await database.run(sources.source_statuses)}
    assert [(row.session, row.shares, row.source) for row in facts][-1] == (
        "2020-12-11",
        290300000.0,
        "issuer",
    )
    assert str(reports[0]) == (
        "issuer file, IWM fund: 5 fund facts, 3 distributions, 2 sector weights. Stored: 10 new, 0 revised."
    )
    assert str(reports[1]) == (
        f"issuer file, SPY fund: No data: refused (a web page instead of the file); {BY_HAND}."
    )
    assert stands["SPY fund"].rests_until == now + dt.timedelta(hours=6)
    assert [(subject, stands[subject].outcome) for subject in sorted(stands)] == [
        ("IWM fund", "Ok"),
        ("SPY fund", "AccessRefused"),
    ]


async def test_a_late_file_is_asked_for_until_it_comes_with_growing_pauses(tmp_path: Path) -> None:
    """The file of Friday lacks Thursday; a day later there have been a dozen requests, then it is there."""
    late: list[list[Cell]] = [row for row in samples.HISTORICAL if row[0] != "Dec 11, 2020"]
    history = {"now": spreadsheetml({**samples.FUND, "Historical": late, "Holdings": []})}
    asked: list[str] = []

    def fetched(url: str) -> bytes:
        asked.append(url)
        return history["now"]

    provider = IssuerFiles({"IWM": "https://issuer.example/IWM"}, fetched, lambda: TODAY)
    start = dt.datetime(2020, 12, 14, 21, 15, tzinfo=dt.UTC)  # Monday: Friday's count is expected
    counts = []
    async with open_database(tmp_path / "bot.db") as database:
        for minute in range(0, 24 * 60, 5):
            now = start + dt.timedelta(minutes=minute)
            await refresh(database, [provider], Sessions(), now, tickers=("IWM",))
            if minute in {0, 25, 60, 6 * 60}:
                counts.append(len(asked))
        counts.append(len(asked))
        row = await database.run(lambda db: sources.source_status(db, "issuer", "IWM fund"))
        assert row is not None
        assert row.missing == "2020-12-07 2020-12-08 2020-12-09 2020-12-10 2020-12-11"
        assert (row.outcome, row.failures, row.last_session) == ("Partial", 0, start.date())
        days = [f"Dec {day:02}, 2020" for day in (7, 8, 9, 10)]
        filled: list[list[Cell]] = [[day, 189.0, "--", 285e6] for day in days]
        filled = [samples.HISTORICAL[0], *filled, *samples.HISTORICAL[1:]]
        history["now"] = spreadsheetml({**samples.FUND, "Historical": filled, "Holdings": []})
        await refresh(
            database, [provider], Sessions(), start + dt.timedelta(hours=23), tickers=("IWM",), force=True
        )
        row = await database.run(lambda db: sources.source_status(db, "issuer", "IWM fund"))
        assert row is not None
        assert (row.missing, row.outcome) == ("", "Ok")
    assert counts == [1, 1, 3, 9, 15]


async def fetched_twice(
    tmp_path: Path, prices: dict[str, float], *answers: bytes
) -> tuple[list[FetchReport], list[tuple[str, float | None, float | None]], sources.SourceStatus]:
    """Reports of IWM's file fetched one answer after the other, the facts then stored, and how it stands."""
    left = list(answers)
    provider = IssuerFiles({"IWM": "https://issuer.example/IWM"}, lambda _: left.pop(0), lambda: TODAY)
    start = dt.datetime(2020, 12, 11, 21, 30, tzinfo=dt.UTC)
    bars = [Bar("IWM", day, close) for day, close in prices.items()]
    reports: list[FetchReport] = []
    async with open_database(tmp_path / "bot.db") as database:
        await database.run(lambda db: observations.add(db, Bar, bars, source="yahoo", observed_at=start))
        for hours in range(len(answers)):
            now = start + dt.timedelta(hours=hours)
            reports += await refresh(database, [provider], Sessions(), now, tickers=("IWM",), force=True)
        rows = await database.run(lambda db: observations.newest(db, FundFacts))
        row = await database.run(lambda db: sources.source_status(db, "issuer", "IWM fund"))
    assert row is not None
    return reports, [(each.session, each.nav, each.shares) for each in rows], row


async def test_a_fetched_file_of_another_fund_changes_nothing_and_says_why(tmp_path: Path) -> None:
    days = ("2007-06-21", "2010-05-28", "2020-11-30", "2020-12-04", "2020-12-11")
    prices = dict.fromkeys(days, 80.0)
    [report], facts, row = await fetched_twice(tmp_path, prices, spreadsheetml(samples.FUND))
    why = (
        "Rejected, nothing was stored: what issuer.example gave for IWM was not imported: 4 of 5 NAVs are "
        "more than 5% off IWM's price, so it is another fund's."
    )
    assert str(report) == f"issuer file, IWM fund: {why}"
    assert not report.ok
    assert facts == []
    assert (row.outcome, row.detail, row.last_success) == ("Rejected", why, None)
    assert f"{row.rests_until:%Y-%m-%d %H:%M}" == "2020-12-12 03:30"


async def test_a_fetched_file_without_navs_leaves_those_of_an_earlier_one(tmp_path: Path) -> None:
    rows = [*samples.EQUITIES, *samples.REST]
    held = samples.holdings_csv(as_of="Dec 11, 2020", count="290,400,000.00", rows=rows)
    reports, facts, _ = await fetched_twice(tmp_path, {}, spreadsheetml(samples.FUND), held)
    assert facts[-1] == ("2020-12-11", 190.2135, 290400000.0)
    assert reports[1].outcome == "1 fund fact, 2 sector weights; missing NAV."


async def test_a_fetched_file_off_the_price_here_and_there_says_where(tmp_path: Path) -> None:
    prices = {"2010-05-28": 66.08, "2020-11-30": 181.02, "2020-12-04": 170.0, "2020-12-11": 190.3}
    [first, again], _, _ = await fetched_twice(tmp_path, prices, *[spreadsheetml(samples.FUND)] * 2)
    assert first.outcome.endswith(
        " NAV more than 5% off the market price, stored as given: 2020-12-04 (+10.7%)."
    )
    assert "market price" not in again.outcome
