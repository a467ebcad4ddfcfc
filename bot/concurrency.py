"""Work in a thread beside the event loop, waits between tries, work that is cut off, jobs in a child process.

A job in a child process that hangs, crashes or takes all memory does no further harm. The process starts with the first
job and runs one job at a time. It is killed when a job exceeds the time limit or shows that the process is unsound,
when it has been idle for a while and when its owner closes it; the next job starts a new one. It also ends when this
process is killed, because its pipe is closed then, or during a job soon after its time is up.
"""

import asyncio
import datetime as dt
import gc
import logging
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from threading import Event, Lock, RLock, Thread, Timer, current_thread
from typing import Any, TypeVar, cast
from weakref import WeakSet

from bot.errors import ChartFailed

T = TypeVar("T")
_log = logging.getLogger(__name__)
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


class RunningWork:
    """Coroutines that can be cut off together, without an error where they are awaited."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._is_cut = False

    async def run(self, coroutine: Coroutine[Any, Any, object]) -> None:
        """Run a coroutine until it ends or is cut off. After a cut it is not begun. Raises what it raises."""
        if self._is_cut:
            coroutine.close()
            return
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        try:
            await asyncio.wait({task})
        finally:
            self._tasks.discard(task)
            task.cancel()  # if this task is cancelled, so is the coroutine
        if not task.cancelled():
            task.result()

    def cut(self) -> None:
        """Cut off what runs, and begin nothing more."""
        self._is_cut = True
        for task in self._tasks:
            task.cancel()


_GRACE = 5.0  # seconds that the parent has to kill a job that takes too long, before it ends itself
# Not multiprocessing: a fork copies locks that other threads hold, and a spawn keeps a third process.
_PROGRAM = "import sys; sys.path[:] = {path!r}; from bot.concurrency import serve_jobs; serve_jobs({pipe})"
_processes: WeakSet[subprocess.Popen[bytes]] = WeakSet()


def living_children() -> list[subprocess.Popen[bytes]]:
    """Return the child processes that live."""
    return [process for process in list(_processes) if process.poll() is None]


# What a job in a sound process does not raise. A library whose first import broke off fails in every job.
_UNSOUND = (SystemError, ImportError, MemoryError)


class JobFailed(Exception):
    """The job's process crashed, could not be started, is unsound or is closed."""


class JobTimedOut(JobFailed):
    """The job exceeded the time limit and was killed."""


@dataclass(frozen=True)
class Limits:
    """What a child process may use.

    job_seconds   wall time of one job, including the start of the process
    idle_seconds  how long the process outlives its last job
    memory        bytes of address space, where the system enforces it, or None
    niceness      steps by which the system prefers the parent
    quiet         whether what native code prints is discarded
    """

    job_seconds: float
    idle_seconds: float = 300.0
    memory: int | None = None
    niceness: int = 0
    quiet: bool = False


class ChildProcess(AbstractContextManager["ChildProcess"]):
    """A process that is started when a job needs it. Its methods may be called from any thread."""

    def __init__(self, name: str, limits: Limits) -> None:
        self._name, self._limits = name, limits
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: Connection | None = None
        self._jobs = 0  # of this process
        self._busy = Lock()  # held while a job runs
        self._lock = RLock()  # held while the process is started or ended; close() needs it during a job
        self._idle: Timer | None = None
        self._closed = False

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(self, job: Callable[[], T]) -> T:
        """Run a job, which must be picklable, and return its result. Blocks.

        Raises what the job raises, with the child's traceback as a note, JobFailed if the process fails, and
        JobTimedOut if the job takes too long. After an error that shows the process to be unsound, the job is
        tried once more in a new process, unless it took all memory of one that was new.
        """
        with self._busy:
            if self._idle is not None:
                self._idle.cancel()
            try:
                result, error = self._exchange(job)
                if isinstance(error, _UNSOUND) and not (isinstance(error, MemoryError) and self._jobs == 1):
                    _log.warning("the process %s is replaced: %r", self._name, error)
                    self._end()
                    result, error = self._exchange(job)
                if isinstance(error, _UNSOUND):
                    self._end()
                    raise JobFailed(f"the process of the job failed: {error!r}") from error
            finally:
                self._idle = Timer(self._limits.idle_seconds, self._end_if_idle)
                self._idle.daemon = True
                self._idle.start()
        if error is not None:
            raise error
        return result

    def close(self) -> None:
        """Kill the process, even during a job, and start no other."""
        with self._lock:
            self._closed = True
            self._end()
        if self._idle is not None:
            self._idle.cancel()

    def _exchange(self, job: Callable[[], T]) -> tuple[T, Exception | None]:
        """Send the job to the process and wait for its result or its error."""
        expired = Event()

        def expire() -> None:
            expired.set()
            self._end()

        try:
            pipe = self._started()
            deadline = Timer(self._limits.job_seconds, expire)
            deadline.start()
            self._jobs += 1
            try:
                pipe.send(job)
                return cast("tuple[T, Exception | None]", pipe.recv())
            finally:
                deadline.cancel()
                deadline.join()  # from here on it can no longer end the process
        except BaseException as fault:
            self._end()  # an answer left in the pipe would be taken for that of the next job
            if not isinstance(fault, OSError | EOFError):
                raise
            if expired.is_set():
                raise JobTimedOut(f"the job took more than {self._limits.job_seconds:g} s") from fault
            raise JobFailed(f"the process of the job failed: {fault!r}") from fault

    def _started(self) -> Connection:
        """Return the pipe to a living process. Raises JobFailed if the owner has closed it."""
        with self._lock:
            if self._closed:
                raise JobFailed("the process is closed")
            if self._pipe is None or self._process is None or self._process.poll() is not None:
                self._end()
                pipe, child_pipe = Pipe()
                with child_pipe:
                    number = child_pipe.fileno()
                    command = [sys.executable, "-c", _PROGRAM.format(path=sys.path, pipe=number)]
                    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[number])  # noqa: S603 - ours
                _processes.add(process)
                self._process, self._pipe, self._jobs = process, pipe, 0
                pipe.send(self._limits)
            return self._pipe

    def _end_if_idle(self) -> None:
        with self._busy:
            if self._idle is current_thread():  # no job has come since this timer was started
                self._end()

    def _end(self) -> None:
        """Kill the process. The pipe is closed when nobody uses it: a reader would meet another file."""
        with self._lock:
            process, self._process, self._pipe = self._process, None, None
        if process is not None:
            process.kill()
            process.wait()


def serve_jobs(descriptor: int) -> None:
    """Run in the child: receive limits, then jobs, and send results or errors, until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this process
    pipe = Connection(descriptor)
    with suppress(EOFError, OSError):
        _apply(limits := pipe.recv())
        while True:
            job = pipe.recv()
            _end_in(limits.job_seconds + _GRACE)  # for a parent that is killed during the job
            outcome = _attempt(job)
            _end_in(0)
            pipe.send(outcome)
            del job, outcome
            gc.collect()
            gc.freeze()  # what is left are modules and caches
            trim_heap()


def trim_heap() -> None:
    """Return free memory to the system, where the C library is glibc."""
    with suppress(ImportError, OSError, AttributeError, TypeError):
        import ctypes  # noqa: PLC0415 - an optional part of Python

        ctypes.CDLL(None).malloc_trim(0)


def _end_in(seconds: float) -> None:
    """Let the system end this process after so long, also out of native code. 0 cancels that."""
    if sys.platform != "win32":
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _apply(limits: Limits) -> None:
    if limits.quiet:
        with open(os.devnull, "w") as nothing:  # noqa: PTH123 - descriptors are what native code writes to
            os.dup2(nothing.fileno(), 1)
            os.dup2(nothing.fileno(), 2)
    if hasattr(os, "nice"):
        os.nice(limits.niceness)
    if limits.memory is not None and sys.platform != "win32":
        import resource  # noqa: PLC0415 - not there on Windows

        resource.setrlimit(resource.RLIMIT_AS, (limits.memory, resource.getrlimit(resource.RLIMIT_AS)[1]))


def _attempt(job: Callable[[], T]) -> tuple[T | None, Exception | None]:
    try:
        return job(), None
    except Exception as error:  # noqa: BLE001 - raised again in the parent
        error.add_note(traceback.format_exc())  # a traceback object cannot be sent
        return None, error


# A chart takes 0.2 s of computing, much of it in native code during which no other thread runs. Drawn in the
# bot's own process, it would delay everybody else's answers.
ASK_AGAIN = "The picture could not be drawn; please ask again."
CHART_LIMITS = Limits(job_seconds=60.0, idle_seconds=300.0, niceness=5)


class ChartRenderer:
    """Draws charts in the order of the requests.

    apart: whether they are drawn in a child process, else in a thread.
    """

    def __init__(self, *, apart: bool = False, limits: Limits = CHART_LIMITS) -> None:
        self._process = ChildProcess("charts", limits) if apart else None
        self._executor = ThreadPoolExecutor(1, "charts")  # one, so that charts are drawn in order
        self._drawing: dict[object, asyncio.Future[Any]] = {}

    async def draw(self, spec: Callable[[], Callable[[], T]]) -> T:
        """Return the chart that the job draws which `spec` returns, once for all who wait for it.

        Raises what the spec raises, and ChartFailed if the process fails or is closed.
        """
        drawing: asyncio.Future[T] | None = self._drawing.get(spec)
        if drawing is None:
            drawing = asyncio.get_running_loop().run_in_executor(self._executor, self._run, spec)
            self._drawing[spec] = drawing
            drawing.add_done_callback(lambda _: self._drawing.pop(spec))
        try:
            return await asyncio.shield(drawing)
        except JobFailed as error:
            _log.warning("a chart was not drawn: %s", error)
            raise ChartFailed(ASK_AGAIN) from error

    def _run(self, spec: Callable[[], Callable[[], T]]) -> T:
        job = spec()
        return self._process.run(job) if self._process else job()

    def close(self) -> None:
        """Kill the process, even while it draws, and start no other."""
        if self._process is not None:
            self._process.close()
