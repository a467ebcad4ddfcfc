"""Project files and functions that one question and one fire of the demo enter.

    python -m benchmarks.entered [--files]

Runs the demo's story with a profiler on every thread and prints how many files of bot/ and storage/ are
entered, and how many of their functions are called, by its first `/compare` (which also reads the Market) and
by the session on which its alert fires (evaluating, storing, sending); with --files also which. A file that
is only imported does not count.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

from bot.cli import demo
from bot.config import Config
from bot.jobs.scheduler import Scheduler
from bot.local.terminal import converse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import CodeType, FrameType

    from bot.delivery.outcome import DrainReport
    from bot.jobs.scheduler import TickResult
    from bot.local.terminal import Terminal
    from bot.serving import App

ROOT = Path(__file__).parents[1]
PACKAGES = tuple(f"{ROOT / name}/" for name in ("bot", "storage"))


class CallRecorder:
    """Records which code of the project is called while it is switched on."""

    def __init__(self) -> None:
        self.codes: set[CodeType] = set()
        self.on = False

    def profile(self, frame: FrameType, event: str, _argument: object) -> None:
        """Note a call; for sys.setprofile and threading.setprofile."""
        if self.on and event == "call" and frame.f_code.co_filename.startswith(PACKAGES):
            self.codes.add(frame.f_code)

    @contextlib.contextmanager
    def recording(self) -> Iterator[set[CodeType]]:
        """Record the calls made inside the block into the set that it yields."""
        codes = self.codes = set()
        self.on = True
        try:
            yield codes
        finally:
            self.on = False


def entered_files(codes: set[CodeType]) -> list[str]:
    """Return the files, relative to the checkout, of which a function was called."""
    return sorted({str(Path(code.co_filename).relative_to(ROOT)) for code in codes if code.co_name != "<module>"})


def entered_functions(codes: set[CodeType]) -> int:
    """Return the number of named functions and methods that were called."""
    return sum(not code.co_name.startswith("<") for code in codes)


def trace_demo() -> dict[str, set[CodeType]]:
    """Play the demo's story. Returns the called code of its first /compare and of its fire."""
    recorder = CallRecorder()
    questions: dict[str, set[CodeType]] = {}
    fires: list[set[CodeType]] = []
    evaluate, drain = Scheduler.evaluate, Scheduler.drain

    async def traced_converse(
        application: App, terminal: Terminal, lines: tuple[str, ...], *, echo: Callable[[str], None]
    ) -> None:
        for line in lines:
            with recorder.recording() as codes:
                await converse(application, terminal, (line,), echo=echo)
            questions.setdefault(line.split()[0], codes)

    async def traced_evaluate(scheduler: Scheduler) -> TickResult:
        with recorder.recording() as codes:
            result = await evaluate(scheduler)
        if result.fires:
            fires.append(codes)
        return result

    async def traced_drain(scheduler: Scheduler) -> DrainReport:
        with recorder.recording() as codes:
            report = await drain(scheduler)
        if len(fires) == 1:
            fires[0] |= codes
        return report

    threading.setprofile(recorder.profile)
    sys.setprofile(recorder.profile)
    try:
        with (
            patch.object(demo, "converse", traced_converse),
            patch.object(Scheduler, "evaluate", traced_evaluate),
            patch.object(Scheduler, "drain", traced_drain),
            patch.object(sys, "stdin", io.StringIO()),
            patch.object(sys, "stdout", io.StringIO()),
            tempfile.TemporaryDirectory() as folder,
        ):
            demo.demo(Config(), database=None, now=None, out=Path(folder))
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return {"/compare": questions["/compare"], "a fire": fires[0]}


def main() -> None:
    """Print the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--files", action="store_true", help="name the files")
    arguments = parser.parse_args()
    for name, codes in trace_demo().items():
        files = entered_files(codes)
        print(f"{name}: {len(files)} files, {entered_functions(codes)} functions")
        if arguments.files:
            for file in files:
                names = {code.co_qualname for code in codes if code.co_filename.endswith(file)}
                print(f"  {file}: {', '.join(sorted(names))}")


if __name__ == "__main__":
    main()
