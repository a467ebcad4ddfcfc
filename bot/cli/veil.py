"""A veil over what the process writes: no secret comes through, whoever writes it."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TextIO, cast

from bot.secrets import hide

# The second pair is what Python itself goes back to at its end, when the last destructors run.
_STREAMS = ("stdout", "stderr", "__stdout__", "__stderr__")


def veil(secrets: Iterable[str] = ()) -> None:
    """From here on, and until the process ends, write no secret to standard output or standard error.

    This is below logs, tracebacks, warnings and threads that die: httpx's URLs, some of Telegram's
    errors and the repr of the bot hold the token. What looks like a token is hidden in any case.
    """
    hidden = tuple(secrets)
    for name in _STREAMS:
        stream = getattr(sys, name)
        if stream is not None:  # closed by who started the process: nothing is written there
            setattr(sys, name, cast("TextIO", Veil(getattr(stream, "unveiled", stream), hidden)))


class Veil:
    """A text stream that writes HIDDEN in place of secrets; all else is the stream's own."""

    def __init__(self, stream: TextIO, secrets: Iterable[str]) -> None:
        self.unveiled = stream
        self._secrets = tuple(secrets)

    def write(self, text: str) -> int:
        """Write the text without the secrets; what was taken, as its caller counts."""
        return self.unveiled.write(hide(text, self._secrets))

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> object:
        return getattr(self.unveiled, name)
