"""A chat drawn as it stands on a phone: bubbles, tables of one width, charts, buttons."""

from __future__ import annotations

import datetime as dt
import io
from dataclasses import dataclass, field
from functools import lru_cache
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import matplotlib as mpl
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Points of the phone's screen; drawn FINE times as large and halved, which smooths the edges.
WIDTH, GAP, PAD, RADIUS, FINE = 372, 28, 11, 13, 4
TEXT, SMALL, LEADING = 13.0, 10.0, 1.36
BUBBLE = 318  # widest bubble
GROUND, BAR, MINE, THEIRS = "#CFDCE6", "#3F7FB0", "#E1F7CF", "#FFFFFF"
INK, MUTED, LINK, BUTTON, CODE = "#15191E", "#6C7A86", "#1F6FA8", "#9FB4C4", "#24527A"
ZONE = ZoneInfo("America/New_York")
_FONTS = {
    "plain": "DejaVuSans.ttf",
    "b": "DejaVuSans-Bold.ttf",
    "code": "DejaVuSansMono.ttf",
    "pre": "DejaVuSansMono.ttf",
    "blockquote": "DejaVuSans.ttf",
}
QUOTE, QUOTE_LINES = "blockquote", 3  # of an expandable quote that is not tapped


@dataclass(frozen=True)
class Bubble:
    """One message: Telegram HTML (plain text when it is mine), a picture and buttons below it."""

    at: dt.datetime
    text: str
    mine: bool = False
    picture: bytes | None = None
    buttons: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Chat:
    """One phone's screen."""

    title: str
    subtitle: str
    bubbles: Sequence[Bubble]


@dataclass
class _Reader(HTMLParser):
    """Lines of runs (style, text) of Telegram HTML."""

    lines: list[list[tuple[str, str]]] = field(default_factory=lambda: [[]])
    styles: list[str] = field(default_factory=lambda: ["plain"])

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        del attrs
        self.styles.append(tag if tag in _FONTS else self.styles[-1])

    def handle_endtag(self, tag: str) -> None:
        del tag
        self.styles.pop()

    def handle_data(self, data: str) -> None:
        first, *more = data.split("\n")
        self.lines[-1].append((self.styles[-1], first))
        self.lines += [[(self.styles[-1], line)] for line in more]


@lru_cache
def _font(style: str, size: float) -> ImageFont.FreeTypeFont:
    """One of the fonts that come with matplotlib, so that the picture is the same everywhere."""
    return ImageFont.truetype(Path(mpl.get_data_path(), "fonts", "ttf", _FONTS[style]), size * FINE)


def _width(style: str, text: str) -> float:
    """Width in points."""
    return _font(style, TEXT).getlength(text) / FINE


def _wrapped(bubble: Bubble) -> list[list[tuple[str, str]]]:
    """Lines of runs, broken between words; a table's line is never broken."""
    if bubble.mine:
        return [[("plain", bubble.text)]]
    reader = _Reader()
    reader.feed(bubble.text)
    reader.close()
    lines = [broken for line in reader.lines for broken in _broken(line)]
    quoted = [line for line in lines if any(style == QUOTE for style, _ in line)]
    return [line for line in lines if line not in quoted[QUOTE_LINES:]]


def _broken(line: list[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    room = BUBBLE - 2 * PAD
    if any(style == "pre" for style, _ in line):
        if sum(_width(style, text) for style, text in line) > room:
            raise ValueError(f"a table is too wide for the phone: {line}")
        yield line
        return
    row: list[tuple[str, str]] = []
    used = 0.0
    for style, word in ((style, word) for style, text in line for word in _words(text)):
        if row and used + _width(style, word.rstrip()) > room:
            yield row
            row, used = [], 0.0
        row.append((style, word))
        used += _width(style, word)
    yield row


def _words(text: str) -> list[str]:
    """Words, each with the spaces after it."""
    parts = text.split(" ")
    return [f"{part} " for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


class _Screen:
    """Draws one phone from top to bottom; `y` is where the next thing begins, in points."""

    def __init__(self, image: Image.Image, left: float) -> None:
        self.image, self.left, self.y = image, left, 0.0
        self.pen = ImageDraw.Draw(image)

    def chat(self, chat: Chat) -> None:
        self.box(0, WIDTH, 50, BAR, 0)
        self.say(16, 9, chat.title, "b", "#FFFFFF", TEXT + 1)
        self.say(16, 28, chat.subtitle, "plain", "#DCE9F3", SMALL)
        self.y = 60
        day = ""
        for bubble in chat.bubbles:
            if day != (day := f"{bubble.at.astimezone(ZONE):%-d %B %Y}"):
                self.day(day)
            self.bubble(bubble)

    def box(self, x: float, width: float, height: float, colour: str, radius: float = RADIUS) -> None:
        """A box at the height reached; does not move on."""
        corners = (self.left + x, self.y, self.left + x + width, self.y + height)
        self.pen.rounded_rectangle([round(c * FINE) for c in corners], radius * FINE, fill=colour)

    def say(self, x: float, y: float, text: str, style: str, colour: str, size: float = TEXT) -> None:
        """Text with its top at `y` below the height reached."""
        place = ((self.left + x) * FINE, (self.y + y) * FINE)
        self.pen.text(place, text, font=_font(style, size), fill=colour)

    def day(self, day: str) -> None:
        width = _font("b", SMALL).getlength(day) / FINE
        self.box((WIDTH - width) / 2 - 10, width + 20, 20, "#8FA6B7", 10)
        self.say((WIDTH - width) / 2, 4, day, "b", "#FFFFFF", SMALL)
        self.y += 30

    def bubble(self, bubble: Bubble) -> None:
        """Picture, text, time, and the buttons below."""
        lines = _wrapped(bubble)
        time = f"{bubble.at.astimezone(ZONE):%H:%M}"
        stamp = _font("plain", SMALL - 1).getlength(time) / FINE
        longest = max(sum(_width(style, text) for style, text in line) for line in lines)
        last = sum(_width(style, text) for style, text in lines[-1])
        width = BUBBLE if bubble.picture else min(BUBBLE, max(longest, last + stamp + 12) + 2 * PAD)
        apart = last + stamp + 12 > width - 2 * PAD
        picture = self.picture(bubble.picture) if bubble.picture else None
        text_height = len(lines) * TEXT * LEADING + 2 * 8 + (12 if apart else 0)
        height = text_height + (picture.height / FINE + 4 if picture else 0.0)
        x = WIDTH - width - 8 if bubble.mine else 8
        self.box(x, width, height, MINE if bubble.mine else THEIRS)
        if picture:
            corner = (round((self.left + x + 2) * FINE), round((self.y + text_height + 2) * FINE))
            self.image.paste(picture, corner, _rounded(picture.size))
        for number, line in enumerate(lines):
            self.line(x + PAD, 8 + number * TEXT * LEADING, line)
        self.say(x + width - PAD - stamp, text_height - 17, time, "plain", MUTED, SMALL - 1)
        self.y += height + 4
        for row in bubble.buttons:
            self.buttons(row, width)
        self.y += 6

    def line(self, x: float, y: float, runs: list[tuple[str, str]]) -> None:
        for style, text in runs:
            command = style == "plain" and text.startswith("/")
            colour = LINK if command else CODE if style == "code" else MUTED if style == QUOTE else INK
            self.say(x, y, text, style, colour)
            x += _width(style, text)

    def picture(self, png: bytes) -> Image.Image:
        found = Image.open(io.BytesIO(png)).convert("RGB")
        width = (BUBBLE - 4) * FINE
        return found.resize((width, round(found.height * width / found.width)), Image.Resampling.LANCZOS)

    def buttons(self, row: tuple[str, ...], width: float) -> None:
        """One row of buttons as wide as the bubble."""
        width = max(width, 250)
        each = (width - 4 * (len(row) - 1)) / len(row)
        for number, label in enumerate(row):
            x = 8 + number * (each + 4)
            self.box(x, each, 30, BUTTON, 8)
            size = _font("b", TEXT - 1.5).getlength(label) / FINE
            self.say(x + (each - size) / 2, 7, label, "b", "#FFFFFF", TEXT - 1.5)
        self.y += 34


def _rounded(size: tuple[int, int]) -> Image.Image:
    """A mask that takes off the corners."""
    mask = Image.new("L", size, 0)
    box = (0, 0, size[0] - 1, size[1] - 1)
    ImageDraw.Draw(mask).rounded_rectangle(box, (RADIUS - 2) * FINE, fill=255)
    return mask


def draw(chats: Sequence[Chat], place: Path) -> None:
    """Write the phones beside each other as one PNG, as high as the longest chat."""
    width = len(chats) * WIDTH + (len(chats) - 1) * GAP
    heights = [_drawn(chat, Image.new("RGB", (1, 1)), 0) for chat in chats]  # measured before it is drawn
    image = Image.new("RGB", (width * FINE, round(max(heights) * FINE)), "#FFFFFF")
    for number, chat in enumerate(chats):
        left = number * (WIDTH + GAP)
        ImageDraw.Draw(image).rectangle([left * FINE, 0, (left + WIDTH) * FINE - 1, image.height], fill=GROUND)
        _drawn(chat, image, left)
    half = image.resize((image.width * 2 // FINE, image.height * 2 // FINE), Image.Resampling.LANCZOS)
    # 256 colours are enough and a quarter of the size; this method keeps the lines' own.
    half.quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(place, optimize=True)


def _drawn(chat: Chat, image: Image.Image, left: float) -> float:
    """Draw a chat; the height it takes."""
    screen = _Screen(image, left)
    screen.chat(chat)
    return screen.y + 6
