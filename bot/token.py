"""The bot's token: `[telegram] token`, `[telegram] token_file` or TELEGRAM_BOT_TOKEN, in this order.

It is a password: no message here shows it, and a file that others may read is refused.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

TOKEN_VARIABLE = "TELEGRAM_BOT_TOKEN"  # noqa: S105 - the variable's name, not a token
_TOKEN = re.compile(r"[0-9]+:[A-Za-z0-9_-]{20,}")
_MOUNTED = "/run/secrets"  # where containers find theirs: by default everybody's to read


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
    if _TOKEN.fullmatch(token.strip()):
        return token.strip(), ""
    return "", f"{key}: does not look like a bot token (123456789:AA...)"
