"""Telegram HTML: escaping, messages in parts, tables, dates and ages in words, a chat's way to write numbers.

`Html` marks text that is markup already. Everything that joins, formats or wraps (`+`, `Html.join`,
`Html.format`, `bold`, `pre`, ...) escapes plain strings and leaves `Html` alone, so a value cannot become
markup by being forgotten. An f-string falls back to a plain string and is escaped where it is joined next.
Tags used: b, blockquote, code, pre.
"""

import datetime as dt
import html as entities
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple, Self
from zoneinfo import ZoneInfo

from markupsafe import Markup

from bot.analytics.units import NOT_AVAILABLE
from bot.text import counted, date_phrase

MESSAGE_LIMIT = 4096  # visible UTF-16 units of one message, after entity parsing
CAPTION_LIMIT = 1024  # the same, of a photo's caption

_TAG = r"<(?P<slash>/?)(?P<tag>[a-z][a-z0-9-]*+)[^<>]*+>"
# All entities that Telegram knows. Others it shows as typed.
_ENTITY = r"&(?:lt|gt|amp|quot|#\d{1,7}|#x[0-9a-f]{1,6});"
_TOKEN = re.compile(f"{_TAG}|{_ENTITY}|.", re.DOTALL)
_MARKUP = re.compile(f"{_TAG}|{_ENTITY}")


class Html(Markup):
    """Text that is Telegram HTML already. Joining it with plain strings escapes those, but for quotes."""

    __slots__ = ()

    @classmethod
    def escape(cls, value: object, /) -> Self:
        """Return the value as text that Telegram shows literally. Html stays as it is."""
        return value if isinstance(value, cls) else cls(_literal(value))


escape = Html.escape


def _literal(value: object) -> str:
    return value if isinstance(value, Markup) else entities.escape(str(value), quote=False)


def lines(*parts: object) -> Html:
    """Return the parts one below the other. None is left out, an empty string is an empty line."""
    return Html("\n".join(_literal(part) for part in parts if part is not None))


def _wrapped(tag: str, parts: Iterable[object]) -> Html:
    return Html(f"<{tag}>{''.join(map(_literal, parts))}</{tag}>")


def bold(*parts: object) -> Html:
    """Return the parts in bold."""
    return _wrapped("b", parts)


def code(*parts: object) -> Html:
    """Return the parts in a fixed-width font within a line. A tap copies them."""
    return _wrapped("code", parts)


def pre(text: str | Iterable[str]) -> Html:
    """Return a fixed-width block of a text, e.g. a `table`, or of lines."""
    return _wrapped("pre", [text if isinstance(text, str) else "\n".join(text)])


def expandable(*parts: object) -> Html:
    """Return the parts in a quote that shows three lines until it is tapped. It holds no `pre` block."""
    return Html(f"<blockquote expandable>{''.join(map(_literal, parts))}</blockquote>")


def strip_html(html: str) -> str:
    """Return the visible text: tags gone, entities unescaped, white space (and so tables) untouched."""
    return _MARKUP.sub(lambda match: "" if match["tag"] else entities.unescape(match[0]), html)


def visible_length(html: str) -> int:
    """Return the UTF-16 units of the visible text, which is what Telegram's limits count."""
    return sum(unit.width for unit in _units(html))


class _Unit(NamedTuple):
    """One visible character: its markup, its UTF-16 width and the tags it stands in, outermost first.

    A tag is (serial, name, opening markup); the serial keeps two adjacent blocks apart.
    """

    raw: str
    width: int
    tags: tuple[tuple[int, str, str], ...]


def _units(html: str) -> Iterator[_Unit]:
    """Yield the visible characters of the markup. A closing tag that closes nothing is dropped."""
    tags: tuple[tuple[int, str, str], ...] = ()
    for serial, match in enumerate(_TOKEN.finditer(html)):
        name = match["tag"]
        if name is None:
            text = entities.unescape(match[0]) if match[0][0] == "&" else match[0]
            yield _Unit(match[0], len(text) + sum(map("\uffff".__lt__, text)), tags)
        elif not match["slash"]:
            tags = (*tags, (serial, name, match[0]))
        elif tags and tags[-1][1] == name:
            tags = tags[:-1]


def split_html(html: str, limit: int = MESSAGE_LIMIT) -> list[str]:
    """Split a text into parts of at most `limit` visible UTF-16 units, each with balanced tags.

    Cuts at the last line border that fits (that newline is dropped), else after the last space, else
    between two characters. Parts without anything to see are left out, because Telegram refuses
    them; so an empty text has no parts.
    """
    if limit < 2:
        raise ValueError(f"a limit of {limit} cannot hold every character")
    return list(_parts(html, limit))


@lru_cache(256)  # many ask the same, or get the same summary
def _parts(html: str, limit: int) -> tuple[str, ...]:
    units = list(_units(html))
    parts: list[str] = []
    start = 0
    while start < len(units):
        end, following = _cut(units, start, limit)
        if any(entities.unescape(unit.raw).strip() for unit in units[start:end]):
            parts.append(_markup(units[start:end]))
        start = following
    return tuple(parts)


def _cut(units: list[_Unit], start: int, limit: int) -> tuple[int, int]:
    """Return the end of the part from `start`, and the start of the next one."""
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
    """Return the markup of the units. Tags are opened and closed where they change, all closed at the end."""
    out: list[str] = []
    current: tuple[tuple[int, str, str], ...] = ()
    for raw, _, tags in (*units, _Unit("", 0, ())):
        if tags is not current:
            shared = 0
            while shared < min(len(current), len(tags)) and current[shared] == tags[shared]:
                shared += 1
            out += [f"</{name}>" for _, name, _ in reversed(current[shared:])]
            out += [opening for _, _, opening in tags[shared:]]
            current = tags
        out.append(raw)
    return "".join(out)


def moment(instant: dt.datetime, zone: ZoneInfo) -> str:
    """Return an instant in local time: "Mon 14 Dec 2020, 16:15"."""
    local = instant.astimezone(zone)
    return f"{date_phrase(local.date())}, {local:%H:%M}"


def zone_name(zone: ZoneInfo) -> str:
    """Return a time zone as people call it: "New York" for America/New_York, "UTC+1" for Etc/GMT-1."""
    return zone_label(zone.key).rpartition("/")[2].replace("_", " ")


def zone_label(key: str) -> str:
    """Return the name of a zone, of a fixed offset with the sign that people mean: ahead of UTC is +."""
    sign, hours = key[7:8], key[8:]
    if not key.startswith("Etc/GMT") or sign not in ("+", "-") or hours == "0":
        return key
    return f"UTC{'-' if sign == '+' else '+'}{hours}"


def session_phrase(session: dt.date) -> str:
    """Return the session that a figure is for: "close of Fri 11 Dec 2020"."""
    return f"close of {date_phrase(session)}"


def age_phrase(sessions_behind: int) -> str:
    """Return how old a figure is: "" when it is current, else "1 session old", "3 sessions old"."""
    return f"{counted(sessions_behind, 'session')} old" if sessions_behind > 0 else ""


def capital(words: str) -> str:
    """Return the words with a capital first letter."""
    return words[:1].upper() + words[1:]


# Ways to write a number, by an example of each: the marks between thousands and before decimals. All are
# one character, so that tables keep their columns; the space does not break.
NUMBERS: dict[str, tuple[str, str]] = {
    "1,234.5": (",", "."),
    "1.234,5": (".", ","),
    "1 234,5": ("\u00a0", ","),
    "1'234.5": ("'", "."),
}
DEFAULT_NUMBERS = "1,234.5"
# Not numbers to be rewritten: what is to be typed or was typed (code, quotes), markup, versions.
_NUMBER = re.compile(
    r"<code>[^<]*+(?:<(?!/?code>)[^<]*+)*+</code>|“[^“”]*+”|<[^<>]*+>"
    r"|(?<![\w.,#&])(?P<whole>\d{1,3}(?:,\d{3})+|\d+)(?P<part>\.\d+)?(?!\d|[.,]\d)",
    re.DOTALL,
)


def localized(html: Html, numbers: str | None) -> Html:
    """Write the numbers of a text in one of NUMBERS (None: DEFAULT_NUMBERS). Commands and quotations stay."""
    if numbers is None or numbers == DEFAULT_NUMBERS or numbers not in NUMBERS:
        return html
    thousands, point = NUMBERS[numbers]

    def rewrite(match: re.Match[str]) -> str:
        if match["whole"] is None:
            return match[0]
        return match["whole"].replace(",", thousands) + (match["part"] or "").replace(".", point)

    return Html(_NUMBER.sub(rewrite, html))


TABLE_WIDTH = 34  # characters of a fixed-width line on a narrow phone at the default text size

TableRow = Sequence[str | None]


def table(header: TableRow, rows: Sequence[TableRow]) -> str:
    """Return the lines of a table for a `pre` block. None in a cell is shown as "n/a".

    The first column is left-aligned, all others are right-aligned, two apart where that fits, else one. Cells are text
    already, as `Unit.show` makes it (minus is U+2212, one column wide like every character here). A label too long for
    its column (a window "since 2020-09-30") stands on a line of its own above its figures; so may all of them. Raises
    ValueError when the figures do not fit, and when a row has not as many cells as the header.
    """
    grid = [[NOT_AVAILABLE if cell is None else cell for cell in row] for row in (header, *rows)]
    if any(len(row) != len(header) for row in grid):
        raise ValueError(f"every row needs {len(header)} cells, as the header {list(header)} has")
    figures = [max(len(row[column]) for row in grid) for column in range(1, len(header))]
    room = {gap: TABLE_WIDTH - sum(figures) - gap * len(figures) for gap in (1, 2)}  # for the label
    label = max((len(row[0]) for row in grid if len(row[0]) <= room[1]), default=0)
    gap = " " * (2 if room[2] >= label else 1)
    if room[1] < 0 or any(len(row[0]) > TABLE_WIDTH for row in grid):
        raise ValueError(f"the table under {list(header)} does not fit {TABLE_WIDTH} columns")
    text: list[str] = []
    for first, *others in grid:
        cells = [cell.rjust(size) for cell, size in zip(others, figures, strict=True)]
        if len(first) > label:
            text.append(first)
            first = ""  # noqa: PLW2901 - it stands above
        text.append(gap.join([first.ljust(label), *cells]).rstrip())
    return "\n".join(text)
