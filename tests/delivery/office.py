"""An outbox, a clock set by hand, and a real client of the fake Bot API."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from telegram.ext import ExtBot

from bot.delivery.drain import Delivery
from bot.delivery.rate_limiter import SendBudget
from storage import chat_store, outbox
from storage.database import Database, open_database
from tests.fakes.botapi import FakeBotApi
from tests.storage.messages import queue_message

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
        self.clients: list[ExtBot[Any]] = []
        self.bot = self.client()
        self.delivery = self.fresh()

    def client(self, base_url: str = "", **limits: Any) -> ExtBot[Any]:  # noqa: ANN401 - HTTPXRequest's own
        limiter = SendBudget(monotonic=lambda: self._seconds, sleep=self._leap)
        self.clients.append(self.api.client(base_url, limiter, **limits))
        return self.clients[-1]

    async def _leap(self, seconds: float) -> None:
        self._seconds += seconds
        if self.one_clock:
            self.now += timedelta(seconds=seconds)

    def fresh(self, bot: ExtBot[Any] | None = None) -> Delivery:
        """A delivery without memory, as after a restart."""
        return Delivery(bot or self.bot, self.database, now=lambda: self.now, owner=OWNER, jitter=lambda: 0.0)

    def impatient(self) -> Delivery:
        """A delivery whose requests time out soon."""
        return self.fresh(self.client(read_timeout=0.3))

    def later(self, **span: float) -> None:
        self.now += timedelta(**span)
        self._seconds += timedelta(**span).total_seconds()

    async def put(
        self, text: str = "fired", *, chat_id: int = ME, kind: str = "alert",
        thread_id: int | None = None, **payload: object,
    ) -> int:  # fmt: skip
        row = await self.database.run(
            lambda db: queue_message(
                db,
                chat_id=chat_id,
                kind=kind,
                dedup=f"{kind}:{chat_id}:{text[:40]}",
                body=msgspec.convert({"html": text, **payload}, outbox.MessageBody),
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


@asynccontextmanager
async def open_office(path: Path, *, one_clock: bool = False) -> AsyncIterator[Office]:
    """An office on a new database; with `one_clock` the server has its clock, and waits move it on."""
    offices: list[Office] = []

    def clock() -> float:
        return offices[0].now.timestamp() if one_clock and offices else time.time()

    with open_database(path) as database:
        async with FakeBotApi(clock=clock) as api:
            for chat_id in (ME, YOU, THIRD, OWNER):
                api.chat(chat_id)
                add = partial(chat_store.ensure_chat, chat_id=chat_id, kind="private", title="", now=START)
                await database.run(add)
            offices.append(Office(api, database))
            offices[0].one_clock = one_clock
            yield offices[0]
            for client in offices[0].clients:
                await client.request.shutdown()
