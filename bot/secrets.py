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


def is_given(table: Mapping[str, object], environment: Mapping[str, str]) -> bool:
    """Whether a token is named anywhere."""
    return bool(table.get("token") or table.get("token_file") or environment.get(TOKEN_VARIABLE))


def is_open(path: Path) -> bool:
    """Whether others than the file's owner may do anything with it; a link counts as what it leads to."""
    return os.name == "posix" and bool(stat.S_IMODE(path.stat().st_mode) & 0o077)


def read_token(
    table: Mapping[str, object], config: Path | None, environment: Mapping[str, str]
) -> tuple[str, str]:
    """The token and what is wrong with it, one of them "".

    `table` is the section [telegram] of the file `config`; its values of another type than text are
    reported elsewhere. A configuration that holds the token itself is as secret as a token file.
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
    """How a file becomes its owner's alone; a container's secret is given its mode from outside."""
    if path.is_relative_to(_MOUNTED):
        return "give the secret the container's uid and mode 0400 where it is mounted"
    return "run chmod 600 on it"


def _checked(token: str, key: str) -> tuple[str, str]:
    """The token without the white space around it, where it looks like one."""
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
