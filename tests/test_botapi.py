"""The fake Bot API refuses what Telegram refuses, spoken to by the real client."""

from __future__ import annotations

import asyncio
import io
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from telegram import BotCommand, InlineKeyboardButton, InlineKeyboardMarkup, InputMediaPhoto, ReplyParameters
from telegram.error import (
    BadRequest,
    ChatMigrated,
    Conflict,
    Forbidden,
    InvalidToken,
    NetworkError,
    RetryAfter,
    TelegramError,
    TimedOut,
)
from telegram.ext import ApplicationBuilder, CallbackQueryHandler, CommandHandler, ExtBot
from telegram.request import HTTPXRequest

from tests.fakes.botapi import ANONYMOUS_ADMIN, FakeBotApi
from tests.fakes.botapi_faults import bad_gateway, drop, flood, garbled, hang, refusal, server_error
from tests.fakes.botapi_html import Refused, parse_html
from tests.fakes.pictures import png

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from telegram import Update
    from telegram.ext import ContextTypes

    from tests.fakes.botapi_faults import Fault

ME, GROUP = 42, -100200

# RetryAfter warns at construction unless this is set; bot.ratelimit sets it for the program.
os.environ.setdefault("PTB_TIMEDELTA", "true")


@pytest.fixture
async def api() -> AsyncIterator[FakeBotApi]:
    async with FakeBotApi() as server:
        server.chat(ME)
        yield server


def client(api: FakeBotApi) -> ExtBot[None]:
    def request() -> HTTPXRequest:
        return HTTPXRequest(read_timeout=10, connect_timeout=10, pool_timeout=10)

    return ExtBot(
        api.token,
        base_url=api.base_url,
        base_file_url=api.base_file_url,
        request=request(),
        get_updates_request=request(),
    )


@pytest.fixture
async def bot(api: FakeBotApi) -> AsyncIterator[ExtBot[None]]:
    async with client(api) as made:
        yield made


def keyboard(data: str = "a:1") -> InlineKeyboardMarkup:
    return InlineKeyboardMarkup([[InlineKeyboardButton("Off", callback_data=data)]])


async def test_a_message_is_stored_parsed_with_its_buttons_and_topic(
    api: FakeBotApi, bot: ExtBot[None]
) -> None:
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


@pytest.mark.parametrize(
    ("html", "reason"),
    [
        ("<b>x", 'Can\'t find end tag corresponding to start tag "b"'),
        ("x</b>", "Unexpected end tag at byte offset 1"),
        ("<b><i>x</b></i>", 'Unmatched end tag at byte offset 7, expected "</i>", found "</b>"'),
        ("é<div>x</div>", 'Unsupported start tag "div" at byte offset 2'),
        ("a < b", "Unclosed start tag at byte offset 2"),
        ("a < b > c", 'Unsupported start tag "" at byte offset 2'),
        ("S&P", 'Unescaped "&" at byte offset 1'),
        ("a&nbsp;b", 'Unescaped "&" at byte offset 1'),
        ('<span class="x">y</span>', 'Tag "span" must have class "tg-spoiler" at byte offset 0'),
        ("<pre><b>y</b></pre>", 'Tag "b" inside "pre" at byte offset 5'),
    ],
)
async def test_broken_html_is_refused(api: FakeBotApi, bot: ExtBot[None], html: str, reason: str) -> None:
    with pytest.raises(BadRequest) as refused:
        await bot.send_message(ME, html, parse_mode="HTML")
    assert refused.value.message.lower() == f"can't parse entities: {reason}".lower()
    assert api.messages(ME) == []


@pytest.mark.parametrize(
    ("html", "plain", "entities"),
    [
        ("<b>a<i>b</i></b>", "ab", [("bold", 0, 2), ("italic", 1, 1)]),
        (
            "<u>a</u><s>b</s><code>c</code>",
            "abc",
            [("underline", 0, 1), ("strikethrough", 1, 1), ("code", 2, 1)],
        ),
        ('<a href="https://x.y/?a=1&amp;b=2">go</a>', "go", [("text_link", 0, 2)]),
        ('<pre><code class="language-text">t</code></pre>', "t", [("pre", 0, 1), ("code", 0, 1)]),
        ("<blockquote expandable>q</blockquote>", "q", [("blockquote", 0, 1)]),
        ("<tg-spoiler>\U0001f600</tg-spoiler>!", "\U0001f600!", [("spoiler", 0, 2)]),
        ("&#8722;1 &quot;&gt;", '−1 ">', []),
        ("<b></b>x", "x", []),
    ],
)
def test_html_becomes_text_and_entities(html: str, plain: str, entities: list[tuple[str, int, int]]) -> None:
    text, found = parse_html(html)
    assert text == plain
    assert [(e["type"], e["offset"], e["length"]) for e in found] == entities


def test_a_link_keeps_its_unescaped_address() -> None:
    assert parse_html('<a href="https://x.y/?a=1&amp;b=2">go</a>')[1][0]["url"] == "https://x.y/?a=1&b=2"


async def test_length_counts_after_parsing(bot: ExtBot[None]) -> None:
    await bot.send_message(ME, f"<b>{'x' * 4096}</b>", parse_mode="HTML")
    with pytest.raises(BadRequest, match=r"^Message is too long$"):
        await bot.send_message(ME, "x" * 4097)
    with pytest.raises(BadRequest, match=r"^Message is too long$"):
        await bot.send_message(ME, "\U0001f600" * 2049)
    with pytest.raises(BadRequest, match=r"^Message caption is too long$"):
        await bot.send_photo(ME, png(), caption="x" * 1025)
    for empty in ("", " \n", "<b> </b>"):
        with pytest.raises(BadRequest, match=r"^Message text is empty$"):
            await bot.send_message(ME, empty, parse_mode="HTML")


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (lambda bot: bot.send_message(99, "x"), "Chat not found"),
        (lambda bot: bot.send_message(ME, "x", message_thread_id=9), "Message thread not found"),
        (lambda bot: bot.send_message(ME, "x", reply_markup=keyboard("é" * 33)), "Button_data_invalid"),
        (lambda bot: bot.send_message(ME, "x", api_kwargs={"colour": 1}), None),
        (
            lambda bot: bot.send_message(ME, "x", reply_parameters=ReplyParameters(77)),
            "Message to be replied not found",
        ),
        (lambda bot: bot.send_photo(ME, b"GIF89a..."), "Image_process_failed"),
        (lambda bot: bot.send_photo(ME, png(2100, 100)), "Photo_invalid_dimensions"),
        (lambda bot: bot.send_photo(ME, "no-such-id"), "Wrong file identifier/http url specified"),
        (lambda bot: bot.edit_message_text("x", ME, 77), "Message to edit not found"),
        (lambda bot: bot.delete_message(ME, 77), "Message to delete not found"),
        (
            lambda bot: bot.answer_callback_query("12"),
            "Query is too old and response timeout expired or query id is invalid",
        ),
        (lambda bot: bot.set_my_commands([BotCommand("Compare", "x")]), "Bot_command_invalid"),
        (lambda bot: bot.set_my_commands([BotCommand("compare", "")]), "Bot_command_description_invalid"),
        (lambda bot: bot.send_chat_action(ME, "dance"), "Wrong parameter action in request"),
        (lambda bot: bot.get_chat_member(ME, 99), "Member not found"),
        (
            lambda bot: bot.get_chat_administrators(ME),
            "There are no administrators in the private chat",
        ),
        (lambda bot: bot.get_file("no-such-id"), "Invalid file_id"),
    ],
)
async def test_what_telegram_refuses_is_refused(
    bot: ExtBot[None], act: Callable[[ExtBot[None]], Awaitable[Any]], reason: str | None
) -> None:
    with pytest.raises(BadRequest) as refused:
        await act(bot)
    assert refused.value.message == (reason or 'Method sendmessage has no argument "colour"')


async def test_edits_change_the_message_and_are_refused_when_they_change_nothing(
    api: FakeBotApi, bot: ExtBot[None]
) -> None:
    sent = await bot.send_message(ME, "one", reply_markup=keyboard())
    await bot.edit_message_text("two", ME, sent.message_id, reply_markup=keyboard())
    for again in (
        bot.edit_message_text("<b></b>two", ME, sent.message_id, parse_mode="HTML", reply_markup=keyboard()),
        bot.edit_message_reply_markup(ME, sent.message_id, reply_markup=keyboard()),
    ):
        with pytest.raises(BadRequest, match="Message is not modified: specified new message content"):
            await again
    await bot.edit_message_reply_markup(ME, sent.message_id)
    (stored,) = api.messages(ME)
    assert (stored.text, stored.buttons, stored.edits) == ("two", [], 2)
    with pytest.raises(BadRequest, match="There is no caption in the message to edit"):
        await bot.edit_message_caption(ME, sent.message_id, caption="x")
    await bot.delete_message(ME, sent.message_id)
    assert api.messages(ME) == []


async def test_only_the_bots_own_messages_can_be_edited(api: FakeBotApi, bot: ExtBot[None]) -> None:
    said = api.say(ME, "mine")
    with pytest.raises(BadRequest, match="Message can't be edited"):
        await bot.edit_message_text("yours", ME, said.message_id)


async def test_a_photo_is_uploaded_sent_again_by_id_replaced_and_downloaded(
    api: FakeBotApi, bot: ExtBot[None]
) -> None:
    picture = png()
    sent = await bot.send_photo(ME, io.BytesIO(picture), caption="<i>ytd</i>", parse_mode="HTML")
    await bot.send_photo(ME, sent.photo[-1].file_id)
    first, second = api.messages(ME)
    assert (first.text, first.photo, second.photo) == ("ytd", sent.photo[-1].file_id, first.photo)
    media = InputMediaPhoto(png(80, 40), caption="1y")
    await bot.edit_message_media(media, ME, first.message_id, reply_markup=keyboard())
    assert (first.text, first.buttons) == ("1y", [[("Off", "a:1")]])
    assert first.photo != second.photo
    await bot.edit_message_caption(ME, first.message_id, caption="2y")
    with pytest.raises(BadRequest, match="There is no text in the message to edit"):
        await bot.edit_message_text("x", ME, first.message_id)
    file = await bot.get_file(second.photo or "")
    assert bytes(await file.download_as_bytearray()) == picture


async def test_updates_are_kept_until_an_offset_confirms_them(api: FakeBotApi, bot: ExtBot[None]) -> None:
    for word in ("a", "b", "c"):
        api.say(ME, word)
    first = await bot.get_updates(limit=2)
    assert [u.message and u.message.text for u in first] == ["a", "b"]
    assert [u.update_id for u in await bot.get_updates()][:2] == [u.update_id for u in first]
    rest = await bot.get_updates(offset=first[-1].update_id + 1)
    assert [u.message and u.message.text for u in rest] == ["c"]
    api.say(ME, "d")
    assert [u.message and u.message.text for u in await bot.get_updates(offset=-1)] == ["d"]
    assert len(await bot.get_updates()) == 1


async def test_a_long_poll_answers_as_soon_as_something_is_said(api: FakeBotApi, bot: ExtBot[None]) -> None:
    poll = asyncio.create_task(bot.get_updates(timeout=1))
    await api.until(lambda: api.calls("getUpdates"))
    api.say(ME, "/compare@small_large_bot 6m")
    (update,) = await poll
    assert update.message
    assert [(e.type, e.length) for e in update.message.entities] == [("bot_command", 24)]


async def test_a_second_poller_ends_the_first_with_409(api: FakeBotApi, bot: ExtBot[None]) -> None:
    async with client(api) as other:
        first = asyncio.create_task(bot.get_updates(timeout=1))
        await api.until(lambda: api.calls("getUpdates"))
        await other.get_updates()
        with pytest.raises(Conflict, match=r"^Conflict: terminated by other getUpdates request"):
            await first


async def test_a_wrong_token_is_401_a_malformed_one_and_an_unknown_method_404(
    api: FakeBotApi, bot: ExtBot[None]
) -> None:
    for token, answer in ((f"1:{'A' * 35}", "Unauthorized"), ("rubbish", "Not Found")):
        async with HTTPXRequest() as request:
            stranger = ExtBot(token, base_url=api.base_url, request=request, get_updates_request=request)
            with pytest.raises(InvalidToken, match=answer):
                await stranger.send_message(ME, "x")
    with pytest.raises(TelegramError, match="Endpoint 'sendLove' not found"):
        await bot.do_api_request("sendLove")


async def test_a_blocked_chat_refuses_until_unblocked_and_tells(api: FakeBotApi, bot: ExtBot[None]) -> None:
    api.block(ME)
    with pytest.raises(Forbidden, match=r"^Forbidden: bot was blocked by the user$"):
        await bot.send_message(ME, "x")
    api.unblock(ME)
    await bot.send_message(ME, "y")
    changes = [u.my_chat_member for u in await bot.get_updates()]
    assert [c and c.new_chat_member.status for c in changes] == ["kicked", "member"]


async def test_a_migrated_group_names_its_new_id(api: FakeBotApi, bot: ExtBot[None]) -> None:
    api.migrate(-5, GROUP)
    with pytest.raises(ChatMigrated) as moved:
        await bot.send_message(-5, "x")
    assert moved.value.new_chat_id == GROUP
    await bot.send_message(GROUP, "x")


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


async def test_a_fault_can_wait_for_its_turn_and_be_healed(api: FakeBotApi, bot: ExtBot[None]) -> None:
    api.fail("*", server_error(), after=1, times=5)
    await bot.send_message(ME, "spared")
    with pytest.raises(NetworkError):
        await bot.get_me()
    api.heal()
    assert (await bot.get_me()).username == "small_large_bot"


async def test_commands_are_kept_per_scope(bot: ExtBot[None]) -> None:
    await bot.set_my_commands([BotCommand("compare", "Compare both")])
    assert [c.command for c in await bot.get_my_commands()] == ["compare"]
    assert await bot.get_my_commands(language_code="de") == ()


async def test_members_have_the_status_they_were_given(api: FakeBotApi, bot: ExtBot[None]) -> None:
    api.chat(GROUP).members = {7: "creator", 8: "administrator", 9: "member"}
    assert [m.user.id for m in await bot.get_chat_administrators(GROUP)] == [7, 8]
    assert (await bot.get_chat_member(GROUP, 9)).status == "member"


async def test_an_anonymous_admin_speaks_as_the_group(api: FakeBotApi, bot: ExtBot[None]) -> None:
    api.say(GROUP, "/alerts", anonymous=True)
    (update,) = await bot.get_updates()
    assert update.message
    assert update.message.from_user
    assert update.message.from_user.id == ANONYMOUS_ADMIN
    assert update.message.sender_chat
    assert update.message.sender_chat.id == GROUP


async def test_a_button_that_is_not_there_cannot_be_pressed(api: FakeBotApi, bot: ExtBot[None]) -> None:
    sent = await bot.send_message(ME, "x", reply_markup=keyboard())
    with pytest.raises(
        AssertionError, match=r"^message 1 has no button 'b:2', only \[\[\('Off', 'a:1'\)\]\]$"
    ):
        api.press(sent.message_id, "b:2")


async def test_waiting_in_vain_names_the_last_messages(api: FakeBotApi, bot: ExtBot[None]) -> None:
    await bot.send_message(ME, "something else")
    expected = r"^not seen in 0.01 s; the last messages are \['something else'\]$"
    with pytest.raises(AssertionError, match=expected):
        await api.wait_for_message(lambda m: "IWM" in m.text, 0.01)


async def test_an_application_polls_answers_and_serves_buttons(api: FakeBotApi) -> None:
    async def greet(update: Update, _context: ContextTypes.DEFAULT_TYPE) -> None:
        assert update.effective_chat
        await update.effective_chat.send_message("hello", reply_markup=keyboard())

    async def pressed(update: Update, _context: ContextTypes.DEFAULT_TYPE) -> None:
        assert update.callback_query
        await update.callback_query.answer("done")
        await update.callback_query.edit_message_text("off")

    builder = ApplicationBuilder().token(api.token).base_url(api.base_url).job_queue(None)
    app = builder.build()
    app.add_handler(CommandHandler("start", greet))
    app.add_handler(CallbackQueryHandler(pressed))
    async with app:
        assert app.updater
        await app.updater.start_polling(timeout=1)
        await app.start()
        api.say(ME, "/start")
        message = await api.wait_for_message(lambda m: m.text == "hello")
        query = api.press(message.message_id, "a:1")
        await api.wait_for_message(lambda m: m.text == "off")
        assert (api.world.queries[query] or {})["text"] == "done"
        await app.updater.stop()
        await app.stop()


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
        found = re.search(r"base_url = '(.*)'\ntoken    = '(.*)'", head)
        assert found
        async with ExtBot(found[2], base_url=f"{found[1]}/bot") as bot:
            process.stdin.write(b"/start\n")
            assert [u.message and u.message.text for u in await bot.get_updates(timeout=5)] == ["/start"]
            await bot.send_message(ME, "hello", reply_markup=keyboard())
            shown = await process.stdout.readuntil(b"]\n")
        assert shown.decode().endswith("hello\n[Off = a:1]\n")
        process.stdin.close()
        assert await process.wait() == 0


def test_a_refusal_has_code_and_words() -> None:
    refused = Refused(404, "Not Found")
    assert (refused.code, str(refused), refused.parameters) == (404, "Not Found", None)
