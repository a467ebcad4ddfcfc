"""Whatever the bytes are, an issuer's file is read or refused with a sentence, and nothing else happens."""

from __future__ import annotations

import copy
import datetime as dt
from typing import TYPE_CHECKING

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.analytics.sessions import Sessions
from bot.data.csv_cells import PLAIN
from bot.data.issuers.layouts import read_issuer
from bot.errors import ImportRejected
from storage.records import Constituent, Distribution, FundFacts, Holdings
from tests import shared_data
from tests.data.issuers import samples
from tests.data.issuers.builders import Book, Cell, csv_file, spreadsheetml, xls, xlsx

if TYPE_CHECKING:
    from collections.abc import Callable

    from bot.data.store import FileContents


SESSIONS = Sessions()
TODAY = dt.date(2026, 4, 13)
UNSORTED = "has no equities sorted into sectors, or is dated {}, on which nothing can be known."
NO_FUND = "not a fund of this bot; it compares IWM and SPY."
NO_DATE = "is not a date like 2020-12-11, Dec 11, 2020 or 11-Dec-2020"
ADVICE = "Download the file in a browser and run: python -m bot import issuer FILE"
DAMAGED = "file is damaged, breaks off before its end or has a password; download it again."
KNOWN = (
    "Known are iShares' fund workbook and holdings, SSGA's navhist, holdings and distributions, and N-PORT "
    f"filings. {ADVICE}"
)


def read(data: bytes, ticker: str | None = None) -> FileContents:
    return read_issuer(data, name="file", completed=SESSIONS.index, today=TODAY, ticker=ticker)


def refusal(data: bytes, ticker: str | None = None) -> str:
    with pytest.raises(ImportRejected) as caught:
        read(data, ticker)
    return str(caught.value)


@pytest.mark.parametrize("build", [spreadsheetml, xls, xlsx, lambda book: xlsx(book, strict=True)])
def test_the_fund_workbook_says_the_same_in_every_form(build: Callable[[Book], bytes]) -> None:
    contents = read(build(samples.FUND))
    assert contents.observations == {
        "fund_facts": samples.FACTS,
        "distributions": samples.PAID,
        "sector_weights": samples.weights(),
    }
    assert contents.preview.sentences() == [
        (
            "IWM, iShares fund workbook: fund facts of 5 sessions, 2007-06-21 to 2020-12-11; "
            "3 distributions, 2007-12-27 to 2020-09-23; weights of 2 sectors as of 2020-12-11."
        ),
        "Left out, no session on that day: 2010-05-31, 2013-06-30.",
        "Left out, without a value: 2 rows.",
    ]


def test_columns_are_found_by_name_wherever_they_stand() -> None:
    titles: list[Cell] = samples.HISTORICAL[0]
    cells: list[Cell] = ["Feb 04, 2020", 164.5, "--", 270000000.0]
    older: list[list[Cell]] = [[titles[0], "Index Level", *titles[1:]], [cells[0], 1650.0, *cells[1:]]]
    newer: list[list[Cell]] = [[*titles, "Non-FV NAV"], [*cells, 100.0]]
    for rows in (older, newer):
        contents = read(spreadsheetml({"Historical": rows}), "IWM")
        assert contents.observations == {"fund_facts": [FundFacts("IWM", "2020-02-04", 164.5, 270000000.0)]}


@pytest.mark.parametrize("day", ["Mar 29, 2024", "Mar 31, 2024"])
def test_a_row_of_a_closed_day_is_left_out_with_and_without_a_count(day: str) -> None:
    """Good Friday and Easter Sunday of 2024: the issuer's file has both, without a count."""
    for count in ("--", 300e6):
        rows: list[list[Cell]] = [
            samples.HISTORICAL[0],
            ["Apr 01, 2024", 208.0, "--", 301e6],
            [day, 210.3, "--", count],
            ["Mar 28, 2024", 210.3, "--", 300e6],
        ]
        contents = read(spreadsheetml({"Historical": rows}), "IWM")
        sessions = [row.session for row in contents.observations["fund_facts"]]
        assert sessions == ["2024-03-28", "2024-04-01"]
        assert contents.preview.closed == (f"2024-03-{day[4:6]}",)


def test_a_row_of_a_session_that_is_not_completed_is_left_out() -> None:
    rows: list[list[Cell]] = [
        samples.HISTORICAL[0],
        ["Apr 13, 2026", 250.0, "--", 301e6],
        ["Apr 10, 2026", 251.0, "--", 300e6],
    ]
    completed = SESSIONS.index[pd.Timestamp(TODAY) > SESSIONS.index]
    data = spreadsheetml({"Historical": rows})
    contents = read_issuer(data, name="file", completed=completed, today=TODAY, ticker="IWM")
    assert [row.session for row in contents.observations["fund_facts"]] == ["2026-04-10"]
    assert contents.preview.unfinished == ("2026-04-13",)
    assert contents.preview.closed == ()


def test_counts_that_jump_there_and_back_are_stored_as_given() -> None:
    """The issuer's garbage of 2004, 2005 and 2007: judging it is the flows' business, not the reader's."""
    counts = {"2004-04-30": 2e8, "2005-06-15": 1.7e8, "2007-06-22": 1.15e6, "2007-06-25": 1.5e5}
    rows: list[list[Cell]] = [[day, 60.0, "--", count] for day, count in counts.items()]
    contents = read(spreadsheetml({"Historical": [samples.HISTORICAL[0], *rows]}), "IWM")
    assert {row.session: row.shares for row in contents.observations["fund_facts"]} == counts


def test_dates_that_excel_made_of_texts_are_dates() -> None:
    rows: list[list[Cell]] = [samples.HISTORICAL[0], [dt.date(2020, 12, 11), 190.2135, None, 290300000.0]]
    for strict in (False, True):
        contents = read(xlsx({"Historical": rows}, strict=strict), "IWM")
        assert contents.observations == {"fund_facts": samples.FACTS[-1:]}


def test_two_payments_of_one_day_are_added_and_a_repeated_row_is_not() -> None:
    extra: list[list[Cell]] = [["", "Sep 23, 2020", "Dec 01, 2020", 0.1], samples.DISTRIBUTIONS[1]]
    book = {**samples.FUND, "Distributions": samples.DISTRIBUTIONS[:2] + extra}
    added = [Distribution("IWM", "2020-09-23", 0.666445)]
    assert read(spreadsheetml(book)).observations["distributions"] == added


def test_the_holdings_csv_gives_weights_and_the_share_count() -> None:
    contents = read(samples.holdings_csv())
    count = FundFacts("IWM", "2026-04-10", nav=None, shares=280200000.0, assets=None)
    assert contents.observations == {"fund_facts": [count], "sector_weights": samples.weights("2026-04-10")}
    assert contents.preview.sentences() == [
        "IWM, iShares holdings: fund facts of 1 session, 2026-04-10; weights of 2 sectors as of 2026-04-10.",
        "It has no history of NAV and shares: that is in the fund workbook.",
    ]


def test_the_share_count_above_the_holdings_serves_a_session_that_the_history_lacks() -> None:
    book = {**samples.FUND, "Historical": [samples.HISTORICAL[0], *samples.HISTORICAL[2:]]}
    count = FundFacts("IWM", "2020-12-11", shares=290300000.0)
    assert read(spreadsheetml(book)).observations["fund_facts"][-1] == count


def test_holdings_of_a_sunday_count_for_the_session_before_but_their_share_count_does_not() -> None:
    contents = read(samples.holdings_csv(as_of="Apr 12, 2026"))
    assert contents.observations == {"sector_weights": samples.weights("2026-04-10")}
    assert contents.preview.closed == ("2026-04-12",)


def test_a_count_of_zero_is_a_missing_one() -> None:
    rows: list[list[Cell]] = [samples.HISTORICAL[0], ["Feb 04, 2020", 164.5, "--", 0.0]]
    facts = read(spreadsheetml({"Historical": rows}), "IWM").observations["fund_facts"]
    assert [(row.nav, row.shares) for row in facts] == [(164.5, None)]


def test_notes_below_a_table_are_no_rows_of_it() -> None:
    notes: list[list[Cell]] = [["NAV is net of fees."], [], ["Source:", "SSGA", 1.0, "and others"]]
    for rows in (samples.HISTORICAL, samples.NAVHIST["navhist"]):
        plain, noted = ({"S": rows}, {"S": [*rows, *notes]})
        ticker = "IWM" if rows is samples.HISTORICAL else "SPY"
        assert read(spreadsheetml(noted), ticker) == read(spreadsheetml(plain), ticker)
    between: list[list[Cell]] = [*samples.HISTORICAL[:2], ["Source:", "iShares"], *samples.HISTORICAL[2:]]
    assert refusal(spreadsheetml({"S": between}), "IWM").endswith(f"S, row 3: “Source:” {NO_DATE}")


@pytest.mark.parametrize(("as_of", "shown"), [("Apr 20, 2026", "2026-04-20"), ("Jan 05, 1990", "1990-01-05")])
def test_holdings_of_a_date_that_cannot_be_are_refused(as_of: str, shown: str) -> None:
    assert refusal(samples.holdings_csv(as_of=as_of)) == f"file {UNSORTED.format(shown)}"


def test_equities_without_a_sector_are_not_weighed() -> None:
    few: list[list[Cell]] = [*samples.EQUITIES, ["CVR", "A CONTINGENT RIGHT", "-", "Equity", "100,000.00", "0.99", "1"]]
    weights = read(samples.holdings_csv(rows=few)).observations["sector_weights"]
    assert [row.weight for row in weights] == [49.505, 49.505]
    none = copy.deepcopy(samples.EQUITIES)
    none[0][2] = "-"
    assert refusal(samples.holdings_csv(rows=none + samples.REST)) == f"file {UNSORTED.format('2026-04-10')}"


def test_holdings_of_a_date_without_data_say_so() -> None:
    assert refusal(samples.holdings_csv(as_of="-", count="-", rows=[])) == (
        "file is empty: the issuer has no holdings for the date asked for (as of “-”)."
    )
    assert refusal(samples.holdings_csv(as_of="soon")) == "file does not say of which date its holdings are."


def test_a_workbook_whose_holdings_have_no_date_still_gives_its_history() -> None:
    book: Book = {**samples.FUND, "Holdings": [["--"], *samples.HELD[1:]]}
    contents = read(spreadsheetml(book))
    assert set(contents.observations) == {"fund_facts", "distributions"}
    assert contents.preview.notes == ("Sector weights: none, its holdings are of no date or of no sector.",)


def test_a_number_of_a_security_above_the_holdings_is_no_date() -> None:
    book: Book = {**samples.FUND, "Holdings": [["464287655"], *samples.HELD]}
    assert read(spreadsheetml(book)).observations == read(spreadsheetml(samples.FUND)).observations


def test_ssgas_nav_history_is_read() -> None:
    contents = read(spreadsheetml(samples.NAVHIST), "spy")
    assert contents.observations == {"fund_facts": samples.SPY_FACTS}
    assert contents.preview.sentences() == [
        "SPY, SSGA NAV history: fund facts of 4 sessions, 2020-12-09 to 2020-12-14.",
        "Left out, no session on that day: 2020-12-06.",
        "Left out, without a value: 1 row.",
    ]


def test_ssgas_holdings_have_no_sectors_and_say_so() -> None:
    contents = read(spreadsheetml(samples.SPY_HELD))
    assert contents.observations == {}
    assert contents.preview.sentences() == [
        "SPY, SSGA holdings: nothing to store.",
        "Sector weights: none, the issuer leaves the column Sector empty (“-”); Yahoo gives them.",
    ]


def test_ssgas_sectors_are_weighed_by_their_weights_once_they_are_filled_in() -> None:
    book = copy.deepcopy(samples.SPY_HELD)
    for row, sector in zip(book["holdings"][5:8], ("Financials", "Health Care", "-"), strict=True):
        row[5] = sector
    weights = read(spreadsheetml(book)).observations["sector_weights"]
    assert [(row.session, row.sector, row.weight) for row in weights] == [
        ("2024-05-10", "Financials", 60.5),
        ("2024-05-10", "Health Care", 39.0),
    ]


def test_assets_that_are_not_nav_times_shares_are_listed_or_refused() -> None:
    rows = copy.deepcopy(samples.NAVHIST["navhist"])
    more: list[list[Cell]] = [[f"{day:02}-Nov-2020", 350.0, 1000.0, 350000.0] for day in (2, 3, 4, 5)]
    rows[5][3] = 999.0
    contents = read(spreadsheetml({"navhist": rows[:8] + more}))
    assert contents.preview.sentences()[-1] == ("NAV × shares is not the total assets, stored as given: 2020-12-11.")
    assert contents.observations["fund_facts"][-2].assets == 999.0
    assert refusal(spreadsheetml({"navhist": rows})) == (
        "file was not imported, 1 thing is wrong:\nNAV × shares is not the total assets in 1 of 3 rows, "
        "so its columns mean something else"
    )


def test_whose_file_it_is_stands_in_the_file() -> None:
    growth = samples.holdings_csv(name="iShares Russell 2000 Growth ETF")
    assert refusal(growth, "IWM") == f"file is of iShares Russell 2000 Growth ETF, {NO_FUND}"
    assert refusal(spreadsheetml(samples.FUND), "SPY") == "file is of IWM, not of SPY."
    assert refusal(spreadsheetml(samples.NAVHIST), "IWM") == "file is of SPY, not of IWM."
    other = copy.deepcopy(samples.NAVHIST)
    other["navhist"][1][1] = "XLK"
    assert refusal(spreadsheetml(other), "SPY") == f"file is of XLK, {NO_FUND}"
    assert refusal(spreadsheetml(samples.NAVHIST), "QQQ") == f"“QQQ” is {NO_FUND}"


def test_a_trademark_sign_in_the_name_changes_nothing() -> None:
    assert read(samples.holdings_csv(name="iShares®  Russell 2000 ETF")).preview.ticker == "IWM"


def test_a_file_that_names_no_fund_needs_the_ticker_of_one_of_its_issuers() -> None:
    history = spreadsheetml({"Historical": samples.HISTORICAL})
    assert refusal(history) == "file does not say of which fund it is; add --ticker IWM."
    assert refusal(history, "SPY") == "file has the layout of iShares, but SPY is of SSGA."
    assert read(history, "IWM").observations == {"fund_facts": samples.FACTS}
    nameless = spreadsheetml({"navhist": samples.NAVHIST["navhist"][3:]})
    assert refusal(nameless) == "file does not say of which fund it is; add --ticker SPY."


def test_every_wrong_row_is_named() -> None:
    rows: list[list[Cell]] = [
        samples.HISTORICAL[0],
        ["Feb 04, 2020", 164.5, "--", 270000000.0],
        ["someday", 164.5, "--", 270000000.0],
        ["Feb 05, 2020", "much", "--", 270000000.0],
        ["Feb 06, 2020", 164.5, "--", -5.0],
        ["Feb 04, 2020", 164.6, "--", 270000000.0],
        ["Feb 04, 2030", 164.5, "--", 270000000.0],
        ["Feb 07, 2020", 164.5, "--", 270000000000.0],
    ]
    paid: list[list[Cell]] = [samples.DISTRIBUTIONS[0], ["", "Feb 04, 2020", "", "some"]]
    book = {"Historical": rows, "Distributions": paid}
    assert refusal(spreadsheetml(book), "IWM").split("\n") == [
        "file was not imported, 7 things are wrong:",
        f"Historical, row 3: “someday” {NO_DATE}",
        "Historical, row 4: nav “much” is not a number",
        "Historical, row 5: shares -5 is below zero",
        "Historical, row 6: 2020-02-04 is in Historical, row 2 too, with other values",
        "Historical, row 7: 2030-02-04 is in the future",
        "Historical, row 8: shares 270,000,000,000 is above 100,000,000,000, more than any fund has",
        "Distributions, row 2: total “some” is not a number",
    ]


def test_a_session_that_is_there_twice_with_the_same_values_is_one() -> None:
    rows = [*samples.HISTORICAL, samples.HISTORICAL[1]]
    assert read(spreadsheetml({"Historical": rows}), "IWM").observations == {"fund_facts": samples.FACTS}


def test_holdings_that_do_not_add_up_to_the_whole_fund_are_refused() -> None:
    wrong = "file was not imported, 1 thing is wrong:\n"
    book = {**samples.FUND, "Holdings": [*samples.HELD[:-4], *samples.REST]}
    for data, sum_of in ((samples.holdings_csv(rows=samples.EQUITIES[:2]), 79.2), (spreadsheetml(book), 50.5)):
        expected = f"{wrong}the weights of its holdings add up to {sum_of}%, so it is not the whole fund"
        assert refusal(data) == expected


def test_a_csv_that_breaks_off_among_its_smallest_holdings_is_refused() -> None:
    whole = samples.holdings_csv()
    for end in (whole.index(b"XTSLA"), whole.index(b"RTYZ0"), whole.index(b"RTYZ0") + 12):
        assert refusal(whole[:end]) == (
            "file was not imported, 1 thing is wrong:\nnothing follows the last of its holdings: the file breaks off"
        )


def test_weights_that_are_cut_to_two_places_may_miss_the_whole_by_that() -> None:
    many: list[list[Cell]] = [
        [f"S{count}", "SAMPLE", "Energy", "Equity", "1,000.00", "0.04", "1"] for count in range(2200)
    ]
    weights = read(samples.holdings_csv(rows=many)).observations["sector_weights"]
    assert [(row.sector, row.weight) for row in weights] == [("Energy", 100.0)]


def test_a_csv_that_breaks_off_in_its_disclaimer_is_refused() -> None:
    assert refusal(samples.holdings_csv()[:-20]) == "file breaks off before its end; download it again."


@pytest.mark.parametrize(
    "page",
    [
        b"<!DOCTYPE html><html><body>Access denied</body></html>",
        b"\xef\xbb\xbf\r\n  <HTML lang='en'>",
        b'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0">',
        b"<!-- wall --><html>",
        b"<!-- -->" * 45 + b"<div>blocked</div>",
        "\ufeff<html>".encode("utf-16-le"),
    ],
)
def test_a_web_page_in_place_of_the_file_is_told_apart(page: bytes) -> None:
    assert refusal(page) == f"file is a web page, not a file of figures. {ADVICE}"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", f"file is empty. {ADVICE}"),
        (b"\xef\xbb\xbf \r\n", f"file is empty. {ADVICE}"),
        (b"%PDF-1.7 ...", f"file is a PDF. {ADVICE}"),
        (b"\x1f\x8b\x08", f"file is compressed; unpack it first. {ADVICE}"),
        (b'{"error": "no"}', f"file is JSON, an answer for programs. {ADVICE}"),
        (b"<rss></rss>", f"file is XML of another kind than a workbook. {ADVICE}"),
        (b"PK\x03\x04 and no zip", DAMAGED),
        (b"\xd0\xcf\x11\xe0 no xls", DAMAGED),
        (b"\x89PNG\r\n\x1a\n\x00\x00", f"file is neither a text file nor a workbook. {ADVICE}"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", f"file is neither a text file nor a workbook. {ADVICE}"),
        (b"Access denied\n", f"file has no known layout: it begins with “Access denied”. {KNOWN}"),
        (b"date,nav,shares\n2020-12-11,1,2\n", "file is no issuer's file; fund facts are read by “import fund-facts”."),
        (b'a,"b" c\n', "file is not readable (',' expected after '\"'); download it again."),
    ],
)
def test_what_is_no_issuers_file_is_refused_with_the_reason(data: bytes, said: str) -> None:
    assert refusal(data) == said


def test_workbooks_without_a_known_sheet_are_refused() -> None:
    assert refusal(xlsx({})) == f"file is a workbook without sheets. {ADVICE}"
    assert refusal(spreadsheetml({})) == f"file is a workbook without sheets. {ADVICE}"
    assert refusal(xlsx({"Sheet1": [["x"]], "Notes": []})) == (
        f"file has no known layout: its sheets are “Sheet1”, “Notes”. {KNOWN}"
    )
    assert refusal(spreadsheetml({"Historical": samples.HISTORICAL[:1]}), "IWM") == (
        f"file has the layout of an iShares fund workbook, but no figures. {ADVICE}"
    )


def test_files_larger_than_an_issuers_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.data.issuers.formats.LARGEST", 1_000_000)
    assert refusal(b"x" * 1_000_001) == "file is larger than 1 MB, too large for an issuer's file."


def test_a_csv_that_was_saved_again_by_a_spreadsheet_is_read() -> None:
    rows: list[list[Cell]] = [[samples.NAME], ["Fund Holdings as of", "2026-04-10"], [], samples.COLUMNS]
    plain = csv_file([*rows, *samples.EQUITIES, *samples.REST, ["\u00a0 © BlackRock"]], bom=False)
    for data in (plain, plain.decode().encode("cp1252"), plain.decode().encode("utf-16")):
        assert read(data).observations == {"sector_weights": samples.weights("2026-04-10")}


WHOLE = (spreadsheetml(samples.FUND), samples.holdings_csv(), spreadsheetml(samples.NAVHIST))
STARTS = (b"", b"\xef\xbb\xbf", b"<ss:Workbook>", b"As Of,NAV per Share,Shares Outstanding\n", b"\xff\xfe")


def accept(data: bytes, ticker: str | None = "IWM") -> None:
    """Nothing but ImportRejected, with something to say, may come of reading."""
    sentence = "file is read"
    try:
        read(data, ticker)
    except ImportRejected as refused:
        sentence = str(refused)
    assert sentence.startswith("file ")


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


@settings(max_examples=settings().max_examples // 5)  # each starts a process
@given(st.data())
def test_an_xlsx_with_a_part_exchanged(draw: st.DataObject) -> None:
    whole = xlsx(samples.NAVHIST)
    at = draw.draw(st.integers(4, len(whole)))
    accept(whole[:at] + draw.draw(st.binary(max_size=8)) + whole[at + draw.draw(st.integers(0, 8)) :], "SPY")


def constituent(row: list[Cell], price: float | None = None) -> Constituent:
    ticker, name, sector, kind, value, weight, quantity = map(str, row)
    figures = (PLAIN.number(quantity), price, PLAIN.number(value), PLAIN.number(weight) or 0.0)
    return Constituent(ticker, name, sector, kind.lower(), *figures)


def test_holdings_are_the_companies_with_what_the_file_says_of_each() -> None:
    companies = tuple(map(constituent, samples.EQUITIES))
    assert read(samples.holdings_csv()).holdings == Holdings("IWM", "2026-04-10", 280200000.0, companies)
    assert read(spreadsheetml(samples.FUND)).holdings == Holdings("IWM", "2020-12-11", 290300000.0, companies)
    soft = Constituent("SOFT", "SAMPLE SOFTWARE", "", "equity", 1000.0, None, None, 60.5, "USD")
    held = read(spreadsheetml(samples.SPY_HELD)).holdings
    assert held is not None
    assert (held.as_of, held.units, len(held.constituents), held.constituents[0]) == ("2024-05-10", None, 2, soft)


def test_values_that_are_not_quantity_times_price_mean_that_columns_have_moved() -> None:
    header = [*samples.COLUMNS, "Price"]
    rows = [[*row, price] for row, price in zip(samples.EQUITIES, ("5,000.00", "6,000.00", "-"), strict=True)]
    held = read(samples.holdings_csv(header=header, rows=[*rows, *samples.REST])).holdings
    assert held is not None
    assert [company.price for company in held.constituents] == [5000.0, 6000.0, None]
    moved = [[*row[:4], row[6], row[5], row[4], row[7]] for row in rows]
    assert refusal(samples.holdings_csv(header=header, rows=[*moved, *samples.REST])).endswith(
        "market value is not quantity × price in 2 of 2 rows, so its columns mean something else"
    )


@shared_data.shared
def test_the_issuers_own_holdings_of_a_day() -> None:
    data = (shared_data.FOLDER / "bottom_up" / "IWM_holdings_2026-07-17.csv").read_bytes()
    held = read_issuer(data, name="file", completed=SESSIONS.index, today=dt.date(2026, 7, 20)).holdings
    assert held is not None
    assert (held.as_of, held.units, len(held.constituents)) == ("2026-07-17", 279_100_000.0, 1972)
    assert sum(company.price is not None for company in held.constituents) == 1964
