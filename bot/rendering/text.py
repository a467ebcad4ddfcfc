"""Telegram HTML: values always escaped, long messages split, dates and ages in words.

`Html` marks text that is markup already. Everything that joins, formats or wraps (`+`, `Html.join`,
`Html.format`, `bold`, `pre`, ...) escapes plain strings and leaves `Html` alone, so a value cannot become
markup by being forgotten. An f-string falls back to a plain string and is escaped where it is joined next.
Tags used: b, i, code, pre, a.
"""

from __future__ import annotations

import html as entities
import re
from typing import TYPE_CHECKING, NamedTuple

from markupsafe import Markup

from bot.analytics.dates import MONTHS, date_phrase, short_date
from bot.text import counted

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Iterator
    from typing import Self

__all__ = [
    "CAPTION_LIMIT",
    "MESSAGE_LIMIT",
    "MONTHS",
    "Html",
    "age_phrase",
    "bold",
    "code",
    "date_phrase",
    "escape",
    "italic",
    "lines",
    "link",
    "pre",
    "session_phrase",
    "short_date",
    "split_html",
    "strip_html",
    "visible_length",
]

MESSAGE_LIMIT = 4096  # visible UTF-16 units of one message, after entity parsing
CAPTION_LIMIT = 1024  # the same, of a photo's caption

_TAG = r"<(?P<slash>/?)(?P<tag>[a-z][a-z0-9-]*)[^<>]*>"
_ENTITY = (
    r"&(?:lt|gt|amp|quot|#\d{1,7}|#x[0-9a-f]{1,6});"  # all that Telegram knows; others it shows as typed
)
_TOKEN = re.compile(f"{_TAG}|{_ENTITY}|.", re.DOTALL)


class Html(Markup):
    """Text that is Telegram HTML already. Joining it with plain strings escapes those.

    Quotes stay as they are: they are harmless outside an attribute, and `link` escapes its address itself.
    """

    __slots__ = ()

    @classmethod
    def escape(cls, value: object, /) -> Self:
        """The value as text that Telegram shows literally. Html stays as it is."""
        return cls(value if isinstance(value, Markup) else entities.escape(str(value), quote=False))


escape = Html.escape


def lines(*parts: object) -> Html:
    """The parts one below the other. None is left out, an empty string is an empty line."""
    return Html("\n").join(escape(part) for part in parts if part is not None)


def _wrapped(tag: str, parts: Iterable[object]) -> Html:
    return Html(f"<{tag}>{Html('').join(map(escape, parts))}</{tag}>")


def bold(*parts: object) -> Html:
    """The parts in bold."""
    return _wrapped("b", parts)


def italic(*parts: object) -> Html:
    """The parts in italics."""
    return _wrapped("i", parts)


def code(*parts: object) -> Html:
    """The parts in a fixed-width font within a line. A tap copies them."""
    return _wrapped("code", parts)


def pre(text: str | Iterable[str]) -> Html:
    """A fixed-width block of a text or of lines, as `tables.table` makes them."""
    return _wrapped("pre", [text if isinstance(text, str) else "\n".join(text)])


def link(text: object, url: str) -> Html:
    """A link. The address is escaped for the attribute, quotes too."""
    return Html(f'<a href="{entities.escape(url)}">{escape(text)}</a>')


def strip_html(html: str) -> str:
    """The visible text: tags gone, entities unescaped, white space (and so tables) untouched."""
    return "".join(_visible(unit.raw) for unit in _units(html))


def visible_length(html: str) -> int:
    """UTF-16 units of the visible text, which is what Telegram's limits count."""
    return sum(unit.width for unit in _units(html))


class _Unit(NamedTuple):
    """One visible character: its markup, its UTF-16 width and the tags it stands in, outermost first.

    A tag is (serial, name, opening markup); the serial keeps two adjacent blocks apart.
    """

    raw: str
    width: int
    tags: tuple[tuple[int, str, str], ...]


def _units(html: str) -> Iterator[_Unit]:
    """Visible characters of the markup. A closing tag that closes nothing is dropped."""
    tags: tuple[tuple[int, str, str], ...] = ()
    for serial, match in enumerate(_TOKEN.finditer(html)):
        name = match["tag"]
        if name is None:
            text = _visible(match[0])
            yield _Unit(match[0], sum(1 + (ord(letter) > 0xFFFF) for letter in text), tags)
        elif not match["slash"]:
            tags = (*tags, (serial, name, match[0]))
        elif tags and tags[-1][1] == name:
            tags = tags[:-1]


def _visible(raw: str) -> str:
    return entities.unescape(raw) if len(raw) > 1 else raw


def split_html(html: str, limit: int = MESSAGE_LIMIT) -> list[str]:
    """Parts of at most `limit` visible UTF-16 units, each with balanced tags.

    Cuts at the last line border that fits (that newline is dropped), else after the last space, else
    between two characters. Parts without anything to see are left out, because Telegram refuses
    them; so an empty text has no parts.
    """
    if limit < 2:
        raise ValueError(f"a limit of {limit} cannot hold every character")
    units = list(_units(html))
    parts: list[str] = []
    start = 0
    while start < len(units):
        end, following = _cut(units, start, limit)
        if any(_visible(unit.raw).strip() for unit in units[start:end]):
            parts.append(_markup(units[start:end]))
        start = following
    return parts


def _cut(units: list[_Unit], start: int, limit: int) -> tuple[int, int]:
    """The end of the part from `start`, and the start of the next one."""
    used, newline, space = 0, -1, start
    for position in range(start, len(units)):
        raw = units[position].raw
        if raw == "\n":  # before the limit is tested: the newline at a cut takes no room
            newline = position
        if used + units[position].width > limit:
            if newline >= 0:
                return newline, newline + 1
            return (space, space) if space > start else (position, position)
        used += units[position].width
        if raw == " ":
            space = position + 1
    return len(units), len(units)


def _markup(units: list[_Unit]) -> str:
    """Markup of the units. Tags are opened and closed where they change, and all closed at the end."""
    out: list[str] = []
    current: tuple[tuple[int, str, str], ...] = ()
    for unit in units:
        if unit.tags != current:
            out.append(_change(current, unit.tags))
            current = unit.tags
        out.append(unit.raw)
    out.append(_change(current, ()))
    return "".join(out)


def _change(old: tuple[tuple[int, str, str], ...], new: tuple[tuple[int, str, str], ...]) -> str:
    """Closing and opening markup between two stacks of tags."""
    shared = 0
    while shared < min(len(old), len(new)) and old[shared] == new[shared]:
        shared += 1
    closing = "".join(f"</{name}>" for _, name, _ in reversed(old[shared:]))
    return closing + "".join(opening for _, _, opening in new[shared:])


def session_phrase(session: dt.date) -> str:
    """The session that a figure is for: "close of Fri 11 Dec 2020"."""
    return f"close of {date_phrase(session)}"


def age_phrase(sessions_behind: int) -> str:
    """How old a figure is: "" when it is current, else "1 session old", "3 sessions old"."""
    if sessions_behind <= 0:
        return ""
    return f"{counted(sessions_behind, 'session')} old"
