"""Figures a share before and after a split: which of them are in old units, and by how much they differ.

Sources rewrite their whole history at a split, or some days later, and what was observed is stored as it was
given. So a figure observed before the split is in old units and a later one in new ones, unless the levels
around the split tell otherwise: where they fall by its ratio they were not rewritten yet, and where nothing
falls there was no such split at this source.

Sessions are texts in ISO form, instants as in storage.
"""

import datetime as dt
import math
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from bot.data.provider import LABELS

# By session of a split, whether figures from before it are in old units: those observed before, those later.
SplitUnits: TypeAlias = Mapping[str, tuple[bool, bool]]
Level: TypeAlias = tuple[str, str, float]  # session, instant, dollars a share

PREFERENCE = {name: place for place, name in enumerate(LABELS)}  # of sources
_NEAR = 14  # days: levels this near to a split are held against it; the market's own moves are as large
# A ratio nearer to one than this (log) cannot be distinguished from a move of the market.
_TELLING = math.log(1.25)


def preferred(source: str) -> int:
    """The place of a source in the order of preference."""
    return PREFERENCE.get(source, len(PREFERENCE))


def ratios_by_session(splits: Iterable[tuple[str, str, float | None]]) -> dict[str, float]:
    """Ratios by session, from any source as a file may have none. `splits`: source, session, ratio."""
    ratios: dict[str, float] = {}
    for _, session, ratio in sorted(splits, key=lambda split: preferred(split[0])):
        if ratio is not None and 0 < ratio < math.inf:  # 0:1 is no split
            ratios.setdefault(session, ratio)
    return ratios


def classify_splits(levels: Iterable[Level], splits: Mapping[str, float]) -> SplitUnits:
    """Whether levels of one source, in order of sessions, are in old units before each split."""
    levels = list(levels)
    units = {}
    for session, ratio in splits.items():
        after = next((level for level in levels if level[0] >= session), None)
        before = [level for level in levels if level[0] < session]
        early = [level for level in before if level[1][:10] < session][-1:]
        late = [level for level in before if level[1][:10] >= session][-1:]
        units[session] = (
            _is_in_old_units(early, after, session, ratio, otherwise=True),
            _is_in_old_units(late, after, session, ratio, otherwise=False),
        )
    return units


def _is_in_old_units(last: list[Level], after: Level | None, session: str, ratio: float, *, otherwise: bool) -> bool:
    """Whether the last level before a split is in old units, seen from the first level after it."""
    if not last or after is None or abs(math.log(ratio)) < _TELLING:
        return otherwise
    if max(days_between(last[0][0], session), days_between(session, after[0])) > _NEAR:
        return otherwise
    fall = math.log(last[0][2] / after[2])
    return abs(fall - math.log(ratio)) < abs(fall)


def unit_factors(rows: Iterable[tuple[str, str]], splits: Mapping[str, float], split_units: SplitUnits) -> list[float]:
    """How many of today's shares one share of each row was. `rows`: session, instant."""
    factors = []
    for day, observed_at in rows:
        factor = 1.0
        for session, ratio in splits.items():
            early, late = split_units.get(session, (True, False))
            if day < session and (early if observed_at[:10] < session else late):
                factor *= ratio
        factors.append(factor)
    return factors


def days_between(first: str, last: str) -> int:
    """Calendar days from one session to another."""
    return (dt.date.fromisoformat(last) - dt.date.fromisoformat(first)).days
