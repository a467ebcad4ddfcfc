"""Answers of the Bot API that are too slow or of another shape are errors of Telegram, for every method."""

import asyncio
import gzip
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
import trustme
from telegram.error import NetworkError, TelegramError, TimedOut
from telegram.ext import ExtBot

from bot.delivery import request as requests
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


HEAD = b"HTTP/1.1 200 OK\r\n"
ANSWER = b'{"ok":true,"result":true}'
LENGTH = b"Content-Length: 25\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n5\r\n%s\r\n14\r\n%s\r\n0\r\n\r\n"


@asynccontextmanager
async def a_server(
    answer: bytes, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that sends these bytes for each request; gives its address and the requests by connection."""
    received: list[bytes] = []
    serving: list[tuple[asyncio.Task[None], asyncio.StreamWriter]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = len(received)
        received.append(b"")
        serving.append((cast("asyncio.Task[None]", asyncio.current_task()), writer))
        while part := await reader.read(2**16):
            received[number] += part
            writer.write(answer)
            if b"close" in answer or LENGTH not in answer or answer.endswith(b"{"):
                break
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", ssl=tls)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}/bot", received
    finally:
        server.close()
        for task, writer in serving:
            writer.transport.abort()
            await asyncio.wait([task])


@pytest.mark.parametrize(
    ("answer", "connections"),
    [
        (HEAD + LENGTH + b"\r\n" + ANSWER, 1),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + LENGTH + b"\r\n" + ANSWER, 1),
        (HEAD + LENGTH + b"Connection: close\r\n\r\n" + ANSWER, 3),
        (HEAD + LENGTH + b"\r\n" + ANSWER + b"more", 3),
        (HEAD + CHUNKED % (ANSWER[:5], ANSWER[5:]), 3),
        (HEAD + b"\r\n" + ANSWER, 3),
    ],
)  # fmt: skip
async def test_a_connection_is_used_again_unless_its_server_ends_it(answer: bytes, connections: int) -> None:
    async with a_server(answer) as (address, received), TelegramRequest() as request:
        for _ in range(3):
            assert await request.post(f"http://{address}/x") is True
            await asyncio.sleep(0.01)  # until the server has closed it
        assert len(received) == connections


async def test_a_connection_that_was_idle_for_long_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "IDLE_SECONDS", -1.0)
    async with (
        a_server(HEAD + LENGTH + b"\r\n" + ANSWER) as (address, received),
        TelegramRequest() as request,
    ):
        for _ in range(3):
            await request.post(f"http://{address}/x")
        assert len(received) == 3


@pytest.mark.parametrize(
    "answer", [b"", HEAD + LENGTH + b"\r\n{", b"SSH-2.0\r\n\r\n", HEAD + b"A: " + b"a" * 2**18]
)
async def test_an_answer_that_breaks_off_leaves_the_outcome_unknown(answer: bytes) -> None:
    async with a_server(answer) as (address, _), TelegramRequest() as request:
        with pytest.raises(NetworkError, match=r"^httpx\.RemoteProtocolError") as caught:
            await request.post(f"http://{address}/x")
        assert classify(caught.value) is ErrorClass.UNKNOWN


async def test_a_request_that_finds_no_connection_was_not_sent() -> None:
    request = TelegramRequest(connection_pool_size=1, read_timeout=9, pool_timeout=0.05)
    async with a_server(LENGTH) as (address, received), request:
        first = asyncio.create_task(request.post(f"http://{address}/x"))
        with pytest.raises(TimedOut) as late:
            await asyncio.gather(*[request.post(f"http://{address}/x") for _ in range(2)])
        assert classify(late.value) is ErrorClass.LATER
        assert len(received) == 1
        await request.shutdown()  # which ends what is under way
        with pytest.raises(NetworkError) as cut:
            await first
        assert classify(cut.value) is ErrorClass.UNKNOWN
    with pytest.raises(NetworkError) as refused:
        async with request:
            await request.post(f"http://{address}/x")
    assert classify(refused.value) is ErrorClass.LATER


async def test_the_certificate_of_a_server_is_checked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    async with a_server(HEAD + LENGTH + b"\r\n" + ANSWER, context) as (address, received):
        async with TelegramRequest() as request:
            with pytest.raises(NetworkError, match="CERTIFICATE_VERIFY_FAILED") as caught:
                await request.post(f"https://{address}/x")
            assert classify(caught.value) is ErrorClass.LATER
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        async with TelegramRequest() as request:
            for _ in range(2):
                assert await request.post(f"https://{address}/x") is True
        assert len(received) == 1


async def test_a_proxy_is_used_where_the_environment_names_one(monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_server(HEAD + LENGTH + b"\r\n" + ANSWER) as (address, received):
        monkeypatch.setenv("http_proxy", f"http://{address.removesuffix('/bot')}")
        async with TelegramRequest() as request:
            assert await request.post("http://api.example.com/x") is True
        assert received[0].startswith(b"POST http://api.example.com/x HTTP/1.1\r\n")
