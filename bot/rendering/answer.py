"""The answer to a command, and the lines that all answers share: date, age, source, sample label."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from bot.analytics.freshness import require_end
from bot.analytics.units import PERCENT
from bot.rendering.numbers import localized
from bot.rendering.text import (
    Html,
    age_phrase,
    bold,
    date_phrase,
    lines,
    session_phrase,
    short_date,
    strip_html,
)
from bot.text import counted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bot.analytics.market import Market
    from bot.analytics.windows import AsOf
    from bot.rendering.charts import ChartSpec

Button = tuple[str, str]  # label, and the command line it stands for
# A button carries the command line it stands for, so what it may touch is checked as if it were typed.
# EDIT in front: the answer takes the message's place; REPLY: it is a message of its own, because what
# was pushed (an alert) must not vanish.
EDIT, REPLY = "e", "r"
_BESIDE = re.compile(r"/alert \d+ (?:chart|test)")
MOST_DATA = 64  # bytes of a button's data
SAMPLE = "Sample data: simulated between published points, not the market."


@dataclass(frozen=True)
class Attachment:
    """A file that is sent below the text."""

    name: str
    content: bytes


@dataclass(frozen=True)
class Answer:
    """A reply: text, a chart that is drawn when it is sent, rows of buttons, a file."""

    html: Html
    draw: ChartSpec | None = None
    name: str = "chart"  # of the picture's file
    buttons: tuple[tuple[Button, ...], ...] = ()
    attachment: Attachment | None = None


def in_rows(buttons: Sequence[Button], width: int) -> tuple[tuple[Button, ...], ...]:
    """Buttons side by side, `width` in a row."""
    return tuple(tuple(buttons[at : at + width]) for at in range(0, len(buttons), width))


def button_rows(rows: Sequence[Sequence[Button]], prefix: str) -> list[list[tuple[str, str]]]:
    """Label and data of each button. A command too long for a button is left out."""
    kept = [
        [
            (label, _prefix(line, prefix) + line)
            for label, line in row
            if len((prefix + line).encode()) <= MOST_DATA
        ]
        for row in rows
    ]
    return [row for row in kept if row]


def payload_of(
    answer: Answer, prefix: str, *, silent: bool = False, numbers: str | None = None
) -> dict[str, object]:
    """An answer as a message of the outbox: its text, the same without markup, its buttons."""
    html = localized(answer.html, numbers)
    return {
        "html": html,
        "plain": strip_html(html),
        "buttons": button_rows(answer.buttons, prefix),
        "silent": silent,
    }


def _prefix(line: str, prefix: str) -> str:
    """REPLY for an alert's chart and test, which are sent below its card, else the given prefix."""
    return REPLY if _BESIDE.fullmatch(line) else prefix


def heading(title: str, market: Market, asked: AsOf, *, priced: bool = True) -> Html:
    """First lines of an answer: what, for which close, how old, and whether it is sample data.

    An answer made of prices (`priced`) also says if two sources of them disagree. Raises NoData if no
    session has a close of both funds.
    """
    end = require_end(market)
    behind = market.behind(end)
    asof = None
    if asked.asof is not None and asked.asof != end:
        asof = f"Asked for {date_phrase(asked.asof)}; the last close before it is used."
    return lines(
        bold(title) + f" · {session_phrase(end)}",
        bold(
            f"Stale: {age_phrase(behind)}; the last completed session is "
            f"{date_phrase(market.last_completed)}."
        )
        if behind
        else None,
        asof,
        f"As known on {date_phrase(asked.known)}." if asked.known is not None else None,
        *(_disputes(market) if priced else ()),
        _holes(market),
        bold(SAMPLE) if market.is_sample else None,
    )


def _disputes(market: Market) -> list[str]:
    """How much and how often sources of prices differed in the last year, a line per pair of sources."""
    begin = require_end(market) - pd.DateOffset(years=1)
    pairs: dict[tuple[str, str], list[pd.Series]] = {}
    for dispute in market.disputes:
        recent = dispute.apart[dispute.apart.index > begin]
        if len(recent):
            pairs.setdefault((dispute.used, dispute.other), []).append(recent.abs())
    sentences = []
    for (used, other), apart in pairs.items():
        together = pd.concat(apart)
        count, most = together.index.nunique(), PERCENT.show(100 * float(together.max())).lstrip("+")
        sentences.append(
            f"Prices of {used} and {other} differ by up to {most} on {counted(count, 'session')}, last "
            f"{short_date(together.index.max())}; {used} is used: /status"
        )
    return sentences


def _holes(market: Market) -> str | None:
    """A note if sessions of the last year are missing, because windows in days count the stored ones."""
    end = require_end(market)
    gaps = market.missing
    gaps = gaps[(gaps < end) & (gaps > end - pd.DateOffset(years=1))]
    if not len(gaps):
        return None
    count = counted(len(gaps), "session")
    return f"{count} of the last year missing, last {short_date(gaps[-1])}; days are counted without."


def sources(parts: Mapping[str, str]) -> str:
    """One line that names the source of each part, equal ones together: "Source: Yahoo (prices, flows)."."""
    by_label: dict[str, list[str]] = {}
    for part, label in parts.items():
        if label and label != "no data":
            by_label.setdefault(label, []).append(part)
    if not by_label:
        return "Source: none."
    if len(by_label) == 1:
        return f"Source: {next(iter(by_label))}."
    return "Sources: " + "; ".join(f"{label} ({', '.join(names)})" for label, names in by_label.items()) + "."
