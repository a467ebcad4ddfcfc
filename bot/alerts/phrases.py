"""The lexer: splits a typed line into tokens and replaces friendly spellings.

trend crosses its 200 day average      ->  ratio crosses sma 200
iwm inflows 5d above $1bn              ->  flow iwm 5d > $1bn
spy outflows 1m over $2bn              ->  flow spy 1m < -$2bn
p/e premium at least 20 %              ->  pe_premium >= 20%
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

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
