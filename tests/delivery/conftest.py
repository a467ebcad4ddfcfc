"""An office for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.delivery.office import Office, open_office

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    async with open_office(tmp_path / "bot.sqlite3") as opened:
        yield opened
