"""What follows a market command: windows, tr or price, asof DATE, known DATE."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pandas as pd

from bot.alerts.grammar import grammar_words, is_plain
from bot.analytics.registry import metrics_of
from bot.analytics.windows import EXAMPLES, Window, parse_date, parse_window
from bot.errors import BadInput, ConfigError
from bot.rendering.answer import Asked
from bot.rendering.text import did_you_mean

if TYPE_CHECKING:
    from bot.pair import Pair

_KINDS = {"tr": True, "total": True, "price": False}
_DATED = ("asof", "known", "since")
_BOTH = ("vs", "and")  # between the funds, which are both in every answer
_GUIDE = "new"  # /alert new opens the guide
_OTHERS = {"small": "IJR", "large": "IVV"}
_TICKER = re.compile(r"\^?[A-Z][A-Z.]{0,5}")
_OTHER_FUND = "Only {small} and {large} are compared, no other ticker."
MOST_WINDOWS = 6


def refuse_reserved_tickers(pair: Pair) -> None:
    """Raise ConfigError for funds whose ticker means something else in a command or an alert rule."""
    reserved = {*grammar_words(metrics_of(pair)), *_KINDS, *_DATED, *_BOTH, _GUIDE}
    funds = {"small": pair.small, "large": pair.large}
    if problems := [
        f"[pair] {key}: {fund.ticker} is a word of commands and alert rules; name another fund, "
        f'such as {key} = "{_OTHERS[key]}"'
        for key, fund in funds.items()
        if fund.word in reserved or not is_plain(fund.word)
    ]:
        raise ConfigError(problems)


@dataclass(frozen=True)
class Query:
    """A market question as typed; `rest` are words left to the command itself."""

    windows: tuple[Window, ...] = ()
    total: bool | None = None
    stated: bool = False  # whether a kind of return was typed
    asked: Asked = field(default_factory=Asked)
    rest: tuple[str, ...] = ()


def parse_query(text: str, example: str, pair: Pair, *, kinds: bool = False, rest: bool = False) -> Query:
    """Query of the words after a command; raises BadInput naming the word.

    `kinds` allows tr and price; `rest` keeps what is no window (words, bare numbers) for the command.
    """
    query = Query()
    words = text.split()
    while words:
        word = words.pop(0)
        lower = word.lower()
        if lower in _DATED:
            query = _dated(query, lower, words, example)
        elif kinds and lower in _KINDS:
            # Both words together are both blocks.
            both = query.stated and query.total is not _KINDS[lower]
            query = replace(query, total=None if both else _KINDS[lower], stated=True)
        elif not rest and lower in (*pair.words, *_BOTH):
            continue
        elif not rest or lower in {"ytd", "mtd"} or (lower[0].isdigit() and not lower.isdigit()):
            query = _window(query, word, pair, kinds=kinds)
        else:
            query = replace(query, rest=(*query.rest, lower))
    if len(query.windows) > MOST_WINDOWS:
        raise BadInput(f"{len(query.windows)} windows are too many; at most {MOST_WINDOWS}.", example)
    return query


def _dated(query: Query, word: str, words: list[str], example: str) -> Query:
    if not words:
        raise BadInput(f"“{word}” needs a date after it.", example)
    day = parse_date(words.pop(0))
    if word == "since":
        return replace(query, windows=(*query.windows, Window("since", since=day)))
    moment = pd.Timestamp(day)
    if getattr(query.asked, word) is not None:
        raise BadInput(f"“{word}” is given twice.", example)
    asked = replace(query.asked, asof=moment) if word == "asof" else replace(query.asked, known=moment)
    return replace(query, asked=asked)


def _window(query: Query, word: str, pair: Pair, *, kinds: bool) -> Query:
    try:
        return replace(query, windows=(*query.windows, parse_window(word)))
    except BadInput as error:
        if word[0].isdigit():
            raise
        names = ("ytd", "mtd", "since", "asof", "known", *(_KINDS if kinds else ()))
        hint = did_you_mean(word, names) or (pair.fill(_OTHER_FUND) if _TICKER.fullmatch(word) else "")
        raise BadInput(
            f"“{word}” is not understood here. {hint + ' ' if hint else ''}"
            f"Windows: {EXAMPLES}; dates: asof 2020-12-11."
        ) from error
