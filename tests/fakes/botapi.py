"""The Bot API of bot.local on loopback HTTP, with what tests need: recorded requests and scripted faults.

    async with FakeBotApi() as api:
        bot = ExtBot(api.token, base_url=api.base_url)
        api.say(42, "/compare")
        message = await api.wait_for_message(lambda m: "IWM" in m.text)
        api.press(message.message_id, message.buttons[0][0][1], user_id=42)
        api.fail("sendMessage", flood(30), chat_id=42)

By hand, `python -m tests.fakes.botapi --port 8081` prints the URL and the token to configure. Each line typed
is then sent to the bot as user 42, and what the bot sends is printed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, TypeVar

from telegram.ext import ExtBot
from telegram.request import HTTPXRequest

from bot.local.botapi import BOT, BOT_ID, BOT_USER, ApiMessage, BotApiError, Json, Upload
from bot.local.methods import Call, perform
from tests.fakes.botapi_faults import Fault
from tests.fakes.botapi_http import HttpRequest, read_request, response
from tests.fakes.botapi_methods import InlineQuery, WholeBotApi

if TYPE_CHECKING:
    from telegram.ext import BaseRateLimiter

T = TypeVar("T")
TOKEN = f"{BOT_ID}:AAF-fake_token_of_the_loopback_Bot0"
FOREVER = 10_000_000


@dataclass
class RecordedRequest:
    """One request as it came in; `status` 0 means that no answer was given."""

    call: Call
    at: float
    status: int = 0
    description: str = ""

    @property
    def method(self) -> str:
        """The method called."""
        return self.call.method

    @property
    def fields(self) -> Mapping[str, str]:
        """Its parameters."""
        return self.call.fields

    @property
    def files(self) -> Mapping[str, Upload]:
        """Its uploads."""
        return self.call.files

    @property
    def chat_id(self) -> int | None:
        """The chat named, None without one."""
        return self.call.chat_id


@dataclass
class _ScriptedFault:
    method: str
    fault: Fault
    chat_id: int | None
    times: int
    after: int

    def strikes(self, call: Call) -> bool:
        """Whether the fault applies to this call; counts down."""
        if self.method not in ("*", call.method) or self.chat_id not in (None, call.chat_id) or not self.times:
            return False
        if self.after:
            self.after -= 1
            return False
        self.times -= 1
        return True


class FakeBotApi(WholeBotApi):
    """A Bot API that listens on loopback and forgets nothing.

    `poll_limit` caps the seconds of a long poll.
    """

    message_limit = file_limit = query_limit = sys.maxsize

    def __init__(
        self, *, port: int = 0, poll_limit: float = 1.0, clock: Callable[[], float] = time.time, token: str = TOKEN
    ) -> None:
        super().__init__(clock)
        self.token = token
        self.requests: list[RecordedRequest] = []
        self.spoilt_bytes = 0  # of bodies that faults sent
        self._faults: list[_ScriptedFault] = []
        self._port, self._poll_limit = port, poll_limit
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._last_poll = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_error: object) -> None:
        if self._server:
            self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    @property
    def root(self) -> str:
        """Where the server listens."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def base_url(self) -> str:
        """What python-telegram-bot calls base_url."""
        return f"{self.root}/bot"

    def client(
        self,
        base_url: str = "",
        limiter: BaseRateLimiter[Any] | None = None,
        **limits: Any,  # noqa: ANN401 - HTTPXRequest's own
    ) -> ExtBot[Any]:
        """A real client, whose one connection pool waits for ten seconds unless `limits` say otherwise."""
        request = HTTPXRequest(**{"read_timeout": 10, "connect_timeout": 10, "pool_timeout": 10, **limits})
        return ExtBot(
            self.token,
            base_url=base_url or self.base_url,
            request=request,
            get_updates_request=request,
            rate_limiter=limiter,
        )

    # Controls of a test.

    def fail(self, method: str, fault: Fault, *, chat_id: int | None = None, times: int = 1, after: int = 0) -> None:
        """Script a fault of `method` ("*": any) in a chat (None: any), `times` times, after `after` calls."""
        self._faults.append(_ScriptedFault(method, fault, chat_id, times, after))

    def heal(self) -> None:
        """Forget all scripted faults."""
        self._faults.clear()

    def messages(self, chat_id: int) -> list[ApiMessage]:
        """The bot's messages in a chat, oldest first, as they are after edits and deletions."""
        return [message for message in self._bot_messages() if message.chat_id == chat_id]

    def _bot_messages(self) -> list[ApiMessage]:
        return [message for message in self.history.values() if message.sender is BOT_USER]

    def calls(self, method: str, chat_id: int | None = None) -> list[RecordedRequest]:
        """The requests for a method, faults and refusals included."""
        return [request for request in self.requests if request.method == method and chat_id in (None, request.chat_id)]

    async def until(self, check: Callable[[], T | None], seconds: float = 5.0) -> T:
        """Return the first true result of `check`. Raises AssertionError with the last messages."""
        try:
            async with asyncio.timeout(seconds):
                while not (result := check()):
                    await self._changed.wait()
        except TimeoutError:
            last = [message.text for message in self.history.values()][-5:]
            raise AssertionError(f"not seen in {seconds} s; the last messages are {last}") from None
        return result

    async def wait_for_message(self, wanted: Callable[[ApiMessage], Any], seconds: float = 5.0) -> ApiMessage:
        """First message of the bot, sent or edited, that `wanted` accepts; earlier messages count too."""
        return await self.until(
            lambda: next((message for message in self._bot_messages() if wanted(message)), None), seconds
        )

    @property
    def actions(self) -> list[tuple[int | None, str]]:
        """Chat and action of each sendChatAction that succeeded."""
        calls = self.calls("sendChatAction")
        return [(request.chat_id, request.fields["action"]) for request in calls if request.status == 200]

    # What people do besides writing and pressing buttons.

    def type_inline(self, user_id: int, text: str) -> str:
        """Type after the bot's name in some chat. Returns the id of the inline query."""
        query_id = str(4_000_000_000 + self.last_update_id + 1)
        self.inline_queries[query_id] = InlineQuery(text)
        content = {"id": query_id, "from": self.user(user_id), "query": text, "offset": ""}
        self.queue_update("inline_query", content)
        return query_id

    def block(self, chat_id: int, reason: str = "bot was blocked by the user", *, notify_bot: bool = True) -> None:
        """Forbid the bot to write, for a reason such as "bot was kicked from the supergroup chat"."""
        self.chat(chat_id).refusal = BotApiError(403, f"Forbidden: {reason}")
        if notify_bot:
            self.change_membership(chat_id, "member", "kicked")

    def unblock(self, chat_id: int, *, notify_bot: bool = True) -> None:
        """Let the bot write again."""
        self.chat(chat_id).refusal = None
        if notify_bot:
            self.change_membership(chat_id, "kicked", "member")

    def change_membership(self, chat_id: int, old: str, new: str) -> None:
        """Change what the bot is in a chat."""
        content = {
            "chat": self.chat(chat_id).json(),
            "from": self.user(abs(chat_id)),
            "date": int(self.clock()),
            "old_chat_member": self.member(BOT_ID, old),
            "new_chat_member": self.member(BOT_ID, new),
        }
        self.queue_update("my_chat_member", content)

    def migrate(self, old: int, new: int) -> None:
        """Turn the group `old` into the supergroup `new`: refusals and two service messages say so."""
        reason = "group chat was upgraded to a supergroup chat"
        self.chat(old, "group").refusal = BotApiError(400, f"Bad Request: {reason}", {"migrate_to_chat_id": new})
        self.chat(new, "supergroup").members = dict(self.chat(old).members)
        for chat_id, note in ((old, {"migrate_to_chat_id": new}), (new, {"migrate_from_chat_id": old})):
            message = self.add_message(self.chat(chat_id), sender=self.user(1001))
            self.queue_update("message", message.json() | note)

    def queue_update(self, kind: str, content: Json) -> int:
        """Queue an update, and wake a long poll."""
        update_id = super().queue_update(kind, content)
        self.notify()
        return update_id

    def notify(self) -> None:
        """Wake everything that waits for a change."""
        self._changed.set()
        self._changed = asyncio.Event()

    # The server.

    def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(ConnectionError):
                while request := await read_request(reader):
                    answer = await self._answer(request)
                    if answer is None:
                        break
                    await self._write(writer, answer)
                    if isinstance(answer, Fault) and answer.missing:
                        break
        finally:
            writer.close()

    async def _write(self, writer: asyncio.StreamWriter, answer: bytes | Fault) -> None:
        if isinstance(answer, bytes):
            writer.write(answer)
        else:
            length = len(answer.body) * answer.repeats + answer.missing
            writer.write(response(answer.status, b"", answer.content_type, length))
            for _ in range(answer.repeats):
                await asyncio.sleep(answer.pause)
                writer.write(answer.body)
                await writer.drain()
                self.spoilt_bytes += len(answer.body)
        await writer.drain()

    async def _answer(self, request: HttpRequest) -> bytes | Fault | None:
        """The bytes of an answer, or how it is spoilt; None closes the connection."""
        try:
            return await self._respond(request)
        except BotApiError as error:
            return response(error.status, error.body())

    async def _respond(self, request: HttpRequest) -> bytes | Fault | None:
        path = re.fullmatch(r"/bot([^/]*)/(.*)", request.path)
        if request.too_large:
            raise BotApiError(413, "Request Entity Too Large")
        if not path or not re.fullmatch(r"\d+:[\w-]{30,}", path[1]):
            raise BotApiError(404, "Not Found")
        if path[1] != self.token:
            raise BotApiError(401, "Unauthorized")
        return await self._call(Call(path[2], request.fields, request.files))

    async def _call(self, call: Call) -> bytes | Fault | None:
        request = RecordedRequest(call, self.clock())
        self.requests.append(request)
        fault = next((script.fault for script in self._faults if script.strikes(call)), None)
        if fault and not fault.acts:
            return await self._spoil(fault, request)
        try:
            result = await self._get_updates(call) if call.method == "getUpdates" else perform(self, call)
        except BotApiError as error:
            request.status, request.description = error.status, error.description
            raise
        finally:
            self.notify()
        if fault:
            return await self._spoil(fault, request)
        request.status = 200
        return response(200, json.dumps({"ok": True, "result": result}).encode())

    async def _spoil(self, fault: Fault, request: RecordedRequest) -> Fault | None:
        request.status, request.description = fault.status, fault.name
        self.notify()
        if fault.hangs:
            await asyncio.sleep(FOREVER)
        return None if fault.closes else fault

    async def _get_updates(self, call: Call) -> list[Json]:
        """Answer a long poll. A newer poll ends an older one with 409."""
        self._last_poll += 1
        poll = self._last_poll
        self.notify()
        perform(self, call)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(call.integer("timeout", 0), self._poll_limit)):
                while not self.updates and poll == self._last_poll:
                    await self._changed.wait()
        if poll != self._last_poll:
            raise BotApiError(
                409, "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running"
            )
        return self.pending_updates(call)


async def _serve_by_hand(port: int) -> None:
    async with FakeBotApi(port=port, poll_limit=30) as api:
        _print(f"base_url = {api.root!r}\ntoken    = {api.token!r}\nbot      = @{BOT['username']}")
        api.chat(42)
        printer = asyncio.create_task(_print_messages(api))
        while line := await asyncio.to_thread(sys.stdin.readline):
            if line.strip():
                api.say(42, line.rstrip("\n"))
        printer.cancel()


async def _print_messages(api: FakeBotApi) -> None:
    printed: dict[int, int] = {}
    while True:
        message = await api.wait_for_message(lambda m: printed.get(m.message_id) != m.edits, FOREVER)
        printed[message.message_id] = message.edits
        picture = "[photo] " if message.photo else ""
        _print(f"--- {message.chat_id} #{message.message_id}\n{picture}{message.text}")
        for row in message.buttons:
            _print("   ".join(f"[{label} = {data}]" for label, data in row))


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(description="A fake Telegram Bot API on loopback.")
    parser.add_argument("--port", type=int, default=8081)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve_by_hand(parser.parse_args().port))


if __name__ == "__main__":
    main()
