"""A canary for a token, run through real processes at DEBUG: it comes out nowhere, whatever goes wrong."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from telegram.error import Forbidden, NetworkError

from bot.cli import main
from bot.delivery.outcome import error_text
from bot.local.botapi import BOT_ID
from bot.secrets import HIDDEN, RedactedStream, proxy_secrets, redact, redact_output
from tests.fakes.botapi import FakeBotApi
from tests.fakes.botapi_faults import bad_gateway, drop, refusal
from tests.place import ME, PATIENCE, ROOT, Place

CANARY = "AAGcanary_that_must_not_sing-0123456"
PING = "canary-of-the-heartbeat"
SPILLED = (
    "RuntimeError: the end of ExtBot[token=",
    "LookupError: a handler with ExtBot[token=",
    "RuntimeError: a thread with ",
    "RuntimeWarning: a warning with ",
    "RuntimeError: a destructor with ",
    "RuntimeError: a callback with ",
    "printed ",
    "written ",
    "--- Logging error ---",
    "DEBUG httpcore",
    "HTTP Request: POST",
    "cannot be reached (",
    "DEBUG telegram",
)


@pytest.fixture
async def cage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Place]:
    """A folder with a configuration that holds the canary, at DEBUG."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYTHONASYNCIODEBUG", "1")
    async with FakeBotApi(token=f"{BOT_ID}:{CANARY}") as api:
        api.chat(ME)
        cage = Place(tmp_path, api)
        cage.configure(log='level = "debug"', heartbeat=f'url = "{api.root}/{PING}"')
        yield cage


def songs(cage: Place, output: str) -> list[str]:
    """Where the canary stands: in the output, in files other than the configuration."""
    lines = [line for line in output.splitlines() if CANARY in line or PING in line]
    for file in cage.folder.rglob("*"):
        if file.is_file() and file.name != "config.toml":
            content = file.read_bytes()
            lines += [str(file) for secret in (CANARY, PING) if secret.encode() in content]
    return lines


async def test_at_debug_through_answers_faults_spills_and_a_crash_nothing_is_said(cage: Place) -> None:
    for method, fault in (
        ("getMe", drop()),
        ("getUpdates", bad_gateway()),
        ("getUpdates", refusal(401, "Unauthorized")),
        ("sendMessage", drop()),
        ("getUpdates", refusal(404, "Not Found")),
    ):
        cage.api.fail(method, fault)
    async with cage.run("tests/fakes/spiller.py") as bot:
        await cage.api.until(lambda: len(cage.api.calls("getUpdates")) > 3, PATIENCE)
        cage.api.say(ME, "/help")
        await cage.api.until(lambda: cage.api.calls("sendMessage"), PATIENCE)  # and dropped on the way
        await cage.answer("/summary on 17:30", "Daily summary")
        await cage.answer("/about", "Something failed here")
        await cage.answer("/help", "Commands")
        copy, config = cage.folder / "copy.db", cage.folder / "config.toml"
        assert await asyncio.to_thread(main, ["backup", str(copy), "--config", str(config)]) == 0
        code, output, _ = await bot.stopped()
    assert code == 1
    for spilled in SPILLED:
        assert spilled in output, spilled
    assert f"{BOT_ID}:{HIDDEN}" in output
    assert copy.is_file()
    assert songs(cage, output) == []


async def test_a_token_that_is_refused_is_not_said(cage: Place) -> None:
    cage.api.token = f"{BOT_ID}:{CANARY[::-1]}"
    async with cage.run() as bot:
        code, output = await bot.ended()
    assert code == 1
    assert output.endswith("error: Telegram refuses this token; ask @BotFather for a valid one.\n")
    assert songs(cage, output) == []


@pytest.mark.parametrize(
    "text",
    [
        '[telegram]\ntoken_file = "{token}"',
        '[telegram]\n"{token}" = 1',
        '[access]\nusers = ["{token}"]',
        '[time]\ntimezone = "{token}"',
        '[backup]\ntime = "{token}"',
    ],
)
def test_a_misplaced_token_is_hidden(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "config.toml"
    config.write_text(text.format(token=f"{BOT_ID}:{CANARY}"))
    assert main(["run", "--config", str(config)]) == 2
    said = capsys.readouterr().err
    assert f"{BOT_ID}:{HIDDEN}" in said
    assert CANARY not in said


def test_a_token_typed_as_an_argument_is_told_without_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", f"{BOT_ID}:{CANARY}"]) == 2
    assert f"error: Got unexpected extra argument ({BOT_ID}:{HIDDEN})\n" in capsys.readouterr().err


def test_a_redacted_stream_hides_the_longest_secret_first(capsys: pytest.CaptureFixture[str]) -> None:
    redacted = RedactedStream(sys.stdout, ["secret", "secret-longer"])
    redacted.write("a secret-longer and a secret\n")
    redacted.writelines(["one secret\n", "two\n"])
    redacted.flush()
    assert redacted.isatty() is False  # type: ignore[operator]
    assert capsys.readouterr().out == "a HIDDEN and a HIDDEN\none HIDDEN\ntwo\n"


def test_a_stream_that_is_closed_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stdout", "stderr", "__stdout__", "__stderr__"):
        monkeypatch.setattr(sys, name, None)
    redact_output(["secret"])
    assert (sys.stdout, sys.__stderr__) == (None, None)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"bot{BOT_ID}:{CANARY}/getMe", f"bot{BOT_ID}:HIDDEN/getMe"),
        (f"bot{BOT_ID}%3a{CANARY}/getMe", f"bot{BOT_ID}%3aHIDDEN/getMe"),
        (f"b'{BOT_ID}:{CANARY}'", f"b'{BOT_ID}:HIDDEN'"),
        ("2026-11-20T22:00:00Z file.py:120:a_name", "2026-11-20T22:00:00Z file.py:120:a_name"),
        ("a short one stays", "a short one stays"),
    ],
)
def test_what_looks_like_a_token_is_hidden_even_if_nobody_named_it(text: str, shown: str) -> None:
    assert redact(text, ["", "short"]) == shown


def test_a_reason_of_what_stands_in_telegrams_place_may_repeat_the_address() -> None:
    for kind in (Forbidden, NetworkError):
        assert error_text(kind(f"no /bot{BOT_ID}:{CANARY}/getMe")) == f"no /bot{BOT_ID}:HIDDEN/getMe"


def test_passwords_of_proxies_are_known() -> None:
    environment = {
        "HTTPS_PROXY": "http://me:pa%2Fss-word@proxy.example:8080",
        "http_proxy": "other:pass-word@proxy.example",
        "ALL_PROXY": "socks5://proxy.example:1080",
        "no_proxy": "localhost,127.0.0.1",
        "PATH": "//a:secret-of-nobody@b",
    }
    assert set(proxy_secrets(environment)) - {""} == {"pa%2Fss-word", "pa/ss-word", "pass-word"}
