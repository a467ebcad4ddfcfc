from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.alerts.engine import ConditionValue, Sample
from bot.alerts.rule import Target
from bot.alerts.series import Histories, rule_lag
from bot.analytics.market import Market
from bot.errors import BadInput
from tests.alerts.examples import REGISTRY, rule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bot.alerts.rule import Rule
    from bot.analytics.metrics import Arguments, Metric


NAN = math.nan


def samples(
    a_rule: Rule,
    market: Market,
    registry: Mapping[str, Metric],
    after: dt.date | None = None,
    sessions: pd.DatetimeIndex | None = None,
) -> list[Sample]:
    return list(Histories(market, registry).samples(a_rule, after, sessions))


def sessions(count: int) -> pd.DatetimeIndex:
    return pd.bdate_range("2018-01-01", periods=count)


def market(values: Sequence[float], shares: Sequence[float] | None = None, count: int | None = None) -> Market:
    """IWM's closes on consecutive sessions, and its share counts; `count` sessions are completed."""
    index = sessions(len(values))
    facts = {}
    if shares is not None:
        facts["IWM"] = pd.DataFrame({"shares": list(shares)}, index=index[: len(shares)], dtype="float64")
    prices = pd.DataFrame({"IWM": values, "SPY": 1.0}, index=index, dtype="float64")
    return Market(prices=prices, facts=facts, last_completed=sessions(count or len(values))[-1])


def legs(text: str, values: Sequence[float]) -> list[ConditionValue]:
    return [bar.figures[0] for bar in samples(rule(text), market(values), REGISTRY)]


def thresholds(text: str, values: Sequence[float]) -> list[float | None]:
    return [leg.threshold for leg in legs(text, values)]


def test_samples_are_on_plain_dates_in_order() -> None:
    assert samples(rule("ratio > 5"), market([1.0, 2.0]), REGISTRY) == [
        Sample(dt.date(2018, 1, 1), (ConditionValue(1.0, 5.0),)),
        Sample(dt.date(2018, 1, 2), (ConditionValue(2.0, 5.0),)),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ratio > sma 3", [None, None, 2.0, 8.0 / 3, 4.0]),  # the session itself is in the mean
        ("ratio > high 2", [None, None, 2.0, 3.0, 3.0]),  # ... and not in the extremes
        ("ratio < low 2", [None, None, 1.0, 2.0, 3.0]),
        ("ratio > high 1", [None, 1.0, 2.0, 3.0, 3.0]),
    ],
)
def test_moving_targets(text: str, expected: list[float | None]) -> None:
    found = thresholds(text, [1.0, 2.0, 3.0, 3.0, 6.0])
    assert found == [None if value is None else pytest.approx(value) for value in expected]


def test_a_percentile_needs_252_values_before_the_session() -> None:
    values = [*map(float, range(252)), 1000.0, 2000.0]
    found = thresholds("ratio > pct 90", values)
    assert found[:252] == [None] * 252
    assert found[252] == pytest.approx(np.quantile(values[:252], 0.9))
    assert found[253] == pytest.approx(np.quantile(values[:253], 0.9))


def test_the_extreme_percentiles_are_the_extremes() -> None:
    values = [*map(float, range(300))]
    assert thresholds("ratio > pct 100", values)[-1] == 298.0
    assert thresholds("ratio < pct 0", values)[-1] == 0.0


def test_targets_count_closes_and_are_missing_where_over_two_percent_of_the_sessions_are() -> None:
    rows = [*map(float, range(60)), NAN, *map(float, range(60))]
    assert thresholds("ratio > sma 49", rows)[-1] == pytest.approx(35.0)
    assert thresholds("ratio > sma 49", rows)[62] == pytest.approx((sum(range(13, 60)) + 1) / 49)
    assert thresholds("ratio > sma 48", rows)[62] is None
    values = [1.0, NAN, 3.0, math.inf, -math.inf, 5.0, 7.0]
    nothing = ConditionValue(None, None)
    early = [ConditionValue(1.0, None), nothing, ConditionValue(3.0, None), nothing, nothing]
    assert legs("ratio > sma 2", values) == [*early, ConditionValue(5.0, 4.0), ConditionValue(7.0, 6.0)]
    assert thresholds("ratio > high 1", values) == [None, None, 1.0, None, None, 3.0, 5.0]


def test_bars_start_after_the_session_given() -> None:
    whole = samples(rule("ratio > sma 2"), market([1.0, 2.0, 3.0, 4.0]), REGISTRY)
    assert samples(rule("ratio > sma 2"), market([1.0, 2.0, 3.0, 4.0]), REGISTRY, whole[1].session) == whole[2:]
    assert samples(rule("ratio > sma 2"), market([1.0, 2.0]), REGISTRY, whole[3].session) == []


def test_nothing_past_the_last_completed_session_is_used() -> None:
    assert len(samples(rule("ratio > 5"), market([1.0, 2.0, 3.0], count=2), REGISTRY)) == 2
    # a value of the running session does not answer for the n/a before it
    assert len(samples(rule("ratio > 5"), market([1.0, NAN, 3.0], count=2), REGISTRY)) == 1


def test_an_empty_market_has_no_bars() -> None:
    empty = Market(prices=pd.DataFrame({"IWM": [], "SPY": []}), last_completed=pd.Timestamp("2018-01-01"))
    assert samples(rule("ratio > sma 2 and flow iwm 5d > 0"), empty, REGISTRY) == []
    assert samples(rule("ratio > sma 2"), empty, REGISTRY, sessions=sessions(3)) == []


def test_a_metric_may_answer_with_an_empty_series_of_any_index() -> None:
    registry = {"ratio": replace(REGISTRY["ratio"], history=lambda *_: pd.Series(dtype="float64"))}
    assert samples(rule("ratio > sma 2"), market([1.0]), registry) == []


@pytest.mark.parametrize("dtype", ["float64", "object"])
def test_a_metric_without_any_history_is_awaited_beside_one_that_has_it(dtype: str) -> None:
    gauge = replace(REGISTRY["gauge"], history=lambda *_: pd.Series(dtype=dtype))
    two = rule("ratio > 5 and gauge 200 > 5%")
    found = samples(two, market([1.0] * 7), {**REGISTRY, "gauge": gauge}, sessions=sessions(7))
    two_legs = (ConditionValue(1.0, 5.0), ConditionValue(None, None))
    assert found == [Sample(day.date(), two_legs) for day in sessions(2)]
    first = rule("gauge 200 > sma 3 and gauge 200 < high 3 and ratio > 5")
    later = samples(first, market([1.0] * 7), {**REGISTRY, "gauge": gauge}, dt.date(2018, 1, 1))
    assert later == [Sample(dt.date(2018, 1, 2), (two_legs[1], two_legs[1], two_legs[0]))]


@pytest.mark.parametrize(("stored", "evaluated"), [(10, 10), (9, 9), (6, 6), (5, 5), (4, 5), (1, 5), (0, 5)])
def test_a_leg_that_is_not_stored_yet_is_awaited_for_five_sessions(stored: int, evaluated: int) -> None:
    ten = market([1.0] * 10, shares=[7.0] * stored)
    found = samples(rule("ratio > 5 and flow iwm 5d > $1"), ten, REGISTRY)
    assert [bar.figures[0].value for bar in found] == [1.0] * evaluated
    assert [bar.figures[1].value for bar in found] == [7.0] * stored + [None] * (evaluated - stored)


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("ratio > 5", [1.0, NAN, 3.0], [(1.0, 5.0), (None, 5.0), (3.0, 5.0)]),  # nothing, and a later value
        ("ratio > 5", [1.0, 2.0, NAN], [(1.0, 5.0), (2.0, 5.0)]),  # nothing at the end: awaited
        ("ratio > sma 3", [1.0, 2.0], [(1.0, None), (2.0, None)]),  # a value without a threshold yet
    ],
)
def test_a_session_without_a_value_is_awaited_unless_a_later_one_has_it(
    text: str, values: list[float], expected: list[tuple[float | None, float | None]]
) -> None:
    assert legs(text, values) == [ConditionValue(*figures) for figures in expected]


@pytest.mark.parametrize(("later", "evaluated"), [(1, 3), (4, 3), (5, 9), (6, 10)])
def test_a_session_that_is_missing_is_awaited_for_five_sessions(later: int, evaluated: int) -> None:
    whole = market([float(number) for number in range(4 + later)])
    gap = replace(whole, prices=whole.prices.drop(whole.prices.index[3]))
    found = samples(rule("ratio > 5"), gap, REGISTRY, sessions=sessions(50))
    assert len(found) == evaluated
    assert [bar.figures[0].value for bar in found[:4]] == [0.0, 1.0, 2.0, None][:evaluated]


def test_the_calendar_adds_no_session_before_the_data() -> None:
    early = pd.bdate_range("2017-01-02", periods=300)
    assert len(samples(rule("ratio > 5"), market([1.0]), REGISTRY, sessions=early)) == 1


def test_a_history_is_computed_once_for_all_rules() -> None:
    calls = []

    def counted(stored: Market, arguments: Arguments) -> pd.Series:
        calls.append(arguments)
        return stored.prices["IWM"]

    registry = {**REGISTRY, "gauge": replace(REGISTRY["gauge"], history=counted)}
    histories = Histories(market([1.0, 2.0, 3.0]), registry)
    for text in ("gauge 200 > 5%", "gauge 200 > 6%", "gauge 200 < sma 2", "gauge 200 > 5%", "gauge 100 > 5%"):
        histories.samples(rule(text))
    assert calls == [{"n": 200}, {"n": 100}]
    assert histories.samples(rule("gauge 200 < sma 2"))[1].figures == (ConditionValue(2.0, 1.5),)
    condition = rule("gauge 200 < sma 2").conditions[0]
    assert histories.series(condition) is histories.series(condition)


def test_sessions_are_those_that_were_asked_with() -> None:
    whole = market([0.0, 1.0, 2.0, 3.0])
    histories = Histories(replace(whole, prices=whole.prices.drop(whole.prices.index[2])), REGISTRY)
    a_rule = rule("ratio > 5")
    lengths = [len(histories.samples(a_rule, sessions=known)) for known in (None, sessions(50), None)]
    assert lengths == [3, 2, 3]  # without the calendar the missing session is not noticed


def test_each_rule_waits_for_its_own_inputs() -> None:
    histories = Histories(market([1.0] * 4, shares=[7.0] * 2), REGISTRY)
    four = sessions(4)
    small, large = "flow iwm 5d > $1", "flow spy 5d > $1"
    texts = ("ratio > 5", small, large, f"ratio > 5 and {small}", "ratio > 6")
    assert [len(histories.samples(rule(text), sessions=four)) for text in texts] == [4, 2, 0, 2, 4]


def test_a_target_that_is_gone_is_named() -> None:
    condition = msgspec.structs.replace(rule("ratio > sma 3").conditions[0], target=Target("ema", 3.0))
    with pytest.raises(BadInput, match=r"^“ema” is not a target\. Example: sma 200$"):
        Histories(market([1.0]), REGISTRY).series(condition)


def test_a_metric_that_is_gone_is_named() -> None:
    with pytest.raises(BadInput, match=r"^“ratio” is not a metric any more\.$"):
        samples(rule("ratio > 5"), market([1.0]), {})


def test_the_lag_of_a_rule_is_its_slowest_leg() -> None:
    assert rule_lag(rule("ratio > 5"), REGISTRY) == 0
    assert rule_lag(rule("flow iwm 5d > 0"), REGISTRY) == 1
    slow = {**REGISTRY, "gauge": replace(REGISTRY["gauge"], lag=3)}
    assert rule_lag(rule("gauge > 5% and flow iwm 5d > 0 and ratio > 5"), slow) == 3


@given(
    st.sampled_from(["5", "sma 3", "high 4", "low 2", "pct 50"]),
    st.lists(st.one_of(st.just(NAN), st.floats(1, 9)), min_size=1, max_size=30),
    st.integers(1, 30),
)
def test_later_sessions_change_no_earlier_bar(target: str, values: list[float], cut: int) -> None:
    a_rule = rule(f"ratio > {target}")
    early = samples(a_rule, market(values[:cut]), REGISTRY)
    assert samples(a_rule, market(values), REGISTRY)[: len(early)] == early
