"""The Bot API played in the terminal, asked by a real python-telegram-bot Application."""

from __future__ import annotations

import datetime as dt
import socket
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from telegram import (
    ChatMemberOwner,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InputMediaPhoto,
    Message,
    ReplyKeyboardMarkup,
    Update,
)
from telegram.error import BadRequest, NetworkError
from telegram.ext import Application, ApplicationBuilder, CallbackQueryHandler, CommandHandler, ContextTypes

from bot.local import LocalTelegram, converse

App = Application[Any, Any, Any, Any, Any, Any]
Context = ContextTypes.DEFAULT_TYPE

NOON = dt.datetime(2020, 12, 14, 12, tzinfo=dt.UTC)
TABLE = "        IWM    SPY\n1m   +15.48  +9.61"
NOT_MODIFIED = (
    "Message is not modified: specified new message content and reply markup are exactly the same as a "
    "current content and reply markup of the message"
)


def png(width: int = 20, height: int = 10, body: bytes = b"") -> bytes:
    header = struct.pack(">I4sII5B", 13, b"IHDR", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + header + body


def keyboard(*rows: list[str]) -> InlineKeyboardMarkup:
    return InlineKeyboardMarkup(
        [[InlineKeyboardButton(x, callback_data=f"do:{x}") for x in row] for row in rows]
    )


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)


@pytest.fixture
def printed() -> list[str]:
    return []


@pytest.fixture
def telegram(printed: list[str], tmp_path: Path) -> LocalTelegram:
    return LocalTelegram(printed.append, tmp_path / "charts", lambda: NOON)


@pytest.fixture
async def app(telegram: LocalTelegram) -> AsyncIterator[App]:
    builder = ApplicationBuilder().token("0:local").request(telegram).get_updates_request(telegram)
    async with builder.updater(None).build() as application:
        yield application


async def test_typed_command_reaches_its_handler_and_the_reply_is_printed_plain(
    app: App, telegram: LocalTelegram, printed: list[str]
) -> None:
    async def compare(update: Update, context: Context) -> None:
        assert update.effective_message is not None
        assert context.args == ["6m"]
        reply = await update.effective_message.reply_html(f"<b>S&amp;P</b> 1 &lt; 2\n<pre>{TABLE}</pre>")
        assert reply.text == f"S&P 1 < 2\n{TABLE}"
        assert reply.date == NOON

    app.add_handler(CommandHandler("compare", compare))
    await converse(app, telegram, ["/compare@local_bot 6m"])
    assert printed == [f"S&P 1 < 2\n{TABLE}"]


async def test_text_without_parse_mode_is_printed_as_it_stands(app: App, printed: list[str]) -> None:
    await app.bot.send_message(1, "1 < 2 &amp; <b>")
    assert printed == ["1 < 2 &amp; <b>"]


async def test_buttons_are_listed_row_by_row_and_pressed_by_number(
    app: App, telegram: LocalTelegram, printed: list[str]
) -> None:
    async def pressed(update: Update, _: Context) -> None:
        assert update.callback_query is not None
        assert update.effective_user is not None
        assert update.effective_user.id == 1
        await update.callback_query.answer("One moment")
        await update.callback_query.edit_message_text(f"chosen {update.callback_query.data}")

    app.add_handler(CallbackQueryHandler(pressed))
    rows = keyboard(["6 months", "1 year"], ["All"])
    rows = InlineKeyboardMarkup([[InlineKeyboardButton("Site", url="https://x.test")], *rows.inline_keyboard])
    await app.bot.send_message(1, "How long?", reply_markup=rows)
    assert printed == ["How long?\n  Site: https://x.test\n  [1] 6 months   [2] 1 year\n  [3] All"]
    await converse(app, telegram, ["2"])
    assert printed[1:] == ["One moment", "chosen do:1 year"]


@pytest.mark.parametrize("typed", ["1", "[1]", " 1 "])
async def test_number_presses_the_keyboard_printed_last(
    app: App, telegram: LocalTelegram, typed: str
) -> None:
    await app.bot.send_message(1, "old", reply_markup=keyboard(["a"]))
    await app.bot.send_message(1, "new", reply_markup=keyboard(["b"]))
    await app.bot.send_message(1, "no buttons here")
    update = telegram.update_for(typed, app.bot)
    assert update is not None
    assert update.callback_query is not None
    assert update.callback_query.data == "do:b"
    assert isinstance(update.callback_query.message, Message)
    assert update.callback_query.message.text == "new"


@pytest.mark.parametrize(
    ("labels", "number", "sentence"),
    [
        ([], "1", "There is no button 1: no message with buttons is open."),
        (["a"], "[2]", "There is no button 2; type 1."),
        (["a", "b"], "0", "There is no button 0; type 1 to 2."),
    ],
)
async def test_unknown_button_gets_a_sentence_and_no_update(
    app: App, telegram: LocalTelegram, printed: list[str], labels: list[str], number: str, sentence: str
) -> None:
    await app.bot.send_message(1, "hello", reply_markup=keyboard(labels) if labels else None)
    assert telegram.update_for(number, app.bot) is None
    assert printed[1:] == [sentence]


async def test_buttons_taken_away_or_deleted_cannot_be_pressed(app: App, telegram: LocalTelegram) -> None:
    for close in ("edit", "delete"):
        message = await app.bot.send_message(1, "sure?", reply_markup=keyboard(["yes"]))
        assert telegram.update_for("1", app.bot) is not None
        await (message.edit_reply_markup(None) if close == "edit" else message.delete())
        assert telegram.update_for("1", app.bot) is None


async def test_changed_buttons_alone_are_printed_without_the_text(app: App, printed: list[str]) -> None:
    message = await app.bot.send_message(1, "hello", reply_markup=keyboard(["a"]))
    edited = await message.edit_reply_markup(keyboard(["b"]))
    assert printed[1:] == ["  [1] b"]
    assert isinstance(edited, Message)
    assert (edited.text, edited.edit_date) == ("hello", NOON)


async def test_other_keyboards_are_no_part_of_the_message(app: App, printed: list[str]) -> None:
    message = await app.bot.send_message(1, "hello", reply_markup=ReplyKeyboardMarkup([["a"]]))
    assert (message.reply_markup, printed) == (None, ["hello"])


async def test_picture_is_saved_and_its_path_printed(app: App, printed: list[str], tmp_path: Path) -> None:
    caption = "<b>6m</b> &amp; more"
    message = await app.bot.send_photo(1, png(), filename="compare.png", caption=caption, parse_mode="HTML")
    path = tmp_path / "charts" / "01-compare.png"
    assert path.read_bytes() == png()
    assert printed == [f"[picture] {path}\n6m & more"]
    assert (message.photo[0].width, message.photo[0].height, message.caption) == (20, 10, "6m & more")


async def test_picture_sent_again_by_file_id_has_the_same_path(app: App, printed: list[str]) -> None:
    first = await app.bot.send_photo(1, png(), filename="compare.png")
    await app.bot.send_photo(1, first.photo[-1].file_id, caption="again")
    assert printed[1] == f"{printed[0]}\nagain"


async def test_picture_replaces_the_one_in_a_message(app: App, printed: list[str], tmp_path: Path) -> None:
    message = await app.bot.send_photo(1, png(), filename="compare.png", caption="6m")
    media = InputMediaPhoto(png(body=b"2"), filename="Compare 1y.png", caption="<i>1y</i>", parse_mode="HTML")
    edited = await message.edit_media(media, reply_markup=keyboard(["a"]))
    assert isinstance(edited, Message)
    assert edited.caption == "1y"
    assert printed[1:] == [f"[picture] {tmp_path / 'charts' / '02-compare-1y.png'}\n1y\n  [1] a"]
    assert isinstance(edited := await message.edit_media(InputMediaPhoto(message.photo[0].file_id)), Message)
    assert (edited.caption, edited.reply_markup) == (None, None)
    assert printed[2:] == [f"[picture] {tmp_path / 'charts' / '01-compare.png'}"]


async def test_picture_takes_the_place_of_text_or_of_another_without_caption(app: App) -> None:
    message = await app.bot.send_message(1, "drawing")
    for body in (b"1", b"2"):
        edited = await message.edit_media(InputMediaPhoto(png(body=body)))
        assert isinstance(edited, Message)
        assert (edited.text, edited.photo[0].file_size) == (None, len(png(body=body)))


async def test_caption_is_edited_and_taken_away(app: App, printed: list[str]) -> None:
    message = await app.bot.send_photo(1, png(), caption="first words")
    assert isinstance(edited := await message.edit_caption("second"), Message)
    assert (edited.caption, edited.photo, printed[1:]) == ("second", message.photo, ["second"])
    assert isinstance(edited := await message.edit_caption(None), Message)
    assert edited.caption is None


async def test_document_is_saved_under_its_own_name(app: App, printed: list[str], tmp_path: Path) -> None:
    message = await app.bot.send_document(1, b"{}", filename="My export.json", caption="all of it")
    path = tmp_path / "charts" / "01-my-export.json"
    assert path.read_bytes() == b"{}"
    assert printed == [f"[file] {path}\nall of it"]
    assert message.document is not None
    await app.bot.send_document(1, message.document.file_id)
    assert printed[1:] == [f"[file] {path}"]


async def test_edit_prints_the_new_text_and_keeps_the_message_id(app: App, printed: list[str]) -> None:
    first = await app.bot.send_message(1, "working")
    second = await app.bot.send_message(1, "other")
    edited = await first.edit_text("<b>done</b>", parse_mode="HTML")
    assert isinstance(edited, Message)
    assert (edited.message_id, edited.text) == (first.message_id, "done")
    assert second.message_id > first.message_id
    assert printed == ["working", "other", "done"]


async def test_edit_that_changes_nothing_is_refused(app: App) -> None:
    text = await app.bot.send_message(1, "<b>a</b>", parse_mode="HTML", reply_markup=keyboard(["x"]))
    with pytest.raises(BadRequest) as refusal:
        await text.edit_text("<b>a</b>", parse_mode="HTML", reply_markup=keyboard(["x"]))
    assert str(refusal.value) == NOT_MODIFIED
    await text.edit_text("<i>a</i>", parse_mode="HTML", reply_markup=keyboard(["x"]))
    await text.edit_text("<i>a</i>", parse_mode="HTML", reply_markup=keyboard(["y"]))
    picture = await app.bot.send_photo(1, png())
    with pytest.raises(BadRequest, match="not modified"):
        await picture.edit_media(InputMediaPhoto(png()))


async def test_wrong_edits_are_refused_in_telegrams_words(app: App) -> None:
    text = await app.bot.send_message(1, "a")
    picture = await app.bot.send_photo(1, png())
    with pytest.raises(BadRequest, match=r"^There is no caption in the message to edit$"):
        await text.edit_caption("b")
    with pytest.raises(BadRequest, match=r"^There is no text in the message to edit$"):
        await picture.edit_text("b")
    with pytest.raises(BadRequest, match=r"^Message to edit not found$"):
        await app.bot.edit_message_text("b", 1, 999)
    with pytest.raises(BadRequest, match=r"^Message to delete not found$"):
        await app.bot.delete_message(1, 999)


async def test_text_over_the_limit_is_refused_and_nothing_printed(app: App, printed: list[str]) -> None:
    with pytest.raises(BadRequest, match=r"^Message is too long$"):
        await app.bot.send_message(1, "x" * 4097)
    with pytest.raises(BadRequest, match=r"^Message is too long$"):
        await app.bot.send_message(1, "😀" * 2049, parse_mode="HTML")
    with pytest.raises(BadRequest, match=r"^Message caption is too long$"):
        await app.bot.send_photo(1, png(), caption="x" * 1025)
    assert printed == []
    await app.bot.send_message(1, f"<b>{'x' * 4095}&lt;</b>", parse_mode="HTML")


async def test_what_telegram_refuses_is_refused(app: App, printed: list[str]) -> None:
    with pytest.raises(BadRequest, match=r"^Can't parse entities: unsupported start tag"):
        await app.bot.send_message(1, "1 <2", parse_mode="HTML")
    with pytest.raises(BadRequest, match=r"^Can't parse entities: can't find end tag"):
        await app.bot.send_photo(1, png(), caption="<b>x", parse_mode="HTML")
    with pytest.raises(BadRequest, match=r"^Message text is empty$"):
        await app.bot.send_message(1, "<b> </b>", parse_mode="HTML")
    with pytest.raises(BadRequest, match=r"^Button_data_invalid$"):
        await app.bot.send_message(1, "a", reply_markup=keyboard(["x" * 62]))
    with pytest.raises(BadRequest, match=r"^Wrong file identifier/http url specified$"):
        await app.bot.send_photo(1, "AgACAgIAAxk")
    with pytest.raises(BadRequest, match=r"^Image_process_failed$"):
        await app.bot.send_photo(1, b"not a picture")
    assert printed == []


async def test_another_chat_fails_like_a_connection_that_was_never_made(app: App, printed: list[str]) -> None:
    with pytest.raises(NetworkError, match="chat 42 cannot be reached from the terminal") as failure:
        await app.bot.send_message(42, "not for you")
    assert type(failure.value) is NetworkError
    assert isinstance(failure.value.__cause__, httpx.ConnectError)
    assert printed == []


async def test_questions_about_the_chat_are_answered_and_the_rest_agreed_to(
    app: App, printed: list[str]
) -> None:
    assert app.bot.username == "local_bot"
    assert isinstance(await app.bot.get_chat_member(1, 1), ChatMemberOwner)
    assert [admin.user.id for admin in await app.bot.get_chat_administrators(1)] == [1]
    assert (await app.bot.get_chat(1)).type == "private"
    assert await app.bot.get_updates() == ()
    assert await app.bot.get_my_commands() == ()
    assert await app.bot.set_my_commands([("help", "what it can do")])
    assert await app.bot.send_chat_action(1, "typing")
    assert await app.bot.answer_callback_query("1")
    assert printed == []


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("/alert ratio ≥ 1 😀", [(0, "/alert")]),
        ("😀é /help", [(4, "/help")]),
        ("/compare@local_bot 6m", [(0, "/compare@local_bot")]),
        ("1/2 and a/b, //x", []),
        ("/сравни", []),
        ("6 months", []),
    ],
)
async def test_commands_are_marked_in_utf16_offsets(
    app: App, telegram: LocalTelegram, line: str, found: list[tuple[int, str]]
) -> None:
    update = telegram.update_for(line, app.bot)
    assert update is not None
    assert update.message is not None
    assert update.message.text == line
    entities = update.message.parse_entities()
    assert [(entity.offset, text) for entity, text in entities.items()] == found
    assert {entity.type for entity in entities} <= {"bot_command"}


async def test_updates_come_from_the_person_and_ids_grow_from_run_to_run(
    app: App, telegram: LocalTelegram, printed: list[str]
) -> None:
    updates = [telegram.update_for("a", app.bot), telegram.update_for("b", app.bot)]
    later = LocalTelegram(printed.append, None, lambda: NOON, chat_id=5, user_id=6)
    updates.append(later.update_for("c"))
    ids = [update.update_id for update in updates if update]
    assert sorted(set(ids)) == ids
    assert updates[2] is not None
    assert updates[2].effective_chat is not None
    assert updates[2].effective_user is not None
    assert (updates[2].effective_chat.id, updates[2].effective_user.id) == (5, 6)
