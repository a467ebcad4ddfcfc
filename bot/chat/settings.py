"""/settings: time zone, quiet hours, kind of return, charts and numbers, typed or set with buttons."""

import re
import unicodedata
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from bot.chat.access import Ask
from bot.errors import BadInput
from bot.messages.canvas import THEMES
from bot.messages.common import Answer, Button, in_rows
from bot.messages.html import DEFAULT_NUMBERS, NUMBERS, Html, bold, code, lines, zone_label, zone_name
from bot.services import Caller, chats
from bot.services.chats import RETURNS, ChatSettings, settings_of
from bot.text import clock_time, load_toml, nearest
from storage.chat_store import StoredChat

_CITIES = (
    *("America/New_York", "America/Chicago", "America/Los_Angeles"),
    *("Europe/London", "Europe/Berlin", "Asia/Kolkata"),
    *("Asia/Singapore", "Asia/Tokyo", "UTC"),
)
_SPAN = re.compile(r"(?:from )?(\S+?(?: [ap]m)?)\s*(?:[-\u2013]|\bto\b|\buntil\b| )\s*(\S+(?: [ap]m)?)")
_OFFSET = re.compile(r"(?:utc|gmt)? ?(?P<sign>[-+\u2212\u2013]) ?(?P<hours>\d{1,2})(?::?(?P<minutes>\d{2}))?")
_FARTHEST_WEST, _FARTHEST_EAST = 12, 14  # hours from UTC, where people live
_BUTTONS_PER_ROW = 3


Show = Callable[["ChatSettings", "StoredChat | None"], str | Html]


@dataclass(frozen=True)
class Setting:
    """One setting: its choices on buttons, and how it is parsed, stored and shown. Its texts are in zones.toml."""

    name: str
    choices: tuple[str, ...]
    parse: Callable[[str], str]
    store: Callable[[Caller, str], Awaitable[StoredChat]]
    show: Show

    @property
    def title(self) -> str:
        """Its name, as people read it."""
        return _spellings()["titles"][self.name]

    @property
    def description(self) -> str | Html:
        """One or two sentences; a number in them is as code, in which it is not rewritten."""
        before, number, after = _spellings()["settings"][self.name].partition(DEFAULT_NUMBERS)
        return before + (code(number) if number else "") + after


def changes_settings(text: str) -> bool:
    """Return whether the words after /settings change anything. A name alone shows the setting."""
    return len(text.split()) > 1


async def on_settings(ask: Ask) -> Answer:
    """/settings shows all settings, /settings NAME one, /settings NAME VALUE sets it."""
    name, _, value = ask.text.partition(" ")
    setting = SETTINGS.get(_spellings()["words"].get(name.lower(), name.lower()))
    if name and setting is None:
        near = nearest(name, SETTINGS)
        raise BadInput(
            f"“{name[:40]}” is not a setting. The settings are {', '.join(SETTINGS)}."
            + (f" Did you mean {near}?" if near else ""),
            f"/settings {near or ''}".strip(),
        )
    if setting is not None and value.strip():
        parsed = setting.parse(value.strip())
        chat = await setting.store(ask.caller, parsed)
        card = _settings_page(settings_of(ask.services.config, chat), chat, changed=setting)
        is_offset = _OFFSET.fullmatch(value.strip().lower()) is not None and parsed in _spellings()["offsets"].values()
        if setting.name != "zone" or not (is_offset or value.strip().lower() in _spellings()["abbreviations"]):
            return card
        city = zone_name(ZoneInfo(parsed))
        times = "which has no summer time" if is_offset else "summer time too"
        note = f"{value.strip().upper()} is taken as the time of {city}, {times}."
        return replace(card, html=lines(card.html, note))
    stored = await chats.stored_chat(ask.services, ask.chat_id)
    return _settings_page(ask.settings, stored) if setting is None else _setting_page(ask, setting, stored)


def _settings_page(settings: ChatSettings, chat: StoredChat | None, changed: Setting | None = None) -> Answer:
    setting_lines = []
    for setting in SETTINGS.values():
        line = f"{setting.title}: " + setting.show(settings, chat)
        setting_lines.append(bold(line, " (set)") if setting is changed else line)
    labels: list[Button] = [(setting.title, f"/settings {name}") for name, setting in SETTINGS.items()]
    labels.append(("Summary", "/summary"))
    summary = (chat.summary_at if chat else None) or "off"
    html = lines(bold("Settings of this chat"), *setting_lines, f"Daily summary: {summary}, /summary")
    return Answer(html, buttons=in_rows(labels, 2))


def _setting_page(ask: Ask, setting: Setting, chat: StoredChat | None) -> Answer:
    html = lines(
        bold(setting.title) + ": " + setting.show(ask.settings, chat),
        setting.description,
        "Or type: " + code(f"/settings {setting.name} {setting.choices[0]}"),
    )
    choices: list[Button] = [(word, f"/settings {setting.name} {word}") for word in setting.choices]
    return Answer(html, buttons=(*in_rows(choices, _BUTTONS_PER_ROW), (("Back", "/settings"),)))


@lru_cache(maxsize=1)
def _spellings() -> dict[str, dict[str, str]]:
    """Return what people write for zones ("abbreviations", "offsets", words for "cities" by zone) and other "words"."""
    return load_toml("bot.chat", "zones.toml")


@lru_cache(maxsize=1)
def _zones() -> dict[str, str]:
    """Return all time zones by name, and by city if only one zone has that city."""
    names = sorted(available_timezones())
    cities: dict[str, list[str]] = {}
    for name in names:
        cities.setdefault(name.rpartition("/")[2].lower(), []).append(name)
    unique = {city: zones[0] for city, zones in cities.items() if len(zones) == 1}
    others = {city: name for name, words in _spellings()["cities"].items() for city in words.split()}
    return others | unique | {name.lower(): name for name in names}


def _parse_zone(text: str) -> str:
    words = text.lower()
    if (offset := _OFFSET.fullmatch(words)) is not None:
        return _zone_of_offset(text, offset)
    letters = (letter for letter in unicodedata.normalize("NFKD", words) if not unicodedata.combining(letter))
    city = re.sub(r"[ .]+", "_", "".join(letters).partition(",")[0]).strip("_")
    plain = re.sub("([aou])e", r"\1", city)  # Muenchen
    known = (_zones().get(name) for name in (city, city.replace("_", ""), plain))
    name = _spellings()["abbreviations"].get(words) or next(filter(None, known), None)
    if name is None:
        near = nearest(text.replace(" ", "_"), dict.fromkeys(_zones().values()))
        near = near or _zones().get(nearest(city, _zones()) or "", "")
        hint = f" Did you mean {near}?" if near else ""
        raise BadInput(f"“{text[:40]}” is not a time zone.{hint}", f"/settings zone {near or 'Europe/Berlin'}")
    return name


def _zone_of_offset(text: str, offset: re.Match[str]) -> str:
    """Return the zone of "UTC+2" or "GMT-5", whose names in the database of zones have the opposite sign."""
    hours, minutes = int(offset["hours"]), int(offset["minutes"] or 0)
    west = offset["sign"] != "+"
    if minutes and (zone := _spellings()["offsets"].get(f"{'-' if west else '+'}{hours}:{minutes:02}")):
        return zone
    if minutes or hours > (_FARTHEST_WEST if west else _FARTHEST_EAST):
        sentence = f"“{text[:40]}” is no zone's time all year; UTC-{_FARTHEST_WEST} to UTC+{_FARTHEST_EAST} are."
        raise BadInput(f"{sentence} For another offset name a city.", "/settings zone Asia/Kolkata")
    return f"Etc/GMT{'+' if west else '-'}{hours}" if hours else "UTC"


def _parse_quiet(text: str) -> str:
    if text.lower() in {"off", "none", "no"}:
        return "off"
    match = _SPAN.fullmatch(" ".join(text.lower().split()))
    start, end = (clock_time(match[1]), clock_time(match[2])) if match else (None, None)
    if start is None or end is None:
        raise BadInput(f"“{text[:40]}” is not a span of time.", "/settings quiet 22:00-07:00")
    if start == end:
        raise BadInput("Quiet hours cannot begin and end at the same time.", "/settings quiet 22:00-07:00")
    return f"{start}-{end}"


async def _store_quiet(caller: Caller, span: str) -> StoredChat:
    start, _, end = span.partition("-")
    return await chats.set_preferences(caller, quiet_from=start if end else None, quiet_to=end or None)


def _preference(name: str, choices: tuple[str, ...], show: Show) -> Setting:

    def parse(text: str) -> str:
        word = text.lower().replace("\u00a0", " ")
        word = _spellings()["words"].get(word, word)
        if word not in choices:
            known = Html(" · ").join(map(code, choices))  # as code, in which numbers are not rewritten
            raise BadInput(lines(f"“{text[:40]}” is not one of these: " + known), f"/settings {name} {choices[-1]}")
        return word

    async def store(caller: Caller, word: str) -> StoredChat:
        return await chats.set_preferences(caller, **{name: None if word == "both" else word})

    return Setting(name, choices, parse, store, show)


SETTINGS: dict[str, Setting] = {
    setting.name: setting
    for setting in (
        Setting("zone", _CITIES, _parse_zone, chats.set_time_zone, lambda settings, _: zone_label(settings.zone)),
        Setting(
            "quiet",
            ("21:00-07:00", "22:00-07:00", "23:00-08:00", "off"),
            _parse_quiet,
            _store_quiet,
            lambda _, chat: f"{chat.quiet_from}-{chat.quiet_to}" if chat and chat.quiet_from else "off",
        ),
        _preference("returns", tuple(RETURNS), lambda _, chat: (chat.returns if chat else None) or "both"),
        _preference("theme", tuple(THEMES), lambda settings, _: settings.theme),
        _preference("numbers", tuple(NUMBERS), lambda settings, _: code(settings.numbers or DEFAULT_NUMBERS)),
    )
}
