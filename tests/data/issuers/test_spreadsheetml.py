from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.data.issuers.formats import read_spreadsheetml
from bot.errors import ImportRejected
from tests.data.issuers.builders import spreadsheetml


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
