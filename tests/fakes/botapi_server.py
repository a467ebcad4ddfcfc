"""The server of the fake Bot API: connections, tokens, long polls, scripted faults, the log of requests."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

from tests.fakes.botapi_faults import Fault, refusal_body
from tests.fakes.botapi_html import Refused
from tests.fakes.botapi_http import HttpRequest, read_request, response
from tests.fakes.botapi_methods import perform
from tests.fakes.botapi_world import BOT_ID, BOT_USER, Call, Json, Message, World

T = TypeVar("T")
TOKEN = f"{BOT_ID}:AAF-fake_token_of_the_loopback_Bot0"
FOREVER = 10_000_000


@dataclass
class Logged:
    """One request as it came in; `status` 0 means that no answer was given."""

    method: str
    fields: dict[str, str]
    at: float
    status: int = 0
    description: str = ""
    files: dict[str, bytes] = field(default_factory=dict)

    @property
    def chat_id(self) -> int | None:
        """The chat named, None without one."""
        given = self.fields.get("chat_id")
        return int(given) if given and re.fullmatch(r"-?\d+", given) else None


@dataclass
class _Script:
    method: str
    fault: Fault
    chat_id: int | None
    times: int
    after: int

    def strikes(self, call: Logged) -> bool:
        """Whether this call is the one; counts down."""
        if (
            self.method not in ("*", call.method)
            or self.chat_id not in (None, call.chat_id)
            or not self.times
        ):
            return False
        if self.after:
            self.after -= 1
            return False
        self.times -= 1
        return True


class Server:
    """The server; `clock` gives epoch seconds, `poll_limit` caps a long poll's seconds."""

    def __init__(
        self,
        *,
        port: int = 0,
        poll_limit: float = 1.0,
        clock: Callable[[], float] = time.time,
        token: str = TOKEN,
    ) -> None:
        self.token = token
        self.world = World(clock)
        self.log: list[Logged] = []
        self._scripts: list[_Script] = []
        self._port, self._poll_limit = port, poll_limit
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._poll = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_error: object) -> None:
        if self._server:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def root(self) -> str:
        """Where the server listens."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def base_url(self) -> str:
        """What python-telegram-bot calls base_url."""
        return f"{self.root}/bot"

    @property
    def base_file_url(self) -> str:
        """What python-telegram-bot calls base_file_url."""
        return f"{self.root}/file/bot"

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(ConnectionError):
                while request := await read_request(reader):
                    answer = await self._answer(request)
                    if answer is None:
                        break
                    writer.write(answer)
                    await writer.drain()
        finally:
            writer.close()

    async def _answer(self, request: HttpRequest) -> bytes | None:
        """The bytes of an answer; None closes the connection."""
        found = re.fullmatch(r"(/file)?/bot([^/]*)/(.*)", request.path)
        if request.too_large:
            return _refuse(Refused(413, "Request Entity Too Large"))
        if not found or not re.fullmatch(r"\d+:[\w-]{30,}", found[2]):
            return _refuse(Refused(404, "Not Found"))
        if found[2] != self.token:
            return _refuse(Refused(401, "Unauthorized"))
        if found[1]:
            return self._download(found[3])
        return await self._call(Call(found[3], request.fields, request.files))

    def _download(self, path: str) -> bytes:
        content = self.world.files.get(path.removeprefix("photos/"))
        if content is None:
            return _refuse(Refused(404, "Not Found"))
        return response(200, content, "application/octet-stream")

    async def _call(self, call: Call) -> bytes | None:
        entry = Logged(call.method, call.fields, self.world.clock(), files=call.files)
        self.log.append(entry)
        fault = next((script.fault for script in self._scripts if script.strikes(entry)), None)
        if fault and not fault.acts:
            return await self._spoil(fault, entry)
        try:
            result = await self._updates(call) if call.method == "getUpdates" else perform(self.world, call)
        except Refused as refused:
            entry.status, entry.description = refused.code, refused.description
            return _refuse(refused)
        finally:
            self.notify()
        if fault:
            return await self._spoil(fault, entry)
        entry.status = 200
        return response(200, json.dumps({"ok": True, "result": result}).encode())

    async def _spoil(self, fault: Fault, entry: Logged) -> bytes | None:
        entry.status, entry.description = fault.status, fault.name
        self.notify()
        if fault.hangs:
            await asyncio.sleep(FOREVER)
        return None if fault.closes else response(fault.status, fault.body, fault.content_type)

    async def _updates(self, call: Call) -> list[Json]:
        """getUpdates: an offset forgets what lies before it; a newer call ends an older one with 409."""
        self._poll += 1
        turn = self._poll
        self.notify()
        perform(self.world, call)
        self._forget(call.integer("offset", 0))
        wanted = set(call.json("allowed_updates") or ())
        limit = min(max(call.integer("limit", 100), 1), 100)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(call.integer("timeout", 0), self._poll_limit)):
                while not self.world.updates and turn == self._poll:
                    await self._changed.wait()
        if turn != self._poll:
            raise Refused(
                409,
                "Conflict: terminated by other getUpdates request;"
                " make sure that only one bot instance is running",
            )
        return [u for u in self.world.updates if not wanted or wanted & set(u)][:limit]

    def _forget(self, offset: int) -> None:
        if offset > 0:
            self.world.updates = [u for u in self.world.updates if u["update_id"] >= offset]
        elif offset < 0:
            self.world.updates = self.world.updates[offset:]

    def notify(self) -> None:
        """Wake what waits for a change."""
        self._changed.set()
        self._changed = asyncio.Event()

    def fail(
        self,
        method: str,
        fault: Fault,
        *,
        chat_id: int | None = None,
        times: int = 1,
        after: int = 0,
    ) -> None:
        """Script a fault of `method` ("*": any) in a chat (None: any), `times` times, after `after` calls."""
        self._scripts.append(_Script(method, fault, chat_id, times, after))

    def heal(self) -> None:
        """Forget all scripted faults."""
        self._scripts.clear()

    def messages(self, chat_id: int) -> list[Message]:
        """What the bot has in a chat, oldest first, as it stands after edits and deletions."""
        mine = [m for m in self.world.messages.values() if m.sender is BOT_USER]
        return [m for m in mine if m.chat_id == chat_id]

    def calls(self, method: str, chat_id: int | None = None) -> list[Logged]:
        """The requests for a method, faults and refusals included."""
        return [e for e in self.log if e.method == method and chat_id in (None, e.chat_id)]

    async def until(self, check: Callable[[], T | None], seconds: float = 5.0) -> T:
        """What `check` returns once it returns something; AssertionError with the last messages otherwise."""
        try:
            async with asyncio.timeout(seconds):
                while not (found := check()):
                    await self._changed.wait()
        except TimeoutError:
            last = [m.text for m in self.world.messages.values()][-5:]
            raise AssertionError(f"not seen in {seconds} s; the last messages are {last}") from None
        return found

    async def wait_for_message(self, wanted: Callable[[Message], Any], seconds: float = 5.0) -> Message:
        """First message of the bot, sent or edited, that `wanted` accepts; messages seen count too."""
        return await self.until(
            lambda: next(
                (m for m in self.world.messages.values() if m.sender is BOT_USER and wanted(m)),
                None,
            ),
            seconds,
        )


def _refuse(refused: Refused) -> bytes:
    body = refusal_body(refused.code, refused.description, refused.parameters)
    return response(refused.code, body)
