from __future__ import annotations

import datetime as dt
import itertools
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from bot.analytics import flows, trend, valuation
from bot.analytics.sessions import Sessions
from bot.analytics.sources import SAMPLE
from bot.analytics.windows import parse_window
from bot.data.load import build_market
from bot.data.provider import rows_by_kind, sample_observations
from docs import sample as simulation
from storage.records import Distribution
from tests.frames import frames
from tests.funds import LARGE, PAIR, SMALL

if TYPE_CHECKING:
    from bot.analytics.market import Market
    from bot.data.provider import Observations


SESSIONS = Sessions()
MADE_UP = {("shares", LARGE)}  # but for one session
SUNDAY = pd.Timestamp("2020-12-13")


@pytest.fixture(scope="module")
def rows() -> Observations:
    return sample_observations()


@pytest.fixture(scope="module")
def market(rows: Observations) -> Market:
    stored = frames(rows, source=SAMPLE, observed_at="2021-01-01T00:00:00Z")
    return build_market(stored, SESSIONS, dt.datetime(2021, 1, 2, tzinfo=dt.UTC))


def values(rows: Observations, kind: str, ticker: str, column: str) -> dict[str, float]:
    return {row.session: getattr(row, column) for row in rows_by_kind(rows)[kind] if row.ticker == ticker}


@pytest.mark.parametrize("seed", [1, 2**32])
def test_published_figures_come_out_exactly_under_any_seed(seed: int, rows: Observations) -> None:
    usual, rows = rows, simulation.simulate(seed, SESSIONS)
    assert rows["bars"] != usual["bars"]
    kinds = {"close": "bars", "nav": "fund_facts", "shares": "fund_facts"}
    by_figure = {(name, fund): values(rows, kinds[name], fund, name) for name in kinds for fund in PAIR}
    real = by_figure.keys() - MADE_UP
    published = [line for line in simulation.figures() if (line.figure, line.ticker) in real]
    assert len(published) == 4 * 146 + 2
    for line in published:
        assert by_figure[line.figure, line.ticker][line.date] == line.value
    assert values(rows, "fund_facts", LARGE, "shares")["2020-12-14"] == 860_882_116
    assert values(rows, "fund_facts", LARGE, "nav")["2020-12-14"] == 364.751


def test_distributions_are_the_published_ones(rows: Observations) -> None:
    distributions = rows["distributions"]
    assert len(distributions) == 88
    assert Distribution("SPY", "2020-12-18", 1.58) in distributions
    assert Distribution("IWM", "2020-03-25", 0.42) in distributions


def test_the_file_has_what_is_simulated(rows: Observations) -> None:
    assert simulation.simulate(sessions=SESSIONS) == rows


def test_it_covers_every_session_of_eleven_years(rows: Observations) -> None:
    expected = SESSIONS.between(pd.Timestamp("2009-12-31"), pd.Timestamp("2020-12-31")).strftime("%Y-%m-%d")
    for ticker in PAIR:
        assert list(values(rows, "bars", ticker, "close")) == list(expected)
        assert list(values(rows, "fund_facts", ticker, "nav")) == list(expected)


def test_bars_are_consistent_and_in_cents(rows: Observations) -> None:
    for row in rows["bars"]:
        prices = (row.open or 0.0, row.high or 0.0, row.low or 0.0, row.close)
        assert row.low == min(prices)
        assert row.high == max(prices)
        assert all(price == round(price, 2) for price in prices)
        assert isinstance(row.volume, int)
        assert row.volume > 0


def test_daily_returns_are_plausible(market: Market) -> None:
    returns = market.prices.pct_change().dropna()
    assert returns.abs().max().max() < 0.15
    calm = returns[(returns.index < "2020-02-20") | (returns.index > "2020-04-30")]
    assert calm.abs().max().max() < 0.07
    yearly = returns.std() * 252**0.5
    assert 0.17 < yearly[SMALL] < 0.25
    assert 0.12 < yearly[LARGE] < 0.19
    assert 0.8 < returns[SMALL].corr(returns[LARGE]) < 0.92


def test_the_ratio_crosses_its_average_once_in_2020_on_the_day_it_really_did(market: Market) -> None:
    over = trend.ratio_vs_sma(trend.ratio(market), 200).loc["2020-01-01":]
    assert (over.loc[:"2020-10-05"] < 0).all()
    assert (over.loc["2020-10-06":] > 0).all()
    assert over.loc["2020-10-05"] == pytest.approx(-0.45, abs=0.1)


def test_the_ratio_stands_where_it_really_stood(market: Market) -> None:
    ratio = trend.ratio(market.at(SUNDAY))
    assert ratio.iloc[-1] == pytest.approx(0.51952, abs=5e-6)
    assert ratio.rolling(200).mean().iloc[-1] == pytest.approx(0.45942, rel=0.001)
    channel = trend.channel_fit(ratio).iloc[-1]
    assert channel["residual"] == pytest.approx(0.07, abs=0.1)
    assert channel["slope"] == pytest.approx(-1.70, abs=0.1)


def test_shares_are_created_and_redeemed_in_whole_lots(rows: Observations) -> None:
    for ticker in PAIR:
        shares = pd.Series(values(rows, "fund_facts", ticker, "shares"))
        assert (shares.diff().dropna() % 50_000 == 0).all()
        assert (shares.pct_change().abs().dropna() < 0.05).all()


def test_nav_stays_near_the_close(rows: Observations) -> None:
    for ticker in PAIR:
        nav = pd.Series(values(rows, "fund_facts", ticker, "nav"))
        close = pd.Series(values(rows, "bars", ticker, "close"))
        assert ((nav / close - 1).abs() < 0.013).all()
        assert (nav / close - 1).std() < 0.002


@pytest.mark.parametrize(
    ("ticker", "end", "window", "billions", "tolerance"),
    [
        (LARGE, "2020-12-14", "ytd", -31.08, 0.02),
        (LARGE, "2020-12-14", "3m", -13.48, 0.02),
        (SMALL, "2020-12-11", "ytd", 0.82, 0.05),
        (SMALL, "2020-12-11", "since 2020-09-30", 5.55, 0.05),
        (SMALL, "2020-12-11", "since 2020-06-12", 5.87, 0.05),
        (SMALL, "2020-11-30", "mtd", 2.70, 0.05),
        (SMALL, "2020-11-11", "1w", 1.35, 0.05),
    ],
)
def test_flows_agree_with_the_published_ones(
    market: Market, ticker: str, end: str, window: str, billions: float, tolerance: float
) -> None:
    facts = market.at(pd.Timestamp(end)).fund(ticker)
    summary = flows.flow_summary(flows.prepare_counts(facts, SESSIONS.index), parse_window(window))
    assert summary.dollars == pytest.approx(billions * 1e9, rel=tolerance)
    assert summary.flags == ()


def test_no_day_of_fund_facts_is_flagged(market: Market) -> None:
    for ticker in PAIR:
        assert set(flows.prepare_counts(market.fund(ticker), SESSIONS.index)["flag"]) == {""}


def test_multiples_agree_with_the_article(market: Market) -> None:
    multiples = market.at(SUNDAY).multiples
    last = multiples[multiples["session"] == pd.Timestamp("2020-12-11")]
    figure = {(row.ticker, row.metric): row.value for row in last.itertuples()}
    assert figure[SMALL, "pe"] == 75.0
    assert figure[SMALL, "pcf"] == 14.4
    assert {(row.convention, row.basis) for row in last.itertuples()} == {("losses_in", "forward")}
    assert figure[SMALL, "earnings_yield"] == pytest.approx(100 / 75, abs=1e-4)
    kinds = (*simulation.SAMPLE_MULTIPLES, "earnings_yield", simulation.LOSS_SHARE)
    assert figure.keys() == {(ticker, metric) for ticker in PAIR for metric in kinds}


@pytest.mark.parametrize(("ticker", "earnings", "multiple"), [(SMALL, -49.0, 125.2), (LARGE, -14.0, 32.3)])
def test_multiples_rose_earnings_fell(market: Market, ticker: str, earnings: float, multiple: float) -> None:
    split = valuation.return_split(market.at(SUNDAY), ticker, parse_window("ytd"), "losses_in")
    assert isinstance(split, valuation.ReturnSplit)
    assert split.earnings == pytest.approx(earnings, abs=0.05)
    assert split.multiple == pytest.approx(multiple, abs=0.05)


@pytest.mark.parametrize(
    ("ticker", "metric", "change"), [(SMALL, "ps", -8), (SMALL, "pcf", -20), (LARGE, "ps", -3), (LARGE, "pcf", -6)]
)
def test_sales_and_cash_flow_fell_in_2020(market: Market, ticker: str, metric: str, change: float) -> None:
    implied = valuation.implied_per_share(market.at(SUNDAY), ticker, metric, "losses_in")
    assert 100 * (implied.iloc[-1] / implied.loc["2019-12-31"] - 1) == pytest.approx(change, abs=0.1)


def test_multiples_have_a_history_and_never_jump_without_the_price(market: Market) -> None:
    for ticker, metric in itertools.product(PAIR, simulation.SAMPLE_MULTIPLES[:-1]):
        implied = valuation.implied_per_share(market, ticker, metric, "losses_in")
        assert implied.index[0] == pd.Timestamp("2014-12-31")
        assert len(implied) > 300
        assert implied.pct_change().abs().max() < 0.08
