"""Secrets: where the token is read from, what else is secret, and a text with the secrets hidden.

The token is a password: no message here shows it, and a file that others may read is refused.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, cast
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

HIDDEN = "HIDDEN"
TOKEN_VARIABLE = "TELEGRAM_BOT_TOKEN"  # noqa: S105 - the variable's name, not a token
_WHOLE_TOKEN = re.compile(r"[0-9]+:[A-Za-z0-9_-]{20,}")
_MOUNTED = "/run/secrets"  # where containers find theirs: by default everybody's to read
_LEAST = 6  # characters: a shorter secret is more likely a word, and is not hidden
_LONG = 16  # characters from which a part of a path or query is more likely a key than a word
# A token from @BotFather wherever it appears: under another key, typed as an argument.
_TOKEN = re.compile(r"([0-9]{5,}(?::|%3A|%3a))[A-Za-z0-9_-]{30,}")


def hide(text: str, secrets: Iterable[str] = ()) -> str:
    """Return the text with HIDDEN in place of the secrets, the longest first, and of what looks like a token.

    Case is ignored: python-telegram-bot quotes in lower case.
    """
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _LEAST:
            text = re.sub(re.escape(secret), HIDDEN, text, flags=re.IGNORECASE)
    return _TOKEN.sub(rf"\g<1>{HIDDEN}", text)


def of_token(token: str) -> str:
    """Return the secret part of a token; the bot's number before it is public."""
    return token.partition(":")[2]


def of_address(address: str) -> Iterator[str]:
    """Yield what may be secret in an address: a password, and long parts after the host."""
    rest = address.partition("://")[2] or address
    place = re.split("[/?#]", rest, maxsplit=1)[0]
    user, _, password = place.rpartition("@")[0].partition(":")
    yield from (password or user, unquote(password or user))
    yield from (piece for piece in re.split("[/?&;=#]", rest.removeprefix(place)) if len(piece) >= _LONG)


def of_ping(address: str) -> Iterator[str]:
    """Yield what is secret in the address of a heartbeat: everything after the host, and its parts."""
    yield address.partition("://")[2].partition("/")[2]
    yield from of_address(address)


def of_proxies(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield passwords of proxies; libraries take their addresses from the environment themselves."""
    for name, value in environment.items():
        if is_proxy(name):
            yield from of_address(value)


def is_proxy(variable: str) -> bool:
    """Whether a variable of the environment holds the address of a proxy."""
    return variable.lower() in {"http_proxy", "https_proxy", "all_proxy"}


def is_given(table: Mapping[str, object], environment: Mapping[str, str]) -> bool:
    """Whether a token is given anywhere."""
    return bool(table.get("token") or table.get("token_file") or environment.get(TOKEN_VARIABLE))


def is_open(path: Path) -> bool:
    """Whether others than its owner may access a file; a link counts as its target."""
    return os.name == "posix" and bool(stat.S_IMODE(path.stat().st_mode) & 0o077)


def read_token(
    table: Mapping[str, object], config: Path | None, environment: Mapping[str, str]
) -> tuple[str, str]:
    """Return the token and what is wrong with it; one of them is empty.

    `table` is the section [telegram] of the file `config`; values that are not texts are reported elsewhere.
    A configuration that holds the token itself is as secret as a token file.
    """
    given, file = table.get("token"), table.get("token_file")
    folder = config.parent if config else Path()
    if given and config is not None and is_open(config):
        words = f"others may read {config}; run chmod 600 on it, or put the token into a token_file"
        return "", f"[telegram] token: {words}"
    if given:
        return _checked(given, "[telegram] token") if isinstance(given, str) else ("", "")
    if file:
        return _of_file(folder, file) if isinstance(file, str) else ("", "")
    if environment.get(TOKEN_VARIABLE):
        return _checked(environment[TOKEN_VARIABLE], TOKEN_VARIABLE)
    return "", f"[telegram] token: missing; set it, or token_file, or {TOKEN_VARIABLE} (ask @BotFather)"


def _of_file(folder: Path, file: str) -> tuple[str, str]:
    key, path = "[telegram] token_file", folder / file
    try:
        path = folder / Path(file).expanduser()
        if path.is_dir():
            return "", f"{key}: {path} is a folder; name the file with the token in it"
        if is_open(path):
            return "", f"{key}: others may read {path}; {_closing(path)}"
        return _checked(path.read_text(encoding="utf-8"), key)
    except OSError as error:
        return "", f"{key}: cannot read {path} ({error.strerror})"
    except UnicodeDecodeError:
        return "", f"{key}: cannot read {path} (not a text)"
    except RuntimeError:
        return "", f"{key}: cannot read {path} (no such home folder)"


def _closing(path: Path) -> str:
    """Return how to close a file to others; the mode of a container's secret is set from outside."""
    if path.is_relative_to(_MOUNTED):
        return "give the secret the container's uid and mode 0400 where it is mounted"
    return "run chmod 600 on it"


def _checked(token: str, key: str) -> tuple[str, str]:
    """Return the token without surrounding white space, or what is wrong with it."""
    if _WHOLE_TOKEN.fullmatch(token.strip()):
        return token.strip(), ""
    return "", f"{key}: does not look like a bot token (123456789:AA...)"


# The second pair is what Python itself goes back to at its end, when the last destructors run.
_STREAMS = ("stdout", "stderr", "__stdout__", "__stderr__")


def redact_output(secrets: Iterable[str] = ()) -> None:
    """From now on hide secrets in everything that the process writes to standard output and standard error.

    This is below logs, tracebacks, warnings and threads that die: httpx's URLs, some of Telegram's
    errors and the repr of the bot hold the token. What looks like a token is hidden in any case.
    """
    secrets = tuple(secrets)
    for name in _STREAMS:
        stream = getattr(sys, name)
        if stream is not None:  # closed by who started the process: nothing is written there
            original = getattr(stream, "unredacted", stream)
            setattr(sys, name, cast("TextIO", RedactedStream(original, secrets)))


class RedactedStream:
    """A text stream that writes HIDDEN in place of secrets and is else the stream itself."""

    def __init__(self, stream: TextIO, secrets: Iterable[str]) -> None:
        self.unredacted = stream
        self._secrets = tuple(secrets)

    def write(self, text: str) -> int:
        """Write the text without the secrets. Returns the length of what was written."""
        return self.unredacted.write(hide(text, self._secrets))

    def writelines(self, lines: Iterable[str]) -> None:
        """Write several texts without the secrets."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> object:
        return getattr(self.unredacted, name)
