"""`python -m benchmarks`: one that fails is a row, and the table says what is met."""

from __future__ import annotations

import sys

import pytest

from benchmarks import __main__ as benchmarks
from benchmarks.results import Result


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (Result("a", 3.0, "ms", 1.5, peer=2.0), "| a | 3 ms | 2 ms | 1.50 | at most 1.5 times | met |"),
        (Result("a", 3.1, "ms", 1.5, peer=2.0), "| a | 3.1 ms | 2 ms | 1.55 | at most 1.5 times | NOT MET |"),
        (Result("a", 9.0, "ms", 10.0, at_least=True), "| a | 9 ms |  |  | at least 10 | NOT MET |"),
        (Result("a|b", 2400.4, "MB", note="old"), "| a/b (old) | 2,400 MB |  |  |  | stated |"),
    ],
)
def test_table_says_what_is_met(result: Result, words: str) -> None:
    assert words in benchmarks.table([result])


def test_benchmark_that_fails_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    (row,) = benchmarks.results_of("judging", quick=True)
    assert not row.holds
    assert "judging: FAILED, it ended with 1" in str(row)
