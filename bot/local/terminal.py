"""One person's chat in the terminal: typed lines become updates, and what the bot answers is printed.

`LocalRequest` connects python-telegram-bot to a Bot API in this process: no network, no rate limit.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import itertools
import os
import re
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any, TextIO

import httpx
from telegram import Bot, Update
from telegram.error import NetworkError
from telegram.ext import Application
from telegram.request import BaseRequest, RequestData

from bot.concurrency import run_in_daemon_thread
from bot.delivery.rate_limiter import ChatId, SendBudget, Slot
from bot.local.botapi import ApiEvent, ApiMessage, BotApi, Json, StoredFile, Upload
from bot.local.methods import Call, answer
from bot.services import LOCAL_CHAT

PROMPT = "› "
_PRESS = re.compile(r"\[([0-9]{1,4})\]|([0-9]{1,4})")
_SHOWS_FILE = ("sendPhoto", "sendDocument", "editMessageMedia")
_FILE_LINE = re.compile(r"\[(?:picture|file)\] ")
# Styles on a terminal, by how a line starts.
_STYLES = {_FILE_LINE: "dim", re.compile(r"  \[\d+\] "): "cyan", re.compile(PROMPT): "bold"}


class Terminal:
    """A private chat with one person on a Bot API of its own.

    `out` prints one block of plain text. Files are saved in the folder `files`, if there is one. `now` dates
    the messages. Update ids grow from one run to the next, because the database remembers those it has seen.
    """

    def __init__(self, out: Callable[[str], None], files: Path | None, now: Callable[[], dt.datetime]) -> None:
        self._out, self._folder = out, FileFolder(files)
        self.api = BotApi(lambda: now().timestamp(), first_update_id=time.time_ns() // 1000)
        self.api.names = {LOCAL_CHAT: "You"}
        self.api.chat(LOCAL_CHAT)
        self.api.listeners.append(self._show)
        self._keyboard = 0  # id of the message whose buttons were printed last
        self._shown: tuple[int, str, Json | None] | None = None  # what was printed last of a message

    def update_for(self, line: str, bot: Bot | None = None) -> Update | None:
        """Return the update of a typed line. A number, `1` or `[1]`, presses a button of the last keyboard.

        If there is no such button, prints a sentence and returns None. Handlers reply through `bot`.
        """
        button = _PRESS.fullmatch(line.strip())  # `1` or `[1]`
        if button is None:
            self.api.say(LOCAL_CHAT, line)
        elif not self._press(int(button[1] or button[2])):
            return None
        return Update.de_json(self.api.updates.pop(), bot)

    def _press(self, number: int) -> bool:
        message = self.api.history.get(self._keyboard)
        buttons = [button for row in _rows(message.markup) for button in row] if message else []
        data = [button["callback_data"] for button in buttons if "callback_data" in button]
        if message is None or not data:
            self._out(f"There is no button {number}: no message with buttons is open.")
        elif not 1 <= number <= len(data):
            choice = f"1 to {len(data)}" if len(data) > 1 else "1"
            self._out(f"There is no button {number}; type {choice}.")
        else:
            self.api.press(message.message_id, data[number - 1])
            return True
        return False

    def _show(self, event: ApiEvent) -> None:
        message = event.message
        if event.method == "answerCallbackQuery":
            lines = [event.text] if event.text else []
        elif message is None:
            lines = []
        else:
            if message.markup:
                self._keyboard = message.message_id
            lines = self._lines(event.method, message)
        if lines:
            self._out("\n".join(lines))

    def _lines(self, method: str, message: ApiMessage) -> list[str]:
        """Return what a method showed of a message: its file, its text or caption, its numbered buttons."""
        lines = []
        if message.file and method in _SHOWS_FILE:
            label = "picture" if message.photo else "file"
            lines.append(f"[{label}] {self._folder.path_of(message.file)}")
        shown = (message.message_id, message.text, message.markup)
        if method == "editMessageMedia" and shown == self._shown:  # the picture of the text above
            return lines
        self._shown = shown
        if message.text:
            lines.append(message.text)
        numbers = itertools.count(1)
        rows = _rows(message.markup)
        return lines + ["  " + "   ".join(_label(button, numbers) for button in row) for row in rows]


def _rows(markup: Json | None) -> list[list[Json]]:
    return list((markup or {}).get("inline_keyboard", ()))


def _label(button: Json, numbers: itertools.count[int]) -> str:
    if "callback_data" in button:
        return f"[{next(numbers)}] {button['text']}"
    return f"{button['text']}: {button['url']}" if "url" in button else str(button["text"])


class FileFolder:
    """Saves the files that the bot sends, under numbered names such as 01-compare.png.

    The same file is saved once. No file of an earlier run is overwritten: if the name is taken, the next
    number is used, unless the contents are equal.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._numbers = itertools.count(1)
        self._paths: dict[str, str] = {}

    def path_of(self, file: StoredFile) -> str:
        """Save a file, unless that was done, and return its path, or why it could not be saved."""
        if file.file_id not in self._paths:
            self._paths[file.file_id] = self._save(file.content, _plain(file.name))
        return self._paths[file.file_id]

    def _save(self, content: bytes, name: str) -> str:
        while True:
            numbered = f"{next(self._numbers):02d}-{name}"
            if self._folder is None:
                return f"{numbered} (not saved: there is no folder for pictures)"
            path = self._folder / numbered
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                if not path.exists():
                    path.write_bytes(content)
                elif path.read_bytes() != content:
                    continue
            except OSError as error:
                return f"{path} (not saved: {error.strerror})"
            return str(path)


def _plain(name: str) -> str:
    """Return a file's name in plain letters."""
    stem, _, suffix = name.rpartition(".")
    words = re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")[:40].strip("-")
    return f"{words or 'file'}.{suffix.lower()}"


async def converse(
    application: Application[Any, Any, Any, Any, Any, Any],
    terminal: Terminal,
    lines: AsyncIterable[str] | Iterable[str],
    *,
    echo: Callable[[str], None] | None = None,
) -> None:
    """Answer the lines one after the other until they end or one is `/quit`.

    The application must be initialised. Empty lines are skipped. `echo` shows each line before it is
    answered, for lines that were not typed.
    """
    async for line in _iterate(lines):
        text = line.strip()
        if text.lower() == "/quit":
            return
        if not text:
            continue
        if echo:
            echo(f"{PROMPT}{text}")
        update = terminal.update_for(text, application.bot)
        if update:
            await application.process_update(update)


async def _iterate(lines: AsyncIterable[str] | Iterable[str]) -> AsyncIterator[str]:
    if isinstance(lines, AsyncIterable):
        async for line in lines:
            yield line
    else:
        for line in lines:
            yield line


async def typed_lines(stream: TextIO, prompt: bool) -> AsyncIterator[str]:
    """Yield the lines of standard input without blocking the event loop.

    With `prompt`, the prompt is written to standard output before each line.
    """
    read = _reader(stream)
    while True:
        print(PROMPT if prompt else "", end="", flush=True)  # noqa: T201 - the terminal's prompt
        line = await run_in_daemon_thread(read, "typed-lines")
        if not line:
            print("\n" if prompt else "", end="", flush=True)  # noqa: T201 - below the prompt
            return
        yield line.rstrip("\r\n")


def _reader(stream: TextIO) -> Callable[[], str]:
    """Return a function that reads one line, or an empty string at the end. A broken stream counts as ended.

    It reads the descriptor unbuffered if there is one: a thread that waits in a buffered stream holds the
    stream's lock, and the interpreter aborts if it exits meanwhile.
    """
    raw = None
    with contextlib.suppress(OSError):
        raw = os.fdopen(stream.fileno(), "rb", buffering=0, closefd=False)

    def line() -> str:
        with contextlib.suppress(OSError, ValueError):
            if raw is None:
                return stream.readline()
            return raw.readline().decode(stream.encoding or "utf-8", errors="replace")
        return ""

    return line


def printer(stream: TextIO) -> Callable[[str], None]:
    """Return a function that prints a block of text and an empty line, flushed.

    On a terminal, long lines are wrapped between words, but for paths of files, which are copied; pictures
    and buttons are coloured unless NO_COLOR is set.
    """
    if not stream.isatty():
        return lambda block: print(block, end="\n\n", file=stream, flush=True)

    from rich.console import Console  # noqa: PLC0415 - only a terminal needs it
    from rich.text import Text  # noqa: PLC0415 - as above

    console = Console(file=stream)
    styles = {} if os.environ.get("NO_COLOR") else _STYLES

    def wrapped(block: str) -> None:
        for line in f"{block}\n".split("\n"):
            style = next((style for start, style in styles.items() if start.match(line)), "")
            console.print(Text(line, style), soft_wrap=_FILE_LINE.match(line) is not None)

    return wrapped


class LocalRequest(BaseRequest):
    """Answers the requests of python-telegram-bot from a `BotApi`.

    A call to a chat that the `BotApi` does not have fails like a connection that cannot be made: the chat may
    exist on Telegram, so the bot must not take it for gone.
    """

    def __init__(self, api: BotApi) -> None:
        self._api = api

    async def initialize(self) -> None:
        """Do nothing: there is no connection."""

    async def shutdown(self) -> None:
        """Do nothing."""

    @property
    def read_timeout(self) -> float | None:
        """No timeout: answers come at once."""
        return None

    async def do_request(
        self,
        url: str,
        method: str,  # noqa: ARG002 - GET or POST; the URL ends with the Bot API's method
        request_data: RequestData | None = None,
        *_: object,
        **_timeouts: object,
    ) -> tuple[int, bytes]:
        """Return the HTTP status and the body of the answer."""
        call = _read_call(url.rpartition("/")[2], request_data)
        if call.chat_id is not None and call.chat_id not in self._api.chats:
            cause = httpx.ConnectError(f"chat {call.chat_id} is not open here")
            raise NetworkError(f"httpx.ConnectError: {cause}") from cause
        return answer(self._api, call)


def _read_call(method: str, data: RequestData | None) -> Call:
    """Return a call with the parameters and files that python-telegram-bot would send over HTTP."""
    if data is None:
        return Call(method)
    files = {
        part: Upload(name, content if isinstance(content, bytes) else content.read())
        for part, (name, content, *_) in data.multipart_data.items()
    }
    return Call(method, data.json_parameters, files)


class NoRateLimiter(SendBudget):
    """Grants every request at once, also during a halt of Telegram's."""

    def restore(self, chat: ChatId | None, seconds: float) -> None:
        """Ignore the halts of earlier processes."""

    async def process_request(self, callback: Any, args: Any, kwargs: Any, *_: Any, **__: Any) -> Any:  # noqa: ANN401 - of SendBudget
        """Make the request."""
        return await callback(*args, **kwargs)

    async def acquire(self, chat: ChatId, priority: int) -> Slot:  # noqa: ARG002 - all are equal here
        """Grant a slot."""
        return Slot(chat, 0.0)


class LocalClock:
    """A clock that starts at `start`, or now. It runs, or stands still where it was set."""

    def __init__(self, start: dt.datetime | None, *, running: bool) -> None:
        self.start = start
        self.running = running
        self._since = time.monotonic()

    def __call__(self) -> dt.datetime:
        """Return the instant in UTC."""
        if self.start is None:
            return dt.datetime.now(dt.UTC)
        passed = time.monotonic() - self._since if self.running else 0.0
        return self.start + dt.timedelta(seconds=passed)

    def set(self, moment: dt.datetime) -> None:
        """Set the clock."""
        self.start, self._since = moment, time.monotonic()

    def go(self) -> None:
        """Let the clock run from where it stands."""
        self._since, self.running = time.monotonic(), True
