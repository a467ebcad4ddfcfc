"""Whatever the bytes are, an issuer's file is read or refused with a sentence, and nothing else happens."""

from __future__ import annotations

import datetime as dt

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.data.issuers.import_file import read_issuer
from bot.errors import ImportRejected
from tests.data.issuers import samples
from tests.data.issuers.builders import spreadsheetml, xlsx

SESSIONS = pd.bdate_range("2000-05-26", "2026-04-10")
WHOLE = (spreadsheetml(samples.FUND), samples.holdings_csv(), spreadsheetml(samples.NAVHIST))
STARTS = (b"", b"\xef\xbb\xbf", b"<ss:Workbook>", b"As Of,NAV per Share,Shares Outstanding\n", b"\xff\xfe")
RARE = settings(max_examples=settings().max_examples // 5)  # each example starts a process


def accept(data: bytes, ticker: str | None = "IWM") -> None:
    """Nothing but ImportRejected, with something to say, may come of reading."""
    said = "file is read"
    try:
        read_issuer(data, name="file", completed=SESSIONS, today=dt.date(2026, 4, 13), ticker=ticker)
    except ImportRejected as refused:
        said = str(refused)
    assert said.startswith("file ")


@given(st.sampled_from(STARTS), st.binary(max_size=300), st.sampled_from(["IWM", "SPY", None]))
def test_arbitrary_bytes(start: bytes, data: bytes, ticker: str | None) -> None:
    accept(start + data, ticker)


@given(st.text(st.sampled_from("<>/&;\"'= \n,-0129.:ssRowCellDatTbWkh?![]%"), max_size=400))
def test_arbitrary_markup_and_tables(text: str) -> None:
    accept(f"<ss:Workbook>{text}</ss:Workbook>".encode())
    accept(text.encode())


@given(st.sampled_from(WHOLE), st.data())
def test_whole_files_with_a_part_exchanged(whole: bytes, draw: st.DataObject) -> None:
    at = draw.draw(st.integers(0, len(whole)))
    cut = draw.draw(st.integers(0, 200))
    accept(whole[:at] + draw.draw(st.binary(max_size=30)) + whole[at + cut :], None)


@RARE
@given(st.sampled_from([b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"]), st.binary(max_size=700))
def test_arbitrary_bytes_in_the_guise_of_a_workbook(start: bytes, data: bytes) -> None:
    accept(start + data)


@RARE
@given(st.data())
def test_an_xlsx_with_a_part_exchanged(draw: st.DataObject) -> None:
    whole = xlsx(samples.NAVHIST)
    at = draw.draw(st.integers(4, len(whole)))
    accept(whole[:at] + draw.draw(st.binary(max_size=8)) + whole[at + draw.draw(st.integers(0, 8)) :], "SPY")
