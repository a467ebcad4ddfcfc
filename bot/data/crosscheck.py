"""Compares two sources of closes: whether one may fill the other's gaps, and how far they disagree.

Two vendors give the same close of a session up to rounding. Where they do not, one of them is
wrong, or has not seen a split yet. So a source is joined to another only where enough of the sessions
that both have agree, and every disagreement is reported.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bot.analytics.dates import short_date
from bot.analytics.market import Dispute
from bot.text import counted

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

SESSIONS = 20  # that both must have before their agreement is judged
TOLERANCE = 1e-3  # closes of one session at two vendors differ by less than 10 bp
AGREEING = 0.99  # of the sessions that both have


@dataclass(frozen=True)
class PriceComparison:
    """Closes of `other` against those of `lead` on the sessions that both have."""

    shared: int
    disagreeing: tuple[pd.Timestamp, ...] = ()  # sessions further apart than TOLERANCE, in order
    worst: pd.Timestamp | None = None  # of these, where they are furthest apart
    difference: float = 0.0  # on that session, relative to the lead's close

    @property
    def joins(self) -> bool:
        """Whether the one may fill sessions that the other lacks."""
        return self.shared >= SESSIONS and len(self.disagreeing) <= (1 - AGREEING) * self.shared

    def describe(self, lead: str, other: str) -> str | None:
        """The disagreement in a sentence, or that too few sessions are shared. Returns None if they agree.

        >>> PriceComparison(3).describe("Yahoo", "daily CSV")
        'daily CSV and Yahoo share 3 sessions; they are compared from 20 on.'
        """
        if self.shared < SESSIONS:
            sessions = counted(self.shared, "session")
            return f"{other} and {lead} share {sessions}; they are compared from {SESSIONS} on."
        if self.worst is None:
            return None
        count = f"{len(self.disagreeing):,} of {self.shared:,} sessions"
        worst = f"worst {short_date(self.worst)} by {abs(self.difference) * 1e4:,.0f} bp"
        gaps = "" if self.joins else "; it fills no gaps"
        return f"{other} disagrees with {lead} on {count}, {worst}{gaps}."


def compare_closes(lead: pd.Series, other: pd.Series) -> PriceComparison:
    """Compare two series of positive closes in the same units. NaN means no close."""
    apart = (other / lead - 1).dropna()
    far = _differences(apart)
    if far.empty:
        return PriceComparison(len(apart))
    worst = far.abs().idxmax()
    return PriceComparison(len(apart), tuple(far.index), worst, float(far[worst]))


def _differences(apart: pd.Series) -> pd.Series:
    """The differences that are more than rounding, in order of sessions."""
    return apart[apart.abs() >= TOLERANCE].sort_index()


def disputes(
    ticker: str, closes: Mapping[str, pd.Series], labels: Mapping[str, str], lead: str
) -> list[Dispute]:
    """The sessions on which another source disagrees with the lead, for each that shares enough of them."""
    result = []
    for name, other in closes.items():
        apart = (other / closes[lead] - 1).dropna()
        if name != lead and len(apart) >= SESSIONS and len(far := _differences(apart)):
            result.append(Dispute(ticker, labels.get(lead, lead), labels.get(name, name), far))
    return result


def leading_source(closes: Mapping[str, pd.Series]) -> str:
    """The source that leads: the first one, unless another has so many more sessions that it is the history.

    `closes` are in order of preference. A few sessions that the preferred source dropped are filled
    from another; they do not make the other one the lead, and answers do not change their source by them.
    """
    first = next(iter(closes))
    longest = max(closes, key=lambda name: len(closes[name]))
    return longest if len(closes[longest]) >= len(closes[first]) + SESSIONS else first


def disagreement_notes(
    ticker: str, closes: Mapping[str, pd.Series], labels: Mapping[str, str], lead: str | None = None
) -> list[str]:
    """Disagreements of every other source with the lead, a sentence each: "IWM: daily CSV disagrees ..."."""
    if not closes:
        return []
    lead = lead or leading_source(closes)
    sentences = (
        compare_closes(closes[lead], other).describe(labels.get(lead, lead), labels.get(name, name))
        for name, other in closes.items()
        if name != lead
    )
    return [f"{ticker}: {sentence}" for sentence in sentences if sentence]
