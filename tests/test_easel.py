"""Pictures drawn in a process of their own: the same pictures, and nothing of it can hurt the bot."""

from __future__ import annotations

import asyncio
import errno
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pandas as pd
import pytest

from bot import easel as module
from bot.analytics.units import PERCENT
from bot.easel import Easel
from bot.errors import NoData, Undrawn
from bot.rendering.charts import metric_chart
from bot.rendering.themes import Look
from tests.fakes.sketches import dying, endless, signature

if TYPE_CHECKING:
    from collections.abc import Iterator

LOOK = Look("A line", "Source: sample data")
LINE = pd.Series([1.0, 3.0, 2.0], pd.bdate_range("2020-12-09", periods=3))
AGAIN = "The picture could not be drawn; please ask again."
ROOT = Path(__file__).parents[1]
KILLED = """
import asyncio, os, signal, sys
from functools import partial
from bot.easel import Easel
from tests.fakes.sketches import holding

if __name__ == "__main__":
    asyncio.run(Easel(apart=True).draw(partial(holding, int(sys.argv[1]))))
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def apart() -> Iterator[Easel]:
    easel = Easel(apart=True)
    yield easel
    easel.close()


def alive() -> set[int | None]:
    """Processes begun here that live."""
    return {child.pid for child in multiprocessing.active_children()}


def no_memory(_: object) -> NoReturn:
    raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))


async def test_one_process_draws_all_pictures(apart: Easel) -> None:
    first, second = [await apart.draw(signature) for _ in range(2)]
    assert first == second != os.getpid()
    assert await Easel().draw(signature) == os.getpid()


async def test_one_that_dies_drawing_costs_that_picture_only(apart: Easel) -> None:
    before = await apart.draw(signature)
    with pytest.raises(Undrawn, match=AGAIN):
        await apart.draw(dying)
    assert await apart.draw(signature) != before


async def test_one_that_died_meanwhile_costs_none(apart: Easel) -> None:
    before = await apart.draw(signature)
    (process,) = (child for child in multiprocessing.active_children() if child.pid == before)
    process.kill()
    process.join()
    assert await apart.draw(signature) != before


async def test_one_that_cannot_be_begun_costs_that_picture_only(monkeypatch: pytest.MonkeyPatch) -> None:
    easel = Easel(apart=True)
    with monkeypatch.context() as patched:
        patched.setattr("multiprocessing.context.SpawnProcess._Popen", staticmethod(no_memory))
        with pytest.raises(Undrawn, match=AGAIN):
            await easel.draw(signature)
    assert await easel.draw(signature) in alive()
    easel.close()


async def test_a_picture_without_end_is_given_up(apart: Easel, monkeypatch: pytest.MonkeyPatch) -> None:
    before = await apart.draw(signature)
    monkeypatch.setattr(module, "LONGEST", 0.05)
    with pytest.raises(Undrawn, match=AGAIN):
        await apart.draw(endless)
    assert before not in alive()


async def test_closing_leaves_no_process() -> None:
    easel = Easel(apart=True)
    drawn = await easel.draw(signature)
    assert drawn in alive()
    easel.close()
    assert drawn not in alive()


async def test_closing_gives_up_what_waits_and_begins_no_other_process() -> None:
    before, easel = alive(), Easel(apart=True)
    await easel.draw(signature)
    waiting = [asyncio.create_task(easel.draw(sketch)) for sketch in (endless, signature)]
    await asyncio.sleep(0)
    easel.close()
    given_up = await asyncio.gather(*waiting, return_exceptions=True)
    assert [(type(each), str(each)) for each in given_up] == [(Undrawn, AGAIN)] * 2
    assert alive() == before


async def test_a_picture_is_the_same_wherever_it_is_drawn(apart: Easel) -> None:
    sketch = partial(metric_chart, LINE, PERCENT, LOOK)
    assert await apart.draw(sketch) == await Easel().draw(sketch)


async def test_nothing_to_draw_is_said_with_where_it_came_up(apart: Easel) -> None:
    with pytest.raises(NoData, match="There is nothing to draw for “A line”") as refused:
        await apart.draw(partial(metric_chart, LINE * float("nan"), PERCENT, LOOK))
    assert "in metric_figure" in refused.value.__notes__[0]


def test_it_does_not_outlive_a_bot_that_is_killed(tmp_path: Path) -> None:
    program = tmp_path / "killed.py"
    program.write_text(KILLED)
    with socket.create_server(("127.0.0.1", 0)) as ear:
        ear.settimeout(30)
        command = [sys.executable, str(program), str(ear.getsockname()[1])]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, env=environment, check=False)  # noqa: S603 - our own program
        assert done.returncode == -signal.SIGKILL
        line, _ = ear.accept()
        with line:
            line.settimeout(30)
            assert line.recv(1) == b""
