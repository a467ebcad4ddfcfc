from __future__ import annotations

import datetime as dt
import math
import re
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from bot.analytics.units import USD
from bot.errors import NoData
from bot.messages import charts
from bot.messages.alerts import card
from bot.messages.alerts.card import rule_chart_answer
from bot.messages.canvas import LIGHT, ChartStyle
from bot.messages.charts import ConditionPanel, Marks, Threshold, rule_chart
from tests.messages.pages import context, days, empty, market, said, standing
from tests.messages.test_charts import figure_of

if TYPE_CHECKING:
    from collections.abc import Sequence

LONG = [50.0 + (number % 7) / 10 for number in range(300)]
UNITS = {"IWM": [250.0 + number for number in range(299)]}
Drawn = list[tuple["Sequence[ConditionPanel]", "ChartStyle", "Marks | None"]]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Drawn:
    found: Drawn = []

    def note(legs: Sequence[ConditionPanel], look: ChartStyle, marks: Marks | None) -> None:
        found.append((legs, look, marks))

    monkeypatch.setattr(card, "rule_chart", note)
    return found


def test_every_condition_is_drawn_with_its_threshold_over_a_year(drawn: Drawn) -> None:
    of = context(market(LONG, units=UNITS))
    rule = "ratio > sma 20 and flow iwm 5d > $1bn"
    answer = rule_chart_answer(standing(rule, of), of, LIGHT, [dt.date(2020, 12, 1)])
    assert said(answer)[0] == f"Alert #3 {rule}"
    assert answer.draw is not None
    answer.draw()
    ((legs, look, marks),) = drawn
    assert [(leg.name, leg.threshold and leg.threshold.name) for leg in legs] == [
        ("ratio", "sma 20"), ("flow iwm 5d", "threshold"),
    ]  # fmt: skip
    assert [str(leg.series.index[0].date()) for leg in legs] == ["2020-03-11", "2020-03-11"]
    assert look.footer == "Source: CSV import · close of Thu 11 Mar 2021"
    assert marks is not None
    assert [str(day.date()) for day in marks.sessions] == ["2020-12-01"]


def test_a_threshold_is_drawn_even_before_it_is_defined(drawn: Drawn) -> None:
    of = context(market([50.0 + number for number in range(10)]))
    answer = rule_chart_answer(standing("ratio > sma 8", of), of, LIGHT, [])
    assert answer.draw is not None
    answer.draw()
    ((legs, _, marks),) = drawn
    assert legs[0].threshold is not None
    shown = legs[0].threshold.over(legs[0].series.index)
    assert [math.isnan(value) for value in shown] == [True] * 7 + [False] * 3
    assert marks is None


def test_a_condition_without_figures_is_named_and_the_others_are_drawn(drawn: Drawn) -> None:
    of = context(market(LONG))
    answer = rule_chart_answer(standing("ratio > 0.6 and pe iwm > 25x", of), of, LIGHT, [])
    assert (
        said(answer)[-1]
        == "Not drawn, because there are no figures for the last year: pe iwm morningstar > 25x."
    )
    assert answer.draw is not None
    answer.draw()
    assert len(drawn[0][0]) == 1


def test_without_any_figure_there_is_nothing_to_draw() -> None:
    of = context(market(LONG))
    with pytest.raises(NoData, match=r"^There is nothing to draw for pe iwm morningstar > 25x: no figure"):
        rule_chart_answer(standing("pe iwm > 25x", of), of, LIGHT, [])
    nothing = context(empty())
    with pytest.raises(NoData, match=r"^No prices are stored yet\."):
        rule_chart_answer(standing("ratio > 1", nothing), nothing, LIGHT, [])


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_panel_a_condition(count: int) -> None:
    series = (
        context(market(LONG))
        .histories.series(standing("ratio > 0.5", context(market(LONG))).rule.conditions[0])
        .value
    )
    from bot.analytics.units import LEVEL  # noqa: PLC0415 - here only
    from bot.messages.canvas import ChartStyle  # noqa: PLC0415 - as above

    legs = [ConditionPanel(f"leg {at}", series, LEVEL, Threshold(0.5)) for at in range(count)]
    marks = Marks([days(300)[-5]], "fired")
    figure = figure_of(rule_chart, legs, ChartStyle("Alert", "Source"), marks)
    assert len(figure.axes) == count
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ([""] if count == 1 else [f"leg {at}" for at in range(count)])
    for axes in figure.axes:
        assert len(axes.lines) >= 3  # series, threshold, marks


@pytest.mark.parametrize(
    ("threshold", "words", "scale"),
    [
        (Threshold(100e6), "flow: +$1,200.0m on 8 Jan 2020. Threshold: +$100.0m.", "m"),
        (Threshold(2e9), "flow: +$1.20bn on 8 Jan 2020. Threshold: +$2.00bn.", "bn"),
        (
            Threshold(pd.Series(5e6, days(5)), "sma 200"),
            "2020. sma 200: +$0.01bn.",
            "bn",
        ),
    ],
)
def test_a_picture_of_money_has_one_scale(threshold: Threshold, words: str, scale: str) -> None:
    flow = pd.Series([-50e6, 40e6, 210e6, 2.1e9, 1.2e9], days(5))
    panel = ConditionPanel("flow", flow, USD, threshold)
    assert words in rule_chart([panel], ChartStyle("flow", "Source: CSV")).caption
    axes = charts._rule_figure([panel], ChartStyle("flow", "Source: CSV")).axes[0]
    texts = [text.get_text() for text in (*axes.get_yticklabels(), *axes.texts)]
    assert {suffix for text in texts for suffix in re.findall(r"[+−]\$[\d.,]+([a-z]*)", text)} == {scale}
