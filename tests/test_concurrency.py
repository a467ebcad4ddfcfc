"""Back-off, daemon threads, and jobs in child processes, run as real processes."""

import asyncio
import datetime as dt
import errno
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NoReturn
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.concurrency import Backoff, ChildProcess, JobFailed, JobTimedOut, Limits, living_children, run_in_daemon_thread
from tests.fakes.child_jobs import claim_memory, crash, hang, print_noise, process_id, raise_in, refuse

BACKOFF = Backoff(dt.timedelta(seconds=5), dt.timedelta(hours=1))
ROOT = Path(__file__).parents[1]
LIMITS = Limits(job_seconds=60.0)
KILLED = """
import os, signal, sys
from functools import partial
from bot.concurrency import ChildProcess, Limits
from tests.fakes.child_jobs import connect

if __name__ == "__main__":
    ChildProcess("killed", Limits(job_seconds=60.0)).run(partial(connect, int(sys.argv[1])))
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_waits_double_up_to_the_longest() -> None:
    backoff = Backoff(dt.timedelta(seconds=1), dt.timedelta(seconds=30))
    assert [backoff.wait(failures).total_seconds() for failures in range(7)] == [1, 2, 4, 8, 16, 30, 30]
    assert backoff.wait(-1).total_seconds() == 1


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


@pytest.fixture(scope="module")
def child() -> Iterator[ChildProcess]:
    with ChildProcess("test", LIMITS) as process:
        yield process


def alive() -> set[int | None]:
    """Child processes that live."""
    return {process.pid for process in living_children()}


def wait_for_end(pid: int) -> None:
    """Return as soon as a child process has ended; whoever owns it collects it."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([descriptor], [], [], 30)[0] == [descriptor]
    finally:
        os.close(descriptor)


def no_memory(*_: object, **__: object) -> NoReturn:
    raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))


def test_one_process_runs_all_jobs(child: ChildProcess) -> None:
    first, second = child.run(process_id), child.run(process_id)
    assert first == second != os.getpid()


def test_an_error_of_a_job_reaches_the_caller_with_its_traceback(child: ChildProcess) -> None:
    with pytest.raises(ValueError, match="not this one") as caught:
        child.run(refuse)
    assert "in refuse" in caught.value.__notes__[0]


def test_a_crash_costs_that_job_only(child: ChildProcess) -> None:
    before = child.run(process_id)
    with pytest.raises(JobFailed, match="the process of the job failed"):
        child.run(crash)
    assert child.run(process_id) != before


def test_a_process_that_was_killed_while_idle_is_replaced(child: ChildProcess) -> None:
    before = child.run(process_id)
    os.kill(before, signal.SIGKILL)
    wait_for_end(before)
    assert child.run(process_id) != before


def test_a_kill_during_a_job_costs_that_job_only(child: ChildProcess) -> None:
    before = child.run(process_id)
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as thread:
        server.settimeout(30)
        job = thread.submit(child.run, partial(hang, server.getsockname()[1]))
        server.accept()[0].close()
        os.kill(before, signal.SIGKILL)
        with pytest.raises(JobFailed):
            job.result(30)
    assert child.run(process_id) != before


def test_an_answer_that_was_not_received_is_not_taken_for_that_of_the_next_job(
    child: ChildProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("multiprocessing.connection.Connection.recv", Mock(side_effect=MemoryError))
        with pytest.raises(MemoryError):
            child.run(partial(abs, -1))
    assert child.run(partial(abs, -2)) == 2


def test_a_process_that_cannot_be_started_costs_that_job_only(monkeypatch: pytest.MonkeyPatch) -> None:
    with ChildProcess("test", LIMITS) as process:
        with monkeypatch.context() as patched:
            patched.setattr("subprocess.Popen", no_memory)
            with pytest.raises(JobFailed, match="Cannot allocate memory"):
                process.run(process_id)
        assert process.run(process_id) in alive()


def test_a_job_that_hangs_is_killed() -> None:
    before = alive()
    with ChildProcess("test", Limits(job_seconds=0.05)) as process:
        with pytest.raises(JobTimedOut, match=r"^the job took more than 0\.05 s$"):
            process.run(hang)
        assert alive() == before


def test_the_system_ends_a_job_whose_parent_was_killed(child: ChildProcess) -> None:
    left, _ = child.run(partial(signal.getitimer, signal.ITIMER_REAL))
    assert 0 < left <= LIMITS.job_seconds + 5


def test_a_job_that_claims_too_much_memory_fails_alone() -> None:
    with ChildProcess("test", Limits(job_seconds=60.0, memory=2_000_000_000)) as process:
        with pytest.raises(JobFailed, match=r"^the process of the job failed: MemoryError\(\)$"):
            process.run(claim_memory)
        assert process.run(process_id) in alive()


@pytest.mark.parametrize("error", [SystemError("no exception was set"), ImportError("x"), MemoryError()])
def test_a_process_that_is_unsound_is_replaced(error: Exception, tmp_path: Path) -> None:
    with ChildProcess("test", LIMITS) as process:
        first = process.run(process_id)
        second = process.run(partial(raise_in, 1, error, tmp_path / "log"))
        assert first != second == process.run(process_id)
        assert first not in alive()


@pytest.mark.parametrize(("error", "processes"), [(SystemError(), 2), (ImportError(), 2), (MemoryError(), 1)])
def test_a_job_that_no_process_can_run_is_tried_once_more_but_not_with_all_memory_of_a_new_one(
    error: Exception, processes: int, tmp_path: Path
) -> None:
    with ChildProcess("test", LIMITS) as process:
        before = alive()
        with pytest.raises(JobFailed, match=rf"^the process of the job failed: {type(error).__name__}\(\)$"):
            process.run(partial(raise_in, 9, error, tmp_path / "log"))
        assert len(set((tmp_path / "log").read_text().split())) == processes
        assert alive() == before


def test_a_quiet_process_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with ChildProcess("test", Limits(job_seconds=60.0, quiet=True)) as process:
        process.run(print_noise)
    assert capfd.readouterr() == ("", "")


def test_an_idle_process_ends_and_the_next_job_starts_another() -> None:
    with ChildProcess("test", Limits(job_seconds=60.0, idle_seconds=0.0)) as process:
        first = process.run(process_id)
        wait_for_end(first)
        assert process.run(process_id) != first


def test_the_end_of_an_idle_process_costs_no_job() -> None:
    with ChildProcess("test", Limits(job_seconds=60.0, idle_seconds=0.0)) as process:
        assert os.getpid() not in [process.run(process_id) for _ in range(5)]


def test_closing_leaves_no_process_and_starts_no_other() -> None:
    process = ChildProcess("test", LIMITS)
    pid = process.run(process_id)
    assert pid in alive()
    process.close()
    assert pid not in alive()
    with pytest.raises(JobFailed, match="the process is closed"):
        process.run(process_id)


def test_it_does_not_outlive_a_parent_that_is_killed(tmp_path: Path) -> None:
    program = tmp_path / "killed.py"
    program.write_text(KILLED)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)
        command = [sys.executable, str(program), str(server.getsockname()[1])]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, env=environment, check=False)  # noqa: S603 - our own program
        assert done.returncode == -signal.SIGKILL
        connection, _ = server.accept()
        with connection:
            connection.settimeout(30)
            assert connection.recv(1) == b""
