from __future__ import annotations

import math

import pandas as pd
import pytest

from bot.analytics.market import MULTIPLE_COLUMNS, Market
from bot.analytics.valuation import multiple_figures, multiple_history, percentile_rank, premium_history
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
