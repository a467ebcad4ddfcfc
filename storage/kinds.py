"""Kinds of observation: the table of each, what a row is about, and what it says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Kind:
    """One kind of observation: its table, what a row is about, what it says, and where it may be silent."""

    table: str
    key: tuple[str, ...]  # `source` belongs to every key besides
    values: tuple[str, ...]
    figures: tuple[str, ...]  # values that answers are made of: a change of one is a restatement
    defaults: Mapping[str, object] = field(default_factory=dict)

    @property
    def session(self) -> str:
        """The column that dates a row: the second of every key."""
        return self.key[1]

    @property
    def whole_key(self) -> tuple[str, ...]:
        """The key columns with the source."""
        return (*self.key, "source")


KINDS: dict[str, Kind] = {
    kind.table: kind
    for kind in (
        Kind(
            "bars",
            ("ticker", "session"),
            ("open", "high", "low", "close", "volume", "provisional"),
            ("close",),
            {"provisional": 0},
        ),
        Kind("distributions", ("ticker", "ex_date"), ("amount",), ("amount",)),
        Kind("splits", ("ticker", "session"), ("ratio",), ("ratio",)),
        Kind("fund_facts", ("ticker", "session"), ("nav", "shares", "assets"), ("nav", "shares", "assets")),
        Kind(
            "multiples",
            ("ticker", "session", "metric", "convention", "basis"),
            ("value", "holdings_date", "price_date", "coverage"),
            ("value",),
        ),
        Kind(
            "sector_weights",
            ("ticker", "session", "level", "sector"),
            ("weight",),
            ("weight",),
            {"level": "sector"},
        ),
    )
}
