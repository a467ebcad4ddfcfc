"""Requests to the Bot API whose answers are bounded in size, in time and in shape.

The library reads an answer of any size, waits for ever for one that drips, and raises errors of its own, such
as KeyError, for JSON of another shape. Here each of these is a TelegramError.
"""

import asyncio
import json
import sys
from importlib.util import find_spec
from typing import Annotated, Any, Generic, TypeAlias, TypeVar

import httpx
import msgspec
from telegram.constants import PollingLimit
from telegram.error import NetworkError, TelegramError
from telegram.request import HTTPXRequest

if find_spec("sniffio") is None:  # httpcore tries to import it ten times a request, a search of all folders
    sys.modules["sniffio"] = None  # type: ignore[assignment]  # refused at once

T = TypeVar("T")
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
