from __future__ import annotations

import pandas as pd
import pytest

from bot.data.source_selection import classify_splits, unit_factors

DAYS = pd.bdate_range("2020-11-23", "2020-12-18")
SPLIT = pd.Timestamp("2020-12-14")
BEFORE, AFTER = "2020-12-11T22:00:00Z", "2020-12-14T22:00:00Z"


def old_units(levels: list[float], observed: list[str], ratio: float = 2.0) -> list[float]:
    """Units of sessions up to that of the split, the last of them."""
    index = DAYS[DAYS <= SPLIT][-len(levels) :]
    splits = pd.Series({SPLIT: ratio})
    said = pd.Series(observed, index)
    return list(unit_factors(said, splits, classify_splits(pd.Series(levels, index), said, splits)))


def test_what_was_observed_before_is_in_old_units_and_what_was_observed_later_is_not() -> None:
    assert old_units([200.0, 201.0, 100.0], [BEFORE, BEFORE, AFTER]) == [2.0, 2.0, 1.0]
    assert old_units([100.0, 100.5, 100.0], [AFTER, AFTER, AFTER]) == [1.0, 1.0, 1.0]
    assert old_units([200.0, 100.5, 100.0], [BEFORE, AFTER, AFTER]) == [2.0, 1.0, 1.0]


def test_a_history_that_was_not_rewritten_yet_is_in_old_units_however_late_it_was_observed() -> None:
    assert old_units([200.0, 201.0, 100.0], [AFTER, AFTER, AFTER]) == [2.0, 2.0, 1.0]
    assert old_units([200.0, 201.0, 100.0], [BEFORE, AFTER, AFTER]) == [2.0, 2.0, 1.0]
    assert old_units([20.0, 20.1, 200.0], [AFTER, AFTER, AFTER], 0.1) == [0.1, 0.1, 1.0]


def test_where_nothing_falls_there_was_no_split() -> None:
    assert old_units([100.0, 100.5, 100.0], [BEFORE, BEFORE, AFTER]) == [1.0, 1.0, 1.0]


def test_a_ratio_that_a_market_move_could_be_is_judged_by_the_dates() -> None:
    assert old_units([105.0, 100.0, 100.0], [BEFORE, BEFORE, AFTER], 1.05) == [1.05, 1.05, 1.0]


def test_levels_far_from_the_split_tell_nothing_of_it() -> None:
    index = pd.DatetimeIndex(["2020-06-01", SPLIT])
    splits = pd.Series({SPLIT: 2.0})
    said = pd.Series([AFTER, AFTER], index)
    assert list(
        unit_factors(said, splits, classify_splits(pd.Series([200.0, 100.0], index), said, splits))
    ) == [1.0, 1.0]


@pytest.mark.parametrize(("observed", "unit"), [(BEFORE, 2.0), (AFTER, 1.0)])
def test_without_a_level_after_the_split_the_dates_count(observed: str, unit: float) -> None:
    index = DAYS[:2]
    splits = pd.Series({SPLIT: 2.0})
    said = pd.Series(observed, index)
    assert list(unit_factors(said, splits, classify_splits(pd.Series(100.0, index), said, splits))) == [
        unit,
        unit,
    ]
    assert list(unit_factors(said, splits, {})) == [unit, unit]


def test_two_splits_multiply() -> None:
    index = pd.DatetimeIndex(["2020-12-10", "2020-12-11", "2020-12-15"])
    splits = pd.Series({pd.Timestamp("2020-12-11"): 2.0, pd.Timestamp("2020-12-15"): 3.0})
    said = pd.Series(["2020-12-10T22:00:00Z", "2020-12-11T22:00:00Z", "2020-12-15T22:00:00Z"], index)
    judged = classify_splits(pd.Series([120.0, 60.0, 20.0], index), said, splits)
    assert list(unit_factors(said, splits, judged)) == [6.0, 3.0, 1.0]
