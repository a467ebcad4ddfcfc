"""A desk for each test, its database closed afterwards."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.jobs.desk import QUIET, Desk


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bot.sqlite3"


@pytest.fixture
def desk(path: Path) -> Iterator[Desk]:
    with (opened := Desk(path)).database:
        yield opened


@pytest.fixture
async def quiet(desk: Desk) -> None:
    """The closes of QUIET are stored."""
    await desk.closes(QUIET)
