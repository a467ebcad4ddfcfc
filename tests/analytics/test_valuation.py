from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.analytics.market import MULTIPLE_COLUMNS, Market
from bot.analytics.valuation import (
    GROUP,
    SECTOR,
    ReturnSplit,
    convention_for,
    implied_index,
    implied_per_share,
    margins,
    multiple_figures,
    multiple_history,
    nearest_figure,
    newest_weights,
    percentile_rank,
    premium_history,
    return_split,
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


def test_a_history_is_of_one_fund_metric_and_convention() -> None:
    stored = market(
        row(0, SMALL, 70.0),
        row(1, SMALL, 75.0),
        row(1, LARGE, 27.0),
        row(1, SMALL, 2.3, metric="pb"),
        row(2, SMALL, 25.0, convention="positive"),
    )
    assert multiple_history(stored, SMALL, "pe", "losses_in").to_dict() == {DAYS[0]: 70.0, DAYS[1]: 75.0}
    assert multiple_history(stored, LARGE, "pe", "losses_in").to_dict() == {DAYS[1]: 27.0}
    assert multiple_history(stored, LARGE, "pe", "positive").empty
    assert multiple_history(market(), SMALL, "pe", "losses_in").empty


def test_a_history_is_of_one_basis_the_newest_unless_another_is_asked_for() -> None:
    stored = market(
        row(2, SMALL, 60.0, basis="trailing"), row(0, SMALL, 70.0), row(3, SMALL, 65.0, basis="trailing")
    )
    assert multiple_history(stored, SMALL, "pe", "losses_in").tolist() == [60.0, 65.0]
    assert multiple_history(stored, SMALL, "pe", "losses_in", "forward").tolist() == [70.0]
    assert multiple_history(stored, SMALL, "pe", "losses_in", "unstated").empty


def test_of_two_figures_of_a_session_the_last_one_counts() -> None:
    stored = market(row(1, SMALL, 1.0), row(0, SMALL, 70.0, source="yahoo"), row(0, SMALL, 71.0))
    assert multiple_history(stored, SMALL, "pe", "losses_in").tolist() == [71.0, 1.0]


def test_the_premium_is_in_percent_on_sessions_of_both() -> None:
    stored = market(
        row(0, SMALL, 50.0),
        row(1, SMALL, 30.0),
        row(2, SMALL, 20.0),
        row(1, LARGE, 20.0),
        row(2, LARGE, 25.0),
        row(3, LARGE, 25.0),
    )
    found = premium_history(stored, "pe", "losses_in")
    assert found.to_dict() == {DAYS[1]: pytest.approx(50.0), DAYS[2]: pytest.approx(-20.0)}


def test_conventions_are_never_set_against_each_other() -> None:
    stored = market(row(1, SMALL, 30.0), row(1, LARGE, 20.0, convention="positive"))
    for convention in ("losses_in", "positive"):
        assert premium_history(stored, "pe", convention).empty


def test_bases_are_never_set_against_each_other() -> None:
    stored = market(
        row(1, SMALL, 30.0), row(1, LARGE, 20.0), row(2, SMALL, 28.0, basis="trailing"), row(2, LARGE, 20.0)
    )
    assert premium_history(stored, "pe", "losses_in").tolist() == pytest.approx([50.0])
    assert premium_history(stored, "pe", "losses_in", "trailing").empty
    only = market(row(1, SMALL, 30.0), row(1, LARGE, 20.0, basis="trailing"))
    assert premium_history(only, "pe", "losses_in").empty


def test_the_basis_is_the_newest_one_that_both_funds_have() -> None:
    rows = [
        (day, ticker, value + (ticker == SMALL), basis)
        for day, value, basis in ((0, 9.0, "forward"), (1, 3.0, "unstated"), (2, 1.0, "trailing"))
        for ticker in (SMALL, LARGE)
    ]
    stored = [row(day, ticker, value, basis=basis) for day, ticker, value, basis in rows]
    assert premium_history(market(*stored), "pe", "losses_in").tolist() == pytest.approx([100.0])
    assert premium_history(market(*reversed(stored)), "pe", "losses_in").tolist() == pytest.approx([100.0])
    one_sided = row(3, SMALL, 5.0, basis="own")
    assert premium_history(market(*stored, one_sided), "pe", "losses_in").tolist() == pytest.approx([100.0])


def test_other_multiples_do_not_choose_the_basis() -> None:
    stored = [row(1, ticker, value) for ticker, value in ((SMALL, 30.0), (LARGE, 0.5))]
    other = [
        row(day, ticker, 1.0, metric=metric, convention=convention, basis="trailing")
        for day, metric, convention in ((2, "pb", "losses_in"), (3, "pe", "positive"))
        for ticker in (SMALL, LARGE)
    ]
    assert premium_history(market(*stored, *other), "pe", "losses_in").tolist() == pytest.approx([5900.0])


def test_over_nothing_or_less_there_is_no_premium() -> None:
    stored = market(row(0, SMALL, 30.0), row(0, LARGE, 0.0), row(1, SMALL, 30.0), row(1, LARGE, -5.0))
    assert premium_history(stored, "pe", "losses_in").empty


@pytest.mark.parametrize(
    ("values", "rank"),
    [
        ([1.0, 2.0, 3.0, 4.0], 100.0),
        ([4.0, 3.0, 2.0, 1.0], 25.0),
        ([1.0, 3.0, 2.0, 2.0], 75.0),
        ([5.0, 5.0], 100.0),
        ([1.0, NAN, 3.0, 2.0, NAN], 100 * 2 / 3),
        ([1.0], None),
        ([1.0, NAN], None),
        ([], None),
    ],
)
def test_the_percentile_is_the_share_at_or_below_the_last_value(
    values: list[float], rank: float | None
) -> None:
    found = percentile_rank(pd.Series(values, dtype="float64"))
    assert found == (None if rank is None else pytest.approx(rank))


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
    assert (pe.small, pe.large, round(pe.premium or 0, 9)) == (40.0, 25.0, 60.0)
    assert (pe.small_session, pe.large_session) == (DAYS[1], DAYS[1])
    assert pe.sources == ("csv", "yahoo")
    assert (pe.percentile, pe.observations, pe.first) == (50.0, 2, DAYS[0])
    # of different sessions: no premium
    assert (pb.small, pb.large, pb.premium, pb.percentile) == (2.0, 4.0, None, None)
    assert (pb.small_session, pb.large_session) == (DAYS[1], DAYS[2])
    assert (dividends.small, dividends.small_session, dividends.large) == (None, None, 1.5)
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
    found = {(f.metric, f.convention, f.basis): (f.small, f.small_session) for f in multiple_figures(stored)}
    assert found == {kind: (20.0 + number, DAYS[number]) for number, kind in enumerate(kinds)}


def test_across_sessions_there_is_no_premium_but_its_history_stays() -> None:
    stored = market(row(0, SMALL, 50.0), row(0, LARGE, 25.0), row(1, SMALL, 40.0))
    (found,) = multiple_figures(stored)
    assert (found.small, found.large, found.premium) == (40.0, 25.0, None)
    assert (found.observations, found.first) == (1, DAYS[0])


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


def test_a_premium_stands_beside_the_basis_it_is_of() -> None:
    stored = market(
        row(0, SMALL, 50.0),
        row(0, LARGE, 25.0),
        row(1, SMALL, 30.0, basis="trailing"),
        row(1, LARGE, 20.0, basis="trailing"),
    )
    found = {figure.basis: figure.premium for figure in multiple_figures(stored)}
    assert found == {"forward": pytest.approx(100.0), "trailing": pytest.approx(50.0)}


QUARTERS = pd.DatetimeIndex(["2019-12-31", "2020-03-31", "2020-06-30", "2020-09-30", "2020-12-11"])
POSITIVE = st.floats(0.1, 1_000)


def figure(
    day: str, value: float, metric: str = "pe", ticker: str = SMALL, convention: str = "losses_in"
) -> tuple[object, ...]:
    return (pd.Timestamp(day), ticker, metric, convention, "forward", value, "csv")


def quarterly(
    *rows: tuple[object, ...], small: tuple[float, ...] = (100.0, 60.0, 80.0, 90.0, 120.0)
) -> Market:
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
        figure("2019-12-31", 25.0, metric),
        figure("2020-06-30", 16.0, metric),
        figure("2020-12-11", 60.0, metric),
    )
    index = implied_index(stored, SMALL, metric, "losses_in", YTD)
    assert index.to_dict() == {QUARTERS[0]: 100.0, QUARTERS[2]: 125.0, QUARTERS[4]: 50.0}
    assert implied_index(stored, SMALL, metric, "losses_in", parse_window("10y")).empty
    assert implied_index(stored, LARGE, metric, "losses_in", YTD).empty


def test_the_articles_rise_with_half_the_earnings_is_a_multiple_that_more_than_doubled() -> None:
    facts = facts_at("2020-12-11")
    earned = 165.67 / 33.3
    multiples = pd.DataFrame(
        [figure("2019-12-31", 33.3), figure("2020-12-11", 190.30 / (earned * 0.51))],
        columns=list(MULTIPLE_COLUMNS),
    ).astype({"session": "datetime64[ns]"})
    split = return_split(
        Market(facts.prices, facts.last_completed, multiples=multiples), SMALL, YTD, "losses_in"
    )
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
    split = return_split(
        stored.at(pd.Timestamp("2020-07-31")), SMALL, parse_window("since 2020-05-01"), "losses_in"
    )
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
        quarterly(figure("2020-09-30", 61.1)).at(QUARTERS[3]),
        SMALL,
        parse_window("since 2020-09-30"),
        "losses_in",
    )
    assert one == "no P/E is stored after 30 Sep 2020"


def test_without_prices_for_the_window_there_is_no_split() -> None:
    stored = quarterly(figure("2019-12-31", 33.3), figure("2020-12-11", 75.0))
    too_long = return_split(stored, SMALL, Window("y", 5), "losses_in")
    assert too_long == "too little price history"
    empty = Market(stored.prices.iloc[:0], QUARTERS[-1], multiples=stored.multiples)
    assert return_split(empty, SMALL, YTD, "losses_in") == "too little price history"


def test_implied_figures_are_price_over_multiple_where_both_are_stored() -> None:
    stored = quarterly(
        figure("2019-12-31", 25.0),
        figure("2020-01-02", 26.0),  # no price
        figure("2020-06-30", -4.0),  # losses: nothing is implied
        figure("2020-09-30", 0.0),
        figure("2020-12-11", 60.0),
        figure("2020-12-11", 2.0, metric="pb"),
    )
    assert implied_per_share(stored, SMALL, "pe", "losses_in").to_dict() == {
        QUARTERS[0]: 4.0,
        QUARTERS[4]: 2.0,
    }
    assert implied_per_share(stored, SMALL, "pb", "losses_in").to_dict() == {QUARTERS[4]: 60.0}
    assert implied_per_share(stored, LARGE, "pe", "losses_in").empty
    alone = Market(stored.prices[[LARGE]], QUARTERS[-1], multiples=stored.multiples)
    assert implied_per_share(alone, SMALL, "pe", "losses_in").empty


def test_margin_and_return_on_equity_are_of_the_last_session_with_both_multiples() -> None:
    stored = quarterly(
        figure("2020-09-30", 50.0),
        figure("2020-12-11", 75.0),
        figure("2020-12-11", 1.5, metric="ps"),
        figure("2020-09-30", 2.0, metric="pb"),
    )
    assert margins(stored, SMALL, "losses_in") == (2.0, 4.0)
    assert margins(stored, LARGE, "losses_in") == (None, None)
    losing = quarterly(figure("2020-12-11", -5.0), figure("2020-12-11", 1.5, metric="ps"))
    assert margins(losing, SMALL, "losses_in") == (None, None)
    nothing = quarterly(figure("2020-12-11", 0.0), figure("2020-12-11", 1.5, metric="ps"))
    assert margins(nothing, SMALL, "losses_in") == (None, None)


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
        weighted(
            (NEW, SMALL, SECTOR, "Biotech", 8.0, "csv"),
            (NEW, LARGE, SECTOR, "Banks", 5.0, "csv"),
        ),
        SECTOR,
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
    rows = weighted(
        (NEW, SMALL, GROUP, "Biotech", 8.0, "csv"), (NEW, SMALL, SECTOR, "Health Care", 20.0, "csv")
    )
    assert list(newest_weights(rows, GROUP)[0].frame.index) == ["Biotech"]
    assert newest_weights(weighted(), SECTOR) == []
