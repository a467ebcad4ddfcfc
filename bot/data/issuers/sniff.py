"""Detects the format of a downloaded file by its first bytes. Its name and Content-Type are not trusted.

A wrong address at an issuer answers "200 OK" with a web page, and so does a site that refuses programs.
"""

from __future__ import annotations

import re

from bot.errors import ImportRejected

LARGEST = 64_000_000  # bytes: twenty-six years of a fund's workbook are a tenth of it
ADVICE = "Download the file in a browser and run: python -m bot import issuer FILE"
BOM = b"\xef\xbb\xbf"
XML, EXCEL, TEXT = "SpreadsheetML", "Excel", "text"

_START = 4096  # bytes within which a file says what it is
_PAGE = re.compile(
    rb"(?:<\?xml[^<>]*>\s*|<!--.*?-->\s*)*<(?:!doctype|html|head|body|script|meta|title)\b",
    re.DOTALL | re.IGNORECASE,
)
_WORKBOOK = re.compile(rb"<(?:[a-z]+:)?Workbook\b")
_EXCEL = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # xlsx, xls
_OTHERS = {
    b"%PDF": "a PDF",
    b"\x1f\x8b": "compressed; unpack it first",
    b"{": "JSON, an answer for programs",
    b"<": "XML of another kind than a workbook",
}


class WebPageInstead(ImportRejected):
    """A web page instead of the file: a wrong address, or a site that refuses programs."""


def detect_format(data: bytes, name: str) -> str:
    """XML (SpreadsheetML as served), EXCEL (re-saved) or TEXT. Raises ImportRejected for anything else."""
    if len(data) > LARGEST:
        raise ImportRejected(f"{name} is larger than {LARGEST / 1e6:.0f} MB, too large for an issuer's file.")
    start = data[:_START].removeprefix(BOM).lstrip()
    if not data.removeprefix(BOM).strip():
        raise ImportRejected(f"{name} is empty. {ADVICE}")
    if start.startswith(_EXCEL):
        return EXCEL
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        start = start.replace(b"\x00", b"")[2:]
    if _PAGE.match(start):
        raise WebPageInstead(f"{name} is a web page, not a file of figures. {ADVICE}")
    if _WORKBOOK.search(start):
        return XML
    for mark, words in _OTHERS.items():
        if start.startswith(mark):
            raise ImportRejected(f"{name} is {words}. {ADVICE}")
    return TEXT


def decode(data: bytes) -> str:
    """Decode UTF-8, UTF-16 with its mark, or Windows' code page. Never fails: figures are ASCII."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")
