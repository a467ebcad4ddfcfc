"""Files the bot sent: kept in a folder, found again by Telegram's file_id."""

from __future__ import annotations

import hashlib
import itertools
import re
from typing import TYPE_CHECKING, Any

from bot.local.rules import Refused

if TYPE_CHECKING:
    from pathlib import Path

_NAMELESS = "application"  # python-telegram-bot's name for bytes without one: application.octet-stream
_PNG = b"\x89PNG\r\n\x1a\n"


class Folder:
    """Sent files under numbered names, each known by a `file_id` made from its bytes.

    The same bytes have one file_id and one path. No file is overwritten: a number already taken by
    other bytes (of an earlier run) is passed over, one taken by the same bytes is used as it stands.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._numbers = itertools.count(1)
        self._sent: dict[str, tuple[dict[str, Any], str]] = {}

    def add_picture(self, data: bytes, name: str, caption: str) -> str:
        """Keep a PNG, e.g. as 01-compare.png; its file_id. Refused when it is no PNG."""
        if not data.startswith(_PNG) or len(data) < 24:
            raise Refused("IMAGE_PROCESS_FAILED")
        size = {"width": int.from_bytes(data[16:20]), "height": int.from_bytes(data[20:24])}
        return self._add(data, f"{_slug(name, caption) or 'picture'}.png", size)

    def add_document(self, data: bytes, name: str) -> str:
        """Keep any file under its own name, e.g. as 01-export.json; its file_id."""
        stem, dot, suffix = name.rpartition(".")
        kept = f"{_slug(stem) or 'file'}.{_slug(suffix)}" if dot else _slug(name) or "file"
        return self._add(data, kept, {"file_name": name})

    def get(self, file_id: str) -> tuple[dict[str, Any], str]:
        """Bot API facts and place of a file sent before; Refused when it is unknown."""
        if file_id not in self._sent:
            raise Refused("wrong file identifier/HTTP URL specified")
        return self._sent[file_id]

    def _add(self, data: bytes, name: str, facts: dict[str, Any]) -> str:
        file_id = "local-" + hashlib.sha256(data).hexdigest()[:24]
        if file_id not in self._sent:
            facts = {"file_id": file_id, "file_unique_id": file_id, "file_size": len(data), **facts}
            self._sent[file_id] = (facts, self._keep(data, name))
        return file_id

    def _keep(self, data: bytes, name: str) -> str:
        """Write the file under the first free number; its place, or why it could not be kept."""
        while True:
            numbered = f"{next(self._numbers):02d}-{name}"
            if self._path is None:
                return f"{numbered} (not saved: there is no folder for pictures)"
            place = self._path / numbered
            try:
                self._path.mkdir(parents=True, exist_ok=True)
                if not place.exists():
                    place.write_bytes(data)
                elif place.read_bytes() != data:
                    continue
            except OSError as error:
                return f"{place} (not saved: {error.strerror})"
            return str(place)


def _slug(name: str, caption: str = "") -> str:
    """A file name's stem in plain letters, e.g. "Compare 6m.png" -> compare-6m; else the caption's start."""
    stem = name.rpartition(".")[0] or name
    words = caption.split("\n", 1)[0] if stem == _NAMELESS else stem
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")[:40].strip("-")
