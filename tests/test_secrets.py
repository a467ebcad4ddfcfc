"""A canary for a token, run through real processes at DEBUG: it comes out nowhere, whatever goes wrong."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from telegram.error import Forbidden, NetworkError

from bot.cli import main
from bot.delivery.outcome import error_text
from bot.local.botapi import BOT_ID
from bot.secrets import HIDDEN, RedactedStream, proxy_secrets, redact, redact_output
from tests.fakes.botapi import FakeBotApi
from tests.fakes.botapi_faults import bad_gateway, drop, refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


ROOT = Path(__file__).parents[1]
ME, PATIENCE = 42, 60.0
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


@dataclass
class Cage:
    """A folder with a configuration that holds the canary, and what processes in it have printed."""

    folder: Path
    api: FakeBotApi
    output: str = ""

    @property
    def config(self) -> Path:
        return self.folder / "config.toml"

    def configure(self, base_url: str) -> None:
        """The configuration, at DEBUG."""
        self.config.write_text(
            f'[telegram]\ntoken = "{BOT_ID}:{CANARY}"\nbase_url = "{base_url}"\n'
            f'[storage]\ndatabase = "bot.db"\n[access]\nusers = [{ME}]\n'
            f'[sources]\nyahoo = false\n[log]\nlevel = "debug"\n'
            f'[heartbeat]\nurl = "{self.api.root}/{PING}"\n'
        )
        self.config.chmod(0o600)

    @asynccontextmanager
    async def run(self, *program: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """The bot in a process; its output is kept, and it has ended with the block."""
        environment = {key: value for key, value in os.environ.items() if key != "TELEGRAM_BOT_TOKEN"}
        environment |= {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "default", "PYTHONASYNCIODEBUG": "1"}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, *program, "run", "--config", str(self.config)),
            cwd=ROOT,
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        reading = asyncio.create_task(self._read(process))
        try:
            yield process
            async with asyncio.timeout(PATIENCE):
                await reading
        finally:
            if process.returncode is None:
                process.kill()
            await asyncio.gather(reading, return_exceptions=True)

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while block := await process.stdout.read(1_000_000):
            self.output += block.decode(errors="replace")
        await process.wait()

    def songs(self) -> list[str]:
        """Where the canary stands: in the output, in files other than the configuration."""
        lines = [line for line in self.output.splitlines() if CANARY in line or PING in line]
        for file in self.folder.rglob("*"):
            if file.is_file() and file != self.config:
                content = file.read_bytes()
                lines += [str(file) for secret in (CANARY, PING) if secret.encode() in content]
        return lines


@pytest.fixture
async def cage(tmp_path: Path) -> AsyncIterator[Cage]:
    async with FakeBotApi(token=f"{BOT_ID}:{CANARY}") as api:
        api.chat(ME)
        cage = Cage(tmp_path, api)
        cage.configure(api.root)
        yield cage


async def answered(cage: Cage, text: str, beginning: str) -> None:
    before = cage.api.last_message_id
    cage.api.say(ME, text)
    await cage.api.wait_for_message(
        lambda m: m.message_id > before and m.text.startswith(beginning), PATIENCE
    )


async def test_at_debug_through_answers_faults_spills_and_a_crash_nothing_is_said(cage: Cage) -> None:
    for method, fault in (
        ("getMe", drop()),
        ("getUpdates", bad_gateway()),
        ("getUpdates", refusal(401, "Unauthorized")),
        ("sendMessage", drop()),
        ("getUpdates", refusal(404, "Not Found")),
    ):
        cage.api.fail(method, fault)
    async with cage.run("tests/fakes/spiller.py") as process:
        await cage.api.until(lambda: len(cage.api.calls("getUpdates")) > 3, PATIENCE)
        cage.api.say(ME, "/help")
        await cage.api.until(lambda: cage.api.calls("sendMessage"), PATIENCE)  # and dropped on the way
        await answered(cage, "/summary on 17:30", "Daily summary")
        await answered(cage, "/about", "Something failed here")
        await answered(cage, "/help", "Commands")
        copy = cage.folder / "copy.db"
        assert await asyncio.to_thread(main, ["backup", str(copy), "--config", str(cage.config)]) == 0
        process.send_signal(signal.SIGTERM)
    assert process.returncode == 1
    for spilled in SPILLED:
        assert spilled in cage.output, spilled
    assert f"{BOT_ID}:{HIDDEN}" in cage.output
    assert copy.is_file()
    assert cage.songs() == []


async def test_a_token_that_is_refused_is_not_said(cage: Cage) -> None:
    cage.api.token = f"{BOT_ID}:{CANARY[::-1]}"
    async with cage.run("-m", "bot") as process:
        await process.wait()
    assert process.returncode == 1
    assert cage.output.endswith("error: Telegram refuses this token; ask @BotFather for a valid one.\n")
    assert cage.songs() == []


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
def test_a_token_at_the_wrong_place_is_told_without_it(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(text.format(token=f"{BOT_ID}:{CANARY}"))
    assert main(["run", "--config", str(config)]) == 2
    said = capsys.readouterr().err
    assert f"{BOT_ID}:{HIDDEN}" in said
    assert CANARY not in said


def test_a_token_typed_as_an_argument_is_told_without_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", f"{BOT_ID}:{CANARY}"]) == 2
    assert f"error: Got unexpected extra argument ({BOT_ID}:{HIDDEN})\n" in capsys.readouterr().err


def test_a_redacted_stream_hides_the_longest_secret_first_and_is_else_the_stream_itself(
    capsys: pytest.CaptureFixture[str],
) -> None:
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
