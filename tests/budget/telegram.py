"""Telegram without a network: answers in simulated time, a share of them 429, and keeps what came when."""

import asyncio
import json
import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from telegram.request import BaseRequest, RequestData

ME = {"id": 1, "is_bot": True, "first_name": "Bot", "username": "bot"}


@dataclass(frozen=True)
class Sent:
    """One request to send: when it came in, to whom, of which kind, and the seconds that a 429 asked for."""

    at: float
    chat: int
    kind: str
    wait: int
    answered: float


class Telegram(BaseRequest):
    """Requests are answered after 40 to 200 ms; which of them get a 429 is decided by their number alone."""

    def __init__(self, share: float, seed: int = 1) -> None:
        self._draws = draws(share, seed)
        self.sent: list[Sent] = []
        self.got: dict[int, list[str]] = defaultdict(list)

    read_timeout = 30.0

    async def initialize(self) -> None:
        """Nothing to prepare."""

    async def shutdown(self) -> None:
        """Nothing to put away."""

    async def do_request(
        self,
        url: str,
        method: str,
        request_data: RequestData | None = None,
        *_: object,  # time limits, of which none matters here
        **__: object,
    ) -> tuple[int, bytes]:
        """One answer of the Bot API."""
        del method
        data = request_data.parameters if request_data else {}
        if not url.endswith("/sendMessage"):
            return 200, _body(ME if url.endswith("getMe") else True)
        came, chat, text = asyncio.get_running_loop().time(), int(str(data["chat_id"])), str(data["text"])
        wait, latency = next(self._draws)
        await asyncio.sleep(latency)
        answered = asyncio.get_running_loop().time()
        self.sent.append(Sent(came, chat, text.split(maxsplit=1)[0], wait, answered))
        if wait:
            return 429, json.dumps(
                {
                    "ok": False,
                    "error_code": 429,
                    "description": f"Too Many Requests: retry after {wait}",
                    "parameters": {"retry_after": wait},
                }
            ).encode()
        self.got[chat].append(text)
        message = {"message_id": len(self.sent), "date": 0, "chat": {"id": chat, "type": "private"}}
        return 200, _body({**message, "text": text})


def draws(share: float, seed: int = 1) -> Iterator[tuple[int, float]]:
    """Of the n-th request: the seconds to wait, 0 unless it is a 429, and the seconds until its answer."""
    chance = random.Random(seed)
    while True:
        limited = chance.random() < share
        yield limited * chance.randint(3, 30), chance.uniform(0.04, 0.2)


def _body(result: object) -> bytes:
    return json.dumps({"ok": True, "result": result}).encode()
