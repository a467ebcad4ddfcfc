from __future__ import annotations

from dataclasses import replace

import pytest

from bot.data.issuers import formats
from bot.errors import ImportRejected
from tests.data.issuers.builders import Book, Cell, xls, xlsx

DAMAGED = "is damaged, breaks off before its end or has a password; download it again"
NUMBERED: list[list[Cell]] = [[float(count), "text"] for count in range(900)]
BOOK: Book = {"One": [["a", "é S&P"], [1.5, None, "x"], [], ["", 1234567.0]], "Two": [["q"], *NUMBERED]}


@pytest.mark.parametrize("data", [xls(BOOK), xlsx(BOOK), xlsx(BOOK, strict=True)])
def test_all_three_forms_of_excel_are_read_alike(data: bytes) -> None:
    sheets = formats.read_workbook(data, "file")
    assert list(sheets) == ["One", "Two"]
    assert [[cell for cell in row if cell] for row in sheets["One"]] == [
        ["a", "é S&P"],
        ["1.5", "x"],
        [],
        ["1234567"],
    ]
    assert sheets["Two"][900] == ["899", "text"]


def test_a_damaged_workbook_ends_only_the_process_that_reads_it(capfd: pytest.CaptureFixture[str]) -> None:
    damaged = xls(BOOK)[:-37]  # calamine panics at it
    with pytest.raises(ImportRejected) as caught:
        formats.read_workbook(damaged, "file")
    assert str(caught.value) == f"file {DAMAGED}."
    assert capfd.readouterr() == ("", "")


def test_a_workbook_with_cells_at_the_far_ends_claims_no_memory_of_ours() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.data.issuers.builders._xlsx_row", lambda *_, **__: FAR_CELLS)
        far = xlsx({"S": [["a"]]})
    with pytest.raises(ImportRejected, match=f"^file {DAMAGED}.$"):
        formats.read_workbook(far, "file")


FAR_CELLS = '<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="GR1048576"><v>1</v></c></row>'


def test_a_workbook_with_a_password_cannot_be_read() -> None:
    with pytest.raises(ImportRejected, match=f"^file {DAMAGED}.$"):
        formats.read_workbook(xls(BOOK, protected=True), "file")


def test_a_workbook_that_takes_too_long_is_given_up() -> None:
    limits = replace(formats.LIMITS, job_seconds=0.0)
    with pytest.raises(ImportRejected, match=r"^file cannot be read: it takes too long\.$"):
        formats.read_workbook(xlsx(BOOK), "file", limits)
