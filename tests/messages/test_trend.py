import numpy as np
import pandas as pd
import pytest

from bot.analytics.metrics import METRICS, metric_value
from bot.analytics.performance import performance
from bot.analytics.windows import AsOf, Window, parse_window
from bot.errors import NoData
from bot.messages.canvas import LIGHT
from bot.messages.common import channel_line
from bot.messages.pages import trend
from bot.messages.pages.trend import seasons_answer, trend_answer
from tests.messages.pages import drawing, market, page, shown
from tests.sample_market import sample_market

SAMPLE_PAGE = """\
Relative trend, IWM/SPY · close of Fri 11 Dec 2020
Sample data: simulated between published points, not the market.
Reading: small caps lead; the ratio is above its 50- and 200-day averages.
                          value
Ratio IWM/SPY            0.5195
against 50-day avg       +7.88%
against 200-day avg     +13.10%
Momentum 12−1 months    −7.57pp
vs 252-day high          −0.33%
vs 252-day low          +25.17%
Slope 60 days, a year   +78.35%
Channel, sigmas           +0.08
Drawdown of ratio       −21.49%
Beta 252 days             +1.18
Correlation 60 days       +0.87
Gap 3m, total return   +17.98pp
Gap 1y, total return    +0.10pp
Ratio IWM/SPY 0.5195, 13.10% above its 200-day average (above it since 6 Oct 2020).
Trend line from 4 Jan 2010: −1.73% a year; the ratio is +0.08 sigma from it (near the line, no break).

Source: sample data."""


def test_the_whole_page() -> None:
    assert page(trend_answer(sample_market(), AsOf(), LIGHT)) == SAMPLE_PAGE


def test_every_figure_is_that_of_the_registry() -> None:
    of = sample_market(2020, 9, 30)
    lines = shown(trend_answer(of, AsOf(), LIGHT))
    for label, name, arguments in trend._LINES:
        metric = METRICS[name]
        assert cell(lines, of.pair.fill(label)) == metric.unit.show(metric_value(metric, of, arguments).value)


def cell(lines: list[str], label: str) -> str:
    return next(line.removeprefix(label).strip() for line in lines if line.startswith(label))


def test_gaps_count_back_from_the_day_asked_for() -> None:
    sunday = pd.Timestamp("2020-12-13")
    of = sample_market().at(sunday)
    gap = performance(of, Window("m", 3), total=True).gap
    assert cell(shown(trend_answer(of, AsOf(asof=sunday), LIGHT)), "Gap 3m, total return") == f"{gap:+.2f}pp"


def test_a_single_session_has_a_ratio_and_says_what_is_missing() -> None:
    lines = shown(trend_answer(market([50.0]), AsOf(), LIGHT))
    known = [line.split() for line in lines[2:-4] if not line.endswith(" n/a")]
    assert known == [["Ratio", "IWM/SPY", "0.5000"], ["Drawdown", "of", "ratio", "0.00%"]]
    assert lines[-4:] == [
        "Ratio IWM/SPY 0.5000; its 200-day average needs 200 sessions, stored so far: 1.",
        "The trend line from 2 Jan 2020 needs three years of prices.",
        "",
        "Source: CSV import.",
    ]


@pytest.mark.parametrize(
    ("levels", "reading_line"),
    [
        ([50.0] * 149 + [51.0] * 51, "small caps lead; the ratio is above its 50- and 200-day averages."),
        (
            [60.0] * 149 + [50.0] * 50 + [51.0],
            "small caps catch up; the ratio is above its 50-day, but not its 200-day average.",
        ),
        (
            [50.0] * 149 + [60.0] * 50 + [59.0],
            "small caps slip; the ratio is above its 200-day, but not its 50-day average.",
        ),
        (
            [50.0] * 199 + [49.0],
            "large caps lead; the ratio is above neither its 50- nor its 200-day average.",
        ),
    ],
)
def test_the_reading_follows_both_averages(levels: list[float], reading_line: str) -> None:
    levels = [level + 0.001 * number for number, level in enumerate(levels)]
    assert f"Reading: {reading_line}" in shown(trend_answer(market(levels), AsOf(), LIGHT))


def channelled(*last: float) -> str:
    """The channel's line for 900 sessions around a falling line and some last ones, in sigmas."""
    steps = np.arange(900 + len(last))
    noise = np.append(np.where(steps[:900] % 2, 0.01, -0.01), 0.01 * np.array(last))
    return channel_line(market(list(50 * np.exp(-0.0001 * steps + noise)), first="2010-01-04"))


@pytest.mark.parametrize(
    ("last", "words"),
    [
        ((0.0,), "(near the line, no break)"),
        ((-0.9,), "(near the line, no break)"),
        ((1.5,), "(inside the channel, no break)"),
        ((-1.5,), "(inside the channel, no break)"),
        ((-3.0,), "(below the channel)"),
        ((3.0,), "(above +2, a break once it holds five sessions)"),
        ((3.0, 3.0, 3.0, 3.0), "(above +2, a break once it holds five sessions)"),
        ((3.0, 3.0, 3.0, 3.0, 3.0), "(above +2 for five sessions, an upward break)"),
        ((3.0, 3.0, 3.0, 3.0, 3.0, 1.5), "(inside the channel, no break)"),
    ],
)
def test_the_channel_breaks_after_five_sessions_over_two_sigmas(last: tuple[float, ...], words: str) -> None:
    line = channelled(*last)
    assert line.startswith("Trend line from 4 Jan 2010: −2.")
    assert line.endswith(f"{words}.")


@pytest.mark.parametrize(("window", "first"), [(None, "2018-12-11"), (parse_window("1m"), "2020-11-11")])
def test_the_chart_begins_at_the_windows_base(window: Window | None, first: str) -> None:
    (panel,), _ = drawing(trend_answer(sample_market(), AsOf(), LIGHT, window)).args
    sessions = panel.series.index
    assert (sessions[0], sessions[-1]) == (pd.Timestamp(first), pd.Timestamp("2020-12-11"))
    assert panel.level_name == "200-day average"


def test_a_window_longer_than_the_history_shows_all_of_it() -> None:
    (panel,), _ = drawing(trend_answer(market([50.0] * 30), AsOf(), LIGHT, Window("y", 2))).args
    assert len(panel.series) == 30


def test_the_long_trend_line_begins_with_a_shorter_history() -> None:
    answer = trend_answer(market([50.0 + 0.01 * n for n in range(900)], first="2015-01-02"), AsOf(), LIGHT)
    assert "Trend line from 2 Jan 2015: " in page(answer)
    assert answer.buttons[0][0] == ("Since 2015", "/chart ratio since 2015-01-02")
    full = trend_answer(sample_market(), AsOf(asof=pd.Timestamp("2020-12-11")), LIGHT)
    assert full.buttons[0][0] == ("Since 2010", "/chart ratio since 2010-01-04 asof 2020-12-11")


SEASONS_PAGE = """\
Seasons of IWM/SPY · close of Fri 11 Dec 2020
Sample data: simulated between published points, not the market.
In Dec it rose in 5 of 10 years; median −0.19%.
     median    mean  rose   n
Jan  −0.32%  −0.64%   36%  11
Feb  −0.14%  +0.04%   45%  11
Mar  +0.99%  −0.05%   64%  11
Apr  −0.25%  −0.46%   45%  11
May  +0.44%  +0.10%   55%  11
Jun  +0.98%  +1.12%   82%  11
Jul  −1.73%  −1.64%   18%  11
Aug  −0.23%  −0.79%   36%  11
Sep  +0.52%  +0.05%   64%  11
Oct  −0.36%  −0.04%   45%  11
Nov  +0.43%  +1.70%   64%  11
Dec  −0.19%  −0.04%   50%  10
Change of the ratio over whole calendar months, without distributions; n: years.
Furthest from the others: Nov, mean +1.70%. By luck some month of twelve lies as far in 19%, perhaps luck.
Whole months from Jan 2010 to Nov 2020.

Source: sample data."""


def test_the_seasons_of_the_ratio() -> None:
    assert page(seasons_answer(sample_market(), AsOf())) == SEASONS_PAGE


def test_few_years_are_called_too_few() -> None:
    lines = shown(seasons_answer(sample_market(), AsOf(), parse_window("5y")))
    assert "n below 10: too few years to mean anything." in lines
    assert "Whole months from Jan 2016 to Nov 2020." in lines


def test_without_a_whole_month_there_are_no_seasons() -> None:
    with pytest.raises(NoData, match="no whole month of closes"):
        seasons_answer(market([50.0, 51.0]), AsOf())
