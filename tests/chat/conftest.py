"""The sample market's database, made once a process, and a bot on a copy of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trustme

from tests.chat.talk import ME, OWNER, make_sample, talking

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.chat.talk import Talk


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sample(tmp_path_factory.mktemp("sample") / "sample.db")


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("certificates") / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(path))
    return path


@pytest.fixture(autouse=True)
def one_authority(authority: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading the world's certificates takes longer than most of these tests, and none needs one."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))


@pytest.fixture
async def talk(sample: Path, tmp_path: Path) -> AsyncIterator[Talk]:
    async with talking(sample, tmp_path) as made:
        made.api.chat(ME)
        yield made


@pytest.fixture
async def house(sample: Path, tmp_path: Path) -> AsyncIterator[Talk]:
    """A bot for ME alone, whose owner can be asked."""
    async with talking(sample, tmp_path, mode="allowlist", users=frozenset({ME})) as talk:
        talk.api.chat(OWNER)
        yield talk
