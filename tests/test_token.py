"""Where the token may stand, and what is refused without being shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.config import load_config
from bot.errors import ConfigError
from bot.secrets import TOKEN_VARIABLE
from tests.configs import MISSING, OTHER, TOKEN, UNLIKE, problems, token_of, write


def test_the_token_is_taken_from_the_first_of_three_places(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(f"{OTHER}\n")
    secret.chmod(0o600)
    environment = {TOKEN_VARIABLE: "5:" + "C" * 35}

    def token(text: str) -> str:
        return token_of(write(tmp_path, f"[telegram]\n{text}"), environment)

    assert token(f'token = "{TOKEN}"\ntoken_file = "secret"') == TOKEN
    assert token('token = ""\ntoken_file = "secret"') == OTHER
    assert token("") == environment[TOKEN_VARIABLE]


def test_the_token_of_the_process_environment_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    assert token_of(None) == TOKEN
    assert not load_config(None).telegram.token


def test_commands_of_the_terminal_read_no_token(tmp_path: Path) -> None:
    file = write(tmp_path, '[telegram]\ntoken_file = "none"\n')
    assert not load_config(file, {TOKEN_VARIABLE: TOKEN}).telegram.token


def test_a_missing_token_names_the_ways_to_give_one(tmp_path: Path) -> None:
    assert problems(tmp_path, "", SOMETHING="else") == [MISSING]
    assert problems(tmp_path, '[telegram]\ntoken = ""', SOMETHING="else") == [MISSING]


@pytest.mark.parametrize(
    "token", ["hello", "87654321", "87654321:short", "x" + TOKEN, TOKEN + "!", "5:" + "é" * 35]
)
def test_what_is_no_token_is_refused_without_being_shown(token: str, tmp_path: Path) -> None:
    for found in (
        problems(tmp_path, f'[telegram]\ntoken = "{token}"'),
        problems(tmp_path, "", **{TOKEN_VARIABLE: token}),
    ):
        assert len(found) == 1
        assert found[0].endswith(f": {UNLIKE}")
        assert token not in found[0]


def test_a_token_that_is_no_text_is_told_once(tmp_path: Path) -> None:
    assert problems(tmp_path, "[telegram]\ntoken = 5") == [
        "[telegram] token: must be text in quotes and not empty"
    ]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620])
def test_a_token_file_that_others_may_read_is_refused(mode: int, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(TOKEN)
    secret.chmod(mode)
    said = f"[telegram] token_file: others may read {secret}; run chmod 600 on it"
    assert problems(tmp_path, '[telegram]\ntoken_file = "secret"') == [said]


def test_a_token_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    text = '[telegram]\ntoken_file = "secret"'
    secret = tmp_path / "secret"
    where = f"[telegram] token_file: cannot read {secret}"
    assert problems(tmp_path, text) == [f"{where} (No such file or directory)"]
    secret.write_bytes(b"\xff\xfe")
    secret.chmod(0o600)
    assert problems(tmp_path, text) == [f"{where} (not a text)"]
    secret.write_text("hello")
    assert problems(tmp_path, text) == [f"[telegram] token_file: {UNLIKE}"]


def test_a_configuration_that_holds_the_token_must_not_be_readable_by_others(tmp_path: Path) -> None:
    file = write(tmp_path, f'[telegram]\ntoken = "{TOKEN}"\n')
    file.chmod(0o644)
    with pytest.raises(ConfigError) as refused:
        load_config(file, {}, token_needed=True)
    assert refused.value.problems == [
        f"[telegram] token: others may read {file}; run chmod 600 on it, or put the token into a token_file"
    ]
    assert not load_config(file, {}).telegram.token
    file.write_text("")
    assert token_of(file, {TOKEN_VARIABLE: TOKEN}) == TOKEN


def test_a_token_file_may_be_a_link_and_is_no_folder(tmp_path: Path) -> None:
    kept, link = tmp_path / "kept", tmp_path / "secret"
    kept.write_text(TOKEN)
    kept.chmod(0o600)
    link.symlink_to(kept)
    file = write(tmp_path, '[telegram]\ntoken_file = "secret"')
    assert token_of(file, {}) == TOKEN
    kept.chmod(0o640)
    said = f"[telegram] token_file: others may read {link}; run chmod 600 on it"
    assert problems(tmp_path, '[telegram]\ntoken_file = "secret"') == [said]
    said = f"[telegram] token_file: {tmp_path} is a folder; name the file with the token in it"
    assert problems(tmp_path, f'[telegram]\ntoken_file = "{tmp_path}"') == [said]


def test_a_secret_of_a_container_that_all_may_read_is_refused_with_advice_that_helps_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.secrets._MOUNTED", str(tmp_path))
    secret = tmp_path / "secret"
    secret.write_text(TOKEN)
    secret.chmod(0o444)
    advice = "give the secret the container's uid and mode 0400 where it is mounted"
    assert problems(tmp_path, '[telegram]\ntoken_file = "secret"') == [
        f"[telegram] token_file: others may read {secret}; {advice}"
    ]
    secret.chmod(0o400)
    assert token_of(tmp_path / "config.toml", {}) == TOKEN


def test_a_home_folder_of_nobody_is_named(tmp_path: Path) -> None:
    text = '[telegram]\ntoken_file = "~nobody-here/t"\n[storage]\ndatabase = "~nobody-here/b"'
    unknown = "begins with the home folder of a user unknown on this machine"
    where = tmp_path / "~nobody-here" / "t"
    assert problems(tmp_path, text) == [
        f"[storage] database: {unknown}",
        f"[telegram] token_file: cannot read {where} (no such home folder)",
    ]
