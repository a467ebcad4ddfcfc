"""Work beside the event loop on a thread that nobody waits for at the end of the process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


async def beside(work: Callable[[], T], name: str) -> T:
    """What `work` returns or raises; unlike a pool's, its thread never delays the end of the process."""
    done: Future[T] = Future()
    done.set_running_or_notify_cancel()  # from here on it cannot be cancelled, only left alone

    def run() -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - raised again where it is awaited
            done.set_exception(error)
        else:
            done.set_result(result)

    Thread(target=run, name=name, daemon=True).start()
    return await asyncio.wrap_future(done)
