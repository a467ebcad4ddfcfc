"""Which closes and distributions are believed, and which are held as provisional."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.data.plausibility import Evidence, check_bars, check_distributions, contradicts_adjusted
from storage.records import Bar, Distribution, Provisional
from tests.shared_data import prices, shared

if TYPE_CHECKING:
    from collections.abc import Iterable

Reasons = dict[str, Provisional]
DAYS = pd.bdate_range("2021-11-01", periods=30, unit="ns")
CLOSES = pd.Series(np.linspace(220.0, 225.0, 30), DAYS)
OTHER = pd.Series(np.linspace(460.0, 470.0, 30), DAYS)


def bars(closes: pd.Series, **last: float) -> list[Bar]:
    rows = [Bar("IWM", f"{day:%Y-%m-%d}", close, close, close * 1.01, close * 0.99) for day, close in closes.items()]
    if last:
        values = {name: getattr(rows[-1], name) for name in ("close", "open", "high", "low")} | last
        rows[-1] = Bar("IWM", rows[-1].session, **values)
    return rows


def levels(series: pd.Series) -> dict[str, float]:
    return {f"{day:%Y-%m-%d}": value for day, value in series.items()}


def reasons(
    rows: list[Bar], repeated: Iterable[pd.Timestamp] = (), sources: tuple[pd.Series, ...] = (), **evidence: pd.Series
) -> Reasons:
    given = {name: levels(series) for name, series in ({"other": OTHER} | evidence).items()}
    again, others = [f"{day:%Y-%m-%d}" for day in repeated], tuple(map(levels, sources))
    held = check_bars(rows, Evidence(**given, repeated=again, sources=others))
    return {bar.session: Provisional(bar.provisional) for bar in held if bar.provisional}


LAST, BEFORE = f"{DAYS[-1]:%Y-%m-%d}", f"{DAYS[-2]:%Y-%m-%d}"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"close": 2.25}, Provisional.RANGE),
        ({"low": 226.0}, Provisional.RANGE),
        ({"high": 220.0}, Provisional.RANGE),
        ({"close": 2.25, "open": 2.25, "high": 2.27, "low": 2.23}, Provisional.MOVE),
        ({"close": 187.0, "open": 187.0, "high": 188.0, "low": 186.0}, Provisional.MOVE),
        ({"close": 450.0, "open": 450.0, "high": 451.0, "low": 449.0}, Provisional.MOVE),
    ],
)
def test_an_absurd_last_close_is_held(change: dict[str, float], reason: Provisional) -> None:
    assert reasons(bars(CLOSES, **change)) == {LAST: reason}


def test_a_sound_answer_is_believed() -> None:
    assert reasons(bars(CLOSES)) == {}
    assert reasons(bars(CLOSES, open=1.0)) == {}  # no figure is made of it
    assert reasons(bars(CLOSES.iloc[:1])) == {}
    assert check_bars([], Evidence()) == []


def test_both_funds_halved_on_one_day_are_believed() -> None:
    halved, other = CLOSES.copy(), OTHER.copy()
    halved.iloc[-1] /= 2
    other.iloc[-1] /= 2
    assert reasons(bars(halved), other=other) == {}
    assert reasons(bars(halved), other=other.iloc[:-1]) == {LAST: Provisional.MOVE}  # not known yet
    other.iloc[-1] = other.iloc[-2] * 1.5
    assert reasons(bars(halved), other=other) == {LAST: Provisional.MOVE}


def test_a_split_on_its_day_explains_a_move() -> None:
    split = CLOSES.copy()
    split.iloc[-1] /= 2
    assert reasons(bars(split), splits=pd.Series({DAYS[-1]: 2.0})) == {}


def test_closes_before_some_day_not_adjusted_for_a_listed_split_are_held() -> None:
    partly = CLOSES.copy()
    partly.iloc[:15] *= 2
    held = reasons(bars(partly), splits=pd.Series({DAYS[25]: 2.0}))
    assert held == {f"{day:%Y-%m-%d}": Provisional.UNADJUSTED for day in DAYS[:15]}
    assert reasons(bars(partly), splits=pd.Series({DAYS[25]: 2.0}), stored=CLOSES.iloc[:-1]) == held


def test_what_lies_before_a_new_level_that_lasts_is_held() -> None:
    shifted = CLOSES.copy()
    shifted.iloc[:15] *= 1.3
    held = reasons(bars(shifted))
    assert held == {f"{day:%Y-%m-%d}": Provisional.HISTORY for day in DAYS[:15]}


def test_a_move_that_is_undone_is_held_and_never_believed_for_being_repeated() -> None:
    spiked = CLOSES.copy()
    spiked.iloc[20] *= 1.4
    day = f"{DAYS[20]:%Y-%m-%d}"
    assert reasons(bars(spiked)) == {day: Provisional.SPIKE}
    assert reasons(bars(spiked), repeated=DAYS[20:21]) == {day: Provisional.SPIKE}


def test_a_move_that_the_same_source_repeats_is_believed_with_what_follows() -> None:
    fallen = CLOSES.copy()
    fallen.iloc[-2:] *= 0.7
    assert reasons(bars(fallen)) == {BEFORE: Provisional.MOVE, LAST: Provisional.MOVE}
    assert reasons(bars(fallen), repeated=DAYS[-2:-1]) == {}


@pytest.mark.parametrize("factor", [0.01, 0.5, 2.0, 1.07])
def test_a_history_in_other_units_without_a_split_is_held(factor: float) -> None:
    held = reasons(bars(CLOSES * factor), stored=CLOSES.iloc[:-1])
    assert set(held.values()) <= {Provisional.HISTORY, Provisional.MOVE}
    assert set(held) >= {f"{day:%Y-%m-%d}" for day in DAYS[:-1]}
    assert reasons(bars(CLOSES * factor), stored=CLOSES.iloc[:-1], repeated=DAYS) == {}


def test_a_history_rewritten_at_a_split_or_not_yet_is_believed() -> None:
    splits = pd.Series({DAYS[-1]: 2.0})
    assert reasons(bars(CLOSES / 2), stored=CLOSES.iloc[:-1], splits=splits) == {}
    unchanged = pd.concat([CLOSES.iloc[:-1], CLOSES.iloc[-1:] / 2])
    assert reasons(bars(unchanged), stored=CLOSES.iloc[:-1] / 2, splits=splits) == {}


@pytest.mark.parametrize("name", ["navs", "sources"])
def test_another_source_confirms_a_close(name: str) -> None:
    fallen = CLOSES.copy()
    fallen.iloc[-1] *= 0.7
    near = pd.Series({DAYS[-1]: fallen.iloc[-1] * 1.005})
    far = near * 1.04
    for confirming, held in ((near, {}), (far, {LAST: Provisional.MOVE})):
        evidence: dict[str, Any] = {name: confirming if name == "navs" else (confirming,)}
        assert reasons(bars(fallen), **evidence) == held


def test_a_bar_of_an_open_session_stays_one_and_is_no_base_of_a_move() -> None:
    rows = bars(CLOSES)
    rows[-2] = Bar("IWM", BEFORE, 100.0, provisional=Provisional.OPEN)
    assert reasons(rows) == {BEFORE: Provisional.OPEN}


def test_after_a_gap_in_the_history_a_move_is_not_one_of_a_session() -> None:
    later = pd.Series({DAYS[0]: 220.0, DAYS[20]: 160.0})
    assert reasons(bars(later)) == {}


@shared
@pytest.mark.parametrize(("ticker", "other"), [("IWM", "SPY"), ("SPY", "IWM")])
def test_the_whole_history_of_both_funds_is_believed(ticker: str, other: str) -> None:
    frame = prices(ticker)
    rows = [Bar(ticker, f"{day:%Y-%m-%d}", row.Close, row.Open, row.High, row.Low) for day, row in frame.iterrows()]
    evidence = Evidence(other=levels(prices(other)["Close"]), splits={"2005-06-09": 2.0})
    assert [bar for bar in check_bars(rows, evidence) if bar.provisional] == []


@given(
    steps=st.lists(st.floats(-0.06, 0.06), min_size=3, max_size=40),
    place=st.integers(1, 38),
    factor=st.floats(0.001, 0.4) | st.floats(2.5, 1000.0),
)
def test_of_a_series_without_large_moves_just_the_wrong_close_is_held(
    steps: list[float], place: int, factor: float
) -> None:
    days = pd.bdate_range("2021-01-04", periods=len(steps), unit="ns")
    closes = pd.Series(100 * np.cumprod(1 + np.array(steps)), days)
    other = pd.Series(400.0, days)
    place = min(place, len(steps) - 1)
    assert reasons(bars(closes), other=other) == {}
    closes.iloc[place] *= factor
    assert list(reasons(bars(closes), other=other)) == [f"{days[place]:%Y-%m-%d}"]


# Distributions

EX = f"{DAYS[20]:%Y-%m-%d}"


def amounts(*rows: Distribution, listed: dict[pd.Timestamp, float] | None = None) -> list[Provisional]:
    checked = check_distributions(rows, levels(CLOSES), levels(pd.Series(listed or {}, dtype="float64")))
    return [Provisional(row.provisional) for row in checked]


@pytest.mark.parametrize(
    ("amount", "reason"),
    [
        (0.666, Provisional.FINAL),
        (66.6, Provisional.AMOUNT),
        (-0.666, Provisional.AMOUNT),
        (None, Provisional.FINAL),  # withdrawn
    ],
)
def test_an_implausible_distribution_is_held(amount: float | None, reason: Provisional) -> None:
    assert amounts(Distribution("IWM", EX, amount)) == [reason]


def test_the_second_of_two_equal_distributions_on_neighbouring_sessions_is_held() -> None:
    rows = [Distribution("IWM", f"{DAYS[place]:%Y-%m-%d}", 0.5) for place in (10, 20, 21)]
    assert amounts(*rows) == [Provisional.FINAL, Provisional.FINAL, Provisional.NEIGHBOUR]


def test_another_source_confirms_a_distribution() -> None:
    assert amounts(Distribution("IWM", EX, 20.0), listed={DAYS[20]: 20.004}) == [Provisional.FINAL]
    assert amounts(Distribution("IWM", EX, 20.0), listed={DAYS[20]: 0.2}) == [Provisional.AMOUNT]


@pytest.mark.parametrize(
    ("amount", "implied", "day", "contradicts"),
    [
        (0.666, 0.666, 20, False),
        (66.6, 0.666, 20, True),
        (0.666, 0.0, 20, True),
        (0.666, 0.0, 28, False),  # the source may not have adjusted its closes yet
        (0.666, 0.666, 0, False),
    ],
)
def test_adjusted_closes_may_contradict_a_distribution(
    amount: float, implied: float, day: int, contradicts: bool
) -> None:
    closes = CLOSES.to_numpy()
    adjusted = closes.copy()
    if day:
        adjusted[:day] *= 1 - implied / closes[day - 1]
    assert contradicts_adjusted(amount, day, closes.tolist(), adjusted.tolist()) is contradicts
