"""/settings: time zone, quiet hours, kind of return, charts, numbers; typed, or by buttons in place."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import available_timezones

from bot.errors import BadInput
from bot.rendering.answer import Answer, in_rows
from bot.rendering.numbers import NUMBERS, USUAL
from bot.rendering.text import Html, bold, code, lines
from bot.rendering.themes import THEMES
from bot.services import chats
from bot.services.chats import RETURNS, preferences_of
from bot.text import did_you_mean

if TYPE_CHECKING:
    from bot.chat.ask import Ask
    from bot.rendering.answer import Button
    from bot.services.base import Caller
    from bot.services.chats import Preferences
    from storage.chats import StoredChat

_ZONES = (
    "America/New_York",
    "America/Chicago",
    "America/Los_Angeles",
    "Europe/London",
    "Europe/Berlin",
    "Asia/Kolkata",
    "Asia/Singapore",
    "Asia/Tokyo",
    "UTC",
)
_QUIET = ("21:00-07:00", "22:00-07:00", "23:00-08:00", "off")
_CLOCK = r"([01]?[0-9]|2[0-3])(?:[:.]([0-5][0-9]))?"
_SPAN = re.compile(rf"{_CLOCK}\s*(?:-|–|to|\s)\s*{_CLOCK}")
_A_ROW = 3


@dataclass(frozen=True)
class Setting:
    """One setting: how it is called and explained, what is offered, how a typed word is read and stored."""

    name: str
    title: str
    about: str | Html
    offered: tuple[str, ...]
    read: Callable[[str], str]
    write: Callable[[Caller, str], Awaitable[StoredChat]]
    show: Callable[[Preferences, StoredChat | None], str | Html]

    @property
    def example(self) -> str:
        """A line that works."""
        return f"/settings {self.name} {self.offered[0]}"


def changes(text: str) -> bool:
    """Whether the words after /settings change anything: a setting alone shows its choice."""
    return len(text.split()) > 1


async def on_settings(ask: Ask) -> Answer:
    """/settings: all of them; one with what is offered; or one set."""
    name, _, value = ask.text.partition(" ")
    setting = SETTINGS.get(name.lower())
    if not name:
        return _card(ask, await _stored(ask))
    if setting is None:
        hint = did_you_mean(name, SETTINGS)
        known = ", ".join(SETTINGS)
        raise BadInput(
            f"“{name[:40]}” is no setting; there are {known}. {hint}".strip(), "/settings zone Europe/Berlin"
        )
    if not value.strip():
        return _choice(ask, setting, await _stored(ask))
    chat = await setting.write(ask.caller, setting.read(value.strip()))
    return _card(ask, chat, changed=setting)


async def _stored(ask: Ask) -> StoredChat | None:
    return await chats.stored_chat(ask.services, ask.chat_id)


def _card(ask: Ask, chat: StoredChat | None, changed: Setting | None = None) -> Answer:
    """All settings as they are, and a button for each."""
    preferences = preferences_of(ask.services.config, chat)
    settings = [_line(setting, preferences, chat, changed) for setting in SETTINGS.values()]
    summary = (chat.summary_at if chat else None) or "off"
    labels: list[Button] = [(setting.title, f"/settings {name}") for name, setting in SETTINGS.items()]
    labels.append(("Summary", "/summary"))
    html = lines(bold("Settings of this chat"), *settings, f"Daily summary: {summary}, /summary")
    return Answer(html, buttons=in_rows(labels, 2))


def _line(
    setting: Setting, preferences: Preferences, chat: StoredChat | None, changed: Setting | None
) -> Html:
    line = Html("").join((f"{setting.title}: ", setting.show(preferences, chat)))
    return bold(line, " (set)") if setting is changed else line


def _choice(ask: Ask, setting: Setting, chat: StoredChat | None) -> Answer:
    """One setting with what is offered."""
    html = lines(
        Html("").join(
            (bold(setting.title), ": ", setting.show(preferences_of(ask.services.config, chat), chat))
        ),
        setting.about,
        "Or type: " + code(setting.example),
    )
    offered: list[Button] = [(word, f"/settings {setting.name} {word}") for word in setting.offered]
    return Answer(html, buttons=(*in_rows(offered, _A_ROW), (("Back", "/settings"),)))


@lru_cache(maxsize=1)
def _zones() -> dict[str, str]:
    """Every zone by its name and, where one alone has it, by its city."""
    names = sorted(available_timezones())
    cities: dict[str, list[str]] = {}
    for name in names:
        cities.setdefault(name.rpartition("/")[2].lower(), []).append(name)
    return {city: found[0] for city, found in cities.items() if len(found) == 1} | {
        name.lower(): name for name in names
    }


def _read_zone(text: str) -> str:
    found = _zones().get(text.lower().replace(" ", "_"))
    if found is None:
        hint = did_you_mean(text.replace(" ", "_"), dict.fromkeys(_zones().values()))
        raise BadInput(f"“{text[:40]}” is not a time zone. {hint}".strip(), "/settings zone Europe/Berlin")
    return found


def _read_quiet(text: str) -> str:
    """The span as "HH:MM-HH:MM", or "off"."""
    if text.lower() in {"off", "none", "no"}:
        return "off"
    match = _SPAN.fullmatch(text.lower())
    if match is None:
        raise BadInput(f"“{text[:40]}” is no span of hours.", "/settings quiet 22:00-07:00")
    start, end = (f"{int(match[at]):02d}:{match[at + 1] or '00'}" for at in (1, 3))
    if start == end:
        raise BadInput("Quiet hours must end at another time than they begin.", "/settings quiet 22:00-07:00")
    return f"{start}-{end}"


async def _write_quiet(caller: Caller, span: str) -> StoredChat:
    start, _, end = span.partition("-")
    return await chats.set_quiet_hours(caller, start if end else None, end or None)


def _show_quiet(_: Preferences, chat: StoredChat | None) -> str:
    return f"{chat.quiet_from}-{chat.quiet_to}" if chat and chat.quiet_from else "off"


def _one_of(words: tuple[str, ...], example: str) -> Callable[[str], str]:
    """A reader of one word out of a few."""

    def read(text: str) -> str:
        if text.lower() not in words:
            raise BadInput(f"“{text[:40]}” is none of {', '.join(words)}.", example)
        return text.lower()

    return read


def _read_numbers(text: str) -> str:
    return _one_of(tuple(NUMBERS), "/settings numbers 1.234,5")(text.replace("\u00a0", " "))


SETTINGS: dict[str, Setting] = {
    setting.name: setting
    for setting in (
        Setting(
            "zone",
            "Time zone",
            "Of the summary's time and of quiet hours. A city is enough where only one has the name.",
            _ZONES,
            _read_zone,
            chats.set_time_zone,
            lambda preferences, _: preferences.zone,
        ),
        Setting(
            "quiet",
            "Quiet hours",
            "Alerts wait until they end and come as one list; urgent ones come at once.",
            _QUIET,
            _read_quiet,
            _write_quiet,
            _show_quiet,
        ),
        Setting(
            "returns",
            "Returns",
            "What /compare and the summary show where nothing else is asked: price return, total return "
            "(distributions reinvested), or both; the summary has room for one, price unless total is set.",
            tuple(RETURNS),
            _one_of(tuple(RETURNS), "/settings returns total"),
            chats.set_returns,
            lambda _, chat: (chat.returns if chat else None) or "both",
        ),
        Setting(
            "theme",
            "Charts",
            "The colours of charts.",
            tuple(THEMES),
            _one_of(tuple(THEMES), "/settings theme dark"),
            chats.set_theme,
            lambda preferences, _: preferences.theme,
        ),
        Setting(
            "numbers",
            "Numbers",
            "How numbers are written in texts. What you type, and the scales of charts, keep " + code(USUAL),
            tuple(NUMBERS),
            _read_numbers,
            chats.set_numbers,
            lambda preferences, _: code(preferences.numbers or USUAL),
        ),
    )
}
