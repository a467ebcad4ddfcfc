"""Work in a thread beside the event loop, and waits between tries."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Thread
from typing import TypeVar

T = TypeVar("T")
_MOST_DOUBLINGS = 20  # more would exceed any longest wait, and finally what a timedelta can hold


@dataclass(frozen=True)
class Backoff:
    """Waits that double from `first` up to `longest`."""

    first: dt.timedelta
    longest: dt.timedelta

    def wait(self, failures: int, jitter: float = 0.0) -> dt.timedelta:
        """Return the wait after a failure that followed `failures` others.

        With `jitter` in [0, 1) it is longer by up to a quarter, so that waits spread out.
        """
        doubled = self.first * (1 << min(max(failures, 0), _MOST_DOUBLINGS))
        return min(doubled, self.longest) * (1 + jitter / 4)

    def seconds(self, failures: int) -> float:
        """Return the wait in seconds."""
        return self.wait(failures).total_seconds()


async def run_in_daemon_thread(work: Callable[[], T], name: str) -> T:
    """Return or raise what `work` does, in a thread that does not delay the end of the process."""
    done: Future[T] = Future()
    done.set_running_or_notify_cancel()  # now it cannot be cancelled, only abandoned

    def run() -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - raised again where it is awaited
            done.set_exception(error)
        else:
            done.set_result(result)

    Thread(target=run, name=name, daemon=True).start()
    return await asyncio.wrap_future(done)
