"""Units of shares across splits: which stored figures are still in those of before a split.

Sources rewrite their whole history at a split, or some days later, and what was observed is stored as it
was said. So a figure observed before the split is in old units and a later one in new ones, unless the
levels around the split tell otherwise: where they fall by its ratio they were not rewritten yet, and where
nothing falls there was no such split at this source.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeAlias

import pandas as pd

# Levels this near to a split are held against it; farther away the market's own moves are as large.
_NEAR = pd.Timedelta(days=14)
# A ratio nearer to one than this (log) cannot be distinguished from a move of the market.
_TELLING = math.log(1.25)

# By session of a split, whether figures from before it are in old units: those observed before, those later.
SplitJudgements: TypeAlias = Mapping[pd.Timestamp, tuple[bool, bool]]


def judge_splits(levels: pd.Series, observed: pd.Series, splits: pd.Series) -> SplitJudgements:
    """Whether levels per share (closes, NAVs) of one source are in old units before each split.

    The index of `levels` are sessions in order, `observed` are instants as text, `splits` ratios by session.
    """
    levels = levels.dropna()
    early = {session: _observed_before(observed.reindex(levels.index), session) for session in splits.index}
    return {
        session: (
            _is_in_old_units(levels[early[session]], levels, session, ratio, otherwise=True),
            _is_in_old_units(levels[~early[session]], levels, session, ratio, otherwise=False),
        )
        for session, ratio in splits.items()
    }


def unit_factors(observed: pd.Series, splits: pd.Series, judged: SplitJudgements) -> pd.Series:
    """How many of today's shares one share of a row was, by session."""
    factor = pd.Series(1.0, observed.index)
    for session, ratio in splits.items():
        early_old, late_old = judged.get(session, (True, False))
        early = _observed_before(observed, session)
        old = (early & early_old) | (~early & late_old)
        factor = factor.where(~(old & (observed.index < session)), factor * ratio)
    return factor


def _observed_before(observed: pd.Series, session: pd.Timestamp) -> pd.Series:
    """Which rows were observed before the day of a split."""
    return observed.str[:10] < f"{session:%Y-%m-%d}"


def _is_in_old_units(
    some: pd.Series, levels: pd.Series, session: pd.Timestamp, ratio: float, *, otherwise: bool
) -> bool:
    """Whether the last of some levels before a split is in old units, seen from the first level after it."""
    before, after = some[some.index < session], levels[levels.index >= session]
    if before.empty or after.empty or abs(math.log(ratio)) < _TELLING:
        return otherwise
    if session - before.index[-1] > _NEAR or after.index[0] - session > _NEAR:
        return otherwise
    fall = math.log(before.iloc[-1] / after.iloc[0])
    return abs(fall - math.log(ratio)) < abs(fall)
