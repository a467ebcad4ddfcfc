from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bot.analytics.sessions import Sessions
from bot.data import files, sample
from bot.data.export import export
from bot.errors import ImportRejected, NoData
from storage import observations as stored
from storage.db import open_database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bot.data.provider import Observations
    from storage.db import Database

AT = "2021-06-01T00:00:00Z"
SESSIONS = Sessions()
TODAY = dt.date(2021, 12, 31)
REAL = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(tmp_path / "bot.db")
    yield opened
    opened.close()


def fill(database: Database, rows: Observations, source: str = "csv", at: str = AT) -> None:
    database.run_sync(lambda db: files.store(db, rows, source=source, observed_at=at))


def exported(database: Database, what: str, ticker: str, source: str | None = None) -> str:
    return database.run_sync(lambda db: export(db, what, ticker, source=source)).text


def read(what: str, text: str | Path, ticker: str) -> Observations:
    return files.READERS[what](text, ticker, sessions=SESSIONS, today=TODAY).observations


def simulated(after: str) -> Observations:
    return sample.between(sample.sample_observations(3, SESSIONS), after, "2020-12-31")


def test_prices_are_written_in_the_form_that_is_read(database: Database) -> None:
    bar = {"ticker": "IWM", "open": None, "high": None, "low": None, "volume": 7, "provisional": 0}
    fill(
        database,
        {
            "bars": [
                {**bar, "session": "2020-12-10", "close": 190.91},
                {**bar, "session": "2020-12-11", "close": 0.1 + 0.2},
                {**bar, "session": "2020-12-14", "close": 189.0, "provisional": 1},
                {**bar, "session": "2020-12-11", "close": 366.3, "ticker": "SPY"},
            ],
            "distributions": [{"ticker": "IWM", "ex_date": "2020-12-09", "amount": 0.592}],
            "splits": [{"ticker": "IWM", "session": "2020-12-11", "ratio": 2.0}],
        },
    )
    assert exported(database, "prices", "iwm") == (
        "Date,Open,High,Low,Close,Volume,Dividends,Stock Splits\n"
        "2020-12-09,,,,,,0.592,0.0\n"
        "2020-12-10,,,,190.91,7,0.0,0.0\n"
        "2020-12-11,,,,0.30000000000000004,7,0.0,2.0\n"
    )


@pytest.mark.parametrize("what", ["prices", "fund-facts", "multiples"])
@pytest.mark.parametrize("ticker", ["IWM", "SPY"])
def test_what_is_written_reads_back_exactly(database: Database, what: str, ticker: str) -> None:
    part = simulated("2019-11-30")
    fill(database, part)
    text = exported(database, what, ticker)
    back = read(what, text, ticker)
    for kind, found in back.items():
        expected = [row for row in part.get(kind, []) if row["ticker"] == ticker]
        assert sorted(map(repr, map(sorted_items, found))) == sorted(map(repr, map(sorted_items, expected)))
    fill(database, back, at="2021-07-01T00:00:00Z")
    assert exported(database, what, ticker) == text


def sorted_items(row: dict[str, object]) -> list[tuple[str, object]]:
    return sorted(row.items())


def test_a_withdrawn_distribution_is_not_written(database: Database) -> None:
    bar = {"ticker": "IWM", "session": "2020-12-11", "close": 190.3}
    paid = {"ticker": "IWM", "ex_date": "2020-12-11"}
    fill(database, {"bars": [bar], "distributions": [{**paid, "amount": 0.6}]})
    fill(database, {"distributions": [{**paid, "amount": None}]}, at="2021-06-02T00:00:00Z")
    assert exported(database, "prices", "IWM").splitlines()[1] == "2020-12-11,,,,190.3,,0.0,0.0"


def test_one_source_is_written_the_fullest_unless_another_is_named(database: Database) -> None:
    fact = {"ticker": "IWM", "session": "2020-12-11", "shares": None, "assets": None}
    fill(database, {"fund_facts": [{**fact, "nav": 1.0}]}, source="yahoo")
    fill(database, {"fund_facts": [{**fact, "nav": 2.0}, {**fact, "nav": 3.0, "session": "2020-12-14"}]})
    fill(
        database,
        sample.between(sample.sample_observations(3, SESSIONS), "2020-01-01", "2020-12-31"),
        "sample",
    )
    assert exported(database, "fund-facts", "IWM") == (
        "date,nav,shares,assets\n2020-12-11,2.0,,\n2020-12-14,3.0,,\n"
    )
    assert exported(database, "fund-facts", "IWM", "yahoo") == "date,nav,shares,assets\n2020-12-11,1.0,,\n"


def test_sample_data_never_leaves_as_a_file(database: Database) -> None:
    fill(
        database,
        sample.between(sample.sample_observations(3, SESSIONS), "2020-12-01", "2020-12-31"),
        "sample",
    )
    with pytest.raises(NoData, match=r"^There are no daily prices of IWM to export\.$"):
        exported(database, "prices", "IWM")
    with pytest.raises(NoData, match=r"^There are no multiples of SPY from sample to export\.$"):
        exported(database, "multiples", "SPY", "sample")


def test_an_unknown_fund_is_refused(database: Database) -> None:
    with pytest.raises(ImportRejected, match="it compares IWM and SPY"):
        exported(database, "prices", "QQQ")


@pytest.mark.skipif(not REAL.is_dir(), reason="the full history lies beside the checkout, not in it")
@pytest.mark.parametrize(
    ("what", "name", "ticker"),
    [
        ("prices", "IWM_daily.csv", "IWM"),
        ("prices", "SPY_daily.csv", "SPY"),
        ("fund-facts", "IWM_nav_shares.csv", "IWM"),
    ],
)
def test_full_histories_read_back_exactly(database: Database, what: str, name: str, ticker: str) -> None:
    rows = read(what, REAL / name, ticker)
    fill(database, rows)
    assert read(what, exported(database, what, ticker), ticker) == rows
    assert database.run_sync(lambda db: stored.has_source(db, "csv"))
