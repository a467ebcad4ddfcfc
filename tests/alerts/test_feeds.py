"""Feeds that fail, freeze, flag or run ahead, seen day by day as a running bot sees them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.alerts.engine import Event, State, Status, evaluate, first_state
from bot.alerts.grammar import parse_rule
from bot.alerts.series import PATIENCE, Histories
from bot.analytics.market import Market
from bot.analytics.metrics import METRICS
from bot.analytics.sessions import Sessions
from bot.data.load import build_market
from storage.rows import Bar
from tests.alerts.examples import armed, rule, samples
from tests.alerts.strategies import THOUSAND
from tests.frames import frames

if TYPE_CHECKING:
    from bot.alerts.rule import Rule


SESSIONS = Sessions(today=dt.date(2020, 12, 31))
DAYS = SESSIONS.between(pd.Timestamp("2020-01-02"), pd.Timestamp("2020-12-31"))
LENGTHS = (1, 2, 5, 20)
LOT = 50_000
BEFORE = 80  # sessions of history, so that there is a band


def evaluated(a_rule: Rule, state: State, market: Market) -> tuple[list[State], list[Event]]:
    run = evaluate(a_rule, state, Histories(market, METRICS).samples(a_rule, state.session, market.sessions))
    return list(run.states), list(run.events)


def day_by_day(
    a_rule: Rule, state: State, markets: Sequence[Market]
) -> tuple[State, list[tuple[pd.Timestamp, Event]]]:
    """The last state, and each event with the session on whose evening it was known."""
    found = []
    for market in markets:
        states, events = evaluated(a_rule, state, market)
        state = states[-1] if states else state
        found += [(market.last_completed, event) for event in events]
    return state, found


# Prices


def prices(ratio: Sequence[float]) -> Market:
    index = DAYS[: len(ratio)]
    frame = pd.DataFrame({"IWM": 100 * np.array(ratio), "SPY": 100.0}, index=index)
    return Market(prices=frame, last_completed=index[-1], calendar=SESSIONS.index)


def missing(market: Market, begin: int, length: int) -> Market:
    """A feed whose closes are NaN for some sessions."""
    frame = market.prices.copy()
    frame.iloc[begin : begin + length] = np.nan
    return replace(market, prices=frame)


def one_leg(market: Market, begin: int, length: int) -> Market:
    """A feed that has lost one fund."""
    frame = market.prices.copy()
    frame.iloc[begin : begin + length, 0] = np.nan
    return replace(market, prices=frame)


def empty(market: Market, begin: int, length: int) -> Market:
    """A feed without some sessions."""
    return replace(market, prices=market.prices.drop(market.prices.index[begin : begin + length]))


def frozen(market: Market, begin: int, length: int) -> Market:
    """A feed that repeats the last close before."""
    frame = market.prices.copy()
    frame.iloc[begin : begin + length] = frame.iloc[begin - 1].to_numpy()
    return replace(market, prices=frame)


def created(a_rule: Rule, market: Market, first: int = BEFORE) -> State:
    """The state of a rule made on the evening before the session of that number."""
    before = DAYS[first - 1]
    return first_state(a_rule, Histories(market.at(before), METRICS).samples(a_rule), before.date())


def evenings(market: Market) -> list[Market]:
    """What is known of prices on each evening from then on."""
    return [market.at(day) for day in DAYS[BEFORE:] if day <= market.last_completed]


Fault = Callable[[Market, int, int], Market]
CALM = [0.49, 0.51] * (BEFORE // 2)  # sd 0.01, a band of 0.0025


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("fault", [missing, one_leg, empty, frozen])
@pytest.mark.parametrize(
    ("last", "status"),
    [
        (0.51, Status.ARMED),
        (0.5395, Status.ARMED),  # just below the threshold
        (0.5405, Status.FIRED),  # just above it
        (0.539, Status.FIRED),  # fired, and back inside its band
    ],
)
def test_a_price_feed_that_fails_fires_and_arms_nothing(
    fault: Fault, length: int, last: float, status: Status
) -> None:
    a_rule = parse_rule("ratio > 0.54", METRICS)
    fired = [0.56] if status is Status.FIRED else [0.5]
    after = [last] * (PATIENCE + 1)  # a session that is not there at all is awaited for so long
    broken = fault(prices([*CALM, *fired, last, *([0.7] * length), *after]), BEFORE + 2, length)
    made = created(a_rule, broken)
    assert 0.002 < made.bands[0] < 0.003
    state, found = day_by_day(a_rule, made, evenings(broken))
    assert state.status is status
    assert [event.session for _, event in found] == ([DAYS[BEFORE].date()] if status is Status.FIRED else [])
    assert state.session == broken.last_completed.date()


@pytest.mark.parametrize("length", LENGTHS)
def test_what_a_feed_held_back_is_evaluated_in_order_when_it_comes(length: int) -> None:
    """The close that fires lies inside the outage; five sessions later it counts as missing."""
    a_rule = parse_rule("ratio > 0.54", METRICS)
    whole = prices([*CALM, *([0.56] * length), 0.5])
    outage = whole.at(DAYS[BEFORE - 1])
    markets = [replace(outage, last_completed=day) for day in DAYS[BEFORE : BEFORE + length]]
    state, found = day_by_day(a_rule, created(a_rule, outage), markets)
    assert found == []
    assert state.status is Status.ARMED
    state, found = day_by_day(a_rule, state, [whole.at(DAYS[BEFORE + length])])
    first = BEFORE + max(length - PATIENCE, 0)
    assert [event.session for _, event in found] == [DAYS[first].date()]


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("fault", [missing, empty])
def test_a_confirmation_goes_on_after_a_gap(fault: Fault, length: int) -> None:
    a_rule = parse_rule("ratio > 0.54 confirm 3", METRICS)
    after = [0.56] * (PATIENCE + 1)
    broken = fault(prices([*CALM, 0.56, 0.56, *([0.1] * length), *after]), BEFORE + 2, length)
    _, found = day_by_day(a_rule, created(a_rule, broken), evenings(broken))
    assert [event.session for _, event in found] == [DAYS[BEFORE + 2 + length].date()]


# Share counts


def funded(counts: Sequence[float | None]) -> Market:
    """IWM's counts on consecutive sessions at a NAV of $100; None where there is none."""
    index = DAYS[: len(counts)]
    frame = pd.DataFrame(
        {"nav": 100.0, "shares": list(counts), "assets": np.nan}, index=index, dtype="float64"
    ).dropna(subset="shares")
    closes = pd.DataFrame({"IWM": 100.0, "SPY": 200.0}, index=index)
    return Market(prices=closes, facts={"IWM": frame}, last_completed=index[-1], calendar=SESSIONS.index)


def lots(*changes: float | None) -> list[float | None]:
    """Counts after quiet weeks: one lot in, one lot out; then the changes in lots, None for no count."""
    counts: list[float | None] = [float(LOT * (1000 + number % 2)) for number in range(60)]
    count = float(LOT * 1000)
    for change in changes:
        count += LOT * (change or 0)
        counts.append(None if change is None else count)
    return counts


QUIET = (1, -1, 1, -1, 1)


@pytest.mark.parametrize(
    ("name", "changes", "session", "evening"),
    [
        # one plain day of +$500m (100 lots of $5m) fires with its own count
        ("plain", (100, *QUIET), 0, 0),
        # above 15% of assets: not before the next count, which does not undo it
        ("BIG, confirmed", (200, *QUIET), 1, 1),
        ("BIG, undone", (200, -200, *QUIET), None, None),
        ("BIG, undone later", (200, 1, -1, -200, *QUIET), 1, 1),
        # not in whole lots
        ("LOT", (100.5, *QUIET), 1, 1),
        # several sessions in one step; the one without a count is awaited for five sessions
        ("GAP", (None, 100, *QUIET), 2, 5),
    ],
)
def test_a_flagged_day_never_fires_by_itself(
    name: str, changes: tuple[float | None, ...], session: int | None, evening: int | None
) -> None:
    a_rule = parse_rule("flow iwm 5d > $400m", METRICS)
    counts = lots(*changes)
    made = created(a_rule, funded(counts[:60]), 60)
    assert made.status is Status.ARMED
    markets = [funded(counts[: day + 1]) for day in range(60, len(counts))]
    _, found = day_by_day(a_rule, made, markets)
    days = list(DAYS.date)
    told = [(days.index(event.session) - 60, days.index(known.date()) - 60) for known, event in found]
    assert told == ([] if session is None else [(session, evening)]), name


@pytest.mark.parametrize("length", LENGTHS)
def test_a_frozen_count_fires_and_arms_nothing(length: int) -> None:
    """After three sessions it says nothing; when it moves again its step is evaluated with the next count."""
    a_rule = parse_rule("flow iwm 5d > $400m", METRICS)
    counts = lots(100, 1, *([0] * length))
    markets = [funded(counts[: day + 1]) for day in range(60, len(counts))]
    state, found = day_by_day(a_rule, created(a_rule, funded(counts[:60]), 60), markets)
    assert [event.session for _, event in found] == [DAYS[60].date()]
    assert state.status is Status.FIRED


# Live bars


def row(ticker: str, day: pd.Timestamp, close: float, provisional: int = 0) -> Bar:
    return Bar(
        ticker,
        f"{day:%Y-%m-%d}",
        close,
        provisional=provisional,
        source="yahoo",
        observed_at=f"{day:%Y-%m-%d}T19:00:00Z",
    )


def test_a_hundred_closes_of_the_open_session_are_no_event_before_its_close_and_a_quarter() -> None:
    a_rule = parse_rule("ratio crosses 0.5", METRICS)
    days, today = DAYS[:40], DAYS[40]
    stored = [row("IWM", day, 45.0) for day in days] + [row("SPY", day, 100.0) for day in days]
    bell = SESSIONS.close(today)
    opened, settled = bell - dt.timedelta(hours=6, minutes=30), bell + dt.timedelta(minutes=15)

    def known(now: dt.datetime, close: float, provisional: int = 1) -> Market:
        live = [row("IWM", today, close, provisional), row("SPY", today, 100.0, provisional)]
        return build_market(frames({"bars": stored + live}), SESSIONS, now)

    state = first_state(a_rule, Histories(known(opened, 45.0), METRICS).samples(a_rule), days[-1].date())
    for number in range(100):
        now = opened + (settled - opened) * number / 100
        market = known(now, 45.0 + number % 12, number // 50)  # marked as provisional by its source, or not
        assert evaluated(a_rule, state, market) == ([], [])
        assert Histories(market, METRICS).samples(a_rule).day(-1) == days[-1].date()
    assert evaluated(a_rule, state, known(settled - dt.timedelta(microseconds=1), 56.0, 0)) == ([], [])
    assert evaluated(a_rule, state, known(settled, 56.0, 1)) == ([], [])
    _, events = evaluated(a_rule, state, known(settled, 56.0, 0))
    assert [event.session for event in events] == [today.date()]


# A value that dances on its threshold


@THOUSAND
@given(
    st.sampled_from(["ratio > 5", "ratio >= 5", "ratio < 5", "ratio <= 5", "ratio > 5 cooldown 3"]),
    st.integers(0, 2**32 - 1),
    st.floats(0.01, 0.999),
)
def test_noise_inside_the_band_for_a_year_fires_at_most_once(text: str, seed: int, share: float) -> None:
    noise = np.random.default_rng(seed).uniform(-1, 1, 252)
    a_rule = rule(text)
    state = armed(a_rule, 0.5)
    assert len(evaluate(a_rule, state, samples((5 + 0.5 * share * noise).tolist())).events) <= 1
