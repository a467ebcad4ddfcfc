"""/settings: time zone, quiet hours, kind of return, charts and numbers, typed or set with buttons."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import available_timezones

from bot.errors import BadInput
from bot.messages.canvas import THEMES
from bot.messages.common import Answer, in_rows
from bot.messages.html import DEFAULT_NUMBERS, NUMBERS, Html, bold, code, lines
from bot.services import chats
from bot.services.chats import RETURNS, settings_of
from bot.text import did_you_mean

if TYPE_CHECKING:
    from bot.chat.access import Ask
    from bot.messages.common import Button
    from bot.services import Caller
    from bot.services.chats import ChatSettings
    from storage.chat_store import StoredChat


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
_BUTTONS_PER_ROW = 3


@dataclass(frozen=True)
class Setting:
    """One setting: its name and description, its choices on buttons, and how it is parsed and stored."""

    name: str
    title: str
    description: str | Html
    choices: tuple[str, ...]
    parse: Callable[[str], str]
    store: Callable[[Caller, str], Awaitable[StoredChat]]
    format: Callable[[ChatSettings, StoredChat | None], str | Html]

    @property
    def example(self) -> str:
        """A line that sets it."""
        return f"/settings {self.name} {self.choices[0]}"


def changes_settings(text: str) -> bool:
    """Whether the words after /settings change anything. A name alone shows the setting."""
    return len(text.split()) > 1


async def on_settings(ask: Ask) -> Answer:
    """/settings shows all settings, /settings NAME one, /settings NAME VALUE sets it."""
    name, _, value = ask.text.partition(" ")
    setting = SETTINGS.get(name.lower())
    if not name:
        return _settings_page(ask, await _stored(ask))
    if setting is None:
        hint = did_you_mean(name, SETTINGS)
        known = ", ".join(SETTINGS)
        raise BadInput(
            f"“{name[:40]}” is not a setting. The settings are {known}. {hint}".strip(),
            "/settings zone Europe/Berlin",
        )
    if not value.strip():
        return _setting_page(ask, setting, await _stored(ask))
    chat = await setting.store(ask.caller, setting.parse(value.strip()))
    return _settings_page(ask, chat, changed=setting)


async def _stored(ask: Ask) -> StoredChat | None:
    return await chats.stored_chat(ask.services, ask.chat_id)


def _settings_page(ask: Ask, chat: StoredChat | None, changed: Setting | None = None) -> Answer:
    """All settings, with a button for each."""
    settings = settings_of(ask.services.config, chat)
    setting_lines = [_line(setting, settings, chat, changed) for setting in SETTINGS.values()]
    summary = (chat.summary_at if chat else None) or "off"
    labels: list[Button] = [(setting.title, f"/settings {name}") for name, setting in SETTINGS.items()]
    labels.append(("Summary", "/summary"))
    html = lines(bold("Settings of this chat"), *setting_lines, f"Daily summary: {summary}, /summary")
    return Answer(html, buttons=in_rows(labels, 2))


def _line(setting: Setting, settings: ChatSettings, chat: StoredChat | None, changed: Setting | None) -> Html:
    line = Html("").join((f"{setting.title}: ", setting.format(settings, chat)))
    return bold(line, " (set)") if setting is changed else line


def _setting_page(ask: Ask, setting: Setting, chat: StoredChat | None) -> Answer:
    """One setting with its choices."""
    html = lines(
        Html("").join(
            (bold(setting.title), ": ", setting.format(settings_of(ask.services.config, chat), chat))
        ),
        setting.description,
        "Or type: " + code(setting.example),
    )
    offered: list[Button] = [(word, f"/settings {setting.name} {word}") for word in setting.choices]
    return Answer(html, buttons=(*in_rows(offered, _BUTTONS_PER_ROW), (("Back", "/settings"),)))


@lru_cache(maxsize=1)
def _zones() -> dict[str, str]:
    """All time zones by name, and by city if only one zone has that city."""
    names = sorted(available_timezones())
    cities: dict[str, list[str]] = {}
    for name in names:
        cities.setdefault(name.rpartition("/")[2].lower(), []).append(name)
    unique = {city: zones[0] for city, zones in cities.items() if len(zones) == 1}
    return unique | {name.lower(): name for name in names}


def _parse_zone(text: str) -> str:
    name = _zones().get(text.lower().replace(" ", "_"))
    if name is None:
        hint = did_you_mean(text.replace(" ", "_"), dict.fromkeys(_zones().values()))
        raise BadInput(f"“{text[:40]}” is not a time zone. {hint}".strip(), "/settings zone Europe/Berlin")
    return name


def _parse_quiet(text: str) -> str:
    """The span as "HH:MM-HH:MM", or "off"."""
    if text.lower() in {"off", "none", "no"}:
        return "off"
    match = _SPAN.fullmatch(text.lower())
    if match is None:
        raise BadInput(f"“{text[:40]}” is not a span of hours.", "/settings quiet 22:00-07:00")
    start, end = (f"{int(match[at]):02d}:{match[at + 1] or '00'}" for at in (1, 3))
    if start == end:
        raise BadInput("Quiet hours must not end when they begin.", "/settings quiet 22:00-07:00")
    return f"{start}-{end}"


async def _store_quiet(caller: Caller, span: str) -> StoredChat:
    start, _, end = span.partition("-")
    return await chats.set_quiet_hours(caller, start if end else None, end or None)


def _format_quiet(_: ChatSettings, chat: StoredChat | None) -> str:
    return f"{chat.quiet_from}-{chat.quiet_to}" if chat and chat.quiet_from else "off"


def _choice_parser(words: tuple[str, ...], example: str) -> Callable[[str], str]:
    """A parser that accepts one of some words."""

    def read(text: str) -> str:
        if text.lower() not in words:
            raise BadInput(f"“{text[:40]}” is not one of {', '.join(words)}.", example)
        return text.lower()

    return read


def _parse_numbers(text: str) -> str:
    return _choice_parser(tuple(NUMBERS), "/settings numbers 1.234,5")(text.replace("\u00a0", " "))


SETTINGS: dict[str, Setting] = {
    setting.name: setting
    for setting in (
        Setting(
            "zone",
            "Time zone",
            "Of the summary's time and of quiet hours. A city is enough where only one has the name.",
            _ZONES,
            _parse_zone,
            chats.set_time_zone,
            lambda settings, _: settings.zone,
        ),
        Setting(
            "quiet",
            "Quiet hours",
            "Alerts wait until they end and come as one list; urgent ones come at once.",
            _QUIET,
            _parse_quiet,
            _store_quiet,
            _format_quiet,
        ),
        Setting(
            "returns",
            "Returns",
            "What /compare and the summary show where nothing else is asked: price return, total return "
            "(distributions reinvested), or both; the summary has room for one, price unless total is set.",
            tuple(RETURNS),
            _choice_parser(tuple(RETURNS), "/settings returns total"),
            chats.set_returns,
            lambda _, chat: (chat.returns if chat else None) or "both",
        ),
        Setting(
            "theme",
            "Charts",
            "The colours of charts.",
            tuple(THEMES),
            _choice_parser(tuple(THEMES), "/settings theme dark"),
            chats.set_theme,
            lambda settings, _: settings.theme,
        ),
        Setting(
            "numbers",
            "Numbers",
            "How numbers are written in texts. What you type, and the scales of charts, keep "
            + code(DEFAULT_NUMBERS),
            tuple(NUMBERS),
            _parse_numbers,
            chats.set_numbers,
            lambda settings, _: code(settings.numbers or DEFAULT_NUMBERS),
        ),
    )
}
