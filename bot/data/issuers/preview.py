"""The contents of an issuer's file: its rows by kind of storage, and their preview."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bot.text import counted, listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bot.data.provider import Observations


@dataclass(frozen=True)
class IssuerPreview:
    """What was read, left out and looks wrong. `sentences` is for people."""

    layout: str  # "iShares fund workbook"
    ticker: str
    parts: tuple[str, ...] = ()  # what would be stored, each counted and dated
    closed: tuple[str, ...] = ()  # dates of rows left out because there was no session
    empty: int = 0  # rows left out because they hold no value
    unequal: tuple[str, ...] = ()  # sessions on which NAV x shares is not the assets
    off_market: tuple[str, ...] = ()  # sessions with a NAV far from the market price, and how far
    notes: tuple[str, ...] = ()  # sentences on what the file does not give

    def sentences(self) -> list[str]:
        """The preview, a sentence each: what there is, what was left out, what looks wrong."""
        sentences = [f"{self.ticker}, {self.layout}: {'; '.join(self.parts) or 'nothing to store'}."]
        if self.closed:
            sentences.append(f"Left out, no session on that day: {listed(self.closed)}.")
        if self.empty:
            sentences.append(f"Left out, without a value: {counted(self.empty, 'row')}.")
        if self.off_market:
            sentences.append(off_market_sentence(self.off_market))
        if self.unequal:
            sentences.append(
                f"NAV × shares is not the total assets, stored as given: {listed(self.unequal)}."
            )
        return [*sentences, *self.notes]


@dataclass(frozen=True)
class IssuerContents:
    """A file as read. It has all distributions between its first and last one, or none at all."""

    observations: Observations
    preview: IssuerPreview


def content_summary(observations: Observations) -> tuple[str, ...]:
    """Rows of each kind, counted and dated: "fund facts of 3 sessions, 2025-02-03 to 2025-02-05"."""
    facts, paid, weights = (
        observations.get(kind, ()) for kind in ("fund_facts", "distributions", "sector_weights")
    )
    parts = []
    if facts:
        dates = sorted(row["session"] for row in facts)
        parts.append(f"fund facts of {counted(len(facts), 'session')}, {_span(dates)}")
    if paid:
        parts.append(f"{counted(len(paid), 'distribution')}, {_span(sorted(row['ex_date'] for row in paid))}")
    if weights:
        parts.append(f"weights of {counted(len(weights), 'sector')} as of {weights[0]['session']}")
    return tuple(parts)


def off_market_sentence(sessions: Sequence[str]) -> str:
    """A sentence on NAVs far from the market price."""
    return f"NAV more than 5% off the market price, stored as given: {listed(sessions)}."


def _span(dates: Sequence[str]) -> str:
    return dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"
