"""Draws charts one at a time, for `run` in a child process.

A chart takes 0.2 s of computing, much of it in native code during which no other thread runs. Drawn in the
bot's own process, it would delay everybody else's answers.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from bot.concurrency import ChildProcess, JobFailed, Limits
from bot.errors import ChartFailed

if TYPE_CHECKING:
    from collections.abc import Callable


T = TypeVar("T")
_log = logging.getLogger(__name__)

ASK_AGAIN = "The picture could not be drawn; please ask again."
CHART_LIMITS = Limits(job_seconds=60.0, idle_seconds=300.0, niceness=5)


class ChartRenderer:
    """Draws charts in the order of the requests.

    apart: whether they are drawn in a child process, else in a thread.
    """

    def __init__(self, *, apart: bool = False, limits: Limits = CHART_LIMITS) -> None:
        self._process = ChildProcess("charts", limits) if apart else None
        self._executor = ThreadPoolExecutor(1, "charts")  # one, so that charts are drawn in order

    async def draw(self, spec: Callable[[], T]) -> T:
        """Return the chart that `spec` draws.

        Raises what the spec raises, and ChartFailed if the process fails or is closed.
        """
        job = partial(self._process.run, spec) if self._process else spec
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, job)
        except JobFailed as error:
            _log.warning("a chart was not drawn: %s", error)
            raise ChartFailed(ASK_AGAIN) from error

    def close(self) -> None:
        """Kill the process, even while it draws, and start no other."""
        if self._process is not None:
            self._process.close()
