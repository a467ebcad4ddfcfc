from dataclasses import replace

import pandas as pd
import pytest

from bot.analytics.market import Market
from bot.analytics.metrics import METRICS, Argument, metric_value
from bot.analytics.windows import AsOf, Window
from bot.errors import NoData
from bot.messages.canvas import LIGHT
from bot.messages.common import Answer, metric_phrase
from bot.messages.pages.chart import metric_answer
from bot.pair import DEFAULT_PAIR
from tests.messages.pages import drawing, market, page, shown
from tests.sample_market import sample_market

YEAR, NOW = Window("y", 1), AsOf()


def chart(name: str, of: Market, span: Window = YEAR, moment: AsOf = NOW, **arguments: Argument) -> Answer:
    metric = METRICS[name]
    return metric_answer(of, moment, LIGHT, metric, metric.defaults() | arguments, span)


def test_every_metric_has_a_page_or_says_why_not() -> None:
    of = sample_market()
    for metric in METRICS.values():
        current = metric_value(metric, of, metric.defaults())
        if current.value is None:
            with pytest.raises(NoData) as error:
                chart(metric.name, of)
            assert str(error.value).endswith(f": n/a, {current.reason}.")
            continue
        lines = shown(chart(metric.name, of))
        title = metric_phrase(metric, metric.defaults(), DEFAULT_PAIR)
        assert lines[0].lower().startswith(title.lower())
        assert f": {metric.unit.show(current.value)}" in lines[0]
        assert metric.meaning in lines


@pytest.mark.parametrize(
    ("count", "late"),
    [(30, ""), (29, " (close of Wed 12 Feb 2020, 1 session old)"), (27, " (close of Mon 10 Feb 2020, 3 sessions old)")],
)
def test_a_figure_of_an_earlier_close_is_dated_with_its_age(count: int, late: str) -> None:
    of = market([50.0] * 30, units={"IWM": [250.0 + number for number in range(count)]})
    lines = shown(chart("flow", of, window=Window("d", 5)))
    assert lines[0] == f"IWM's flow over 5d: +$0.50bn{late} · Thu 13 Feb 2020"
    assert lines[1] == f"Percentile 100 (n = {count - 5} since 9 Jan 2020)."


def test_a_single_value_has_no_place_in_history_and_a_missing_one_a_reason() -> None:
    assert "ercentile" not in page(chart("ratio", market([50.0])))
    with pytest.raises(NoData, match=r"^IWM's beta over 252 days: n/a, too little history"):
        chart("beta", market([50.0] * 5))


def test_a_multiple_is_of_the_close_that_it_is_made_of() -> None:
    of = market([50.0] * 5, multiples=[("2020-01-07", "IWM", "pe", 20.0), ("2020-01-08", "IWM", "pe", 21.0)])
    of = replace(of, multiples=of.multiples.assign(price_date=["2020-01-02", "2020-01-03"]))
    answer = chart("pe", of, convention="positive")
    assert "21.0x (close of Fri 3 Jan 2020, 3 sessions old) · Wed 8 Jan 2020" in shown(answer)[0]
    assert drawing(answer).args[1].footer.endswith("close of Fri 3 Jan 2020")


@pytest.mark.parametrize(
    ("name", "arguments", "title"),
    [
        ("ratio", {}, "IWM/SPY"),
        ("ratio_vs_sma", {}, "IWM/SPY against its 200-day average"),
        ("channel", {}, "IWM/SPY in sigmas from its line since 4 Jan 2010"),
        ("flow_pct", {}, "IWM's flow over 20d in % of assets"),
        ("pe_premium", {"convention": "losses_in"}, "IWM's P/E premium (losses included)"),
        ("pe", {"convention": "positive"}, "IWM's P/E (profitable companies only)"),
    ],
)
def test_the_title_holds_the_arguments(name: str, arguments: dict[str, Argument], title: str) -> None:
    assert metric_phrase(METRICS[name], METRICS[name].defaults() | arguments, DEFAULT_PAIR) == title


def test_sessions_missing_among_the_closes_are_counted() -> None:
    levels = [50.0 + number % 3 for number in range(60)]
    lines = shown(chart("slope", market([*levels, None, *levels, None, 50.0]), n=100))
    assert lines[3] == "2 sessions are missing among its 100 closes."
    with pytest.raises(NoData, match=r"n/a, 2 sessions missing among the last 60 closes\.$"):
        chart("slope", market([*levels, None, *levels[:30], None, 50.0]), n=60)


def test_the_chart_spans_the_window() -> None:
    answer = chart("ratio", sample_market(), Window("m", 1))
    (panel,), style = drawing(answer).args
    assert answer.name == "ratio"
    assert panel.series.index[0] == pd.Timestamp("2020-11-11")
    assert style.footer == "Source: sample data · close of Fri 11 Dec 2020"


def test_a_chart_shows_what_is_usual_and_the_channel_its_breaks() -> None:
    of = sample_market()
    ((panel,), _), ((broken,), _) = (drawing(chart(name, of)).args for name in ("ratio", "channel"))
    history = METRICS["ratio"].history(of, {})
    assert panel.references == {"median": history.median()}
    assert panel.band == (history.quantile(0.1), history.quantile(0.9))
    assert (list(broken.references.values()), broken.band) == ([2.0, 0.0, -2.0], None)
    short = drawing(chart("ratio", market([50.0] * 59))).args[0][0]
    assert (short.references, short.band) == ({}, None)


def test_a_metric_on_facts_names_the_funds_own_source() -> None:
    of = market([50.0] * 30, units={"SPY": [900.0 + number for number in range(30)]})
    _, style = drawing(chart("flow", of, fund="SPY", window=Window("d", 5))).args
    assert style.footer.startswith("Source: CSV import · ")


def test_its_buttons_keep_the_arguments_and_the_date() -> None:
    moment = AsOf(asof=pd.Timestamp("2020-12-11"))
    answer = chart("flow", sample_market(), moment=moment, fund="SPY", window=Window("d", 5))
    assert answer.buttons == (
        (
            ("6m", "/chart flow spy 5d 6m asof 2020-12-11"),
            ("1y", "/chart flow spy 5d 1y asof 2020-12-11"),
            ("5y", "/chart flow spy 5d 5y asof 2020-12-11"),
            ("max", "/chart flow spy 5d max asof 2020-12-11"),
        ),
        (("Make an alert", "/alert new flow spy 5d"), ("Other metrics", "/chart asof 2020-12-11")),
    )
