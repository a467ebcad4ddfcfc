"""A web site on loopback whose responses are set byte by byte, so that they can be wrong in any way."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class Answer:
    """The bytes of a response, and how the connection ends: "close", "reset" or "hang"."""

    wire: bytes
    then: str = "close"


def page(body: bytes | str, status: str = "200 OK", *, length: int | None = None, **headers: str) -> Answer:
    """A response with its Content-Length, or the wrong `length`. Header names have _ for -."""
    content = body.encode() if isinstance(body, str) else body
    named = {"Content-Length": str(len(content) if length is None else length), **_names(headers)}
    return Answer(_head(status, named) + content)


def unbounded(body: str) -> Answer:
    """A response without a length, which ends with the connection."""
    return Answer(_head("200 OK", {}) + body.encode())


def chunked(*parts: str, ended: bool = True) -> Answer:
    """A chunked response, with or without the final chunk."""
    pieces = b"".join(f"{len(part):x}\r\n{part}\r\n".encode() for part in parts)
    return Answer(_head("200 OK", {"Transfer-Encoding": "chunked"}) + pieces + (b"0\r\n\r\n" if ended else b""))


def redirect(target: str) -> Answer:
    """A redirect to another address."""
    return page("", "302 Found", Location=target)


def _names(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def _head(status: str, headers: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode()


class Website:
    """Serves `pages` by path and query. Records the requested paths and the user agents, in order."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.pages: dict[str, Answer] = {}
        self.asked: list[str] = []
        self.agents: list[str] = []
        self._scheme = "https" if context else "http"
        self._context = context
        self._ended = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    @property
    def address(self) -> str:
        """Its URL without a path."""
        return f"{self._scheme}://127.0.0.1:{self._listener.getsockname()[1]}"

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError):
            stream = self._context.wrap_socket(connection, server_side=True) if self._context else connection
            with stream:
                self._answer(stream, self._request(stream))
        connection.close()

    def _request(self, stream: socket.socket) -> Answer:
        head = b""
        while b"\r\n\r\n" not in head:
            read = stream.recv(4096)
            if not read:
                return Answer(b"")
            head += read
        lines = head.decode("ascii").split("\r\n")
        path = lines[0].split(" ")[1]
        self.asked.append(path)
        self.agents += [line[12:] for line in lines if line.startswith("User-Agent: ")]
        return self.pages.get(path, page("<html>Not Found</html>", "404 Not Found"))

    def _answer(self, stream: socket.socket, answer: Answer) -> None:
        stream.sendall(answer.wire)
        if answer.then == "hang":
            self._ended.wait(10)
        elif answer.then == "reset":
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
