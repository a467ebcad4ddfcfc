from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.alerts.grammar import parse_rule
from bot.alerts.series import Histories
from bot.analytics.market import MULTIPLE_COLUMNS, Market
from bot.analytics.metrics import METRICS, close_behind, metric_value
from bot.analytics.valuation import (
    GROUP,
    SECTOR,
    FundMultiple,
    ReturnSplit,
    basis_for,
    convention_for,
    implied_index,
    implied_per_share,
    margins,
    multiple_figures,
    multiple_history,
    nearest_figure,
    newest_weights,
    premium_history,
    return_split,
    return_splits,
)
from bot.analytics.windows import YTD, Window, parse_window
from tests.analytics.facts import facts_at
from tests.funds import LARGE, SMALL

DAYS = pd.bdate_range("2020-12-07", periods=5)
NAN = math.nan


def row(
    day: int,
    ticker: str,
    value: float,
    metric: str = "pe",
    convention: str = "losses_in",
    basis: str = "forward",
    source: str = "csv",
) -> tuple[object, ...]:
    return (DAYS[day], ticker, metric, convention, basis, value, source)


def market(*rows: tuple[object, ...]) -> Market:
    frame = pd.DataFrame(list(rows), columns=list(MULTIPLE_COLUMNS))
    return Market(
        prices=pd.DataFrame({SMALL: 100.0, LARGE: 300.0}, index=DAYS),
        last_completed=DAYS[-1],
        multiples=frame.astype({"session": "datetime64[ns]", "value": "float64"}),
    )


def both(day: int, small: float, large: float, **kind: str) -> list[tuple[object, ...]]:
    """A figure of each fund."""
    return [row(day, SMALL, small, **kind), row(day, LARGE, large, **kind)]


def test_a_history_is_of_one_fund_metric_convention_and_basis() -> None:
    stored = market(
        row(0, SMALL, 71.0),
        row(1, SMALL, 75.0),
        row(1, LARGE, 27.0),
        row(1, SMALL, 2.3, metric="pb"),
        row(2, SMALL, 25.0, convention="positive"),
        row(2, SMALL, 60.0, convention="capped", basis="trailing"),
        row(0, SMALL, 69.0, convention="capped", source="yahoo"),
        row(0, SMALL, 70.0, convention="capped"),  # of two figures of a session the last one counts
        row(3, SMALL, 65.0, convention="capped", basis="trailing"),
    )
    assert multiple_history(stored, SMALL, "pe", "losses_in").to_dict() == {DAYS[0]: 71.0, DAYS[1]: 75.0}
    assert multiple_history(stored, LARGE, "pe", "losses_in").to_dict() == {DAYS[1]: 27.0}
    assert multiple_history(stored, LARGE, "pe", "positive").empty
    assert multiple_history(market(), SMALL, "pe", "losses_in").empty
    # the newest basis, unless another is asked for
    assert multiple_history(stored, SMALL, "pe", "capped").tolist() == [60.0, 65.0]
    assert multiple_history(stored, SMALL, "pe", "capped", "forward").tolist() == [70.0]
    assert multiple_history(stored, SMALL, "pe", "capped", "unstated").empty


@pytest.mark.parametrize(
    ("rows", "basis", "expected"),
    [
        # in percent on sessions of both
        (
            [row(0, SMALL, 50.0), *both(1, 30.0, 20.0), *both(2, 20.0, 25.0), row(3, LARGE, 25.0)],
            None,
            {1: 50.0, 2: -20.0},
        ),
        # conventions and bases are never set against each other
        ([row(1, SMALL, 30.0), row(1, LARGE, 20.0, convention="positive")], None, {}),
        ([row(1, SMALL, 30.0), row(1, LARGE, 20.0, basis="trailing")], None, {}),
        ([*both(1, 30.0, 20.0), row(2, SMALL, 28.0, basis="trailing"), row(2, LARGE, 20.0)], None, {1: 50.0}),
        ([*both(1, 30.0, 20.0), row(2, SMALL, 28.0, basis="trailing")], "trailing", {}),
        # the basis is the newest one that both funds have
        (
            [
                *both(2, 2.0, 1.0, basis="trailing"),
                *both(0, 10.0, 9.0),
                *both(1, 4.0, 3.0, basis="unstated"),
                row(3, SMALL, 5.0, basis="own"),
            ],
            None,
            {2: 100.0},
        ),
        # other multiples do not choose it
        (
            [
                *both(1, 30.0, 0.5),
                *both(2, 1.0, 1.0, metric="pb", basis="trailing"),
                *both(3, 1.0, 1.0, convention="positive", basis="trailing"),
            ],
            None,
            {1: 5900.0},
        ),
        # over nothing or less there is none
        ([*both(0, 30.0, 0.0), *both(1, 30.0, -5.0)], None, {}),
    ],
)
def test_the_premium(rows: list[tuple[object, ...]], basis: str | None, expected: dict[int, float]) -> None:
    premium = premium_history(market(*rows), "pe", "losses_in", basis)
    assert premium.to_dict() == pytest.approx({DAYS[day]: value for day, value in expected.items()})
    if basis is None and len(expected) == 1:
        assert premium_history(market(*reversed(rows)), "pe", "losses_in").tolist() == pytest.approx(
            list(expected.values())
        )


def test_every_figure_has_its_convention_basis_sessions_and_place() -> None:
    stored = market(
        row(0, SMALL, 50.0, source="issuer"),
        row(0, LARGE, 25.0),
        row(1, SMALL, 40.0),
        row(1, LARGE, 25.0, source="yahoo"),
        row(1, SMALL, 2.0, metric="pb", convention="morningstar", basis="unstated", source="yahoo"),
        row(2, LARGE, 4.0, metric="pb", convention="morningstar", basis="unstated", source="yahoo"),
        row(2, LARGE, 1.5, metric="yield", convention="yahoo", basis="trailing", source="yahoo"),
    )
    pe, pb, dividends = multiple_figures(stored)
    assert (pe.metric, pe.convention, pe.basis) == ("pe", "losses_in", "forward")
    assert (pe.small.value, pe.large.value, round(pe.premium or 0, 9)) == (40.0, 25.0, 60.0)
    assert (pe.small.session, pe.large.session) == (DAYS[1], DAYS[1])
    assert (pe.percentile, pe.observations, pe.first) == (50.0, 2, DAYS[0])
    # of different sessions: no premium
    assert (pb.small.value, pb.large.value, pb.premium, pb.percentile) == (2.0, 4.0, None, None)
    assert (pb.small.session, pb.large.session) == (DAYS[1], DAYS[2])
    assert (dividends.small, dividends.large.value) == (FundMultiple(), 1.5)
    assert (dividends.observations, dividends.first, dividends.premium) == (0, None, None)


def test_a_figure_is_of_its_own_metric_convention_and_basis() -> None:
    kinds = [
        ("pe", "losses_in", "forward"),
        ("pe", "losses_in", "trailing"),
        ("pe", "positive", "forward"),
        ("pb", "losses_in", "forward"),
    ]
    stored = market(
        *(row(number, SMALL, 10.0 + number, *kind) for number, kind in enumerate(kinds)),
        *(row(number, SMALL, 20.0 + number, *kind) for number, kind in reversed(list(enumerate(kinds)))),
    )
    found = {(f.metric, f.convention, f.basis): (f.small.value, f.small.session) for f in multiple_figures(stored)}
    assert found == {kind: (20.0 + number, DAYS[number]) for number, kind in enumerate(kinds)}


def test_across_sessions_there_is_no_premium_but_its_history_stays() -> None:
    stored = market(*both(0, 50.0, 25.0), row(1, SMALL, 40.0), *both(1, 30.0, 20.0, basis="trailing"))
    forward, trailing = multiple_figures(stored)
    assert (forward.small.value, forward.large.value, forward.premium) == (40.0, 25.0, None)
    assert (forward.observations, forward.first) == (1, DAYS[0])
    assert trailing.premium == pytest.approx(50.0)  # of its own basis


def test_figures_stand_in_the_order_of_the_multiples_then_by_convention_and_basis() -> None:
    stored = market(
        row(0, SMALL, 1.0, metric="yield"),
        row(0, SMALL, 1.0, metric="own"),
        row(0, SMALL, 1.0, metric="pb"),
        row(0, SMALL, 1.0, basis="trailing"),
        row(0, SMALL, 1.0),
        row(0, SMALL, 1.0, convention="capped"),
    )
    assert [(f.metric, f.convention, f.basis) for f in multiple_figures(stored)] == [
        ("pe", "capped", "forward"),
        ("pe", "losses_in", "forward"),
        ("pe", "losses_in", "trailing"),
        ("pb", "losses_in", "forward"),
        ("yield", "losses_in", "forward"),
        ("own", "losses_in", "forward"),
    ]
    assert multiple_figures(market()) == []


# Fundamentals

QUARTERS = pd.DatetimeIndex(["2019-12-31", "2020-03-31", "2020-06-30", "2020-09-30", "2020-12-11"])
POSITIVE = st.floats(0.1, 1_000)


def figure(
    day: str, value: float, metric: str = "pe", ticker: str = SMALL, convention: str = "losses_in"
) -> tuple[object, ...]:
    return (pd.Timestamp(day), ticker, metric, convention, "forward", value, "csv")


def quarterly(*rows: tuple[object, ...], small: tuple[float, ...] = (100.0, 60.0, 80.0, 90.0, 120.0)) -> Market:
    frame = pd.DataFrame(list(rows), columns=list(MULTIPLE_COLUMNS))
    return Market(
        prices=pd.DataFrame({SMALL: small, LARGE: 300.0}, index=QUARTERS),
        last_completed=QUARTERS[-1],
        multiples=frame.astype({"session": "datetime64[ns]", "value": "float64"}),
    )


def dated(*rows: tuple[object, ...], prices_of: tuple[str | None, ...]) -> Market:
    """A Market whose multiples state the dates of the prices they were computed from."""
    stored = quarterly(*rows)
    return replace(stored, multiples=stored.multiples.assign(price_date=prices_of))


def test_a_figure_is_implied_by_the_price_that_its_multiple_was_computed_from() -> None:
    stored = dated(
        figure("2020-06-30", 20.0),
        figure("2020-09-30", 20.0),
        figure("2020-12-11", 20.0),
        prices_of=("2020-03-31", None, "2020-10-04"),  # a Sunday: the close before
    )
    assert implied_per_share(stored, SMALL, "pe", "losses_in").to_dict() == {
        QUARTERS[2]: 3.0,
        QUARTERS[3]: 4.5,
        QUARTERS[4]: 4.5,
    }
    early = dated(figure("2020-06-30", 20.0), prices_of=("1999-03-31",))
    assert implied_per_share(early, SMALL, "pe", "losses_in").empty  # it is before all sessions


def test_the_split_runs_between_the_prices_behind_the_multiples() -> None:
    stored = dated(figure("2019-12-31", 25.0), figure("2020-12-11", 30.0), prices_of=(None, "2020-09-30"))
    split = return_split(stored, SMALL, YTD, "losses_in")
    assert isinstance(split, ReturnSplit)
    assert (split.first, split.last) == (QUARTERS[0], QUARTERS[3])
    assert split.price == pytest.approx(-10.0)  # 100 to 90, not to the 120 of the end
    assert (1 + split.earnings / 100) * (1 + split.multiple / 100) == pytest.approx(0.9)


@pytest.mark.parametrize("metric", ["pe", "pcf", "pb", "ps"])
def test_an_index_is_100_at_the_base_and_moves_with_price_over_multiple(metric: str) -> None:
    stored = quarterly(
        figure("2019-12-31", 25.0, metric), figure("2020-06-30", 16.0, metric), figure("2020-12-11", 60.0, metric)
    )
    index = implied_index(stored, SMALL, metric, "losses_in", YTD)
    assert index.to_dict() == {QUARTERS[0]: 100.0, QUARTERS[2]: 125.0, QUARTERS[4]: 50.0}
    assert implied_index(stored, SMALL, metric, "losses_in", parse_window("10y")).empty
    assert implied_index(stored, LARGE, metric, "losses_in", YTD).empty


def test_the_articles_rise_with_half_the_earnings_is_a_multiple_that_more_than_doubled() -> None:
    facts = facts_at("2020-12-11")
    earned = 165.67 / 33.3
    multiples = pd.DataFrame(
        [figure("2019-12-31", 33.3), figure("2020-12-11", 190.30 / (earned * 0.51))], columns=list(MULTIPLE_COLUMNS)
    ).astype({"session": "datetime64[ns]"})
    split = return_split(Market(facts.prices, facts.last_completed, multiples=multiples), SMALL, YTD, "losses_in")
    assert isinstance(split, ReturnSplit)
    assert f"{split.price:+.1f} {split.earnings:+.0f} {split.multiple:+.0f}" == "+14.9 -49 +125"
    assert split.convention == "losses_in"
    assert (split.first, split.last) == (QUARTERS[0], QUARTERS[-1])
    assert (split.pe_first, round(split.pe_last, 1)) == (33.3, 75.0)


@given(POSITIVE, POSITIVE, POSITIVE, POSITIVE)
def test_the_split_is_exact(before: float, now: float, pe_before: float, pe_now: float) -> None:
    stored = quarterly(
        figure("2019-12-31", pe_before), figure("2020-12-11", pe_now), small=(before, 1.0, 1.0, 1.0, now)
    )
    split = return_split(stored, SMALL, YTD, "losses_in")
    assert isinstance(split, ReturnSplit)
    logs = [math.log1p(percent / 100) for percent in (split.earnings, split.multiple, split.price)]
    assert logs[0] + logs[1] == pytest.approx(logs[2], abs=1e-6)
    assert split.price == pytest.approx(100 * (now / before - 1), rel=1e-9, abs=1e-9)
    assert split.multiple == pytest.approx(100 * (pe_now / pe_before - 1), rel=1e-9, abs=1e-9)


def test_a_multiple_up_to_a_month_old_stands_for_its_session_and_the_split_runs_between_their_dates() -> None:
    stored = quarterly(figure("2020-03-31", 20.0), figure("2020-06-30", 30.0))
    split = return_split(stored.at(pd.Timestamp("2020-07-31")), SMALL, parse_window("since 2020-05-01"), "losses_in")
    assert isinstance(split, ReturnSplit)
    assert (split.first, split.last) == (QUARTERS[1], QUARTERS[2])
    assert split.price == pytest.approx(100 * (80 / 60 - 1))


@pytest.mark.parametrize(
    ("target", "found"),
    [
        ("2020-06-30", "2020-06-30"),
        ("2020-07-31", "2020-06-30"),  # 31 days
        ("2020-08-01", None),
        ("2020-06-29", None),  # 90 days after the one before
        ("2020-01-15", "2019-12-31"),
        ("2019-12-30", None),
    ],
)
def test_the_nearest_figure_is_none_to_come_and_at_most_31_days_old(target: str, found: str | None) -> None:
    expected = None if found is None else pd.Timestamp(found)
    assert nearest_figure(QUARTERS, pd.Timestamp(target)) == expected


def test_a_split_that_cannot_be_given_says_why() -> None:
    base, end = figure("2019-12-31", 33.3), figure("2020-12-11", 75.0)
    assert return_split(quarterly(), SMALL, YTD, "losses_in") == "no P/E stored"
    assert return_split(quarterly(base, end), LARGE, YTD, "losses_in") == "no P/E stored"
    assert return_split(quarterly(base, end), SMALL, YTD, "positive") == "no P/E stored"
    later = return_split(quarterly(figure("2020-09-30", 61.1), end), SMALL, YTD, "losses_in")
    assert later == "P/E is recorded from 30 Sep 2020"
    old = return_split(quarterly(base, end), SMALL, parse_window("since 2020-09-30"), "losses_in")
    assert old == "no P/E is stored for the 31 days up to 30 Sep 2020"
    ended = return_split(quarterly(base, figure("2020-06-30", 52.1)), SMALL, YTD, "losses_in")
    assert ended == "no P/E is stored for the 31 days up to 11 Dec 2020"
    one = return_split(
        quarterly(figure("2020-09-30", 61.1)).at(QUARTERS[3]), SMALL, parse_window("since 2020-09-30"), "losses_in"
    )
    assert one == "no P/E is stored after 30 Sep 2020"


def test_without_prices_for_the_window_there_is_no_split() -> None:
    stored = quarterly(figure("2019-12-31", 33.3), figure("2020-12-11", 75.0))
    too_long = return_split(stored, SMALL, Window("y", 5), "losses_in")
    assert too_long == "too little history"
    empty = Market(stored.prices.iloc[:0], QUARTERS[-1], multiples=stored.multiples)
    assert return_split(empty, SMALL, YTD, "losses_in") == "too little history"


def test_implied_figures_are_price_over_multiple_where_both_are_stored() -> None:
    stored = quarterly(
        figure("2019-12-31", 25.0),
        figure("2020-01-02", 26.0),  # no price
        figure("2020-06-30", -4.0),  # losses: nothing is implied
        figure("2020-09-30", 0.0),
        figure("2020-12-11", 60.0),
        figure("2020-12-11", 2.0, metric="pb"),
    )
    assert implied_per_share(stored, SMALL, "pe", "losses_in").to_dict() == {QUARTERS[0]: 4.0, QUARTERS[4]: 2.0}
    assert implied_per_share(stored, SMALL, "pb", "losses_in").to_dict() == {QUARTERS[4]: 60.0}
    assert implied_per_share(stored, LARGE, "pe", "losses_in").empty
    alone = Market(stored.prices[[LARGE]], QUARTERS[-1], multiples=stored.multiples)
    assert implied_per_share(alone, SMALL, "pe", "losses_in").empty


def ratios(of: Market, ticker: str = SMALL, basis: str | None = None) -> list[tuple[float, str] | None]:
    """Net margin and return on equity with their days."""
    return [ratio and (ratio.value, f"{ratio.session:%m-%d}") for ratio in margins(of, ticker, "losses_in", basis)]


def test_margin_and_return_on_equity_are_of_the_last_session_with_both_multiples() -> None:
    stored = quarterly(
        figure("2020-09-30", 50.0),
        figure("2020-12-11", 75.0),
        figure("2020-12-11", 1.5, metric="ps"),
        figure("2020-09-30", 2.0, metric="pb"),
    )
    assert ratios(stored) == [(2.0, "12-11"), (4.0, "09-30")]
    assert ratios(stored, LARGE) == [None, None]
    losing = quarterly(figure("2020-12-11", -5.0), figure("2020-12-11", 1.5, metric="ps"))
    assert ratios(losing) == [None, None]
    nothing = quarterly(figure("2020-12-11", 0.0), figure("2020-12-11", 1.5, metric="ps"))
    assert ratios(nothing) == [None, None]


def trailing(*row: object) -> tuple[object, ...]:
    return (*row[:4], "trailing", *row[5:])


def test_figures_of_two_bases_or_two_days_are_not_divided() -> None:
    stored = quarterly(
        trailing(*figure("2020-06-30", 40.0)),
        trailing(*figure("2020-06-30", 2.0, metric="ps")),
        trailing(*figure("2020-12-11", 3.0, metric="ps")),
        figure("2020-12-11", 75.0),
        figure("2019-12-31", 1.0, metric="pb", ticker=LARGE),
    )
    assert basis_for(stored, "losses_in") == "trailing"  # of the most kinds
    assert basis_for(stored, "positive") is None
    assert ratios(stored, basis="trailing") == [(5.0, "06-30"), None]
    assert ratios(stored) == [None, None]  # there is no forward P/S
    rows = [
        figure(day, value, metric=metric)
        for day in ("2020-06-30", "2020-12-11")
        for metric, value in (("pe", 50.0), ("ps", 2.0))
    ]
    other_day = dated(*rows, prices_of=(None, None, "2020-12-11", "2020-09-30"))
    assert ratios(other_day) == [(4.0, "06-30"), None]


def test_both_returns_are_split_by_the_newest_basis_that_can() -> None:
    stored = quarterly(
        *(trailing(*figure(day, 25.0, ticker=t)) for day in ("2019-12-31", "2020-12-11") for t in (SMALL, LARGE)),
        figure("2020-12-11", 75.0),
        figure("2020-12-11", 27.0, ticker=LARGE),
    )
    splits = return_splits(stored, YTD, "losses_in")
    assert [split.basis for split in splits.values() if isinstance(split, ReturnSplit)] == ["trailing"] * 2
    assert return_splits(stored, YTD, "capped") == splits
    assert set(return_splits(stored, YTD, None).values()) == {"no P/E stored"}
    assert return_split(stored, SMALL, YTD, "losses_in") == "P/E is recorded from 11 Dec 2020"


def served(*values: tuple[float, float], prices: tuple[float, ...], **kind: str) -> Market:
    """P/E and P/B of the small fund as served on each day, without a date by default."""
    rows = [
        row(day, SMALL, value, metric, **{"convention": "morningstar", "basis": "unstated", **kind})
        for day, pair in enumerate(values)
        for metric, value in zip(("pe", "pb"), pair, strict=True)
    ]
    index = DAYS[: len(prices)]
    return replace(market(*rows), prices=pd.DataFrame({SMALL: prices, LARGE: 300.0}, index))


@pytest.mark.parametrize(
    ("values", "prices", "days"),
    [
        (((28.0, 2.0),) * 4, (100.0, 101.0, 102.0, 103.0), [0]),
        (((28.0, 2.0),) * 4, (100.0, 101.0, 100.0, 103.0), [0, 2]),  # the price is the same as then
        (((28.0, 2.0), (28.0, 2.0), (28.1, 2.0), (28.1, 2.0)), (100.0, 101.0, 102.0, 103.0), [0, 2]),
        (((28.0, 2.0), (28.0, 2.1), (28.0, 2.0)), (100.0, 101.0, 102.0), [0, 1, 2]),
    ],
)
def test_undated_figures_that_all_repeat_while_the_price_moves_are_as_of_their_last_change(
    values: tuple[tuple[float, float], ...], prices: tuple[float, ...], days: list[int]
) -> None:
    stored = served(*values, prices=prices)
    assert multiple_history(stored, SMALL, "pe", "morningstar").index.tolist() == [DAYS[day] for day in days]
    metric = METRICS["pe"]
    current = metric_value(metric, stored, metric.defaults())
    assert (current.session, current.sessions_behind) == (DAYS[days[-1]], len(prices) - 1 - days[-1])
    assert len(stored.multiples) == 2 * len(values)
    given = metric.history(stored, metric.defaults())
    assert [day for day, value in enumerate(given) if value > 0] == days
    rule = parse_rule("pe > 20x", METRICS)
    assert len(Histories(stored, METRICS).samples(rule, None, stored.sessions)) == len(values)  # none is awaited
    for dates in (None, "2020-12-07"):
        own = served(*values, prices=prices, convention="capped" if dates is None else "morningstar")
        own = replace(own, multiples=own.multiples.assign(price_date=dates))
        history = multiple_history(own, SMALL, "pe", own.multiples["convention"].iloc[0])
        assert len(history) == len(values)


@pytest.mark.parametrize(
    ("priced", "session", "expected"),
    [((None, None), 4, 4), (("2020-12-08", None), 4, 1), (("2020-12-08", "2020-12-07"), 4, 0), ((None, None), 5, 4)],
)
def test_no_figure_is_of_a_close_later_than_the_price_behind_it(
    priced: tuple[str | None, str | None], session: int, expected: int
) -> None:
    """The sixth day is a Saturday, on which a file is dated."""
    day = pd.bdate_range("2020-12-07", periods=5).append(pd.date_range("2020-12-12", periods=5))[session]
    stored = market(*both(4, 30.0, 20.0))
    multiples = stored.multiples.assign(session=day, price_date=list(priced))
    stored = replace(stored, multiples=multiples)
    premium = {"convention": "losses_in"}
    assert close_behind(METRICS["pe_premium"], stored, premium, day) == DAYS[expected]
    assert close_behind(METRICS["ratio"], stored, {}, DAYS[2]) == DAYS[2]


def test_the_convention_is_that_of_the_newest_figure_then_of_the_longest_history() -> None:
    assert convention_for(quarterly()) is None
    assert convention_for(quarterly(figure("2020-12-11", 27.0, ticker=LARGE))) is None
    newest = [figure("2020-09-30", 60.0), figure("2020-12-11", 25.0, convention="positive")]
    assert convention_for(quarterly(figure("2020-06-30", 60.0), *newest)) == "positive"
    longest = [figure("2020-12-11", 60.0), figure("2020-09-30", 61.0), *newest[1:]]
    assert convention_for(quarterly(*longest)) == "losses_in"
    third = [figure("2020-12-11", 18.0, convention="capped") for _ in range(3)]
    assert convention_for(quarterly(*third, *longest)) == "capped"


OLD, NEW = pd.Timestamp("2020-10-30"), pd.Timestamp("2020-11-30")


def weighted(*rows: tuple[pd.Timestamp, str, str, str, float, str]) -> Market:
    columns = ["session", "ticker", "level", "sector", "weight", "source"]
    return Market(
        prices=pd.DataFrame({SMALL: [1.0], LARGE: [1.0]}, index=[NEW]),
        last_completed=NEW,
        weights=pd.DataFrame(list(rows), columns=columns),
    )


def test_the_newest_weights_of_each_fund_count_and_the_largest_difference_leads() -> None:
    (weights,) = newest_weights(
        weighted(
            (OLD, SMALL, SECTOR, "Banks", 50.0, "issuer"),
            (NEW, SMALL, SECTOR, "Banks", 12.0, "issuer"),
            (NEW, SMALL, SECTOR, "Energy", 3.0, "issuer"),
            (OLD, LARGE, SECTOR, "Banks", 10.0, "issuer"),
            (OLD, LARGE, SECTOR, "Energy", 9.5, "issuer"),
        ),
        SECTOR,
    )
    assert weights.frame["gap"].to_dict() == {"Energy": -6.5, "Banks": 2.0}
    assert weights.sessions == {SMALL: NEW, LARGE: OLD}
    assert weights.both


def test_a_sector_that_one_fund_does_not_list_has_no_weight_there() -> None:
    (weights,) = newest_weights(
        weighted((NEW, SMALL, SECTOR, "Biotech", 8.0, "csv"), (NEW, LARGE, SECTOR, "Banks", 5.0, "csv")), SECTOR
    )
    assert weights.frame.loc["Biotech"].to_list() == [8.0, 0.0, 8.0]
    assert weights.frame.loc["Banks"].to_list() == [0.0, 5.0, -5.0]


def test_classifications_of_two_sources_are_never_set_against_each_other() -> None:
    found = newest_weights(
        weighted(
            (NEW, SMALL, SECTOR, "Technology", 13.0, "yahoo"),
            (NEW, LARGE, SECTOR, "Technology", 28.0, "yahoo"),
            (NEW, SMALL, SECTOR, "Information Technology", 14.0, "issuer"),
        ),
        SECTOR,
    )
    assert [(entry.source, entry.both) for entry in found] == [("yahoo", True), ("issuer", False)]
    assert pd.isna(found[1].frame.loc["Information Technology", LARGE])


def test_levels_are_kept_apart() -> None:
    rows = weighted((NEW, SMALL, GROUP, "Biotech", 8.0, "csv"), (NEW, SMALL, SECTOR, "Health Care", 20.0, "csv"))
    assert list(newest_weights(rows, GROUP)[0].frame.index) == ["Biotech"]
    assert newest_weights(weighted(), SECTOR) == []
