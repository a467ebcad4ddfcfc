"""An event loop whose time is simulated: it jumps to the next timer once nothing else is left to do."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
LEAST = 1e-6  # seconds: less would be lost in the sum, and time would stand still


class _Selector(selectors.DefaultSelector):
    """Waits for real only while threads are at work; else it lets the time pass."""

    def __init__(self) -> None:
        super().__init__()
        self.passed = 0.0
        self.busy = 0

    def select(self, timeout: float | None = None) -> Any:  # noqa: ANN401 - as the base class
        """What is ready now; with nothing ready and no thread at work, `timeout` has passed."""
        ready = super().select(None if self.busy and timeout != 0 else 0)
        if not ready and timeout and not self.busy:
            self.passed += max(timeout, LEAST)
        return ready


class SimulatedLoop(asyncio.SelectorEventLoop):
    """Timers cost no time. A call into a thread takes none of the simulated time either."""

    def __init__(self) -> None:
        self._clock = _Selector()
        super().__init__(self._clock)

    def time(self) -> float:
        """Simulated seconds since the start."""
        return self._clock.passed

    def run_in_executor(  # type: ignore[override]  # without its type variables
        self,
        executor: Any,  # noqa: ANN401 - as the base class
        func: Callable[..., Any],
        *args: Any,  # noqa: ANN401 - as the base class
    ) -> asyncio.Future[Any]:
        """As the base class; time stands still until the thread is done."""
        self._clock.busy += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._idle)
        return future

    def _idle(self, _: object) -> None:
        self._clock.busy -= 1


def simulate(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in simulated time."""
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        return runner.run(work)
