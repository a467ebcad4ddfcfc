"""`check` with a token: what waits for a Telegram chat goes out through the Bot API."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from storage import chats, outbox
from storage.db import open_database
from tests.cli.conftest import Result, process
from tests.fakes.botapi import FakeBotApi

if TYPE_CHECKING:
    from pathlib import Path

    import sqlite_utils

NOW = "2020-12-11T22:00:00Z"
CHAT = 42


def queue(path: Path) -> None:
    """One alert for a chat of Telegram."""
    payload = {"html": "<b>Alert #1 fired</b>", "plain": "Alert #1 fired", "buttons": [], "silent": False}

    def write(db: sqlite_utils.Database) -> None:
        chats.ensure_chat(db, CHAT, "private", "A reader", NOW)
        outbox.enqueue(db, chat_id=CHAT, kind="alert", dedup="alert:1", payload=payload, now=NOW)

    with open_database(path) as database:
        database.run_sync(write)


def configure(folder: Path, api: FakeBotApi, token: str) -> Path:
    config = folder / "config.toml"
    config.write_text(
        f'[telegram]\ntoken = "{token}"\nbase_url = "{api.root}"\n'
        '[storage]\ndatabase = "bot.db"\n[sources]\nyahoo = false\n',
        encoding="utf-8",
    )
    config.chmod(0o600)
    return config


async def check(config: Path, *more: str) -> Result:
    """The command in a process of its own, while the fake answers here."""
    return await asyncio.to_thread(process, "check", "--config", config, "--now", NOW, *more)


async def test_waiting_messages_are_sent_and_not_again(tmp_path: Path) -> None:
    queue(tmp_path / "bot.db")
    async with FakeBotApi() as api:
        api.chat(CHAT, "private")
        config = configure(tmp_path, api, api.token)
        kept = await check(config, "--offline")
        assert kept.out.splitlines()[-1] == "messages: 0 sent, 1 waiting for “run”"
        sent = await check(config)
        assert (sent.code, sent.err) == (0, "")
        assert sent.out.splitlines()[-1] == "messages: 1 sent, 0 waiting"
        assert [message.text for message in api.messages(CHAT)] == ["Alert #1 fired"]
        again = await check(config)
        assert again.out.splitlines()[-1] == "messages: 0 sent, 0 waiting"
        assert len(api.messages(CHAT)) == 1


async def test_a_refused_token_is_said_and_the_message_waits(tmp_path: Path) -> None:
    queue(tmp_path / "bot.db")
    async with FakeBotApi() as api:
        wrong = "1:" + "x" * 35
        said = await check(configure(tmp_path, api, wrong))
        assert "Telegram refuses this token; ask @BotFather for a valid one." in said.out.splitlines()
        assert said.out.splitlines()[-1] == "messages: 0 sent, 1 waiting for “run”"
        assert wrong not in said.out + said.err
