"""A disk that fails in the middle of a cycle; all its writes are `python -m tests.faults`. Flipped bits."""

import asyncio
import datetime as dt
import logging
from pathlib import Path

import pytest

from tests.faults.bits import sweep
from tests.faults.cycle import cycle, prepare
from tests.faults.disk import KINDS

# The fetch; the heartbeat; judging and its commit; a summary; the claim; after the first request went out.
WRITES = {"io": (9, 49, 95), "full": (28, 56, 91), "pages": (12,), "read-only": (37, 69, 98)}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dt.datetime]:
    path = tmp_path_factory.mktemp("faults") / "template.db"
    return path, asyncio.run(prepare(path))


@pytest.mark.parametrize(("kind", "number"), [(kind, number) for kind in KINDS for number in WRITES[kind]])
async def test_nothing_is_lost_and_the_owner_is_told_once(
    template: tuple[Path, dt.datetime], tmp_path: Path, kind: str, number: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    result = await cycle(*template, tmp_path / "bot.db", kind, number)
    assert result.struck
    assert result.problems == []


def test_a_flipped_bit_is_named_or_changes_nothing(tmp_path: Path) -> None:
    """20 copies; `python -m tests.faults --bits 1000` makes as many as wanted."""
    named, problems = sweep(20, tmp_path, 0)
    assert problems == []
    assert named > 0
