"""An outbox, a clock set by hand, and a real client of the fake Bot API."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from telegram.ext import ExtBot
from telegram.request import HTTPXRequest

from bot.delivery.drain import Delivery
from bot.delivery.rate_limiter import SendBudget
from storage import chat_store, outbox

if TYPE_CHECKING:
    from storage.db import Database
    from tests.fakes.botapi import FakeBotApi


NOWHERE = "http://127.0.0.1:9/bot"  # the discard port: nobody listens there
ME, YOU, THIRD, OWNER = 42, 43, 44, 1
START = datetime(2020, 12, 11, 21, 20, tzinfo=UTC)
DOWN = "Telegram cannot be reached; sending goes on when it answers."
SICK = "Telegram does not answer as it should; sending goes on when it does."
REFUSED = "Telegram refuses this token; sending is paused until it is accepted."


class Office:
    """An outbox, a clock that stands still, a budget whose waits take no time, and a way to Telegram."""

    def __init__(self, api: FakeBotApi, database: Database) -> None:
        self.api, self.database = api, database
        self.now = START
        self._seconds = 0.0
        self.one_clock = False  # whether waits for room move the clock on
        self.requests: list[HTTPXRequest] = []
        self.bot = self.client(api.base_url)
        self.delivery = self.fresh()

    def client(self, base_url: str, read_timeout: float = 10) -> ExtBot[int]:
        request = HTTPXRequest(read_timeout=read_timeout, connect_timeout=10, pool_timeout=10)
        self.requests.append(request)
        limiter = SendBudget(monotonic=lambda: self._seconds, sleep=self._leap)
        token = self.api.token
        return ExtBot(
            token, base_url=base_url, request=request, get_updates_request=request, rate_limiter=limiter
        )

    async def _leap(self, seconds: float) -> None:
        self._seconds += seconds
        if self.one_clock:
            self.now += timedelta(seconds=seconds)

    def fresh(self, bot: ExtBot[int] | None = None) -> Delivery:
        """A delivery without memory, as after a restart."""
        return Delivery(bot or self.bot, self.database, now=lambda: self.now, owner=OWNER, jitter=lambda: 0.0)

    def impatient(self) -> Delivery:
        """A delivery whose requests time out soon."""
        return self.fresh(self.client(self.api.base_url, read_timeout=0.3))

    def later(self, **span: float) -> None:
        self.now += timedelta(**span)
        self._seconds += timedelta(**span).total_seconds()

    async def put(
        self, text: str = "fired", *, chat_id: int = ME, kind: str = "alert", photo: bytes | None = None,
        thread_id: int | None = None, **payload: object,
    ) -> int:  # fmt: skip
        row = await self.database.run(
            lambda db: outbox.enqueue(
                db,
                chat_id=chat_id,
                kind=kind,
                dedup=f"{kind}:{chat_id}:{text[:40]}",
                payload={"html": text, "plain": "", "buttons": [], "silent": False, **payload},
                photo=photo,
                thread_id=thread_id,
                now=self.now,
            )
        )
        assert row
        return row

    async def row(self, number: int) -> dict[str, Any]:
        def read(db: Any) -> dict[str, Any]:  # noqa: ANN401 - sqlite_utils.Database
            return dict(db["outbox"].get(number))

        return await self.database.run(read)

    def texts(self, chat_id: int = ME) -> list[str]:
        return [message.text for message in self.api.messages(chat_id)]

    async def status(self, chat_id: int = ME) -> str | None:
        chat = await self.database.run(lambda db: chat_store.get_chat(db, chat_id))
        return chat.status if chat else None
