"""What Telegram refuses, in its own words (those after "Bad Request: ")."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from bot.local.screen import presses
from bot.rendering.text import visible_length

if TYPE_CHECKING:
    from collections.abc import Mapping

CALLBACK_LIMIT = 64  # bytes of UTF-8
_TAG = re.compile(r"""<(?P<end>/?)(?P<name>[^\s<>/]*)(?:[^<>"']|"[^"]*"|'[^']*')*(?P<close>>?)""")
_STYLES = ("b", "strong", "i", "em", "u", "ins", "s", "strike", "del", "span", "tg-spoiler", "tg-emoji")
_TAGS = frozenset((*_STYLES, "a", "code", "pre", "blockquote"))


class Refused(Exception):
    """A request Telegram answers with HTTP 400; the message is its reason."""


def check_text(text: str, html: bool, limit: int, what: str) -> None:
    """Refuse a text or caption (`what`) of broken HTML, or of more than `limit` UTF-16 units when shown."""
    fault = html_fault(text) if html else None
    if fault:
        raise Refused(f"can't parse entities: {fault}")
    length = visible_length(text) if html else len(text.encode("utf-16-le")) // 2
    if length > limit:
        raise Refused(f"{what} is too long")


def html_fault(text: str) -> str | None:
    """What Telegram says about the first broken tag of an HTML text; None when it can be sent."""
    opened: list[str] = []
    for tag in _TAG.finditer(text):
        name = tag["name"].lower()
        at = f"at byte offset {len(text[: tag.start()].encode())}"
        if not tag["end"] and name not in _TAGS:
            return f'Unsupported start tag "{name}" {at}'
        if not tag["close"]:
            return f"Unclosed {'end' if tag['end'] else 'start'} tag {at}"
        if not tag["end"]:
            opened.append(name)
        elif not opened:
            return f"Unexpected end tag {at}"
        elif (expected := opened.pop()) != name:
            return f'Unmatched end tag {at}, expected "</{expected}>", found "</{name}>"'
    return f'Can\'t find end tag corresponding to start tag "{opened[-1]}"' if opened else None


def check_buttons(markup: Mapping[str, Any] | None) -> None:
    """Refuse a keyboard with callback data that is empty or over 64 bytes."""
    if not all(1 <= len(data.encode()) <= CALLBACK_LIMIT for data in presses(markup)):
        raise Refused("BUTTON_DATA_INVALID")
