"""Configuration files of tests, and what is wrong with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bot.config import load_config
from bot.errors import ConfigError
from bot.secrets import TOKEN_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

TOKEN = "123456789:" + "A" * 35
OTHER = "987654321:" + "B" * 35
MISSING = f"[telegram] token: missing; set it, or token_file, or {TOKEN_VARIABLE} (ask @BotFather)"
UNLIKE = "does not look like a bot token (123456789:AA...)"


def write(folder: Path, text: str) -> Path:
    file = folder / "config.toml"
    file.write_text(text, encoding="utf-8")
    file.chmod(0o600)
    return file


def token_of(file: Path | None, environment: Mapping[str, str] | None = None) -> str:
    """The token that `run` uses with a configuration."""
    return load_config(file, environment, token_needed=True).telegram.token.get_secret_value()


def problems(folder: Path, text: str, **environment: str) -> list[str]:
    """What is wrong with a file for `run`; with a token in the environment unless the test is about it."""
    with pytest.raises(ConfigError) as refused:
        load_config(write(folder, text), environment or {TOKEN_VARIABLE: TOKEN}, token_needed=True)
    assert str(refused.value) == "\n".join(refused.value.problems)
    return refused.value.problems
