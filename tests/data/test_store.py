from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest

from bot.data.store import store, store_file
from storage import observations, sources
from storage.rows import Distribution, Split
from tests.data.imports import PRICES, read

if TYPE_CHECKING:
    from storage.db import Database


def test_storing_twice_changes_nothing(database: Database) -> None:
    contents = read("prices", PRICES)
    first = database.run_sync(
        lambda db: store(db, contents.observations, source="csv", observed_at="2021-01-01T00:00:00Z")
    )
    assert first["bars"] == observations.Written(inserted=2)
    assert first["distributions"] == observations.Written(inserted=1)
    again = database.run_sync(lambda db: store_file(db, contents, observed_at="2021-01-02T00:00:00Z"))
    assert again["bars"] == observations.Written(unchanged=2)
    assert again["splits"] == observations.Written(unchanged=1)


def test_an_import_is_noted_among_the_sources(database: Database) -> None:
    contents = read("prices", PRICES)
    database.run_sync(lambda db: store_file(db, contents, observed_at="2021-01-01T00:00:00Z"))
    [row] = database.run_sync(sources.source_statuses)
    assert (row.source, row.subject, row.outcome) == ("csv", "IWM daily prices", "Imported")
    assert (row.last_success, f"{row.last_session}") == (
        dt.datetime(2021, 1, 1, tzinfo=dt.UTC),
        max(bar.session for bar in contents.observations["bars"]),
    )


@pytest.mark.parametrize(("later", "ratio"), [("Date,Close", 2.0), ("Date,Close,Stock Splits", None)])
def test_a_corrected_file_withdraws_a_split(database: Database, later: str, ratio: float | None) -> None:
    first = read("prices", "Date,Close,Stock Splits\n2020-12-11,53,2\n")
    second = read("prices", f"{later}\n2020-12-11,53{',0' if 'Splits' in later else ''}\n")
    database.run_sync(lambda db: store_file(db, first, observed_at="2021-01-01T00:00:00Z"))
    database.run_sync(lambda db: store_file(db, second, observed_at="2021-01-02T00:00:00Z"))
    [row] = database.run_sync(lambda db: observations.newest(db, Split))
    assert row.ratio == ratio


def test_a_corrected_file_withdraws_a_distribution(database: Database) -> None:
    wrong = read("prices", "Date,Close,Dividends\n2003-12-15,53,0\n2003-12-16,53,0.115\n")
    right = read("prices", "Date,Close,Dividends\n2003-12-15,53,0\n2003-12-16,53,0\n")
    silent = read("prices", "Date,Close\n2003-12-15,53\n2003-12-16,53\n")

    def amounts() -> list[float | None]:
        rows = database.run_sync(lambda db: observations.newest(db, Distribution))
        return [row.amount for row in rows]

    database.run_sync(lambda db: store_file(db, wrong, observed_at="2021-01-01T00:00:00Z"))
    database.run_sync(lambda db: store_file(db, silent, observed_at="2021-01-02T00:00:00Z"))
    database.run_sync(lambda db: store_file(db, wrong, observed_at="2021-01-02T12:00:00Z"))
    assert amounts() == [0.115]
    database.run_sync(lambda db: store_file(db, right, observed_at="2021-01-03T00:00:00Z"))
    assert amounts() == [None]
