"""Sheets of an issuer's file as rows of text, whichever of its four forms it has.

The form is detected by the first bytes; name and Content-Type are not trusted. A wrong address at an issuer answers
"200 OK" with a web page, and so does a site that refuses programs.

SpreadsheetML 2003 workbooks as served are not well-formed XML. They have raw ampersands in links and names, HTML inside
of cells, entities that XML does not know, and end tags that do not fit. A recovering parser drops text at the first of
these (`S&P 500` becomes `S 500`) and lets one unclosed <br> swallow the sheets that follow. So only the tags that make
a table are recognised: a sheet, row or cell ends where the next one begins, and what a cell's <ss:Data> holds is text.

Excel workbooks (xls, xlsx, Strict OOXML) are read by calamine. It is native code that answers some damaged files with a
panic on standard error, an endless loop or a claim on all memory.

So files are read in a child process with limits on time and memory, and what it returns has a limit of cells and
characters over all sheets. A file that exceeds one is just one more file that cannot be read.
"""

import csv
import html
import io
import re
import zipfile
from collections.abc import Iterator
from functools import partial

from bot.concurrency import ChildProcess, JobFailed, JobTimedOut, Limits
from bot.data.csv_cells import CONTROL
from bot.errors import ImportRejected, is_out_of_memory

LARGEST = 20_000_000  # bytes: three times twenty-six years of a fund's workbook
UNPACKED = 100_000_000  # bytes in the parts of an xlsx
# In all sheets, twice those of SSGA's distributions, ten times twenty-six years of a fund; a row counts as
# one more, a sheet as a thousand.
MOST_CELLS, A_SHEET = 600_000, 1_000
ADVICE = "Download the file in a browser and run: python -m bot import issuer FILE"
BOM = b"\xef\xbb\xbf"
XML, EXCEL, TEXT, NPORT = "SpreadsheetML", "Excel", "text", "N-PORT"

_START = 4096  # bytes within which a file says what it is
_PAGE = re.compile(
    rb"(?:<\?xml[^<>]*+>\s*+|<!--(?>.*?-->)\s*+)*+<(?:!doctype\s+html|html|head|body|div|script|meta|title)\b",
    re.DOTALL | re.IGNORECASE,
)
_XML = {XML: re.compile(rb"<(?:[a-z]+:)?Workbook\b"), NPORT: re.compile(rb"<(?:[a-z]+:)?edgarSubmission\b")}
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
    """XML (SpreadsheetML), EXCEL (re-saved), NPORT or TEXT. Raises ImportRejected for anything else."""
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
    if xml := [form for form, mark in _XML.items() if mark.search(start)]:
        return xml[0]
    for mark, words in _OTHERS.items():
        if start.startswith(mark):
            raise ImportRejected(f"{name} is {words}. {ADVICE}")
    if CONTROL.search(decode(data[:_START])):
        raise ImportRejected(f"{name} is neither a text file nor a workbook. {ADVICE}")
    return TEXT


def decode(data: bytes) -> str:
    """Decode UTF-8, UTF-16 with its mark, or Windows' code page. Never fails: figures are ASCII."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


Grid = list[list[str]]


class SheetBudget:
    """What the sheets of one file may still hold. `spend` raises ImportRejected when it is exceeded."""

    def __init__(self, name: str) -> None:
        self._name, self._cells, self._letters = name, MOST_CELLS, LARGEST

    def spend(self, cells: int, letters: int = 0) -> None:
        """Count cells and the characters in them."""
        self._cells -= cells
        self._letters -= letters
        if self._cells < 0:
            raise ImportRejected(f"{self._name} has more than {MOST_CELLS:,} cells, too many for a fund.")
        if self._letters < 0:
            raise ImportRejected(f"{self._name} holds more than {LARGEST / 1e6:.0f} MB of text.")


# Possessive, and ending at the next "<": a quote that is never closed cannot make this slow.
_OPEN = r"""<(?:[A-Za-z]+:)?{}\b((?:"[^"<]*+"|'[^'<]*+'|[^<>"'])*+)>"""
_SHEET, _ROW, _CELL, _DATA = (re.compile(_OPEN.format(tag)) for tag in ("Worksheet", "Row", "Cell", "Data"))
_DATA_END = re.compile(r"</(?:[A-Za-z]+:)?(?:Data|Cell)\s*>")
_END = re.compile(r"</(?:[A-Za-z]+:)?Workbook\s*>")
_NAME = re.compile(r"""\bName\s*=\s*["']([^"']*)["']""")
_INDEX = re.compile(r"""\bIndex\s*=\s*["']([0-9]{1,7})["']""")
_CDATA = re.compile(r"<!\[CDATA\[((?:(?!\]\]>|<!\[CDATA\[).)*+)\]\]>", re.DOTALL)
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
    budget = SheetBudget(name)
    for attributes, body in _parts(_SHEET, text):
        grid: Grid = []
        budget.spend(A_SHEET)
        for position, row in _parts(_ROW, body):
            empty = _skipped(position, len(grid), _LONGEST)
            budget.spend(empty + 1)
            grid.extend([] for _ in range(empty))
            cells: list[str] = []
            for place, cell in _parts(_CELL, row):
                empty = _skipped(place, len(cells), _WIDEST)
                budget.spend(empty + 1)
                cells.extend([""] * empty)
                cells.append(" ".join(_text(data) for _, data in _parts(_DATA, cell)))
            grid.append(cells)
        title = _NAME.search(attributes)
        sheets[title[1] if title else f"sheet {len(sheets) + 1}"] = grid
    return sheets


def _parts(opening: re.Pattern[str], text: str) -> Iterator[tuple[str, str]]:
    """Attributes of each opening tag, and the text up to the next one."""
    tag: re.Match[str] | None = None
    for following in opening.finditer(text):
        if tag:
            yield tag[1], text[tag.end() : following.start()]
        tag = following
    if tag:
        yield tag[1], text[tag.end() :]


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


def read_workbook(data: bytes, name: str) -> dict[str, Grid]:
    """Sheets by name as rows of text, dates as 2025-02-04, charts left out.

    Only for the child process. Raises ImportRejected, or ValueError for what calamine cannot read.
    """
    import python_calamine  # noqa: PLC0415 - in the child process only

    if data.startswith(b"PK"):
        _check_unpacked_size(data, name)
    sheets: dict[str, Grid] = {}
    budget = SheetBudget(name)
    try:
        book = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(data))
        for listed in book.sheets_metadata:
            if listed.typ != python_calamine.SheetTypeEnum.WorkSheet:
                continue
            sheet = book.get_sheet_by_name(listed.name)
            budget.spend(A_SHEET + sheet.total_height * (1 + sheet.total_width))
            grid = sheets[listed.name] = []
            for row in sheet.to_python(skip_empty_area=False):
                grid.append([_cell_text(cell) for cell in row])
                budget.spend(0, sum(map(len, grid[-1])))
    except python_calamine.CalamineError as error:
        raise ValueError(str(error)) from None  # an error that the parent can read, too
    return sheets


def _check_unpacked_size(data: bytes, name: str) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as parts:
            size = sum(part.file_size for part in parts.infolist())
    except Exception:  # noqa: BLE001 - whatever is wrong with the archive, calamine says whether it can be read
        return
    if size > UNPACKED:
        raise ImportRejected(f"{name} unpacks to {size / 1e6:,.0f} MB, too large for an issuer's file.")


def _cell_text(cell: object) -> str:
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).strip()


# Twenty-six years of a fund take one second.
PARSER_LIMITS = Limits(job_seconds=20.0, idle_seconds=60.0, memory=2_000_000_000, quiet=True)
_CHILD = ChildProcess("files", PARSER_LIMITS)


def read_sheets(data: bytes, name: str, child: ChildProcess = _CHILD) -> dict[str, Grid]:
    """Sheets by name, each a list of rows of text. A text file is one sheet without a name.

    Raises ImportRejected for a web page, an empty or truncated file, and anything that is not a table.
    """
    form = detect_format(data, name)
    try:
        sheets = child.run(partial(_read, form, data, name))
    except JobTimedOut:
        raise ImportRejected(f"{name} cannot be read: it takes too long.") from None
    except (JobFailed, ValueError, ArithmeticError) as error:
        reason = "is damaged, breaks off before its end or has a password; download it again"
        if is_out_of_memory(error):
            reason = "cannot be read: it takes too much memory"
        elif isinstance(error.__cause__, ImportError | SystemError):
            reason = f"cannot be read: python-calamine does not work ({error.__cause__}); install it again"
        raise ImportRejected(f"{name} {reason}.") from error
    if not sheets:
        raise ImportRejected(f"{name} is a workbook without sheets. {ADVICE}")
    return sheets


def _read(form: str, data: bytes, name: str) -> dict[str, Grid]:
    """The sheets of a file. Runs in the child process."""
    if form == EXCEL:
        return read_workbook(data, name)
    return read_spreadsheetml(decode(data), name) if form == XML else {"": _read_csv(decode(data), name)}


def _read_csv(text: str, name: str) -> Grid:
    """Records of a CSV file. Blank lines are empty records, so that the count is the line number."""
    lines = io.StringIO(text.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "\ufffd"))
    budget, grid = SheetBudget(name), list[list[str]]()
    try:
        for cells in csv.reader(lines, strict=True):
            budget.spend(1 + len(cells))
            grid.append(cells)
    except csv.Error as error:
        problem = "breaks off before its end" if "end of data" in str(error) else f"is not readable ({error})"
        raise ImportRejected(f"{name} {problem}; download it again.") from error
    return grid
