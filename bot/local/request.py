"""The transport of python-telegram-bot to a Bot API in this process: no network, no rate limit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
from telegram.error import NetworkError
from telegram.ext import BaseRateLimiter
from telegram.request import BaseRequest

from bot.local.botapi import BotApiError, Upload
from bot.local.methods import Call, answer

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from telegram.request import RequestData

    from bot.local.botapi import BotApi


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
        if "/file/bot" in url:
            try:
                return 200, self._api.download(url.partition("/file/bot")[2].partition("/")[2])
            except BotApiError as error:
                return error.status, error.body()
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


class NoRateLimiter(BaseRateLimiter[int]):
    """Makes every request at once. It accepts the arguments that the real rate limiter takes."""

    async def initialize(self) -> None:
        """Do nothing."""

    async def shutdown(self) -> None:
        """Do nothing."""

    async def process_request(
        self,
        callback: Callable[..., Coroutine[Any, Any, Any]],
        args: Any,  # noqa: ANN401 - the signature of BaseRateLimiter
        kwargs: dict[str, Any],
        endpoint: str,
        data: dict[str, Any],
        rate_limit_args: int | None,
    ) -> Any:  # noqa: ANN401 - as above
        """Make the request."""
        del endpoint, data, rate_limit_args
        return await callback(*args, **kwargs)
