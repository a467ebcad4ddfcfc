"""Files in the issuers' layouts with figures of our own, in each form in which they come.

A sheet is a list of rows; a cell is a text, a number, a date (where the form has dates) or None.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import struct
import zipfile
from collections.abc import Mapping, Sequence
from typing import TypeAlias
from xml.sax.saxutils import escape

Cell: TypeAlias = "str | float | dt.date | None"
Sheet: TypeAlias = "Sequence[Sequence[Cell]]"
Book: TypeAlias = "Mapping[str, Sheet]"

BOM = b"\xef\xbb\xbf"


def spreadsheetml(book: Book) -> bytes:
    """As iShares serves it: a BOM, no well-formed XML, texts taken over as they are, with what is in them."""
    head = (
        '<?xml version="1.0"?>\n<ss:Workbook xmlns:ss="urn:schemas-microsoft-com:office:spreadsheet">\n'
        '<ss:Styles>\n<ss:Style ss:ID="Default">\n<ss:Alignment ss:Horizontal="Left"/>\n</Style>\n'
        '<ss:Style ss:ID="wraptext">\n</ss:Style>\n</ss:Styles>\n'
    )
    sheets = "".join(
        f'<ss:Worksheet ss:Name="{name}">\n<ss:Table>\n{"".join(map(_ss_row, sheet))}</ss:Table>\n</ss:Worksheet>\n'
        for name, sheet in book.items()
    )
    return BOM + (head + sheets + "</ss:Workbook>\n").encode()


def _ss_row(row: Sequence[Cell]) -> str:
    return "<ss:Row>\n" + "".join(map(_ss_cell, row)) + "</ss:Row>\n"


def _ss_cell(cell: Cell) -> str:
    kind = "Number" if isinstance(cell, float | int) else "String"
    link = ' ss:HRef="https://example.com/fund?id=239710&type=fund&x=1"' if cell == "Disclosures" else ""
    text = "" if cell is None else cell
    return f'<ss:Cell ss:StyleID="Left"{link}>\n<ss:Data ss:Type="{kind}">{text}</ss:Data>\n</ss:Cell>\n'


def csv_file(rows: Sheet, *, bom: bool = True) -> bytes:
    """A CSV file in UTF-8 with all texts but the first column's quoted, as iShares quotes its figures."""
    out = io.StringIO()
    for row in rows:
        csv.writer(out, lineterminator="\r\n").writerow(["" if cell is None else cell for cell in row])
    return (BOM if bom else b"") + out.getvalue().encode()


_MAIN = ("http://schemas.openxmlformats.org/spreadsheetml/2006/main", "http://purl.oclc.org/ooxml/spreadsheetml/main")
_LINKS = (
    "http://schemas.openxmlformats.org/officeDocument/2006/relationships",
    "http://purl.oclc.org/ooxml/officeDocument/relationships",
)
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_EXCEL_EPOCH = dt.date(1899, 12, 30)


def xlsx(book: Book, *, strict: bool = False) -> bytes:
    """An Excel workbook with shared strings, in the usual dialect or in Strict OOXML."""
    main, links = _MAIN[strict], _LINKS[strict]
    strings: list[str] = []
    parts = {
        f"xl/worksheets/sheet{count}.xml": f'<worksheet xmlns="{main}"><sheetData>'
        + "".join(_xlsx_row(number, row, strings, strict=strict) for number, row in enumerate(sheet, start=1))
        + "</sheetData></worksheet>"
        for count, sheet in enumerate(book.values(), start=1)
    }
    numbered = list(enumerate(book, start=1))
    parts["xl/sharedStrings.xml"] = (
        f'<sst xmlns="{main}">' + "".join(f"<si><t>{escape(text)}</t></si>" for text in strings) + "</sst>"
    )
    parts["xl/styles.xml"] = (
        f'<styleSheet xmlns="{main}"><cellXfs count="2"><xf numFmtId="0"/><xf numFmtId="14"/></cellXfs></styleSheet>'
    )
    parts["xl/workbook.xml"] = (
        f'<workbook xmlns="{main}" xmlns:r="{links}"><sheets>'
        + "".join(f'<sheet name="{escape(name)}" sheetId="{n}" r:id="rId{n}"/>' for n, name in numbered)
        + "</sheets></workbook>"
    )
    targets = [("worksheet", f"worksheets/sheet{n}.xml") for n, _ in numbered]
    targets += [("sharedStrings", "sharedStrings.xml"), ("styles", "styles.xml")]
    parts["xl/_rels/workbook.xml.rels"] = _rels(links, targets)
    parts["_rels/.rels"] = _rels(links, [("officeDocument", "xl/workbook.xml")])
    parts["[Content_Types].xml"] = (
        f'<Types xmlns="{_PACKAGE}/content-types"><Default Extension="xml" ContentType="application/xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{_TYPE}.sheet.main+xml"/></Types>'
    )
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as package:
        for path, text in parts.items():
            entry = zipfile.ZipInfo(path)  # without the time of day, so that a book is the same each time
            package.writestr(entry, f'<?xml version="1.0" encoding="UTF-8"?>\n{text}', zipfile.ZIP_DEFLATED)
    return out.getvalue()


def _rels(links: str, targets: Sequence[tuple[str, str]]) -> str:
    entries = "".join(
        f'<Relationship Id="rId{count}" Type="{links}/{kind}" Target="{target}"/>'
        for count, (kind, target) in enumerate(targets, start=1)
    )
    return f'<Relationships xmlns="{_PACKAGE}/relationships">{entries}</Relationships>'


def _xlsx_row(number: int, row: Sequence[Cell], strings: list[str], *, strict: bool) -> str:
    cells = "".join(
        _xlsx_cell(f"{chr(65 + column)}{number}", cell, strings, strict=strict)
        for column, cell in enumerate(row)
        if cell is not None
    )
    return f'<row r="{number}">{cells}</row>'


def _xlsx_cell(place: str, cell: Cell, strings: list[str], *, strict: bool) -> str:
    if isinstance(cell, dt.date):
        if strict:
            return f'<c r="{place}" s="1" t="d"><v>{cell.isoformat()}</v></c>'
        return f'<c r="{place}" s="1"><v>{(cell - _EXCEL_EPOCH).days}</v></c>'
    if isinstance(cell, str):
        strings.append(cell)
        return f'<c r="{place}" t="s"><v>{len(strings) - 1}</v></c>'
    return f'<c r="{place}"><v>{cell!r}</v></c>'


_SECTOR, _END, _FREE, _FAT = 512, 0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFD


def xls(book: Book, *, protected: bool = False) -> bytes:
    """An Excel 97 workbook (BIFF8 in an OLE container), as a person re-saves one; without dates."""
    stream = _biff(book, _record(0x002F, struct.pack("<HHH", 1, 1, 1)) if protected else b"")
    stream += bytes(max(4096 - len(stream), 0))
    stream += bytes(-len(stream) % _SECTOR)
    used = len(stream) // _SECTOR
    fats = -(-(used + 2) // 127)
    fat = [*range(1, used), _END, _END, *([_FAT] * fats)]
    fat += [_FREE] * (fats * 128 - len(fat))
    header = struct.pack(
        "<8s16xHHHHH6xIIIIIIIII",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        *(0x3E, 3, 0xFFFE, 9, 6),
        *(0, fats, used, 0, 4096, _END, 0, _END, 0),
    )
    places = [used + 1 + count for count in range(fats)]
    header += struct.pack("<109I", *places, *([_FREE] * (109 - fats)))
    root = _entry("Root Entry", 5, 1, _END, 0)
    directory = root + _entry("Workbook", 2, _FREE, 0, len(stream)) + bytes(256)
    return header + stream + directory + struct.pack(f"<{len(fat)}I", *fat)


def _entry(name: str, kind: int, child: int, start: int, size: int) -> bytes:
    text = name.encode("utf-16-le")
    return struct.pack("<64sHBBIII16xI16xIQ", text, len(text) + 2, kind, 1, _FREE, _FREE, child, 0, start, size)


def _biff(book: Book, password: bytes) -> bytes:
    bodies = [_biff_sheet(sheet) for sheet in book.values()]
    names = [struct.pack("<BB", len(name), 0) + name.encode("latin-1") for name in book]
    start = _record(0x0809, struct.pack("<HHHHII", 0x0600, 5, 0x0DBB, 0x07CC, 0, 6)) + password
    start += _record(0x0042, struct.pack("<H", 0x04B0))
    at = len(start) + sum(len(name) + 10 for name in names) + 4
    for name, body in zip(names, bodies, strict=True):
        start += _record(0x0085, struct.pack("<IBB", at, 0, 0) + name)
        at += len(body)
    return start + _record(0x000A, b"") + b"".join(bodies)


def _biff_sheet(sheet: Sheet) -> bytes:
    widest = max((len(row) for row in sheet), default=0)
    out = _record(0x0809, struct.pack("<HHHHII", 0x0600, 0x10, 0x0DBB, 0x07CC, 0, 6))
    out += _record(0x0200, struct.pack("<IIHHH", 0, len(sheet), 0, widest, 0))
    for number, row in enumerate(sheet):
        for column, cell in enumerate(row):
            place = struct.pack("<HHH", number, column, 0)
            if isinstance(cell, str):
                text = struct.pack("<HB", len(cell), 1) + cell.encode("utf-16-le")
                out += _record(0x0204, place + text)
            elif isinstance(cell, float | int):
                out += _record(0x0203, place + struct.pack("<d", cell))
    return out + _record(0x000A, b"")


def _record(kind: int, data: bytes) -> bytes:
    return struct.pack("<HH", kind, len(data)) + data
