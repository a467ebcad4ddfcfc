"""Bounds of fund facts: what lies outside is another column, another unit or a slip, not a figure of a fund.

There are upper bounds only. An issuer's own garbage is small (a count of 150,000 units in 2007) and is
kept as it was published; judging it is the flows' business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.data.cells import BadCell

if TYPE_CHECKING:
    from collections.abc import Mapping

LARGEST = {
    "nav": 1e5,  # dollars a unit: funds keep theirs tradable, in the hundreds
    "shares": 1e11,  # units: a hundred times those of SPY, about one billion
    "assets": 1e13,  # dollars: what all ETFs of the US held together at the end of 2024 (ICI)
}


def check_facts(values: Mapping[str, float | None]) -> None:
    """Raise BadCell if NAV, share count or assets, or NAV times shares, cannot be a fund's."""
    for name, largest in LARGEST.items():
        value = values.get(name)
        if value is not None and value > largest:
            raise BadCell(f"{name} {value:,.15g} is above {largest:,.0f}, more than any fund has")
    nav, shares = values.get("nav"), values.get("shares")
    if nav and shares and nav * shares > LARGEST["assets"]:
        raise BadCell(
            f"nav {nav:,.15g} times shares {shares:,.15g} is above {LARGEST['assets']:,.0f} dollars, "
            "more than any fund has"
        )
