"""The sample market's database, made once a process, and a bot on a copy of it."""

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from PIL import Image

from tests.chat.people import every_button
from tests.chat.talk import ME, OCTOBER, RULE, Talk, make_sample, prepared, talking
from tests.fakes.chart_texts import leave_out_drawing


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sample(tmp_path_factory.mktemp("sample") / "sample.db")


@pytest.fixture(autouse=True)
def blank_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures have their ground's colour and nothing else: lines and letters take most of the time."""

    def blank(figure: Figure) -> bytes:
        red, green, blue, _ = (round(255 * part) for part in to_rgba(figure.get_facecolor()))
        buffer = io.BytesIO()
        Image.new("RGB", (8, 5), (red, green, blue)).save(buffer, "PNG")
        return buffer.getvalue()

    leave_out_drawing(monkeypatch, blank)


@pytest.fixture(scope="session")
def shown(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Data of every button that there is, of those that differ in numbers or metrics alone one."""
    return asyncio.run(every_button(sample, tmp_path_factory.mktemp("shown")))


@pytest.fixture
async def talk(sample: Path, tmp_path: Path) -> AsyncIterator[Talk]:
    async with talking(sample, tmp_path) as talk:
        yield talk


@pytest.fixture(scope="session")
def october_database(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample on 5 October 2020, and alert #1, a session before it fires."""

    async def make(talk: Talk) -> None:
        talk.now = OCTOBER
        await talk.ask(f"/alert {RULE}")

    return prepared(sample, tmp_path_factory.mktemp("october"), make)


@pytest.fixture
async def october(october_database: Path, tmp_path: Path) -> AsyncIterator[Talk]:
    async with talking(october_database, tmp_path) as talk:
        talk.now = OCTOBER
        yield talk


@pytest.fixture
async def house(sample: Path, tmp_path: Path) -> AsyncIterator[Talk]:
    """A bot for ME alone, whose owner can be asked."""
    async with talking(sample, tmp_path, mode="allowlist", users=frozenset({ME})) as talk:
        yield talk
