"""Runs the mutants that mutmut made, from one warm process: see docs/mutation.md.

    python -m benchmarks.mutants [--again] [NAME ...]

`mutmut run` collects all tests again for each mutant. Here they are collected once, and each mutant is a
fork that runs the tests which enter its function, those that noticed another mutant first, then the quick
ones, until one fails. Properties try few examples, and look for no smaller one when they fail. What survives
is for --again: all tests of alerts and jobs, each mutant in a new process that imports the modules with it.
"""

from __future__ import annotations

import argparse
import fnmatch
import gc
import json
import os
import resource
import subprocess
import sys
import time
from itertools import zip_longest
from pathlib import Path

import pytest
from _pytest.runner import runtestprotocol
from hypothesis import Phase, settings

TESTS = ["tests/alerts", "tests/jobs/test_fast_path.py"]
PYTEST = ["-q", "-n0", "-p", "no:cacheprovider"]
LEAST, TIMES = 5, 4  # a mutant may take so many seconds of CPU, and this multiple of what its tests take
SURVIVED, NOTICED, NO_TESTS, TIMEOUT = 0, 1, 33, 36  # mutmut's exit codes


class Results:
    """What mutmut keeps: each mutant's result, and the tests that enter its function."""

    def __init__(self) -> None:
        stats = json.loads(Path("mutmut-stats.json").read_text(encoding="utf-8"))
        self._tests: dict[str, list[str]] = stats["tests_by_mangled_function_name"]
        self._metas = {path: json.loads(path.read_text(encoding="utf-8")) for path in Path().rglob("*.py.meta")}

    def mutants(self, patterns: list[str], codes: set[int | None]) -> list[str]:
        """Names that a pattern matches, of mutants with one of these results."""
        return [
            name
            for _, meta in sorted(self._metas.items())
            for name, code in meta["exit_code_by_key"].items()
            if code in codes and any(fnmatch.fnmatch(name, pattern) for pattern in patterns or ["*"])
        ]

    def tests(self, name: str) -> set[str]:
        """Ids of the tests that enter the function."""
        return set(self._tests.get(name.partition("__mutmut_")[0], ()))

    def record(self, name: str, code: int) -> None:
        """Write a result where `mutmut results` reads it."""
        for path, meta in self._metas.items():
            if name in meta["exit_code_by_key"]:
                meta["exit_code_by_key"][name] = code
                path.write_text(json.dumps(meta, indent=4), encoding="utf-8")
        sys.stderr.write(f"{name}: {code}\n")


class Forks:
    """A plugin of pytest that runs mutants instead of tests."""

    def __init__(self, results: Results, names: list[str]) -> None:
        self._results, self._names = results, names
        self._seconds: dict[str, float] = {}

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """All tests once without a mutant, then each mutant."""
        if failing := self._failing(session.items):
            raise pytest.UsageError(f"{failing} fails without a mutant")
        items = sorted(session.items, key=lambda item: self._seconds[item.nodeid])
        gc.collect()
        gc.freeze()
        for name in self._names:
            entering = self._results.tests(name)
            code, noticing = self._fork(name, [item for item in items if item.nodeid in entering])
            items.sort(key=lambda item: item.nodeid != noticing)
            self._results.record(name, code)
        return True

    def _fork(self, name: str, items: list[pytest.Item]) -> tuple[int, str]:
        """The result of a mutant, and the test that noticed it."""
        reading, writing = os.pipe()
        if not (child := os.fork()):
            limit = int(LEAST + TIMES * sum(self._seconds[item.nodeid] for item in items))
            resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
            os.environ["MUTANT_UNDER_TEST"] = name
            noticing = self._failing(items)
            os.write(writing, noticing.encode())
            os._exit(NOTICED if noticing else SURVIVED if items else NO_TESTS)
        os.close(writing)
        with os.fdopen(reading, encoding="utf-8") as pipe:
            noticing = pipe.read()
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return (TIMEOUT if code < 0 else code), noticing

    def _failing(self, items: list[pytest.Item]) -> str:
        """The first test that fails, "" if none does."""
        for item, following in zip_longest(items, items[1:]):
            began = time.process_time()
            reports = runtestprotocol(item, log=False, nextitem=following)
            self._seconds[item.nodeid] = time.process_time() - began
            if any(report.failed for report in reports):
                return item.nodeid
        return ""


def main() -> None:
    """Run the mutants whose names match a pattern and that have no result yet, or that survived."""
    parser = argparse.ArgumentParser(description="Runs the mutants that mutmut made.")
    parser.add_argument("--again", action="store_true", help="those that survived, on more tests")
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    os.chdir("mutants")
    sys.path.insert(0, "")
    results = Results()
    if arguments.again:
        for name in results.mutants(arguments.names, {SURVIVED, NO_TESTS}):
            command = [sys.executable, "-m", "pytest", "-x", *PYTEST, *TESTS, "tests/jobs"]
            environment = os.environ | {"MUTANT_UNDER_TEST": name}
            code = subprocess.run(command, env=environment, capture_output=True, check=False).returncode  # noqa: S603 - our own interpreter
            results.record(name, NOTICED if code else SURVIVED)
        return
    phases = [Phase.explicit, Phase.generate]
    quick = {"max_examples": 5, "deadline": None, "derandomize": True, "database": None, "phases": phases}
    settings.register_profile("mutants", **quick)  # type: ignore[arg-type]
    options = ["--hypothesis-profile=mutants", "--assert=plain", "--tb=native", *PYTEST, *TESTS]
    raise SystemExit(pytest.main(options, plugins=[Forks(results, results.mutants(arguments.names, {None}))]))


if __name__ == "__main__":
    main()
