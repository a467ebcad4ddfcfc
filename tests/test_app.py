"""`python -m bot run` as a process of its own, against the fake Bot API; and the drain within it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bot.analytics.sessions import Sessions
from bot.data.files import store
from storage.db import open_database
from tests.fakes.botapi import FakeBotApi
from tests.fakes.botapi_faults import refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bot.data.provider import Observations
    from tests.fakes.botapi_world import Message

ROOT = Path(__file__).parents[1]
ME = 42
PATIENCE = 30.0  # seconds for what takes two on an idle machine
NOBODY = "http://127.0.0.1:9"  # the discard port: nobody listens there


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

    async def stopped(self, number: signal.Signals = signal.SIGTERM) -> tuple[int | None, str, float]:
        """The same after a signal, and the seconds that it took."""
        began = asyncio.get_running_loop().time()
        self.process.send_signal(number)
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
            **lines,
        }
        path = self.folder / "config.toml"
        path.write_text("".join(f"[{name}]\n{text}\n" for name, text in sections.items()))
        return path

    @asynccontextmanager
    async def run(self) -> AsyncIterator[Running]:
        """The bot as a person starts it; ended with the block at the latest."""
        environment = {key: value for key, value in os.environ.items() if key != "TELEGRAM_BOT_TOKEN"}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bot", "run", "--config", str(self.folder / "config.toml")),
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

    async def answer(self, text: str, beginning: str) -> Message:
        """The bot's message that begins so, after a line was typed."""
        before = self.api.world.last_message
        self.api.say(ME, text)
        return await self.api.wait_for_message(
            lambda m: m.message_id > before and m.text.startswith(beginning), PATIENCE
        )


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with FakeBotApi() as api:
        api.chat(ME)
        made = Place(tmp_path, api)
        made.configure()
        yield made


def market(count: int, last_ratio: float = 0.5) -> Observations:
    """Bars of both funds up to `count` sessions before the last completed one, IWM at half of SPY's price."""
    sessions = Sessions()
    completed = sessions.index[sessions.index <= sessions.last_completed(datetime.now(UTC))]
    days = completed[-262:][: 262 - count].strftime("%Y-%m-%d")
    rows = []
    for place, day in enumerate(days):
        large = 300.0 + place % 7
        ratio = last_ratio if day == days[-1] else 0.5
        for ticker, close in (("IWM", ratio * large), ("SPY", large)):
            bar = dict.fromkeys(("open", "high", "low", "close"), close)
            rows.append({"ticker": ticker, "session": day, **bar, "volume": 1_000, "provisional": 0})
    return {"bars": rows}


def fill(path: Path, rows: Observations) -> None:
    """Store made-up prices as an import would."""
    with open_database(path) as database:
        now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        database.run_sync(lambda db: store(db, rows, source="csv", observed_at=now))


async def test_someone_asks_subscribes_and_is_pushed_a_message_by_the_next_process(place: Place) -> None:
    fill(place.database, market(1))
    async with place.run() as bot:
        compared = await place.answer("/compare", "IWM and SPY · close of ")
        assert "Price return" in compared.text
        await place.api.wait_for_message(lambda m: m.photo, PATIENCE)
        created = await place.answer("/alert ratio > 0.6", "Alert #1 ratio > 0.6")
        assert "16.67% below" in created.text
        await place.answer("/start abc", "Small caps against large caps")
        commands = place.api.world.commands["default//"]
        assert {"compare", "alert", "summary"} <= {command["command"] for command in commands}

        async with place.run() as second:
            code, said = await second.ended()
        assert code == 1
        assert f"using {place.database}; stop it first" in said
        assert "Traceback" not in said

        code, said, seconds = await bot.stopped()
    assert code == 0, said
    assert seconds < 10
    assert secret(place) not in said

    fill(place.database, market(0, last_ratio=0.65))
    async with place.run() as bot:
        pushed = await place.api.wait_for_message(lambda m: m.text.startswith("Alert #1 fired"), PATIENCE)
        assert "0.6500" in pushed.text
        place.api.press(pushed.message_id, "r/alert 1 why", ME)
        await place.api.wait_for_message(lambda m: m.text.startswith("Why #1 fired"), PATIENCE)
        code, said, seconds = await bot.stopped(signal.SIGINT)
    assert code == 0, said
    assert seconds < 10
    assert len([m for m in place.api.messages(ME) if m.text.startswith("Alert #1 fired")]) == 1
    assert_no_secret(place, said)


async def test_a_second_poller_of_the_token_ends_the_first_with_a_sentence(place: Place) -> None:
    place.api.fail("getUpdates", refusal(409, "Conflict: terminated by other getUpdates request"))
    async with place.run() as bot:
        code, said = await bot.ended()
    assert code == 1
    assert said.endswith(
        "error: Another process polls Telegram with this token. One bot, one process: stop the other first.\n"
    )
    assert "Traceback" not in said
    assert_no_secret(place, said)


async def test_a_token_that_telegram_refuses_is_said_and_not_shown(place: Place) -> None:
    place.configure(token=place.api.token.replace("AAF", "AAX"))
    async with place.run() as bot:
        code, said = await bot.ended()
    assert (code, said) == (1, "error: Telegram refuses this token; ask @BotFather for a valid one.\n")


async def test_every_problem_of_the_configuration_is_said_at_once(place: Place) -> None:
    token = place.folder / "token"
    token.write_text(place.api.token)
    token.chmod(0o644)
    place.configure(
        telegram='token_file = "token"',
        access='mode = "all"',
        time='timezone = "Mars"',
        storage="databse = 3",
    )
    async with place.run() as bot:
        code, said = await bot.ended()
    assert code == 2
    assert said.splitlines() == [
        "config: [access] mode: must be one of: allowlist, open",
        "config: [time] timezone: “Mars” is not a time zone name such as America/New_York",
        "config: [storage] databse: unknown key; did you mean database?",
        f"config: [telegram] token_file: others may read {token}; run chmod 600 on it",
    ]
    assert not place.database.exists()


def secret(place: Place) -> str:
    return place.api.token.partition(":")[2]


def assert_no_secret(place: Place, said: str) -> None:
    """The token stands neither in what was printed nor in any file but the configuration."""
    assert secret(place) not in said
    files = [file for file in place.folder.rglob("*") if file.is_file() and file.name != "config.toml"]
    assert files
    for file in files:
        assert secret(place).encode() not in file.read_bytes(), file
