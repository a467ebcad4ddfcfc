from __future__ import annotations

import pandas as pd
import pytest

from bot.analytics.flows import COLUMNS, FLAGS, daily_flows, is_derived, prepare_counts
from tests.shared_data import market, market_at, shared

SESSIONS = pd.bdate_range("2020-01-01", "2021-12-31")
NAN = float("nan")


def facts(*millions: float, nav: float | list[float] = 100.0, rows: list[int] | None = None) -> pd.DataFrame:
    """Counts in millions, one a session from the first on or on the sessions numbered by `rows`."""
    index = SESSIONS[rows if rows is not None else range(len(millions))]
    shares = [1e6 * count for count in millions]
    return pd.DataFrame({"nav": nav, "shares": shares, "assets": NAN}, index=index, dtype="float64")


def flags(frame: pd.DataFrame) -> list[str]:
    return list(prepare_counts(frame, SESSIONS)["flag"])


def flagged(start: str, end: str) -> dict[str, str]:
    """Flags of IWM's real counts between two days, by month and day."""
    found = daily_flows(market(), "IWM").loc[start:end, "flag"]
    return {f"{day:%m-%d}": flag for day, flag in found.items() if flag}


def test_a_flow_is_the_change_of_the_count_at_the_days_value() -> None:
    frame = prepare_counts(facts(200.0, 201.0, 199.0, nav=[100.0, 110.0, 120.0]), SESSIONS)
    assert tuple(frame.columns) == COLUMNS
    assert frame["flow"].fillna(-1.0).tolist() == [-1.0, 110e6, -240e6]
    assert list(frame["flag"]) == ["", "", ""]
    assert not frame["doubtful"].any()


def test_without_facts_there_is_nothing() -> None:
    for nothing in (facts(), facts(NAN, 200.0, nav=[100.0, NAN])):
        frame = prepare_counts(nothing, SESSIONS)
        assert frame.empty
        assert tuple(frame.columns) == COLUMNS


def test_a_row_without_a_sound_count_or_value_is_no_row() -> None:
    frame = prepare_counts(
        facts(200.0, NAN, 0.0, -1.0, 201.0, 202.0, nav=[100.0] * 4 + [0.0, 100.0]), SESSIONS
    )
    assert list(frame.index) == [SESSIONS[0], SESSIONS[5]]
    assert frame["flow"].iloc[-1] == 200e6


def test_rows_on_days_without_a_session_are_dropped_before_differencing() -> None:
    with_sunday = facts(200.0, 900.0, 201.0)
    with_sunday.index = pd.DatetimeIndex(["2020-01-03", "2020-01-05", "2020-01-06"])
    frame = prepare_counts(with_sunday, SESSIONS)
    assert frame["flow"].iloc[1:].tolist() == [100e6]
    assert list(frame["flag"]) == ["", ""]


@shared
@pytest.mark.parametrize("day", ["2010-05-31", "2013-06-30"])
def test_the_issuers_rows_of_a_holiday_and_a_sunday_are_dropped(day: str) -> None:
    assert pd.Timestamp(day) in market().fund("IWM").index
    assert pd.Timestamp(day) not in daily_flows(market(), "IWM").index


@pytest.mark.parametrize("ratio", [2.0, 3.0, 0.5, 0.1])
def test_a_split_is_no_flow_and_the_days_before_it_keep_theirs(ratio: float) -> None:
    counts = [200.0, 201.0, 201.0 * ratio, 202.0 * ratio]
    values = [100.0, 110.0, 110.5 / ratio, 112.0 / ratio]
    frame = prepare_counts(facts(*counts, nav=values), SESSIONS)
    assert list(frame["flag"]) == ["", "", "SPLIT", ""]
    assert frame["flow"].iloc[1:].tolist() == pytest.approx([110e6, 0.0, 112e6])
    # all in the units that hold now
    assert (frame["shares"] / ratio / 1e6).tolist() == pytest.approx([200.0, 201.0, 201.0, 202.0])
    assert (frame["nav"] * ratio).tolist() == pytest.approx([100.0, 110.0, 110.5, 112.0])
    assert not frame["doubtful"].any()


def test_two_splits_are_both_counted_in() -> None:
    frame = prepare_counts(facts(100.0, 200.0, 600.0, nav=[60.0, 30.0, 10.0]), SESSIONS)
    assert frame["shares"].tolist() == [600e6] * 3
    assert frame["nav"].tolist() == pytest.approx([10.0] * 3)


def test_a_count_that_doubles_while_the_value_does_not_halve_is_no_split() -> None:
    assert flags(facts(200.0, 400.0, 401.0, nav=[100.0, 51.1, 51.1])) == ["", "LARGE", ""]
    assert flags(facts(200.0, 400.0, 401.0, nav=[100.0, 50.9, 50.9])) == ["", "SPLIT", ""]


def test_a_small_jump_against_the_value_is_no_split() -> None:
    assert flags(facts(200.0, 229.0, nav=[114.5, 100.0])) == ["", "LARGE"]
    assert flags(facts(200.0, 231.0, nav=[115.5, 100.0])) == ["", "SPLIT"]


def test_a_split_is_told_on_consecutive_sessions_only() -> None:
    assert flags(facts(200.0, 400.0, 401.0, nav=[100.0, 50.0, 50.0], rows=[0, 2, 3])) == ["", "LARGE", ""]


def test_a_count_is_stale_on_its_third_session_without_change() -> None:
    frame = prepare_counts(facts(200.0, 200.0, 200.0, 200.0, 200.0, 201.0), SESSIONS)
    assert list(frame["flag"]) == ["", "", "", "STALE", "STALE", ""]
    assert frame["doubtful"].tolist() == [False, False, False, True, True, False]


def test_a_gap_names_its_span() -> None:
    frame = prepare_counts(facts(200.0, 201.0, 203.0, rows=[0, 3, 4]), SESSIONS)
    assert list(frame["flag"]) == ["", "GAP", ""]
    assert frame["note"].iloc[1] == "one flow over 3 sessions since 1 Jan 2020, counts between are missing"
    assert frame["doubtful"].tolist() == [False, True, False]


def test_above_five_percent_is_annotated_and_fires() -> None:
    frame = prepare_counts(facts(200.0, 210.0, 220.55, 209.5, 198.9, nav=100.0), SESSIONS)
    assert list(frame["flag"]) == ["", "", "LARGE", "LARGE", "LARGE"]
    assert not frame["doubtful"].any()


def test_above_fifteen_percent_is_unconfirmed_until_the_next_count_does_not_undo_it() -> None:
    big = prepare_counts(facts(200.0, 230.05), SESSIONS)
    assert big["flag"].iloc[-1] == "BIG"
    assert big["note"].iloc[-1] == "above 15% of assets, unconfirmed until the count changes again"
    confirmed = prepare_counts(facts(200.0, 230.05, 230.0), SESSIONS)
    assert list(confirmed["flag"]) == ["", "LARGE", ""]
    assert confirmed["note"].iloc[1] == "above 15% of assets, not undone by the next change of the count"
    # what could fire then cannot be evaluated better afterwards
    assert confirmed["doubtful"].tolist() == [False, True, False]
    assert prepare_counts(facts(200.0, 230.0), SESSIONS)["flag"].iloc[-1] == "LARGE"


def test_a_count_said_twice_confirms_no_jump() -> None:
    again = prepare_counts(facts(200.0, 2.0, 2.0), SESSIONS)
    assert list(again["flag"]) == ["", "BIG", ""]
    assert again["doubtful"].tolist() == [False, True, True]
    moved = prepare_counts(facts(200.0, 2.0, 2.0, 2.05), SESSIONS)
    assert list(moved["flag"]) == ["", "LARGE", "", ""]
    assert moved["doubtful"].tolist() == [False, True, True, False]


@shared
def test_the_lost_units_of_june_2007_were_never_confirmed() -> None:
    """1.15m units on 2007-06-21 and 22, 0.15m on 25, instead of 115m: no figure that an alert may read."""
    for day in ("2007-06-21", "2007-06-22", "2007-06-25"):
        frame = daily_flows(market_at(day), "IWM")
        assert frame["doubtful"].iloc[-1], day
        assert "BIG" in set(frame["flag"].iloc[-2:]), day
    after = daily_flows(market_at("2007-06-27"), "IWM")
    assert set(after.loc["2007-06-21":"2007-06-26", "flag"]) == {"SPIKE_REVERT"}


@shared
def test_the_big_flow_of_2011_10_28_was_unconfirmed_and_real() -> None:
    day = pd.Timestamp("2011-10-28")
    then, next_day = daily_flows(market_at("2011-10-28"), "IWM"), daily_flows(market_at("2011-10-31"), "IWM")
    assert (then.loc[day, "flag"], next_day.loc[day, "flag"]) == ("BIG", "LARGE")
    assert next_day.loc[day, "flow"] == pytest.approx(2.220e9, rel=1e-3)
    assert next_day.loc[day, "doubtful"]


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ((200.0, 400.0, 200.0, 201.0), ["", "SPIKE_REVERT", "SPIKE_REVERT", ""]),
        ((200.0, 100.0, 180.0, 181.0), ["", "SPIKE_REVERT", "SPIKE_REVERT", ""]),
        ((200.0, 300.0, 249.0, 249.5), ["", "SPIKE_REVERT", "SPIKE_REVERT", ""]),
        ((200.0, 300.0, 250.0, 250.5), ["", "LARGE", "LARGE", ""]),  # back by just half
        (
            (200.0, 300.0, 301.0, 302.0, 303.0, 304.0, 205.0),
            ["", *["SPIKE_REVERT"] * 6],
        ),
        (
            (200.0, 300.0, 301.0, 302.0, 303.0, 304.0, 305.0, 205.0),
            ["", "LARGE", "", "", "", "", "", "BIG"],
        ),
    ],
)
def test_a_jump_that_is_undone_within_five_sessions_is_a_spike(
    counts: tuple[float, ...], expected: list[str]
) -> None:
    assert flags(facts(*counts)) == expected


def test_the_end_of_a_spike_takes_back_what_it_had_put_in() -> None:
    frame = prepare_counts(facts(200.0, 400.0, 401.0, 202.0, nav=[100.0, 101.0, 102.0, 103.0]), SESSIONS)
    assert frame["flow"].iloc[1:3].tolist() == [200e6 * 101, 1e6 * 102]
    assert frame["flow"].sum() == pytest.approx(2e6 * 103)
    assert frame["doubtful"].tolist() == [False, True, False, True]
    assert frame["undone"].tolist() == [4, 3, 3, 4]
    assert frame["stand_in"].tolist() == [0, 0, 0, 3]


@shared
def test_the_issuers_spikes() -> None:
    spike = "SPIKE_REVERT"
    assert flagged("2004-04-29", "2004-05-04") == {"04-30": spike, "05-03": spike}
    assert flagged("2005-06-15", "2005-06-16") == {"06-15": spike, "06-16": spike}
    assert flagged("2005-06-22", "2005-06-29") == dict.fromkeys(("06-23", "06-24", "06-27", "06-28"), spike)
    assert flagged("2007-06-21", "2007-06-26") == dict.fromkeys(("06-21", "06-22", "06-25", "06-26"), spike)
    assert flagged("2007-06-27", "2007-06-29") == {"06-28": spike, "06-29": spike}


@shared
def test_nothing_of_2020_is_flagged() -> None:
    assert flagged("2019-12-31", "2020-12-11") == {}


def test_a_change_that_is_no_whole_lot_is_flagged_whatever_the_level() -> None:
    assert flags(facts(860.882116, 860.932116, 860.782116)) == ["", "", ""]
    frame = prepare_counts(facts(860.0, 860.05, 860.1234, 860.1734), SESSIONS)
    assert list(frame["flag"]) == ["", "", "LOT", ""]
    assert frame["doubtful"].tolist() == [False, False, True, False]


@shared
def test_the_issuer_counts_in_whole_lots() -> None:
    assert "LOT" not in set(daily_flows(market(), "IWM")["flag"])


def test_a_value_far_from_the_market_is_replaced_by_it() -> None:
    close = pd.Series(100.5, index=SESSIONS)
    frame = prepare_counts(
        facts(200.0, 201.0, 202.0, 203.0, nav=[100.0, 100.0, 113.0, 100.0]), SESSIONS, close
    )
    assert list(frame["flag"]) == ["", "", "NAV", ""]
    assert frame["nav"].tolist() == pytest.approx([100.0, 100.0, 100.0, 100.0])
    assert frame["flow"].iloc[2] == pytest.approx(100e6)
    assert not frame["doubtful"].any()


@pytest.mark.parametrize("value", [105.1, 94.9])
def test_a_value_is_far_from_the_market_above_five_percent(value: float) -> None:
    close = pd.Series(100.0, index=SESSIONS)
    near = 100 + (value - 100) * 0.95
    assert list(prepare_counts(facts(200.0, 201.0, nav=[100.0, near]), SESSIONS, close)["flag"]) == ["", ""]
    frame = facts(200.0, 201.0, 202.0, nav=[100.0, 100.0, value])
    assert list(prepare_counts(frame, SESSIONS, close)["flag"]) == ["", "", "NAV"]


def test_prices_in_the_units_of_a_split_to_come_are_no_fault_of_the_value() -> None:
    close = pd.Series(50.0, index=SESSIONS)
    assert list(prepare_counts(facts(200.0, 201.0, nav=100.0), SESSIONS, close)["flag"]) == ["", ""]


def test_without_a_price_a_value_stands() -> None:
    close = pd.Series(100.0, index=SESSIONS[:2])
    frame = prepare_counts(facts(200.0, 201.0, 202.0, nav=[100.0, 100.0, 150.0]), SESSIONS, close)
    assert list(frame["flag"]) == ["", "", ""]
    assert frame["nav"].iloc[-1] == 150.0


@shared
def test_the_issuers_wrong_values() -> None:
    july = dict.fromkeys(("07-05", "07-06", "07-09", "07-10"), "NAV")
    assert flagged("2001-07-05", "2001-07-11") == july
    assert flagged("2002-01-02", "2002-01-08") == dict.fromkeys(("01-03", "01-04", "01-07"), "NAV")
    frame = daily_flows(market(), "IWM")
    assert set(frame.index[frame["flag"] == "NAV"].year) == {2001, 2002}
    close = market().prices["IWM"]
    assert (frame["nav"] / close.reindex(frame.index) - 1).abs().max() < 0.06


def test_counts_made_of_frozen_assets_are_rejected() -> None:
    values = [100.0, 101.0, 99.5, 98.0, 98.7, 99.9, 101.3, 103.0, 102.1, 100.8, 101.9, 104.0, 103.2]
    frozen = facts(*(20_000.0 / value for value in values), nav=[round(value, 2) for value in values])
    assert is_derived(frozen).all()
    assert prepare_counts(frozen, SESSIONS).empty
    # ten sessions are too few to tell
    assert not is_derived(frozen.iloc[:10]).any()
    assert is_derived(frozen.iloc[:11]).all()


def test_only_the_stretch_of_frozen_assets_is_rejected() -> None:
    values = [100.0 + number % 3 for number in range(24)]
    counts = [200.0 + number for number in range(6)] + [20_000.0 / value for value in values[6:]]
    mixed = facts(*counts, nav=values)
    assert is_derived(mixed).tolist() == [False] * 6 + [True] * 18
    assert len(prepare_counts(mixed, SESSIONS)) == 6


def test_a_count_that_stands_still_is_not_made_of_assets() -> None:
    assert not is_derived(facts(*[200.0] * 15)).any()
    assert not is_derived(facts(200.0, NAN, 201.0)).any()


@shared
def test_the_issuers_counts_are_not_made_of_assets() -> None:
    assert not is_derived(market().fund("IWM")).any()


def test_every_flag_says_what_it_means() -> None:
    frame = prepare_counts(
        facts(200.0, 201.0, 201.01, 250.0, 202.0, 100.0, nav=[100.0] * 5 + [202.0]), SESSIONS
    )
    assert list(frame["flag"]) == ["", "", "LOT", "SPIKE_REVERT", "SPIKE_REVERT", "SPLIT"]
    assert [FLAGS.get(flag, "") for flag in frame["flag"]] == list(frame["note"])
