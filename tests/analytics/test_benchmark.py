from __future__ import annotations

import numpy as np
import pytest

from benchmarks.metrics import made_up_market, timings
from bot.analytics.metrics import METRICS


def test_every_metric_is_timed() -> None:
    found = list(timings(made_up_market(sessions=300), repeats=1))
    assert [timing.name for timing in found] == list(METRICS)
    assert all(timing.milliseconds > 0 for timing in found)
    assert all(timing.ratio > 0 for timing in found)


@pytest.mark.parametrize("name", METRICS)
def test_there_is_something_to_time(name: str) -> None:
    market = made_up_market(sessions=5_300)
    history = METRICS[name].history(market, METRICS[name].defaults())
    assert np.isfinite(history.to_numpy()).sum() > 1_500
