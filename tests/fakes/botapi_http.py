"""The part of HTTP/1.1 that a Bot API needs: reading a request with its form, writing a response."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote, urlsplit

from bot.local.botapi import Upload
from tests.fakes.botapi_methods import UPLOAD_LIMIT

MAX_BODY = UPLOAD_LIMIT  # of the whole body


@dataclass(frozen=True)
class HttpRequest:
    """One request; `fields` merges the query string and the body, `files` holds uploads by field name."""

    verb: str
    path: str
    fields: dict[str, str] = field(default_factory=dict)
    files: dict[str, Upload] = field(default_factory=dict)
    too_large: bool = False


async def read_request(reader: asyncio.StreamReader) -> HttpRequest | None:
    """The next request of a connection, or None if the client has closed it."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    first, *lines = head.split("\r\n")
    verb, target, _ = first.split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length = int(headers.get("content-length") or 0)
    url = urlsplit(target)
    try:
        if length > MAX_BODY:
            await _discard(reader, length)
            return HttpRequest(verb, unquote(url.path), too_large=True)
        body = await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    fields, files = _form(headers.get("content-type", ""), body)
    return HttpRequest(verb, unquote(url.path), {**dict(parse_qsl(url.query)), **fields}, files)


async def _discard(reader: asyncio.StreamReader, length: int) -> None:
    """Read a body that nobody wants, so that the client comes to read the answer."""
    while length > 0:
        length -= len(await reader.readexactly(min(length, 1 << 20)))


def _form(content_type: str, body: bytes) -> tuple[dict[str, str], dict[str, Upload]]:
    """Fields and files of a JSON, URL-encoded or multipart body."""
    if content_type.startswith("application/json"):
        values = json.loads(body)
        fields = {name: value if isinstance(value, str) else json.dumps(value) for name, value in values.items()}
        return fields, {}
    if content_type.startswith("multipart/form-data"):
        return _multipart(content_type.partition("boundary=")[2].strip('"').encode(), body)
    return dict(parse_qsl(body.decode(), keep_blank_values=True)), {}


def _multipart(boundary: bytes, body: bytes) -> tuple[dict[str, str], dict[str, Upload]]:
    fields: dict[str, str] = {}
    files: dict[str, Upload] = {}
    for part in (b"\r\n" + body).split(b"\r\n--" + boundary)[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        name = re.search(rb'[ ;]name="([^"]*)"', head)
        if name is None:
            continue
        if file_name := re.search(rb'filename="([^"]*)"', head):
            files[name[1].decode()] = Upload(file_name[1].decode(), content)
        else:
            fields[name[1].decode()] = content.decode()
    return fields, files


def response(status: int, body: bytes, content_type: str = "application/json", length: int | None = None) -> bytes:
    """The bytes of one response, after which the connection stays open; `length` is what its head says."""
    length = len(body) if length is None else length
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n"
    )
    return head.encode("latin-1") + body
