"""Sheets of an issuer's file as rows of text, whichever of its four forms it has."""

from __future__ import annotations

import csv
import io

from bot.data.issuers.sniff import ADVICE, TEXT, XML, decode, detect_format
from bot.data.issuers.spreadsheetml import Grid, read_spreadsheetml
from bot.data.issuers.workbook import UnreadableWorkbook, read_workbook
from bot.errors import ImportRejected


def read_sheets(data: bytes, name: str) -> dict[str, Grid]:
    """Sheets by name, each a list of rows of text. A text file is one sheet without a name.

    Raises ImportRejected for a web page, an empty or truncated file, and anything that is not a table.
    """
    form = detect_format(data, name)
    if form == XML:
        sheets = read_spreadsheetml(decode(data), name)
    elif form == TEXT:
        sheets = {"": _read_csv(decode(data), name)}
    else:
        try:
            sheets = read_workbook(data)
        except UnreadableWorkbook as error:
            raise ImportRejected(f"{name} {error}.") from error
    if not sheets:
        raise ImportRejected(f"{name} is a workbook without sheets. {ADVICE}")
    return sheets


def _read_csv(text: str, name: str) -> Grid:
    """Records of a CSV file. Blank lines are empty records, so that the count is the line number."""
    lines = io.StringIO(text.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "\ufffd"))
    try:
        return list(csv.reader(lines, strict=True))
    except csv.Error as error:
        problem = "breaks off before its end" if "end of data" in str(error) else f"is not readable ({error})"
        raise ImportRejected(f"{name} {problem}; download it again.") from error
