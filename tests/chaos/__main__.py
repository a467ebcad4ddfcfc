"""Kill the bot again and again, and count: python -m tests.chaos --kills 500.

First one evaluate-and-send cycle is killed before each writing statement, in order, to the last, each time
from the same beginning (--statements: this alone). Then the bot lives through session after session, and is
killed so many times: before a writing statement, at random, when a message comes in at the server, and
before it is answered; meanwhile updates are delivered again and sends fail.

What the kills cost, summaries given up and copies marked, is at most what stood between a slot of the send
budget and the answer at each kill: the chats of the slots granted, less the requests that the server saw.

Each life is a real `run`: Application, poller, scheduler, SQLite file, against the fake Bot API. Killed is
with SIGKILL. Exit code 1 unless all holds.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from tests.chaos.judge import Count, judged
from tests.chaos.statements import sweep
from tests.chaos.story import chaos


async def _swept(every: int) -> list[Count]:
    """A kill at each statement of one cycle."""
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        return await sweep(Path(folder), every)


async def _killed(kills: int, seed: int) -> list[Count]:
    """So many kills, at everything in turn."""
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        async with chaos(Path(folder), seed) as run:
            await run.run(kills)
            return judged(run)


def _told(title: str, work: Coroutine[Any, Any, list[Count]]) -> bool:
    """Do it and print the counts; whether all are good."""
    began = time.monotonic()
    counts = asyncio.run(work)
    print(title, *counts, f"{time.monotonic() - began:.0f} s", sep="\n", flush=True)  # noqa: T201 - the command's voice
    return all(count.good for count in counts)


def main() -> int:
    """Run and report."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--statements", action="store_true", help="die at each statement of one cycle, no more")
    parser.add_argument("--every", type=int, default=1, help="of the cycle's statements each n-th only")
    options = parser.parse_args()
    good = _told("-- One cycle, killed at its statements in turn", _swept(options.every))
    if not options.statements:
        title = f"-- Killed {options.kills} times, session after session (seed {options.seed})"
        good &= _told(title, _killed(options.kills, options.seed))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
