"""HTTP/1.1 as far as a Bot API needs it: a request with its form, an answer."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote, urlsplit

MAX_BODY = 50 * 1024 * 1024  # the Bot API takes uploads of up to 50 MB


@dataclass(frozen=True)
class HttpRequest:
    """One request; `fields` merges the query string and the body, `files` holds uploads by field name."""

    verb: str
    path: str
    fields: dict[str, str] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    too_large: bool = False


async def read_request(reader: asyncio.StreamReader) -> HttpRequest | None:
    """Next request of a connection; None when the client has closed it."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    first, *lines = head.split("\r\n")
    verb, target, _ = first.split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length = int(headers.get("content-length") or 0)
    url = urlsplit(target)
    if length > MAX_BODY:
        return HttpRequest(verb, unquote(url.path), too_large=True)
    try:
        body = await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    fields, files = _form(headers.get("content-type", ""), body)
    return HttpRequest(verb, unquote(url.path), {**dict(parse_qsl(url.query)), **fields}, files)


def _form(content_type: str, body: bytes) -> tuple[dict[str, str], dict[str, bytes]]:
    """Fields and files of a body: JSON, URL-encoded or multipart."""
    if content_type.startswith("application/json"):
        values = json.loads(body)
        return {name: v if isinstance(v, str) else json.dumps(v) for name, v in values.items()}, {}
    if content_type.startswith("multipart/form-data"):
        return _multipart(content_type.partition("boundary=")[2].strip('"').encode(), body)
    return dict(parse_qsl(body.decode(), keep_blank_values=True)), {}


def _multipart(boundary: bytes, body: bytes) -> tuple[dict[str, str], dict[str, bytes]]:
    fields: dict[str, str] = {}
    files: dict[str, bytes] = {}
    for part in (b"\r\n" + body).split(b"\r\n--" + boundary)[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        name = re.search(rb'[ ;]name="([^"]*)"', head)
        if name is None:
            continue
        if b"filename=" in head:
            files[name[1].decode()] = content
        else:
            fields[name[1].decode()] = content.decode()
    return fields, files


def response(status: int, body: bytes, content_type: str = "application/json") -> bytes:
    """The bytes of one answer; the connection stays open."""
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode("latin-1") + body
