"""Run one cycle, `check`, in ever less memory: python -m tests.memory.

It fetches files, judges, and sends to the fake Bot API, under RLIMIT_AS. With each size it must work, or end
with one sentence and exit code 1; then the bot goes on without a limit. Exit code 1 unless nothing is lost.
"""

import asyncio
import datetime as dt
import logging
import resource
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.fakes.botapi import FakeBotApi
from tests.fakes.website import Website, page
from tests.faults.cycle import CHATS, LAST, OWNER, Source, prepare
from tests.jobs.desk import FIRST, Desk, sessions
from tests.place import PATIENCE, ROOT, Place
from tests.powerloss.scenes import life

SIZES = (*range(40, 200, 20), *range(200, 400, 10), 500, 800, 1_500)  # MB; about 250 are enough


def serve(site: Website) -> None:
    """Serve the prices of the cycle."""
    days = [day for day in sessions(FIRST, 30) if day <= LAST]
    for ticker in ("IWM", "SPY"):
        lines = [f"{day},{Source().close(ticker, dt.datetime.fromisoformat(day))}" for day in days]
        site.pages[f"/{ticker}"] = page("\n".join(["Date,Close", *lines]), Content_Type="text/csv")


async def check(folder: Path, now: dt.datetime, megabytes: int) -> tuple[int | None, str]:
    """The exit code of `check` with so much address space, and what it printed."""
    limit = megabytes << 20
    config = folder / "config.toml"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot", "check", "--config", str(config), "--now", now.isoformat()),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    try:
        async with asyncio.timeout(PATIENCE):
            out, err = await process.communicate()
    except TimeoutError:
        process.kill()
        return None, "it hangs"
    return process.returncode, (out if process.returncode == 0 else err).decode(errors="replace").strip()


async def sized(folder: Path, now: dt.datetime, site: str, megabytes: int) -> tuple[str, list[str]]:
    """How a cycle in so much memory ends, and what is wrong with that or with what follows."""
    async with FakeBotApi() as api:
        for chat_id in (*CHATS, OWNER):
            api.chat(chat_id)
        place = Place(folder, api)
        access, sources = f'mode = "open"\nowner = {OWNER}', f'yahoo = false\ndaily_csv = "{site}/{{ticker}}"'
        place.configure(access=access, sources=sources)
        shutil.copy(folder / "template.db", place.database)
        code, words = await check(folder, now, megabytes)
        told = [(message.chat_id, message.text) for message in api.history.values()]
    lines = words.splitlines() or [""]
    wrong = [] if code == 0 or (code, len(lines)) == (1, 1) else [f"exit code {code}: {lines[0]} … {lines[-1]}"]
    desk = Desk(place.database)
    desk.now, desk.services.live = now, True
    wrong += await life(desk, told)
    desk.database.close()
    return "worked" if code == 0 else lines[-1], wrong


async def main() -> int:
    """Try each size and print."""
    logging.disable(logging.CRITICAL)
    ends, count = Counter[str](), 0
    with tempfile.TemporaryDirectory(prefix="memory-") as name, Website() as site:
        serve(site)
        now = await prepare(Path(name) / "template.db")
        for megabytes in map(int, sys.argv[1:] or SIZES):
            end, problems = await sized(Path(name), now, site.address, megabytes)
            ends[end] += 1
            count += len(problems)
            print(f"{megabytes} MB: {'; '.join(problems) or end}", flush=True)  # noqa: T201 - the command's voice
    print(*(f"{number} × {end}" for end, number in ends.most_common()), f"problems: {count}", sep="\n")  # noqa: T201 - as above
    return int(count > 0)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
