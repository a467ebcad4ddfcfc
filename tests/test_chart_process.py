"""Charts drawn in a child process: the same pictures, and nothing of it can hurt the bot."""

from __future__ import annotations

import asyncio
import multiprocessing
from functools import partial
from typing import TYPE_CHECKING, cast

import pandas as pd
import pytest

from bot.analytics.units import PERCENT
from bot.chart_process import ASK_AGAIN, ChartRenderer
from bot.concurrency import Limits
from bot.errors import ChartFailed, NoData
from bot.messages.canvas import ChartStyle
from bot.messages.charts import metric_chart
from tests.fakes.child_jobs import crash, hang

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bot.messages.charts import ChartSpec


LOOK = ChartStyle("A line", "Source: sample data")
LINE = pd.Series([1.0, 3.0, 2.0], pd.bdate_range("2020-12-09", periods=3))
SPEC = partial(metric_chart, LINE, PERCENT, LOOK)
HANGING, CRASHING = cast("ChartSpec", hang), cast("ChartSpec", crash)


@pytest.fixture(scope="module")
def apart() -> Iterator[ChartRenderer]:
    charts = ChartRenderer(apart=True)
    yield charts
    charts.close()


async def test_a_chart_is_the_same_wherever_it_is_drawn(apart: ChartRenderer) -> None:
    assert await apart.draw(SPEC) == await ChartRenderer().draw(SPEC)


async def test_without_figures_the_error_names_where_it_came_up(apart: ChartRenderer) -> None:
    with pytest.raises(NoData, match="There is nothing to draw for “A line”") as refused:
        await apart.draw(partial(metric_chart, LINE * float("nan"), PERCENT, LOOK))
    assert "in _rule_figure" in refused.value.__notes__[0]


async def test_a_crash_costs_one_chart(apart: ChartRenderer, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ChartFailed, match=ASK_AGAIN):
        await apart.draw(CRASHING)
    assert "a chart was not drawn: the process of the job failed" in caplog.text
    assert await apart.draw(SPEC) == SPEC()


async def test_a_chart_without_end_is_given_up() -> None:
    charts = ChartRenderer(apart=True, limits=Limits(job_seconds=0.05))
    with pytest.raises(ChartFailed, match=ASK_AGAIN):
        await charts.draw(HANGING)
    charts.close()


async def test_closing_gives_up_what_waits_and_starts_no_other_process() -> None:
    before, charts = set(multiprocessing.active_children()), ChartRenderer(apart=True)
    await charts.draw(SPEC)
    waiting = [asyncio.create_task(charts.draw(spec)) for spec in (HANGING, SPEC)]
    await asyncio.sleep(0)
    charts.close()
    errors = await asyncio.gather(*waiting, return_exceptions=True)
    assert [(type(error), str(error)) for error in errors] == [(ChartFailed, ASK_AGAIN)] * 2
    assert set(multiprocessing.active_children()) == before
