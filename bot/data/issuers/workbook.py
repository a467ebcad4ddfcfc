"""Excel workbooks (xls, xlsx, Strict OOXML) by calamine, in a child process.

calamine is native code that answers some damaged files with a panic on standard error, an endless loop or
a claim on all memory. In a child process with limits, that is just one more file that cannot be read.
"""

from __future__ import annotations

import io
from functools import partial

from bot.child_process import ChildProcess, JobFailed, JobTimedOut, Limits

# Twenty-six years of a fund take one second.
LIMITS = Limits(job_seconds=20.0, memory=2_000_000_000, quiet=True)

Sheets = dict[str, list[list[str]]]


class UnreadableWorkbook(Exception):
    """The workbook cannot be read; the message is the reason, to be put after its name."""


def read_workbook(data: bytes, limits: Limits = LIMITS) -> Sheets:
    """Sheets by name as rows of text, dates as 2025-02-04 where they are dates; raises UnreadableWorkbook."""
    try:
        with ChildProcess("workbook", limits) as process:
            return process.run(partial(_convert, data))
    except JobTimedOut:
        raise UnreadableWorkbook("cannot be read: it takes too long") from None
    except (JobFailed, ValueError, MemoryError) as error:
        reason = "is damaged, breaks off before its end or has a password; download it again"
        raise UnreadableWorkbook(reason) from error


def _convert(data: bytes) -> Sheets:
    """The worksheets of a workbook, charts left out. Runs in the child process."""
    import python_calamine  # noqa: PLC0415 - in the child process only

    try:
        book = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(data))
        return {
            sheet.name: [
                [_text(cell) for cell in row]
                for row in book.get_sheet_by_name(sheet.name).to_python(skip_empty_area=False)
            ]
            for sheet in book.sheets_metadata
            if sheet.typ == python_calamine.SheetTypeEnum.WorkSheet
        }
    except python_calamine.CalamineError as error:
        raise ValueError(str(error)) from None  # an error that this process can read, too


def _text(cell: object) -> str:
    """A cell as it would be written: 1234567.0 is 1234567, a date 2025-02-04."""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).strip()
