"""What a layout's reader finds in a file, before it is checked whose it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class IssuerFigures:
    """Figures of one fund by session; `fund` is what the file itself calls it, "" where it does not."""

    issuer: str
    layout: str
    fund: str
    ticker: str | None  # of that fund, when it is known
    facts: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    distributions: Mapping[str, float] = field(default_factory=dict)
    holdings: str = ""  # session of the sector weights
    sectors: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
