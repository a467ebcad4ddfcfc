"""Kill the bot again and again, and count: python -m tests.chaos --kills 500.

With --statements it is one evaluate-and-send cycle, from the same beginning each time, that is killed once
before each writing statement, in order, to the last.

Each life is a real `run`: Application, poller, scheduler, SQLite file, against the fake Bot API. It is
killed with SIGKILL before each writing statement in turn, at random, when a message comes in at the server,
and before it is answered; meanwhile updates are delivered again and sends fail. Exit code 1 unless all holds.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.judge import Count, judged
from tests.chaos.statements import sweep
from tests.chaos.story import chaos


async def _killed(kills: int, seed: int) -> list[Count]:
    """So many kills, at everything in turn."""
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        async with chaos(Path(folder), seed) as run:
            await run.run(kills)
            return judged(run)


async def _swept(every: int) -> list[Count]:
    """A kill at each statement of one cycle."""
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        return await sweep(Path(folder), every)


def main() -> int:
    """Run and report."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--statements", action="store_true", help="die at each statement of one cycle")
    parser.add_argument("--every", type=int, default=1, help="with --statements: at each n-th only")
    given = parser.parse_args()
    began = time.monotonic()
    counts = asyncio.run(_swept(given.every) if given.statements else _killed(given.kills, given.seed))
    for count in counts:
        print(count)  # noqa: T201 - the command's voice
    print(f"{time.monotonic() - began:.0f} s, seed {given.seed}")  # noqa: T201 - as above
    return 0 if all(count.good for count in counts) else 1


if __name__ == "__main__":
    sys.exit(main())
