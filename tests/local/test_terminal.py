from __future__ import annotations

import asyncio
import datetime as dt
import io
import os
import pty
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest
from telegram.ext import (
    Application,
    ApplicationBuilder,
    CommandHandler,
    ContextTypes,
    MessageHandler,
    filters,
)

from bot.local import LocalTelegram, converse, printer, typed_lines

if TYPE_CHECKING:
    from telegram import Update

App = Application[Any, Any, Any, Any, Any, Any]
WIDE = "x" * 300


@pytest.fixture
def printed() -> list[str]:
    return []


@pytest.fixture
def telegram(printed: list[str]) -> LocalTelegram:
    return LocalTelegram(printed.append, None, lambda: dt.datetime(2020, 12, 14, tzinfo=dt.UTC))


@pytest.fixture
async def app(telegram: LocalTelegram) -> AsyncIterator[App]:
    async def say(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        assert update.message is not None
        await asyncio.sleep(0)
        await update.message.reply_text(f"answer to {update.message.text}")

    async def fail(_: Update, __: ContextTypes.DEFAULT_TYPE) -> None:
        raise ValueError("broken")

    builder = ApplicationBuilder().token("0:local").request(telegram).get_updates_request(telegram)
    application = builder.updater(None).build()
    application.add_handler(CommandHandler("fail", fail))
    application.add_handler(MessageHandler(filters.TEXT, say))
    async with application:
        yield application


async def test_lines_are_answered_in_order_until_quit(
    app: App, telegram: LocalTelegram, printed: list[str]
) -> None:
    await converse(app, telegram, ["one", "", "  ", " two ", "/QUIT", "three"])
    assert printed == ["answer to one", "answer to two"]


async def test_handler_that_raises_does_not_end_the_talk(
    app: App, telegram: LocalTelegram, printed: list[str]
) -> None:
    await converse(app, telegram, ["/fail", "next"])
    assert printed == ["answer to next"]


async def test_echo_shows_each_line_before_its_answer(
    app: App, telegram: LocalTelegram, printed: list[str]
) -> None:
    await converse(app, telegram, ["one", "", "two"], echo=printed.append)
    assert printed == ["› one", "answer to one", "› two", "answer to two"]


async def test_typed_lines_are_read_to_the_end_without_a_prompt(
    app: App, telegram: LocalTelegram, printed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    await converse(app, telegram, typed_lines(io.StringIO("one\r\ntwo"), prompt=False))
    assert printed == ["answer to one", "answer to two"]
    assert capsys.readouterr().out == ""


async def test_prompt_is_written_before_each_line_and_a_line_ends_at_the_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
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


def test_interrupt_while_a_line_is_awaited_ends_the_process_cleanly() -> None:
    program = (
        "import asyncio, sys\n"
        "from bot.local.terminal import typed_lines\n"
        "async def main():\n"
        "    async for line in typed_lines(sys.stdin, prompt=False):\n"
        "        print(line, flush=True)\n"
        "try:\n"
        "    asyncio.run(main())\n"
        "except KeyboardInterrupt:\n"
        "    print('stopped')\n"
    )
    with subprocess.Popen(  # noqa: S603 - our own interpreter and program
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write("hello\n")
        process.stdin.flush()
        assert process.stdout.readline() == "hello\n"
        process.send_signal(signal.SIGINT)
        assert (process.stdout.read(), process.stderr.read()) == ("stopped\n", "")
        assert process.wait() == 0


def test_piped_output_is_plain_and_never_wrapped() -> None:
    stream = io.StringIO()
    printer(stream)(f"[bold]{WIDE}[/bold] :smile:\n  [1] 6 months")
    assert stream.getvalue() == f"[bold]{WIDE}[/bold] :smile:\n  [1] 6 months\n\n"


def _on_terminal(block: str) -> str:
    """What `printer` writes to a pseudo terminal for the block."""
    master, slave = pty.openpty()
    with os.fdopen(slave, "w", encoding="utf-8") as stream, os.fdopen(master, "rb", buffering=0) as screen:
        printer(stream)(block)
        return screen.read(65536).decode().replace("\r\n", "\n")


def test_terminal_sets_off_pictures_and_buttons_and_never_wraps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    shown = _on_terminal(f"[picture] a.png\n{WIDE} [b]1[/b] :smile:\n  [1] go")
    assert shown == f"\x1b[2m[picture] a.png\x1b[0m\n{WIDE} [b]1[/b] :smile:\n\x1b[36m  [1] go\x1b[0m\n\n"


def test_no_color_is_honoured_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert _on_terminal("[picture] a.png") == "[picture] a.png\n\n"
