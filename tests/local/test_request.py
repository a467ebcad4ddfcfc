"""A real python-telegram-bot client on a Bot API in this process."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import httpx
import pytest
from telegram import InputFile
from telegram.error import BadRequest, NetworkError
from telegram.ext import ExtBot

from bot.local.botapi import BotApi, Upload
from bot.local.terminal import LocalRequest, NoRateLimiter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


ADA, BERT = 7, 8


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)


@pytest.fixture
def api() -> BotApi:
    api = BotApi()
    for chat_id in (ADA, BERT):
        api.chat(chat_id)
    return api


@pytest.fixture
async def bot(api: BotApi) -> AsyncIterator[ExtBot[int]]:
    request = LocalRequest(api)
    async with ExtBot(
        "0:local", request=request, get_updates_request=request, rate_limiter=NoRateLimiter()
    ) as client:
        yield client


async def test_each_chat_gets_its_own_messages(api: BotApi, bot: ExtBot[int]) -> None:
    assert bot.username == "small_large_bot"
    await bot.send_message(ADA, "hello Ada")
    await bot.send_message(BERT, "hello Bert", rate_limit_args=1)
    assert {message.chat_id: message.text for message in api.history.values()} == {
        ADA: "hello Ada",
        BERT: "hello Bert",
    }


async def test_an_upload_keeps_its_name(api: BotApi, bot: ExtBot[int]) -> None:
    sent = await bot.send_document(ADA, InputFile(b"{}", filename="export.json"))
    assert sent.document is not None
    assert sent.document.file_name == "export.json"
    assert api.files[sent.document.file_id].content == b"{}"


async def test_a_chat_that_is_not_open_fails_like_a_connection_that_cannot_be_made(
    api: BotApi, bot: ExtBot[int]
) -> None:
    with pytest.raises(NetworkError, match="chat 42 is not open here") as failure:
        await bot.send_message(42, "not for you")
    assert type(failure.value) is NetworkError
    assert isinstance(failure.value.__cause__, httpx.ConnectError)
    assert api.history == {}


async def test_updates_are_fetched_without_waiting(api: BotApi, bot: ExtBot[int]) -> None:
    assert await bot.get_updates(timeout=60) == ()
    api.say(ADA, "/start")
    assert [update.message and update.message.text for update in await bot.get_updates()] == ["/start"]


async def test_the_oldest_messages_files_and_queries_are_forgotten(api: BotApi, bot: ExtBot[int]) -> None:
    for number in range(api.message_limit + 10):
        message = api.add_message(api.chat(ADA), text=f"message {number}")
        api.send_callback_data(message, "a", ADA)
        api.store_file("document", Upload("a.txt", str(number).encode()))
    assert len(api.history) == api.message_limit
    assert (len(api.files), len(api.callback_queries)) == (api.file_limit, api.query_limit)
    assert await bot.edit_message_text("edited", ADA, message.message_id)
    with pytest.raises(BadRequest, match="Message to edit not found"):
        await bot.edit_message_text("edited", ADA, 1)
