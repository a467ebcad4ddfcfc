from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.concurrency import ChildProcess
from bot.data.issuers import formats
from bot.data.issuers.formats import read_spreadsheetml
from bot.errors import ImportRejected
from tests.data.issuers.builders import Book, Cell, spreadsheetml, xls, xlsx
from tests.fakes.child_jobs import raise_in


def cell_of(data: str) -> str:
    """What a cell says whose <ss:Data> holds this."""
    return read_spreadsheetml(spreadsheetml({"S": [[data]]}).decode(), "file")["S"][0][0]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("S&P 500", "S&P 500"),
        ("S&amp;P 500", "S&P 500"),
        ("SMITH &LTD", "SMITH &LTD"),  # html.unescape alone makes it "SMITH <D"
        ("A&B; C", "A&B; C"),
        ("caf&eacute;&#233;&#xe9;", "cafééé"),
        ("1,234&nbsp;", "1,234"),
        ("\u00a0--\u00a0", "--"),
        ("one<br>two <b>three</b><p>four", "one two three four"),
        ("one<br/>two</p>", "one two"),
        ("P/E < 5 and > 3", "P/E < 5 and > 3"),
        ("<![CDATA[S&P <500>]]>", "S&P <500>"),
        ("&lt;br&gt;", "<br>"),
        ("\n  two\n lines ", "two lines"),
    ],
)
def test_no_text_of_a_cell_is_lost(written: str, read: str) -> None:
    assert cell_of(written) == read


def test_an_unclosed_tag_in_one_sheet_swallows_no_other() -> None:
    book = spreadsheetml({"One": [["<p>text<br>", "x"], ["y"]], "Two": [["<div>"], ["z"]]}).decode()
    assert read_spreadsheetml(book, "file") == {"One": [["text", "x"], ["y"]], "Two": [[""], ["z"]]}


def test_a_workbook_that_excel_saved_has_no_prefixes_and_skips_empty_places() -> None:
    text = """<?xml version="1.0"?><?mso-application progid="Excel.Sheet"?>
    <Workbook xmlns="urn:schemas-microsoft-com:office:spreadsheet"
     xmlns:ss="urn:schemas-microsoft-com:office:spreadsheet">
     <Worksheet ss:Name='Two words'><Table ss:ExpandedColumnCount="3">
      <Row ss:Index="2"><Cell ss:Index="3"><Data ss:Type="Number">7</Data><NamedCell ss:Name="x"/></Cell>
      </Row>
      <Row/>
      <Row><Cell/><Cell><Data ss:Type="String">a</Data></Cell></Row>
      <Row><Cell/></Row>
     </Table><WorksheetOptions><Print><Scale>600</Scale></Print></WorksheetOptions></Worksheet>
     <Worksheet><Table><Row><Cell><Data>b</Data></Cell></Row></Table></Worksheet>
    </Workbook>"""
    assert read_spreadsheetml(text, "file") == {
        "Two words": [[], ["", "", "7"], [], ["", "a"], [""]],
        "sheet 2": [["b"]],
    }


def test_an_index_beyond_any_table_claims_no_memory() -> None:
    row = '<Row Index="9999999"><Cell Index="9999999"><Data>a</Data></Cell></Row>'
    text = f"<Workbook><Worksheet>{row}</Worksheet></Workbook>"
    grid = read_spreadsheetml(text, "file")["sheet 1"]
    assert (len(grid), len(grid[-1])) == (100_000, 1_000)


def test_a_file_without_its_end_is_refused() -> None:
    whole = spreadsheetml({"S": [["a"]]}).decode()
    with pytest.raises(ImportRejected, match=r"^file breaks off before its end; download it again\.$"):
        read_spreadsheetml(whole[:-15], "file")


def test_quotes_that_are_never_closed_make_no_cells() -> None:
    text = "<ss:Workbook>" + '<ss:Cell ss:HRef="' * 20_000 + "</ss:Workbook>"
    assert read_spreadsheetml(text, "file") == {}


@given(st.lists(st.lists(st.text(st.characters(codec="ascii", exclude_characters="<>&"))), max_size=5))
def test_plain_texts_come_back_as_they_were(rows: list[list[str]]) -> None:
    book = spreadsheetml({"S": rows}).decode()
    expected = [[" ".join(cell.split()) for cell in row] for row in rows]
    assert read_spreadsheetml(book, "file")["S"] == expected


DAMAGED = "is damaged, breaks off before its end or has a password; download it again"
NUMBERED: list[list[Cell]] = [[float(count), "text"] for count in range(900)]
BOOK: Book = {"One": [["a", "é S&P"], [1.5, None, "x"], [], ["", 1234567.0]], "Two": [["q"], *NUMBERED]}


def test_a_damaged_workbook_ends_only_the_process_that_reads_it(capfd: pytest.CaptureFixture[str]) -> None:
    damaged = xls(BOOK)[:-37]  # calamine panics at it
    with pytest.raises(ImportRejected) as caught:
        formats.read_sheets(damaged, "file")
    assert str(caught.value) == f"file {DAMAGED}."
    assert capfd.readouterr() == ("", "")


def test_a_workbook_with_cells_at_the_far_ends_claims_no_memory_of_ours() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.data.issuers.builders._xlsx_row", lambda *_, **__: FAR_CELLS)
        far = xlsx({"S": [["a"]]})
    with pytest.raises(ImportRejected, match=f"^file {DAMAGED}.$"):
        formats.read_sheets(far, "file")


FAR_CELLS = '<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="GR1048576"><v>1</v></c></row>'


def test_a_workbook_with_a_password_cannot_be_read() -> None:
    with pytest.raises(ImportRejected, match=f"^file {DAMAGED}.$"):
        formats.read_sheets(xls(BOOK, protected=True), "file")


def test_a_workbook_that_takes_too_long_is_given_up() -> None:
    limits = replace(formats.PARSER_LIMITS, job_seconds=0.0)
    with (
        ChildProcess("late", limits) as child,
        pytest.raises(ImportRejected, match=r"^file cannot be read: it takes too long\.$"),
    ):
        formats.read_sheets(xlsx(BOOK), "file", child)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (MemoryError(), "file cannot be read: it takes too much memory."),
        (ImportError("no"), "file cannot be read: python-calamine does not work (no); install it again."),
    ],
)
def test_a_process_that_cannot_read_is_not_blamed_on_the_file(error: Exception, sentence: str, tmp_path: Path) -> None:
    job = partial(raise_in, 9, error, tmp_path / "log")
    with ChildProcess("test", formats.PARSER_LIMITS) as process, pytest.raises(ImportRejected) as caught:
        formats.read_sheets(b"a,b\n", "file", Mock(run=lambda _: process.run(job)))
    assert str(caught.value) == sentence


def many_sheets(sheet: str, count: int = 100) -> bytes:
    return f"<ss:Workbook>{sheet * count}</ss:Workbook>".encode()


def packed(parts: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in parts.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED, 1)  # no time of its own
    return out.getvalue()


ENTITIES = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "ha"}">' for n in range(12))
DOCTYPE = f'<?xml version="1.0"?><!DOCTYPE b [{ENTITIES}]>'
TOO_MANY = "file has more than 600,000 cells, too many for a fund."
BROKEN_OFF = "file breaks off before its end; download it again."


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (
            many_sheets('<Worksheet Name="{}"><Row Index="99999"><Cell><Data>1</Data></Cell></Row></Worksheet>'),
            TOO_MANY,
        ),
        (many_sheets('<Worksheet><Row Index="9999"/><Row><Cell Index="999"/></Row></Worksheet>', 240), TOO_MANY),
        (many_sheets("<Worksheet>", 601), TOO_MANY),
        (b"a,b\n" + b"," * 600_000, TOO_MANY),
        (b"\n" * 10 + b"a" + b"\n" * 600_000, TOO_MANY),
        (b"<ss:Workbook><Worksheet>" + b"<Table><Row><Cell>" * 100_000, BROKEN_OFF),
        (b"<ss:Workbook>" + b"<![CDATA[" * 300_000, BROKEN_OFF),
        (b"<!-- " * 300_000, f"file is XML of another kind than a workbook. {formats.ADVICE}"),
        (f"{DOCTYPE}<b>&e11;</b>".encode(), f"file is XML of another kind than a workbook. {formats.ADVICE}"),
        (packed({"x": bytes(101_000_000)}), "file unpacks to 101 MB, too large for an issuer's file."),
        (xlsx({"S": [["x" * 30_000]] * 700}), "file holds more than 20 MB of text."),
        (b"PK\x03\x04" * 300_000, f"file {DAMAGED}."),
    ],
    ids=[
        "far rows",
        "far cells",
        "sheets",
        "commas",
        "blank lines",
        "nesting",
        "CDATA",
        "comments",
        "entities",
        "zip bomb",
        "repeated text",
        "signatures",
    ],
)
def test_a_file_made_to_take_memory_or_time_is_refused(data: bytes, sentence: str) -> None:
    with pytest.raises(ImportRejected) as caught:
        formats.read_sheets(data, "file")
    assert str(caught.value) == sentence


def test_endless_sections_and_entities_in_cells_are_text() -> None:
    endless = "<![CDATA[" * 50_000 + "&e11;" * 50_000
    book = DOCTYPE.encode() + many_sheets(f"<Worksheet><Row><Cell><Data>{endless}</Data></Cell></Row>", 1)
    assert formats.read_sheets(book, "file") == {"sheet 1": [[endless]]}
