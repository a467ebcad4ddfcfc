"""What a chat has set for itself, the configuration where it has set nothing."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from bot.rendering.numbers import USUAL
from bot.rendering.themes import THEMES, Theme

if TYPE_CHECKING:
    from bot.config import Config
    from storage.chats import Chat

RETURNS: dict[str, bool | None] = {"both": None, "price": False, "total": True}


def zone_of(name: str | None, default: str) -> ZoneInfo:
    """A chat's time zone, the configuration's where it has set none.

    That stands in, too, for a name that this machine's tables of zones no longer know: one chat's must not
    stop what is due to the others.
    """
    with suppress(ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo(name or default)
    return ZoneInfo(default)


@dataclass(frozen=True)
class Preferences:
    """The settings of one chat."""

    zone: str
    theme: Theme
    total: bool | None = None  # returns: total, price, or None for both
    numbers: str = USUAL


def preferences_of(config: Config, chat: Chat | None) -> Preferences:
    """Preferences of a chat, None for one that is not known."""
    timezone, theme, returns, numbers = (
        (chat.timezone, chat.theme, chat.returns, chat.numbers) if chat else (None, None, None, None)
    )
    return Preferences(
        zone=zone_of(timezone, config.time.timezone).key,
        theme=THEMES.get(theme or config.charts.theme, THEMES["light"]),
        total=RETURNS.get(returns or "both"),
        numbers=numbers or USUAL,
    )
