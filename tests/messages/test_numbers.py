"""Numbers in the marks that a chat has chosen; everything else stays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.messages.html import DEFAULT_NUMBERS, NUMBERS, Html, code, lines, localized, pre


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        (DEFAULT_NUMBERS, "+$1,234,567.80bn, −0.73%, 25 x"),
        ("1.234,5", "+$1.234.567,80bn, −0,73%, 25 x"),
        ("1 234,5", "+$1\u00a0234\u00a0567,80bn, −0,73%, 25 x"),
        ("1'234.5", "+$1'234'567.80bn, −0.73%, 25 x"),
        ("no such", "+$1,234,567.80bn, −0.73%, 25 x"),
    ],
)
def test_each_way_has_its_marks(numbers: str, expected: str) -> None:
    assert localized(Html("+$1,234,567.80bn, −0.73%, 25 x"), numbers) == expected


@pytest.mark.parametrize(
    "html",
    [
        lines("Alert: ", code("ratio > 0.9")),
        lines("“0.9” is not understood."),
        lines("Version 0.2.0. Python 3.11.7"),
        lines("Fri 11 Dec 2020, 18:30, 2020-12-11, #1,2"),
        Html('<a href="https://t.me/1.5">x</a> &#1234; sma 200'),
    ],
)
def test_what_is_no_number_stays(html: Html) -> None:
    assert localized(html, "1.234,5") == html


@given(st.floats(-1e9, 1e9), st.sampled_from(sorted(NUMBERS)))
def test_a_table_keeps_its_columns_and_reads_back(value: float, numbers: str) -> None:
    shown = f"{value:,.2f}"
    block = localized(pre([shown, "x"]), numbers)
    thousands, point = NUMBERS[numbers]
    assert len(block) == len(pre([shown, "x"]))
    back = block.replace(thousands, "").replace(point, ".")
    assert float(back.removeprefix("<pre>").split("\n")[0]) == float(shown.replace(",", ""))
