from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd
import pytest

from bot.analytics import units
from bot.analytics.market import MULTIPLE_COLUMNS, Market, Source
from bot.analytics.metrics import (
    METRICS,
    Arguments,
    Metric,
    MetricValue,
    Parameter,
    funds_of,
    metric_value,
    sources_of,
)
from bot.analytics.windows import YTD, Window, parse_window
from bot.pair import DEFAULT_PAIR
from tests.funds import LARGE, SMALL

DAYS = pd.bdate_range("2020-12-07", periods=5)
CSV, ISSUER = Source("csv", "CSV import"), Source("issuer", "issuer file")


def metric(values: list[float], lag: int = 0, part: str = "prices") -> Metric:
    """A metric with these values on the first sessions of the week, whatever the Market."""

    def history(market: Market, arguments: Arguments) -> pd.Series:
        del market, arguments
        return pd.Series(values, index=DAYS[: len(values)], dtype="float64")

    return Metric(
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


def market(**changes: object) -> Market:
    found = Market(
        prices=pd.DataFrame({SMALL: 100.0, LARGE: 300.0}, index=DAYS),
        last_completed=DAYS[-1],
        sources={"prices": CSV},
    )
    return replace(found, **changes)  # type: ignore[arg-type]


def counts(*shares: float) -> pd.DataFrame:
    return pd.DataFrame({"nav": 100.0, "shares": shares, "assets": math.nan}, index=DAYS[: len(shares)])


def why(name: str, stored: Market, **arguments: Window | str) -> str:
    """Why the metric of that name has no value."""
    found = metric_value(METRICS[name], stored, {**METRICS[name].defaults(), **arguments})
    assert (found.value, found.session, found.sessions_behind) == (None, None, 0)
    return found.reason


def test_a_reading_is_the_last_point_of_the_history() -> None:
    assert metric_value(metric([1.0, 2.0, 3.0, 4.0, 5.0]), market(), {}) == MetricValue(
        5.0, DAYS[4], "CSV import"
    )


@pytest.mark.parametrize("missing", [math.nan, math.inf, -math.inf])
def test_what_is_not_a_number_is_passed_over_and_makes_the_reading_older(missing: float) -> None:
    found = metric_value(metric([1.0, 2.0, 3.0, missing, missing]), market(), {})
    assert found == MetricValue(3.0, DAYS[2], "CSV import", 2)


@pytest.mark.parametrize(("stored", "behind"), [(5, 0), (4, 1), (3, 2), (2, 3)])
def test_the_age_of_what_arrives_late_is_the_plain_count_too(stored: int, behind: int) -> None:
    assert metric_value(metric([1.0] * stored, lag=1), market(), {}).sessions_behind == behind


def test_age_counts_the_sessions_that_were_completed_since() -> None:
    calendar = pd.bdate_range("2020-12-01", "2020-12-31")
    later = market(calendar=calendar, last_completed=pd.Timestamp("2020-12-16"))
    assert metric_value(metric([1.0] * 5), later, {}).sessions_behind == 3


def test_sources_are_those_of_the_part_that_is_read() -> None:
    stored = market(sources={"prices": CSV, "facts:IWM": ISSUER, "facts:SPY": CSV, "multiples": CSV})
    facts = metric([1.0], part="facts")
    assert sources_of(metric([1.0]), stored, {}) == "CSV import"
    assert sources_of(facts, stored, {"fund": SMALL}) == "issuer file"
    assert sources_of(facts, stored, {}) == "issuer file, CSV import"
    same = market(sources={"facts:IWM": ISSUER, "facts:SPY": ISSUER})
    assert sources_of(facts, same, {}) == "issuer file"


def test_a_part_that_is_not_stored_has_no_source() -> None:
    facts = metric([1.0], part="facts")
    assert sources_of(facts, market(), {}) == "no data"
    assert sources_of(facts, market(sources={"facts:IWM": ISSUER}), {}) == "issuer file"
    assert sources_of(metric([1.0], part="multiples"), market(), {}) == "no data"


def test_a_metric_asks_for_one_fund_or_both() -> None:
    assert funds_of(DEFAULT_PAIR, {"fund": LARGE}) == (LARGE,)
    assert funds_of(DEFAULT_PAIR, {"window": YTD}) == (SMALL, LARGE)


def test_a_missing_value_has_a_reason() -> None:
    empty = market(prices=pd.DataFrame({SMALL: [1.0]}, index=DAYS[:1]))
    assert why("ratio", empty) == "no closes of both funds stored"
    assert why("momentum", market()) == "too little history (prices from 7 Dec 2020)"
    assert why("flow", market()) == "no share counts of IWM stored"
    assert why("flow", market(), fund=LARGE) == "no share counts of SPY stored"
    assert why("flow_gap", market()) == "no share counts of IWM and SPY stored"
    assert why("flow_gap", market(facts={SMALL: counts(1e6)})) == "no share counts of SPY stored"
    frozen = counts(math.nan, math.nan)
    assert why("flow", market(facts={SMALL: frozen})) == "no share counts of IWM stored"
    short = {SMALL: counts(1e6, 2e6), LARGE: counts(1e6, 2e6).iloc[1:]}
    assert why("flow", market(facts=short)) == "too little history (share counts from 7 Dec 2020)"
    assert why("flow_gap", market(facts=short)) == "too little history (share counts from 8 Dec 2020)"
    assert why("pe", market()) == "no such multiple stored"
    assert why("pe_premium", market()) == "no such multiple stored for both funds"


@pytest.mark.parametrize("window", ["ytd", "mtd", "since 2020-12-07"])
def test_a_window_without_a_length_has_none_before_it(window: str) -> None:
    stored = market(facts={SMALL: counts(1e6, 2e6, 3e6, 4e6)})
    reason = why("flow_change", stored, window=parse_window(window))
    assert reason == f"{window} has no window before it"
    longer = why("flow_change", stored, window=Window("d", 2))
    assert longer == "too little history (share counts from 7 Dec 2020)"


def test_defaults_leave_out_what_must_be_given() -> None:
    entry = replace(
        metric([1.0]),
        parameters=(Parameter("n", "count", 200), Parameter("window", "window"), Parameter("m", "x")),
    )
    assert entry.defaults() == {"n": 200}


def test_multiples_have_a_reading_of_their_own_session() -> None:
    rows = [(DAYS[2], SMALL, "pe", "morningstar", "unstated", 28.4, "yahoo")]
    stored = market(multiples=pd.DataFrame(rows, columns=list(MULTIPLE_COLUMNS)), sources={"multiples": CSV})
    found = metric_value(METRICS["pe"], stored, METRICS["pe"].defaults())
    assert found == MetricValue(28.4, DAYS[2], "CSV import", 2)
