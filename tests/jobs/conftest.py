"""A desk for each test, its database closed afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.jobs.desk import Desk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bot.sqlite3"


@pytest.fixture
def desk(path: Path) -> Iterator[Desk]:
    made = Desk(path)
    yield made
    made.database.close()


@pytest.fixture
async def quiet(desk: Desk) -> None:
    """Ten sessions, up to 15 January 2020, on which nothing happens."""
    await desk.closes([0.5] * 10)
