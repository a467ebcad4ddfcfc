from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pandas as pd
import pytest
from msgspec.structs import replace

from bot.analytics.sessions import Sessions
from bot.data.provider import Observations, Ok, rows_by_kind
from bot.data.store import store, store_file, with_withdrawals
from storage import observations, sources
from storage.records import Bar, Distribution, Observation, Split
from tests.data.imports import PRICES, read

if TYPE_CHECKING:
    import sqlite_utils

    from storage.database import Database


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
    assert row.last_success == dt.datetime(2021, 1, 1, tzinfo=dt.UTC)
    assert f"{row.last_session}" == "2020-12-11"


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


COMPLETED = Sessions().between(pd.Timestamp("2020-12-01"), pd.Timestamp("2020-12-11"))
DAYS = [f"{day:%Y-%m-%d}" for day in COMPLETED]


def paid(*days: str, ticker: str = "IWM") -> list[Distribution]:
    return [Distribution(ticker, day, 0.5) for day in days]


def bars(*days: str) -> list[Bar]:
    return [Bar("IWM", day, 100.0) for day in days]


def withdrawals(db: sqlite_utils.Database, source: str, ticker: str, outcome: Ok) -> dict[str, list[Observation]]:
    """The rows by kind that are added to an answer."""
    given = rows_by_kind(outcome.payload)
    rows = rows_by_kind(with_withdrawals(db, source, ticker, outcome, COMPLETED))
    return {kind: [*group][len(given[kind]) :] for kind, group in rows.items() if len(group) > len(given[kind])}


def gone(db: sqlite_utils.Database, outcome: Ok, stored: str = "2020-12-04") -> list[str]:
    """Ex-dates withdrawn by an answer of one source that told of a distribution before."""
    observations.add(db, Distribution, paid(stored), source="yahoo", observed_at="2020-12-04T22:00:00Z")
    withdrawn = withdrawals(db, "yahoo", "IWM", outcome)
    assert withdrawn.keys() <= {"distributions"}
    rows = withdrawn.get("distributions", [])
    assert all(row == Distribution("IWM", row.session, None) for row in rows)
    return [row.session for row in rows]


def without(day: str) -> list[Bar]:
    return bars(*(other for other in DAYS if other != day))


UNDATED = ("a distribution dated 2020-12-05, which is no session",)


@pytest.mark.parametrize(
    ("outcome", "withdrawn"),
    [
        (Ok({"bars": bars(*DAYS), "distributions": []}), ["2020-12-04"]),  # no longer listed
        (Ok({"bars": bars(*DAYS), "distributions": paid("2020-12-07")}), ["2020-12-04"]),  # moved
        (Ok({"bars": bars(*DAYS), "distributions": paid("2020-12-04")}), []),
        (Ok({"bars": bars(*DAYS)}), []),  # it says nothing of distributions
        # without the bars around it nothing is withdrawn; one missing elsewhere is no hindrance
        (Ok({"bars": without("2020-12-03"), "distributions": []}, ("2020-12-03",)), []),
        (Ok({"bars": without("2020-12-04"), "distributions": []}, ("2020-12-04",)), []),
        (Ok({"bars": without("2020-12-07"), "distributions": []}, ("2020-12-07",)), []),
        (Ok({"bars": without("2020-12-10"), "distributions": []}, ("2020-12-10",)), ["2020-12-04"]),
        (Ok({"bars": bars(*DAYS), "distributions": []}, UNDATED), []),  # that may be it
    ],
)
def test_what_an_answer_withdraws(outcome: Ok, withdrawn: list[str], db: sqlite_utils.Database) -> None:
    assert gone(db, outcome) == withdrawn


def test_an_answer_without_most_of_them_has_lost_its_list(db: sqlite_utils.Database) -> None:
    """Every total return of the past would change, because nearly_whole page came without its events."""
    rows = paid("2020-12-02", "2020-12-08")
    observations.add(db, Distribution, rows, source="yahoo", observed_at="2020-12-04T22:00:00Z")
    assert gone(db, Ok({"bars": bars(*DAYS), "distributions": []})) == []
    nearly_whole = Ok({"bars": bars(*DAYS), "distributions": paid("2020-12-02", "2020-12-08")})
    assert gone(db, nearly_whole) == ["2020-12-04"]


@pytest.mark.parametrize("edge", [DAYS[0], DAYS[-1]])
def test_at_the_ends_of_an_answer_nothing_is_withdrawn(edge: str, db: sqlite_utils.Database) -> None:
    assert gone(db, Ok({"bars": bars(*DAYS), "distributions": []}), edge) == []


def test_another_sources_another_funds_and_withdrawn_ones_are_left(db: sqlite_utils.Database) -> None:
    for source, rows in (
        ("csv", paid("2020-12-04")),
        ("yahoo", paid("2020-12-08", ticker="SPY")),
        ("yahoo", [Distribution("IWM", "2020-12-08", None)]),
    ):
        observations.add(db, Distribution, rows, source=source, observed_at="2020-12-04T22:00:00Z")
    assert gone(db, Ok({"bars": bars(*DAYS), "distributions": paid("2020-12-04")})) == []


@pytest.mark.parametrize(("stored", "expected"), [("2020-12-04", ["2020-12-04"]), ("2020-12-02", [])])
def test_a_list_without_bars_has_its_span(stored: str, expected: list[str], db: sqlite_utils.Database) -> None:
    outcome = Ok({"fund_facts": [], "distributions": paid("2020-12-03", "2020-12-09")})
    assert gone(db, outcome, stored) == expected
    assert withdrawals(db, "yahoo", "IWM", Ok({"distributions": []})) == {}


# Splits


SPLIT = Split("IWM", "2020-12-04", 2.0)


@pytest.fixture
def split(db: sqlite_utils.Database) -> sqlite_utils.Database:
    """A database in which the source has told of a split."""
    observations.add(db, Split, [SPLIT], source="yahoo", observed_at="2020-12-04T22:00:00Z")
    return db


def test_a_split_that_is_no_longer_listed_is_withdrawn(split: sqlite_utils.Database) -> None:
    payload: Observations = {"bars": bars(*DAYS), "distributions": [], "splits": []}
    gone = {"splits": [replace(SPLIT, ratio=None)]}
    assert withdrawals(split, "yahoo", "IWM", Ok(payload)) == gone
    assert withdrawals(split, "csv", "IWM", Ok(payload)) == {}
    assert withdrawals(split, "yahoo", "SPY", Ok(payload)) == {}
    rows = gone["splits"]
    observations.add(split, Split, rows, source="yahoo", observed_at="2020-12-05T22:00:00Z")
    assert withdrawals(split, "yahoo", "IWM", Ok(payload)) == {}


@pytest.mark.parametrize(
    "outcome",
    [
        Ok({"bars": bars(*DAYS), "splits": [SPLIT]}),
        Ok({"bars": bars(*DAYS), "distributions": []}),
        Ok({"bars": bars(*DAYS[:3]), "splits": []}),
        Ok({"bars": bars(*DAYS), "splits": []}, ("a split dated 2020-12-05, which is no session",)),
        Ok({"bars": bars(*(day for day in DAYS if day != "2020-12-07")), "splits": []}, ("2020-12-07",)),
    ],
)
def test_a_split_is_withdrawn_with_the_same_caution(split: sqlite_utils.Database, outcome: Ok) -> None:
    assert withdrawals(split, "yahoo", "IWM", outcome) == {}


def test_an_answer_that_came_without_its_events_withdraws_no_split(split: sqlite_utils.Database) -> None:
    rows = paid("2020-12-02", "2020-12-08")
    observations.add(split, Distribution, rows, source="yahoo", observed_at="2020-12-04T22:00:00Z")
    payload: Observations = {"bars": bars(*DAYS), "distributions": [], "splits": []}
    assert withdrawals(split, "yahoo", "IWM", Ok(payload)) == {}
