"""Charts drawn in a child process: the same pictures, and nothing of it can hurt the bot."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
from functools import partial

import pandas as pd
import pytest

from bot.analytics.units import PERCENT
from bot.chart_process import ASK_AGAIN, ChartRenderer
from bot.concurrency import Limits
from bot.errors import ChartFailed, NoData
from bot.messages.canvas import ChartStyle
from bot.messages.charts import ConditionPanel, rule_chart
from tests.fakes.child_jobs import crash, hang, process_id

LOOK = ChartStyle("A line", "Source: sample data")
LINE = pd.Series([1.0, 3.0, 2.0], pd.bdate_range("2020-12-09", periods=3))
SPEC = partial(rule_chart, [ConditionPanel("", LINE, PERCENT)], LOOK)
NOTHING = partial(rule_chart, [ConditionPanel("", LINE * float("nan"), PERCENT)], LOOK)


async def test_a_chart_is_the_same_wherever_it_is_drawn_and_an_error_says_where_it_came_up() -> None:
    apart = ChartRenderer(apart=True)
    assert await apart.draw(SPEC) == await ChartRenderer().draw(SPEC)
    with pytest.raises(NoData, match="There is nothing to draw for “A line”") as refused:
        await apart.draw(NOTHING)
    assert "in rule_chart" in refused.value.__notes__[0]
    apart.close()


async def test_a_crash_costs_one_chart(caplog: pytest.LogCaptureFixture) -> None:
    apart = ChartRenderer(apart=True)
    with pytest.raises(ChartFailed, match=ASK_AGAIN):
        await apart.draw(crash)
    assert "a chart was not drawn: the process of the job failed" in caplog.text
    assert await apart.draw(process_id) != os.getpid()
    apart.close()


async def test_a_chart_without_end_is_given_up() -> None:
    charts = ChartRenderer(apart=True, limits=Limits(job_seconds=0.05))
    with pytest.raises(ChartFailed, match=ASK_AGAIN):
        await charts.draw(hang)
    charts.close()


async def test_closing_gives_up_what_waits_and_starts_no_other_process() -> None:
    before, charts = set(multiprocessing.active_children()), ChartRenderer(apart=True)
    await charts.draw(process_id)
    waiting = [asyncio.create_task(charts.draw(spec)) for spec in (hang, process_id)]
    await asyncio.sleep(0)
    charts.close()
    errors = await asyncio.gather(*waiting, return_exceptions=True)
    assert [(type(error), str(error)) for error in errors] == [(ChartFailed, ASK_AGAIN)] * 2
    assert set(multiprocessing.active_children()) == before
