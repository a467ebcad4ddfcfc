from __future__ import annotations

import datetime as dt

import pandas as pd

from bot.alerts.backtest import Outcome, outcomes

SESSIONS = pd.bdate_range("2020-01-01", periods=8)
RATIO = pd.Series([1.0, 1.1, 1.0, 0.5, 1.0, 2.0, 1.0, 1.0], index=SESSIONS)


def day(position: int) -> dt.date:
    found: dt.date = SESSIONS[position].date()
    return found


def test_the_move_is_measured_from_the_close_of_the_fire() -> None:
    (found,) = outcomes([day(2)], RATIO, day(0), (1,))
    assert (found.n, found.median, found.rose) == (1, -50.0, 0.0)


def test_median_and_share_of_rises_are_over_all_fires() -> None:
    # Moves over two sessions: from 1.0 to 1.0, from 1.0 to 1.0, from 0.5 to 2.0.
    (found,) = outcomes([day(0), day(2), day(3)], RATIO, day(0), (2,))
    assert (found.n, found.median) == (3, 0.0)
    assert found.rose is not None
    assert round(found.rose, 6) == round(100 / 3, 6)


def test_half_a_percent_is_a_rise() -> None:
    index = SESSIONS[:3]
    (found,) = outcomes([day(0), day(1)], pd.Series([1.0, 1.005, 1.005], index=index), day(0), (1,))
    assert (found.n, found.rose) == (2, 50.0)


def test_a_fire_too_near_the_end_is_not_counted() -> None:
    assert outcomes([day(6)], RATIO, day(0), (2,)) == [Outcome(2, 0, None, None, 0.0)]


def test_the_comparison_is_any_session_of_the_span_only() -> None:
    # From session 3 on the moves over one session are +100, +100, -50, 0.
    (found,) = outcomes([], RATIO, day(3), (1,))
    assert found == Outcome(1, 0, None, None, 50.0)


def test_every_horizon_has_its_own_line() -> None:
    assert [one.horizon for one in outcomes([day(0)], RATIO, day(0))] == [5, 20, 60]
    assert [one.n for one in outcomes([day(0)], RATIO, day(0))] == [1, 0, 0]
