from dataclasses import replace
from functools import partial

import pandas as pd
import pytest

from bot.analytics.market import Market
from bot.analytics.metrics import METRICS, metric_value
from bot.analytics.windows import AsOf, Window, parse_window
from bot.messages.canvas import LIGHT
from bot.messages.pages.compare import compare_answer
from bot.messages.pages.flows import flows_answer
from bot.messages.pages.fundamentals import attribution_answer
from bot.pair import DEFAULT_PAIR, Fund, Pair
from tests.analytics.facts import facts_at
from tests.messages.pages import days, drawing, market, page, shown


def test_the_golden_flow_since_september_2020() -> None:
    lines = shown(flows_answer(facts_at("2020-12-11"), AsOf(), LIGHT, [parse_window("since 2020-09-30")]))
    at = lines.index("IWM since 2020-09-30")
    assert lines[at + 1].split() == ["+$5.55bn", "+14.35%"]
    assert next(line for line in lines if line.startswith("IWM ytd")).split()[1:] == ["ytd", "n/a", "n/a"]
    assert "SPY: n/a, no fund facts." in lines
    assert "Gap IWM − SPY 20d, as % of assets: n/a, no share counts of SPY stored." in lines
    assert lines[-1] == "Source: CSV import."


def page_of_flows(of: Market, *windows: Window) -> list[str]:
    return shown(flows_answer(of, AsOf(), LIGHT, windows))


def test_a_refusal_is_told_with_what_to_do_also_where_older_counts_are_stored() -> None:
    refusals = {"SPY fund": "Rejected: it is empty.", "SPY holdings": "No data: refused (HTTP 429)."}
    for units in ({}, {"SPY": [250.0] * 5}):
        of = replace(market([50.0] * 5, units={"IWM": [250.0] * 5, **units}), refusals=refusals)
        steps = [step for step in flows_answer(of, AsOf(), LIGHT).steps if not step.startswith("Or ")]
        by_hand = f"download {DEFAULT_PAIR.large.issuer_file} in a browser and run: python -m bot import issuer"
        assert steps == [f"SPY, its issuer's file: Rejected: it is empty. Or {by_hand} FILE."]


def test_of_another_pair_no_address_is_known_and_that_is_told() -> None:
    of = replace(market([50.0] * 5), pair=Pair(Fund("IWM"), Fund("SPY")))
    assert flows_answer(of, AsOf(), LIGHT).steps[0] == (
        "IWM: no address of its issuer's files is known. Put issuer_file into [pair] of the config, or "
        "download its file of NAV and units and run: python -m bot import issuer FILE"
    )


def test_facts_without_a_count_say_that_yahoos_is_frozen() -> None:
    nav_only = pd.DataFrame({"nav": 100.0, "shares": float("nan"), "assets": 1e9}, days(5))
    lines = page_of_flows(replace(market([50.0] * 5), facts={"IWM": nav_only}))
    assert lines[1] == "IWM: n/a, no fund facts with a share count (Yahoo's is frozen and cannot give flows)."


@pytest.mark.parametrize(
    ("count", "reported"),
    [(30, "13 Feb"), (29, "12 Feb, 1 session old"), (28, "11 Feb, 2 sessions old"), (20, "30 Jan, 10 sessions old")],
)
def test_counts_of_an_earlier_session_say_how_old_they_are(count: int, reported: str) -> None:
    of = market([50.0] * 30, units={"IWM": [250.0 + number for number in range(count)]})
    units, assets = f"{249 + count}.00m units", f"${(249 + count) / 10:.1f}bn"
    assert f"IWM: {units}, {assets}, {reported}" in page_of_flows(of)


def test_a_single_report_has_no_flow() -> None:
    of = market([50.0] * 5, units={"IWM": [250.0]})
    lines = page_of_flows(of)
    assert [line.split() for line in lines[2:6]] == [["IWM", name, "n/a", "n/a"] for name in ("1d", "5d", "20d", "ytd")]
    assert "IWM 20d z-score: n/a, too little history (share counts from 2 Jan 2020)." in lines
    assert not any(line.startswith("Base reports") for line in lines)


def test_flagged_days_are_explained_newest_first() -> None:
    counts = [250.0, 251, 251, 251, 251, 251, 290, 295, 302, 400, 300, 301]
    lines = page_of_flows(market([50.0] * 12, units={"IWM": counts}), Window("d", 11))
    spike = "a jump in the count that was undone within five sessions, left out."
    first = lines.index(f"SPIKE_REVERT IWM 16 Jan 2020: {spike}")
    assert lines[first + 1 : first + 4] == [
        f"SPIKE_REVERT IWM 15 Jan 2020: {spike}",
        "LARGE IWM 10 Jan 2020: above 15% of assets, confirmed: it stood for five sessions.",
        "... and 2 more flagged days.",
    ]


def with_facts(of: Market, **columns: object) -> Market:
    return replace(of, facts={"IWM": of.fund("IWM").assign(**columns)})


def test_a_count_that_was_replaced_is_told_with_what_it_was() -> None:
    of = market([50.0] * 5, units={"IWM": [250.0, 251, 252, 253, 254]})
    was = [float("nan"), float("nan"), 240e6, float("nan"), float("nan")]
    lines = page_of_flows(with_facts(of, was=was), Window("d", 4))
    assert "REVISED IWM 6 Jan 2020: the source gave 240.00m units first." in lines


def test_counts_made_of_assets_are_left_out_and_told() -> None:
    values = [100.0 + number % 3 for number in range(24)]
    counts = [200.0 + number for number in range(6)] + [20_000.0 / value for value in values[6:]]
    of = with_facts(market([50.0] * 24, units={"IWM": counts}), nav=values)
    assert (
        "FAKE_AUM 10 Jan 2020 to 5 Feb 2020: 18 share counts are assets divided by NAV and are left out."
    ) in page_of_flows(of)


def test_counts_of_another_source_are_told() -> None:
    of = market([50.0] * 5, units={"IWM": [250.0, 251, 252, 253, 254]})
    note = "SOURCE_SWITCH IWM: issuer file counts units of 2 sessions."
    assert note in page_of_flows(replace(of, notes={"facts:IWM": (note,)}))


def test_assets_give_a_second_answer_where_the_source_states_them() -> None:
    of = market([50.0] * 22, units={"IWM": [250.0 + number for number in range(22)]})
    stated = with_facts(of, assets=[100.0 * (250 + number) * 1e6 for number in range(22)])
    check = "IWM check by the change of assets, 20d: "
    assert f"{check}+$2.00bn." in page_of_flows(stated)
    lacking = with_facts(of, assets=[*[25e9] * 21, float("nan")])
    for without in (of, lacking):
        assert not any(line.startswith(check) for line in page_of_flows(without))


def test_the_chart_begins_at_zero_and_has_only_funds_with_a_base() -> None:
    of = market([50.0] * 30, units={"IWM": [250.0 + number for number in range(30)], "SPY": [900.0] * 3})
    frame, style, note = drawing(flows_answer(of, AsOf(), LIGHT, [Window("d", 5)])).args
    assert list(frame.columns) == ["IWM"]
    assert frame["IWM"].tolist() == [0.0] + [100e6] * 5
    assert style.title == "Money into the funds since 6 Feb 2020"
    assert note == "No flow of SPY is known over 5d."


@pytest.mark.parametrize(("count", "window"), [(30, "20d"), (21, "20d"), (20, "5d"), (2, "1d")])
def test_text_and_picture_are_of_20_sessions_or_of_what_there_is(count: int, window: str) -> None:
    answer = flows_answer(market([50.0] * 30, units={"IWM": [250.0 + n for n in range(count)]}), AsOf(), LIGHT)
    assert shown(answer)[0].startswith(f"Money went into IWM, {window} · ")
    assert len(drawing(answer).args[0]) == int(window.removesuffix("d")) + 1


FUND = [250.0 + number % 2 for number in range(30)]


@pytest.mark.parametrize(
    ("jump", "reading", "fund", "day", "flag"),
    [
        (300.0, "Money went into IWM (unconfirmed), 1d", "300.00m", "+$4.90bn", "BIG"),
        (3.0, "No fund's flow is known", "251.00m units, $25.1bn, 13 Feb, 1 session old", "n/a", "IMPOSSIBLE"),
    ],
)
def test_a_jump_is_unconfirmed_and_above_half_of_the_assets_no_figure_at_all(
    jump: float, reading: str, fund: str, day: str, flag: str
) -> None:
    of = market([100.0] * 31, units={"IWM": [*FUND, jump]})
    lines = page_of_flows(of, Window("d", 1))
    assert lines[0].startswith(f"{reading} · ")
    assert any(line.startswith(f"IWM: {fund}") for line in lines)
    assert next(line for line in lines if line.startswith("IWM 1d")).split()[2] == day
    note = next(line for line in lines if line.startswith(f"{flag} IWM 14 Feb 2020: "))
    assert note.endswith("until it stands five sessions or two sources have it.")
    chart = flows_answer(of, AsOf(), LIGHT, [Window("d", 1)]).draw
    if flag == "BIG":
        assert isinstance(chart, partial)
        assert chart.args[1].title == "Money into the funds since 13 Feb 2020 (IWM unconfirmed)"
    else:
        assert chart is None
    assert f"{flag} on 14 Feb 2020 (see /flows)" in page(compare_answer(of, AsOf(), LIGHT))


def test_without_a_nav_the_flow_is_by_close_and_says_so() -> None:
    units = {"IWM": [250.0 + number for number in range(30)]}
    of = with_facts(market([50.0] * 30, units=units), nav=float("nan"))
    lines = page_of_flows(of)
    assert next(line for line in lines if line.startswith("IWM 5d")).split()[2] == "+$0.25bn"
    assert "IWM by close where no NAV is stored: 1d, 5d, 20d." in lines
    assert "IWM +$1.0bn (+7.7%, by close)" in page(compare_answer(of, AsOf(), LIGHT))
    assert "IWM flow by close where no NAV is stored." in page(attribution_answer(of, AsOf(), LIGHT, Window("d", 5)))
    metric = METRICS["flow"]
    assert metric_value(metric, of, metric.defaults()).source.endswith("by close")


@pytest.mark.parametrize(
    ("steps", "reading"),
    [
        ({"IWM": 1.0, "SPY": -1.0}, "Money went into IWM and out of SPY, 5d"),
        ({"IWM": -1.0, "SPY": -1.0}, "Money went out of IWM and SPY, 5d"),
        ({"SPY": 1.0}, "Money went into SPY, 5d"),
        ({"IWM": 1.0, "SPY": -0.04}, "Money went into IWM, about flat in SPY, 5d"),
        ({"IWM": 0.0}, "About flat in IWM, 5d"),
        ({}, "No fund's flow is known"),
    ],
)
def test_the_first_line_says_which_way_money_went(steps: dict[str, float], reading: str) -> None:
    counts = {fund: [250.0 + step * number for number in range(10)] for fund, step in steps.items()}
    lines = page_of_flows(market([50.0] * 10, units=counts), Window("d", 5))
    assert lines[0].startswith(f"{reading} · ")
