"""Excel workbooks (xls, xlsx, Strict OOXML) by calamine, in a process of its own.

calamine is native code that answers some damaged files with a panic on standard error, an endless loop or
a claim on all memory. In a process of its own, with limits, that is just one more file that cannot be read.
Run as a program this module is that process: a workbook on standard input, its sheets as JSON on output.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys

TIME_LIMIT = 20.0  # seconds; twenty-six years of a fund take one
MEMORY_LIMIT = 2_000_000_000  # bytes of address space, where the system enforces it

Sheets = dict[str, list[list[str]]]


class Unreadable(Exception):
    """The workbook cannot be read; the message is the reason, to be put after its name."""


def read_workbook(data: bytes) -> Sheets:
    """Sheets by name as rows of text, dates as 2025-02-04 where they are dates; raises Unreadable."""
    command = [sys.executable, "-P", __file__]
    try:
        done = subprocess.run(  # noqa: S603 - this very file
            command, input=data, capture_output=True, timeout=TIME_LIMIT, check=False
        )
    except subprocess.TimeoutExpired:
        raise Unreadable("cannot be read: it takes too long") from None
    if done.returncode:
        raise Unreadable("is damaged, breaks off before its end or has a password; download it again")
    sheets: Sheets = json.loads(done.stdout)
    return sheets


def _convert(data: bytes) -> Sheets:
    """What calamine finds, charts left out."""
    import python_calamine  # noqa: PLC0415 - in the process of its own only

    book = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(data))
    worksheet = python_calamine.SheetTypeEnum.WorkSheet
    return {
        sheet.name: [
            [_text(cell) for cell in row]
            for row in book.get_sheet_by_name(sheet.name).to_python(skip_empty_area=False)
        ]
        for sheet in book.sheets_metadata
        if sheet.typ == worksheet
    }


def _text(cell: object) -> str:
    """A cell as it would be written: 1234567.0 is 1234567, a date 2025-02-04."""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).strip()


def _limit_memory() -> None:
    if sys.platform != "win32":
        import resource  # noqa: PLC0415 - not there on Windows

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, resource.getrlimit(resource.RLIMIT_AS)[1]))


if __name__ == "__main__":
    _limit_memory()
    json.dump(_convert(sys.stdin.buffer.read()), sys.stdout)
