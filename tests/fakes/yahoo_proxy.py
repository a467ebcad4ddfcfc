"""A CONNECT proxy on loopback that answers in place of its hosts, with a certificate of its own."""

from __future__ import annotations

import contextlib
import http.server
import json
import socket
import socketserver
import ssl
import struct
import threading
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qsl, urlsplit

import trustme

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HEAD_LIMIT = 8_192


class Answer:
    """One HTTP response. `cut` sends only that many bytes of the announced body, `then` sends nothing."""

    def __init__(
        self,
        status: int,
        body: bytes,
        kind: str = "application/json",
        headers: dict[str, str] | None = None,
        *,
        cut: int | None = None,
        then: str = "",  # "reset" or "hang" instead of a response
    ) -> None:
        self.status = status
        self.body = body
        self.headers = {"Content-Type": kind, **(headers or {})}
        self.cut = cut
        self.then = then

    @classmethod
    def of(cls, status: int, page: Any) -> Answer:  # noqa: ANN401 - any JSON
        """A JSON response."""
        return cls(status, json.dumps(page).encode())


class Request(Protocol):
    """The parts of a request that a site reads."""

    host: str
    path: str
    query: dict[str, str]
    cookies: dict[str, str]
    body: bytes


class Proxy(socketserver.ThreadingTCPServer):
    """Terminates tunnels to `hosts`. `site` answers each request that comes through one."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, hosts: frozenset[str], site: Callable[[Any], Answer], folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Tunnel)
        self.hosts = hosts
        self.site = site
        self.stopping = threading.Event()
        authority = trustme.CA()
        self.bundle = folder / "authority.pem"
        authority.cert_pem.write_to_path(str(self.bundle))
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(*sorted(hosts)).configure_cert(self.context)
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def address(self) -> str:
        """The proxy's URL."""
        host, port = self.server_address[:2]
        return f"http://{host!s}:{port}"

    def start(self) -> None:
        """Serve in a thread."""
        self._thread.start()

    def stop(self) -> None:
        """End hanging requests and close."""
        self.stopping.set()
        self.shutdown()
        self.server_close()
        self._thread.join()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as inherited
        """A client that disconnects is not an error."""


class _Tunnel(socketserver.BaseRequestHandler):
    """One CONNECT. The requests in it are served by _Requests."""

    server: Proxy

    def handle(self) -> None:
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        head = b""
        while b"\r\n\r\n" not in head and len(head) < HEAD_LIMIT:
            chunk = self.request.recv(HEAD_LIMIT)
            if not chunk:
                return
            head += chunk
        method, target, *_ = head.decode("latin-1").split()
        host, _, port = target.partition(":")
        if method != "CONNECT" or port != "443" or host not in self.server.hosts:
            self.request.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
            return
        self.request.sendall(b"HTTP/1.1 200 Connection Established\r\n\r\n")
        with contextlib.suppress(OSError), self.server.context.wrap_socket(self.request, True) as tunnel:
            _Requests(tunnel, self.client_address, self.server, host)


class _Requests(http.server.BaseHTTPRequestHandler):
    """The HTTP inside a tunnel, with connections kept alive."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet: two would wait for each other's acknowledgement
    server: Proxy

    def __init__(self, tunnel: ssl.SSLSocket, client: Any, server: Proxy, host: str) -> None:  # noqa: ANN401
        self.host = host
        super().__init__(tunnel, client, server)

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.query = dict(parse_qsl(parts.query))
        pairs = (pair.strip().partition("=") for pair in (self.headers.get("Cookie") or "").split(";"))
        self.cookies = {name: value for name, _, value in pairs if name}
        self.path = parts.path
        self._send(self.server.site(self))

    do_POST = do_GET  # noqa: N815 - the names http.server looks for

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as inherited
        """Log nothing."""

    def _send(self, answer: Answer) -> None:
        if answer.then:
            self.close_connection = True
            if answer.then == "hang":
                self.server.stopping.wait(30)
            # Zero linger makes closing the socket a reset, not an orderly end.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body[: answer.cut])
        if answer.cut is not None:
            self.close_connection = True
            self.wfile.flush()
            self.connection.unwrap()  # an orderly end of the connection in the middle of the body
