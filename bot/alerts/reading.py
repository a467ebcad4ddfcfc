"""Reading tokens: the cursor, numbers and amounts, and suggestions for misspelt words."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from bot.alerts.phrases import QUOTE, Token
from bot.errors import BadInput

if TYPE_CHECKING:
    from bot.analytics.metrics import Metric

LONGEST = 5_000  # sessions; the oldest ETF history has fewer than twice that
_COUNT = re.compile(r"([0-9]{1,9})(d|days?|sessions?)?")
COUNT_UNITS = frozenset({"d", "day", "days", "session", "sessions"})
_AMOUNT_START = re.compile(r"[-+\u2212]?\$?[-+\u2212]?[0-9.]")
# Units that people set apart from their number.
AMOUNT_UNITS = frozenset(["k", "m", "mn", "b", "bn", "%", "percent", "pct", "pp", "pts", "points", "x"])


class Tokens:
    """A cursor over the tokens of a rule."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = tokens
        self._position = 0

    @property
    def text(self) -> str:
        """The word at the cursor in lower case, "" at the end."""
        return self._tokens[self._position].text if self._position < len(self._tokens) else ""

    @property
    def typed(self) -> str:
        """The word at the cursor as it was typed, "" at the end."""
        return self._tokens[self._position].typed if self._position < len(self._tokens) else ""

    @property
    def rest(self) -> str:
        """The words from the cursor on, in lower case."""
        return " ".join(word.text for word in self._tokens[self._position :])

    @property
    def is_quoted(self) -> bool:
        """Whether a quoted note stands at the cursor."""
        return self.text == QUOTE

    @property
    def before(self) -> str:
        """The word before the cursor as it was typed, "" at the start."""
        return self._tokens[self._position - 1].typed if self._position else ""

    def ahead(self, width: int, joint: str = " ") -> str:
        """The next `width` words in lower case, joined; "" when there are fewer."""
        tokens = self._tokens[self._position : self._position + width]
        return joint.join(word.text for word in tokens) if len(tokens) == width else ""

    def take(self, width: int = 1) -> str:
        """Move forward. Returns the last token passed, as it was typed."""
        self._position += width
        return self._tokens[self._position - 1].typed


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that `word` is most likely meant to be, "" when none is near."""
    return next(iter(difflib.get_close_matches(word, sorted(known), n=1)), "")


def likest(word: str, known: Sequence[str], count: int = 3) -> list[str]:
    """The known words most like `word`, or the first ones if none is similar."""
    return difflib.get_close_matches(word, known, n=count, cutoff=0.3) or list(known[:count])


def got_instead(tokens: Tokens) -> str:
    """End of a message that names the token found, or an empty string at the end of the rule."""
    return f", not “{tokens.typed}”" if tokens.text else ""


def choices(words: Sequence[str], last: str = "or") -> str:
    """A list in words: "a, b or c"."""
    return f" {last} ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def read_count(text: str, low: int, high: int) -> int | None:
    """Number of sessions in "200", "200d" or "200 days"; None when there is none or it is out of range."""
    match = _COUNT.fullmatch(text.replace(" ", ""))
    return int(match[1]) if match and low <= int(match[1]) <= high else None


def take_count(tokens: Tokens, name: str, low: int, high: int, example: str) -> int:
    """Number of sessions after the word `name`; raises BadInput with `example`."""
    count = read_count(tokens.text, low, high)
    if count is None:
        needs = f"“{name}” needs a number of sessions from {low} to {high}"
        raise BadInput(f"{needs}{got_instead(tokens)}.", example)
    tokens.take()
    if tokens.text in COUNT_UNITS:
        tokens.take()
    return count


def is_amount(text: str) -> bool:
    """Whether a word begins like an amount."""
    return _AMOUNT_START.match(text) is not None


def take_amount(tokens: Tokens, metric: Metric, example: str) -> float:
    """Amount in the metric's unit; raises BadInput with `example`."""
    amount = tokens.take()
    while tokens.text in AMOUNT_UNITS:
        amount += f" {tokens.take()}"
    try:
        return metric.unit.parse(amount)
    except BadInput as err:
        raise BadInput(err.sentence, example) from err
