"""Secrets: reading the token, knowing what else is secret, and hiding both in all output.

The token is a password: no message shows it, and a file with it that others may read is refused.
"""

import os
import re
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO, cast
from urllib.parse import unquote

from bot.errors import ConfigError

HIDDEN = "HIDDEN"
OUTPUT = "<output>"  # the file that errors of the standard streams name
TOKEN_VARIABLE = "TELEGRAM_BOT_TOKEN"  # noqa: S105 - the variable's name, not a token
TOKEN_MISSING = f"[telegram] token: missing; set it, or token_file, or {TOKEN_VARIABLE} (ask @BotFather)"
_WHOLE_TOKEN = re.compile(r"[0-9]+:[A-Za-z0-9_-]{20,}")
_MOUNTED = "/run/secrets"  # where containers mount secrets, by default readable by everybody
_LEAST = 6  # characters: a shorter secret is more likely a word, and is not hidden
_LONG = 16  # characters: a part of a path or query that long is more likely a key than a word
# A token from @BotFather wherever it appears, e.g. below another key or typed as an argument.
_TOKEN = re.compile(r"(?<![0-9])([0-9]{5,}(?::|%3A|%3a))[A-Za-z0-9_-]{30,}")


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Return the text with HIDDEN in place of the secrets, the longest first, and of what looks like a token.

    Case is ignored: python-telegram-bot quotes in lower case.
    """
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _LEAST:
            text = re.sub(re.escape(secret), HIDDEN, text, flags=re.IGNORECASE)
    return _TOKEN.sub(rf"\g<1>{HIDDEN}", text)


def token_secret(token: str) -> str:
    """Return the secret part of a token; the bot's number before it is public."""
    return token.partition(":")[2]


def url_secrets(url: str) -> Iterator[str]:
    """Yield what may be secret in a URL: a password, and long parts after the host."""
    rest = url.partition("://")[2] or url
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    user, _, password = authority.rpartition("@")[0].partition(":")
    yield from (password or user, unquote(password or user))
    yield from (part for part in re.split("[/?&;=#]", rest.removeprefix(authority)) if len(part) >= _LONG)


def ping_url_secrets(url: str) -> Iterator[str]:
    """Yield what is secret in the URL of a heartbeat: everything after the host, and its parts."""
    yield url.partition("://")[2].partition("/")[2]
    yield from url_secrets(url)


def proxy_secrets(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield the passwords of proxies, whose URLs libraries take from the environment."""
    for name, value in environment.items():
        if is_proxy_variable(name):
            yield from url_secrets(value)


def is_proxy_variable(variable: str) -> bool:
    """Whether an environment variable holds the URL of a proxy."""
    return variable.lower() in {"http_proxy", "https_proxy", "all_proxy"}


def is_readable_by_others(path: Path) -> bool:
    """Whether others than its owner may access a file, or the target of a link."""
    return os.name == "posix" and bool(stat.S_IMODE(path.stat().st_mode) & 0o077)


def read_token(table: Mapping[str, object], config: Path | None, environment: Mapping[str, str]) -> str | None:
    """Return the token, or None if none is given. Raises ConfigError without showing the token.

    `table` is the section [telegram] of the file `config`; values that are not texts are reported elsewhere.
    A configuration file that holds the token itself is as secret as a token file.
    """
    token, file = table.get("token"), table.get("token_file")
    if token and config is not None and is_readable_by_others(config):
        advice = "run chmod 600 on it, or put the token into a token_file"
        raise ConfigError([f"[telegram] token: others may read {config}; {advice}"])
    if token:
        return _checked(token, "[telegram] token") if isinstance(token, str) else ""
    if file:
        folder = config.parent if config else Path()
        return _read_token_file(folder, file) if isinstance(file, str) else ""
    if environment.get(TOKEN_VARIABLE):
        return _checked(environment[TOKEN_VARIABLE], TOKEN_VARIABLE)
    return None


def _read_token_file(folder: Path, file: str) -> str:
    key, path = "[telegram] token_file", folder / file
    try:
        path = folder / Path(file).expanduser()
        if path.is_dir():
            raise ConfigError([f"{key}: {path} is a folder; name the file with the token in it"])
        if is_readable_by_others(path):
            # The mode of a container's secret cannot be changed from inside.
            mounted = "give the secret the container's uid and mode 0400 where it is mounted"
            advice = mounted if path.is_relative_to(_MOUNTED) else "run chmod 600 on it"
            raise ConfigError([f"{key}: others may read {path}; {advice}"])
        return _checked(path.read_text(encoding="utf-8"), key)
    except OSError as error:
        problem = str(error.strerror)
    except UnicodeDecodeError:
        problem = "not a text"
    except RuntimeError:
        problem = "no such home folder"
    raise ConfigError([f"{key}: cannot read {path} ({problem})"])


def _checked(token: str, key: str) -> str:
    """Return the token without surrounding white space."""
    if not _WHOLE_TOKEN.fullmatch(token.strip()):
        raise ConfigError([f"{key}: does not look like a bot token (123456789:AA...)"])
    return token.strip()


# Python itself uses the second pair at its end, when the last destructors run.
_STREAMS = ("stdout", "stderr", "__stdout__", "__stderr__")


def redact_output(secrets: Iterable[str] = ()) -> None:
    """From now on, hide secrets in everything that is written to standard output and standard error.

    This covers logs, tracebacks, warnings and threads that die: httpx's URLs, some of Telegram's errors and
    the repr of the bot contain the token. What looks like a token is hidden in any case.
    """
    secrets = tuple(secrets)
    for name in _STREAMS:
        stream = getattr(sys, name)
        if stream is not None:  # None where the process was started with it closed
            original = getattr(stream, "unredacted", stream)
            setattr(sys, name, cast("TextIO", RedactedStream(original, secrets)))


@contextmanager
def _named_errors() -> Iterator[None]:
    """Name OUTPUT in errors of writing, which tells them from those of files."""
    try:
        yield
    except OSError as error:
        error.filename = OUTPUT
        raise


class RedactedStream:
    """A text stream that writes HIDDEN in place of secrets and otherwise behaves like the original."""

    def __init__(self, stream: TextIO, secrets: Iterable[str]) -> None:
        self.unredacted = stream
        self._secrets = tuple(secrets)

    def write(self, text: str) -> int:
        """Write the text without secrets. Returns the number of characters written."""
        with _named_errors():
            return self.unredacted.write(redact(text, self._secrets))

    def flush(self) -> None:
        """Write what is buffered."""
        with _named_errors():
            self.unredacted.flush()

    def writelines(self, lines: Iterable[str]) -> None:
        """Write the texts without secrets."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> object:
        return getattr(self.unredacted, name)
