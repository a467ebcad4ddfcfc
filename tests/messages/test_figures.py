from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.alerts.grammar import parse_rule
from bot.analytics.market import Source
from bot.analytics.metrics import METRICS
from bot.messages.common import age, distance, percentile_phrase, rule_sources
from tests.messages.pages import days, market


def at(rule: str, value: float, level: float) -> str:
    return distance(parse_rule(rule, METRICS).conditions[0], value, level)


@pytest.mark.parametrize(
    ("rule", "value", "level", "told"),
    [
        ("ratio > sma 200", 0.4676, 0.4642, "0.73% above sma 200 (0.4642)"),
        ("ratio > sma 200", 0.4323, 0.4642, "6.87% below sma 200 (0.4642)"),
        ("ratio > 0.51234", 0.5, 0.51234, "2.41% below 0.51234"),
        ("ratio > 0.5", 0.5, 0.5, "exactly at 0.5"),
        ("ratio > 0.5", 0.500001, 0.5, "just above 0.5"),
        ("ratio > 0.5", 0.499999, 0.5, "just below 0.5"),
        ("excess 3m > -2pp", 5.21, -2.0, "7.21pp above −2pp"),
        ("ratio_vs_sma 200 > 5%", 5.37, 5.0, "0.37pp above 5%"),
        ("ratio_vs_sma 200 > high 20", 5.0, 6.5, "1.50pp below high 20 (+6.50%)"),
        ("flow iwm 5d > $1bn", 0.9584e9, 1e9, "$41.6m below $1bn"),
        ("flow iwm 5d < -$1.5bn", -2e9, -1.5e9, "$0.50bn below −$1.5bn"),
        ("flow_z iwm 20d > 2", 1.0, 2.0, "1.00 below 2"),
        ("pe iwm > 25x", 30.0, 25.0, "20.00% above 25x"),
        ("yield iwm > 1.5%", 1.2, 1.5, "0.30pp below 1.5%"),
        ("pe_premium > pct 90", 120.0, 100.0, "20.00pp above pct 90 (+100.00%)"),
        ("momentum > 0", 3.0, 0.0, "3.00pp above 0pp"),
        ("ratio > 0", 0.5, 0.0, "0.5000 above 0"),
    ],
)
def test_a_distance_is_told_in_words_that_fit_its_unit(
    rule: str, value: float, level: float, told: str
) -> None:
    assert at(rule, value, level) == told


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_a_distance_always_says_the_side(value: float, level: float) -> None:
    told = at("excess 3m > sma 20", value, level)
    side = "above" if value > level else "below" if value < level else "exactly at"
    assert f"{side} sma 20 (" in told


def series(*values: float) -> pd.Series:
    return pd.Series(values, days(len(values)))


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([], None),
        ([1.0], None),
        ([float("nan"), 1.0], None),
        ([2.0, 1.0], "percentile 50 (n = 2 since 2 Jan 2020)"),
        ([1.0, 2.0], "percentile 100 (n = 2 since 2 Jan 2020)"),
        ([float("nan"), 2.0, 1.0, float("nan")], "percentile 50 (n = 2 since 3 Jan 2020)"),
        ([3.0] + [0.0] * 1_498 + [2.0], "percentile 99 (n = 1,500 since 2 Jan 2020)"),
    ],
)
def test_a_place_in_history_has_its_n_and_its_first_date(values: list[float], told: str | None) -> None:
    assert percentile_phrase(series(*values)) == told


@pytest.mark.parametrize(("behind", "words"), [(0, "current"), (1, "1 session old"), (3, "3 sessions old")])
def test_an_age_counts_the_sessions_since(behind: int, words: str) -> None:
    of = market([50.0] * 5, behind=behind)
    assert age(of, days(5)[-1]) == words


@pytest.mark.parametrize(
    ("rule", "old", "told"),
    [
        ("ratio > 0.5", 0, "Source: CSV import, current."),
        ("ratio > 0.5 and excess 3m > 0", 1, "Source: CSV import, 1 session old."),
        (
            "ratio > 0.5 and flow_gap 20d > 2pp",
            2,
            "Sources: CSV import; issuer file, 2 sessions old.",
        ),
    ],
)
def test_a_rule_names_the_sources_of_all_its_conditions(rule: str, old: int, told: str) -> None:
    of = market([50.0] * 5, units={"IWM": [250.0], "SPY": [900.0]}, behind=old)
    issuer = dict.fromkeys(("facts:IWM", "facts:SPY"), Source("issuer", "issuer file"))
    assert (
        rule_sources(parse_rule(rule, METRICS), replace(of, sources={**of.sources, **issuer}), days(5)[-1])
        == told
    )
