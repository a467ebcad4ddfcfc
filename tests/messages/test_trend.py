import re

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


def test_every_figure_is_that_of_the_registry() -> None:
    of = sample_market(2020, 9, 30)
    lines = shown(trend_answer(of, AsOf(), LIGHT))
    for label, name, arguments in (*trend._IN_TABLE, *trend._IN_QUOTE):
        metric = METRICS[name]
        value = metric.unit.show(metric_value(metric, of, arguments).value)
        figure = re.compile(rf"{re.escape(of.pair.fill(label))} +{re.escape(value)}", re.IGNORECASE)
        assert any(figure.search(line) for line in lines), label


def test_gaps_count_back_from_the_day_asked_for() -> None:
    sunday = pd.Timestamp("2020-12-13")
    of = sample_market().at(sunday)
    gap = performance(of, Window("m", 3), total=True).gap
    assert f"gap 3m, total return {gap:+.2f}pp" in page(trend_answer(of, AsOf(asof=sunday), LIGHT))


def test_a_single_session_has_a_ratio_and_says_what_is_missing() -> None:
    lines = shown(trend_answer(market([50.0]), AsOf(), LIGHT))
    known = [line.split() for line in lines[2:-4] if not line.endswith(" n/a")]
    assert known == [["Ratio", "IWM/SPY", "0.5000"], ["Drawdown", "of", "ratio", "0.00%"]]
    assert lines[-4:-2] == [
        "Trend: its 200-day average needs 200 sessions, stored so far: 1.",
        "The line from 2 Jan 2020 needs three years of prices.",
    ]
    assert lines[-1] == "Source: CSV import."


@pytest.mark.parametrize(
    ("levels", "reading"),
    [
        ([50.0] * 149 + [51.0] * 51, "Small caps lead: ratio over its 50- and 200-day averages"),
        ([60.0] * 149 + [50.0] * 50 + [51.0], "Small caps catch up: ratio over its 50-day average, under its 200-day"),
        ([50.0] * 149 + [60.0] * 50 + [59.0], "Small caps slip: ratio under its 50-day average, over its 200-day"),
        ([50.0] * 199 + [49.0], "Large caps lead: ratio under its 50- and 200-day averages"),
    ],
)
def test_the_reading_follows_both_averages(levels: list[float], reading: str) -> None:
    levels = [level + 0.001 * number for number, level in enumerate(levels)]
    assert page(trend_answer(market(levels), AsOf(), LIGHT)).startswith(f"{reading} · ")


def channelled(*last: float) -> str:
    """The channel's line for 900 sessions around a falling line and some last ones, in sigmas."""
    steps = np.arange(900 + len(last))
    noise = np.append(np.where(steps[:900] % 2, 0.01, -0.01), 0.01 * np.array(last))
    return channel_line(market(list(50 * np.exp(-0.0001 * steps + noise)), first="2010-01-04"))


@pytest.mark.parametrize(
    ("last", "words"),
    [
        ((0.0,), "near the line, no break"),
        ((-0.9,), "near the line, no break"),
        ((1.5,), "inside the channel, no break"),
        ((-1.5,), "inside the channel, no break"),
        ((-3.0,), "below the channel"),
        ((3.0,), "above +2, a break once it holds five sessions"),
        ((3.0, 3.0, 3.0, 3.0), "above +2, a break once it holds five sessions"),
        ((3.0, 3.0, 3.0, 3.0, 3.0), "above +2 for five sessions: an upward break"),
        ((3.0, 3.0, 3.0, 3.0, 3.0, 1.5), "inside the channel, no break"),
    ],
)
def test_the_channel_breaks_after_five_sessions_over_two_sigmas(last: tuple[float, ...], words: str) -> None:
    line = channelled(*last)
    assert line.startswith("Line from 4 Jan 2010: −2.")
    assert line.endswith(f"{words}.")


@pytest.mark.parametrize(("window", "first"), [(None, "2018-12-11"), (parse_window("1m"), "2020-11-11")])
def test_the_chart_begins_at_the_windows_base(window: Window | None, first: str) -> None:
    (panel,), _ = drawing(trend_answer(sample_market(), AsOf(), LIGHT, window)).args
    sessions = panel.series.index
    assert (sessions[0], sessions[-1]) == (pd.Timestamp(first), pd.Timestamp("2020-12-11"))
    assert panel.level_name == "200-day average"
    assert list(panel.references) == ["+2 sigma", "line from 2010", "−2 sigma"]


def test_a_window_longer_than_the_history_shows_all_of_it() -> None:
    (panel,), _ = drawing(trend_answer(market([50.0] * 30), AsOf(), LIGHT, Window("y", 2))).args
    assert len(panel.series) == 30


def test_the_long_trend_line_begins_with_a_shorter_history() -> None:
    answer = trend_answer(market([50.0 + 0.01 * n for n in range(900)], first="2015-01-02"), AsOf(), LIGHT)
    assert "Line from 2 Jan 2015: " in page(answer)
    assert answer.buttons[0][-1] == ("since 2015", "/trend since 2015-01-02")
    full = trend_answer(sample_market(), AsOf(asof=pd.Timestamp("2020-12-11")), LIGHT)
    assert full.buttons[0][-1] == ("since 2010", "/trend since 2010-01-04 asof 2020-12-11")


def test_few_years_are_called_too_few() -> None:
    lines = shown(seasons_answer(sample_market(), AsOf(), LIGHT, parse_window("5y")))
    assert "n below 10: too few years to mean anything." in lines
    assert "Whole months from Jan 2016 to Nov 2020." in lines


def test_without_a_whole_month_there_are_no_seasons() -> None:
    with pytest.raises(NoData, match="no whole month of closes"):
        seasons_answer(market([50.0, 51.0]), AsOf(), LIGHT)
