import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.local.botapi import EntityError, command_entities, parse_html
from bot.messages.html import escape


@pytest.mark.parametrize(
    ("html", "plain", "entities"),
    [
        ("<b>a<i>b</i></b>", "ab", [("bold", 0, 2), ("italic", 1, 1)]),
        ("<code>c</code >!", "c!", [("code", 0, 1)]),
        ("<pre><code>t</code></pre>", "t", [("pre", 0, 1), ("code", 0, 1)]),
        ("\U0001f600<i>\U0001f600</i>!", "\U0001f600\U0001f600!", [("italic", 2, 2)]),
        ("&#8722;1 &quot;&gt;", '−1 ">', []),
        ("<B>x</b>", "x", [("bold", 0, 1)]),
        ("<b>x</>", "x", [("bold", 0, 1)]),
        ("<b></b>x", "x", []),
        ("<blockquote expandable>q</blockquote>", "q", [("expandable_blockquote", 0, 1)]),
    ],
)
def test_html_becomes_text_and_entities(html: str, plain: str, entities: list[tuple[str, int, int]]) -> None:
    text, parsed = parse_html(html)
    assert text == plain
    assert [(entity["type"], entity["offset"], entity["length"]) for entity in parsed] == entities


@pytest.mark.parametrize(
    ("html", "reason"),
    [
        ("<b>x", 'Can\'t find end tag corresponding to start tag "b"'),
        ("<b><i>x</i>", 'Can\'t find end tag corresponding to start tag "b"'),
        ("x</b>", "Unexpected end tag at byte offset 1"),
        ("<b>x</b", "Unclosed end tag at byte offset 4"),
        ("<b>x</b y>", "Unclosed end tag at byte offset 4"),
        ("<b><i>x</b></i>", 'Unmatched end tag at byte offset 7, expected "</i>", found "</b>"'),
        ("é<div>x</div>", 'Unsupported start tag "div" at byte offset 2'),
        ("a < b", 'Unsupported start tag "" at byte offset 2'),
        ("a < b > c", 'Unsupported start tag "" at byte offset 2'),
        ("1 <2", "Unclosed start tag at byte offset 2"),
        ("x<b", "Unclosed start tag at byte offset 1"),
        ("x<b ", 'Unclosed start tag "b", or one with attributes, at byte offset 1'),
        ("x<i y>z</i>", 'Unclosed start tag "i", or one with attributes, at byte offset 1'),
        ('<a href="x">y</a>', 'Unsupported start tag "a" at byte offset 0'),
        ("S&P", 'Unescaped "&" at byte offset 1'),
        ("a&nbsp;b", 'Unescaped "&" at byte offset 1'),
        ("<pre><b>y</b></pre>", 'Tag "b" inside "pre" at byte offset 5'),
        ("<code><b>y</b></code>", 'Tag "b" inside "code" at byte offset 6'),
        ("<blockquote expandable><pre>", 'Tag "pre" inside "blockquote" at byte offset 23'),
        ("<pre><blockquote expandable>", 'Tag "blockquote" inside "pre" at byte offset 5'),
        ("<blockquote>", 'Unclosed start tag "blockquote", or one with attributes, at byte offset 0'),
    ],
)
def test_broken_html_is_refused_with_its_byte_offset(html: str, reason: str) -> None:
    with pytest.raises(EntityError) as error:
        parse_html(html)
    assert str(error.value) == reason


@given(st.text())
def test_escaped_text_is_never_broken(text: str) -> None:
    assert parse_html(f"<b>{escape(text)}</b>")[0] == text


@given(st.text(alphabet="<>/&;=\"' abip-#1x", max_size=30))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        plain, _ = parse_html(text)
    except EntityError:
        return
    assert len(plain) <= len(text)


@pytest.mark.parametrize(
    ("line", "commands"),
    [
        ("/alert ratio ≥ 1 😀", [(0, 6)]),
        ("😀é /help", [(4, 5)]),
        ("/compare@small_large_bot 6m", [(0, 24)]),
        ("1/2 and a/b, //x", []),
        ("/сравни", []),
        ("6 months", []),
    ],
)
def test_commands_are_marked_in_utf16_offsets(line: str, commands: list[tuple[int, int]]) -> None:
    entities = command_entities(line)
    assert [(entity["offset"], entity["length"]) for entity in entities] == commands
    assert {entity["type"] for entity in entities} <= {"bot_command"}
