"""Flagged days through the alert engine: a doubtful count fires nothing by itself."""

from __future__ import annotations

import pandas as pd
import pytest

from bot.alerts.engine import evaluate, first_state
from bot.alerts.grammar import parse_rule
from bot.alerts.series import Histories
from bot.analytics.flows import prepare_counts
from bot.analytics.market import Market, Source
from bot.analytics.metrics import METRICS
from bot.analytics.sessions import Sessions
from tests.funds import SMALL
from tests.shared_data import market_at, shared

XNYS = Sessions()
QUIET = 40  # sessions on which a lot comes in or goes out before anything happens
LOTS = 0.05  # millions


def counted(*last: float | None, value: float = 100.0) -> Market:
    """A Market whose count moves by a lot a session and then as given (millions; None: no count)."""
    counts = [250.0 + LOTS * (number % 2) for number in range(QUIET)] + list(last)
    index = XNYS.index[XNYS.index.searchsorted(pd.Timestamp("2020-06-01")) :][: len(counts)]
    shares = pd.Series([None if count is None else count * 1e6 for count in counts], index, dtype="float64")
    values = [100.0] * QUIET + [value] * len(last)
    facts = pd.DataFrame({"nav": values, "shares": shares, "assets": float("nan")}, index)
    return Market(
        prices=pd.DataFrame({"IWM": 100.0, "SPY": 300.0}, index),
        last_completed=index[-1],
        facts={SMALL: facts.dropna(subset=["shares"])},
        sources={"facts:IWM": Source("issuer", "issuer file")},
        calendar=XNYS.index,
    )


def fires(market: Market, text: str, before: int) -> list[str]:
    """Sessions on which a rule fires that was made `before` sessions before the last one."""
    rule = parse_rule(text, METRICS)
    samples = Histories(market, METRICS).samples(rule, sessions=market.sessions)
    made = market.prices.index[-1 - before]
    past = [sample for sample in samples if sample.session <= made.date()]
    state = first_state(rule, past, made.date())
    run = evaluate(rule, state, [sample for sample in samples if sample.session > made.date()])
    return [f"{event.session:%m-%d}" for event in run.events if event.kind == "fired"]


DOUBTFUL = {
    "BIG": (295.0,),
    "LOT": (255.0123,),
    "GAP": (None, None, 255.0),
    "SPLIT": (500.0,),
    "SPIKE_REVERT": (295.0, 250.0),
}


@pytest.mark.parametrize("rule", ["flow iwm 1d > $100m", "flow_pct iwm 1d > 1%", "units iwm 1d > 1%"])
@pytest.mark.parametrize("flag", DOUBTFUL)
def test_a_doubtful_day_fires_nothing(flag: str, rule: str) -> None:
    counts = DOUBTFUL[flag]
    market = counted(*counts, value=50.0 if flag == "SPLIT" else 100.0)
    assert prepare_counts(market.fund(SMALL), market.sessions)["flag"].iloc[-1] == flag
    assert fires(market, rule, len(counts)) == []


def test_the_same_flow_on_a_day_without_a_flag_fires() -> None:
    assert fires(counted(255.0), "flow iwm 1d > $100m", 1) == ["07-28"]


def test_outflows_of_a_spikes_end_fire_nothing() -> None:
    assert fires(counted(295.0, 250.0), "flow iwm 1d < -$100m", 2) == []


def test_a_frozen_count_does_not_bring_a_rule_back() -> None:
    """A count that stands still says nothing: zero flow below a threshold is no event either."""
    frozen = counted(260.0, 260.0, 260.0, 260.0, 260.0)
    assert list(prepare_counts(frozen.fund(SMALL), frozen.sessions)["flag"].iloc[-2:]) == ["STALE", "STALE"]
    assert fires(frozen, "flow iwm 3d < $1m", 5) == []
    assert fires(counted(260.0, 260.05, 260.0, 260.05, 260.0), "flow iwm 3d < $1m", 5) != []


def test_a_big_flow_fires_once_the_next_count_has_not_undone_it() -> None:
    assert fires(counted(295.0, 295.05), "flow iwm 5d > $1bn", 2) == ["07-29"]


def test_a_count_that_was_replaced_is_evaluated_with_the_new_one() -> None:
    market = counted(250.1)
    facts = market.fund(SMALL).assign(was=float("nan"))
    facts.loc[facts.index[-1], "was"] = 260e6
    assert prepare_counts(facts, market.sessions)["flag"].iloc[-1] == "REVISED"
    assert fires(market, "flow iwm 1d > $100m", 1) == []


@shared
@pytest.mark.parametrize(
    ("day", "rule"),
    [
        ("2004-04-30", "flow iwm 1d > $1bn"),
        ("2004-05-03", "flow iwm 1d < -$1bn"),
        ("2005-06-15", "flow iwm 1d > $1bn"),
        ("2005-06-16", "flow iwm 1d < -$1bn"),
        ("2007-06-21", "flow iwm 1d < -$1bn"),
        ("2007-06-26", "flow iwm 1d > $1bn"),
        ("2007-06-28", "flow iwm 1d > $1bn"),
        ("2007-06-29", "flow iwm 1d < -$1bn"),
        ("2011-10-28", "flow iwm 1d > $1bn"),
    ],
)
def test_the_issuers_doubtful_days_fire_nothing(day: str, rule: str) -> None:
    assert fires(market_at(day), rule, 1) == []
