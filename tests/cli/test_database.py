import re
from pathlib import Path

import pytest

from bot.cli import console
from bot.cli.console import open_when_there_is_room
from bot.pair import DEFAULT_PAIR
from storage import sources
from storage.database import Database, DiskFault, DiskFull, StorageError, open_database

FULL = "The disk is full: bot.db could not be written; free some room and try again."


@pytest.fixture
def rests(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds of the rests, which take none."""
    taken: list[float] = []
    monkeypatch.setattr(console, "_sleep", taken.append)
    return taken


def failing(monkeypatch: pytest.MonkeyPatch, error: StorageError, times: int) -> None:
    """The database cannot be opened so many times."""
    left = [error] * times

    def opening(path: Path) -> Database:
        if left:
            raise left.pop()
        return open_database(path)

    monkeypatch.setattr(console, "open_database", opening)


def test_room_on_a_full_disk_is_waited_for_with_growing_rests(
    rests: list[float], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failing(monkeypatch, DiskFull(FULL), 7)
    with open_when_there_is_room(Path("bot.db"), DEFAULT_PAIR) as database:
        assert database.run_sync(sources.last_heartbeat) is not None
    assert rests == [1, 2, 4, 8, 16, 30, 30]
    assert caplog.messages[0] == f"{FULL} Next try in 1 s"
    assert caplog.messages[-1] == f"{FULL} Next try in 30 s"


def test_a_lasting_fault_is_told_at_once(rests: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    error = DiskFault("bot.db cannot be opened; check that the file and its folder are yours to write.")
    failing(monkeypatch, error, 1)
    with (
        pytest.raises(DiskFault, match=f"^{re.escape(str(error))}$"),
        open_when_there_is_room(Path("bot.db"), DEFAULT_PAIR),
    ):
        pass
    assert rests == []


def test_a_disk_that_fills_up_while_the_bot_serves_is_no_fault_at_the_start(rests: list[float]) -> None:
    with pytest.raises(DiskFull), open_when_there_is_room(Path("bot.db"), DEFAULT_PAIR):
        raise DiskFull(FULL)
    assert rests == []
