"""The terminal's chat, with a real python-telegram-bot Application behind it."""

import asyncio
import datetime as dt
import io
import os
import pty
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from telegram import InlineKeyboardButton, InlineKeyboardMarkup, Message, ReplyKeyboardMarkup, Update
from telegram.ext import (
    Application,
    ApplicationBuilder,
    CallbackQueryHandler,
    CommandHandler,
    ContextTypes,
    MessageHandler,
    filters,
)

from bot.local.botapi import StoredFile
from bot.local.terminal import FileFolder, LocalRequest, Terminal, converse, printer, typed_lines
from tests.fakes.pictures import png

App = Application[Any, Any, Any, Any, Any, Any]
Context = ContextTypes.DEFAULT_TYPE

NOON = dt.datetime(2020, 12, 14, 12, tzinfo=dt.UTC)
WIDE = "x" * 300
TABLE = "        IWM    SPY\n1m   +15.48  +9.61"


def keyboard(*rows: list[str]) -> InlineKeyboardMarkup:
    return InlineKeyboardMarkup([[InlineKeyboardButton(x, callback_data=f"do:{x}") for x in row] for row in rows])


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
def terminal(printed: list[str], tmp_path: Path) -> Terminal:
    return Terminal(printed.append, tmp_path / "charts", lambda: NOON)


@pytest.fixture
async def app(terminal: Terminal) -> AsyncIterator[App]:
    request = LocalRequest(terminal.api)
    builder = ApplicationBuilder().token("0:local").request(request).get_updates_request(request)
    async with builder.updater(None).build() as application:
        yield application


async def test_typed_command_reaches_its_handler_and_the_reply_is_printed_plain(
    app: App, terminal: Terminal, printed: list[str]
) -> None:
    async def compare(update: Update, context: Context) -> None:
        assert update.effective_message is not None
        assert context.args == ["6m"]
        reply = await update.effective_message.reply_html(f"<b>S&amp;P</b> 1 &lt; 2\n<pre>{TABLE}</pre>")
        assert reply.text == f"S&P 1 < 2\n{TABLE}"
        assert reply.date == NOON

    app.add_handler(CommandHandler("compare", compare))
    await converse(app, terminal, ["/compare@small_large_bot 6m"])
    assert printed == [f"S&P 1 < 2\n{TABLE}"]


async def test_text_without_parse_mode_is_printed_as_it_stands(app: App, printed: list[str]) -> None:
    await app.bot.send_message(1, "1 < 2 &amp; <b>")
    assert printed == ["1 < 2 &amp; <b>"]


async def test_buttons_have_their_numbers(app: App, terminal: Terminal, printed: list[str]) -> None:
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
    await converse(app, terminal, ["2"])
    assert printed[1:] == ["One moment", "chosen do:1 year"]


@pytest.mark.parametrize("typed", ["1", "[1]", " 1 "])
async def test_number_presses_the_keyboard_printed_last(app: App, terminal: Terminal, typed: str) -> None:
    await app.bot.send_message(1, "old", reply_markup=keyboard(["a"]))
    await app.bot.send_message(1, "new", reply_markup=keyboard(["b"]))
    await app.bot.send_message(1, "no buttons here")
    update = terminal.update_for(typed, app.bot)
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
    app: App, terminal: Terminal, printed: list[str], labels: list[str], number: str, sentence: str
) -> None:
    await app.bot.send_message(1, "hello", reply_markup=keyboard(labels) if labels else None)
    assert terminal.update_for(number, app.bot) is None
    assert printed[1:] == [sentence]


async def test_buttons_taken_away_cannot_be_pressed(app: App, terminal: Terminal) -> None:
    message = await app.bot.send_message(1, "sure?", reply_markup=keyboard(["yes"]))
    assert terminal.update_for("1", app.bot) is not None
    await message.edit_text("sure?")
    assert terminal.update_for("1", app.bot) is None


async def test_other_keyboards_are_no_part_of_the_message(app: App, printed: list[str]) -> None:
    message = await app.bot.send_message(1, "hello", reply_markup=ReplyKeyboardMarkup([["a"]]))
    assert (message.reply_markup, printed) == (None, ["hello"])


async def test_picture_is_saved_and_its_path_printed(app: App, printed: list[str], tmp_path: Path) -> None:
    caption = "<b>6m</b> &amp; more"
    message = await app.bot.send_photo(1, png(), filename="compare.png", caption=caption, parse_mode="HTML")
    path = tmp_path / "charts" / "01-compare.png"
    assert path.read_bytes() == png()
    assert printed == [f"[picture] {path}\n6m & more"]
    assert (message.photo[0].width, message.photo[0].height, message.caption) == (60, 40, "6m & more")


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


async def test_updates_name_the_person_and_ids_grow(app: App, terminal: Terminal, printed: list[str]) -> None:
    updates = [terminal.update_for("a", app.bot), terminal.update_for("b", app.bot)]
    later = Terminal(printed.append, None, lambda: NOON)
    updates.append(later.update_for("c"))
    ids = [update.update_id for update in updates if update]
    assert sorted(set(ids)) == ids
    assert updates[2] is not None
    assert updates[2].effective_chat is not None
    assert updates[2].effective_user is not None
    assert (updates[2].effective_chat.id, updates[2].effective_user.id) == (1, 1)


@pytest.fixture
def talkative(app: App) -> App:
    async def say(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        assert update.message is not None
        await asyncio.sleep(0)
        await update.message.reply_text(f"answer to {update.message.text}")

    async def fail(_: Update, __: ContextTypes.DEFAULT_TYPE) -> None:
        raise ValueError("broken")

    app.add_handler(CommandHandler("fail", fail))
    app.add_handler(MessageHandler(filters.TEXT, say))
    return app


async def test_lines_are_answered_until_quit(talkative: App, terminal: Terminal, printed: list[str]) -> None:
    await converse(talkative, terminal, ["one", "", "  ", " two ", "/QUIT", "three"])
    assert printed == ["answer to one", "answer to two"]


async def test_a_failing_handler_ends_no_talk(talkative: App, terminal: Terminal, printed: list[str]) -> None:
    await converse(talkative, terminal, ["/fail", "next"])
    assert printed == ["answer to next"]


async def test_typed_lines_are_read_to_the_end_without_a_prompt(
    talkative: App, terminal: Terminal, printed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    await converse(talkative, terminal, typed_lines(io.StringIO("one\r\ntwo"), prompt=False))
    assert printed == ["answer to one", "answer to two"]
    assert capsys.readouterr().out == ""


async def test_a_prompt_stands_before_each_line_and_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    assert [line async for line in typed_lines(io.StringIO("one\n"), prompt=True)] == ["one"]
    assert capsys.readouterr().out == "› › \n"


async def test_event_loop_goes_on_while_a_line_is_awaited() -> None:
    out, into = os.pipe()
    with os.fdopen(out, encoding="utf-8") as stream:
        lines = typed_lines(stream, prompt=False)
        waiting = asyncio.ensure_future(anext(lines))
        for _ in range(3):
            await asyncio.sleep(0)
        assert not waiting.done()
        os.write(into, "sm\u00e5 \u2265\n".encode() + b"\xff\n")
        assert await waiting == "små ≥"
        assert await anext(lines) == "\ufffd"
        os.close(into)
        assert [line async for line in lines] == []


async def test_broken_input_is_taken_for_its_end() -> None:
    class Broken(io.StringIO):
        def readline(self, _size: int | None = -1, /) -> str:  # type: ignore[override]  # typeshed: bytes
            raise OSError("gone")

    assert [line async for line in typed_lines(Broken(), prompt=False)] == []


def test_piped_output_is_plain_and_never_wrapped() -> None:
    stream = io.StringIO()
    printer(stream)(f"[bold]{WIDE}[/bold] :smile:\n  [1] 6 months")
    assert stream.getvalue() == f"[bold]{WIDE}[/bold] :smile:\n  [1] 6 months\n\n"


def _on_terminal(block: str) -> str:
    """What `printer` writes to a pseudo terminal for the block."""
    master, slave = pty.openpty()
    with os.fdopen(slave, "w", encoding="utf-8") as stream, os.fdopen(master, "rb", buffering=0) as screen:
        printer(stream)(block)
        shown = b""
        while not shown.endswith(b"\r\n\r\n"):
            shown += screen.read(65536)
        return shown.decode().replace("\r\n", "\n")


def test_terminal_sets_off_pictures_and_buttons_and_wraps_between_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "38")
    path = f"[picture] {'long/' * 20}a.png"
    shown = _on_terminal(f"{path}\nNo prices are stored yet. Fetch them, [b]1[/b] :smile:\na  table   1%\n  [1] go")
    assert shown == (
        f"\x1b[2m{path}\x1b[0m\nNo prices are stored yet. Fetch them, \n[b]1[/b] :smile:\na  table   1%\n"
        "\x1b[36m  [1] go\x1b[0m\n\n"
    )


def test_no_color_is_honoured_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert _on_terminal("[picture] a.png") == "[picture] a.png\n\n"


def picture(name: str = "a.png", content: bytes = b"1") -> StoredFile:
    return StoredFile(f"photo-{content.decode()}", "photo", name, content)


@pytest.mark.parametrize(
    ("name", "saved"),
    [("compare.png", "01-compare.png"), ("../../Flow $ & units.PNG", "01-flow-units.png"), ("日本.png", "01-file.png")],
)
def test_a_picture_is_named_by_its_upload(tmp_path: Path, name: str, saved: str) -> None:
    assert FileFolder(tmp_path).path_of(picture(name)) == str(tmp_path / saved)
    assert [path.name for path in tmp_path.iterdir()] == [saved]


def test_same_file_is_saved_once_and_another_gets_the_next_number(tmp_path: Path) -> None:
    folder = FileFolder(tmp_path)
    assert folder.path_of(picture()) == folder.path_of(picture("b.png"))
    folder.path_of(picture(content=b"2"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["01-a.png", "02-a.png"]


def test_later_run_overwrites_nothing_and_finds_what_is_already_there(tmp_path: Path) -> None:
    FileFolder(tmp_path).path_of(picture())
    assert FileFolder(tmp_path).path_of(picture()) == str(tmp_path / "01-a.png")
    assert FileFolder(tmp_path).path_of(picture(content=b"2")) == str(tmp_path / "02-a.png")
    assert (tmp_path / "01-a.png").read_bytes() == b"1"


def test_without_a_usable_folder_the_picture_is_named_and_not_saved(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    path = FileFolder(blocked / "charts").path_of(picture())
    assert path == f"{blocked / 'charts' / '01-a.png'} (not saved: Not a directory)"
    assert FileFolder(None).path_of(picture()) == "01-a.png (not saved: there is no folder for pictures)"
