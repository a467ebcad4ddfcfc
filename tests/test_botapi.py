"""The Bot API on loopback: polls, tokens, faults and the controls of tests, with the real client."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from telegram import InlineKeyboardButton, InlineKeyboardMarkup
from telegram.error import Conflict, Forbidden, InvalidToken, NetworkError, RetryAfter, TelegramError, TimedOut
from telegram.ext import ExtBot

from tests.fakes.botapi import FakeBotApi
from tests.fakes.botapi_faults import Fault, bad_gateway, drop, flood, garbled, hang, refusal, server_error

ME, GROUP = 42, -100200

# RetryAfter warns at construction unless this is set; bot.delivery.rate_limiter sets it for the program.
os.environ.setdefault("PTB_TIMEDELTA", "true")


@pytest.fixture
async def api() -> AsyncIterator[FakeBotApi]:
    async with FakeBotApi() as server:
        server.chat(ME)
        yield server


@pytest.fixture
async def bot(api: FakeBotApi) -> AsyncIterator[ExtBot[None]]:
    async with api.client() as connected:
        yield connected


def keyboard(data: str = "a:1") -> InlineKeyboardMarkup:
    return InlineKeyboardMarkup([[InlineKeyboardButton("Off", callback_data=data)]])


async def test_a_message_is_stored_with_its_buttons_and_topic(api: FakeBotApi, bot: ExtBot[None]) -> None:
    api.say(GROUP, "hello", user_id=7, thread_id=3)
    sent = await bot.send_message(
        GROUP,
        "<b>IWM</b> &lt; S&amp;P",
        parse_mode="HTML",
        reply_markup=keyboard(),
        message_thread_id=3,
        disable_notification=True,
    )
    (stored,) = api.messages(GROUP)
    assert (stored.text, stored.html) == ("IWM < S&P", "<b>IWM</b> &lt; S&amp;P")
    assert (stored.buttons, stored.thread_id, stored.silent) == ([[("Off", "a:1")]], 3, True)
    assert sent.message_id == stored.message_id
    assert [(e.type, e.offset, e.length) for e in sent.entities] == [("bold", 0, 3)]
    assert api.calls("sendMessage", GROUP)[0].status == 200


async def test_a_long_poll_answers_as_soon_as_something_is_said(api: FakeBotApi, bot: ExtBot[None]) -> None:
    poll = asyncio.create_task(bot.get_updates(timeout=1))
    await api.until(lambda: api.calls("getUpdates"))
    api.say(ME, "/compare@small_large_bot 6m")
    (update,) = await poll
    assert update.message
    assert [(e.type, e.length) for e in update.message.entities] == [("bot_command", 24)]


async def test_a_second_poller_ends_the_first_with_409(api: FakeBotApi, bot: ExtBot[None]) -> None:
    async with api.client() as other:
        first = asyncio.create_task(bot.get_updates(timeout=1))
        await api.until(lambda: api.calls("getUpdates"))
        await other.get_updates()
        with pytest.raises(Conflict, match=r"^Conflict: terminated by other getUpdates request"):
            await first


async def test_a_wrong_token_is_401_and_a_malformed_one_404(api: FakeBotApi, bot: ExtBot[None]) -> None:
    for token, answer in ((f"1:{'A' * 35}", "Unauthorized"), ("rubbish", "Not Found")):
        with pytest.raises(InvalidToken, match=answer):
            await ExtBot(token, base_url=api.base_url, request=bot.request).send_message(ME, "x")


@pytest.mark.parametrize(
    ("fault", "kind", "text", "arrived"),
    [
        (refusal(403, "Forbidden: user is deactivated"), Forbidden, "user is deactivated", 0),
        (flood(7), RetryAfter, "Flood control exceeded", 0),
        (server_error(500), NetworkError, "Internal Server Error", 0),
        (server_error(503, acts=True), NetworkError, "Service Unavailable", 1),
        (bad_gateway(), NetworkError, r"Bad Gateway \(502\)", 0),
        (garbled(), TelegramError, "Invalid server response", 1),
        (hang(), TimedOut, "Timed out", 0),
        (hang(acts=True), TimedOut, "Timed out", 1),
        (drop(), NetworkError, "httpx.RemoteProtocolError", 0),
        (drop(acts=True), NetworkError, "httpx.RemoteProtocolError", 1),
    ],
)
async def test_a_scripted_fault_strikes_once_in_its_chat(
    api: FakeBotApi, bot: ExtBot[None], fault: Fault, kind: type[TelegramError], text: str, arrived: int
) -> None:
    api.chat(43)
    api.fail("sendMessage", fault, chat_id=ME)
    await bot.send_message(43, "not meant")
    with pytest.raises(kind, match=text):
        await bot.send_message(ME, "first", read_timeout=0.3 if fault.hangs else 10)
    assert len(api.messages(ME)) == arrived
    await bot.send_message(ME, "second")
    assert len(api.messages(ME)) == arrived + 1


async def test_a_button_that_is_not_there_cannot_be_pressed(api: FakeBotApi, bot: ExtBot[None]) -> None:
    sent = await bot.send_message(ME, "x", reply_markup=keyboard())
    with pytest.raises(LookupError, match=r"^message 1 has no button 'b:2', only \[\[\('Off', 'a:1'\)\]\]$"):
        api.press(sent.message_id, "b:2")


async def test_waiting_in_vain_names_the_last_messages(api: FakeBotApi, bot: ExtBot[None]) -> None:
    await bot.send_message(ME, "something else")
    expected = r"^not seen in 0.01 s; the last messages are \['something else'\]$"
    with pytest.raises(AssertionError, match=expected):
        await api.wait_for_message(lambda m: "IWM" in m.text, 0.01)


async def test_it_can_be_started_by_hand() -> None:
    root = Path(__file__).parents[1]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.fakes.botapi", "--port", "0"),
        cwd=root,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin
    assert process.stdout
    async with asyncio.timeout(20):
        head = (await process.stdout.readuntil(b"_bot\n")).decode()
        match = re.search(r"base_url = '(.*)'\ntoken    = '(.*)'", head)
        assert match
        async with ExtBot(match[2], base_url=f"{match[1]}/bot") as bot:
            process.stdin.write(b"/start\n")
            assert [u.message and u.message.text for u in await bot.get_updates(timeout=5)] == ["/start"]
            await bot.send_message(ME, "hello", reply_markup=keyboard())
            shown = await process.stdout.readuntil(b"]\n")
        assert shown.decode().endswith("hello\n[Off = a:1]\n")
        process.stdin.close()
        assert await process.wait() == 0
