"""The dated copies of the database: their names, and which of them there are."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bot.config import Config


def file_of(config: Config, day: dt.date) -> Path:
    """The copy of a local date, e.g. backups/bot-2020-12-11.db."""
    return config.backups / f"{config.database.stem}-{day}{config.database.suffix}"


def kept(config: Config) -> list[tuple[dt.date, Path]]:
    """The dated copies of this database, the newest first; none without a folder. OSError if unreadable."""
    name = re.compile(
        rf"{re.escape(config.database.stem)}-(\d{{4}}-\d\d-\d\d){re.escape(config.database.suffix)}"
    )
    if not config.backups.is_dir():
        return []
    found = ((name.fullmatch(file.name), file) for file in config.backups.iterdir())
    return sorted(((day, file) for match, file in found if match and (day := _day(match[1]))), reverse=True)


def _day(text: str) -> dt.date | None:
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        return None
