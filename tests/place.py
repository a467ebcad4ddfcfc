"""A folder with a configuration and the fake Bot API behind it, and a bot at work there."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bot import app, serving
from bot.config import Config
from bot.local.botapi import ApiMessage
from storage.database import open_database
from tests.fakes.botapi import FakeBotApi

ROOT = Path(__file__).parents[1]
ME, OWNER = 42, 7
PATIENCE = 60.0  # seconds for what takes two on an idle machine


class Running:
    """One process of the bot."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self._read = asyncio.create_task(process.communicate())

    async def ended(self) -> tuple[int | None, str]:
        """Exit code and all that was printed."""
        async with asyncio.timeout(PATIENCE):
            out, err = await self._read
        return self.process.returncode, (out + err).decode()

    async def stopped(self) -> tuple[int | None, str, float]:
        """The same after SIGTERM, and the seconds that it took."""
        began = asyncio.get_running_loop().time()
        self.process.send_signal(signal.SIGTERM)
        code, said = await self.ended()
        return code, said, asyncio.get_running_loop().time() - began


@dataclass
class Place:
    """A folder with a configuration, and what is run there."""

    folder: Path
    api: FakeBotApi

    @property
    def database(self) -> Path:
        return self.folder / "bot.db"

    def configure(self, token: str | None = None, **lines: str) -> Path:
        """Write the configuration; `lines` replace whole sections."""
        sections = {
            "telegram": f'token = "{token or self.api.token}"\nbase_url = "{self.api.root}"',
            "storage": 'database = "bot.db"',
            "access": f"users = [{ME}]",
            "sources": "yahoo = false",
            "issuer": "fetch = false",
            **lines,
        }
        path = self.folder / "config.toml"
        path.write_text("".join(f"[{name}]\n{text}\n" for name, text in sections.items()))
        path.chmod(0o600)
        return path

    @asynccontextmanager
    async def run(self, *start: str) -> AsyncIterator[Running]:
        """The bot as a person starts it (or by other words); ended with the block at the latest."""
        environment = {key: value for key, value in os.environ.items() if key != "TELEGRAM_BOT_TOKEN"}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, *(start or ("-m", "bot")), "run"),
            *("--config", str(self.folder / "config.toml")),
            cwd=ROOT,
            env={**environment, "PYTHONWARNINGS": "default"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        running = Running(process)
        try:
            yield running
        finally:
            if process.returncode is None:
                process.kill()
            await running.ended()

    async def answer(self, text: str, beginning: str) -> ApiMessage:
        """The bot's message that begins so, after a line was typed."""
        before = self.api.last_message_id
        self.api.say(ME, text)
        return await self.api.wait_for_message(
            lambda m: m.message_id > before and m.text.startswith(beginning), PATIENCE
        )


@asynccontextmanager
async def at_work(
    place: Place, before_load: Callable[[], object] = lambda: None
) -> AsyncIterator[tuple[serving.Bot, asyncio.Task[str]]]:
    """The bot in this process, as `run` serves it; `before_load` is called in the thread that loads it."""
    config = Config().with_keys(
        telegram={"token": place.api.token, "base_url": place.api.root},
        storage={"database": place.database},
        access={"mode": "open", "owner": OWNER},
        sources={"yahoo": False},
        issuer={"fetch": False},
    )
    with open_database(place.database) as database:
        link = serving.link_to_telegram(config, database)
        bot = app.telegram_bot(link)

        def load() -> serving.Bot:
            before_load()
            return bot

        task = asyncio.create_task(serving.serve(link, load))
        try:
            yield bot, task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def told_to_stop(task: asyncio.Task[str], number: signal.Signals = signal.SIGTERM) -> str:
    """What serving ends with after a signal."""
    os.kill(os.getpid(), number)
    async with asyncio.timeout(PATIENCE):
        return await task
