"""The lexer: splits a typed line into tokens and replaces friendly spellings.

    trend crosses its 200 day average      ->  ratio crosses sma 200
    iwm inflows 5d above $1bn              ->  flow iwm 5d > $1bn
    spy outflows 1m over $2bn              ->  flow spy 1m < -$2bn
    p/e premium at least 20 %              ->  pe_premium >= 20%

Also here: the cursor over tokens, counts, and suggestions for misspelt words.
"""

import difflib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from bot.analytics.units import SCALES
from bot.analytics.windows import named_dates, named_windows
from bot.text import load_toml

_SPELLINGS: dict[str, dict[str, Any]] = load_toml("bot.alerts", "spellings.toml")


# (what is typed, what it means), applied in this order outside quotes.
PHRASES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern.format(**_SPELLINGS["parts"]), re.IGNORECASE), meaning)
    for pattern, meaning in _SPELLINGS["lexer"]["phrases"]
)
# Other words for a metric.
METRIC_WORDS = {word: metric for metric, words in _SPELLINGS["metrics"].items() for word in words.split()}
# What sentences say, by part; and what they are about, by metric: before its name is looked for, and after.
SENTENCE = {part: re.compile(pattern) for part, pattern in _SPELLINGS["sentence"].items()}
SPECIFIC = {metric: re.compile(pattern) for metric, pattern in _SPELLINGS["specific"].items()}
GENERAL = {metric: re.compile(rf"\b(?:{pattern})\b") for metric, pattern in _SPELLINGS["general"].items()}
# Words that count money leaving as positive: the rule is the mirror of what was typed.
NEGATIVE_WORDS = frozenset({"outflow", "outflows"})

QUOTE = "\n"
_JOINER = "\u200d"  # holds one emoji made of several together
_QUOTED = re.compile(r'["“”«„]([^"“”«»„]*)["“”»]')
_TOKEN = re.compile(r"[<>]=?|[^\s<>]+")

LONGEST_COUNT = 5_000  # sessions; the oldest ETF history has fewer than twice that
COUNT_UNITS = frozenset({"d", "day", "days", "session", "sessions"})
# Units that people set apart from their number.
AMOUNT_UNITS = frozenset({*SCALES, "%", "percent", "pct", "pp", "pts", "points", "x"} - {""})
_COUNT = re.compile(r"([0-9]{1,9})(d|days?|sessions?)?")
_AMOUNT_START = re.compile(r"[-+\u2212]?\$?[-+\u2212]?[0-9.]")


@dataclass(frozen=True)
class Token:
    """One token of a rule: `text` in lower case, `typed` as it was typed.

    A quoted note is one token whose text is QUOTE, which no typed word can be.
    """

    text: str
    typed: str


def without_request(text: str) -> str:
    """The text without words such as “tell me when” at its start."""
    match = SENTENCE["request"].match(text.strip())
    return text.strip()[match.end() :] if match else text


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
    return " ".join("".join(letter for letter in text if not _is_invisible(letter)).split())


def _is_invisible(letter: str) -> bool:
    category = unicodedata.category(letter)
    return (category == "Cf" and letter != _JOINER) or (category == "Cc" and not letter.isspace())


def _plain(text: str) -> list[Token]:
    text = named_windows(named_dates(text))
    for pattern, meaning in PHRASES:
        text = pattern.sub(meaning, text)
    return [Token(token.lower(), token) for token in _TOKEN.findall(text)]


class Tokens:
    """A cursor over the tokens of a rule."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = tokens
        self._position = 0

    @property
    def _current(self) -> Token:
        """The token at the cursor, an empty one at the end."""
        return self._tokens[self._position] if self._position < len(self._tokens) else Token("", "")

    @property
    def text(self) -> str:
        """The token at the cursor in lower case, or an empty string at the end."""
        return self._current.text

    @property
    def typed(self) -> str:
        """The token at the cursor as it was typed, or an empty string at the end."""
        return self._current.typed

    @property
    def all(self) -> str:
        """All tokens, in lower case."""
        return " ".join(token.text for token in self._tokens)

    @property
    def rest(self) -> str:
        """The tokens from the cursor on, in lower case."""
        return " ".join(token.text for token in self._tokens[self._position :])

    @property
    def before(self) -> str:
        """The token before the cursor as it was typed, or an empty string at the start."""
        return self._tokens[self._position - 1].typed if self._position else ""

    @property
    def mismatch(self) -> str:
        """End of a message that names the token at the cursor, or an empty string at the end."""
        return f", not “{self.typed}”" if self.text else ""

    def ahead(self, width: int, joint: str = " ", skip: int = 0) -> str:
        """The `width` tokens after `skip` in lower case, joined, or an empty string when there are fewer."""
        first = self._position + skip
        tokens = self._tokens[first : first + width]
        return joint.join(token.text for token in tokens) if len(tokens) == width else ""

    def take(self, width: int = 1) -> str:
        """Move forward. Returns the last token passed, as it was typed."""
        self._position += width
        return self._tokens[self._position - 1].typed


def read_count(text: str, low: int, high: int) -> int | None:
    """The number of sessions in "200", "200d" or "200 days". None for other text or out of range."""
    match = _COUNT.fullmatch(text.replace(" ", ""))
    return int(match[1]) if match and low <= int(match[1]) <= high else None


def is_amount(text: str) -> bool:
    """Whether a word begins like an amount."""
    return _AMOUNT_START.match(text) is not None


def nearest_word(word: str, known: Iterable[str]) -> str:
    """The known word that `word` is most likely meant to be, or an empty string."""
    return next(iter(difflib.get_close_matches(word, sorted(known), n=1)), "")


def choices(words: Sequence[str]) -> str:
    """A list in words: "a, b or c", or an empty string."""
    return " or ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
