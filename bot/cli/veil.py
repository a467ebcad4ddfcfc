"""A veil over what the process writes: no secret comes through, whoever writes it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TextIO, cast

HIDDEN = "HIDDEN"


def veil(secrets: Sequence[str]) -> None:
    """From here on, and until the process ends, write no secret to standard output or standard error.

    This is below logs, tracebacks, warnings and threads that die: httpx's URLs, some of Telegram's
    errors and the repr of the bot hold the token.
    """
    sys.stdout, sys.stderr = (
        cast("TextIO", Veil(getattr(stream, "unveiled", stream), secrets))
        for stream in (sys.stdout, sys.stderr)
    )


class Veil:
    """A text stream that writes HIDDEN in place of secrets; all else is the stream's own."""

    def __init__(self, stream: TextIO, secrets: Sequence[str]) -> None:
        self.unveiled = stream
        self._secrets = sorted(secrets, key=len, reverse=True)

    def write(self, text: str) -> int:
        """Write the text without the secrets; what was taken, as its caller counts."""
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return self.unveiled.write(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> object:
        return getattr(self.unveiled, name)
