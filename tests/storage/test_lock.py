from __future__ import annotations

import errno
import os
import re
import stat
from typing import TYPE_CHECKING

import pytest

from storage.db import DatabaseBusy, DiskFault, hold_lock, is_locked

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    Spawn = Callable[[str], subprocess.Popen[str]]


HOLD = """
import sys
from storage.db import hold_lock
with hold_lock(sys.argv[1]):
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_turned_away_until_the_first_is_gone(path: Path, spawn: Spawn) -> None:
    child = spawn(HOLD)
    message = (
        f"Another bot (process {child.pid}) is using {path}; stop it first, or name another file with --db."
    )
    with pytest.raises(DatabaseBusy, match=f"^{re.escape(message)}$"), hold_lock(path):
        pass
    child.kill()
    child.wait()
    with hold_lock(path) as lock:
        assert lock.read_text() == f"{os.getpid()}\n"


def test_the_lock_is_free_again_after_its_block(path: Path) -> None:
    with pytest.raises(RuntimeError), hold_lock(path):
        raise RuntimeError
    with hold_lock(path):
        pass


def test_it_is_held_against_the_same_process_too(path: Path) -> None:
    with hold_lock(path), pytest.raises(DatabaseBusy), hold_lock(path):
        pass


def test_by_a_link_it_is_the_same_database_with_the_same_lock(path: Path, tmp_path: Path) -> None:
    path.touch()
    link = tmp_path / "elsewhere" / "link.sqlite3"
    link.parent.mkdir()
    link.symlink_to(path)
    with hold_lock(link):
        assert is_locked(path)
        with pytest.raises(DatabaseBusy), hold_lock(path):
            pass
    assert [file.name for file in link.parent.iterdir()] == [link.name]


def test_on_a_full_disk_it_is_held_without_a_name(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    message = f"Another bot is using {path}; stop it first, or name another file with --db."
    with (
        hold_lock(path),
        pytest.raises(DatabaseBusy, match=f"^{re.escape(message)}$"),
        hold_lock(path),
    ):
        pass


def test_the_folder_is_made_and_databases_do_not_share_a_lock(tmp_path: Path) -> None:
    with hold_lock(tmp_path / "new" / "a.sqlite3") as one, hold_lock(tmp_path / "new" / "b.sqlite3") as other:
        assert (one.name, other.name) == ("a.sqlite3.lock", "b.sqlite3.lock")


def test_a_lock_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    lock = tmp_path / "file" / "a.sqlite3.lock"
    with (
        pytest.raises(DiskFault, match=rf"^The lock file {re.escape(str(lock))} cannot be written \(.+\)\.$"),
        hold_lock(tmp_path / "file" / "a.sqlite3"),
    ):
        pass


def test_a_link_in_the_place_of_the_lock_is_refused_and_what_it_names_is_untouched(path: Path) -> None:
    target = path.with_name("precious")
    target.write_text("kept")
    lock = path.with_name(f"{path.name}.lock")
    lock.symlink_to(target)
    message = f"The lock file {lock} cannot be written (Too many levels of symbolic links)."
    with pytest.raises(DiskFault, match=f"^{re.escape(message)}$"), hold_lock(path):
        pass
    assert not is_locked(path)
    assert target.read_text() == "kept"


def test_asking_whether_it_is_held_takes_and_makes_nothing(path: Path) -> None:
    assert not is_locked(path)
    assert list(path.parent.iterdir()) == []
    with hold_lock(path) as lock:
        said = lock.read_text()
        assert is_locked(path)
        assert lock.read_text() == said
    assert not is_locked(path)
    with hold_lock(path):
        pass


def test_the_folder_that_a_lock_makes_is_its_owners_alone(tmp_path: Path) -> None:
    with hold_lock(tmp_path / "new" / "bot.db") as lock:
        assert stat.S_IMODE(lock.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(lock.stat().st_mode) == 0o600
