from __future__ import annotations

import datetime as dt
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.analytics import trend
from bot.analytics.market import Market
from bot.analytics.performance import total_return_index
from bot.analytics.sessions import Sessions
from tests.analytics.facts import facts_at
from tests.funds import LARGE, SMALL
from tests.shared_data import market_at, shared

SEEDS = st.integers(0, 2**32 - 1)
FRIDAY = "2020-12-11"


def walk(seed: int, sessions: int, start: str = "2010-01-04", spread: float = 0.01) -> pd.Series:
    """A ratio that wanders at random."""
    steps = np.random.default_rng(seed).normal(0, spread, sessions)
    return pd.Series(0.5 * np.exp(np.cumsum(steps)), index=pd.bdate_range(start, periods=sessions))


def series(*values: float) -> pd.Series:
    return pd.Series(values, index=pd.bdate_range("2020-01-06", periods=len(values)), dtype="float64")


def two(seed: int, sessions: int) -> Market:
    """Both funds wandering, each with distributions."""
    prices = pd.DataFrame({SMALL: 200 * walk(seed, sessions), LARGE: 600 * walk(seed + 1, sessions)})
    paid = pd.Series(1.5, index=prices.index[25::50])
    return Market(prices=prices, last_completed=prices.index[-1], distributions={SMALL: paid, LARGE: 2 * paid})


def slope_by_hand(log: pd.Series) -> float:
    """Slope of one straight line."""
    return float(np.polyfit(np.arange(len(log)), log, 1)[0])


def channel_by_hand(log: pd.Series, t: int) -> tuple[float, float]:
    """Residual in sigmas of session t against the line through all sessions before, and that line's pace."""
    x, past = np.arange(t), log.iloc[:t]
    b, a = np.polyfit(x, past, 1)
    sigma = math.sqrt(float(((past - (a + b * x)) ** 2).sum()) / (t - 2))
    return (log.iloc[t] - (a + b * t)) / sigma, 100 * math.expm1(252 * b)


@shared
def test_golden_figures_of_2020_12_11() -> None:
    r = trend.ratio(market_at(FRIDAY))
    fit = trend.channel_fit(r)
    assert f"{r.iloc[-1]:.5f}" == "0.51952"
    assert f"{r.rolling(200).mean().iloc[-1]:.5f}" == "0.45942"
    assert f"{trend.ratio_vs_sma(r, 200).iloc[-1]:+.2f}" == "+13.08"
    assert f"{fit['residual'].iloc[-1]:+.2f}" == "+0.07"
    assert f"{fit['slope'].iloc[-1]:.2f}" == "-1.70"


@shared
def test_the_ratio_crossed_above_its_average_once_in_2020() -> None:
    against = trend.ratio_vs_sma(trend.ratio(market_at("2020-12-31")), 200).loc["2019-12-31":]
    upward = (against > 0) & (against.shift(1) <= 0)
    assert list(against.index[upward]) == [pd.Timestamp("2020-10-06")]
    assert trend.last_cross(against) == pd.Timestamp("2020-10-06")


def test_the_golden_ratio_from_the_facts() -> None:
    assert f"{trend.ratio(facts_at(FRIDAY)).iloc[-1]:.5f}" == "0.51952"


def test_the_distance_to_the_average_counts_the_session_itself() -> None:
    found = trend.ratio_vs_sma(series(1.0, 2.0, 3.0, 1.5), 2)
    assert found.tolist() == [pytest.approx(v, nan_ok=True) for v in (math.nan, 100 / 3, 20.0, -100 / 3)]


def test_breakouts_leave_the_session_itself_out() -> None:
    r = series(2.0, 4.0, 3.0, 5.0, 2.0)
    high, low = trend.breakout(r, 2), trend.breakout_low(r, 2)
    assert high.dropna().tolist() == pytest.approx([-25.0, 25.0, -60.0])
    assert low.dropna().tolist() == pytest.approx([50.0, 100 * 2 / 3, -100 / 3])
    assert trend.breakout(r, 1).dropna().tolist() == pytest.approx([100.0, -25.0, 100 * 2 / 3, -60.0])


def test_momentum_leaves_the_last_month_out() -> None:
    found = two(7, 300)
    history = trend.momentum(found)
    small, large = found.prices[SMALL].to_numpy(), found.prices[LARGE].to_numpy()
    for t in (252, 270, 299):
        expected = small[t - 21] / small[t - 252] - large[t - 21] / large[t - 252]
        assert history.iloc[t] == pytest.approx(100 * expected)


@given(SEEDS, st.integers(3, 90))
def test_the_slope_is_that_of_a_straight_line_through_each_window(seed: int, n: int) -> None:
    r = walk(seed, 120)
    slope = trend.slope(r, n)
    for t in range(n - 1, 120, 7):
        b = slope_by_hand(np.log(r.iloc[t - n + 1 : t + 1]))
        assert slope.iloc[t] == pytest.approx(100 * math.expm1(252 * b), rel=1e-6, abs=1e-6)


def test_a_ratio_that_grows_evenly_has_that_slope() -> None:
    r = pd.Series(np.exp(0.001 * np.arange(80)), index=pd.bdate_range("2020-01-06", periods=80))
    assert trend.slope(r, 60).iloc[-1] == pytest.approx(100 * math.expm1(0.252))


@settings(max_examples=10)
@given(SEEDS)
def test_the_channel_is_a_straight_line_fitted_anew_for_each_session(seed: int) -> None:
    r = walk(seed, 860)
    fit, log = trend.channel_fit(r), np.log(r)
    for t in (756, 757, 800, 859):
        residual, slope = channel_by_hand(log, t)
        assert fit["residual"].iloc[t] == pytest.approx(residual, rel=1e-6)
        assert fit["slope"].iloc[t] == pytest.approx(slope, rel=1e-6)


def test_the_channel_starts_at_its_date_and_needs_three_years() -> None:
    r = walk(1, 1_000, start="2009-06-01")
    fit = trend.channel_fit(r)
    started = r.index.searchsorted(pd.Timestamp("2010-01-04"))
    assert fit["residual"].first_valid_index() == r.index[started + 756]
    assert fit["slope"].first_valid_index() == r.index[started + 756]
    assert fit.iloc[-1].equals(trend.channel_fit(r.loc["2010-01-04":]).iloc[-1])
    upper, line, lower = np.log(trend.channel_lines(r).iloc[-1])
    assert fit["residual"].iloc[-1] == pytest.approx(4 * (np.log(r.iloc[-1]) - line) / (upper - lower), rel=1e-6)
    assert trend.channel_lines(walk(1, 756)).empty
    later = trend.channel_fit(r, dt.date(2009, 9, 1))
    assert later["residual"].first_valid_index() == r.index[r.index.searchsorted("2009-09-01") + 756]


def test_less_than_three_years_have_no_channel() -> None:
    for sessions in (0, 1, 2, 755, 756):
        fit = trend.channel_fit(walk(1, sessions))
        assert len(fit) == sessions
        assert fit.isna().all().all()
    assert trend.channel_fit(walk(1, 757)).iloc[-1].notna().all()
    assert trend.channel_fit(walk(1, 900), dt.date(2030, 1, 1)).isna().all().all()


def test_the_drawdown_is_zero_at_a_high() -> None:
    r = series(4.0, 3.0, 5.0, 4.0, 6.0)
    assert trend.drawdown(r).tolist() == pytest.approx([0.0, -25.0, 0.0, -20.0, 0.0])
    assert trend.drawdown(r).index.equals(r.index)


@given(SEEDS, st.integers(3, 40))
def test_beta_and_correlation_are_those_of_daily_total_returns(seed: int, n: int) -> None:
    found = two(seed, 60)
    daily = {t: total_return_index(found.prices[t], found.distributions_of(t)).pct_change() for t in (SMALL, LARGE)}
    beta, correlation = trend.beta(found, n), trend.correlation(found, n)
    for t in range(n, 60, 9):
        small, large = (daily[ticker].iloc[t - n + 1 : t + 1] for ticker in (SMALL, LARGE))
        table = np.cov(small, large, ddof=1)
        assert beta.iloc[t] == pytest.approx(table[0, 1] / table[1, 1], rel=1e-6)
        assert correlation.iloc[t] == pytest.approx(np.corrcoef(small, large)[0, 1], abs=1e-9)


def test_first_defined_after() -> None:
    market = two(3, 300)
    r = trend.ratio(market)
    needed = {
        1: (r, trend.drawdown(r)),
        20: (trend.ratio_vs_sma(r, 20), trend.slope(r, 20)),
        21: (trend.breakout(r, 20), trend.breakout_low(r, 20)),
        253: (trend.momentum(market),),
    }
    needed[21] += (trend.beta(market, 20), trend.correlation(market, 20))
    for sessions, histories in needed.items():
        expected = [True] * (sessions - 1) + [False] * (301 - sessions)
        assert all(history.isna().tolist() == expected for history in histories), sessions


@pytest.mark.parametrize(
    ("values", "upward", "downward"),
    [
        ((-1.0, 1.0, 2.0, -1.0, 1.0), 4, 3),
        ((-1.0, 0.0, 1.0, 0.0, -1.0), 2, 4),  # zero is neither side
        ((1.0, 2.0), None, None),  # was there from the beginning
        ((-1.0, math.nan, 1.0, math.nan), 2, None),
        ((math.nan, 1.0, -1.0), None, 2),
        ((), None, None),
    ],
)
def test_the_last_cross(values: tuple[float, ...], upward: int | None, downward: int | None) -> None:
    found = series(*values)
    assert trend.last_cross(found) == (None if upward is None else found.index[upward])
    assert trend.last_cross(found, upward=False) == (None if downward is None else found.index[downward])


@pytest.mark.parametrize(
    ("values", "rank"),
    [
        ([1.0, 2.0, 3.0, 4.0], 100.0),
        ([4.0, 3.0, 2.0, 1.0], 25.0),
        ([1.0, 3.0, 2.0, 2.0], 75.0),
        ([5.0, 5.0], 100.0),
        ([1.0, math.nan, 3.0, 2.0, math.nan], 100 * 2 / 3),
        ([1.0], None),
        ([1.0, math.nan], None),
        ([], None),
    ],
)
def test_the_percentile_is_the_share_up_to_the_last_value(values: list[float], rank: float | None) -> None:
    percentile = trend.percentile_rank(pd.Series(values, dtype="float64"))
    assert percentile == (None if rank is None else pytest.approx(rank))


# Seasons


def monthly(*values: float) -> pd.Series:
    """Changes of consecutive months from January 2001 on, by their last day."""
    return pd.Series(values, index=pd.date_range("2001-01-31", periods=len(values), freq="ME"))


def test_a_month_counts_from_the_last_close_of_the_month_before_and_only_when_it_is_whole() -> None:
    sessions = pd.bdate_range("2020-01-01", "2020-12-31")
    r = pd.Series(1.0, sessions[(sessions >= "2020-01-15") & (sessions <= "2020-05-28")])
    r["2020-02-28"], r["2020-03-31"] = 2.0, 3.0
    assert trend.monthly_changes(r.drop(pd.Timestamp("2020-04-30")), sessions).to_dict() == {
        pd.Timestamp("2020-02-28"): 100.0,
        pd.Timestamp("2020-03-31"): 50.0,
    }


def test_a_season_counts_the_years_in_which_its_month_rose() -> None:
    january, february = trend.seasons(monthly(1.0, -2.0, *[0.5] * 10, 3.0, 2.0))[:2]
    assert (january.years, january.mean, january.median, january.rose) == (2, 2.0, 2.0, 100.0)
    assert (february.years, february.mean, february.rose) == (2, 0.0, 50.0)


def test_luck_is_certain_to_do_as_well_as_an_average_month_and_hardly_ever_as_an_outlier() -> None:
    odd = [5.0 if month == 6 else 0.1 * (month % 2) for _ in range(10) for month in range(12)]
    by_month = {season.month: season.luck for season in trend.seasons(monthly(*odd))}
    assert by_month[7] == pytest.approx(0.0, abs=0.01)
    assert min(luck for month, luck in by_month.items() if month != 7 and luck is not None) > 90
    assert {season.luck for season in trend.seasons(monthly(1.0, 1.0, 1.0))} == {None}


def test_pure_noise_rarely_looks_like_a_season() -> None:
    rng = np.random.default_rng(5)
    tables = [trend.seasons(monthly(*rng.normal(0, 3, 240))) for _ in range(60)]
    striking = sum(min(season.luck or 100 for season in table) < 10 for table in tables)
    assert striking <= 12  # one table in ten is expected


@shared
def test_the_seasons_of_the_full_history() -> None:
    changes = trend.monthly_changes(trend.ratio(market_at("2021-12-31")), Sessions().index)
    january = trend.seasons(changes)[0]
    assert (january.years, round(january.median, 2), round(january.rose)) == (21, 0.18, 52)
