"""Run all benchmarks, print their table and write benchmarks/RESULTS.md, with the machine and the versions.

    python -m benchmarks [--only NAME ...] [--quick]

Each runs in a process of its own, one after the other. One that fails, or takes longer than half an hour, is
a row that says so. A whole run writes RESULTS.md. Judge ratios where a machine does other work too.
"""

from __future__ import annotations

import argparse
import datetime as dt
import importlib
import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from benchmarks.results import Result, number
from storage.database import SQLITE_VERSION

NAMES = ("judging", "replies", "start", "compare", "fanout", "summaries", "sql")
RESULTS = Path(__file__).with_name("RESULTS.md")
LONGEST = 1800.0  # seconds
FAILED = "FAILED"
_COLUMNS = ("what", "figure", "peer", "ratio", "goal", "met")


def results_of(name: str, *, quick: bool) -> list[Result]:
    """Return the figures of one benchmark, run in a process of its own, or one row about its failure."""
    command = [sys.executable, "-m", "benchmarks", "--only", name, "--json", *(["--quick"] if quick else [])]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    with subprocess.Popen(  # noqa: S603 - our own program
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, start_new_session=True
    ) as process:
        try:
            output, errors = process.communicate(timeout=LONGEST)
        except subprocess.TimeoutExpired:
            return [_failure(name, f"it took longer than {LONGEST:.0f} s")]
        finally:  # what it has started and left
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    if process.returncode:
        lines = errors.decode(errors="replace").strip().splitlines()
        return [_failure(name, lines[-1] if lines else f"it ended with {process.returncode}")]
    return [Result(**row) for row in json.loads(output.splitlines()[-1])]


def _failure(name: str, reason: str) -> Result:
    return Result(f"{name}: {FAILED}, {reason}"[:200], float("nan"), "", 0.0)


def table(results: Sequence[Result]) -> str:
    """Return the figures as a table in Markdown."""
    rows = [_COLUMNS, ["---"] * len(_COLUMNS), *map(_cells, results)]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows) + "\n"


def _cells(result: Result) -> list[str]:
    peer = "" if result.peer is None else f"{number(result.peer)} {result.unit}"
    ratio = "" if result.ratio is None else f"{result.ratio:.2f}"
    name = f"{result.name} ({result.note})" if result.note else result.name
    return [name, f"{number(result.figure)} {result.unit}", peer, ratio, result.bound, result.verdict]


def machine() -> list[str]:
    """Return what the figures depend on: processor, load, and versions."""
    processor = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    loads = os.getloadavg()
    load = ", ".join(f"{value:.1f}" for value in loads)
    if max(loads) > (os.cpu_count() or 1):
        load += ": other work ran too, by which seconds are longer and only ratios say something"
    packages = ("python-telegram-bot", "pandas", "numpy", "matplotlib", "sqlite-utils")
    return [
        f"{os.cpu_count()} cores of {processor}; {platform.system()} {platform.release()}",
        f"load over 1, 5 and 15 minutes: {load}",
        f"Python {platform.python_version()}, SQLite {SQLITE_VERSION}, "
        + ", ".join(f"{package} {version(package)}" for package in packages),
    ]


def main() -> int:
    """Run what is asked for. Returns 1 if a goal is not met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", choices=NAMES, action="append", help="one benchmark; may be repeated")
    parser.add_argument("--quick", action="store_true", help="small ones, to see that they work")
    parser.add_argument("--json", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    names: Sequence[str] = options.only or NAMES
    if options.json:
        (name,) = names
        results = importlib.import_module(f"benchmarks.{name}").run(options.quick)
        print(json.dumps([asdict(result) for result in results]))
        return 0
    before, results = machine(), list[Result]()
    for name in names:
        print(f"\n{name}", flush=True)
        for result in results_of(name, quick=options.quick):
            print(result, flush=True)
            results.append(result)
        if not options.only and not options.quick:  # now, as an hour of figures may be broken off
            RESULTS.write_text(page(before, results))
    unmet = sum(not result.holds for result in results)
    print(f"\n{len(results) - unmet} of {len(results)} hold.")
    return 1 if unmet else 0


def page(about: Sequence[str], results: Sequence[Result]) -> str:
    """Return the contents of RESULTS.md."""
    lines = "\n".join(f"- {line}" for line in (f"{dt.datetime.now(dt.UTC):%Y-%m-%d}", *about))
    return f"# Figures of `python -m benchmarks`\n\n{lines}\n\n{table(results)}"


if __name__ == "__main__":
    raise SystemExit(main())
