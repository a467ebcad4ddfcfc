"""What the ratio did after a rule fired: median move and share of rises, with n."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

HORIZONS = (5, 20, 60)  # sessions: a week, a month, a quarter


@dataclass(frozen=True)
class Outcome:
    """Moves of the ratio over `horizon` sessions from the close of each fire; percent.

    n counts the fires that lie far enough back; with none, median and rose are None. `base` is the
    median move over the same horizon from every session of the span, to compare with.
    """

    horizon: int
    n: int
    median: float | None
    rose: float | None  # percent of the fires after which the ratio stood higher
    base: float | None


def outcomes(
    dates: Sequence[dt.date], ratio: pd.Series, since: dt.date, horizons: Sequence[int] = HORIZONS
) -> list[Outcome]:
    """Outcome of each horizon for fires on `dates`; `ratio` on sessions, the span begins at `since`."""
    fired = ratio.index.isin(pd.DatetimeIndex([pd.Timestamp(day) for day in dates]))
    inside = ratio.index >= pd.Timestamp(since)
    by_horizon = []
    for horizon in horizons:
        moved = (100 * (ratio.shift(-horizon) / ratio - 1)).to_numpy()
        after = moved[fired & ~np.isnan(moved)]
        all_after = moved[inside & ~np.isnan(moved)]
        by_horizon.append(
            Outcome(
                horizon,
                len(after),
                float(np.median(after)) if len(after) else None,
                float(100 * np.mean(after > 0)) if len(after) else None,
                float(np.median(all_after)) if len(all_after) else None,
            )
        )
    return by_horizon
