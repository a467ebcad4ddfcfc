from __future__ import annotations

import pytest

from tests.data.imports import refusal


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
        ("2020-02-30,1,0", "“2020-02-30” is not a date like 2020-12-11, Dec 11, 2020 or 11-Dec-2020"),
        ("1990-01-02,1,0", "1990-01-02 is before 1993-01-04, where the calendar of sessions starts"),
        ("2020-12-11,1,0,9", "has 4 cells where the header has 3"),
    ],
)
def test_a_bad_row_is_refused_for_its_reason(row: str, reason: str) -> None:
    assert refusal("prices", f"Date,Close,Dividends\n{row}\n") == (
        f"the text was not imported, 1 row is wrong:\nline 2: {reason}"
    )


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("peg,capped,1,1", "metric “peg” is none of pe, pcf, pb, ps, pfcf, yield"),
        ("pe,mine,1,1", "convention “mine” is none of losses_in, positive, capped, morningstar, yahoo"),
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
