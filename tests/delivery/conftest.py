"""An office for each test."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from storage import chat_store
from storage.db import open_database
from tests.delivery.office import ME, OWNER, START, THIRD, YOU, Office
from tests.fakes.botapi import FakeBotApi

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    async with FakeBotApi() as api, open_database(tmp_path / "bot.sqlite3") as database:
        for chat_id in (ME, YOU, THIRD, OWNER):
            api.chat(chat_id)
            await database.run(
                partial(chat_store.ensure_chat, chat_id=chat_id, kind="private", title="", now=START)
            )
        made = Office(api, database)
        yield made
        for request in made.requests:
            await request.shutdown()
