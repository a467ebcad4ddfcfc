"""`python -m bot run` as a process of its own, against the fake Bot API; and the drain within it."""

from __future__ import annotations

import asyncio
import os
import pkgutil
import signal
import sys
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bot import app, serving
from bot.analytics.sessions import Sessions
from bot.cli import main
from bot.config import Config
from bot.data.files import store
from bot.jobs import tick
from storage import chats, outbox, sources
from storage.connection import connect
from storage.db import DatabaseBroken, DiskFull, hold_lock, open_database
from tests.fakes.botapi import FakeBotApi
from tests.fakes.botapi_faults import bad_gateway, drop, hang, refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    import sqlite_utils

    from bot.data.provider import Observations
    from tests.fakes.botapi_world import Message

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


async def test_someone_asks_and_subscribes_and_the_next_process_pushes_until_another_polls(
    place: Place,
) -> None:
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
        assert len([m for m in place.api.messages(ME) if m.text.startswith("Alert #1 fired")]) == 1
        place.api.fail("getUpdates", refusal(409, "Conflict: terminated by other getUpdates request"))
        code, said = await bot.ended()
    assert code == 1
    assert said.endswith(
        "error: Another process polls Telegram with this token. One bot, one process: stop the other first.\n"
    )
    assert "Traceback" not in said
    assert_no_secret(place, said)


def write_files(bars: Sequence[dict[str, object]]) -> None:
    """A price file for each bar, as people download them."""
    for bar in bars:
        line = ",".join(str(bar[name]) for name in ("session", "open", "high", "low", "close", "volume"))
        Path(f"{bar['ticker']}.csv").write_text(f"Date,Open,High,Low,Close,Volume\n{line}\n")


async def test_commands_work_beside_a_running_bot_which_sees_what_they_import(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tick, "TICK_SECONDS", 0.2)
    monkeypatch.chdir(place.folder)
    fill(place.database, market(1))
    bars = market(0, last_ratio=0.65)["bars"][-2:]
    write_files(bars)

    async def command(*words: str) -> tuple[int, str]:
        capsys.readouterr()
        code = await asyncio.to_thread(main, [*words, "--config", "config.toml"])
        said = capsys.readouterr()
        assert said.err == ""
        return code, said.out

    with hold_lock(place.database):
        async with at_work(place) as (_, task):
            await place.answer("/alert ratio > 0.6", "Alert #1 ratio > 0.6")
            for ticker in ("IWM", "SPY"):
                assert (await command("import", "prices", f"{ticker}.csv", "--ticker", ticker))[0] == 0
            pushed = await place.api.wait_for_message(lambda m: m.text.startswith("Alert #1 fired"), PATIENCE)
            assert "0.6500" in pushed.text
            assert await command("refresh") == (0, "No source is switched on; see [sources] in the config.\n")
            assert (await command("export", "prices", "out.csv", "--ticker", "IWM"))[0] == 0
            assert bars[0]["session"] in (await asyncio.to_thread(Path("out.csv").read_text))
            assert (await command("backup", "copy.db"))[0] == 0
            assert "bot: running, last tick" in (await command("doctor", "--offline"))[1]
            assert await told_to_stop(task) == ""
    with open_database("copy.db", read_only=True) as copy:
        assert copy.run_sync(lambda db: db["alerts"].count) == 1


async def test_an_answer_of_telegram_is_waited_for_thirty_seconds(place: Place) -> None:
    with open_database(place.database) as database:
        bot = app.telegram_bot(Config(token=f"1:{'A' * 35}", database=place.database), database)
    assert bot.application.bot.request.read_timeout == 30


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


async def test_a_start_without_the_database_that_backups_are_of_names_the_newest(place: Place) -> None:
    folder = place.folder / "backups"
    await asyncio.to_thread(folder.mkdir)
    for day in ("2026-11-19", "2026-11-20"):
        await asyncio.to_thread((folder / f"bot-{day}.db").touch)
    async with place.run() as bot:
        assert (await place.answer("/about", "About")).text
        code, said, _ = await bot.stopped()
    assert code == 0
    assert said.partition(" WARNING bot.cli.operate: ")[2].splitlines()[0] == (
        f"there is no database at {place.database}, a new one begins; "
        f"“restore {folder / 'bot-2026-11-20.db'}” goes on with the newest backup"
    )


def secret(place: Place) -> str:
    return place.api.token.partition(":")[2]


def assert_no_secret(place: Place, said: str) -> None:
    """The token stands neither in what was printed nor in any file but the configuration."""
    assert secret(place) not in said
    files = [file for file in place.folder.rglob("*") if file.is_file() and file.name != "config.toml"]
    assert files
    for file in files:
        assert secret(place).encode() not in file.read_bytes(), file


@asynccontextmanager
async def at_work(place: Place) -> AsyncIterator[tuple[serving.Bot, asyncio.Task[str]]]:
    """The bot in this process, as `run` serves it."""
    config = Config(
        token=place.api.token,
        base_url=place.api.root,
        database=place.database,
        access="open",
        yahoo=False,
        owner=OWNER,
    )
    with open_database(place.database) as database:
        bot = app.telegram_bot(config, database)
        task = asyncio.create_task(serving.serve(bot))
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


async def test_a_pushed_message_that_hangs_is_cut_off_and_its_outcome_is_unknown(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(serving, "DRAIN_SECONDS", 0.1)
    place.api.fail("sendMessage", hang(acts=True))
    async with at_work(place) as (bot, task):
        await bot.services.database.run(queue)
        await place.api.until(lambda: place.api.calls("sendMessage"), PATIENCE)
        assert await told_to_stop(task) == ""
        (row,) = await bot.services.database.run(lambda db: list(db["outbox"].rows))
        assert row["status"] == "ambiguous"
    assert not [record for record in caplog.records if record.exc_info]
    assert "stopped with requests under way; the next start goes on with them" in caplog.text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_an_answer_under_way_is_finished_before_the_end(number: signal.Signals, place: Place) -> None:
    async with at_work(place) as (_, task):
        place.api.say(ME, "/about")
        await place.api.until(lambda: place.api.calls("sendMessage"), PATIENCE)
        assert await told_to_stop(task, number) == ""
    assert [message.text.splitlines()[0] for message in place.api.messages(ME)] == ["About"]
    assert place.api.world.updates == []


async def test_an_answer_that_hangs_does_not_hold_up_the_end(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "DRAIN_SECONDS", 0.1)
    place.api.fail("sendMessage", hang())
    async with at_work(place) as (_, task):
        place.api.say(ME, "/about")
        await place.api.until(lambda: place.api.calls("sendMessage"), PATIENCE)
        assert await told_to_stop(task) == ""


async def test_with_every_request_hanging_it_ends_within_ten_seconds(place: Place) -> None:
    async with at_work(place) as (bot, task):
        assert (await place.answer("/about", "About")).text
        for method in ("sendMessage", "sendChatAction", "getMe", "getUpdates"):
            place.api.fail(method, hang(), times=1_000)
        sent = len(place.api.calls("sendMessage"))
        await bot.services.database.run(queue)
        bot.delivery.wake()
        place.api.say(ME, "/status")
        await place.api.until(lambda: len(place.api.calls("sendMessage")) > sent, PATIENCE)
        began = asyncio.get_running_loop().time()
        assert await told_to_stop(task) == ""
        assert asyncio.get_running_loop().time() - began < 10


IMPATIENT = """
import sys
from bot import serving
from bot.cli import main
serving.LAST_SECONDS = 0.5
sys.exit(main())
"""


async def test_another_programs_lock_on_the_file_does_not_hold_up_the_end(place: Place) -> None:
    async with place.run("-c", IMPATIENT) as bot:
        assert (await place.answer("/about", "About")).text
        with closing(connect(place.database, read_only=False)) as other:
            other.execute("BEGIN IMMEDIATE")
            place.api.say(ME, "/start abc")
            await place.api.until(lambda: place.api.world.updates == [], PATIENCE)
            code, said, _ = await bot.stopped()
    assert code == 0
    assert said.endswith("stopped in the middle of the work; the next start goes on with it\n")


async def test_the_owners_menu_has_what_is_theirs_alone(place: Place) -> None:
    place.api.chat(OWNER)
    async with at_work(place) as (_, task):
        await place.api.until(lambda: len(place.api.calls("setMyCommands")) == 2, PATIENCE)
        assert await told_to_stop(task) == ""
    menus = place.api.world.commands
    everybody, owner = ({entry["command"] for entry in menus[key]} for key in ("default//", f"chat/{OWNER}/"))
    assert owner - everybody == {"admin"}


async def test_a_menu_that_telegram_does_not_take_stops_nothing(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    place.api.fail("setMyCommands", bad_gateway())
    async with at_work(place) as (_, task):
        assert (await place.answer("/about", "About")).text
        assert await told_to_stop(task) == ""
    assert "a menu of commands was not set: " in caplog.text


async def test_telegram_out_of_reach_at_the_start_is_waited_for(
    place: Place, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    rests: list[float] = []
    beats: list[datetime | None] = []

    async def rest(seconds: float) -> None:
        rests.append(seconds)
        with open_database(place.database, read_only=True) as beside:
            beats.append(await beside.run(sources.heartbeat))

    monkeypatch.setattr(serving, "_rest", rest)
    place.api.fail("getMe", drop(), times=3)
    async with at_work(place) as (_, task):
        assert (await place.answer("/about", "About")).text
        assert await told_to_stop(task) == ""
    assert rests == [1, 2, 4]
    assert all(beats)  # it is alive: a health check must not restart it for that
    assert f"{place.api.root} cannot be reached (" in caplog.text


async def test_told_to_stop_while_telegram_is_out_of_reach_it_ends(place: Place) -> None:
    place.api.fail("getMe", drop(), times=1_000)
    async with at_work(place) as (_, task):
        await place.api.until(lambda: place.api.calls("getMe"), PATIENCE)
        assert await told_to_stop(task) == ""


@pytest.mark.parametrize("step", ["bot.delivery.Delivery.recover", "bot.serving.close_doors"])
async def test_a_full_disk_at_the_start_is_waited_for_and_the_owner_told_once(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, step: str
) -> None:
    rests: list[float] = []
    real = pkgutil.resolve_name(step)

    async def rest(seconds: float) -> None:
        rests.append(seconds)

    async def full_at_first(*given: object, **named: object) -> object:
        if len(rests) < 3:
            raise DiskFull("The disk is full.")
        return await real(*given, **named)

    monkeypatch.setattr(serving, "_rest", rest)
    monkeypatch.setattr(step, full_at_first)
    place.api.chat(OWNER)
    async with at_work(place) as (_, task):
        assert (await place.answer("/about", "About")).text
        assert await told_to_stop(task) == ""
    assert rests == [1, 2, 4]
    (told,) = place.api.messages(OWNER)
    assert told.text == (
        "The disk is full. Nothing is lost: what is due waits, and the bot tries again twice a minute."
    )
    assert "The disk is full. Next try in 4 s" in caplog.text


async def test_a_fault_at_the_start_is_raised_after_all_is_put_away(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: object) -> int:
        raise DatabaseBroken("The database is damaged.")

    monkeypatch.setattr("bot.delivery.Delivery.recover", fail)
    async with at_work(place) as (bot, task):
        with pytest.raises(DatabaseBroken, match="The database is damaged"):
            await task
        assert not bot.application.running


async def test_what_cannot_be_put_away_is_logged_and_the_end_comes(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(_: object) -> None:
        raise DiskFull("The disk is full.")

    place.api.chat(OWNER)
    async with at_work(place) as (_, task):
        monkeypatch.setattr("bot.delivery.ledger.Ledger.flush", fail)
        assert (await place.answer("/about", "About")).text
        assert await told_to_stop(task) == ""
    assert "DiskFull: The disk is full." in caplog.text


def queue(db: sqlite_utils.Database) -> None:
    now = datetime.now(UTC)
    chats.ensure_chat(db, ME, "private", "Me", now)
    payload = {"html": "fired", "plain": "fired", "buttons": [], "silent": False}
    outbox.enqueue(db, chat_id=ME, kind="alert", dedup="alert:1", payload=payload, now=now)
