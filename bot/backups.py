"""The nightly backups: their names, which ones exist, and since when they fail."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import TYPE_CHECKING

from storage import sources

if TYPE_CHECKING:
    import sqlite_utils

    from bot.config import Config

FAILING = "backup_failing"  # meta key: since when, while the owner knows that backups fail


def backup_file(config: Config, day: dt.date) -> Path:
    """Return the backup of a local date, e.g. backups/bot-2020-12-11.db."""
    return config.backups / f"{config.storage.database.stem}-{day}{config.storage.database.suffix}"


def dated_backups(config: Config) -> list[tuple[dt.date, Path]]:
    """Return the backups by date, the newest first; none without a folder. OSError if it is unreadable."""
    return _dated(config, "")


def partial_backups(config: Config) -> list[tuple[dt.date, Path]]:
    """Return, by date, what is left of backups whose process ended before they were complete."""
    return _dated(config, r"\.part(?:-\w+)?")


def failing_since(db: sqlite_utils.Database) -> dt.datetime | None:
    """Return when the nightly backups began to fail; None while they work."""
    since = sources.meta(db, FAILING)
    return dt.datetime.fromisoformat(since) if since else None


def _dated(config: Config, ending: str) -> list[tuple[dt.date, Path]]:
    """Files named after the database and a date, the newest first; `ending` is a pattern."""
    database = config.storage.database
    stem, suffix = re.escape(database.stem), re.escape(database.suffix)
    name = re.compile(rf"{stem}-(\d{{4}}-\d\d-\d\d){suffix}{ending}")
    if not config.backups.is_dir():
        return []
    matches = ((name.fullmatch(file.name), file) for file in config.backups.iterdir())
    return sorted(((day, file) for match, file in matches if match and (day := _day(match[1]))), reverse=True)


def _day(text: str) -> dt.date | None:
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        return None
