from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.analytics.flows import (
    FLAGS,
    SECONDED,
    STOOD,
    FlowSummary,
    believed,
    daily_flows,
    flow_gap_history,
    flow_history,
    flow_summary,
    flows_from_assets,
    is_derived,
    prepare_counts,
    robust_z,
)
from bot.analytics.market import Market
from bot.analytics.metrics import METRICS, held_from
from bot.analytics.performance import total_return_index
from bot.analytics.windows import MTD, YTD, Window, parse_window
from tests.analytics.facts import facts_at, facts_market
from tests.funds import LARGE, SMALL
from tests.shared_data import market, market_at, shared

SESSIONS = pd.bdate_range("2019-12-16", periods=520)
NAN = float("nan")
WINDOWS = [parse_window(text) for text in ("1d", "3d", "1w", "1m", "mtd", "ytd", "since 2020-01-02")]
DAY = Window("d", 1)
# A session's change of the count: mostly lots, seldom a jump, its undoing, a split, or no row at all.
MOVES = st.sampled_from(["lots"] * 8 + ["same", "same", "double", "halve", "back", "split", "none"])
SIZES = st.integers(-30, 30)


def facts(*millions: float, nav: float | list[float] = 100.0, rows: list[int] | None = None) -> pd.DataFrame:
    """Counts in millions, one a session from the first on or on the sessions numbered by `rows`."""
    index = SESSIONS[rows if rows is not None else range(len(millions))]
    shares = [1e6 * count for count in millions]
    return pd.DataFrame({"nav": nav, "shares": shares, "assets": NAN}, index=index, dtype="float64")


@st.composite
def histories(draw: st.DrawFn) -> tuple[pd.DataFrame, pd.Series]:
    """Two months of counts with all that goes wrong with them, and the closes of those sessions."""
    moves = draw(st.lists(st.tuples(MOVES, SIZES), min_size=10, max_size=40))
    noise = np.random.default_rng(draw(st.integers(0, 2**32 - 1))).normal(0, 0.01, len(moves))
    rows, count, units, level, quiet = [], 4_000, 1.0, 100.0, 4_000
    for (move, size), step in zip(moves, noise, strict=True):
        level *= math.exp(step)
        match move:
            case "lots":
                quiet = count = max(count + size, 100)
            case "double":
                quiet, count = count, count * 2
            case "halve":
                quiet, count = count, count // 2
            case "back":
                count = quiet
            case "split":
                units *= 2
        shares = NAN if move == "none" else 50_000 * count * units
        wrong = 1.2 if size == 30 else 1.0
        rows.append((wrong * level / units, shares, NAN, level / units))
    frame = pd.DataFrame(rows, SESSIONS[: len(rows)], ["nav", "shares", "assets", "close"])
    # Closes are in the units of the last split, as sources give them.
    splits = (frame["close"] / frame["close"].shift(1) < 0.75).iloc[::-1].cumsum().shift(1, fill_value=0)
    return frame[["nav", "shares", "assets"]], frame["close"] / 2.0 ** splits.iloc[::-1]


def billions(flow: FlowSummary) -> str:
    assert flow.dollars is not None
    return f"{flow.dollars / 1e9:+.2f}"


@shared
@pytest.mark.parametrize(
    ("window", "expected"), [("ytd", "+0.82"), ("since 2020-09-30", "+5.55"), ("since 2020-06-12", "+5.87")]
)
def test_golden_flows_over_the_full_history(window: str, expected: str) -> None:
    frame = daily_flows(market_at("2020-12-11"), SMALL)
    assert billions(flow_summary(frame, parse_window(window))) == expected


def test_golden_flows_from_the_facts() -> None:
    since = flow_summary(daily_flows(facts_at("2020-12-11"), SMALL), parse_window("since 2020-09-30"))
    assert billions(since) == "+5.55"
    assert since.flags == ()
    assert billions(flow_summary(daily_flows(facts_at("2020-11-30"), SMALL), MTD)) == "+2.70"
    assert billions(flow_summary(daily_flows(facts_at("2020-11-11"), SMALL), Window("w", 1))) == "+1.35"


@shared
def test_golden_units_of_2020() -> None:
    frame = daily_flows(market_at("2020-12-11"), SMALL)
    days = ["2019-12-31", "2020-06-12", "2020-09-30", "2020-12-11"]
    shares = [f"{frame.loc[day, 'shares'] / 1e6:.2f}" for day in days]
    assert shares == ["289.95", "256.75", "258.60", "290.30"]
    assert f"{flow_summary(frame, YTD).units:+.2f}" == "+0.12"
    assert f"{flow_summary(frame, parse_window('since 2020-09-30')).units:+.2f}" == "+12.26"


def test_a_flow_counts_what_came_after_the_base_up_to_the_end() -> None:
    frame = prepare_counts(facts(200.0, 201.0, 203.0, 204.0, nav=[100.0, 100.0, 110.0, 120.0]), SESSIONS)
    found = flow_summary(frame, Window("d", 2))
    assert (found.base, found.end) == (SESSIONS[1], SESSIONS[3])
    assert found.dollars == pytest.approx(2e6 * 110 + 1e6 * 120)
    assert found.percent == pytest.approx(100 * 340 / 20_100)
    assert found.units == pytest.approx(100 * 3 / 201)
    assert found.before is None  # the window before would start before history


def test_the_window_before_ends_where_this_one_begins() -> None:
    frame = prepare_counts(facts(200.0, 201.0, 203.0, 206.0, 210.0), SESSIONS)
    assert flow_summary(frame, Window("d", 2)).before == pytest.approx(300e6)
    assert flow_history(frame, Window("d", 2))["change"].tolist()[-1] == pytest.approx(700e6 - 300e6)
    assert flow_summary(frame, Window("d", 3)).before is None
    assert np.isnan(flow_history(frame, Window("d", 3))["change"].iloc[-1])


@pytest.mark.parametrize("window", [YTD, MTD, parse_window("since 2019-12-30")])
def test_a_window_with_a_fixed_start_has_none_before_it(window: Window) -> None:
    frame = prepare_counts(facts(*[200.0 + number for number in range(20)]), SESSIONS)
    found = flow_summary(frame, window)
    assert found.dollars is not None
    assert found.before is None


def test_too_little_history_gives_nothing() -> None:
    frame = prepare_counts(facts(200.0, 201.0), SESSIONS)
    for window in (Window("d", 2), YTD, Window("w", 1)):
        assert flow_summary(frame, window) == FlowSummary(window, None, SESSIONS[1])
        assert flow_history(frame, window).isna().all().all()


def test_without_counts_there_is_no_flow() -> None:
    nothing = prepare_counts(facts(), SESSIONS)
    for window in WINDOWS:
        assert flow_summary(nothing, window, SESSIONS[3]) == FlowSummary(window, None, None)
        history = flow_history(nothing, window)
        assert history.empty
        assert list(history.columns) == ["dollars", "percent", "units", "change"]


def test_the_anchor_is_the_date_asked_for_and_days_count_from_the_last_count() -> None:
    frame = prepare_counts(facts(200.0, 201.0, 203.0, 206.0, 210.0, 215.0, 221.0, 228.0), SESSIONS)
    late = SESSIONS[9]
    assert flow_summary(frame, Window("w", 1), late).base == SESSIONS[4]
    assert flow_summary(frame, Window("w", 1)).base == SESSIONS[2]
    assert flow_summary(frame, Window("d", 3), late).base == SESSIONS[4]


def test_days_are_sessions_even_where_counts_are_missing() -> None:
    holes = facts(200.0, 201.0, NAN, NAN, 204.0, 205.0)
    frame = prepare_counts(holes, SESSIONS)
    assert flow_summary(frame, Window("d", 1)).base == SESSIONS[4]
    assert flow_summary(frame, Window("d", 3)).base == SESSIONS[1]  # the last count before a missing one
    assert flow_summary(frame, Window("d", 4)).base == SESSIONS[1]
    assert flow_summary(frame, Window("d", 5)).base == SESSIONS[0]
    note = "one flow over 3 sessions since 17 Dec 2019, counts between are missing"
    assert flow_summary(frame, Window("d", 3)).flags == ((SESSIONS[4], "GAP", note),)
    assert flow_history(frame, Window("d", 3))["dollars"].tolist()[-1] == pytest.approx(400e6)


@pytest.mark.parametrize(
    ("counts", "held"),
    [
        ((200.0, 201.0, 240.0, 241.0), [2, 3]),  # BIG, held
        ((200.0, 201.0, 240.0, *[241.0, 242.0] * 3), []),  # BIG, confirmed
        ((200.0, 200.0, 200.0, 200.0, 201.0), [3]),  # STALE
        ((200.0, 201.0, NAN, 203.0, 204.0), [2]),  # GAP, the third row
        ((200.0, 201.0, 201.01, 201.06), [2]),  # LOT
        ((200.0, 201.0, 402.0, 202.0, 203.0), [2, 3]),  # a spike's first day and its end
        ((200.0, 201.0, 215.0, 216.0), []),  # above 5 percent is real
    ],
)
def test_a_doubtful_day_fires_nothing_by_itself(counts: tuple[float, ...], held: list[int]) -> None:
    frame = prepare_counts(facts(*counts), SESSIONS)
    for column, values in flow_history(frame, DAY).iloc[1:].items():
        missing = [1 + number for number in np.flatnonzero(values.isna())]
        # the change needs a day before the day
        assert [row for row in missing if column != "change" or row > 1] == held


def test_a_big_flow_counts_from_its_own_day_once_it_has_stood_for_five_sessions() -> None:
    counts = (200.0, 201.0, 240.0, 241.0, 242.0, 241.0, 242.0)
    assert flow_history(prepare_counts(facts(*counts), SESSIONS), Window("d", 2))["dollars"].isna().all()
    stood = flow_history(prepare_counts(facts(*counts, 241.0), SESSIONS), Window("d", 2))["dollars"]
    assert stood.iloc[2:5].tolist() == pytest.approx([4_000e6, 4_000e6, 200e6])


def test_a_second_source_confirms_a_jump_at_once() -> None:
    counts = facts(200.0, 201.0, 402.0, 403.0, 404.0)
    for row in (2, 3):
        seconded = counts.assign(seconded=[number == row for number in range(5)])
        frame = prepare_counts(seconded, SESSIONS)
        assert (frame["flag"].iloc[2], frame["note"].iloc[2]) == ("LARGE", SECONDED)
        assert flow_summary(frame, Window("d", 4)).dollars == pytest.approx(20_400e6)
        assert flow_history(frame, DAY)["dollars"].iloc[2] == pytest.approx(20_100e6)
    # not where it confirms the count after the spike only
    undone = facts(200.0, 201.0, 402.0, 202.0).assign(seconded=[False, False, False, True])
    assert prepare_counts(undone, SESSIONS)["flag"].iloc[2] == "SPIKE_REVERT"


@pytest.mark.parametrize("jump", [302.0, 0.2])
def test_an_impossible_change_is_no_flow_of_any_window_while_it_is_unresolved(jump: float) -> None:
    counts = (200.0, 201.0, jump, jump, jump)
    frame = prepare_counts(facts(*counts), SESSIONS)
    for window in (DAY, Window("d", 4)):
        flow = flow_summary(frame, window)
        assert (flow.dollars, flow.percent, flow.units, flow.base) == (None,) * 4
        assert [(day, flag) for day, flag, _ in flow.flags] == [(SESSIONS[2], "IMPOSSIBLE")]
    assert list(believed(frame).index) == list(SESSIONS[:2])
    undone = prepare_counts(facts(*counts, 203.0), SESSIONS)
    assert flow_summary(undone, Window("d", 5)).dollars == pytest.approx(300e6)
    stood = prepare_counts(facts(*counts, jump, jump, jump), SESSIONS)
    assert flow_summary(stood, Window("d", 7)).dollars == pytest.approx((jump - 200) * 100e6)


def test_a_spike_leaves_no_flow_behind_it() -> None:
    counts = facts(200.0, 400.0, 401.0, 201.0, 202.0, nav=[100.0, 110.0, 120.0, 130.0, 100.0])
    frame = prepare_counts(counts, SESSIONS)
    found = flow_summary(frame, Window("d", 4))
    assert found.dollars == pytest.approx(1e6 * 130 + 1e6 * 100)
    # a base inside it is replaced by the last good one
    assert flow_summary(frame, Window("d", 2)).base == SESSIONS[0]
    assert flow_summary(frame, Window("d", 2)).dollars == found.dollars


def test_a_split_changes_no_flow_no_share_of_assets_and_no_change_of_units() -> None:
    plain = facts(200.0, 201.0, 203.0, 206.0, 210.0)
    halved = plain.copy()
    halved.iloc[3:, 0] /= 2
    halved.iloc[3:, 1] *= 2
    kept = {"dollars": 700e6, "percent": 100 * 700 / 20_300, "units": 100 * 7 / 203}
    assert flow_history(prepare_counts(plain, SESSIONS), Window("d", 2)).iloc[-1][
        list(kept)
    ].to_dict() == pytest.approx(kept)
    # the flow of the split's own day cannot be told from it and is none
    split = flow_history(prepare_counts(halved, SESSIONS), DAY)["dollars"].iloc[1:].tolist()
    assert split == pytest.approx([100e6, 200e6, 0.0, 400e6])


@settings(max_examples=12)
@given(histories(), st.sampled_from(WINDOWS))
def test_the_history_says_what_was_known(known: tuple[pd.DataFrame, pd.Series], window: Window) -> None:
    counts, close = known
    whole = prepare_counts(counts, SESSIONS, close)
    history = flow_history(whole, window)
    for cut in range(3, len(whole), 5):
        then = prepare_counts(counts.loc[: whole.index[cut]], SESSIONS, close)
        final = int((~then["held"]).sum())  # what is held is not known yet
        earlier = flow_history(then, window)
        pd.testing.assert_frame_equal(
            earlier.iloc[:final], history.iloc[:final], rtol=1e-9, atol=1e-3, check_freq=False
        )
        assert earlier.iloc[final:].isna().all(axis=None)
        row, found = history.iloc[cut], flow_summary(then, window)
        if not then["doubtful"].iloc[cut] and found.dollars is not None:
            told = [found.dollars, found.percent, found.units]
            assert row[["dollars", "percent", "units"]].tolist() == pytest.approx(told, rel=1e-9, abs=1e-3)
            if found.before is not None:
                assert row["change"] == pytest.approx(found.dollars - found.before, rel=1e-9, abs=1e-3)


@given(st.lists(st.tuples(st.integers(1_000, 9_000), st.floats(50, 200)), min_size=1, max_size=15))
def test_the_method_by_assets_agrees_where_they_are_count_times_value(rows: list[tuple[int, float]]) -> None:
    frame = facts(*(lots / 20 for lots, _ in rows), nav=[value for _, value in rows])
    frame["assets"] = frame["shares"] * frame["nav"]
    expected = frame["shares"].diff() * frame["nav"]
    assert flows_from_assets(frame).to_numpy() == pytest.approx(expected.to_numpy(), nan_ok=True, abs=1.0)


def test_on_an_ex_day_the_method_by_assets_needs_the_price_return() -> None:
    # a distribution of 1 leaves the fund with the NAV; nobody bought or sold a share
    frame = facts(200.0, 200.0, nav=[100.0, 99.0]).assign(assets=[20e9, 19.8e9])
    assert flows_from_assets(frame).iloc[1] == 0.0
    total = total_return_index(frame["nav"], pd.Series([1.0], index=[SESSIONS[1]]))
    assert 19.8e9 - 20e9 * total.iloc[1] == pytest.approx(-200e6)


def naive_z(values: list[float]) -> list[float]:
    """One session after the other, as it is defined."""
    found = []
    for t, x in enumerate(values):
        past = [v for v in values[max(0, t - 120) : t] if not math.isnan(v)]
        if len(past) < 20 or math.isnan(x):
            found.append(NAN)
            continue
        median = float(np.median(past))
        spread = 1.4826 * float(np.median([abs(v - median) for v in past]))
        if spread > 0:
            found.append(max(-5.0, min(5.0, (x - median) / spread)))
        else:
            found.append(0.0 if x == median else NAN)
    return found


@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 300),
    st.sampled_from([0.0, 0.2, 0.8]),
    st.sampled_from(["normal", "whole", "wild"]),
)
def test_the_score_is_the_robust_one_of_each_session(seed: int, n: int, gaps: float, kind: str) -> None:
    random = np.random.default_rng(seed)
    values = random.normal(0, 1, n) if kind == "normal" else random.standard_cauchy(n)
    values = np.round(random.normal(0, 0.6, n)) if kind == "whole" else values
    values[random.random(n) < gaps] = np.nan
    series = pd.Series(values, index=pd.bdate_range("2015-01-01", periods=n))
    found = robust_z(series)
    assert found.index.equals(series.index)
    assert found.tolist() == pytest.approx(naive_z(values.tolist()), nan_ok=True, rel=1e-12)


def test_a_score_needs_twenty_sessions_before_and_is_clipped() -> None:
    values = pd.Series([*map(float, range(20)), 1000.0, -1000.0])
    assert robust_z(values).isna().tolist() == [True] * 20 + [False, False]
    assert robust_z(values).tolist()[-2:] == [5.0, -5.0]


def test_where_nothing_moved_the_score_is_zero_or_not_available() -> None:
    values = pd.Series([1.0] * 25 + [2.0, 1.0])
    assert robust_z(values).iloc[20:].tolist() == pytest.approx([0.0] * 5 + [NAN, 0.0], nan_ok=True)


def test_the_gap_is_the_small_fund_less_the_large_on_sessions_of_both() -> None:
    market = Market(
        prices=pd.DataFrame({SMALL: 100.0, LARGE: 100.0}, index=SESSIONS),
        last_completed=SESSIONS[-1],
        facts={SMALL: facts(200.0, 201.0, 240.0, 242.4), LARGE: facts(900.0, 909.0, 918.1, 927.3, rows=[1, 2, 3, 4])},
    )
    gap = flow_gap_history(market, DAY)
    assert list(gap.index) == list(SESSIONS[1:4])
    # the second day of the small fund is BIG: held, not left out
    assert gap.tolist() == pytest.approx([NAN, NAN, NAN], nan_ok=True)
    assert flow_gap_history(replace(market, facts={}), DAY).empty


def test_facts_are_made_ready_once_for_a_market() -> None:
    market = facts_market()
    assert daily_flows(market, SMALL) is daily_flows(market, SMALL)
    assert daily_flows(market, LARGE).empty


def flags(frame: pd.DataFrame) -> list[str]:
    return list(prepare_counts(frame, SESSIONS)["flag"])


COLUMNS = {"shares", "nav", "flow", "flag", "note", "position", "doubtful", "held", "known", "stand_in", "by_close"}


def flagged(start: str, end: str) -> dict[str, str]:
    """Flags of IWM's real counts between two days, by month and day."""
    between = daily_flows(market(), "IWM").loc[start:end, "flag"]
    return {f"{day:%m-%d}": flag for day, flag in between.items() if flag}


def test_a_flow_is_the_change_of_the_count_at_the_days_value() -> None:
    frame = prepare_counts(facts(200.0, 201.0, 199.0, nav=[100.0, 110.0, 120.0]), SESSIONS)
    assert set(frame.columns) == COLUMNS
    assert frame["flow"].fillna(-1.0).tolist() == [-1.0, 110e6, -240e6]
    assert list(frame["flag"]) == ["", "", ""]
    assert not frame["doubtful"].any()


def test_without_facts_there_is_nothing() -> None:
    for nothing in (facts(), facts(NAN, 200.0, nav=[100.0, NAN])):
        frame = prepare_counts(nothing, SESSIONS)
        assert frame.empty
        assert set(frame.columns) == COLUMNS


def test_a_row_without_a_sound_count_or_value_is_no_row() -> None:
    frame = prepare_counts(facts(200.0, NAN, 0.0, -1.0, 201.0, 202.0, nav=[100.0] * 4 + [0.0, 100.0]), SESSIONS)
    assert list(frame.index) == [SESSIONS[0], SESSIONS[5]]
    assert frame["flow"].iloc[-1] == 200e6


def test_rows_on_days_without_a_session_are_dropped_before_differencing() -> None:
    with_sunday = facts(200.0, 900.0, 201.0)
    with_sunday.index = pd.DatetimeIndex(["2020-01-03", "2020-01-05", "2020-01-06"])
    frame = prepare_counts(with_sunday, SESSIONS)
    assert frame["flow"].iloc[1:].tolist() == [100e6]
    assert list(frame["flag"]) == ["", ""]


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


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        # a count that doubles while the value does not halve is no split
        (facts(200.0, 400.0, 401.0, nav=[100.0, 51.1, 51.1]), ["", "IMPOSSIBLE", ""]),
        (facts(200.0, 400.0, 401.0, nav=[100.0, 50.9, 50.9]), ["", "SPLIT", ""]),
        # a small jump against the value is none
        (facts(200.0, 229.0, nav=[114.5, 100.0]), ["", "LARGE"]),
        (facts(200.0, 231.0, nav=[115.5, 100.0]), ["", "SPLIT"]),
        # nor is one between sessions that do not follow each other
        (facts(200.0, 400.0, 401.0, nav=[100.0, 50.0, 50.0], rows=[0, 2, 3]), ["", "IMPOSSIBLE", ""]),
    ],
)
def test_a_split_is_a_jump_against_the_value(counts: pd.DataFrame, expected: list[str]) -> None:
    assert flags(counts) == expected


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        # stale on the third session without change
        (facts(200.0, 200.0, 200.0, 200.0, 200.0, 201.0), "| | | STALE! | STALE! |"),
        # above five percent is annotated and fires
        (facts(200.0, 210.0, 220.55, 209.5, 198.9), "| | LARGE | LARGE | LARGE"),
        # above fifteen percent it is held until it has stood for five sessions, and so is what follows it
        (facts(200.0, 230.0), "| LARGE"),
        (facts(200.0, 230.05), "| BIG!"),
        (facts(200.0, 230.05, 230.0, 231.0, 230.0, 231.0), "| BIG! | ! | ! | ! | !"),
        (facts(200.0, 230.05, 230.0, 231.0, 230.0, 231.0, 230.0), "| LARGE | | | | |"),
        (facts(200.0, 300.0), "| BIG!"),
        (facts(200.0, 300.05), "| IMPOSSIBLE!"),
        (facts(200.0, 2.0, 2.0, 0.2), "| IMPOSSIBLE! | ! | IMPOSSIBLE!"),
        # a change that is no whole lot is flagged whatever the level
        (facts(860.882116, 860.932116, 860.782116), "| |"),
        (facts(860.0, 860.05, 860.1234, 860.1734), "| | LOT! |"),
        # a jump that is undone by more than half within five sessions is a spike
        (facts(200.0, 400.0, 200.0, 201.0), "| SPIKE_REVERT! | SPIKE_REVERT! |"),
        (facts(200.0, 100.0, 180.0, 181.0), "| SPIKE_REVERT! | SPIKE_REVERT! |"),
        (facts(200.0, 260.0, 229.0, 229.5), "| SPIKE_REVERT! | SPIKE_REVERT! |"),
        (facts(200.0, 260.0, 230.0, 230.5), "| BIG! | LARGE! | !"),
        # a jump that goes on back belongs to it
        (facts(200.0, 100.0, 160.0, 198.0, 199.0), "| SPIKE_REVERT! | SPIKE_REVERT! | SPIKE_REVERT! |"),
        # what it comes back to is held against the count before it
        (facts(200.0, 300.0, 249.0, 249.5), "| SPIKE_REVERT! | BIG! | !"),
        (facts(200.0, 300.0, 301.0, 302.0, 303.0, 304.0, 205.0), f"|{' SPIKE_REVERT! |' * 5} SPIKE_REVERT!"),
        (facts(200.0, 300.0, 301.0, 302.0, 303.0, 304.0, 305.0, 205.0), "| LARGE | | | | | | BIG!"),
    ],
)
def test_flags_of_counts_and_which_of_their_days_are_doubtful(counts: pd.DataFrame, expected: str) -> None:
    frame = prepare_counts(counts, SESSIONS)
    days = zip(frame["flag"], frame["doubtful"], strict=True)
    flagged_days = [flag + "!" * doubtful for flag, doubtful in days]
    assert flagged_days == [day.strip() for day in expected.split("|")]


def test_a_gap_names_its_span() -> None:
    frame = prepare_counts(facts(200.0, 201.0, 203.0, rows=[0, 3, 4]), SESSIONS)
    assert list(frame["flag"]) == ["", "GAP", ""]
    assert frame["note"].iloc[1] == "one flow over 3 sessions since 16 Dec 2019, counts between are missing"
    assert frame["doubtful"].tolist() == [False, True, False]


@shared
@pytest.mark.parametrize("day", ["2007-06-21", "2007-06-22", "2007-06-25"])
def test_the_lost_units_of_june_2007_are_no_figure(day: str) -> None:
    """1.15m units on 2007-06-21 and 22, 0.15m on 25, instead of 115m."""
    frame = daily_flows(market_at(day), "IWM")
    assert held_from(METRICS["flow"], market_at(day), {"fund": "IWM"}) == pd.Timestamp("2007-06-21")
    assert believed(frame)["shares"].iloc[-1] == 114.95e6
    assert flow_summary(frame, YTD).flags[0][:2] == (pd.Timestamp("2007-06-21"), "IMPOSSIBLE")


@shared
@pytest.mark.parametrize(
    ("day", "flag", "until", "dollars"),
    [("2011-10-28", "BIG", "2011-11-04", 2.220e9), ("2000-05-30", "IMPOSSIBLE", "2000-06-06", 0.2003e9)],
)
def test_changes_that_were_real_count_once_they_have_stood(day: str, flag: str, until: str, dollars: float) -> None:
    jump, confirmed = pd.Timestamp(day), pd.Timestamp(until)
    before = confirmed - pd.offsets.BDay()
    then, after = daily_flows(market_at(f"{before:%Y-%m-%d}"), "IWM"), daily_flows(market_at(until), "IWM")
    assert (then.loc[jump, "flag"], then.loc[jump, "held"]) == (flag, True)
    assert (after.loc[jump, "note"], after["held"].any()) == (STOOD, False)
    assert flow_history(after, DAY)["dollars"][jump] == pytest.approx(dollars, rel=1e-3)


def test_the_end_of_a_spike_is_a_flow_since_before_it() -> None:
    frame = prepare_counts(facts(200.0, 400.0, 401.0, 202.0, nav=[100.0, 101.0, 102.0, 103.0]), SESSIONS)
    assert frame["flow"].iloc[1:].tolist() == [0.0, 0.0, 2e6 * 103]
    assert frame["doubtful"].tolist() == [False, True, True, True]
    assert frame["stand_in"].tolist() == [0, 0, 0, 3]


@shared
@pytest.mark.parametrize(
    ("first", "end"),
    [
        ("2004-04-30", "2004-05-03"),
        ("2004-06-24", "2004-06-29"),
        ("2005-06-15", "2005-06-16"),
        ("2005-06-23", "2005-06-28"),
        ("2007-06-21", "2007-06-29"),
    ],
)
def test_the_issuers_spikes(first: str, end: str) -> None:
    frame = daily_flows(market(), "IWM")
    flags = frame.loc[first:end, "flag"]
    assert set(flags) == {"SPIKE_REVERT"}
    assert frame["flag"].shift(1)[first] != "SPIKE_REVERT"
    assert frame["flag"].shift(-1)[end] != "SPIKE_REVERT"


@shared
def test_nothing_of_2020_is_flagged() -> None:
    assert flagged("2019-12-31", "2020-12-11") == {}
    assert "LOT" not in set(daily_flows(market(), "IWM")["flag"])
    assert not is_derived(market().fund("IWM")).any()


def test_a_value_far_from_the_market_is_replaced_by_it() -> None:
    close = pd.Series(100.5, index=SESSIONS)
    frame = prepare_counts(facts(200.0, 201.0, 202.0, 203.0, nav=[100.0, 100.0, 113.0, 100.0]), SESSIONS, close)
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


def test_a_count_without_a_value_is_taken_by_close() -> None:
    close = pd.Series([50.0, 51.0, 52.0, 53.0, NAN], index=SESSIONS[:5])
    frame = prepare_counts(facts(200.0, 201.0, 203.0, 204.0, 205.0, nav=NAN), SESSIONS, close)
    assert frame["flow"].tolist() == pytest.approx([NAN, 51e6, 104e6, 53e6], nan_ok=True)
    assert frame["by_close"].all()
    # one value among many, and closes in the units of a split to come
    frame = prepare_counts(facts(200.0, 201.0, 203.0, nav=[100.2, NAN, 100.1]), SESSIONS, close)
    assert frame["by_close"].tolist() == [False, True, False]
    assert frame["nav"].iloc[1] == pytest.approx(51 * 100.2 / 50)
    near = prepare_counts(facts(200.0, 201.0, nav=[50.1, NAN]), SESSIONS, close)
    assert near["nav"].tolist() == [50.1, 51.0]


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


def test_a_count_that_was_replaced_is_flagged() -> None:
    replaced = facts(200.0, 201.0, 202.0).assign(was=[NAN, NAN, 212e6])
    assert flags(replaced) == ["", "", "REVISED"]


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


def test_every_flag_says_what_it_means() -> None:
    frame = prepare_counts(facts(200.0, 201.0, 201.01, 250.0, 202.0, 100.0, nav=[100.0] * 5 + [202.0]), SESSIONS)
    assert list(frame["flag"]) == ["", "", "LOT", "SPIKE_REVERT", "SPIKE_REVERT", "SPLIT"]
    assert [FLAGS.get(flag, "") for flag in frame["flag"]] == list(frame["note"])
