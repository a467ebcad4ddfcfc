"""Words that sentences of every layer need: counts with nouns, lists that end, capitals, the nearest name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

SHOWN = 10  # of a list, where nothing else is said
_VOWELS = "aeiou"


def counted(count: int, noun: str) -> str:
    """Return a count with its noun: "1 session", "1,250 sessions", "2 summaries"."""
    if count == 1:
        return f"1 {noun}"
    if noun.endswith("y") and noun[-2] not in _VOWELS:
        return f"{count:,} {noun[:-1]}ies"
    return f"{count:,} {noun}s"


def listed(items: Sequence[str], between: str = ", ", most: int = SHOWN) -> str:
    """Return the first `most` items and how many more there are."""
    more = len(items) - most
    return between.join(items[:most]) + (f"{between}and {more:,} more" if more > 0 else "")


def nearest(word: str, names: Iterable[str]) -> str | None:
    """The name that `word` most likely means: the shortest it begins, else the most similar; or None."""
    known = {name.lower(): name for name in names}
    begun = sorted((name for name in known if word and name.startswith(word.lower())), key=len)
    close = begun or difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.7)
    return known[close[0]] if close else None


def did_you_mean(word: str, names: Iterable[str]) -> str:
    """A question naming the nearest name, e.g. "Did you mean flows?"; "" when none is near."""
    name = nearest(word, names)
    return f"Did you mean {name}?" if name else ""
