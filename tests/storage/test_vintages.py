from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from storage.observations import JITTER, Written, add, agree, newest
from storage.rows import Bar

if TYPE_CHECKING:
    import sqlite_utils


ONE, TWO, THREE, FOUR, FIVE = (f"2020-12-11T{hour:02}:00:00Z" for hour in range(1, 6))
A, B = 100.0, 101.0
# Each is jitter of the one before it, and no longer jitter of the one before that.
DRIFT = [A, A * (1 + 0.9e-5), A * (1 + 1.8e-5), A * (1 + 2.7e-5)]

# One thing said: (hour, ticker, close).
Said = tuple[int, str, float]


def hour(count: int) -> str:
    return f"2020-12-11T{count:02}:00:00Z"


def put(db: sqlite_utils.Database, at: str, *closes: float, ticker: str = "IWM") -> Written:
    rows = [Bar(ticker, "2020-12-11", close) for close in closes]
    return add(db, Bar, rows, source="yahoo", observed_at=at)


def vintages(db: sqlite_utils.Database, ticker: str = "IWM") -> list[tuple[str, float]]:
    rows = db.table("bars").rows_where("vintage > 0 AND ticker = ?", [ticker], order_by="observed_at, id")
    return [(row["observed_at"], row["close"]) for row in rows]


def marks(db: sqlite_utils.Database) -> list[int]:
    return [row["vintage"] for row in db.table("bars").rows_where(order_by="observed_at, id")]


# What is kept


def test_what_was_said_before_adds_no_row_and_is_noted(db: sqlite_utils.Database) -> None:
    put(db, ONE, A)
    assert put(db, TWO, A) == Written(unchanged=1)
    assert db.table("bars").count == 1
    assert [tuple(row.values()) for row in db.table("readings").rows] == [
        ("bars", "yahoo", ONE, 1, 1),
        ("bars", "yahoo", TWO, 1, 1),
    ]


def test_a_whole_file_said_again_is_one_note(db: sqlite_utils.Database) -> None:
    rows = [Bar("IWM", f"2020-{n:04}", A) for n in range(500)]
    for at in (ONE, TWO, THREE):
        add(db, Bar, rows, source="csv", observed_at=at)
    changed = [*rows[:100], Bar("IWM", rows[100].session, B), *rows[101:]]
    assert add(db, Bar, changed, source="csv", observed_at=FOUR) == Written(revised=1, unchanged=499)
    assert [tuple(row.values())[2:] for row in db.table("readings").rows] == [
        (ONE, 1, 500),
        (TWO, 1, 500),
        (THREE, 1, 500),
        (FOUR, 1, 100),
        (FOUR, 102, 501),
    ]


def test_jitter_is_kept_but_is_no_vintage(db: sqlite_utils.Database) -> None:
    for at, close in ((ONE, DRIFT[0]), (TWO, DRIFT[1]), (THREE, DRIFT[1]), (FOUR, DRIFT[2])):
        put(db, at, close)
    assert vintages(db) == [(ONE, DRIFT[0]), (FOUR, DRIFT[2])]
    assert marks(db) == [1, 0, 2]
    assert [row.close for row in newest(db, Bar, known=THREE)] == [DRIFT[0]]


# Late arrivals


def test_a_row_said_earlier_takes_its_place_in_the_past(db: sqlite_utils.Database) -> None:
    put(db, THREE, B)
    assert put(db, ONE, A) == Written(revised=1)
    assert vintages(db) == [(ONE, A), (THREE, B)]
    assert marks(db) == [1, 2]


def test_the_same_value_said_earlier_dates_the_vintage_back(db: sqlite_utils.Database) -> None:
    put(db, FOUR, B)
    put(db, ONE, A)
    assert put(db, TWO, B) == Written(unchanged=1)
    assert vintages(db) == [(ONE, A), (TWO, B)]


@pytest.mark.parametrize("order", [(1, 2, 3), (1, 3, 2), (2, 1, 3), (2, 3, 1), (3, 1, 2), (3, 2, 1)])
def test_a_value_that_was_replaced_and_came_back_has_come_back(
    db: sqlite_utils.Database, order: tuple[int, ...]
) -> None:
    for count in order:
        put(db, hour(count), B if count == 2 else A)
    assert vintages(db) == [(ONE, A), (TWO, B), (THREE, A)]
    assert [row.close for row in newest(db, Bar)] == [A]


def test_a_late_row_that_splits_a_vintage_counts_as_a_revision(db: sqlite_utils.Database) -> None:
    put(db, ONE, A)
    put(db, THREE, A)
    put(db, FIVE, A)
    assert put(db, TWO, B) == Written(revised=1)
    assert put(db, FOUR, B) == Written(revised=1)
    assert vintages(db) == [(ONE, A), (TWO, B), (THREE, A), (FOUR, B), (FIVE, A)]


def test_another_key_that_arrives_late_is_new(db: sqlite_utils.Database) -> None:
    put(db, TWO, A)
    assert put(db, ONE, B, ticker="SPY") == Written(inserted=1)


def test_sources_and_kinds_have_clocks_of_their_own(db: sqlite_utils.Database) -> None:
    row = Bar("IWM", "2020-12-11", A)
    add(db, Bar, [row], source="csv", observed_at=THREE)
    put(db, ONE, A)
    put(db, TWO, A)
    assert [tuple(row.values())[1:3] for row in db.table("readings").rows] == [
        ("csv", THREE),
        ("yahoo", ONE),
        ("yahoo", TWO),
    ]


# One second


def test_of_two_values_in_one_second_the_later_added_counts_also_in_the_past(
    db: sqlite_utils.Database,
) -> None:
    put(db, TWO, 102.0)
    put(db, ONE, A, B)
    assert vintages(db) == [(ONE, A), (ONE, B), (TWO, 102.0)]
    assert marks(db) == [1, 2, 2]
    assert [row.close for row in newest(db, Bar, known=ONE)] == [B]


def test_two_values_in_one_second_said_again_change_nothing(db: sqlite_utils.Database) -> None:
    put(db, ONE, A, B)
    before = list(db.table("bars").rows)
    assert put(db, ONE, A, B) == Written(unchanged=2)
    assert list(db.table("bars").rows) == before


def test_a_value_said_again_and_then_replaced_in_one_second_stays_replaced(
    db: sqlite_utils.Database,
) -> None:
    put(db, TWO, A)
    put(db, THREE, A, B)
    assert put(db, ONE, A) == Written(unchanged=1)
    assert vintages(db) == [(ONE, A), (THREE, B)]


# Any order


def model(said: list[Said]) -> list[tuple[str, str, float]]:
    """Vintages by the rule itself, from all that was said, in order."""
    found = []
    for ticker, group in groupby(sorted(said, key=lambda each: (each[1], each[0])), key=lambda each: each[1]):
        held: float | None = None
        for count, _, close in group:
            if held is None or abs(close - held) > JITTER * max(close, held):
                held = close
                found.append((ticker, hour(count), close))
    return found


@st.composite
def arrivals(draw: st.DrawFn) -> tuple[list[Said], list[Said]]:
    """What was said, at most one value of a fund an hour; and the same in any order with repeats."""
    values = st.sampled_from([*DRIFT, B])
    said = [
        (count, ticker, close)
        for ticker in ("IWM", "SPY")
        for count, close in draw(st.dictionaries(st.integers(0, 9), values, max_size=7)).items()
    ]
    repeats = draw(st.lists(st.sampled_from(said), max_size=4)) if said else []
    return said, draw(st.permutations([*said, *repeats]))


def store(db: sqlite_utils.Database, said: list[Said]) -> list[tuple[str, str, float]]:
    db.execute("DELETE FROM bars")
    db.execute("DELETE FROM readings")
    for count, ticker, close in said:
        put(db, hour(count), close, ticker=ticker)
    return [(ticker, *vintage) for ticker in ("IWM", "SPY") for vintage in vintages(db, ticker)]


@settings(deadline=None, max_examples=250)
@given(both=arrivals())
@example(both=([(1, "IWM", A), (2, "IWM", B), (3, "IWM", A)], [(1, "IWM", A), (3, "IWM", A), (2, "IWM", B)]))
def test_the_order_of_arrival_changes_nothing(
    scratch: sqlite_utils.Database, both: tuple[list[Said], list[Said]]
) -> None:
    said, shuffled = both
    expected = model(said)
    assert store(scratch, shuffled) == expected
    firsts = {ticker: min(count for count, each, _ in said if each == ticker) for _, ticker, _ in said}
    flags = scratch.execute("SELECT ticker, observed_at FROM bars WHERE vintage = 1 ORDER BY 1").fetchall()
    assert flags == [(ticker, hour(firsts[ticker])) for ticker in sorted(firsts)]
    rows = scratch.execute("SELECT ticker, observed_at FROM bars").fetchall()
    assert len(rows) == len(set(rows))  # one value an hour was said, so none is stored twice
    for count in range(10):
        known = [(row.ticker, row.close) for row in newest(scratch, Bar, known=hour(count))]
        earlier = {ticker: close for ticker, at, close in expected if at <= hour(count)}
        assert known == sorted(earlier.items())


@settings(deadline=None, max_examples=50)
@given(both=arrivals())
def test_adding_everything_again_changes_nothing(
    scratch: sqlite_utils.Database, both: tuple[list[Said], list[Said]]
) -> None:
    said, shuffled = both

    def again() -> list[Any]:
        for count, ticker, close in said:
            assert put(scratch, hour(count), close, ticker=ticker) == Written(unchanged=1)
        return [list(scratch.table(name).rows) for name in ("bars", "readings")]

    store(scratch, shuffled)
    bars = list(scratch.table("bars").rows)
    once = again()
    assert once[0] == bars
    assert again() == once


@settings(deadline=None, max_examples=50)
@given(both=arrivals())
def test_rows_that_arrive_together_are_stored_as_if_one_by_one(
    scratch: sqlite_utils.Database, both: tuple[list[Said], list[Said]]
) -> None:
    said, _ = both
    expected = store(scratch, said)
    store(scratch, [])
    for count in (9, 3, 0, 6, 1, 8, 5, 2, 7, 4):
        rows = [Bar(ticker, "2020-12-11", close) for each, ticker, close in said if each == count]
        add(scratch, Bar, rows, source="yahoo", observed_at=hour(count))
    found = [(ticker, *vintage) for ticker in ("IWM", "SPY") for vintage in vintages(scratch, ticker)]
    assert found == expected


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (A, A * (1 + 0.99 * JITTER), True),
        (A, A * (1 + 1.01 * JITTER), False),
        (0.0, 1e-9, False),
        (None, None, True),
        (None, 0.0, False),
        ("2020-12-11", "2020-12-10", False),
    ],
)
def test_rows_agree_up_to_the_jitter(one: float | str | None, other: float | str | None, same: bool) -> None:
    assert agree((one,), (other,)) == same
