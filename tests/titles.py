"""What a message about an alert is about, read off its text."""

import re

_NUMBER = re.compile(r"^(?:“.*” )?(#\d+): ", re.MULTILINE)
_CLOSE = re.compile(r"close of \w+ \d+ \w+ \d+")
_PAGE = re.compile(r"Alert #|“.*” \(#|Why|Late|\d+ events")  # of an alert, or a list
_KINDS = ("Correction", "still", "already", "back", "no longer")


def title_of(text: str) -> str:
    """Number, what happened, and the close: "#1 fired · close of Fri 11 Dec 2020"; else the first line."""
    first, number, close = text.split("\n", 1)[0], _NUMBER.search(text), _CLOSE.search(text)
    if number is None or close is None or _PAGE.match(first):
        return first
    kind = next((kind for kind in _KINDS if kind in first), "fired")
    return f"{number[1]} {kind} · {close[0]}"
