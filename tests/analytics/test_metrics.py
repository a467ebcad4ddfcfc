from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.metrics import made_up_market, timings
from bot.alerts.grammar import parse_rule
from bot.analytics import units
from bot.analytics.market import MULTIPLE_COLUMNS, Market, Source
from bot.analytics.metrics import (
    METRICS,
    Argument,
    Arguments,
    Metric,
    MetricValue,
    Parameter,
    first_overdue_session,
    funds_of,
    held_from,
    metric_value,
    sources_of,
)
from bot.analytics.windows import YTD, Window, parse_window
from bot.pair import DEFAULT_PAIR
from tests.funds import LARGE, PAIR, SMALL
from tests.sample_market import sample_market
from tests.shared_data import market, shared

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


DAYS = pd.bdate_range("2020-12-07", periods=5)
CSV, ISSUER = Source("csv", "CSV import"), Source("issuer", "issuer file")


def metric(values: list[float], lag: int = 0, part: str = "prices") -> Metric:
    """A metric with these values on the first sessions of the week, whatever the Market."""

    def history(market: Market, arguments: Arguments) -> pd.Series:
        del market, arguments
        return pd.Series(values, index=DAYS[: len(values)], dtype="float64")

    return Metric(
        phrase="x",
        name="gauge",
        title="Gauge",
        unit=units.NUMBER,
        history=history,
        lag=lag,
        part=part,
        meaning="An example.",
        formula="x",
        example="gauge > 5",
    )


def week(**changes: object) -> Market:
    prices = pd.DataFrame({SMALL: 100.0, LARGE: 300.0}, index=DAYS)
    return replace(Market(prices, DAYS[-1], sources={"prices": CSV}), **changes)  # type: ignore[arg-type]


def counts(*shares: float) -> pd.DataFrame:
    return pd.DataFrame({"nav": 100.0, "shares": shares, "assets": math.nan}, index=DAYS[: len(shares)])


def why(name: str, stored: Market, **arguments: Window | str) -> str:
    """Why the metric of that name has no value."""
    found = metric_value(METRICS[name], stored, {**METRICS[name].defaults(), **arguments})
    assert (found.value, found.session, found.sessions_behind) == (None, None, 0)
    return found.reason


def test_a_reading_is_the_last_point_of_the_history() -> None:
    assert metric_value(metric([1.0, 2.0, 3.0, 4.0, 5.0]), week(), {}) == MetricValue(5.0, DAYS[4], "CSV import")


@pytest.mark.parametrize("missing", [math.nan, math.inf, -math.inf])
def test_what_is_not_a_number_is_passed_over_and_makes_the_reading_older(missing: float) -> None:
    found = metric_value(metric([1.0, 2.0, 3.0, missing, missing]), week(), {})
    assert found == MetricValue(3.0, DAYS[2], "CSV import", 2)


@pytest.mark.parametrize(("stored", "behind"), [(5, 0), (4, 1), (3, 2), (2, 3)])
def test_the_age_of_what_arrives_late_is_the_plain_count_too(stored: int, behind: int) -> None:
    assert metric_value(metric([1.0] * stored, lag=1), week(), {}).sessions_behind == behind


def test_age_counts_the_sessions_that_were_completed_since() -> None:
    calendar = pd.bdate_range("2020-12-01", "2020-12-31")
    later = week(calendar=calendar, last_completed=pd.Timestamp("2020-12-16"))
    assert metric_value(metric([1.0] * 5), later, {}).sessions_behind == 3


def test_sources_are_those_of_the_part_that_is_read() -> None:
    stored = week(sources={"prices": CSV, "facts:IWM": ISSUER, "facts:SPY": CSV, "multiples": CSV})
    facts = metric([1.0], part="facts")
    assert sources_of(metric([1.0]), stored, {}) == "CSV import"
    assert sources_of(facts, stored, {"fund": SMALL}) == "issuer file"
    assert sources_of(facts, stored, {}) == "issuer file, CSV import"
    same = week(sources={"facts:IWM": ISSUER, "facts:SPY": ISSUER})
    assert sources_of(facts, same, {}) == "issuer file"


def test_a_part_that_is_not_stored_has_no_source() -> None:
    facts = metric([1.0], part="facts")
    assert sources_of(facts, week(), {}) == "no data"
    assert sources_of(facts, week(sources={"facts:IWM": ISSUER}), {}) == "issuer file"
    assert sources_of(metric([1.0], part="multiples"), week(), {}) == "no data"


def test_a_metric_asks_for_one_fund_or_both() -> None:
    assert funds_of(DEFAULT_PAIR, {"fund": LARGE}) == (LARGE,)
    assert funds_of(DEFAULT_PAIR, {"window": YTD}) == (SMALL, LARGE)


def test_a_missing_value_has_a_reason() -> None:
    empty = week(prices=pd.DataFrame({SMALL: [1.0]}, index=DAYS[:1]))
    assert why("ratio", empty) == "no closes of both funds stored"
    assert why("momentum", week()) == "too little history (prices from 7 Dec 2020)"
    assert why("flow", week()) == "no share counts of IWM stored"
    assert why("flow", week(), fund=LARGE) == "no share counts of SPY stored"
    assert why("flow_gap", week()) == "no share counts of IWM and SPY stored"
    assert why("flow_gap", week(facts={SMALL: counts(1e6)})) == "no share counts of SPY stored"
    frozen = counts(math.nan, math.nan)
    assert why("flow", week(facts={SMALL: frozen})) == "no share counts of IWM stored"
    short = {SMALL: counts(1e6, 2e6), LARGE: counts(1e6, 2e6).iloc[1:]}
    assert why("flow", week(facts=short)) == "too little history (share counts from 7 Dec 2020)"
    assert why("flow_gap", week(facts=short)) == "too little history (share counts from 8 Dec 2020)"
    assert why("pe", week()) == "no such multiple stored"
    assert why("pe_premium", week()) == "no such multiple stored for both funds"


@pytest.mark.parametrize("window", ["ytd", "mtd", "since 2020-12-07"])
def test_a_window_without_a_length_has_none_before_it(window: str) -> None:
    stored = week(facts={SMALL: counts(1e6, 2e6, 3e6, 4e6)})
    reason = why("flow_change", stored, window=parse_window(window))
    assert reason == f"{window} has no window before it"
    longer = why("flow_change", stored, window=Window("d", 2))
    assert longer == "too little history (share counts from 7 Dec 2020)"


def test_defaults_leave_out_what_must_be_given() -> None:
    entry = replace(
        metric([1.0]), parameters=(Parameter("n", "count", 200), Parameter("window", "window"), Parameter("m", "x"))
    )
    assert entry.defaults() == {"n": 200}


def test_multiples_have_a_reading_of_their_own_session() -> None:
    rows = [(DAYS[2], SMALL, "pe", "morningstar", "unstated", 28.4, "yahoo")]
    stored = week(multiples=pd.DataFrame(rows, columns=list(MULTIPLE_COLUMNS)), sources={"multiples": CSV})
    found = metric_value(METRICS["pe"], stored, METRICS["pe"].defaults())
    assert found == MetricValue(28.4, DAYS[2], "CSV import", 2)


WITH_DISTRIBUTIONS = ("excess", "beta", "corr")
# An argument of each kind that is not a default.
OTHERS: Mapping[str, Argument] = {
    "window": Window("w", 9),
    "count": 90,
    "fund": LARGE,
    "convention": "capped",
    "date": parse_window("since 2012-01-03"),
}
KINDS = {"window": Window, "count": int, "fund": str, "convention": str}
CUTS = ("2010-03-31", "2020-10-06", "2020-12-05")


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
    paid = {ticker: stored.distributions_of(ticker) * (factors[ticker] if distributions else 1.0) for ticker in PAIR}
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
    rule = parse_rule(metric.example, METRICS)
    assert [condition.metric for condition in rule.conditions] == [name]


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
    for cut in ("2001-07-06", "2005-06-24", "2007-06-25", "2011-10-28"):
        stored = market().at(pd.Timestamp(cut))
        then, held = (history(METRICS[name], stored), held_from(METRICS[name], stored, arguments(METRICS[name])))
        final = then.index < (held or pd.Timestamp.max)
        assert then[~final].isna().all()
        assert_same(then[final], whole.loc[:cut][final], rtol=1e-9)


FACTORS = st.fixed_dictionaries({SMALL: st.floats(0.01, 100), LARGE: st.floats(0.01, 100)})


@pytest.mark.parametrize("name", [name for name, metric in METRICS.items() if not metric.level_of_prices])
@settings(max_examples=2)
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


@pytest.mark.parametrize(
    ("name", "changed", "small", "large"),
    [
        ("price", {}, [100.0, 110.0, 99.0, 104.5], [50.0, 40.0, 60.0, 60.0]),
        ("return", {}, [None, 10.0, -10.0, 5.555556], [None, -20.0, 50.0, 0.0]),
        ("return", {"window": Window("d", 2)}, [None, None, -1.0, -5.0], [None, None, 20.0, 50.0]),
        ("drawdown", {}, [0.0, 0.0, -10.0, -5.0], [0.0, -20.0, 0.0, 0.0]),
        ("drawdown", {"fund": ""}, [0.0, 0.0, -40.0, -36.666667], None),
        ("from_high", {"n": 2}, [None, 0.0, -10.0, 0.0], [None, -20.0, 0.0, 0.0]),
        ("from_low", {"n": 3}, [None, None, 0.0, 5.555556], [None, None, 50.0, 50.0]),
        ("volatility", {"n": 2}, [None, None, 225.25230, 178.95719], [None, None, 705.6116, 455.1335]),
    ],
)
def test_golden_metrics_of_one_fund(
    name: str, changed: dict[str, Argument], small: list[float], large: list[float] | None
) -> None:
    days = pd.bdate_range("2020-01-06", periods=4)
    closes = pd.DataFrame({SMALL: [100.0, 110.0, 99.0, 104.5], LARGE: [50.0, 40.0, 60.0, 60.0]}, days)
    stored = Market(prices=closes, last_completed=days[-1])
    for fund, expected in ((SMALL, small), (LARGE, large)):
        if expected is not None:
            values = history(METRICS[name], stored, **{"fund": fund, **changed})
            np.testing.assert_allclose(values, np.array(expected, dtype=float), rtol=1e-5)


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


def test_nothing_is_overdue_before_the_first_inputs_can_have_come() -> None:
    stored = sample_market()
    assert first_overdue_session(stored, f"facts:{SMALL}", stored.sessions[0]) is None


def test_golden_readings_of_the_sample_market() -> None:
    stored = sample_market()

    def shown(name: str, **changed: Argument) -> str:
        metric = METRICS[name]
        return metric.unit.show(metric_value(metric, stored, {**arguments(metric), **changed}).value)

    assert shown("ratio") == "0.5195"
    assert shown("pe") == "75.0x"
    assert shown("pe", fund=LARGE) == "27.8x"
    assert shown("pe_premium") == "+169.78%"


def test_every_metric_is_timed() -> None:
    times = list(timings(made_up_market(sessions=300), repeats=1))
    assert [timing.name for timing in times] == list(METRICS)
    assert all(timing.milliseconds > 0 and timing.ratio > 0 for timing in times)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("made", [sample_market, pytest.param(market, marks=shared)], ids=["sample", "real"])
def test_no_value_on_record_is_outside_the_range_that_rules_are_refused_by(
    name: str, made: Callable[[], Market]
) -> None:
    entry = METRICS[name]
    short: dict[str, Argument] = {"n": 3, "window": Window("d", 1), "fund": LARGE}
    usual = entry.defaults()
    for arguments in (usual, {key: short.get(key, value) for key, value in usual.items()}):
        values = entry.history(made(), arguments).dropna()
        never = entry.range.never
        assert not [value for value in values if never(">=", value) or never("<=", value)]
