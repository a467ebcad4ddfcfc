"""Cut the power at each sync of a cycle, a backup, a restore and more: python -m tests.powerloss.

Every write is recorded by a preload library that `cc` compiles. Each state that a power cut may leave is
made in a folder of its own and opened; after the cycle the bot goes on with it. Exit code 1 unless nothing
is lost. Names of scenes (see scenes.py) limit it to them.
"""

import asyncio
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import msgspec

from tests.powerloss.disk import Recorded, events, states
from tests.powerloss.scenes import SCENES, Judge

ROOT = Path(__file__).parents[2]


def compiled(folder: Path) -> Path | None:
    """The preload library, or None where no compiler makes one."""
    library, source = folder / "recorder.so", Path(__file__).with_name("recorder.c")
    command = ["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"]
    try:
        subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - the system's compiler
    except (OSError, subprocess.CalledProcessError):
        return None
    return library


def recorded(folder: Path, library: Path, names: list[str]) -> list[Recorded]:
    """The scenes, played in a process of their own."""
    environment = {**os.environ, "LD_PRELOAD": str(library), "POWERLOSS_LOG": str(folder / "log")}
    command = [sys.executable, "-m", "tests.powerloss.scenes", str(folder), *names]
    subprocess.run(command, check=True, cwd=ROOT, env=environment)  # noqa: S603 - this program
    files = [folder / f"{name}.record" for name in names]
    return [msgspec.msgpack.decode(file.read_bytes(), type=Recorded) for file in files]


async def judged(folder: Path, scene: Recorded, judge: Judge) -> tuple[int, list[str]]:
    """The number of states of a scene, and what is wrong with them."""
    count, problems, place = 0, list[str](), folder / "state"
    root = folder / scene.name
    for count, state in enumerate(states(scene), 1):
        state.write(root, place)
        try:
            wrong = await judge.problems(scene.name, place, state)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a problem of this state
            wrong = [repr(error)]
        problems += [f"cut at byte {state.cut}, state {count}: {problem}" for problem in wrong]
        shutil.rmtree(place)
    return count, problems


def main() -> int:
    """Record, cut, judge and print."""
    logging.disable(logging.CRITICAL)
    names = sys.argv[1:] or list(SCENES)
    with tempfile.TemporaryDirectory(prefix="powerloss-") as name:
        folder, wrong = Path(name), 0
        library = compiled(folder)
        if library is None:
            print("There is no C compiler “cc” that makes preload libraries; install one, e.g. gcc.")  # noqa: T201 - the command's voice
            return 1
        for scene in recorded(folder, library, names):
            judge, kinds = Judge(), Counter(kind for kind, *_ in events(scene.record))
            count, problems = asyncio.run(judged(folder, scene, judge))
            wrong += len(problems)
            for problem in problems[:10]:
                print(f"  {problem}")  # noqa: T201 - as above
            print(  # noqa: T201 - as above
                f"{scene.name}: {kinds['W']} writes, {kinds['S']} syncs, {len(scene.told)} messages, "
                f"{count:,} states after a power cut, "
                f"{judge.lives} lives after it, {len(problems)} problems",
                flush=True,
            )
    print(f"problems: {wrong}")  # noqa: T201 - as above
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
