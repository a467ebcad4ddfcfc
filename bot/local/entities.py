"""Telegram's formatted text: HTML to entities with the real parser's errors, and commands in plain text.

The rules and the wording follow core.telegram.org/bots/api#html-style and TDLib's parser. Two rules are
stricter than Telegram's, because both reveal a mistake of the sender. A bare "&" or an unknown named entity,
which Telegram shows as typed, is refused as a value that was not escaped. A tag inside <code> or <pre>, which
Telegram drops, is refused too.
"""

from __future__ import annotations

import html
import re
from typing import Any

TAGS = {
    "b": "bold", "strong": "bold", "i": "italic", "em": "italic", "u": "underline", "ins": "underline",
    "s": "strikethrough", "strike": "strikethrough", "del": "strikethrough", "code": "code", "pre": "pre",
    "a": "text_link", "blockquote": "blockquote", "tg-spoiler": "spoiler", "span": "spoiler",
    "tg-emoji": "custom_emoji",
}  # fmt: skip
_FIXED_WIDTH = frozenset({"code", "pre"})
_ESCAPE = re.compile(r"&(?:lt|gt|amp|quot|#[0-9]{1,7}|#x[0-9a-fA-F]{1,6});")
_START_TAG = re.compile(r"<([^\s>]*)")
_END_TAG = re.compile(r"</([^\s>]*)\s*")
_ATTRIBUTE = re.compile(r"\s*(?P<name>[^\s=>]*)\s*(?P<equals>=?)\s*(?P<quote>[\"']?)")
_TAG_CLOSE = re.compile(r"\s*>")
_NAME_TOKEN = re.compile(r"[A-Za-z0-9.-]*")
_COMMAND = re.compile(r"(?<![\w/])/[A-Za-z0-9_]{1,64}(?:@[A-Za-z0-9_]{3,32})?(?![\w/@])")


class EntityError(ValueError):
    """The HTML cannot be parsed. The message is the reason in Telegram's words."""


def utf16_length(text: str) -> int:
    """Return the number of UTF-16 code units, in which Telegram counts lengths and offsets."""
    return len(text.encode("utf-16-le")) // 2


def command_entities(text: str) -> list[dict[str, Any]]:
    """Return the entities of the commands in a text that a person writes."""
    return [
        {
            "type": "bot_command",
            "offset": utf16_length(text[: match.start()]),
            "length": utf16_length(match[0]),
        }
        for match in _COMMAND.finditer(text)
    ]


def parse_html(source: str) -> tuple[str, list[dict[str, Any]]]:
    """Return the plain text and its entities, ordered by offset. Raises EntityError."""
    parser = _Parser(source)
    parser.run()
    entities = sorted(parser.entities, key=lambda entity: (entity["offset"], -entity["length"]))
    return "".join(parser.text), [entity for entity in entities if entity["length"]]


class _Parser:
    def __init__(self, source: str) -> None:
        self.source = source
        self.text: list[str] = []
        self.length = 0  # UTF-16 units of the text
        self.open_tags: list[tuple[str, dict[str, str], int]] = []  # name, attributes, offset of the text
        self.entities: list[dict[str, Any]] = []

    def run(self) -> None:
        position = 0
        while position < len(self.source):
            if self.source.startswith("</", position):
                position = self._end_tag(position)
            elif self.source[position] == "<":
                position = self._start_tag(position)
            elif self.source[position] == "&":
                position = self._escape(position)
            else:
                self._append(self.source[position])
                position += 1
        if self.open_tags:
            raise EntityError(f'Can\'t find end tag corresponding to start tag "{self.open_tags[-1][0]}"')

    def _append(self, text: str) -> None:
        self.text.append(text)
        self.length += utf16_length(text)

    def _error(self, reason: str, position: int) -> EntityError:
        return EntityError(f"{reason} at byte offset {len(self.source[:position].encode())}")

    def _read(self, pattern: re.Pattern[str], position: int) -> re.Match[str]:
        """Return the match of a pattern that always matches at the position."""
        match = pattern.match(self.source, position)
        if match is None:
            raise AssertionError(f"{pattern.pattern} does not match at {position}")
        return match

    def _escape(self, position: int) -> int:
        match = _ESCAPE.match(self.source, position)
        if not match:
            raise self._error('Unescaped "&"', position)
        self._append(html.unescape(match[0]))
        return match.end()

    def _start_tag(self, position: int) -> int:
        """Open a tag. Returns the position behind its ">"."""
        match = self._read(_START_TAG, position)
        name, end = match[1].lower(), match.end()
        if end == len(self.source):
            raise self._error("Unclosed start tag", position)
        if name not in TAGS:
            raise self._error(f'Unsupported start tag "{name}"', position)
        attributes, end = self._attributes(name, position, end)
        if name == "span" and attributes.get("class") != "tg-spoiler":
            raise self._error('Tag "span" must have class "tg-spoiler"', position)
        if name != "code" and any(TAGS[outer] in _FIXED_WIDTH for outer, _, _ in self.open_tags):
            raise self._error(f'Tag "{name}" inside "{self.open_tags[-1][0]}"', position)
        self.open_tags.append((name, attributes, self.length))
        return end

    def _attributes(self, tag: str, start: int, position: int) -> tuple[dict[str, str], int]:
        """Read the attributes of the tag that begins at `start`. Returns them and the position behind ">"."""
        attributes: dict[str, str] = {}
        while not (closing := _TAG_CLOSE.match(self.source, position)):
            match = self._read(_ATTRIBUTE, position)
            name, position = match["name"].lower(), match.end()
            if not name and (match["equals"] or position < len(self.source)):
                raise self._error(f'Empty attribute name in the tag "{tag}"', start)
            if position == len(self.source):
                raise self._error(f'Unclosed start tag "{tag}"', start)
            if match["equals"]:
                attributes[name], position = self._value(match["quote"], start, position)
            elif (tag, name) == ("blockquote", "expandable"):
                attributes[name] = ""
            else:
                reason = f'Expected equal sign in declaration of an attribute of the tag "{tag}"'
                raise self._error(reason, start)
        return attributes, closing.end()

    def _value(self, quote: str, start: int, position: int) -> tuple[str, int]:
        """Return an attribute's value and the position behind it."""
        if quote:
            end = self.source.find(quote, position)
            if end < 0 or end + 1 == len(self.source):
                raise self._error("Unclosed start tag", start)
            return html.unescape(self.source[position:end]), end + 1
        match = self._read(_NAME_TOKEN, position)
        end = match.end()
        if end < len(self.source) and not (self.source[end].isspace() or self.source[end] == ">"):
            raise self._error("Unexpected end of name token", position)
        return match[0].lower(), end

    def _end_tag(self, position: int) -> int:
        """Close the innermost open tag. Returns the position behind the ">"."""
        if not self.open_tags:
            raise self._error("Unexpected end tag", position)
        match = self._read(_END_TAG, position)
        if not self.source.startswith(">", match.end()):
            raise self._error("Unclosed end tag", position)
        name = match[1].lower()
        expected, attributes, start = self.open_tags.pop()
        if name not in ("", expected):
            error = self._error("Unmatched end tag", position)
            raise EntityError(f'{error}, expected "</{expected}>", found "</{name}>"')
        entity: dict[str, Any] = {"type": TAGS[expected], "offset": start, "length": self.length - start}
        if expected == "a":
            entity["url"] = attributes.get("href", "")
        self.entities.insert(0, entity)  # the outer one stands first where both span the same text
        return match.end() + 1
