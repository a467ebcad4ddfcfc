from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd

from bot import __version__
from bot.analytics.flows import daily_flows
from bot.analytics.sessions import Sessions
from bot.data.issuers import fetch as fetching
from bot.data.issuers.fetch import IssuerFiles, fetch, off_market, store_issuer
from bot.data.issuers.layouts import read_issuer
from bot.data.load import build_market, read_frames
from bot.data.provider import AccessRefused, FetchOutcome, NetworkDown, Observations, Ok, Rejected, SchemaChanged
from bot.data.refresh import FIGURES, refresh
from bot.pair import DEFAULT_PAIR, Pair
from storage import observations, sources
from storage.database import open_database
from storage.observations import Written
from storage.records import Bar, Distribution, FundFacts, Observation, SectorWeight, parse_instant
from tests import shared_data
from tests.data.conftest import figures
from tests.data.issuers import samples
from tests.data.issuers.builders import Cell, spreadsheetml
from tests.fakes.website import page, redirect
from tests.funds import PAIR

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    from bot.data.refresh import FetchReport
    from bot.data.store import FileContents
    from storage.database import Database
    from tests.fakes.website import Website


COMPLETED = pd.bdate_range("2020-11-02", "2020-12-14")
BY_HAND = "download the file at issuer.example in a browser and run: python -m bot import issuer FILE"
OUR_NAME = f"small-versus-large-bot/{__version__}"


def one_file(ticker: str, root: str = "https://issuer.example") -> Pair:
    """The pair with one file, the history of this fund at `root`/TICKER."""
    none = (replace(fund, issuer_file="", holdings_file="", distributions_file="") for fund in DEFAULT_PAIR)
    url = f"{root}/{ticker}"
    return Pair(*(replace(fund, issuer_file=url) if fund.ticker == ticker else fund for fund in none))


def issuer(ticker: str, fetched: Callable[[str, str], bytes | FetchOutcome], **texts: str) -> IssuerFiles:
    """The provider of one fund's history, with answers instead of a network."""
    return IssuerFiles(one_file(ticker), fetch=fetched, **texts)


def given(ticker: str, answer: bytes | FetchOutcome, **texts: str) -> IssuerFiles:
    """The provider of one fund's history that gets this answer."""
    return issuer(ticker, lambda *_: answer, **texts)


def test_a_file_is_downloaded_through_redirects_under_our_own_name(site: Website) -> None:
    whole = spreadsheetml(samples.FUND)
    site.pages = {"/old": redirect("/file"), "/file": page(whole, Content_Type="text/html")}
    assert fetch(f"{site.address}/old", OUR_NAME) == whole
    assert site.agents == [OUR_NAME] * 2


def test_what_stops_a_download_is_its_outcome(site: Website, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "LARGEST", 1_000_000)
    site.pages = {"/refused": page("<html>", "403 Forbidden"), "/big": page(b"x" * 1_000_001)}
    assert fetch(f"{site.address}/refused", OUR_NAME) == AccessRefused("HTTP 403")
    assert fetch(f"{site.address}/big", OUR_NAME) == SchemaChanged("larger than 1 MB")


def test_a_fund_workbook_becomes_a_payload_of_completed_sessions() -> None:
    provider = given("IWM", spreadsheetml(samples.FUND))
    payload = figures(provider.document("fund", "IWM", COMPLETED[:-1]))
    assert [row.session for row in payload["fund_facts"]] == ["2020-11-30", "2020-12-04", "2020-12-11"]
    assert payload["sector_weights"] == samples.weights()
    early = provider.document("fund", "IWM", COMPLETED[COMPLETED <= "2020-12-10"])
    facts = figures(early, "2020-12-07", "2020-12-08", "2020-12-09")["fund_facts"]
    assert facts[-1].session == "2020-12-04"


def test_a_nav_history_is_complete_up_to_the_session_before() -> None:
    provider = given("SPY", spreadsheetml(samples.NAVHIST))
    payload: Observations = {"fund_facts": samples.SPY_FACTS}
    assert provider.document("fund", "SPY", COMPLETED) == Ok(payload)
    longer = COMPLETED.append(pd.DatetimeIndex(["2020-12-15"]))
    assert provider.document("fund", "SPY", longer) == Ok(payload)
    longest = longer.append(pd.DatetimeIndex(["2020-12-16"]))
    assert provider.document("fund", "SPY", longest) == Ok(payload, ("2020-12-15",))


def test_holdings_alone_give_weights_and_hide_no_stored_nav() -> None:
    count = FundFacts("IWM", "2020-12-11", nav=None, shares=280200000.0, assets=None)
    expected = Ok({"fund_facts": [count], "sector_weights": samples.weights()}, ("NAV",))
    assert given("IWM", samples.holdings_csv(as_of="Dec 11, 2020")).document("fund", "IWM", COMPLETED) == expected


def test_a_wall_is_named_with_the_way_around_it() -> None:
    wall = given("IWM", b"<!doctype html><title>Are you a robot?</title>").document("fund", "IWM", COMPLETED)
    assert wall == AccessRefused(f"a web page instead of the file to “{OUR_NAME}”", BY_HAND)
    assert wall.describe() == f"No data: refused (a web page instead of the file to “{OUR_NAME}”); {BY_HAND}."


def test_the_way_around_a_refusal_names_the_options_of_the_process_and_who_was_refused() -> None:
    refused = given("IWM", AccessRefused("HTTP 403"), options="--config my.toml", user_agent="Browser/1")
    expected = AccessRefused("HTTP 403 to “Browser/1”", f"{BY_HAND} --config my.toml")
    assert refused.document("fund", "IWM", COMPLETED) == expected


def test_a_file_that_cannot_be_read_is_rejected_with_what_is_wrong() -> None:
    row: list[Cell] = ["Dek 11, 2020", 190.2135, "--", 290300000.0]
    wrong = [samples.HISTORICAL[0], row, *samples.HISTORICAL[2:]]
    assert given("IWM", b"").document("fund", "IWM", COMPLETED) == Rejected(
        "what issuer.example gave for IWM is empty. Download the file in a browser and run: "
        "python -m bot import issuer FILE"
    )
    assert given("SPY", spreadsheetml(samples.FUND)).document("fund", "SPY", COMPLETED) == Rejected(
        "what issuer.example gave for SPY is of IWM, not of SPY"
    )
    broken = given("IWM", spreadsheetml({**samples.FUND, "Historical": wrong})).document("fund", "IWM", COMPLETED)
    assert broken.describe() == (
        "Rejected, nothing was stored: what issuer.example gave for IWM was not imported, 1 thing is wrong: "
        "Historical, row 2: “Dek 11, 2020” is not a date like 2020-12-11, Dec 11, 2020 or 11-Dec-2020."
    )


def test_what_the_download_says_is_passed_on_and_only_what_has_an_address_is_asked() -> None:
    provider = given("IWM", NetworkDown("the connection failed"))
    assert provider.document("fund", "IWM", COMPLETED) == NetworkDown("the connection failed")
    asked = [(ticker, figure) for ticker in PAIR for figure in FIGURES if provider.has(ticker, figure)]
    assert asked == [("IWM", "fund")]
    assert (provider.name, provider.label) == ("issuer", "issuer file")


async def test_refresh_stores_what_came_and_keeps_how_each_file_stands(site: Website, tmp_path: Path) -> None:
    site.pages = {"/IWM": page(spreadsheetml(samples.FUND)), "/SPY": page("<html>no</html>")}
    both = Pair(one_file("IWM", site.address).small, one_file("SPY", site.address).large)
    now = dt.datetime(2020, 12, 11, 21, 30, tzinfo=dt.UTC)
    with open_database(tmp_path / "bot.db") as database:
        reports = await refresh(database, [IssuerFiles(both)], Sessions(), now)
        facts = await database.run(lambda db: observations.newest(db, FundFacts))
        stands = {status.subject: status for status in await database.run(sources.source_statuses)}
    assert (facts[-1].session, facts[-1].shares, facts[-1].source) == ("2020-12-11", 290300000.0, "issuer")
    assert str(reports[0]) == (
        "issuer file, IWM fund: 5 fund facts, 3 distributions, 2 sector weights; 3 companies held as of "
        "2020-12-11. Stored: 10 new, 0 revised."
    )
    assert str(reports[1]) == (
        f"issuer file, SPY fund: No data: refused (a web page instead of the file to “{OUR_NAME}”); "
        f"{BY_HAND.replace('issuer.example', '127.0.0.1')}."
    )
    assert stands["SPY fund"].rests_until == now + dt.timedelta(hours=24)
    outcomes = {subject: status.outcome for subject, status in stands.items()}
    assert outcomes == {"IWM fund": "Ok", "SPY fund": "AccessRefused"}


async def test_a_file_is_asked_for_once_a_day_late_or_not_over_restarts_and_by_hand(tmp_path: Path) -> None:
    """The file of Friday lacks Thursday: it is asked for daily until it comes, by a refresh by hand too."""
    late: list[list[Cell]] = [row for row in samples.HISTORICAL if row[0] != "Dec 11, 2020"]
    history = {"now": spreadsheetml({**samples.FUND, "Historical": late, "Holdings": []})}
    asked: list[dt.datetime] = []
    start = dt.datetime(2020, 12, 14, 21, 15, tzinfo=dt.UTC)  # Monday: Friday's count is expected
    clock = {"now": start}

    def fetched(*_: str) -> bytes:
        asked.append(clock["now"])
        return history["now"]

    with open_database(tmp_path / "bot.db") as database:

        async def stands() -> tuple[str, str]:
            row = await database.run(lambda db: sources.source_status(db, "issuer", "IWM fund"))
            assert row is not None
            return row.outcome, row.missing

        for hour in range(0, 50, 2):
            clock["now"] = start + dt.timedelta(hours=hour)
            provider = issuer("IWM", fetched)  # as after a restart
            [*reports] = await refresh(database, [provider], Sessions(), clock["now"], force=hour % 4 == 0)
            if hour == 8:
                assert str(reports[0]).startswith(
                    "issuer file, IWM fund: asked for at 01:15 UTC on 2020-12-15, not again before 00:00 on "
                    "2020-12-16. 4 fund facts, 3 distributions; missing"
                )
            if hour == 24:
                missing = "2020-12-07 2020-12-08 2020-12-09 2020-12-10 2020-12-11"
                assert await stands() == ("Partial", missing)
                days = [f"Dec {day:02}, 2020" for day in (7, 8, 9, 10, 14)]
                filled: list[list[Cell]] = [[day, 189.0, "--", 285e6] for day in days]
                filled = [samples.HISTORICAL[0], *filled, *samples.HISTORICAL[1:]]
                history["now"] = spreadsheetml({**samples.FUND, "Historical": filled, "Holdings": []})
        assert (await stands())[0] == "Ok"
    assert [f"{moment:%d %H:%M}" for moment in asked] == ["14 21:15", "15 01:15", "16 01:15"]


async def fetched_twice(
    tmp_path: Path, prices: dict[str, float], *answers: bytes
) -> tuple[list[FetchReport], list[tuple[str, float | None, float | None]], sources.SourceStatus]:
    """Reports of IWM's file fetched one answer after the other, the facts then stored, and how it stands."""
    left = list(answers)
    provider = issuer("IWM", lambda *_: left.pop(0))
    start = dt.datetime(2020, 12, 11, 21, 30, tzinfo=dt.UTC)
    bars = [Bar("IWM", day, close) for day, close in prices.items()]
    reports: list[FetchReport] = []
    with open_database(tmp_path / "bot.db") as database:
        await database.run(lambda db: observations.add(db, Bar, bars, source="yahoo", observed_at=start))
        for days in range(len(answers)):
            now = start + dt.timedelta(days=days)
            reports += await refresh(database, [provider], Sessions(), now, tickers=("IWM",), force=True)
        rows = await database.run(lambda db: observations.newest(db, FundFacts))
        row = await database.run(lambda db: sources.source_status(db, "issuer", "IWM fund"))
    assert row is not None
    return reports, [(facts.session, facts.nav, facts.shares) for facts in rows], row


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
    assert f"{row.rests_until:%Y-%m-%d %H:%M}" == "2020-12-12 21:30"


async def test_a_fetched_file_off_the_price_here_and_there_says_where(tmp_path: Path) -> None:
    prices = {"2010-05-28": 66.08, "2020-11-30": 181.02, "2020-12-04": 170.0, "2020-12-11": 190.3}
    [first, again], facts, _ = await fetched_twice(tmp_path, prices, *[spreadsheetml(samples.FUND)] * 2)
    assert first.outcome.endswith("5% off the market price, stored as given: 2020-12-04 (+10.7%).")
    assert ("2020-12-04", 188.2706, 285250000.0) in facts
    assert "market price" not in again.outcome


FIRST, SECOND = "2026-04-11T12:00:00Z", "2026-04-12T12:00:00Z"
NOW = dt.datetime(2026, 4, 13, 12, tzinfo=dt.UTC)


def read(data: bytes, ticker: str | None = None) -> FileContents:
    return read_issuer(data, name="file", completed=Sessions().index, today=NOW.date(), ticker=ticker)


def kept(database: Database, contents: FileContents, at: str = FIRST) -> dict[str, Written]:
    return database.run_sync(lambda db: store_issuer(db, contents, name="file", observed_at=at))[1]


def newest(database: Database, kind: type[Observation], *columns: str) -> list[tuple[object, ...]]:
    rows = database.run_sync(lambda db: observations.newest(db, kind))
    return [tuple(getattr(row, column) for column in columns) for row in rows]


def priced(database: Database, closes: dict[str, float], source: str = "yahoo") -> None:
    bars = [Bar("IWM", day, close) for day, close in closes.items()]
    database.run_sync(lambda db: observations.add(db, Bar, bars, source=source, observed_at=FIRST))


def said_of(database: Database, contents: FileContents) -> list[str]:
    """The last sentence of the preview, with what is said of NAVs far from the price."""
    compared, _ = database.run_sync(lambda db: store_issuer(db, contents, name="file", observed_at=SECOND))
    assert compared.observations == contents.observations
    return [line for line in compared.preview.sentences() if "off the market price" in line]


def test_what_was_read_is_stored_under_the_issuer_once(database: Database) -> None:
    contents = read(spreadsheetml(samples.FUND))
    counts = {"fund_facts": 5, "distributions": 3, "sector_weights": 2}
    assert kept(database, contents) == {kind: Written(inserted=n) for kind, n in counts.items()}
    facts = newest(database, FundFacts, "source", "session", "nav", "shares")
    assert facts[-1] == ("issuer", "2020-12-11", 190.2135, 290300000.0)
    weights = [("sector", name, 50.0, "issuer") for name in ("Financials", "Health Care")]
    assert newest(database, SectorWeight, "level", "sector", "weight", "source") == weights
    assert kept(database, contents, SECOND) == {kind: Written(unchanged=n) for kind, n in counts.items()}


def test_an_import_is_noted_among_the_sources(database: Database) -> None:
    kept(database, read(spreadsheetml(samples.FUND)))
    [row] = database.run_sync(sources.source_statuses)
    assert (row.source, row.subject, row.outcome) == ("issuer", "IWM import", "Imported")
    assert (row.last_success, f"{row.last_session}") == (parse_instant(FIRST), "2020-12-11")


def test_a_file_without_navs_leaves_those_of_an_earlier_one(database: Database) -> None:
    kept(database, read(spreadsheetml(samples.FUND)))
    rows = [*samples.EQUITIES, *samples.REST]
    contents = read(samples.holdings_csv(as_of="Dec 11, 2020", count="290,400,000.00", rows=rows))
    assert kept(database, contents, SECOND)["fund_facts"] == Written(revised=1)
    facts = newest(database, FundFacts, "session", "nav", "shares")
    assert facts[-1] == ("2020-12-11", 190.2135, 290400000.0)


def test_holdings_files_alone_give_flows_by_close(database: Database) -> None:
    for day, count in (("10", "290,000,000.00"), ("11", "290,400,000.00")):
        kept(database, read(samples.holdings_csv(as_of=f"Dec {day}, 2020", count=count)))
    priced(database, {"2020-12-10": 191.24, "2020-12-11": 190.30})
    frame = daily_flows(build_market(database.run_sync(read_frames), Sessions(), NOW), "IWM")
    assert frame["flow"].iloc[-1] == 400_000 * 190.30
    assert frame["by_close"].all()


def test_a_distribution_that_is_no_longer_listed_is_withdrawn_within_the_list(database: Database) -> None:
    kept(database, read(spreadsheetml(samples.FUND)))
    fewer: list[list[Cell]] = [samples.DISTRIBUTIONS[0], samples.DISTRIBUTIONS[1], samples.DISTRIBUTIONS[3]]
    kept(database, read(spreadsheetml({**samples.FUND, "Distributions": fewer})), SECOND)
    withdrawn = [("2007-12-27", 0.267236), ("2020-06-15", None), ("2020-09-23", 0.566445)]
    assert newest(database, Distribution, "session", "amount") == withdrawn
    older = [samples.DISTRIBUTIONS[0], samples.DISTRIBUTIONS[3]]
    kept(database, read(spreadsheetml({**samples.FUND, "Distributions": older})), SECOND)
    assert newest(database, Distribution, "session", "amount") == withdrawn


SESSIONS = ("2007-06-21", "2010-05-28", "2020-11-30", "2020-12-04", "2020-12-11")


def test_a_few_navs_do_not_tell_whose_they_are(database: Database) -> None:
    priced(database, {"2020-12-11": 80.0})
    assert said_of(database, read(spreadsheetml(samples.FUND))) == [
        "NAV more than 5% off the market price, stored as given: 2020-12-11 (+137.8%)."
    ]


def test_navs_are_not_held_against_sample_prices_or_none(database: Database) -> None:
    contents = read(spreadsheetml(samples.FUND))
    assert said_of(database, contents) == []
    priced(database, dict.fromkeys(SESSIONS, 80.0), "sample")
    assert said_of(database, contents) == []


@shared_data.shared
def test_the_issuers_own_bad_rows_over_the_full_history(database: Database) -> None:
    """The workbook's history as the issuer published it, in the layout in which it is served."""
    whole = shared_data.fund_facts().loc[:"2013-07-31"]
    rows: list[list[Cell]] = [
        [f"{day:%b %d, %Y}", nav, "--", "--" if pd.isna(shares) else shares]
        for day, nav, shares in zip(whole.index[::-1], whole["nav"][::-1], whole["shares"][::-1], strict=True)
    ]
    contents = read(spreadsheetml({"Historical": [samples.HISTORICAL[0], *rows]}), "IWM")
    assert contents.preview.closed == ("2010-05-31", "2013-06-30")
    facts = {row.session: row for row in contents.observations["fund_facts"]}
    assert len(facts) == len(whole) - 2
    garbage = [facts[f"2007-06-{day}"].shares for day in (21, 22, 25)]
    assert garbage == [1150000.0, 1150000.0, 150000.0]
    prices = shared_data.market().prices["IWM"]
    off = off_market(contents.observations["fund_facts"], "IWM", prices, "file")
    july = {"05": "13.6", "06": "13.5", "09": "13.1", "10": "13.4"}
    january = {"03": "6.9", "04": "6.8", "07": "7.2"}
    expected = [f"2001-07-{day} (+{percent}%)" for day, percent in july.items()]
    assert list(off) == expected + [f"2002-01-{day} (+{percent}%)" for day, percent in january.items()]
    assert kept(database, contents)["fund_facts"] == Written(inserted=len(facts))
