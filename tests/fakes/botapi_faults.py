"""Scripted faults of the fake Bot API."""

from __future__ import annotations

from dataclasses import dataclass, replace
from http import HTTPStatus

from bot.local.botapi import BotApiError


@dataclass(frozen=True)
class Fault:
    """How one call goes wrong.

    `acts` says whether the method has its effect first. Then follows an answer (`status`, `body`), no answer
    at all (`hangs`) or a closed connection (`closes`). The body comes `repeats` times, a `pause` before each,
    and is of that length, or of `missing` bytes more.
    """

    name: str
    acts: bool = False
    status: int = 0
    body: bytes = b""
    content_type: str = "application/json"
    hangs: bool = False
    closes: bool = False
    repeats: int = 1
    pause: float = 0.0
    missing: int = 0


def refusal(status: int, description: str, **parameters: int) -> Fault:
    """The server's own refusal, such as refusal(403, "Forbidden: bot was blocked by the user")."""
    return Fault(f"{status}", status=status, body=BotApiError(status, description, parameters).body())


def flood(retry_after: int) -> Fault:
    """429 with retry_after in seconds."""
    fault = refusal(429, f"Too Many Requests: retry after {retry_after}", retry_after=retry_after)
    return replace(fault, name=f"429 {retry_after}")


def server_error(status: int = 500, *, acts: bool = False) -> Fault:
    """5xx in Telegram's JSON."""
    body = BotApiError(status, HTTPStatus(status).phrase).body()
    return Fault(f"{status}", acts=acts, status=status, body=body)


def bad_gateway(*, acts: bool = False) -> Fault:
    """502 as a proxy's HTML page."""
    page = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
    return Fault("502 page", acts=acts, status=502, body=page, content_type="text/html")


def garbled(*, acts: bool = True) -> Fault:
    """200 with a body that is not JSON."""
    return Fault("garbled", acts=acts, status=200, body=b'{"ok":tr', content_type="application/json")


def answer(body: bytes, content_type: str = "application/json") -> Fault:
    """200 with any body."""
    return Fault("answer", status=200, body=body, content_type=content_type)


def hang(*, acts: bool = False) -> Fault:
    """No answer, ever."""
    return Fault("hang", acts=acts, hangs=True)


def drop(*, acts: bool = False) -> Fault:
    """The connection is closed without an answer."""
    return Fault("drop", acts=acts, closes=True)
