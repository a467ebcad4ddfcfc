from __future__ import annotations

import asyncio
import datetime as dt
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.concurrency import Backoff, run_in_daemon_thread

BACKOFF = Backoff(dt.timedelta(seconds=5), dt.timedelta(hours=1))


def test_waits_double_up_to_the_longest() -> None:
    backoff = Backoff(dt.timedelta(seconds=1), dt.timedelta(seconds=30))
    assert [backoff.seconds(failures) for failures in range(7)] == [1, 2, 4, 8, 16, 30, 30]
    assert backoff.seconds(-1) == 1


def test_waits_are_spread_by_up_to_a_quarter() -> None:
    assert [BACKOFF.wait(2, jitter).total_seconds() for jitter in (0.0, 0.4, 1.0)] == [20, 22, 25]


@given(st.integers(0, 100_000), st.floats(0, 1))
def test_waits_grow_and_have_an_end(failures: int, jitter: float) -> None:
    wait, longer = BACKOFF.wait(failures, jitter), BACKOFF.wait(failures + 1, jitter)
    assert wait <= longer <= BACKOFF.longest * 1.25


async def test_the_result_comes_from_a_thread_of_that_name_which_the_end_does_not_wait_for() -> None:
    thread = await run_in_daemon_thread(threading.current_thread, "copying")
    assert thread is not threading.current_thread()
    assert (thread.name, thread.daemon) == ("copying", True)


async def test_what_is_raised_there_is_raised_here() -> None:
    def fail() -> None:
        raise OSError("The disk failed.")

    with pytest.raises(OSError, match="The disk failed"):
        await run_in_daemon_thread(fail, "failing")


def test_what_is_left_alone_may_end_later_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    release, ended = threading.Event(), threading.Event()

    def work() -> None:
        release.wait(20)
        ended.set()

    async def leave() -> None:
        task = asyncio.create_task(run_in_daemon_thread(work, "slow"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(leave())
    release.set()
    assert ended.wait(10)
    for thread in threading.enumerate():
        if thread.name == "slow":
            thread.join(10)
    assert caplog.records == []
