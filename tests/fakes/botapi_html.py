"""Telegram's HTML: tags to entities, with the refusals of the real parser.

Source of rules and wording: core.telegram.org/bots/api#html-style and the server's answers. Two rules are
harder than the server's: a bare "&" or an unknown named entity, which Telegram shows as typed, is refused,
because it means that a value was not escaped; so is a tag inside <code> or <pre>, which Telegram drops.
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
ENTITY = re.compile(r"&(?:lt|gt|amp|quot|#[0-9]{1,7}|#x[0-9a-fA-F]{1,6});")
ATTRIBUTE = re.compile(r"""\s*([^\s=>]+)(?:\s*=\s*("[^"]*"|'[^']*'|[\w.-]+))?""")


class Refused(Exception):
    """An answer with ok=false; `code` is the HTTP status, `parameters` as in ResponseParameters."""

    def __init__(self, code: int, description: str, parameters: dict[str, int] | None = None) -> None:
        self.code, self.description, self.parameters = code, description, parameters
        super().__init__(description)


def utf16_length(text: str) -> int:
    """UTF-16 code units, in which Telegram counts entity offsets."""
    return len(text.encode("utf-16-le")) // 2


def parse_html(source: str) -> tuple[str, list[dict[str, Any]]]:
    """Plain text and entities (ordered by offset); raises Refused with the byte offset of the fault."""
    parser = _Parser(source)
    parser.run()
    entities = sorted(parser.entities, key=lambda e: (e["offset"], -e["length"]))
    return "".join(parser.out), [entity for entity in entities if entity["length"]]


class _Parser:
    def __init__(self, source: str) -> None:
        self.source = source
        self.out: list[str] = []
        self.units = 0
        self.open: list[tuple[str, dict[str, str], int]] = []
        self.entities: list[dict[str, Any]] = []

    def run(self) -> None:
        place = 0
        while place < len(self.source):
            match self.source[place]:
                case "<":
                    place = self._tag(place)
                case "&":
                    place = self._entity(place)
                case other:
                    self._emit(other)
                    place += 1
        if self.open:
            raise _broken(f'Can\'t find end tag corresponding to start tag "{self.open[-1][0]}"')

    def _emit(self, text: str) -> None:
        self.out.append(text)
        self.units += utf16_length(text)

    def _at(self, place: int) -> str:
        return f"at byte offset {len(self.source[:place].encode())}"

    def _entity(self, place: int) -> int:
        found = ENTITY.match(self.source, place)
        if not found:
            raise _broken(f'Unescaped "&" {self._at(place)}')
        self._emit(html.unescape(found[0]))
        return found.end()

    def _tag(self, place: int) -> int:
        end = self.source.find(">", place)
        closing = self.source.startswith("</", place)
        if closing and not self.open:
            raise _broken(f"Unexpected end tag {self._at(place)}")
        if end < 0:
            raise _broken(f"Unclosed {'end' if closing else 'start'} tag {self._at(place)}")
        if closing:
            self._close(place, self.source[place + 2 : end].strip().lower())
        else:
            self._open(place, self.source[place + 1 : end])
        return end + 1

    def _open(self, place: int, inside: str) -> None:
        name = re.split(r"\s", inside, maxsplit=1)[0].lower()
        if name not in TAGS:
            raise _broken(f'Unsupported start tag "{name}" {self._at(place)}')
        attributes = {
            key.lower(): html.unescape(value.strip("\"'"))
            for key, value in ATTRIBUTE.findall(inside[len(name) :])
        }
        if name == "span" and attributes.get("class") != "tg-spoiler":
            raise _broken(f'Tag "span" must have class "tg-spoiler" {self._at(place)}')
        if any(TAGS[outer] in ("code", "pre") for outer, _, _ in self.open) and name != "code":
            # The server drops the inner entity silently; nobody means that.
            raise _broken(f'Tag "{name}" inside "{self.open[-1][0]}" {self._at(place)}')
        self.open.append((name, attributes, self.units))

    def _close(self, place: int, name: str) -> None:
        expected, attributes, start = self.open[-1]
        if name and name != expected:
            raise _broken(
                f'Unmatched end tag {self._at(place)}, expected "</{expected}>", found "</{name}>"',
            )
        self.open.pop()
        entity: dict[str, Any] = {"type": TAGS[expected], "offset": start, "length": self.units - start}
        if expected == "a":
            entity["url"] = attributes.get("href", "")
        self.entities.insert(0, entity)  # so that outer stands before inner where both span the same


def _broken(reason: str) -> Refused:
    return Refused(400, f"Bad Request: can't parse entities: {reason}")
