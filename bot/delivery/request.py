"""Requests to the Bot API whose answers are bounded in size, in time and in shape.

The library reads an answer of any size, waits for ever for one that drips, and raises errors of its own, such
as KeyError, for JSON of another shape. Here each of these is a TelegramError. Its connections, httpx's, take
more of the processor than all else that an answer needs, so there are others.
"""

from __future__ import annotations

import asyncio
import json
import select
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeAlias, TypeVar
from urllib.request import getproxies

import h11
import httpx
import msgspec
from telegram.constants import PollingLimit
from telegram.error import NetworkError, TelegramError
from telegram.request import HTTPXRequest

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Coroutine


T = TypeVar("T")
MOST_CONNECTIONS, IDLE_SECONDS = 256, 5.0
NEXT_ADDRESS = 0.25  # seconds after which another address of a server is tried as well
PIECE = 2**16  # bytes that are read at once
MAX_HEAD = 100_000  # bytes of an answer's head
MAX_ANSWER = 16 * 2**20  # bytes; a hundred of the longest updates take about 10 MB
MAX_QUOTE = 200  # bytes of an unreadable refusal, such as a proxy's page, that stand in the error
MAX_DIGITS = 40  # of a whole number
MAX_RETRY_AFTER = 7 * 24 * 3600  # seconds
Id: TypeAlias = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]  # what the database can hold


class User(msgspec.Struct):
    """The fields of a user without which an answer or an update is unreadable."""

    id: Id
    first_name: str
    is_bot: bool


class Chat(msgspec.Struct):
    """As User, of a chat."""

    id: Id
    type: str


class Message(msgspec.Struct):
    """As User, of a message; and the types of the fields that the bot reads."""

    message_id: Id
    date: Id
    chat: Chat
    sender: User | None = msgspec.field(name="from", default=None)
    sender_chat: Chat | None = None
    text: str | None = None
    message_thread_id: Id | None = None
    migrate_to_chat_id: Id | None = None


class Member(msgspec.Struct):
    """As User, of a chat's member."""

    user: User
    status: str


class _Answer(msgspec.Struct, Generic[T]):
    result: T


class _Parameters(msgspec.Struct):
    retry_after: Annotated[int, msgspec.Meta(ge=0, le=MAX_RETRY_AFTER)] | None = None
    migrate_to_chat_id: Id | None = None


class _Refusal(msgspec.Struct):
    """The fields of a refusal without which it is not the Bot API's."""

    ok: bool
    description: str
    parameters: _Parameters | None = None


_SENT = ("sendMessage", "sendPhoto", "sendDocument", "editMessageText")
_RESULTS: dict[str, type[_Answer[Any]]] = {
    "getMe": _Answer[User],
    "getUpdates": _Answer[Annotated[list[Any], msgspec.Meta(max_length=int(PollingLimit.MAX_LIMIT))]],
    "getChatMember": _Answer[Member],
    **dict.fromkeys(_SENT, _Answer[Message]),
}


async def _within(
    seconds: float | None,
    step: Coroutine[Any, Any, T],
    late: type[httpx.TimeoutException],
    broken: type[httpx.NetworkError] = httpx.NetworkError,
) -> T:
    """Return the result of a step of a request, or raise httpx's error for it."""
    try:
        async with asyncio.timeout(seconds):
            return await step
    except TimeoutError as err:
        raise late(str(err)) from err
    except OSError as err:
        raise broken(str(err)) from err


class _Connection(httpx.AsyncByteStream):
    """A connection, which carries one request at a time, and the content of the answer to it."""

    def __init__(
        self, pool: Connections, url: httpx.URL, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._pool, self._reader, self._writer = pool, reader, writer
        self._server = url.scheme, url.netloc
        self._state = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
        self._poll = select.poll()
        self._poll.register(writer.get_extra_info("socket"), select.POLLIN)
        self._read_seconds: float | None = None
        self.idle_since = 0.0

    def is_old(self) -> bool:
        """Return whether it has been idle for so long that a server may be about to close it."""
        return self.idle_since < time.monotonic() - IDLE_SECONDS

    def serves(self, url: httpx.URL) -> bool:
        """Return whether it leads to a server that has neither closed it nor sent what nobody asked for."""
        if self.is_old() or self._reader.at_eof() or self._poll.poll(0):
            return False
        return (url.scheme, url.netloc) == self._server

    def abort(self) -> None:
        """Close the connection."""
        self._writer.transport.abort()

    async def exchange(self, request: httpx.Request) -> httpx.Response:
        """Send a request and return the answer, whose content is not yet read."""
        seconds = request.extensions["timeout"]
        self._read_seconds = seconds["read"]
        head = h11.Request(method=request.method, target=request.url.raw_path, headers=request.headers.raw)
        events = (head, h11.Data(await request.aread()), h11.EndOfMessage())
        self._writer.write(b"".join(self._state.send(event) or b"" for event in events))
        with suppress(httpx.WriteError):  # a server may refuse a request before it has read all of it
            await _within(seconds["write"], self._writer.drain(), httpx.WriteTimeout, httpx.WriteError)
        while not isinstance(event := await self._next_event(), h11.Response):
            pass  # an informational one
        return httpx.Response(event.status_code, headers=list(event.headers), stream=self)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while isinstance(event := await self._next_event(), h11.Data):
            yield event.data

    async def aclose(self) -> None:
        """Keep the connection for the next request if this one is complete, else close it."""
        states = {self._state.our_state, self._state.their_state}
        if kept := states == {h11.DONE} and not self._state.trailing_data[0]:
            self._state.start_next_cycle()
        self._pool.release(self, kept=kept)

    async def _next_event(self) -> object:
        """Return the next part of an answer as h11 has it."""
        try:
            while (event := self._state.next_event()) is h11.NEED_DATA:
                reading = self._reader.read(PIECE)
                data = await _within(self._read_seconds, reading, httpx.ReadTimeout, httpx.ReadError)
                if not data and self._state.their_state is h11.SEND_RESPONSE:
                    raise httpx.RemoteProtocolError("Server disconnected without sending a response.")
                self._state.receive_data(data)
        except h11.RemoteProtocolError as err:
            raise httpx.RemoteProtocolError(str(err)) from err
        return event


class Connections(httpx.AsyncBaseTransport):
    """Connections that are kept for a while for the next request."""

    def __init__(self, most: int) -> None:
        self._places = asyncio.Semaphore(most)
        self._open: set[_Connection] = set()
        self._idle: list[_Connection] = []  # in the order in which they became idle
        self._tls: ssl.SSLContext | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the answer to a request, whose content is not yet read. Raises httpx's errors."""
        seconds, connection = request.extensions["timeout"], None
        await _within(seconds["pool"], self._places.acquire(), httpx.PoolTimeout)
        try:
            connection = self._idle_to(request.url)
            if connection is None:
                connection = await self._connect(request.url, seconds["connect"])
            return await connection.exchange(request)
        except BaseException:
            self.release(connection, kept=False)
            raise

    def release(self, connection: _Connection | None, *, kept: bool) -> None:
        """Count a request as done, and keep its connection for the next one or close it."""
        self._places.release()
        if connection is not None and kept and connection in self._open:
            connection.idle_since = time.monotonic()
            self._idle.append(connection)
        elif connection is not None:
            self._close(connection)
        while self._idle and self._idle[0].is_old():
            self._close(self._idle.pop(0))

    async def aclose(self) -> None:
        """Close all connections, also those whose requests are under way."""
        for connection in tuple(self._open):
            self._close(connection)
        self._idle.clear()

    def _idle_to(self, url: httpx.URL) -> _Connection | None:
        """Return the idle connection that was used last and can be used again, if there is one."""
        while self._idle:
            connection = self._idle.pop()
            if connection.serves(url):
                return connection
            self._close(connection)
        return None

    async def _connect(self, url: httpx.URL, seconds: float | None) -> _Connection:
        if url.scheme == "https" and self._tls is None:
            self._tls = httpx.create_ssl_context()
        tls = self._tls if url.scheme == "https" else None
        port = url.port or (443 if tls else 80)
        connecting = asyncio.open_connection(url.host, port, ssl=tls, happy_eyeballs_delay=NEXT_ADDRESS)
        streams = await _within(seconds, connecting, httpx.ConnectTimeout, httpx.ConnectError)
        connection = _Connection(self, url, *streams)
        self._open.add(connection)
        return connection

    def _close(self, connection: _Connection) -> None:
        self._open.discard(connection)
        connection.abort()


class _BoundedClient(httpx.AsyncClient):
    """A client whose answers have at most MAX_ANSWER bytes and come within the sum of the timeouts."""

    async def send(self, request: httpx.Request, **options: Any) -> httpx.Response:  # noqa: ANN401 - httpx's
        content = bytearray()
        try:
            async with asyncio.timeout(sum(filter(None, request.extensions["timeout"].values()))):
                response = await super().send(request, **{**options, "stream": True})
                try:
                    if "," in response.headers.get("content-encoding", ""):
                        raise httpx.DecodingError("the answer is compressed more than once")
                    async for part in response.aiter_bytes():
                        content += part
                        if len(content) > MAX_ANSWER:
                            raise httpx.ReadError(f"the answer is longer than {MAX_ANSWER >> 20} MB")
                finally:
                    await response.aclose()
        except TimeoutError as err:
            raise httpx.ReadTimeout("the answer takes too long") from err
        return httpx.Response(response.status_code, content=bytes(content))


class TelegramRequest(HTTPXRequest):
    """A request whose answer is bounded, and has the shape of the method's result."""

    def _build_client(self) -> httpx.AsyncClient:
        if not getproxies():  # else httpx's own connections, which know proxies
            self._client_kwargs["transport"] = Connections(self._client_kwargs["limits"].max_connections)
        return _BoundedClient(**self._client_kwargs)

    async def do_request(self, url: str, method: str, *args: Any, **options: Any) -> tuple[int, bytes]:  # noqa: ANN401 - the library's
        """Return status and content of the answer. Raises TelegramError for one that is unreadable.

        A refusal that is a proxy's page, whatever its status, says nothing about the chat or the token.
        """
        code, payload = await super().do_request(url, method, *args, **options)
        if httpx.codes.is_success(code):
            _checked(payload, _RESULTS.get(url.rpartition("/")[2], _Answer[Any]))
            return code, payload
        try:
            _checked(payload, _Refusal)
        except TelegramError as error:
            reason = f"{httpx.codes.get_reason_phrase(code)} ({code})"
            raise NetworkError(f"{reason}, not by the Bot API: {payload[:MAX_QUOTE]!r}") from error
        return code, payload

    @staticmethod
    def parse_json_payload(payload: bytes) -> dict[str, Any]:
        """Return the content of an answer or of a refusal."""
        return _checked(payload, dict[str, Any])


def _checked(payload: bytes, shape: Any) -> dict[str, Any]:  # noqa: ANN401 - a type, perhaps a generic one
    """Return the content of an answer. Raises TelegramError unless it is JSON of this shape."""
    try:
        answer: dict[str, Any] = json.loads(payload.decode("utf-8", "replace"), parse_int=_integer)
        msgspec.convert(answer, shape)
    except (ValueError, RecursionError) as err:
        raise TelegramError(f"unreadable answer: {err}") from err
    return answer


def _integer(digits: str) -> int:
    """Return a whole number; one of thousands of digits, which Python refuses, as one that is too large."""
    return int(digits) if len(digits) < MAX_DIGITS else 2**64
