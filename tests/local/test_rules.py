from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.local.rules import html_fault
from bot.rendering.text import escape


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("plain &lt; text", None),
        ('<a href="https://x.test/?a>b">link</a>', None),
        ("<B>x</b>", None),
        ('<pre><code class="language-python">x</code></pre>', None),
        ("1 < 2", 'Unsupported start tag "" at byte offset 2'),
        ("é<div>x</div>", 'Unsupported start tag "div" at byte offset 2'),
        ("x<b", "Unclosed start tag at byte offset 1"),
        ("<b>x</b", "Unclosed end tag at byte offset 4"),
        ("x</b>", "Unexpected end tag at byte offset 1"),
        ("<b><i>x</b></i>", 'Unmatched end tag at byte offset 7, expected "</i>", found "</b>"'),
        ("<b><i>x</i>", 'Can\'t find end tag corresponding to start tag "b"'),
    ],
)
def test_broken_tags_are_named_with_their_byte_offset(text: str, fault: str | None) -> None:
    assert html_fault(text) == fault


@given(st.text())
def test_escaped_text_is_never_broken(text: str) -> None:
    assert html_fault(f"<b>{escape(text)}</b>") is None
