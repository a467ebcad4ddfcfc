from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.alerts.grammar import parse_rule
from bot.analytics import units
from bot.analytics.market import Market
from bot.analytics.metrics import METRICS, Argument, Metric, metric_value
from bot.analytics.windows import Window, parse_window
from bot.errors import BadInput
from tests.funds import LARGE, PAIR, SMALL
from tests.sample_market import sample_market
from tests.shared_data import market, shared

if TYPE_CHECKING:
    from collections.abc import Mapping


WITH_DISTRIBUTIONS = ("excess", "beta", "corr")
KINDS = {"window": Window, "count": int, "fund": str, "convention": str}
# An argument of each kind that is not a default.
OTHERS: Mapping[str, Argument] = {
    "window": Window("w", 9),
    "count": 90,
    "fund": LARGE,
    "convention": "capped",
    "date": parse_window("since 2012-01-03"),
}
CUTS = ("2010-03-31", "2013-01-04", "2016-02-29", "2020-03-23", "2020-10-06", "2020-12-05")


def arguments(metric: Metric) -> dict[str, Argument]:
    """The defaults, with the one convention that the sample market has."""
    found = metric.defaults()
    return {**found, "convention": "losses_in"} if "convention" in found else found


def history(metric: Metric, stored: Market, **changed: Argument) -> pd.Series:
    return metric.history(stored, {**arguments(metric), **changed})


def assert_same(found: pd.Series, expected: pd.Series, rtol: float, atol: float = 0.0) -> None:
    assert list(found.index) == list(expected.index)
    np.testing.assert_allclose(found.to_numpy(), expected.to_numpy(), rtol=rtol, atol=atol, equal_nan=True)


def scaled(stored: Market, factors: Mapping[str, float], distributions: bool = True) -> Market:
    """The Market with prices, and what was paid per share, in other units."""
    paid = {
        ticker: stored.distributions_of(ticker) * (factors[ticker] if distributions else 1.0)
        for ticker in PAIR
    }
    return replace(stored, prices=stored.prices * pd.Series(factors), distributions=paid)


@pytest.mark.parametrize("name", METRICS)
def test_an_entry_says_what_it_is(name: str) -> None:
    metric = METRICS[name]
    assert metric.name == name
    assert re.fullmatch(r"[a-z_]+", name)
    assert metric.unit in units.UNITS
    assert metric.part in {"prices", "facts", "multiples"}
    assert metric.lag == (0 if metric.part == "prices" else 1)
    assert metric.title
    assert metric.meaning.endswith(".")
    assert metric.formula


def test_titles_are_told_apart() -> None:
    assert len({metric.title for metric in METRICS.values()}) == len(METRICS)


@pytest.mark.parametrize("name", METRICS)
def test_the_parameters_have_defaults_of_their_kind(name: str) -> None:
    for parameter in METRICS[name].parameters:
        if parameter.kind in KINDS:
            assert isinstance(parameter.default, KINDS[parameter.kind])
        if parameter.kind == "count":
            assert isinstance(parameter.default, int)
            assert parameter.low <= parameter.default <= parameter.high
        if parameter.choices:
            assert parameter.default in parameter.choices


@pytest.mark.parametrize("name", METRICS)
def test_the_example_is_a_rule_about_the_metric(name: str) -> None:
    rule = parse_rule(METRICS[name].example, METRICS)
    assert [condition.metric for condition in rule.conditions] == [name]
    assert parse_rule(str(rule), METRICS) == rule


@pytest.mark.parametrize("window", ["ytd", "mtd", "since 2020-09-30"])
def test_a_rule_on_the_change_of_flow_needs_a_window_with_a_length(window: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_rule(f"flow_change iwm {window} > $1bn", METRICS)
    word = window.split(maxsplit=1)[0]
    assert str(caught.value) == (
        f"“{word}” is not understood after “iwm”; expected a window (5d, 1w, 3m, 1y) "
        "or a comparison (>, <, >=, <=, crosses). Example: flow_change iwm 20d > $1bn"
    )


@pytest.mark.parametrize("name", [name for name in METRICS if not name.startswith("pfcf")])
def test_every_metric_has_a_reading_of_the_sample_market(name: str) -> None:
    metric, stored = METRICS[name], sample_market()
    found = metric_value(metric, stored, arguments(metric))
    assert found.value is not None
    assert np.isfinite(found.value)
    assert found.session == pd.Timestamp("2020-12-11")
    assert (found.source, found.sessions_behind, found.reason) == ("sample data", 0, "")


@pytest.mark.parametrize("name", METRICS)
def test_a_history_is_numbers_on_sessions_in_order(name: str) -> None:
    stored = sample_market()
    found = history(METRICS[name], stored)
    assert found.dtype == "float64"
    assert found.index.is_monotonic_increasing
    assert found.index.is_unique
    assert found.index.isin(stored.sessions).all()


@pytest.mark.parametrize("name", METRICS)
def test_without_any_data_there_is_a_reason_and_no_error(name: str) -> None:
    empty = Market(
        prices=pd.DataFrame({SMALL: [], LARGE: []}, index=pd.DatetimeIndex([]), dtype="float64"),
        last_completed=pd.Timestamp("2020-12-11"),
    )
    found = metric_value(METRICS[name], empty, arguments(METRICS[name]))
    assert (found.value, found.source) == (None, "no data")
    assert found.reason


@pytest.mark.parametrize("name", METRICS)
def test_what_came_later_changes_no_value(name: str) -> None:
    stored = sample_market()
    whole = history(METRICS[name], stored)
    for cut in map(pd.Timestamp, CUTS):
        then = history(METRICS[name], stored.at(cut))
        assert_same(then, whole.loc[:cut], rtol=1e-9)


@shared
@pytest.mark.parametrize("name", [name for name, metric in METRICS.items() if metric.part != "multiples"])
def test_what_came_later_changes_no_value_over_the_full_history(name: str) -> None:
    whole = history(METRICS[name], market())
    # in and after spikes, wrong values and holidays of the issuer's counts too
    for cut in (
        "2001-07-06",
        "2004-04-30",
        "2005-06-24",
        "2007-06-25",
        "2007-06-28",
        "2011-10-28",
        "2020-10-06",
    ):
        then = history(METRICS[name], market().at(pd.Timestamp(cut)))
        assert_same(then, whole.loc[:cut], rtol=1e-9)


FACTORS = st.fixed_dictionaries({SMALL: st.floats(0.01, 100), LARGE: st.floats(0.01, 100)})


@pytest.mark.parametrize("name", [name for name in METRICS if name != "ratio"])
@settings(max_examples=3)
@given(factors=FACTORS)
def test_the_units_of_a_price_change_no_metric(name: str, factors: dict[str, float]) -> None:
    stored = sample_market()
    expected = history(METRICS[name], stored)
    found = history(METRICS[name], scaled(stored, factors, name in WITH_DISTRIBUTIONS))
    assert_same(found, expected, rtol=1e-6, atol=1e-8)


@given(factors=FACTORS)
@settings(max_examples=10)
def test_the_ratio_has_the_units_of_the_prices(factors: dict[str, float]) -> None:
    stored = sample_market()
    found = history(METRICS["ratio"], scaled(stored, factors))
    expected = history(METRICS["ratio"], stored) * factors[SMALL] / factors[LARGE]
    assert_same(found, expected, rtol=1e-12)


@pytest.mark.parametrize("name", ["flow", "flow_pct", "flow_change", "flow_z", "units"])
def test_a_metric_of_a_fund_is_of_the_fund_asked_for(name: str) -> None:
    stored = sample_market()
    small, large = (history(METRICS[name], stored, fund=fund) for fund in PAIR)
    assert not small.equals(large)
    alone = replace(stored, facts={LARGE: stored.fund(LARGE)})
    assert history(METRICS[name], alone, fund=LARGE).equals(large)
    assert history(METRICS[name], alone, fund=SMALL).empty


@pytest.mark.parametrize(
    ("name", "parameter"),
    [(metric.name, parameter.name) for metric in METRICS.values() for parameter in metric.parameters],
)
def test_an_argument_is_heard(name: str, parameter: str) -> None:
    stored = sample_market()
    kind = next(known.kind for known in METRICS[name].parameters if known.name == parameter)
    usual = history(METRICS[name], stored)
    other = history(METRICS[name], stored, **{parameter: OTHERS[kind]})
    assert usual.empty or not other.equals(usual)  # the sample has no P/FCF


def test_golden_readings_of_the_sample_market() -> None:
    stored = sample_market()

    def shown(name: str, **changed: Argument) -> str:
        metric = METRICS[name]
        return metric.unit.show(metric_value(metric, stored, {**arguments(metric), **changed}).value)

    assert shown("ratio") == "0.5195"
    assert shown("pe") == "75.0x"
    assert shown("pe", fund=LARGE) == "27.8x"
    assert shown("pe_premium") == "+169.78%"
