"""Secrets: which parts of the configuration and of the environment are one, and a text without them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

HIDDEN = "HIDDEN"
_LEAST = 6  # characters: what is shorter is rather a word, and hides nothing
_LONG = 16  # characters from which a piece of a path or query is rather a key than a word
# A token of @BotFather's, also where nobody knows it for one: behind another key, typed as an argument.
_TOKEN = re.compile(r"([0-9]{5,}(?::|%3A|%3a))[A-Za-z0-9_-]{30,}")


def hide(text: str, secrets: Iterable[str] = ()) -> str:
    """The text with HIDDEN for each of the secrets, the longest first, and for what looks like a token.

    In any case of letters: python-telegram-bot writes what it quotes in small ones.
    """
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _LEAST:
            text = re.sub(re.escape(secret), HIDDEN, text, flags=re.IGNORECASE)
    return _TOKEN.sub(rf"\g<1>{HIDDEN}", text)


def of_token(token: str) -> str:
    """The secret part of a token; the bot's number before it is public."""
    return token.partition(":")[2]


def of_address(address: str) -> Iterator[str]:
    """What may be secret in an address: a password, and what is long behind the host."""
    rest = address.partition("://")[2] or address
    place = re.split("[/?#]", rest, maxsplit=1)[0]
    user, _, password = place.rpartition("@")[0].partition(":")
    yield from (password or user, unquote(password or user))
    yield from (piece for piece in re.split("[/?&;=#]", rest.removeprefix(place)) if len(piece) >= _LONG)


def of_ping(address: str) -> Iterator[str]:
    """What is secret in the address of a heartbeat: all behind the host, and its parts."""
    yield address.partition("://")[2].partition("/")[2]
    yield from of_address(address)


def of_proxies(environment: Mapping[str, str]) -> Iterator[str]:
    """Passwords of proxies, whose addresses libraries take from the environment by themselves."""
    for name, value in environment.items():
        if is_proxy(name):
            yield from of_address(value)


def is_proxy(variable: str) -> bool:
    """Whether a variable of the environment holds the address of a proxy."""
    return variable.lower() in {"http_proxy", "https_proxy", "all_proxy"}
