"""Notices about missing data: figures that a chat's alerts read stop coming, or are back."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bot.alerts.bars import PATIENCE
from bot.analytics.freshness import newest
from bot.rendering.answer import SAMPLE, Answer
from bot.rendering.text import Html, bold, code, date_phrase, lines, short_date

if TYPE_CHECKING:
    from bot.analytics.market import Market

_SHOWN = 5
_BUTTONS = ((("Status", "/status"), ("Alerts", "/alerts")),)


@dataclass(frozen=True)
class DataGap:
    """A part that lacks figures from a session on, or did and has them again up to its newest one."""

    part: str
    since: dt.date
    newest: dt.date | None
    frozen: bool = False  # its sessions come, and all with the same figure
    holed: bool = False  # sessions are missing still, for which alerts wait


@dataclass(frozen=True)
class WaitingAlert:
    """An alert that reads a part: its number and rule."""

    number: int
    rule: str


def part_name(part: str) -> str:
    """A part of the Market in words: "prices", "share counts of IWM", "multiples"."""
    kind, _, ticker = part.partition(":")
    return f"share counts of {ticker}" if kind == "facts" else kind


def outage_notice(gaps: Sequence[DataGap], affected: Sequence[WaitingAlert], market: Market) -> Answer:
    """The notice that figures stopped coming: which, since when, and the alerts that wait for them."""
    html = lines(
        bold(f"Data stale: {_names(gaps)}"),
        *(_since(gap, market) for gap in gaps),
        "Until they come these alerts wait; nothing fires and nothing re-arms:",
        *_listed(affected),
        "One message comes when they are back.",
    )
    return Answer(html, buttons=_BUTTONS)


def waiting_note(parts: Sequence[str], market: Market) -> str | None:
    """A note for a new alert whose data is missing, None if nothing is."""
    if not parts:
        return None
    known = {part: newest(market, part) for part in parts}
    ends = [f"{part_name(part)} to {short_date(last)}" for part, last in known.items() if last is not None]
    return f"Data stale: {', '.join(ends)}. It waits; one message comes when they are back."


def recovery_notice(gaps: Sequence[DataGap], market: Market) -> Answer:
    """The notice that figures are back: which, up to when, and what is still missing between."""
    html = lines(
        bold(f"Data back: {_names(gaps)}"),
        *(_reaches(gap, market) for gap in gaps),
        f"What is missing between is waited for, {PATIENCE} sessions at most, before alerts go on."
        if any(gap.holed for gap in gaps)
        else "The sessions that came are judged in their order.",
    )
    return Answer(html, buttons=_BUTTONS)


def _names(gaps: Sequence[DataGap]) -> str:
    return ", ".join(part_name(gap.part) for gap in gaps)


def _since(gap: DataGap, market: Market) -> str:
    if gap.frozen and gap.newest is not None:
        return (
            f"The count has not moved since {date_phrase(gap.newest)}. Source: {_source(gap.part, market)}."
        )
    last = f"The last are for {date_phrase(gap.newest)}" if gap.newest is not None else "There are none"
    return f"{last}; {date_phrase(gap.since)} is missing. Source: {_source(gap.part, market)}."


def _reaches(gap: DataGap, market: Market) -> str:
    last = date_phrase(gap.newest) if gap.newest is not None else "an unknown session"
    began = f"after {date_phrase(gap.since)} was missing"
    return f"They are there up to {last}, {began}. Source: {_source(gap.part, market)}."


def _source(part: str, market: Market) -> str:
    return f"{market.source(part).label}{f' ({SAMPLE})' if market.is_sample else ''}"


def _listed(affected: Sequence[WaitingAlert]) -> list[Html | str]:
    shown: list[Html | str] = [
        Html("").join((f"#{alert.number} ", code(alert.rule))) for alert in affected[:_SHOWN]
    ]
    more = len(affected) - _SHOWN
    return [*shown, f"... and {more} more, /alerts"] if more > 0 else shown
