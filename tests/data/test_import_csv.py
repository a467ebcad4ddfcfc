from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import pytest

from bot.data import csv_table
from bot.data.provider import known_fund, rows_by_kind
from bot.errors import ImportRejected
from bot.pair import DEFAULT_PAIR
from storage.records import Bar, Distribution, FundFacts, Multiple, Split
from tests.data.imports import PRICES, SESSIONS, read, refusal
from tests.shared_data import FOLDER, shared

if TYPE_CHECKING:
    from pathlib import Path

    from storage.records import Observation

DAY = ("IWM", "2020-12-11")


def test_prices_become_bars_distributions_and_splits() -> None:
    contents = read("prices", PRICES)
    assert contents.observations == {
        "bars": [
            Bar("IWM", "2020-12-10", 190.91, 189.1, 191.5, 188.0, 21_340_100),
            Bar("IWM", "2020-12-11", 190.3, 189.9, 191.02, 187.5, 19_000_000),
        ],
        "distributions": [Distribution("IWM", "2020-12-11", 0.592)],
        "splits": [Split("IWM", "2020-12-11", 2.0)],
    }
    assert contents.complete == ("distributions", "splits")
    assert contents.preview.sentences() == [
        "IWM daily prices: 2 rows, 2020-12-10 to 2020-12-11.",
        "Columns not read: Adj Close.",
        "Too few closes to tell whether they are adjusted for distributions; taken as not adjusted.",
    ]


@pytest.mark.parametrize(
    ("what", "text", "kind", "rows"),
    [
        # columns by name, in any order and case
        ("prices", "volume, CLOSE ,Session\n10,3.5,2020-12-11\n", "bars", [Bar(*DAY, 3.5, volume=10)]),
        (
            *("fund-facts", "As Of,NAV per Share,Shares_Outstanding,Total Net Assets\n2020-12-11,1,2,3\n"),
            *("fund_facts", [FundFacts(*DAY, 1.0, 2.0, 3.0)]),
        ),
        # a distribution without prices; splits of zero or one; a row twice
        ("prices", "Date,Close,Dividends\n2020-12-11,,0.5\n", "distributions", [Distribution(*DAY, 0.5)]),
        ("prices", "Date,Close,Dividends\n2020-12-11,,0.5\n", "bars", []),
        ("prices", "Date,Close,Stock Splits\n2020-12-10,3,0\n2020-12-11,3,1.0\n", "splits", []),
        ("prices", "Date,Close\n2020-12-11,2\n2020-12-11,2.0\n", "bars", [Bar(*DAY, 2.0)]),
        # conventions and bases; a weekend counts for the session before
        (
            "multiples",
            """date,metric,convention,basis,value,holdings_date,coverage
            2020-12-11,P/E,losses in,Forward,75.0,2020-12-10,0.98
            2020-12-11,yield,losses_in,,0,,""",
            "multiples",
            [
                Multiple(*DAY, "pe", "losses_in", "forward", 75.0, "2020-12-10", coverage=0.98),
                Multiple(*DAY, "yield", "losses_in", "unstated", 0.0),
            ],
        ),
        (
            *("multiples", "date,metric,convention,value\n2020-05-31,pe,capped,20\n", "multiples"),
            [Multiple("IWM", "2020-05-29", "pe", "capped", "unstated", 20.0)],
        ),
        # semicolons and local dates in a file of any kind
        (
            *("fund-facts", "date;nav;shares\n14.12.2020;1,5;1.000,25\n11.12.2020;2,25;\n", "fund_facts"),
            [FundFacts(*DAY, 2.25), FundFacts("IWM", "2020-12-14", 1.5, 1000.25)],
        ),
    ],
)
def test_what_the_rows_of_a_file_become(what: str, text: str, kind: str, rows: list[Observation]) -> None:
    assert rows_by_kind(read(what, text).observations)[kind] == rows


@pytest.mark.parametrize("missing", ["", "-", "--", "N/A", "null"])
def test_missing_values_are_none(missing: str) -> None:
    rows = read("fund-facts", f"date,nav,shares\n2020-12-11,{missing},100\n").observations["fund_facts"]
    assert rows == [FundFacts("IWM", "2020-12-11", nav=None, shares=100.0, assets=None)]


def test_rows_without_any_value_are_left_out_and_counted() -> None:
    preview = read("fund-facts", "date,nav,shares\n2020-12-10,-,-\n2020-12-11,1,2\n").preview
    assert preview.sentences() == [
        "IWM fund facts: 1 row, 2020-12-11 to 2020-12-11.",
        "Left out, without a value: 1 row.",
    ]


def test_fund_facts_of_days_without_a_session_are_left_out_and_listed() -> None:
    days = ("2013-06-28,97.3,,5", "2013-06-30,97.4,,6", "2010-05-31,66,,7")
    contents = read("fund-facts", "\n".join(("date,nav,exdiv,shares", *days)))
    assert [row.session for row in contents.observations["fund_facts"]] == ["2013-06-28"]
    assert contents.preview.sentences() == [
        "IWM fund facts: 1 row, 2013-06-28 to 2013-06-28.",
        "Left out, no session on that day: 2010-05-31, 2013-06-30.",
        "Columns not read: exdiv.",
    ]


def test_files_may_be_newest_first_and_have_a_mark_windows_line_ends_and_blank_lines(tmp_path: Path) -> None:
    path = tmp_path / "prices.csv"
    path.write_bytes(b"\xef\xbb\xbfDate,Close\r\n\r\n2020-12-11,2\r\n2020-12-10,1\r\n\r\n")
    assert [row.close for row in read("prices", path).observations["bars"]] == [1.0, 2.0]
    path.write_text("Date,Close\n2020-12-11,2\n", encoding="utf-16")
    assert [row.close for row in read("prices", path).observations["bars"]] == [2.0]


def test_an_unknown_fund_is_refused() -> None:
    with pytest.raises(ImportRejected, match=r"^“qqq” is not a fund of this bot; it compares IWM and SPY\.$"):
        known_fund("qqq", DEFAULT_PAIR)
    assert known_fund(" spy ", DEFAULT_PAIR) == "SPY"


WORKS = "A first line that works: date"


@pytest.mark.parametrize(
    ("what", "text", "problem", "advice"),
    [
        (
            *("prices", "date,nav,exdiv,shares\n2020-12-11,1,,2\n"),
            " lacks the column “close”; its first line is “date,nav,exdiv,shares”. ",
            "These look like fund facts, which “import fund-facts” reads.",
        ),
        (
            *("fund-facts", PRICES),
            f" lacks the columns “nav” and “shares”; its first line is “{PRICES.splitlines()[0]}”. ",
            "These look like daily prices, which “import prices” reads.",
        ),
        (
            *("multiples", "a,b\n1,2\n"),
            " lacks the columns “date”, “metric”, “convention” and “value”; its first line is “a,b”. ",
            f"{WORKS},metric,convention,value",
        ),
        (
            *("prices", "Date,\u202eabc\n2020-12-11,2\n"),
            " lacks the column “close”; its first line is “Date,\ufffdabc”. ",
            f"{WORKS},close",
        ),
        ("prices", "Date,Close,close\n0,2,3\n", " has more than one column for close: “Close” and “close”.", ""),
        *(
            ("prices", f"{row}\n", f" has no header line; its first line is “{row}”. ", f"{WORKS}{mark}close")
            for row, mark in (("12/10/2020;190,5", ";"), ('"Dec 10, 2020",190.5', ","))
        ),
        ("prices", "Date,Close\n", " was not imported: it has a header line but no rows.", ""),
        (
            *("prices", "Date,Close\n2020-12-11,null\n"),
            " was not imported: no row of it holds a figure of a completed session.",
            "",
        ),
        ("prices", "Date,\x01Close\n2020-12-11,2\n", " is not a text file.", ""),
        ("prices", "\n \n", " is empty.", ""),
        ("prices", 'Date,Close\n"0,2\n', ", line 2: not readable as CSV (unexpected end of data).", ""),
        ("prices", f"Date,Close\n{'x' * 30_000}", ", line 2: 30,000 characters are no row of a table.", ""),
    ],
)
def test_a_file_of_another_kind_is_named_for_what_it_is(what: str, text: str, problem: str, advice: str) -> None:
    assert refusal(what, text) == f"the text{problem}{advice}"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "bad.csv is empty."),
        (b"PK\x03\x04rest", "bad.csv is an Excel workbook; save it as CSV first."),
        (b"Date,Close\n\xe9\xff", "bad.csv is not a text file in UTF-8; save it as CSV (UTF-8)."),
        (b"\x7fELF\x00\x01", "bad.csv is not a text file."),
    ],
)
def test_what_is_no_text_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    assert refusal("prices", path) == message


def test_paths_that_cannot_be_read_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert refusal("prices", tmp_path) == f"{tmp_path} is a folder; a CSV file is needed."
    assert refusal("prices", tmp_path / "no.csv") == f"There is no file {tmp_path / 'no.csv'}."
    path = tmp_path / "large.csv"
    path.write_text(PRICES, encoding="utf-8")
    monkeypatch.setattr(csv_table, "LARGEST_FILE", 100)
    assert refusal("prices", path) == "large.csv is larger than 0 MB; import it in parts."


def test_monthly_bars_are_refused() -> None:
    first_days = [f"{year}-{month:02}-15" for year in range(2010, 2020) for month in range(1, 13)]
    days = [day for day in first_days if pd.Timestamp(day) in SESSIONS.index]
    message = refusal("prices", "Date,Close\n" + "".join(f"{day},10\n" for day in days))
    assert message.startswith("the text was not imported: its rows are ")
    assert message.endswith(" sessions apart; only daily prices are read.")


@shared
def test_full_histories_are_read_in_one_go() -> None:
    small = read("prices", FOLDER / "IWM_daily.csv")
    facts = read("fund-facts", FOLDER / "IWM_nav_shares.csv")
    assert small.preview.sentences()[0] == "IWM daily prices: 5,435 rows, 2000-05-26 to 2021-12-31."
    assert Distribution("IWM", "2003-12-16", 0.115) in small.observations["distributions"]
    assert small.observations["splits"] == [Split("IWM", "2005-06-09", 2.0)]
    assert facts.preview.closed == ("2010-05-31", "2013-06-30")
    assert len(facts.observations["fund_facts"]) == 5_439
    [garbage] = [row.shares for row in facts.observations["fund_facts"] if row.session == "2007-06-22"]
    assert (garbage or 0.0) < 2e6  # kept as data: judging it is the flows' business


def test_every_bad_row_is_named_with_its_line_and_reason() -> None:
    text = (
        "Date,Open,High,Low,Close,Dividends\n"
        "2020-12-01,1,2,1,-3,0\n"
        "2020-12-05,1,2,1,1,0\n"
        "12/11/2020,1,2,1,1,0\n"
        "2022-01-03,1,2,1,1,0\n"
        "2020-12-02,1,2,1,nan,0\n"
        "2020-12-03,1,2,1,1,0\n"
        "2020-12-03,1,2,1,1.5,0\n"
        "2020-12-04,1,1\n"
        "2020-12-07,1,2,3,1,0\n"
        "2020-12-08,1,2,1,,0\n"
    )
    assert refusal("prices", text) == (
        "the text was not imported, 9 rows are wrong:\n"
        "line 2: close -3 is not above zero\n"
        "line 3: 2020-12-05 is a day without a session\n"
        "line 4: date “12/11/2020” could be 2020-11-12 or 2020-12-11; no other row decides which\n"
        "line 5: 2022-01-03 is in the future\n"
        "line 6: close “nan” is not a number\n"
        "line 8: 2020-12-03 is on line 7 too, with other values\n"
        "line 9: has 3 cells where the header has 6\n"
        "line 10: low 3 is above high 2\n"
        "line 11: close is missing"
    )


def test_more_than_ten_bad_rows_are_counted() -> None:
    message = refusal("prices", "Date,Close\n" + "2020-12-11,x\n" * 1_234)
    assert message.splitlines()[0] == "the text was not imported, 1,234 rows are wrong:"
    assert message.splitlines()[10:] == ["line 11: close “x” is not a number", "and 1,224 more"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("2020-12-11,0,0", "close 0 is not above zero"),
        ("2020-12-11,1,-0.5", "dividends -0.5 is below zero"),
        ('2020-12-11,"1,23",0', "close “1,23” is not a number"),
        ("2020-12-11,1_000,0", "close “1_000” is not a number"),
        ("2020-12-11,١,0", "close “١” is not a number"),
        ("2020-12-11,inf,0", "close “inf” is not a number"),
        ("2020-12-11,1e999,0", "close “1e999” is too large"),
        ("2020-02-30,1,0", "date “2020-02-30” is not a date like 2020-12-11, Dec 11, 2020 or 11-Dec-2020"),
        ("1990-01-02,1,0", "1990-01-02 is before 1993-01-04, where the calendar of sessions starts"),
        ("2020-12-11,1,0,9", "has 4 cells where the header has 3"),
    ],
)
def test_a_bad_row_is_refused_for_its_reason(row: str, reason: str) -> None:
    assert refusal("prices", f"Date,Close,Dividends\n{row}\n") == (
        f"the text was not imported, 1 row is wrong:\nline 2: {reason}"
    )


SPLITS = "its splits multiply to {}, which is not between 1/1,000,000 and 1,000,000."


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ("2020-12-11,1,0\n" * 100_001, "has more than 100,000 rows; import it in parts."),
        ("2020-12-11,1" + ",0" * 10_000, "line 2: 20,012 characters are no row of a table."),
        ("2020-12-11,1,1e200\n2020-12-10,1,1e200\n", f"was not imported: up to 2020-12-10 {SPLITS.format('1e+200')}"),
        ("2020-12-11,1,1e-200\n", f"was not imported: up to 2020-12-11 {SPLITS.format('1e-200')}"),
    ],
    ids=["rows", "characters", "splits", "reverse splits"],
)
def test_a_file_made_to_take_memory_or_time_is_refused(rows: str, reason: str) -> None:
    message = refusal("prices", f"Date,Close,Stock Splits\n{rows}")
    assert message.removeprefix("the text").lstrip(", ") == reason


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("peg,capped,1,1", "metric “peg” is none of pe, pcf, pb, ps, pfcf, yield, earnings_yield, loss_share"),
        ("pe,mine,1,1", "convention “mine” is none of losses_in, positive, capped, morningstar, yahoo"),
        ("pe,capped,0,1", "value 0 is not above zero"),
        ("pe,capped,20,98", "coverage 98 is not between 0 and 1"),
        ("pe,capped,20,1,2020-12-14", "price date 2020-12-14 is after the date 2020-12-11"),
        ("pe,capped,20,1,,2020-12-31", "holdings date 2020-12-31 is after the date 2020-12-11"),
        ("pe,capped,20,1,soon", "price date “soon” is not a date like 2020-12-11, Dec 11, 2020 or 11-Dec-2020"),
    ],
)
def test_a_bad_multiple_is_refused_for_its_reason(row: str, reason: str) -> None:
    row += "," * (5 - row.count(","))
    header = "date,metric,convention,value,coverage,price date,holdings date"
    message = refusal("multiples", f"{header}\n2020-12-11,{row}\n")
    assert message == f"the text was not imported, 1 row is wrong:\nline 2: {reason}"


def test_fund_facts_that_no_fund_can_have_are_refused() -> None:
    rows = "2020-12-10,190.09,290300000000,\n2020-12-11,190.2,290300000,5.5e13\n2020-12-14,2e5,1,\n"
    assert refusal("fund-facts", f"date,nav,shares,assets\n{rows}") == (
        "the text was not imported, 3 rows are wrong:\n"
        "line 2: shares 290,300,000,000 is above 100,000,000,000, more than any fund has\n"
        "line 3: assets 55,000,000,000,000 is above 10,000,000,000,000, more than any fund has\n"
        "line 4: nav 200,000 is above 100,000, more than any fund has"
    )
