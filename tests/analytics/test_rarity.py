import math

import pandas as pd
import pytest

from bot.analytics.rarity import Kind, highest_since, rarities, streak
from tests.messages.pages import days, market

NAN = math.nan


@pytest.mark.parametrize(
    ("values", "sessions", "since"),
    [
        ([], 0, None),
        ([1.0], 0, None),
        ([1.0, NAN], 0, None),
        ([1.0, 2.0], 1, None),
        ([3.0, 1.0, 1.0, 2.0], 3, 0),
        ([3.0, 2.0, 1.0, 2.0], 2, 1),  # as high is no new high
        ([3.0, NAN, 1.0, 2.0], 2, 0),
        ([3.0, 2.0], 1, 0),
    ],
)
def test_since_when_a_value_is_the_highest(values: list[float], sessions: int, since: int | None) -> None:
    series = pd.Series(values, days(len(values)), dtype="float64")
    assert highest_since(series) == (None if since is None else series.index[since], sessions)


@pytest.mark.parametrize(
    ("values", "length", "share"),
    [
        ([], 0, 1.0),
        ([1.0, 0.0], 0, 1.0),
        ([1.0, NAN], 0, 1.0),
        ([-1.0, 2.0, 1.0, -1.0, -2.0], -2, 0.2),
        ([1.0, NAN, 2.0, 1.0], 2, 0.25),
        ([1.0, 1.0, 1.0, -1.0, 1.0], 1, 0.8),
    ],
)
def test_how_long_and_how_rare_a_streak_is(values: list[float], length: int, share: float) -> None:
    assert streak(pd.Series(values, dtype="float64")) == (length, share)


def kinds(levels: list[float]) -> list[Kind]:
    return [row.kind for row in rarities(market(levels))]


def test_a_level_as_high_since_the_same_month_is_rare_once() -> None:
    levels = [60.0, *[50.0, 50.1] * 40]
    assert Kind.RATIO in kinds([*levels, 50.3])
    assert Kind.RATIO not in kinds([*levels, 50.3, 50.4])
    assert Kind.RATIO in kinds([*levels, 50.3, 50.4, 61.0])


def test_a_streak_is_rare_when_it_becomes_so_and_five_sessions_later() -> None:
    levels = [50.0 + 5 * (-1) ** number for number in range(400)]
    told = []
    for _ in range(12):
        levels.append(levels[-1] * 0.999)
        told.append([row.value for row in rarities(market(levels)) if row.kind is Kind.LEADS])
    assert told == [[-2.0], [], [], [-5.0], *[[]] * 4, [-10.0], *[[]] * 3]
