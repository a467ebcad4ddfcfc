from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.data.source_selection import AGREEING, SESSIONS, TOLERANCE, compare_closes, leading_source, prices
from bot.data.split_units import classify_splits, unit_factors

DAYS = pd.bdate_range("2020-09-01", periods=400)


def closes(count: int, first: int = 0, **changed: float) -> pd.Series:
    """Closes of 100 on `count` sessions from the `first` one on; d7=101.0 changes the one of DAYS[7]."""
    series = pd.Series(100.0, DAYS[first : first + count])
    for day, close in changed.items():
        series[DAYS[int(day[1:])]] = close
    return series


@pytest.mark.parametrize(("close", "apart"), [(100.0999, 0), (100.1001, 1), (99.9001, 0), (99.8999, 1)])
def test_ten_basis_points_are_a_disagreement(close: float, apart: int) -> None:
    assert len(compare_closes(closes(100), closes(100, d5=close)).differences) == apart


@pytest.mark.parametrize(("count", "joins"), [(SESSIONS - 1, False), (SESSIONS, True)])
def test_twenty_shared_sessions_are_needed(count: int, *, joins: bool) -> None:
    comparison = compare_closes(closes(200), closes(100, 200 - count))
    assert (comparison.shared, comparison.joins) == (count, joins)


@pytest.mark.parametrize(
    ("shared", "apart", "joins"), [(99, 1, False), (100, 1, True), (199, 2, False), (200, 2, True)]
)
def test_one_session_in_a_hundred_may_disagree(shared: int, apart: int, *, joins: bool) -> None:
    other = closes(shared)
    other.iloc[:apart] = 90.0
    assert compare_closes(closes(400), other).joins == joins


def test_differences_are_relative_to_the_lead_by_session() -> None:
    comparison = compare_closes(closes(250), closes(250, d3=101.0, d7=97.0, d9=100.5))
    assert list(comparison.differences.index) == [DAYS[3], DAYS[7], DAYS[9]]
    assert comparison.differences.tolist() == pytest.approx([0.01, -0.03, 0.005])


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (
            closes(250, d3=101.0, d7=97.0, d9=100.5),
            "disagrees with Yahoo on 3 of 250 sessions, worst 10 Sep 2020 by 300 bp; it fills no gaps.",
        ),
        (
            closes(250, d3=101.0),  # keeps it from nothing
            "disagrees with Yahoo on 1 of 250 sessions, worst 4 Sep 2020 by 100 bp.",
        ),
        (
            closes(400) * 20,  # a split that the other has not seen
            "disagrees with Yahoo on 400 of 400 sessions, worst 1 Sep 2020 by 190,000 bp; it fills no gaps.",
        ),
        (closes(0), "and Yahoo share 0 sessions; they are compared from 20 on."),
        (closes(1), "and Yahoo share 1 session; they are compared from 20 on."),
        (closes(19), "and Yahoo share 19 sessions; they are compared from 20 on."),
    ],
)
def test_a_disagreement_is_a_sentence(other: pd.Series, words: str) -> None:
    assert compare_closes(closes(400), other).describe("Yahoo", "daily CSV") == f"daily CSV {words}"


def test_missing_closes_are_not_compared() -> None:
    comparison = compare_closes(closes(30, d3=math.nan), closes(30, d7=math.nan))
    assert (comparison.shared, len(comparison.differences)) == (28, 0)


def test_sessions_in_any_order_and_of_one_source_only_change_nothing() -> None:
    other = closes(250, 50, d60=103.0)
    expected = compare_closes(closes(200), closes(150, 50, d60=103.0))
    comparison = compare_closes(closes(200)[::-1], other.sample(frac=1, random_state=1))
    assert comparison.shared == expected.shared
    pd.testing.assert_series_equal(comparison.differences, expected.differences, check_freq=False)
    two = closes(30, d3=101.0, d7=102.0)
    assert compare_closes(closes(30)[::-1], two[::-1]).differences.index.tolist() == [DAYS[3], DAYS[7]]


@given(apart=st.lists(st.floats(-0.05, 0.05), min_size=1, max_size=60), scale=st.floats(0.01, 1000))
def test_what_is_compared_does_not_depend_on_the_price_level(apart: list[float], scale: float) -> None:
    lead = pd.Series(100.0, DAYS[: len(apart)])
    other = lead * (1 + pd.Series(apart, lead.index))
    far = [day for day, difference in zip(lead.index, apart, strict=True) if abs(difference) >= TOLERANCE]
    for comparison in (compare_closes(lead, other), compare_closes(lead * scale, other * scale)):
        # Exactly on the limit the last digit decides.
        unsure = {
            day for day, difference in zip(lead.index, apart, strict=True) if abs(abs(difference) - TOLERANCE) < 1e-9
        }
        assert set(comparison.differences.index) ^ set(far) <= unsure
        assert comparison.shared == len(apart)
        count = len(comparison.differences)
        assert comparison.joins == (len(apart) >= SESSIONS and 1 - count / len(apart) >= AGREEING)
        if len(comparison.differences):
            assert comparison.differences.abs().max() == pytest.approx(max(map(abs, apart)), abs=1e-9)


# Which source leads


@pytest.mark.parametrize(
    ("counts", "lead"),
    [
        ({"yahoo": 300}, "yahoo"),
        ({"yahoo": 300, "daily-csv": 300}, "yahoo"),
        ({"yahoo": 300, "daily-csv": 319}, "yahoo"),  # sessions that Yahoo dropped
        ({"yahoo": 300, "daily-csv": 320}, "daily-csv"),
        ({"yahoo": 10, "csv": 390, "daily-csv": 400}, "daily-csv"),
        ({"yahoo": 300, "csv": 5}, "yahoo"),
    ],
)
def test_a_few_sessions_more_do_not_make_the_lead(counts: dict[str, int], lead: str) -> None:
    assert leading_source({name: closes(count) for name, count in counts.items()}) == lead


# Sentences


def notes(sources: dict[str, pd.Series]) -> tuple[str, ...]:
    """What the selection of IWM's prices says of these closes by source."""
    bars = [
        pd.DataFrame({"session": column.index.strftime("%Y-%m-%d"), "close": column.to_numpy(), "source": name})
        for name, column in sources.items()
    ]
    columns = ["ticker", "session", "close", "source", "provisional", "observed_at"]
    common = {"ticker": "IWM", "provisional": 0, "observed_at": "2022-12-11T21:20:00Z"}
    frame = pd.concat([pd.DataFrame(columns=columns), *(bar.assign(**common) for bar in bars)])
    splits = pd.DataFrame(columns=["ticker", "session", "ratio", "source", "observed_at"])
    return prices({"bars": frame, "splits": splits}, "IWM").notes


def test_every_other_source_is_compared_with_the_lead() -> None:
    sources = {"yahoo": closes(300), "csv": closes(200), "daily-csv": closes(300, d0=150.0)}
    assert notes(sources) == (
        "IWM: daily CSV disagrees with Yahoo on 1 of 300 sessions, worst 1 Sep 2020 by 5,000 bp.",
    )
    assert notes({**sources, "daily-csv": closes(320, d0=150.0)}) == (
        "IWM: Yahoo disagrees with daily CSV on 1 of 300 sessions, worst 1 Sep 2020 by 3,333 bp.",
        "IWM: CSV import disagrees with daily CSV on 1 of 200 sessions, worst 1 Sep 2020 by 3,333 bp.",
    )


def test_one_source_or_none_has_nothing_to_be_compared_with() -> None:
    assert notes({"yahoo": closes(300)}) == ()
    assert notes({}) == ()


# Units across splits

SPLIT = "2020-12-14"
EARLY, LATE = "2020-12-11T22:00:00Z", "2020-12-14T22:00:00Z"
AROUND = ("2020-12-10", "2020-12-11", SPLIT)


def factors(days: Sequence[str], levels: list[float], observed: list[str], **splits: float) -> list[float]:
    ratios = {f"2020-12-{name[1:]}": ratio for name, ratio in splits.items()}
    rows = list(zip(days, observed, levels, strict=True))
    split_units = classify_splits((row for row in rows if row[2] > 0), ratios)
    return unit_factors((row[:2] for row in rows), ratios, split_units)


@pytest.mark.parametrize(
    ("levels", "observed", "ratio", "units"),
    [
        # what was observed before is in old units, what was observed later is not
        ([200.0, 201.0, 100.0], [EARLY, EARLY, LATE], 2.0, [2.0, 2.0, 1.0]),
        ([100.0, 100.5, 100.0], [LATE, LATE, LATE], 2.0, [1.0, 1.0, 1.0]),
        ([200.0, 100.5, 100.0], [EARLY, LATE, LATE], 2.0, [2.0, 1.0, 1.0]),
        # a history that was not rewritten yet is in old units, however late it was observed
        ([200.0, 201.0, 100.0], [LATE, LATE, LATE], 2.0, [2.0, 2.0, 1.0]),
        ([200.0, 201.0, 100.0], [EARLY, LATE, LATE], 2.0, [2.0, 2.0, 1.0]),
        ([20.0, 20.1, 200.0], [LATE, LATE, LATE], 0.1, [0.1, 0.1, 1.0]),
        # where nothing falls there was no split
        ([100.0, 100.5, 100.0], [EARLY, EARLY, LATE], 2.0, [1.0, 1.0, 1.0]),
        # a ratio that a move of the market could be is judged by the dates
        ([105.0, 100.0, 100.0], [EARLY, EARLY, LATE], 1.05, [1.05, 1.05, 1.0]),
        # without a level after the split the dates count
        ([100.0, 100.0, math.nan], [EARLY, EARLY, LATE], 2.0, [2.0, 2.0, 1.0]),
        ([100.0, 100.0, math.nan], [LATE, LATE, LATE], 2.0, [1.0, 1.0, 1.0]),
    ],
)
def test_units_of_figures_before_a_split(
    levels: list[float], observed: list[str], ratio: float, units: list[float]
) -> None:
    assert factors(AROUND, levels, observed, _14=ratio) == units


def test_levels_far_from_the_split_tell_nothing_of_it() -> None:
    assert factors(("2020-06-01", SPLIT), [200.0, 100.0], [LATE, LATE], _14=2.0) == [1.0, 1.0]


def test_without_any_level_the_dates_count() -> None:
    assert unit_factors(zip(AROUND, (EARLY, LATE), strict=False), {SPLIT: 2.0}, {}) == [2.0, 1.0]


def test_two_splits_multiply() -> None:
    days = ("2020-12-10", "2020-12-11", "2020-12-15")
    observed = [f"{day}T22:00:00Z" for day in days]
    assert factors(days, [120.0, 60.0, 20.0], observed, _11=2.0, _15=3.0) == [6.0, 3.0, 1.0]
