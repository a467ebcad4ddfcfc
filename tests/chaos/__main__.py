"""Kill the bot again and again, and count: python -m tests.chaos --kills 500.

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

from tests.chaos.judge import judged
from tests.chaos.story import chaos


async def _run(kills: int, seed: int) -> bool:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        async with chaos(Path(folder), seed) as run:
            await run.run(kills)
            counts = judged(run)
    for count in counts:
        print(count)  # noqa: T201 - the command's voice
    print(f"{time.monotonic() - began:.0f} s, seed {seed}")  # noqa: T201 - as above
    return all(count.good for count in counts)


def main() -> int:
    """Run and report."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    return 0 if asyncio.run(_run(given.kills, given.seed)) else 1


if __name__ == "__main__":
    sys.exit(main())
