from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pandas as pd
import pytest

from bot.alerts.backtest import fires_without_band, frequency
from bot.alerts.engine import ConditionValue, Sample
from bot.alerts.series import Histories
from bot.analytics.market import Market
from tests.alerts.examples import REGISTRY, day, rule, sample, samples


def test_fires_are_counted_with_their_dates() -> None:
    found = frequency(rule("ratio > 5"), samples([4.0, 6.0, 4.0, 6.0, 6.0]))
    assert found.count == 2
    assert found.dates == (day(2), day(4))
    assert (found.since, found.until) == (day(2), day(5))


def test_what_was_already_true_at_the_start_is_no_fire() -> None:
    assert frequency(rule("ratio > 5"), samples([6.0, 6.0, 4.0, 6.0])).dates == (day(4),)


def test_counting_starts_after_the_first_session_that_says_where_the_rule_stands() -> None:
    found = frequency(rule("ratio > 5"), samples([None, None, 6.0, 4.0, 6.0]))
    assert (found.since, found.dates) == (day(4), (day(5),))


def test_without_a_session_to_evaluate_nothing_is_claimed() -> None:
    for some in ([], samples([None, None]), samples([6.0])):
        found = frequency(rule("ratio > 5"), some)
        assert (found.dates, found.since, found.until) == ((), None, None)


def test_only_the_last_five_years_count() -> None:
    dates = [dt.date(2015, 6, 12), dt.date(2015, 6, 15), dt.date(2015, 6, 16), dt.date(2020, 6, 15)]
    some = [
        Sample(date, (ConditionValue(value, 5.0),))
        for date, value in zip(dates, [4.0, 6.0, 4.0, 6.0], strict=True)
    ]
    assert frequency(rule("ratio > 5"), some).dates == (dates[3],)
    assert frequency(rule("ratio > 5"), some).since == dates[2]
    assert frequency(rule("ratio > 5"), some, years=6).dates == (dates[1], dates[3])


def test_once_and_until_are_left_aside_and_muted_fires_do_not_count() -> None:
    some = samples([4.0, 6.0, 4.0, 6.0, 4.0, 4.0, 6.0])
    assert frequency(rule("ratio > 5 once until 2020-01-02"), some).dates == (day(2), day(4), day(7))
    assert frequency(rule("ratio > 5 cooldown 3"), some).dates == (day(2), day(7))


def test_the_band_is_the_one_the_rule_would_be_given_today() -> None:
    values: list[float | None] = [4.0, 6.0] * 50
    assert frequency(rule("ratio > 5"), samples(values)).count == 50
    wide: list[float | None] = [*values, *[100.0, -100.0] * 10]
    assert frequency(rule("ratio > 5"), samples(wide)).count == 10


def test_years_are_counted_back_from_the_last_figure() -> None:
    dates = [dt.date(2014, 1, 2), dt.date(2015, 6, 15), dt.date(2015, 6, 16), dt.date(2020, 6, 15)]
    some = [
        Sample(date, (ConditionValue(value, 5.0),))
        for date, value in zip(dates, [4.0, 4.0, 6.0, 6.0], strict=True)
    ]
    late = [
        *some,
        Sample(dt.date(2020, 7, 15), (ConditionValue(None, 5.0),)),
        Sample(dt.date(2020, 8, 14), (ConditionValue(1.0, None),)),
    ]
    found = frequency(rule("ratio > 5"), late)
    assert (found.since, found.until, found.dates) == (dates[2], dates[3], (dates[2],))


def test_counting_starts_when_every_condition_has_had_a_figure() -> None:
    a_rule = rule("ratio > 5 and gauge 200 > 5%")
    early = [sample(number, (4.0, 5.0), (None, 5.0)) for number in range(1, 6)]
    some = [*early, sample(6, (6.0, 5.0), (4.0, 5.0)), sample(7, (6.0, 5.0), (6.0, 5.0))]
    found = frequency(a_rule, some)
    assert (found.since, found.dates) == (day(7), (day(7),))
    assert frequency(a_rule, early).since is None
    assert fires_without_band(a_rule, early) == 0
    # the last condition's first figure on a session that another lacks says nothing yet
    late = [*early, sample(6, (None, 5.0), (6.0, 5.0)), *some[5:]]
    late = [replace(each, session=day(number)) for number, each in enumerate(late, start=1)]
    assert frequency(a_rule, late).since == day(8)


def test_one_condition_with_a_figure_makes_a_session_the_datas_end() -> None:
    a_rule = rule("ratio > 5 and gauge 200 > 5%")
    some = [
        sample(1, (4.0, 5.0), (6.0, 5.0)),
        sample(2, (6.0, 5.0), (6.0, 5.0)),
        sample(3, (4.0, 5.0), (None, 5.0)),
    ]
    assert frequency(a_rule, some).until == day(3)
    assert frequency(a_rule, some).dates == (day(2),)


def test_fires_without_the_band_are_counted_without_a_level_too() -> None:
    values: list[float | None] = [4.0, *([6.0, 4.5] * 5), 100.0, -100.0, 6.0]
    assert fires_without_band(rule("ratio > 5"), samples(values)) == 7
    assert fires_without_band(rule("ratio > 5 rearm 0"), samples(values)) == 7
    assert frequency(rule("ratio > 5 rearm 0"), samples(values)).count == 2
    assert fires_without_band(rule("ratio > 5 once until 2020-01-02"), samples(values)) == 7
    assert fires_without_band(rule("ratio > 5 cooldown 100"), samples(values)) == 1


def test_without_a_session_to_evaluate_there_are_no_fires_without_the_band() -> None:
    for some in ([], samples([None, None]), samples([6.0])):
        assert fires_without_band(rule("ratio > 5"), some) == 0


def test_fires_without_the_band_are_of_the_last_years() -> None:
    dates = [dt.date(2015, 6, 12), dt.date(2015, 6, 15), dt.date(2015, 6, 16), dt.date(2020, 6, 15)]
    some = [
        Sample(date, (ConditionValue(value, 5.0),))
        for date, value in zip(dates, [4.0, 6.0, 4.0, 6.0], strict=True)
    ]
    assert fires_without_band(rule("ratio > 5"), some) == 1
    assert fires_without_band(rule("ratio > 5"), some, years=6) == 2


@pytest.mark.parametrize("text", ["ratio > 5", "ratio crosses 5", "ratio > 5 and gauge 200 > 5%"])
def test_it_runs_over_a_market(text: str) -> None:
    index = pd.bdate_range("2020-01-01", periods=4)
    prices = pd.DataFrame({"IWM": [4.0, 6.0, 4.0, 6.0], "SPY": 1.0}, index=index)
    market = Market(prices=prices, last_completed=index[-1])
    found = frequency(rule(text), Histories(market, REGISTRY).samples(rule(text)))
    fired = (0, 1, 2, 3) if "crosses" in text else (1, 3)
    assert found.dates == tuple(index[position].date() for position in fired if position)
    gap = replace(market, prices=prices.drop(index[2]))
    series = Histories(gap, REGISTRY).samples(rule(text), sessions=index)
    assert frequency(rule(text), series).dates == (index[1].date(),)
