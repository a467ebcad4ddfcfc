from __future__ import annotations

import datetime as dt
import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from storage.observations import RESTATED_FROM, Restatement, add, recent, restatements
from storage.records import Bar, Distribution, FundFacts, Multiple, SectorWeight, Split

if TYPE_CHECKING:
    from random import Random

    import sqlite_utils

    from storage.records import Observation


ONE, TWO, THREE = (f"2020-12-11T{hour}:00:00Z" for hour in (21, 22, 23))


def at(day: str, hour: int = 21) -> str:
    return f"{day}T{hour:02}:00:00Z"


def put(
    db: sqlite_utils.Database,
    observed_at: str,
    close: float,
    session: str = "2020-12-10",
    *,
    source: str = "yahoo",
    **more: Any,  # noqa: ANN401 - any fields of a bar
) -> None:
    give(db, observed_at, Bar("IWM", session, close, **more), source)


def split(
    db: sqlite_utils.Database,
    session: str = "2020-12-14",
    ratio: float | None = 2.0,
    observed_at: str | None = None,
    ticker: str = "IWM",
    source: str = "yahoo",
) -> None:
    give(db, observed_at or at(session), Split(ticker, session, ratio), source)


def give(db: sqlite_utils.Database, observed_at: str, row: Observation, source: str = "yahoo") -> None:
    add(db, type(row), [row], source=source, observed_at=observed_at)


def listed(db: sqlite_utils.Database, kind: type[Observation] = Bar) -> list[tuple[str, float, float | None]]:
    return [(change.column, change.old, change.new) for change in restatements(db, kind)]


def empty(db: sqlite_utils.Database) -> None:
    for table in ("bars", "splits", "readings"):
        db.execute(f"DELETE FROM {table}")  # noqa: S608 - names from above


# What a restatement is


def test_a_close_that_was_replaced_is_told_with_both_values(db: sqlite_utils.Database) -> None:
    put(db, ONE, 190.0)
    put(db, TWO, 190.19)
    (only,) = restatements(db, Bar)
    key = {"ticker": "IWM", "session": "2020-12-10"}
    assert only == Restatement("bars", key, "close", old=190.0, new=190.19, source="yahoo", observed_at=TWO)
    assert only.change == pytest.approx(0.001)


@pytest.mark.parametrize(
    ("bars", "expected"),
    [
        # a basis point is the limit
        ([(190.0, {}), (190.0 * 1.00009, {})], []),
        ([(190.0, {}), (190.0 * 1.00011, {})], [(190.0, 190.0 * 1.00011)]),
        ([(190.0, {}), (190.0 * 0.99989, {})], [(190.0, 190.0 * 0.99989)]),
        # jitter between does not hide a restatement
        ([(100.0, {}), (100.0005, {}), (100.02, {})], [(100.0, 100.02)]),
        # small steps are each compared with the one before
        ([(100.0, {}), (100.008, {}), (100.016, {}), (100.024, {})], []),
        # volume and the day's range are no figures
        ([(190.0, {"high": 191.0, "volume": 1000}), (190.0, {"high": 195.0, "volume": 2000})], []),
        # a provisional bar made final is no restatement
        ([(190.0, {"provisional": 1}), (191.0, {})], []),
        ([(190.0, {"provisional": 1}), (191.0, {}), (192.0, {})], [(191.0, 192.0)]),
        # sources do not restate each other
        ([(190.0, {}), (195.0, {"source": "csv"})], []),
    ],
)
def test_what_a_restatement_is(
    db: sqlite_utils.Database, bars: list[tuple[float, dict[str, Any]]], expected: list[tuple[float, float]]
) -> None:
    for hour, (close, more) in enumerate(bars):
        put(db, at("2020-12-11", hour), close, **more)
    assert listed(db) == [("close", old, new) for old, new in expected]


def test_a_value_that_comes_back_is_listed_twice(db: sqlite_utils.Database) -> None:
    put(db, ONE, 100.0)
    put(db, THREE, 100.0)
    put(db, TWO, 101.0)  # it arrives late, and so the return on THREE is found
    assert listed(db) == [("close", 101.0, 100.0), ("close", 100.0, 101.0)]


def test_a_figure_withdrawn_is_listed_and_one_filled_in_is_not(db: sqlite_utils.Database) -> None:
    for observed_at, amount in ((ONE, 0.115), (TWO, None), (THREE, 0.187)):
        give(db, observed_at, Distribution("IWM", "2003-12-16", amount))
    (only,) = restatements(db, Distribution)
    assert only.key == {"ticker": "IWM", "ex_date": "2003-12-16"}
    assert (only.old, only.new, only.change) == (0.115, None, None)


def test_each_figure_of_a_row_is_told_for_itself(db: sqlite_utils.Database) -> None:
    facts = FundFacts("IWM", "2020-12-10", nav=190.0, shares=2.9e8, assets=5.5e10)
    give(db, ONE, facts)
    give(db, TWO, replace(facts, nav=190.1, shares=2.8e8, assets=5.5e10 * (1 + 5e-5)))
    assert listed(db, FundFacts) == [("nav", 190.0, 190.1), ("shares", 2.9e8, 2.8e8)]


@pytest.mark.parametrize(
    ("row", "column"),
    [
        (Multiple("IWM", "2020-12-10", "pe", "morningstar", "unstated", None), "value"),
        (SectorWeight("IWM", "2020-12-10", "sector", "Health Care", None), "weight"),
    ],
)
def test_the_key_says_which_figure_it_was(db: sqlite_utils.Database, row: Observation, column: str) -> None:
    for observed_at, value in ((ONE, 20.0), (TWO, 21.0)):
        give(db, observed_at, replace(row, **{column: value}))
    (only,) = restatements(db, type(row))
    key = {name: getattr(row, name) for name in row.key}
    assert (only.key, only.column, only.old, only.new) == (key, column, 20.0, 21.0)


def test_a_change_from_zero_has_no_relative_size(db: sqlite_utils.Database) -> None:
    for observed_at, weight in ((ONE, 0.0), (TWO, 0.5)):
        give(db, observed_at, SectorWeight("IWM", "2020-12-10", "sector", "Utilities", weight))
    (only,) = restatements(db, SectorWeight)
    assert (only.new, only.change) == (0.5, None)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (190.0, 190.19, "190 -> 190.19 (+10.0 bp)"),
        (156.619995, 150.0, "156.62 -> 150 (-422.7 bp)"),
        (290_300_000.0, 256_750_000.5, "290,300,000 -> 256,750,000.5 (-1,155.7 bp)"),
        (0.115, None, "0.115 withdrawn"),
        (0.0, 0.5, "0 -> 0.5"),
    ],
)
def test_a_restatement_in_words(old: float, new: float | None, words: str) -> None:
    key = {"ticker": "IWM", "session": "2020-12-10"}
    assert str(Restatement("bars", key, "close", old, new, "yahoo", ONE)) == f"IWM 2020-12-10 close {words}"


def test_a_restatement_is_logged_once(db: sqlite_utils.Database, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="storage")
    put(db, ONE, 190.0)
    put(db, TWO, 190.0 * (1 + 9e-6))
    put(db, TWO, 190.0, source="csv")
    assert caplog.messages == []
    put(db, THREE, 190.19)
    put(db, THREE, 190.19)
    assert caplog.messages == ["restated by yahoo: IWM 2020-12-10 close 190 -> 190.19 (+10.0 bp)"]


# Which are listed


def test_the_recent_ones_of_every_kind_are_listed_newest_first(db: sqlite_utils.Database) -> None:
    put(db, ONE, 190.0)
    put(db, THREE, 191.0)
    fact = FundFacts("IWM", "2020-12-10", nav=190.0, shares=1e6)
    give(db, ONE, fact)
    give(db, TWO, replace(fact, shares=2e6))
    changes = recent(db, since=ONE)
    columns = [f"{change.kind} {change.column}" for change in changes]
    assert columns == ["bars close", "fund_facts shares"]
    assert recent(db, since=THREE) == recent(db, since=ONE, limit=1) == changes[:1]


def test_the_newest_come_first_and_no_more_than_asked_for(db: sqlite_utils.Database) -> None:
    for day in range(1, 6):
        put(db, ONE, 100.0, f"2020-12-0{day}")
    for day in (3, 1, 5, 2, 4):
        put(db, at(f"2020-12-1{day}", 22), 101.0, f"2020-12-0{day}")
    assert [change.key["session"][-1] for change in restatements(db, Bar)] == list("54321")
    assert [change.key["session"][-1] for change in restatements(db, Bar, limit=2)] == list("54")
    since = restatements(db, Bar, since=dt.datetime(2020, 12, 14, 22, tzinfo=dt.UTC))
    assert [change.key["session"][-1] for change in since] == list("54")
    assert restatements(db, Bar, since="2020-12-15T22:00:01Z") == []


def test_the_limit_holds_within_one_row(db: sqlite_utils.Database) -> None:
    for observed_at, nav in ((ONE, 190.0), (TWO, 191.0)):
        give(db, observed_at, FundFacts("IWM", "2020-12-10", nav=nav, assets=nav))
    assert [change.column for change in restatements(db, FundFacts, limit=1)] == ["nav"]


def test_neither_step_of_the_listing_reads_the_whole_table(db: sqlite_utils.Database) -> None:
    statements: list[str] = []
    db.conn.set_trace_callback(statements.append)
    restatements(db, Bar, since=ONE)
    db.conn.set_trace_callback(None)
    (listing,) = (text for text in statements if "JOIN" in text)
    plan = " / ".join(row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {listing}").fetchall())
    assert re.search(r"SEARCH new USING INDEX bars_revisions \(observed_at>\?\)", plan), plan
    assert re.search(
        r"SEARCH before USING COVERING INDEX bars_vintages \(ticker=\? AND session=\? AND source=\?", plan
    ), plan
    assert "TEMP B-TREE" not in plan.partition("SEARCH before")[0]  # the vintages of one key are few


# Splits


BEFORE, AFTER = ("2020-12-10", 190.0), ("2020-12-14", 95.0)  # closes of one session, given on two days
GONE = {"ratio": None, "observed_at": at("2021-03-01")}


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        *(([{"ratio": ratio}, BEFORE, ("2020-12-14", round(190.0 / ratio, 2))], []) for ratio in (2.0, 3.0, 1.5, 0.1)),
        ([BEFORE, AFTER], [(190.0, 95.0)]),
        ([BEFORE, AFTER, {}], []),  # the split is stored later
        # a split elsewhere is no explanation
        *(
            ([{"session": day, "ticker": ticker, "observed_at": at("2020-12-09")}, BEFORE, AFTER], [(190.0, 95.0)])
            for day, ticker in (
                ("2020-12-10", "IWM"),
                ("2020-12-15", "IWM"),
                ("2019-12-16", "IWM"),
                ("2020-12-14", "SPY"),
            )
        ),
        # a source has a week for its history
        ([{}, ("2020-12-14", 190.0), ("2020-12-21", 95.0)], []),
        ([{}, ("2020-12-14", 190.0), ("2020-12-22", 95.0)], [(190.0, 95.0)]),
        # after an absence a split explains, and later changes count
        ([{}, ("2020-12-13", 190.0), ("2021-02-01", 95.0)], []),
        ([{}, ("2020-12-13", 190.0), ("2021-02-01", 95.0), ("2021-02-02", 96.0)], [(95.0, 96.0)]),
        # so does one that is taken back
        ([{}, BEFORE, AFTER, GONE, ("2021-03-01", 190.0)], []),
        ([{}, BEFORE, AFTER, GONE, ("2021-03-01", 190.0), ("2021-06-01", 191.0)], [(190.0, 191.0)]),
        # two sources report it, and there are several at once
        ([{}, {"source": "csv"}, {"session": "2020-12-16", "ratio": 3.0}, BEFORE, ("2020-12-16", 31.67)], []),
    ],
)
def test_what_a_split_does_to_older_closes_is_no_restatement(
    db: sqlite_utils.Database, steps: list[Any], expected: list[tuple[float, float]]
) -> None:
    for hour, step in enumerate(steps):
        if isinstance(step, dict):
            split(db, **step)
        else:
            put(db, at(step[0], hour + 1), step[1])
    assert listed(db) == [("close", old, new) for old, new in expected]


def test_shares_grow_by_a_split_and_amounts_shrink_up_to_their_rounding(db: sqlite_utils.Database) -> None:
    split(db)
    for day, nav, shares, amount in (("2020-12-10", 190.0, 2.9e8, 0.115), ("2020-12-14", 95.0, 5.8e8, 0.058)):
        give(db, at(day), FundFacts("IWM", "2020-12-09", nav=nav, shares=shares, assets=5.5e10))
        give(db, at(day), Distribution("IWM", "2020-12-09", amount))
    assert listed(db, FundFacts) == listed(db, Distribution) == []


def test_a_multiple_is_not_rebased(db: sqlite_utils.Database) -> None:
    split(db)
    for day, value in (("2020-12-10", 40.0), ("2020-12-14", 20.0)):
        give(db, at(day), Multiple("IWM", "2020-12-10", "pe", "morningstar", "unstated", value))
    assert listed(db, Multiple) == [("value", 40.0, 20.0)]


# Any history

closes = st.lists(
    st.floats(50, 200).flatmap(lambda close: st.sampled_from([close, close * (1 + 5e-6), close * (1 + 5e-5)])),
    min_size=1,
    max_size=8,
)


@given(values=closes, order=st.randoms())
def test_neighbouring_vintages_more_than_a_basis_point_apart_are_all_that_is_told(
    scratch: sqlite_utils.Database, values: list[float], order: Random
) -> None:
    empty(scratch)
    arrivals = list(enumerate(values))
    order.shuffle(arrivals)
    for hour, close in arrivals:
        put(scratch, at("2020-12-11", hour), close)
    vintages = scratch.table("bars").rows_where("vintage > 0", order_by="observed_at DESC")
    steps = pairwise(row["close"] for row in vintages)
    expected = [("close", old, new) for new, old in steps if abs(new - old) > RESTATED_FROM * old]
    assert listed(scratch) == expected
