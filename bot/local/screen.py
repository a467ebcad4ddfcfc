"""Both directions of the terminal: a message as plain text, and a typed line as parts of an update."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_COMMAND = re.compile(r"(?<![\w/])/[A-Za-z0-9_]{1,64}(?:@[A-Za-z0-9_]{3,32})?(?![\w/@])")
_PRESS = re.compile(r"\[([0-9]{1,4})\]|([0-9]{1,4})")


def block(content: Mapping[str, Any], markup: Mapping[str, Any] | None, place: Callable[[str], str]) -> str:
    """Lines of a message: `[picture] PATH`, text or caption, then its buttons numbered row by row.

    `content` holds the Bot API fields to show; `place` leads from a file_id to a path.
    """
    lines = [f"[picture] {place(size['file_id'])}" for size in content.get("photo", ())]
    if "document" in content:
        lines.append(f"[file] {place(content['document']['file_id'])}")
    lines += [content[key] for key in ("text", "caption") if key in content]
    number = itertools.count(1)
    for row in rows(markup):
        lines.append("  " + "   ".join(_label(button, number) for button in row))
    return "\n".join(lines)


def _label(button: Mapping[str, Any], number: itertools.count[int]) -> str:
    if "callback_data" in button:
        return f"[{next(number)}] {button['text']}"
    return f"{button['text']}: {button['url']}" if "url" in button else str(button["text"])


def rows(markup: Mapping[str, Any] | None) -> list[list[dict[str, Any]]]:
    """Rows of an inline keyboard."""
    return list((markup or {}).get("inline_keyboard", ()))


def presses(markup: Mapping[str, Any] | None) -> list[str]:
    """Callback data of the numbered buttons; number 1 comes first."""
    return [button["callback_data"] for row in rows(markup) for button in row if "callback_data" in button]


def button_number(line: str) -> int | None:
    """The button meant by `1` or `[1]`; None for any other line."""
    match = _PRESS.fullmatch(line.strip())
    return int(match[1] or match[2]) if match else None


def commands(line: str) -> list[dict[str, Any]]:
    """Message entities of the commands in a line; offsets count UTF-16 code units."""
    return [
        {"type": "bot_command", "offset": _units(line[: word.start()]), "length": _units(word[0])}
        for word in _COMMAND.finditer(line)
    ]


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2
