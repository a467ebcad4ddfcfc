from __future__ import annotations

import asyncio
import threading

import pytest

from bot.threads import beside


async def test_the_result_comes_from_a_thread_of_that_name_which_the_end_does_not_wait_for() -> None:
    thread = await beside(threading.current_thread, "copying")
    assert thread is not threading.current_thread()
    assert (thread.name, thread.daemon) == ("copying", True)


async def test_what_is_raised_there_is_raised_here() -> None:
    def fail() -> None:
        raise OSError("The disk failed.")

    with pytest.raises(OSError, match="The disk failed"):
        await beside(fail, "failing")


def test_what_is_left_alone_may_end_later_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    release, ended = threading.Event(), threading.Event()

    def work() -> None:
        release.wait(20)
        ended.set()

    async def leave() -> None:
        task = asyncio.create_task(beside(work, "slow"))
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
