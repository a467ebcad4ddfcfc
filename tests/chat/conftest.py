"""The sample market's database, made once a process, and a bot on a copy of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.chat.talk import ME, make_sample, talking

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.chat.talk import Talk


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sample(tmp_path_factory.mktemp("sample") / "sample.db")


@pytest.fixture
async def talk(sample: Path, tmp_path: Path) -> AsyncIterator[Talk]:
    async with talking(sample, tmp_path) as made:
        made.api.chat(ME)
        yield made
