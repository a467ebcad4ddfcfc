"""Jobs for child processes in tests: quick to import, for every child process reads this."""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path

_open_sockets: list[socket.socket] = []


def process_id() -> int:
    """The process that runs the job."""
    return os.getpid()


def connect(port: int) -> int:
    """Stay connected for as long as the process lives."""
    _open_sockets.append(socket.create_connection(("127.0.0.1", port)))
    return os.getpid()


def crash() -> int:
    """End the process before the job is done."""
    os._exit(1)


def hang(port: int | None = None) -> int:
    """Never end; a connection to the port tells that the job has begun."""
    if port is not None:
        connect(port)
    while True:
        signal.pause()


def claim_memory() -> int:
    """Claim more memory than a limited process may have."""
    return len(bytearray(4_000_000_000))


def print_noise() -> int:
    """Print to both descriptors, as native code does."""
    os.write(1, b"noise")
    os.write(2, b"noise")
    return os.getpid()


def loaded_modules() -> set[str]:
    """The names of all modules that the process has imported."""
    return set(sys.modules)


def memory() -> float:
    """The resident memory of the process in MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def refuse() -> int:
    """Raise an error that the caller can understand."""
    raise ValueError("not this one")


def raise_in(processes: int, error: Exception, log: Path) -> int:
    """Raise an error in the first so many processes that run this. The log holds one line for each run."""
    with log.open("a") as lines:
        lines.write(f"{os.getpid()}\n")
    if len(set(log.read_text().split())) <= processes:
        raise error
    return os.getpid()
