from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from msgspec.structs import replace

from bot.analytics.sessions import Sessions
from bot.data.provider import observations_of
from bot.data.schedule import coverage, fetch_start, is_rebased, recent_missing
from storage.observations import add
from storage.rows import Bar, Split

if TYPE_CHECKING:
    import sqlite_utils


INDEX = Sessions().index


def completed(last: str) -> pd.DatetimeIndex:
    return INDEX[pd.Timestamp(last) >= INDEX]


def put(
    db: sqlite_utils.Database,
    last: str,
    *,
    count: int = 40,
    without: tuple[str, ...] = (),
    provisional: str = "",
    source: str = "yahoo",
) -> None:
    """The last `count` sessions, observed in the evening of `last`."""
    days = [f"{day:%Y-%m-%d}" for day in completed(last)[-count:]]
    bars = [Bar("IWM", day, 100.0, provisional=int(day == provisional)) for day in days if day not in without]
    add(db, Bar, bars, source=source, observed_at=f"{last}T22:00:00Z")


def from_(db: sqlite_utils.Database, last: str) -> str | None:
    first = fetch_start(db, source="yahoo", ticker="IWM", completed=completed(last))
    return None if first is None else first.isoformat()


def stands(db: sqlite_utils.Database, last: str) -> tuple[str | None, list[str]]:
    return coverage(db, source="yahoo", ticker="IWM", completed=completed(last))


def test_at_first_all_is_read(db: sqlite_utils.Database) -> None:
    put(db, "2020-12-04", source="csv")
    assert from_(db, "2020-12-04") is None
    assert stands(db, "2020-12-04") == (None, [])


def test_then_from_ten_sessions_before_the_last_one(db: sqlite_utils.Database) -> None:
    put(db, "2020-12-04")
    assert from_(db, "2020-12-11") == "2020-11-19"  # Thanksgiving left out
    assert stands(db, "2020-12-11") == ("2020-12-04", [])


def test_never_from_before_the_calendar(db: sqlite_utils.Database) -> None:
    third = f"{INDEX[2]:%Y-%m-%d}"
    put(db, third, count=3)
    assert from_(db, third) == f"{INDEX[0]:%Y-%m-%d}"


def test_a_stored_session_that_is_not_completed_yet_is_no_error(db: sqlite_utils.Database) -> None:
    put(db, "2020-12-11")
    assert from_(db, "2020-12-04") == "2020-11-19"


def test_a_dropped_session_is_read_again_for_a_year(db: sqlite_utils.Database) -> None:
    put(db, "2020-12-04", count=400, without=("2020-02-03", "2019-06-03"))
    assert from_(db, "2020-12-11") == "2020-02-03"
    assert stands(db, "2020-12-11") == ("2020-12-04", ["2020-02-03"])


def test_a_bar_taken_before_the_bell_does_not_count(db: sqlite_utils.Database) -> None:
    put(db, "2020-12-11", provisional="2020-12-11")
    assert stands(db, "2020-12-11") == ("2020-12-10", [])
    put(db, "2020-12-14", count=2)
    assert stands(db, "2020-12-14") == ("2020-12-14", [])


def test_only_what_every_read_covers_is_asked_for_until_it_comes() -> None:
    days = ["2020-11-27", "2020-11-30", "2020-12-10"]
    assert recent_missing(days, completed("2020-12-11")) == ["2020-11-30", "2020-12-10"]
    assert recent_missing(days, INDEX[:3]) == days


TOLD = Split("IWM", "2020-12-07", 2.0)


def rebased(db: sqlite_utils.Database, **payload: list[Any]) -> bool:
    return is_rebased(db, source="yahoo", ticker="IWM", payload=observations_of(payload))


def test_a_split_is_new_until_its_source_has_told_of_it(db: sqlite_utils.Database) -> None:
    add(db, Split, [TOLD], source="csv", observed_at="2020-12-07T22:00:00Z")
    assert rebased(db, splits=[TOLD])
    add(db, Split, [TOLD], source="yahoo", observed_at="2020-12-07T22:00:00Z")
    assert not rebased(db, splits=[TOLD])
    assert rebased(db, splits=[replace(TOLD, ratio=3.0)])
    assert not rebased(db, splits=[])
    add(db, Split, [replace(TOLD, ratio=None)], source="yahoo", observed_at="2020-12-08T22:00:00Z")
    assert rebased(db, splits=[TOLD])


@pytest.mark.parametrize(
    ("close", "expected"), [(100.0, False), (104.9, False), (105.1, True), (50.0, True), (200.0, True)]
)
def test_a_close_far_from_the_stored_one_is_in_other_units(
    db: sqlite_utils.Database, close: float, *, expected: bool
) -> None:
    put(db, "2020-12-04", source="csv")
    bars = [Bar("IWM", day, close) for day in ("2020-12-04", "2020-12-07")]
    assert not rebased(db, bars=bars)  # nothing of this source to compare with
    put(db, "2020-12-04")
    assert rebased(db, bars=bars) == expected
    assert not rebased(db, bars=bars[1:])
