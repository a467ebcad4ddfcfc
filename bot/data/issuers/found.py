"""The figures read from an issuer's file, before it is checked which fund it is of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class IssuerFigures:
    """Figures of one fund by session. `fund` is its name in the file, "" if the file has none."""

    issuer: str
    layout: str
    fund: str
    ticker: str | None  # of that fund, when it is known
    facts: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    distributions: Mapping[str, float] = field(default_factory=dict)
    holdings: str = ""  # session of the sector weights
    sectors: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
