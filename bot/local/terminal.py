"""The terminal's side of a talk: lines typed or piped in, blocks printed out."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import AsyncIterable
from functools import partial
from typing import TYPE_CHECKING, Any, TextIO

from bot.threads import beside

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from telegram.ext import Application

    from bot.local.request import LocalTelegram

PROMPT = "› "
_STYLES = {  # of whole lines, on a terminal
    r"(?m)^\[(?:picture|file)\] .*$": "dim",
    r"(?m)^  \[\d+\] .*$": "cyan",
    rf"(?m)^{PROMPT}.*$": "bold",
}


async def converse(
    application: Application[Any, Any, Any, Any, Any, Any],
    telegram: LocalTelegram,
    lines: AsyncIterable[str] | Iterable[str],
    *,
    echo: Callable[[str], None] | None = None,
) -> None:
    """Answer the lines one after the other, each fully before the next, until they end or say `/quit`.

    The application must be initialised. Empty lines are passed over. `echo` is given each line behind
    the prompt sign before it is answered, where nobody sees it typed (a played story).
    """
    async for line in _each(lines):
        text = line.strip()
        if text.lower() == "/quit":
            return
        if not text:
            continue
        if echo:
            echo(f"{PROMPT}{text}")
        update = telegram.update_for(text, application.bot)
        if update:
            await application.process_update(update)


async def _each(lines: AsyncIterable[str] | Iterable[str]) -> AsyncIterator[str]:
    if isinstance(lines, AsyncIterable):
        async for line in lines:
            yield line
    else:
        for line in lines:
            yield line


async def typed_lines(stream: TextIO, prompt: bool) -> AsyncIterator[str]:
    """Lines of standard input as they come; the event loop goes on while one is awaited.

    With `prompt` the sign "› " is written to standard output before each line.
    """
    read = _reader(stream)
    while True:
        if prompt:
            _write(PROMPT)
        line = await beside(partial(_line, read), "typed-lines")
        if not line:
            if prompt:
                _write("\n")
            return
        yield line.rstrip("\r\n")


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _reader(stream: TextIO) -> Callable[[], str]:
    """A function that reads one line, "" at the end.

    It reads the descriptor unbuffered where there is one: a thread that waits within a buffered
    stream holds its lock, and the interpreter aborts on that lock when it ends meanwhile.
    """
    try:
        descriptor = stream.fileno()
    except OSError:
        return stream.readline
    raw = os.fdopen(descriptor, "rb", buffering=0, closefd=False)
    return lambda: raw.readline().decode(stream.encoding or "utf-8", errors="replace")


def _line(read: Callable[[], str]) -> str:
    """The next line; a stream that breaks has ended."""
    with contextlib.suppress(OSError, ValueError):
        return read()
    return ""


def printer(stream: TextIO) -> Callable[[str], None]:
    """A function that prints a block of text and an empty line after it, at once and never wrapped.

    The text is plain; only on a terminal, without NO_COLOR, pictures and buttons are set off.
    """
    if not stream.isatty() or os.environ.get("NO_COLOR"):

        def plain(block: str) -> None:
            stream.write(f"{block}\n\n")
            stream.flush()

        return plain

    from rich.console import Console  # noqa: PLC0415 - only a terminal needs it
    from rich.text import Text  # noqa: PLC0415 - as above

    console = Console(file=stream)

    def coloured(block: str) -> None:
        text = Text(f"{block}\n")
        for pattern, style in _STYLES.items():
            text.highlight_regex(pattern, style)
        console.print(text, soft_wrap=True)

    return coloured
