"""How numbers look in a chat: the marks between thousands and before decimals, as it has chosen."""

from __future__ import annotations

import re

from bot.rendering.text import Html

# Ways to write a number, by an example of each: the marks between thousands and before decimals. All are
# one character, so that tables keep their columns; the space does not break.
NUMBERS: dict[str, tuple[str, str]] = {
    "1,234.5": (",", "."),
    "1.234,5": (".", ","),
    "1 234,5": ("\u00a0", ","),
    "1'234.5": ("'", "."),
}
USUAL = "1,234.5"
# Not numbers to be rewritten: what is to be typed or was typed (code, quotes), markup, versions.
_NUMBER = re.compile(
    r"<code>.*?</code>|“[^”]*”|<[^<>]*>"
    r"|(?<![\w.,#&])(?P<whole>\d{1,3}(?:,\d{3})+|\d+)(?P<part>\.\d+)?(?!\d|[.,]\d)",
    re.DOTALL,
)


def localized(html: Html, numbers: str | None) -> Html:
    """Write the numbers of a text in one of NUMBERS (None: USUAL). Commands and quotations stay."""
    if numbers is None or numbers == USUAL or numbers not in NUMBERS:
        return html
    thousands, point = NUMBERS[numbers]

    def rewrite(match: re.Match[str]) -> str:
        if match["whole"] is None:
            return match[0]
        return match["whole"].replace(",", thousands) + (match["part"] or "").replace(".", point)

    return Html(_NUMBER.sub(rewrite, html))
