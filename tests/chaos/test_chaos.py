"""A short run of the command; 500 kills are `python -m tests.chaos --kills 500`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_killed_eight_times_nothing_is_lost_and_every_repeat_is_marked() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos", "--kills", "8", "--seed", "3"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    counts = dict(line.rsplit(": ", 1) for line in done.stdout.splitlines() if ": " in line)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not [line for line in counts if line.startswith("FAIL")]
    assert counts["lost: not told"] == "0"
    assert int(counts["updates delivered again"]) > 0
    assert sum(int(count) for words, count in counts.items() if words.startswith("kills (")) == 8
