"""What a chat has set for itself, the configuration where it has set nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bot.rendering.numbers import USUAL
from bot.rendering.themes import THEMES, Theme

if TYPE_CHECKING:
    from bot.config import Config

RETURNS: dict[str, bool | None] = {"both": None, "price": False, "total": True}


@dataclass(frozen=True)
class Preferences:
    """The settings of one chat."""

    zone: str
    theme: Theme
    total: bool | None = None  # returns: total, price, or None for both
    numbers: str = USUAL


def preferences_of(config: Config, row: Mapping[str, Any] | None) -> Preferences:
    """Preferences of a chat's row, None for a chat that is not known."""
    found = row or {}
    return Preferences(
        zone=str(found.get("timezone") or config.timezone),
        theme=THEMES.get(found.get("theme") or config.theme, THEMES["light"]),
        total=RETURNS.get(found.get("returns") or "both"),
        numbers=found.get("numbers") or USUAL,
    )
