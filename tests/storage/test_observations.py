from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from storage.observations import Written, add, first_observed, is_empty, latest_session, newest
from storage.rows import KINDS, Bar, Distribution, FundFacts, Multiple, SectorWeight, Split

if TYPE_CHECKING:
    import sqlite_utils

    from storage.rows import Observation


NOON, ONE, TWO, THREE = (f"2020-12-11T{hour}:00:00Z" for hour in (12, 13, 14, 15))


def bar(close: float, session: str = "2020-12-11", ticker: str = "IWM", **more: Any) -> Bar:  # noqa: ANN401 - any of its fields
    return Bar(ticker, session, close, **more)


def put(db: sqlite_utils.Database, at: str, *rows: Bar, source: str = "yahoo") -> Written:
    return add(db, Bar, rows, source=source, observed_at=at)


def closes(db: sqlite_utils.Database, known: str | None = None) -> list[float]:
    return [row.close for row in newest(db, Bar, known=known)]


# Every kind

ROWS: dict[str, tuple[Observation, Observation]] = {  # a row of each kind, and another value of the same key
    "bars": (
        Bar(
            "IWM",
            "2020-12-11",
            189.94,
            open=189.5,
            high=191.0,
            low=188.25,
            volume=21_000_000,
            provisional=True,
        ),
        Bar("IWM", "2020-12-11", 190.02, volume=22_000_000),
    ),
    "distributions": (
        Distribution("SPY", "2020-12-18", 1.58),
        Distribution("SPY", "2020-12-18", None),
    ),
    "splits": (
        Split("IWM", "2005-06-09", 2.0),
        Split("IWM", "2005-06-09", 3.0),
    ),
    "fund_facts": (
        FundFacts("IWM", "2020-12-11", nav=189.9, shares=None, assets=5.5e10),
        FundFacts("IWM", "2020-12-11", nav=189.9, shares=2.9e8, assets=5.5e10),
    ),
    "multiples": (
        Multiple("IWM", "2020-12-11", "pe", "morningstar", "unstated", 21.4, holdings_date="2020-11-30"),
        Multiple("IWM", "2020-12-11", "pe", "morningstar", "unstated", 21.4, holdings_date="2020-12-11"),
    ),
    "sector_weights": (
        SectorWeight("IWM", "2020-12-11", "sector", "Health Care", 20.1),
        SectorWeight("IWM", "2020-12-11", "sector", "Health Care", 20.3),
    ),
}


@pytest.mark.parametrize("table", KINDS)
def test_a_row_comes_back_as_stored_and_a_second_value_is_a_revision(
    db: sqlite_utils.Database, table: str
) -> None:
    first, second = ROWS[table]
    kind = KINDS[table]
    assert add(db, kind, [first], source="yahoo", observed_at=NOON) == Written(inserted=1)
    assert add(db, kind, [first], source="yahoo", observed_at=ONE) == Written(unchanged=1)
    assert add(db, kind, [second], source="yahoo", observed_at=TWO) == Written(revised=1)
    (old,), (new,) = newest(db, kind, known=ONE), newest(db, kind)
    assert old == replace(first, source="yahoo", observed_at=NOON)
    assert new == replace(second, source="yahoo", observed_at=TWO)
    assert newest(db, kind, known="2020-12-11T11:59:59Z") == []


def test_values_not_given_are_none_and_a_bar_is_final_unless_said(db: sqlite_utils.Database) -> None:
    put(db, NOON, bar(189.94))
    (row,) = newest(db, Bar)
    assert row == Bar(
        "IWM",
        "2020-12-11",
        189.94,
        source="yahoo",
        open=None,
        high=None,
        low=None,
        volume=None,
        provisional=0,
        observed_at=NOON,
    )


def test_rows_come_ordered_by_key_with_each_source_apart(db: sqlite_utils.Database) -> None:
    put(db, NOON, bar(3, "2020-12-11"), bar(4, "2020-12-10", "SPY"), bar(1, "2020-12-10"))
    put(db, NOON, bar(2, "2020-12-10"), source="csv")
    assert [(row.ticker, row.session, row.source) for row in newest(db, Bar)] == [
        ("IWM", "2020-12-10", "csv"),
        ("IWM", "2020-12-10", "yahoo"),
        ("IWM", "2020-12-11", "yahoo"),
        ("SPY", "2020-12-10", "yahoo"),
    ]


# What a revision is


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (189.94, "unchanged"),
        (189.94 * (1 + 0.9e-5), "unchanged"),
        (189.94 * (1 - 0.9e-5), "unchanged"),
        (189.94 * (1 + 1.2e-5), "revised"),
        (189.95, "revised"),
    ],
)
def test_jitter_is_no_revision(db: sqlite_utils.Database, value: float, written: str) -> None:
    put(db, NOON, bar(189.94))
    assert put(db, ONE, bar(value)) == Written(**{written: 1})
    assert closes(db) == [189.94 if written == "unchanged" else value]


def test_a_slow_drift_becomes_a_revision_once_it_exceeds_the_jitter(db: sqlite_utils.Database) -> None:
    put(db, NOON, bar(100.0))
    assert put(db, ONE, bar(100.0009)) == Written(unchanged=1)
    assert put(db, TWO, bar(100.0018)) == Written(revised=1)


def test_a_bar_that_becomes_final_is_a_revision(db: sqlite_utils.Database) -> None:
    put(db, NOON, bar(189.94, provisional=True))
    assert put(db, ONE, bar(189.94)) == Written(revised=1)
    assert [row.provisional for row in newest(db, Bar)] == [0]


def test_a_distribution_withdrawn_and_restored_has_three_vintages(db: sqlite_utils.Database) -> None:
    for at, amount in ((NOON, 0.115), (ONE, None), (TWO, 0.115)):
        add(
            db,
            Distribution,
            [Distribution("IWM", "2003-12-16", amount)],
            source="yahoo",
            observed_at=at,
        )
    amounts = [newest(db, Distribution, known=at)[0].amount for at in (NOON, ONE, TWO)]
    assert amounts == [0.115, None, 0.115]


def test_nan_is_a_missing_value(db: sqlite_utils.Database) -> None:
    assert put(db, NOON, bar(1.0, open=float("nan"))) == Written(inserted=1)
    assert put(db, ONE, bar(1.0, open=float("nan"))) == Written(unchanged=1)
    assert put(db, TWO, bar(1.0, open=None)) == Written(unchanged=1)


def test_of_two_values_in_one_second_the_later_added_counts(db: sqlite_utils.Database) -> None:
    assert put(db, NOON, bar(1.0), bar(2.0)) == Written(inserted=1, revised=1)
    assert closes(db, known=NOON) == [2.0]


# Questions about what is stored


def test_first_and_last_of_what_is_stored(db: sqlite_utils.Database) -> None:
    assert is_empty(db)
    assert first_observed(db) is None
    put(db, ONE, bar(1, "2020-12-11"), bar(2, "2020-12-10"))
    put(db, NOON, bar(1, "2020-12-09", "SPY"), source="csv")
    assert not is_empty(db)
    assert first_observed(db) == NOON
    assert latest_session(db, "IWM", "yahoo") == "2020-12-11"
    assert latest_session(db, "IWM", "csv") is None
    assert latest_session(db, "SPY", "csv") == "2020-12-09"


def test_a_row_of_any_kind_makes_it_not_empty(db: sqlite_utils.Database) -> None:
    add(db, KINDS["sector_weights"], [ROWS["sector_weights"][0]], source="sample", observed_at=NOON)
    assert not is_empty(db)


def test_instants_may_be_datetimes(db: sqlite_utils.Database) -> None:
    add(db, Bar, [bar(1.0)], source="csv", observed_at=datetime(2020, 12, 11, 12, tzinfo=UTC))
    assert closes(db, known=NOON) == [1.0]


# Wrong calls


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (bar(1.0, ""), f"A row of bars lacks session: {bar(1.0, '')}."),
        (bar(float("inf")), "close of bars is infinite."),
    ],
)
def test_a_row_that_does_not_fit_is_refused(db: sqlite_utils.Database, row: Bar, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        put(db, NOON, row)


@pytest.mark.parametrize("moment", ["2020-12-11", "2020-12-11T12:00:00+00:00", "2020-12-11T12:00:00.5Z"])
def test_an_instant_in_another_form_is_refused(db: sqlite_utils.Database, moment: str) -> None:
    message = f"{moment!r} is not an instant, e.g. 2020-12-11T21:00:00Z."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        put(db, moment, bar(1.0))


def test_an_instant_without_a_zone_is_refused(db: sqlite_utils.Database) -> None:
    with pytest.raises(ValueError, match=r"has no time zone\.$"):
        add(db, Bar, [], source="csv", observed_at=datetime(2020, 12, 11, 12))  # noqa: DTZ001 - the point
