from __future__ import annotations

from datetime import UTC, datetime
from itertools import groupby
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from storage.observations import JITTER, Written, add, agree, first_observed, latest_session, newest, newest_columns
from storage.records import KINDS, Bar, CompanySums, Distribution, FundFacts, Multiple, SectorWeight, Split
from tests.storage.conftest import refused

if TYPE_CHECKING:
    from collections.abc import Iterable

    import sqlite_utils

    from storage.records import Observation


DAY = "2020-12-11"
NOON, ONE, TWO, THREE = (f"{DAY}T{hour}:00:00Z" for hour in (12, 13, 14, 15))


def bar(close: float, session: str = DAY, ticker: str = "IWM", **more: Any) -> Bar:  # noqa: ANN401 - any of its fields
    return Bar(ticker, session, close, **more)


def put(db: sqlite_utils.Database, at: str, *rows: Bar, source: str = "yahoo") -> Written:
    return add(db, Bar, rows, source=source, observed_at=at)


def closes(db: sqlite_utils.Database, known: str | None = None) -> list[float]:
    return [row.close for row in newest(db, Bar, known=known)]


# Every kind

MULTIPLE = Multiple("IWM", DAY, "pe", "morningstar", "unstated", 21.4, holdings_date="2020-11-30")
ROWS: tuple[tuple[Observation, Observation], ...] = (  # a row of each kind, and another value of the same key
    (bar(189.94, open=189.5, high=191.0, low=188.25, volume=21_000_000, provisional=1), bar(190.02, volume=22_000_000)),
    (Distribution("SPY", "2020-12-18", 1.58), Distribution("SPY", "2020-12-18", None)),
    (Split("IWM", "2005-06-09", 2.0), Split("IWM", "2005-06-09", 3.0)),
    (FundFacts("IWM", DAY, 189.9, None, 5.5e10), FundFacts("IWM", DAY, 189.9, 2.9e8, 5.5e10)),
    (MULTIPLE, replace(MULTIPLE, holdings_date=DAY)),
    (SectorWeight("IWM", DAY, "sector", "Energy", 20.1), SectorWeight("IWM", DAY, "sector", "Energy", 20.3)),
    (CompanySums("IWM", DAY, "{}", 0.8), CompanySums("IWM", DAY, '{"equities":1}', 0.8)),
)


@pytest.mark.parametrize(("first", "second"), ROWS, ids=KINDS)
def test_a_row_comes_back_as_stored_and_a_second_value_is_a_revision(
    db: sqlite_utils.Database, first: Observation, second: Observation
) -> None:
    assert first_observed(db) is None
    kind = type(first)
    assert add(db, kind, [first], source="yahoo", observed_at=NOON) == Written(inserted=1)
    assert first_observed(db) == NOON
    assert add(db, kind, [first], source="yahoo", observed_at=ONE) == Written(unchanged=1)
    assert add(db, kind, [second], source="yahoo", observed_at=TWO) == Written(revised=1)
    assert newest(db, kind, known=ONE) == [replace(first, source="yahoo", observed_at=NOON)]
    assert newest(db, kind) == [replace(second, source="yahoo", observed_at=TWO)]
    assert newest(db, kind, known=f"{DAY}T11:59:59Z") == []


def test_every_kind_is_among_these_rows() -> None:
    assert [type(first) for first, _ in ROWS] == list(KINDS.values())


def test_rows_come_ordered_by_key_with_each_source_apart(db: sqlite_utils.Database) -> None:
    put(db, NOON, bar(3), bar(4, "2020-12-10", "SPY"), bar(1, "2020-12-10"))
    put(db, NOON, bar(2, "2020-12-10"), source="csv")
    assert [(row.ticker, row.session, row.source) for row in newest(db, Bar)] == [
        ("IWM", "2020-12-10", "csv"),
        ("IWM", "2020-12-10", "yahoo"),
        ("IWM", DAY, "yahoo"),
        ("SPY", "2020-12-10", "yahoo"),
    ]


# What a revision is


@pytest.mark.parametrize(("change", "written"), [(9e-6, "unchanged"), (-9e-6, "unchanged"), (1.2e-5, "revised")])
def test_jitter_is_no_revision(db: sqlite_utils.Database, change: float, written: str) -> None:
    put(db, NOON, bar(189.94))
    value = 189.94 * (1 + change)
    assert put(db, ONE, bar(value)) == Written(**{written: 1})
    assert closes(db) == [189.94 if written == "unchanged" else value]


def test_a_bar_that_becomes_final_is_a_revision(db: sqlite_utils.Database) -> None:
    put(db, NOON, bar(189.94, provisional=1))
    assert put(db, ONE, bar(189.94)) == Written(revised=1)
    assert newest(db, Bar) == [bar(189.94, provisional=0, source="yahoo", observed_at=ONE)]


def test_a_provisional_bar_counts_only_where_there_is_no_final_one_in_rows_and_columns_alike(
    db: sqlite_utils.Database,
) -> None:
    put(db, hour(1), bar(70.0), bar(80.0, ticker="SPY", provisional=2))
    put(db, hour(2), bar(99.0, provisional=2), bar(81.0, ticker="SPY", provisional=2))
    columns = newest_columns(db, Bar)
    assert list(columns["close"]) == [row.close for row in newest(db, Bar)] == [70.0, 81.0]


def test_a_distribution_withdrawn_and_restored_has_three_vintages(db: sqlite_utils.Database) -> None:
    for at, amount in ((NOON, 0.115), (ONE, None), (TWO, 0.115)):
        add(db, Distribution, [Distribution("IWM", "2003-12-16", amount)], source="yahoo", observed_at=at)
    amounts = [newest(db, Distribution, known=at)[0].amount for at in (NOON, ONE, TWO)]
    assert amounts == [0.115, None, 0.115]


def test_nan_is_a_missing_value(db: sqlite_utils.Database) -> None:
    assert put(db, NOON, bar(1.0, open=float("nan"))) == Written(inserted=1)
    assert put(db, ONE, bar(1.0, open=float("nan"))) == Written(unchanged=1)
    assert put(db, TWO, bar(1.0, open=None)) == Written(unchanged=1)


# Questions about what is stored


def test_first_and_last_of_what_is_stored(db: sqlite_utils.Database) -> None:
    assert first_observed(db) is None
    put(db, ONE, bar(1), bar(2, "2020-12-10"))
    noon = datetime(2020, 12, 11, 12, tzinfo=UTC)
    add(db, Bar, [bar(1, "2020-12-09", "SPY")], source="csv", observed_at=noon)
    assert first_observed(db) == NOON
    assert latest_session(db, "IWM", "yahoo") == DAY
    assert latest_session(db, "IWM", "csv") is None
    assert latest_session(db, "SPY", "csv") == "2020-12-09"


# Wrong calls


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (bar(1.0, ""), f"A row of bars lacks session: {bar(1.0, '')}."),
        (bar(float("inf")), "close of bars is infinite."),
    ],
)
def test_a_row_that_does_not_fit_is_refused(db: sqlite_utils.Database, row: Bar, message: str) -> None:
    with refused(ValueError, message):
        put(db, NOON, row)


@pytest.mark.parametrize("moment", [DAY, f"{DAY}T12:00:00+00:00", f"{DAY}T12:00:00.5Z"])
def test_an_instant_in_another_form_is_refused(db: sqlite_utils.Database, moment: str) -> None:
    with refused(ValueError, f"{moment!r} is not an instant, e.g. 2020-12-11T21:00:00Z."):
        put(db, moment, bar(1.0))


def test_an_instant_without_a_zone_is_refused(db: sqlite_utils.Database) -> None:
    with pytest.raises(ValueError, match=r"has no time zone\.$"):
        add(db, Bar, [], source="csv", observed_at=datetime(2020, 12, 11, 12))  # noqa: DTZ001 - the point


# Vintages

A, B, C = 100.0, 101.0, 102.0
# Each is jitter of the one before it, and no longer jitter of the one before that.
DRIFT = [A, A * (1 + 0.9e-5), A * (1 + 1.8e-5), A * (1 + 2.7e-5)]

Reading = tuple[int, str, float]  # hour, ticker, close
Both = tuple[list[Reading], list[Reading]]


def hour(count: int) -> str:
    return f"{DAY}T{count:02}:00:00Z"


def vintages(db: sqlite_utils.Database) -> list[tuple[str, str, float]]:
    rows = db.table("bars").rows_where("vintage > 0", order_by="ticker, observed_at, id")
    return [(row["ticker"], row["observed_at"], row["close"]) for row in rows]


def readings(db: sqlite_utils.Database) -> list[tuple[Any, ...]]:
    rows = db.table("readings").rows_where(order_by="source, observed_at, first_id")
    return [tuple(row.values())[1:] for row in rows]


def test_a_whole_file_given_again_is_one_reading(db: sqlite_utils.Database) -> None:
    rows = [bar(A, f"2020-{n:04}") for n in range(500)]
    put(db, THREE, rows[0], source="csv")  # each source has a clock of its own
    for at in (NOON, ONE):
        put(db, at, *rows)
    assert put(db, TWO, *rows[:100], bar(B, rows[100].session), *rows[101:]) == Written(0, 1, 499)
    assert db.table("bars").count == 502
    assert readings(db) == [
        ("csv", THREE, 1, 1),
        ("yahoo", NOON, 2, 501),
        ("yahoo", ONE, 2, 501),
        ("yahoo", TWO, 2, 101),
        ("yahoo", TWO, 103, 502),
    ]


@pytest.mark.parametrize(
    ("arrivals", "written", "expected"),
    [
        # jitter is kept but is no vintage, until it adds up
        ([(1, A), (2, DRIFT[1]), (3, DRIFT[1]), (4, DRIFT[2])], "iuur", [(1, A), (4, DRIFT[2])]),
        # a row that arrives late takes its place in the past
        ([(3, B), (1, A)], "ir", [(1, A), (3, B)]),
        # ... and dates a vintage of the same value back
        ([(4, B), (1, A), (2, B)], "iru", [(1, A), (2, B)]),
        # ... and splits a vintage that it lies in
        ([(1, A), (3, A), (5, A), (2, B), (4, B)], "iuurr", [(1, A), (2, B), (3, A), (4, B), (5, A)]),
        ([(3, A), (1, A), (2, B)], "iur", [(1, A), (2, B), (3, A)]),
        # of two values in one second the later one counts, in the past too
        ([(1, A), (1, B)], "ir", [(1, A), (1, B)]),
        ([(2, C), (1, A), (1, B)], "irr", [(1, A), (1, B), (2, C)]),
        # given again, they change nothing
        ([(1, A), (1, B), (1, A), (1, B)], "iruu", [(1, A), (1, B)]),
        # one given again and then replaced in one second stays replaced
        ([(2, A), (3, A), (3, B), (1, A)], "iuru", [(1, A), (3, B)]),
    ],
)
def test_vintages_are_those_of_the_order_in_which_they_were_given(
    db: sqlite_utils.Database, arrivals: list[tuple[int, float]], written: str, expected: list[tuple[int, float]]
) -> None:
    names = {"i": "inserted", "r": "revised", "u": "unchanged"}
    for (count, close), letter in zip(arrivals, written, strict=True):
        assert put(db, hour(count), bar(close)) == Written(**{names[letter]: 1})
    assert vintages(db) == [("IWM", hour(count), close) for count, close in expected]
    marks = [row["vintage"] for row in db.table("bars").rows_where("vintage > 0", order_by="observed_at, id")]
    assert marks == [1] + [2] * (len(expected) - 1)
    for count, _ in expected:
        assert closes(db, hour(count)) == [[close for at, close in expected if at <= count][-1]]


def test_another_key_that_arrives_late_is_new(db: sqlite_utils.Database) -> None:
    put(db, TWO, bar(A))
    assert put(db, ONE, bar(B, ticker="SPY")) == Written(inserted=1)


def expected_vintages(given_readings: list[Reading]) -> list[tuple[str, str, float]]:
    """Vintages by the rule itself, from all that was given, in order."""
    expected = []
    in_order = sorted(given_readings, key=lambda reading: (reading[1], reading[0]))
    for ticker, group in groupby(in_order, key=lambda reading: reading[1]):
        last: float | None = None
        for count, _, close in group:
            if last is None or abs(close - last) > JITTER * max(close, last):
                last = close
                expected.append((ticker, hour(count), close))
    return expected


@st.composite
def arrivals(draw: st.DrawFn) -> Both:
    """What was given, at most one value of a fund an hour; and the same in any order with repeats."""
    values = st.sampled_from([*DRIFT, B])
    readings = [
        (count, ticker, close)
        for ticker in ("IWM", "SPY")
        for count, close in draw(st.dictionaries(st.integers(0, 9), values, max_size=7)).items()
    ]
    repeats = draw(st.lists(st.sampled_from(readings), max_size=4)) if readings else []
    return readings, draw(st.permutations([*readings, *repeats]))


def store(db: sqlite_utils.Database, readings: Iterable[Reading]) -> list[tuple[str, str, float]]:
    """Store readings in an emptied database. Returns the vintages."""
    db.execute("DELETE FROM bars")
    db.execute("DELETE FROM readings")
    for count, ticker, close in readings:
        put(db, hour(count), bar(close, ticker=ticker))
    return vintages(db)


@given(both=arrivals())
@example(both=([(1, "IWM", A), (2, "IWM", B), (3, "IWM", A)], [(1, "IWM", A), (3, "IWM", A), (2, "IWM", B)]))
def test_the_order_of_arrival_changes_nothing(scratch: sqlite_utils.Database, both: Both) -> None:
    in_order, shuffled = both
    expected = expected_vintages(in_order)
    assert store(scratch, shuffled) == expected
    firsts = {ticker: min(count for count, other, _ in in_order if other == ticker) for _, ticker, _ in in_order}
    marks = scratch.execute("SELECT ticker, observed_at FROM bars WHERE vintage = 1 ORDER BY 1").fetchall()
    assert marks == [(ticker, hour(firsts[ticker])) for ticker in sorted(firsts)]
    rows = scratch.execute("SELECT ticker, observed_at FROM bars").fetchall()
    assert len(rows) == len(set(rows))  # one value an hour was given, so none is stored twice
    for count in range(10):
        known = [(row.ticker, row.close) for row in newest(scratch, Bar, known=hour(count))]
        earlier = {ticker: close for ticker, at, close in expected if at <= hour(count)}
        assert known == sorted(earlier.items())
        columns = newest_columns(scratch, Bar, known=hour(count))
        assert list(zip(columns["ticker"], columns["close"], strict=True)) == known


@given(both=arrivals())
def test_adding_everything_again_changes_nothing(scratch: sqlite_utils.Database, both: Both) -> None:
    in_order, shuffled = both

    def again() -> list[Any]:
        for count, ticker, close in in_order:
            assert put(scratch, hour(count), bar(close, ticker=ticker)) == Written(unchanged=1)
        return [list(scratch.table(name).rows) for name in ("bars", "readings")]

    store(scratch, shuffled)
    bars = list(scratch.table("bars").rows)
    once = again()
    assert once[0] == bars
    assert again() == once


@given(both=arrivals())
def test_rows_that_arrive_together_are_stored_one_by_one(scratch: sqlite_utils.Database, both: Both) -> None:
    in_order, _ = both
    expected = store(scratch, in_order)
    store(scratch, [])
    for at in (9, 3, 0, 6, 1, 8, 5, 2, 7, 4):
        put(scratch, hour(at), *(bar(close, ticker=ticker) for count, ticker, close in in_order if count == at))
    assert vintages(scratch) == expected


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
