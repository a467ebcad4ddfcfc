from dataclasses import replace

import pandas as pd
import pytest

from bot.alerts.grammar import parse_rule
from bot.analytics.market import Market, Source
from bot.analytics.metrics import METRICS
from bot.analytics.performance import performance
from bot.analytics.units import PERCENT, POINTS
from bot.analytics.windows import AsOf, Window, parse_window
from bot.errors import NoData
from bot.messages.canvas import LIGHT
from bot.messages.common import flow_line, multiple_line, ratio_line
from bot.messages.pages.chart import metric_answer
from bot.messages.pages.compare import RETURN_WINDOWS, compare_answer
from bot.pair import DEFAULT_PAIR
from tests.analytics.facts import facts_at
from tests.messages.pages import context, days, drawing, market, page, shown
from tests.sample_market import sample_market

SUNDAY = AsOf(asof=pd.Timestamp("2020-12-13"))
SINCE = parse_window("since 2020-09-30")
# What nothing new may be missing from: the whole page of one moment.
SAMPLE_PAGE = """\
IWM and SPY · close of Fri 11 Dec 2020
Sample data: simulated between published points, not the market.
IWM leads: 1w, 1m, 3m, 6m, ytd, 1y, since 2020-09-30 (price).
Price return
         IWM      SPY       gap
1w    +1.12%   −0.96%   +2.08pp
1m   +10.06%   +2.40%   +7.66pp
3m   +27.59%   +9.65%  +17.94pp
6m   +36.98%  +21.71%  +15.27pp
ytd  +14.87%  +13.81%   +1.06pp
1y   +16.94%  +16.29%   +0.65pp
since 2020-09-30
     +27.04%   +9.38%  +17.67pp
Total return, distributions reinvested
         IWM      SPY       gap
1w    +1.12%   −0.96%   +2.08pp
1m   +10.06%   +2.40%   +7.66pp
3m   +28.07%  +10.09%  +17.98pp
6m   +37.97%  +22.74%  +15.23pp
ytd  +16.14%  +15.48%   +0.65pp
1y   +18.67%  +18.57%   +0.10pp
since 2020-09-30
     +27.04%   +9.38%  +17.67pp
Base closes: 1w 4 Dec 2020, 1m 11 Nov 2020, 3m 11 Sep 2020, 6m 11 Jun 2020, ytd 31 Dec 2019, \
1y 11 Dec 2019, since 2020-09-30.

Ratio IWM/SPY 0.5195, 13.10% above its 200-day average (above it since 6 Oct 2020).
Flows 20d: IWM +$2.48bn (+5.19% of assets); SPY −$5.35bn (−1.72% of assets).
P/E (losses included, forward): IWM 75.0x, SPY 27.8x, close of Fri 11 Dec 2020.

Source: sample data."""


def test_the_whole_page() -> None:
    assert page(compare_answer(sample_market(), AsOf(), LIGHT, [SINCE])) == SAMPLE_PAGE


def test_windows_count_back_from_the_day_asked_for() -> None:
    lines = shown(compare_answer(facts_at("2020-12-13"), SUNDAY, LIGHT))
    assert lines[1] == "Asked for Sun 13 Dec 2020; the last close before it is used."
    assert any("6m 12 Jun 2020, ytd 31 Dec 2019, 1y 13 Dec 2019" in line for line in lines)
    assert "Flows 20d: IWM +$1.70bn (+3.55% of assets); SPY n/a, no fund facts." in lines
    assert "Multiples: n/a, none stored." in lines


def test_a_window_of_more_than_a_year_is_told_by_the_year_too() -> None:
    until = days(1500).get_loc(pd.Timestamp("2024-01-02"))
    of = market([1.0, *[9.0] * (until - 1), 16.0])  # sixteen times as much in 1,461 days
    lines = shown(compare_answer(of, AsOf(), LIGHT, [parse_window("since 2020-01-02")]))
    assert "since 2020-01-02 a year: IWM +100.00%, SPY 0.00%." in lines
    assert not any(line.startswith("1y a year") for line in lines)


TOTAL = "Total return, distributions reinvested"


def row(lines: list[str], name: str) -> list[str]:
    """The cells of a window's row; those of a long name stand on the next line."""
    at = next(number for number, line in enumerate(lines) if line == name or line.startswith(f"{name} "))
    return lines[at + 1].split() if lines[at] == name else lines[at].split()[1:]


@pytest.mark.parametrize("total", [False, True])
def test_every_figure_is_that_of_the_analytics(total: bool) -> None:
    of = sample_market()
    extra = [parse_window(text) for text in ("2d", "4w", "18m", "3y", "10y", "mtd", "since 2015-06-30")]
    lines = shown(compare_answer(of, AsOf(), LIGHT, extra, total))
    for window in (*RETURN_WINDOWS, *extra):
        figures = performance(of, window, total)
        cells = [PERCENT.show(figures.small), PERCENT.show(figures.large), POINTS.show(figures.gap)]
        assert row(lines, str(window)) == cells
    assert (TOTAL in lines, "Price return" in lines) == (total, not total)
    assert any(line.endswith(f"({'total return' if total else 'price'}).") for line in lines)


def test_windows_longer_than_the_history_have_no_figure_and_are_named() -> None:
    lines = shown(compare_answer(market([50.0, 51.0, 49.0]), AsOf(), LIGHT, [parse_window("2d")]))
    assert row(lines, "2d") == ["−2.00%", "0.00%", "−2.00pp"]
    assert row(lines, "1y") == ["n/a", "n/a", "n/a"]
    assert "Base closes: 2d 2 Jan 2020. Too little history for 1w, 1m, 3m, 6m, ytd, 1y." in lines


@pytest.mark.parametrize(
    ("levels", "windows", "line"),
    [
        ([50.0, 51.0, 49.0], "2d", "SPY leads: 2d (price)."),
        ([50.0, 40.0, 41.0], "1d 2d", "IWM leads: 1d; SPY leads: 2d (price)."),
        ([50.0] * 9, "", "Neither leads."),
    ],
)
def test_the_leader_is_told_with_its_windows(levels: list[float], windows: str, line: str) -> None:
    extra = [parse_window(text) for text in windows.split()]
    assert line in shown(compare_answer(market(levels), AsOf(), LIGHT, extra))


def test_an_asked_window_that_is_always_there_is_shown_once() -> None:
    year = parse_window("1y")
    lines = shown(compare_answer(market([50.0] * 5), AsOf(), LIGHT, [year, year], False))
    assert len([line for line in lines if line.startswith("1y ")]) == 1


def test_flows_of_another_session_are_dated() -> None:
    of = market([50.0] * 30, units={"IWM": [250.0 + number for number in range(29)], "SPY": [900.0] * 5})
    iwm = "IWM +$2.00bn (+7.75% of assets) to 12 Feb 2020, 1 session old"
    assert flow_line(of) == f"Flows 20d: {iwm}; SPY n/a, too little history."


@pytest.mark.parametrize(
    ("levels", "line"),
    [
        ([0.5] * 199, "Ratio IWM/SPY 0.5000; its 200-day average needs 200 sessions, stored so far: 199."),
        ([0.5] * 200, "Ratio IWM/SPY 0.5000, exactly at its 200-day average."),
        ([0.5] * 199 + [0.6], "Ratio IWM/SPY 0.6000, 19.88% above its 200-day average."),
        (
            [0.5] * 200 + [0.4, 0.4],
            "Ratio IWM/SPY 0.4000, 19.84% below its 200-day average (below it since 16 Oct 2020).",
        ),
        (
            [0.5] * 200 + [0.4, 0.6, 0.6],
            "Ratio IWM/SPY 0.6000, 19.88% above its 200-day average (above it since 19 Oct 2020).",
        ),
    ],
)
def test_the_ratio_tells_its_side_of_the_average_and_since_when(levels: list[float], line: str) -> None:
    assert ratio_line(market([100 * level for level in levels])) == line


def test_flows_of_doubtful_counts_say_so() -> None:
    counts = [250.0 + number for number in range(28)]
    jumped = market([50.0] * 29, units={"IWM": [*counts, 400.0]})
    flagged = "unconfirmed, 1 flagged day, BIG on 12 Feb 2020 (see /flows)"
    assert f"(+55.04% of assets), {flagged}; SPY" in flow_line(jumped)
    spike = market([50.0] * 30, units={"IWM": [*counts, 400.0, 279.0]})
    assert "assets), 2 flagged days, the last SPIKE_REVERT on 13 Feb 2020 (see /flows); SPY" in flow_line(
        spike
    )
    large = market([50.0] * 30, units={"IWM": [*counts, 300.0, 301.0]})
    assert "flagged" not in flow_line(large)


PE = [("2020-01-03", "IWM", "pe", 25.0), ("2020-01-03", "SPY", "pe", 20.0)]
POSITIVE = "P/E (profitable companies only, trailing):"


@pytest.mark.parametrize(
    ("figures", "line"),
    [
        ([], "Multiples: n/a, none stored."),
        ([("2020-01-03", "IWM", "pb", 2.0)], "Multiples: n/a, none stored."),
        (PE, f"{POSITIVE} IWM 25.0x, SPY 20.0x, close of Fri 3 Jan 2020, 3 sessions old."),
        (PE[:1], f"{POSITIVE} IWM 25.0x (3 Jan 2020, 3 sessions old), SPY n/a."),
        (PE[1:], f"{POSITIVE} IWM n/a, SPY 20.0x (3 Jan 2020, 3 sessions old)."),
        (
            [*PE, ("2020-01-06", "SPY", "pe", 21.0)],
            f"{POSITIVE} IWM 25.0x (3 Jan 2020, 3 sessions old), SPY 21.0x (6 Jan 2020, 2 sessions old).",
        ),
    ],
)
def test_a_multiple_has_convention_and_dates(figures: list[tuple[str, str, str, float]], line: str) -> None:
    assert multiple_line(market([50.0] * 5, multiples=figures)) == line


def test_a_multiple_is_of_the_newest_convention_and_of_the_date_of_its_prices() -> None:
    of = market([50.0] * 5, multiples=PE)
    dated = of.multiples.assign(price_date="2020-01-02")
    line = multiple_line(replace(of, multiples=dated))
    assert line.endswith("IWM 25.0x, SPY 20.0x, close of Thu 2 Jan 2020, 4 sessions old.")
    newer = of.multiples.assign(session=pd.Timestamp("2020-01-06"), convention="capped", basis="unstated")
    line = multiple_line(replace(of, multiples=pd.concat([of.multiples, newer])))
    assert line.startswith("P/E (each P/E capped at 60, basis unstated): ")


def test_sources_are_named_by_part() -> None:
    of = market([50.0] * 5, units={"IWM": [250.0] * 5}, multiples=PE)
    issuer, yahoo = Source("issuer", "issuer file"), Source("yahoo", "Yahoo")
    of = replace(of, sources={**of.sources, "facts:IWM": issuer, "multiples": yahoo})
    line = shown(compare_answer(of, AsOf(), LIGHT))[-1]
    assert line == "Sources: CSV import (prices); issuer file (flows); Yahoo (multiples)."


@pytest.mark.parametrize(
    ("extra", "title"),
    [([], "IWM and SPY, price since 11 Dec 2019"), ([SINCE], "IWM and SPY, price since 30 Sep 2020")],
)
def test_the_chart_shows_the_asked_window_or_a_year(extra: list[Window], title: str) -> None:
    _, style, *_ = drawing(compare_answer(sample_market(), AsOf(), LIGHT, extra)).args
    assert (style.title, style.sample) == (title, True)
    assert style.source == "Source: sample data · close of Fri 11 Dec 2020"


def test_a_close_missing_on_the_last_session_ends_the_comparison_a_session_earlier() -> None:
    lines = shown(compare_answer(market([50.0, 51.0, 52.0], [100.0, 100.0, None]), AsOf(), LIGHT))
    assert lines[0] == "IWM and SPY · close of Fri 3 Jan 2020"
    assert lines[1] == "Stale: 1 session old; the last completed session is Mon 6 Jan 2020."


@pytest.mark.parametrize(("total", "kind"), [(None, ""), (True, " tr"), (False, " price")])
def test_buttons_keep_the_moment_and_the_kind_of_return(total: bool | None, kind: str) -> None:
    above, below = compare_answer(market([50.0]), SUNDAY, LIGHT, total=total).buttons
    assert above[0] == ("3 years", f"/compare 3y{kind} asof 2020-12-13")
    assert above[1] == ("Trend", "/trend asof 2020-12-13")
    assert below[-1] == ("What moved it", "/why ytd asof 2020-12-13")


def test_a_date_that_is_no_session_is_followed_by_its_base_close() -> None:
    answer = compare_answer(sample_market(), AsOf(), LIGHT, [parse_window("since 2020-10-03")])
    assert "since 2020-10-03: 2 Oct 2020." in page(answer)


def shared_figures(of: Market, moment: AsOf, window: Window) -> tuple[str, str, str]:
    """The gap of total returns by /compare, by /chart, and by the chart's caption."""
    table = shown(compare_answer(of, moment, LIGHT, [window], total=True))
    metric = METRICS["excess"]
    answer = metric_answer(of, moment, LIGHT, metric, {"window": window}, Window("y", 1))
    (panel,), _ = drawing(answer).args
    value = next(line for line in shown(answer) if "percentile" in line)
    return row(table, str(window))[-1], value.split(",")[0], POINTS.show(panel.series.iloc[-1])


@pytest.mark.parametrize("window", ["1w", "1m", "3m", "6m", "1y", "ytd", "20d", "since 2020-09-30"])
def test_one_question_has_one_answer_on_every_page(window: str) -> None:
    for moment in (SUNDAY, AsOf()):
        of = sample_market() if moment.asof is None else sample_market().at(moment.asof)
        assert len(set(shared_figures(of, moment, parse_window(window)))) == 1


def test_a_missing_base_is_named_with_its_date_and_gives_no_figure() -> None:
    of = market([50.0] * 10 + [None, 51.0])
    lines = shown(compare_answer(of, AsOf(), LIGHT, [Window("d", 1), Window("d", 2)]))
    assert lines.count("1d: n/a, the close of Thu 16 Jan 2020 is missing.") == 2
    assert row(lines[lines.index("Price return") :], "1d") == ["n/a", "n/a", "n/a"]
    assert row(lines[lines.index("Price return") :], "2d") == ["+2.00%", "0.00%", "+2.00pp"]
    with pytest.raises(NoData, match=r"Total-return gap 1d: n/a, the close of Thu 16 Jan 2020 is missing\.$"):
        metric_answer(of, AsOf(), LIGHT, METRICS["excess"], {"window": Window("d", 1)}, Window("y", 1))
    rule = context(of).histories.series(parse_rule("excess 1d > 1pp", METRICS).conditions[0])
    assert rule.value.isna().tolist() == [True] + [False] * 9 + [True]


def test_without_stored_distributions_there_is_no_total_return() -> None:
    of = replace(market([50.0] * 120), pair=DEFAULT_PAIR)
    assert not any("lead" in line for line in shown(compare_answer(of, AsOf(), LIGHT, (), True)))
    lines = shown(compare_answer(of, AsOf(), LIGHT))
    total = lines[lines.index(TOTAL) :]
    assert row(total, "1m") == ["n/a", "n/a", "n/a"]
    assert "1w, 1m, 3m: n/a, no distributions of IWM and SPY stored." in total
