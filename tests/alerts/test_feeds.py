"""Feeds that fail, freeze, flag or run ahead, seen day by day as a running bot sees them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from bot.alerts.backtest import frequency
from bot.alerts.engine import Event, State, Status, evaluate, first_state
from bot.alerts.grammar import parse_rule
from bot.alerts.series import PATIENCE, Histories, known_sessions
from bot.analytics.market import Market
from bot.analytics.metrics import METRICS
from bot.analytics.sessions import Sessions
from bot.data.load import build_market
from storage.records import Bar
from tests.frames import frames
from tests.shared_data import market as shared_market
from tests.shared_data import market_at, shared

if TYPE_CHECKING:
    from bot.alerts.rule import Rule


SESSIONS = Sessions(today=dt.date(2020, 12, 31))
DAYS = SESSIONS.between(pd.Timestamp("2020-01-02"), pd.Timestamp("2020-12-31"))
LENGTHS = (1, 5, 8)
LOT = 50_000
BEFORE = 80  # sessions of history, so that there is a band


def evaluated(a_rule: Rule, state: State, market: Market) -> tuple[list[State], list[Event]]:
    run = evaluate(a_rule, state, Histories(market, METRICS).samples(a_rule, state.session, market.sessions))
    return list(run.states), list(run.events)


def day_by_day(a_rule: Rule, state: State, markets: Sequence[Market]) -> tuple[State, list[tuple[pd.Timestamp, Event]]]:
    """The last state, and each event with the session on whose evening it was known."""
    known = []
    for market in markets:
        states, events = evaluated(a_rule, state, market)
        state = states[-1] if states else state
        known += [(market.last_completed, event) for event in events]
    return state, known


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


@pytest.mark.parametrize(
    ("last", "status"),
    [
        (0.51, Status.ARMED),
        (0.5395, Status.ARMED),  # just below the threshold
        (0.5405, Status.FIRED),  # just above it
        (0.539, Status.FIRED),  # fired, and back inside its band
    ],
)
@pytest.mark.parametrize(
    ("fault", "length"), [(missing, 1), (missing, 5), (missing, 20), (one_leg, 5), (empty, 1), (empty, 5), (frozen, 5)]
)
def test_a_failing_feed_changes_nothing(fault: Fault, length: int, last: float, status: Status) -> None:
    a_rule = parse_rule("ratio > 0.54", METRICS)
    fired = status is Status.FIRED
    after = [last] * (PATIENCE + 1)  # a session that is not there at all is awaited for so long
    values = [*CALM, 0.56 if fired else 0.5, last, *([0.7] * length), *after]
    broken = fault(prices(values), BEFORE + 2, length)
    start = created(a_rule, broken)
    assert 0.002 < start.bands[0] < 0.003
    state, events = day_by_day(a_rule, start, evenings(broken))
    assert state.status is status
    assert [event.session for _, event in events] == ([DAYS[BEFORE].date()] if fired else [])
    assert state.session == broken.last_completed.date()


@pytest.mark.parametrize("length", LENGTHS)
def test_what_a_feed_held_back_is_evaluated_in_order_when_it_comes(length: int) -> None:
    """The close that fires lies inside the outage; five sessions later it counts as missing."""
    a_rule = parse_rule("ratio > 0.54", METRICS)
    whole = prices([*CALM, *([0.56] * length), 0.5])
    outage = whole.at(DAYS[BEFORE - 1])
    markets = [replace(outage, last_completed=day) for day in DAYS[BEFORE : BEFORE + length]]
    state, events = day_by_day(a_rule, created(a_rule, outage), markets)
    assert events == []
    assert state.status is Status.ARMED
    state, events = day_by_day(a_rule, state, [whole.at(DAYS[BEFORE + length])])
    first = BEFORE + max(length - PATIENCE, 0)
    assert [event.session for _, event in events] == [DAYS[first].date()]


@pytest.mark.parametrize(("fault", "length"), [(missing, 1), (missing, 20), (empty, 5)])
def test_a_confirmation_goes_on_after_a_gap(fault: Fault, length: int) -> None:
    a_rule = parse_rule("ratio > 0.54 confirm 3", METRICS)
    after = [0.56] * (PATIENCE + 1)
    broken = fault(prices([*CALM, 0.56, 0.56, *([0.1] * length), *after]), BEFORE + 2, length)
    _, events = day_by_day(a_rule, created(a_rule, broken), evenings(broken))
    assert [event.session for _, event in events] == [DAYS[BEFORE + 2 + length].date()]


# Share counts


def funded(counts: Sequence[float | None]) -> Market:
    """IWM's counts on consecutive sessions at a NAV of $100; None where there is none."""
    index = DAYS[: len(counts)]
    frame = pd.DataFrame({"nav": 100.0, "shares": list(counts), "assets": np.nan}, index=index, dtype="float64").dropna(
        subset="shares"
    )
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
        # above 15% of assets: held until it has stood for five sessions, then evaluated in order
        ("BIG, confirmed", (200, *QUIET), 0, 5),
        ("BIG, stood without a change", (200, 0, 0, 0, 0, 0), 0, 5),
        ("BIG, a count missing meanwhile", (200, None, *QUIET), 0, 6),
        ("BIG, undone", (200, -200, *QUIET), None, None),
        ("BIG, undone later", (200, 1, -1, 1, -1, -200, *QUIET), None, None),
        ("IMPOSSIBLE, confirmed", (2000, *QUIET), 0, 5),
        ("IMPOSSIBLE, then BIG", (2000, 1, 800, *QUIET), 0, 5),
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
    start = created(a_rule, funded(counts[:60]), 60)
    assert start.status is Status.ARMED
    markets = [funded(counts[: day + 1]) for day in range(60, len(counts))]
    _, events = day_by_day(a_rule, start, markets)
    days = list(DAYS.date)
    fired = [(days.index(event.session) - 60, days.index(known.date()) - 60) for known, event in events]
    assert fired == ([] if session is None else [(session, evening)]), name


@pytest.mark.parametrize("length", LENGTHS)
def test_a_frozen_count_fires_and_arms_nothing(length: int) -> None:
    """After three sessions it says nothing; when it moves again its step is evaluated with the next count."""
    a_rule = parse_rule("flow iwm 5d > $400m", METRICS)
    counts = lots(100, 1, *([0] * length))
    markets = [funded(counts[: day + 1]) for day in range(60, len(counts))]
    state, events = day_by_day(a_rule, created(a_rule, funded(counts[:60]), 60), markets)
    assert [event.session for _, event in events] == [DAYS[60].date()]
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


def test_closes_of_the_open_session_are_no_event_before_its_close_and_a_quarter() -> None:
    a_rule = parse_rule("ratio crosses 0.5", METRICS)
    days, today = DAYS[:40], DAYS[40]
    stored = [row("IWM", day, 45.0) for day in days] + [row("SPY", day, 100.0) for day in days]
    bell = SESSIONS.close(today)
    opened, settled = bell - dt.timedelta(hours=6, minutes=30), bell + dt.timedelta(minutes=15)

    def known(now: dt.datetime, close: float, provisional: int = 1) -> Market:
        live = [row("IWM", today, close, provisional), row("SPY", today, 100.0, provisional)]
        return build_market(frames({"bars": stored + live}), SESSIONS, now)

    state = first_state(a_rule, Histories(known(opened, 45.0), METRICS).samples(a_rule), days[-1].date())
    for number in range(12):
        now = opened + (settled - opened) * number / 12
        market = known(now, 45.0 + number, number // 6)  # marked as provisional by its source, or not
        assert evaluated(a_rule, state, market) == ([], [])
        assert Histories(market, METRICS).samples(a_rule).day(-1) == days[-1].date()
    assert evaluated(a_rule, state, known(settled - dt.timedelta(microseconds=1), 56.0, 0)) == ([], [])
    assert evaluated(a_rule, state, known(settled, 56.0, 1)) == ([], [])
    _, events = evaluated(a_rule, state, known(settled, 56.0, 0))
    assert [event.session for event in events] == [today.date()]


def fires(market: Market, text: str, before: int) -> list[str]:
    """Sessions on which a rule fires that was made `before` sessions before the last one."""
    rule = parse_rule(text, METRICS)
    samples = Histories(market, METRICS).samples(rule, sessions=market.sessions)
    made = market.prices.index[-1 - before]
    past = [sample for sample in samples if sample.session <= made.date()]
    state = first_state(rule, past, made.date())
    run = evaluate(rule, state, [sample for sample in samples if sample.session > made.date()])
    return [f"{event.session:%m-%d}" for event in run.events if event.kind == "fired"]


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


@shared
def test_no_spike_of_the_issuer_fires_in_a_backtest_and_what_was_real_does() -> None:
    stored, junes = shared_market(), ("2004-06", "2005-06")
    for text in ("flow iwm 5d < -$1bn", "flow iwm 1d > $1bn", "flow_pct iwm 5d < -15%", "units iwm 5d < -15%"):
        rule = parse_rule(text, METRICS)
        dates = frequency(rule, Histories(stored, METRICS).samples(rule), years=22).dates
        assert dates
        assert not [day for day in dates if f"{day:%Y-%m}" in junes]
        real = dt.date(2011, 10, 28)
        assert real in dates or text != "flow iwm 1d > $1bn"
        # what came of it is counted from the session by which it had stood
        assert known_sessions(rule, stored, [dt.date(2011, 10, 27), real, dt.date(2011, 11, 3)]) == [
            dt.date(2011, 10, 27),
            *[dt.date(2011, 11, 4)] * 2,
        ]
