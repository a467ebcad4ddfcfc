"""The console: answers on standard output, progress and logs on standard error, and the clock."""

from __future__ import annotations

import datetime as dt
import logging
import sys
import time
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


def say(text: str) -> None:
    """Write a line to standard output."""
    print(text, flush=True)  # noqa: T201 - the command line's voice


def say_aside(text: object) -> None:
    """Write a line to standard error, beside answers that may be piped on."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - the command line's voice


def busy(words: str) -> AbstractContextManager[object]:
    """Show a spinner and a few words while the block runs; nothing without a terminal."""
    return Console(stderr=True).status(words)


def log_briefly() -> None:
    """Log warnings to standard error, one line each, without tracebacks."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Brief())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    # Our own report says in one line a source what yfinance warns about.
    logging.getLogger("yfinance").setLevel(logging.CRITICAL)


def log_fully(level: str) -> None:
    """Log everything from `level` on to standard error, with tracebacks and warnings."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler])
    logging.captureWarnings(True)
    if level != "debug":  # at INFO these log every request and every tick
        for noisy in ("httpx", "httpcore", "apscheduler"):
            logging.getLogger(noisy).setLevel(logging.WARNING)


class _Brief(logging.Formatter):
    """Formats a record as one line that ends with the text of its error."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, e.g. "error: an update failed (StorageError: The disk is full)"."""
        error = record.exc_info[1] if record.exc_info else None
        why = f" ({type(error).__name__}: {error})" if error else ""
        return " ".join(f"{record.levelname.lower()}: {record.getMessage()}{why}".split())


class Clock:
    """The terminal's clock: it starts at `start` (else now) and runs, or stands still where it was set."""

    def __init__(self, start: dt.datetime | None, *, running: bool) -> None:
        self.start = start
        self.running = running
        self._since = time.monotonic()

    def __call__(self) -> dt.datetime:
        """Return the instant in UTC."""
        if self.start is None:
            return dt.datetime.now(dt.UTC)
        passed = time.monotonic() - self._since if self.running else 0.0
        return self.start + dt.timedelta(seconds=passed)

    def set(self, moment: dt.datetime) -> None:
        """Set the clock."""
        self.start, self._since = moment, time.monotonic()

    def go(self) -> None:
        """Let the clock run from where it stands."""
        self._since, self.running = time.monotonic(), True
