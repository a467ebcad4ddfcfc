"""Charts drawn in a child process: the same pictures, and nothing of it can hurt the bot."""

import asyncio
import os
from functools import partial

import pandas as pd
import pytest

from bot.alerts.grammar import parse_rule
from bot.analytics.metrics import METRICS
from bot.analytics.units import PERCENT
from bot.analytics.windows import YTD, AsOf
from bot.concurrency import ASK_AGAIN, ChartRenderer, Limits, living_children
from bot.errors import ChartFailed, NoData
from bot.messages.alerts.card import rule_chart_answer
from bot.messages.canvas import DARK, LIGHT, ChartStyle
from bot.messages.charts import ChartSpec, ConditionPanel, rule_chart
from bot.messages.pages.backtest import backtest_answer
from bot.messages.pages.chart import metric_answer
from bot.messages.pages.compare import compare_answer
from bot.messages.pages.flows import flows_answer
from bot.messages.pages.fundamentals import fundamentals_answer
from bot.messages.pages.multiples import multiples_answer
from bot.messages.pages.trend import trend_answer
from bot.services.questions import run_backtest
from tests.fakes.chart_texts import chart_texts
from tests.fakes.child_jobs import crash, hang, loaded_modules, memory, process_id, refuse
from tests.messages.pages import alert_with_events, context
from tests.sample_market import sample_market

LOOK = ChartStyle("A line", "Source: sample data")
LINE = pd.Series([1.0, 3.0, 2.0], pd.bdate_range("2020-12-09", periods=3))
SPEC = partial(rule_chart, [ConditionPanel("", LINE, PERCENT)], LOOK)
NOTHING = partial(rule_chart, [ConditionPanel("", LINE * float("nan"), PERCENT)], LOOK)


async def test_a_chart_is_the_same_wherever_it_is_drawn_and_an_error_says_where_it_came_up() -> None:
    apart = ChartRenderer(apart=True)
    assert await apart.draw(SPEC) == await ChartRenderer().draw(SPEC)
    with pytest.raises(NoData, match="There is nothing to draw for “A line”"):
        await apart.draw(NOTHING)
    with pytest.raises(ValueError, match="not this one") as refused:
        await apart.draw(lambda: refuse)
    assert "in refuse" in refused.value.__notes__[0]
    apart.close()


async def test_the_chart_process_loads_no_pandas_and_gives_back_what_a_chart_took() -> None:
    apart = ChartRenderer(apart=True)
    await apart.draw(SPEC)
    assert not {"pandas", "bot.messages.charts"} & await apart.draw(lambda: loaded_modules)
    before = await apart.draw(lambda: memory)
    for number in range(12):
        await apart.draw(partial(rule_chart, [ConditionPanel("", LINE, PERCENT)], ChartStyle(f"{number}", "")))
    assert await apart.draw(lambda: memory) < before + 8
    apart.close()


def chart_specs() -> dict[str, ChartSpec]:
    """The chart of every page, of a rule, a backtest and a metric, and a panel of each metric's unit."""
    market, as_of, metric = sample_market(), AsOf(), METRICS["flow"]
    of, rule = context(market), parse_rule("flow iwm 20d > $1bn and ratio > sma 200", METRICS)
    pages = {
        "compare": compare_answer(market, as_of, LIGHT),
        "trend": trend_answer(market, as_of, DARK),
        "flows": flows_answer(market, as_of, LIGHT),
        "multiples": multiples_answer(market, as_of, LIGHT),
        "fundamentals": fundamentals_answer(market, as_of, LIGHT, YTD),
        "metric": metric_answer(market, as_of, LIGHT, metric, metric.defaults(), YTD),
        "rule": rule_chart_answer(alert_with_events(str(rule), of)[0], of, LIGHT, []),
        "backtest": backtest_answer(run_backtest(parse_rule("flow iwm 5d > $1bn", METRICS), of, 1), DARK),
    }
    panels = [ConditionPanel(unit.name, LINE, unit) for unit in {m.unit for m in METRICS.values()}]
    drawn = {name: answer.draw for name, answer in pages.items() if answer.draw is not None}
    return {**drawn, "units": partial(rule_chart, panels, LOOK)}


async def test_a_chart_of_each_kind_has_the_same_words_in_the_chart_process() -> None:
    apart, specs = ChartRenderer(apart=True), chart_specs()
    assert len(specs) == 9
    job = partial(chart_texts, [spec() for spec in specs.values()])
    there, here = await asyncio.gather(apart.draw(lambda: job), asyncio.to_thread(job))
    apart.close()
    assert there == here
    flows = there[list(specs).index("flows")]
    assert {"IWM\n+$2.48bn", "SPY\n\u2212$5.35bn", "\u2212$5bn", "$0"} <= set(flows)


async def test_a_crash_costs_one_chart(caplog: pytest.LogCaptureFixture) -> None:
    apart = ChartRenderer(apart=True)
    with pytest.raises(ChartFailed, match=ASK_AGAIN):
        await apart.draw(lambda: crash)
    assert "a chart was not drawn: the process of the job failed" in caplog.text
    assert await apart.draw(lambda: process_id) != os.getpid()
    apart.close()


async def test_a_chart_without_end_is_given_up() -> None:
    charts = ChartRenderer(apart=True, limits=Limits(job_seconds=0.05))
    with pytest.raises(ChartFailed, match=ASK_AGAIN):
        await charts.draw(lambda: hang)
    charts.close()


async def test_closing_gives_up_what_waits_and_starts_no_other_process() -> None:
    before, charts = set(living_children()), ChartRenderer(apart=True)
    await charts.draw(lambda: process_id)
    waiting = [asyncio.create_task(charts.draw(partial(partial, job))) for job in (hang, process_id)]
    await asyncio.sleep(0)
    charts.close()
    errors = await asyncio.gather(*waiting, return_exceptions=True)
    assert [(type(error), str(error)) for error in errors] == [(ChartFailed, ASK_AGAIN)] * 2
    assert set(living_children()) == before
