"""Daily prices in the layouts of other sites and programs; the figures are made up."""

from __future__ import annotations

import datetime as dt
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.data import import_csv
from bot.data.csv_cells import BadCell, notation_of
from bot.data.csv_table import DIALECTS
from storage.records import Distribution, Split
from tests.data.imports import SESSIONS, TODAY, read, refusal
from tests.shared_data import FOLDER, shared

if TYPE_CHECKING:
    from collections.abc import Callable

CLOSES = {"2020-12-09": 186.0, "2020-12-10": 1190.91, "2020-12-14": 189.25}
TOO_FEW = "Too few closes to tell whether they are adjusted for distributions; taken as not adjusted."

LAYOUTS = {
    "Tiingo": """date,close,high,low,open,volume,adjClose,divCash,splitFactor
2020-12-09,186,186,186,186,1000,180.1,0.0,1.0
2020-12-10,1190.91,1191.5,1189,1190,1000,180.2,0.0,1.0
2020-12-14,189.25,189.25,189.25,189.25,1000,180.3,0.5,1.0
""",
    "Alpha Vantage adjusted": """timestamp,open,high,low,close,adjusted_close,volume,\
dividend_amount,split_coefficient
2020-12-14,189,190,188,189.25,180.3,1000,0.5,1.0
2020-12-10,1190,1191.5,1189,1190.91,180.2,1000,0.0,1.0
2020-12-09,186,186,186,186,180.1,1000,0.0,1.0
""",
    "Alpha Vantage": """timestamp,open,high,low,close,volume
2020-12-14,189,190,188,189.25,1000
2020-12-10,1190,1191.5,1189,1190.91,1000
2020-12-09,186,186,186,186,1000
""",
    "Nasdaq, dates month/day/year": """Date,Close/Last,Volume,Open,High,Low
12/14/2020,$189.25,1000,$189,$190,$188
12/10/2020,"$1,190.91",1000,$1190,$1191.50,$1189
12/09/2020,$186.00,1000,$186,$186,$186
""",
    "Investing.com, dates month/day/year": """\ufeff"Date","Price","Open","High","Low","Vol.","Change %"
"12/14/2020","189.25","189","190","188","0.001M","0.10%"
"12/10/2020","1,190.91","1,190","1,191.5","1,189","1.00K","0.10%"
"12/09/2020","186.00","186","186","186","1K","-0.10%"
""",
    "Investing.com in German, decimal commas, dates day/month/year": (
        """"Datum","Zuletzt","Eröffn.","Hoch","Tief","Vol.","+/- %"
"14.12.2020","189,25","189,00","190,00","188,00","1,00K","0,10%"
"10.12.2020","1.190,91","1.190","1.191,5","1.189","1,00K","0,10%"
"09.12.2020","186,00","186","186","186","1K","-0,10%"
"""
    ),
    "TradingView": """time,open,high,low,close,Volume
1607524200,186,186,186,186,1000
1607610600,1190,1191.5,1189,1190.91,1000
1607956200,189,190,188,189.25,1000
""",
    "StockCharts, dates month/day/year": """Day,Date,Open,High,Low,Close,Volume
Mon,12-14-2020,189,190,188,189.25,1000
Thu,12-10-2020,1190,1191.5,1189,1190.91,1000
Wed,12-09-2020,186,186,186,186,1000
""",
    "Yahoo Finance's page": """Date,Open,High,Low,Close*,Adj Close**,Volume
"Dec 14, 2020",189,190,188,189.25,180.3,"1,000"
"Dec 10, 2020","1,190",1191.5,1189,"1,190.91",180.2,"1,000"
"Dec 9, 2020",186,186,186,186.00,180.1,"1,000"
""",
    "yf.download": """Price,Close,High,Low,Open,Volume,Close
Ticker,IWM,IWM,IWM,IWM,IWM,SPY
Date,,,,,,
2020-12-09,186.0,186.0,186.0,186.0,1000,366.85
2020-12-10,1190.91,1191.5,1189.0,1190.0,1000,
2020-12-14,189.25,190.0,188.0,189.0,1000,364.66
""",
    "Google Sheets, dates month/day/year": """Date,Close
12/9/2020 16:00:00,186
12/10/2020 16:00:00,1190.91
12/14/2020 16:00:00,189.25
""",
    "MarketWatch, dates month/day/year": """Date,Open,High,Low,Close,Volume
12/14/2020,"189","190","188","189.25","1,000"
12/10/2020,"1,190","1,191.50","1,189","1,190.91","1,000"
12/09/2020,"186","186","186","186.00","1,000"
""",
    "German, semicolons, decimal commas, dates day/month/year": """Datum;Erster;Hoch;Tief;Schlusskurs
09.12.2020;186;186;186;186
10.12.2020;1.190;1.191,5;1.189;1.190,91
14.12.2020;189,00;190;188;189,25
""",
    "semicolons, dates day/month/year": """Date;Close
14/12/2020;189.25
10/12/2020;1190.91
09/12/2020;186
""",
    "tabs, decimal commas": "date\tclose\n2020/12/9\t186\n2020/12/10\t1190,91\n2020/12/14\t189,25\n",
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_closes_and_is_named(layout: str) -> None:
    contents = read("prices", LAYOUTS[layout])
    assert {bar.session: bar.close for bar in contents.observations["bars"]} == CLOSES
    assert {bar.volume for bar in contents.observations["bars"]} <= {1000, None}
    assert {bar.high for bar in contents.observations["bars"]} & {1191.5, None}
    sentences = contents.preview.sentences()
    assert sentences[:2] == ["IWM daily prices: 3 rows, 2020-12-09 to 2020-12-14.", f"Layout: {layout}."]
    assert sentences[-1] == TOO_FEW


def test_every_layout_of_the_table_is_tried_and_documented() -> None:
    names = [dialect.name for dialect in DIALECTS]
    assert [name for name in names if name not in {layout.split(",")[0] for layout in LAYOUTS}] == []
    root = Path(__file__).parents[2]
    pages = [page.read_text(encoding="utf-8") for page in (root / "README.md", *(root / "docs").glob("*.md"))]
    text = " ".join(" ".join(pages).split())
    assert [name for name in names if name not in text] == []


@pytest.mark.parametrize("layout", ["Tiingo", "Alpha Vantage adjusted"])
def test_closes_as_traded_are_adjusted_by_the_file_s_own_splits(layout: str) -> None:
    text = LAYOUTS[layout]
    split = next(line for line in text.splitlines() if line.startswith("2020-12-10"))
    rows = read("prices", text.replace(split, split.removesuffix("1.0") + "2.0")).observations
    assert [(bar.session, bar.close, bar.volume) for bar in rows["bars"]] == [
        ("2020-12-09", 93.0, 2000),
        ("2020-12-10", 1190.91, 1000),
        ("2020-12-14", 189.25, 1000),
    ]
    assert rows["splits"] == [Split("IWM", "2020-12-10", 2.0)]
    assert rows["distributions"] == [Distribution("IWM", "2020-12-14", 0.5)]


def test_a_distribution_before_a_split_is_adjusted_too() -> None:
    text = "date,close,divCash,splitFactor\n2020-12-09,8,0.5,1\n2020-12-10,4,0,2\n2020-12-11,2,0,2\n"
    rows = read("prices", text).observations
    assert [bar.close for bar in rows["bars"]] == [2.0, 2.0, 2.0]
    assert rows["distributions"] == [Distribution("IWM", "2020-12-09", 0.125)]


def test_yf_download_by_ticker_is_read_and_another_fund_s_is_refused() -> None:
    text = "Ticker,SPY,SPY\nPrice,Open,Close\nDate,,\n2020-12-10,366,366.73\n"
    assert read("prices", text, "SPY").observations["bars"][0].close == 366.73
    assert refusal("prices", text) == "the text has no prices of IWM; the tickers in it: SPY."


@pytest.mark.parametrize(
    ("text", "meanings"),
    [
        (
            "Date,Close\n12/10/2020,190.91\n12/11/2020,190.30\n",
            (
                "date “12/10/2020” could be 2020-10-12 or 2020-12-10",
                "date “12/11/2020” could be 2020-11-12 or 2020-12-11",
            ),
        ),
        (
            "Date;Close\n2020-12-10;1.234\n2020-12-11;1,234\n",
            ("close “1.234” could be 1.234 or 1234", "close “1,234” could be 1.234 or 1234"),
        ),
    ],
)
def test_what_could_mean_two_things_is_refused_by_line(text: str, meanings: tuple[str, str]) -> None:
    lines = [f"line {number}: {words}; no other row decides which" for number, words in enumerate(meanings, 2)]
    assert refusal("prices", text).splitlines() == ["the text was not imported, 2 rows are wrong:", *lines]


def test_a_date_that_fits_only_the_other_order_is_a_bad_row() -> None:
    text = "Date,Close\n12/14/2020,1\n12/15/2020,1\n16/12/2020,1\n"
    assert refusal("prices", text) == (
        "the text was not imported, 1 row is wrong:\n"
        "line 4: date “16/12/2020” is not a date like 2020-12-11, Dec 11, 2020 or 11-Dec-2020"
    )


@pytest.mark.parametrize(
    ("cell", "session"),
    [
        ("1607610600", "2020-12-10"),  # the opening bell
        ("1607558400", "2020-12-10"),  # midnight in UTC, as a program writes a date
        ("1607650000", "2020-12-10"),  # 20:26 in New York is the next day in UTC
        ("2020-12-10T14:30:00Z", "2020-12-10"),
    ],
)
def test_times_of_tradingview_count_for_the_day_in_new_york(cell: str, session: str) -> None:
    [bar] = read("prices", f"time,close\n{cell},1\n").observations["bars"]
    assert bar.session == session


@pytest.mark.parametrize("cell", ["1K", "$", "€5", "1.2.3", "- 5", "$-5", "5%"])
def test_what_is_no_price_is_refused(cell: str) -> None:
    message = refusal("prices", f"Date;Close\n2020-12-10;{cell}\n")
    assert message.endswith(f"line 2: close “{cell}” is not a number")


SESSION_DAYS = st.sampled_from([day.date() for day in SESSIONS.index[SESSIONS.index < "2021-12-31"]])
DATES: dict[str, Callable[[dt.date], str]] = {
    "month first": lambda day: f"{day.month}/{day.day:02}/{day.year}",
    "day first": lambda day: f"{day.day:02}-{day.month:02}-{day.year}",
    "points": lambda day: f"{day.day}.{day.month}.{day.year}",
    "with a time": lambda day: f"{day.month}/{day.day}/{day.year} 4:00:00 PM",
    "year first": lambda day: f"{day.year}/{day.month}/{day.day}",
    "seconds": lambda day: f"{SESSIONS.close(SESSIONS.index[SESSIONS.index.get_loc(str(day))]).timestamp():.0f}",
}


@pytest.mark.parametrize("written", DATES)
@given(days=st.lists(SESSION_DAYS, min_size=1, max_size=8, unique=True))
@example(days=[dt.date(2020, 3, 4), dt.date(2020, 4, 3)])
@example(days=[dt.date(2020, 5, 5)])
def test_dates_come_back_or_no_row_decides_their_order(written: str, days: list[dt.date]) -> None:
    text = "Date,Close\n" + "".join(f"{DATES[written](day)},1\n" for day in days)
    undecided = all(day.day <= 12 for day in days) and any(day.day != day.month for day in days)
    if undecided and written in {"month first", "day first", "with a time"}:
        assert "no other row decides which" in refusal("prices", text)
    else:
        bars = read("prices", text).observations["bars"]
        assert [bar.session for bar in bars] == [day.isoformat() for day in sorted(days)]


PRICES = st.decimals("0.01", "99999.99", places=2)
GERMAN = str.maketrans(",.", ".,")


@given(prices=st.lists(PRICES, min_size=1, max_size=6), german=st.booleans(), thousands=st.booleans())
def test_prices_come_back_with_either_decimal_mark(prices: list[float], german: bool, thousands: bool) -> None:
    cells = [f"{price:,}" if thousands else f"{price}" for price in prices]
    rows = zip(SESSIONS.index[-len(cells) - 1000 :], cells, strict=False)
    text = "Date;Close\n" + "".join(
        f"{day:%Y-%m-%d};{cell.translate(GERMAN) if german else cell}\n" for day, cell in rows
    )
    contents = import_csv.read_csv("prices", text, "IWM", sessions=SESSIONS, today=LAST, completed=LAST)
    assert [bar.close for bar in contents.observations["bars"]] == [float(price) for price in prices]
    assert ("decimal commas" in contents.preview.layout) == german


LAST = SESSIONS.index[-1].date()


@given(cells=st.lists(st.text(alphabet="0123456789.,-+$KMBe/: "), max_size=6), commas=st.booleans())
@example(cells=["1e999K", "+-5", "0" * 1_000], commas=True)
def test_any_cell_has_one_meaning_or_is_refused(cells: list[str], commas: bool) -> None:
    notation = notation_of(cells, cells, "", commas=commas)
    for cell in cells:
        with suppress(BadCell):
            assert notation.date(notation.date(cell)) == notation.date(cell)
        with suppress(BadCell):
            number = notation.number(cell)
            assert number is None or notation_of((), (), "", commas=False).number(f"{number!r}") == number


# A row of today, and closes that are adjusted


@pytest.mark.parametrize("kind", ["prices", "fund-facts", "multiples", "weights"])
def test_a_session_that_is_not_completed_is_left_out_and_named(kind: str) -> None:
    lines = {
        "prices": ("Date,Close", "1"),
        "fund-facts": ("date,nav,shares", "1,2"),
        "multiples": ("date,metric,convention,value", "pe,capped,20"),
        "weights": ("date,name,weight", "Energy,5"),
    }
    header, cells = lines[kind]
    text = f"{header}\n2021-12-31,{cells}\n2021-12-30,{cells}\n"
    day = dt.date(2021, 12, 30)
    contents = import_csv.read_csv(kind, text, "IWM", sessions=SESSIONS, today=TODAY, completed=day)
    first, second = contents.preview.sentences()[:2]
    assert first.endswith(": 1 row, 2021-12-30 to 2021-12-30.")
    assert second == "Left out, session not completed: 2021-12-31."


def closes(count: int, on_cent: int, *, until: str = "2020-12-11", split: str = "") -> str:
    """A file of so many sessions, of which the last ones lie on a cent."""
    days = SESSIONS.index[until >= SESSIONS.index.strftime("%Y-%m-%d")][-count:]
    rows = [
        f"{day:%Y-%m-%d},{100.0049 if place < count - on_cent else 100.009999},"
        f"{2 if f'{day:%Y-%m-%d}' == split else 0}\n"
        for place, day in enumerate(days)
    ]
    return "Date,Close,Stock Splits\n" + "".join(rows)


def test_a_bad_row_below_three_header_lines_is_named_by_its_line() -> None:
    text = LAYOUTS["yf.download"].replace("1190.91", "dear")
    assert refusal("prices", text).endswith("1 row is wrong:\nline 5: close “dear” is not a number")


def test_the_longest_cells_are_read_in_a_moment_and_shown_short() -> None:
    number = "1" + ".000" * 4_000
    text = f"Datum;Schlusskurs\n10.12.2020;{number}\n11.12.2020;{number[:-1]}\n"
    lines = refusal("prices", text).splitlines()
    assert [line[:40] for line in lines[1:]] == [
        f"line {number}: close “1.000.000.000.000.000.000" for number in (2, 3)
    ]
    assert max(len(line) for line in lines) < 200


def test_closes_that_are_not_on_a_cent_are_refused_with_the_call_for_the_right_file() -> None:
    assert refusal("prices", closes(124, 1)) == (
        "the text was not imported: its closes are adjusted for distributions (on a cent: 1 of the last "
        "124), and total returns would count distributions twice. Closes adjusted for splits only: "
        'yf.Ticker("IWM").history(period="max", auto_adjust=False).to_csv("IWM.csv")'
    )
    assert 'yf.Ticker("SPY")' in refusal("prices", closes(124, 1), "SPY")


@pytest.mark.parametrize(
    ("text", "note"),
    [
        (closes(20, 10), ""),
        (closes(19, 0), TOO_FEW),
        (closes(600, 125), ""),  # the last 250 decide
        (closes(600, 0, until="2001-04-09"), TOO_FEW),  # prices in fractions of a dollar
        (closes(300, 100, split="2020-07-20"), ""),  # 102 rows after the split
    ],
)
def test_only_late_rows_after_the_last_split_are_judged(text: str, note: str) -> None:
    assert read("prices", text).preview.notes == ((note,) if note else ())


def test_just_under_half_on_a_cent_is_refused() -> None:
    assert "(on a cent: 124 of the last 250)" in refusal("prices", closes(600, 124))


CASES = FOLDER / "cases"


@shared
def test_the_cases_of_all_layouts_are_read() -> None:
    refused = {"yf_history_adjusted.csv"}
    others = {path.name for path in CASES.glob("*.csv") if "closes_only" not in path.name} - refused
    assert len(others) == 10
    for name in others:
        contents = read("prices", CASES / name)
        dated = {bar.session: round(bar.close, 2) for bar in contents.observations["bars"]}
        assert (len(dated), dated["2021-12-10"]) == (16, 219.91)
        assert (min(dated), max(dated)) == ("2021-11-22", "2021-12-14")
        assert contents.preview.layout
    for name in refused:
        assert "auto_adjust=False" in refusal("prices", CASES / name)
