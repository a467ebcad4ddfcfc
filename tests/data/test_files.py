from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bot.analytics.sessions import Sessions
from bot.data import cells, files
from bot.errors import ImportRejected
from storage import observations as stored
from storage import sources
from storage.db import open_database
from tests.shared_data import FOLDER, shared

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from storage.db import Database

TODAY = dt.date(2021, 12, 31)

PRICES = """Date,Open,High,Low,Close,Adj Close,Volume,Dividends,Stock Splits
2020-12-10,189.1,191.5,188.0,190.91,188.4,"21,340,100",0.0,0.0
2020-12-11,189.9,191.02,187.5,190.3,188.1,19000000,0.592,2.0
"""


@pytest.fixture(scope="module")
def read() -> Callable[..., files.Contents]:
    sessions = Sessions()

    def read_file(what: str, file: Path | str, ticker: str = "IWM", today: dt.date = TODAY) -> files.Contents:
        return files.READERS[what](file, ticker, sessions=sessions, today=today)

    return read_file


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(tmp_path / "bot.db")
    yield opened
    opened.close()


def refusal(read: Callable[..., files.Contents], *arguments: object) -> str:
    with pytest.raises(ImportRejected) as caught:
        read(*arguments)
    return str(caught.value)


def test_prices_become_bars_distributions_and_splits(read: Callable[..., files.Contents]) -> None:
    contents = read("prices", PRICES)
    assert contents.observations == {
        "bars": [
            {
                "ticker": "IWM",
                "session": "2020-12-10",
                "open": 189.1,
                "high": 191.5,
                "low": 188.0,
                "close": 190.91,
                "volume": 21_340_100,
                "provisional": 0,
            },
            {
                "ticker": "IWM",
                "session": "2020-12-11",
                "open": 189.9,
                "high": 191.02,
                "low": 187.5,
                "close": 190.3,
                "volume": 19_000_000,
                "provisional": 0,
            },
        ],
        "distributions": [{"ticker": "IWM", "ex_date": "2020-12-11", "amount": 0.592}],
        "splits": [{"ticker": "IWM", "session": "2020-12-11", "ratio": 2.0}],
    }
    assert contents.complete == ("distributions", "splits")
    assert contents.preview.sentences() == [
        "IWM daily prices: 2 rows, 2020-12-10 to 2020-12-11.",
        "Columns not read: Adj Close.",
    ]


def test_columns_are_found_by_name_in_any_order_and_case(read: Callable[..., files.Contents]) -> None:
    contents = read("prices", "volume, CLOSE ,Session\n10,3.5,2020-12-11\n")
    assert contents.observations["bars"][0]["close"] == 3.5
    assert contents.observations["bars"][0]["volume"] == 10
    assert contents.observations["bars"][0]["open"] is None
    assert contents.complete == ()
    facts = read("fund-facts", "As Of,NAV per Share,Shares_Outstanding,Total Net Assets\n2020-12-11,1,2,3\n")
    assert facts.observations["fund_facts"] == [
        {"ticker": "IWM", "session": "2020-12-11", "nav": 1.0, "shares": 2.0, "assets": 3.0}
    ]


@pytest.mark.parametrize(
    "written",
    [
        "2020-12-11",
        "2020-12-11 00:00:00-05:00",
        "2020-12-11T00:00:00Z",
        '"Dec 11, 2020"',
        "December 11 2020",
        "11-Dec-2020",
        "11 dec 2020",
    ],
)
def test_dates_are_read_whatever_the_locale(read: Callable[..., files.Contents], written: str) -> None:
    contents = read("prices", f"Date,Close\n{written},3\n")
    assert contents.preview.first == contents.preview.last == "2020-12-11"


@pytest.mark.parametrize("missing", ["", "-", "--", "N/A", "null"])
def test_missing_values_are_none(read: Callable[..., files.Contents], missing: str) -> None:
    rows = read("fund-facts", f"date,nav,shares\n2020-12-11,{missing},100\n").observations["fund_facts"]
    assert rows == [{"ticker": "IWM", "session": "2020-12-11", "nav": None, "shares": 100.0, "assets": None}]


def test_rows_without_any_value_are_left_out_and_counted(read: Callable[..., files.Contents]) -> None:
    preview = read("fund-facts", "date,nav,shares\n2020-12-10,-,-\n2020-12-11,1,2\n").preview
    assert (preview.rows, preview.empty) == (1, 1)
    assert "Left out, without a value: 1 row." in preview.sentences()


@pytest.mark.parametrize("rows", ["", "2020-12-11,null\n"])
def test_a_file_without_a_single_figure_is_refused(read: Callable[..., files.Contents], rows: str) -> None:
    with pytest.raises(ImportRejected) as refused:
        read("prices", f"Date,Close\n{rows}")
    assert str(refused.value) == "the text was not imported: no row of it holds a figure of a session."


def test_fund_facts_of_days_without_a_session_are_left_out_and_listed(
    read: Callable[..., files.Contents],
) -> None:
    contents = read(
        "fund-facts", "date,nav,exdiv,shares\n2013-06-28,97.3,,5\n2013-06-30,97.4,,6\n2010-05-31,66,,7\n"
    )
    assert [row["session"] for row in contents.observations["fund_facts"]] == ["2013-06-28"]
    assert contents.preview.sentences() == [
        "IWM fund facts: 1 row, 2013-06-28 to 2013-06-28.",
        "Left out, no session on that day: 2010-05-31, 2013-06-30.",
        "Columns not read: exdiv.",
    ]


def test_a_distribution_may_stand_on_a_line_without_prices(read: Callable[..., files.Contents]) -> None:
    contents = read("prices", "Date,Close,Dividends\n2020-12-11,,0.5\n")
    assert contents.observations["bars"] == []
    assert contents.observations["distributions"] == [
        {"ticker": "IWM", "ex_date": "2020-12-11", "amount": 0.5}
    ]


def test_no_split_is_one_of_zero_or_one(read: Callable[..., files.Contents]) -> None:
    contents = read("prices", "Date,Close,Stock Splits\n2020-12-10,3,0\n2020-12-11,3,1.0\n")
    assert contents.observations["splits"] == []


def test_multiples_carry_convention_and_basis(read: Callable[..., files.Contents]) -> None:
    text = (
        "date,metric,convention,basis,value,holdings_date,coverage\n"
        "2020-12-11,P/E,losses in,Forward,75.0,2020-12-10,0.98\n"
        "2020-12-11,yield,losses_in,,0,,\n"
    )
    assert read("multiples", text).observations["multiples"] == [
        {
            "ticker": "IWM",
            "session": "2020-12-11",
            "metric": "pe",
            "convention": "losses_in",
            "basis": "forward",
            "value": 75.0,
            "holdings_date": "2020-12-10",
            "price_date": None,
            "coverage": 0.98,
        },
        {
            "ticker": "IWM",
            "session": "2020-12-11",
            "metric": "yield",
            "convention": "losses_in",
            "basis": "unstated",
            "value": 0.0,
            "holdings_date": None,
            "price_date": None,
            "coverage": None,
        },
    ]


def test_a_multiple_of_a_weekend_counts_for_the_session_before(read: Callable[..., files.Contents]) -> None:
    rows = read("multiples", "date,metric,convention,value\n2020-05-31,pe,capped,20\n").observations
    assert rows["multiples"][0]["session"] == "2020-05-29"


def test_files_may_be_newest_first_and_have_a_mark_windows_line_ends_and_blank_lines(
    read: Callable[..., files.Contents], tmp_path: Path
) -> None:
    path = tmp_path / "prices.csv"
    path.write_bytes(b"\xef\xbb\xbfDate,Close\r\n\r\n2020-12-11,2\r\n2020-12-10,1\r\n\r\n")
    assert [row["close"] for row in read("prices", path).observations["bars"]] == [1.0, 2.0]
    path.write_text("Date,Close\n2020-12-11,2\n", encoding="utf-16")
    assert read("prices", path).preview.rows == 1


def test_the_same_row_twice_counts_once(read: Callable[..., files.Contents]) -> None:
    assert read("prices", "Date,Close\n2020-12-11,2\n2020-12-11,2.0\n").preview.rows == 1


def test_every_bad_row_is_named_with_its_line_and_reason(read: Callable[..., files.Contents]) -> None:
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
    assert refusal(read, "prices", text) == (
        "the text was not imported, 9 rows are wrong:\n"
        "line 2: close -3 is not above zero\n"
        "line 3: 2020-12-05 is a day without a session\n"
        "line 4: “12/11/2020” is not a date like 2020-12-11, Dec 11, 2020 or 11-Dec-2020\n"
        "line 5: 2022-01-03 is in the future\n"
        "line 6: close “nan” is not a number\n"
        "line 8: 2020-12-03 is on line 7 too, with other values\n"
        "line 9: has 3 cells where the header has 6\n"
        "line 10: low 3 is above high 2\n"
        "line 11: close is missing"
    )


def test_more_than_ten_bad_rows_are_counted(read: Callable[..., files.Contents]) -> None:
    message = refusal(read, "prices", "Date,Close\n" + "2020-12-11,x\n" * 1_234)
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
        ("2020-02-30,1,0", "“2020-02-30” is not a date like 2020-12-11, Dec 11, 2020 or 11-Dec-2020"),
        ("1990-01-02,1,0", "1990-01-02 is before 1993-01-04, where the calendar of sessions starts"),
        ("2020-12-11,1,0,9", "has 4 cells where the header has 3"),
    ],
)
def test_a_bad_row_is_refused_for_its_reason(
    read: Callable[..., files.Contents], row: str, reason: str
) -> None:
    assert refusal(read, "prices", f"Date,Close,Dividends\n{row}\n") == (
        f"the text was not imported, 1 row is wrong:\nline 2: {reason}"
    )


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("peg,capped,1,1", "metric “peg” is none of pe, pcf, pb, ps, pfcf, yield"),
        (
            "pe,mine,1,1",
            "convention “mine” is none of losses_in, positive, capped, morningstar, yahoo",
        ),
        ("pe,capped,0,1", "value 0 is not above zero"),
        ("pe,capped,20,98", "coverage 98 is not between 0 and 1"),
        ("pe,capped,20,1,2020-12-14", "price date 2020-12-14 is after the date 2020-12-11"),
        ("pe,capped,20,1,,2020-12-31", "holdings date 2020-12-31 is after the date 2020-12-11"),
        (
            "pe,capped,20,1,soon",
            "price date “soon” is not a date like 2020-12-11, Dec 11, 2020 or 11-Dec-2020",
        ),
    ],
)
def test_a_bad_multiple_is_refused_for_its_reason(
    read: Callable[..., files.Contents], row: str, reason: str
) -> None:
    row += "," * (5 - row.count(","))
    header = "date,metric,convention,value,coverage,price date,holdings date"
    message = refusal(read, "multiples", f"{header}\n2020-12-11,{row}\n")
    assert message == f"the text was not imported, 1 row is wrong:\nline 2: {reason}"


def test_fund_facts_that_no_fund_can_have_are_refused(read: Callable[..., files.Contents]) -> None:
    rows = "2020-12-10,190.09,290300000000,\n2020-12-11,190.2,290300000,5.5e13\n2020-12-14,2e5,1,\n"
    assert refusal(read, "fund-facts", f"date,nav,shares,assets\n{rows}") == (
        "the text was not imported, 3 rows are wrong:\n"
        "line 2: shares 290,300,000,000 is above 100,000,000,000, more than any fund has\n"
        "line 3: assets 55,000,000,000,000 is above 10,000,000,000,000, more than any fund has\n"
        "line 4: nav 200,000 is above 100,000, more than any fund has"
    )


def test_an_unknown_fund_is_refused(read: Callable[..., files.Contents]) -> None:
    assert refusal(read, "prices", PRICES, "qqq") == (
        "“qqq” is not a fund of this bot; it compares IWM and SPY."
    )
    assert read("prices", PRICES, " spy ").preview.ticker == "SPY"


@pytest.mark.parametrize(
    ("what", "text", "message"),
    [
        (
            "prices",
            "date,nav,exdiv,shares\n2020-12-11,1,,2\n",
            (
                "the text has no column “close”; its first line is “date, nav, exdiv, shares”. "
                "These look like fund facts, which “import fund-facts” reads."
            ),
        ),
        (
            "fund-facts",
            PRICES,
            (
                "the text has no columns “nav” and “shares”; its first line is “Date, Open, High, Low, "
                "Close, Adj Close, Volume, Dividends, Stock Splits”. "
                "These look like daily prices, which “import prices” reads."
            ),
        ),
        (
            "multiples",
            "a,b\n1,2\n",
            (
                "the text has no columns “date” and “metric” and “convention” and “value”; its first line is "
                "“a, b”. A first line that works: date,metric,convention,value"
            ),
        ),
        (
            "prices",
            "Date;Close\n2020-12-11;2\n",
            (
                "the text has no columns “date” and “close”; its first line is “Date;Close”. "
                "Its columns are separated by semicolons; save it with commas."
            ),
        ),
        (
            "prices",
            "Date,Close,close\n2020-12-11,2,3\n",
            "the text has more than one column for close: “Close” and “close”.",
        ),
        ("prices", "\n \n", "the text is empty."),
        (
            "prices",
            'Date,Close\n"2020-12-11,2\n',
            "the text, line 2: not readable as CSV (unexpected end of data).",
        ),
        (
            "prices",
            "Date,Close\n" + "x" * 30_000,
            "the text, line 2: 30,000 characters are no row of a table.",
        ),
        ("prices", "Date,Close\x00\n", "the text is not a text file."),
    ],
)
def test_a_file_of_another_kind_is_named_for_what_it_is(
    read: Callable[..., files.Contents], what: str, text: str, message: str
) -> None:
    assert refusal(read, what, text) == message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "bad.csv is empty."),
        (b"PK\x03\x04rest", "bad.csv is an Excel workbook; save it as CSV first."),
        (b"Date,Close\n\xe9\xff", "bad.csv is not a text file in UTF-8; save it as CSV (UTF-8)."),
        (b"\x7fELF\x00\x01", "bad.csv is not a text file."),
    ],
)
def test_what_is_no_text_is_refused(
    read: Callable[..., files.Contents], tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    assert refusal(read, "prices", path) == message


def test_paths_that_cannot_be_read_are_refused(
    read: Callable[..., files.Contents], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert refusal(read, "prices", tmp_path) == f"{tmp_path} is a folder; a CSV file is needed."
    assert refusal(read, "prices", tmp_path / "no.csv") == f"There is no file {tmp_path / 'no.csv'}."
    path = tmp_path / "large.csv"
    path.write_text(PRICES, encoding="utf-8")
    monkeypatch.setattr(cells, "LARGEST_FILE", 100)
    assert refusal(read, "prices", path) == "large.csv is larger than 0 MB."


def test_monthly_bars_are_refused(read: Callable[..., files.Contents]) -> None:
    first_days = [f"{year}-{month:02}-15" for year in range(2010, 2020) for month in range(1, 13)]
    days = [day for day in first_days if Sessions().is_session(dt.date.fromisoformat(day))]
    message = refusal(read, "prices", "Date,Close\n" + "".join(f"{day},10\n" for day in days))
    assert message.startswith("the text was not imported: its rows are ")
    assert message.endswith(" sessions apart; only daily prices are read.")


def test_storing_twice_changes_nothing(read: Callable[..., files.Contents], database: Database) -> None:
    contents = read("prices", PRICES)
    first = database.run_sync(
        lambda db: files.store(db, contents.observations, source="csv", observed_at="2021-01-01T00:00:00Z")
    )
    assert first["bars"] == stored.Written(inserted=2)
    assert first["distributions"] == stored.Written(inserted=1)
    again = database.run_sync(lambda db: files.store_file(db, contents, observed_at="2021-01-02T00:00:00Z"))
    assert again["bars"] == stored.Written(unchanged=2)
    assert again["splits"] == stored.Written(unchanged=1)


def test_an_import_is_noted_among_the_sources(
    read: Callable[..., files.Contents], database: Database
) -> None:
    contents = read("prices", PRICES)
    database.run_sync(lambda db: files.store_file(db, contents, observed_at="2021-01-01T00:00:00Z"))
    [row] = database.run_sync(sources.statuses)
    assert (row["source"], row["subject"], row["outcome"]) == ("csv", "IWM daily prices", "Imported")
    assert (row["last_success"], row["last_session"]) == (
        "2021-01-01T00:00:00Z",
        max(bar["session"] for bar in contents.observations["bars"]),
    )


@pytest.mark.parametrize(("later", "ratio"), [("Date,Close", 2.0), ("Date,Close,Stock Splits", None)])
def test_a_corrected_file_withdraws_a_split(
    read: Callable[..., files.Contents], database: Database, later: str, ratio: float | None
) -> None:
    first = read("prices", "Date,Close,Stock Splits\n2020-12-11,53,2\n")
    second = read("prices", f"{later}\n2020-12-11,53{',0' if 'Splits' in later else ''}\n")
    database.run_sync(lambda db: files.store_file(db, first, observed_at="2021-01-01T00:00:00Z"))
    database.run_sync(lambda db: files.store_file(db, second, observed_at="2021-01-02T00:00:00Z"))
    [row] = database.run_sync(lambda db: stored.newest(db, "splits"))
    assert row["ratio"] == ratio


def test_a_corrected_file_withdraws_a_distribution(
    read: Callable[..., files.Contents], database: Database
) -> None:
    wrong = read("prices", "Date,Close,Dividends\n2003-12-15,53,0\n2003-12-16,53,0.115\n")
    right = read("prices", "Date,Close,Dividends\n2003-12-15,53,0\n2003-12-16,53,0\n")
    silent = read("prices", "Date,Close\n2003-12-15,53\n2003-12-16,53\n")

    def amounts() -> list[float | None]:
        rows = database.run_sync(lambda db: stored.newest(db, "distributions"))
        return [row["amount"] for row in rows]

    database.run_sync(lambda db: files.store_file(db, wrong, observed_at="2021-01-01T00:00:00Z"))
    database.run_sync(lambda db: files.store_file(db, silent, observed_at="2021-01-02T00:00:00Z"))
    database.run_sync(lambda db: files.store_file(db, wrong, observed_at="2021-01-02T12:00:00Z"))
    assert amounts() == [0.115]
    database.run_sync(lambda db: files.store_file(db, right, observed_at="2021-01-03T00:00:00Z"))
    assert amounts() == [None]


@shared
def test_full_histories_are_read_in_one_go(read: Callable[..., files.Contents]) -> None:
    small = read("prices", FOLDER / "IWM_daily.csv")
    large = read("prices", FOLDER / "SPY_daily.csv", "SPY")
    facts = read("fund-facts", FOLDER / "IWM_nav_shares.csv")
    assert small.preview.sentences()[0] == "IWM daily prices: 5,435 rows, 2000-05-26 to 2021-12-31."
    assert large.preview.sentences()[0] == "SPY daily prices: 5,435 rows, 2000-05-26 to 2021-12-31."
    assert {"ticker": "IWM", "ex_date": "2003-12-16", "amount": 0.115} in small.observations["distributions"]
    assert small.observations["splits"] == [{"ticker": "IWM", "session": "2005-06-09", "ratio": 2.0}]
    assert facts.preview.closed == ("2010-05-31", "2013-06-30")
    assert facts.preview.rows == 5_439
    garbage = [row["shares"] for row in facts.observations["fund_facts"] if row["session"] == "2007-06-22"]
    assert garbage[0] < 2e6  # kept as data: judging it is the flows' business
