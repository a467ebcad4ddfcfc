import datetime as dt
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.analytics.units import PERCENT, POINTS
from bot.messages.html import (
    DEFAULT_NUMBERS,
    MESSAGE_LIMIT,
    NUMBERS,
    TABLE_WIDTH,
    Html,
    TableRow,
    bold,
    code,
    escape,
    lines,
    localized,
    pre,
    split_html,
    strip_html,
    table,
    visible_length,
)
from bot.text import date_phrase, short_date

# Characters that break naive splitting: markup, entities, astral planes (two UTF-16 units), borders.
LETTERS = st.text(st.sampled_from("ab<>&;\"' \n\t\u2212\U0001f4c8é"), max_size=40)
PLAIN = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
MARKUP: st.SearchStrategy[Html] = st.recursive(
    LETTERS.map(escape),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(Html("").join),
        st.builds(bold, inner),
        st.builds(lambda content: Html("<i>{}</i>").format(content), inner),
        st.builds(lambda content: Html('<a href="https://example.org/?a=1&b=2">{}</a>').format(content), inner),
        LETTERS.map(pre),
        LETTERS.map(code),
    ),
    max_leaves=12,
)


def utf16(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def assert_balanced(html: str) -> None:
    """Tags nest, and no `<` or `&` stands outside a tag or an entity that Telegram knows."""
    bare = re.sub(r"</?[a-z]+( href=\"[^\"<>]*\")?>", "", html)
    assert "<" not in bare
    assert re.sub(r"&(amp|lt|gt|quot);", "", bare).count("&") == 0
    stack: list[str] = []
    for slash, name in re.findall(r"<(/?)([a-z]+)", html):
        if slash:
            assert stack.pop() == name
        else:
            stack.append(name)
    assert stack == []


@given(PLAIN)
def test_escaped_value_is_shown_as_it_was_typed(value: str) -> None:
    assert strip_html(escape(value)) == value
    assert "<" not in escape(value)


def test_values_are_escaped_wherever_they_join_markup() -> None:
    assert bold("a<b") == "<b>a&lt;b</b>"
    assert code("<x>") == "<code>&lt;x&gt;</code>"
    assert pre(["a < b", "c"]) == "<pre>a &lt; b\nc</pre>"
    assert pre("a & b") == "<pre>a &amp; b</pre>"
    assert bold("x") + " < 5" == "<b>x</b> &lt; 5"
    assert "5 > " + bold("x") == "5 &gt; <b>x</b>"
    assert lines("a<", None, "", bold("b"), 3) == "a&lt;\n\n<b>b</b>\n3"
    assert lines(f"{bold('x')} <y>") == "&lt;b&gt;x&lt;/b&gt; &lt;y&gt;"
    assert escape(escape("&")) == "&amp;"
    for html in (bold("x") + "y", "y" + bold("x"), lines("a"), Html(" ").join(["a", "b"])):
        assert type(html) is Html


def test_stripping_keeps_tables_and_unescapes_what_telegram_knows_once() -> None:
    html = lines(bold("P&L"), pre("IWM   +1.00%\nSPY  \u22122.00%"), "&lt;")
    assert strip_html(html) == "P&L\nIWM   +1.00%\nSPY  \u22122.00%\n&lt;"
    assert strip_html("&nbsp;&copy;&#65;&#x42;&quot;") == '&nbsp;&copy;AB"'
    assert visible_length("<b>a&amp;\U0001f4c8</b>\n") == 5  # UTF-16 units


def test_what_fits_the_visible_limit_is_one_unchanged_part() -> None:
    most = "x" * MESSAGE_LIMIT
    table = lines(bold("a"), pre("b\n\nc"), Html('<a href="https://example.org">d</a>'))
    for html in (table, most, bold("&" * MESSAGE_LIMIT)):
        assert split_html(html) == [html]
    assert split_html(most + "y") == split_html(most + "\ny") == [most, "y"]


@pytest.mark.parametrize(
    ("html", "limit", "parts"),
    [
        ("ab\ncd\nef", 5, ["ab\ncd", "ef"]),
        ("<pre>ab\ncd</pre>", 3, ["<pre>ab</pre>", "<pre>cd</pre>"]),
        ("<b>a<i>b\nc</i>d</b>", 3, ["<b>a<i>b</i></b>", "<b><i>c</i>d</b>"]),
        ('<a href="u">ab\ncd</a>', 2, ['<a href="u">ab</a>', '<a href="u">cd</a>']),
        ("<pre>ab</pre><pre>cd</pre>", 4, ["<pre>ab</pre><pre>cd</pre>"]),
        ("one two three", 9, ["one two ", "three"]),
        ("a&amp;&amp;b", 2, ["a&amp;", "&amp;b"]),
        ("a\U0001f4c8b", 2, ["a", "\U0001f4c8", "b"]),
        ("ab\n\n\n\ncd", 2, ["ab", "cd"]),
        ("a</b>b", 9, ["ab"]),
        ("<b>ab", 9, ["<b>ab</b>"]),
        ("", 9, []),
        (" \n ", 9, []),
    ],
)
def test_cuts(html: str, limit: int, parts: list[str]) -> None:
    assert split_html(html, limit) == parts


def test_limit_that_cannot_hold_a_character_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^a limit of 1 cannot hold every character$"):
        split_html("a", 1)


@given(MARKUP, st.integers(2, 60))
def test_parts_fit_are_balanced_and_lose_only_white_space_at_the_cuts(html: Html, limit: int) -> None:
    rest = strip_html(html)
    for part in split_html(html, limit):
        text = strip_html(part)
        assert utf16(text) <= limit
        assert text.strip()
        assert_balanced(part)
        skipped, match, rest = rest.partition(text)
        assert match == text
        assert not skipped.strip()
    assert not rest.strip()


@given(st.lists(st.text("ab ", min_size=1, max_size=9).filter(str.strip), min_size=1), st.integers(9, 30))
def test_lines_that_fit_are_never_cut(texts: list[str], limit: int) -> None:
    assert "\n".join(map(strip_html, split_html(pre(texts), limit))).split("\n") == texts


@given(st.dates())
def test_every_date_is_spelled_as_the_c_locale_does(day: dt.date) -> None:
    assert date_phrase(day) == f"{day:%a} {day.day} {day:%b} {day.year}"
    assert short_date(day) == f"{day.day} {day:%b} {day.year}"


HEADER = ("", "IWM", "SPY", "gap")


def row(label: str, small: float, large: float) -> list[str]:
    return [label, PERCENT.show(small), PERCENT.show(large), POINTS.show(small - large)]


@pytest.mark.parametrize(
    ("header", "rows", "text"),
    [
        (
            HEADER,
            [row("6m", 37.63, 20.41), row("1y", -16.51, 115.44)],
            [
                "        IWM       SPY        gap",
                "6m  +37.63%   +20.41%   +17.22pp",
                "1y  \u221216.51%  +115.44%  \u2212131.95pp",
            ],
        ),
        (  # one apart, where two would not fit
            HEADER,
            [row("Dec 31", -304.77, -128.70)],
            ["            IWM      SPY       gap", "Dec 31 \u2212304.77% \u2212128.70% \u2212176.07pp"],
        ),
        (  # a label that is too long for its column
            HEADER,
            [row("ytd", 14.87, 13.81), row("since 2009-12-31", 204.77, 228.70)],
            [
                "          IWM       SPY       gap",
                "ytd   +14.87%   +13.81%   +1.06pp",
                "since 2009-12-31",
                "     +204.77%  +228.70%  \u221223.93pp",
            ],
        ),
        (  # labels that are all too long
            ("CSV import", "answered", "up to"),
            [("IWM weights", "22 Nov 17:14", "31 Dec 2021")],
            ["CSV import", "      answered        up to", "IWM weights", "  22 Nov 17:14  31 Dec 2021"],
        ),
        (("", "SPY"), [("flow", None)], ["      SPY", "flow  n/a"]),
        (("fund", "units"), [], ["fund  units"]),
    ],
)
def test_labels_stand_left_or_above_figures_right(header: TableRow, rows: list[TableRow], text: list[str]) -> None:
    assert table(header, rows).split("\n") == text


@pytest.mark.parametrize(
    ("header", "cells", "message"),
    [
        (("fund", "a"), ("x", "9" * 34), "the table under ['fund', 'a'] does not fit 34 columns"),
        (("", "a"), ("x" * 35, "1"), "the table under ['', 'a'] does not fit 34 columns"),
        (("", "a"), ("x", "1", "2"), "every row needs 2 cells, as the header ['', 'a'] has"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(header: TableRow, cells: TableRow, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        table(header, [cells])


LABEL = st.text("abcdefgh 0123456789", min_size=1, max_size=16).map(str.strip).filter(bool)
FIGURE = st.floats(-999, 999).map(PERCENT.show)


@given(st.lists(st.tuples(LABEL, FIGURE, FIGURE), min_size=1, max_size=8))
def test_no_line_is_wider_than_the_phone_and_no_cell_is_lost(rows: list[tuple[str, str, str]]) -> None:
    grid, text = [("w", "IWM", "SPY"), *rows], table(("w", "IWM", "SPY"), rows)
    assert max(map(len, text.split("\n"))) <= TABLE_WIDTH
    assert text.split() == " ".join(cell for cells in grid for cell in cells).split()
    figures = [line for line in text.split("\n") if line.endswith(("%", "SPY"))]
    assert len(figures) == len(grid)
    assert len({len(line) for line in figures}) == 1


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
    text, (thousands, point) = f"{value:,.2f}", NUMBERS[numbers]
    block = localized(pre([text, "x"]), numbers)
    assert len(block) == len(pre([text, "x"]))
    back = block.replace(thousands, "").replace(point, ".")
    assert float(back.removeprefix("<pre>").split("\n")[0]) == float(text.replace(",", ""))
