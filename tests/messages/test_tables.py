from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.analytics.units import PERCENT, POINTS
from bot.messages.html import TABLE_WIDTH, table

PATIENT = settings(deadline=None)  # a busy machine is no failure

HEADER = ("", "IWM", "SPY", "gap")


def row(label: str, small: float, large: float) -> list[str]:
    return [label, PERCENT.show(small), PERCENT.show(large), POINTS.show(small - large)]


def test_labels_stand_left_and_figures_right() -> None:
    text = table(HEADER, [row("6m", 37.63, 20.41), row("1y", -16.51, 115.44)])

    assert text.split("\n") == [
        "        IWM       SPY        gap",
        "6m  +37.63%   +20.41%   +17.22pp",
        "1y  \u221216.51%  +115.44%  \u2212131.95pp",
    ]


def test_columns_stand_one_apart_where_two_would_not_fit() -> None:
    text = table(HEADER, [row("Dec 31", -304.77, -128.70)])

    assert text.split("\n")[1] == "Dec 31 \u2212304.77% \u2212128.70% \u2212176.07pp"
    assert len(text.split("\n")[1]) == TABLE_WIDTH


def test_label_too_long_for_its_column_stands_above_its_figures() -> None:
    text = table(HEADER, [row("ytd", 14.87, 13.81), row("since 2009-12-31", 204.77, 228.70)])

    assert text.split("\n") == [
        "          IWM       SPY       gap",
        "ytd   +14.87%   +13.81%   +1.06pp",
        "since 2009-12-31",
        "     +204.77%  +228.70%  \u221223.93pp",
    ]


def test_missing_cell_is_not_available() -> None:
    assert table(("", "SPY"), [("flow", None)]) == "      SPY\nflow  n/a"


def test_a_table_of_the_header_alone_is_that_line() -> None:
    assert table(("fund", "units"), []) == "fund  units"


def test_figures_that_leave_no_room_for_a_label_are_refused() -> None:
    with pytest.raises(ValueError, match="does not fit") as caught:
        table(("fund", "a"), [("x", "9" * 34)])

    assert str(caught.value) == "the table under ['fund', 'a'] does not fit 34 columns"


def test_labels_that_are_all_too_long_stand_above_their_figures() -> None:
    text = table(("CSV import", "answered", "up to"), [("IWM weights", "22 Nov 17:14", "31 Dec 2021")])

    assert text.split("\n") == [
        "CSV import",
        "      answered        up to",
        "IWM weights",
        "  22 Nov 17:14  31 Dec 2021",
    ]


def test_label_longer_than_the_line_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        table(("", "a"), [("x" * 35, "1")])


def test_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^every row needs 2 cells, as the header \['', 'a'\] has$"):
        table(("", "a"), [("x", "1", "2")])


LABEL = st.text("abcdefgh 0123456789", min_size=1, max_size=16).map(str.strip).filter(bool)
FIGURE = st.floats(-999, 999).map(PERCENT.show)


@PATIENT
@given(st.lists(st.tuples(LABEL, FIGURE, FIGURE), min_size=1, max_size=8))
def test_no_line_is_wider_than_the_phone_and_no_cell_is_lost(rows: list[tuple[str, str, str]]) -> None:
    text = table(("w", "IWM", "SPY"), rows)

    assert max(map(len, text.split("\n"))) <= TABLE_WIDTH
    assert text.split() == " ".join(cell for cells in (("w", "IWM", "SPY"), *rows) for cell in cells).split()
    figures = [line for line in text.split("\n") if line.endswith(("%", "SPY"))]
    assert len(figures) == len(rows) + 1
    assert len({len(line) for line in figures}) == 1
