"""Reads SpreadsheetML 2003 workbooks, which as served are not well-formed XML.

It has raw ampersands in links and names, HTML inside of cells, entities that XML does not know, and
end tags that do not fit. A recovering parser drops text at the first of these (`S&P 500` becomes `S 500`)
and lets one unclosed <br> swallow the sheets that follow. So only the tags that make a table are
recognised: a sheet, row or cell ends where the next one begins, and what a cell's <ss:Data> holds is text.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from bot.errors import ImportRejected

Grid = list[list[str]]

# Possessive, and ending at the next "<": a quote that is never closed cannot make this slow.
_OPEN = r"""<(?:[A-Za-z]+:)?{}\b((?:"[^"<]*+"|'[^'<]*+'|[^<>"'])*+)>"""
_SHEET, _ROW, _CELL, _DATA = (re.compile(_OPEN.format(tag)) for tag in ("Worksheet", "Row", "Cell", "Data"))
_DATA_END = re.compile(r"</(?:[A-Za-z]+:)?(?:Data|Cell)\s*>")
_END = re.compile(r"</(?:[A-Za-z]+:)?Workbook\s*>")
_NAME = re.compile(r"""\bName\s*=\s*["']([^"']*)["']""")
_INDEX = re.compile(r"""\bIndex\s*=\s*["']([0-9]{1,7})["']""")
_CDATA = re.compile(r"<!\[CDATA\[(.*?)\]\]>", re.DOTALL)
_MARKUP = re.compile(r"</?[A-Za-z][^<>]*+>")
# With their semicolon only: html.unescape alone reads "SMITH &LTD" as "SMITH <D".
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});")
# Rows of a sheet and cells of a row that an index may skip to; past these it is no table.
_LONGEST, _WIDEST = 100_000, 1_000


def read_spreadsheetml(text: str, name: str) -> dict[str, Grid]:
    """Sheets by name as rows of text. Raises ImportRejected if the file is truncated.

    A row or cell with an ss:Index is put at that place, with empty ones before it.
    """
    if not _END.search(text):
        raise ImportRejected(f"{name} breaks off before its end; download it again.")
    sheets: dict[str, Grid] = {}
    for attributes, body in _parts(_SHEET, text):
        title = _NAME.search(attributes)
        sheets[title[1] if title else f"sheet {len(sheets) + 1}"] = _grid(body)
    return sheets


def _grid(body: str) -> Grid:
    grid: Grid = []
    for attributes, row in _parts(_ROW, body):
        grid.extend([] for _ in range(_skipped(attributes, len(grid), _LONGEST)))
        grid.append(_cells(row))
    return grid


def _cells(row: str) -> list[str]:
    cells: list[str] = []
    for attributes, body in _parts(_CELL, row):
        cells.extend([""] * _skipped(attributes, len(cells), _WIDEST))
        cells.append(" ".join(_text(data) for _, data in _parts(_DATA, body)))
    return cells


def _parts(opening: re.Pattern[str], text: str) -> Iterator[tuple[str, str]]:
    """Attributes of each opening tag, and the text up to the next one."""
    tags = list(opening.finditer(text))
    ends = [tag.start() for tag in tags] + [len(text)]
    for tag, end in zip(tags, ends[1:], strict=True):
        yield tag[1], text[tag.end() : end]


def _skipped(attributes: str, already: int, limit: int) -> int:
    """How many empty places precede the row or cell with these attributes."""
    index = _INDEX.search(attributes)
    return max(min(int(index[1]), limit) - 1 - already, 0) if index else 0


def _text(data: str) -> str:
    """Text of a cell, with markup removed, entities resolved and white space normalised."""
    ended = _DATA_END.search(data)
    inside = data[: ended.start()] if ended else data
    plain = _ENTITY.sub(lambda entity: html.unescape(entity[0]), _MARKUP.sub(" ", _CDATA.sub(r"\1", inside)))
    return " ".join(plain.split())
