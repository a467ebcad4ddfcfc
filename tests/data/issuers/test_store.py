from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from bot.analytics.sessions import Sessions
from bot.data.issuers.fetch import off_market, store_issuer
from bot.data.issuers.import_file import read_issuer
from bot.data.load import build_market, read_frames
from bot.errors import ImportRejected
from storage import observations, sources
from storage.observations import Written
from storage.rows import Bar, Distribution, FundFacts, Observation, SectorWeight, moment
from tests import shared_data
from tests.data.issuers import samples
from tests.data.issuers.builders import Cell, spreadsheetml

if TYPE_CHECKING:
    from bot.data.store import FileContents
    from storage.db import Database


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
    assert kept(database, contents) == {
        "fund_facts": Written(inserted=5),
        "distributions": Written(inserted=3),
        "sector_weights": Written(inserted=2),
    }
    assert newest(database, FundFacts, "source", "session", "nav", "shares")[-1] == (
        "issuer",
        "2020-12-11",
        190.2135,
        290300000.0,
    )
    assert newest(database, SectorWeight, "level", "sector", "weight", "source") == [
        ("sector", "Financials", 50.0, "issuer"),
        ("sector", "Health Care", 50.0, "issuer"),
    ]
    assert kept(database, contents, SECOND) == {
        "fund_facts": Written(unchanged=5),
        "distributions": Written(unchanged=3),
        "sector_weights": Written(unchanged=2),
    }


def test_an_import_is_noted_among_the_sources(database: Database) -> None:
    kept(database, read(spreadsheetml(samples.FUND)))
    [row] = database.run_sync(sources.source_statuses)
    assert (row.source, row.subject, row.outcome) == ("issuer", "IWM import", "Imported")
    assert (row.last_success, f"{row.last_session}") == (moment(FIRST), "2020-12-11")


def test_the_market_takes_its_shares_from_the_issuer(database: Database) -> None:
    kept(database, read(spreadsheetml(samples.FUND)))
    stored = database.run_sync(read_frames)
    facts = build_market(stored, Sessions(), NOW).facts["IWM"]
    assert facts.loc["2020-12-11", "shares"] == 290300000.0
    assert list(build_market(stored, Sessions(), NOW).distributions["IWM"]) == [0.267236, 0.465775, 0.566445]


def test_a_file_without_navs_leaves_those_of_an_earlier_one(database: Database) -> None:
    kept(database, read(spreadsheetml(samples.FUND)))
    rows = [*samples.EQUITIES, *samples.REST]
    contents = read(samples.holdings_csv(as_of="Dec 11, 2020", count="290,400,000.00", rows=rows))
    assert kept(database, contents, SECOND)["fund_facts"] == Written(revised=1)
    assert newest(database, FundFacts, "session", "nav", "shares")[-1] == (
        "2020-12-11",
        190.2135,
        290400000.0,
    )


def test_a_distribution_that_is_no_longer_listed_is_withdrawn_within_the_list(database: Database) -> None:
    kept(database, read(spreadsheetml(samples.FUND)))
    fewer: list[list[Cell]] = [samples.DISTRIBUTIONS[0], samples.DISTRIBUTIONS[1], samples.DISTRIBUTIONS[3]]
    kept(database, read(spreadsheetml({**samples.FUND, "Distributions": fewer})), SECOND)
    withdrawn = [("2007-12-27", 0.267236), ("2020-06-15", None), ("2020-09-23", 0.566445)]
    assert newest(database, Distribution, "session", "amount") == withdrawn
    older = [samples.DISTRIBUTIONS[0], samples.DISTRIBUTIONS[3]]
    kept(database, read(spreadsheetml({**samples.FUND, "Distributions": older})), SECOND)
    assert newest(database, Distribution, "session", "amount") == withdrawn


def test_navs_far_from_the_market_price_are_listed_and_stored_as_given(database: Database) -> None:
    priced(database, {"2010-05-28": 66.08, "2020-11-30": 181.02, "2020-12-04": 170.0, "2020-12-11": 190.3})
    assert said_of(database, read(spreadsheetml(samples.FUND))) == [
        "NAV more than 5% off the market price, stored as given: 2020-12-04 (+10.7%)."
    ]
    assert ("2020-12-04", 188.2706) in newest(database, FundFacts, "session", "nav")


SESSIONS = ("2007-06-21", "2010-05-28", "2020-11-30", "2020-12-04", "2020-12-11")
OTHERS = "file was not imported: 4 of 5 NAVs are more than 5% off IWM's price, so it is another fund's."


def test_a_file_whose_navs_are_mostly_off_is_another_funds(database: Database) -> None:
    priced(database, dict.fromkeys(SESSIONS, 80.0))
    with pytest.raises(ImportRejected) as caught:
        kept(database, read(spreadsheetml(samples.FUND)))
    assert str(caught.value) == OTHERS
    assert newest(database, FundFacts, "session") == []
    assert database.run_sync(sources.source_statuses) == []


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
    whole = shared_data.fund_facts()
    rows: list[list[Cell]] = [
        [f"{day:%b %d, %Y}", nav, "--", "--" if pd.isna(shares) else shares]
        for day, nav, shares in zip(whole.index[::-1], whole["nav"][::-1], whole["shares"][::-1], strict=True)
    ]
    contents = read(spreadsheetml({**samples.FUND, "Historical": [samples.HISTORICAL[0], *rows]}))
    assert contents.preview.closed == ("2010-05-31", "2013-06-30")
    facts = {row.session: row for row in contents.observations["fund_facts"]}
    assert len(facts) == len(whole) - 2
    assert [facts[day].shares for day in ("2007-06-21", "2007-06-22", "2007-06-25")] == [
        1150000.0,
        1150000.0,
        150000.0,
    ]
    prices = shared_data.market().prices["IWM"]
    off = off_market(contents.observations["fund_facts"], "IWM", prices, "file")
    assert off == (
        "2001-07-05 (+13.6%)",
        "2001-07-06 (+13.5%)",
        "2001-07-09 (+13.1%)",
        "2001-07-10 (+13.4%)",
        "2002-01-03 (+6.9%)",
        "2002-01-04 (+6.8%)",
        "2002-01-07 (+7.2%)",
    )
    assert kept(database, contents)["fund_facts"] == Written(inserted=len(facts))
