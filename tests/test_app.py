"""`python -m bot run` as a process of its own, against the fake Bot API; commands beside a running bot."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot import serving
from bot.analytics.sessions import Sessions
from bot.cli import main
from bot.config import Config
from bot.data.provider import Observations
from bot.data.store import store
from bot.jobs import scheduler
from storage.database import hold_lock, open_database
from storage.records import Bar
from tests.fakes.botapi_faults import refusal
from tests.place import ME, PATIENCE, Place, at_work, told_to_stop
from tests.titles import title_of


def market(count: int, last_ratio: float = 0.5) -> Observations:
    """Bars of both funds up to `count` sessions before the last completed one, IWM at half of SPY's price."""
    sessions = Sessions()
    completed = sessions.index[sessions.index <= sessions.last_completed(datetime.now(UTC))]
    days = completed[-262:][: 262 - count].strftime("%Y-%m-%d")
    rows: list[Bar] = []
    for place, day in enumerate(days):
        large = 300.0 + place % 7
        ratio = last_ratio if day == days[-1] else 0.5
        for ticker, close in (("IWM", ratio * large), ("SPY", large)):
            rows.append(Bar(ticker, day, close, open=close, high=close, low=close, volume=1_000))
    return {"bars": rows}


def fill(path: Path, rows: Observations) -> None:
    """Store made-up prices as an import would."""
    with open_database(path) as database:
        now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        database.run_sync(lambda db: store(db, rows, source="csv", observed_at=now))


async def test_one_process_answers_and_the_next_pushes_until_another_polls(place: Place) -> None:
    fill(place.database, market(1))
    async with place.run() as bot:
        compared = await place.answer("/compare", "Both moved alike · ")
        assert "Price return" in compared.text
        await place.api.wait_for_message(lambda m: m.photo, PATIENCE)
        created = await place.answer("/alert ratio > 0.6", "Alert #1 is set: IWM/SPY above 0.6.")
        assert "against 0.6 (−16.67%)" in created.text
        await place.answer("/start abc", "Small caps against large caps")
        commands = place.api.commands["default//"]
        assert {"compare", "alert", "summary"} <= {command["command"] for command in commands}

        code, said, seconds = await bot.stopped()
    assert code == 0, said
    assert seconds < 10

    fill(place.database, market(0, last_ratio=0.65))
    async with place.run() as bot:
        pushed = await place.api.wait_for_message(lambda m: title_of(m.text).startswith("#1 fired"), PATIENCE)
        assert "0.6500" in pushed.text
        place.api.press(pushed.message_id, "r/alert 1 why", ME)
        await place.api.wait_for_message(lambda m: m.text.startswith("Why #1 fired"), PATIENCE)
        assert len([m for m in place.api.messages(ME) if title_of(m.text).startswith("#1 fired")]) == 1
        place.api.fail("getUpdates", refusal(409, "Conflict: terminated by other getUpdates request"))
        code, said = await bot.ended()
    assert code == 1
    assert said.endswith(
        "error: Another process polls Telegram with this token. One bot, one process: stop the other first.\n"
    )
    assert "Traceback" not in said
    assert place.api.token.partition(":")[2] not in said


def write_files(bars: Sequence[Bar]) -> None:
    """A price file for each bar, as people download them."""
    for bar in bars:
        line = ",".join(str(getattr(bar, name)) for name in ("session", "open", "high", "low", "close", "volume"))
        Path(f"{bar.ticker}.csv").write_text(f"Date,Open,High,Low,Close,Volume\n{line}\n")


async def test_commands_work_beside_a_running_bot_which_sees_what_they_import(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(scheduler, "TICK_SECONDS", 0.2)
    monkeypatch.chdir(place.folder)
    fill(place.database, market(1))
    bars = market(0, last_ratio=0.53)["bars"][-2:]
    write_files(bars)

    async def command(*words: str) -> tuple[int, str]:
        capsys.readouterr()
        code = await asyncio.to_thread(main, [*words, "--config", "config.toml"])
        said = capsys.readouterr()
        assert said.err == ""
        return code, said.out

    with hold_lock(place.database):
        async with at_work(place) as (_, task):
            await place.answer("/alert ratio > 0.51", "Alert #1 is set: IWM/SPY above 0.51.")
            for ticker in ("IWM", "SPY"):
                assert (await command("import", "prices", f"{ticker}.csv", "--ticker", ticker))[0] == 0
            pushed = await place.api.wait_for_message(lambda m: title_of(m.text).startswith("#1 fired"), PATIENCE)
            assert "0.5300" in pushed.text
            assert await command("refresh") == (0, "No source is switched on; see [sources] in the config.\n")
            assert (await command("export", "prices", "out.csv", "--ticker", "IWM"))[0] == 0
            assert bars[0].session in (await asyncio.to_thread(Path("out.csv").read_text))
            assert (await command("backup", "copy.db"))[0] == 0
            assert "bot: running, last tick" in (await command("doctor", "--offline"))[1]
            assert await told_to_stop(task) == ""
    with open_database("copy.db", read_only=True) as copy:
        assert copy.run_sync(lambda db: db["alerts"].count) == 1


async def test_an_answer_of_telegram_is_waited_for_thirty_seconds(place: Place) -> None:
    with open_database(place.database) as database:
        config = Config().with_keys(telegram={"token": f"1:{'A' * 35}"}, storage={"database": place.database})
        link = serving.link_to_telegram(config, database)
    assert link.application.bot.request.read_timeout == 30
