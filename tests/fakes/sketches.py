"""What an Easel draws in its tests: quick to import, for every process that draws reads this."""

from __future__ import annotations

import os
import signal
import socket

_kept: list[socket.socket] = []


def signature() -> int:
    """The process that draws."""
    return os.getpid()


def holding(port: int) -> int:
    """Connected for as long as the process lives."""
    _kept.append(socket.create_connection(("127.0.0.1", port)))
    return os.getpid()


def dying() -> int:
    """The process ends before it is done."""
    os._exit(1)


def endless() -> int:
    """Never done."""
    while True:
        signal.pause()
