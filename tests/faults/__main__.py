"""A disk that fails and a file that is damaged.

python -m tests.faults              the disk fails at the n-th write of a cycle, for all n
python -m tests.faults --bits 1000  so many copies of a database with one flipped bit each
"""

import argparse
import asyncio
import logging
import sys
import tempfile
from pathlib import Path

from tests.faults.bits import sweep
from tests.faults.cycle import cycle, prepare
from tests.faults.disk import KINDS


async def _sweep(folder: Path) -> int:
    template, wrong = folder / "template.db", 0
    now = await prepare(template)
    for kind in KINDS:
        number, struck = 0, 1
        while struck:
            number += 1
            result = await cycle(template, now, folder / "bot.db", kind, number)
            struck, wrong = result.struck, wrong + len(result.problems)
            for problem in result.problems:
                print(f"{kind}, from write {number} on: {problem}")  # noqa: T201 - the command's voice
        print(f"{kind}: {number - 1} writes of a cycle, each failed at")  # noqa: T201 - as above
    print(f"problems: {wrong}")  # noqa: T201 - as above
    return int(wrong > 0)


def main() -> int:
    """Run the sweep; exit code 1 when something is lost, doubled, broken or not told."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bits", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        if options.bits:
            named, problems = sweep(options.bits, Path(folder), options.seed)
            lines = (*problems, f"{options.bits} copies: {named} named, the others right")
            print("\n".join((*lines, f"problems: {len(problems)}")))  # noqa: T201 - the command's voice
            return int(bool(problems))
        return asyncio.run(_sweep(Path(folder)))


if __name__ == "__main__":
    sys.exit(main())
