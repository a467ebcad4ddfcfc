"""Words that sentences of every layer need: a count with its noun, a list that ends, a capital letter."""

from __future__ import annotations

from collections.abc import Sequence

SHOWN = 10  # of a list, where nothing else is said
_VOWELS = "aeiou"


def counted(count: int, noun: str) -> str:
    """A count with its noun: "1 session", "1,250 sessions", "2 summaries"."""
    if count == 1:
        return f"1 {noun}"
    if noun.endswith("y") and noun[-2] not in _VOWELS:
        return f"{count:,} {noun[:-1]}ies"
    return f"{count:,} {noun}s"


def listed(items: Sequence[str], between: str = ", ", most: int = SHOWN) -> str:
    """The first `most` items, then how many more there are."""
    more = len(items) - most
    return between.join(items[:most]) + (f"{between}and {more:,} more" if more > 0 else "")


def capital(words: str) -> str:
    """The words with a capital first letter."""
    return words[:1].upper() + words[1:]
