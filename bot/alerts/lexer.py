"""The lexer: splits a typed line into tokens and replaces friendly spellings.

trend crosses its 200 day average      ->  ratio crosses sma 200
iwm inflows 5d above $1bn              ->  flow iwm 5d > $1bn
spy outflows 1m over $2bn              ->  flow spy 1m < -$2bn
p/e premium at least 20 %              ->  pe_premium >= 20%

Reading tokens: the cursor, numbers and amounts, and suggestions for misspelt words.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bot.errors import BadInput

if TYPE_CHECKING:
    from bot.analytics.metrics import Metric


_VERBS = r"(?:(?:is|are|goes|moves|rises|climbs|falls|drops|crosses|crossing|cross)\s+)?(?:back\s+)?"
_OWN = r"(?:\b(?:its|the)\s+)?"
_DAYS = r"\s*-?\s*(?:d|days?|sessions?)"

# (what is typed, what it means), applied in this order outside quotes.
PHRASES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), meaning)
    for pattern, meaning in (
        (r"≥|\bat least\b", " >= "),
        (r"≤|\bat most\b", " <= "),
        (rf"\b{_VERBS}(?:above|over|more than|greater than|higher than)\b", " > "),
        (rf"\b{_VERBS}(?:below|under|less than|lower than)\b", " < "),
        (r"\b(?:crosses|crossing|cross)\b", " crosses "),
        (rf"{_OWN}\b(\d+)(?:{_DAYS})?\s*-?\s*(?:(?:simple )?(?:moving )?average|[ds]?ma)\b", r" sma \1 "),
        (rf"{_OWN}\b52\s*-?\s*weeks?\s*-?\s*(high|low)\b", r" \1 252 "),
        (rf"{_OWN}\b(\d+){_DAYS}\s*-?\s*(high|low)\b", r" \2 \1 "),
        (rf"{_OWN}\b(\d+(?:\.\d+)?)(?:st|nd|rd|th) percentile\b", r" pct \1 "),
        (r"\b(sma|high|low|pct)([0-9])", r"\1 \2"),
        (r"\bp/(e|b|s|cf|fcf)\b", r"p\1"),
        (r"\bre-arm\b", " rearm "),
        (rf"\bfor (\d+){_DAYS}(?: in a row)?\b", r" confirm \1 "),
        (r"\b(?:at|from|if|into|its|of|the|when)\b", " "),
        (r",(?=\s|$)", " "),
    )
)

# Other words for a metric; the pair ("iwm/spy") is one for the ratio.
METRIC_WORDS = {
    "trend": "ratio",
    "relative_strength": "ratio",
    "mansfield": "ratio_vs_sma",
    "outperformance": "excess",
    "correlation": "corr",
    "flows": "flow",
    "inflow": "flow",
    "inflows": "flow",
    "outflow": "flow",
    "outflows": "flow",
    "premium": "pe_premium",
    "dividend_yield": "yield",
}
# Words that count money leaving as positive: the rule is the mirror of what was typed.
NEGATIVE_WORDS = frozenset({"outflow", "outflows"})

QUOTE = "\n"
_JOINER = "\u200d"  # holds one emoji made of several together
_QUOTED = re.compile(r'["“”«„]([^"“”«»„]*)["“”»]')
_TOKEN = re.compile(r"[<>]=?|[^\s<>]+")


@dataclass(frozen=True)
class Token:
    """One token of a rule: `text` in lower case, `typed` as it was typed.

    A quoted note is one word; its text is QUOTE, which no typed word can be.
    """

    text: str
    typed: str


def tokenize(text: str) -> list[Token]:
    """The tokens of a rule, with friendly spellings replaced outside quotes."""
    tokens: list[Token] = []
    position = 0
    for quote in _QUOTED.finditer(text):
        tokens += _plain(text[position : quote.start()])
        tokens.append(Token(QUOTE, plain_note(quote[1])))
        position = quote.end()
    return tokens + _plain(text[position:])


def plain_note(text: str) -> str:
    """A note on one line, without control characters and those that turn or hide what follows them."""
    kept = "".join(letter for letter in text if not _is_unseen(letter))
    return " ".join(kept.split())


def _is_unseen(letter: str) -> bool:
    category = unicodedata.category(letter)
    return (category == "Cf" and letter != _JOINER) or (category == "Cc" and not letter.isspace())


def _plain(text: str) -> list[Token]:
    for pattern, meaning in PHRASES:
        text = pattern.sub(meaning, text)
    return [Token(token.lower(), token) for token in _TOKEN.findall(text)]


LONGEST_COUNT = 5_000  # sessions; the oldest ETF history has fewer than twice that
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


def most_similar(word: str, known: Sequence[str], count: int = 3) -> list[str]:
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
