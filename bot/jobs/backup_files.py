"""The files of the nightly backups by date, and what is said about a database that is lost.

The command line needs these at once, so nothing is imported here that takes time.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from bot.text import command_line
from storage.database import RESTORE, DatabaseBroken, StorageError, refuse_unsound
from storage.records import get_meta

if TYPE_CHECKING:
    from collections.abc import Callable

    import sqlite_utils

    from bot.config import Config


FAILING = "backup_failing"  # meta key: since when, while the owner knows that backups fail


def backup_file(config: Config, day: dt.date) -> Path:
    """Return the backup of a local date, e.g. backups/bot-2020-12-11.db."""
    return config.backups / f"{config.storage.database.stem}-{day}{config.storage.database.suffix}"


def failing_since(db: sqlite_utils.Database) -> dt.datetime | None:
    """Return when the nightly backups began to fail; None while they work."""
    since = get_meta(db, FAILING)
    return dt.datetime.fromisoformat(since) if since else None


def dated_backups(config: Config, ending: str = "") -> list[tuple[dt.date, Path]]:
    """Return the backups by date, the newest first; none without a folder. OSError if it is unreadable.

    `ending` is a pattern of what follows the name, of incomplete backups for example.
    """
    stem, suffix = re.escape(config.storage.database.stem), re.escape(config.storage.database.suffix)
    name = re.compile(rf"{stem}-(\d{{4}}-\d\d-\d\d){suffix}{ending}")
    if not config.backups.is_dir():
        return []
    files = []
    for file in config.backups.iterdir():
        if match := name.fullmatch(file.name):
            with contextlib.suppress(ValueError):  # not a date
                files.append((dt.date.fromisoformat(match[1]), file))
    return sorted(files, reverse=True)


def refuse_lost_database(config: Config, check: Callable[[Path], None] = refuse_unsound) -> None:
    """Raise StorageError for a database that is lost or that the check refuses."""
    path, copies = config.storage.database, []
    with contextlib.suppress(OSError):
        copies = dated_backups(config)
    if copies and not path.exists():
        raise DatabaseBroken(
            f"There is no database at {path}, but there are backups of it in {config.backups}; {RESTORE}, or "
            "move them away to begin anew."
        )
    check(path)


def with_restore_command(error: StorageError, config: Config) -> str:
    """Return the sentence of an error; one that advises to restore a backup then names the newest."""
    newest = "FILE"
    with contextlib.suppress(OSError):
        newest = next((shlex.quote(str(file)) for _, file in dated_backups(config)), newest)
    command = command_line(f"restore {newest}", config.command_options)
    return str(error).replace(RESTORE, f"{RESTORE} ({command})")
