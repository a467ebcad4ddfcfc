"""Answers of the Bot API that are too slow or of another shape are errors of Telegram, for every method."""

import asyncio
import gzip
import sys
from dataclasses import replace

import pytest
from httpcore._synchronization import current_async_library
from telegram.error import NetworkError, TelegramError, TimedOut
from telegram.ext import ExtBot

from bot.delivery.outcome import ErrorClass, classify
from bot.delivery.request import TelegramRequest
from tests.fakes.botapi import FakeBotApi
from tests.fakes.botapi_faults import answer

METHODS = {
    "getMe": lambda bot: bot.get_me(),
    "sendMessage": lambda bot: bot.send_message(42, "x"),
    "getChatMember": lambda bot: bot.get_chat_member(-100, 42),
    "setMyCommands": lambda bot: bot.set_my_commands([("about", "About")]),
}
ODD = [b"[]", b"null", b'{"ok":true}', b'{"ok":false}', b"<p>", b"", b'{"ok":true,"result":', b"\x80" * 99]
ODD_OBJECTS = [b'{"ok":true,"result":%s}' % result for result in (b"null", b"[]", b"true", b"{}", b"[[]]")]


@pytest.mark.parametrize("method", METHODS)
async def test_an_answer_of_another_shape_leaves_the_outcome_unknown(method: str) -> None:
    bodies = ODD if method == "setMyCommands" else ODD + ODD_OBJECTS
    async with FakeBotApi() as api, TelegramRequest() as request:
        api.chat(42)
        api.chat(-100).members[42] = "member"
        bot = ExtBot(api.token, base_url=api.base_url, request=request, get_updates_request=request)
        for body in bodies:
            api.fail(method, answer(body))
            with pytest.raises(TelegramError, match="unreadable answer: ") as caught:
                await METHODS[method](bot)
            assert classify(caught.value) is ErrorClass.UNKNOWN
        assert await METHODS[method](bot)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 502])
async def test_a_refusal_by_a_proxy_blames_neither_the_chat_nor_the_token(status: int) -> None:
    async with FakeBotApi() as api, TelegramRequest() as request:
        api.chat(42)
        bot = ExtBot(api.token, base_url=api.base_url, request=request, get_updates_request=request)
        for body in (b"<html>Blocked", b"", b"[]", b'{"error":"blocked"}', b'{"ok":false,"description":1}'):
            api.fail("sendMessage", replace(answer(body), status=status))
            with pytest.raises(NetworkError, match=rf"\({status}\), not by the Bot API: ") as caught:
                await bot.send_message(42, "x")
            assert classify(caught.value) is ErrorClass.UNKNOWN


async def test_an_answer_that_drips_is_cut_off() -> None:
    request = TelegramRequest(read_timeout=0.1, write_timeout=0.1, connect_timeout=0.1, pool_timeout=0.1)
    async with FakeBotApi() as api, request, asyncio.timeout(5):
        api.fail("getMe", replace(answer(b" "), repeats=1000, pause=0.05))
        bot = ExtBot(api.token, base_url=api.base_url, request=request, get_updates_request=request)
        with pytest.raises(TimedOut):
            await bot.get_me()


@pytest.mark.parametrize(("times", "reason"), [(1, "longer than 16 MB"), (2, "compressed more than once")])
async def test_a_compressed_answer_is_bounded_by_what_it_unpacks_to(times: int, reason: str) -> None:
    body = b"[" * 2**26
    for _ in range(times):
        body = gzip.compress(body, compresslevel=1)
    encoding = f"text/html\r\nContent-Encoding: {', '.join(['gzip'] * times)}"
    async with FakeBotApi() as api, TelegramRequest() as request:
        api.fail("getMe", answer(body, encoding))
        bot = ExtBot(api.token, base_url=api.base_url, request=request, get_updates_request=request)
        with pytest.raises(NetworkError, match=reason):
            await bot.get_me()


def test_a_request_searches_for_no_package_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing:
        def find_spec(self, name: str, *_rest: object) -> None:
            raise AssertionError(f"{name} is searched for")

    current_async_library()  # imports what is installed
    monkeypatch.setattr(sys, "meta_path", [Refusing()])
    assert current_async_library() == "asyncio"
