from __future__ import annotations

import datetime as dt
import itertools
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.analytics.sessions import Sessions
from bot.data import import_csv
from bot.data.csv_cells import PLAIN, BadCell, shorten
from bot.data.csv_formats import FORMATS
from bot.errors import ImportRejected

SESSIONS = Sessions()
TODAY = dt.date(2021, 1, 1)
FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(value=FINITE)
def test_a_number_comes_back_exactly(value: float) -> None:
    assert PLAIN.number(repr(value)) == value


@given(value=st.decimals(-(10**12), 10**12, places=2))
def test_thousands_commas_change_nothing(value: float) -> None:
    assert PLAIN.number(f"{value:,}") == PLAIN.number(f"{value}") == float(value)


@given(day=st.dates(dt.date(1900, 1, 1), dt.date(2100, 1, 1)))
def test_every_way_to_write_a_date_is_read(day: dt.date) -> None:
    months = "January February March April May June July August September October November December".split()  # noqa: SIM905
    month = months[day.month - 1]
    for written in (
        day.isoformat(),
        f"{day.isoformat()} 00:00:00-05:00",
        f"{day.isoformat()}T00:00:00Z",
        f"{month[:3]} {day.day:02}, {day.year}",
        f"{month} {day.day}, {day.year}",
        f"{day.day:02}-{month[:3].upper()}-{day.year}",
        f"{day.day} {month[:3].lower()} {day.year}",
    ):
        assert PLAIN.date(written) == day.isoformat()


@given(text=st.text())
@example("2020-13-01")
@example("Foo 01, 2020")
@example("31-Feb-2020")
@example("20201211")
def test_any_other_text_is_no_date(text: str) -> None:
    refusal = "“.*” is not a date like 2020-12-11, Dec 11, 2020 or 11-Dec-2020"
    try:
        outcome = PLAIN.date(text)
    except BadCell as err:
        outcome = str(err)
    assert re.fullmatch(rf"{refusal}|\d{{4}}-\d{{2}}-\d{{2}}", outcome)


@given(text=st.text(alphabet=st.sampled_from('\n\r,"-0123456789.abcDateClosnvhr \ufeff')))
@example("Date,Close\n2020-12-11,1\n")
def test_any_text_is_read_or_refused_with_a_sentence(text: str) -> None:
    headers = (
        "",
        "Date,Close\n",
        "Datum;Schlusskurs\n",
        "time\tclose\n",
        "Price,Close\nTicker,IWM\nDate,\n",
        "date,nav,shares\n",
        "date,metric,convention,value\n",
    )
    for header, form in itertools.product(headers, FORMATS):
        try:
            sentence = import_csv.read_csv(
                form, header + text, "IWM", sessions=SESSIONS, today=TODAY, completed=TODAY
            ).preview.sentences()[0]
        except ImportRejected as err:
            sentence = str(err)
        assert sentence.startswith(("the text ", "the text, line ", "IWM "))


def test_long_text_is_shortened_on_one_line() -> None:
    assert shorten("a\n b" + "c" * 100) == "a b" + "c" * 36 + "…"
    with pytest.raises(BadCell, match=r"^“x{39}…” is not a number$"):
        PLAIN.number("x" * 1_000)
