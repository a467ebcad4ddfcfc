from __future__ import annotations

import datetime as dt
import math
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.analytics.market import Market, ProvisionalFigures
from bot.analytics.metrics import METRICS
from bot.analytics.performance import (
    Performance,
    excess_history,
    fund_levels,
    growth,
    performance,
    return_history,
    total_return_index,
    undistributed_sessions,
)
from bot.analytics.windows import MTD, YTD, Window, parse_window
from bot.pair import DEFAULT_PAIR, Fund
from tests.analytics.facts import facts_at, facts_market
from tests.funds import LARGE, PAIR, SMALL
from tests.shared_data import issuer_facts, market, market_at, monthly_total_returns, shared

SUNDAY = "2020-12-13"
WINDOWS = [parse_window(text) for text in ("2d", "1w", "1m", "mtd", "ytd", "since 2019-12-20")]
# window, total return, base, IWM, SPY; as of 2020-12-13, a Sunday
GOLDEN = [
    ("ytd", False, "2019-12-31", "14.87", "13.81"),
    ("ytd", True, "2019-12-31", "16.14", "15.48"),
    ("6m", False, "2020-06-12", "37.63", "20.41"),
    ("6m", True, "2020-06-12", "38.63", "21.43"),
    ("1y", False, "2019-12-13", "16.51", "15.44"),
    ("1y", True, "2019-12-13", "18.23", "17.70"),
    ("since 2020-09-30", False, "2020-09-30", "27.04", "9.38"),
    ("since 2020-09-30", True, "2020-09-30", "27.04", "9.38"),
    ("since 2009-12-31", False, "2009-12-31", "204.77", "228.70"),
]
PRICES = st.floats(1, 500)
DAYS = pd.bdate_range("2019-12-16", periods=30)


def day(text: str) -> pd.Timestamp:
    return pd.Timestamp(text)


def series(values: list[float], start: str = "2020-01-06") -> pd.Series:
    return pd.Series(values, index=pd.bdate_range(start, periods=len(values)), dtype="float64")


def paid(**amounts: float) -> pd.Series:
    """Dollars by day of January 2020: paid(d7=0.5)."""
    dates = [pd.Timestamp(2020, 1, int(name[1:])) for name in amounts]
    return pd.Series(list(amounts.values()), index=pd.DatetimeIndex(dates), dtype="float64")


def of(small: list[float], large: list[float], **distributions: pd.Series) -> Market:
    prices = pd.DataFrame({SMALL: series(small), LARGE: series(large)})
    return Market(prices=prices, last_completed=prices.index[-1], distributions=distributions)


@st.composite
def markets(draw: st.DrawFn) -> Market:
    """A month of both funds over New Year with closes missing and distributions on any day."""
    leg = st.lists(st.one_of(PRICES, PRICES, PRICES, st.just(math.nan)), min_size=30, max_size=30)
    given_out = st.dictionaries(st.sampled_from(list(pd.date_range(DAYS[0], DAYS[-1]))), st.floats(0, 5), max_size=4)
    amounts = {ticker: draw(given_out) for ticker in PAIR}
    return Market(
        prices=pd.DataFrame({ticker: draw(leg) for ticker in PAIR}, index=DAYS),
        last_completed=DAYS[-1],
        distributions={
            ticker: pd.Series(found, index=pd.DatetimeIndex(list(found)), dtype="float64").sort_index()
            for ticker, found in amounts.items()
        },
    )


def growth_by_hand(price: pd.Series, distributed: pd.Series) -> list[float]:
    """One dollar on every session: its shares, times the price; each amount buys shares on its day."""
    held, worth = 1 / price.iloc[0], [1.0]
    for before, now in zip(price.index, price.index[1:], strict=False):
        amount = sum(v for ex, v in distributed.items() if before < ex <= now)
        held *= 1 + amount / price[now]
        worth.append(held * price[now])
    return worth


def figures(found: Performance) -> tuple[str, str, str]:
    assert found.base is not None
    return f"{found.base:%Y-%m-%d}", f"{found.small:.2f}", f"{found.large:.2f}"


@pytest.mark.parametrize(("window", "total", "base", "small", "large"), GOLDEN)
def test_golden_figures_from_the_facts(window: str, total: bool, base: str, small: str, large: str) -> None:
    found = performance(facts_at(SUNDAY), parse_window(window), total)
    assert figures(found) == (base, small, large)
    assert found.end == day("2020-12-11")


@shared
def test_golden_total_return_of_a_decade() -> None:
    found = performance(market_at(SUNDAY), parse_window("since 2009-12-31"), total=True)
    assert figures(found) == ("2009-12-31", "255.34", "307.44")


def test_six_months_count_from_the_date_asked_for() -> None:
    six = parse_window("6m")
    assert figures(performance(facts_at(SUNDAY), six)) == ("2020-06-12", "37.63", "20.41")
    assert figures(performance(facts_at("2020-12-11"), six)) == ("2020-06-11", "40.93", "21.85")


def test_without_a_date_asked_for_the_anchor_is_the_last_common_session() -> None:
    facts = facts_market()
    cut = replace(facts, prices=facts.prices.loc[:"2020-12-11"], last_completed=day("2020-12-14"))
    assert figures(performance(cut, parse_window("6m"))) == ("2020-06-11", "40.93", "21.85")


def test_the_gap_is_the_small_leg_less_the_large_one() -> None:
    found = performance(facts_at(SUNDAY), YTD)
    assert found.gap == pytest.approx(14.8669 - 13.8072, abs=1e-4)
    assert Performance(YTD, False, None, None).gap is None


def test_too_little_history_gives_nothing_and_never_a_shorter_window() -> None:
    facts = facts_at("2019-12-31")
    for text in ("11y", "20d", "since 2009-12-30"):
        found = performance(facts, parse_window(text), total=True)
        assert found == Performance(parse_window(text), True, None, day("2019-12-31"))
        assert growth(facts, parse_window(text)).empty
    to_come = parse_window("since 2020-12-14")
    assert performance(facts_at("2020-12-11"), to_come) == Performance(to_come, False, None, day("2020-12-11"))


def test_an_empty_market_has_no_returns() -> None:
    nothing = Market(prices=pd.DataFrame({SMALL: [1.0]}, index=[DAYS[0]]), last_completed=DAYS[0])
    for total in (False, True):
        assert performance(nothing, YTD, total) == Performance(YTD, total, None, None)
        assert growth(nothing, YTD, total).empty
        assert return_history(nothing, YTD, total).empty
        assert excess_history(nothing, YTD, total).empty


def test_a_distribution_on_the_base_is_left_out_and_one_on_the_end_counts() -> None:
    found = of([100.0, 100.0, 100.0], [10.0, 10.0, 10.0], IWM=paid(d6=7.0, d8=1.0), SPY=paid(d7=1.0))
    assert performance(found, Window("d", 2), total=True).small == pytest.approx(1.0)
    assert performance(found, Window("d", 1), total=True).small == pytest.approx(1.0)
    assert performance(found, Window("d", 2), total=True).large == pytest.approx(10.0)
    assert performance(found, Window("d", 1), total=True).large == pytest.approx(0.0)
    assert performance(found, Window("d", 2)).small == pytest.approx(0.0)


def test_total_return_is_the_product_of_the_days() -> None:
    index = total_return_index(series([100.0, 90.0, 99.0]), paid(d7=2.0, d8=1.0))
    assert index.tolist() == pytest.approx([1.0, 92 / 100, 92 / 100 * 100 / 90])


@pytest.mark.parametrize(
    ("sessions", "distributions", "expected"),
    [
        (6, {"d11": 3.0}, [1.0] * 5 + [1.03]),  # without a close on its day it counts on the next session
        (6, {"d11": 3.0, "d12": 1.0, "d13": 1.0}, [1.0] * 5 + [1.05]),  # several of one session add up
        (2, {"d3": 1.0, "d6": 1.0, "d9": 1.0}, [1.0, 1.0]),  # outside the history
        (2, {}, [1.0, 1.0]),
        (0, {"d6": 1.0}, []),
    ],
)
def test_distributions_add_up(sessions: int, distributions: dict[str, float], expected: list[float]) -> None:
    index = total_return_index(series([100.0] * 6).iloc[:sessions], paid(**distributions))
    assert index.tolist() == pytest.approx(expected)


def test_a_window_in_days_counts_a_session_that_one_leg_lacks_and_has_no_base_on_it() -> None:
    found = of([100.0, 150.0, 110.0, 120.0], [10.0, math.nan, 12.0, math.nan], SPY=paid(d7=1.0))
    alone = performance(found, Window("d", 2))
    assert (alone.base, alone.end) == (day("2020-01-06"), day("2020-01-08"))
    assert alone.small == pytest.approx(10.0)
    assert alone.large == pytest.approx(20.0)
    # the distribution of the missing session is not lost
    assert performance(found, Window("d", 2), total=True).large == pytest.approx(30.0)
    lacking = performance(found, Window("d", 1))
    assert (lacking.base, lacking.small, lacking.gap) == (None, None, None)
    assert lacking.reason == "the close of Tue 7 Jan 2020 is missing"
    assert excess_history(found, Window("d", 1)).isna().all()
    assert growth(found, Window("d", 1)).empty
    assert performance(found, Window("d", 3)).reason == "too little history"


def paying(*sessions: int, fund: Fund = DEFAULT_PAIR.large, held: int | None = None) -> Market:
    """300 flat sessions: the small fund pays on every 60th, the large one on some, or it is held."""
    index = pd.bdate_range("2019-01-01", periods=300)
    figures = ProvisionalFigures(fund.ticker, "distribution", pd.Series([9.0], index[[held or 0]]), "", "")
    return Market(
        prices=pd.DataFrame({SMALL: 100.0, LARGE: 100.0}, index),
        last_completed=index[-1],
        pair=replace(DEFAULT_PAIR, large=fund),
        distributions={
            SMALL: pd.Series(1.0, index[30::60]),
            LARGE: pd.Series(2.0, index[list(sessions)], dtype="float64"),
        },
        provisional=() if held is None else (figures,),
    )


NONE_STORED = "no distributions of SPY stored"


@pytest.mark.parametrize(
    ("found", "n", "reason"),
    [
        (paying(), 5, NONE_STORED),
        (paying(fund=replace(DEFAULT_PAIR.large, distributes=False)), 299, ""),
        (paying(50, 150, 250), 299, ""),  # 99 sessions between two
        (paying(99, 199, 299), 299, ""),
        (paying(50, 151, 250), 299, NONE_STORED),  # 100 sessions between two
        (paying(50, 151, 250), 150, NONE_STORED),
        (paying(50, 151, 250), 149, ""),  # after the stretch
        (paying(100, 200), 299, NONE_STORED),
        (paying(100, 200), 200, ""),
        (paying(99, 199), 5, NONE_STORED),  # the last 100 sessions
        (paying(50, 150, 250, held=200), 100, "SPY's distribution of 8 Oct 2019 is provisional"),
        (paying(50, 150, 250, held=200), 99, ""),
    ],
)
def test_no_total_return_over_undistributed_sessions(found: Market, n: int, reason: str) -> None:
    window = Window("d", n)
    row, history = performance(found, window, total=True), excess_history(found, window)
    assert (row.reason, row.small is None, row.large is None) == (reason, bool(reason), bool(reason))
    assert history.isna().iloc[-1] == bool(reason)
    assert growth(found, window, total=True).empty == bool(reason)
    assert performance(found, window).reason == ""
    if n < 299:
        metric = METRICS["beta"]
        assert metric.reason(found, {"n": n}) == reason


def test_a_stretch_without_distributions_is_one_from_its_first_session_also_as_of_a_date_in_it() -> None:
    found, window = paying(50, 151, 250), Window("d", 5)
    known = excess_history(found, window).notna()
    assert known[known].index.tolist() == [*found.prices.index[5:51], *found.prices.index[155:]]
    inside = performance(found.at(found.prices.index[60]), window, total=True)
    assert (inside.small, inside.reason) == (None, NONE_STORED)
    assert excess_history(paying(), window).isna().all()


@shared
def test_both_funds_have_a_total_return_over_all_of_the_full_history() -> None:
    assert undistributed_sessions(market()).max() == 0


@given(markets())
def test_total_return_is_what_a_holder_has(found: Market) -> None:
    for leg in PAIR:
        price = found.closes[leg]
        if len(price):
            index = total_return_index(price, found.distributions_of(leg))
            assert index.tolist() == pytest.approx(growth_by_hand(price, found.distributions_of(leg)))


@given(markets(), st.sampled_from(WINDOWS), st.booleans())
def test_each_session_of_a_history_is_its_own_answer(found: Market, window: Window, total: bool) -> None:
    history, gap = return_history(found, window, total), excess_history(found, window, total)
    assert history.index.equals(found.closes.index)
    for session, row in history.iloc[::5].iterrows():
        alone = performance(found.at(session), window, total)
        if alone.small is None or alone.gap is None:
            assert row.isna().all()
            assert np.isnan(gap[session])
        else:
            assert tuple(row) == (pytest.approx(alone.small), pytest.approx(alone.large))
            assert gap[session] == pytest.approx(alone.gap)


@given(markets(), st.sampled_from(WINDOWS), st.booleans())
def test_growth_starts_at_zero_and_ends_at_the_return(found: Market, window: Window, total: bool) -> None:
    line, alone = growth(found, window, total), performance(found, window, total)
    if alone.base is None:
        assert line.empty
    else:
        assert line.iloc[0].tolist() == [0.0, 0.0]
        assert (line.index[0], line.index[-1]) == (alone.base, alone.end)
        assert tuple(line.iloc[-1]) == (pytest.approx(alone.small), pytest.approx(alone.large))


@given(markets())
def test_distributions_never_lower_a_return(found: Market) -> None:
    more = fund_levels(found, total=True)
    if len(more):
        price = found.closes / found.closes.iloc[0]
        assert (more >= price * (1 - 1e-12)).all().all()


def test_the_gap_counts_distributions_unless_asked_not_to() -> None:
    found = of([100.0, 100.0], [10.0, 10.0], IWM=paid(d7=5.0))
    assert excess_history(found, Window("d", 1)).iloc[-1] == pytest.approx(5.0)
    assert excess_history(found, Window("d", 1), total=False).iloc[-1] == 0.0


@pytest.mark.parametrize(
    ("base", "end", "percent", "expected"),
    [
        ("2009-12-31", "2020-12-11", 204.77, 10.715),
        ("2018-12-31", "2020-12-30", 21.0, 10.0),
        ("2018-12-31", "2020-12-30", -75.0, -50.02),
        ("2019-12-11", "2020-12-10", 10.0, 10.0),
    ],
)
def test_a_year_or_more_can_be_annualised(base: str, end: str, percent: float, expected: float) -> None:
    found = Performance(YTD, False, day(base), day(end), percent, percent)
    assert found.annualised(percent) == pytest.approx(expected, abs=0.01)


def test_less_than_a_year_is_not_annualised() -> None:
    found = Performance(YTD, False, day("2019-12-12"), day("2020-12-10"), 10.0, 10.0)
    assert found.annualised(10.0) is None
    assert found.annualised(None) is None
    assert Performance(YTD, False, None, None).annualised(10.0) is None
    year = replace(found, base=day("2019-12-11"))
    assert year.annualised(10.0) is not None
    assert year.annualised(None) is None


def anchors() -> list[pd.Timestamp]:
    """Sessions all over the history: every 400th, and the first and last of some years."""
    sessions = market().closes.index
    edges = [sessions[sessions.year == year][at] for year in (2001, 2008, 2020) for at in (0, -1)]
    return sorted({*sessions[300::400], *edges})


@shared
def test_ffn_agrees_on_year_and_month_to_date_over_the_full_history() -> None:
    import ffn  # noqa: PLC0415 - it brings a whole laboratory along, which costs seconds

    levels = fund_levels(market(), total=True)
    ours = {window: return_history(market(), window, total=True) for window in (YTD, MTD)}
    for ticker, session in product(PAIR, anchors()):
        oracle = ffn.calc_perf_stats(levels[ticker].loc[session - dt.timedelta(days=420) : session])
        assert oracle.ytd * 100 == pytest.approx(ours[YTD].loc[session, ticker], abs=1e-9)
        assert oracle.mtd * 100 == pytest.approx(ours[MTD].loc[session, ticker], abs=1e-9)


@shared
def test_the_issuers_monthly_total_returns_come_out_of_nav_and_distributions() -> None:
    facts, published = issuer_facts(), monthly_total_returns()
    index = total_return_index(facts["nav"], facts["exdiv"].dropna())
    months = published.index.union([day("2000-05-31")])
    ours = 100 * index.reindex(months, method="ffill").pct_change().iloc[1:]
    apart = (ours - published).abs()
    assert len(apart.dropna()) == 259
    # The issuer's own NAVs of 2009-01-30 and 2009-02-27 give -12.127; it states -12.15, no distribution.
    assert apart[apart > 0.02].round(3).to_dict() == {day("2009-02-28"): 0.023}
